//! What cancels: a term against itself, a factor against itself.

use super::is_float;
use crate::rule::{Rule, rule};

/// Differences and quotients of a thing with itself.
pub const RULES: &[Rule] = &[
    rule("cancel/sub-sum", "(sub (add ?x ?y) ?y)", "?x")
        .assumes_finite()
        .always()
        .why("y is taken not to be so large that x is lost")
        .example(|e| {
            let [x, y] = e.inputs();
            let sum = e.graph.plus(y, x);
            e.graph.minus(sum, y)
        }),
    rule("cancel/add-difference", "(add (sub ?x ?y) ?y)", "?x")
        .assumes_finite()
        .always()
        .why("y is taken not to be so large that x is lost")
        .example(|e| {
            let [x, y] = e.inputs();
            let difference = e.graph.minus(x, y);
            e.graph.plus(y, difference)
        }),
    rule("cancel/sub-from-sum", "(sub ?x (add ?x ?y))", "(neg ?y)")
        .assumes_finite()
        .always()
        .why("x is taken not to be so large that y is lost")
        .example(|e| {
            let [x, y] = e.inputs();
            let sum = e.graph.plus(y, x);
            e.graph.minus(x, sum)
        }),
    rule("cancel/sub-difference", "(sub ?x (sub ?x ?y))", "?y")
        .assumes_finite()
        .always()
        .why("x is taken not to be so large that y is lost")
        .example(|e| {
            let [x, y] = e.inputs();
            let difference = e.graph.minus(x, y);
            e.graph.minus(x, difference)
        }),
    rule("cancel/sub-from-difference", "(sub (sub ?x ?y) ?x)", "(neg ?y)")
        .assumes_finite()
        .always()
        .why("x is taken not to be so large that y is lost")
        .example(|e| {
            let [x, y] = e.inputs();
            let difference = e.graph.minus(x, y);
            e.graph.minus(difference, x)
        }),
    rule("cancel/mul-quotient", "(mul (div ?x ?y) ?y)", "?x")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("y is taken to be neither 0 nor infinite")
        .example(|e| {
            let [x, y] = e.inputs();
            let quotient = e.graph.over(x, y);
            e.graph.times(y, quotient)
        })
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let quotient = e.graph.over(x, y);
            e.graph.times(y, quotient)
        }),
    rule("cancel/quotients", "(mul (div ?x ?y) (div ?y ?z))", "(div ?x ?z)")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("y is taken to be neither 0 nor infinite")
        .example(|e| {
            let [x, y, z] = e.inputs();
            let (a, b) = (e.graph.over(x, y), e.graph.over(y, z));
            e.graph.times(b, a)
        })
        .near_miss(|e| {
            let x = e.integers();
            let (y, z) = (e.like(x), e.like(x));
            let (a, b) = (e.graph.over(x, y), e.graph.over(y, z));
            e.graph.times(b, a)
        }),
    rule("cancel/factor", "(div (mul ?x ?y) (mul ?x ?z))", "(div ?y ?z)")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("x is taken to be neither 0 nor infinite")
        .example(|e| {
            let [x, y, z] = e.inputs();
            let (a, b) = (e.graph.times(x, y), e.graph.times(z, x));
            e.graph.over(a, b)
        })
        .near_miss(|e| {
            let x = e.integers();
            let (y, z) = (e.like(x), e.like(x));
            let (a, b) = (e.graph.times(x, y), e.graph.times(z, x));
            e.graph.over(a, b)
        }),
    rule("cancel/denominator", "(div ?x (mul ?x ?y))", "(div 1 ?y)")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("x is taken to be neither 0 nor infinite")
        .example(|e| {
            let [x, y] = e.inputs();
            let product = e.graph.times(y, x);
            e.graph.over(x, product)
        })
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let product = e.graph.times(y, x);
            e.graph.over(x, product)
        }),
];
