//! Layouts: transposes of images and of results that convolutions absorb.

use bespoke_graph::{Op, op::Convolution, op::Dot, op::Transpose};

use super::convolution::{any, convolve, image, is_pointwise, point};
use crate::{
    pattern::Match,
    rule::{Rule, function, rule},
    view::{Children, Class, Term, View, nodes},
};

/// The convolution of the image as it was before its spatial axes were permuted.
fn turned(m: &Match<'_>) -> Option<Op> {
    let (k, t) = (m.convolution("k"), &m.transpose("t").permutation);
    if t[..2] != [0, 1] {
        return None;
    }
    let mut c = k.clone();
    for (a, from) in t[2..].iter().map(|&from| from - 2).enumerate() {
        c.stride[from] = k.stride[a];
        c.padding[from] = k.padding[a];
        c.input_dilation[from] = k.input_dilation[a];
        c.kernel_dilation[from] = k.kernel_dilation[a];
    }
    Some(c.into())
}

/// The kernel of single positions as a matrix, if that is what it is, and if each feature sees all others.
fn matrix(view: &dyn View, c: &Convolution, kernel: Class) -> Option<Term> {
    let w = view.ty(kernel).shape;
    let is_matrix = is_pointwise(c, w) && c.groups == 1;
    is_matrix.then(|| Term::Class(kernel).reshape([w[0], w[1]].into()))
}

/// A convolution of single positions of an image whose features were another axis is a dot over that axis.
fn features(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Convolution(c) = op else { return None };
    let kernel = matrix(view, c, children[1])?;
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Transpose(Transpose { permutation }) = op else { return None };
        let features = permutation[1];
        if features == 1 {
            return None; // no transpose would vanish
        }
        let dot = Dot { batch: (vec![], vec![]), contract: (vec![features], vec![1]) };
        // Of the result of the dot the last axis are the features.
        let to = |(axis, &from): (usize, &usize)| match axis {
            1 => permutation.len() - 1,
            _ => from - usize::from(from > features),
        };
        let order = permutation.iter().enumerate().map(to).collect();
        Some(Term::new(dot, [Term::Class(x[0]), kernel.clone()]).transpose(order))
    })
}

/// A convolution of single positions whose features become the first or last axis is a dot.
fn result(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Transpose(t) = op else { return None };
    let rank = t.permutation.len();
    let others = || (0..rank).filter(|&a| a != 1);
    let is_first = t.permutation.iter().copied().eq([1].into_iter().chain(others()));
    let is_last = t.permutation.iter().copied().eq(others().chain([1]));
    if !is_first && !is_last {
        return None;
    }
    nodes(view, children[0]).find_map(|(op, x)| {
        let Op::Convolution(c) = op else { return None };
        let (image, kernel) = (Term::Class(x[0]), matrix(view, c, x[1])?);
        let dot = Dot { batch: (vec![], vec![]), contract: (vec![1], vec![1]) };
        Some(Term::new(dot, if is_first { [kernel, image] } else { [image, kernel] }))
    })
}

/// Layouts.
pub const RULES: &[Rule] = &[
    rule(
        "layout/spatial",
        "(convolution:k (transpose:t ?x) ?w)",
        "(transpose:t (convolution:c ?x (transpose:i ?w)))",
    )
    .with(&[
        ("c", turned),
        ("i", |m| Some(Transpose { permutation: m.transpose("t").inverse() }.into())),
    ])
    .why("an image on its side is convolved as it lies by a kernel on its side: the transpose moves on, to meet others")
    .example(|e| {
        let (x, _) = image(e);
        let side = e.graph.transpose(x, &[0, 1, 3, 2]);
        let c = Convolution { padding: vec![(1, 0), (0, 2)], input_dilation: vec![1, 2], ..any(e) };
        convolve(e, side, [2, 3], c)
    })
    .near_miss(|e| {
        let (x, _) = image(e);
        let side = e.graph.transpose(x, &[2, 1, 0, 3]);
        convolve(e, side, [2, 3], point())
    }),
    function("layout/features", &["convolution"], features)
        .why("a 1×1 convolution of an image whose features come last is a dot, as in a network that keeps them there")
        .example(|e| {
            let dims = [e.dim(), e.dim(), e.dim(), e.dim()];
            let x = e.input(dims);
            let order = [[0, 3, 1, 2], [1, 0, 3, 2], [0, 2, 1, 3]][e.below(3)];
            let first = e.graph.transpose(x, &order);
            convolve(e, first, [1, 1], point())
        })
        .near_miss(|e| {
            // More than one position, or features that stay where they are.
            let dims = [3, e.dim(), 3, 3];
            let x = e.input(dims);
            let wide = e.below(2) == 0;
            let first = e.graph.transpose(x, if wide { &[0, 3, 1, 2] } else { &[0, 1, 3, 2] });
            convolve(e, first, if wide { [2, 1] } else { [1, 1] }, point())
        }),
    function("layout/result", &["transpose"], result)
        .why("a 1×1 convolution whose features shall come first or last is a dot")
        .example(|e| {
            let (x, _) = image(e);
            let y = convolve(e, x, [1, 1], point());
            let order = [[1, 0, 2, 3], [0, 2, 3, 1]][e.below(2)];
            e.graph.transpose(y, &order)
        })
        .near_miss(|e| {
            // Images become positions, or there are groups of features.
            let (x, _) = image(e);
            let groups = 1 + e.below(2);
            let y = convolve(e, x, [1, 1], Convolution { groups, ..point() });
            e.graph.transpose(y, if groups == 1 { &[2, 1, 0, 3] } else { &[0, 2, 3, 1] })
        }),
];
