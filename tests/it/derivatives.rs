//! Derivatives of higher order, compiled.

use bespoke::prelude::{F64, Graph};

use crate::columns::{agree, optimized_agrees, passes};

/// Jacobians, Hessians and their gradients run as loops, which must give what the evaluator says.
#[test]
fn matrices_of_derivatives_compile() {
    let g = Graph::new();
    let x = g.input("x", F64, [5]);
    let w = g.input("w", F64, [3, 5]);
    let hidden = w.matmul(x).tanh();
    let rows = g.jacobian(hidden, x);
    let columns = g.jacobian(w.matmul(x).sin(), x);
    let penalty = (rows * rows).sum();
    g.output("rows", rows);
    g.output("columns", columns);
    g.output("penalty", g.grad(penalty, &[w])[0]);
    g.output("hessian", g.hessian(hidden.pow(2.0).sum(), x));
    g.output("product", g.hvp(penalty, &[w], &[w])[0]);
    let graph = g.finish().unwrap();
    let sources = bespoke_testkit::random_inputs(&graph, 3, false);
    passes(agree, &graph, &sources).unwrap();
    passes(optimized_agrees, &graph, &sources).unwrap();
}
