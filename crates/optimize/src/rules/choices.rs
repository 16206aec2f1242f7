//! Choices between two values, as ReLU's derivative and those of other extremes are.

use bespoke_graph::{
    Graph, NodeId,
    op::{self, Binary, Unary},
};

use crate::{
    example::Example,
    rule::{Rule, rule},
};

/// A condition, and four values.
fn choice(e: &mut Example) -> (NodeId, [NodeId; 4]) {
    let values: [NodeId; 4] = e.inputs();
    (e.graph.binary(Binary::Lt, values[0], values[1]), values)
}

/// Two choices by one condition.
fn choices(e: &mut Example, join: fn(&mut Graph, NodeId, NodeId) -> NodeId) -> NodeId {
    let (c, [x, y, z, w]) = choice(e);
    let (first, second) = (e.graph.select(c, x, y), e.graph.select(c, z, w));
    join(&mut e.graph, first, second)
}

/// Choices that meet.
pub const RULES: &[Rule] = &[
    rule("choices/add", "(add (select ?c ?x ?y) (select ?c ?z ?w))", "(select ?c (add ?x ?z) (add ?y ?w))")
        .exact()
        .why("one choice for two; a sum with 0 is none")
        .example(|e| choices(e, |g, x, y| g.plus(x, y))),
    rule("choices/mul", "(mul (select ?c ?x ?y) (select ?c ?z ?w))", "(select ?c (mul ?x ?z) (mul ?y ?w))")
        .exact()
        .why("one choice for two; a product with 0 is none")
        .example(|e| choices(e, |g, x, y| g.times(x, y))),
    rule("choices/factor", "(mul ?z (select ?c ?x ?y))", "(select ?c (mul ?z ?x) (mul ?z ?y))")
        .exact()
        .formulas()
        .why("products with 1 and 0 are none")
        .example(|e| {
            let (c, [x, y, z, _]) = choice(e);
            let chosen = e.graph.select(c, x, y);
            e.graph.times(z, chosen)
        }),
    rule("choices/relu", "(mul (max ?x 0) (select (gt ?x 0) ?y 0))", "(mul (max ?x 0) ?y)")
        .assumes_finite()
        .always()
        .why("where ReLU is 0, so is the product")
        .example(|e| {
            let [x, y] = e.inputs();
            let zero = e.fill(x, 0.0);
            let (relu, above) = (e.graph.binary(Binary::Max, x, zero), e.graph.binary(Binary::Gt, x, zero));
            let chosen = e.graph.select(above, y, zero);
            e.graph.times(chosen, relu)
        }),
    rule("choices/indicator", "(select ?c 1 0)", "(convert:t ?c)")
        .exact()
        .formulas()
        .with(&[("t", |m| Some(op::Convert { dtype: m.root_ty().dtype }.into()))])
        .why("the bracket of Iverson: true is 1, false 0")
        .example(|e| {
            let (c, [x, ..]) = choice(e);
            let (one, zero) = (e.fill(x, 1.0), e.fill(x, 0.0));
            e.graph.select(c, one, zero)
        })
        .near_miss(|e| {
            let (c, [x, ..]) = choice(e);
            let one = e.fill(x, 1.0);
            e.graph.select(c, x, one)
        }),
    rule("choices/indicator-not", "(select ?c 0 1)", "(convert:t (not ?c))")
        .exact()
        .formulas()
        .with(&[("t", |m| Some(op::Convert { dtype: m.root_ty().dtype }.into()))])
        .why("the bracket of Iverson: true is 1, false 0")
        .example(|e| {
            let (c, [x, ..]) = choice(e);
            let (one, zero) = (e.fill(x, 1.0), e.fill(x, 0.0));
            e.graph.select(c, zero, one)
        })
        .near_miss(|e| {
            let (c, [x, ..]) = choice(e);
            let zero = e.fill(x, 0.0);
            e.graph.select(c, x, zero)
        }),
    rule("choices/not-above", "(not (gt ?x ?y))", "(le ?x ?y)")
        .assumes_finite()
        .always()
        .why("of numbers, one of the two holds; of NaN, neither")
        .example(|e| {
            let [x, y] = e.inputs();
            let above = e.graph.binary(Binary::Gt, x, y);
            e.graph.unary(Unary::Not, above)
        }),
    rule("choices/not-below", "(not (lt ?x ?y))", "(ge ?x ?y)")
        .assumes_finite()
        .always()
        .why("of numbers, one of the two holds; of NaN, neither")
        .example(|e| {
            let [x, y] = e.inputs();
            let below = e.graph.binary(Binary::Lt, x, y);
            e.graph.unary(Unary::Not, below)
        }),
];
