//! Formulas turned round: every order and bracketing of sums and products, distribution and fractions, so that what cancels or
//! is shared comes together. Each step alone saves nothing, and their number grows exponentially, so that they are for
//! [formulas](crate::Minimise::Operations) only.

use bespoke_graph::{Graph, NodeId};

use crate::{
    example::Example,
    rule::{Rule, rule},
};

/// f(x, y, z).
fn three(e: &mut Example, f: fn(&mut Graph, NodeId, NodeId, NodeId) -> NodeId) -> NodeId {
    let [x, y, z] = e.inputs();
    f(&mut e.graph, x, y, z)
}

/// f(x, y).
fn two(e: &mut Example, f: fn(&mut Graph, NodeId, NodeId) -> NodeId) -> NodeId {
    let [x, y] = e.inputs();
    f(&mut e.graph, x, y)
}

/// Sums, products and fractions in other orders.
pub const RULES: &[Rule] = &[
    rule("formulas/add-add", "(add (add ?x ?y) ?z)", "(add ?x (add ?y ?z))")
        .formulas()
        .why("sums associate")
        .example(|e| {
            three(e, |g, x, y, z| {
                let sum = g.plus(x, y);
                g.plus(sum, z)
            })
        }),
    rule("formulas/add-sub", "(add (sub ?x ?y) ?z)", "(sub (add ?x ?z) ?y)")
        .formulas()
        .why("sums associate")
        .example(|e| {
            three(e, |g, x, y, z| {
                let difference = g.minus(x, y);
                g.plus(difference, z)
            })
        }),
    rule("formulas/sub-add", "(sub (add ?x ?y) ?z)", "(add ?x (sub ?y ?z))")
        .formulas()
        .why("sums associate")
        .example(|e| {
            three(e, |g, x, y, z| {
                let sum = g.plus(x, y);
                g.minus(sum, z)
            })
        }),
    rule("formulas/sub-sub", "(sub (sub ?x ?y) ?z)", "(sub ?x (add ?y ?z))")
        .formulas()
        .why("sums associate")
        .example(|e| {
            three(e, |g, x, y, z| {
                let difference = g.minus(x, y);
                g.minus(difference, z)
            })
        }),
    rule("formulas/sub-difference", "(sub ?x (sub ?y ?z))", "(sub (add ?x ?z) ?y)")
        .formulas()
        .why("sums associate")
        .example(|e| {
            three(e, |g, x, y, z| {
                let difference = g.minus(y, z);
                g.minus(x, difference)
            })
        }),
    rule("formulas/sub-sum", "(sub ?x (add ?y ?z))", "(sub (sub ?x ?y) ?z)")
        .formulas()
        .why("sums associate")
        .example(|e| {
            three(e, |g, x, y, z| {
                let sum = g.plus(y, z);
                g.minus(x, sum)
            })
        }),
    rule("formulas/sub-swap", "(sub ?x ?y)", "(neg (sub ?y ?x))")
        .formulas()
        .why("the other way round it may be shared, or meet another sign")
        .example(|e| two(e, |g, x, y| g.minus(x, y))),
    rule("formulas/neg-add", "(neg (add ?x ?y))", "(sub (neg ?x) ?y)")
        .formulas()
        .why("the sign of a term may cancel")
        .example(|e| {
            two(e, |g, x, y| {
                let sum = g.plus(x, y);
                g.negate(sum)
            })
        }),
    rule("formulas/double", "(add ?x ?x)", "(mul ?x 2)")
        .exact()
        .formulas()
        .why("a factor may meet others")
        .example(|e| {
            let x = e.matrix();
            e.graph.plus(x, x)
        }),
    rule("formulas/mul-mul", "(mul (mul ?x ?y) ?z)", "(mul ?x (mul ?y ?z))")
        .formulas()
        .why("products associate")
        .example(|e| {
            three(e, |g, x, y, z| {
                let product = g.times(x, y);
                g.times(product, z)
            })
        }),
    rule("formulas/mul-div", "(mul (div ?x ?y) ?z)", "(div (mul ?x ?z) ?y)")
        .formulas()
        .why("one fraction")
        .example(|e| {
            three(e, |g, x, y, z| {
                let quotient = g.over(x, y);
                g.times(quotient, z)
            })
        }),
    rule("formulas/div-mul", "(div (mul ?x ?y) ?z)", "(mul ?x (div ?y ?z))")
        .formulas()
        .why("a quotient that may be shared")
        .example(|e| {
            three(e, |g, x, y, z| {
                let product = g.times(x, y);
                g.over(product, z)
            })
        }),
    rule("formulas/div-product", "(div ?x (mul ?y ?z))", "(div (div ?x ?y) ?z)")
        .formulas()
        .why("a factor that may cancel")
        .example(|e| {
            three(e, |g, x, y, z| {
                let product = g.times(y, z);
                g.over(x, product)
            })
        }),
    rule("formulas/distribute", "(mul ?x (add ?y ?z))", "(add (mul ?x ?y) (mul ?x ?z))")
        .formulas()
        .why("terms that may cancel")
        .example(|e| {
            three(e, |g, x, y, z| {
                let sum = g.plus(y, z);
                g.times(x, sum)
            })
        }),
    rule("formulas/distribute-sub", "(mul ?x (sub ?y ?z))", "(sub (mul ?x ?y) (mul ?x ?z))")
        .formulas()
        .why("terms that may cancel")
        .example(|e| {
            three(e, |g, x, y, z| {
                let difference = g.minus(y, z);
                g.times(x, difference)
            })
        }),
    rule("formulas/split-fraction", "(div (add ?x ?y) ?z)", "(add (div ?x ?z) (div ?y ?z))")
        .formulas()
        .why("quotients that may cancel")
        .example(|e| {
            three(e, |g, x, y, z| {
                let sum = g.plus(x, y);
                g.over(sum, z)
            })
        }),
    rule("formulas/split-fraction-sub", "(div (sub ?x ?y) ?z)", "(sub (div ?x ?z) (div ?y ?z))")
        .formulas()
        .why("quotients that may cancel")
        .example(|e| {
            three(e, |g, x, y, z| {
                let difference = g.minus(x, y);
                g.over(difference, z)
            })
        }),
    rule("formulas/one-fraction", "(add ?x (div ?y ?z))", "(div (add (mul ?x ?z) ?y) ?z)")
        .formulas()
        .why("terms over one denominator")
        .example(|e| {
            three(e, |g, x, y, z| {
                let quotient = g.over(y, z);
                g.plus(x, quotient)
            })
        }),
    rule("formulas/one-fraction-sub", "(sub ?x (div ?y ?z))", "(div (sub (mul ?x ?z) ?y) ?z)")
        .formulas()
        .why("terms over one denominator")
        .example(|e| {
            three(e, |g, x, y, z| {
                let quotient = g.over(y, z);
                g.minus(x, quotient)
            })
        }),
    rule(
        "formulas/two-fractions",
        "(sub (div ?x ?y) (div ?z ?w))",
        "(div (sub (mul ?x ?w) (mul ?z ?y)) (mul ?y ?w))",
    )
    .formulas()
    .why("terms over one denominator")
    .example(|e| {
        let [x, y, z, w] = e.inputs();
        let (a, b) = (e.graph.over(x, y), e.graph.over(z, w));
        e.graph.minus(a, b)
    }),
    rule("formulas/factor-one", "(add ?x (mul ?x ?y))", "(mul ?x (add ?y 1))")
        .formulas()
        .why("x is 1·x")
        .example(|e| {
            two(e, |g, x, y| {
                let product = g.times(x, y);
                g.plus(product, x)
            })
        }),
    rule("formulas/factor-one-sub", "(sub ?x (mul ?x ?y))", "(mul ?x (sub 1 ?y))")
        .formulas()
        .why("x is 1·x")
        .example(|e| {
            two(e, |g, x, y| {
                let product = g.times(x, y);
                g.minus(x, product)
            })
        }),
];
