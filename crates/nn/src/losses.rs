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

    /// 1 where the greatest logit is the label's, else 0: `[rows]` of f32.
    #[track_caller]
    pub fn accuracy(self, labels: Value<'g>) -> Value<'g> {
        self.argmax(-1).eq(labels.convert(DType::I32)).convert(DType::F32)
    }
}
