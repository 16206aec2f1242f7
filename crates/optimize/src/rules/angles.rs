//! Circular and hyperbolic functions, and the logistic function, which is one of them.

use bespoke_graph::{NodeId, Op, op::Unary};

use crate::{
    example::Example,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

/// f(x) and g(x).
fn both(e: &mut Example, f: Unary, g: Unary) -> [NodeId; 2] {
    let x = e.matrix();
    [f, g].map(|f| e.graph.unary(f, x))
}

/// f(x)² and g(x)².
fn squares(e: &mut Example, f: Unary, g: Unary) -> [NodeId; 2] {
    both(e, f, g).map(|y| e.graph.times(y, y))
}

/// 1 − y.
fn rest(e: &mut Example, y: NodeId) -> NodeId {
    let one = e.fill(y, 1.0);
    e.graph.minus(one, y)
}

/// f(−x) is −f(x).
fn odd(view: &dyn View, _: Class, op: &Op, x: &Children) -> Option<Term> {
    let (_, y) = nodes(view, x[0]).find(|(op, _)| **op == Op::Unary(Unary::Neg))?;
    Some(Term::new(Unary::Neg, [Term::new(op.clone(), [Term::Class(y[0])])]))
}

/// f(−x) is f(x).
fn even(view: &dyn View, _: Class, op: &Op, x: &Children) -> Option<Term> {
    let (_, y) = nodes(view, x[0]).find(|(op, _)| **op == Op::Unary(Unary::Neg))?;
    Some(Term::new(op.clone(), [Term::Class(y[0])]))
}

/// Identities of functions of angles.
pub const RULES: &[Rule] = &[
    function("angles/odd", &["sin", "tan", "asin", "atan", "sinh", "tanh", "erf"], odd)
        .always()
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.unary(Unary::Tanh, n)
        })
        .near_miss(|e| {
            let x = e.matrix();
            e.graph.unary(Unary::Tanh, x)
        }),
    function("angles/even", &["cos", "cosh"], even)
        .always()
        .why("a sign does not matter")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.unary(Unary::Cosh, n)
        })
        .near_miss(|e| {
            let x = e.matrix();
            let s = e.graph.unary(Unary::Sin, x);
            e.graph.unary(Unary::Cosh, s)
        }),
    rule("angles/circle", "(add (mul (sin ?x) (sin ?x)) (mul (cos ?x) (cos ?x)))", "1")
        .always()
        .why("Pythagoras")
        .example(|e| {
            let [a, b] = squares(e, Unary::Sin, Unary::Cos);
            e.graph.plus(a, b)
        }),
    rule("angles/cos-squared", "(sub 1 (mul (sin ?x) (sin ?x)))", "(mul (cos ?x) (cos ?x))")
        .formulas()
        .why("Pythagoras")
        .example(|e| {
            let [a, _] = squares(e, Unary::Sin, Unary::Cos);
            rest(e, a)
        }),
    rule("angles/sin-squared", "(sub 1 (mul (cos ?x) (cos ?x)))", "(mul (sin ?x) (sin ?x))")
        .formulas()
        .why("Pythagoras")
        .example(|e| {
            let [_, b] = squares(e, Unary::Sin, Unary::Cos);
            rest(e, b)
        }),
    rule("angles/sin-double", "(mul (sin ?x) (cos ?x))", "(mul (sin (mul ?x 2)) 0.5)")
        .why("one function for two")
        .example(|e| {
            let [a, b] = both(e, Unary::Sin, Unary::Cos);
            e.graph.times(a, b)
        }),
    rule("angles/cos-double", "(sub (mul (cos ?x) (cos ?x)) (mul (sin ?x) (sin ?x)))", "(cos (mul ?x 2))")
        .why("one function for two")
        .example(|e| {
            let [a, b] = squares(e, Unary::Sin, Unary::Cos);
            e.graph.minus(b, a)
        }),
    rule("angles/tan", "(div (sin ?x) (cos ?x))", "(tan ?x)").always().why("one function for two").example(
        |e| {
            let [a, b] = both(e, Unary::Sin, Unary::Cos);
            e.graph.over(a, b)
        },
    ),
    rule("angles/tanh", "(div (sinh ?x) (cosh ?x))", "(tanh ?x)")
        .always()
        .why("one function for two, without overflow")
        .example(|e| {
            let [a, b] = both(e, Unary::Sinh, Unary::Cosh);
            e.graph.over(a, b)
        }),
    rule("angles/tanh-slope", "(sub 1 (mul (tanh ?x) (tanh ?x)))", "(div 1 (mul (cosh ?x) (cosh ?x)))")
        .formulas()
        .why("a quotient that takes up a factor")
        .example(|e| {
            let [a, _] = squares(e, Unary::Tanh, Unary::Cosh);
            rest(e, a)
        }),
    rule("angles/sigmoid-slope", "(mul (sigmoid ?x) (sub 1 (sigmoid ?x)))", "(div 0.5 (add (cosh ?x) 1))")
        .formulas()
        .why("σ(x)·σ(−x) = 1/(eˣ + 2 + e⁻ˣ)")
        .example(|e| {
            let [y, _] = both(e, Unary::Sigmoid, Unary::Cosh);
            let rest = rest(e, y);
            e.graph.times(rest, y)
        }),
    rule("angles/sigmoid-complement", "(sub 1 (sigmoid ?x))", "(sigmoid (neg ?x))")
        .formulas()
        .why("1/(1 + e⁻ˣ) and 1/(1 + eˣ) add up to 1")
        .example(|e| {
            let [y, _] = both(e, Unary::Sigmoid, Unary::Cosh);
            rest(e, y)
        }),
    rule("angles/sigmoid-negative", "(sigmoid (neg ?x))", "(sub 1 (sigmoid ?x))")
        .formulas()
        .why("σ(x) may be there")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.unary(Unary::Sigmoid, n)
        }),
    rule("angles/abs", "(mul ?x (sign ?x))", "(abs ?x)")
        .exact()
        .always()
        .why("one function for two")
        .example(|e| {
            let x = e.matrix();
            let s = e.graph.unary(Unary::Sign, x);
            e.graph.times(x, s)
        }),
];
