//! Loops of graphs.

mod batch;
mod fission;
mod sums;

use bespoke_graph::{Graph, NodeId, Op};

pub use fission::{fission, sums_behind};

/// The number of loops of a graph.
pub fn count(graph: &Graph) -> usize {
    let live = graph.live();
    let mut first: Vec<NodeId> = vec![];
    for id in graph.ids().filter(|id| live[id.index()] && matches!(graph.node(*id).op, Op::Scan(_))) {
        if !first.iter().any(|&f| graph.are_siblings(f, id)) {
            first.push(id);
        }
    }
    first.len()
}
