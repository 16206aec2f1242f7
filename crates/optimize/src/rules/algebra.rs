//! Identities of arithmetic: neutral elements, signs, constants brought together, powers, factoring.

use bespoke_graph::{
    Op,
    op::{Binary, Unary},
};
use bespoke_tensor::{DType, Type};

use super::is_float;
use crate::{
    pattern::Match,
    rule::{Rule, rule},
    view::{Children, Class, View, nodes},
};

/// Is `c` one number in all elements while `x` is not?
fn constant(m: &Match<'_>) -> bool {
    m.splat("c").is_some() && m.splat("x").is_none()
}

/// Are `c` and `d` one number in all elements while `x` is not?
fn constants(m: &Match<'_>) -> bool {
    m.splat("d").is_some() && constant(m)
}

/// Are `c` and `d` such that neither their product nor their quotient leaves the range of normal numbers?
fn moderate(m: &Match<'_>) -> bool {
    let fine = |var: &str| {
        let value = m.splat(var).map_or(f64::NAN, |v| v.to_f64().abs());
        value == 0.0 || (1e-15..=1e15).contains(&value)
    };
    constants(m) && (!m.is_float() || fine("c") && fine("d"))
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

/// Algebraic identities.
pub const RULES: &[Rule] = &[
    rule("algebra/add-zero", "(add ?x 0)", "?x")
        .always()
        .why("−0 + 0 is 0, so a zero's sign may change")
        .example(|e| {
            let x = e.matrix();
            let zero = e.fill(x, 0.0);
            e.graph.plus(zero, x)
        }),
    rule("algebra/add-minus-zero", "(add ?x -0)", "?x")
        .exact()
        .always()
        .why("−0 is neutral, even for −0")
        .example(|e| {
            let x = e.matrix();
            let zero = e.fill(x, -0.0);
            e.graph.plus(zero, x)
        }),
    rule("algebra/sub-zero", "(sub ?x 0)", "?x").always().why("as x + 0").example(|e| {
        let x = e.matrix();
        let zero = e.fill(x, 0.0);
        e.graph.minus(x, zero)
    }),
    rule("algebra/zero-sub", "(sub 0 ?x)", "(neg ?x)").always().why("0 − 0 is 0, −0 is not").example(|e| {
        let x = e.matrix();
        let zero = e.fill(x, 0.0);
        e.graph.minus(zero, x)
    }),
    rule("algebra/mul-one", "(mul ?x 1)", "?x").exact().always().why("1 is neutral").example(|e| {
        let x = e.matrix();
        let one = e.fill(x, 1.0);
        e.graph.times(x, one)
    }),
    rule("algebra/div-one", "(div ?x 1)", "?x").exact().always().why("1 is neutral").example(|e| {
        let x = e.matrix();
        let one = e.fill(x, 1.0);
        e.graph.over(x, one)
    }),
    rule("algebra/mul-minus-one", "(mul ?x -1)", "(neg ?x)")
        .exact()
        .always()
        .why("a sign is one bit")
        .example(|e| {
            let x = e.matrix();
            let minus = e.fill(x, -1.0);
            e.graph.times(x, minus)
        }),
    rule("algebra/mul-zero-integer", "(mul ?x 0)", "0")
        .exact()
        .always()
        .when(|m| m.root_ty().dtype.is_int())
        .why("integers have no NaN")
        .example(|e| {
            let dims = e.dims();
            let x = e.typed(Type::new(DType::I32, dims));
            let zero = e.fill(x, 0.0);
            e.graph.times(x, zero)
        }),
    rule("algebra/mul-zero", "(mul ?x 0)", "0")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("0 times infinity or NaN is NaN, so x must be finite")
        .example(|e| {
            let x = e.matrix();
            let zero = e.fill(x, 0.0);
            e.graph.times(x, zero)
        }),
    rule("algebra/sub-self", "(sub ?x ?x)", "0")
        .assumes_finite()
        .always()
        .why("∞ − ∞ is NaN, so x must be finite")
        .example(|e| {
            let x = e.matrix();
            e.graph.minus(x, x)
        }),
    rule("algebra/div-self", "(div ?x ?x)", "1")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("x is taken to be neither 0 nor infinite")
        .example(|e| {
            let x = e.matrix();
            e.graph.over(x, x)
        }),
    rule("algebra/div-cancel", "(div (mul ?x ?y) ?y)", "?x")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("y is taken to be neither 0 nor infinite")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let xy = e.graph.times(x, y);
            e.graph.over(xy, y)
        }),
    rule("algebra/neg-neg", "(neg (neg ?x))", "?x").exact().always().why("a sign flipped twice").example(
        |e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.negate(n)
        },
    ),
    rule("algebra/add-neg", "(add ?x (neg ?y))", "(sub ?x ?y)")
        .exact()
        .always()
        .why("a difference is defined so")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let n = e.graph.negate(y);
            e.graph.plus(n, x)
        }),
    rule("algebra/sub-neg", "(sub ?x (neg ?y))", "(add ?x ?y)")
        .exact()
        .always()
        .why("a difference is defined so")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let n = e.graph.negate(y);
            e.graph.minus(x, n)
        }),
    rule("algebra/neg-sub", "(neg (sub ?x ?y))", "(sub ?y ?x)")
        .always()
        .why("of equal values, the sign of the zero differs")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let d = e.graph.minus(x, y);
            e.graph.negate(d)
        }),
    rule("algebra/neg-minus", "(sub (neg ?x) ?y)", "(neg (add ?x ?y))")
        .always()
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let n = e.graph.negate(x);
            e.graph.minus(n, y)
        }),
    rule("algebra/neg-constant", "(neg (mul ?x ?c))", "(mul ?x (neg ?c))")
        .exact()
        .always()
        .when(constant)
        .why("the sign is part of the constant")
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 2.5);
            let xc = e.graph.times(x, c);
            e.graph.negate(xc)
        }),
    rule("algebra/mul-neg", "(mul (neg ?x) ?y)", "(neg (mul ?x ?y))")
        .exact()
        .always()
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let n = e.graph.negate(x);
            e.graph.times(y, n)
        }),
    rule("algebra/div-neg", "(div (neg ?x) ?y)", "(neg (div ?x ?y))")
        .exact()
        .always()
        .when(is_float)
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let n = e.graph.negate(x);
            e.graph.over(n, y)
        }),
    rule("algebra/div-by-neg", "(div ?x (neg ?y))", "(neg (div ?x ?y))")
        .exact()
        .always()
        .when(is_float)
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let n = e.graph.negate(y);
            e.graph.over(x, n)
        }),
    rule("algebra/minus-reciprocal", "(div -1 ?x)", "(neg (div 1 ?x))")
        .exact()
        .always()
        .when(is_float)
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let x = e.matrix();
            let minus = e.fill(x, -1.0);
            e.graph.over(minus, x)
        }),
    rule("algebra/mul-constants", "(mul (mul ?x ?c) ?d)", "(mul ?x (mul ?c ?d))")
        .always()
        .when(moderate)
        .why("two constants are one")
        .example(|e| {
            let x = e.matrix();
            let (c, d) = (e.fill(x, 0.3), e.fill(x, 0.7));
            let xc = e.graph.times(x, c);
            e.graph.times(d, xc)
        }),
    rule("algebra/add-constants", "(add (add ?x ?c) ?d)", "(add ?x (add ?c ?d))")
        .always()
        .when(constants)
        .why("two constants are one")
        .example(|e| {
            let x = e.matrix();
            let (c, d) = (e.fill(x, 0.3), e.fill(x, 0.7));
            let xc = e.graph.plus(x, c);
            e.graph.plus(d, xc)
        }),
    rule("algebra/mul-div-constants", "(div (mul ?x ?c) ?d)", "(mul ?x (div ?c ?d))")
        .always()
        .when(|m| moderate(m) && m.is_float() && m.splat("d").is_some_and(|d| d.to_f64() != 0.0))
        .why("two constants are one")
        .example(|e| {
            let x = e.matrix();
            let (c, d) = (e.fill(x, 0.3), e.fill(x, 0.7));
            let xc = e.graph.times(x, c);
            e.graph.over(xc, d)
        }),
    rule("algebra/div-power-of-two", "(div ?x ?c)", "(mul ?x (div 1:c ?c))")
        .exact()
        .always()
        .when(has_exact_reciprocal)
        .why("the reciprocal of a power of two is exact")
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 128.0);
            e.graph.over(x, c)
        }),
    rule("algebra/div-constant", "(div ?x ?c)", "(mul ?x (div 1:c ?c))")
        .always()
        .when(|m| {
            let tiny = f64::from(f32::MIN_POSITIVE);
            let normal = |c: f64| c.is_finite() && c.abs() > tiny && (1.0 / c).abs() > tiny;
            m.is_float() && constant(m) && m.splat("c").is_some_and(|c| normal(c.to_f64()))
        })
        .why("a product takes a quarter of a quotient's time")
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 100.0);
            e.graph.over(x, c)
        }),
    rule("algebra/mul-reciprocal", "(mul (div 1 ?x) ?y)", "(div ?y ?x)")
        .always()
        .when(is_float)
        .why("one operation for two")
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
        .example(|e| {
            let dims = e.dims();
            let (x, y, z) = (e.input(dims), e.input(dims), e.input(dims));
            let q = e.graph.over(x, y);
            e.graph.over(q, z)
        }),
    rule("algebra/div-by-quotient", "(div ?x (div ?y ?z))", "(div (mul ?x ?z) ?y)")
        .when(is_float)
        .why("a product is cheaper than a quotient")
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
    rule("algebra/common-denominator", "(add (div ?x ?z) (div ?y ?z))", "(div (add ?x ?y) ?z)")
        .when(is_float)
        .why("one quotient for two")
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
    rule("algebra/factor-constant", "(add ?x (mul ?x ?c))", "(mul ?x (add ?c 1:c))")
        .always()
        .when(constant)
        .why("x + cx = (1 + c)x, as in weight decay")
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 0.25);
            let cx = e.graph.times(c, x);
            e.graph.plus(x, cx)
        }),
    rule("algebra/factor-constant-sub", "(sub ?x (mul ?x ?c))", "(mul ?x (sub 1:c ?c))")
        .always()
        .when(constant)
        .why("x − cx = (1 − c)x, as in weight decay")
        .example(|e| {
            let x = e.matrix();
            let c = e.fill(x, 0.25);
            let cx = e.graph.times(c, x);
            e.graph.minus(x, cx)
        }),
    rule("algebra/distribute-constant", "(mul (mul ?x ?c) ?y)", "(mul (mul ?x ?y) ?c)")
        .when(|m| constant(m) && m.splat("y").is_none())
        .why("constants move outwards, where they meet others")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.fill(x, 0.25);
            let cx = e.graph.times(c, x);
            e.graph.times(y, cx)
        }),
    rule("algebra/constant-inward", "(mul (mul ?x ?y) ?c)", "(mul ?x (mul ?y ?c))")
        .when(|m| m.splat("c").is_some() && is_repeated(m.view, m.class("y")))
        .why("a constant is multiplied before its factor is repeated: w − x⊗(ηδ)")
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
        let [m, n] = e.dims();
        let (x, y, z) = (e.input([m, n]), e.input([n]), e.input([n]));
        let [y, z] = [y, z].map(|v| e.graph.broadcast(v, [m, n].into(), &[1]));
        let xy = e.graph.plus(y, x);
        e.graph.plus(z, xy)
    }),
    rule(
        "algebra/merge-factors",
        "(mul (mul ?x (broadcast:b ?y)) (broadcast:b ?z))",
        "(mul ?x (broadcast:b (mul ?y ?z)))",
    )
    .why("two scales are one, multiplied before it is repeated")
    .example(|e| {
        let [m, n] = e.dims();
        let (x, y, z) = (e.input([m, n]), e.input([n]), e.input([n]));
        let [y, z] = [y, z].map(|v| e.graph.broadcast(v, [m, n].into(), &[1]));
        let xy = e.graph.times(y, x);
        e.graph.times(z, xy)
    }),
    rule("algebra/pow-one", "(pow ?x 1)", "?x").exact().always().why("C99").example(|e| {
        let x = e.matrix();
        let p = e.fill(x, 1.0);
        e.graph.binary(Binary::Pow, x, p)
    }),
    rule("algebra/pow-zero", "(pow ?x 0)", "1").exact().always().why("C99, even of NaN").example(|e| {
        let x = e.matrix();
        let p = e.fill(x, 0.0);
        e.graph.binary(Binary::Pow, x, p)
    }),
    rule("algebra/pow-two", "(pow ?x 2)", "(mul ?x ?x)")
        .always()
        .why("a product for a transcendental")
        .example(|e| {
            let x = e.matrix();
            let p = e.fill(x, 2.0);
            e.graph.binary(Binary::Pow, x, p)
        }),
    rule("algebra/pow-three", "(pow ?x 3)", "(mul ?x (mul ?x ?x))")
        .always()
        .why("products for a transcendental")
        .example(|e| {
            let x = e.matrix();
            let p = e.fill(x, 3.0);
            e.graph.binary(Binary::Pow, x, p)
        }),
    rule("algebra/pow-half", "(pow ?x 0.5)", "(sqrt ?x)").always().why("differs at −0 and −∞ only").example(
        |e| {
            let dims = e.dims();
            let x = e.positive(dims);
            let p = e.fill(x, 0.5);
            e.graph.binary(Binary::Pow, x, p)
        },
    ),
    rule("algebra/pow-minus-one", "(pow ?x -1)", "(div 1 ?x)").always().why("a quotient is cheaper").example(
        |e| {
            let x = e.matrix();
            let p = e.fill(x, -1.0);
            e.graph.binary(Binary::Pow, x, p)
        },
    ),
    rule("algebra/abs-neg", "(abs (neg ?x))", "(abs ?x)")
        .when(is_float)
        .exact()
        .always()
        .why("a sign does not matter; −x of an unsigned integer wraps to another number")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.unary(Unary::Abs, n)
        }),
    rule("algebra/abs-abs", "(abs (abs ?x))", "(abs ?x)")
        .exact()
        .always()
        .why("it has no sign any more")
        .example(|e| {
            let x = e.matrix();
            let a = e.graph.unary(Unary::Abs, x);
            e.graph.unary(Unary::Abs, a)
        }),
    rule("algebra/square-neg", "(mul (neg ?x) (neg ?x))", "(mul ?x ?x)")
        .exact()
        .always()
        .why("two signs cancel")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.times(n, n)
        }),
    rule("algebra/max-max", "(max (max ?x ?y) ?y)", "(max ?x ?y)")
        .exact()
        .always()
        .why("ReLU twice is ReLU")
        .example(|e| {
            let x = e.matrix();
            let zero = e.fill(x, 0.0);
            let r = e.graph.binary(Binary::Max, x, zero);
            e.graph.binary(Binary::Max, r, zero)
        }),
    rule("algebra/max-same", "(max ?x ?x)", "?x").exact().always().why("no choice").example(|e| {
        let x = e.matrix();
        e.graph.binary(Binary::Max, x, x)
    }),
    rule("algebra/min-same", "(min ?x ?x)", "?x").exact().always().why("no choice").example(|e| {
        let x = e.matrix();
        e.graph.binary(Binary::Min, x, x)
    }),
    rule("algebra/not-not", "(not (not ?x))", "?x")
        .exact()
        .always()
        .why("every bit is flipped twice")
        .example(|e| {
            let dims = e.dims();
            let x = e.typed(Type::new(DType::Bool, dims));
            let n = e.graph.unary(Unary::Not, x);
            e.graph.unary(Unary::Not, n)
        }),
    rule("algebra/select-same", "(select ?c ?x ?x)", "?x").exact().always().why("no choice").example(|e| {
        let x = e.matrix();
        let c = e.graph.binary(Binary::Lt, x, x);
        e.graph.select(c, x, x)
    }),
    rule("algebra/select-true", "(select ?c ?x ?y)", "?x")
        .exact()
        .always()
        .when(|m| m.splat("c").is_some_and(|c| c.to_f64() != 0.0))
        .why("no choice")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.graph.fill(Type::new(DType::Bool, dims), 1.0);
            e.graph.select(c, x, y)
        }),
    rule("algebra/select-false", "(select ?c ?x ?y)", "?y")
        .exact()
        .always()
        .when(|m| m.splat("c").is_some_and(|c| c.to_f64() == 0.0))
        .why("no choice")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.graph.fill(Type::new(DType::Bool, dims), 0.0);
            e.graph.select(c, x, y)
        }),
    rule("algebra/select-not", "(select (not ?c) ?x ?y)", "(select ?c ?y ?x)")
        .exact()
        .always()
        .why("the other way round")
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.graph.binary(Binary::Lt, x, y);
            let n = e.graph.unary(Unary::Not, c);
            e.graph.select(n, x, y)
        }),
    rule("algebra/stop-gradient", "(stop_gradient ?x)", "?x")
        .exact()
        .always()
        .why("it matters to derivatives only, which are taken by now")
        .example(|e| {
            let x = e.matrix();
            e.graph.must(bespoke_graph::op::StopGradient, &[x])
        }),
];
