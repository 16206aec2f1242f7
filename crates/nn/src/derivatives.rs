//! Derivatives of values, as values: they can be used, printed, compiled and differentiated like any other.

use std::panic::Location;

use bespoke_autodiff::{self as autodiff, GradError};
use bespoke_graph::{self as ir, NodeId};

use crate::{BuildError, Graph, Value};

impl Graph {
    /// The gradients of a scalar with respect to values.
    #[track_caller]
    pub fn grad<'g>(&'g self, loss: Value<'g>, wrt: &[Value<'g>]) -> Vec<Value<'g>> {
        self.derive(wrt.len(), [&[loss], wrt], |g, [loss, wrt]| autodiff::grad(g, loss[0], wrt))
    }

    /// Forward mode: how `value` moves when each of `wrt` moves along its direction, of its type.
    ///
    /// ```
    /// use bespoke_nn::{F64, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F64, []);
    /// g.output("slope", g.jvp(x.pow(3.0), &[x], &[g.full(F64, [], 1.0)]));
    /// let outputs = g.compile()?.run(&[("x", &Tensor::scalar(2.0))])?;
    /// assert_eq!(outputs.get("slope").unwrap().get(0).to_f64(), 12.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn jvp<'g>(&'g self, value: Value<'g>, wrt: &[Value<'g>], directions: &[Value<'g>]) -> Value<'g> {
        let found = self.derive(1, [&[value], wrt, directions], |g, [value, wrt, directions]| {
            if wrt.len() != directions.len() {
                return Err(GradError::Count { values: wrt.len(), directions: directions.len() });
            }
            let pairs: Vec<(NodeId, NodeId)> = wrt.iter().copied().zip(directions.iter().copied()).collect();
            let tangent = autodiff::jvp(g, value, &pairs)?[0];
            Ok(vec![tangent.unwrap_or_else(|| g.fill_like(value[0], 0.0))])
        });
        found[0]
    }

    /// The Hessian of a scalar times directions, one for each of `wrt` and of its type, without the matrix: see
    /// [`hvp`](autodiff::hvp).
    #[track_caller]
    pub fn hvp<'g>(&'g self, loss: Value<'g>, wrt: &[Value<'g>], directions: &[Value<'g>]) -> Vec<Value<'g>> {
        self.derive(wrt.len(), [&[loss], wrt, directions], |g, [loss, wrt, directions]| {
            autodiff::hvp(g, loss[0], wrt, directions)
        })
    }

    /// The derivative of every element of `value` by every element of `wrt`, of the shape of the one followed by that of the
    /// other: see [`jacobian`](autodiff::jacobian).
    ///
    /// ```
    /// use bespoke_nn::{F64, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F64, [3]);
    /// let jacobian = g.jacobian(x.softmax(0), x);
    /// assert_eq!(jacobian.ty().to_string(), "f64[3,3]");
    /// assert!(g.finish().is_ok());
    /// ```
    #[track_caller]
    pub fn jacobian<'g>(&'g self, value: Value<'g>, wrt: Value<'g>) -> Value<'g> {
        self.derive(1, [&[value], &[wrt]], |g, [value, wrt]| autodiff::jacobian(g, value[0], wrt))[0]
    }

    /// The Jacobian of each example, where the first axis is that of examples: see
    /// [`batch_jacobian`](autodiff::batch_jacobian).
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [16, 8]);
    /// let h = x.dense(4).sigmoid();
    /// let jacobians = g.batch_jacobian(h, x);
    /// let contractive = (jacobians * jacobians).sum() / 16.0; // mean of Σᵢ ‖∇ₓhᵢ‖²
    /// assert_eq!(jacobians.ty().to_string(), "f32[16,4,8]");
    /// assert!(g.finish().is_ok());
    /// ```
    #[track_caller]
    pub fn batch_jacobian<'g>(&'g self, value: Value<'g>, wrt: Value<'g>) -> Value<'g> {
        let found = self.derive(1, [&[value], &[wrt]], |g, [value, wrt]| {
            Ok(vec![autodiff::batch_jacobian(g, value[0], wrt[0])?])
        });
        found[0]
    }

    /// The second derivatives of a scalar by every pair of elements of `wrt`, of its shape twice: see
    /// [`hessian`](autodiff::hessian).
    #[track_caller]
    pub fn hessian<'g>(&'g self, loss: Value<'g>, wrt: Value<'g>) -> Value<'g> {
        let found = self
            .derive(1, [&[loss], &[wrt]], |g, [loss, wrt]| Ok(vec![autodiff::hessian(g, loss[0], wrt[0])?]));
        found[0]
    }

    /// `count` values that `f` appends, from the nodes of values.
    #[track_caller]
    fn derive<'g, const N: usize>(
        &'g self,
        count: usize,
        values: [&[Value<'g>]; N],
        f: impl FnOnce(&mut ir::Graph, [&[NodeId]; N]) -> Result<Vec<NodeId>, GradError>,
    ) -> Vec<Value<'g>> {
        let location = Location::caller();
        let mut nodes = vec![];
        for group in values {
            let Some(ids) = self.own(group) else { return vec![self.spoiled(); count] };
            nodes.push(ids);
        }
        let slices = std::array::from_fn(|i| &nodes[i][..]);
        let result = f(&mut self.inner.borrow_mut().graph, slices);
        match result {
            Ok(found) => found.into_iter().map(|id| Value { graph: self, id: Some(id) }).collect(),
            Err(error) => {
                self.fail(BuildError::new(location, error.to_string()));
                vec![self.spoiled(); count]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bespoke_graph::eval;
    use bespoke_tensor::Tensor;

    use super::*;
    use crate::F64;

    #[test]
    fn derivatives_of_second_order_agree() {
        let g = Graph::new();
        let x = g.input("x", F64, [2]);
        let loss = x.pow(3.0).sum() * x.sum();
        let v = g.tensor(&Tensor::from_vec([2], vec![1.0, -1.0]).unwrap());
        let gradient = g.grad(loss, &[x])[0];
        g.output("hvp", g.hvp(loss, &[x], &[v])[0]);
        g.output("jvp", g.jvp(gradient, &[x], &[v]));
        g.output("hessian", g.hessian(loss, x).matmul(v));
        g.output("jacobian", g.jacobian(gradient, x).matmul(v));
        let graph = g.finish().unwrap();
        let values = eval(&graph, &|_| Tensor::from_vec([2], vec![0.5, 2.0]).ok()).unwrap();
        let expected = [-3.75, -41.25];
        for (name, value) in &values.outputs {
            for (got, expected) in value.scalars().zip(expected) {
                assert!((got.to_f64() - expected).abs() < 1e-12, "{name}: {value:?}");
            }
        }
    }

    #[test]
    fn mistakes_are_kept_with_their_line() {
        let g = Graph::new();
        let x = g.input("x", F64, [2]);
        let spoiled = g.hvp(x.sum(), &[x], &[]);
        assert_eq!(spoiled.len(), 1);
        let error = g.finish().unwrap_err().to_string();
        assert!(
            error.contains("derivatives.rs:") && error.ends_with("1 values, but 0 directions"),
            "{error}"
        );
    }
}
