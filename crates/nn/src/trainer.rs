//! The training loop.

use std::path::Path;

use bespoke_compiler::{Config, compile};
use bespoke_data::{Dataset, batches, gather_rows};
use bespoke_graph::{Graph as Ir, NodeId};
use bespoke_runtime::Executable;
use bespoke_tensor::{DType, Tensor, Type};

use crate::{
    Graph, Optimizer, Summary, TrainError, Value, checkpoint, interrupt, optimizer,
    progress::{Epoch, Progress},
};

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs(
    /// Passes over the training data.
    pub usize,
);

/// A model with loss, optimiser and metrics, before it is compiled.
pub struct Trainer<'g> {
    loss: Value<'g>,
    optimizer: Box<dyn Optimizer>,
    metrics: Vec<(String, Value<'g>)>,
    config: Config,
    seed: u64,
}

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

impl<'g> Trainer<'g> {
    /// Trains the parameters of a scalar loss's graph. The graph has two inputs: a batch of examples, then its labels.
    pub fn new(loss: Value<'g>, optimizer: impl Optimizer + 'static) -> Trainer<'g> {
        Trainer { loss, optimizer: Box::new(optimizer), metrics: vec![], config: Config::default(), seed: 0 }
    }

    /// Also reports a value: one a row of the batch (its mean over all rows is reported), or a scalar.
    pub fn metric(mut self, name: &str, value: Value<'g>) -> Trainer<'g> {
        self.metrics.push((name.to_owned(), value));
        self
    }

    /// With other choices for the compiler.
    pub fn config(mut self, config: Config) -> Trainer<'g> {
        self.config = config;
        self
    }

    /// With this many threads; results do not depend on it.
    pub fn threads(mut self, threads: usize) -> Trainer<'g> {
        self.config.threads = threads;
        self
    }

    /// Shuffles by this seed.
    pub fn seed(mut self, seed: u64) -> Trainer<'g> {
        self.seed = seed;
        self
    }

    /// The graphs of the training step and of the query, which only measures.
    ///
    /// # Errors
    /// [`TrainError::Build`] with the first mistake made in the model.
    pub fn graphs(&self) -> Result<(Ir, Ir), TrainError> {
        let model = self.loss.graph;
        model.finish()?;
        // The update goes to a copy: the caller's graph stays the model.
        let training = Graph { inner: std::cell::RefCell::new(model.inner.borrow().clone()) };
        let loss = Value { graph: &training, id: self.loss.id };
        let mut query = model.finish()?;
        self.name_outputs(&mut query, true);
        optimizer::append(&training, loss, &*self.optimizer)?;
        let mut step = training.finish()?;
        self.name_outputs(&mut step, false);
        Ok((step, query))
    }

    /// Makes loss and metrics the outputs. In a query they are given for each row where they can be, so that the rows of
    /// a last batch that is not full can be told from its filling.
    fn name_outputs(&self, graph: &mut Ir, rows: bool) {
        graph.clear_outputs();
        let means = &self.loss.graph.inner.borrow().means;
        let by_row =
            |id: NodeId| means.get(&id).copied().filter(|m| rows && graph.ty(*m).rank() == 1).unwrap_or(id);
        let all: Vec<(String, NodeId)> = [("loss".to_owned(), self.loss)]
            .into_iter()
            .chain(self.metrics.iter().cloned())
            .filter_map(|(name, v)| v.id.map(|id| (name, by_row(id))))
            .collect();
        for (name, id) in all {
            graph
                .set_output(&name, id)
                .unwrap_or_else(|_| graph.set_output(&format!("metric {name}"), id).expect("a new name"));
        }
    }

    /// The start values of all states of the training step, by name.
    ///
    /// # Errors
    /// [`TrainError::Build`] with the first mistake made in the model.
    pub fn start_values(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        let copy = Graph { inner: std::cell::RefCell::new(self.loss.graph.inner.borrow().clone()) };
        optimizer::append(&copy, Value { graph: &copy, id: self.loss.id }, &*self.optimizer)?;
        Ok(copy.start_values())
    }

    /// Compiles the training step and the query.
    ///
    /// # Errors
    /// [`TrainError`] with the first mistake made in the model, or the stage that failed.
    pub fn compile(self) -> Result<Training, TrainError> {
        let (step, query) = self.graphs()?;
        let model = self.loss.graph;
        let inputs: Vec<(String, Type)> = step.inputs().map(|(n, id)| (n.to_owned(), step.ty(id))).collect();
        let mut training = Training {
            step: compile(&step, &self.config, &mut |_| ())?,
            query: compile(&query, &self.config, &mut |_| ())?,
            summary: Summary::of(model),
            parameters: model.parameters().into_iter().map(|p| (p.name, p.ty)).collect(),
            inputs,
            rate: self.optimizer.rate_name(),
            seed: self.seed,
            epoch: 0,
        };
        for (name, value) in self.start_values()? {
            training.step.set_state(&name, &value)?;
        }
        Ok(training)
    }
}

/// A compiled model in training: the step's program, the query's, and the states.
pub struct Training {
    step: Executable,
    query: Executable,
    summary: Summary,
    parameters: Vec<(String, Type)>,
    inputs: Vec<(String, Type)>,
    rate: &'static str,
    seed: u64,
    epoch: usize,
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
        Ok(self.step.set_state(self.rate, &optimizer::rate_value(rate))?)
    }

    /// Trains, and measures on held-out data after each epoch. Shows progress: a bar on a terminal, else a line an epoch.
    /// Rows that do not fill a last batch take part in another epoch's order. ^C ends training after the step.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the data do not fit the model, [`TrainError::NotFinite`] if the loss is no number any more;
    /// then the parameters are those from before the epoch.
    pub fn fit(
        &mut self,
        train: &Dataset,
        held_out: &Dataset,
        epochs: Epochs,
    ) -> Result<History, TrainError> {
        let batch = self.check(train)?;
        self.check(held_out)?;
        if train.len() < batch {
            return Err(TrainError::Data(format!(
                "{}: {} rows do not fill a batch of {batch}",
                train.name,
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
        train: &Dataset,
        batch: usize,
        epoch: usize,
        progress: &Progress,
    ) -> Result<Measured, TrainError> {
        let mut order =
            batches(train, batch, Some(self.seed), self.epoch as u64).map_err(data_error)?.drop_last();
        let (mut x, mut y) = (Tensor::zeros(self.inputs[0].1), Tensor::zeros(self.label_type()));
        let mut sums: Vec<(String, f64)> = vec![];
        let mut steps = 0;
        while let Some(rows) = order.next_rows() {
            gather_rows(&train.inputs, rows, &mut x).map_err(data_error)?;
            gather_rows(&train.labels, rows, &mut y).map_err(data_error)?;
            let labels = convert(&y, self.inputs[1].1);
            let outputs = self.step.run(&[(&self.inputs[0].0, &x), (&self.inputs[1].0, &labels)])?;
            steps += 1;
            for (i, (name, value)) in outputs.iter().enumerate() {
                let mean = mean_of_rows(value, batch);
                if i == 0 && !mean.is_finite() {
                    return Err(TrainError::NotFinite { loss: mean, step: steps, epoch });
                }
                match sums.get_mut(i) {
                    Some(sum) => sum.1 += mean,
                    None => sums.push((name.to_owned(), mean)),
                }
            }
            progress.step(epoch, &sums, steps);
            if interrupt::requested() {
                break;
            }
        }
        Ok(measured(sums.into_iter().map(|(n, s)| (n, s / steps as f64)).collect()))
    }

    /// The mean loss and metrics on data, without learning.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the data do not fit the model.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Measured, TrainError> {
        let batch = self.check(data)?;
        for (name, _) in self.parameters.clone() {
            let value = self.step.state(&name).expect("every parameter is a state of the step");
            self.query.set_state(&name, &value)?;
        }
        let (mut x, mut y) = (Tensor::zeros(self.inputs[0].1), Tensor::zeros(self.label_type()));
        let mut sums: Vec<(String, f64)> = vec![];
        for start in (0..data.len()).step_by(batch) {
            let count = batch.min(data.len() - start);
            // A last batch that is not full is filled with its first row, which is not counted again.
            let rows: Vec<usize> = (0..batch).map(|i| if i < count { start + i } else { start }).collect();
            gather_rows(&data.inputs, &rows, &mut x).map_err(data_error)?;
            gather_rows(&data.labels, &rows, &mut y).map_err(data_error)?;
            let labels = convert(&y, self.inputs[1].1);
            let outputs = self.query.run(&[(&self.inputs[0].0, &x), (&self.inputs[1].0, &labels)])?;
            for (i, (name, value)) in outputs.iter().enumerate() {
                let sum = mean_of_rows(value, count) * count as f64;
                match sums.get_mut(i) {
                    Some(total) => total.1 += sum,
                    None => sums.push((name.to_owned(), sum)),
                }
            }
        }
        let total = data.len().max(1) as f64;
        Ok(measured(sums.into_iter().map(|(n, s)| (n, s / total)).collect()))
    }

    /// The labels' type as data sets hold them.
    fn label_type(&self) -> Type {
        Type::new(DType::I32, self.inputs[1].1.shape)
    }

    /// Does the data set fit the model's inputs? Gives the batch.
    fn check(&self, data: &Dataset) -> Result<usize, TrainError> {
        let [(x_name, x), (y_name, y)] = &self.inputs[..] else {
            let count = self.inputs.len();
            return Err(TrainError::Data(format!(
                "the model has {count} inputs, expected two: examples and labels"
            )));
        };
        let given = data.inputs.ty();
        if x.rank() == 0 || given.dtype != x.dtype || given.shape[1..] != x.shape[1..] {
            return Err(TrainError::Data(format!(
                "input `{x_name}` is a batch {x}, {} are {given}",
                data.name
            )));
        }
        let batch = x.shape[0];
        if y.shape[..] != [batch] || !y.dtype.is_int() {
            let message = format!("input `{y_name}`: expected integer labels [{batch}], the model has {y}");
            return Err(TrainError::Data(message));
        }
        Ok(batch)
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

    /// Loads the parameters. Nothing changes if one is missing or of another type.
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or does not fit the model.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        for (name, value) in checkpoint::load(path.as_ref(), &self.parameters)? {
            self.step.set_state(&name, &value)?;
        }
        Ok(())
    }
}

fn measured(mut values: Vec<(String, f64)>) -> Measured {
    let loss = values.remove(0).1;
    Measured { loss, metrics: values }
}

/// The mean of the first rows of a value a row, or the scalar.
fn mean_of_rows(value: &Tensor, rows: usize) -> f64 {
    if value.ty().rank() == 0 {
        return value.get(0).to_f64();
    }
    let per_row = value.elements() / value.shape()[0].max(1);
    let count = rows * per_row;
    (0..count).map(|i| value.get(i).to_f64()).sum::<f64>() / count.max(1) as f64
}

fn convert(labels: &Tensor, ty: Type) -> Tensor {
    if labels.ty() == ty { labels.clone() } else { Tensor::from_fn(ty, |i| labels.get(i)) }
}

fn data_error(error: impl std::fmt::Display) -> TrainError {
    TrainError::Data(error.to_string())
}
