//! What is used as index just as it is: inputs, which are checked before a run, and constants, which are checked here.

use bespoke_tensor::{Scalar, Tensor};

use crate::{
    Graph, GraphError, Node, NodeId, Op, Operator, inline_customs,
    op::{Slice, index_operands},
};

/// An input whose elements, or those of a part of it, are indices of a gather or scatter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexInput {
    /// The input's name.
    pub input: String,
    /// The number of positions that can be pointed at.
    pub extent: usize,
    /// The part that serves as index, if it is not all.
    pub part: Option<Slice>,
}

impl IndexInput {
    /// The first element that points at no position: its number in the whole input, and its value.
    pub fn first_outside(&self, value: &Tensor) -> Option<(usize, i64)> {
        first_outside(value, self.extent, self.part.as_ref())
    }
}

/// A value that reaches index operands just as it is.
struct Source {
    id: NodeId,
    extent: usize,
    part: Option<Slice>,
    /// What takes the indices; in a body, the loop.
    user: NodeId,
}

/// The inputs whose elements are used as indices. Of the graph as the user wrote it: rewriting may bring inputs nearer to where
/// they are used, or farther. An index that is computed is not known before a run, and is clamped in it.
///
/// ```
/// use bespoke_graph::{Graph, index_inputs, op};
/// use bespoke_tensor::Type;
///
/// let mut g = Graph::new();
/// let table = g.input("table", "f32[50,8]".parse::<Type>()?)?;
/// let words = g.input("words", "i32[4]".parse::<Type>()?)?;
/// let rows = g.add(op::Gather { axis: 0, batch: 0 }, &[table, words])?;
/// g.set_output("rows", rows)?;
/// let found = index_inputs(&g);
/// assert_eq!((found.len(), found[0].input.as_str(), found[0].extent), (1, "words", 50));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn index_inputs(graph: &Graph) -> Vec<IndexInput> {
    let graph = &*inline_customs(graph);
    let mut found = vec![];
    let live = graph.live();
    for Source { id, extent, part, .. } in sources(graph, &|id| live[id.index()]) {
        if let Op::Input(input) = &graph.node(id).op {
            let index = IndexInput { input: input.name.clone(), extent, part };
            if !found.contains(&index) {
                found.push(index);
            }
        }
    }
    found
}

/// Refuses constant indices that point at no position, whether what they pick is used or not.
///
/// # Errors
/// [`GraphError`] of the operator that takes them, with the value and what was expected.
pub fn check_constant_indices(graph: &Graph) -> Result<(), GraphError> {
    let graph = &*inline_customs(graph);
    check_constants(graph)
}

fn check_constants(graph: &Graph) -> Result<(), GraphError> {
    for Source { id, extent, part, user } in sources(graph, &|_| true) {
        let outside = match &graph.node(id).op {
            Op::Constant(constant) => first_outside(&constant.value, extent, part.as_ref()).map(|o| o.1),
            Op::Iota(iota) if iota.ty.elements() > 0 => {
                let part = part.as_ref();
                let last = part.map_or(iota.ty.shape[iota.axis], |p| last_of(p, iota.axis) + 1) - 1;
                (last >= extent).then_some(last as i64)
            }
            _ => None,
        };
        if let Some(value) = outside {
            let node = graph.node(user);
            return Err(GraphError {
                operator: node.op.name().to_owned(),
                operands: node.inputs.iter().map(|&i| graph.ty(i)).collect(),
                rule: format!("index {value} is out of range, expected 0 to {}", extent - 1),
                location: node.location,
            });
        }
    }
    let bodies = graph.ids().filter_map(|id| match &graph.node(id).op {
        Op::Scan(scan) => Some(&scan.body),
        _ => None,
    });
    bodies.into_iter().try_for_each(|body| check_constants(body))
}

/// The last position of a slice, which is not empty, along an axis.
fn last_of(part: &Slice, axis: usize) -> usize {
    let (start, step) = (part.start[axis], part.step[axis]);
    start + (part.limit[axis] - start - 1) / step * step
}

fn first_outside(value: &Tensor, extent: usize, part: Option<&Slice>) -> Option<(usize, i64)> {
    let in_part = |position: usize| {
        let Some(part) = part else { return true };
        let mut rest = position;
        value.shape().iter().enumerate().rev().all(|(axis, &extent)| {
            let at = rest % extent;
            rest /= extent;
            let (start, limit) = (part.start[axis], part.limit[axis]);
            (start..limit).contains(&at) && (at - start).is_multiple_of(part.step[axis])
        })
    };
    let outside = |value: Scalar| {
        let value = value.to_i64().expect("indices are integers");
        (value < 0 || value >= extent as i64).then_some(value)
    };
    let mut values = value.scalars().enumerate();
    values.find_map(|(position, v)| outside(v).filter(|_| in_part(position)).map(|v| (position, v)))
}

/// All inputs, constants and counts that reach index operands of these nodes just as they are.
fn sources(graph: &Graph, users: &dyn Fn(NodeId) -> bool) -> Vec<Source> {
    let mut found: Vec<Source> = vec![];
    let mut stack = vec![];
    // What was followed for the present user: values may be joined with themselves again and again.
    let mut seen: Vec<(NodeId, usize)> = vec![];
    for user in graph.ids().filter(|&id| users(id)) {
        let node = graph.node(user);
        match &node.op {
            Op::Gather(_) | Op::ScatterAdd(_) => {
                let axis = match &node.op {
                    Op::Gather(gather) => gather.axis,
                    Op::ScatterAdd(scatter) => scatter.axis,
                    _ => unreachable!("one of both"),
                };
                let x = graph.ty(node.inputs[0]);
                for (j, &id) in index_operands(node).iter().enumerate() {
                    stack.push(Source { id, extent: x.shape[axis + j], part: None, user });
                }
            }
            Op::Scan(scan) => {
                // Carried values change from step to step; the others are inputs of the body as they are.
                let inputs: Vec<NodeId> = scan.body.inputs().map(|i| i.1).collect();
                for Source { id, extent, part, .. } in sources(&scan.body, &|_| true) {
                    let operand = inputs.iter().position(|&input| input == id);
                    if let (Some(operand), None) = (operand.filter(|&o| o >= scan.carried), part) {
                        stack.push(Source { id: node.inputs[operand], extent, part: None, user });
                    }
                }
            }
            _ => continue,
        }
        seen.clear();
        while let Some(Source { id, extent, part, user }) = stack.pop() {
            if part.is_none() {
                if seen.contains(&(id, extent)) {
                    continue;
                }
                seen.push((id, extent));
            }
            let node = graph.node(id);
            match followed(graph, node, &part) {
                Some(part) => stack.extend(node.inputs.iter().map(|&id| Source {
                    id,
                    extent,
                    part: part.clone(),
                    user,
                })),
                None if matches!(node.op, Op::Input(_) | Op::Constant(_) | Op::Iota(_)) => {
                    found.push(Source { id, extent, part, user });
                }
                None => {}
            }
        }
    }
    found
}

/// The part of its operands whose elements a node gives on as they are, where it does so and `part` of the node is wanted.
fn followed(graph: &Graph, node: &Node, part: &Option<Slice>) -> Option<Option<Slice>> {
    match (&node.op, part) {
        (Op::StopGradient(_) | Op::Barrier(_), _) => Some(part.clone()),
        (Op::Convert(_), _) => {
            let from = graph.ty(node.inputs[0]).dtype;
            // What is narrower may become another number.
            (from.is_int() && node.ty.dtype.size() >= from.size()).then(|| part.clone())
        }
        (
            Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Reverse(_) | Op::Concatenate(_),
            None,
        ) => Some(None),
        (Op::Slice(slice), None) => {
            let from = graph.ty(node.inputs[0]);
            if node.ty.elements() == 0 {
                return None;
            }
            let is_whole = node.ty == from;
            Some((!is_whole).then(|| slice.clone()))
        }
        _ => None,
    }
}
