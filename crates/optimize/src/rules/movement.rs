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

fn compose_reverses(m: &Match<'_>) -> Option<Op> {
    let (Op::Reverse(a), Op::Reverse(b)) = (m.op("a"), m.op("b")) else { return None };
    let once = (0..m.root_ty().rank()).filter(|i| a.axes.contains(i) != b.axes.contains(i));
    Some(op::Reverse { axes: once.collect() }.into())
}

/// What is computed from operands that are all repeated along an axis is repeated along it afterwards.
fn broadcast_last(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let shape = view.ty(class).shape;
    let mut given: Vec<Option<(Class, &[usize])>> = vec![];
    for &c in children {
        let repeated = nodes(view, c).find_map(|(op, x)| match op {
            Op::Broadcast(b) => Some((x[0], &b.axes[..])),
            _ => None,
        });
        if repeated.is_none() && view.splat(c).is_none() {
            return None;
        }
        given.push(repeated.filter(|_| view.splat(c).is_none()));
    }
    let used = |a: &usize| given.iter().flatten().any(|(_, axes)| axes.contains(a));
    let axes: Vec<usize> = (0..shape.rank()).filter(used).collect();
    let dims: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
    // One kind of movement is taken out by the rule for it.
    let alike = given.iter().flatten().all(|(_, own)| *own == axes);
    if alike || dims.iter().product::<usize>() >= shape.elements() {
        return None;
    }
    let narrow = Shape::new(&dims).ok()?;
    let operand = |(given, &c): (Option<(Class, &[usize])>, &Class)| match given {
        Some((x, own)) => {
            let to = own.iter().map(|a| axes.iter().position(|b| a == b).expect("it is used")).collect();
            Term::Class(x).broadcast(narrow, to)
        }
        None => {
            Term::fill(Type::new(view.ty(c).dtype, narrow), view.splat(c).expect("no broadcast but a number"))
        }
    };
    let operands = given.into_iter().zip(children).map(operand).collect();
    Some(Term::Node(op.clone(), operands).broadcast(shape, axes.clone()))
}

/// Movement.
pub const RULES: &[Rule] = &[
    rule("movement/transpose-transpose", "(transpose:a (transpose:b ?x))", "(transpose:c ?x)")
        .exact()
        .always()
        .with(&[("c", compose_transposes)])
        .why("permutations compose; they vanish if they cancel")
        .near_miss(|e| {
            let x = e.matrix();
            let t = e.graph.transpose(x, &[1, 0]);
            let n = e.graph.negate(t);
            e.graph.transpose(n, &[1, 0])
        })
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
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([n]);
            let r = e.graph.must(op::Reverse { axes: vec![0] }, &[x]);
            e.graph.broadcast(r, [m, n].into(), &[1])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([n]);
            let wide = e.graph.broadcast(x, [m, n].into(), &[1]);
            e.graph.broadcast(wide, [m, 3, n].into(), &[0, 2])
        }),
    function("movement/transpose-as-reshape", &["transpose"], transpose_as_reshape)
        .exact()
        .always()
        .why("axes of extent 1 move nothing")
        .near_miss(|e| {
            let x = e.matrix();
            e.graph.transpose(x, &[1, 0])
        })
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([m, 1, n]);
            e.graph.transpose(x, &[1, 0, 2])
        }),
    function("movement/broadcast-as-reshape", &["broadcast"], broadcast_as_reshape)
        .exact()
        .always()
        .why("nothing is repeated")
        .near_miss(|e| {
            let [m, n] = e.dims();
            let x = e.input([n]);
            e.graph.broadcast(x, [m, n].into(), &[1])
        })
        .example(|e| {
            let n = e.dim();
            let x = e.input([n]);
            e.graph.broadcast(x, [1, n].into(), &[1])
        }),
    function("movement/broadcast-reshape", &["broadcast"], broadcast_reshape)
        .exact()
        .always()
        .why("axes of extent 1 are dropped before a broadcast")
        .near_miss(|e| {
            // Its elements are in other rows.
            let (m, n) = (e.dim(), 2 * e.dim());
            let x = e.input([2, n]);
            let y = e.graph.reshape(x, [n, 2].into());
            e.graph.broadcast(y, [n, m, 2].into(), &[0, 2])
        })
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
        .near_miss(|e| {
            let x = e.matrix();
            let n = e.graph.negate(x);
            e.graph.transpose(n, &[1, 0])
        })
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
        .near_miss(|e| {
            // Digits are lost between.
            let x = e.matrix();
            let narrow = e.graph.convert(x, DType::F32);
            e.graph.convert(narrow, DType::F64)
        })
        .example(|e| {
            let dims = e.dims();
            let x = e.typed(Type::new(DType::F32, dims));
            let wide = e.graph.convert(x, DType::F64);
            e.graph.convert(wide, DType::F32)
        }),
    function("movement/elementwise", &["unary", "binary", "select", "convert"], elementwise)
        .exact()
        .always()
        .why("a broadcast comes after what it repeats, other movement after what it would separate")
        .near_miss(|e| {
            let n = e.dim();
            let (x, y) = (e.input([n]), e.input([n]));
            let [a, b] = [(x, 0), (y, 1)].map(|(v, axis)| e.graph.broadcast(v, [n, n].into(), &[axis]));
            e.graph.plus(a, b)
        })
        .example(|e| {
            let [m, n] = e.dims();
            let x = e.input([n]);
            let wide = e.graph.broadcast(x, [m, n].into(), &[1]);
            let two = e.fill(wide, 2.0);
            let sum = e.graph.plus(wide, two);
            e.graph.unary(Unary::Tanh, sum);
            sum
        }),
    rule("movement/reverse-reverse", "(reverse:a (reverse:b ?x))", "(reverse:c ?x)")
        .exact()
        .always()
        .with(&[("c", compose_reverses)])
        .why("an axis that is turned round twice is as it was")
        .example(|e| {
            let x = e.matrix();
            let axes = if e.below(2) == 0 { vec![0, 1] } else { vec![0] };
            let y = e.graph.must(op::Reverse { axes }, &[x]);
            e.graph.must(op::Reverse { axes: vec![0] }, &[y])
        })
        .near_miss(|e| {
            let x = e.matrix();
            let y = e.graph.transpose(x, &[1, 0]);
            e.graph.must(op::Reverse { axes: vec![0] }, &[y])
        }),
    function("movement/broadcast-last", &["unary", "binary", "select", "convert"], broadcast_last)
        .exact()
        .always()
        .why("an axis along which nothing changes is added last")
        .example(|e| {
            let (a, b, c) = (e.dim(), e.dim(), e.dim());
            let (x, y) = (e.input([a]), e.input([c]));
            let [x, y] = [(x, 0), (y, 2)].map(|(v, axis)| e.graph.broadcast(v, [a, b, c].into(), &[axis]));
            e.graph.times(x, y)
        })
        .near_miss(|e| {
            let (a, b) = (e.dim(), e.dim());
            let (x, y) = (e.input([a]), e.input([b]));
            let [x, y] = [(x, 0), (y, 1)].map(|(v, axis)| e.graph.broadcast(v, [a, b].into(), &[axis]));
            e.graph.times(x, y)
        }),
];
