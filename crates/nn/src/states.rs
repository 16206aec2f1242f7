//! What has states that can be read and set by name.

use bespoke_runtime::Executable;
use bespoke_tensor::Tensor;

use crate::{Query, TrainError, Training};

/// A program with its states, or several that share theirs.
pub trait States {
    /// The names of the states.
    fn state_names(&self) -> Vec<String>;

    /// The value of a state.
    fn state(&self, name: &str) -> Option<Tensor>;

    /// Changes a state.
    ///
    /// # Errors
    /// [`TrainError`] if there is none of this name, or it is of another type.
    fn set_state(&mut self, name: &str, value: &Tensor) -> Result<(), TrainError>;
}

impl States for Executable {
    fn state_names(&self) -> Vec<String> {
        self.states().map(|s| s.0.to_owned()).collect()
    }

    fn state(&self, name: &str) -> Option<Tensor> {
        Executable::state(self, name)
    }

    fn set_state(&mut self, name: &str, value: &Tensor) -> Result<(), TrainError> {
        Ok(Executable::set_state(self, name, value)?)
    }
}

impl States for Query {
    fn state_names(&self) -> Vec<String> {
        self.executable.state_names()
    }

    fn state(&self, name: &str) -> Option<Tensor> {
        self.executable.state(name)
    }

    fn set_state(&mut self, name: &str, value: &Tensor) -> Result<(), TrainError> {
        States::set_state(&mut self.executable, name, value)
    }
}

impl States for Training {
    fn state_names(&self) -> Vec<String> {
        self.states().into_iter().map(|s| s.0).collect()
    }

    fn state(&self, name: &str) -> Option<Tensor> {
        Training::state(self, name)
    }

    fn set_state(&mut self, name: &str, value: &Tensor) -> Result<(), TrainError> {
        Training::set_state(self, name, value)
    }
}
