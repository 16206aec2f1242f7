//! Reductions: of what is repeated, scaled, transposed or reduced already.

use bespoke_graph::{Op, op, op::Binary};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Shape, Type};

use crate::{
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

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

/// Reductions.
pub const RULES: &[Rule] = &[
    function("reduction/broadcast", &["reduce"], reduce_broadcast)
        .always()
        .why("what is repeated is combined once; a sum of n equal terms is n times the term")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let wide = e.graph.broadcast(x, [m, 3, n].into(), &[0, 2]);
            e.graph.sum(wide, &[1, 2])
        }),
    function("reduction/unit", &["reduce"], reduce_unit)
        .always()
        .why("along an axis of extent 1 there is nothing to combine; a zero may lose its sign")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 1, n, 1]);
            e.graph.reduce(Combine::Max, x, &[1, 3])
        }),
    function("reduction/transpose", &["reduce"], reduce_transpose)
        .always()
        .why("the result is smaller than the operand")
        .example(|e| {
            let dims = [e.dim(), e.dim(), e.dim()];
            let x = e.input(dims);
            let t = e.graph.transpose(x, &[2, 1, 0]);
            e.graph.sum(t, &[1])
        }),
    function("reduction/reshape", &["reduce"], reduce_reshape)
        .always()
        .why("all elements are combined, whatever their shape")
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
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 2, n]);
            let rows = e.graph.sum(x, &[1]);
            e.graph.sum(rows, &[0])
        }),
];
