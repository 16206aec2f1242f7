//! One operator for all steps of a loop at once: values of all steps are stacked along a new leading axis.

use bespoke_graph::{Graph, NodeId, Op, op};
use bespoke_tensor::{Shape, Type};
use smallvec::SmallVec;

/// A value of a step, outside of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// The value.
    pub node: NodeId,
    /// Has it a leading axis of steps? If not, it is the same in each.
    pub stacked: bool,
}

/// Is there a form of the operator for all steps?
pub fn is_supported(op: &Op) -> bool {
    matches!(
        op,
        Op::Constant(_)
            | Op::Iota(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Select(_)
            | Op::Convert(_)
            | Op::StopGradient(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Broadcast(_)
            | Op::Slice(_)
            | Op::Concatenate(_)
            | Op::Reverse(_)
            | Op::Reduce(_)
            | Op::Dot(_)
    )
}

/// The shape with a leading axis of steps.
fn stacked(steps: usize, shape: Shape) -> Option<Shape> {
    Shape::new(&[&[steps], &shape[..]].concat()).ok()
}

/// A value in all steps, with a leading axis.
pub fn spread(graph: &mut Graph, value: Outside, steps: usize) -> Option<NodeId> {
    if value.stacked {
        return Some(value.node);
    }
    let ty = graph.ty(value.node);
    let axes: Vec<usize> = (1..=ty.rank()).collect();
    Some(graph.broadcast(value.node, stacked(steps, ty.shape)?, &axes))
}

fn shifted(axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|a| a + 1).collect()
}

fn behind(first: usize, rest: &[usize]) -> Vec<usize> {
    [&[first], rest].concat()
}

/// Appends what an operator, of which `ty` is the type in a step, gives for all steps. `None` if it is not supported, or its
/// result is too large.
pub fn batch(graph: &mut Graph, op: &Op, inputs: &[Outside], ty: Type, steps: usize) -> Option<Outside> {
    if !is_supported(op) {
        return None;
    }
    let nodes: SmallVec<[NodeId; 3]> = inputs.iter().map(|i| i.node).collect();
    if inputs.iter().all(|i| !i.stacked) {
        return Some(Outside { node: graph.add(op.clone(), &nodes).ok()?, stacked: false });
    }
    let shape = stacked(steps, ty.shape)?;
    let wide: Op = match op {
        Op::Dot(d) => return dot(graph, d, inputs, ty),
        Op::Reshape(_) => op::Reshape { shape }.into(),
        Op::Transpose(t) => op::Transpose { permutation: behind(0, &shifted(&t.permutation)) }.into(),
        Op::Broadcast(b) => op::Broadcast { shape, axes: behind(0, &shifted(&b.axes)) }.into(),
        Op::Slice(s) => {
            let op::Slice { start, limit, step } = s;
            op::Slice { start: behind(0, start), limit: behind(steps, limit), step: behind(1, step) }.into()
        }
        Op::Concatenate(c) => op::Concatenate { axis: c.axis + 1 }.into(),
        Op::Reverse(r) => op::Reverse { axes: shifted(&r.axes) }.into(),
        Op::Reduce(r) => op::Reduce { combine: r.combine, axes: shifted(&r.axes) }.into(),
        elementwise => elementwise.clone(),
    };
    let nodes = inputs.iter().map(|&i| spread(graph, i, steps)).collect::<Option<SmallVec<[NodeId; 3]>>>()?;
    Some(Outside { node: graph.add(wide, &nodes).ok()?, stacked: true })
}

/// Steps are a batch dimension of a dot where both operands have them, and else a free one of one operand.
fn dot(graph: &mut Graph, d: &op::Dot, inputs: &[Outside], ty: Type) -> Option<Outside> {
    let [x, y] = inputs else { return None };
    let own = |stacked: bool, dims: &[usize]| if stacked { shifted(dims) } else { dims.to_vec() };
    let mut wide = op::Dot {
        batch: (own(x.stacked, &d.batch.0), own(y.stacked, &d.batch.1)),
        contract: (own(x.stacked, &d.contract.0), own(y.stacked, &d.contract.1)),
    };
    if x.stacked && y.stacked {
        wide.batch.0.insert(0, 0);
        wide.batch.1.insert(0, 0);
    }
    let free = wide.lhs_free(graph.ty(x.node).rank()).len();
    let node = graph.add(wide, &[x.node, y.node]).ok()?;
    // Where the steps have come.
    let at = match (x.stacked, y.stacked) {
        (true, true) => 0,
        (true, false) => d.batch.0.len(),
        _ => d.batch.0.len() + free,
    };
    let order: Vec<usize> = [at].into_iter().chain((0..=ty.rank()).filter(|&a| a != at)).collect();
    Some(Outside { node: graph.transpose(node, &order), stacked: true })
}
