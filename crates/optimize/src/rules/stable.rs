//! Stable and short derivatives: what is left of log, softmax and their gradients when nothing is divided by a probability.
//!
//! A quantity is cancelled only where it is a sum or product of exponentials and the like, which is never zero for finite
//! operands; where it underflows, the original is NaN and the result is not.

use bespoke_graph::{Graph, NodeId, Op, op, op::Binary, op::Unary};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Scalar, Type};

use super::is_positive;
use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

/// z, eᶻ, its sum over rows, and that broadcast.
fn softmax(e: &mut Example) -> [NodeId; 4] {
    let dims = e.dims();
    let z = e.input(dims);
    let exp = e.graph.unary(Unary::Exp, z);
    let sum = e.graph.sum(exp, &[1]);
    let spread = e.graph.unreduce(sum, dims.into(), &[1]);
    [z, exp, sum, spread]
}

fn positive_e(m: &Match<'_>) -> bool {
    is_positive(m.view, m.class("e"))
}

/// Is e / (s broadcast) computed anyway?
fn quotient_exists(m: &Match<'_>) -> bool {
    let spread = m.view.find(m.op("b"), &[m.class("s")]);
    let quotient = spread.and_then(|s| m.view.find(&Binary::Div.into(), &[m.class("e"), s]));
    quotient.is_some() && is_positive(m.view, m.class("e"))
}

/// Is the larger of both computed anyway?
fn maximum_exists(m: &Match<'_>) -> bool {
    let (x, y) = (m.class("x"), m.class("y"));
    x != y && m.view.find(&Binary::Max.into(), &[x, y]).is_some_and(|max| max != x && max != y)
}

/// Is eᶻ computed anyway, and the sum s above zero?
fn exponential_exists(m: &Match<'_>) -> bool {
    is_positive(m.view, m.class("s")) && m.view.find(&Unary::Exp.into(), &[m.class("z")]).is_some()
}

/// Σₖ [k = label], which is 1 if the label is in range.
fn one_hot_sum(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(reduce) = op else { return None };
    if reduce.combine != Combine::Sum || reduce.axes.len() != 1 {
        return None;
    }
    let axis = reduce.axes[0];
    let extent = view.ty(children[0]).shape[axis];
    for (op, x) in nodes(view, children[0]) {
        let Op::Convert(convert) = op else { continue };
        for (op, pair) in nodes(view, x[0]) {
            if *op != Op::Binary(Binary::Eq) {
                continue;
            }
            for (counter, spread) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let counts = |(op, _): (&Op, Children)| matches!(op, Op::Iota(i) if i.axis == axis);
                if !nodes(view, counter).any(counts) {
                    continue;
                }
                for (op, label) in nodes(view, spread) {
                    let Op::Broadcast(b) = op else { continue };
                    let ty = view.ty(label[0]);
                    if b.new_axes() != [axis] || !ty.dtype.is_int() || extent > 127 {
                        continue; // a count that u8 holds
                    }
                    let compare = |f: Binary, value: i64| {
                        Term::new(f, [Term::Class(label[0]), Term::fill(ty, Scalar::I64(value))])
                    };
                    let below = compare(Binary::Lt, extent as i64);
                    let inside = Term::new(Binary::And, [compare(Binary::Ge, 0), below]);
                    return Some(Term::new(op::Convert { dtype: convert.dtype }, [inside]));
                }
            }
        }
    }
    None
}

fn one_hot(g: &mut Graph, label: NodeId, classes: usize) -> NodeId {
    let ty = g.ty(label);
    let wide = Type::new(ty.dtype, [ty.shape[0], classes]);
    let counter = g.must(op::Iota { ty: wide, axis: 1 }, &[]);
    let spread = g.broadcast(label, wide.shape, &[0]);
    let equal = g.binary(Binary::Eq, counter, spread);
    g.convert(equal, DType::F64)
}

/// Logarithms of quotients, and cancellation of positive factors.
pub const RULES: &[Rule] = &[
    rule("stable/log-softmax", "(log (div (exp ?z) (broadcast:b ?s)))", "(sub ?z (broadcast:b (log ?s)))")
        .always()
        .when(|m| is_positive(m.view, m.class("s")))
        .why("log(eᶻ/s) = z − log s: no underflow, and a logarithm a row instead of one an element")
        .near_miss(|e| {
            // A sum that may be zero or below.
            let [_, exp, sum, _] = softmax(e);
            let s = e.like(sum);
            let shape = e.graph.ty(exp).shape;
            let wide = e.graph.unreduce(s, shape, &[1]);
            let p = e.graph.over(exp, wide);
            e.graph.unary(Unary::Log, p)
        })
        .example(|e| {
            let [_, exp, _, spread] = softmax(e);
            let p = e.graph.over(exp, spread);
            e.graph.unary(Unary::Log, p)
        }),
    rule("stable/log-quotient", "(log (div (exp ?z) ?s))", "(sub ?z (log ?s))")
        .always()
        .when(|m| is_positive(m.view, m.class("s")))
        .why("log(eᶻ/s) = z − log s: no underflow")
        .near_miss(|e| {
            let [_, exp, ..] = softmax(e);
            let s = e.like(exp);
            let p = e.graph.over(exp, s);
            e.graph.unary(Unary::Log, p)
        })
        .example(|e| {
            let [z, exp, ..] = softmax(e);
            let s = e.graph.unary(Unary::Softplus, z);
            let p = e.graph.over(exp, s);
            e.graph.unary(Unary::Log, p)
        }),
    rule("stable/cancel", "(mul (div ?a ?e) ?e)", "?a")
        .always()
        .when(positive_e)
        .why("e > 0")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let q = e.graph.over(a, x);
            e.graph.times(x, q)
        })
        .example(|e| {
            let [_, exp, ..] = softmax(e);
            let a = e.like(exp);
            let q = e.graph.over(a, exp);
            e.graph.times(exp, q)
        }),
    rule("stable/cancel-product", "(div (mul ?a ?e) ?e)", "?a")
        .always()
        .when(positive_e)
        .why("e > 0")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let p = e.graph.times(a, x);
            e.graph.over(p, x)
        })
        .example(|e| {
            let [_, exp, ..] = softmax(e);
            let a = e.like(exp);
            let p = e.graph.times(a, exp);
            e.graph.over(p, exp)
        }),
    rule("stable/cancel-denominator", "(div (div ?a (div ?e ?s)) ?s)", "(div ?a ?e)")
        .always()
        .when(|m| is_positive(m.view, m.class("s")) && positive_e(m))
        .why("the gradient of log(e/s) by e is 1/e")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let s = e.like(x);
            let p = e.graph.over(x, s);
            let q = e.graph.over(a, p);
            e.graph.over(q, s)
        })
        .example(|e| {
            let [_, exp, _, spread] = softmax(e);
            let (a, p) = (e.like(exp), e.graph.over(exp, spread));
            let q = e.graph.over(a, p);
            e.graph.over(q, spread)
        }),
    rule("stable/cancel-numerator", "(mul (div ?a ?e) (div ?e ?s))", "(div ?a ?s)")
        .always()
        .when(positive_e)
        .why("e > 0")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let s = e.like(x);
            let p = e.graph.over(x, s);
            let q = e.graph.over(a, x);
            e.graph.times(p, q)
        })
        .example(|e| {
            let [_, exp, _, spread] = softmax(e);
            let (a, p) = (e.like(exp), e.graph.over(exp, spread));
            let q = e.graph.over(a, exp);
            e.graph.times(p, q)
        }),
    rule("stable/cancel-factor", "(mul (div ?a ?e) (mul ?e ?b))", "(mul ?a ?b)")
        .always()
        .when(positive_e)
        .why("the gradient of log σ(x) is 1 − σ(x)")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let b = e.like(x);
            let (q, p) = (e.graph.over(a, x), e.graph.times(x, b));
            e.graph.times(q, p)
        })
        .example(|e| {
            let x = e.matrix();
            let s = e.graph.unary(Unary::Sigmoid, x);
            let (a, b) = (e.like(x), e.like(x));
            let (q, p) = (e.graph.over(a, s), e.graph.times(s, b));
            e.graph.times(q, p)
        }),
    rule("stable/cancel-nested", "(mul (div (div ?a ?e) ?b) ?e)", "(div ?a ?b)")
        .always()
        .when(positive_e)
        .why("e > 0: the gradient of log(1/(1 + e⁻ˣ)) through the quotient")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let b = e.like(x);
            let q = e.graph.over(a, x);
            let r = e.graph.over(q, b);
            e.graph.times(x, r)
        })
        .example(|e| {
            let [_, exp, ..] = softmax(e);
            let (a, b) = (e.like(exp), e.like(exp));
            let q = e.graph.over(a, exp);
            let r = e.graph.over(q, b);
            e.graph.times(exp, r)
        }),
    rule("stable/cancel-sum", "(mul (add (div ?a ?e) ?v) ?e)", "(add ?a (mul ?v ?e))")
        .always()
        .when(positive_e)
        .why("distribution that saves a quotient")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let v = e.like(x);
            let q = e.graph.over(a, x);
            let sum = e.graph.plus(v, q);
            e.graph.times(sum, x)
        })
        .example(|e| {
            let [_, exp, ..] = softmax(e);
            let (a, v) = (e.like(exp), e.like(exp));
            let q = e.graph.over(a, exp);
            let sum = e.graph.plus(v, q);
            e.graph.times(sum, exp)
        }),
    rule("stable/cancel-difference", "(mul (sub ?v (div ?a ?e)) ?e)", "(sub (mul ?v ?e) ?a)")
        .always()
        .when(positive_e)
        .why("distribution that saves a quotient: towards p − y")
        .near_miss(|e| {
            let x = e.matrix();
            let a = e.like(x);
            let v = e.like(x);
            let q = e.graph.over(a, x);
            let difference = e.graph.minus(v, q);
            e.graph.times(difference, x)
        })
        .example(|e| {
            let [_, exp, ..] = softmax(e);
            let (a, v) = (e.like(exp), e.like(exp));
            let q = e.graph.over(a, exp);
            let difference = e.graph.minus(v, q);
            e.graph.times(difference, exp)
        }),
    rule(
        "stable/cancel-quotient-sum",
        "(mul (add (div ?a ?e) (div ?b ?f)) (mul ?e ?f))",
        "(add (mul ?a ?f) (mul ?b ?e))",
    )
    .always()
    .when(|m| positive_e(m) && is_positive(m.view, m.class("f")))
    .why("the gradient of t·log σ + (1 − t)·log(1 − σ) divides by σ and 1 − σ, then multiplies by both")
    .near_miss(|e| {
        let x = e.matrix();
        let s = e.graph.unary(Unary::Sigmoid, x);
        let f = e.like(x);
        let (a, b) = (e.like(x), e.like(x));
        let (p, q) = (e.graph.over(a, s), e.graph.over(b, f));
        let (both, product) = (e.graph.plus(p, q), e.graph.times(s, f));
        e.graph.times(both, product)
    })
    .example(|e| {
        let x = e.matrix();
        let (s, one) = (e.graph.unary(Unary::Sigmoid, x), e.fill(x, 1.0));
        let rest = e.graph.minus(one, s);
        let (a, b) = (e.like(x), e.like(x));
        let (p, q) = (e.graph.over(a, s), e.graph.over(b, rest));
        let (both, product) = (e.graph.plus(p, q), e.graph.times(s, rest));
        e.graph.times(both, product)
    }),
    rule(
        "stable/cancel-quotient-difference",
        "(mul (sub (div ?a ?e) (div ?b ?f)) (mul ?e ?f))",
        "(sub (mul ?a ?f) (mul ?b ?e))",
    )
    .always()
    .when(|m| positive_e(m) && is_positive(m.view, m.class("f")))
    .why("the gradient of t·log σ + (1 − t)·log(1 − σ) divides by σ and 1 − σ, then multiplies by both")
    .near_miss(|e| {
        let x = e.matrix();
        let s = e.graph.unary(Unary::Sigmoid, x);
        let f = e.like(x);
        let (a, b) = (e.like(x), e.like(x));
        let (p, q) = (e.graph.over(a, s), e.graph.over(b, f));
        let (both, product) = (e.graph.minus(p, q), e.graph.times(s, f));
        e.graph.times(both, product)
    })
    .example(|e| {
        let x = e.matrix();
        let (s, one) = (e.graph.unary(Unary::Sigmoid, x), e.fill(x, 1.0));
        let rest = e.graph.minus(one, s);
        let (a, b) = (e.like(x), e.like(x));
        let (p, q) = (e.graph.over(a, s), e.graph.over(b, rest));
        let (both, product) = (e.graph.minus(p, q), e.graph.times(s, rest));
        e.graph.times(both, product)
    }),
    rule(
        "stable/share-quotient",
        "(mul (broadcast:b (div ?a ?s)) ?e)",
        "(mul (broadcast:b ?a) (div ?e (broadcast:b ?s)))",
    )
    .always()
    .when(quotient_exists)
    .why("e/s, the softmax, is computed anyway")
    .near_miss(|e| {
        // The softmax is not computed.
        let [_, exp, sum, _] = softmax(e);
        let a = e.like(sum);
        let (q, shape) = (e.graph.over(a, sum), e.graph.ty(exp).shape);
        let wide = e.graph.unreduce(q, shape, &[1]);
        e.graph.times(wide, exp)
    })
    .example(|e| {
        let [_, exp, sum, spread] = softmax(e);
        e.graph.over(exp, spread);
        let a = e.like(sum);
        let (q, shape) = (e.graph.over(a, sum), e.graph.ty(exp).shape);
        let wide = e.graph.unreduce(q, shape, &[1]);
        e.graph.times(wide, exp)
    }),
    rule("stable/softmax-sum", "(reduce_sum:r (div ?e (broadcast:b (reduce_sum:r ?e))))", "1")
        .assumes_finite()
        .always()
        .when(|m| positive_e(m) && m.broadcast("b").new_axes() == m.reduction("r").axes)
        .why("probabilities add up to 1, unless one is NaN")
        .near_miss(|e| {
            // Normalised over the other axis.
            let n = e.dim();
            let z = e.input([n, n]);
            let exp = e.graph.unary(Unary::Exp, z);
            let sum = e.graph.sum(exp, &[1]);
            let wide = e.graph.unreduce(sum, [n, n].into(), &[0]);
            let p = e.graph.over(exp, wide);
            e.graph.sum(p, &[1])
        })
        .example(|e| {
            let [_, exp, _, spread] = softmax(e);
            let p = e.graph.over(exp, spread);
            e.graph.sum(p, &[1])
        }),
    rule("stable/relu-mask", "(gt ?x ?y)", "(gt (max ?x ?y) ?y)")
        .exact()
        .always()
        .when(maximum_exists)
        .why("ReLU's derivative from its output, which is kept in any case: its operand need not be")
        .near_miss(|e| {
            let x = e.matrix();
            let zero = e.fill(x, 0.0);
            e.graph.binary(Binary::Gt, x, zero)
        })
        .example(|e| {
            let x = e.matrix();
            let zero = e.fill(x, 0.0);
            e.graph.binary(Binary::Max, x, zero);
            e.graph.binary(Binary::Gt, x, zero)
        }),
    rule(
        "stable/exp-log-softmax",
        "(exp (sub ?z (broadcast:b (log ?s))))",
        "(div (exp ?z) (broadcast:b ?s))",
    )
    .always()
    .when(exponential_exists)
    .why("e^(z − log s) is eᶻ/s, and eᶻ is computed anyway")
    .near_miss(|e| {
        // The exponential of z is not there.
        let z = e.matrix();
        let shape = e.graph.ty(z).shape;
        let y = e.like(z);
        let exp = e.graph.unary(Unary::Exp, y);
        let sum = e.graph.sum(exp, &[1]);
        let log = e.graph.unary(Unary::Log, sum);
        let wide = e.graph.unreduce(log, shape, &[1]);
        let difference = e.graph.minus(z, wide);
        e.graph.unary(Unary::Exp, difference)
    })
    .example(|e| {
        let [z, _, sum, _] = softmax(e);
        let log = e.graph.unary(Unary::Log, sum);
        let shape = e.graph.ty(z).shape;
        let wide = e.graph.unreduce(log, shape, &[1]);
        let difference = e.graph.minus(z, wide);
        e.graph.unary(Unary::Exp, difference)
    }),
    function("stable/one-hot-sum", &["reduce_sum"], one_hot_sum)
        .exact()
        .always()
        .why("a one-hot row adds up to 1 if its label is in range, else to 0")
        .near_miss(|e| {
            // Over rows: how often each label is there.
            let [rows, classes] = e.dims();
            let label = e.typed(Type::new(DType::I32, [rows]));
            let y = one_hot(&mut e.graph, label, classes);
            e.graph.sum(y, &[0])
        })
        .example(|e| {
            let [rows, classes] = e.dims();
            let label = e.typed(Type::new(DType::I32, [rows]));
            let y = one_hot(&mut e.graph, label, classes);
            e.graph.sum(y, &[1])
        }),
];
