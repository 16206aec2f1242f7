//! Pruned graphs become smaller and compute the same.

use bespoke_graph::{Graph as Ir, eval};
use bespoke_nn::{
    Compact, Conv, Epochs, F32, F64, Graph, I32, Init, Norm, Pool, Prune, Query, Recurrent, Sgd, Trainer,
    Value, compact, live_part,
};
use bespoke_tensor::{Scalar, Shape, Tensor, Type};

/// Numbers within ±1 that are no pattern.
fn noise(ty: Type, seed: usize) -> Tensor {
    Tensor::from_fn(ty, |i| Scalar::F64((((i + 1) * 7919 + 104_729 * seed) as f64 * 0.618_033_988_7).sin()))
}

/// Small numbers that look random: a linear congruential generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// A query's graph with values of its parameters that are noise, so that biases count too.
fn query(build: impl Fn(&Graph)) -> (Ir, Vec<(String, Tensor)>) {
    let g = Graph::new();
    build(&g);
    let query = g.compile().unwrap();
    let values = query.parameters().into_iter().enumerate().map(|(i, (name, start))| {
        let value = noise(start.ty(), i);
        let positive = name.ends_with("running_var");
        let number =
            |i: usize| if positive { value.get(i).to_f64().abs() + 0.5 } else { value.get(i).to_f64() };
        (name, Tensor::from_fn(value.ty(), |i| Scalar::F64(number(i))))
    });
    (query.graph().clone(), values.collect())
}

/// Sets to zero what `zero` says of the indices of a parameter.
fn clear(values: &mut [(String, Tensor)], name: &str, zero: impl Fn(&[usize]) -> bool) {
    let value = &mut values.iter_mut().find(|v| v.0 == name).unwrap_or_else(|| panic!("no `{name}`")).1;
    let (shape, strides) = (value.shape(), value.shape().strides());
    *value = Tensor::from_fn(value.ty(), |i| {
        let index: Vec<usize> = (0..shape.rank()).map(|a| i / strides[a] % shape[a]).collect();
        if zero(&index) { Scalar::F64(0.0) } else { value.get(i) }
    });
}

fn outputs(graph: &Ir, values: &[(String, Tensor)], seed: usize) -> Vec<f64> {
    let value = |name: &str| values.iter().find(|v| v.0 == name).map(|v| v.1.clone());
    let input = |name: &str| graph.source(name).map(|id| noise(graph.ty(id), 1000 + seed));
    let found = eval(graph, &|name| value(name).or_else(|| input(name))).unwrap();
    found.outputs.values().flat_map(|t| t.scalars().map(|s| s.to_f64()).collect::<Vec<_>>()).collect()
}

/// Compacts, and checks that the outputs are the same.
fn compacted(graph: &Ir, values: &[(String, Tensor)]) -> Compact {
    let small = compact(graph, values).unwrap();
    assert_eq!(bespoke_graph::verify(&small.graph), Vec::<String>::new());
    for seed in 0..2 {
        let (before, after) = (outputs(graph, values, seed), outputs(&small.graph, &small.values, seed));
        assert_eq!(before.len(), after.len());
        for (a, b) in before.iter().zip(&after) {
            assert!(
                (a - b).abs() <= 1e-11 * (1.0 + a.abs()),
                "{a} became {b}:\n{graph:?}\n{:?}",
                small.graph
            );
        }
    }
    small
}

fn layers(small: &Compact) -> Vec<(&str, usize, usize)> {
    small.report.layers.iter().map(|l| (l.0.as_str(), l.1, l.2)).collect()
}

fn mlp(g: &Graph) {
    let x = g.input("x", F64, [5, 6]);
    g.output("y", x.dense(8).relu().dense(8).relu().dense(3));
}

#[test]
fn units_without_outgoing_or_incoming_weights_go() {
    let (graph, mut values) = query(mlp);
    assert_eq!(layers(&compacted(&graph, &values)), []);
    clear(&mut values, "dense1/weight", |i| [1, 4].contains(&i[0])); // units 1 and 4 of the first layer feed nothing
    clear(&mut values, "dense0/weight", |i| [2, 4, 6].contains(&i[1])); // 2, 4 and 6 are constant
    clear(&mut values, "dense1/weight", |i| i[1] == 7); // 7 of the second is constant
    let small = compacted(&graph, &values);
    assert_eq!(layers(&small), [("dense0", 8, 4), ("dense1", 8, 7)]);
    assert_eq!(small.report.parameters, (6 * 8 + 8 + 64 + 8 + 24 + 3, 6 * 4 + 4 + 4 * 7 + 7 + 7 * 3 + 3));
    assert!(small.report.flop.1 < 0.7 * small.report.flop.0, "{}", small.report);
    let text = small.report.to_string();
    assert!(
        text.starts_with("dense0: 8 → 4 units\ndense1: 8 → 7 units\nparameters: 155 → 87\nwork: "),
        "{text}"
    );
    // Constants went into the biases: nothing is added that was not there.
    let additions = |graph: &Ir| graph.to_string().matches("= add ").count();
    assert_eq!(additions(&small.graph), additions(&graph), "{:?}", small.graph);
}

#[test]
fn what_only_constants_feed_is_constant_too() {
    let (graph, mut values) = query(mlp);
    clear(&mut values, "dense0/weight", |i| i[1] < 3);
    // Unit 5 of the second layer sees only units 0 to 2 of the first.
    clear(&mut values, "dense1/weight", |i| i[1] == 5 && i[0] >= 3);
    assert_eq!(layers(&compacted(&graph, &values)), [("dense0", 8, 5), ("dense1", 8, 7)]);
}

#[test]
fn a_layer_keeps_one_unit() {
    let (graph, mut values) = query(mlp);
    clear(&mut values, "dense0/weight", |_| true);
    let small = compacted(&graph, &values);
    assert_eq!(layers(&small)[0], ("dense0", 8, 1));
}

#[test]
fn folding_needs_no_bias() {
    let (graph, mut values) = query(|g| {
        let x = g.input("x", F64, [5, 6]);
        let h = x.dense(8).sigmoid().dense_with(4, Init::GlorotUniform, false);
        g.output("y", h.tanh());
        g.output("z", h.exp());
        // A weight [outputs,inputs] in front, and one that is used twice.
        let w = g.parameter("w", F64, [9, 6], Init::GlorotUniform);
        let hidden = x.linear(w, None).tanh();
        let v = g.parameter("v", F64, [2, 9], Init::GlorotUniform);
        g.output("a", hidden.linear(v, None));
        g.output("b", (hidden * 2.0 + 1.0).linear(v, None));
    });
    clear(&mut values, "dense0/weight", |i| i[1] < 3);
    clear(&mut values, "w", |i| i[0] >= 7);
    assert_eq!(layers(&compacted(&graph, &values)), [("dense0", 8, 5), ("w", 9, 7)]);
}

#[test]
fn a_bias_of_several_sums_is_left_alone() {
    let (graph, mut values) = query(|g| {
        let x = g.input("x", F64, [5, 6]);
        let bias = g.parameter("bias", F64, [4], Init::Constant(0.0));
        let y = x.dense(8).cos().dense_with(4, Init::GlorotUniform, false) + bias;
        g.output("y", y);
        g.output("z", x.dense_with(4, Init::GlorotUniform, false) + bias);
    });
    clear(&mut values, "dense0/weight", |i| i[1] < 3);
    assert_eq!(layers(&compacted(&graph, &values)), [("dense0", 8, 5)]);
}

/// Convolutions, normalisation, pooling and flattening.
fn lenet(g: &Graph, padding: usize) {
    let x = g.input("x", F64, [2, 3, 12, 12]);
    let y = x.conv2d(6, 3, Conv::new()).batch_norm(Norm::new()).relu().max_pool2d(2, Pool::new());
    let y = y.conv2d(8, 3, Conv::new().padding(padding)).relu().avg_pool2d(2, Pool::new());
    let features = y.shape()[1..].iter().product::<usize>();
    g.output("y", y.reshape([2, features]).dense(7).tanh().dense(4));
}

#[test]
fn channels_go_through_normalisation_pooling_and_flattening() {
    let (graph, mut values) = query(|g| lenet(g, 0));
    clear(&mut values, "conv2d0/weight", |i| [0, 3].contains(&i[0]));
    clear(&mut values, "conv2d1/weight", |i| i[0] == 5 || i[1] == 1);
    // All positions of channel 2 of the flattened image.
    let positions = graph.ty(graph.source("dense0/weight").unwrap()).shape[0] / 8;
    clear(&mut values, "dense0/weight", |i| i[0] / positions == 2);
    let small = compacted(&graph, &values);
    assert_eq!(layers(&small), [("conv2d0", 6, 3), ("conv2d1", 8, 6)]);
}

#[test]
fn a_constant_that_meets_padding_stays() {
    let (graph, mut values) = query(|g| lenet(g, 1));
    clear(&mut values, "conv2d0/weight", |i| i[0] < 3);
    // Behind normalisation and relu, a channel without weights is relu(bias − mean · weight / √…), which may be 0.
    let small = compacted(&graph, &values);
    let lost = layers(&small).first().map_or(0, |l| l.1 - l.2);
    let number = |name: &str, i: usize| values.iter().find(|v| v.0 == name).unwrap().1.get(i).to_f64();
    let dead = |i: &usize| {
        let centred = number("conv2d0/bias", *i) - number("batch_norm0/running_mean", *i);
        let scale = number("batch_norm0/weight", *i) / (number("batch_norm0/running_var", *i) + 1e-5).sqrt();
        centred * scale + number("batch_norm0/bias", *i) <= 0.0
    };
    let expected = (0..3).filter(dead).count();
    assert!(expected == 1 || expected == 2, "some of both kinds, or this tests nothing: {expected}");
    assert_eq!(lost, expected);
}

#[test]
fn depthwise_convolutions_lose_channels_with_their_operand() {
    let (graph, mut values) = query(|g| {
        let x = g.input("x", F64, [2, 3, 8, 8]);
        let y = x.conv2d(6, 3, Conv::new()).relu().separable_conv(5, 3, Conv::new().padding(1));
        g.output("y", y.relu().global_avg_pool().dense(2));
    });
    clear(&mut values, "conv2d0/weight", |i| i[0] == 2);
    clear(&mut values, "conv2d0/bias", |i| i[0] == 2);
    clear(&mut values, "separable0/conv0/weight", |i| i[0] == 4);
    clear(&mut values, "separable0/conv1/weight", |i| i[1] == 5 || i[0] == 0);
    assert_eq!(layers(&compacted(&graph, &values)), [("conv2d0", 6, 3), ("separable0/conv1", 5, 4)]);
}

#[test]
fn all_branches_must_do_without_a_unit() {
    let (graph, mut values) = query(|g| {
        let x = g.input("x", F64, [5, 6]);
        let h = x.dense(8).relu();
        let h = h + h.dense(8).relu(); // a residual branch
        g.output("y", h.dense(3));
        g.output("z", h.dense(2));
    });
    clear(&mut values, "dense2/weight", |i| i[0] < 4);
    assert_eq!(layers(&compacted(&graph, &values)), []);
    clear(&mut values, "dense3/weight", |i| i[0] < 5);
    assert_eq!(layers(&compacted(&graph, &values)), []);
    // The branch sees units 0 and 1 no more; 2 is seen by it still.
    clear(&mut values, "dense1/weight", |i| i[0] < 2);
    assert_eq!(layers(&compacted(&graph, &values)), [("dense0", 8, 6)]);
}

#[test]
fn what_mixes_units_keeps_them() {
    let nets: [fn(Value<'_>) -> Value<'_>; 6] = [
        |h| h.softmax(-1),
        |h| h.layer_norm(1, Norm::new()),
        |h| h.slice(1, 2..6),
        |h| h.reverse(&[1]),
        |h| h.reshape([5, 4, 2]).max_axes(&[1]),
        |h| h * h.max_keep(&[1]),
    ];
    for (i, mix) in nets.into_iter().enumerate() {
        let (graph, mut values) = query(|g| {
            let x = g.input("x", F64, [5, 6]);
            g.output("y", mix(x.dense(8).relu()).dense(3));
        });
        clear(&mut values, "dense0/weight", |i| i[1] < 3);
        assert_eq!(layers(&compacted(&graph, &values)), [], "net {i}");
    }
}

#[test]
fn recurrent_layers_take_fewer_inputs_and_keep_their_units() {
    let (graph, mut values) = query(|g| {
        let x = g.input("x", F64, [5, 6]);
        let h = x.dense(8).relu().reshape([1, 5, 8]).lstm(4, Recurrent::new()).0;
        g.output("y", h.reshape([5, 4]).dense(3));
    });
    clear(&mut values, "dense0/weight", |i| i[1] < 3);
    clear(&mut values, "dense1/weight", |i| i[0] < 2);
    assert_eq!(layers(&compacted(&graph, &values)), [("dense0", 8, 5)]);
}

#[test]
fn outputs_and_inputs_keep_their_types() {
    let (graph, mut values) = query(|g| {
        let x = g.input("x", F64, [5, 6]);
        let h = x.dense(8).relu();
        g.output("h", h.t());
        g.output("y", h.dense(3));
    });
    clear(&mut values, "dense0/weight", |i| i[1] < 3 || i[0] == 2);
    clear(&mut values, "dense1/weight", |i| i[0] < 3);
    let small = compacted(&graph, &values);
    assert_eq!(layers(&small), []);
    assert_eq!(small.graph, live_part(&graph));
}

/// A net of random layers, and random rows and columns of its weights set to zero.
fn random_net(seed: u64) -> (Ir, Vec<(String, Tensor)>) {
    let (graph, mut values) = query(|g| {
        let mut dice = Dice(seed);
        let mut y = g.input("x", F64, [2, 3, 9, 9]);
        for _ in 0..1 + dice.below(3) {
            let options = Conv::new().padding(dice.below(2)).bias(dice.below(3) > 0);
            y = match dice.below(6) {
                0 => y.depthwise_conv(1 + dice.below(2), 2, options),
                1 => y + y.conv2d(y.shape()[1], 3, Conv::new().padding(1)).tanh(),
                2 => y.separable_conv(4, 2, options),
                _ => y.conv2d(2 + dice.below(5), 2, options),
            };
            y = match dice.below(6) {
                0 => y.batch_norm(Norm::new()).relu(),
                1 => y.max_pool2d(2, Pool::new()).sigmoid(),
                2 => y.avg_pool2d(2, Pool::new().stride(1)).elu(1.0),
                3 => y.prelu(),
                4 => y.group_norm(1, Norm::new()).relu(),
                _ => y.relu6(),
            };
        }
        let shape = y.shape();
        y = match dice.below(3) {
            0 => y.global_avg_pool(),
            1 => y.transpose(&[0, 2, 3, 1]).reshape([2, shape[1..].iter().product::<usize>()]),
            _ => y.reshape([2, shape[1..].iter().product::<usize>()]),
        };
        for _ in 0..dice.below(4) {
            let width = y.shape()[1];
            let units = 2 + dice.below(8);
            y = match dice.below(7) {
                0 => y + y.dense(width).relu(),
                1 => y.dense(units).layer_norm(1, Norm::new()),
                2 => y.dense(units).gelu(),
                3 => y.maxout(units, 2),
                4 => (y.dense(units).cos() * 0.5 + y.dense(units).sigmoid()).tanh(),
                5 => y.dense_with(units, Init::GlorotUniform, false).leaky_relu(0.1),
                _ => y.dense(units).relu(),
            };
        }
        g.output("y", y.dense(3));
        if dice.below(3) == 0 {
            g.output("z", y.dense(2).softmax(-1));
        }
    });
    let mut dice = Dice(seed ^ 0x5eed);
    let names: Vec<(String, Shape)> = values.iter().map(|v| (v.0.clone(), v.1.shape())).collect();
    for (name, shape) in names {
        for axis in 0..shape.rank() {
            let lost: Vec<usize> = (0..shape[axis]).filter(|_| dice.below(3) == 0).collect();
            if dice.below(2) == 0 && name.ends_with("weight") {
                clear(&mut values, &name, |i| lost.contains(&i[axis]));
            }
        }
    }
    (graph, values)
}

#[test]
fn random_nets_compute_the_same_with_fewer_units() {
    let mut smaller = 0;
    for seed in 0..80 {
        let (graph, values) = random_net(seed);
        let small = compacted(&graph, &values);
        if !small.report.layers.is_empty() {
            smaller += 1;
            let Compact { report, .. } = &small;
            assert!(
                report.parameters.1 < report.parameters.0 && report.flop.1 < report.flop.0,
                "{seed}: {report}"
            );
        }
        // There is nothing left to take.
        assert!(compact(&small.graph, &small.values).unwrap().report.layers.is_empty(), "{seed}");
    }
    assert!(smaller > 40, "only {smaller} of 80 became smaller");
}

#[test]
fn values_that_do_not_fit_are_named() {
    let (graph, mut values) = query(mlp);
    values[0].1 = Tensor::full([6, 8], f64::NAN);
    let error = compact(&graph, &values).unwrap_err().to_string();
    assert!(error.starts_with("compact: `dense0/weight` holds "), "{error}");
    values[0].1 = Tensor::full([6, 8], 0.0f32);
    let error = compact(&graph, &values).unwrap_err().to_string();
    assert_eq!(error, "compact: `dense0/weight`: expected f64[6,8], got f32[6,8]");
    // A state without a value may be anything.
    let small = compact(&graph, &values[1..]).unwrap();
    assert_eq!((small.report.layers.len(), small.values.len()), (0, values.len() - 1));
}

fn logits(g: &Graph, batch: usize) -> Value<'_> {
    let x = g.input("image", F32, [batch, 64]).reshape([batch, 1, 8, 8]);
    x.conv2d(8, 3, Conv::new()).relu().reshape([batch, 288]).dense(32).relu().dense(4)
}

#[test]
fn a_net_is_trained_pruned_trained_on_and_compacted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let data = {
        let class = |row: usize| row * 7 % 4;
        let pixel =
            |i: usize| (((i * 31) % 97) as f64 / 97.0 - 0.5) * 0.2 + f64::from(i % 4 == class(i / 64));
        let x = Tensor::from_fn(Type::new(F32, [256, 64]), |i| Scalar::F64(pixel(i)));
        let y = Tensor::from_fn(Type::new(I32, [256]), |i| Scalar::I64(class(i) as i64));
        bespoke_data::TensorDataset::new("stripes", [("image", x), ("label", y)]).unwrap()
    };
    let g = Graph::with_seed(2);
    let net = logits(&g, 32);
    let y = g.input("label", I32, [32]);
    g.prunable("conv2d0/");
    g.prunable("dense0/");
    let loss = net.cross_entropy(y).mean();
    let mut training = Trainer::new(loss, Sgd::new(0.05).momentum(0.9))
        .metric("accuracy", net.accuracy(y))
        .compile()
        .unwrap();
    training.fit(&data, &data, Epochs(2)).unwrap();
    let sparsity = Prune::share(0.5).units().apply(&mut training).unwrap();
    assert!((sparsity.total() - 0.5).abs() < 1e-9, "{sparsity}");
    let history = training.fit(&data, &data, Epochs(3)).unwrap();
    assert!(history.held_out.last().unwrap().metric("accuracy").unwrap() > 0.95, "{history:?}");
    training.save(&path).unwrap();

    let g = Graph::new();
    g.output("logits", logits(&g, 256));
    let mut query = g.compile().unwrap();
    query.load(&path).unwrap();
    let (mut small, report) = query.compact().unwrap();
    assert_eq!(report.layers, [("conv2d0".to_owned(), 8, 4), ("dense0".to_owned(), 32, 16)]);
    let run = |query: &mut Query| {
        let outputs = query.run(&[("image", data.field("image").unwrap())]).unwrap();
        outputs.get("logits").unwrap().to_vec::<f32>().unwrap()
    };
    for (a, b) in run(&mut query).iter().zip(run(&mut small)) {
        assert!((a - b).abs() <= 2e-5 * (1.0 + a.abs()), "{a} became {b}");
    }
    let elements = |query: &Query| query.parameters().iter().map(|p| p.1.elements()).sum::<usize>();
    assert_eq!((elements(&query), elements(&small)), report.parameters);
    assert!(3 * report.parameters.1 < report.parameters.0, "{report}");
    assert!(2.0 * report.flop.1 < report.flop.0, "{report}");
    let arenas = [&mut query, &mut small].map(|q| q.executable().arena_bytes());
    assert!(arenas[1] < arenas[0], "{arenas:?}");
    // It is a model as any other: saved, loaded by the same compact graph.
    small.save(&path).unwrap();
    let before = run(&mut small);
    small.load(&path).unwrap();
    assert_eq!(run(&mut small), before);
}
