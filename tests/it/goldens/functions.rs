//! The functions of `tests/goldens/functions.py` and `losses.py`, cells of `sequences.py`, and what is no operator of
//! `extremes.py`.

use bespoke::{
    nn::{CellWeights, Nonlinearity, Pairs},
    prelude::{Init, Norm, Value},
};

use super::Inputs;

/// The function of this case.
pub fn function<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    let x = || i.get("x");
    let t = || i.get("t");
    Some(match name {
        "relu" => x().relu(),
        "leaky_relu" => x().leaky_relu(0.1),
        "elu" => x().elu(1.5),
        "gelu" => x().gelu(),
        "gelu_tanh" => x().gelu_tanh(),
        "silu" => x().silu(),
        "sigmoid_slope" => x().sigmoid_slope(2.5),
        "mish" => x().mish(),
        "selu" => x().selu(),
        "log_sigmoid" => x().log_sigmoid(),
        "softsign" => x().softsign(),
        "relu6" => x().relu6(),
        "hard_tanh" => x().hard_tanh(),
        "hard_sigmoid" => x().hard_sigmoid(),
        "prelu" => x().prelu(),
        "softmax" => x().softmax(-1),
        "softmax_first" => x().softmax(0),
        "log_softmax" => x().log_softmax(-1),
        "logsumexp" => x().logsumexp(0),
        "clamp" => x().clamp(-0.5, 0.4),
        "square" => x().pow(2.0),
        "reciprocal" => i.graph.full(i.dtype, [3, 4], 1.0) / x(),
        "mean" => x().mean(),
        "mean_axes" => x().mean_axes(&[0]),
        "mean_keep" => x().mean_keep(&[1]),
        "variance" => x().variance(&[0]),
        "standardized" => x().standardized(&[-1], 0.1),
        "sort" => x().sort(1, true),
        "top_k" => x().top_k(2, 1).0,
        "cumsum" => x().cumsum(0),
        "cumprod" => x().cumprod(1),
        "cummax" => x().cummax(0),
        "cummin" => x().cummin(1),
        "l1_norm" => x().l1_norm(),
        "squared_norm" => x().squared_norm(),
        "norm" => x().norm(),
        "norm_axes" => x().norm_axes(&[1]),
        "norm_keep" => x().norm_keep(&[1]),
        "l2_normalize" => x().l2_normalize(1, 1e-12),
        "l2_normalize_small" => x().l2_normalize(0, 1.2),
        "take_along" => x().take_along(i.get("i"), 0),
        "pick" => x().pick(i.get("i")),
        "cosine_similarity" => x().cosine_similarity(t(), 1, 1e-8),
        "weighted_norm" => x().weighted_norm(3),
        "radial" => x().radial(3),
        "sinusoidal_positions" => x() + i.graph.sinusoidal_positions(i.dtype, 5, 7),
        "learned_positions" => x().learned_positions(),
        "rotary" => x().rotary(Pairs::Neighbours, 10000.0),
        "rotary_halves" => x().rotary(Pairs::Halves, 100.0),
        "cross_entropy" => x().cross_entropy(t()),
        "cross_entropy_smoothed" => x().cross_entropy_smoothed(t(), 0.1),
        "soft_cross_entropy" => x().soft_cross_entropy(t()),
        "categorical_cross_entropy" => x().softmax(1).categorical_cross_entropy(t().softmax(1)),
        "bernoulli_cross_entropy" => x().sigmoid().bernoulli_cross_entropy(t().sigmoid()),
        "binary_cross_entropy" => x().binary_cross_entropy(t()),
        "kl_divergence" => x().softmax(1).kl_divergence(t().softmax(1)),
        "entropy" => x().softmax(1).entropy(),
        "squared_error" => x().squared_error(t()),
        "absolute_error" => x().absolute_error(t()),
        "mse" => x().mse(t()),
        "huber" => x().huber(t(), 0.7),
        "hinge" => x().hinge(t().convert(i.dtype)),
        "accuracy" => x().accuracy(t()).convert(i.dtype),
        "zero_one" => x().zero_one(t()).convert(i.dtype),
        "focal" => x().focal(t().convert(i.dtype), 0.25, 2.0),
        "linear" => x().linear(i.get("w"), Some(i.get("bias"))),
        "dense" => x().dense(3),
        "dense_plain" => x().dense_with(3, Init::GlorotUniform, false),
        "penalties" => {
            let y = x().dense(3);
            y + i.graph.l1_penalty("", 0.3)
                + i.graph.l2_penalty("", 0.2)
                + i.graph.elastic_penalty("", 0.1, 0.4)
        }
        "maxout" => x().maxout(3, 2),
        "embedding" => i.get("i").embedding(5, 3),
        "embedding_padding" => i.get("i").embedding_with(5, 3, Init::Normal(1.0), Some(2)),
        "lstm_cell" => {
            let (h, c) = x().lstm_cell(i.get("h"), i.get("c"), &weights(i));
            h.concatenate(&[c], 1)
        }
        "gru_cell" => x().gru_cell(i.get("h"), &weights(i)),
        "rnn_cell" => x().rnn_cell(i.get("h"), &weights(i), Nonlinearity::Tanh),
        "rnn_cell_relu" => x().rnn_cell(i.get("h"), &weights(i), Nonlinearity::Relu),
        "logits, softmax" => x().softmax(-1),
        "logits, log_softmax" | "far, log_softmax" => x().log_softmax(-1),
        "logits, logsumexp" => x().logsumexp(-1),
        "logits, cross_entropy" | "far, cross_entropy" => x().cross_entropy(t()),
        "far, cross_entropy_smoothed" => x().cross_entropy_smoothed(t(), 0.1),
        "far, soft_cross_entropy" => x().soft_cross_entropy(t()),
        "logits, binary_cross_entropy" => x().binary_cross_entropy(t()),
        "logits, squared_error" => x().squared_error(t()),
        "logits, absolute_error" => x().absolute_error(t()),
        "logits, huber" => x().huber(t(), 0.7),
        "logits, hinge" => x().hinge(t().convert(i.dtype)),
        "logits, focal" => x().focal(t().convert(i.dtype), 0.25, 2.0),
        "logits, gelu" => x().gelu(),
        "logits, gelu_tanh" => x().gelu_tanh(),
        "logits, silu" => x().silu(),
        "logits, elu" => x().elu(1.0),
        "logits, selu" => x().selu(),
        "logits, mish" => x().mish(),
        "logits, relu" => x().relu(),
        "logits, leaky_relu" => x().leaky_relu(1.5),
        "logits, sigmoid_slope" => x().sigmoid_slope(2.5),
        "logits, log_sigmoid" => x().log_sigmoid(),
        "logits, softsign" => x().softsign(),
        "logits, relu6" => x().relu6(),
        "infinite, relu" => x().relu(),
        "infinite, relu6" => x().relu6(),
        "infinite, hard_tanh" => x().hard_tanh(),
        "infinite, elu" => x().elu(1.0),
        "infinite, selu" => x().selu(),
        "infinite, log_sigmoid" => x().log_sigmoid(),
        "infinite, sigmoid_slope" => x().sigmoid_slope(2.5),
        "infinite, leaky_relu" => x().leaky_relu(1.5),
        "infinite, clamp" => x().clamp(-0.5, 0.4),
        "logits, layer_norm" => x().layer_norm(1, Norm::new().affine(false)),
        "sure, bernoulli_cross_entropy" => x().bernoulli_cross_entropy(t()),
        "sure, categorical_cross_entropy" => x().categorical_cross_entropy(t()),
        "sure, kl_divergence" => x().kl_divergence(t()),
        "sure, entropy" => x().entropy(),
        "matmul" | "matmul_batched" => x().matmul(t()),
        "dot" => x().dot(t()),
        _ => return None,
    })
}

fn weights<'g>(i: &Inputs<'g>) -> CellWeights<'g> {
    CellWeights {
        weight_ih: i.get("wi"),
        weight_hh: i.get("wh"),
        bias_ih: Some(i.get("bi")),
        bias_hh: Some(i.get("bh")),
    }
}
