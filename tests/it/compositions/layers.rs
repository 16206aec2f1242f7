//! Layers.

use bespoke::{
    nn::{CellWeights, Nonlinearity, Pairs},
    prelude::*,
};

use super::Composition;

/// All of them.
pub const ALL: &[&[Composition]] =
    &[UPSAMPLING, POSITIONS, DROPOUT, NORMALIZATION, CONVOLUTIONS, POOLING, ATTENTION, RECURRENT];

const UPSAMPLING: &[Composition] = &[
    Composition {
        name: "upsample_nearest",
        smooth: true,
        inputs: &[("x", &[1, 2, 2, 3])],
        build: |_, i| i[0].upsample_nearest([4, 5]).tanh(),
    },
    Composition {
        name: "upsample_linear",
        smooth: true,
        inputs: &[("x", &[1, 2, 2, 3])],
        build: |_, i| i[0].upsample_linear([4, 5], false).tanh(),
    },
    Composition {
        name: "upsample_linear, aligned",
        smooth: true,
        inputs: &[("x", &[1, 1, 4])],
        build: |_, i| i[0].upsample_linear(7, true).tanh(),
    },
    Composition {
        name: "pixel_shuffle, pixel_unshuffle",
        smooth: true,
        inputs: &[("x", &[1, 8, 2, 3])],
        build: |_, i| i[0].pixel_shuffle(2).tanh().pixel_unshuffle(2),
    },
];

const POSITIONS: &[Composition] = &[
    Composition {
        name: "positions, sinusoidal and learned",
        smooth: true,
        inputs: &[("x", &[2, 3, 4])],
        build: |g, i| (i[0] + g.sinusoidal_positions(F64, 3, 4)).tanh().learned_positions(),
    },
    Composition {
        name: "rotary",
        smooth: true,
        inputs: &[("q", &[2, 3, 4]), ("k", &[2, 5, 4])],
        build: |_, i| i[0].rotary(Pairs::Halves, 100.0).matmul(i[1].rotary(Pairs::Halves, 100.0).t()),
    },
    Composition {
        name: "rotary, neighbours",
        smooth: true,
        inputs: &[("x", &[3, 6])],
        build: |_, i| i[0].rotary(Pairs::Neighbours, 10000.0).tanh(),
    },
];

const DROPOUT: &[Composition] = &[
    Composition { name: "dropout", smooth: true, inputs: &[("x", &[3, 4])], build: |_, i| i[0].dropout(0.5) },
    Composition {
        name: "dropout_classic",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].tanh().dropout_classic(0.3),
    },
    Composition {
        name: "drop_path",
        smooth: true,
        inputs: &[("x", &[3, 2, 2])],
        build: |_, i| i[0] + i[0].tanh().drop_path(0.4),
    },
];

const NORMALIZATION: &[Composition] = &[
    Composition {
        name: "batch_norm",
        smooth: true,
        inputs: &[("x", &[4, 3])],
        build: |_, i| i[0].batch_norm(Norm::new()),
    },
    Composition {
        name: "layer_norm",
        smooth: true,
        inputs: &[("x", &[2, 3, 4])],
        build: |_, i| i[0].layer_norm(2, Norm::new()),
    },
    Composition {
        name: "group_norm",
        smooth: true,
        inputs: &[("x", &[2, 4, 3])],
        build: |_, i| i[0].group_norm(2, Norm::new()),
    },
    Composition {
        name: "instance_norm",
        smooth: true,
        inputs: &[("x", &[2, 3, 5])],
        build: |_, i| i[0].instance_norm(Norm::new().eps(0.1)),
    },
    Composition {
        name: "local_response_norm",
        smooth: true,
        inputs: &[("x", &[2, 5, 3])],
        build: |_, i| i[0].local_response_norm(3, 0.3, 0.75, 2.0),
    },
    Composition {
        name: "variance",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].variance(&[0]),
    },
    Composition {
        name: "standardized",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].standardized(&[-1], 0.1),
    },
];

const CONVOLUTIONS: &[Composition] = &[
    Composition {
        name: "conv, conv_transpose",
        smooth: true,
        inputs: &[("x", &[1, 2, 3, 4])],
        build: |_, i| i[0].conv(2, 2, Conv::new()).tanh().conv_transpose(1, [2, 3], Conv::new()),
    },
    Composition {
        name: "depthwise_conv",
        smooth: true,
        inputs: &[("x", &[1, 2, 5])],
        build: |_, i| i[0].depthwise_conv(2, 3, Conv::new().stride(2)).tanh(),
    },
    Composition {
        name: "convolve_transposed",
        smooth: true,
        inputs: &[("x", &[2, 3, 4]), ("weight", &[3, 2, 2])],
        build: |_, i| i[0].convolve_transposed(i[1], &Conv::new().stride(2)),
    },
    Composition {
        name: "conv1d, groups",
        smooth: true,
        inputs: &[("x", &[2, 4, 6])],
        build: |_, i| i[0].conv1d(2, 3, Conv::new().padding([(2, 0)]).dilation(2).groups(2)),
    },
    Composition {
        name: "conv2d, same",
        smooth: true,
        inputs: &[("x", &[1, 2, 4, 3])],
        build: |_, i| i[0].conv2d(3, [2, 3], Conv::new().stride(2).padding(Padding::Same)).tanh(),
    },
    Composition {
        name: "conv_transpose2d",
        smooth: true,
        inputs: &[("x", &[1, 2, 2, 3])],
        build: |_, i| i[0].conv_transpose2d(2, 3, Conv::new().stride(2).padding(1).output_padding(1)).tanh(),
    },
    Composition {
        name: "separable_conv",
        smooth: true,
        inputs: &[("x", &[1, 2, 3, 3])],
        build: |_, i| i[0].separable_conv(3, 3, Conv::new().padding(1)).sigmoid(),
    },
    Composition {
        name: "convolve",
        smooth: true,
        inputs: &[("x", &[2, 2, 5]), ("weight", &[3, 2, 2])],
        build: |_, i| i[0].convolve(i[1], &Conv::new().stride(2)),
    },
    Composition {
        name: "conv3d, conv_transpose3d",
        smooth: true,
        inputs: &[("x", &[1, 1, 2, 3, 2])],
        build: |_, i| {
            let y = i[0].conv3d(2, 2, Conv::new().padding([1, 0, 1])).tanh();
            y.conv_transpose3d(1, [1, 2, 2], Conv::new().stride(2))
        },
    },
    Composition {
        name: "conv_transpose1d, groups",
        smooth: true,
        inputs: &[("x", &[2, 4, 3])],
        build: |_, i| i[0].conv_transpose1d(2, 3, Conv::new().stride(2).padding([(2, 0)]).groups(2)).tanh(),
    },
];

const POOLING: &[Composition] = &[
    Composition {
        name: "global_max_pool",
        smooth: false,
        inputs: &[("x", &[2, 2, 3, 2])],
        build: |_, i| i[0].global_max_pool().tanh(),
    },
    Composition {
        name: "max_pool2d",
        smooth: false,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| i[0].max_pool2d(3, Pool::new().stride(2).padding(1)),
    },
    Composition {
        name: "max_pool1d, wide",
        smooth: false,
        inputs: &[("x", &[1, 2, 24])],
        build: |_, i| i[0].max_pool1d(18, Pool::new().stride(3)),
    },
    Composition {
        name: "avg_pool2d",
        smooth: true,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| {
            i[0].avg_pool2d(3, Pool::new().stride(2).padding(1).count_include_pad(false).ceil_mode()).pow(2.0)
        },
    },
    Composition {
        name: "lp_pool1d",
        smooth: true,
        inputs: &[("x", &[1, 2, 6])],
        build: |_, i| (i[0] * i[0] + 0.5).lp_pool1d(3.0, 2, Pool::new()),
    },
    Composition {
        name: "adaptive_avg_pool2d",
        smooth: true,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| i[0].adaptive_avg_pool2d([3, 2]).tanh(),
    },
    Composition {
        name: "adaptive_max_pool1d",
        smooth: false,
        inputs: &[("x", &[2, 1, 7])],
        build: |_, i| i[0].adaptive_max_pool1d(3),
    },
    Composition {
        name: "global_avg_pool",
        smooth: true,
        inputs: &[("x", &[2, 2, 3, 2])],
        build: |_, i| i[0].global_avg_pool().tanh(),
    },
    Composition {
        name: "pools of any rank",
        smooth: false,
        inputs: &[("x", &[1, 2, 4, 6])],
        build: |_, i| {
            let x = i[0];
            x.max_pool(2, Pool::new()) * x.avg_pool(2, Pool::new())
                + x.lp_pool(2.0, 2, Pool::new()) * x.adaptive_avg_pool([2, 3]) * x.adaptive_max_pool([2, 3])
        },
    },
    Composition {
        name: "avg_pool1d, adaptive_avg_pool1d",
        smooth: true,
        inputs: &[("x", &[2, 2, 7])],
        build: |_, i| {
            i[0].avg_pool1d(3, Pool::new().stride(2).padding(1)).tanh().adaptive_avg_pool1d(3).tanh()
        },
    },
    Composition {
        name: "avg_pool3d, lp_pool3d, adaptive_avg_pool3d",
        smooth: true,
        inputs: &[("x", &[1, 1, 4, 3, 4])],
        build: |_, i| {
            let y = i[0].avg_pool3d(2, Pool::new().stride(1)).tanh();
            (y * y + 0.5)
                .lp_pool3d(1.5, [1, 2, 2], Pool::new().stride(1))
                .adaptive_avg_pool3d([2, 1, 1])
                .tanh()
        },
    },
    Composition {
        name: "lp_pool2d",
        smooth: true,
        inputs: &[("x", &[1, 2, 4, 4])],
        build: |_, i| (i[0] * i[0] + 0.5).lp_pool2d(3.0, 2, Pool::new().stride(1)),
    },
    Composition {
        name: "max_pool3d, adaptive_max_pool3d",
        smooth: false,
        inputs: &[("x", &[1, 1, 4, 4, 3])],
        build: |_, i| {
            i[0].max_pool3d(2, Pool::new().stride(1).padding(1)).adaptive_max_pool3d([2, 3, 1]).tanh()
        },
    },
    Composition {
        name: "adaptive_max_pool2d",
        smooth: false,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| i[0].adaptive_max_pool2d([3, 2]).tanh(),
    },
    Composition {
        name: "max_pool_with_indices, max_pool1d_with_indices",
        smooth: false,
        inputs: &[("x", &[2, 2, 7])],
        build: |_, i| {
            let y = i[0].max_pool_with_indices(2, Pool::new().stride(1)).0;
            y.max_pool1d_with_indices(3, Pool::new().stride(2).padding(1)).0.tanh()
        },
    },
    Composition {
        name: "max_pool2d_with_indices",
        smooth: false,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| i[0].max_pool2d_with_indices(2, Pool::new().stride(1).padding(1)).0.tanh(),
    },
    Composition {
        name: "max_pool3d_with_indices",
        smooth: false,
        inputs: &[("x", &[1, 1, 4, 3, 4])],
        build: |_, i| i[0].max_pool3d_with_indices(2, Pool::new()).0.tanh(),
    },
];

const ATTENTION: &[Composition] = &[
    Composition {
        name: "scaled_dot_product_attention, causal",
        smooth: true,
        inputs: &[("q", &[2, 3, 2]), ("k", &[2, 4, 2]), ("v", &[2, 4, 3])],
        build: |_, i| i[0].scaled_dot_product_attention(i[1], i[2], Attention::new().causal()),
    },
    Composition {
        name: "scaled_dot_product_attention, mask",
        smooth: true,
        inputs: &[("q", &[3, 2]), ("k", &[4, 2])],
        build: |g, i| {
            // The first query sees nothing.
            let mask = g.iota(I32, [3, 4], 0).gt(g.iota(I32, [3, 4], 1));
            i[0].scaled_dot_product_attention(i[1], i[1], Attention::new().mask(mask))
        },
    },
    Composition {
        name: "additive_attention",
        smooth: true,
        inputs: &[("q", &[2, 1, 2]), ("k", &[2, 3, 3])],
        build: |_, i| i[0].additive_attention(i[1], i[1], 4, Attention::new()),
    },
    Composition {
        name: "multi_head_attention, self",
        smooth: true,
        inputs: &[("x", &[2, 3, 4])],
        build: |_, i| i[0].multi_head_attention(i[0], i[0], 2, MultiHead::new().causal()).output,
    },
    Composition {
        name: "multi_head_attention, cross",
        smooth: true,
        inputs: &[("q", &[1, 2, 4]), ("k", &[1, 3, 2])],
        build: |g, i| {
            let there = g.iota(I32, [1, 3], 1).lt(2i32);
            i[0].multi_head_attention(i[1], i[1], 2, MultiHead::new().key_mask(there)).output
        },
    },
];

const RECURRENT: &[Composition] = &[
    Composition {
        name: "rnn_cell, gru_cell",
        smooth: true,
        inputs: &[("x", &[2, 3]), ("h", &[2, 2])],
        build: |g, i| {
            let rnn = CellWeights::rnn(g, F64, 3, 2);
            let gru = CellWeights::gru(g, F64, 3, 2);
            i[0].gru_cell(i[0].rnn_cell(i[1], &rnn, Nonlinearity::Tanh), &gru)
        },
    },
    Composition {
        name: "rnn",
        smooth: true,
        inputs: &[("x", &[4, 2, 3])],
        build: |_, i| i[0].rnn(2, Recurrent::new().bidirectional()).0,
    },
    Composition {
        name: "lstm, deep",
        smooth: true,
        inputs: &[("x", &[2, 4, 2]), ("h", &[2, 2, 3]), ("c", &[2, 2, 3])],
        build: |_, i| {
            let options = Recurrent::new().layers(2).batch_first().initial(i[1]).initial_cell(i[2]);
            let (y, (_, c)) = i[0].lstm(3, options);
            y.sum() * c.sum()
        },
    },
    Composition {
        name: "gru, lengths",
        smooth: true,
        inputs: &[("x", &[4, 2, 2])],
        build: |g, i| {
            let lengths = g.iota(I32, [2], 0) * 2 + 1;
            let (y, h) = i[0].gru(2, Recurrent::new().bidirectional().lengths(lengths));
            y.sum_axes(&[0]).concatenate(&[h.reshape([2, 4])], 1)
        },
    },
    Composition {
        name: "lstm, segments",
        smooth: true,
        inputs: &[("x", &[5, 1, 2])],
        build: |_, i| i[0].lstm(2, Recurrent::new().segments(2)).0,
    },
    Composition {
        name: "lstm_cell",
        smooth: true,
        inputs: &[("x", &[2, 3]), ("h", &[2, 2]), ("c", &[2, 2])],
        build: |g, i| {
            let weights = CellWeights::lstm(g, F64, 3, 2);
            let (h, c) = i[0].lstm_cell(i[1], i[2], &weights);
            let (h, c) = i[0].lstm_cell(h, c, &weights);
            h + c
        },
    },
];
