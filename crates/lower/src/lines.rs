//! Operators that run along an axis, line by line: cumulative ones and sorting.

use bespoke_graph::{Graph, NodeId, Op, op};
use bespoke_loops::{ExprId, Stmt, VarId};
use bespoke_tensor::DType;

use crate::{BufferIndex, builder::Builder, builder::wrap};

/// Elements of an axis up to which each asks all others.
const SHORT: usize = 8;

/// The cumulative operator of a node that runs along its axis once.
pub fn cumulative(graph: &Graph, id: NodeId) -> Option<&op::Cumulative> {
    match &graph.node(id).op {
        Op::Cumulative(c) => Some(c).filter(|c| graph.ty(id).shape[c.axis] > SHORT),
        _ => None,
    }
}

/// The sorting operator of a node that is worth a launch of its own.
pub fn sort(graph: &Graph, id: NodeId) -> Option<&op::ArgSort> {
    match &graph.node(id).op {
        Op::ArgSort(s) => Some(s).filter(|s| graph.ty(id).shape[s.axis] > SHORT),
        _ => None,
    }
}

/// One launch that sorts lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// A name for people; unique within a program.
    pub name: String,
    /// What is sorted.
    pub from: BufferIndex,
    /// Where the positions go, as i32.
    pub to: BufferIndex,
    /// The type of what is sorted.
    pub dtype: DType,
    /// Extents: of the axes before, of the lines, of the axes after.
    pub extents: [usize; 3],
    /// Is the greatest first?
    pub descending: bool,
}

/// The loops over all lines, and the statements of one: along the axis, each element is taken in and what has come together
/// is stored. `store` gives the stores of a value at an index.
pub fn run_along(
    builder: &mut Builder<'_>,
    graph: &Graph,
    id: NodeId,
    store: impl FnOnce(&mut Builder<'_>, ExprId, ExprId) -> Stmt,
) -> Vec<VarId> {
    let Op::Cumulative(c) = &graph.node(id).op else { unreachable!("the caller asked") };
    let ty = graph.ty(id);
    let acc = builder.declare_acc(ty.dtype, c.combine);
    let start = builder.exprs.literal(c.combine.identity(ty.dtype));
    builder.push(Stmt::Init { acc, value: start });
    let vars: Vec<VarId> = ty.shape.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
    let mut index: Vec<ExprId> = vars.iter().map(|&v| builder.exprs.var(v)).collect();
    if c.reverse {
        let back = builder.exprs.index_mul(index[c.axis], -1);
        let last = builder.exprs.index_const(ty.shape[c.axis] as i64 - 1);
        index[c.axis] = builder.exprs.index_add(back, last);
    }
    let flat = builder.exprs.flatten(&ty.shape, &index);
    builder.open();
    let value = builder.element(graph.node(id).inputs[0], &index);
    let mut inner = builder.close();
    inner.push(Stmt::Update { acc, value });
    let so_far = builder.exprs.acc(acc);
    inner.push(store(builder, flat, so_far));
    let along = wrap(inner, &[vars[c.axis]]);
    builder.push(along);
    vars.into_iter().enumerate().filter(|v| v.0 != c.axis).map(|v| v.1).collect()
}
