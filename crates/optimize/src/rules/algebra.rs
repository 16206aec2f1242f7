//! Identities of arithmetic: neutral elements, signs, powers, choices.

use bespoke_graph::op::{Binary, Unary};
use bespoke_tensor::{DType, Type};

use super::{
    is_float,
    terms::{alike, varies},
};
use crate::rule::{Rule, rule};

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
        .near_miss(|e| {
            let x = e.matrix();
            let zero = e.fill(x, 0.0);
            e.graph.times(zero, x)
        })
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
        .near_miss(|e| {
            let x = e.integers();
            let zero = e.fill(x, 0.0);
            e.graph.times(zero, x)
        })
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
        .near_miss(|e| {
            let x = e.integers();
            e.graph.over(x, x)
        })
        .example(|e| {
            let x = e.matrix();
            e.graph.over(x, x)
        }),
    rule("algebra/div-cancel", "(div (mul ?x ?y) ?y)", "?x")
        .assumes_finite()
        .always()
        .when(is_float)
        .why("y is taken to be neither 0 nor infinite")
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let xy = e.graph.times(x, y);
            e.graph.over(xy, y)
        })
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
    rule("algebra/neg-constant", "(neg (mul ?x #c))", "(mul ?x (neg ?c))")
        .exact()
        .always()
        .when(varies)
        .why("the sign is part of the constant")
        .near_miss(|e| {
            let [x, y] = alike(e);
            let xy = e.graph.times(x, y);
            e.graph.negate(xy)
        })
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
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let n = e.graph.negate(x);
            e.graph.over(n, y)
        })
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
        .near_miss(|e| {
            let x = e.integers();
            let y = e.like(x);
            let n = e.graph.negate(y);
            e.graph.over(x, n)
        })
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
        .near_miss(|e| {
            let x = e.integers();
            let minus = e.fill(x, -1.0);
            e.graph.over(minus, x)
        })
        .example(|e| {
            let x = e.matrix();
            let minus = e.fill(x, -1.0);
            e.graph.over(minus, x)
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
        .near_miss(|e| {
            let dims = e.dims();
            let x = e.typed(Type::new(DType::U8, dims));
            let n = e.graph.negate(x);
            e.graph.unary(Unary::Abs, n)
        })
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
    rule("algebra/select-true", "(select #c ?x ?y)", "?x")
        .exact()
        .always()
        .when(|m| m.splat("c").is_some_and(|c| c.to_f64() != 0.0))
        .why("no choice")
        .near_miss(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.graph.fill(Type::new(DType::Bool, dims), 0.0);
            e.graph.select(c, x, y)
        })
        .example(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.graph.fill(Type::new(DType::Bool, dims), 1.0);
            e.graph.select(c, x, y)
        }),
    rule("algebra/select-false", "(select #c ?x ?y)", "?y")
        .exact()
        .always()
        .when(|m| m.splat("c").is_some_and(|c| c.to_f64() == 0.0))
        .why("no choice")
        .near_miss(|e| {
            let dims = e.dims();
            let (x, y) = (e.input(dims), e.input(dims));
            let c = e.graph.fill(Type::new(DType::Bool, dims), 1.0);
            e.graph.select(c, x, y)
        })
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
