//! Identities of elementary functions.

use bespoke_graph::{NodeId, op::Unary};

use super::is_positive;
use crate::{
    example::Example,
    rule::{Rule, rule},
};

/// f of a random matrix.
fn of(e: &mut Example, f: Unary) -> (NodeId, NodeId) {
    let x = e.matrix();
    (x, e.graph.unary(f, x))
}

/// Identities of exponentials, logarithms and roots.
pub const RULES: &[Rule] = &[
    rule("functions/log-exp", "(log (exp ?x))", "?x")
        .assumes_finite()
        .always()
        .why("eˣ is taken not to overflow")
        .example(|e| {
            let y = of(e, Unary::Exp).1;
            e.graph.unary(Unary::Log, y)
        }),
    rule("functions/exp-log", "(exp (log ?x))", "?x")
        .assumes_finite()
        .always()
        .why("x is taken to be positive")
        .example(|e| {
            let dims = e.dims();
            let x = e.positive(dims);
            let y = e.graph.unary(Unary::Log, x);
            e.graph.unary(Unary::Exp, y)
        }),
    rule("functions/log1p", "(log (add ?x 1))", "(log1p ?x)").always().why("accurate near 0").example(|e| {
        let dims = e.dims();
        let x = e.positive(dims);
        let one = e.fill(x, 1.0);
        let y = e.graph.plus(one, x);
        e.graph.unary(Unary::Log, y)
    }),
    rule("functions/expm1", "(sub (exp ?x) 1)", "(expm1 ?x)").always().why("accurate near 0").example(|e| {
        let (x, y) = of(e, Unary::Exp);
        let one = e.fill(x, 1.0);
        e.graph.minus(y, one)
    }),
    rule("functions/softplus", "(log1p (exp ?x))", "(softplus ?x)")
        .always()
        .why("one function for two, without overflow")
        .example(|e| {
            let y = of(e, Unary::Exp).1;
            e.graph.unary(Unary::Log1p, y)
        }),
    rule("functions/sigmoid", "(div 1 (add 1 (exp (neg ?x))))", "(sigmoid ?x)")
        .always()
        .why("the definition of the logistic function")
        .example(|e| {
            let x = e.matrix();
            let (n, one) = (e.graph.negate(x), e.fill(x, 1.0));
            let exp = e.graph.unary(Unary::Exp, n);
            let below = e.graph.plus(exp, one);
            e.graph.over(one, below)
        }),
    rule("functions/sigmoid-quotient", "(div (exp ?x) (add 1 (exp ?x)))", "(sigmoid ?x)")
        .always()
        .why("the logistic function without overflow")
        .example(|e| {
            let (x, y) = of(e, Unary::Exp);
            let one = e.fill(x, 1.0);
            let below = e.graph.plus(one, y);
            e.graph.over(y, below)
        }),
    rule("functions/exp-sum", "(mul (exp ?x) (exp ?y))", "(exp (add ?x ?y))")
        .why("one exponential for two")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let (a, b) = (e.graph.unary(Unary::Exp, x), e.graph.unary(Unary::Exp, y));
            e.graph.times(a, b)
        }),
    rule("functions/exp-difference", "(div (exp ?x) (exp ?y))", "(exp (sub ?x ?y))")
        .why("one exponential for two")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let (a, b) = (e.graph.unary(Unary::Exp, x), e.graph.unary(Unary::Exp, y));
            e.graph.over(a, b)
        }),
    rule("functions/exp-reciprocal", "(div 1 (exp ?x))", "(exp (neg ?x))")
        .why("a sign for a quotient")
        .example(|e| {
            let (x, y) = of(e, Unary::Exp);
            let one = e.fill(x, 1.0);
            e.graph.over(one, y)
        }),
    rule("functions/rsqrt", "(div 1 (sqrt ?x))", "(rsqrt ?x)").always().why("one function for two").example(
        |e| {
            let dims = e.dims();
            let x = e.positive(dims);
            let (one, root) = (e.fill(x, 1.0), e.graph.unary(Unary::Sqrt, x));
            e.graph.over(one, root)
        },
    ),
    rule("functions/div-sqrt", "(div ?y (sqrt ?x))", "(mul ?y (rsqrt ?x))")
        .why("a product for a quotient, as in normalisation")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.positive(dims), e.input(dims));
            let root = e.graph.unary(Unary::Sqrt, x);
            e.graph.over(y, root)
        }),
    rule("functions/sqrt-square", "(sqrt (mul ?x ?x))", "(abs ?x)").always().why("but for overflow").example(
        |e| {
            let x = e.matrix();
            let y = e.graph.times(x, x);
            e.graph.unary(Unary::Sqrt, y)
        },
    ),
    rule("functions/square-sqrt", "(mul (sqrt ?x) (sqrt ?x))", "?x")
        .assumes_finite()
        .always()
        .why("x is taken not to be negative")
        .example(|e| {
            let dims = e.dims();
            let x = e.positive(dims);
            let y = e.graph.unary(Unary::Sqrt, x);
            e.graph.times(y, y)
        }),
    rule("functions/square-sqrt-positive", "(mul (sqrt ?x) (sqrt ?x))", "?x")
        .always()
        .when(|m| is_positive(m.view, m.class("x")))
        .why("x is positive for all finite operands")
        .near_miss(|e| {
            let dims = e.dims();
            let x = e.positive(dims);
            let y = e.graph.unary(Unary::Sqrt, x);
            e.graph.times(y, y)
        })
        .example(|e| {
            let x = of(e, Unary::Exp).1;
            let y = e.graph.unary(Unary::Sqrt, x);
            e.graph.times(y, y)
        }),
    rule("functions/log-sigmoid", "(log (sigmoid ?x))", "(neg (softplus (neg ?x)))")
        .always()
        .why("does not underflow for large negative x")
        .example(|e| {
            let y = of(e, Unary::Sigmoid).1;
            e.graph.unary(Unary::Log, y)
        }),
    rule("functions/log-sigmoid-complement", "(log (sub 1 (sigmoid ?x)))", "(neg (softplus ?x))")
        .always()
        .why("does not underflow for large x")
        .example(|e| {
            let (x, y) = of(e, Unary::Sigmoid);
            let one = e.fill(x, 1.0);
            let rest = e.graph.minus(one, y);
            e.graph.unary(Unary::Log, rest)
        }),
];
