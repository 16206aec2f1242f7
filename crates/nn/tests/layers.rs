//! What layers refuse, and what they promise beyond PyTorch's numbers (those are in `tests/it/goldens.rs`).

use std::collections::BTreeMap;

use bespoke_autodiff::grad;
use bespoke_graph::eval;
use bespoke_nn::{
    Attention, CellWeights, Conv, F64, Graph, I32, Init, MultiHead, Nonlinearity, Norm, Padding, Pairs, Pool,
    Recurrent, Value,
};
use bespoke_tensor::{Scalar, Tensor, Type};

/// Waves that start elsewhere for each name.
fn tensor(name: &str, ty: Type) -> Tensor {
    let start = (name.bytes().map(u32::from).sum::<u32>() % 17) as f64;
    Tensor::from_fn(ty, |i| Scalar::F64((0.37 * i as f64 + start).sin()))
}

/// The error of a model made of an input.
#[track_caller]
fn refused<const N: usize>(text: &str, shape: [usize; N], make: impl for<'g> Fn(Value<'g>) -> Value<'g>) {
    let g = Graph::new();
    let y = make(g.input("x", F64, shape));
    assert!(y.node().is_none(), "{text}: {:?}", y.ty());
    let message = g.finish().unwrap_err().to_string();
    assert!(message.contains(text) && message.contains("layers.rs"), "{message}");
}

#[test]
fn mistakes_are_told() {
    let conv = Conv::new;
    refused("conv2d: expected [N,C,spatial…] with 2 spatial axes, got f64[2,3,4]", [2, 3, 4], |x| {
        x.conv2d(4, 3, Conv::new())
    });
    refused("conv: expected [N,C,spatial…] with at least one spatial axis", [2, 3], |x| {
        x.conv(4, 3, conv())
    });
    refused(
        "kernel: expected a number or 2 of them, at least 1 and at most 2⁴⁰, got [3, 3, 3]",
        [1, 1, 4, 4],
        |x| x.conv2d(4, [3, 3, 3], Conv::new()),
    );
    refused(
        "stride: expected a number or 1 of them, at least 1 and at most 2⁴⁰, got [0]",
        [1, 1, 4],
        |x| x.conv1d(4, 3, Conv::new().stride(0)),
    );
    refused("padding: expected 1 pairs", [1, 1, 4], |x| {
        x.conv1d(4, 3, Conv::new().padding([(1, 1), (1, 1)]))
    });
    refused("2 groups do not divide 3 channels and 4 features", [1, 3, 4], |x| {
        x.conv1d(4, 3, Conv::new().groups(2))
    });
    refused("a kernel that reaches over 5 does not fit into 4 along axis 2", [1, 1, 4], |x| {
        x.conv1d(1, 3, Conv::new().dilation(2))
    });
    refused("dilation: expected", [1, 1, 4], |x| x.conv1d(1, 3, Conv::new().dilation(usize::MAX)));
    refused("too wide", [1, 1, 4], |x| x.conv1d(1, 1 << 39, Conv::new().dilation(1 << 39)));
    refused("padding: expected 1 pairs", [1, 1, 4], |x| {
        x.conv1d(1, 3, Conv::new().padding([(1, usize::MAX)]))
    });
    refused("padding", [1, 1, 4], |x| x.conv1d(1, 3, Conv::new().padding(usize::MAX)));
    refused("an output padding of 2 do not fit", [1, 1, 4], |x| {
        x.conv_transpose1d(1, 3, Conv::new().stride(2).output_padding(2))
    });
    refused("a padding of 9 and 9", [1, 1, 4], |x| x.conv_transpose1d(1, 3, Conv::new().padding(9)));
    refused("got `Same`", [1, 1, 4], |x| x.conv_transpose1d(1, 3, Conv::new().padding(Padding::Same)));
    refused("expected [N,C,spatial…] and [O,C/groups,kernel…]", [1, 2, 4], |x| {
        x.convolve(x, &Conv::new().groups(3))
    });
    refused("depthwise_conv", [1, 2, 4], |x| x.depthwise_conv(usize::MAX, 3, Conv::new()));
    refused("conv: expected", [2], |x| x.separable_conv(2, 3, Conv::new()));
    refused("linear: expected", [2, 3], |x| x.linear(x.t(), None));

    let plain = Attention::new;
    refused("expected queries and keys of one width", [2, 3], |x| {
        x.scaled_dot_product_attention(x.t().matmul(x).slice(0, 0..2).slice(1, 0..2), x, plain())
    });
    refused("expected queries […,queries,width]", [2, 3], |x| {
        x.scaled_dot_product_attention(x, x.slice(0, 0..1), plain())
    });
    refused("the mask f64[3,2] does not broadcast to the scores f64[2,2]", [2, 3], |x| {
        x.scaled_dot_product_attention(x, x, Attention::new().mask(x.t()))
    });
    refused("scaled_dot_product_attention: expected a probability of 0 to 1, got -0.1", [2, 3], |x| {
        x.scaled_dot_product_attention(x, x, Attention::new().dropout(-0.1))
    });
    refused("expected [batch,…,width]", [2, 3], |x| x.additive_attention(x, x, 4, plain()));
    let heads = MultiHead::new;
    refused("4 heads do not divide a width of 6", [2, 3, 6], |x| {
        x.multi_head_attention(x, x, 4, heads()).output
    });
    refused("expected three of [batch,…,width]", [2, 3], |x| {
        x.multi_head_attention(x, x, 1, heads()).output
    });
    refused("expected a key mask bool[2,3], got f64[2,3,6]", [2, 3, 6], |x| {
        x.multi_head_attention(x, x, 2, MultiHead::new().key_mask(x)).output
    });

    let pool = Pool::new;
    refused("max_pool2d: expected [N,C,spatial…] with 2 spatial axes, got f64[1,2,4]", [1, 2, 4], |x| {
        x.max_pool2d(2, pool())
    });
    refused("a padding of 2 and 2 is more than half a window of 3", [1, 2, 4], |x| {
        x.avg_pool(3, pool().padding(2))
    });
    refused("a window over 5 does not fit into 4 along axis 2 of f64[1,2,4]", [1, 2, 4], |x| {
        x.max_pool(5, pool())
    });
    refused("averages have no dilation", [1, 2, 4], |x| x.avg_pool1d(2, pool().dilation(2)));
    for power in [0.0, 0.5, f64::INFINITY, f64::NAN] {
        let text = format!("lp_pool1d: expected a power of at least 1, got {power}");
        refused(&text, [1, 2, 4], |x| x.lp_pool1d(power, 2, pool()));
    }
    refused(
        "output: expected a number or 1 of them, at least 1 and at most 2⁴⁰, got [0]",
        [1, 2, 4],
        |x| x.adaptive_max_pool1d(0),
    );
    refused("windows over f64[1,2,0]", [1, 2, 0], |x| x.adaptive_avg_pool1d(3));
    refused("global_avg_pool: expected [N,C,spatial…]", [1, 2], |x| x.global_avg_pool());

    let plain = Recurrent::new;
    refused("rnn: expected [steps,batch,inputs], got f64[2,3]", [2, 3], |x| x.rnn(4, plain()).0);
    refused("expected [batch,steps,inputs]", [2, 3], |x| x.gru(4, Recurrent::new().batch_first()).0);
    refused("lstm: 0 layers of 4 hidden numbers", [2, 3, 4], |x| x.lstm(4, Recurrent::new().layers(0)).0);
    refused("lstm: 1 layers of 0 hidden numbers", [2, 3, 4], |x| x.lstm(0, plain()).1.1);
    refused("expected a probability", [2, 3, 4], |x| x.lstm(2, Recurrent::new().dropout(1.5)).0);
    refused("expected states f64[1,3,2], got f64[2,3,4]", [2, 3, 4], |x| {
        x.lstm(2, Recurrent::new().initial(x)).0
    });
    refused("only an LSTM", [2, 3, 4], |x| x.gru(4, Recurrent::new().initial_cell(x)).0);
    refused("only `rnn`", [2, 3, 4], |x| x.gru(4, Recurrent::new().nonlinearity(Nonlinearity::Relu)).0);
    refused("expected lengths of integers [3], got f64[2,3,4]", [2, 3, 4], |x| {
        x.gru(4, Recurrent::new().lengths(x)).0
    });
    refused("at least one step", [0, 3, 4], |x| x.gru(4, Recurrent::new().unrolled()).0);
    refused("lstm_cell: expected [batch,inputs]", [2, 3], |x| {
        x.lstm_cell(x, x, &CellWeights::gru(x.graph(), F64, 3, 3)).0
    });
    refused("linear: expected", [2, 3], |x| x.gru_cell(x, &CellWeights::gru(x.graph(), F64, 4, 3)));
    refused("embedding: expected integer indices, got f64[2]", [2], |x| x.embedding(3, 4));
    refused("the index of padding is 3, of 3 rows", [2], |x| {
        x.convert(I32).embedding_with(3, 4, Init::Normal(1.0), Some(3))
    });
}

#[test]
fn numbers_out_of_range_and_options_without_effect_are_refused() {
    for number in [-1.0, f64::NAN, f64::INFINITY] {
        let norm = || Norm::new().eps(number);
        let expected = format!("expected an ε of 0 or above, got {number}");
        refused(&format!("batch_norm: {expected}"), [4, 3], |x| x.batch_norm(norm()));
        refused(&format!("layer_norm: {expected}"), [4, 3], |x| x.layer_norm(1, norm()));
        refused(&format!("group_norm: {expected}"), [4, 3], |x| x.group_norm(3, norm()));
        refused(&format!("instance_norm: {expected}"), [4, 3, 2], |x| x.instance_norm(norm()));
        refused(&format!("standardized: {expected}"), [4, 3], |x| x.standardized(&[0], number));
        let got = format!("batch_norm: expected a momentum of 0 to 1, got {number}");
        refused(&got, [4, 3], |x| x.batch_norm(Norm::new().momentum(number)));
        refused("local_response_norm: expected α, β and k of 0 or above", [4, 3], |x| {
            x.local_response_norm(3, 1e-4, number, 2.0)
        });
        refused(&format!("huber: expected a δ above 0, got {number}"), [4, 3], |x| x.huber(x, number));
        refused("focal: expected an α of 0 to 1 and a γ of 0 or above", [4, 3], |x| {
            x.focal(x, number, 2.0)
        });
        refused("focal: expected an α of 0 to 1 and a γ of 0 or above", [4, 3], |x| {
            x.focal(x, 0.25, number)
        });
        refused("and a finite base above 0", [4, 2], |x| x.rotary(Pairs::Halves, number));
    }
    for number in [f64::NAN, f64::NEG_INFINITY] {
        let text = format!("leaky_relu: expected a finite slope, got {number}");
        refused(&text, [2], |x| x.leaky_relu(number));
        refused("avg_pool1d: expected a finite divisor that is not 0", [1, 2, 4], |x| {
            x.avg_pool1d(2, Pool::new().divisor(number))
        });
    }
    refused("huber: expected a δ above 0, got 0", [2], |x| x.huber(x, 0.0));
    refused("got 0", [1, 2, 4], |x| x.avg_pool1d(2, Pool::new().divisor(0.0)));
    let momentum = || Norm::new().momentum(0.2);
    refused("layer_norm: only batch_norm has a momentum, got 0.2", [4, 3], |x| x.layer_norm(1, momentum()));
    refused("group_norm: only batch_norm has a momentum", [4, 3], |x| x.group_norm(3, momentum()));
    let only = "only averages have a divisor or a choice of what they count";
    refused(only, [1, 2, 4], |x| x.max_pool1d(2, Pool::new().divisor(2.0)));
    refused(only, [1, 2, 4], |x| x.max_pool1d_with_indices(2, Pool::new().divisor(2.0)).1);
    refused(only, [1, 2, 4], |x| x.lp_pool1d(2.0, 2, Pool::new().count_include_pad(false)));
    refused("conv1d: only transposed convolutions have output padding", [1, 2, 4], |x| {
        x.conv1d(3, 2, Conv::new().output_padding(1))
    });
}

#[test]
fn what_is_compared_has_one_shape() {
    type Loss = for<'g> fn(Value<'g>, Value<'g>) -> Value<'g>;
    let losses: [(&str, Loss); 11] = [
        ("squared_error", |x, t| x.squared_error(t)),
        ("squared_error", |x, t| x.mse(t)),
        ("absolute_error", |x, t| x.absolute_error(t)),
        ("huber", |x, t| x.huber(t, 1.0)),
        ("hinge", |x, t| x.hinge(t)),
        ("focal", |x, t| x.focal(t, 0.25, 2.0)),
        ("binary_cross_entropy", |x, t| x.binary_cross_entropy(t)),
        ("bernoulli_cross_entropy", |x, t| x.bernoulli_cross_entropy(t)),
        ("soft_cross_entropy", |x, t| x.soft_cross_entropy(t)),
        ("categorical_cross_entropy", |x, t| x.categorical_cross_entropy(t)),
        ("kl_divergence", |x, t| x.kl_divergence(t)),
    ];
    for (name, loss) in losses {
        let text = format!("{name}: expected two of one shape, got f64[4,1] and f64[4]");
        refused(&text, [4, 1], |x| loss(x, x.squeeze(1)));
    }
}

#[test]
fn labels_are_integers_one_for_each_row() {
    let rows = "expected logits [rows,classes] and integer labels [rows]";
    for shape in [&[3][..], &[4, 1], &[]] {
        let got = format!("cross_entropy: {rows}, got f64[4,3] and i32{shape:?}").replace(", 1]", ",1]");
        refused(&got, [4, 3], |x| x.cross_entropy(x.graph().full(I32, shape, 0.0)));
    }
    refused(&format!("cross_entropy: {rows}, got f64[4,3] and f64[4]"), [4, 3], |x| {
        x.cross_entropy(x.sum_axes(&[1]))
    });
    refused(&format!("cross_entropy: {rows}, got f64[2,4,3] and i32[2,4]"), [2, 4, 3], |x| {
        x.cross_entropy_smoothed(x.graph().full(I32, [2, 4], 0.0), 0.1)
    });
    let more = "accuracy: expected logits [rows…,classes] and integer labels [rows…]";
    refused(&format!("{more}, got f64[4,3] and i32[4,1]"), [4, 3], |x| {
        x.accuracy(x.graph().full(I32, [4, 1], 0.0))
    });
    refused(&format!("{more}, got f64[4,3] and f64[4]"), [4, 3], |x| x.zero_one(x.sum_axes(&[1])));
    let g = Graph::new();
    let words = g.input("x", F64, [2, 4, 3]).accuracy(g.full(I32, [2, 4], 0.0));
    assert_eq!(words.ty().to_string(), "f32[2,4]");
}

#[test]
fn sizes_beyond_counting_are_refused() {
    const HUGE: usize = usize::MAX;
    refused("parameter: ", [4, 3], |x| x.dense(HUGE));
    refused("parameter: ", [4, 3], |x| x.maxout(HUGE, 2));
    refused(&format!("maxout: expected 1 to 1000 pieces, got {HUGE}"), [4, 3], |x| x.maxout(2, HUGE));
    refused("maxout: expected 1 to 1000 pieces, got 0", [4, 3], |x| x.maxout(2, 0));
    refused("weighted_norm", [4], |x| x.weighted_norm(HUGE));
    refused("parameter: ", [4, 3], |x| x.radial(HUGE));
    for factor in [0, HUGE] {
        refused("pixel_shuffle: expected [N,C·r²,H,W]", [1, 0, 2, 2], |x| x.pixel_shuffle(factor));
        refused("pixel_unshuffle: expected [N,C,H·r,W·r]", [1, 2, 0, 0], |x| x.pixel_unshuffle(factor));
    }
    refused("too many elements", [1, 0, 2, 2], |x| x.pixel_shuffle(1 << 33));
    for (length, width) in [(HUGE, 2), (2, HUGE), (HUGE, HUGE), (1 << 40, 1 << 40)] {
        refused("iota: ", [2], |x| x.graph().sinusoidal_positions(F64, length, width));
    }
    refused("parameter: ", [2], |x| x.convert(I32).embedding(HUGE, HUGE));
}

/// The value of a graph without inputs, by the reference evaluator, with parameters as they start.
fn evaluated(g: &Graph) -> Tensor {
    let starts = g.start_values();
    let graph = g.finish().unwrap_or_else(|e| panic!("{e}"));
    let values = eval(&graph, &|name| starts.iter().find(|s| s.0 == name).map(|s| s.1.clone())).unwrap();
    values.outputs["y"].clone()
}

#[test]
fn queries_that_see_nothing_get_zeros() {
    let g = Graph::new();
    let x = g.tensor(&tensor("x", Type::new(F64, [2, 3])));
    let mask = g.iota(F64, [2, 2], 0).gt(0.0);
    let y = x.scaled_dot_product_attention(x, x, Attention::new().mask(mask));
    g.output("y", y.concatenate(&g.grad(y.sum(), &[x]), 0));
    let values = evaluated(&g).to_vec::<f64>().unwrap();
    assert_eq!(values[..3], [0.0; 3]);
    assert!(values[3..].iter().all(|v| v.is_finite()), "{values:?}");
}

#[test]
fn additive_attention_is_its_formula() {
    let g = Graph::new();
    let q = g.tensor(&tensor("q", Type::new(F64, [1, 1, 2])));
    let k = g.tensor(&tensor("k", Type::new(F64, [1, 2, 3])));
    g.output("y", q.additive_attention(k, k, 4, Attention::new().scale(2.0)));
    let got = evaluated(&g).to_vec::<f64>().unwrap();
    let starts: Vec<Vec<f64>> = g.start_values().iter().map(|s| s.1.to_vec().unwrap()).collect();
    let [q, k] =
        [("q", 2), ("k", 6)].map(|(n, size)| tensor(n, Type::new(F64, [size])).to_vec::<f64>().unwrap());
    let times = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let score = |key: &[f64]| -> f64 {
        let unit = |u: usize| (times(&starts[0][2 * u..], &q) + times(&starts[1][3 * u..], key)).tanh();
        2.0 * (0..4).map(|u| starts[2][u] * unit(u)).sum::<f64>()
    };
    let weight = 1.0 / (1.0 + (score(&k[3..]) - score(&k[..3])).exp());
    for i in 0..3 {
        assert!((got[i] - weight * k[i] - (1.0 - weight) * k[3 + i]).abs() < 1e-12, "{got:?}");
    }
}

#[test]
fn padding_is_embedded_as_zeros_and_learns_nothing() {
    let g = Graph::new();
    let words = g.tensor(&Tensor::from_slice([3], &[2i32, 1, 2]).unwrap());
    let y = words.embedding_with(3, 2, Init::Constant(5.0), Some(1));
    g.output("y", y);
    assert_eq!(evaluated(&g).to_vec::<f32>().unwrap(), [5.0, 5.0, 0.0, 0.0, 5.0, 5.0]);
    let loss = y.sum().node().unwrap();
    let mut graph = g.finish().unwrap();
    let slope = grad(&mut graph, loss, &[g.parameters()[0].node]).unwrap()[0];
    graph.set_output("slope", slope).unwrap();
    let start = g.start_values()[0].1.clone();
    let values = eval(&graph, &|_| Some(start.clone())).unwrap();
    assert_eq!(values.outputs["slope"].to_vec::<f32>().unwrap(), [0.0, 0.0, 0.0, 0.0, 2.0, 2.0]);
}

#[test]
fn separable_layers_are_made_of_two() {
    let g = Graph::new();
    let x = g.input("x", F64, [2, 3, 5, 5]);
    assert_eq!(x.separable_conv(4, 3, Conv::new()).ty().to_string(), "f64[2,4,3,3]");
    assert_eq!(x.depthwise_conv(2, 3, Conv::new().stride(2)).ty().to_string(), "f64[2,6,2,2]");
    let parameters = g.parameters();
    let got: Vec<String> = parameters.iter().map(|p| format!("{} {}", p.name, p.ty)).collect();
    let expected = [
        "separable/conv0/weight f64[3,1,3,3]",
        "separable/conv1/weight f64[4,3,1,1]",
        "separable/conv1/bias f64[4]",
        "depthwise/conv0/weight f64[6,1,3,3]",
        "depthwise/conv0/bias f64[6]",
    ];
    let numbered: Vec<String> = expected.iter().map(|e| e.replacen('/', "0/", 1)).collect();
    assert_eq!(got, numbered);
    g.finish().unwrap();
}

/// A value of a graph, with tensors by name for all that it reads.
fn eval_at(graph: &bespoke_graph::Graph, value: Value<'_>) -> Vec<f64> {
    let mut graph = graph.clone();
    graph.set_output("y", value.node().unwrap()).unwrap();
    let types: BTreeMap<String, Type> =
        graph.states().iter().map(|s| (s.name.clone(), graph.ty(s.node))).collect();
    let last = |name: &str| name.rsplit('/').next().unwrap().replace("_l0", "");
    eval(&graph, &|n| Some(tensor(&last(n), types[n]))).unwrap().outputs["y"].to_vec().unwrap()
}

#[test]
fn cells_step_as_layers_do() {
    let g = Graph::new();
    let x = g.tensor(&tensor("x", Type::new(F64, [3, 2, 4])));
    let zeros = g.full(F64, [2, 5], 0.0);
    let weights = CellWeights::gru(&g, F64, 4, 5);
    let mut h = zeros;
    for t in 0..3 {
        h = x.slice(0, t..t + 1).squeeze(0).gru_cell(h, &weights);
    }
    let graph = g.finish().unwrap();
    let values = eval_at(&graph, h);
    let other = Graph::new();
    let (_, last) = other.tensor(&tensor("x", Type::new(F64, [3, 2, 4]))).gru(5, Recurrent::new());
    assert_eq!(eval_at(&other.finish().unwrap(), last), values);
}

#[test]
fn axes_of_the_batch_may_come_first() {
    let g = Graph::new();
    let x = g.tensor(&tensor("x", Type::new(F64, [3, 2, 4])));
    let options = Recurrent::new().batch_first();
    let (y, _) = x.rnn(5, options);
    assert_eq!(y.ty().to_string(), "f64[3,2,5]");
    let g2 = Graph::new();
    let x = g2.tensor(&tensor("x", Type::new(F64, [3, 2, 4])));
    let (z, _) = x.transpose(&[1, 0, 2]).rnn(5, Recurrent::new());
    let z = z.transpose(&[1, 0, 2]);
    assert_eq!(eval_at(&g.finish().unwrap(), y), eval_at(&g2.finish().unwrap(), z));
}

#[test]
fn mistakes_of_layers_without_windows_are_told() {
    refused("dropout: expected a probability of 0 to 1, got 1.5", [2, 3], |x| x.dropout(1.5));
    refused("dropout: expected a probability of 0 to 1, got NaN", [2, 3], |x| x.dropout(f64::NAN));
    refused("dropout_classic: expected floats, got i32[2,3]", [2, 3], |x| {
        x.convert(I32).dropout_classic(0.5)
    });
    refused("drop_path: expected examples along axis 0, got f64[]", [], |x| x.drop_path(0.5));
    refused("learned_positions: expected […,length,width], got f64[3]", [3], |x| x.learned_positions());
    refused(
        "rotary: expected an even width and a finite base above 0, got f64[2,3] and 10000",
        [2, 3],
        |x| x.rotary(Pairs::Halves, 10000.0),
    );
    refused("rotary: expected an even width and a finite base above 0, got f64[2,4] and -1", [2, 4], |x| {
        x.rotary(Pairs::Neighbours, -1.0)
    });
    refused("upsample_nearest: expected [N,C,spatial…] of at least one pixel, got f64[2,3]", [2, 3], |x| {
        x.upsample_nearest(4)
    });
    refused("upsample_linear: expected [N,C,spatial…] of at least one pixel", [2, 3, 0], |x| {
        x.upsample_linear(4, false)
    });
    refused("upsample_linear: size: expected a number or 1 of them, at least 1", [2, 3, 4], |x| {
        x.upsample_linear(0, true)
    });
    refused("pixel_shuffle: expected [N,C·r²,H,W] with r = 2, got f64[1,6,2,2]", [1, 6, 2, 2], |x| {
        x.pixel_shuffle(2)
    });
    refused("pixel_unshuffle: expected [N,C,H·r,W·r] with r = 0", [1, 6, 2, 2], |x| x.pixel_unshuffle(0));
    refused("radial: expected a matrix [rows,inputs], got f64[2,3,4]", [2, 3, 4], |x| x.radial(5));
    refused("weighted_norm: expected floats, got bool[2,3]", [2, 3], |x| x.gt(0.0).weighted_norm(5));
    refused("prelu: expected [N,C,…], got f64[3]", [3], |x| x.prelu());
}

#[test]
fn norms_of_nothing_have_derivatives() {
    let g = Graph::new();
    let x = g.tensor(&Tensor::from_slice([3, 2], &[0.0, 0.0, 3.0, 4.0, f64::NAN, 0.0]).unwrap());
    let lengths = x.norm_axes(&[1]);
    let first = g.grad(lengths.sum(), &[x])[0];
    let second = g.grad((first * first).sum() + first.sum(), &[x])[0];
    for (name, value) in [("lengths", lengths), ("first", first), ("second", second)] {
        g.output(name, value);
    }
    let outputs = eval(&g.finish().unwrap(), &|_| None).unwrap().outputs;
    let numbers = |name: &str| outputs[name].to_vec::<f64>().unwrap();
    assert_eq!(numbers("lengths")[..2], [0.0, 5.0]);
    assert_eq!(numbers("first")[..2], [0.0, 0.0]);
    assert!((numbers("first")[2] - 0.6).abs() < 1e-15 && (numbers("first")[3] - 0.8).abs() < 1e-15);
    assert_eq!(numbers("second")[..2], [0.0, 0.0]);
    assert!(numbers("second")[2..4].iter().all(|x| x.abs() < 0.1 && *x != 0.0));
    assert!(numbers("lengths")[2].is_nan(), "NaN has no length");
}

#[test]
fn rotary_products_depend_on_distances() {
    for pairs in [Pairs::Neighbours, Pairs::Halves] {
        let g = Graph::new();
        // The same query and key at each position.
        let ones = g.full(F64, [7, 1], 1.0);
        let [q, k] = ["q", "k"].map(|name| ones * g.tensor(&tensor(name, Type::new(F64, [1, 6]))));
        let scores = q.rotary(pairs, 100.0).matmul(k.rotary(pairs, 100.0).t());
        g.output("y", scores);
        let scores = evaluated(&g).to_vec::<f64>().unwrap();
        for (i, j) in (0..6).flat_map(|i| (0..6).map(move |j| (i, j))) {
            let (here, further) = (scores[i * 7 + j], scores[(i + 1) * 7 + j + 1]);
            assert!((here - further).abs() < 1e-12, "{pairs:?}: {here} at {i}, {j}, then {further}");
        }
    }
}

#[test]
fn layers_drop_between() {
    let g = Graph::new();
    let x = g.tensor(&tensor("x", Type::new(F64, [3, 2, 4])));
    let once = |layers, probability: f64| {
        let before = g.finish().unwrap().len();
        let (y, _) = x.rnn(3, Recurrent::new().layers(layers).dropout(probability));
        g.output(&format!("y{layers}{probability}"), y);
        let graph = g.finish().unwrap();
        graph
            .ids()
            .skip(before)
            .filter(|&id| matches!(graph.node(id).op, bespoke_graph::Op::RandomBits(_)))
            .count()
    };
    assert_eq!([once(1, 0.5), once(3, 0.5), once(3, 0.0)], [0, 2, 0]);
    assert!(g.compile().is_ok());
}

#[test]
fn maxima_are_found_where_they_are() {
    let g = Graph::new();
    let x = [1.0, 5.0, 5.0, 0.0, f64::NAN, 2.0, 7.0, 7.0, 7.0];
    let x = g.tensor(&Tensor::from_slice([1, 1, 3, 3], &x).unwrap());
    let (y, at) = x.max_pool2d_with_indices(2, Pool::new().stride(1).padding([1, 0]));
    assert_eq!(at.ty().to_string(), "i32[1,1,4,2]");
    g.output("y", at);
    assert_eq!(evaluated(&g).to_vec::<i32>().unwrap(), [1, 1, 4, 4, 4, 4, 6, 7]);
    assert!(y.node().is_some());
    let (_, wide) = x.reshape([1, 1, 9]).max_pool1d_with_indices(9, Pool::new());
    let g = Graph::new();
    let x = g.iota(F64, [1, 2, 40], 2) * -1.0;
    let (_, far) = x.max_pool1d_with_indices(20, Pool::new());
    g.output("y", far);
    assert_eq!(evaluated(&g).to_vec::<i32>().unwrap(), [0, 20, 0, 20]);
    assert_eq!(wide.ty().to_string(), "i32[1,1,1]");
}

#[test]
fn nearest_elements_are_found_in_integers() {
    let g = Graph::new();
    g.output("y", g.iota(F64, [1, 1, 26], 2).upsample_nearest(22));
    let expected: Vec<f64> = (0..22).map(|i| f64::from(i * 26 / 22)).collect();
    assert_eq!(evaluated(&g).to_vec::<f64>().unwrap(), expected);
    assert_eq!(expected[11], 13.0);
}

#[test]
fn whole_images_are_pooled() {
    let g = Graph::new();
    let x = g.iota(F64, [1, 1, 2, 3], 3);
    let (mean, most) = (x.global_avg_pool(), x.global_max_pool());
    g.output("y", mean.concatenate(&[most], 1));
    assert_eq!(evaluated(&g).to_vec::<f64>().unwrap(), [1.0, 2.0]);
}

#[test]
fn layers_of_nothing_are_refused_or_run() {
    type Make = for<'g> fn(Value<'g>) -> Value<'g>;
    let layers: [(&str, Make); 19] = [
        ("conv", |x| x.conv(2, 2, Conv::new())),
        ("conv, same", |x| x.conv(2, 1, Conv::new().padding(Padding::Same))),
        ("conv_transpose", |x| x.conv_transpose(2, 2, Conv::new())),
        ("depthwise_conv", |x| x.depthwise_conv(2, 1, Conv::new())),
        ("separable_conv", |x| x.separable_conv(2, 1, Conv::new())),
        ("max_pool", |x| x.max_pool(1, Pool::new())),
        ("max_pool, padded", |x| x.max_pool(2, Pool::new().padding(1).ceil_mode())),
        ("avg_pool", |x| x.avg_pool(1, Pool::new())),
        ("lp_pool", |x| x.lp_pool(2.0, 2, Pool::new())),
        ("adaptive_avg_pool", |x| x.adaptive_avg_pool(2)),
        ("adaptive_max_pool", |x| x.adaptive_max_pool(3)),
        ("global_avg_pool", |x| x.global_avg_pool()),
        ("scaled_dot_product_attention", |x| x.scaled_dot_product_attention(x, x, Attention::new().causal())),
        ("additive_attention", |x| x.additive_attention(x, x, 2, Attention::new())),
        ("multi_head_attention", |x| x.multi_head_attention(x, x, 1, MultiHead::new()).output),
        ("rnn", |x| x.rnn(2, Recurrent::new()).0),
        ("lstm", |x| x.lstm(2, Recurrent::new().bidirectional()).0),
        ("gru", |x| x.gru(2, Recurrent::new().batch_first()).0),
        ("embedding", |x| x.convert(I32).embedding(1, 2).convert(F64) * x.expand_dims(-1)),
    ];
    for (name, make) in layers {
        for zero in 0..3 {
            let mut shape = [2, 3, 4];
            shape[zero] = 0;
            let g = Graph::new();
            let x = g.input("x", F64, shape);
            let y = make(x);
            g.output("y", y);
            g.output("slope", g.grad(y.sum(), &[x])[0]);
            match g.compile() {
                Ok(mut query) => {
                    let ran = query.run(&[("x", &Tensor::zeros(x.ty()))]);
                    assert!(ran.is_ok(), "{name} {shape:?}: {:?}", ran.err());
                }
                Err(error) => assert!(error.to_string().contains("f64["), "{name} {shape:?}: {error}"),
            }
        }
    }
}
