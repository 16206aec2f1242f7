//! Reverse mode: cotangents flow from a loss to what it depends on.

use bespoke_graph::{Graph, NodeId, Op, Operator};

use crate::{GradError, check_type, custom, scan};

/// Appends the gradient of `loss` with respect to each of `wrt` and returns its nodes, each of the type of its `wrt`.
///
/// Reverse mode: every node between `wrt` and `loss` gets the sum of the cotangents that its users send back
/// (Griewank & Walther, *Evaluating Derivatives*, 2008, ch. 3).
///
/// ```
/// use bespoke_graph::Graph;
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::scalar(DType::F32))?;
/// let y = g.times(x, x);
/// let dx = bespoke_autodiff::grad(&mut g, y, &[x])?[0]; // 2 · (1 · x)
/// assert_eq!(g.node(dx).op, bespoke_graph::op::Binary::Mul.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GradError`] if `loss` is not a scalar of a float type, or one of `wrt` is not of floats or not reachable.
pub fn grad(graph: &mut Graph, loss: NodeId, wrt: &[NodeId]) -> Result<Vec<NodeId>, GradError> {
    let ty = graph.ty(loss);
    if ty.rank() != 0 || !ty.dtype.is_float() {
        return Err(GradError::NotScalar(ty));
    }
    let seed = graph.fill(ty, 1.0);
    vjp(graph, &[(loss, seed)], wrt)
}

/// Appends the vector-Jacobian product: the gradients with respect to `wrt` of values whose cotangents are given as
/// pairs of value and cotangent (of the value's type).
///
/// # Errors
/// [`GradError`] if a cotangent has another type than its value, or one of `wrt` is not of floats or not reachable from
/// the values.
pub fn vjp(
    graph: &mut Graph,
    cotangents: &[(NodeId, NodeId)],
    wrt: &[NodeId],
) -> Result<Vec<NodeId>, GradError> {
    for &(value, cotangent) in cotangents {
        check_type(graph, "vjp", "cotangent", value, cotangent)?;
    }
    if let Some(&id) = wrt.iter().find(|&&id| !graph.ty(id).dtype.is_float()) {
        return Err(GradError::NotFloat(id, graph.ty(id)));
    }
    let found = self::cotangents(graph, cotangents, wrt)?;
    wrt.iter().zip(found).map(|(&id, cotangent)| cotangent.ok_or_else(|| unreachable(graph, id))).collect()
}

/// Nothing to differentiate leads from the value to this node.
pub fn unreachable(graph: &Graph, id: NodeId) -> GradError {
    let named = graph.states().iter().find(|s| s.node == id).map(|s| format!("state `{}`", s.name));
    let named = named.or_else(|| graph.inputs().find(|i| i.1 == id).map(|i| format!("input `{}`", i.0)));
    GradError::Unreachable(id, named.unwrap_or_else(|| graph.node(id).op.name().to_owned()))
}

/// The cotangents of `wrt`, all of floats, given those of values of their types; `None` where it is zero everywhere.
pub fn cotangents(
    graph: &mut Graph,
    seeds: &[(NodeId, NodeId)],
    wrt: &[NodeId],
) -> Result<Vec<Option<NodeId>>, GradError> {
    let end = seeds.iter().map(|c| c.0.index() + 1).max().unwrap_or(0);
    // Only nodes that depend on `wrt` take part: the rest of the backward graph would be dead.
    let mut depends = vec![false; end];
    for id in graph.ids().take(end) {
        depends[id.index()] = wrt.contains(&id) || graph.node(id).inputs.iter().any(|i| depends[i.index()]);
    }
    let mut sums: Vec<Option<NodeId>> = vec![None; end];
    for &(value, cotangent) in seeds {
        add(graph, &mut sums, value, cotangent);
    }
    let first_siblings = scan::first_siblings(graph, end);
    for id in graph.ids().take(end).rev() {
        // A node of `wrt` is a variable of its own, but others of `wrt` may lie behind it.
        if !graph.node(id).inputs.iter().any(|i| depends[i.index()]) {
            continue;
        }
        let node = graph.node(id).clone();
        graph.set_location(node.location);
        let parts = match first_siblings[id.index()] {
            None => match sums[id.index()] {
                Some(cotangent) => match &node.op {
                    Op::Custom(custom) => custom::vjp(graph, id, custom, cotangent)?,
                    op => op.vjp(graph, id, cotangent),
                },
                None => continue,
            },
            Some(first) if first != id => continue,
            Some(_) => {
                let siblings = (id.index()..end).filter(|&i| first_siblings[i] == Some(id));
                let results = siblings.filter_map(|i| {
                    let Op::Scan(scan) = &graph.node(NodeId(i as u32)).op else { return None };
                    Some((scan.result, sums[i]?))
                });
                let results: Vec<(usize, NodeId)> = results.collect();
                if results.is_empty() {
                    continue;
                }
                let wanted: Vec<bool> = node.inputs.iter().map(|i| depends[i.index()]).collect();
                scan::vjp(graph, id, &results, &wanted)?
            }
        };
        for (&input, part) in node.inputs.iter().zip(parts) {
            if let Some(part) = part.filter(|_| depends[input.index()]) {
                add(graph, &mut sums, input, part);
            }
        }
    }
    graph.set_location(None);
    Ok(wrt.iter().map(|&id| sums.get(id.index()).copied().flatten()).collect())
}

fn add(graph: &mut Graph, sums: &mut [Option<NodeId>], value: NodeId, cotangent: NodeId) {
    let slot = value.index();
    sums[slot] = Some(match sums[slot] {
        // A value used twice in the same way: 2c is exact and folds with other factors.
        Some(sum) if sum == cotangent => {
            let two = graph.fill_like(cotangent, 2.0);
            graph.times(two, cotangent)
        }
        Some(sum) => graph.plus(sum, cotangent),
        None => cotangent,
    });
}
