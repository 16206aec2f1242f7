//! Movement of elements: transposes, reshapes, broadcasts, slices and conversions cancel, merge and move outwards.

use bespoke_graph::{Op, op, op::Unary};
use bespoke_tensor::{DType, Shape, Type};

use crate::{
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

/// Extents other than 1, with their axes.
fn wide_axes(shape: &Shape) -> impl Iterator<Item = (usize, usize)> + '_ {
    shape.dims().iter().copied().enumerate().filter(|d| d.1 != 1)
}

fn compose_transposes(m: &Match<'_>) -> Option<Op> {
    let (outer, inner) = (&m.transpose("a").permutation, &m.transpose("b").permutation);
    Some(op::Transpose { permutation: outer.iter().map(|&p| inner[p]).collect() }.into())
}

fn compose_broadcasts(m: &Match<'_>) -> Option<Op> {
    let (outer, inner) = (m.broadcast("a"), m.broadcast("b"));
    let axes = inner.axes.iter().map(|&a| outer.axes[a]).collect();
    Some(op::Broadcast { shape: outer.shape, axes }.into())
}

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

/// A transpose that only moves axes of extent 1 is a reshape.
fn transpose_as_reshape(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Transpose(t) = op else { return None };
    let x = view.ty(children[0]).shape;
    let moved: Vec<usize> = t.permutation.iter().copied().filter(|&p| x[p] != 1).collect();
    moved.is_sorted().then(|| Term::Class(children[0]).reshape(view.ty(class).shape))
}

/// A broadcast along axes of extent 1 only is a reshape.
fn broadcast_as_reshape(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Broadcast(b) = op else { return None };
    let adds_nothing = b.new_axes().iter().all(|&a| b.shape[a] == 1) && view.splat(children[0]).is_none();
    adds_nothing.then(|| Term::Class(children[0]).reshape(b.shape))
}

/// A broadcast of a value that has been reshaped to have axes of extent 1, or to have lost them, takes the value itself.
fn broadcast_reshape(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Broadcast(b) = op else { return None };
    for (op, x) in nodes(view, children[0]) {
        let Op::Reshape(r) = op else { continue };
        let from = view.ty(x[0]).shape;
        let (before, after): (Vec<_>, Vec<_>) = (wide_axes(&from).collect(), wide_axes(&r.shape).collect());
        if before.iter().map(|d| d.1).eq(after.iter().map(|d| d.1)) && before.len() < r.shape.rank() {
            let axes = after.iter().map(|d| b.axes[d.0]).collect();
            let dims: Vec<usize> = before.iter().map(|d| d.1).collect();
            let narrow = Term::Class(x[0]).reshape(Shape::new(&dims).ok()?);
            return Some(narrow.broadcast(b.shape, axes));
        }
    }
    None
}

/// transpose(broadcast(x)) is a broadcast of (transposed, if need be) x.
fn transpose_broadcast(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Transpose(t) = op else { return None };
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Broadcast(b) = op else { return None };
        let inverse = t.inverse();
        let to: Vec<usize> = b.axes.iter().map(|&a| inverse[a]).collect();
        let mut permutation: Vec<usize> = (0..to.len()).collect();
        permutation.sort_by_key(|&i| to[i]);
        let axes = permutation.iter().map(|&i| to[i]).collect();
        Some(Term::Class(x[0]).transpose(permutation).broadcast(view.ty(class).shape, axes))
    })
}

/// Are all values of the element type `from` also of type `to`?
fn holds(to: DType, from: DType) -> bool {
    use DType::{Bool, F32, F64, I32, I64, U8, U32};
    match from {
        Bool => true,
        U8 => to != Bool,
        F32 => to == F64,
        I32 => matches!(to, I64 | F64),
        U32 => matches!(to, I64 | F64),
        F64 | I64 => false,
    }
}

/// A conversion to a type that holds all values, and on, is one conversion.
fn convert_convert(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Convert(outer) = op else { return None };
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Convert(inner) = op else { return None };
        let (from, to) = (view.ty(x[0]).dtype, outer.dtype);
        // Out of range, floats saturate and integers wrap.
        let alike =
            to == from || to.is_float() || from == DType::Bool || inner.dtype.is_float() == from.is_float();
        (holds(inner.dtype, from) && alike).then(|| Term::new(op::Convert { dtype: to }, [Term::Class(x[0])]))
    })
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

/// f(m(x), m(y)) is m(f(x, y)) for a broadcast, transpose or reshape m. Operands that are one number follow.
fn elementwise(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let varying = children.iter().copied().find(|&c| view.splat(c).is_none())?;
    let moves = nodes(view, varying)
        .filter(|(op, _)| matches!(op, Op::Broadcast(_) | Op::Transpose(_) | Op::Reshape(_)));
    for (movement, x) in moves {
        let shape = view.ty(x[0]).shape;
        let operand = |&c: &Class| {
            if let Some(value) = view.splat(c) {
                return Some(Term::fill(Type::new(view.ty(c).dtype, shape), value));
            }
            let below = nodes(view, c).find(|(op, y)| *op == movement && view.ty(y[0]).shape == shape)?;
            Some(Term::Class(below.1[0]))
        };
        if let Some(operands) = children.iter().map(operand).collect::<Option<Vec<_>>>() {
            return Some(Term::new(movement.clone(), [Term::Node(op.clone(), operands)]));
        }
    }
    None
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

/// Movement.
pub const RULES: &[Rule] = &[
    rule("movement/transpose-transpose", "(transpose:a (transpose:b ?x))", "(transpose:c ?x)")
        .exact()
        .always()
        .with(&[("c", compose_transposes)])
        .why("permutations compose; they vanish if they cancel")
        .example(|e| {
            let dims = [e.dim(), e.dim(), e.dim()];
            let x = e.input(dims);
            let t = e.graph.transpose(x, &[1, 2, 0]);
            e.graph.transpose(t, &[1, 0, 2])
        }),
    rule("movement/reshape-reshape", "(reshape:a (reshape:b ?x))", "(reshape:a ?x)")
        .exact()
        .always()
        .why("only the last shape matters")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let flat = e.graph.reshape(x, [m * n].into());
            e.graph.reshape(flat, [n, 1, m].into())
        }),
    rule("movement/broadcast-broadcast", "(broadcast:a (broadcast:b ?x))", "(broadcast:c ?x)")
        .exact()
        .always()
        .with(&[("c", compose_broadcasts)])
        .why("axes compose")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([n]);
            let wide = e.graph.broadcast(x, [m, n].into(), &[1]);
            e.graph.broadcast(wide, [m, 3, n].into(), &[0, 2])
        }),
    rule("movement/slice-slice", "(slice:a (slice:b ?x))", "(slice:c ?x)")
        .exact()
        .always()
        .with(&[("c", compose_slices)])
        .why("boxes compose")
        .example(|e| {
            let x = e.input([9]);
            let inner = e.graph.must(op::Slice { start: vec![1], limit: vec![8], step: vec![2] }, &[x]);
            e.graph.must(op::Slice { start: vec![1], limit: vec![4], step: vec![2] }, &[inner])
        }),
    function("movement/transpose-as-reshape", &["transpose"], transpose_as_reshape)
        .exact()
        .always()
        .why("axes of extent 1 move nothing")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 1, n]);
            e.graph.transpose(x, &[1, 0, 2])
        }),
    function("movement/broadcast-as-reshape", &["broadcast"], broadcast_as_reshape)
        .exact()
        .always()
        .why("nothing is repeated")
        .example(|e| {
            let n = e.dim();
            let x = e.input([n]);
            e.graph.broadcast(x, [1, n].into(), &[1])
        }),
    function("movement/broadcast-reshape", &["broadcast"], broadcast_reshape)
        .exact()
        .always()
        .why("axes of extent 1 are dropped before a broadcast")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m]);
            let column = e.graph.reshape(x, [m, 1].into());
            e.graph.broadcast(column, [m, 1, n].into(), &[0, 1])
        }),
    function("movement/transpose-broadcast", &["transpose"], transpose_broadcast)
        .exact()
        .always()
        .why("the smaller value is transposed, if at all")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, n]);
            let wide = e.graph.broadcast(x, [m, 2, n].into(), &[0, 2]);
            e.graph.transpose(wide, &[2, 1, 0])
        }),
    function("movement/convert-convert", &["convert"], convert_convert)
        .exact()
        .always()
        .why("the type between holds all values")
        .example(|e| {
            let dims = e.dims();
            let x = e.typed(Type::new(DType::F32, dims));
            let wide = e.graph.convert(x, DType::F64);
            e.graph.convert(wide, DType::F32)
        }),
    function("movement/slice-concatenate", &["slice"], slice_concatenate)
        .exact()
        .always()
        .why("only one part is asked for")
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
        .example(|e| {
            let n = e.dim();
            let (x, empty, y) = (e.input([n]), e.input([0]), e.input([n]));
            e.graph.must(op::Concatenate { axis: 0 }, &[x, empty, y])
        }),
    function("movement/elementwise", &["unary", "binary", "select", "convert"], elementwise)
        .exact()
        .always()
        .why("a broadcast comes after what it repeats, other movement after what it would separate")
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([n]);
            let wide = e.graph.broadcast(x, [m, n].into(), &[1]);
            let two = e.fill(wide, 2.0);
            let sum = e.graph.plus(wide, two);
            e.graph.unary(Unary::Tanh, sum);
            sum
        }),
];
