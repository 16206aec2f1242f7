//! The builder that models are written with.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    panic::Location,
    rc::Rc,
};

use bespoke_graph::{self as ir, NodeId, Op};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use crate::{BuildError, Dims, Init, Value};

/// A parameter of a model: a state with a start value, which training changes.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name with its scopes: `dense0/weight`.
    pub name: String,
    /// The state's node.
    pub node: NodeId,
    /// Its type.
    pub ty: Type,
    /// How it starts.
    pub init: Init,
    /// Does training change it? See [`Graph::freeze`].
    pub trainable: bool,
    /// Does PyTorch keep its transpose? So it does with the weights of dense layers, which are `[inputs,units]` here.
    pub transposed: bool,
}

/// A layer for the summary.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its scope: `dense0`.
    pub name: String,
    /// The type of its result.
    pub output: Type,
    /// The number of its parameters, without running statistics.
    pub parameters: usize,
    /// The node of its result.
    pub node: NodeId,
}

/// What the builder knows.
#[derive(Clone, Default)]
pub(crate) struct Inner {
    pub graph: ir::Graph,
    pub error: Option<BuildError>,
    pub scope: Vec<String>,
    pub counts: BTreeMap<String, usize>,
    pub parameters: Vec<Parameter>,
    pub layers: Vec<Layer>,
    /// For each mean over all elements, of what it is the mean.
    pub means: BTreeMap<NodeId, NodeId>,
    /// Start values of states that are no parameters.
    pub starts: Vec<(String, Tensor)>,
    pub seed: u64,
    /// Of a body: values of the graph around that it uses, and their inputs here.
    pub captured: Vec<(NodeId, NodeId)>,
    /// Is it a body that is finished?
    pub closed: bool,
    /// The input that says whether it trains: see [`Graph::training`].
    pub training: Option<NodeId>,
    /// The name that the next layer takes: see [`Graph::named`].
    pub pending: Option<String>,
    /// In how many calls of [`Graph::shared`] we are.
    pub sharing: usize,
    /// In how many calls of [`Graph::fixed`] we are.
    pub fixed: usize,
}

/// A graph under construction. Values of it are `Copy` handles with operators; mistakes are kept and reported by
/// [`Graph::finish`], by [`Trainer`](crate::Trainer) and whoever else takes the graph, with the line that made them.
///
/// ```
/// use bespoke_nn::{F32, Graph};
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [4, 3]);
/// let y = (x * 2.0 + 1.0).tanh();
/// assert_eq!(y.ty().to_string(), "f32[4,3]");
/// let bad = x.matmul(x);
/// let error = g.finish().unwrap_err().to_string();
/// assert!(error.contains("matmul"), "{error}");
/// ```
#[derive(Default)]
pub struct Graph {
    pub(crate) inner: Rc<RefCell<Inner>>,
    /// Of the body of an operator: the graph around it.
    pub(crate) parent: Option<Box<Graph>>,
    /// The bodies of its operators, which live as long as it does, so that their values are of the same kind.
    bodies: OnceCell<Box<Bodies>>,
}

/// A list of graphs that only grows.
struct Bodies {
    body: Graph,
    rest: OnceCell<Box<Bodies>>,
}

impl Graph {
    /// An empty graph; parameters start from seed 0.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// An empty graph whose parameters start from this seed.
    pub fn with_seed(seed: u64) -> Graph {
        let g = Graph::new();
        g.inner.borrow_mut().seed = seed;
        g
    }

    pub(crate) fn from_inner(inner: Inner) -> Graph {
        Graph { inner: Rc::new(RefCell::new(inner)), ..Graph::default() }
    }

    /// The graph of the body of an operator. Values of this graph that are used in it become inputs of it.
    pub(crate) fn body(&self) -> &Graph {
        let inner = self.inner.borrow();
        let body = Graph {
            parent: Some(Box::new(self.handle())),
            ..Graph::from_inner(Inner { seed: inner.seed, ..Inner::default() })
        };
        let mut end = &self.bodies;
        while let Some(bodies) = end.get() {
            end = &bodies.rest;
        }
        &end.get_or_init(|| Box::new(Bodies { body, rest: OnceCell::new() })).body
    }

    /// Another handle of the same graph.
    pub(crate) fn handle(&self) -> Graph {
        let parent = self.parent.as_ref().map(|p| Box::new(p.handle()));
        Graph { inner: self.inner.clone(), parent, bodies: OnceCell::new() }
    }

    pub(crate) fn is(&self, other: &Graph) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }

    /// The number of graphs around.
    fn depth(&self) -> usize {
        self.parent.as_ref().map_or(0, |p| 1 + p.depth())
    }

    /// A named input.
    #[track_caller]
    pub fn input<'g>(&'g self, name: &str, dtype: DType, shape: impl Dims) -> Value<'g> {
        let Some(shape) = self.shape("input", shape) else { return self.spoiled() };
        let (ty, location) = (Type { dtype, shape }, Location::caller());
        if self.parent.is_some() {
            return self
                .refuse(format!("input: `{name}` inside of a body; make it outside and use it there"));
        }
        let mut inner = self.inner.borrow_mut();
        inner.graph.set_location(Some(location));
        let result = inner.graph.input(name, ty);
        drop(inner);
        self.keep(result.map_err(BuildError::from), location)
    }

    /// A named state that starts with a value and keeps it until [`Graph::set_next`].
    #[track_caller]
    pub fn state<'g>(&'g self, name: &str, start: &Tensor) -> Value<'g> {
        let name = self.outermost().inner.borrow().scoped(name);
        self.declare(&name, start.ty(), |inner, name, _| inner.starts.push((name, start.clone())))
    }

    /// A parameter: a state that training changes. Its name is put behind the scopes around.
    #[track_caller]
    pub fn parameter<'g>(&'g self, name: &str, dtype: DType, shape: impl Dims, init: Init) -> Value<'g> {
        let Some(shape) = self.shape("parameter", shape) else { return self.spoiled() };
        let (name, ty) = (self.outermost().inner.borrow().scoped(name), Type { dtype, shape });
        let value = self.declare(&name, ty, |inner, name, node| {
            inner.parameters.push(Parameter { name, node, ty, init, trainable: true, transposed: false });
        });
        if self.outermost().inner.borrow().fixed > 0 { value.stop_gradient() } else { value }
    }

    /// A dense layer's weight, a parameter `weight`, of which PyTorch keeps the transpose.
    #[track_caller]
    pub(crate) fn dense_weight<'g>(&'g self, dtype: DType, shape: impl Dims, init: Init) -> Value<'g> {
        let name = self.outermost().inner.borrow().scoped("weight");
        let value = self.parameter("weight", dtype, shape, init);
        let mut inner = self.outermost().inner.borrow_mut();
        inner.parameters.iter_mut().filter(|p| p.name == name).for_each(|p| p.transposed = true);
        drop(inner);
        value
    }

    /// A parameter that belongs to the model, and is saved with it, but that gradients do not change: running statistics.
    #[track_caller]
    pub fn buffer<'g>(&'g self, name: &str, dtype: DType, shape: impl Dims, init: Init) -> Value<'g> {
        let Some(shape) = self.shape("buffer", shape) else { return self.spoiled() };
        let (name, ty) = (self.outermost().inner.borrow().scoped(name), Type { dtype, shape });
        self.declare(&name, ty, |inner, name, node| {
            inner.parameters.push(Parameter { name, node, ty, init, trainable: false, transposed: false });
        })
    }

    /// A state of the outermost graph. `note` keeps what else there is to know of it.
    #[track_caller]
    fn declare<'g>(
        &'g self,
        name: &str,
        ty: Type,
        note: impl FnOnce(&mut Inner, String, NodeId),
    ) -> Value<'g> {
        let location = Location::caller();
        if let Some(parent) = &self.parent {
            let outside = parent.declare(name, ty, note);
            let id = self.own(&[outside]).map(|ids| ids[0]);
            return Value { graph: self, id };
        }
        let mut inner = self.inner.borrow_mut();
        if let Some(known) = inner.graph.states().iter().find(|s| inner.sharing > 0 && s.name == name) {
            let known = known.node;
            let got = inner.graph.ty(known);
            drop(inner);
            if got == ty {
                return Value { graph: self, id: Some(known) };
            }
            return self.refuse(format!("shared: `{name}` is {got} in its first use, {ty} here"));
        }
        inner.graph.set_location(Some(location));
        let result = inner.graph.state(name, ty);
        if let Ok(node) = result {
            note(&mut inner, name.to_owned(), node);
        }
        drop(inner);
        self.keep(result.map_err(BuildError::from), location)
    }

    /// A constant scalar.
    #[track_caller]
    pub fn constant<'g>(&'g self, value: impl Into<Scalar>) -> Value<'g> {
        self.tensor(&Tensor::scalar(value))
    }

    /// A constant.
    #[track_caller]
    pub fn tensor<'g>(&'g self, value: &Tensor) -> Value<'g> {
        self.apply("constant", ir::op::Constant { value: value.clone() }.into(), &[])
    }

    /// A constant with every element the same.
    #[track_caller]
    pub fn full<'g>(&'g self, dtype: DType, shape: impl Dims, value: f64) -> Value<'g> {
        let Some(shape) = self.shape("full", shape) else { return self.spoiled() };
        self.constant(Scalar::from_f64(dtype, value)).broadcast_to(shape)
    }

    /// The positions 0, 1, 2 … along an axis, repeated along the others.
    #[track_caller]
    pub fn iota<'g>(&'g self, dtype: DType, shape: impl Dims, axis: usize) -> Value<'g> {
        let Some(shape) = self.shape("iota", shape) else { return self.spoiled() };
        self.apply("iota", ir::op::Iota { ty: Type { dtype, shape }, axis }.into(), &[])
    }

    /// Keeps training from changing the parameters whose names start so: `encoder/` for a whole scope. A name that no
    /// parameter has is a mistake.
    #[track_caller]
    pub fn freeze(&self, prefix: &str) {
        let mut inner = self.inner.borrow_mut();
        let mut frozen = 0;
        for parameter in inner.parameters.iter_mut().filter(|p| p.name.starts_with(prefix)) {
            parameter.trainable = false;
            frozen += 1;
        }
        drop(inner);
        if frozen == 0 {
            self.refuse(format!("freeze: no parameter's name starts with `{prefix}`"));
        }
    }

    /// Gives the parameters whose names start so, behind the scopes around, another start than their layers gave them. A name
    /// that no parameter has is a mistake.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, Init};
    ///
    /// let g = Graph::new();
    /// g.input("x", F32, [4, 3]).dense(2).relu();
    /// g.initialize("dense0/bias", Init::Constant(1.0));
    /// assert_eq!(g.start_values()[1].1.view::<f32>()?, [1.0, 1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn initialize(&self, prefix: &str, init: Init) {
        let outermost = self.outermost();
        let mut inner = outermost.inner.borrow_mut();
        let prefix = inner.scoped(prefix);
        let mut found = false;
        for parameter in inner.parameters.iter_mut().filter(|p| p.name.starts_with(&prefix)) {
            parameter.init = init;
            found = true;
        }
        drop(inner);
        if !found {
            self.refuse(format!("initialize: no parameter's name starts with `{prefix}`"));
        }
    }

    /// Names a value as output.
    #[track_caller]
    pub fn output(&self, name: &str, value: Value<'_>) {
        let location = Location::caller();
        if self.parent.is_some() {
            self.refuse(format!("output: `{name}` inside of a body; return the value from it"));
            return;
        }
        let Some(id) = self.own(&[value]).map(|ids| ids[0]) else { return };
        let result = self.inner.borrow_mut().graph.set_output(name, id);
        if let Err(error) = result {
            self.fail(BuildError::new(location, error.to_string()));
        }
    }

    /// Says what a state is after the run.
    #[track_caller]
    pub fn set_next(&self, state: Value<'_>, next: Value<'_>) {
        let location = Location::caller();
        if self.parent.is_some() || next.graph.parent.is_some() {
            self.refuse("set_next: a state does not change inside of a body; carry its value".to_owned());
            return;
        }
        let Some([state, next]) = self.own(&[state, next]).and_then(|ids| <[NodeId; 2]>::try_from(ids).ok())
        else {
            return;
        };
        let result = self.inner.borrow_mut().graph.set_next(state, next);
        if let Err(error) = result {
            self.fail(BuildError::new(location, error.to_string()));
        }
    }

    /// Says what a state is after the run, from what it would be by now: as it was, or after the changes said before.
    #[track_caller]
    pub(crate) fn advance<'g>(&'g self, state: Value<'g>, change: impl FnOnce(Value<'g>) -> Value<'g>) {
        let said =
            self.inner.borrow().graph.states().iter().find(|s| Some(s.node) == state.id).map(|s| s.next);
        match said.flatten() {
            None => self.set_next(state, change(state)),
            Some(latest) => {
                let next = change(Value { graph: self, id: Some(latest) });
                if let (Some(state), Some(next)) = (state.id, next.id) {
                    self.inner.borrow_mut().graph.replace_next(state, Some(next));
                }
            }
        }
    }

    /// The graph in the compiler's form.
    ///
    /// # Errors
    /// The first mistake that was made in building it.
    pub fn finish(&self) -> Result<ir::Graph, BuildError> {
        let inner = self.inner.borrow();
        match &inner.error {
            Some(error) => Err(error.clone()),
            None => {
                ir::check_constant_indices(&inner.graph)?;
                Ok(inner.graph.clone())
            }
        }
    }

    /// The parameters in the order they were made.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.inner.borrow().parameters.clone()
    }

    /// The start values of all parameters and states, by name.
    pub fn start_values(&self) -> Vec<(String, Tensor)> {
        let inner = self.inner.borrow();
        let parameters =
            inner.parameters.iter().map(|p| (p.name.clone(), p.init.tensor(p.ty, &p.name, inner.seed)));
        parameters.chain(inner.starts.iter().cloned()).collect()
    }

    /// Applies an operator; `what` names it in errors.
    #[track_caller]
    pub(crate) fn apply<'g>(&'g self, what: &str, op: Op, inputs: &[Value<'g>]) -> Value<'g> {
        let location = Location::caller();
        // What uses a value of a body belongs to it.
        let innermost = inputs.iter().map(|v| v.graph).max_by_key(|g| g.depth());
        if let Some(body) = innermost.filter(|g| g.depth() > self.depth()) {
            return body.apply(what, op, inputs);
        }
        let Some(ids) = self.own(inputs) else { return self.spoiled() };
        let mut inner = self.inner.borrow_mut();
        inner.graph.set_location(Some(location));
        let result = inner.graph.add(op, &ids);
        drop(inner);
        self.keep(
            result.map_err(|mut error| {
                error.operator = what.to_owned();
                error.into()
            }),
            location,
        )
    }

    /// A handle of the node, or the error kept and a handle that spoils what uses it.
    pub(crate) fn keep<'g>(
        &'g self,
        result: Result<NodeId, BuildError>,
        location: &'static Location<'static>,
    ) -> Value<'g> {
        let id = match result {
            Ok(id) => Some(id),
            Err(mut error) => {
                error.location = Some(location);
                self.fail(error);
                None
            }
        };
        Value { graph: self, id }
    }

    /// The nodes of values; none if one came of a mistake or, which is one, is of another graph. Values of the graph around
    /// become inputs of a body.
    #[track_caller]
    pub(crate) fn own(&self, values: &[Value<'_>]) -> Option<Vec<NodeId>> {
        if self.inner.borrow().closed {
            self.outermost()
                .refuse("a value of a body is used outside of it; return it from the body".to_owned());
            return None;
        }
        // A loop, not a closure, which would hide the caller's line.
        let mut ids = vec![];
        for &value in values {
            ids.push(self.own_one(value)?);
        }
        Some(ids)
    }

    #[track_caller]
    fn own_one(&self, value: Value<'_>) -> Option<NodeId> {
        if value.graph.is(self) {
            return value.id;
        }
        let Some(parent) = self.parent.as_ref().filter(|_| !value.graph.inner.borrow().closed) else {
            self.refuse("a value of another graph; build all of a model with one".to_owned());
            return None;
        };
        let outside = parent.own_one(value)?;
        if let Some(known) = self.inner.borrow().captured.iter().find(|c| c.0 == outside) {
            return Some(known.1);
        }
        let ty = parent.inner.borrow().graph.ty(outside);
        let id = self.body_input(Some(ty)).id?;
        self.inner.borrow_mut().captured.push((outside, id));
        Some(id)
    }

    pub(crate) fn outermost(&self) -> &Graph {
        self.parent.as_ref().map_or(self, |p| p.outermost())
    }

    /// What is given as a shape, or none and the error kept.
    #[track_caller]
    pub(crate) fn shape(&self, what: &str, shape: impl Dims) -> Option<Shape> {
        match shape.dims() {
            Ok(shape) => Some(shape),
            Err(error) => {
                self.refuse(format!("{what}: {error}"));
                None
            }
        }
    }

    /// A value that spoils what uses it.
    pub(crate) fn spoiled(&self) -> Value<'_> {
        Value { graph: self, id: None }
    }

    /// Keeps the first error.
    pub(crate) fn fail(&self, error: BuildError) {
        self.inner.borrow_mut().error.get_or_insert(error);
    }

    /// Keeps a mistake in what a model was asked for, such as a size that it cannot have, at the caller's line: building goes
    /// on, and whoever takes the graph is told of its first mistake. Gives a value that spoils what uses it.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [4, 7]);
    /// let halves = if x.shape()[1] % 2 == 0 { x.reshape([4, 2, 3]) } else { g.mistake("expected an even width") };
    /// halves.tanh();
    /// assert!(g.finish().unwrap_err().to_string().ends_with("expected an even width"));
    /// ```
    #[track_caller]
    pub fn mistake(&self, message: impl Into<String>) -> Value<'_> {
        self.refuse(message.into())
    }

    /// Keeps an error of the caller's; gives a handle that spoils what uses it.
    #[track_caller]
    pub(crate) fn refuse(&self, message: String) -> Value<'_> {
        self.fail(BuildError::new(Location::caller(), message));
        self.spoiled()
    }
}

impl Inner {
    pub(crate) fn scoped(&self, name: &str) -> String {
        self.scope.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("/")
    }
}
