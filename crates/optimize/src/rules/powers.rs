//! Powers and roots.

use bespoke_graph::{
    NodeId,
    op::{Binary, Unary},
};

use super::{
    is_float,
    terms::{alike, varies},
};
use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, rule},
};

/// Is the exponent an even whole number from 4 to 64?
fn is_even(m: &Match<'_>) -> bool {
    m.splat("a").is_some_and(|a| (4.0..=64.0).contains(&a.to_f64()) && a.to_f64() % 2.0 == 0.0)
}

/// A positive x, and x to a power.
fn power(e: &mut Example, exponent: f64) -> [NodeId; 2] {
    let dims = e.dims();
    let x = e.positive(dims);
    let a = e.fill(x, exponent);
    [x, e.graph.binary(Binary::Pow, x, a)]
}

/// x, and x to a power: both vary or both are constant.
fn power_alike(e: &mut Example) -> [NodeId; 2] {
    let [x, a] = alike(e);
    [x, e.graph.binary(Binary::Pow, x, a)]
}

/// A positive x, and f(x).
fn root(e: &mut Example, f: Unary) -> [NodeId; 2] {
    let dims = e.dims();
    let x = e.positive(dims);
    [x, e.graph.unary(f, x)]
}

/// Identities of powers.
pub const RULES: &[Rule] = &[
    rule("powers/square-product", "(mul (mul ?x ?x) (mul ?y ?y))", "(mul (mul ?x ?y) (mul ?x ?y))")
        .when(|m| m.class("x") != m.class("y"))
        .why("one square for two")
        .example(|e| {
            let squares = e.inputs::<2>().map(|x| e.graph.times(x, x));
            e.graph.times(squares[0], squares[1])
        })
        .near_miss(|e| {
            let x = e.matrix();
            let square = e.graph.times(x, x);
            e.graph.times(square, square)
        }),
    rule("powers/square-quotient", "(div (mul ?x ?x) (mul ?y ?y))", "(mul (div ?x ?y) (div ?x ?y))")
        .when(is_float)
        .why("one square for two")
        .example(|e| {
            let squares = e.inputs::<2>().map(|x| e.graph.times(x, x));
            e.graph.over(squares[0], squares[1])
        })
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let squares = [x, y].map(|x| e.graph.times(x, x));
            e.graph.over(squares[0], squares[1])
        }),
    rule("powers/negative", "(pow ?x #a)", "(div 1 (pow ?x (neg ?a)))")
        .always()
        .when(|m| m.splat("a").is_some_and(|a| a.to_f64() < 0.0))
        .why("a power below, which others may meet")
        .example(|e| power(e, -2.5)[1])
        .near_miss(|e| power(e, 2.5)[1]),
    rule("powers/squaring", "(pow ?x #a)", "(mul (pow ?x (mul ?a 0.5)) (pow ?x (mul ?a 0.5)))")
        .always()
        .when(is_even)
        .why("at most six products for a transcendental")
        .example(|e| power(e, 6.0)[1])
        .near_miss(|e| power(e, 7.0)[1]),
    rule("powers/cube", "(mul ?x (mul ?x ?x))", "(pow ?x 3)")
        .formulas()
        .why("one operation to write")
        .example(|e| {
            let x = e.matrix();
            let square = e.graph.times(x, x);
            e.graph.times(square, x)
        }),
    rule("powers/fourth", "(mul (mul ?x ?x) (mul ?x ?x))", "(pow ?x 4)")
        .formulas()
        .why("one operation to write")
        .example(|e| {
            let x = e.matrix();
            let square = e.graph.times(x, x);
            e.graph.times(square, square)
        }),
    rule("powers/raise", "(mul ?x (pow ?x #a))", "(pow ?x (add ?a 1))")
        .when(varies)
        .why("one operation for two")
        .example(|e| {
            let [x, power] = power(e, 2.5);
            e.graph.times(x, power)
        })
        .near_miss(|e| {
            let [x, power] = power_alike(e);
            e.graph.times(x, power)
        }),
    rule("powers/lower", "(div (pow ?x #a) ?x)", "(pow ?x (sub ?a 1))")
        .when(varies)
        .why("one operation for two")
        .example(|e| {
            let [x, power] = power(e, 2.5);
            e.graph.over(power, x)
        })
        .near_miss(|e| {
            let [x, power] = power_alike(e);
            e.graph.over(power, x)
        }),
    rule("powers/sum", "(mul (pow ?x ?a) (pow ?x ?b))", "(pow ?x (add ?a ?b))")
        .why("one power for two")
        .example(|e| {
            let [x, first] = power(e, 2.5);
            let b = e.fill(x, 1.25);
            let second = e.graph.binary(Binary::Pow, x, b);
            e.graph.times(first, second)
        }),
    rule("powers/difference", "(div (pow ?x ?a) (pow ?x ?b))", "(pow ?x (sub ?a ?b))")
        .why("one power for two")
        .example(|e| {
            let [x, first] = power(e, 2.5);
            let b = e.fill(x, 1.25);
            let second = e.graph.binary(Binary::Pow, x, b);
            e.graph.over(first, second)
        }),
    rule("powers/derivative", "(pow ?x (sub ?a 1))", "(div (pow ?x #a) ?x)")
        .assumes_finite()
        .formulas()
        .why("xᵃ, of which this is the derivative, may be there; x is taken not to be 0")
        .example(|e| {
            let dims = e.dims();
            let (x, a) = (e.positive(dims), e.input(dims));
            let one = e.fill(x, 1.0);
            let less = e.graph.minus(a, one);
            e.graph.binary(Binary::Pow, x, less)
        }),
    rule("powers/base", "(pow (select (and (eq ?x 0) ?c) ?y ?x) ?a)", "(pow ?x ?a)")
        .assumes_finite()
        .always()
        .why("the derivative of a power is another at 0, where x is taken not to be")
        .example(|e| {
            let dims = e.dims();
            let (x, a) = (e.positive(dims), e.input(dims));
            let (zero, one) = (e.fill(x, 0.0), e.fill(x, 1.0));
            let flat = [x, a].map(|v| e.graph.binary(Binary::Eq, v, zero));
            let flat = e.graph.binary(Binary::And, flat[0], flat[1]);
            let base = e.graph.select(flat, one, x);
            e.graph.binary(Binary::Pow, base, a)
        }),
    rule("powers/sqrt-product", "(mul ?x (rsqrt ?x))", "(sqrt ?x)")
        .always()
        .why("one function for two")
        .example(|e| {
            let [x, y] = root(e, Unary::Rsqrt);
            e.graph.times(x, y)
        }),
    rule("powers/sqrt-quotient", "(div ?x (sqrt ?x))", "(sqrt ?x)").always().why("no quotient").example(
        |e| {
            let [x, y] = root(e, Unary::Sqrt);
            e.graph.over(x, y)
        },
    ),
    rule("powers/rsqrt-quotient", "(div (sqrt ?x) ?x)", "(rsqrt ?x)").always().why("no quotient").example(
        |e| {
            let [x, y] = root(e, Unary::Sqrt);
            e.graph.over(y, x)
        },
    ),
    rule("powers/square-rsqrt", "(mul (rsqrt ?x) (rsqrt ?x))", "(div 1 ?x)").always().why("no root").example(
        |e| {
            let y = root(e, Unary::Rsqrt)[1];
            e.graph.times(y, y)
        },
    ),
    rule("powers/sqrt-sqrt", "(mul (sqrt ?x) (sqrt ?y))", "(sqrt (mul ?x ?y))")
        .why("one root for two")
        .example(|e| {
            let dims = e.dims();
            let roots = [e.positive(dims), e.positive(dims)].map(|x| e.graph.unary(Unary::Sqrt, x));
            e.graph.times(roots[0], roots[1])
        }),
    rule("powers/rsqrt", "(rsqrt ?x)", "(div 1 (sqrt ?x))")
        .formulas()
        .why("a quotient that takes up a factor")
        .example(|e| root(e, Unary::Rsqrt)[1]),
    rule("powers/three-halves", "(mul ?x (sqrt ?x))", "(pow ?x 1.5)")
        .formulas()
        .why("one operation to write")
        .example(|e| {
            let [x, y] = root(e, Unary::Sqrt);
            e.graph.times(x, y)
        }),
];
