//! The builder that models are written with.

use std::{cell::RefCell, collections::BTreeMap, panic::Location};

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
}

/// A layer for the summary.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its scope: `dense0`.
    pub name: String,
    /// The type of its result.
    pub output: Type,
    /// The number of its parameters.
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
    pub(crate) inner: RefCell<Inner>,
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

    /// A named input.
    #[track_caller]
    pub fn input<'g>(&'g self, name: &str, dtype: DType, shape: impl Dims) -> Value<'g> {
        let Some(shape) = self.shape("input", shape) else { return self.spoiled() };
        let (ty, location) = (Type { dtype, shape }, Location::caller());
        let mut inner = self.inner.borrow_mut();
        inner.graph.set_location(Some(location));
        let result = inner.graph.input(name, ty);
        drop(inner);
        self.keep(result.map_err(BuildError::from), location)
    }

    /// A named state that starts with a value and keeps it until [`Graph::set_next`].
    #[track_caller]
    pub fn state<'g>(&'g self, name: &str, start: &Tensor) -> Value<'g> {
        let location = Location::caller();
        let mut inner = self.inner.borrow_mut();
        inner.graph.set_location(Some(location));
        let name = inner.scoped(name);
        let result = inner.graph.state(&name, start.ty());
        if result.is_ok() {
            inner.starts.push((name, start.clone()));
        }
        drop(inner);
        self.keep(result.map_err(BuildError::from), location)
    }

    /// A parameter: a state that training changes. Its name is put behind the scopes around.
    #[track_caller]
    pub fn parameter<'g>(&'g self, name: &str, dtype: DType, shape: impl Dims, init: Init) -> Value<'g> {
        let Some(shape) = self.shape("parameter", shape) else { return self.spoiled() };
        let (ty, location) = (Type { dtype, shape }, Location::caller());
        let mut inner = self.inner.borrow_mut();
        inner.graph.set_location(Some(location));
        let name = inner.scoped(name);
        let result = inner.graph.state(&name, ty);
        if let Ok(node) = result {
            inner.parameters.push(Parameter { name, node, ty, init, trainable: true });
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

    /// Runs `f` in a scope: parameters within are named `name/…`. Numbered when the name is used again in the same scope
    /// (`block`, `block1`, …).
    pub fn scope<T>(&self, name: &str, f: impl FnOnce() -> T) -> T {
        self.push_scope(name, false);
        let result = f();
        self.inner.borrow_mut().scope.pop();
        result
    }

    /// Enters a scope; layers are numbered from 0.
    pub(crate) fn push_scope(&self, name: &str, numbered: bool) -> String {
        let mut inner = self.inner.borrow_mut();
        let full = inner.scoped(name);
        let count = inner.counts.entry(full.clone()).or_default();
        let own = if *count > 0 || numbered { format!("{name}{count}") } else { name.to_owned() };
        *count += 1;
        let full = inner.scoped(&own);
        inner.scope.push(own);
        full
    }

    /// Names a value as output.
    #[track_caller]
    pub fn output(&self, name: &str, value: Value<'_>) {
        let location = Location::caller();
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
        let Some([state, next]) = self.own(&[state, next]).and_then(|ids| <[NodeId; 2]>::try_from(ids).ok())
        else {
            return;
        };
        let result = self.inner.borrow_mut().graph.set_next(state, next);
        if let Err(error) = result {
            self.fail(BuildError::new(location, error.to_string()));
        }
    }

    /// The gradients of a scalar with respect to values.
    #[track_caller]
    pub fn grad<'g>(&'g self, loss: Value<'g>, wrt: &[Value<'g>]) -> Vec<Value<'g>> {
        let location = Location::caller();
        let poisoned = || wrt.iter().map(|_| self.spoiled()).collect();
        let (Some(of), Some(ids)) = (self.own(&[loss]), self.own(wrt)) else { return poisoned() };
        let loss = of[0];
        let result = bespoke_autodiff::grad(&mut self.inner.borrow_mut().graph, loss, &ids);
        match result {
            Ok(gradients) => gradients.into_iter().map(|id| Value { graph: self, id: Some(id) }).collect(),
            Err(error) => {
                self.fail(BuildError::new(location, error.to_string()));
                poisoned()
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
            None => Ok(inner.graph.clone()),
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

    /// The nodes of values; none if one came of a mistake or, which is one, is of another graph.
    #[track_caller]
    fn own(&self, values: &[Value<'_>]) -> Option<Vec<NodeId>> {
        if values.iter().any(|v| !std::ptr::eq(v.graph, self)) {
            self.refuse("a value of another graph; build all of a model with one".to_owned());
            return None;
        }
        values.iter().map(|v| v.id).collect()
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

    /// Keeps an error of the caller's; gives a handle that spoils what uses it.
    #[track_caller]
    pub(crate) fn refuse(&self, message: String) -> Value<'_> {
        self.fail(BuildError::new(Location::caller(), message));
        self.spoiled()
    }
}

impl Inner {
    fn scoped(&self, name: &str) -> String {
        self.scope.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("/")
    }
}
