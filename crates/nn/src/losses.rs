//! Losses and metrics. They are given for each example: take the [`mean`](Value::mean) to train on.

use bespoke_tensor::DType;

use crate::Value;

impl<'g> Value<'g> {
    /// Cross-entropy −log `softmax(self)[label]` of logits `[rows,classes]` and integer labels `[rows]`: `[rows]`, stable for
    /// any finite logits.
    #[track_caller]
    pub fn cross_entropy(self, labels: Value<'g>) -> Value<'g> {
        if self.id.is_some()
            && labels.id.is_some()
            && (self.shape().rank() != 2 || !labels.ty().dtype.is_int())
        {
            let message = format!(
                "cross_entropy: expected logits [rows,classes] and integer labels [rows], got {} and {}",
                self.ty(),
                labels.ty()
            );
            return self.graph.refuse(message);
        }
        self.logsumexp(1) - self.pick(labels)
    }

    /// Binary cross-entropy of logits and targets within [0, 1], element by element:
    /// max(x, 0) − x·t + log(1 + e^(−|x|)), stable for any finite logits.
    #[track_caller]
    pub fn binary_cross_entropy(self, targets: Value<'g>) -> Value<'g> {
        // Each side is exact where it is used, far out too, and both have the same slope at 0.
        let (above, below) = (self * (1.0 - targets) + (-self).softplus(), self.softplus() - self * targets);
        self.gt(0.0).select(above, below)
    }

    /// (self − other)², element by element; its mean is the mean squared error.
    #[track_caller]
    pub fn squared_error(self, other: Value<'g>) -> Value<'g> {
        let difference = self - other;
        difference * difference
    }

    /// |self − other|, element by element.
    #[track_caller]
    pub fn absolute_error(self, other: Value<'g>) -> Value<'g> {
        (self - other).abs()
    }

    /// The mean squared error.
    #[track_caller]
    pub fn mse(self, other: Value<'g>) -> Value<'g> {
        self.squared_error(other).mean()
    }

    /// 1 where the greatest logit is the label's, else 0: `[rows]` of f32.
    #[track_caller]
    pub fn accuracy(self, labels: Value<'g>) -> Value<'g> {
        self.argmax(-1).eq(labels.convert(DType::I32)).convert(DType::F32)
    }

    /// 1 where the greatest logit is not the label's, else 0: `[rows]` of f32.
    #[track_caller]
    pub fn zero_one(self, labels: Value<'g>) -> Value<'g> {
        1.0 - self.accuracy(labels)
    }

    /// Cross-entropy of logits `[rows,classes]` and integer labels of which a share `smoothing` is spread over all classes
    /// (Szegedy et al. 2016): `[rows]`.
    #[track_caller]
    pub fn cross_entropy_smoothed(self, labels: Value<'g>, smoothing: f64) -> Value<'g> {
        if !(0.0..=1.0).contains(&smoothing) {
            let message = format!("cross_entropy_smoothed: expected a smoothing of 0 to 1, got {smoothing}");
            return self.graph.refuse(message);
        }
        let sharp = self.cross_entropy(labels);
        let spread = -self.log_softmax(-1).mean_axes(&[-1]);
        sharp * (1.0 - smoothing) + spread * smoothing
    }

    /// Cross-entropy −Σ p·log softmax(self) of logits and probabilities along the last axis, which vanishes.
    #[track_caller]
    pub fn soft_cross_entropy(self, probabilities: Value<'g>) -> Value<'g> {
        -(probabilities * self.log_softmax(-1)).sum_axes(&[-1])
    }

    /// Cross-entropy −Σ p·log q along the last axis, which vanishes, of probabilities: self is q, what is predicted. Of what
    /// is impossible and does not happen, nothing is added.
    #[track_caller]
    pub fn categorical_cross_entropy(self, probabilities: Value<'g>) -> Value<'g> {
        -probabilities.times_log(self).sum_axes(&[-1])
    }

    /// −t·log p − (1 − t)·log(1 − p) of probabilities p and targets within [0, 1], element by element. A logarithm is at least
    /// −100, as in PyTorch. Of logits, [`binary_cross_entropy`](Value::binary_cross_entropy) is more accurate.
    #[track_caller]
    pub fn bernoulli_cross_entropy(self, targets: Value<'g>) -> Value<'g> {
        let log = |p: Value<'g>| p.log().maximum(-100.0);
        -(targets * log(self) + (1.0 - targets) * log(1.0 - self))
    }

    /// Entropy −Σ p·log p of probabilities along the last axis, which vanishes.
    #[track_caller]
    pub fn entropy(self) -> Value<'g> {
        -self.times_log(self).sum_axes(&[-1])
    }

    /// Kullback–Leibler divergence Σ p·log(p/q) of probabilities along the last axis, which vanishes: self is p, `other` q.
    #[track_caller]
    pub fn kl_divergence(self, other: Value<'g>) -> Value<'g> {
        (self.times_log(self) - self.times_log(other)).sum_axes(&[-1])
    }

    /// Huber's loss, element by element: half the squared error up to `delta`, from there on a straight line (Huber 1964).
    #[track_caller]
    pub fn huber(self, other: Value<'g>, delta: f64) -> Value<'g> {
        let error = self - other;
        let distance = error.abs();
        let (near, far) = (error * error * 0.5, (distance - 0.5 * delta) * delta);
        distance.le(delta).select(near, far)
    }

    /// Hinge loss max(0, 1 − t·x), element by element, of scores and targets of −1 or 1.
    #[track_caller]
    pub fn hinge(self, targets: Value<'g>) -> Value<'g> {
        (1.0 - targets * self).relu()
    }

    /// Focal loss α·(1 − p)^γ·(−log p), element by element, where p is the probability that logits give to targets of 0 or 1,
    /// and α that of a target of 1, 1 − α that of 0 (Lin et al. 2017). Stable for any finite logits.
    #[track_caller]
    pub fn focal(self, targets: Value<'g>, alpha: f64, gamma: f64) -> Value<'g> {
        let is_one = targets.gt(0.5);
        // The logit of being right, so that 1 − p = σ(−x) without a difference.
        let right = is_one.select(self, -self);
        let weight = is_one.select(self.like(alpha), 1.0 - alpha);
        // (1 − p)^γ = σ(−x)^γ as a power of e: its slope is finite where the base vanishes.
        let factor = (right.softplus() * -gamma).exp();
        weight * factor * (-right).softplus()
    }

    /// self·log other, and 0 where self is 0.
    #[track_caller]
    fn times_log(self, other: Value<'g>) -> Value<'g> {
        let happens = self.gt(0.0);
        let log = happens.select(other, 1.0).log();
        happens.select(self * log, 0.0)
    }

    /// A number, repeated to the shape.
    #[track_caller]
    fn like(self, number: f64) -> Value<'g> {
        self.number(number.into()).broadcast_to(self.shape())
    }
}
