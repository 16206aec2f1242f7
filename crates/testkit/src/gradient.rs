//! Gradients against differences.

use bespoke_graph::{Graph, NodeId, Op, eval};
use bespoke_tensor::{DType, Tensor};

/// Compares the gradients of `loss`, a scalar of f64, with respect to the inputs or states `wrt` with differences of the
/// loss, see [`numerical`](bespoke_autodiff::numerical), whose error is of the order of 10⁻¹².
///
/// `sources` gives all inputs and states. The loss must be smooth around them.
///
/// # Errors
/// The first derivative that differs by more than a relative 10⁻⁶, with both values; or what cannot be differentiated.
pub fn gradient_check(
    graph: &Graph,
    loss: NodeId,
    wrt: &[NodeId],
    sources: &dyn Fn(&str) -> Option<Tensor>,
) -> Result<(), String> {
    let mut extended = graph.clone();
    let gradients = bespoke_autodiff::grad(&mut extended, loss, wrt).map_err(|e| e.to_string())?;
    let violations = bespoke_graph::verify(&extended);
    if !violations.is_empty() {
        return Err(format!("the backward graph: {violations:?}"));
    }
    extended.clear_outputs();
    extended.set_output("loss", loss).map_err(|e| e.to_string())?;
    for (i, &gradient) in gradients.iter().enumerate() {
        extended.set_output(&format!("d{i}"), gradient).map_err(|e| e.to_string())?;
    }
    let analytic = eval(&extended, sources).map_err(|e| e.to_string())?;
    for (i, &id) in wrt.iter().enumerate() {
        let name = match &graph.node(id).op {
            Op::Input(input) => &input.name,
            Op::StateRead(state) => &state.name,
            other => return Err(format!("{id} is neither input nor state but {other:?}")),
        };
        let at = sources(name).ok_or_else(|| format!("`{name}` has no value"))?;
        if at.dtype() != DType::F64 {
            return Err(format!("differences need f64, `{name}` is {}", at.ty()));
        }
        let gradient = &analytic.outputs[&format!("d{i}")];
        if gradient.ty() != at.ty() {
            return Err(format!("the gradient by `{name}` is {}, expected {}", gradient.ty(), at.ty()));
        }
        // Differences of a loss of this size know their value to about 10⁻¹² of it.
        let size = analytic.outputs["loss"].get(0).to_f64().abs().max(1.0);
        let differences = bespoke_autodiff::numerical(graph, loss, id, sources).map_err(|e| e.to_string())?;
        for (k, (got, difference)) in gradient.scalars().zip(differences.scalars()).enumerate() {
            let (got, difference) = (got.to_f64(), difference.to_f64());
            let scale = got.abs().max(difference.abs()).max(1e-4 * size);
            // So that NaN is a failure too.
            let close = (got - difference).abs() <= 1e-6 * scale;
            if !close {
                let x = at.get(k);
                return Err(format!(
                    "derivative by element {k} of `{name}` at {x}: the gradient says {got}, differences say {difference} ({:.1e} relative)",
                    (got - difference).abs() / scale
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bespoke_graph::{Graph, op::Unary};
    use bespoke_tensor::Type;

    use super::*;

    #[test]
    fn finds_a_wrong_derivative() {
        let mut g = Graph::new();
        let x = g.input("x", Type::new(DType::F64, [2])).unwrap();
        let y = g.unary(Unary::Sin, x);
        let right = g.sum_all(y);
        let stopped = g.must(bespoke_graph::op::StopGradient, &[y]);
        let product = g.times(y, stopped);
        let wrong = g.sum_all(product); // half of the derivative is missing
        let at = |_: &str| Some(Tensor::from_vec([2], vec![0.3, 1.1]).unwrap());
        assert_eq!(gradient_check(&g, right, &[x], &at), Ok(()));
        let error = gradient_check(&g, wrong, &[x], &at).unwrap_err();
        assert!(
            error.starts_with("derivative by element 0 of `x` at 0.3: the gradient says 0.28"),
            "{error}"
        );
    }
}
