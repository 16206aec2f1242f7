//! What layers have in common.

use crate::{Graph, Layer, Value};

impl Graph {
    /// Leaves the scope of the layer `name`, and notes it for the summary.
    pub(crate) fn end_layer<'g>(&'g self, name: String, output: Value<'g>) -> Value<'g> {
        self.pop_scope();
        let Some(node) = output.id else { return output };
        let prefix = format!("{name}/");
        let inner = self.outermost().inner.borrow();
        let own = inner.parameters.iter().filter(|p| p.trainable && p.name.starts_with(&prefix));
        let parameters = own.map(|p| p.ty.elements()).sum();
        drop(inner);
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

    /// Is it of floats? If not, that is kept as an error.
    #[track_caller]
    pub(crate) fn floats(self, what: &str) -> bool {
        if self.id.is_some() && !self.ty().dtype.is_float() {
            self.graph.refuse(format!("{what}: expected floats, got {}; convert them first", self.ty()));
        }
        self.id.is_some() && self.ty().dtype.is_float()
    }

    /// Itself with axes of extent 1 around, so that its own are those of `like` from `axis` on.
    #[track_caller]
    pub(crate) fn along(self, like: Value<'g>, axis: usize) -> Value<'g> {
        if self.id.is_none() || like.id.is_none() {
            return self.spoiled();
        }
        let mut dims = vec![1; like.shape().rank()];
        dims[axis..axis + self.shape().rank()].copy_from_slice(&self.shape());
        self.reshape(dims)
    }

    /// The extent of axis 1 of a value of floats of at least `rank` axes; an error is kept.
    #[track_caller]
    pub(crate) fn feature_axis(self, what: &str, rank: usize) -> Option<usize> {
        if self.id.is_none() || !self.floats(what) {
            return None;
        }
        let ty = self.ty();
        if ty.rank() < rank {
            self.graph.refuse(format!("{what}: expected [N,C,…], got {ty}"));
            return None;
        }
        Some(ty.shape[1])
    }
}
