//! Stopping when held-out data say so.

use bespoke_tensor::Tensor;

use super::watch::Watch;
use crate::{Callback, Measured, TrainError, Training};

/// Ends training once a figure of the held-out data, by default the loss, has not improved for `patience` epochs (Prechelt 1998), and
/// puts all states back to those of the best epoch when all callbacks were told of the end: checkpoints hold the last ones. Each
/// call of [`Training::fit`] that goes on with no other begins anew.
///
/// ```
/// use bespoke_nn::EarlyStopping;
///
/// let stopping = EarlyStopping::new(5).metric("accuracy", true).min_delta(1e-3);
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    watch: Watch,
    patience: usize,
    restores: bool,
    best: Vec<(String, Tensor)>,
}

impl EarlyStopping {
    /// Waits so many epochs without improvement, at least 1.
    pub fn new(patience: usize) -> EarlyStopping {
        EarlyStopping { watch: Watch::loss(), patience: patience.max(1), restores: true, best: vec![] }
    }

    /// Watches another figure of the held-out data, which is better the higher, or the lower.
    pub fn metric(self, name: &str, higher_is_better: bool) -> EarlyStopping {
        EarlyStopping { watch: self.watch.of(name, higher_is_better), ..self }
    }

    /// Only a change by more than this is an improvement.
    pub fn min_delta(self, min_delta: f64) -> EarlyStopping {
        EarlyStopping { watch: self.watch.min_delta(min_delta), ..self }
    }

    /// Leaves the states as they are at the end.
    pub fn keep_last(self) -> EarlyStopping {
        EarlyStopping { restores: false, ..self }
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> &str {
        "early_stopping"
    }

    fn start(&mut self, training: &mut Training) -> Result<(), TrainError> {
        if !training.position.resumed {
            self.watch.begin();
            self.best.clear();
        } else if self.watch.since >= self.patience {
            training.stop();
        }
        Ok(())
    }

    fn after_epoch(
        &mut self,
        training: &mut Training,
        _: &Measured,
        held_out: &Measured,
    ) -> Result<(), TrainError> {
        if self.watch.improved("early stopping", held_out)? {
            if self.restores {
                self.best = training.states();
            }
        } else if self.watch.since >= self.patience {
            training.stop();
        }
        Ok(())
    }

    fn end(&mut self, training: &mut Training) -> Result<(), TrainError> {
        training.put_back = self.best.clone();
        Ok(())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let best = self.best.iter().map(|(name, value)| (format!("best/{name}"), value.clone()));
        self.watch.state().into_iter().chain(best).collect()
    }

    fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), TrainError> {
        self.watch.restore(state);
        let best = state
            .iter()
            .filter_map(|(name, v)| name.strip_prefix("best/").map(|n| (n.to_owned(), v.clone())));
        self.best = best.collect();
        Ok(())
    }
}
