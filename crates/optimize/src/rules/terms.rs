//! Sums and products of several terms: constants brought together, common factors and denominators.

use bespoke_graph::{NodeId, Op};

use super::is_float;
use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, rule},
    view::{Children, Class, View, nodes},
};

/// Is `x` not one number in all elements, which would be computed in advance?
pub fn varies(m: &Match<'_>) -> bool {
    m.splat("x").is_none()
}

/// Two values that both vary or are both constant.
pub fn alike(e: &mut Example) -> [NodeId; 2] {
    let x = e.matrix();
    if e.below(2) == 0 { [e.fill(x, 0.5), e.fill(x, 0.25)] } else { [x, e.like(x)] }
}

/// Are `c` and `d` such that neither their product nor their quotient leaves the range of normal numbers?
fn moderate(m: &Match<'_>) -> bool {
    let fine = |var: &str| {
        let value = m.splat(var).map_or(f64::NAN, |v| v.to_f64().abs());
        value == 0.0 || (1e-15..=1e15).contains(&value)
    };
    varies(m) && (!m.is_float() || fine("c") && fine("d"))
}

/// Is it a value repeated along new axes?
fn is_repeated(view: &dyn View, class: Class) -> bool {
    let elements = view.ty(class).elements();
    let broadcast =
        |(op, x): (&Op, Children)| matches!(op, Op::Broadcast(_)) && view.ty(x[0]).elements() < elements;
    view.splat(class).is_none() && nodes(view, class).any(broadcast)
}

/// Is 1/c exact?
fn has_exact_reciprocal(m: &Match<'_>) -> bool {
    let power_of_two = |c: f64| {
        let exponent = (c.to_bits() >> 52 & 0x7ff) as i64 - 1023;
        c.to_bits() << 12 == 0 && (-126..=126).contains(&exponent)
    };
    m.is_float() && m.splat("x").is_none() && m.splat("c").is_some_and(|c| power_of_two(c.to_f64()))
}

/// A matrix, and two rows that are repeated to its shape.
fn beside_rows(e: &mut Example) -> [NodeId; 3] {
    let [m, n] = e.dims();
    let (x, y, z) = (e.input([m, n]), e.input([n]), e.input([n]));
    let [y, z] = [y, z].map(|v| e.graph.broadcast(v, [m, n].into(), &[1]));
    [x, y, z]
}

/// Terms.
pub const RULES: &[Rule] = &[
    rule("algebra/mul-constants", "(mul (mul ?x #c) #d)", "(mul ?x (mul ?c ?d))")
        .always()
        .when(moderate)
        .why("two constants are one")
        .near_miss(|e| {
            // The product of the constants overflows in smaller types.
            let x = e.matrix();
            let (c, d) = (e.fill(x, 1e20), e.fill(x, 3.0));
            let cx = e.graph.times(c, x);
            e.graph.times(d, cx)
        })
        .example(|e| {
            let x = e.matrix();
            let (c, d) = (e.fill(x, 0.3), e.fill(x, 0.7));
            let xc = e.graph.times(x, c);
            e.graph.times(d, xc)
        }),
    rule("algebra/add-constants", "(add (add ?x #c) #d)", "(add ?x (add ?c ?d))")
        .always()
        .when(varies)
        .why("two constants are one")
        .near_miss(|e| {
            let [x, y] = alike(e);
            let (xy, c) = (e.graph.plus(x, y), e.fill(x, 0.75));
            e.graph.plus(c, xy)
        })
        .example(|e| {
            let x = e.matrix();
            let (c, d) = (e.fill(x, 0.3), e.fill(x, 0.7));
            let xc = e.graph.plus(x, c);
            e.graph.plus(d, xc)
        }),
    rule("algebra/mul-div-constants", "(div (mul ?x #c) #d)", "(mul ?x (div ?c ?d))")
        .always()
        .when(|m| moderate(m) && m.is_float() && m.splat("d").is_some_and(|d| d.to_f64() != 0.0))
        .why("two constants are one")
        .near_miss(|e| {
            let x = e.matrix();
            let (c, zero) = (e.fill(x, 3.0), e.fill(x, 0.0));
            let cx = e.graph.times(c, x);
            e.graph.over(cx, zero)
        })
        .example(|e| {
            let x = e.matrix();
            let (c, d) = (e.fill(x, 0.3), e.fill(x, 0.7));
            let xc = e.graph.times(x, c);
            e.graph.over(xc, d)
        }),
    rule("algebra/div-power-of-two", "(div ?x #c)", "(mul ?x (div 1:c ?c))")
        .exact()
        .always()
        .when(has_exact_reciprocal)
        .why("the reciprocal of a power of two is exact")
        .near_miss(|e| {
            let x = e.matrix();
            let c = e.fill(x, 3.0);
            e.graph.over(x, c)
        })
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 128.0);
            e.graph.over(x, c)
        }),
    rule("algebra/div-constant", "(div ?x #c)", "(mul ?x (div 1:c ?c))")
        .always()
        .when(|m| {
            let tiny = f64::from(f32::MIN_POSITIVE);
            let normal = |c: f64| c.is_finite() && c.abs() > tiny && (1.0 / c).abs() > tiny;
            m.is_float() && varies(m) && m.splat("c").is_some_and(|c| normal(c.to_f64()))
        })
        .why("a product takes a quarter of a quotient's time")
        .near_miss(|e| {
            // The reciprocal is no number of f32.
            let x = e.matrix();
            let c = e.fill(x, 1e-40);
            e.graph.over(x, c)
        })
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 100.0);
            e.graph.over(x, c)
        }),
    rule("algebra/mul-reciprocal", "(mul (div 1 ?x) ?y)", "(div ?y ?x)")
        .always()
        .when(is_float)
        .why("one operation for two")
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let one = e.fill(x, 1.0);
            let r = e.graph.over(one, x);
            e.graph.times(r, y)
        })
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let one = e.fill(x, 1.0);
            let r = e.graph.over(one, x);
            e.graph.times(y, r)
        }),
    rule("algebra/div-div", "(div (div ?x ?y) ?z)", "(div ?x (mul ?y ?z))")
        .when(is_float)
        .why("a product is cheaper than a quotient")
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let z = e.like(x);
            let xy = e.graph.over(x, y);
            e.graph.over(xy, z)
        })
        .example(|e| {
            let dims = e.dims();
            let (x, y, z) = (e.input(dims), e.input(dims), e.input(dims));
            let q = e.graph.over(x, y);
            e.graph.over(q, z)
        }),
    rule("algebra/div-by-quotient", "(div ?x (div ?y ?z))", "(div (mul ?x ?z) ?y)")
        .when(is_float)
        .why("a product is cheaper than a quotient")
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let z = e.like(x);
            let yz = e.graph.over(y, z);
            e.graph.over(x, yz)
        })
        .example(|e| {
            let dims = e.dims();
            let (x, y, z) = (e.input(dims), e.input(dims), e.input(dims));
            let q = e.graph.over(y, z);
            e.graph.over(x, q)
        }),
    rule("algebra/complement", "(add (mul ?x (sub ?y 1)) (mul ?y (sub 1 ?x)))", "(sub ?y ?x)")
        .always()
        .why("x(y − 1) + y(1 − x) = y − x, the gradient of binary cross-entropy")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let one = e.fill(x, 1.0);
            let (less, rest) = (e.graph.minus(y, one), e.graph.minus(one, x));
            let (a, b) = (e.graph.times(x, less), e.graph.times(y, rest));
            e.graph.plus(a, b)
        }),
    rule("algebra/complement-sub", "(sub (mul ?x (sub 1 ?y)) (mul ?y (sub 1 ?x)))", "(sub ?x ?y)")
        .always()
        .why("x(1 − y) − y(1 − x) = x − y, the gradient of binary cross-entropy")
        .example(|e| {
            let [x, y] = e.inputs();
            let one = e.fill(x, 1.0);
            let rests = [x, y].map(|v| e.graph.minus(one, v));
            let (a, b) = (e.graph.times(x, rests[1]), e.graph.times(y, rests[0]));
            e.graph.minus(a, b)
        }),
    rule("algebra/common-denominator-sub", "(sub (div ?x ?z) (div ?y ?z))", "(div (sub ?x ?y) ?z)")
        .when(is_float)
        .why("one quotient for two")
        .example(|e| {
            let [x, y, z] = e.inputs();
            let (a, b) = (e.graph.over(x, z), e.graph.over(y, z));
            e.graph.minus(a, b)
        })
        .near_miss(|e| {
            let x = e.integers();
            let (y, z) = (e.like(x), e.like(x));
            let (a, b) = (e.graph.over(x, z), e.graph.over(y, z));
            e.graph.minus(a, b)
        }),
    rule("algebra/common-denominator", "(add (div ?x ?z) (div ?y ?z))", "(div (add ?x ?y) ?z)")
        .when(is_float)
        .why("one quotient for two")
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let z = e.like(x);
            let (a, b) = (e.graph.over(x, z), e.graph.over(y, z));
            e.graph.plus(a, b)
        })
        .example(|e| {
            let dims = e.dims();
            let (x, y, z) = (e.input(dims), e.input(dims), e.input(dims));
            let (a, b) = (e.graph.over(x, z), e.graph.over(y, z));
            e.graph.plus(a, b)
        }),
    rule("algebra/factor", "(add (mul ?x ?y) (mul ?x ?z))", "(mul ?x (add ?y ?z))")
        .why("one product for two")
        .example(|e| {
            let dims = e.dims();
            let (x, y, z) = (e.input(dims), e.input(dims), e.input(dims));
            let (a, b) = (e.graph.times(x, y), e.graph.times(z, x));
            e.graph.plus(a, b)
        }),
    rule("algebra/factor-sub", "(sub (mul ?x ?y) (mul ?x ?z))", "(mul ?x (sub ?y ?z))")
        .why("one product for two")
        .example(|e| {
            let dims = e.dims();
            let (x, y, z) = (e.input(dims), e.input(dims), e.input(dims));
            let (a, b) = (e.graph.times(x, y), e.graph.times(z, x));
            e.graph.minus(a, b)
        }),
    rule("algebra/factor-constant", "(add ?x (mul ?x #c))", "(mul ?x (add ?c 1:c))")
        .always()
        .when(varies)
        .why("x + cx = (1 + c)x, as in weight decay")
        .near_miss(|e| {
            let [x, y] = alike(e);
            let xy = e.graph.times(x, y);
            e.graph.plus(x, xy)
        })
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 0.25);
            let cx = e.graph.times(c, x);
            e.graph.plus(x, cx)
        }),
    rule("algebra/factor-constant-sub", "(sub ?x (mul ?x #c))", "(mul ?x (sub 1:c ?c))")
        .always()
        .when(varies)
        .why("x − cx = (1 − c)x, as in weight decay")
        .near_miss(|e| {
            let [x, y] = alike(e);
            let xy = e.graph.times(x, y);
            e.graph.minus(x, xy)
        })
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 0.25);
            let cx = e.graph.times(c, x);
            e.graph.minus(x, cx)
        }),
    rule("algebra/distribute-constant", "(mul (mul ?x #c) ?y)", "(mul (mul ?x ?y) ?c)")
        .when(|m| varies(m) && m.splat("y").is_none())
        .why("constants move outwards, where they meet others")
        .near_miss(|e| {
            let [x, y] = alike(e);
            let z = e.like(x);
            let xy = e.graph.times(x, y);
            e.graph.times(xy, z)
        })
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.fill(x, 0.25);
            let cx = e.graph.times(c, x);
            e.graph.times(y, cx)
        }),
    rule("algebra/constant-inward", "(mul (mul ?x ?y) #c)", "(mul ?x (mul ?y ?c))")
        .when(|m| is_repeated(m.view, m.class("y")))
        .why("a constant is multiplied before its factor is repeated: w − x⊗(ηδ)")
        .near_miss(|e| {
            let x = e.matrix();
            let (y, c) = (e.like(x), e.fill(x, 0.25));
            let xy = e.graph.times(y, x);
            e.graph.times(c, xy)
        })
        .example(|e| {
            let [m, n] = e.dims();
            let (x, y) = (e.input([m, n]), e.input([n]));
            let (wide, c) = (e.graph.broadcast(y, [m, n].into(), &[1]), e.fill(x, 0.25));
            let xy = e.graph.times(wide, x);
            e.graph.times(c, xy)
        }),
    rule(
        "algebra/merge-terms",
        "(add (add ?x (broadcast:b ?y)) (broadcast:b ?z))",
        "(add ?x (broadcast:b (add ?y ?z)))",
    )
    .why("two biases are one, added before it is repeated")
    .example(|e| {
        let [x, y, z] = beside_rows(e);
        let xy = e.graph.plus(y, x);
        e.graph.plus(z, xy)
    }),
    rule(
        "algebra/merge-difference",
        "(add (sub ?x (broadcast:b ?y)) (broadcast:b ?z))",
        "(add ?x (broadcast:b (sub ?z ?y)))",
    )
    .why("a mean that is taken off and a bias that is added are one bias")
    .example(|e| {
        let [x, y, z] = beside_rows(e);
        let xy = e.graph.minus(x, y);
        e.graph.plus(z, xy)
    }),
    rule(
        "algebra/merge-subtracted",
        "(sub (add ?x (broadcast:b ?y)) (broadcast:b ?z))",
        "(add ?x (broadcast:b (sub ?y ?z)))",
    )
    .why("a bias that is added and a mean that is taken off are one bias")
    .example(|e| {
        let [x, y, z] = beside_rows(e);
        let xy = e.graph.plus(x, y);
        e.graph.minus(xy, z)
    }),
    rule(
        "algebra/merge-factors",
        "(mul (mul ?x (broadcast:b ?y)) (broadcast:b ?z))",
        "(mul ?x (broadcast:b (mul ?y ?z)))",
    )
    .why("two scales are one, multiplied before it is repeated")
    .example(|e| {
        let [x, y, z] = beside_rows(e);
        let xy = e.graph.times(y, x);
        e.graph.times(z, xy)
    }),
];
