//! Scales through dots and convolutions: a factor for each row, column, feature or image, or one for all, moves to where it
//! meets the fewest elements: out of a product, into one of its operands, or from one operand into the other.
//!
//! A diagonal matrix is such a factor, and so is batch norm of frozen statistics.

use bespoke_graph::{
    NodeId, Op,
    op::{self, Binary, Convolution, Dot},
};
use bespoke_tensor::{DType, Shape, Type};

use super::is_float;
use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, rule},
    view::{Class, View, nodes},
};

/// Where an axis of one operand of a product goes.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// To this axis of the result.
    Result(usize),
    /// It is summed over, with this axis of the other operand.
    Summed(usize),
    /// Both: to an axis of the result, shared with one of the other operand.
    Shared(usize, usize),
    /// It is slid over.
    Slid,
}

/// For each axis of an operand of a dot or convolution, where it goes.
fn ways(product: &Op, ranks: [usize; 2], operand: usize) -> Vec<Way> {
    let at = |list: &[usize], d: usize| list.iter().position(|&v| v == d);
    match product {
        Op::Dot(d) => {
            let (left, right) = (d.lhs_free(ranks[0]), d.rhs_free(ranks[1]));
            let sides = |pair: &(Vec<usize>, Vec<usize>)| {
                if operand == 0 { pair.clone() } else { (pair.1.clone(), pair.0.clone()) }
            };
            let ((batch, batch_other), (own, other)) = (sides(&d.batch), sides(&d.contract));
            let batches = batch.len();
            let (free, first) = if operand == 0 { (left, batches) } else { (right, batches + left.len()) };
            let way = |axis| {
                if let Some(i) = at(&batch, axis) {
                    return Way::Shared(i, batch_other[i]);
                }
                match at(&own, axis) {
                    Some(i) => Way::Summed(other[i]),
                    None => Way::Result(first + at(&free, axis).expect("neither batch nor contracted")),
                }
            };
            (0..ranks[operand]).map(way).collect()
        }
        Op::Convolution(c) => {
            let way = |axis| match axis {
                0 => Way::Result(operand),
                1 if c.groups == 1 => Way::Summed(1),
                _ => Way::Slid,
            };
            (0..ranks[operand]).map(way).collect()
        }
        _ => vec![],
    }
}

/// A broadcast to `shape` along these axes, if they ascend.
fn spread(ty: Type, axes: Option<Vec<usize>>) -> Option<Op> {
    let axes = axes?;
    axes.windows(2).all(|a| a[0] < a[1]).then(|| op::Broadcast { shape: ty.shape, axes }.into())
}

fn ranks(m: &Match<'_>) -> [usize; 2] {
    [m.ty("x").rank(), m.ty("w").rank()]
}

/// Is every element of it known in advance, and stored?
fn is_constant(view: &dyn View, class: Class) -> bool {
    nodes(view, class).any(|(op, _)| matches!(op, Op::Constant(_)))
}

/// Is it better to scale `to` than `from`?
fn is_smaller(m: &Match<'_>, from: Class, to: Class) -> bool {
    let elements = |class| if is_constant(m.view, class) { 0 } else { m.view.ty(class).elements() };
    elements(to) < elements(from)
}

/// So many values are looked at to see what a factor is made of.
const CONE: usize = 64;

/// May `value` be made of `of`? Then it waits for it: batch norm of a batch's own statistics does not fold.
fn waits_for(view: &dyn View, value: Class, of: Class) -> bool {
    let mut seen = vec![value];
    let mut next = 0;
    while let Some(&class) = seen.get(next) {
        next += 1;
        if class == of || seen.len() > CONE {
            return true;
        }
        for (_, operands) in nodes(view, class) {
            operands.iter().for_each(|x| {
                if !seen.contains(x) {
                    seen.push(*x);
                }
            });
        }
    }
    false
}

/// The scale of operand `x` or `w` as one of the result.
fn outwards(m: &Match<'_>, operand: usize) -> Option<Op> {
    let from = [m.class("x"), m.class("w")][operand];
    let axes = &m.broadcast("b").axes;
    // One factor for all moves outwards in any case: there it meets others, such as a learning rate.
    if !axes.is_empty() && !is_smaller(m, from, m.root) {
        return None;
    }
    let ways = ways(m.op("d"), ranks(m), operand);
    let to = |&a: &usize| match ways[a] {
        Way::Result(to) | Way::Shared(to, _) => Some(to),
        _ => None,
    };
    spread(m.root_ty(), axes.iter().map(to).collect())
}

/// The scale of an operand as one of the other operand.
fn across(m: &Match<'_>, operand: usize) -> Option<Op> {
    let both = [m.class("x"), m.class("w")];
    let axes = &m.broadcast("b").axes;
    if axes.is_empty() || !is_smaller(m, both[operand], both[1 - operand]) {
        return None;
    }
    let ways = ways(m.op("d"), ranks(m), operand);
    let to = |&a: &usize| match ways[a] {
        Way::Summed(to) | Way::Shared(_, to) => Some(to),
        _ => None,
    };
    spread(m.view.ty(both[1 - operand]), axes.iter().map(to).collect())
}

/// The scale of the result as one of an operand.
fn inwards(m: &Match<'_>, operand: usize) -> Option<Op> {
    let both = [m.class("x"), m.class("w")];
    let to = both[operand];
    if !is_smaller(m, m.root, to) || waits_for(m.view, m.class("c"), both[1 - operand]) {
        return None;
    }
    let ways = ways(m.op("d"), ranks(m), operand);
    let from = |&a: &usize| {
        ways.iter().position(|&w| match w {
            Way::Result(r) | Way::Shared(r, _) => r == a,
            _ => false,
        })
    };
    spread(m.view.ty(to), m.broadcast("b").axes.iter().map(from).collect())
}

/// The scale as one of what is added to a product: both are broadcast, the scale along no other axes.
fn scaled_shift(m: &Match<'_>) -> Option<Op> {
    let (shift, scale) = (&m.broadcast("b").axes, &m.broadcast("s").axes);
    let is_product =
        |(op, x): (&Op, _)| matches!(op, Op::Dot(_) | Op::Convolution(_)) || is_scaled(m.view, op, x);
    if !nodes(m.view, m.class("a")).any(is_product) || waits_for(m.view, m.class("c"), m.class("a")) {
        return None;
    }
    let axes = scale.iter().map(|a| shift.iter().position(|s| s == a)).collect();
    spread(m.ty("m"), axes)
}

/// Is it a product that is scaled already?
fn is_scaled(view: &dyn View, op: &Op, operands: crate::view::Children) -> bool {
    matches!(op, Op::Binary(Binary::Mul | Binary::Div))
        && operands
            .iter()
            .any(|&x| nodes(view, x).any(|(op, _)| matches!(op, Op::Dot(_) | Op::Convolution(_))))
}

/// x · c, with c repeated from `axes`.
fn scaled(e: &mut Example, x: NodeId, axes: &[usize]) -> NodeId {
    let shape = e.graph.ty(x).shape;
    let dims: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
    let narrow = Type::new(e.graph.ty(x).dtype, Shape::new(&dims).expect("fewer than before"));
    let c = if narrow.dtype.is_float() { e.positive(narrow.shape) } else { e.typed(narrow) };
    let wide = e.graph.broadcast(c, shape, axes);
    if e.below(2) == 0 { e.graph.times(wide, x) } else { e.graph.over(x, wide) }
}

/// The dot or convolution of two values, by chance.
fn product(e: &mut Example, [x, w]: [NodeId; 2]) -> NodeId {
    if e.graph.ty(x).rank() > 3 {
        return e.graph.must(Convolution::new(&[1, 1], &[1, 0]), &[x, w]);
    }
    e.graph.must(Dot { batch: (vec![0], vec![0]), contract: (vec![2], vec![1]) }, &[x, w])
}

/// Operands of a batched dot or of a convolution, and the axes of each to scale by.
fn operands(e: &mut Example, many: [usize; 2]) -> [NodeId; 2] {
    let [b, k] = e.dims();
    if e.below(2) == 0 {
        let (m, n) = (many[0] * e.dim(), many[1] * e.dim());
        return [e.input([b, m, k]), e.input([b, k, n])];
    }
    let (images, features) = (many[0] * e.dim(), many[1] * e.dim());
    [e.input([images, k, 4, 3]), e.input([features, k, 2, 2])]
}

/// Matrices of integers, whose quotients are rounded.
fn integers(e: &mut Example, [m, k, n]: [usize; 3]) -> [NodeId; 2] {
    [[m, k], [k, n]].map(|dims| e.typed(Type::new(DType::I32, dims)))
}

/// Scales.
pub const RULES: &[Rule] = &[
    rule(
        "scale/out-left",
        "(product:d (scale:f ?x (broadcast:b ?c)) ?w)",
        "(scale:f (product:d ?x ?w) (broadcast:s ?c))",
    )
    .when(is_float)
    .with(&[("s", |m| outwards(m, 0))])
    .why("a factor for each row is one for each row of the product, if that is smaller; softmax divides after attention")
    .example(|e| {
        if e.below(2) == 0 {
            let [x, w] = operands(e, [1, 1]);
            let x = scaled(e, x, &[]);
            return product(e, [x, w]);
        }
        let [m, n] = e.dims();
        let (x, w) = (e.input([m, 9]), e.input([9, n]));
        let x = scaled(e, x, &[0]);
        e.graph.matmul(x, w)
    })
    .near_miss(|e| {
        if e.below(2) == 0 {
            let [x, w] = integers(e, [2, 9, 3]);
            let x = scaled(e, x, &[0]);
            return e.graph.matmul(x, w);
        }
        // For each column: the product has none of them.
        let [x, w] = operands(e, [1, 1]);
        let x = scaled(e, x, &[2]);
        product(e, [x, w])
    }),
    rule(
        "scale/out-right",
        "(product:d ?x (scale:f ?w (broadcast:b ?c)))",
        "(scale:f (product:d ?x ?w) (broadcast:s ?c))",
    )
    .when(is_float)
    .with(&[("s", |m| outwards(m, 1))])
    .why("a factor for each column is one for each column of the product, if that is smaller")
    .example(|e| {
        let (m, k, n) = (e.dim(), 9, e.dim());
        let (x, w) = (e.input([m, k]), e.input([k, n]));
        let w = scaled(e, w, &[1]);
        e.graph.matmul(x, w)
    })
    .near_miss(|e| {
        if e.below(2) == 0 {
            let [x, w] = integers(e, [3, 9, 2]);
            let w = scaled(e, w, &[1]);
            return e.graph.matmul(x, w);
        }
        let (m, k, n) = (e.dim(), 9, e.dim());
        let (x, w) = (e.input([m, k]), e.input([k, n]));
        let w = scaled(e, w, &[0]);
        e.graph.matmul(x, w)
    }),
    rule(
        "scale/across-right",
        "(product:d (scale:f ?x (broadcast:b ?c)) ?w)",
        "(product:d ?x (scale:f ?w (broadcast:s ?c)))",
    )
    .when(is_float)
    .with(&[("s", |m| across(m, 0))])
    .why("a factor of what is summed over belongs to either operand: batch norm before a layer to its weight")
    .example(|e| {
        let [x, w] = operands(e, [9, 1]);
        let axis = if e.graph.ty(x).rank() == 3 { 2 } else { 1 };
        let x = scaled(e, x, &[axis]);
        product(e, [x, w])
    })
    .near_miss(|e| {
        if e.below(2) == 0 {
            let [x, w] = integers(e, [9, 3, 2]);
            let x = scaled(e, x, &[1]);
            return e.graph.matmul(x, w);
        }
        // Features of a group are not those of the kernel.
        let c = 2 * e.dim();
        let (x, w) = (e.input([9, c, 4, 3]), e.input([2, c / 2, 2, 2]));
        let x = scaled(e, x, &[1]);
        e.graph.must(Convolution { groups: 2, ..Convolution::new(&[1, 1], &[0, 0]) }, &[x, w])
    }),
    rule(
        "scale/across-left",
        "(product:d ?x (scale:f ?w (broadcast:b ?c)))",
        "(product:d (scale:f ?x (broadcast:s ?c)) ?w)",
    )
    .when(is_float)
    .with(&[("s", |m| across(m, 1))])
    .why("a factor of what is summed over belongs to either operand: to a few rows rather than to many weights")
    .example(|e| {
        let (m, k, n) = (e.dim(), e.dim(), 9);
        let (x, w) = (e.input([m, k]), e.input([k, n]));
        let w = scaled(e, w, &[0]);
        e.graph.matmul(x, w)
    })
    .near_miss(|e| {
        if e.below(2) == 0 {
            let [x, w] = integers(e, [2, 3, 9]);
            let w = scaled(e, w, &[0]);
            return e.graph.matmul(x, w);
        }
        let (m, k, n) = (e.dim(), e.dim(), 9);
        let (x, w) = (e.input([m, k]), e.input([k, n]));
        let w = scaled(e, w, &[0, 1]);
        e.graph.matmul(x, w)
    }),
    rule(
        "scale/in-left",
        "(scale:f (product:d ?x ?w) (broadcast:b ?c))",
        "(product:d (scale:f ?x (broadcast:s ?c)) ?w)",
    )
    .when(is_float)
    .with(&[("s", |m| inwards(m, 0))])
    .why("queries are scaled, not scores")
    .example(|e| {
        let [x, w] = operands(e, [1, 9]);
        let y = product(e, [x, w]);
        let axes: &[usize] = if e.below(2) == 0 { &[] } else { &[0] };
        scaled(e, y, axes)
    })
    .near_miss(|e| {
        if e.below(2) == 0 {
            let [x, w] = integers(e, [2, 3, 9]);
            let y = e.graph.matmul(x, w);
            return scaled(e, y, &[0]);
        }
        // For each column, of which the left operand has none.
        let [x, w] = operands(e, [1, 9]);
        let y = product(e, [x, w]);
        let axis = if e.graph.ty(y).rank() == 3 { 2 } else { 1 };
        scaled(e, y, &[axis])
    }),
    rule(
        "scale/in-right",
        "(scale:f (product:d ?x ?w) (broadcast:b ?c))",
        "(product:d ?x (scale:f ?w (broadcast:s ?c)))",
    )
    .when(is_float)
    .with(&[("s", |m| inwards(m, 1))])
    .why("a factor for each feature belongs to the weight: batch norm of frozen statistics behind a layer")
    .example(|e| {
        let [x, w] = operands(e, [9, 1]);
        let y = product(e, [x, w]);
        let axis = if e.graph.ty(y).rank() == 3 { 2 } else { 1 };
        let axes: &[usize] = if e.below(2) == 0 { &[] } else { &[axis] };
        scaled(e, y, axes)
    })
    .near_miss(|e| {
        if e.below(2) == 0 {
            let [x, w] = integers(e, [9, 3, 2]);
            let y = e.graph.matmul(x, w);
            return scaled(e, y, &[1]);
        }
        let c = e.dim();
        let (x, w) = (e.input([9, c, 4, 3]), e.input([2, c, 2, 2]));
        let y = product(e, [x, w]);
        if e.below(2) == 0 {
            return scaled(e, y, &[1, 2]);
        }
        // The factor is a statistic of the product.
        let (sum, shape) = (e.graph.sum(y, &[0, 2, 3]), e.graph.ty(y).shape);
        let wide = e.graph.broadcast(sum, shape, &[1]);
        e.graph.times(wide, y)
    }),
    rule(
        "scale/shifted",
        "(scale:f (shift:g ?a (broadcast:b ?m)) (broadcast:s ?c))",
        "(shift:g (scale:f ?a (broadcast:s ?c)) (broadcast:b (scale:f ?m (broadcast:t ?c))))",
    )
    .when(is_float)
    .with(&[("t", scaled_shift)])
    .why("a bias is scaled beside the product it is added to: (xw + b)·c = xw·c + bc, and c moves into w")
    .example(|e| {
        let [x, w] = operands(e, [1, 1]);
        let y = product(e, [x, w]);
        let shape = e.graph.ty(y).shape;
        let axis = if shape.rank() == 3 { 2 } else { 1 };
        let b = e.input([shape[axis]]);
        let wide = e.graph.broadcast(b, shape, &[axis]);
        let sum = if e.below(2) == 0 { e.graph.plus(wide, y) } else { e.graph.minus(y, wide) };
        let axes: &[usize] = if e.below(2) == 0 { &[] } else { &[axis] };
        scaled(e, sum, axes)
    })
    .near_miss(|e| {
        if e.below(2) == 0 {
            let [x, w] = integers(e, [2, 3, 4]);
            let (y, b) = (e.graph.matmul(x, w), e.typed(Type::new(DType::I32, [4])));
            let wide = e.graph.broadcast(b, [2, 4].into(), &[1]);
            let sum = e.graph.plus(wide, y);
            return scaled(e, sum, &[1]);
        }
        // The scale has another axis than the bias.
        let [x, w] = operands(e, [1, 1]);
        let y = product(e, [x, w]);
        let shape = e.graph.ty(y).shape;
        let b = e.input([shape[1]]);
        let wide = e.graph.broadcast(b, shape, &[1]);
        let sum = e.graph.plus(wide, y);
        scaled(e, sum, &[0])
    }),
];
