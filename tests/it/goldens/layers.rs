//! The layers of `tests/goldens/layers.py` and `sequences.py`.

use bespoke::{
    nn::Nonlinearity,
    prelude::{Attention, Conv, MultiHead, Norm, Padding, Pool, Recurrent, Tensor, Value},
};

use super::{Inputs, Steps};

fn attention<'g>(name: &str, i: &Inputs<'g>) -> Option<Value<'g>> {
    let below = |shape: [usize; 2], axis| i.graph.iota(i.dtype, shape, axis);
    let added = || Attention::new().mask(i.get("m"));
    let there = || below([2, 5], 1).lt(below([2, 5], 0) * -2.0 + 5.0);
    Some(match name {
        "attention" => {
            let causal = Attention::new().causal();
            i.get("q").scaled_dot_product_attention(i.get("k"), i.get("v"), causal)
        }
        "attention_masked" => {
            let mask = ((below([3, 5], 0) + below([3, 5], 1)) % 3.0).gt(0.0);
            let masked = Attention::new().mask(mask).scale(0.7);
            i.get("q").scaled_dot_product_attention(i.get("k"), i.get("v"), masked)
        }
        "attention_added" => i.get("q").scaled_dot_product_attention(i.get("k"), i.get("v"), added()),
        "attention_added_causal" => {
            i.get("q").scaled_dot_product_attention(i.get("k"), i.get("v"), added().causal())
        }
        "additive_attention" => i.get("q").additive_attention(i.get("k"), i.get("v"), 6, Attention::new()),
        "additive_attention_masked" => {
            i.get("q").additive_attention(i.get("k"), i.get("v"), 6, added().scale(0.7))
        }
        "multi_head_self" => {
            let (x, options) = (i.get("x"), MultiHead::new().causal().key_mask(there()));
            x.multi_head_attention(x, x, 3, options).output
        }
        "multi_head_added" => {
            let (x, options) = (i.get("x"), MultiHead::new().mask(i.get("m")).key_mask(there()));
            x.multi_head_attention(x, x, 3, options).output
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
        "conv1d_same_strided" => i.get("x").conv1d(2, 3, conv.stride(3).padding(Padding::Same)),
        "conv2d_same_dilated" => {
            let conv = conv.stride([2, 1]).dilation([1, 2]).padding(Padding::Same);
            i.get("x").conv2d(2, [2, 3], conv)
        }
        "conv3d_same" => i.get("x").conv3d(2, [2, 2, 1], conv.stride(2).padding(Padding::Same)),
        "conv" => i.get("x").conv(3, 2, conv.padding([(1, 0), (0, 2)])),
        "convolve" => i.get("x").convolve(i.get("w"), &conv.stride(2)),
        "convolve_transposed" => i.get("x").convolve_transposed(i.get("w"), &conv.stride(2)),
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
        "conv_transpose1d_asymmetric" => i.get("x").conv_transpose1d(2, 3, conv.stride(2).padding([(2, 0)])),
        "conv_transpose2d_groups" => {
            let conv = conv.stride([1, 2]).padding([(1, 0), (0, 2)]).output_padding([0, 1]).groups(2);
            i.get("x").conv_transpose2d(6, [2, 3], conv)
        }
        "conv_transpose3d_padded" => {
            let conv = conv.stride([2, 1, 2]).padding([(0, 1), (1, 1), (1, 2)]).output_padding([1, 0, 1]);
            i.get("x").conv_transpose3d(2, [2, 2, 3], conv)
        }
        "conv_transpose" => i.get("x").conv_transpose(2, [2, 3], conv.stride(2).padding(1)),
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
        "avg_pool2d_ceil_excluded" => {
            let pool = pool.stride(3).padding(1).ceil_mode().count_include_pad(false);
            i.get("x").avg_pool2d(2, pool)
        }
        "avg_pool1d_ceil" => i.get("x").avg_pool1d(3, pool.stride(2).ceil_mode()),
        "avg_pool2d_same" => {
            let pool = pool.stride([2, 3]).padding(Padding::Same).count_include_pad(false);
            i.get("x").avg_pool2d([3, 2], pool)
        }
        "max_pool1d_ceil_dilated" => {
            i.get("x").max_pool1d(3, pool.stride(3).padding(1).dilation(2).ceil_mode())
        }
        "max_pool2d_same" => i.get("x").max_pool2d([3, 2], pool.stride([2, 3]).padding(Padding::Same)),
        "max_pool1d_with_indices" => {
            both(i, i.get("x").max_pool1d_with_indices(3, pool.stride(2).padding(1)))
        }
        "max_pool2d_with_indices" => {
            both(i, i.get("x").max_pool2d_with_indices(2, pool.stride(1).padding(1)))
        }
        "max_pool3d_with_indices" => both(i, i.get("x").max_pool3d_with_indices(2, pool)),
        "max_pool_with_indices" => both(i, i.get("x").max_pool_with_indices(2, pool)),
        "pools_of_any_rank" => {
            let x = i.get("x");
            let means = [x.avg_pool(2, pool.clone()), x.adaptive_avg_pool([2, 3])];
            let largest = [x.max_pool(2, pool.clone()), x.adaptive_max_pool([2, 3])];
            let all = [largest[0], means[0], x.lp_pool(2.0, 2, pool), means[1], largest[1]];
            let all = all.map(|y| y.expand_dims(0));
            all[0].concatenate(&all[1..], 0)
        }
        "global_avg_pool" => i.get("x").global_avg_pool(),
        "global_max_pool" => i.get("x").global_max_pool(),
        "adaptive_avg_pool1d" => i.get("x").adaptive_avg_pool1d(3),
        "adaptive_avg_pool2d" => i.get("x").adaptive_avg_pool2d([2, 3]),
        "adaptive_avg_pool3d" => i.get("x").adaptive_avg_pool3d([2, 3, 2]),
        "adaptive_avg_pool1d_more" => i.get("x").adaptive_avg_pool1d(5),
        "adaptive_avg_pool2d_even" => i.get("x").adaptive_avg_pool2d([2, 3]),
        "adaptive_max_pool1d_more" => i.get("x").adaptive_max_pool1d(5),
        "adaptive_max_pool2d_even" => i.get("x").adaptive_max_pool2d([2, 3]),
        "adaptive_max_pool1d" => i.get("x").adaptive_max_pool1d(3),
        "adaptive_max_pool2d" => i.get("x").adaptive_max_pool2d([2, 3]),
        "adaptive_max_pool3d" => i.get("x").adaptive_max_pool3d([2, 3, 2]),
        "lp_pool1d" => i.get("x").lp_pool1d(2.0, 3, pool.stride(2)),
        "lp_pool3d" => i.get("x").abs().lp_pool3d(1.5, [2, 3, 2], pool.stride(2)),
        "lp_pool2d" => i.get("x").abs().lp_pool2d(3.0, 2, pool.stride(2)),
        _ => return None,
    })
}

/// Values and positions, one behind the other.
fn both<'g>(i: &Inputs<'g>, (y, at): (Value<'g>, Value<'g>)) -> Value<'g> {
    let flat = |v: Value<'g>| v.convert(i.dtype).reshape([v.shape().elements()]);
    flat(y).concatenate(&[flat(at)], 0)
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
        "batch_norm" | "batch_norm_query" | "batch_norm_images_query" | "batch_norm, next states" => {
            i.get("x").batch_norm(norm)
        }
        "batch_norm_images, next states" => i.get("x").batch_norm(norm.momentum(0.3)),
        "layer_norm_plain" => i.get("x").layer_norm(1, norm.eps(1e-3).affine(false)),
        "group_norm_plain" => i.get("x").group_norm(3, norm.eps(1e-3).affine(false)),
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
        "gru_batch_first" => two(x.gru(2, options.bidirectional().batch_first())),
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
