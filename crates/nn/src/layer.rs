//! What layers have in common.

use crate::{Graph, Init, Layer, Value};

impl Graph {
    /// Leaves the scope of the layer `name`, and notes it for the summary.
    pub(crate) fn end_layer<'g>(&'g self, name: String, output: Value<'g>) -> Value<'g> {
        self.pop_scope();
        let Some(node) = output.id else { return output };
        let prefix = format!("{name}/");
        let parameters = self.parameters();
        let own = parameters.iter().filter(|p| p.name.starts_with(&prefix));
        let parameters = own.map(|p| p.ty.elements()).sum();
        let layer = Layer { name, output: output.ty(), parameters, node };
        output.graph.inner.borrow_mut().layers.push(layer);
        output
    }
}

impl<'g> Value<'g> {
    /// x·Wᵀ + b over the last axis: `self` is `[…,inputs]`, `weight` `[outputs,inputs]` and `bias` `[outputs]`, laid out as
    /// PyTorch's `linear` has them. See [`Value::dense`] for a layer with parameters of its own.
    #[track_caller]
    pub fn linear(self, weight: Value<'g>, bias: Option<Value<'g>>) -> Value<'g> {
        if self.id.is_none() || weight.id.is_none() {
            return self.spoiled();
        }
        let (x, w) = (self.shape(), weight.shape());
        if w.rank() != 2 || x.last() != Some(&w[1]) {
            let (x, w) = (self.ty(), weight.ty());
            return self.graph.refuse(format!(
                "linear: expected […,inputs] and a weight [outputs,inputs], got {x} and {w}"
            ));
        }
        let y = self.matmul(weight.t());
        match bias {
            Some(bias) => y + bias,
            None => y,
        }
    }

    /// Zero with a probability, else divided by one minus it, drawn anew at each run. For what layers drop inside.
    #[track_caller]
    pub(crate) fn drop_some(self, what: &str, probability: f64) -> Value<'g> {
        if probability == 0.0 || self.id.is_none() {
            return self;
        }
        if !(0.0..1.0).contains(&probability) {
            return self.graph.refuse(format!(
                "{what}: expected a probability of at least 0 and below 1, got {probability}"
            ));
        }
        let kept = self.graph.random_bernoulli(1.0 - probability, self.shape());
        kept.select(self / (1.0 - probability), 0.0)
    }

    /// Is it of floats? If not, that is kept as an error.
    #[track_caller]
    pub(crate) fn floats(self, what: &str) -> bool {
        if self.id.is_some() && !self.ty().dtype.is_float() {
            self.graph.refuse(format!("{what}: expected floats, got {}; convert them first", self.ty()));
        }
        self.id.is_some() && self.ty().dtype.is_float()
    }
}

impl Init {
    /// The same start, by fans that are not those of a weight [inputs, outputs…].
    pub(crate) fn with_fans(self, fan_in: usize, fan_out: usize) -> Init {
        let (fan_in, fan_out) = (fan_in.max(1) as f64, fan_out.max(1) as f64);
        match self {
            Init::GlorotUniform => Init::Uniform((6.0 / (fan_in + fan_out)).sqrt()),
            Init::GlorotNormal => Init::Normal((2.0 / (fan_in + fan_out)).sqrt()),
            Init::HeUniform => Init::Uniform((6.0 / fan_in).sqrt()),
            Init::HeNormal => Init::Normal((2.0 / fan_in).sqrt()),
            Init::LecunUniform => Init::Uniform((3.0 / fan_in).sqrt()),
            Init::LecunNormal => Init::Normal((1.0 / fan_in).sqrt()),
            other => other,
        }
    }
}
