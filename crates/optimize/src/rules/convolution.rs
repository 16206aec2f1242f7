//! Convolutions: composed where one looks at single positions, freed of padding, slices and pooling, and as dots.

use bespoke_graph::{
    NodeId, Op, Windows, op,
    op::{Convolution, Dot, WindowReduce},
};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Shape};

use crate::{
    example::Example,
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

/// Does each result see one position only?
pub fn is_pointwise(c: &Convolution, kernel: Shape) -> bool {
    sees_points(c, kernel) && c.stride.iter().all(|&s| s == 1)
}

/// The same, if results may be further apart than positions.
fn sees_points(c: &Convolution, kernel: Shape) -> bool {
    kernel[2..].iter().all(|&k| k == 1)
        && c.padding.iter().all(|&p| p == (0, 0))
        && c.input_dilation.iter().all(|&d| d == 1)
}

/// The convolution with so much padding after the last element that there are `positions` along a spatial axis.
fn fitted(mut c: Convolution, a: usize, x: usize, kernel: usize, positions: usize) -> Option<Convolution> {
    let span = |count: usize, step: usize| Some(((count.checked_sub(1)?) * step + 1) as i64);
    let reach = (positions.checked_sub(1)? * c.stride[a]) as i64 + span(kernel, c.kernel_dilation[a])?;
    c.padding[a].1 = reach - span(x, c.input_dilation[a])? - c.padding[a].0;
    Some(c)
}

/// The convolution that surrounds its operand with the zeros of a pad itself.
fn absorb_pad(m: &Match<'_>) -> Option<Op> {
    let (mut c, pad) = (m.convolution("k").clone(), m.pad("p"));
    let is_spatial = |counts: &[usize]| counts[..2].iter().all(|&n| n == 0);
    let all = [&pad.low, &pad.high, &pad.inner].iter().all(|counts| is_spatial(counts));
    if !all || m.ty("x").elements() == 0 {
        return None;
    }
    for a in 0..c.spatial() {
        let step = c.input_dilation[a];
        c.padding[a].0 += (pad.low[a + 2] * step) as i64;
        c.padding[a].1 += (pad.high[a + 2] * step) as i64;
        c.input_dilation[a] = step * (pad.inner[a + 2] + 1);
    }
    Some(c.into())
}

/// A convolution of single positions after another one is one of the product of their kernels.
fn compose_after(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Convolution(outer) = op else { return None };
    let v = view.ty(children[1]).shape;
    if !sees_points(outer, v) || outer.groups > 1 {
        return None;
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Convolution(inner) = op else { return None };
        let w = view.ty(x[1]).shape;
        let groups = inner.groups;
        let kernel = if groups == 1 {
            let dot = Dot { batch: (vec![], vec![]), contract: (vec![1], vec![0]) };
            Term::new(dot, [Term::Class(children[1]).reshape([v[0], v[1]].into()), Term::Class(x[1])])
        } else {
            // Each group of results has rows of its own, which see its own operands.
            let each = w[0] / groups;
            let rows = Term::Class(children[1]).reshape([v[0], groups, each].into());
            let parts = Shape::new(&[&[groups, each], &w[1..]].concat()).ok()?;
            let dot = Dot { batch: (vec![1], vec![0]), contract: (vec![2], vec![1]) };
            let mut order: Vec<usize> = (0..w.rank() + 1).collect();
            order.swap(0, 1);
            let whole = Shape::new(&[&[v[0], groups * w[1]], &w[2..]].concat()).ok()?;
            Term::new(dot, [rows, Term::Class(x[1]).reshape(parts)]).transpose(order).reshape(whole)
        };
        let stride = inner.stride.iter().zip(&outer.stride).map(|(i, o)| i * o).collect();
        Some(Term::new(Convolution { stride, groups: 1, ..inner.clone() }, [Term::Class(x[0]), kernel]))
    })
}

/// A convolution after one of single positions is one of the product of their kernels: zeros around stay zeros.
fn compose_before(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Convolution(outer) = op else { return None };
    let w = view.ty(children[1]).shape;
    if outer.groups > 1 || w[2..].iter().all(|&k| k == 1) {
        return None; // the rule before this one
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Convolution(inner) = op else { return None };
        let v = view.ty(x[1]).shape;
        if !is_pointwise(inner, v) || inner.groups > 1 {
            return None;
        }
        let dot = Dot { batch: (vec![], vec![]), contract: (vec![0], vec![1]) };
        let mut order: Vec<usize> = (0..w.rank()).collect();
        order.swap(0, 1);
        let kernel =
            Term::new(dot, [Term::Class(x[1]).reshape([v[0], v[1]].into()), Term::Class(children[1])]);
        Some(Term::new(outer.clone(), [Term::Class(x[0]), kernel.transpose(order)]))
    })
}

/// Is it a bias of features after a convolution, and does this one see no zeros around it?
fn is_biased(m: &Match<'_>) -> bool {
    let c = m.convolution("k");
    let meets_no_zeros = c.padding.iter().all(|&(low, high)| low <= 0 && high <= 0)
        && c.input_dilation.iter().all(|&d| d == 1);
    meets_no_zeros
        && c.groups == 1
        && m.broadcast("b").axes == [1]
        && nodes(m.view, m.class("a")).any(|(op, _)| matches!(op, Op::Convolution(_)))
}

/// A part of a convolution's result is one of fewer images, features and positions.
fn slice_convolution(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Slice(s) = op else { return None };
    if view.is_shared(children[0]) || view.ty(class).elements() == 0 {
        return None;
    }
    let (whole, out) = (view.ty(children[0]).shape, view.ty(class).shape);
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Convolution(c) = op else { return None };
        let (image, kernel) = (view.ty(x[0]).shape, view.ty(x[1]).shape);
        if c.groups > 1 && out[1] != whole[1] || image.elements() == 0 {
            return None;
        }
        let mut c = c.clone();
        for a in (0..c.spatial()).filter(|&a| out[a + 2] != whole[a + 2]) {
            c.padding[a].0 -= (s.start[a + 2] * c.stride[a]) as i64;
            c.stride[a] *= s.step[a + 2];
            c = fitted(c, a, image[a + 2], kernel[a + 2], out[a + 2])?;
        }
        let first = |of: Class, shape: Shape, axis: usize| {
            let (mut start, mut limit, mut step) =
                (vec![0; shape.rank()], shape.to_vec(), vec![1; shape.rank()]);
            (start[0], limit[0], step[0]) = (s.start[axis], s.limit[axis], s.step[axis]);
            Term::new(op::Slice { start, limit, step }, [Term::Class(of)])
        };
        Some(Term::new(c, [first(x[0], image, 0), first(x[1], kernel, 1)]))
    })
}

/// Are these windows over positions, each of which the convolution sees by itself?
fn pools_points(m: &Match<'_>) -> bool {
    let c = m.convolution("k");
    m.windows("p").windows.axes() <= c.spatial() && is_pointwise(c, m.ty("w").shape)
}

/// Sums over windows of a convolution are a convolution by a wider kernel: the sum of the kernel, moved along the window.
fn pool_into(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::WindowReduce(WindowReduce { combine: Combine::Sum, windows }) = op else { return None };
    let out = view.ty(class);
    if windows.is_padded() || windows.dilation.iter().any(|&d| d > 1) || out.elements() == 0 {
        return None;
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Convolution(c) = op else { return None };
        let (image, kernel) = (view.ty(x[0]).shape, view.ty(x[1]).shape);
        if c.spatial() != windows.axes() || c.kernel_dilation.iter().any(|&d| d > 1) || image.elements() == 0
        {
            return None;
        }
        let shifts: Vec<usize> = (0..windows.axes()).map(|a| (windows.extent[a] - 1) * c.stride[a]).collect();
        let around: Vec<usize> = [0, 0].iter().chain(&shifts).copied().collect();
        let pad = op::Pad { low: around.clone(), high: around, inner: vec![0; kernel.rank()] };
        let zero = Term::new(
            op::Constant { value: bespoke_tensor::Tensor::scalar(Scalar::from_f64(out.dtype, 0.0)) },
            [],
        );
        let ones = vec![1; windows.axes()];
        let along = Windows { dilation: c.stride.clone(), ..Windows::new(&windows.extent, &ones) };
        let wide = WindowReduce { combine: Combine::Sum, windows: along };
        let wide = Term::new(wide, [Term::new(pad, [Term::Class(x[1]), zero])]);
        let mut c = c.clone();
        for a in 0..c.spatial() {
            c.stride[a] *= windows.stride[a];
            c = fitted(c, a, image[a + 2], kernel[a + 2] + shifts[a], out.shape[a + 2])?;
        }
        Some(Term::new(c, [Term::Class(x[0]), wide]))
    })
}

/// The sum over all positions of a convolution of single ones is a product of the sum.
fn sum_first(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Reduce(r) = op else { return None };
    let rank = view.ty(children[0]).rank();
    if r.axes.contains(&1) || (2..rank).any(|a| !r.axes.contains(&a)) {
        return None;
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Convolution(c) = op else { return None };
        let w = view.ty(x[1]).shape;
        if !is_pointwise(c, w) || c.groups > 1 {
            return None;
        }
        let sum = Term::Class(x[0]).reduce(Combine::Sum, r.axes.clone());
        let dot = Dot { batch: (vec![], vec![]), contract: (vec![rank - r.axes.len() - 1], vec![1]) };
        Some(Term::new(dot, [sum, Term::Class(x[1]).reshape([w[0], w[1]].into())]))
    })
}

/// A dot where no element moves: of single positions of one image, or of a kernel as large as the image.
fn as_dot(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Convolution(c) = op else { return None };
    let [x, w, out] = [children[0], children[1], class].map(|c| view.ty(c).shape);
    let meets_all = x[2..] == w[2..]
        && c.padding.iter().all(|&p| p == (0, 0))
        && c.input_dilation.iter().chain(&c.kernel_dilation).all(|&d| d == 1);
    if c.groups > 1 || x.elements() == 0 {
        return None;
    }
    let (image, kernel) = (Term::Class(children[0]), Term::Class(children[1]));
    let product = if meets_all {
        let each = w[1..].iter().product();
        let dot = Dot { batch: (vec![], vec![]), contract: (vec![1], vec![1]) };
        Term::new(dot, [image.reshape([x[0], each].into()), kernel.reshape([w[0], each].into())])
    } else if x[0] == 1 && is_pointwise(c, w) {
        let positions = x[2..].iter().product();
        Term::new(
            Dot::matmul(),
            [kernel.reshape([w[0], w[1]].into()), image.reshape([x[1], positions].into())],
        )
    } else {
        return None;
    };
    Some(product.reshape(out))
}

/// A dot of the second axis whose result becomes the second axis is a convolution of single positions.
fn of_dot(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Transpose(t) = op else { return None };
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Dot(d) = op else { return None };
        let ranks = [view.ty(x[0]).rank(), view.ty(x[1]).rank()];
        let image = usize::from(ranks[0] == 2);
        let (rank, other) = (ranks[image], ranks[1 - image]);
        let contract =
            if image == 0 { (&d.contract.0, &d.contract.1) } else { (&d.contract.1, &d.contract.0) };
        if rank < 3 || other != 2 {
            return None;
        }
        // Where the product has features and the axes of the image without its second.
        let features = if image == 0 { rank - 1 } else { 0 };
        let mut places = (0..rank).filter(|&a| a != features);
        let mut to = vec![places.next()?, features];
        to.extend(places);
        if !d.batch.0.is_empty() || contract.0[..] != [1] || t.permutation != to {
            return None;
        }
        let order = if contract.1[..] == [0] { vec![1, 0] } else { vec![0, 1] };
        let weight = Term::Class(x[1 - image]).transpose(order);
        let shape = view.ty(x[1 - image]).shape;
        let own = contract.1[0];
        let mut dims = vec![1; rank];
        (dims[0], dims[1]) = (shape[1 - own], shape[own]);
        let convolution = Convolution::new(&vec![1; rank - 2], &vec![0; rank - 2]);
        Some(Term::new(convolution, [Term::Class(x[image]), weight.reshape(Shape::new(&dims).ok()?)]))
    })
}

/// A convolution of single positions of each feature by itself is a scale.
fn as_scale(view: &dyn View, class: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Convolution(c) = op else { return None };
    let (x, w) = (view.ty(children[0]).shape, view.ty(children[1]).shape);
    if c.groups != x[1] || w[0] != x[1] || !is_pointwise(c, w) {
        return None;
    }
    let scale = Term::Class(children[1]).reshape([x[1]].into()).broadcast(view.ty(class).shape, vec![1]);
    Some(Term::new(op::Binary::Mul, [Term::Class(children[0]), scale]))
}

/// An image, two images of features each.
pub fn image(e: &mut Example) -> (NodeId, usize) {
    let c = 2 * e.dim();
    let dims = [e.dim(), c, 4 + e.below(3), 4 + e.below(2)];
    (e.input(dims), c)
}

/// A convolution of a new kernel of these extents.
pub fn convolve(e: &mut Example, x: NodeId, extents: [usize; 2], c: Convolution) -> NodeId {
    let features = e.graph.ty(x).shape[1];
    let kernel = [2 * e.dim(), features / c.groups, extents[0], extents[1]];
    let w = e.input(kernel);
    e.graph.must(c, &[x, w])
}

/// Stride and padding by chance, without dilation.
pub fn any(e: &mut Example) -> Convolution {
    let mut some = |n| [e.below(n), e.below(n)];
    let (stride, padding) = (some(2), some(3));
    Convolution::new(&stride.map(|s| s + 1), &padding)
}

pub fn point() -> Convolution {
    Convolution::new(&[1, 1], &[0, 0])
}

fn sums(e: &mut Example, x: NodeId, extent: [usize; 2], stride: [usize; 2]) -> NodeId {
    let windows = Windows::new(&extent, &stride);
    e.graph.must(WindowReduce { combine: Combine::Sum, windows }, &[x])
}

/// Zeros around and between the elements of an image.
fn pad(e: &mut Example, x: NodeId, value: f64, low: [usize; 4]) -> NodeId {
    let value = e.graph.scalar(value);
    let (high, inner) = (vec![0, 0, e.below(3), e.below(2)], vec![0, 0, e.below(2), e.below(3)]);
    e.graph.must(op::Pad { low: low.to_vec(), high, inner }, &[x, value])
}

/// Convolutions.
pub const RULES: &[Rule] = &[
    rule("convolution/pad", "(convolution:k (pad:p ?x 0) ?w)", "(convolution:c ?x ?w)")
        .with(&[("c", absorb_pad)])
        .why("zeros around and between are part of a convolution, and need not be written out")
        .example(|e| {
            let (x, _) = image(e);
            let low = [0, 0, 1 + e.below(2), e.below(3)];
            let wide = pad(e, x, 0.0, low);
            let c = Convolution { input_dilation: vec![1, 2], ..any(e) };
            convolve(e, wide, [2, 3], c)
        })
        .near_miss(|e| {
            // Ones around, or features of zeros.
            let (x, _) = image(e);
            let ones = e.below(2) == 0;
            let wide = if ones { pad(e, x, 1.0, [0, 0, 1, 1]) } else { pad(e, x, 0.0, [0, 1, 0, 0]) };
            convolve(e, wide, [2, 3], point())
        }),
    function("convolution/compose-after", &["convolution"], compose_after)
        .why("a 1×1 convolution after another is one of the product of their kernels: for many positions or a wide waist")
        .example(|e| {
            let (x, _) = image(e);
            let groups = 1 + e.below(2);
            let c = Convolution { groups, ..any(e) };
            let y = convolve(e, x, [3, 2], c);
            let stride = [1 + e.below(2), 1];
            convolve(e, y, [1, 1], Convolution::new(&stride, &[0, 0]))
        })
        .near_miss(|e| {
            // The second sees zeros around the first, or more than one position.
            let (x, _) = image(e);
            let y = convolve(e, x, [3, 2], point());
            if e.below(2) == 0 {
                convolve(e, y, [1, 1], Convolution::new(&[1, 1], &[1, 0]))
            } else {
                convolve(e, y, [1, 2], point())
            }
        }),
    function("convolution/compose-before", &["convolution"], compose_before)
        .why("a convolution after a 1×1 is one of the product of their kernels, also where it sees zeros around")
        .example(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [1, 1], point());
            let c = any(e);
            convolve(e, y, [3, 2], c)
        })
        .near_miss(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [1, 1], Convolution::new(&[2, 1], &[0, 0]));
            convolve(e, y, [2, 2], point())
        }),
    rule(
        "convolution/bias",
        "(convolution:k (add ?a (broadcast:b ?c)) ?w)",
        "(add (convolution:k ?a ?w) (broadcast:s (dot:d (reduce_sum:r ?w) ?c)))",
    )
    .when(is_biased)
    .with(&[
        ("s", |m| Some(op::Broadcast { shape: m.root_ty().shape, axes: vec![1] }.into())),
        ("d", |_| Some(Dot { batch: (vec![], vec![]), contract: (vec![1], vec![0]) }.into())),
        ("r", |m| Some(op::Reduce { combine: Combine::Sum, axes: (2..m.ty("w").rank()).collect() }.into())),
    ])
    .why("a bias between two convolutions moves behind both, which can then be composed")
    .example(|e| biased(e, [0, 0]))
    .near_miss(|e| biased(e, [0, 1])),
    function("convolution/slice", &["slice"], slice_convolution)
        .local()
        .why("what is not asked for is not computed: positions left out are a stride")
        .example(|e| {
            let (x, _) = image(e);
            let c = any(e);
            let y = convolve(e, x, [2, 3], c);
            part(e, y)
        })
        .near_miss(|e| {
            // Features of groups.
            let (x, _) = image(e);
            let y = convolve(e, x, [2, 3], Convolution { groups: 2, ..point() });
            part(e, y)
        }),
    rule("convolution/pool-first", "(window_sum:p (convolution:k ?x ?w))", "(convolution:k (window_sum:p ?x) ?w)")
        .when(pools_points)
        .why("a 1×1 convolution of pooled positions is of fewer")
        .example(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [1, 1], point());
            sums(e, y, [2, 3], [2, 1])
        })
        .near_miss(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [2, 1], point());
            sums(e, y, [2, 3], [2, 1])
        }),
    rule("convolution/pool-last", "(convolution:k (window_sum:p ?x) ?w)", "(window_sum:p (convolution:k ?x ?w))")
        .when(pools_points)
        .why("where a 1×1 convolution leaves few features, fewer are pooled")
        .example(|e| {
            let (x, _) = image(e);
            let y = sums(e, x, [2, 3], [1, 1]);
            convolve(e, y, [1, 1], point())
        })
        .near_miss(|e| {
            // Windows over features too.
            let (x, _) = image(e);
            let windows = Windows::new(&[2, 2, 1], &[1, 1, 1]);
            let y = e.graph.must(WindowReduce { combine: Combine::Sum, windows }, &[x]);
            convolve(e, y, [1, 1], point())
        }),
    function("convolution/pool-into", &["window_sum"], pool_into)
        .why("average pooling after a convolution is one by a wider kernel: 36 products for 100 of a 5×5, pooled by 2×2")
        .example(|e| {
            let (x, _) = image(e);
            let c = Convolution { groups: 1 + e.below(2), padding: vec![(2, 1), (1, 2)], ..any(e) };
            let y = convolve(e, x, [2, 1], c);
            let stride = [1 + e.below(2), 1 + e.below(2)];
            sums(e, y, [2, 2], stride)
        })
        .near_miss(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [2, 1], point());
            let windows = Windows { padding: vec![(1, 0), (0, 0)], ..Windows::new(&[2, 2], &[1, 1]) };
            e.graph.must(WindowReduce { combine: Combine::Sum, windows }, &[y])
        }),
    function("convolution/sum-first", &["reduce_sum"], sum_first)
        .why("the average over all positions of a 1×1 convolution is the product with the average")
        .example(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [1, 1], point());
            let axes: &[usize] = if e.below(2) == 0 { &[2, 3] } else { &[0, 2, 3] };
            e.graph.sum(y, axes)
        })
        .near_miss(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [1, 1], point());
            let axes: &[usize] = if e.below(2) == 0 { &[2] } else { &[1, 2, 3] };
            e.graph.sum(y, axes)
        }),
    function("convolution/as-dot", &["convolution"], as_dot)
        .why("of one image, or by a kernel as large as the image, a dot: it composes with others")
        .example(|e| {
            let (n, c) = (1 + e.below(2), e.dim());
            let extents = if n == 1 { [1, 1] } else { [4, 3] };
            let x = e.input([n, c, 4, 3]);
            convolve(e, x, extents, point())
        })
        .near_miss(|e| {
            let c = e.dim();
            let x = e.input([2, c, 4, 3]);
            convolve(e, x, [1, 1], point())
        }),
    function("convolution/of-dot", &["transpose"], of_dot)
        .why("a dot of features that are the second axis, and shall be again, is a 1×1 convolution: no element moves")
        .example(|e| {
            let [n, c] = e.dims();
            let (x, o) = (e.input([n, c, 4, 3]), e.dim());
            let left = e.below(2) == 0;
            let w = e.input(if left { [c, o] } else { [o, c] });
            if left {
                let dot = Dot { batch: (vec![], vec![]), contract: (vec![1], vec![0]) };
                let y = e.graph.must(dot, &[x, w]);
                return e.graph.transpose(y, &[0, 3, 1, 2]);
            }
            let y = e.graph.must(Dot { batch: (vec![], vec![]), contract: (vec![1], vec![1]) }, &[w, x]);
            e.graph.transpose(y, &[1, 0, 2, 3])
        })
        .near_miss(|e| {
            let [n, c] = e.dims();
            let (x, o) = (e.input([n, c, 4, 3]), e.dim());
            let w = e.input([c, o]);
            let dot = Dot { batch: (vec![], vec![]), contract: (vec![1], vec![0]) };
            let y = e.graph.must(dot, &[x, w]);
            e.graph.transpose(y, &[0, 3, 2, 1])
        }),
    function("convolution/as-scale", &["convolution"], as_scale)
        .exact()
        .always()
        .why("a 1×1 convolution of each feature by itself is elementwise, and fuses")
        .example(|e| {
            let [n, c] = e.dims();
            let (x, w) = (e.input([n, c, 4, 3]), e.input([c, 1, 1, 1]));
            e.graph.must(Convolution { groups: c, ..point() }, &[x, w])
        })
        .near_miss(|e| {
            let [n, c] = e.dims();
            let (x, w) = (e.input([n, c, 4, 3]), e.input([2 * c, 1, 1, 1]));
            e.graph.must(Convolution { groups: c, ..point() }, &[x, w])
        }),
];

/// Two convolutions with a bias between them.
fn biased(e: &mut Example, padding: [usize; 2]) -> NodeId {
    let (x, _) = image(e);
    let y = convolve(e, x, [2, 1], point());
    let shape = e.graph.ty(y).shape;
    let bias = e.input([shape[1]]);
    let wide = e.graph.broadcast(bias, shape, &[1]);
    let sum = e.graph.plus(y, wide);
    convolve(e, sum, [1, 2], Convolution::new(&[2, 1], &padding))
}

/// A part of an image along all axes.
fn part(e: &mut Example, x: NodeId) -> NodeId {
    let limit = e.graph.ty(x).shape.to_vec();
    let start = vec![0, 1, limit[2] / 2, 0];
    e.graph.must(op::Slice { start, limit, step: vec![1, 2, 1, 2] }, &[x])
}
