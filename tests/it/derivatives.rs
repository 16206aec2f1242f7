//! Derivatives of higher order, compiled.

use bespoke::{
    autodiff::numerical,
    graph::eval,
    prelude::{F64, Graph},
};
use bespoke_testkit::{Tolerance, compare};

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

/// Loops in loops: the Hessian of a recurrent net's loss, and a Jacobian that every step of a loop takes.
#[test]
fn derivatives_nest_with_loops_and_customs() {
    let g = Graph::new();
    let xs = g.input("xs", F64, [3, 2]);
    let w = g.input("w", F64, [2, 2]);
    let start = g.full(F64, [2], 0.1);
    let recurrent = g.scan(&[start], &[xs]).run(|carry, x| {
        let next = (carry[0].matmul(w) + x[0]).tanh();
        (vec![next], vec![])
    });
    let cubes = g.custom("cube", &[recurrent.carry[0]], |v| v[0] * v[0] * v[0]);
    let cubes = cubes.with_vjp(|v, _, c| vec![Some(c * v[0] * v[0] * 3.0)]).finish();
    let loss = cubes.sum();
    let gradient = g.grad(loss, &[w])[0];
    g.output("gradient", gradient);
    g.output("hessian", g.hessian(loss, w));
    g.output("product", g.hvp(loss, &[w], &[w])[0]);
    let each = g.scan(&[], &[xs]).run(|_, x| {
        let jacobian = x[0].graph().jacobian(x[0].sin() * x[0].sum(), x[0]);
        (vec![], vec![jacobian])
    });
    g.output("each", each.steps[0]);
    let graph = g.finish().unwrap();
    let sources = bespoke_testkit::random_inputs(&graph, 3, false);
    passes(agree, &graph, &sources).unwrap();
    passes(optimized_agrees, &graph, &sources).unwrap();

    let source = |name: &str| sources.get(name).cloned();
    let (gradient, w) = (graph.output("gradient").unwrap(), graph.source("w").unwrap());
    let differences = numerical(&graph, gradient, w, &source).unwrap();
    let hessian = &eval(&graph, &source).unwrap().outputs["hessian"];
    compare(hessian, &differences, Tolerance::Relative(1e-8)).unwrap();
}
