//! Derivatives of values, as values: they can be used, printed, compiled and differentiated like any other.

use std::panic::Location;

use bespoke_autodiff::{self as autodiff, GradError, Jet};
use bespoke_graph::{self as ir, NodeId};
use bespoke_tensor::Tensor;

use crate::{BuildError, Graph, Value};

impl Graph {
    /// The gradients of a scalar with respect to values.
    #[track_caller]
    pub fn grad<'g>(&'g self, loss: Value<'g>, wrt: &[Value<'g>]) -> Vec<Value<'g>> {
        self.derive(wrt.len(), [&[loss], wrt], |g, [loss, wrt]| autodiff::grad(g, loss[0], wrt))
    }

    /// Reverse mode: the gradients with respect to `wrt` of Σ value · cotangent, where the cotangents are of the values' types: see
    /// [`vjp`](autodiff::vjp).
    ///
    /// ```
    /// use bespoke_nn::{F64, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let (x, u) = (g.input("x", F64, [2]), g.input("u", F64, [2]));
    /// g.output("d", g.vjp(&[x * x], &[u], &[x])[0]); // 2xu
    /// let [x, u] = [[3.0, 4.0], [1.0, -1.0]].map(|v| Tensor::from_slice([2], &v).unwrap());
    /// let outputs = g.compile()?.run(&[("x", &x), ("u", &u)])?;
    /// assert_eq!(outputs.get("d").unwrap().view::<f64>()?, [6.0, -8.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn vjp<'g>(
        &'g self,
        values: &[Value<'g>],
        cotangents: &[Value<'g>],
        wrt: &[Value<'g>],
    ) -> Vec<Value<'g>> {
        self.derive(wrt.len(), [values, cotangents, wrt], |g, [values, cotangents, wrt]| {
            if values.len() != cotangents.len() {
                return Err(GradError::Count { values: values.len(), directions: cotangents.len() });
            }
            let pairs: Vec<(NodeId, NodeId)> =
                values.iter().copied().zip(cotangents.iter().copied()).collect();
            autodiff::vjp(g, &pairs, wrt)
        })
    }

    /// A value with its infinitesimal parts, where each of `wrt` has one of its own: see [`jet`](autodiff::jet).
    ///
    /// ```
    /// use bespoke_nn::{F64, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let (x, y) = (g.input("x", F64, []), g.input("y", F64, []));
    /// let jet = g.jet(x * y, &[x, y]);
    /// g.output("value", jet.value);
    /// jet.parts.iter().enumerate().for_each(|(i, part)| g.output(&format!("part{i}"), *part));
    /// let inputs = [("x", &Tensor::scalar(2.0)), ("y", &Tensor::scalar(3.0))];
    /// let outputs = g.compile()?.run(&inputs)?;
    /// let number = |name: &str| outputs.get(name).unwrap().get(0).to_f64();
    /// let jet = bespoke_nn::Jet { value: number("value"), parts: vec![number("part0"), number("part1")] };
    /// assert_eq!(jet.to_string(), "6 + 3ε₀ + 2ε₁");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn jet<'g>(&'g self, value: Value<'g>, wrt: &[Value<'g>]) -> Jet<Value<'g>> {
        let parts = self
            .derive(wrt.len(), [&[value], wrt], |g, [value, wrt]| Ok(autodiff::jet(g, value[0], wrt)?.parts));
        Jet { value, parts }
    }

    /// The derivative of every element of a value by every element of an input or state, from differences of the evaluated graph,
    /// at the values that `sources` gives by name: see [`numerical`](autodiff::numerical). For checks.
    ///
    /// # Errors
    /// [`BuildError`] with the first mistake of the graph, or if `wrt` is neither input nor state, or a value is missing.
    #[track_caller]
    pub fn numerical(
        &self,
        value: Value<'_>,
        wrt: Value<'_>,
        sources: &dyn Fn(&str) -> Option<Tensor>,
    ) -> Result<Tensor, BuildError> {
        let location = Location::caller();
        let graph = self.finish()?;
        let of_another = || BuildError::new(location, "numerical: a value of another graph".to_owned());
        let ids = self.own(&[value, wrt]).ok_or_else(of_another)?;
        let found = autodiff::numerical(&graph, ids[0], ids[1], sources);
        found.map_err(|error| BuildError::new(location, error.to_string()))
    }

    /// Forward mode: how `value` moves when each of `wrt` moves along its direction, of its type; zero if it depends on none of them.
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

    use super::*;
    use crate::F64;

    #[test]
    fn differences_agree_and_mistakes_are_named() {
        let g = Graph::new();
        let x = g.input("x", F64, [3]);
        let y = x.tanh() * x;
        let sources = |_: &str| Tensor::from_vec([3], vec![0.5, -1.0, 2.0]).ok();
        let differences = g.numerical(y, x, &sources).unwrap();
        g.output("jacobian", g.jacobian(y, x));
        let values = eval(&g.finish().unwrap(), &sources).unwrap();
        for (a, b) in differences.scalars().zip(values.outputs["jacobian"].scalars()) {
            assert!((a.to_f64() - b.to_f64()).abs() < 1e-10);
        }
        let missing = g.numerical(y, x, &|_| None).unwrap_err().to_string();
        assert!(missing.contains("derivatives.rs") && missing.contains("`x`"), "{missing}");
        assert!(g.numerical(y, y, &sources).is_err());
        let other = Graph::new();
        assert!(g.numerical(other.input("x", F64, []), x, &sources).is_err());
        assert!(g.finish().is_err(), "a value of another graph is a mistake of this one");
        let count = Graph::new();
        let x = count.input("x", F64, []);
        count.vjp(&[x], &[], &[x]);
        assert!(count.finish().unwrap_err().to_string().contains("derivatives.rs"));
    }

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
