//! The training loop.

use std::path::Path;

use bespoke_data::{Dataset, permutation};
use bespoke_runtime::Executable;
use bespoke_tensor::{Tensor, Type};

use crate::{
    Summary, TrainError, checkpoint,
    feed::{Feed, Sums},
    interrupt, optimizer,
    progress::{Epoch, Progress},
};

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs(
    /// Passes over the training data.
    pub usize,
);

/// What is observed of one partition in one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The mean loss.
    pub loss: f64,
    /// The mean of each metric, by name.
    pub metrics: Vec<(String, f64)>,
}

impl Measured {
    /// The metric of this name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|m| m.0 == name).map(|m| m.1)
    }
}

/// What happened in training, an entry an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// On the training data, while they were learned.
    pub train: Vec<Measured>,
    /// On held-out data, after the epoch.
    pub held_out: Vec<Measured>,
    /// Was training stopped by ^C?
    pub interrupted: bool,
}

/// A compiled model in training: the step's program, the query's, and the states.
pub struct Training {
    pub(crate) step: Executable,
    pub(crate) query: Executable,
    pub(crate) summary: Summary,
    pub(crate) parameters: Vec<(String, Type)>,
    pub(crate) inputs: Vec<(String, Type)>,
    /// For each input that is used as index, how many positions it may point to.
    pub(crate) classes: Vec<(String, usize)>,
    pub(crate) rate: String,
    pub(crate) seed: u64,
    /// Epochs done in all calls of `fit`, so that each has an order of its own.
    pub(crate) epoch: usize,
}

impl Training {
    /// Layers, shapes, parameters and work.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The program of the training step.
    pub fn step(&mut self) -> &mut Executable {
        &mut self.step
    }

    /// Sets the learning rate from now on; nothing is compiled anew.
    ///
    /// # Errors
    /// Never, for the optimisers of this crate.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), TrainError> {
        Ok(self.step.set_state(&self.rate, &optimizer::rate_value(rate))?)
    }

    /// Trains, and measures on held-out data after each epoch. Shows progress: a bar on a terminal, else a line an epoch.
    /// Rows that do not fill a last batch take part in another epoch's order. ^C ends training after the step.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the data do not fit the model, [`TrainError::NotFinite`] if the loss is no number any more;
    /// then the parameters are those from before the epoch.
    pub fn fit(
        &mut self,
        train: &dyn Dataset,
        held_out: &dyn Dataset,
        epochs: Epochs,
    ) -> Result<History, TrainError> {
        let batch = Feed::new(&self.inputs, &self.classes, train)?.batch();
        Feed::new(&self.inputs, &self.classes, held_out)?;
        if train.len() < batch {
            return Err(TrainError::Data(format!(
                "{}: {} rows do not fill a batch of {batch}",
                train.name(),
                train.len()
            )));
        }
        interrupt::listen();
        let mut history = History::default();
        let progress = Progress::new(epochs.0, train.len() / batch, batch);
        for epoch in 1..=epochs.0 {
            let before = self.states();
            let measured = match self.epoch(train, batch, epoch, &progress) {
                Ok(measured) => measured,
                Err(error) => {
                    self.restore(&before)?;
                    return Err(error);
                }
            };
            self.epoch += 1;
            history.interrupted = interrupt::requested();
            history.train.push(measured);
            let measured = self.evaluate(held_out)?;
            let train = history.train.last().expect("pushed above");
            progress.finish_epoch(&Epoch { number: epoch, train, held_out: &measured });
            history.held_out.push(measured);
            if history.interrupted {
                progress.note("interrupted: training stops here");
                break;
            }
        }
        Ok(history)
    }

    fn epoch(
        &mut self,
        train: &dyn Dataset,
        batch: usize,
        epoch: usize,
        progress: &Progress,
    ) -> Result<Measured, TrainError> {
        let order = permutation(train.len(), self.seed, self.epoch as u64);
        let mut feed = Feed::new(&self.inputs, &self.classes, train)?;
        let mut sums = Sums::default();
        for rows in order.chunks_exact(batch) {
            let outputs = self.step.run(&feed.fill(rows)?)?;
            let loss = sums.add(&outputs, batch, batch);
            if !loss.is_finite() {
                return Err(TrainError::NotFinite { loss, step: sums.batches, epoch });
            }
            progress.step(epoch, &sums);
            if interrupt::requested() {
                break;
            }
        }
        Ok(sums.measured())
    }

    /// The mean loss and metrics on data, without learning. A value that is no mean over rows, such as a loss with a
    /// penalty added, is averaged over the full batches alone if there are any.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the data do not fit the model.
    pub fn evaluate(&mut self, data: &dyn Dataset) -> Result<Measured, TrainError> {
        let mut feed = Feed::new(&self.inputs, &self.classes, data)?;
        let batch = feed.batch();
        let names: Vec<String> = self.query.states().map(|s| s.0.to_owned()).collect();
        for name in names {
            let value = self.step.state(&name).expect("the step has every state of the query");
            self.query.set_state(&name, &value)?;
        }
        let mut sums = Sums::default();
        for start in (0..data.len()).step_by(batch) {
            // A last batch that is not full is filled from the start, with rows that are not counted again.
            let rows: Vec<usize> = (start..start + batch).map(|row| row % data.len()).collect();
            let outputs = self.query.run(&feed.fill(&rows)?)?;
            sums.add(&outputs, batch.min(data.len() - start), batch);
        }
        Ok(sums.measured())
    }

    fn states(&self) -> Vec<(String, Tensor)> {
        let names: Vec<String> = self.step.states().map(|s| s.0.to_owned()).collect();
        names.into_iter().filter_map(|n| self.step.state(&n).map(|v| (n, v))).collect()
    }

    fn restore(&mut self, states: &[(String, Tensor)]) -> Result<(), TrainError> {
        for (name, value) in states {
            self.step.set_state(name, value)?;
        }
        Ok(())
    }

    /// The parameters by name.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let value = |n: &String| self.step.state(n).expect("every parameter is a state of the step");
        self.parameters.iter().map(|(n, _)| (n.clone(), value(n))).collect()
    }

    /// Saves the parameters as safetensors, beside the file first: it is whole or as it was.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        checkpoint::save(path.as_ref(), &self.parameters())
    }

    /// Saves all states: the parameters, and what the optimiser and random draws remember. [`Training::load`] and
    /// [`Query::load`](crate::Query::load) read the parameters from it too.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be written.
    pub fn save_states(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        checkpoint::save(path.as_ref(), &self.states())
    }

    /// Loads what [`Training::save_states`] wrote. Nothing changes if a state is missing or of another type.
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or does not fit the model and optimiser.
    pub fn load_states(&mut self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let wanted: Vec<(String, Type)> = self.step.states().map(|s| (s.0.to_owned(), s.1)).collect();
        let states = checkpoint::load(path.as_ref(), &wanted)?;
        self.restore(&states)
    }

    /// Loads the parameters. Nothing changes if one is missing or of another type.
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or does not fit the model.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let parameters = checkpoint::load(path.as_ref(), &self.parameters)?;
        self.restore(&parameters)
    }
}
