//! Products with second derivatives, without the matrix.

use bespoke_graph::{Graph, NodeId};

use crate::{GradError, check_type, grad, jvp};

/// Appends the product of the Hessian of `loss` by `wrt` with `directions`, one for each of `wrt` and of its type: how the
/// gradient changes along them. Forward over reverse: the tangent of the gradient (Pearlmutter, *Fast exact multiplication
/// by the Hessian*, 1994), at about twice the gradient's price. Where the gradient does not change it is zero.
///
/// ```
/// use bespoke_graph::{Graph, eval};
/// use bespoke_tensor::{DType, Tensor, Type};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::new(DType::F64, [2]))?;
/// let square = g.times(x, x);
/// let cube = g.times(square, x);
/// let loss = g.sum_all(cube);
/// let v = g.fill_like(x, 1.0);
/// let product = bespoke_autodiff::hvp(&mut g, loss, &[x], &[v])?[0]; // 6x · v
/// g.set_output("product", product)?;
/// let values = eval(&g, &|_| Tensor::from_vec([2], vec![1.0, -2.0]).ok())?;
/// assert_eq!(values.outputs["product"].view::<f64>()?, [6.0, -12.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`grad`]; also if a direction is missing or of another type than its value.
pub fn hvp(
    graph: &mut Graph,
    loss: NodeId,
    wrt: &[NodeId],
    directions: &[NodeId],
) -> Result<Vec<NodeId>, GradError> {
    if wrt.len() != directions.len() {
        return Err(GradError::Count { values: wrt.len(), directions: directions.len() });
    }
    for (&value, &direction) in wrt.iter().zip(directions) {
        check_type(graph, "hvp", "direction", value, direction)?;
    }
    let gradients = grad(graph, loss, wrt)?;
    let pairs: Vec<(NodeId, NodeId)> = wrt.iter().copied().zip(directions.iter().copied()).collect();
    let found = jvp(graph, &gradients, &pairs)?;
    Ok(found.iter().zip(wrt).map(|(t, &x)| t.unwrap_or_else(|| graph.fill_like(x, 0.0))).collect())
}
