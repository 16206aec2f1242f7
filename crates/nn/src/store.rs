//! The states of a model in training, which several programs use in turn.

use bespoke_runtime::{Executable, Outputs};
use bespoke_tensor::{Tensor, Type};

use crate::TrainError;

/// States by name. A program has those it needs for the time of a run; nothing is copied.
#[derive(Default)]
pub struct Store {
    names: Vec<String>,
    values: Vec<Tensor>,
}

impl Store {
    /// The place of a state.
    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| n == name)
    }

    /// The value of a state.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.place(name).map(|i| &self.values[i])
    }

    /// Changes a state, or adds it.
    ///
    /// # Errors
    /// [`TrainError::State`] if the value is of another type than the one there.
    pub fn set(&mut self, name: &str, value: &Tensor) -> Result<(), TrainError> {
        match self.place(name) {
            Some(i) if self.values[i].ty() != value.ty() => {
                let (expected, got) = (self.values[i].ty(), value.ty());
                return Err(TrainError::State { name: name.to_owned(), expected, got });
            }
            Some(i) => self.values[i] = value.clone(),
            None => {
                self.names.push(name.to_owned());
                self.values.push(value.clone());
            }
        }
        Ok(())
    }

    /// All states in the order they came. The values share memory until the next run.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.values)
    }

    /// The names and types.
    pub fn types(&self) -> Vec<(String, Type)> {
        self.all().map(|(name, value)| (name.to_owned(), value.ty())).collect()
    }
}

/// A program that runs on the states of a [`Store`].
pub struct Bound {
    executable: Executable,
    places: Vec<usize>,
    inputs: Vec<String>,
}

impl Bound {
    /// Binds a program to states, all of which are there.
    ///
    /// # Errors
    /// [`TrainError::State`] if one has another type in the program.
    pub fn new(executable: Executable, store: &Store) -> Result<Bound, TrainError> {
        let mut places = vec![];
        for (name, ty) in executable.states() {
            let place = store.place(name).expect("every state has a start value");
            if store.values[place].ty() != ty {
                let got = store.values[place].ty();
                return Err(TrainError::State { name: name.to_owned(), expected: ty, got });
            }
            places.push(place);
        }
        let inputs = executable.program().inputs.iter().map(|i| i.0.clone()).collect();
        Ok(Bound { executable, places, inputs })
    }

    /// Runs the program on the states, with those of the inputs that it has.
    ///
    /// # Errors
    /// Those of [`Executable::run`]; then no state has changed.
    pub fn run(&mut self, store: &mut Store, inputs: &[(&str, &Tensor)]) -> Result<Outputs, TrainError> {
        let own: Vec<(&str, &Tensor)> =
            inputs.iter().filter(|(name, _)| self.inputs.iter().any(|i| i == name)).copied().collect();
        self.executable.exchange_states(&mut store.values, &self.places)?;
        let result = self.executable.run(&own);
        self.executable.exchange_states(&mut store.values, &self.places)?;
        Ok(result?)
    }

    /// The program.
    pub fn executable(&self) -> &Executable {
        &self.executable
    }
}
