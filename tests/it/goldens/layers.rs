//! The layers of `tests/goldens/layers.py` and `sequences.py`.

use bespoke::{
    nn::Nonlinearity,
    prelude::{Attention, Conv, MultiHead, Norm, Padding, Pool, Recurrent, Tensor, Value},
};

use super::{Inputs, Steps};

fn attention<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    let below = |shape: [usize; 2], axis| i.graph.iota(i.dtype, shape, axis);
    Some(match name {
        "attention" | "attention_masked" => {
            let (q, k, v) = (i.get("q"), i.get("k"), i.get("v"));
            let mask = ((below([3, 5], 0) + below([3, 5], 1)) % 3.0).gt(0.0);
            let options = match name {
                "attention" => Attention::new().causal(),
                _ => Attention::new().mask(mask).scale(0.7),
            };
            q.scaled_dot_product_attention(k, v, options)
        }
        "additive_attention" => i.get("q").additive_attention(i.get("k"), i.get("v"), 6, Attention::new()),
        "multi_head_self" => {
            let x = i.get("x");
            let there = below([2, 5], 1).lt(below([2, 5], 0) * -2.0 + 5.0);
            x.multi_head_attention(x, x, 3, MultiHead::new().causal().key_mask(there)).output
        }
        "multi_head_cross" => {
            let (q, k, v) = (i.get("q"), i.get("k"), i.get("v"));
            let y = q.multi_head_attention(k, v, 2, MultiHead::new().bias(false));
            y.output.reshape([24]).concatenate(&[y.weights.reshape([60])], 0)
        }
        _ => return None,
    })
}

fn convolution<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    let conv = Conv::new();
    Some(match name {
        "conv1d" => i.get("x").conv1d(4, 3, conv.stride(2).padding(1).dilation(2)),
        "conv1d_same" => i.get("x").conv1d(2, 4, conv.padding(Padding::Same)),
        "conv2d" => {
            let conv = conv.stride([2, 1]).padding([1, 0]).groups(2);
            i.get("x").conv2d(6, [3, 2], conv)
        }
        "conv3d" => i.get("x").conv3d(2, 2, conv.padding(1).stride(2)),
        "separable_conv" => i.get("x").separable_conv(3, 3, conv.padding(1)),
        "depthwise_conv" => i.get("x").depthwise_conv(3, 3, conv.stride(2).bias(false)),
        "conv_transpose1d" => {
            let conv = conv.stride(3).padding(1).output_padding(2).groups(2).dilation(2);
            i.get("x").conv_transpose1d(6, 3, conv)
        }
        "conv_transpose2d" => {
            let conv = conv.stride([2, 1]).padding([1, 2]).output_padding([1, 0]).dilation([1, 3]);
            i.get("x").conv_transpose2d(3, [3, 2], conv)
        }
        "conv_transpose3d" => i.get("x").conv_transpose3d(1, [2, 1, 2], conv.stride(2)),
        _ => return None,
    })
}

fn pooling<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    let pool = Pool::new();
    Some(match name {
        "max_pool1d" => i.get("x").max_pool1d(3, pool.stride(2).padding(1).dilation(2)),
        "max_pool2d" => i.get("x").max_pool2d([3, 2], pool.stride(2).padding([1, 0])),
        "max_pool2d_ceil" => i.get("x").max_pool2d(2, pool.stride(3).padding(1).ceil_mode()),
        "max_pool2d_ties" => {
            let x = i.get("x");
            let steps = (x * 1.5).floor() + (x - x.stop_gradient());
            steps.max_pool2d(3, pool.stride(2).padding(1))
        }
        "max_pool3d" => i.get("x").max_pool3d(2, pool),
        "max_pool1d_wide" => i.get("x").max_pool1d(18, pool.stride(7).padding(9)),
        "avg_pool1d" => i.get("x").avg_pool1d(3, pool.stride(2).padding(1)),
        "avg_pool2d" => {
            let pool = pool.stride(2).padding([1, 0]).count_include_pad(false);
            i.get("x").avg_pool2d([3, 2], pool)
        }
        "avg_pool2d_ceil" => i.get("x").avg_pool2d(2, pool.stride(3).padding(1).ceil_mode()),
        "avg_pool2d_divisor" => i.get("x").avg_pool2d(2, pool.divisor(3.0)),
        "avg_pool3d" => i.get("x").avg_pool3d(2, pool),
        "avg_pool1d_wide" => i.get("x").avg_pool1d(18, pool.stride(7).padding(9)),
        "global_avg_pool" => i.get("x").global_avg_pool(),
        "global_max_pool" => i.get("x").global_max_pool(),
        "adaptive_avg_pool1d" => i.get("x").adaptive_avg_pool1d(3),
        "adaptive_avg_pool2d" => i.get("x").adaptive_avg_pool2d([2, 3]),
        "adaptive_avg_pool3d" => i.get("x").adaptive_avg_pool3d([2, 3, 2]),
        "adaptive_max_pool1d" => i.get("x").adaptive_max_pool1d(3),
        "adaptive_max_pool2d" => i.get("x").adaptive_max_pool2d([2, 3]),
        "adaptive_max_pool3d" => i.get("x").adaptive_max_pool3d([2, 3, 2]),
        "lp_pool2d" => i.get("x").abs().lp_pool2d(3.0, 2, pool.stride(2)),
        _ => return None,
    })
}

fn upsampling<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    Some(match name {
        "upsample_nearest1d" => i.get("x").upsample_nearest(9),
        "upsample_nearest2d" => i.get("x").upsample_nearest([6, 5]),
        "upsample_nearest3d" => i.get("x").upsample_nearest([2, 4, 3]),
        "upsample_linear1d" => i.get("x").upsample_linear(9, false),
        "upsample_linear1d_aligned" => i.get("x").upsample_linear(9, true),
        "upsample_linear2d" => i.get("x").upsample_linear([6, 5], false),
        "upsample_linear2d_aligned" => i.get("x").upsample_linear([1, 5], true),
        "upsample_linear2d_smaller" => i.get("x").upsample_linear([2, 3], false),
        "upsample_linear3d" => i.get("x").upsample_linear([2, 4, 3], false),
        "pixel_shuffle" => i.get("x").pixel_shuffle(2),
        "pixel_unshuffle" => i.get("x").pixel_unshuffle(2),
        _ => return None,
    })
}

fn normalization<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    let norm = Norm::new();
    Some(match name {
        "batch_norm" => i.get("x").batch_norm(norm),
        "batch_norm_images" => i.get("x").batch_norm(norm.eps(1e-3)),
        "layer_norm" => i.get("x").layer_norm(2, norm),
        "group_norm" => i.get("x").group_norm(2, norm),
        "instance_norm" => i.get("x").instance_norm(norm),
        "local_response_norm" => i.get("x").local_response_norm(4, 0.3, 0.75, 2.0),
        _ => return None,
    })
}

/// All results of recurrent layers, one behind the other.
fn recurrent<'g>(name: &str, i: &Inputs<'g>, options: Recurrent<'g>) -> Option<Value<'g>> {
    let x = i.get("x");
    let lengths = |numbers: [i32; 2]| i.graph.tensor(&Tensor::from_slice([2], &numbers).unwrap());
    let deep = options.layers(2).bidirectional();
    let (y, states) = match name {
        "rnn" => two(x.rnn(2, options)),
        "rnn_relu" => two(x.rnn(2, deep.nonlinearity(Nonlinearity::Relu).initial(i.get("h")))),
        "lstm" => three(x.lstm(2, options)),
        "lstm_deep" => three(x.lstm(2, deep.initial(i.get("h")).initial_cell(i.get("c")))),
        "lstm_lengths" => {
            let options = deep.initial(i.get("h")).initial_cell(i.get("c"));
            three(x.lstm(2, options.lengths(lengths([2, 4]))))
        }
        "lstm_plain" => three(x.lstm(2, options.bias(false))),
        "gru" => two(x.gru(2, options.initial(i.get("h")))),
        "gru_deep" => two(x.gru(2, deep.lengths(lengths([3, 1])))),
        "gru_plain" => two(x.gru(2, options.bidirectional().bias(false))),
        _ => return None,
    };
    let flat = |v: Value<'g>| v.reshape([v.shape().elements()]);
    Some(flat(y).concatenate(&states.into_iter().map(flat).collect::<Vec<_>>(), 0))
}

fn two<'g>((y, h): (Value<'g>, Value<'g>)) -> (Value<'g>, Vec<Value<'g>>) {
    (y, vec![h])
}

fn three<'g>((y, (h, c)): (Value<'g>, (Value<'g>, Value<'g>))) -> (Value<'g>, Vec<Value<'g>>) {
    (y, vec![h, c])
}

/// The layer of this case.
pub fn layer<'g>(name: &str, i: &Inputs<'g>, steps: Steps) -> Option<Value<'g>> {
    attention(name, i)
        .or_else(|| convolution(name, i))
        .or_else(|| pooling(name, i))
        .or_else(|| upsampling(name, i))
        .or_else(|| normalization(name, i))
        .or_else(|| recurrent(name, i, steps(Recurrent::new())))
}
