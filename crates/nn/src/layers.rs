//! Fully connected layers.

use crate::{Init, Value};

impl<'g> Value<'g> {
    /// A fully connected layer: x·W + b of `[rows,inputs]` gives `[rows,units]`, with parameters `dense0/weight` `[inputs,units]`
    /// and `dense0/bias` `[units]`, numbered by scope. The weight starts as [`Init::GlorotUniform`], the bias at zero.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [32, 784]);
    /// assert_eq!(x.dense(10).ty().to_string(), "f32[32,10]");
    /// assert_eq!(g.parameters()[0].name, "dense0/weight");
    /// assert_eq!(g.parameters()[0].ty.to_string(), "f32[784,10]");
    /// ```
    #[track_caller]
    pub fn dense(self, units: usize) -> Value<'g> {
        self.dense_with(units, Init::GlorotUniform, true)
    }

    /// [`Value::dense`] with a choice of how the weight starts, and with or without bias.
    #[track_caller]
    pub fn dense_with(self, units: usize, init: Init, bias: bool) -> Value<'g> {
        if self.id.is_none() {
            return self;
        }
        let (g, ty) = (self.graph, self.ty());
        if ty.rank() != 2 {
            let hint = if ty.rank() > 2 { "; flatten the last axes first" } else { "" };
            return g.refuse(format!("dense: expected a matrix, got {ty}{hint}"));
        }
        let name = g.push_scope("dense", true);
        let weight = g.dense_weight(ty.dtype, [ty.shape[1], units], init);
        let mut y = self.matmul(weight);
        if bias {
            y = y + g.parameter("bias", ty.dtype, [units], Init::Constant(0.0));
        }
        g.end_layer(name, y)
    }

    /// The greatest of several dense layers, unit by unit: maxᵢ (x·Wᵢ + bᵢ) of `[rows,inputs]` gives `[rows,units]` (Goodfellow et
    /// al. 2013). There are 1 to 1000 pieces; parameters `maxout0/dense0/weight`, `maxout0/dense1/weight` and so on.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [32, 784]);
    /// assert_eq!(x.maxout(240, 5).ty().to_string(), "f32[32,240]");
    /// assert_eq!(g.parameters().len(), 10);
    /// ```
    #[track_caller]
    pub fn maxout(self, units: usize, pieces: usize) -> Value<'g> {
        if !(1..=1000).contains(&pieces) {
            return self.graph.refuse(format!("maxout: expected 1 to 1000 pieces, got {pieces}"));
        }
        self.graph.push_scope("maxout", true);
        let mut best = self.dense(units);
        for _ in 1..pieces {
            best = best.maximum(self.dense(units));
        }
        self.graph.pop_scope();
        best
    }
}
