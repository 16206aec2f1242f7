//! Watching a figure for improvement.

use bespoke_tensor::Tensor;

use crate::{Measured, TrainError};

/// The best value so far of a figure of the held-out data, and how long ago it was.
#[derive(Clone, Debug)]
pub struct Watch {
    metric: String,
    higher_is_better: bool,
    min_delta: f64,
    best: f64,
    /// Epochs since the best.
    pub since: usize,
}

impl Watch {
    /// The held-out loss, which is better the lower.
    pub fn loss() -> Watch {
        Watch { metric: "loss".to_owned(), higher_is_better: false, min_delta: 0.0, best: f64::NAN, since: 0 }
    }

    /// Another figure, which is better the higher, or the lower.
    pub fn of(self, metric: &str, higher_is_better: bool) -> Watch {
        Watch { metric: metric.to_owned(), higher_is_better, ..self }
    }

    /// Only a change by more than this is an improvement.
    pub fn min_delta(self, min_delta: f64) -> Watch {
        Watch { min_delta, ..self }
    }

    /// Forgets what it saw.
    pub fn begin(&mut self) {
        (self.best, self.since) = (f64::NAN, 0);
    }

    /// Is this the best so far? What is no number never is.
    pub fn improved(&mut self, who: &str, measured: &Measured) -> Result<bool, TrainError> {
        let value = measured.metric(&self.metric).ok_or_else(|| {
            let known: Vec<&str> = measured.metrics.iter().map(|m| m.0.as_str()).collect();
            let known = [&["loss"], &known[..]].concat().join("`, `");
            TrainError::Data(format!("{who}: there is no metric `{}`; there are `{known}`", self.metric))
        })?;
        let gain = if self.higher_is_better { value - self.best } else { self.best - value };
        let better = !value.is_nan() && (self.best.is_nan() || gain > self.min_delta);
        if better {
            (self.best, self.since) = (value, 0);
        } else {
            self.since += 1;
        }
        Ok(better)
    }

    /// For a checkpoint.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        vec![
            ("best".to_owned(), Tensor::scalar(self.best)),
            ("since".to_owned(), Tensor::scalar(self.since as i64)),
        ]
    }

    /// From a checkpoint.
    pub fn restore(&mut self, state: &[(String, Tensor)]) {
        for (name, value) in state {
            match name.as_str() {
                "best" => self.best = value.get(0).to_f64(),
                "since" => self.since = value.get(0).to_i64().unwrap_or_default().max(0) as usize,
                _ => {}
            }
        }
    }
}
