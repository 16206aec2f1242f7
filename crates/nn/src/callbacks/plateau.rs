//! Learning rates that follow what held-out data say.

use bespoke_tensor::Tensor;

use super::watch::Watch;
use crate::{Callback, Measured, TrainError, Training};

/// Multiplies the learning rate by a factor once a figure of the held-out data, by default the loss, has not improved for `patience`
/// epochs; then waits as long again. As ResNet was trained (He et al. 2016), and as PyTorch's `ReduceLROnPlateau` does with a
/// patience of one less. Each call of [`Training::fit`] that goes on with no other begins anew.
#[derive(Clone, Debug)]
pub struct ReduceOnPlateau {
    watch: Watch,
    factor: f64,
    patience: usize,
    lowest: f64,
}

impl ReduceOnPlateau {
    /// With a factor within (0, 1), after so many epochs without improvement, at least 1.
    pub fn new(factor: f64, patience: usize) -> ReduceOnPlateau {
        ReduceOnPlateau { watch: Watch::loss(), factor, patience: patience.max(1), lowest: 0.0 }
    }

    /// Watches another figure of the held-out data, which is better the higher, or the lower.
    pub fn metric(self, name: &str, higher_is_better: bool) -> ReduceOnPlateau {
        ReduceOnPlateau { watch: self.watch.of(name, higher_is_better), ..self }
    }

    /// Only a change by more than this is an improvement.
    pub fn min_delta(self, min_delta: f64) -> ReduceOnPlateau {
        ReduceOnPlateau { watch: self.watch.min_delta(min_delta), ..self }
    }

    /// Never brings the rate below this one.
    pub fn lowest(self, rate: f64) -> ReduceOnPlateau {
        ReduceOnPlateau { lowest: rate, ..self }
    }
}

impl Callback for ReduceOnPlateau {
    fn name(&self) -> &str {
        "reduce_on_plateau"
    }

    fn start(&mut self, training: &mut Training) -> Result<(), TrainError> {
        if !training.position.resumed {
            self.watch.begin();
        }
        Ok(())
    }

    fn after_epoch(
        &mut self,
        training: &mut Training,
        _: &Measured,
        held_out: &Measured,
    ) -> Result<(), TrainError> {
        if !self.watch.improved("reduce on plateau", held_out)? && self.watch.since >= self.patience {
            self.watch.since = 0;
            training.scale_learning_rate(self.factor, self.lowest)?;
        }
        Ok(())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.watch.state()
    }

    fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), TrainError> {
        self.watch.restore(state);
        Ok(())
    }
}
