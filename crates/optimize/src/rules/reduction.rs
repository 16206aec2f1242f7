//! Reductions: of what is repeated, scaled, transposed or reduced already.

use bespoke_graph::{NodeId, Op, Windows, op, op::Binary, op::Unary};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Shape, Type};

use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

/// A reduction of a concatenation of more parts is not split.
const PARTS: usize = 4;

/// The dimensions that stay.
fn kept(rank: usize, axes: &[usize]) -> Vec<usize> {
    (0..rank).filter(|a| !axes.contains(a)).collect()
}

fn extent(shape: &Shape, axes: &[usize]) -> usize {
    axes.iter().map(|&a| shape[a]).product()
}

/// A reduction of a broadcast is one of its operand; along new axes a sum is a multiple.
fn reduce_broadcast(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    let ty = view.ty(class);
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Broadcast(b) = op else { return None };
        let repeated: Vec<usize> = r.axes.iter().copied().filter(|a| !b.axes.contains(a)).collect();
        let times = extent(&b.shape, &repeated);
        let counts = match r.combine {
            // No copies at all sum to 0, which 0·x is not of an infinite x.
            Combine::Sum => times > 0 && (ty.dtype.is_float() || times < 128),
            Combine::Product => false,
            _ => times > 0,
        };
        if !counts || repeated.is_empty() {
            return None;
        }
        let inner = (0..b.axes.len()).filter(|&i| r.axes.contains(&b.axes[i])).collect();
        let mut term = Term::Class(x[0]).reduce(r.combine, inner);
        if r.combine == Combine::Sum {
            let left = kept(
                b.axes.len(),
                &(0..b.axes.len()).filter(|&i| r.axes.contains(&b.axes[i])).collect::<Vec<_>>(),
            );
            let dims: Vec<usize> = left.iter().map(|&i| b.shape[b.axes[i]]).collect();
            let narrow = Type::new(ty.dtype, Shape::new(&dims).ok()?);
            term =
                Term::new(Binary::Mul, [term, Term::fill(narrow, Scalar::from_f64(ty.dtype, times as f64))]);
        }
        let stays = kept(b.shape.rank(), &r.axes);
        let axes = (0..stays.len()).filter(|&i| b.axes.contains(&stays[i])).collect();
        Some(term.broadcast(ty.shape, axes))
    })
}

/// Along axes of extent 1, nothing is combined.
fn reduce_unit(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    let shape = view.ty(children[0]).shape;
    r.axes.iter().all(|&a| shape[a] == 1).then(|| Term::Class(children[0]).reshape(view.ty(class).shape))
}

/// The smaller value, the result, is transposed.
fn reduce_transpose(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Transpose(t) = op else { return None };
        let axes: Vec<usize> = r.axes.iter().map(|&a| t.permutation[a]).collect();
        let stays = kept(t.permutation.len(), &axes);
        let permutation = kept(t.permutation.len(), &r.axes)
            .iter()
            .map(|&a| stays.iter().position(|&s| s == t.permutation[a]).expect("it stays"))
            .collect();
        Some(Term::Class(x[0]).reduce(r.combine, axes).transpose(permutation))
    })
}

/// A reduction over everything does not ask for a shape.
fn reduce_reshape(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    if r.axes.len() < view.ty(children[0]).rank() {
        return None;
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Reshape(_) = op else { return None };
        Some(Term::Class(x[0]).reduce(r.combine, (0..view.ty(x[0]).rank()).collect()))
    })
}

/// What is the same along the summed axes is taken out of the sum.
fn sum_scaled(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    let ty = view.ty(class);
    // A sum of nothing is 0, which it is not times an infinite factor.
    let nothing = extent(&view.ty(children[0]).shape, &r.axes) == 0;
    if r.combine != Combine::Sum || !ty.dtype.is_float() || nothing {
        return None;
    }
    let narrow = |factor: Class| {
        nodes(view, factor).find_map(|(op, x)| {
            let Op::Broadcast(b) = op else { return None };
            let stays = kept(b.shape.rank(), &r.axes);
            let outside = b.axes.iter().all(|a| stays.contains(a));
            let axes = (0..stays.len()).filter(|&i| b.axes.contains(&stays[i])).collect();
            outside.then(|| Term::Class(x[0]).broadcast(ty.shape, axes))
        })
    };
    let sum = |x: Class| Term::Class(x).reduce(Combine::Sum, r.axes.clone());
    nodes(view, children[0]).find_map(|(op, x)| match op {
        Op::Binary(f @ (Binary::Mul | Binary::Div)) => {
            if let Some(factor) = narrow(x[1]) {
                return Some(Term::new(*f, [sum(x[0]), factor]));
            }
            let factor = if *f == Binary::Mul { narrow(x[0])? } else { return None };
            Some(Term::new(*f, [sum(x[1]), factor]))
        }
        _ => None,
    })
}

fn merge_reductions(m: &Match<'_>) -> Option<Op> {
    let (outer, inner) = (m.reduction("a"), m.reduction("b"));
    if outer.combine != inner.combine {
        return None;
    }
    let stays = kept(m.ty("x").rank(), &inner.axes);
    let mut axes: Vec<usize> =
        outer.axes.iter().map(|&a| stays[a]).chain(inner.axes.iter().copied()).collect();
    axes.sort_unstable();
    Some(op::Reduce { combine: outer.combine, axes }.into())
}

/// Is what is added repeated along an axis that is summed over, but the rest not?
fn is_partly_repeated(m: &Match<'_>) -> bool {
    let repeated = m.broadcast("b").new_axes().iter().any(|a| m.reduction("r").axes.contains(a));
    m.is_float() && repeated && m.view.splat(m.class("x")).is_none()
}

/// The function of two values that a reduction combines by.
fn function_of(combine: Combine) -> Option<Binary> {
    match combine {
        Combine::Sum => Some(Binary::Add),
        Combine::Product => Some(Binary::Mul),
        Combine::Max => Some(Binary::Max),
        Combine::Min => Some(Binary::Min),
        Combine::Any | Combine::All | Combine::Set => None,
    }
}

/// A reduction along the axis of a concatenation combines those of the parts.
fn reduce_concatenate(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    let function = function_of(r.combine)?;
    nodes(view, children[0]).find_map(|(op, parts)| {
        let Op::Concatenate(c) = op else { return None };
        if !r.axes.contains(&c.axis) || parts.len() > PARTS {
            return None;
        }
        let parts = parts.iter().map(|&p| Term::Class(p).reduce(r.combine, r.axes.clone()));
        parts.reduce(|all, part| Term::new(function, [all, part]))
    })
}

/// What is neutral adds nothing.
fn reduce_pad(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Pad(p) = op else { return None };
        let ty = view.ty(x[0]);
        let neutral = view.splat(x[1]).is_some_and(|v| v.to_f64() == r.combine.identity(ty.dtype).to_f64());
        let inside = (0..ty.rank()).all(|a| r.axes.contains(&a) || p.low[a] + p.high[a] + p.inner[a] == 0);
        (neutral && inside).then(|| Term::Class(x[0]).reduce(r.combine, r.axes.clone()))
    })
}

/// Does the function never fall? Where it is not defined, it is not for the largest of several values if for any.
fn never_falls(f: Unary) -> bool {
    use Unary::{Atan, Ceil, Erf, Exp, Expm1, Floor, Log, Log1p, Round, Sigmoid, Sinh, Softplus, Sqrt, Tanh};
    matches!(
        f,
        Atan | Ceil
            | Erf
            | Exp
            | Expm1
            | Floor
            | Log
            | Log1p
            | Round
            | Sigmoid
            | Sinh
            | Softplus
            | Sqrt
            | Tanh
    )
}

/// The largest of f(x) is f of the largest x, for f that never falls.
fn monotone(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    if view.splat(children[0]).is_some() || view.is_shared(children[0]) || view.ty(class).elements() == 0 {
        return None;
    }
    if let Op::Reduce(r) = op
        && extent(&view.ty(children[0]).shape, &r.axes) == 0
    {
        return None;
    }
    let largest = |x: Class| Term::new(op.clone(), [Term::Class(x)]);
    nodes(view, children[0]).find_map(|(f, x)| match f {
        Op::Unary(unary) if never_falls(*unary) => Some(Term::new(*unary, [largest(x[0])])),
        Op::Binary(binary) => {
            let (varying, number) = if view.splat(x[1]).is_some() { (x[0], x[1]) } else { (x[1], x[0]) };
            let value = view.splat(number)?;
            let is_float = view.ty(class).dtype.is_float();
            let rises = match binary {
                Binary::Max | Binary::Min => true,
                Binary::Add => is_float,
                Binary::Mul => is_float && value.to_f64() > 0.0,
                _ => false,
            };
            rises.then(|| Term::new(*binary, [largest(varying), Term::fill(view.ty(class), value)]))
        }
        _ => None,
    })
}

/// The largest of x + b is the largest x, and b, if that is the same for all of them.
fn shifted(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    if view.is_shared(children[0]) || view.ty(class).elements() == 0 || !view.ty(class).dtype.is_float() {
        return None;
    }
    let ty = view.ty(class);
    let wide = view.ty(children[0]).shape;
    // The axes that stay as they are.
    let kept: Vec<usize> = match op {
        Op::Reduce(r) if extent(&wide, &r.axes) > 0 => kept(wide.rank(), &r.axes),
        Op::WindowReduce(w) => (0..wide.rank() - w.windows.axes()).collect(),
        _ => return None,
    };
    nodes(view, children[0]).find_map(|(sum, x)| {
        let Op::Binary(Binary::Add) = sum else { return None };
        [(x[0], x[1]), (x[1], x[0])].into_iter().find_map(|(varying, shift)| {
            if view.splat(shift).is_some() {
                return None; // the rule before this one
            }
            let (axes, narrow) = nodes(view, shift).find_map(|(b, y)| match b {
                Op::Broadcast(b) => Some((&b.axes, y[0])),
                _ => None,
            })?;
            let to: Vec<usize> =
                axes.iter().map(|a| kept.iter().position(|k| k == a)).collect::<Option<_>>()?;
            let largest = Term::new(op.clone(), [Term::Class(varying)]);
            Some(Term::new(Binary::Add, [largest, Term::Class(narrow).broadcast(ty.shape, to)]))
        })
    })
}

/// The largest element along some axes, or of each window of the last two.
fn largest(e: &mut Example, x: NodeId) -> NodeId {
    if e.below(2) == 0 {
        return e.graph.reduce(Combine::Max, x, &[1, 2]);
    }
    let windows = Windows { padding: vec![(1, 0), (0, 1)], ..Windows::new(&[2, 2], &[2, 1]) };
    e.graph.must(op::WindowReduce { combine: Combine::Max, windows }, &[x])
}

fn images(e: &mut Example) -> NodeId {
    let dims = [e.dim(), e.dim(), e.dim()];
    e.input(dims)
}

/// Reductions.
pub const RULES: &[Rule] = &[
    function("reduction/broadcast", &["reduce"], reduce_broadcast)
        .always()
        .why("what is repeated is combined once; a sum of n equal terms is n times the term")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let wide = e.graph.broadcast(x, [m, 3, n].into(), &[0, 2]);
            e.graph.sum(wide, &[0, 2])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let wide = e.graph.broadcast(x, [m, 3, n].into(), &[0, 2]);
            e.graph.sum(wide, &[1, 2])
        }),
    function("reduction/unit", &["reduce"], reduce_unit)
        .always()
        .why("along an axis of extent 1 there is nothing to combine; a zero may lose its sign")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 1, n, 1]);
            e.graph.reduce(Combine::Max, x, &[1, 2])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 1, n, 1]);
            e.graph.reduce(Combine::Max, x, &[1, 3])
        }),
    function("reduction/transpose", &["reduce"], reduce_transpose)
        .always()
        .why("the result is smaller than the operand")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let y = e.graph.reshape(x, [n, m].into());
            e.graph.sum(y, &[1])
        })
        .example(|e| {
            let dims = [e.dim(), e.dim(), e.dim()];
            let x = e.input(dims);
            let t = e.graph.transpose(x, &[2, 1, 0]);
            e.graph.sum(t, &[1])
        }),
    function("reduction/reshape", &["reduce"], reduce_reshape)
        .always()
        .why("all elements are combined, whatever their shape")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let y = e.graph.reshape(x, [n, m].into());
            e.graph.sum(y, &[0])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let flat = e.graph.reshape(x, [m * n].into());
            e.graph.sum(flat, &[0])
        }),
    rule("reduction/neg", "(reduce_sum:r (neg ?x))", "(neg (reduce_sum:r ?x))")
        .always()
        .why("one sign for many")
        .example(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.sum(n, &[1])
        }),
    function("reduction/scaled", &["reduce_sum"], sum_scaled)
        .always()
        .why("one product or quotient for many")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let (x, y) = (e.input([m, n]), e.input([m]));
            let wide = e.graph.broadcast(y, [m, n].into(), &[0]);
            let q = e.graph.over(x, wide);
            e.graph.sum(q, &[0])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let (x, y) = (e.input([m, n]), e.input([m]));
            let wide = e.graph.broadcast(y, [m, n].into(), &[0]);
            let q = e.graph.over(x, wide);
            e.graph.sum(q, &[1])
        }),
    rule("reduction/merge", "(reduce:a (reduce:b ?x))", "(reduce:c ?x)")
        .with(&[("c", merge_reductions)])
        .why("one pass for two, unless the first is needed anyway")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 2, n]);
            let rows = e.graph.reduce(Combine::Max, x, &[1]);
            e.graph.sum(rows, &[0])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 2, n]);
            let rows = e.graph.sum(x, &[1]);
            e.graph.sum(rows, &[0])
        }),
    rule(
        "reduction/split",
        "(reduce_sum:r (shift:g ?x (broadcast:b ?y)))",
        "(shift:g (reduce_sum:r ?x) (reduce_sum:r (broadcast:b ?y)))",
    )
    .when(is_partly_repeated)
    .why("what is repeated need not be added to each element first: its sum is a multiple")
    .example(|e| {
        let [m, n] = e.dims();
        let (x, y) = (e.input([m, n]), e.input([m]));
        let wide = e.graph.broadcast(y, [m, n].into(), &[0]);
        let sum = if e.below(2) == 0 { e.graph.minus(x, wide) } else { e.graph.plus(wide, x) };
        e.graph.sum(sum, &[1])
    })
    .near_miss(|e| {
        let [m, n] = e.dims();
        let (x, y) = (e.input([m, n]), e.input([m]));
        let wide = e.graph.broadcast(y, [m, n].into(), &[0]);
        let sum = e.graph.plus(wide, x);
        e.graph.sum(sum, &[0])
    }),
    rule(
        "reduction/merge-sums",
        "(shift:g (reduce_sum:r ?x) (reduce_sum:r ?y))",
        "(reduce_sum:r (shift:g ?x ?y))",
    )
    .when(|m| m.ty("x") == m.ty("y"))
    .near_miss(|e| {
        let (m, n) = (e.dim(), e.dim());
        let (x, y) = (e.input([m, n]), e.input([m + 1, n]));
        let (a, b) = (e.graph.sum(x, &[0]), e.graph.sum(y, &[0]));
        e.graph.plus(a, b)
    })
    .why("one pass for two")
    .example(|e| {
        let x = e.matrix();
        let shape = e.graph.ty(x).shape;
        let y = e.input(shape);
        let (a, b) = (e.graph.sum(x, &[0]), e.graph.sum(y, &[0]));
        if e.below(2) == 0 { e.graph.plus(a, b) } else { e.graph.minus(a, b) }
    }),
    function("reduction/concatenate", &["reduce"], reduce_concatenate)
        .why("nothing is put side by side to be combined")
        .example(|e| beside(e, 1))
        .near_miss(|e| beside(e, 0)),
    function("reduction/pad", &["reduce"], reduce_pad)
        .always()
        .why("zeros add nothing to a sum, nor −∞ to a maximum")
        .example(|e| surrounded(e, f64::NEG_INFINITY))
        .near_miss(|e| surrounded(e, 0.0)),
    function("reduction/monotone", &["window_max", "reduce_max"], monotone)
        .always()
        .why("ReLU after pooling is of fewer elements: the largest of f(x) is f of the largest x")
        .example(|e| {
            let x = images(e);
            let y = match e.below(3) {
                0 => e.graph.unary(Unary::Tanh, x),
                1 => {
                    let c = e.fill(x, 0.3);
                    e.graph.binary(Binary::Max, x, c)
                }
                _ => {
                    let c = e.fill(x, 2.5);
                    e.graph.times(c, x)
                }
            };
            largest(e, y)
        })
        .near_miss(|e| {
            let x = images(e);
            let y = if e.below(2) == 0 {
                e.graph.unary(Unary::Abs, x)
            } else {
                let c = e.fill(x, -2.5);
                e.graph.times(c, x)
            };
            largest(e, y)
        }),
    function("reduction/shifted", &["window_max", "reduce_max"], shifted)
        .always()
        .why("a bias after pooling is added to fewer elements")
        .example(|e| biased(e, 0))
        .near_miss(|e| biased(e, 1)),
];

/// A sum over axis 1 of a concatenation.
fn beside(e: &mut Example, axis: usize) -> NodeId {
    let n = e.dim();
    let parts = [n, if axis == 0 { n } else { 2 * n }].map(|n| e.input([3, n]));
    let both = e.graph.must(op::Concatenate { axis }, &parts);
    e.graph.sum(both, &[1])
}

/// The largest elements of a matrix with such numbers around it.
fn surrounded(e: &mut Example, value: f64) -> NodeId {
    let (x, value) = (e.matrix(), e.graph.scalar(value));
    let pad = op::Pad { low: vec![0, 1], high: vec![0, 2], inner: vec![0, 1] };
    let wide = e.graph.must(pad, &[x, value]);
    e.graph.reduce(Combine::Max, wide, &[1])
}

/// The largest elements of what has a bias along an axis.
fn biased(e: &mut Example, axis: usize) -> NodeId {
    let x = images(e);
    let shape = e.graph.ty(x).shape;
    let bias = e.input([shape[axis]]);
    let wide = e.graph.broadcast(bias, shape, &[axis]);
    let sum = e.graph.plus(wide, x);
    largest(e, sum)
}
