//! Penalties on weights, to be added to a loss.

use crate::{Graph, Parameter, Value, update::expect_some};

impl Graph {
    /// λ‖w‖₁, λ times the sum of the magnitudes of all weights (L₁ regularisation, lasso: Tibshirani 1996), which pulls them
    /// to zero at the same speed whatever their size. A scalar; the weights are those that [`Graph::weights`] names.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, I32, Sgd, Trainer};
    ///
    /// let g = Graph::new();
    /// let (x, label) = (g.input("x", F32, [16, 8]), g.input("label", I32, [16]));
    /// let loss = x.dense(32).relu().dense(3).cross_entropy(label).mean();
    /// let training = Trainer::new(loss + g.l1_penalty("", 1e-4), Sgd::new(0.1)).compile()?;
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    #[track_caller]
    pub fn l1_penalty(&self, prefix: &str, strength: f64) -> Value<'_> {
        self.penalty("l1_penalty", prefix, strength, Value::l1_norm)
    }

    /// λ‖w‖₂², λ times the sum of the squares of all weights (L₂ regularisation, ridge, Tikhonov's), whose gradient is 2λw: a
    /// weight decay of 2λ. A scalar; the weights are those that [`Graph::weights`] names.
    #[track_caller]
    pub fn l2_penalty(&self, prefix: &str, strength: f64) -> Value<'_> {
        self.penalty("l2_penalty", prefix, strength, Value::squared_norm)
    }

    /// λ₁‖w‖₁ + λ₂‖w‖₂² (elastic net: Zou & Hastie 2005). A scalar; the weights are those that [`Graph::weights`] names.
    #[track_caller]
    pub fn elastic_penalty(&self, prefix: &str, l1: f64, l2: f64) -> Value<'_> {
        self.l1_penalty(prefix, l1) + self.l2_penalty(prefix, l2)
    }

    /// The weights whose names start so: parameters of floats with two axes or more and a name that ends in `weight` or has
    /// it before an underscore, as those of layers do, but no biases and no factors of norms. The whole name of a parameter is
    /// that parameter, whatever it is.
    pub fn weights(&self, prefix: &str) -> Vec<Parameter> {
        let mut parameters = self.parameters();
        let is_weight = |p: &Parameter| {
            let own = p.name.rsplit('/').next().unwrap_or(&p.name);
            let named = own.ends_with("weight") || own.starts_with("weight_");
            named && p.ty.rank() >= 2 && p.ty.dtype.is_float()
        };
        parameters.retain(|p| p.name == prefix || p.name.starts_with(prefix) && is_weight(p));
        parameters
    }

    #[track_caller]
    fn penalty<'g>(
        &'g self,
        what: &str,
        prefix: &str,
        strength: f64,
        norm: fn(Value<'g>) -> Value<'g>,
    ) -> Value<'g> {
        if !(strength >= 0.0 && strength.is_finite()) {
            return self.refuse(format!("{what}: expected a strength of 0 or above, got {strength}"));
        }
        let weights = self.weights(prefix);
        if let Err(message) = expect_some(what, prefix, &self.parameters()) {
            return self.refuse(message);
        }
        let norms = weights.iter().map(|p| norm(Value { graph: self, id: Some(p.node) }));
        let sum = norms.reduce(|sum, norm| sum + norm.convert(sum.ty().dtype));
        match sum {
            Some(sum) => sum * strength,
            None => self.refuse(format!("{what}: no parameter `{prefix}…` is a weight; name it whole")),
        }
    }
}
