//! Activations, norms, losses, and what works along axes.

use bespoke::prelude::*;

use super::Composition;

/// All of them.
pub const ALL: &[&[Composition]] = &[ACTIVATIONS, NORMS, LOSSES, PENALTIES, LINES];

const ACTIVATIONS: &[Composition] = &[
    Composition {
        name: "relu, leaky_relu, elu, selu",
        smooth: false,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].relu() + i[0].leaky_relu(0.1) * i[0].elu(1.5).selu(),
    },
    Composition {
        name: "gelu, gelu_tanh",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].gelu() * i[0].gelu_tanh(),
    },
    Composition {
        name: "silu, mish",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].silu() * i[0].mish(),
    },
    Composition {
        name: "log_sigmoid, sigmoid_slope",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].log_sigmoid() * i[0].sigmoid_slope(1.5),
    },
    Composition { name: "softsign", smooth: false, inputs: &[("x", &[3, 4])], build: |_, i| i[0].softsign() },
    Composition {
        name: "relu6, hard_tanh, hard_sigmoid",
        smooth: false,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].hard_tanh() * i[0].hard_sigmoid() + (i[0] * 5.0).relu6(),
    },
    Composition { name: "prelu", smooth: false, inputs: &[("x", &[2, 3, 2])], build: |_, i| i[0].prelu() },
    Composition { name: "maxout", smooth: false, inputs: &[("x", &[3, 4])], build: |_, i| i[0].maxout(2, 3) },
    Composition {
        name: "dense, linear",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("w", &[2, 3])],
        build: |_, i| i[0].dense(3).tanh().dense_with(3, Init::HeNormal, false).linear(i[1], None),
    },
];

const NORMS: &[Composition] = &[
    Composition {
        name: "norm",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].norm() * i[0].norm_axes(&[0]) / i[0].norm_keep(&[-1]),
    },
    Composition {
        name: "l2_normalize, l1_norm, squared_norm",
        smooth: false,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].l2_normalize(-1, 1e-12) * i[0].l1_norm() * i[0].squared_norm(),
    },
    Composition {
        name: "cosine_similarity",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].cosine_similarity(i[1], 1, 1e-8),
    },
    Composition {
        name: "weighted_norm",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].weighted_norm(2),
    },
    Composition {
        name: "radial",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| (-i[0].radial(2).pow(2.0)).exp(),
    },
];

const LOSSES: &[Composition] = &[
    Composition {
        name: "cross_entropy, cross_entropy_smoothed",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |g, i| {
            let labels = g.iota(I32, [3], 0) + 1;
            i[0].cross_entropy(labels) * i[0].cross_entropy_smoothed(labels, 0.1)
        },
    },
    Composition {
        name: "squared_error, mse",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].squared_error(i[1]) * i[0].mse(i[1] * 2.0),
    },
    Composition {
        name: "absolute_error",
        smooth: false,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].absolute_error(i[1]),
    },
    Composition {
        name: "softmax, entropy",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].softmax(-1).entropy(),
    },
    Composition {
        name: "soft_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].soft_cross_entropy(i[1].softmax(-1)),
    },
    Composition {
        name: "categorical_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].softmax(0).categorical_cross_entropy(i[1].softmax(0)),
    },
    Composition {
        name: "bernoulli_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].sigmoid().bernoulli_cross_entropy(i[1].sigmoid()),
    },
    Composition {
        name: "kl_divergence",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].softmax(-1).kl_divergence(i[1].softmax(-1)),
    },
    Composition {
        name: "huber",
        smooth: false,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].huber(i[1], 0.7),
    },
    Composition {
        name: "hinge",
        smooth: false,
        inputs: &[("x", &[3, 4])],
        build: |g, i| i[0].hinge(g.iota(F64, [3, 4], 1) - 1.5),
    },
    Composition {
        name: "focal",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |g, i| i[0].focal(g.iota(F64, [3, 4], 1).gt(1.0).convert(F64), 0.25, 2.0),
    },
    Composition {
        name: "log_softmax, logsumexp",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].log_softmax(0) * i[0].logsumexp(-1).expand_dims(-1),
    },
    Composition {
        name: "binary_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |g, i| i[0].binary_cross_entropy(g.full(F64, [3, 4], 0.25)),
    },
];

const PENALTIES: &[Composition] = &[Composition {
    name: "l1_penalty, l2_penalty, elastic_penalty",
    smooth: false,
    inputs: &[("x", &[3, 4])],
    build: |g, i| {
        let y = i[0].dense(2).tanh();
        y * g.l1_penalty("", 0.3) + g.l2_penalty("", 0.2) * g.elastic_penalty("", 0.1, 0.4)
    },
}];

const LINES: &[Composition] = &[
    Composition {
        name: "mean, mean_axes, mean_keep",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].mean_axes(&[0]) * i[0].mean_keep(&[1]) * i[0].mean(),
    },
    Composition {
        name: "dot, clamp",
        smooth: false,
        inputs: &[("x", &[5]), ("t", &[5])],
        build: |_, i| i[0].dot(i[1]) * i[0].clamp(-0.5, 0.7),
    },
    Composition {
        name: "take_along, pick",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |g, i| {
            i[0].take_along((g.iota(I32, [3, 2], 0) + g.iota(I32, [3, 2], 1)) % 4, 1)
                * i[0].pick(g.iota(I32, [3], 0)).expand_dims(-1)
        },
    },
    Composition {
        name: "lookup, gather",
        smooth: true,
        inputs: &[("table", &[4, 3])],
        build: |g, i| {
            // As `embedding` has it, whose table is of f32.
            let words = (g.iota(I32, [2, 5], 0) + g.iota(I32, [2, 5], 1)) % 4;
            i[0].lookup(words).gather(g.iota(I32, [2], 0) * 2, 2).tanh()
        },
    },
    Composition {
        name: "at, add_at",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("u", &[5])],
        build: |g, i| {
            let (rows, columns) = (g.iota(I32, [5], 0) % 3, g.iota(I32, [5], 0) % 2);
            i[0].add_at(&[rows, columns], i[0].at(&[rows, rows]) * i[1]).tanh()
        },
    },
    Composition {
        name: "dynamic_slice, dynamic_update",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |g, i| {
            let at = [g.constant(1i32), g.constant(7i32)];
            i[0].dynamic_update(i[0].dynamic_slice(&at, &[2, 2]).tanh(), &[at[1], at[0]]) * i[0]
        },
    },
    Composition {
        name: "cumsum, cumprod",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].cumsum(0) * i[0].cumprod(-1),
    },
    Composition {
        name: "cummax, cummin",
        smooth: false,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].cummax(0) * i[0].cummin(1),
    },
    Composition {
        name: "sort",
        smooth: false,
        inputs: &[("x", &[3, 9])],
        build: |_, i| i[0].sort(-1, true) * i[0].sort(0, false),
    },
    Composition { name: "top_k", smooth: false, inputs: &[("x", &[3, 5])], build: |_, i| i[0].top_k(2, 1).0 },
];
