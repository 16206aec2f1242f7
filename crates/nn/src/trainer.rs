//! What training is made of, before it is compiled.

use std::panic::Location;

use bespoke_compiler::{Config, compile};
use bespoke_graph::{Graph as Ir, Op};
use bespoke_tensor::{Tensor, Type};

use crate::{BuildError, Graph, Summary, TrainError, Training, Update, Value, live_part, mode, update};

/// A model with loss, optimiser and metrics, before it is compiled.
pub struct Trainer<'g> {
    loss: Value<'g>,
    update: Update,
    metrics: Vec<(String, Value<'g>)>,
    location: &'static Location<'static>,
    config: Config,
    seed: u64,
}

impl<'g> Trainer<'g> {
    /// Trains the parameters of a scalar loss's graph. For [`Training::fit`] the graph's inputs are batches of
    /// fields of a [`Dataset`](bespoke_data::Dataset): those of their names, or if there are not all, those in order.
    #[track_caller]
    pub fn new(loss: Value<'g>, update: impl Into<Update>) -> Trainer<'g> {
        Trainer {
            loss,
            update: update.into(),
            metrics: vec![],
            location: Location::caller(),
            config: Config::default(),
            seed: 0,
        }
    }

    /// Also reports a value: one a row of the batch (its mean over all rows is reported), or a scalar.
    #[track_caller]
    pub fn metric(mut self, name: &str, value: Value<'g>) -> Trainer<'g> {
        let graph = self.loss.graph;
        if name == "loss" || self.metrics.iter().any(|m| m.0 == name) {
            graph.refuse(format!("metric: there is a metric `{name}` already"));
        } else if !graph.is(value.graph) {
            graph.refuse(format!("metric: `{name}` is a value of another graph than the loss"));
        } else {
            self.metrics.push((name.to_owned(), value));
        }
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

    /// The graphs of the training step and of the query, which only measures and changes no state.
    ///
    /// # Errors
    /// [`TrainError::Build`] with the first mistake made in the model.
    pub fn graphs(&self) -> Result<(Ir, Ir), TrainError> {
        let marker = self.loss.graph.inner.borrow().training;
        let mut query = self.loss.graph.finish()?;
        self.name_outputs(&mut query, true)?;
        let mut step = self.updated()?.finish()?;
        self.name_outputs(&mut step, false)?;
        Ok((live_part(&mode::resolve(&step, marker, true)), mode::without_updates(query, marker)))
    }

    /// A copy of the model with the update appended: the caller's graph stays the model.
    fn updated(&self) -> Result<Graph, BuildError> {
        let model = self.loss.graph;
        model.finish()?;
        let copy = Graph::from_inner(model.inner.borrow().clone());
        copy.inner.borrow_mut().scope.clear();
        let appended = update::append(&copy, Value { graph: &copy, id: self.loss.id }, &self.update);
        appended.map_err(|error| BuildError { location: Some(self.location), ..error })?;
        Ok(copy)
    }

    /// Makes loss and metrics the outputs. In a query they are given for each row where they can be, so that the rows of
    /// a last batch that is not full can be told from its filling.
    fn name_outputs(&self, graph: &mut Ir, rows: bool) -> Result<(), BuildError> {
        graph.clear_outputs();
        let batch = graph.inputs().find_map(|i| graph.ty(i.1).shape.first().copied());
        let is_by_row = |ty: Type| batch.is_some() && ty.shape.first().copied() == batch;
        let means = &self.loss.graph.inner.borrow().means;
        for (name, value) in [("loss".to_owned(), self.loss)].iter().chain(&self.metrics) {
            let Some(id) = value.id else { continue };
            let of = means.get(&id).copied().filter(|&m| rows && is_by_row(graph.ty(m)));
            let id = of.unwrap_or(id);
            let ty = graph.ty(id);
            if ty.rank() > 0 && !is_by_row(ty) {
                let message =
                    format!("metric: `{name}` is {ty}, expected a scalar or one for each row of the batch");
                return Err(BuildError::new(self.location, message));
            }
            graph.set_output(name, id)?;
        }
        Ok(())
    }

    /// The start values of all states of the training step, by name.
    ///
    /// # Errors
    /// [`TrainError::Build`] with the first mistake made in the model.
    pub fn start_values(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        Ok(self.updated()?.start_values())
    }

    /// Compiles the training step and the query.
    ///
    /// # Errors
    /// [`TrainError`] with the first mistake made in the model, or the stage that failed.
    pub fn compile(self) -> Result<Training, TrainError> {
        let (step, query) = self.graphs()?;
        let model = self.loss.graph;
        let has = |name: &str| step.states().iter().any(|s| s.name == name);
        let parameters = model.parameters().into_iter().filter(|p| has(&p.name)).map(|p| (p.name, p.ty));
        let mut training = Training {
            step: compile(&step, &self.config, &mut |_| ())?,
            query: compile(&query, &self.config, &mut |_| ())?,
            summary: Summary::of(model),
            parameters: parameters.collect(),
            inputs: step.inputs().map(|(n, id)| (n.to_owned(), step.ty(id))).collect(),
            classes: index_extents(&step),
            rate: self.update.rate_name(),
            seed: self.seed,
            epoch: 0,
        };
        for (name, value) in self.start_values()?.iter().filter(|v| has(&v.0)) {
            training.step.set_state(name, value)?;
        }
        Ok(training)
    }
}

/// Inputs that are used as indices, and the number of positions that they may point to.
fn index_extents(graph: &Ir) -> Vec<(String, usize)> {
    let mut extents = vec![];
    for id in graph.ids() {
        let node = graph.node(id);
        let Op::Gather(gather) = &node.op else { continue };
        for (j, &index) in bespoke_graph::op::index_operands(node).iter().enumerate() {
            let mut index = index;
            while let Op::Convert(_) | Op::Reshape(_) | Op::Broadcast(_) = graph.node(index).op {
                index = graph.node(index).inputs[0];
            }
            if let Op::Input(input) = &graph.node(index).op {
                extents.push((input.name.clone(), graph.ty(node.inputs[0]).shape[gather.axis + j]));
            }
        }
    }
    extents
}
