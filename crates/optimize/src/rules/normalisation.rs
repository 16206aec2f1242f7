//! Normalisation: gradients in their short form.
//!
//! The gradient of x̂ = (x − mean)·s goes back through the mean by taking its own mean off: t − mean(t), where t holds a
//! multiple of x − mean, which has no mean. So mean(t) is that of the rest, which is the gradient that came, scaled: no
//! sum waits for another. Values that are no numbers stay so, since t itself is still there.

use bespoke_graph::{NodeId, Op, op::Binary};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Scalar};

use crate::{
    example::Example,
    rule::{Rule, function},
    view::{Children, Class, Term, View, nodes},
};

/// Of a class that is `sign` · the mean of a value over axes, repeated along them: the value and the axes.
fn mean_of(view: &dyn View, class: Class, sign: f64) -> Option<(Class, &[usize])> {
    nodes(view, class).find_map(|(op, m)| {
        let Op::Broadcast(b) = op else { return None };
        nodes(view, m[0]).filter(|(op, _)| **op == Op::Binary(Binary::Mul)).find_map(|(_, x)| {
            let (sum, share) = if view.splat(x[1]).is_some() { (x[0], x[1]) } else { (x[1], x[0]) };
            let share = view.splat(share)?.to_f64() * sign;
            nodes(view, sum).find_map(|(op, t)| {
                let Op::Reduce(r) = op else { return None };
                let ty = view.ty(t[0]);
                let count: usize = r.axes.iter().map(|&a| ty.shape[a]).product();
                let rounded = if ty.dtype == DType::F64 { 1e-14 } else { 1e-6 };
                let is_mean = (share * count as f64 - 1.0).abs() < rounded;
                (r.combine == Combine::Sum && is_mean && b.new_axes() == r.axes)
                    .then_some((t[0], &r.axes[..]))
            })
        })
    })
}

/// The axes over which t − mean(t), given by its operator and operands, takes the mean, and t.
fn centred_node<'a>(view: &'a dyn View, op: &Op, x: &Children) -> Option<(Class, &'a [usize])> {
    let of = |t: Class, mean: Class, sign: f64| mean_of(view, mean, sign).filter(|found| found.0 == t);
    match op {
        Op::Binary(Binary::Sub) => of(x[0], x[1], 1.0),
        Op::Binary(Binary::Add) => of(x[0], x[1], -1.0).or_else(|| of(x[1], x[0], -1.0)),
        _ => None,
    }
}

/// Is its mean over the axes zero: a centred value, perhaps scaled by what is the same along them?
fn is_centred(view: &dyn View, class: Class, axes: &[usize]) -> bool {
    let exactly = |class: Class| {
        nodes(view, class).any(|(op, x)| centred_node(view, op, &x).is_some_and(|found| found.1 == axes))
    };
    let is_scale = |class: Class| {
        let same = |(op, _): (&Op, Children)| matches!(op, Op::Broadcast(b) if b.axes.iter().all(|a| !axes.contains(a)));
        view.splat(class).is_some() || nodes(view, class).any(same)
    };
    let scaled = |(op, x): (&Op, Children)| match op {
        Op::Binary(Binary::Mul) => exactly(x[0]) && is_scale(x[1]) || exactly(x[1]) && is_scale(x[0]),
        _ => false,
    };
    exactly(class) || nodes(view, class).any(scaled)
}

/// t − mean(t).
fn centre(view: &dyn View, t: Class, axes: &[usize]) -> Option<Term> {
    let ty = view.ty(t);
    let count: usize = axes.iter().map(|&a| ty.shape[a]).product();
    let kept: Vec<usize> = (0..ty.rank()).filter(|a| !axes.contains(a)).collect();
    let dims: Vec<usize> = kept.iter().map(|&a| ty.shape[a]).collect();
    let narrow = bespoke_tensor::Type::new(ty.dtype, bespoke_tensor::Shape::new(&dims).ok()?);
    let share = Term::fill(narrow, Scalar::from_f64(ty.dtype, 1.0 / count as f64));
    let mean = Term::new(Binary::Mul, [Term::Class(t).reduce(Combine::Sum, axes.to_vec()), share]);
    Some(Term::new(Binary::Sub, [Term::Class(t), mean.broadcast(ty.shape, kept)]))
}

/// (u + v) − mean(u + v) is u − mean(u) + v for a centred v.
fn centre_sum(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let (t, axes) = centred_node(view, op, children)?;
    nodes(view, t).find_map(|(op, x)| {
        let Op::Binary(function @ (Binary::Add | Binary::Sub)) = op else { return None };
        let operands = if is_centred(view, x[1], axes) {
            [centre(view, x[0], axes)?, Term::Class(x[1])]
        } else if is_centred(view, x[0], axes) {
            [Term::Class(x[0]), centre(view, x[1], axes)?]
        } else {
            return None;
        };
        Some(Term::new(*function, operands))
    })
}

/// What is centred has no mean to take off.
fn centre_centred(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let (t, axes) = centred_node(view, op, children)?;
    is_centred(view, t, axes).then_some(Term::Class(t))
}

/// x less its mean along an axis.
fn centred(e: &mut Example, x: NodeId, axis: usize) -> NodeId {
    let shape = e.graph.ty(x).shape;
    let sum = e.graph.sum(x, &[axis]);
    let share = e.fill(sum, 1.0 / shape[axis] as f64);
    let mean = e.graph.times(sum, share);
    let wide = e.graph.unreduce(mean, shape, &[axis]);
    e.graph.minus(x, wide)
}

/// A centred value less what is not quite its mean: its maximum, twice the mean, or the means along the other axis.
fn hardly_centred(e: &mut Example, kind: usize) -> NodeId {
    let v = scaled(e, 0);
    let shape = e.graph.ty(v).shape;
    let combine = if kind == 0 { Combine::Max } else { Combine::Sum };
    let sum = e.graph.reduce(combine, v, &[1]);
    let share = e.fill(sum, if kind == 1 { 2.0 } else { 1.0 } / shape[1] as f64);
    let mean = e.graph.times(sum, share);
    let wide = e.graph.broadcast(mean, shape, if kind == 2 { &[1] } else { &[0] });
    e.graph.minus(v, wide)
}

/// A square matrix less its mean along axis 1, times a factor for each position along the other axis.
fn scaled(e: &mut Example, factor_axis: usize) -> NodeId {
    let n = e.dim();
    let (x, k) = (e.input([n, n]), e.input([n]));
    let c = centred(e, x, 1);
    let wide = e.graph.broadcast(k, [n, n].into(), &[factor_axis]);
    e.graph.times(c, wide)
}

/// Such a value and another, added, less their mean.
fn gradient(e: &mut Example, factor_axis: usize) -> NodeId {
    let v = scaled(e, factor_axis);
    let u = e.like(v);
    let t = if e.below(2) == 0 { e.graph.plus(v, u) } else { e.graph.minus(v, u) };
    centred(e, t, 1)
}

/// Normalisation.
pub const RULES: &[Rule] = &[
    function("normalisation/centre-sum", &["add", "sub"], centre_sum)
        .always()
        .why("the mean of a sum with a centred value is that of the rest: layer and batch norm's gradients take one pass")
        .example(|e| gradient(e, 0))
        .near_miss(|e| gradient(e, 1)),
    function("normalisation/centre-centred", &["add", "sub"], centre_centred)
        .always()
        .why("what is centred has no mean to take off")
        .example(|e| {
            let v = scaled(e, 0);
            centred(e, v, 1)
        })
        .near_miss(|e| match e.below(5) {
            // Along the other axis.
            0 => {
                let v = scaled(e, 0);
                centred(e, v, 0)
            }
            1 => {
                let n = e.dim();
                let x = e.input([n, n]);
                let v = centred(e, x, 1);
                centred(e, v, 0)
            }
            kind => hardly_centred(e, kind - 2),
        }),
];
