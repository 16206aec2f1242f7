//! Forward mode: tangents flow along with the values (dual numbers a + bε, ε² = 0, as a graph).

use bespoke_graph::{Graph, NodeId, Op, Operator};

use crate::{GradError, check_type, custom, scan};

/// Appends the Jacobian-vector product: the tangents of `outputs` when each value of `tangents` moves along its tangent
/// (of its own type). `None` for an output that does not move. One of these values may depend on another: it then moves both with
/// that other and along its own tangent, as a [`vjp`](crate::vjp) by both has it.
///
/// Every node between them gets the tangent that its operator makes of its operands' tangents (Griewank & Walther,
/// *Evaluating Derivatives*, 2008, ch. 3.1). The tangents are nodes like any other and can be differentiated again.
///
/// ```
/// use bespoke_graph::{Graph, eval, op};
/// use bespoke_tensor::{DType, Tensor, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::scalar(DType::F64))?;
/// let y = g.unary(op::Unary::Exp, x);
/// let one = g.fill_like(x, 1.0);
/// let dy = bespoke_autodiff::jvp(&mut g, &[y], &[(x, one)])?[0].unwrap();
/// g.set_output("dy", dy)?;
/// let values = eval(&g, &|_| Some(Tensor::scalar(0.0)))?;
/// assert_eq!(values.outputs["dy"], Tensor::scalar(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GradError`] if a tangent has another type than its value, or the value is not of floats.
pub fn jvp(
    graph: &mut Graph,
    outputs: &[NodeId],
    tangents: &[(NodeId, NodeId)],
) -> Result<Vec<Option<NodeId>>, GradError> {
    for &(value, tangent) in tangents {
        check_type(graph, "jvp", "tangent", value, tangent)?;
        if !graph.ty(value).dtype.is_float() {
            return Err(GradError::NotFloat(value, graph.ty(value)));
        }
    }
    let end = outputs.iter().map(|o| o.index() + 1).max().unwrap_or(0);
    let mut moving: Vec<Option<NodeId>> = vec![None; end];
    let given: Vec<_> = tangents.iter().copied().filter(|t| t.0.index() < end).collect();
    given.iter().for_each(|&(value, tangent)| add(graph, &mut moving[value.index()], Some(tangent)));
    let needed = needed_for(graph, outputs);
    let first_siblings = scan::first_siblings(graph, end);
    for id in graph.ids().take(end) {
        let first = first_siblings[id.index()];
        if first.is_none() && !needed[id.index()] || first.is_some_and(|first| first != id) {
            continue;
        }
        let node = graph.node(id).clone();
        let operands: Vec<Option<NodeId>> = node.inputs.iter().map(|i| moving[i.index()]).collect();
        if operands.iter().all(Option::is_none) {
            continue;
        }
        graph.set_location(node.location);
        if first.is_none() {
            let found = match &node.op {
                Op::Custom(custom) => custom::jvp(graph, id, custom, &operands)?,
                op => op.jvp(graph, id, &operands),
            };
            add(graph, &mut moving[id.index()], found);
            continue;
        }
        let siblings: Vec<usize> =
            (id.index()..end).filter(|&i| first_siblings[i] == first && needed[i]).collect();
        let results: Vec<usize> = siblings
            .iter()
            .map(|&i| match &graph.node(NodeId(i as u32)).op {
                Op::Scan(scan) => scan.result,
                _ => unreachable!("siblings are scans"),
            })
            .collect();
        let found = scan::jvp(graph, id, &operands, &results)?;
        siblings.into_iter().zip(found).for_each(|(i, tangent)| add(graph, &mut moving[i], tangent));
    }
    graph.set_location(None);
    Ok(outputs.iter().map(|o| moving[o.index()]).collect())
}

/// Adds a tangent, if there is one, to what there is.
fn add(graph: &mut Graph, sum: &mut Option<NodeId>, tangent: Option<NodeId>) {
    *sum = match (*sum, tangent) {
        (Some(sum), Some(tangent)) => Some(graph.plus(sum, tangent)),
        (sum, tangent) => sum.or(tangent),
    };
}

/// The nodes that these depend on: the tangents of others would be dead.
fn needed_for(graph: &Graph, outputs: &[NodeId]) -> Vec<bool> {
    let mut needed = vec![false; graph.len()];
    outputs.iter().for_each(|o| needed[o.index()] = true);
    for id in graph.ids().rev() {
        if needed[id.index()] {
            graph.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    needed
}
