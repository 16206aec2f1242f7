//! Lengths and distances, and layers that excite by them rather than by a weighted sum.

use crate::{Init, Value};

impl<'g> Value<'g> {
    /// Σ |self|, the L₁ norm.
    #[track_caller]
    pub fn l1_norm(self) -> Value<'g> {
        self.abs().sum()
    }

    /// Σ self², the squared L₂ norm.
    #[track_caller]
    pub fn squared_norm(self) -> Value<'g> {
        (self * self).sum()
    }

    /// √Σ self², the L₂ norm. At 0 its derivatives of all orders are 0, where it has none.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2, 2]);
    /// g.output("lengths", x.norm_axes(&[1]));
    /// g.output("slope", g.grad(x.norm(), &[x])[0]);
    /// let outputs = g.compile()?.run(&[("x", &Tensor::from_slice([2, 2], &[3.0f32, 4.0, 0.0, 0.0])?)])?;
    /// assert_eq!(outputs.get("lengths").unwrap().view::<f32>()?, [5.0, 0.0]);
    /// assert_eq!(outputs.get("slope").unwrap().view::<f32>()?, [0.6, 0.8, 0.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn norm(self) -> Value<'g> {
        (self * self).sum().root()
    }

    /// The L₂ norm over axes, which vanish; see [`Value::norm`].
    #[track_caller]
    pub fn norm_axes(self, axes: &[isize]) -> Value<'g> {
        (self * self).sum_axes(axes).root()
    }

    /// The L₂ norm over axes, which stay with extent 1.
    #[track_caller]
    pub fn norm_keep(self, axes: &[isize]) -> Value<'g> {
        self.norm_axes(axes).expand_like(self, axes)
    }

    /// x / max(‖x‖₂, ε) along an axis, as PyTorch's `normalize` has it (ε = 10⁻¹² there).
    #[track_caller]
    pub fn l2_normalize(self, axis: isize, eps: f64) -> Value<'g> {
        self / self.norm_keep(&[axis]).maximum(eps)
    }

    /// The cosine of the angle between vectors along an axis, which vanishes: x·y / (max(‖x‖₂, ε) · max(‖y‖₂, ε)), as PyTorch
    /// has it (ε = 10⁻⁸ there).
    #[track_caller]
    pub fn cosine_similarity(self, other: Value<'g>, axis: isize, eps: f64) -> Value<'g> {
        let lengths = [self, other].map(|x| x.norm_axes(&[axis]).maximum(eps));
        (self * other).sum_axes(&[axis]) / (lengths[0] * lengths[1])
    }

    /// A layer of units that are excited by the length of the weighted input: yⱼ = ‖wⱼ∘x‖₂ = √Σᵢ (wᵢⱼxᵢ)². Takes
    /// `[rows,inputs]`; parameter `weighted_norm<n>/weight` `[inputs,units]`, which starts as [`Init::GlorotUniform`].
    #[track_caller]
    pub fn weighted_norm(self, units: usize) -> Value<'g> {
        self.excited("weighted_norm", units, Init::GlorotUniform, |x, weight| {
            (x * x).matmul(weight * weight).root()
        })
    }

    /// A layer of radial units, excited by the distance to a centre: yⱼ = ‖x − wⱼ‖₂. Takes `[rows,inputs]`; parameter
    /// `radial<n>/weight` `[inputs,units]`, a centre in each column, which starts standard normal. An RBF network (Broomhead &
    /// Lowe 1988) has `(-(y * y)).exp()` of it, and a dense layer behind.
    #[track_caller]
    pub fn radial(self, units: usize) -> Value<'g> {
        self.excited("radial", units, Init::Normal(1.0), |x, weight| {
            // Σx² − 2x·w + Σw² would be a matrix product, and lose all digits near the centre.
            (x.expand_dims(-1) - weight).norm_axes(&[1])
        })
    }

    #[track_caller]
    fn excited(
        self,
        what: &str,
        units: usize,
        init: Init,
        excitation: impl FnOnce(Value<'g>, Value<'g>) -> Value<'g>,
    ) -> Value<'g> {
        let (g, ty) = (self.graph, self.ty());
        if !self.floats(what) {
            return self.spoiled();
        }
        if ty.rank() != 2 {
            return g.refuse(format!("{what}: expected a matrix [rows,inputs], got {ty}"));
        }
        let name = g.push_scope(what, true);
        let weight = g.parameter("weight", ty.dtype, [ty.shape[1], units], init);
        g.end_layer(name, excitation(self, weight))
    }

    /// √x, with derivatives 0 at 0.
    #[track_caller]
    fn root(self) -> Value<'g> {
        if self.id.is_none() {
            return self;
        }
        let long = self.ne(0.0);
        long.select(long.select(self, 1.0).sqrt(), 0.0)
    }
}
