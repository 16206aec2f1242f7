//! Dropout: random parts that take no part in training.

use crate::Value;

/// Masks are drawn anew at each run and not kept: the backward pass reads those of the forward pass or draws the same ones
/// again, whatever is cheaper.
impl<'g> Value<'g> {
    /// Inverted dropout (Srivastava et al. 2014): in training each element is zero with a probability of 0 to 1, else divided
    /// by one minus it; in a query it is what it is. See [`Graph::training`](crate::Graph::training).
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [32, 784]);
    /// let y = x.dense(256).relu().dropout(0.5).dense(10);
    /// assert_eq!(y.ty().to_string(), "f32[32,10]");
    /// ```
    #[track_caller]
    pub fn dropout(self, probability: f64) -> Value<'g> {
        self.drop_some("dropout", probability, self.shape().rank())
    }

    /// Dropout as it was first (Hinton et al. 2012): in training each element is zero with a probability of 0 to 1, else what it
    /// is; in a query it is multiplied by one minus it. Of any shape, which stays.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2]);
    /// g.output("y", x.dropout_classic(0.25)); // without a parameter that changes, a query
    /// let outputs = g.compile()?.run(&[("x", &Tensor::full([2], 4.0f32))])?;
    /// assert_eq!(outputs.get("y").unwrap().view::<f32>()?, [3.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn dropout_classic(self, probability: f64) -> Value<'g> {
        let Some(kept) = self.kept("dropout_classic", probability, self.shape().rank()) else {
            return self.spoiled();
        };
        let training = self.graph.training();
        training.select(kept.select(self, 0.0), self * (1.0 - probability))
    }

    /// Drop-path or stochastic depth (Huang et al. 2016): in training an example (a position of axis 0) is all zero with a
    /// probability of 0 to 1, else divided by one minus it; in a query it is what it is. For the branch of a residual block:
    /// `x + branch(x).drop_path(0.2)`.
    #[track_caller]
    pub fn drop_path(self, probability: f64) -> Value<'g> {
        if self.id.is_some() && self.shape().rank() == 0 {
            return self
                .graph
                .refuse(format!("drop_path: expected examples along axis 0, got {}", self.ty()));
        }
        self.drop_some("drop_path", probability, 1)
    }

    /// Inverted dropout with one draw for each position of the first `axes` axes.
    #[track_caller]
    pub(crate) fn drop_some(self, what: &str, probability: f64, axes: usize) -> Value<'g> {
        if probability == 0.0 || self.id.is_none() {
            return self;
        }
        let Some(kept) = self.kept(what, probability, axes) else { return self.spoiled() };
        // If nothing is kept, nothing must be divided by zero.
        let scale = if probability == 1.0 { 0.0 } else { 1.0 / (1.0 - probability) };
        self.graph.training().select(kept.select(self * scale, 0.0), self)
    }

    /// What to keep, drawn for each position of the first `axes` axes, of extent 1 along the others.
    #[track_caller]
    fn kept(self, what: &str, probability: f64, axes: usize) -> Option<Value<'g>> {
        if !self.floats(what) {
            return None;
        }
        if !(0.0..=1.0).contains(&probability) {
            self.graph.refuse(format!("{what}: expected a probability of 0 to 1, got {probability}"));
            return None;
        }
        let mut shape = self.shape().to_vec();
        shape[axes..].fill(1);
        let shape = self.graph.shape(what, shape)?;
        Some(self.graph.bernoulli_in_training(1.0 - probability, shape))
    }
}
