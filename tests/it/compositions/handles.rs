//! Methods of values that are an operator each.

use bespoke::prelude::*;

use super::Composition;

/// All of them.
pub const ALL: &[&[Composition]] = &[ELEMENTS, REDUCTIONS, MOVEMENT];

const ELEMENTS: &[Composition] = &[
    Composition {
        name: "exponentials",
        smooth: true,
        inputs: &[("x", &[2, 3])],
        build: |_, i| {
            let (x, positive) = (i[0], i[0] * i[0] + 0.5);
            x.exp() * x.expm1() + positive.log() * positive.log1p() + positive.sqrt() * positive.rsqrt()
                - x.sigmoid() * x.softplus() / (-x).exp()
        },
    },
    Composition {
        name: "circular and hyperbolic functions",
        smooth: true,
        inputs: &[("x", &[2, 3])],
        build: |_, i| {
            let (x, small) = (i[0], i[0].tanh() * 0.7);
            x.sin() * x.cos()
                + small.tan() * small.asin() * small.acos()
                + x.atan() * x.sinh() * x.cosh() * x.erf()
        },
    },
    Composition {
        name: "abs, and functions that jump",
        smooth: false,
        inputs: &[("x", &[2, 3])],
        build: |g, i| {
            // Whatever the inputs are, a tenth of the way at least from all that jumps, at halves and whole numbers.
            let middles = g.iota(F64, [6], 0).reshape([2, 3]) * 0.5 - 1.25;
            let x = middles + i[0].tanh() * 0.2;
            x.abs() * x.sign() * x + (x.floor() + x.ceil()) * x + x.round() * x
        },
    },
    Composition {
        name: "functions of two values",
        smooth: true,
        inputs: &[("x", &[2, 3]), ("t", &[2, 3])],
        build: |_, i| {
            let (x, t) = (i[0] * i[0] + 0.5, i[1] * i[1] + 1.0);
            x.pow(t) + x.atan2(t) * (x - t) / t + 2.0 * x
        },
    },
    Composition {
        name: "the greater, the lesser, and choices",
        smooth: false,
        inputs: &[("x", &[2, 3]), ("t", &[2, 3])],
        build: |_, i| {
            let (x, t) = (i[0], i[1]);
            let (below, above) = (x.lt(t).select(x.sin(), t), x.ge(t).select(x * t, 0.25));
            let equal = x.eq(t).select(x, x.ne(t).select(t, x.gt(t).select(x, x.le(t).select(t, x))));
            x.maximum(t) * x.minimum(t) + below * above + equal * (x % (t * t + 0.7)) + x.convert(F64)
        },
    },
];

const REDUCTIONS: &[Composition] = &[
    Composition {
        name: "sums and products",
        smooth: true,
        inputs: &[("x", &[2, 3])],
        build: |_, i| {
            let x = i[0];
            x.sum() * x.sum_axes(&[1]).expand_like(x, &[1]) * x.sum_keep(&[0])
                + x.product() * x.product_axes(&[0]) * x.product_keep(&[1])
        },
    },
    Composition {
        name: "extrema",
        smooth: false,
        inputs: &[("x", &[2, 3])],
        build: |_, i| {
            let x = i[0];
            x.max() * x.max_axes(&[0]) * x.max_keep(&[1]) + x.min() * x.min_axes(&[0]) * x.min_keep(&[1])
        },
    },
];

const MOVEMENT: &[Composition] = &[
    Composition {
        name: "shapes",
        smooth: true,
        inputs: &[("x", &[2, 3, 2])],
        build: |_, i| {
            let x = i[0];
            let columns = x.reshape([3, 4]).t() * x.flatten().reshape([4, 3]);
            columns.expand_dims(1).squeeze(1) * x.transpose(&[2, 0, 1]).reshape([4, 3])
        },
    },
    Composition {
        name: "parts",
        smooth: true,
        inputs: &[("x", &[2, 3])],
        build: |_, i| {
            let x = i[0];
            let parts = x.slice(1, 1..3).concatenate(&[x.slice_step(1, 0..3, 2)], 1);
            let rows = x.reverse(&[0, 1]).slice(0, 0..1).broadcast_to([4, 3, 3]).sum_keep(&[2]);
            parts.pad(&[0, 1], &[1, 0], 0.5).expand_dims(0).sum_keep(&[2]) * rows
        },
    },
];
