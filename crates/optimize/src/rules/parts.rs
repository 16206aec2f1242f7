//! Parts and what surrounds them: slices, concatenations and padding cancel, merge and move to where less is computed.

use bespoke_graph::{NodeId, Op, op, op::Unary};
use bespoke_tensor::Scalar;

use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

fn compose_slices(m: &Match<'_>) -> Option<Op> {
    let (outer, inner) = (m.slice("a"), m.slice("b"));
    let rank = outer.start.len();
    let start: Vec<usize> = (0..rank).map(|a| inner.start[a] + outer.start[a] * inner.step[a]).collect();
    let step: Vec<usize> = (0..rank).map(|a| inner.step[a] * outer.step[a]).collect();
    let shape = m.root_ty().shape;
    let limit: Vec<usize> = (0..rank)
        .map(|a| if shape[a] == 0 { start[a] } else { start[a] + (shape[a] - 1) * step[a] + 1 })
        .collect();
    // An empty slice may start beyond the end.
    let extents = m.ty("x").shape;
    (0..rank).all(|a| limit[a] <= extents[a]).then(|| op::Slice { start, limit, step }.into())
}

/// A slice of one part of a concatenation is a slice of that part.
fn slice_concatenate(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Slice(s) = op else { return None };
    nodes(view, children[0]).find_map(|(op, parts)| {
        let Op::Concatenate(c) = op else { return None };
        let mut begin = 0;
        for &part in &parts {
            let end = begin + view.ty(part).shape[c.axis];
            if begin <= s.start[c.axis] && s.limit[c.axis] <= end {
                let mut inner = s.clone();
                inner.start[c.axis] -= begin;
                inner.limit[c.axis] -= begin;
                return Some(Term::new(inner, [Term::Class(part)]));
            }
            begin = end;
        }
        None
    })
}

/// A slice of what a pad surrounds is a slice of the operand.
fn slice_pad(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Slice(s) = op else { return None };
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Pad(p) = op else { return None };
        let extents = view.ty(x[0]).shape;
        let inside = (0..extents.rank())
            .all(|a| p.inner[a] == 0 && s.start[a] >= p.low[a] && s.limit[a] <= p.low[a] + extents[a]);
        inside.then(|| {
            let shift = |v: &[usize]| v.iter().zip(&p.low).map(|(v, l)| v - l).collect();
            let inner = op::Slice { start: shift(&s.start), limit: shift(&s.limit), step: s.step.clone() };
            Term::new(inner, [Term::Class(x[0])])
        })
    })
}

/// A concatenation of one operand, or with empty ones.
fn concatenate_few(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Concatenate(c) = op else { return None };
    let full: Vec<Term> =
        children.iter().filter(|&&x| view.ty(x).shape[c.axis] > 0).map(|&x| Term::Class(x)).collect();
    match full.len() {
        1 => full.into_iter().next(),
        n if n > 0 && n < children.len() => Some(Term::Node(op.clone(), full)),
        _ => None,
    }
}

/// Slices that lie side by side in one value are a slice of it.
fn concatenate_slices(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Concatenate(c) = op else { return None };
    if children.len() < 2 {
        return None;
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Slice(first) = op else { return None };
        let mut whole = first.clone();
        if first.step[c.axis] != 1 {
            return None;
        }
        for &child in &children[1..] {
            let next = nodes(view, child).find_map(|(op, y)| match op {
                Op::Slice(s) if y == x && s.start[c.axis] == whole.limit[c.axis] => {
                    let mut start = s.clone();
                    (start.start[c.axis], start.limit[c.axis]) = (whole.start[c.axis], whole.limit[c.axis]);
                    (start == whole).then(|| s.limit[c.axis])
                }
                _ => None,
            });
            whole.limit[c.axis] = next?;
        }
        Some(Term::new(whole, [Term::Class(x[0])]))
    })
}

/// A concatenation within another along the same axis is part of it.
fn concatenate_concatenate(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Concatenate(_) = op else { return None };
    let parts = |&c: &Class| nodes(view, c).find(|(inner, _)| *inner == op).map(|(_, parts)| parts);
    let all: Vec<Option<Children>> = children.iter().map(parts).collect();
    if all.iter().all(Option::is_none) {
        return None;
    }
    let flat = all
        .into_iter()
        .zip(children)
        .flat_map(|(parts, &c)| parts.unwrap_or_else(|| [c].into_iter().collect()));
    Some(Term::Node(op.clone(), flat.map(Term::Class).collect()))
}

/// A part of what is computed element by element, repeated, transposed or reduced is that of parts.
fn slice_inward(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Slice(s) = op else { return None };
    if view.is_shared(children[0]) {
        return None; // the rest is computed in any case
    }
    let of = |x: Class, axes: &[usize]| {
        let pick = |list: &[usize]| axes.iter().map(|&a| list[a]).collect();
        let part = op::Slice { start: pick(&s.start), limit: pick(&s.limit), step: pick(&s.step) };
        Term::new(part, [Term::Class(x)])
    };
    let rank = s.start.len();
    nodes(view, children[0]).find_map(|(op, x)| match op {
        Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_) => {
            let all: Vec<usize> = (0..rank).collect();
            Some(Term::Node(op.clone(), x.iter().map(|&x| of(x, &all)).collect()))
        }
        Op::Broadcast(b) if view.splat(class).is_none() => {
            Some(of(x[0], &b.axes).broadcast(view.ty(class).shape, b.axes.clone()))
        }
        Op::Transpose(t) => Some(of(x[0], &t.inverse()).transpose(t.permutation.clone())),
        Op::Reduce(r) => {
            let shape = view.ty(x[0]).shape;
            let mut part = op::Slice {
                start: vec![0; shape.rank()],
                limit: shape.to_vec(),
                step: vec![1; shape.rank()],
            };
            let stays = (0..shape.rank()).filter(|a| !r.axes.contains(a));
            for (i, a) in stays.enumerate() {
                (part.start[a], part.limit[a], part.step[a]) = (s.start[i], s.limit[i], s.step[i]);
            }
            Some(Term::new(part, [Term::Class(x[0])]).reduce(r.combine, r.axes.clone()))
        }
        _ => None,
    })
}

/// Padding around padding of the same value is one.
fn pad_pad(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Pad(outer) = op else { return None };
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Pad(inner) = op else { return None };
        if x[1] != children[1] || outer.inner.iter().any(|&n| n > 0) {
            return None;
        }
        let sum = |a: &[usize], b: &[usize]| a.iter().zip(b).map(|(a, b)| a + b).collect();
        let pad = op::Pad {
            low: sum(&outer.low, &inner.low),
            high: sum(&outer.high, &inner.high),
            inner: inner.inner.clone(),
        };
        Some(Term::new(pad, [Term::Class(x[0]), Term::Class(x[1])]))
    })
}

/// A sum of values that are padded with zeros, where one ends before the other begins, is both side by side.
fn add_pads(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    if *op != Op::Binary(op::Binary::Add) {
        return None;
    }
    let pads = |class: Class| {
        nodes(view, class).filter_map(|(op, x)| match op {
            Op::Pad(p) if view.splat(x[1]).is_some_and(|zero| zero.to_f64() == 0.0) => Some((p.clone(), x)),
            _ => None,
        })
    };
    pads(children[0]).find_map(|(p, x)| {
        pads(children[1]).find_map(|(q, y)| {
            let rank = p.low.len();
            let same = |a: usize| p.low[a] == q.low[a] && p.high[a] == q.high[a];
            let mut differing = (0..rank).filter(|&a| !same(a));
            let (Some(axis), None) = (differing.next(), differing.next()) else { return None };
            if (0..rank).any(|a| p.inner[a] + q.inner[a] > 0) {
                return None;
            }
            let end = |p: &op::Pad, x: &Children| p.low[axis] + view.ty(x[0]).shape[axis];
            let (first, second, low, high) = if end(&p, &x) == q.low[axis] {
                (x[0], y[0], p.low.clone(), q.high.clone())
            } else if end(&q, &y) == p.low[axis] {
                (y[0], x[0], q.low.clone(), p.high.clone())
            } else {
                return None;
            };
            let both = Term::concatenate(vec![Term::Class(first), Term::Class(second)], axis);
            let pad = op::Pad { low, high, inner: p.inner.clone() };
            Some(Term::Node(pad.into(), vec![both, Term::Class(x[1])]))
        })
    })
}

/// Slices, concatenations, padding.
pub const RULES: &[Rule] = &[
    rule("movement/slice-slice", "(slice:a (slice:b ?x))", "(slice:c ?x)")
        .exact()
        .always()
        .with(&[("c", compose_slices)])
        .why("boxes compose")
        .near_miss(|e| {
            // The last of nothing lies beyond the end.
            let x = e.input([3]);
            let inner = e.graph.must(op::Slice { start: vec![2], limit: vec![3], step: vec![5] }, &[x]);
            e.graph.must(op::Slice { start: vec![1], limit: vec![1], step: vec![1] }, &[inner])
        })
        .example(|e| {
            let x = e.input([9]);
            let inner = e.graph.must(op::Slice { start: vec![1], limit: vec![8], step: vec![2] }, &[x]);
            e.graph.must(op::Slice { start: vec![1], limit: vec![4], step: vec![2] }, &[inner])
        }),
    function("movement/slice-concatenate", &["slice"], slice_concatenate)
        .exact()
        .always()
        .why("only one part is asked for")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let (x, y) = (e.input([m, n]), e.input([m, n]));
            let both = e.graph.must(op::Concatenate { axis: 1 }, &[x, y]);
            let part = op::Slice { start: vec![0, 1], limit: vec![m, n + 1], step: vec![1, 1] };
            e.graph.must(part, &[both])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let (x, y) = (e.input([m, n]), e.input([m, n]));
            let both = e.graph.must(op::Concatenate { axis: 1 }, &[x, y]);
            let part = op::Slice { start: vec![0, n], limit: vec![m, 2 * n - 1], step: vec![1, 1] };
            e.graph.must(part, &[both])
        }),
    function("movement/slice-pad", &["slice"], slice_pad)
        .exact()
        .always()
        .why("the padding is not asked for")
        .near_miss(|e| {
            let n = e.dim();
            let (x, zero) = (e.input([n]), e.input([]));
            let wide = e.graph.must(op::Pad { low: vec![2], high: vec![1], inner: vec![0] }, &[x, zero]);
            e.graph.must(op::Slice { start: vec![1], limit: vec![n + 2], step: vec![1] }, &[wide])
        })
        .example(|e| {
            let n = e.dim();
            let (x, zero) = (e.input([n]), e.input([]));
            let wide = e.graph.must(op::Pad { low: vec![2], high: vec![1], inner: vec![0] }, &[x, zero]);
            e.graph.must(op::Slice { start: vec![3], limit: vec![n + 2], step: vec![1] }, &[wide])
        }),
    function("movement/concatenate-few", &["concatenate"], concatenate_few)
        .exact()
        .always()
        .why("empty operands add nothing")
        .near_miss(|e| {
            let n = e.dim();
            let (x, y) = (e.input([n]), e.input([n]));
            e.graph.must(op::Concatenate { axis: 0 }, &[x, y])
        })
        .example(|e| {
            let n = e.dim();
            let (x, empty, y) = (e.input([n]), e.input([0]), e.input([n]));
            e.graph.must(op::Concatenate { axis: 0 }, &[x, empty, y])
        }),
    function("movement/concatenate-slices", &["concatenate"], concatenate_slices)
        .exact()
        .always()
        .why("parts put together again where they were")
        .example(|e| slices(e, 0))
        .near_miss(|e| slices(e, 1)),
    function("movement/concatenate-concatenate", &["concatenate"], concatenate_concatenate)
        .exact()
        .always()
        .why("all parts are put together at once")
        .example(|e| nested(e, 1))
        .near_miss(|e| nested(e, 0)),
    function("movement/slice-inward", &["slice"], slice_inward)
        .local()
        .why("what is not asked for is not computed")
        .example(|e| {
            let [m, n] = e.dims();
            let (x, y) = (e.input([m, n]), e.input([n, m]));
            let wide = match e.below(4) {
                0 => e.graph.unary(Unary::Tanh, x),
                1 => e.graph.transpose(y, &[1, 0]),
                2 => {
                    let row = e.input([n]);
                    e.graph.broadcast(row, [m, n].into(), &[1])
                }
                _ => {
                    let z = e.input([m, 2, n]);
                    e.graph.sum(z, &[1])
                }
            };
            e.graph.must(op::Slice { start: vec![1, 0], limit: vec![m, n], step: vec![1, 2] }, &[wide])
        })
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([n, m]);
            let y = e.graph.reshape(x, [m, n].into());
            e.graph.must(op::Slice { start: vec![1, 0], limit: vec![m, n], step: vec![1, 2] }, &[y])
        }),
    function("movement/pad-pad", &["pad"], pad_pad)
        .exact()
        .always()
        .why("all of it is added at once")
        .example(|e| padded(e, true))
        .near_miss(|e| padded(e, false)),
    function("movement/add-pads", &["add"], add_pads)
        .always()
        .why("zeros need not be added; −0 + 0 is 0, so a zero's sign may change")
        .example(|e| side_by_side(e, 0))
        .near_miss(|e| side_by_side(e, 1)),
];

/// The sum of two values of which the second begins so many positions before the first ends.
fn side_by_side(e: &mut Example, overlap: usize) -> NodeId {
    let [m, n] = [2 + e.dim(), 2 + e.dim()];
    let (x, y) = (e.input([3, m]), e.input([3, n]));
    let zero = e.graph.scalar(Scalar::from_f64(e.graph.ty(x).dtype, 0.0));
    let mut pad = |x: NodeId, low: usize, high: usize| {
        e.graph.must(op::Pad { low: vec![1, low], high: vec![0, high], inner: vec![0, 0] }, &[x, zero])
    };
    let (x, y) = (pad(x, 2, n + 1 - overlap), pad(y, 2 + m - overlap, 1));
    if e.below(2) == 0 { e.graph.plus(x, y) } else { e.graph.plus(y, x) }
}

/// Two slices of one value, so many positions apart, side by side.
fn slices(e: &mut Example, gap: usize) -> NodeId {
    let (m, n) = (e.dim(), 6 + e.dim());
    let x = e.input([m, n]);
    let mut part = |from: usize, to: usize| {
        let slice = op::Slice { start: vec![1, from], limit: vec![m, to], step: vec![1, 1] };
        e.graph.must(slice, &[x])
    };
    let parts = [part(1, 3), part(3 + gap, 6)];
    e.graph.must(op::Concatenate { axis: 1 }, &parts)
}

/// A concatenation along axis 1 in one along `axis`.
fn nested(e: &mut Example, axis: usize) -> NodeId {
    let n = e.dim();
    let [x, y, z] = [n, n, 2 * n].map(|n| e.input([3, n]));
    let both = e.graph.must(op::Concatenate { axis: 1 }, &[x, y]);
    e.graph.must(op::Concatenate { axis }, &[z, both])
}

/// Padding around padding, by the same number or by another.
fn padded(e: &mut Example, same: bool) -> NodeId {
    let (x, a) = (e.matrix(), e.input([]));
    let b = if same { a } else { e.input([]) };
    let inner = op::Pad { low: vec![1, 0], high: vec![0, 2], inner: vec![1, 0] };
    let y = e.graph.must(inner, &[x, a]);
    e.graph.must(op::Pad { low: vec![2, 1], high: vec![0, 1], inner: vec![0, 0] }, &[y, b])
}
