//! Operations of formulas, as people count them.

use bespoke_graph::{
    Graph, Op,
    op::{Binary, Unary},
};

use crate::cost;

/// The number of operations of a graph, shared ones once: each of `+ − · /`, a change of sign, a power, a comparison, a choice
/// between two values, and a function is one, whatever the shapes. What is one function of the graph and not of a formula counts
/// as it is written: 1/√x, log(1 + x), eˣ − 1 and x⁻ⁿ two. Constants and what can be computed from them are free, as are
/// values under another shape or type.
///
/// ```
/// use bespoke_graph::{Graph, op::Unary};
/// use bespoke_optimize::operations;
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::new(DType::F64, []))?;
/// let t = g.unary(Unary::Tanh, x);
/// let (one, square) = (g.fill_like(t, 1.0), g.times(t, t));
/// let y = g.minus(one, square);
/// g.set_output("y", y)?;
/// assert_eq!(operations(&g), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn operations(graph: &Graph) -> usize {
    count(graph, false)
}

/// [`operations`] in elementary functions: σ(x) = eˣ/(1 + eˣ) and softplus(x) = log(1 + eˣ) are three each, which share nothing.
pub fn elementary_operations(graph: &Graph) -> usize {
    count(graph, true)
}

fn count(graph: &Graph, elementary: bool) -> usize {
    let live = graph.live();
    let is_divided = |id| match graph.node(id).op {
        Op::Binary(Binary::Pow) => graph.number(graph.node(id).inputs[1]).is_some_and(|n| n < 0.0),
        _ => false,
    };
    let divisions = graph.ids().filter(|&id| live[id.index()] && is_divided(id)).count();
    cost::each(graph, |op, _, _| of_node(op, elementary)).0.iter().sum::<f64>() as usize + divisions
}

/// Operations of a node. Negative constant exponents are not seen: rules write them as quotients.
pub fn of_node(op: &Op, elementary: bool) -> f64 {
    match op {
        Op::Input(_) | Op::StateRead(_) | Op::Constant(_) | Op::Iota(_) => 0.0,
        Op::Reshape(_) | Op::Broadcast(_) | Op::Transpose(_) | Op::Convert(_) => 0.0,
        Op::StopGradient(_) | Op::Barrier(_) => 0.0,
        Op::Unary(Unary::Sigmoid | Unary::Softplus) if elementary => 3.0,
        Op::Unary(Unary::Rsqrt | Unary::Log1p | Unary::Expm1) => 2.0,
        _ => 1.0,
    }
}
