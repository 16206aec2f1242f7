//! Where a loss that is no number comes from.

use bespoke_graph::{Graph as Ir, NodeId, Op, Operator, eval_all};
use bespoke_tensor::{DType, Tensor};

use crate::TrainError;

/// Are all elements finite? Integers are.
pub fn is_finite(value: &Tensor) -> bool {
    match value.dtype() {
        DType::F32 => value.view::<f32>().is_ok_and(|v| v.iter().all(|x| x.is_finite())),
        DType::F64 => value.view::<f64>().is_ok_and(|v| v.iter().all(|x| x.is_finite())),
        _ => true,
    }
}

/// The error for a step whose loss, or a state after which, is not finite. With the states of before, the graph is evaluated
/// again, and the error names the first operator that made a NaN or an infinity of what is finite: the one that a NaN comes from if
/// there is any.
pub fn explain(
    graph: &Ir,
    before: Option<&[(String, Tensor)]>,
    inputs: &[(&str, &Tensor)],
    loss: f64,
    (step, epoch): (usize, usize),
) -> TrainError {
    let not_finite = TrainError::NotFinite { loss, step, epoch };
    let Some(states) = before else { return not_finite };
    let source = |name: &str| {
        let input = inputs.iter().find(|i| i.0 == name).map(|i| i.1.clone());
        input.or_else(|| states.iter().find(|s| s.0 == name).map(|s| s.1.clone()))
    };
    let Ok(values) = eval_all(graph, &source) else { return not_finite };
    let has = |id: NodeId, test: fn(f64) -> bool| values[id.index()].scalars().any(|s| test(s.to_f64()));
    let first = |test: fn(f64) -> bool| {
        let makes = |id: &NodeId| {
            let node = graph.node(*id);
            let is_meant = matches!(node.op, Op::Constant(_));
            !is_meant
                && node.ty.dtype.is_float()
                && has(*id, test)
                && !node.inputs.iter().any(|i| has(*i, test))
        };
        graph.ids().find(makes)
    };
    let Some(id) = first(f64::is_nan).or_else(|| first(f64::is_infinite)) else { return not_finite };
    // ∞ · 0 and ∞ − ∞ are NaN: what is wrong began where the infinity did, unless it is meant.
    let mut origin = id;
    while let Some(&operand) = graph.node(origin).inputs.iter().find(|i| has(**i, f64::is_infinite)) {
        origin = operand;
    }
    let id = if matches!(graph.node(origin).op, Op::Constant(_)) { id } else { origin };
    let node = graph.node(id);
    let what = match &node.op {
        Op::Input(input) => format!("input `{}`", input.name),
        Op::StateRead(state) => format!("state `{}`", state.name),
        op => format!("operator {} ({id})", op.name()),
    };
    let value = values[id.index()].scalars().map(|s| s.to_f64()).find(|v| !v.is_finite()).unwrap_or(f64::NAN);
    TrainError::Anomaly { what, ty: node.ty, value, location: node.location, step, epoch }
}
