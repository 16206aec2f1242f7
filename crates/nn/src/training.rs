//! The training loop.

use std::{ops::ControlFlow, path::PathBuf};

use bespoke_data::{Batch, Dataset, Loader, Subset, Transform};
use bespoke_runtime::{Executable, Outputs};
use bespoke_tensor::{Tensor, Type};

use crate::{
    Callback, Summary, TrainError, anomaly, interrupt,
    metric::Finish,
    optimizer,
    programs::Family,
    progress::{Epoch, Progress},
    store::Store,
    sums::Sums,
};

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs(
    /// Passes over the training data.
    pub usize,
);

/// How long to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps(
    /// Batches to learn from; held-out data are measured at the end of each epoch and after the last.
    pub usize,
);

/// When training ends: see [`Epochs`] and [`Steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    epochs: usize,
    steps: usize,
}

impl From<Epochs> for Until {
    fn from(epochs: Epochs) -> Until {
        Until { epochs: epochs.0, steps: usize::MAX }
    }
}

impl From<Steps> for Until {
    fn from(steps: Steps) -> Until {
        Until { epochs: usize::MAX, steps: steps.0 }
    }
}

/// What is observed of one partition in one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The mean loss.
    pub loss: f64,
    /// The mean of each metric, by name.
    pub metrics: Vec<(String, f64)>,
    /// The tables, such as confusion matrices, by name.
    pub tables: Vec<(String, Tensor)>,
}

impl Measured {
    /// The metric of this name; `loss` is the loss.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let loss = (name == "loss").then_some(self.loss);
        loss.or_else(|| self.metrics.iter().find(|m| m.0 == name).map(|m| m.1))
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Tensor> {
        self.tables.iter().find(|t| t.0 == name).map(|t| &t.1)
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

/// A compiled model in training: the programs of step and query, and the states.
pub struct Training {
    pub(crate) store: Store,
    pub(crate) family: Family,
    summary: Summary,
    pub(crate) parameters: Vec<(String, Type)>,
    /// The parameters that PyTorch keeps transposed.
    pub(crate) transposed: Vec<String>,
    finishes: Vec<(String, Finish)>,
    /// The states that hold the learning rates: the first's and the players'.
    rates: Vec<String>,
    pub(crate) seed: u64,
    detect: bool,
    pub(crate) callbacks: Vec<Box<dyn Callback>>,
    pub(crate) transform: Option<Box<dyn Transform>>,
    pub(crate) position: Position,
    /// What the epoch has given so far, if we are within one.
    pub(crate) sums: Sums,
    stopping: bool,
    /// Checkpoints that callbacks asked for: what to write, and what to remove then.
    pub(crate) requested: Vec<(PathBuf, Vec<PathBuf>)>,
    /// States that training ends with in place of its last.
    pub(crate) put_back: Vec<(String, Tensor)>,
}

/// How far training has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Epochs that are over, in all calls of [`Training::fit`], so that each has an order of its own.
    pub epoch: usize,
    /// Batches of the current epoch that were learned.
    pub batch: usize,
    /// Steps in all.
    pub step: usize,
    /// The epoch and step that the call of `fit` began at.
    pub(crate) began: (usize, usize),
    /// Is the next call of `fit` to go on with that one?
    pub(crate) resumed: bool,
}

impl Training {
    #[allow(clippy::too_many_arguments)] // the parts that `Trainer::compile` makes
    pub(crate) fn new(
        store: Store,
        family: Family,
        summary: Summary,
        parameters: Vec<(String, Type)>,
        finishes: Vec<(String, Finish)>,
        rates: Vec<String>,
        seed: u64,
        detect: bool,
    ) -> Training {
        Training {
            store,
            family,
            summary,
            parameters,
            transposed: vec![],
            finishes,
            rates,
            seed,
            detect,
            callbacks: vec![],
            transform: None,
            position: Position::default(),
            sums: Sums::default(),
            stopping: false,
            requested: vec![],
            put_back: vec![],
        }
    }

    /// Layers, shapes, parameters and work.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The program of the training step, to look into; that of the first player if there are several. States are kept
    /// outside of it: see [`Training::state`].
    pub fn program(&mut self) -> &Executable {
        self.family.whole().steps[0].executable()
    }

    /// How far training has come.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The learning rate; of several players, the first's.
    pub fn learning_rate(&self) -> f64 {
        self.store.get(&self.rates[0]).map_or(f64::NAN, |rate| rate.get(0).to_f64())
    }

    /// Multiplies the learning rate, of each player its own, from now on. It is no lower than `lowest`, unless it was.
    ///
    /// # Errors
    /// Never, for the optimisers of this crate.
    pub fn scale_learning_rate(&mut self, factor: f64, lowest: f64) -> Result<(), TrainError> {
        for name in &self.rates {
            let rate = self.store.get(name).map_or(f64::NAN, |rate| rate.get(0).to_f64());
            self.store.set(name, &optimizer::rate_value((rate * factor).max(lowest.min(rate))))?;
        }
        Ok(())
    }

    /// Calls `f` with the moving averages of the parameters in their place, which [`Update::average`](crate::Update::average) keeps:
    /// to evaluate with them, or to save them.
    ///
    /// ```
    /// # use bespoke_data::TensorDataset;
    /// # use bespoke_nn::{F32, Graph, Sgd, Trainer, Update};
    /// # use bespoke_tensor::Tensor;
    /// let g = Graph::new();
    /// let loss = g.input("x", F32, [4, 2]).dense(1).pow(2.0).mean();
    /// let mut training = Trainer::new(loss, Update::new(Sgd::new(0.1)).average(0.9)).compile()?;
    /// # let data = TensorDataset::new("ones", [("x", Tensor::full([8, 2], 1.0f32))])?;
    /// let figures = training.with_averages(|training| training.evaluate(&data))??;
    /// // training.with_averages(|training| training.save("averages.safetensors"))??;
    /// # assert!(figures.loss.is_finite());
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Data`] if there are none.
    pub fn with_averages<T>(&mut self, f: impl FnOnce(&mut Training) -> T) -> Result<T, TrainError> {
        let averages = crate::averages(self.states());
        if averages.is_empty() {
            let message = "averages: there are none of the parameters; Update::average keeps them";
            return Err(TrainError::Data(message.to_owned()));
        }
        let own = averages.iter().filter_map(|(name, _)| Some((name.clone(), self.state(name)?)));
        let own: Vec<(String, Tensor)> = own.collect();
        self.restore(&averages)?;
        let result = f(self);
        self.restore(&own)?;
        Ok(result)
    }

    /// Sets the learning rate from now on, of all players; nothing is compiled anew.
    ///
    /// # Errors
    /// Never, for the optimisers of this crate.
    pub fn set_learning_rate(&mut self, rate: f64) -> Result<(), TrainError> {
        let value = optimizer::rate_value(rate);
        self.rates.iter().try_for_each(|name| self.store.set(name, &value))
    }

    /// Is told what happens in training, after those told before.
    pub fn callback(&mut self, callback: impl Callback + 'static) {
        self.callbacks.push(Box::new(callback));
    }

    /// Ends the current call of [`Training::fit`] after the step.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Learns from one batch, given as the inputs of the graph; gives loss and metrics.
    ///
    /// # Errors
    /// [`TrainError::Run`] if an input is missing or of another type.
    pub fn step(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Outputs, TrainError> {
        let mut results = vec![];
        for step in &mut self.family.whole().steps {
            results.push(step.run(&mut self.store, inputs)?);
        }
        self.position.step += 1;
        Ok(results.swap_remove(0))
    }

    /// Trains, and measures on held-out data after each epoch. Shows progress: a bar on a terminal, else a line an epoch.
    /// Examples that do not fill a last batch are learned by a program of their own ([`Trainer::of`](crate::Trainer::of)), or
    /// take part in another epoch's order. ^C ends training after the step.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the data do not fit the model, [`TrainError::NotFinite`] or [`TrainError::Anomaly`] if the loss is
    /// no number any more, and those of callbacks. Within an epoch, the states are put back to those before it.
    pub fn fit(
        &mut self,
        train: &dyn Dataset,
        held_out: &dyn Dataset,
        until: impl Into<Until>,
    ) -> Result<History, TrainError> {
        let mut callbacks = std::mem::take(&mut self.callbacks);
        let transform = self.transform.take();
        let mut loader = Loader::new(train, self.family.rows()).shuffle(self.seed);
        if !self.family.grows() {
            loader = loader.drop_last();
        }
        if let Some(transform) = &transform {
            loader = loader.augment(&**transform);
        }
        let result = self.run(&loader, train, held_out, until.into(), &mut callbacks);
        drop(loader);
        self.transform = transform;
        // Behind these are those that were added meanwhile.
        callbacks.append(&mut self.callbacks);
        self.callbacks = callbacks;
        result
    }

    fn run(
        &mut self,
        loader: &Loader<'_>,
        train: &dyn Dataset,
        held_out: &dyn Dataset,
        until: Until,
        callbacks: &mut [Box<dyn Callback>],
    ) -> Result<History, TrainError> {
        let batch = self.family.rows();
        let feed = self.family.whole().feed(train.name(), &loader.fields()?)?;
        self.family.whole().feed(held_out.name(), held_out.fields())?;
        if held_out.is_empty() {
            return Err(TrainError::Data(format!("{}: there are no rows", held_out.name())));
        }
        if loader.batches() == 0 {
            let (name, rows) = (train.name(), train.len());
            return Err(TrainError::Data(format!("{name}: {rows} rows do not fill a batch of {batch}")));
        }
        interrupt::listen();
        self.stopping = false;
        self.requested.clear();
        self.put_back.clear();
        if !self.position.resumed {
            self.position.began = (self.position.epoch, self.position.step);
        }
        let (first, begin) = self.position.began;
        let last_step = begin.saturating_add(until.steps);
        let per_epoch = loader.batches();
        // The first epoch may have begun before this call.
        let learned = (self.position.epoch - first) * per_epoch + self.position.batch;
        let batches = until.steps.saturating_add(learned.saturating_sub(self.position.step - begin));
        let epochs = until.epochs.min(batches.div_ceil(per_epoch));
        let progress =
            Progress::new(epochs, until.steps.min(epochs.saturating_mul(per_epoch)), per_epoch, batch);
        progress.skip(self.position.step - begin);
        let mut history = History::default();
        tell(self, callbacks, |callback, training| callback.start(training))?;
        self.position.resumed = false;
        let mut round =
            Round { feeds: vec![feed], name: train.name().to_owned(), last_step, first, progress: &progress };
        while self.position.epoch - first < epochs && self.position.step < last_step && !self.stopping {
            let before = (self.states(), self.position, self.sums.clone());
            let number = self.position.epoch as u64;
            let outcome =
                loader.run(number, self.position.batch, |batch| self.learn(batch, &mut round, callbacks));
            if let Err(error) = outcome {
                self.restore(&before.0)?;
                (self.position, self.sums) = (before.1, before.2);
                return Err(error);
            }
            let train = self.sums.measured(&self.finishes);
            let steps = self.position.batch;
            if steps >= per_epoch {
                self.position = Position { epoch: self.position.epoch + 1, batch: 0, ..self.position };
                self.sums = Sums::default();
            }
            history.interrupted = interrupt::requested();
            let measured = self.evaluate(held_out)?;
            if !measured.loss.is_finite() && self.is_spoiled_since(&before.0) {
                let epoch = before.1.epoch - first + 1;
                self.restore(&before.0)?;
                (self.position, self.sums) = (before.1, before.2);
                return Err(TrainError::NotFinite { loss: measured.loss, step: steps, epoch });
            }
            let number = (self.position.step - begin).div_ceil(per_epoch).max(1);
            progress.finish_epoch(&Epoch { number, train: &train, held_out: &measured });
            if !history.interrupted || steps >= per_epoch {
                tell(self, callbacks, |callback, training| {
                    callback.after_epoch(training, &train, &measured)
                })?;
            }
            history.train.push(train);
            history.held_out.push(measured);
            if history.interrupted {
                progress.note("interrupted: training stops here");
                break;
            }
        }
        tell(self, callbacks, |callback, training| callback.end(training))?;
        let put_back = std::mem::take(&mut self.put_back);
        self.restore(&put_back)?;
        Ok(history)
    }

    /// Is a state not finite that was so before? What a last step spoils no loss of the epoch shows.
    fn is_spoiled_since(&self, before: &[(String, Tensor)]) -> bool {
        let mut pairs = self.store.all().zip(before);
        pairs.any(|((_, now), (_, then))| !anomaly::is_finite(now) && anomaly::is_finite(then))
    }

    /// One step of `fit`.
    fn learn(
        &mut self,
        batch: &Batch,
        round: &mut Round<'_>,
        callbacks: &mut [Box<dyn Callback>],
    ) -> Result<ControlFlow<()>, TrainError> {
        tell(self, callbacks, |callback, training| callback.before_step(training))?;
        let programs = self.family.of_rows(batch.rows, &self.store)?;
        let feed = match round.feeds.iter().position(|f| f.rows() == batch.rows) {
            Some(at) => &mut round.feeds[at],
            None => {
                let feed = programs.feed(&round.name, batch.described())?;
                round.feeds.push(feed);
                round.feeds.last_mut().expect("pushed above")
            }
        };
        let inputs = feed.inputs(batch)?;
        let mut loss = f64::NAN;
        for (number, step) in programs.steps.iter_mut().enumerate() {
            let before: Option<Vec<_>> =
                self.detect.then(|| self.store.all().map(|(n, v)| (n.to_owned(), v.clone())).collect());
            let outputs = step.run(&mut self.store, &inputs)?;
            self.sums.add(&outputs, batch.rows, batch.rows);
            let own = outputs.iter().next().map_or(f64::NAN, |o| o.1.get(0).to_f64());
            loss = if number == 0 { own } else { loss };
            let is_sound =
                own.is_finite() && (!self.detect || self.store.all().all(|(_, v)| anomaly::is_finite(v)));
            if !is_sound {
                let place = (batch.number + 1, self.position.epoch - round.first + 1);
                let graph = &programs.graphs[number];
                return Err(anomaly::explain(graph, before.as_deref(), &inputs, own, place));
            }
        }
        feed.release(batch);
        self.position.batch += 1;
        self.position.step += 1;
        tell(self, callbacks, |callback, training| callback.after_step(training, loss))?;
        let figures = &mut || self.sums.measured(&self.finishes);
        round.progress.step(self.position.epoch - round.first + 1, figures);
        let enough = self.stopping || self.position.step >= round.last_step || interrupt::requested();
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The mean loss and metrics on data, without learning. Where the model has a program for one size of batch only, a value that
    /// is no mean over rows, such as a loss with a penalty added, is averaged over the full batches alone if there are any.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the data do not fit the model.
    pub fn evaluate(&mut self, data: &dyn Dataset) -> Result<Measured, TrainError> {
        let (batch, grows) = (self.family.rows(), self.family.grows());
        let mut feed = self.family.whole().feed(data.name(), data.fields())?;
        if data.is_empty() {
            return Err(TrainError::Data(format!("{}: there are no rows", data.name())));
        }
        // A last batch that is not full is filled from the start, with rows that are not counted again.
        let filled = if grows { data.len() } else { data.len().next_multiple_of(batch) };
        let rows = Subset::new(data, (0..filled).map(|row| row % data.len()).collect())?;
        let mut sums = Sums::default();
        Loader::new(&rows, batch).run(0, 0, |batch| -> Result<_, TrainError> {
            let programs = self.family.of_rows(batch.rows, &self.store)?;
            if feed.rows() != batch.rows {
                feed = programs.feed(data.name(), data.fields())?;
            }
            let outputs = programs.query.run(&mut self.store, &feed.inputs(batch)?)?;
            let own = batch.rows.min(data.len() - batch.examples[0]);
            sums.add(&outputs, own, batch.rows);
            feed.release(batch);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sums.measured(&self.finishes))
    }

    /// All states by name: parameters, and what optimiser, layers and random draws remember.
    pub fn states(&self) -> Vec<(String, Tensor)> {
        self.store.all().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// The value of a state.
    pub fn state(&self, name: &str) -> Option<Tensor> {
        self.store.get(name).cloned()
    }

    /// Changes a state.
    ///
    /// # Errors
    /// [`TrainError::State`] if there is none of this name, or it is of another type.
    pub fn set_state(&mut self, name: &str, value: &Tensor) -> Result<(), TrainError> {
        if self.store.get(name).is_none() {
            return Err(TrainError::UnknownState { name: name.to_owned() });
        }
        self.store.set(name, value)
    }

    /// Sets states that are there, with their types.
    pub(crate) fn restore(&mut self, states: &[(String, Tensor)]) -> Result<(), TrainError> {
        states.iter().try_for_each(|(name, value)| self.store.set(name, value))
    }

    /// The parameters by name.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let value = |n: &String| self.state(n).expect("every parameter is a state");
        self.parameters.iter().map(|(n, _)| (n.clone(), value(n))).collect()
    }
}

/// What one call of `fit` keeps between steps.
struct Round<'a> {
    /// For each number of rows that was met.
    feeds: Vec<crate::feed::Feed>,
    name: String,
    last_step: usize,
    /// Its first epoch.
    first: usize,
    progress: &'a Progress,
}

/// Tells all, then writes the checkpoints that they asked for.
fn tell(
    training: &mut Training,
    callbacks: &mut [Box<dyn Callback>],
    mut event: impl FnMut(&mut dyn Callback, &mut Training) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    for callback in callbacks.iter_mut() {
        event(&mut **callback, training)?;
    }
    training.write_requested(callbacks)
}
