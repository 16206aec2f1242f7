//! How a training step changes parameters: all between the loss and their new values, as graph.

use std::panic::Location;

use bespoke_graph::NodeId;
use bespoke_tensor::{DType, Tensor};

use crate::{BuildError, Constraint, Graph, Learned, Optimizer, Parameter, Value, pruning};

/// All that happens between gradients and new parameters, in this order: gradients of pruned weights become 0 (see
/// [`Graph::prunable`]), gradients are averaged over micro-steps, clipped by value, then by norm; the optimiser makes new
/// values, which constraints and masks correct; averages follow them. An [`Optimizer`] alone is an update too.
///
/// What it remembers is states: the optimiser's own, `accumulate/count` and `accumulate/<parameter>`,
/// `average/<parameter>`. Prefixes are those of parameters' names, `encoder/` for a whole scope; one that no parameter has is a
/// mistake, reported by whoever takes the update.
///
/// ```
/// use bespoke_nn::{Adam, Constraint, F32, Graph, Group, I32, Trainer, Update};
///
/// let g = Graph::new();
/// let (x, label) = (g.input("x", F32, [16, 8]), g.input("label", I32, [16]));
/// let hidden = g.scope("encoder", || x.dense(32).relu());
/// let loss = hidden.dense(3).cross_entropy(label).mean();
/// let update = Update::new(Adam::new(1e-3))
///     .clip_norm(1.0)
///     .accumulate(4)
///     .average(0.999)
///     .group("encoder/", Group::new().rate(0.1).decay(0.0))
///     .constrain("dense0/weight", Constraint::max_norm(3.0));
/// let training = Trainer::new(loss, update).compile()?;
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
pub struct Update {
    optimizer: Box<dyn Optimizer>,
    name: Option<String>,
    only: Vec<String>,
    groups: Vec<(String, Group)>,
    accumulate: usize,
    clip_value: Option<f64>,
    clip_norm: Option<f64>,
    constraints: Vec<(String, Constraint)>,
    average: Option<f64>,
}

impl<O: Optimizer + 'static> From<O> for Update {
    fn from(optimizer: O) -> Update {
        Update::new(optimizer)
    }
}

/// What differs for some parameters of an [`Update`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    rate: f64,
    decay: Option<f64>,
    frozen: bool,
}

impl Default for Group {
    fn default() -> Group {
        Group { rate: 1.0, decay: None, frozen: false }
    }
}

impl Group {
    /// Nothing differs.
    pub fn new() -> Group {
        Group::default()
    }

    /// The learning rate is this factor, 0 or above, times the optimiser's: it follows what is set there.
    pub fn rate(self, factor: f64) -> Group {
        Group { rate: factor, ..self }
    }

    /// Weight decay λ, 0 or above, in place of the optimiser's.
    pub fn decay(self, decay: f64) -> Group {
        Group { decay: Some(decay), ..self }
    }

    /// They keep their values, and no gradient of them is computed.
    pub fn frozen(self) -> Group {
        Group { frozen: true, ..self }
    }
}

impl Update {
    /// The steps of an optimiser, of all parameters that training changes.
    pub fn new(optimizer: impl Optimizer + 'static) -> Update {
        Update {
            optimizer: Box::new(optimizer),
            name: None,
            only: vec![],
            groups: vec![],
            accumulate: 1,
            clip_value: None,
            clip_norm: None,
            constraints: vec![],
            average: None,
        }
    }

    /// Puts the optimiser's states, and those of accumulation, in a scope of this name, so that a graph may have several
    /// updates: `generator/adam/learning_rate`.
    pub fn named(self, name: &str) -> Update {
        Update { name: Some(name.to_owned()), ..self }
    }

    /// Changes only parameters whose names start so; said again, also those.
    pub fn only(mut self, prefix: &str) -> Update {
        self.only.push(prefix.to_owned());
        self
    }

    /// Treats parameters whose names start so differently. Of several prefixes of one name the longest counts.
    pub fn group(mut self, prefix: &str, group: Group) -> Update {
        self.groups.push((prefix.to_owned(), group));
        self
    }

    /// Averages gradients over so many runs of the step, at least 1. Parameters, the optimiser's states and averages change at
    /// the last of them alone: one step on a batch so many times as large, if the loss is a mean over it.
    pub fn accumulate(self, steps: usize) -> Update {
        Update { accumulate: steps, ..self }
    }

    /// Limits each element of a gradient to ± this, above 0, as PyTorch's `clip_grad_value_`.
    pub fn clip_value(self, limit: f64) -> Update {
        Update { clip_value: Some(limit), ..self }
    }

    /// Scales all gradients by min(1, limit / (‖∇‖₂ + 10⁻⁶)) with the norm of all of them together, as PyTorch's
    /// `clip_grad_norm_` (Pascanu, Mikolov & Bengio 2013). The limit is above 0.
    pub fn clip_norm(self, limit: f64) -> Update {
        Update { clip_norm: Some(limit), ..self }
    }

    /// Keeps parameters whose names start so within bounds.
    pub fn constrain(mut self, prefix: &str, constraint: Constraint) -> Update {
        self.constraints.push((prefix.to_owned(), constraint));
        self
    }

    /// Keeps an exponential moving average of each parameter in the state `average/<parameter>`: a ← d·a + (1 − d)·w after each
    /// step, at first the parameter's start value (Polyak & Juditsky 1992 average uniformly). d is within [0, 1). See
    /// [`averages`].
    pub fn average(self, decay: f64) -> Update {
        Update { average: Some(decay), ..self }
    }

    /// The name of the state that holds the learning rate.
    pub fn rate_name(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}/{}", self.optimizer.rate_name()),
            None => self.optimizer.rate_name().to_owned(),
        }
    }

    /// What is wrong with its numbers.
    fn check(&self) -> Result<(), String> {
        let above_zero = |what: &str, limit: Option<f64>| match limit {
            Some(limit) if !(limit > 0.0 && limit.is_finite()) => {
                Err(format!("{what}: expected a limit above 0, got {limit}"))
            }
            _ => Ok(()),
        };
        above_zero("clip_value", self.clip_value)?;
        above_zero("clip_norm", self.clip_norm)?;
        if self.accumulate == 0 {
            return Err("accumulate: expected at least 1 step, got 0".to_owned());
        }
        if let Some(decay) = self.average.filter(|d| !(0.0..1.0).contains(d)) {
            return Err(format!("average: expected a decay within [0, 1), got {decay}"));
        }
        for (prefix, group) in &self.groups {
            for (what, number) in [("rate", Some(group.rate)), ("decay", group.decay)] {
                if let Some(number) = number.filter(|n| !(*n >= 0.0 && n.is_finite())) {
                    return Err(format!("group `{prefix}`: expected a {what} of 0 or above, got {number}"));
                }
            }
        }
        self.constraints.iter().try_for_each(|(_, constraint)| constraint.check())
    }

    /// The parameters that it changes, each with its group.
    fn chosen(&self, graph: &Graph) -> Result<Vec<(Parameter, Group)>, String> {
        let mut parameters = graph.parameters();
        let all = parameters.len();
        for prefix in &self.only {
            expect_some("only", prefix, &parameters)?;
        }
        parameters.retain(|p| self.only.is_empty() || self.only.iter().any(|o| p.name.starts_with(o)));
        for (prefix, _) in &self.groups {
            expect_some("group", prefix, &parameters)?;
        }
        for (prefix, constraint) in &self.constraints {
            expect_some("constrain", prefix, &parameters)?;
            let mut named = parameters.iter().filter(|p| p.name.starts_with(prefix));
            if !named.any(|p| constraint.concerns(p.ty.rank())) {
                return Err(format!(
                    "constrain: all parameters `{prefix}…` are vectors or scalars, which have no norm of units"
                ));
            }
        }
        let group_of = |p: &Parameter| {
            let groups = self.groups.iter().filter(|(prefix, _)| p.name.starts_with(prefix));
            groups.max_by_key(|(prefix, _)| prefix.len()).map_or(Group::new(), |(_, group)| *group)
        };
        let trainable = parameters.into_iter().filter(|p| p.trainable).map(|p| (group_of(&p), p));
        let chosen: Vec<_> = trainable.filter(|(group, _)| !group.frozen).map(|(g, p)| (p, g)).collect();
        match (all, chosen.is_empty()) {
            (0, _) => Err("there is nothing to train: the graph has no parameters".to_owned()),
            (_, true) => {
                Err(format!("there is nothing to train: all of {all} parameters are frozen or left out"))
            }
            _ => Ok(chosen),
        }
    }

    /// Appends gradients and new values; mistakes of the graph's are kept in it.
    fn append(&self, graph: &Graph, loss: Value<'_>) -> Result<(), String> {
        self.check()?;
        let chosen = self.chosen(graph)?;
        let values: Vec<Value<'_>> = chosen.iter().map(|(p, _)| Value { graph, id: Some(p.node) }).collect();
        let mut gradients = graph.grad(Value { graph, id: loss.id }, &values);
        for ((parameter, _), gradient) in chosen.iter().zip(&mut gradients) {
            *gradient = pruning::masked(graph, parameter, *gradient);
        }
        let due = self.accumulated(graph, &chosen, &mut gradients);
        self.clip(&mut gradients);
        let mut learned = vec![];
        for (((parameter, group), value), gradient) in chosen.into_iter().zip(values).zip(gradients) {
            let (rate_factor, decay) = (group.rate, group.decay);
            learned.push(Learned { parameter, value, gradient, rate_factor, decay });
        }
        let before = changing_states(graph);
        self.optimizer.update(graph, &learned);
        let set = changing_states(graph).into_iter().filter(|s| !before.contains(s));
        for (state, next) in set.collect::<Vec<_>>() {
            let [state, mut next] = [state, next].map(|id| Value { graph, id: Some(id) });
            let parameter = learned.iter().find(|l| l.parameter.node == state.id.expect("set above"));
            if let Some(Learned { parameter, .. }) = parameter {
                next = self.corrected(graph, parameter, next);
                self.averaged(graph, parameter, next, due);
            }
            replace_next(graph, state, due.map_or(next, |due| due.select(next, state)));
        }
        Ok(())
    }

    /// Makes means over the micro-steps of gradients. Is it the last of them? None if there is one only.
    fn accumulated<'g>(
        &self,
        graph: &'g Graph,
        chosen: &[(Parameter, Group)],
        gradients: &mut [Value<'g>],
    ) -> Option<Value<'g>> {
        if self.accumulate == 1 {
            return None;
        }
        let count = graph.state("accumulate/count", &Tensor::scalar(0i64));
        let next = (count + 1) % self.accumulate as i64;
        graph.set_next(count, next);
        for ((parameter, _), gradient) in chosen.iter().zip(gradients) {
            let name = format!("accumulate/{}", parameter.name);
            let sum = graph.state(&name, &Tensor::zeros(parameter.ty));
            let after = sum + *gradient;
            graph.set_next(sum, next.ne(0).select(after, 0.0));
            *gradient = after * (1.0 / self.accumulate as f64);
        }
        Some(next.eq(0))
    }

    fn clip(&self, gradients: &mut [Value<'_>]) {
        if let Some(limit) = self.clip_value {
            gradients.iter_mut().for_each(|g| *g = g.clamp(-limit, limit));
        }
        let squares = gradients.iter().map(|g| g.squared_norm().convert(DType::F64));
        if let (Some(limit), Some(sum)) = (self.clip_norm, squares.reduce(|a, b| a + b)) {
            let factor = (limit / (sum.sqrt() + 1e-6)).minimum(1.0);
            gradients.iter_mut().for_each(|g| *g = *g * factor.convert(g.ty().dtype));
        }
    }

    /// The new value, within its constraints and without pruned weights.
    fn corrected<'g>(&self, graph: &'g Graph, parameter: &Parameter, value: Value<'g>) -> Value<'g> {
        let constraints = self.constraints.iter().filter(|(prefix, _)| parameter.name.starts_with(prefix));
        let value = constraints.fold(value, |value, (_, constraint)| constraint.project(value));
        pruning::masked(graph, parameter, value)
    }

    fn averaged<'g>(
        &self,
        graph: &'g Graph,
        parameter: &Parameter,
        value: Value<'g>,
        due: Option<Value<'g>>,
    ) {
        let Some(decay) = self.average else { return };
        let start = parameter.init.tensor(parameter.ty, &parameter.name, graph.inner.borrow().seed);
        // A parameter has one update, so that its average needs no update's name.
        let average = graph.without_scope(|| graph.state(&average_name(&parameter.name), &start));
        let next = graph.follow(average, value, decay);
        if let Some(due) = due {
            replace_next(graph, average, due.select(next, average));
        }
    }
}

/// States with their next values.
fn changing_states(graph: &Graph) -> Vec<(NodeId, NodeId)> {
    let inner = graph.inner.borrow();
    inner.graph.states().iter().filter_map(|s| s.next.map(|next| (s.node, next))).collect()
}

/// Says anew what a state of that type is after the run.
fn replace_next(graph: &Graph, state: Value<'_>, next: Value<'_>) {
    let (Some(state), Some(next)) = (state.id, next.id) else { return };
    graph.inner.borrow_mut().graph.replace_next(state, Some(next));
}

/// Is there a parameter of this prefix?
pub(crate) fn expect_some(what: &str, prefix: &str, parameters: &[Parameter]) -> Result<(), String> {
    match parameters.iter().any(|p| p.name.starts_with(prefix)) {
        true => Ok(()),
        false => Err(format!("{what}: no parameter's name starts with `{prefix}`")),
    }
}

fn average_name(parameter: &str) -> String {
    format!("average/{parameter}")
}

/// The averages among states, under the names of their parameters: what a query is given in place of the parameters. See
/// [`Update::average`].
///
/// ```
/// use bespoke_nn::{F64, Graph, Init, Sgd, Update, averages};
///
/// let g = Graph::new();
/// let w = g.parameter("w", F64, [], Init::Constant(1.0));
/// g.minimize(w, Update::new(Sgd::new(1.0)).average(0.75));
/// let mut step = g.compile()?;
/// step.run(&[])?;
/// let states = step.executable().states().map(|s| s.0.to_owned()).collect::<Vec<_>>();
/// let states = states.into_iter().filter_map(|n| step.executable().state(&n).map(|value| (n, value)));
/// let averages = averages(states);
/// assert_eq!((averages[0].0.as_str(), averages[0].1.get(0).to_f64()), ("w", 0.75));
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
pub fn averages(states: impl IntoIterator<Item = (String, Tensor)>) -> Vec<(String, Tensor)> {
    let prefix = average_name("");
    let named = states.into_iter().filter_map(|(n, v)| n.strip_prefix(&prefix).map(|n| (n.to_owned(), v)));
    named.collect()
}

/// Appends gradients of the loss and an update of the parameters. What fails is kept in the graph too.
///
/// # Errors
/// The first mistake that was made in building the graph or the update, or that the loss has no gradient.
#[track_caller]
pub(crate) fn append(graph: &Graph, loss: Value<'_>, update: &Update) -> Result<(), BuildError> {
    graph.finish()?;
    let location = Location::caller();
    let scope = update.name.iter().cloned().collect();
    let appended = graph.with_scope(scope, || update.append(graph, loss));
    if let Err(message) = appended {
        graph.fail(BuildError::new(location, message));
    }
    if let Some(error) = &mut graph.inner.borrow_mut().error {
        error.location = Some(location); // lines of this file would tell the user nothing
    }
    graph.finish().map(|_| ())
}

impl Graph {
    /// Makes a run of the graph a step of training: appends the gradients of a scalar loss and an update of the parameters.
    /// For a step of one's own, of [`Graph::compile`]; a [`Trainer`](crate::Trainer) does it itself. A graph may have several,
    /// of different parameters: see [`Update::only`] and [`Update::named`]. All see the values before the step.
    ///
    /// ```
    /// use bespoke_nn::{F64, Graph, Init, Sgd};
    ///
    /// let g = Graph::new();
    /// let w = g.parameter("w", F64, [], Init::Constant(3.0));
    /// g.minimize((w - 1.0) * (w - 1.0), Sgd::new(0.25));
    /// let mut step = g.compile()?;
    /// step.run(&[])?;
    /// assert_eq!(step.parameters()[0].1.get(0).to_f64(), 2.0);
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    #[track_caller]
    pub fn minimize(&self, loss: Value<'_>, update: impl Into<Update>) {
        if self.parent.is_some() {
            self.refuse("minimize: inside of a body; a step is of the whole graph".to_owned());
            return;
        }
        let Some(id) = self.own(&[loss]).map(|ids| ids[0]) else { return };
        // What fails is kept in the graph, as any mistake.
        let _ = append(self, Value { graph: self, id: Some(id) }, &update.into());
    }

    /// Runs `f` with these scopes in place of those around.
    fn with_scope<T>(&self, scope: Vec<String>, f: impl FnOnce() -> T) -> T {
        let around = std::mem::replace(&mut self.inner.borrow_mut().scope, scope);
        let result = f();
        self.inner.borrow_mut().scope = around;
        result
    }

    /// Runs `f` outside of all scopes.
    pub(crate) fn without_scope<T>(&self, f: impl FnOnce() -> T) -> T {
        self.with_scope(vec![], f)
    }
}
