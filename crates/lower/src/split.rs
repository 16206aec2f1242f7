//! Splits what is too long for one kernel: reductions in two, so that threads can share them and sums stay accurate,
//! and concatenations of more operands than a kernel has buffers.

use bespoke_graph::{
    Graph, NodeId, Op,
    op::{Concatenate, Reduce},
};
use bespoke_tensor::Shape;

/// Elements combined into one from which a reduction is split.
const LONG: usize = 1 << 14;
/// Results from which there is enough to share without.
const MANY: usize = 64;
/// Parts at most. It depends on the shape alone: results must not depend on the number of threads.
const PARTS: usize = 64;
/// Operands of one concatenation at most.
const OPERANDS: usize = 32;

/// The graph with long reductions over trailing axes made in two steps, and concatenations of many operands in several.
pub fn split_long(graph: Graph) -> Graph {
    if !graph.ids().any(|id| parts_of(&graph, id).is_some() || is_wide(&graph, id)) {
        return graph;
    }
    graph.rebuild(|split, id, inputs| {
        let node = graph.node(id);
        match (&node.op, parts_of(&graph, id)) {
            (Op::Reduce(reduce), Some(parts)) => {
                let (kept, total) = (node.ty.shape, graph.ty(node.inputs[0]).elements() / node.ty.elements());
                let dims = [&kept[..], &[parts, total / parts]].concat();
                let grouped = split.reshape(inputs[0], Shape::new(&dims).expect("not longer than before"));
                let partial =
                    split.must(Reduce { combine: reduce.combine, axes: vec![kept.rank() + 1] }, &[grouped]);
                split.must(Reduce { combine: reduce.combine, axes: vec![kept.rank()] }, &[partial])
            }
            (Op::Concatenate(concatenate), _) => concatenated(split, concatenate, inputs.to_vec()),
            (op, _) => split.must(op.clone(), inputs),
        }
    })
}

fn is_wide(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    matches!(node.op, Op::Concatenate(_)) && node.inputs.len() > OPERANDS
}

/// The operands one after the other, by pieces if they are many.
fn concatenated(graph: &mut Graph, op: &Concatenate, mut operands: Vec<NodeId>) -> NodeId {
    while operands.len() > OPERANDS {
        operands = operands.chunks(OPERANDS).map(|piece| graph.must(op.clone(), piece)).collect();
    }
    graph.must(op.clone(), &operands)
}

/// In how many parts to reduce first, if it pays.
fn parts_of(graph: &Graph, id: NodeId) -> Option<usize> {
    let node = graph.node(id);
    let Op::Reduce(reduce) = &node.op else { return None };
    let (from, results) = (graph.ty(node.inputs[0]), node.ty.elements());
    let trailing = reduce.axes.iter().copied().eq(node.ty.rank()..from.rank());
    if !trailing || results == 0 || results >= MANY || node.ty.rank() + 2 > bespoke_tensor::MAX_RANK {
        return None;
    }
    let total = from.elements() / results;
    let parts = (8..=PARTS).rev().find(|p| total.is_multiple_of(*p));
    parts.filter(|_| total >= LONG)
}
