//! The operators, a file each. A new one is a file here and a line in the list below.

use bespoke_loops::{Combine, ExprId, Exprs};
use bespoke_tensor::{DType, Tensor, Type};

use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// What an operator is: its types, meaning, derivative and loop expression.
pub trait Operator {
    /// Its name in the text form.
    fn name(&self) -> &'static str;

    /// Its attributes in the text form. What the result's type says is left out.
    fn attributes(&self) -> Attributes {
        Attributes::default()
    }

    /// The result's type.
    ///
    /// # Errors
    /// The rule that is broken: what was expected and what came.
    fn infer(&self, inputs: &[Type]) -> Result<Type, String>;

    /// The meaning, element by element; `ty` is the result's type. Operands have the types that `infer` accepts.
    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor;

    /// Appends the cotangents of the operands of `node`, given the cotangent of its value (of the same type). `None`
    /// where the operand is not of a float type or the derivative is zero everywhere.
    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>>;

    /// Appends the tangent of the value of `node`, given those of its operands (`None`: zero, or not of a float type; at
    /// least one is given), each of the type of its operand. `None` if it is zero.
    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId>;

    /// The element at an index, as a loop expression.
    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId;
}

/// What a definition is built from: a kernel under construction, seen from one node.
pub trait Define {
    /// The arena.
    fn exprs(&mut self) -> &mut Exprs;

    /// The type of the node's value.
    fn ty(&self) -> Type;

    /// The number of operands.
    fn operands(&self) -> usize;

    /// The type of an operand.
    fn operand_type(&self, operand: usize) -> Type;

    /// The element of an operand at an index, which must lie inside (see
    /// [`Exprs::index_clamp`](bespoke_loops::Exprs::index_clamp)).
    fn operand(&mut self, operand: usize, index: &[ExprId]) -> ExprId;

    /// Combines the values that `body` gives at each position within `extents`.
    fn reduce(&mut self, combine: Combine, dtype: DType, extents: &[usize], body: ReduceBody<'_>) -> ExprId;

    /// Runs `body` at each position within `extents`, in row-major order. It gets the position and what it returned
    /// before, at first `init`.
    fn fold(&mut self, init: &[ExprId], extents: &[usize], body: FoldBody<'_>) -> Vec<ExprId>;
}

/// Gives the value at a position.
pub type ReduceBody<'a> = &'a mut dyn FnMut(&mut dyn Define, &[ExprId]) -> ExprId;

/// Gives the values after a position from those before.
pub type FoldBody<'a> = &'a mut dyn FnMut(&mut dyn Define, &[ExprId], &[ExprId]) -> Vec<ExprId>;

macro_rules! operators {
    ($($module:ident :: $name:ident),* $(,)?) => {
        $(mod $module; pub use $module::$name;)*

        /// An operator with its attributes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        $(impl From<$name> for Op {
            fn from(op: $name) -> Op {
                Op::$name(op)
            }
        })*

        impl Op {
            fn get(&self) -> &dyn Operator {
                match self { $(Op::$name(op) => op,)* }
            }

            /// Reads an operator from its name, attributes and result type.
            ///
            /// # Errors
            /// `None` if there is no operator of this name, else what is wrong with the attributes.
            pub fn read(name: &str, attributes: &mut Reader, ty: Type) -> Option<Result<Op, String>> {
                $(if let Some(result) = $name::read(name, attributes, ty) {
                    return Some(result.map(Op::$name));
                })*
                None
            }

            /// The names of all operators, in the order of the list.
            pub fn names() -> Vec<&'static str> {
                let mut names = vec![];
                $(names.extend($name::names());)*
                names
            }
        }
    };
}

// The list.
operators! {
    input::Input,
    state::StateRead,
    constant::Constant,
    iota::Iota,
    random::RandomBits,
    unary::Unary,
    binary::Binary,
    select::Select,
    convert::Convert,
    reshape::Reshape,
    transpose::Transpose,
    broadcast::Broadcast,
    slice::Slice,
    pad::Pad,
    concatenate::Concatenate,
    reverse::Reverse,
    reduce::Reduce,
    arg_reduce::ArgReduce,
    dot::Dot,
    convolution::Convolution,
    gather::Gather,
    scatter_add::ScatterAdd,
    stop_gradient::StopGradient,
    scan::Scan,
    window_reduce::WindowReduce,
    window_arg::WindowArg,
    dynamic_slice::DynamicSlice,
    dynamic_update::DynamicUpdate,
    cumulative::Cumulative,
    arg_sort::ArgSort,
    barrier::Barrier,
    custom::Custom,
}

pub use arg_reduce::Extremum;

impl Operator for Op {
    fn name(&self) -> &'static str {
        self.get().name()
    }
    fn attributes(&self) -> Attributes {
        self.get().attributes()
    }
    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        self.get().infer(inputs)
    }
    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        self.get().eval(inputs, ty)
    }
    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        self.get().vjp(graph, node, cotangent)
    }
    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        self.get().jvp(graph, node, tangents)
    }
    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        self.get().define(definer, index)
    }
}

/// The index operands of a gather or scatter.
pub fn index_operands(node: &crate::Node) -> &[NodeId] {
    match &node.op {
        Op::Gather(_) => &node.inputs[1..],
        Op::ScatterAdd(_) => &node.inputs[1..node.inputs.len() - 1],
        _ => &[],
    }
}

/// Exactly `N` operands.
fn operands<const N: usize>(inputs: &[Type]) -> Result<[Type; N], String> {
    let plural = if N == 1 { "" } else { "s" };
    inputs.try_into().map_err(|_| format!("expected {N} operand{plural}, got {}", inputs.len()))
}

/// Distinct axes below `rank`.
fn check_axes(what: &str, axes: &[usize], rank: usize) -> Result<(), String> {
    for (i, &axis) in axes.iter().enumerate() {
        if axis >= rank {
            return Err(format!("{what} {axis} is out of range for an operand of rank {rank}"));
        }
        if axes[..i].contains(&axis) {
            return Err(format!("{what} {axis} appears twice"));
        }
    }
    Ok(())
}

/// The shape of these dimensions, or why there is none.
fn shape(dims: &[usize]) -> Result<bespoke_tensor::Shape, String> {
    bespoke_tensor::Shape::new(dims).map_err(|e| e.to_string())
}

/// A tangent as a node: zeros of the type of `like` where there is none.
fn tangent(graph: &mut Graph, tangent: Option<NodeId>, like: NodeId) -> NodeId {
    tangent.unwrap_or_else(|| graph.fill_like(like, 0.0))
}

/// The sum of two tangents that may be zero.
fn sum_of(graph: &mut Graph, left: Option<NodeId>, right: Option<NodeId>) -> Option<NodeId> {
    match (left, right) {
        (Some(left), Some(right)) => Some(graph.plus(left, right)),
        (left, right) => left.or(right),
    }
}

/// Calls `f` with every index within `dims`, in row-major order.
fn for_each_index(dims: &[usize], mut f: impl FnMut(&[usize])) {
    if dims.contains(&0) {
        return;
    }
    let mut index = vec![0; dims.len()];
    loop {
        f(&index);
        let Some(axis) = (0..dims.len()).rev().find(|&a| index[a] + 1 < dims[a]) else { return };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

/// The flat position of an index.
fn flat(strides: &[usize], index: &[usize]) -> usize {
    strides.iter().zip(index).map(|(s, i)| s * i).sum()
}

/// A tensor whose element at each index is the operand's at the index that `source` gives.
fn rearrange(operand: &Tensor, ty: Type, mut source: impl FnMut(&[usize], &mut [usize])) -> Tensor {
    let strides = operand.shape().strides();
    let mut from = vec![0; strides.len()];
    let mut positions = Vec::with_capacity(ty.elements());
    for_each_index(&ty.shape, |index| {
        source(index, &mut from);
        positions.push(flat(&strides, &from));
    });
    Tensor::from_fn(ty, |i| operand.get(positions[i]))
}
