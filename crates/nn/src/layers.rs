//! Layers and activations.

use crate::{Init, Layer, Value};

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
        let mut parameters = ty.shape[1] * units;
        if bias {
            y = y + g.parameter("bias", ty.dtype, [units], Init::Constant(0.0));
            parameters += units;
        }
        g.pop_scope();
        if let Some(node) = y.id {
            let layer = Layer { name, output: y.ty(), parameters, node };
            g.inner.borrow_mut().layers.push(layer);
        }
        y
    }

    /// max(x, 0); the derivative at 0 is 0.
    #[track_caller]
    pub fn relu(self) -> Value<'g> {
        self.maximum(0.0)
    }

    /// max(slope·x, x) for a slope below 1.
    #[track_caller]
    pub fn leaky_relu(self, slope: f64) -> Value<'g> {
        self.maximum(self * slope)
    }

    /// 1/(1 + e^(−βx)).
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

    /// log Σ eˣ over an axis, which vanishes; stable for any finite x.
    #[track_caller]
    pub fn logsumexp(self, axis: isize) -> Value<'g> {
        let highest = self.max_axes(&[axis]).stop_gradient();
        let shifted = self - highest.expand_like(self, &[axis]);
        shifted.exp().sum_axes(&[axis]).log() + highest
    }

    /// x − log Σ eˣ along an axis.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Value<'g> {
        self - self.logsumexp(axis).expand_like(self, &[axis])
    }

    /// eˣ / Σ eˣ along an axis.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Value<'g> {
        let highest = self.max_axes(&[axis]).stop_gradient();
        let powers = (self - highest.expand_like(self, &[axis])).exp();
        powers / powers.sum_axes(&[axis]).expand_like(self, &[axis])
    }
}
