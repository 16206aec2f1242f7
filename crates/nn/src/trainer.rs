//! What training is made of, before it is compiled.

use std::panic::Location;

use bespoke_compiler::{Config, compile};
use bespoke_data::Transform;
use bespoke_graph::{self as ir, Graph as Ir, NodeId};
use bespoke_tensor::{Tensor, Type};

use crate::{
    BuildError, Callback, Graph, Metric, Objective, Summary, TrainError, Training, Update, Value, live_part,
    metric::Finish,
    mode,
    programs::{Family, Programs},
    store::{Bound, Store},
    update,
};

/// A model with loss, optimiser and metrics, before it is compiled.
pub struct Trainer {
    model: Model,
    update: Update,
    /// How the players after the first learn, by name.
    players: Vec<(String, Update)>,
    location: &'static Location<'static>,
    config: Config,
    seed: u64,
    callbacks: Vec<Box<dyn Callback>>,
    transform: Option<Box<dyn Transform>>,
    anomalies: bool,
}

/// What there is to train.
enum Model {
    /// For one size of batch.
    Built(Objective),
    /// For any.
    Builder { batch: usize, build: Box<Build> },
}

/// Builds a model for a size of batch.
type Build = dyn Fn(&Graph, usize) -> Objective;

impl Trainer {
    /// Trains the parameters of a loss's graph. For [`Training::fit`] the graph's inputs are batches of fields of a
    /// [`Dataset`](bespoke_data::Dataset): those of their names, or if there are not all, those in order. Training examples
    /// that do not fill a batch take part in another epoch's order; see [`Trainer::of`].
    #[track_caller]
    pub fn new(objective: impl Into<Objective>, update: impl Into<Update>) -> Trainer {
        Trainer::with(Model::Built(objective.into()), update.into(), Location::caller())
    }

    /// Trains a model that can be built for any number of rows, in batches of `batch`. The last of an epoch has as many as
    /// are left: its program is compiled when it is first met.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, I32, Objective, Sgd, Trainer};
    ///
    /// let classifier = |g: &Graph, batch: usize| {
    ///     let (x, label) = (g.input("x", F32, [batch, 4]), g.input("label", I32, [batch]));
    ///     let logits = x.dense(8).relu().dense(3);
    ///     Objective::new(logits.cross_entropy(label).mean()).metric("accuracy", logits.accuracy(label))
    /// };
    /// let training = Trainer::of(32, classifier, Sgd::new(0.1)).compile()?;
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    #[track_caller]
    pub fn of(
        batch: usize,
        model: impl Fn(&Graph, usize) -> Objective + 'static,
        update: impl Into<Update>,
    ) -> Trainer {
        Trainer::with(Model::Builder { batch, build: Box::new(model) }, update.into(), Location::caller())
    }

    fn with(model: Model, update: Update, location: &'static Location<'static>) -> Trainer {
        Trainer {
            model,
            update,
            players: vec![],
            location,
            config: Config::default(),
            seed: 0,
            callbacks: vec![],
            transform: None,
            anomalies: false,
        }
    }

    /// Also reports a value: one a row of the batch (its mean over all rows is reported), or a scalar.
    #[track_caller]
    pub fn metric(self, name: &str, value: Value<'_>) -> Trainer {
        self.measure(Metric::mean(name, value))
    }

    /// Also reports a metric. A model that is built for each size of batch gives its own:
    /// [`Objective::measure`].
    #[track_caller]
    pub fn measure(mut self, metric: Metric) -> Trainer {
        self.model = match self.model {
            Model::Built(objective) => Model::Built(objective.measure(metric)),
            builder => {
                metric.graph.refuse(format!("metric: `{}` of a graph that is not the model's", metric.name));
                builder
            }
        };
        self
    }

    /// How a player of the objective learns; its update changes parameters of its own ([`Update::only`]), and its optimiser's
    /// states take the player's name.
    pub fn player(mut self, name: &str, update: impl Into<Update>) -> Trainer {
        self.players.push((name.to_owned(), update.into().named(name)));
        self
    }

    /// With other choices for the compiler.
    pub fn config(mut self, config: Config) -> Trainer {
        self.config = config;
        self
    }

    /// With this many threads; results do not depend on it.
    pub fn threads(mut self, threads: usize) -> Trainer {
        self.config.threads = threads;
        self
    }

    /// Shuffles and augments by this seed; a model that is built for each size of batch also starts from it.
    pub fn seed(mut self, seed: u64) -> Trainer {
        self.seed = seed;
        self
    }

    /// Is told what happens in training, after those told before.
    pub fn callback(mut self, callback: impl Callback + 'static) -> Trainer {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Changes training examples at random, differently in each epoch. What this transform gives must fit the model.
    pub fn augment(mut self, transform: impl Transform + 'static) -> Trainer {
        self.transform = Some(Box::new(transform));
        self
    }

    /// Keeps all states of before each step, so that a loss that is no number any more is traced to the operator and line that
    /// first made one. Costs a copy of the states a step.
    pub fn detect_anomalies(mut self) -> Trainer {
        self.anomalies = true;
        self
    }

    /// The graphs of the training step and of the query, which only measures and changes no state.
    ///
    /// # Errors
    /// [`TrainError::Build`] with the first mistake made in the model.
    pub fn graphs(&self) -> Result<(Ir, Ir), TrainError> {
        let family = |objective: &Objective| -> Result<(Ir, Ir), TrainError> {
            let mut steps = self.steps(objective)?;
            Ok((steps.swap_remove(0), self.query(objective)?))
        };
        self.with_objective(family)
    }

    /// The start values of all states of the training steps, by name.
    ///
    /// # Errors
    /// [`TrainError::Build`] with the first mistake made in the model.
    pub fn start_values(&self) -> Result<Vec<(String, Tensor)>, TrainError> {
        self.with_objective(|objective| self.starts(objective))
    }

    /// Compiles the training steps and the query.
    ///
    /// # Errors
    /// [`TrainError`] with the first mistake made in the model, or the stage that failed.
    pub fn compile(mut self) -> Result<Training, TrainError> {
        let callbacks = std::mem::take(&mut self.callbacks);
        let transform = self.transform.take();
        let mut store = Store::default();
        let (summary, parameters, transposed, finishes, programs) = self.with_objective(|objective| {
            for (name, value) in self.starts(objective)? {
                store.set(&name, &value)?;
            }
            let programs = self.programs(objective, &store)?;
            let known = |name: &str| store.get(name).is_some();
            let mut parameters = objective.graph.parameters();
            parameters.retain(|p| known(&p.name));
            let transposed = parameters.iter().filter(|p| p.transposed).map(|p| p.name.clone()).collect();
            let parameters: Vec<(String, Type)> = parameters.into_iter().map(|p| (p.name, p.ty)).collect();
            Ok((Summary::of(&objective.graph), parameters, transposed, finishes(objective), programs))
        })?;
        let rates = [&self.update].into_iter().chain(self.players.iter().map(|p| &p.1));
        let rates = rates.map(Update::rate_name).collect();
        let (seed, detect) = (self.seed, self.anomalies);
        let family = Family::new(programs, matches!(self.model, Model::Builder { .. }), self);
        let mut training = Training::new(store, family, summary, parameters, finishes, rates, seed, detect);
        training.transposed = transposed;
        training.callbacks = callbacks;
        training.transform = transform;
        Ok(training)
    }

    /// The programs for another number of rows, which only a model that is built for each has.
    pub(crate) fn programs_for(&self, rows: usize, store: &Store) -> Result<Programs, TrainError> {
        let Model::Builder { build, .. } = &self.model else {
            unreachable!("a model that is built for one size of batch has no other programs")
        };
        let graph = Graph::with_seed(self.seed);
        self.programs(&build(&graph, rows), store)
    }

    fn with_objective<T>(
        &self,
        f: impl FnOnce(&Objective) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        match &self.model {
            Model::Built(objective) => f(objective),
            Model::Builder { batch, build } => {
                let graph = Graph::with_seed(self.seed);
                f(&build(&graph, *batch))
            }
        }
    }

    fn programs(&self, objective: &Objective, store: &Store) -> Result<Programs, TrainError> {
        let steps = self.steps(objective)?;
        let query = self.query(objective)?;
        let bind = |graph: &Ir| -> Result<Bound, TrainError> {
            Bound::new(compile(graph, &self.config, &mut |_| ())?, store)
        };
        let model = objective.graph.finish()?;
        let used = |name: &str| steps.iter().chain([&query]).any(|g| g.inputs().any(|i| i.0 == name));
        let inputs = model.inputs().filter(|i| used(i.0));
        let indices = steps.iter().chain([&query]).flat_map(ir::index_inputs);
        Ok(Programs {
            inputs: inputs.map(|(name, id)| (name.to_owned(), model.ty(id))).collect(),
            extents: indices.filter(|i| i.part.is_none()).map(|i| (i.input, i.extent)).collect(),
            steps: steps.iter().map(bind).collect::<Result<_, _>>()?,
            query: bind(&query)?,
            graphs: steps,
        })
    }

    /// The graph of each player's step.
    fn steps(&self, objective: &Objective) -> Result<Vec<Ir>, TrainError> {
        let marker = objective.graph.inner.borrow().training;
        let mut steps = vec![];
        for (number, (update, loss)) in self.learners(objective)?.into_iter().enumerate() {
            let mut step = self.updated(objective, &[(update, loss)])?.finish()?;
            self.name_outputs(objective, &mut step, number.checked_sub(1), false)?;
            steps.push(live_part(&mode::resolve(&step, marker, true)));
        }
        Ok(steps)
    }

    fn query(&self, objective: &Objective) -> Result<Ir, TrainError> {
        let marker = objective.graph.inner.borrow().training;
        let mut query = objective.graph.finish()?;
        self.name_outputs(objective, &mut query, None, true)?;
        Ok(mode::without_updates(query, marker))
    }

    fn starts(&self, objective: &Objective) -> Result<Vec<(String, Tensor)>, TrainError> {
        Ok(self.updated(objective, &self.learners(objective)?)?.start_values())
    }

    /// Who learns what: each player's update and loss.
    fn learners(&self, objective: &Objective) -> Result<Vec<(&Update, Option<NodeId>)>, BuildError> {
        let wrong = |message: String| BuildError::new(self.location, message);
        let mut learners = vec![(&self.update, objective.loss)];
        for (name, loss) in &objective.players {
            let update = self.players.iter().find(|p| p.0 == *name);
            let update = update.ok_or_else(|| wrong(format!("player: how `{name}` learns is not said")))?;
            learners.push((&update.1, *loss));
        }
        let unknown = self.players.iter().find(|p| !objective.players.iter().any(|o| o.0 == p.0));
        match unknown {
            Some((name, _)) => Err(wrong(format!("player: the objective has no player `{name}`"))),
            None => Ok(learners),
        }
    }

    /// A copy of the model with updates appended: the caller's graph stays the model.
    fn updated(
        &self,
        objective: &Objective,
        learners: &[(&Update, Option<NodeId>)],
    ) -> Result<Graph, BuildError> {
        objective.graph.finish()?;
        let copy = Graph::from_inner(objective.graph.inner.borrow().clone());
        copy.inner.borrow_mut().scope.clear();
        for (update, loss) in learners {
            let appended = update::append(&copy, Value { graph: &copy, id: *loss }, update);
            appended.map_err(|error| BuildError { location: Some(self.location), ..error })?;
        }
        Ok(copy)
    }

    /// Makes loss and metrics the outputs, or the loss of one of the further players. In a query all are given, for each row
    /// where they can be, so that the rows of a last batch that is not full can be told from its filling.
    fn name_outputs(
        &self,
        objective: &Objective,
        graph: &mut Ir,
        player: Option<usize>,
        query: bool,
    ) -> Result<(), BuildError> {
        graph.clear_outputs();
        let mean = &Finish::Mean;
        let losses = objective.players.iter().map(|(name, loss)| (name.as_str(), *loss, mean));
        let metrics = objective.metrics.iter().map(|m| (m.name.as_str(), m.value, &m.finish));
        let outputs: Vec<(&str, Option<NodeId>, &Finish)> = match player {
            Some(i) => losses.skip(i).take(1).collect(),
            None if query => {
                [("loss", objective.loss, mean)].into_iter().chain(metrics).chain(losses).collect()
            }
            None => [("loss", objective.loss, mean)].into_iter().chain(metrics).collect(),
        };
        let batch = graph.inputs().find_map(|i| graph.ty(i.1).shape.first().copied());
        let is_by_row = |ty: Type| batch.is_some() && ty.shape.first().copied() == batch;
        let means = &objective.graph.inner.borrow().means;
        for (name, id, finish) in outputs {
            let Some(id) = id else { continue };
            let of = means.get(&id).copied();
            let of = of.filter(|&m| query && is_by_row(graph.ty(m)) && depends_on_rows(graph, m));
            let id = of.unwrap_or(id);
            let ty = graph.ty(id);
            let can_be_scalar = matches!(finish, Finish::Mean);
            let is_scalar = can_be_scalar && ty.rank() == 0;
            if !is_by_row(ty) && !is_scalar {
                let scalar = if can_be_scalar { "a scalar or " } else { "" };
                let message =
                    format!("metric: `{name}` is {ty}, expected {scalar}one for each row of the batch");
                return Err(BuildError::new(self.location, message));
            }
            graph.set_output(name, id)?;
        }
        Ok(())
    }
}

/// Is it computed from an input with a batch axis? A parameter may have as many rows by chance.
fn depends_on_rows(graph: &Ir, id: NodeId) -> bool {
    let mut depends = vec![false; id.index() + 1];
    for id in graph.ids().take(id.index() + 1) {
        let node = graph.node(id);
        let is_batch = matches!(node.op, ir::Op::Input(_)) && node.ty.rank() > 0;
        depends[id.index()] = is_batch || node.inputs.iter().any(|i| depends[i.index()]);
    }
    depends[id.index()]
}

/// How outputs become figures: the loss first, then metrics, then other players' losses.
fn finishes(objective: &Objective) -> Vec<(String, Finish)> {
    let metrics = objective.metrics.iter().map(|m| (m.name.clone(), m.finish.clone()));
    let players = objective.players.iter().map(|p| (p.0.clone(), Finish::Mean));
    [("loss".to_owned(), Finish::Mean)].into_iter().chain(metrics).chain(players).collect()
}
