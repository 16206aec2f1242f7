//! Values whose elements are not asked for one by one, but whose operands are put where they belong.

use bespoke_graph::{Graph, NodeId, Op};

/// Elements from which pieces are worth a launch each.
const MANY: usize = 4096;

/// Is the value computed by putting its operands in place?
pub fn is_pushed(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    match &node.op {
        // Its elements had better not ask every update.
        Op::ScatterAdd(scatter) => {
            graph.ty(node.inputs[1]).shape[scatter.batch..].iter().product::<usize>() > 4
        }
        // They had better not ask every part.
        Op::Concatenate(_) => node.ty.elements() >= MANY,
        _ => false,
    }
}
