//! Who is told what happens in training, and may change its course.

use bespoke_tensor::Tensor;

use crate::{Measured, TrainError, Training};

/// Is told of the events of [`Training::fit`]; each has something to do where it says so. An error ends training.
///
/// ```
/// use bespoke_nn::{Callback, Measured, TrainError, Training};
///
/// /// Stops once the loss is low enough.
/// struct Enough(f64);
///
/// impl Callback for Enough {
///     fn name(&self) -> &str {
///         "enough"
///     }
///     fn after_epoch(
///         &mut self,
///         training: &mut Training,
///         _: &Measured,
///         held_out: &Measured,
///     ) -> Result<(), TrainError> {
///         if held_out.loss < self.0 {
///             training.stop();
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Callback {
    /// Its name in checkpoints.
    fn name(&self) -> &str;

    /// Before the first step, also after a checkpoint was loaded.
    fn start(&mut self, _training: &mut Training) -> Result<(), TrainError> {
        Ok(())
    }

    /// Before a step.
    fn before_step(&mut self, _training: &mut Training) -> Result<(), TrainError> {
        Ok(())
    }

    /// After a step, of which `loss` was the loss.
    fn after_step(&mut self, _training: &mut Training, _loss: f64) -> Result<(), TrainError> {
        Ok(())
    }

    /// After an epoch and the measurement on held-out data.
    fn after_epoch(
        &mut self,
        _training: &mut Training,
        _train: &Measured,
        _held_out: &Measured,
    ) -> Result<(), TrainError> {
        Ok(())
    }

    /// After the last step, also if training was stopped or interrupted.
    fn end(&mut self, _training: &mut Training) -> Result<(), TrainError> {
        Ok(())
    }

    /// What it remembers, for a checkpoint.
    fn state(&self) -> Vec<(String, Tensor)> {
        vec![]
    }

    /// Remembers again what [`Callback::state`] gave.
    fn restore(&mut self, _state: &[(String, Tensor)]) -> Result<(), TrainError> {
        Ok(())
    }
}
