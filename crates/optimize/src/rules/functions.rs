//! Identities of elementary functions.

use bespoke_graph::{
    NodeId,
    op::{Binary, Unary},
};

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

/// Logarithms of two positive matrices.
fn logs(e: &mut Example) -> (NodeId, NodeId) {
    let dims = e.dims();
    let [a, b] = [e.positive(dims), e.positive(dims)].map(|x| e.graph.unary(Unary::Log, x));
    (a, b)
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
    rule("functions/exp-split", "(exp (add ?x ?y))", "(mul (exp ?x) (exp ?y))")
        .formulas()
        .why("eˣ may be there")
        .example(|e| {
            let [x, y] = e.inputs();
            let sum = e.graph.plus(x, y);
            e.graph.unary(Unary::Exp, sum)
        }),
    rule("functions/exp-negative", "(exp (neg ?x))", "(div 1 (exp ?x))")
        .formulas()
        .why("a quotient that takes up a factor")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.unary(Unary::Exp, n)
        }),
    rule("functions/exp-double", "(exp (mul ?x 2))", "(mul (exp ?x) (exp ?x))")
        .formulas()
        .why("eˣ may be there")
        .example(|e| {
            let x = e.matrix();
            let two = e.fill(x, 2.0);
            let double = e.graph.times(x, two);
            e.graph.unary(Unary::Exp, double)
        }),
    rule("functions/exp-power", "(pow (exp ?x) ?y)", "(exp (mul ?x ?y))")
        .always()
        .why("a product for a power")
        .example(|e| {
            let [x, y] = e.inputs();
            let exp = e.graph.unary(Unary::Exp, x);
            e.graph.binary(Binary::Pow, exp, y)
        }),
    rule("functions/log-product", "(add (log ?x) (log ?y))", "(log (mul ?x ?y))")
        .why("one logarithm for two")
        .example(|e| {
            let (a, b) = logs(e);
            e.graph.plus(a, b)
        }),
    rule("functions/log-quotient", "(sub (log ?x) (log ?y))", "(log (div ?x ?y))")
        .why("one logarithm for two")
        .example(|e| {
            let (a, b) = logs(e);
            e.graph.minus(a, b)
        }),
    rule("functions/log-reciprocal", "(log (div 1 ?x))", "(neg (log ?x))")
        .always()
        .why("a sign for a quotient")
        .example(|e| {
            let dims = e.dims();
            let x = e.positive(dims);
            let one = e.fill(x, 1.0);
            let r = e.graph.over(one, x);
            e.graph.unary(Unary::Log, r)
        }),
    rule("functions/log-sqrt", "(log (sqrt ?x))", "(mul (log ?x) 0.5)")
        .always()
        .why("a product for a root")
        .example(|e| {
            let dims = e.dims();
            let x = e.positive(dims);
            let root = e.graph.unary(Unary::Sqrt, x);
            e.graph.unary(Unary::Log, root)
        }),
    rule("functions/log-power", "(log (pow ?x ?a))", "(mul (log ?x) ?a)")
        .assumes_finite()
        .always()
        .why("a product for a power; x is taken to be positive")
        .example(|e| {
            let dims = e.dims();
            let (x, a) = (e.positive(dims), e.input(dims));
            let power = e.graph.binary(Binary::Pow, x, a);
            e.graph.unary(Unary::Log, power)
        }),
    rule("functions/log1p-definition", "(log1p ?x)", "(log (add ?x 1))")
        .formulas()
        .why("1 + x may be there")
        .example(|e| {
            let dims = e.dims();
            let x = e.positive(dims);
            e.graph.unary(Unary::Log1p, x)
        }),
    rule("functions/expm1-definition", "(expm1 ?x)", "(sub (exp ?x) 1)")
        .formulas()
        .why("eˣ may be there")
        .example(|e| of(e, Unary::Expm1).1),
    rule("functions/softplus-definition", "(softplus ?x)", "(log (add (exp ?x) 1))")
        .formulas()
        .why("eˣ and 1 + eˣ may be there")
        .example(|e| of(e, Unary::Softplus).1),
    rule("functions/softplus-negative", "(softplus (neg ?x))", "(sub (softplus ?x) ?x)")
        .formulas()
        .why("log(1 + e⁻ˣ) = log(1 + eˣ) − x, which may be there")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.unary(Unary::Softplus, n)
        }),
    rule("functions/sigmoid-definition", "(sigmoid ?x)", "(div (exp ?x) (add (exp ?x) 1))")
        .formulas()
        .why("eˣ and 1 + eˣ may be there")
        .example(|e| of(e, Unary::Sigmoid).1),
    rule("functions/sigmoid-definition-negative", "(sigmoid ?x)", "(div 1 (add (exp (neg ?x)) 1))")
        .formulas()
        .why("e⁻ˣ and 1 + e⁻ˣ may be there")
        .example(|e| of(e, Unary::Sigmoid).1),
    rule("functions/sigmoid-complement", "(sub 1 (sigmoid ?x))", "(div 1 (add (exp ?x) 1))")
        .formulas()
        .why("eˣ and 1 + eˣ may be there")
        .example(|e| {
            let (x, y) = of(e, Unary::Sigmoid);
            let one = e.fill(x, 1.0);
            e.graph.minus(one, y)
        }),
];
