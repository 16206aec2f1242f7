//! Linear algebra: dots composed, factored, and freed of transposes, signs, scales and broadcasts.

use bespoke_graph::{NodeId, Op, op, op::Binary, op::Dot};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Shape};

use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

fn position(list: &[usize], value: usize) -> Option<usize> {
    list.iter().position(|&v| v == value)
}

/// The dots p and q of (x·w)·v = x ·p (w ·q v), if v is contracted with dimensions of w only.
fn composed(m: &Match<'_>) -> Option<[Dot; 2]> {
    let (outer, inner) = (m.dot("o"), m.dot("i"));
    if !outer.batch.0.is_empty() || !inner.batch.0.is_empty() {
        return None;
    }
    let (x_rank, w_rank) = (m.ty("x").rank(), m.ty("w").rank());
    let x_free = inner.lhs_free(x_rank).len();
    let w_free = inner.rhs_free(w_rank);
    let shared: Option<Vec<usize>> =
        outer.contract.0.iter().map(|&d| d.checked_sub(x_free).map(|i| w_free[i])).collect();
    let q = Dot { batch: (vec![], vec![]), contract: (shared?, outer.contract.1.clone()) };
    // Dimensions of w that are left, in order, come first in w ·q v.
    let left = q.lhs_free(w_rank);
    let at: Option<Vec<usize>> = inner.contract.1.iter().map(|&d| position(&left, d)).collect();
    let p = Dot { batch: (vec![], vec![]), contract: (inner.contract.0.clone(), at?) };
    Some([p, q])
}

/// The dots o and i of x ·p (w ·q v) = (x ·i w) ·o v, if x is contracted with dimensions of w only.
fn factored(m: &Match<'_>) -> Option<[Dot; 2]> {
    let (p, q) = (m.dot("p"), m.dot("q"));
    if !p.batch.0.is_empty() || !q.batch.0.is_empty() {
        return None;
    }
    let (x_rank, w_rank) = (m.ty("x").rank(), m.ty("w").rank());
    let left = q.lhs_free(w_rank);
    let shared: Option<Vec<usize>> = p.contract.1.iter().map(|&d| left.get(d).copied()).collect();
    let i = Dot { batch: (vec![], vec![]), contract: (p.contract.0.clone(), shared?) };
    let (x_free, w_free) = (i.lhs_free(x_rank).len(), i.rhs_free(w_rank));
    let at: Option<Vec<usize>> =
        q.contract.0.iter().map(|&d| position(&w_free, d).map(|k| x_free + k)).collect();
    let o = Dot { batch: (vec![], vec![]), contract: (at?, q.contract.1.clone()) };
    Some([o, i])
}

/// The dot of x and w in place of that of transpose(x) and w, if the result keeps the order of its dimensions.
fn untransposed_left(m: &Match<'_>) -> Option<Op> {
    let (d, t) = (m.dot("d"), &m.transpose("t").permutation);
    let map = |dims: &[usize]| dims.iter().map(|&k| t[k]).collect::<Vec<_>>();
    let dot = Dot {
        batch: (map(&d.batch.0), d.batch.1.clone()),
        contract: (map(&d.contract.0), d.contract.1.clone()),
    };
    map(&d.lhs_free(t.len())).is_sorted().then(|| dot.into())
}

/// As [`untransposed_left`], for the right operand.
fn untransposed_right(m: &Match<'_>) -> Option<Op> {
    let (d, t) = (m.dot("d"), &m.transpose("t").permutation);
    let map = |dims: &[usize]| dims.iter().map(|&k| t[k]).collect::<Vec<_>>();
    let dot = Dot {
        batch: (d.batch.0.clone(), map(&d.batch.1)),
        contract: (d.contract.0.clone(), map(&d.contract.1)),
    };
    map(&d.rhs_free(t.len())).is_sorted().then(|| dot.into())
}

/// A transpose that exchanges what the operands contribute exchanges the operands.
fn transpose_dot(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Transpose(t) = op else { return None };
    if view.is_shared(children[0]) {
        return None; // the dot would be computed twice
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Dot(d) = op else { return None };
        let batches = d.batch.0.len();
        let left = d.lhs_free(view.ty(x[0]).rank()).len();
        let right = d.rhs_free(view.ty(x[1]).rank()).len();
        let (batch, free) = t.permutation.split_at(batches);
        let pick = |dims: &[usize]| batch.iter().map(|&b| dims[b]).collect::<Vec<_>>();
        if batch.iter().any(|&b| b >= batches) {
            return None;
        }
        let batch = (pick(&d.batch.0), pick(&d.batch.1));
        let swapped = (0..right).map(|j| batches + left + j).chain((0..left).map(|i| batches + i));
        let contract = d.contract.clone();
        if free.iter().copied().eq(swapped) {
            let dot = Dot { batch: (batch.1, batch.0), contract: (contract.1, contract.0) };
            return Some(Term::new(dot, [Term::Class(x[1]), Term::Class(x[0])]));
        }
        free.is_sorted().then(|| Term::new(Dot { batch, contract }, [Term::Class(x[0]), Term::Class(x[1])]))
    })
}

/// Nothing to add up: a product of broadcast operands, which fuses into its users.
fn outer_product(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Dot(d) = op else { return None };
    let ty = view.ty(class);
    let (x, y) = (view.ty(children[0]).shape, view.ty(children[1]).shape);
    match d.contract.0.iter().map(|&k| x[k]).product::<usize>() {
        0 => return Some(Term::fill(ty, Scalar::from_f64(ty.dtype, 0.0))),
        1 => {}
        _ => return None,
    }
    let (batches, left) = (d.batch.0.len(), d.lhs_free(x.rank()));
    let right = d.rhs_free(y.rank());
    let side = |operand: Class, shape: Shape, order: [&[usize]; 3], axes: Vec<usize>| {
        let kept = [order[0], order[1]].concat();
        let dims: Vec<usize> = kept.iter().map(|&k| shape[k]).collect();
        let narrow =
            Term::Class(operand).transpose([&kept[..], order[2]].concat()).reshape(Shape::new(&dims).ok()?);
        Some(narrow.broadcast(ty.shape, axes))
    };
    let middle = batches + left.len();
    let lhs = side(children[0], x, [&d.batch.0, &left, &d.contract.0], (0..middle).collect())?;
    let axes = (0..batches).chain(middle..middle + right.len()).collect();
    let rhs = side(children[1], y, [&d.batch.1, &right, &d.contract.1], axes)?;
    Some(Term::new(Binary::Mul, [lhs, rhs]))
}

/// A dot with an operand that is repeated: along free dimensions the result is repeated, along contracted ones the
/// other operand is summed.
fn dot_broadcast(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Dot(d) = op else { return None };
    dot_broadcast_side(view, class, d, children, true)
        .or_else(|| dot_broadcast_side(view, class, d, children, false))
}

fn dot_broadcast_side(
    view: &dyn View,
    class: Class,
    d: &Dot,
    children: &Children,
    left: bool,
) -> Option<Term> {
    let (wide, other) = if left { (children[0], children[1]) } else { (children[1], children[0]) };
    let flip = |pair: &(Vec<usize>, Vec<usize>)| {
        if left { pair.clone() } else { (pair.1.clone(), pair.0.clone()) }
    };
    let (batch, contract) = (flip(&d.batch), flip(&d.contract));
    let ranks = [view.ty(wide).rank(), view.ty(other).rank()];
    let own_free = if left { d.lhs_free(ranks[0]) } else { d.rhs_free(ranks[0]) };
    let other_free = if left { d.rhs_free(ranks[1]) } else { d.lhs_free(ranks[1]) };
    nodes(view, wide).find_map(|(op, x)| {
        let Op::Broadcast(b) = op else { return None };
        if view.splat(wide).is_some() && b.axes.is_empty() && contract.0.is_empty() {
            return None;
        }
        let is_new = |a: &usize| !b.axes.contains(a);
        if batch.0.iter().any(is_new) || b.axes.len() == b.shape.rank() {
            return None;
        }
        // The other operand, summed along what is repeated here.
        let summed: Vec<usize> =
            contract.0.iter().zip(&contract.1).filter(|(a, _)| is_new(a)).map(|(_, &o)| o).collect();
        let term = Term::Class(other).reduce(Combine::Sum, summed.clone());
        let own = |dims: &[usize]| dims.iter().filter_map(|&a| position(&b.axes, a)).collect::<Vec<_>>();
        let rest: Vec<usize> = (0..ranks[1]).filter(|a| !summed.contains(a)).collect();
        let others = |dims: &[usize]| dims.iter().filter_map(|&a| position(&rest, a)).collect::<Vec<_>>();
        let (batch, contract) = ((own(&batch.0), others(&batch.1)), (own(&contract.0), others(&contract.1)));
        let dot = if left {
            Term::new(Dot { batch, contract }, [Term::Class(x[0]), term])
        } else {
            let dot = Dot { batch: (batch.1, batch.0), contract: (contract.1, contract.0) };
            Term::new(dot, [term, Term::Class(x[0])])
        };
        // Where the dimensions of the smaller result go.
        let batches = d.batch.0.len();
        let start = batches + if left { 0 } else { other_free.len() };
        let repeated: Vec<usize> =
            (0..own_free.len()).filter(|&i| is_new(&own_free[i])).map(|i| start + i).collect();
        let ty = view.ty(class);
        let axes = (0..ty.rank()).filter(|a| !repeated.contains(a)).collect();
        Some(dot.broadcast(ty.shape, axes))
    })
}

/// A part of a dot is one of parts of its operands.
fn slice_dot(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Slice(s) = op else { return None };
    if view.is_shared(children[0]) {
        return None; // the rest is computed in any case
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Dot(d) = op else { return None };
        let batches = d.batch.0.len();
        let shapes = [view.ty(x[0]).shape, view.ty(x[1]).shape];
        let (left, right) = (d.lhs_free(shapes[0].rank()), d.rhs_free(shapes[1].rank()));
        let side = |k: usize, batch: &[usize], free: &[usize], first: usize| {
            let shape = shapes[k];
            let (mut start, mut limit, mut step) =
                (vec![0; shape.rank()], shape.to_vec(), vec![1; shape.rank()]);
            let axes = batch.iter().enumerate().chain(free.iter().enumerate().map(|(i, a)| (first + i, a)));
            for (from, &a) in axes {
                (start[a], limit[a], step[a]) = (s.start[from], s.limit[from], s.step[from]);
            }
            Term::new(op::Slice { start, limit, step }, [Term::Class(x[k])])
        };
        let lhs = side(0, &d.batch.0, &left, batches);
        let rhs = side(1, &d.batch.1, &right, batches + left.len());
        Some(Term::new(d.clone(), [lhs, rhs]))
    })
}

/// Is `a` itself a dot, and `b` repeated along a dimension that stays, as a bias is? (For one sample nothing is.)
fn is_biased(m: &Match<'_>) -> bool {
    let ty = m.ty("a");
    let free = m.dot("d").lhs_free(ty.rank());
    let bias = |(op, _): (&Op, Children)| matches!(op, Op::Broadcast(b) if b.new_axes().iter().any(|a| free.contains(a)));
    let one_sample = free.iter().all(|&d| ty.shape[d] == 1);
    nodes(m.view, m.class("a")).any(|(op, _)| matches!(op, Op::Dot(_)))
        && (one_sample || nodes(m.view, m.class("b")).any(bias))
}

/// Three matrices that can be multiplied in their order.
fn chain(e: &mut Example) -> [NodeId; 3] {
    let dims = [e.dim(), e.dim(), e.dim(), e.dim()];
    [0, 1, 2].map(|i| e.input([dims[i], dims[i + 1]]))
}

/// A product of matrices for each sample.
fn each() -> Dot {
    Dot { batch: (vec![0], vec![0]), contract: (vec![2], vec![1]) }
}

/// Linear algebra.
pub const RULES: &[Rule] = &[
    rule("linear/compose", "(dot:o (dot:i ?x ?w) ?v)", "(dot:p ?x (dot:q ?w ?v))")
        .with(&[
            ("p", |m| composed(m).map(|[p, _]| p.into())),
            ("q", |m| composed(m).map(|[_, q]| q.into())),
        ])
        .why("two linear units are one, whose weight is the product: cheaper for many rows or a wide waist")
        .near_miss(|e| {
let n = e.dim();
            if e.below(2) == 0 {
                // Each sample has its own w.
                let (x, w, v) = (e.input([n, n, n]), e.input([n, n, n]), e.input([n, n]));
                let h = e.graph.must(each(), &[x, w]);
                return e.graph.must(Dot { batch: (vec![], vec![]), contract: (vec![1], vec![0]) }, &[h, v]);
            }
            // v is contracted with a dimension of x.
let (x, w, v) = (e.input([n, n]), e.input([n, n]), e.input([n, n]));
let h = e.graph.matmul(x, w);
e.graph.must(Dot { batch: (vec![], vec![]), contract: (vec![0], vec![0]) }, &[h, v])
})
.example(|e| {
            let [x, w, v] = chain(e);
            let h = e.graph.matmul(x, w);
            e.graph.matmul(h, v)
        }),
    rule("linear/factor", "(dot:p ?x (dot:q ?w ?v))", "(dot:o (dot:i ?x ?w) ?v)")
        .with(&[
            ("o", |m| factored(m).map(|[o, _]| o.into())),
            ("i", |m| factored(m).map(|[_, i]| i.into())),
        ])
        .why("a product of weights is applied factor by factor: cheaper for few rows or a narrow waist")
        .near_miss(|e| {
let n = e.dim();
            if e.below(2) == 0 {
                // Each sample has its own w and v.
                let (x, w, v) = (e.input([n, n]), e.input([n, n, n]), e.input([n, n, n]));
                let wv = e.graph.must(each(), &[w, v]);
                return e.graph.matmul(x, wv);
            }
            // x is contracted with a dimension of v.
let (x, w, v) = (e.input([n, n]), e.input([n, n]), e.input([n, n]));
let wv = e.graph.matmul(w, v);
e.graph.must(Dot { batch: (vec![], vec![]), contract: (vec![1], vec![1]) }, &[x, wv])
})
.example(|e| {
            let [x, w, v] = chain(e);
            let wv = e.graph.matmul(w, v);
            e.graph.matmul(x, wv)
        }),
    rule("linear/transpose-left", "(dot:d (transpose:t ?x) ?w)", "(dot:e ?x ?w)")
        .exact()
        .always()
        .with(&[("e", untransposed_left)])
        .why("a dot reads its operands in any order for free")
        .near_miss(|e| {
// The result's first two dimensions would change places.
let [m, n] = e.dims();
let (x, w) = (e.input([m, n, 3]), e.input([3, 2]));
let t = e.graph.transpose(x, &[1, 0, 2]);
e.graph.must(Dot { batch: (vec![], vec![]), contract: (vec![2], vec![0]) }, &[t, w])
})
.example(|e| {
            let [k, m, n] = [e.dim(), e.dim(), e.dim()];
            let (x, w) = (e.input([k, m]), e.input([k, n]));
            let t = e.graph.transpose(x, &[1, 0]);
            e.graph.matmul(t, w)
        }),
    rule("linear/transpose-right", "(dot:d ?x (transpose:t ?w))", "(dot:e ?x ?w)")
        .exact()
        .always()
        .with(&[("e", untransposed_right)])
        .why("a dot reads its operands in any order for free")
        .near_miss(|e| {
// The result's last two dimensions would change places.
let [m, n] = e.dims();
let (x, w) = (e.input([2, 3]), e.input([3, m, n]));
let t = e.graph.transpose(w, &[0, 2, 1]);
e.graph.matmul(x, t)
})
.example(|e| {
            let [k, m, n] = [e.dim(), e.dim(), e.dim()];
            let (x, w) = (e.input([m, k]), e.input([n, k]));
            let t = e.graph.transpose(w, &[1, 0]);
            e.graph.matmul(x, t)
        }),
    function("linear/transpose-dot", &["transpose"], transpose_dot)
        .exact()
        .always()
        .why("(x·w)ᵀ = wᵀ·xᵀ, and a dot reads its operands in any order for free")
        .near_miss(|e| {
let [m, n] = e.dims();
let (x, w) = (e.input([m, 2, 3]), e.input([3, n]));
let dot = Dot { batch: (vec![], vec![]), contract: (vec![2], vec![0]) };
let y = e.graph.must(dot, &[x, w]);
e.graph.transpose(y, &[1, 0, 2])
})
.example(|e| {
            let [k, m, n] = [e.dim(), e.dim(), e.dim()];
            let (x, w) = (e.input([m, k]), e.input([k, n]));
            let xw = e.graph.matmul(x, w);
            e.graph.transpose(xw, &[1, 0])
        }),
    function("linear/outer-product", &["dot"], outer_product)
        .always()
        .why("without a sum, a dot is a product, and fuses: for one sample, a weight's gradient into its update")
        .near_miss(|e| {
let [x, w, _] = chain(e);
e.graph.matmul(x, w)
})
.example(|e| {
            let [m, n] = e.dims();
            let (x, y) = (e.input([1, m]), e.input([1, n]));
            e.graph.must(Dot { batch: (vec![], vec![]), contract: (vec![0], vec![0]) }, &[x, y])
        }),
    function("linear/broadcast", &["dot"], dot_broadcast)
        .always()
        .why("what is repeated is multiplied once")
        .near_miss(|e| {
let [x, w, _] = chain(e);
let r = e.graph.must(op::Reverse { axes: vec![1] }, &[x]);
e.graph.matmul(r, w)
})
.example(|e| {
            let [b, m, k, n] = [e.dim(), e.dim(), e.dim(), e.dim()];
            let (x, y) = (e.input([b, k]), e.input([b, k, 2, n]));
            let wide = e.graph.broadcast(x, [b, m, k, 2].into(), &[0, 2]);
            let dot = Dot { batch: (vec![0], vec![0]), contract: (vec![3, 2], vec![2, 1]) };
            e.graph.must(dot, &[wide, y])
        }),
    rule("linear/neg-left", "(dot:d (neg ?x) ?w)", "(neg (dot:d ?x ?w))")
        .always()
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let [x, w, _] = chain(e);
            let n = e.graph.negate(x);
            e.graph.matmul(n, w)
        }),
    rule("linear/neg-right", "(dot:d ?x (neg ?w))", "(neg (dot:d ?x ?w))")
        .always()
        .why("signs move outwards, where they cancel")
        .example(|e| {
            let [x, w, _] = chain(e);
            let n = e.graph.negate(w);
            e.graph.matmul(x, n)
        }),
    rule("linear/distribute-bias", "(dot:d (add ?a ?b) ?w)", "(add (dot:d ?a ?w) (dot:d ?b ?w))")
        .when(is_biased)
        .why("a bias between two linear units moves behind both, which can then be composed")
        .near_miss(|e| {
// What is added is no bias, but differs from row to row.
let [x, w, v] = chain(e);
let h = e.graph.matmul(x, w);
let b = e.like(h);
let sum = e.graph.plus(h, b);
e.graph.matmul(sum, v)
})
.example(|e| {
            let [x, w, v] = chain(e);
            let h = e.graph.matmul(x, w);
            let ty = e.graph.ty(h);
            let bias = e.input([ty.shape[1]]);
            let wide = e.graph.broadcast(bias, ty.shape, &[1]);
            let sum = e.graph.plus(h, wide);
            e.graph.matmul(sum, v)
        }),
    rule("linear/merge-left", "(add (dot:d ?a ?w) (dot:d ?b ?w))", "(dot:d (add ?a ?b) ?w)")
        .why("one dot for two")
        .example(|e| {
            let [x, w, _] = chain(e);
            let shape = e.graph.ty(x).shape;
            let y = e.input(shape);
            let (a, b) = (e.graph.matmul(x, w), e.graph.matmul(y, w));
            e.graph.plus(a, b)
        }),
    rule("linear/merge-right", "(add (dot:d ?x ?a) (dot:d ?x ?b))", "(dot:d ?x (add ?a ?b))")
        .why("one dot for two")
        .example(|e| {
            let [x, w, _] = chain(e);
            let shape = e.graph.ty(w).shape;
            let v = e.input(shape);
            let (a, b) = (e.graph.matmul(x, w), e.graph.matmul(x, v));
            e.graph.plus(a, b)
        }),
    function("linear/slice", &["slice"], slice_dot)
        .local()
        .why("rows and columns that are not asked for are not computed")
        .example(|e| sliced(e, |e, x, w| {
            let dot = Dot { batch: (vec![0], vec![0]), contract: (vec![2], vec![1]) };
            e.graph.must(dot, &[x, w])
        }))
        .near_miss(|e| sliced(e, |e, x, w| {
            let dot = Dot { batch: (vec![0], vec![0]), contract: (vec![2], vec![1]) };
            let y = e.graph.must(dot, &[x, w]);
            e.graph.must(op::Reverse { axes: vec![0] }, &[y])
        })),
];

/// A part of what is made of operands of a batched product.
fn sliced(e: &mut Example, of: fn(&mut Example, NodeId, NodeId) -> NodeId) -> NodeId {
    let [b, k] = e.dims();
    let [m, n] = e.dims();
    let (x, w) = (e.input([b, m, k]), e.input([b, k, n]));
    let y = of(e, x, w);
    e.graph.must(op::Slice { start: vec![1, 0, 1], limit: vec![b, m, n], step: vec![1, 2, 1] }, &[y])
}
