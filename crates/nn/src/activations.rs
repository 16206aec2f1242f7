//! Activations, and softmax with its kin.

use crate::{Init, Value};

/// All but softmax and its kin work element by element, on floats of any shape, which stays.
impl<'g> Value<'g> {
    /// max(x, 0), element by element; the derivative at 0 is 0.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [4, 784]);
    /// assert_eq!(x.dense(10).relu().softmax(-1).ty().to_string(), "f32[4,10]");
    /// ```
    #[track_caller]
    pub fn relu(self) -> Value<'g> {
        self.maximum(0.0)
    }

    /// x above 0, slope·x below, for any finite slope; the derivative at 0 is the slope (Maas, Hannun & Ng 2013, who have 0.01).
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Value<'g> {
        if !slope.is_finite() {
            return self.graph.refuse(format!("leaky_relu: expected a finite slope, got {slope}"));
        }
        self.gt(0.0).select(self, self * slope)
    }

    /// 1/(1 + e^(−βx)), the logistic function with slope β/4 at 0.
    #[track_caller]
    pub fn sigmoid_slope(self, beta: f64) -> Value<'g> {
        (self * beta).sigmoid()
    }

    /// x above 0, α(eˣ − 1) below (Clevert et al. 2016).
    #[track_caller]
    pub fn elu(self, alpha: f64) -> Value<'g> {
        let above = self.gt(0.0);
        // The branch not taken must not overflow, or its derivative is NaN; at 0 it is taken, with slope α.
        let below = above.select(self.number(0.0.into()), self).expm1() * alpha;
        above.select(self, below)
    }

    /// x·Φ(x) with the exact normal distribution (Hendrycks & Gimpel 2016).
    #[track_caller]
    pub fn gelu(self) -> Value<'g> {
        self * 0.5 * ((self * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)
    }

    /// GELU by its tanh approximation.
    #[track_caller]
    pub fn gelu_tanh(self) -> Value<'g> {
        let inner = (self + self * self * self * 0.044715) * (2.0 / std::f64::consts::PI).sqrt();
        self * 0.5 * (inner.tanh() + 1.0)
    }

    /// x·σ(x).
    #[track_caller]
    pub fn silu(self) -> Value<'g> {
        self * self.sigmoid()
    }

    /// x·tanh(softplus(x)) (Misra 2019).
    #[track_caller]
    pub fn mish(self) -> Value<'g> {
        self * self.softplus().tanh()
    }

    /// λ·elu(x) with the λ and α that keep mean 0 and variance 1 from layer to layer (Klambauer et al. 2017).
    #[track_caller]
    pub fn selu(self) -> Value<'g> {
        const SCALE: f64 = 1.050_700_987_355_480_5;
        const ALPHA: f64 = 1.673_263_242_354_377_2;
        self.elu(ALPHA) * SCALE
    }

    /// log σ(x), stable for any finite x.
    #[track_caller]
    pub fn log_sigmoid(self) -> Value<'g> {
        -(-self).softplus()
    }

    /// x/(1 + |x|).
    #[track_caller]
    pub fn softsign(self) -> Value<'g> {
        self / (self.abs() + 1.0)
    }

    /// x, limited to 0 … 6.
    #[track_caller]
    pub fn relu6(self) -> Value<'g> {
        self.clamp(0.0, 6.0)
    }

    /// x, limited to −1 … 1.
    #[track_caller]
    pub fn hard_tanh(self) -> Value<'g> {
        self.clamp(-1.0, 1.0)
    }

    /// x/6 + ½, limited to 0 … 1.
    #[track_caller]
    pub fn hard_sigmoid(self) -> Value<'g> {
        (self * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)
    }

    /// x above 0, a learned slope times x below, one for each feature (axis 1): parameter `prelu<n>/weight` `[C]`, at first ¼
    /// (He et al. 2015).
    #[track_caller]
    pub fn prelu(self) -> Value<'g> {
        let Some(features) = self.feature_axis("prelu", 2) else { return self.spoiled() };
        let g = self.graph;
        let name = g.push_scope("prelu", true);
        let slope = g.parameter("weight", self.ty().dtype, [features], Init::Constant(0.25));
        let y = self.gt(0.0).select(self, self * slope.along(self, 1));
        g.end_layer(name, y)
    }

    /// log Σ eˣ over an axis, which vanishes; stable for any finite x.
    #[track_caller]
    pub fn logsumexp(self, axis: isize) -> Value<'g> {
        let highest = self.max_axes(&[axis]).stop_gradient();
        let shifted = self - highest.expand_like(self, &[axis]);
        shifted.exp().sum_axes(&[axis]).log() + highest
    }

    /// x − log Σ eˣ along an axis, of the shape of x: the logarithm of [`Value::softmax`], with all digits however far from
    /// zero x is.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Value<'g> {
        let shifted = self.below_highest(axis);
        shifted - shifted.exp().sum_axes(&[axis]).log().expand_like(self, &[axis])
    }

    /// eˣ / Σ eˣ along an axis, of the shape of x; stable for any finite x.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Value<'g> {
        let powers = self.below_highest(axis).exp();
        powers / powers.sum_axes(&[axis]).expand_like(self, &[axis])
    }

    /// x − max x along an axis, with the gradient of x: what is the same for all changes no softmax.
    #[track_caller]
    pub(crate) fn below_highest(self, axis: isize) -> Value<'g> {
        self - self.max_axes(&[axis]).stop_gradient().expand_like(self, &[axis])
    }
}
