//! Windows: reductions over pieces that lie side by side or overlap.

use bespoke_graph::{
    Graph, NodeId, Op,
    op::{Pad, WindowReduce},
};

/// The graph in which windows lie inside of their operand: what takes no part is written around it, so that they are read
/// without questions.
pub fn write_out_padding(graph: Graph) -> Graph {
    let padded = |id: NodeId| match &graph.node(id).op {
        Op::WindowReduce(reduce) => Some(reduce).filter(|r| r.windows.is_padded()),
        _ => None,
    };
    if !graph.ids().any(|id| padded(id).is_some()) {
        return graph;
    }
    graph.rebuild(|copy, id, inputs| {
        let Some(reduce) = padded(id) else { return copy.must(graph.node(id).op.clone(), inputs) };
        let ty = copy.ty(inputs[0]);
        let lead = ty.rank() - reduce.windows.axes();
        let ends = |side: fn(&(usize, usize)) -> usize| {
            let sides = reduce.windows.padding.iter().map(side);
            std::iter::repeat_n(0, lead).chain(sides).collect::<Vec<_>>()
        };
        let pad = Pad { low: ends(|p| p.0), high: ends(|p| p.1), inner: vec![0; ty.rank()] };
        let identity = copy.scalar(reduce.combine.identity(ty.dtype));
        let padded = copy.must(pad, &[inputs[0], identity]);
        let mut inside = WindowReduce { ..reduce.clone() };
        inside.windows.padding.fill((0, 0));
        copy.must(inside, &[padded])
    })
}
