//! Losses and metrics. They are given for each example: take the [`mean`](Value::mean) to train on. What is compared has one
//! shape; nothing broadcasts.

use bespoke_tensor::DType;

use crate::Value;

impl<'g> Value<'g> {
    /// Cross-entropy −log `softmax(self)[label]` of logits `[rows,classes]` and integer labels `[rows]`: `[rows]`, accurate for
    /// any finite logits, far from zero too.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, I32};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let (logits, labels) = (g.input("logits", F32, [2, 3]), g.input("labels", I32, [2]));
    /// g.output("loss", logits.cross_entropy(labels));
    /// let logits = Tensor::from_slice([2, 3], &[0.0f32, 0.0, 0.0, 500.0, 0.0, 0.0])?;
    /// let labels = Tensor::from_slice([2], &[1i32, 0])?;
    /// let outputs = g.compile()?.run(&[("logits", &logits), ("labels", &labels)])?;
    /// let loss = outputs.get("loss").unwrap().view::<f32>()?;
    /// assert!((loss[0] - 3f32.ln()).abs() < 1e-6 && loss[1] == 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn cross_entropy(self, labels: Value<'g>) -> Value<'g> {
        if !self.is_labelled("cross_entropy", labels, Some(2)) {
            return self.spoiled();
        }
        let shifted = self.below_highest(1);
        shifted.exp().sum_axes(&[1]).log() - shifted.pick(labels)
    }

    /// Binary cross-entropy of logits and targets within [0, 1] of their shape, element by element:
    /// max(x, 0) − x·t + log(1 + e^(−|x|)), stable for any finite logits.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let (logits, targets) = (g.input("logits", F32, [8, 5]), g.input("targets", F32, [8, 5]));
    /// assert_eq!(logits.binary_cross_entropy(targets).ty().to_string(), "f32[8,5]");
    /// ```
    #[track_caller]
    pub fn binary_cross_entropy(self, targets: Value<'g>) -> Value<'g> {
        if !self.is_like("binary_cross_entropy", targets) {
            return self.spoiled();
        }
        // Each side is exact where it is used, far out too, and both have the same slope at 0.
        let (above, below) = (self * (1.0 - targets) + (-self).softplus(), self.softplus() - self * targets);
        self.gt(0.0).select(above, below)
    }

    /// (self − other)² of two of one shape, element by element; its mean is the mean squared error.
    #[track_caller]
    pub fn squared_error(self, other: Value<'g>) -> Value<'g> {
        if !self.is_like("squared_error", other) {
            return self.spoiled();
        }
        let difference = self - other;
        difference * difference
    }

    /// |self − other| of two of one shape, element by element.
    #[track_caller]
    pub fn absolute_error(self, other: Value<'g>) -> Value<'g> {
        if !self.is_like("absolute_error", other) {
            return self.spoiled();
        }
        (self - other).abs()
    }

    /// The mean squared error of two of one shape: a scalar.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let (y, t) = (g.input("y", F32, [8, 1]), g.input("t", F32, [8]));
    /// assert_eq!(y.squeeze(1).mse(t).ty().to_string(), "f32[]");
    /// y.mse(t); // would be the mean of 64 differences
    /// let error = g.finish().unwrap_err().to_string();
    /// assert!(error.ends_with("expected two of one shape, got f32[8,1] and f32[8]"), "{error}");
    /// ```
    #[track_caller]
    pub fn mse(self, other: Value<'g>) -> Value<'g> {
        self.squared_error(other).mean()
    }

    /// 1 where the greatest logit is the label's, else 0: of logits `[rows…,classes]` and integer labels `[rows…]`, `[rows…]` of
    /// f32.
    #[track_caller]
    pub fn accuracy(self, labels: Value<'g>) -> Value<'g> {
        if !self.is_labelled("accuracy", labels, None) {
            return self.spoiled();
        }
        self.argmax(-1).eq(labels.convert(DType::I32)).convert(DType::F32)
    }

    /// 1 where the greatest logit is not the label's, else 0: one minus [`Value::accuracy`].
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

    /// Cross-entropy −Σ p·log softmax(self) of logits and probabilities of one shape along the last axis, which vanishes.
    #[track_caller]
    pub fn soft_cross_entropy(self, probabilities: Value<'g>) -> Value<'g> {
        if !self.is_like("soft_cross_entropy", probabilities) {
            return self.spoiled();
        }
        -(probabilities * self.log_softmax(-1)).sum_axes(&[-1])
    }

    /// Cross-entropy −Σ p·log q along the last axis, which vanishes, of probabilities of one shape: `self` is q, what is
    /// predicted, `probabilities` p, what is true. Where p is 0, nothing is added, whatever q is; where q is 0 and p is not, the
    /// result is infinite. Of logits, [`soft_cross_entropy`](Value::soft_cross_entropy) is more accurate.
    #[track_caller]
    pub fn categorical_cross_entropy(self, probabilities: Value<'g>) -> Value<'g> {
        if !self.is_like("categorical_cross_entropy", probabilities) {
            return self.spoiled();
        }
        -probabilities.times_log(self).sum_axes(&[-1])
    }

    /// −t·log p − (1 − t)·log(1 − p) of probabilities p and targets t within [0, 1] of one shape, element by element. So that
    /// certainty costs no more than can be computed with, a logarithm is at least −100, and the gradient by p, which is
    /// (p − t) / (p·(1 − p)), divides by at least 10⁻¹², as in PyTorch. Of logits,
    /// [`binary_cross_entropy`](Value::binary_cross_entropy) is more accurate.
    #[track_caller]
    pub fn bernoulli_cross_entropy(self, targets: Value<'g>) -> Value<'g> {
        if !self.is_like("bernoulli_cross_entropy", targets) {
            return self.spoiled();
        }
        let loss = self.graph.custom("bernoulli_cross_entropy", &[self, targets], |of| {
            let [p, t] = [0, 1].map(|i| of[i]);
            let [right, wrong] = logs(p);
            -(t * right + (1.0 - t) * wrong)
        });
        let loss = loss.with_vjp(|of, _, c| {
            let [p, t] = [0, 1].map(|i| of[i]);
            let [right, wrong] = logs(p);
            vec![Some(c * (p - t) / (p * (1.0 - p)).maximum(1e-12)), Some(c * (wrong - right))]
        });
        loss.finish()
    }

    /// Entropy −Σ p·log p of probabilities along the last axis, which vanishes.
    #[track_caller]
    pub fn entropy(self) -> Value<'g> {
        -self.times_log(self).sum_axes(&[-1])
    }

    /// Kullback–Leibler divergence Σ p·log(p/q) of probabilities of one shape along the last axis, which vanishes: self is p,
    /// `other` q.
    #[track_caller]
    pub fn kl_divergence(self, other: Value<'g>) -> Value<'g> {
        if !self.is_like("kl_divergence", other) {
            return self.spoiled();
        }
        (self.times_log(self) - self.times_log(other)).sum_axes(&[-1])
    }

    /// Huber's loss of two of one shape, element by element: half the squared error up to `delta`, which is above 0, and from
    /// there on a straight line, δ·(|e| − δ/2) (Huber 1964).
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let (y, t) = (g.input("y", F32, [8]), g.input("t", F32, [8]));
    /// assert_eq!(y.huber(t, 1.0).mean().ty().to_string(), "f32[]");
    /// ```
    #[track_caller]
    pub fn huber(self, other: Value<'g>, delta: f64) -> Value<'g> {
        if !(delta > 0.0 && delta.is_finite()) {
            return self.graph.refuse(format!("huber: expected a δ above 0, got {delta}"));
        }
        if !self.is_like("huber", other) {
            return self.spoiled();
        }
        let error = self - other;
        let distance = error.abs();
        let (near, far) = (error * error * 0.5, (distance - 0.5 * delta) * delta);
        distance.le(delta).select(near, far)
    }

    /// Hinge loss max(0, 1 − t·x), element by element, of scores and targets of −1 or 1 of their shape.
    #[track_caller]
    pub fn hinge(self, targets: Value<'g>) -> Value<'g> {
        if !self.is_like("hinge", targets) {
            return self.spoiled();
        }
        (1.0 - targets * self).relu()
    }

    /// Focal loss α·(1 − p)^γ·(−log p), element by element, where p is the probability that logits give to targets of 0 or 1,
    /// and α, of 0 to 1, the weight of a target of 1, 1 − α that of 0; γ is 0 or above (Lin et al. 2017, who have α = ¼ and
    /// γ = 2). Logits and targets have one shape. Stable for any finite logits.
    #[track_caller]
    pub fn focal(self, targets: Value<'g>, alpha: f64, gamma: f64) -> Value<'g> {
        if !(0.0..=1.0).contains(&alpha) || !(0.0..f64::INFINITY).contains(&gamma) {
            let message =
                format!("focal: expected an α of 0 to 1 and a γ of 0 or above, got {alpha} and {gamma}");
            return self.graph.refuse(message);
        }
        if !self.is_like("focal", targets) {
            return self.spoiled();
        }
        let is_one = targets.gt(0.5);
        // The logit of being right, so that 1 − p = σ(−x) without a difference.
        let right = is_one.select(self, -self);
        let weight = is_one.select(self.like(alpha), 1.0 - alpha);
        // (1 − p)^γ = σ(−x)^γ as a power of e: its slope is finite where the base vanishes.
        let factor = (right.softplus() * -gamma).exp();
        weight * factor * (-right).softplus()
    }

    /// Has it the shape of the other? If not, that is kept as an error: what broadcasts is no loss of pairs.
    #[track_caller]
    fn is_like(self, what: &str, other: Value<'g>) -> bool {
        if self.id.is_none() || other.id.is_none() {
            return false;
        }
        let (ours, theirs) = (self.ty(), other.ty());
        if ours.shape != theirs.shape {
            self.graph.refuse(format!("{what}: expected two of one shape, got {ours} and {theirs}"));
        }
        ours.shape == theirs.shape
    }

    /// Are these logits of so many axes, with an integer label for each row of the last? If not, that is kept as an error.
    #[track_caller]
    fn is_labelled(self, what: &str, labels: Value<'g>, rank: Option<usize>) -> bool {
        if self.id.is_none() || labels.id.is_none() || !self.floats(what) {
            return false;
        }
        let (logits, labels) = (self.ty(), labels.ty());
        let rows = &logits.shape[..logits.rank().saturating_sub(1)];
        let fits = logits.rank() > 0
            && rank.is_none_or(|rank| rank == logits.rank())
            && labels.dtype.is_int()
            && labels.shape[..] == *rows;
        if !fits {
            let rows = if rank.is_some() { "rows" } else { "rows…" };
            self.graph.refuse(format!(
                "{what}: expected logits [{rows},classes] and integer labels [{rows}], got {logits} and {labels}"
            ));
        }
        fits
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

/// log p and log(1 − p), at least −100.
fn logs(p: Value<'_>) -> [Value<'_>; 2] {
    [p.log(), (-p).log1p()].map(|log| log.maximum(-100.0))
}
