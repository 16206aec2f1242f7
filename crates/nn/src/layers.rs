//! Fully connected layers.

use crate::{Init, Value};

impl<'g> Value<'g> {
    /// A fully connected layer: x·W + b with parameters `dense0/weight` [inputs, units] and `dense0/bias`, numbered by
    /// scope. The weight starts as [`Init::GlorotUniform`], the bias at zero.
    #[track_caller]
    pub fn dense(self, units: usize) -> Value<'g> {
        self.dense_with(units, Init::GlorotUniform, true)
    }

    /// A fully connected layer with a choice of start and bias.
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
        let weight = g.parameter("weight", ty.dtype, [ty.shape[1], units], init);
        let mut y = self.matmul(weight);
        if bias {
            y = y + g.parameter("bias", ty.dtype, [units], Init::Constant(0.0));
        }
        g.end_layer(name, y)
    }

    /// The greatest of several dense layers, unit by unit (Goodfellow et al. 2013).
    #[track_caller]
    pub fn maxout(self, units: usize, pieces: usize) -> Value<'g> {
        if pieces == 0 {
            return self.graph.refuse("maxout: expected at least one piece".to_owned());
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
