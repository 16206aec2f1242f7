//! Models as users write them: right results, and clear errors for every mistake.

use bespoke_compiler::{Config, compile};
use bespoke_data::TensorDataset;
use bespoke_graph::{EvalError, Values, eval};
use bespoke_nn::{Epochs, F32, F64, Graph, I32, I64, Init, Sgd, TrainError, Trainer, Training, U8, Value};
use bespoke_tensor::{Scalar, Tensor, Type};

/// Points on two rings: class 0 inside, class 1 outside.
fn rings(n: usize) -> TensorDataset {
    let at = |i: usize| {
        let (angle, radius) = (i as f64 * 2.399, if i.is_multiple_of(2) { 0.5 } else { 1.5 });
        (radius * angle.cos(), radius * angle.sin())
    };
    let x = Tensor::from_fn(Type::new(F32, [n, 2]), |i| {
        Scalar::F64(if i.is_multiple_of(2) { at(i / 2).0 } else { at(i / 2).1 })
    });
    let y = Tensor::from_fn(Type::new(I32, [n]), |i| Scalar::I64((i % 2) as i64));
    TensorDataset::new("rings", [("x", x), ("y", y)]).unwrap()
}

fn network(g: &Graph, batch: usize) -> (Value<'_>, Value<'_>) {
    let (x, y) = (g.input("x", F32, [batch, 2]), g.input("y", I32, [batch]));
    (x.dense_with(16, Init::HeNormal, true).tanh().dense(2), y)
}

fn training(threads: usize, rate: f64) -> Training {
    let g = Graph::new();
    let (logits, y) = network(&g, 16);
    let trainer = Trainer::new(logits.cross_entropy(y).mean(), Sgd::new(rate).momentum(0.9));
    trainer.metric("accuracy", logits.accuracy(y)).threads(threads).compile().unwrap()
}

#[test]
fn learns_and_gives_the_same_bits_on_any_number_of_threads() {
    let (train, test) = (rings(200), rings(41)); // 41 rows: the last batch is not full
    let mut histories = vec![];
    for threads in [1, 2, 1] {
        let mut t = training(threads, 0.2);
        histories.push((t.fit(&train, &test, Epochs(20)).unwrap(), t.parameters()));
    }
    assert_eq!(histories[0], histories[1]);
    assert_eq!(histories[0], histories[2]);
    let last = histories[0].0.held_out.last().unwrap();
    assert_eq!(last.metric("accuracy"), Some(1.0), "{last:?}");
}

#[test]
fn a_saved_model_classifies_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rings.safetensors");
    let (train, test) = (rings(64), rings(41));
    let mut t = training(1, 0.2);
    t.fit(&train, &test, Epochs(3)).unwrap();
    t.save(&path).unwrap();
    let mut again = training(1, 0.2);
    again.load(&path).unwrap();
    assert_eq!(t.evaluate(&test).unwrap(), again.evaluate(&test).unwrap());

    // A damaged file, at every length, is an error and changes nothing.
    let whole = std::fs::read(&path).unwrap();
    let before = again.parameters();
    for length in (0..whole.len()).step_by(13) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = again.load(&path).unwrap_err().to_string();
        assert!(error.contains("rings.safetensors"), "{error}");
    }
    assert_eq!(again.parameters(), before);

    // Another model's file.
    let g = Graph::new();
    let (x, y) = (g.input("x", F32, [16, 2]), g.input("y", I32, [16]));
    let logits = x.dense(3);
    let mut other = Trainer::new(logits.cross_entropy(y).mean(), Sgd::new(0.1)).compile().unwrap();
    std::fs::write(&path, &whole).unwrap();
    let error = other.load(&path).unwrap_err();
    assert!(
        error.to_string().ends_with("tensor `dense0/weight`: expected f32[2,3], got f32[2,16]"),
        "{error}"
    );

    let error = t.save(dir.path().join("no/such/folder.safetensors")).unwrap_err().to_string();
    assert!(error.contains("folder.safetensors"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_training_and_keeps_the_parameters() {
    let (train, test) = (rings(64), rings(16));
    let mut t = training(1, 1e39); // infinite as f32
    let before = t.parameters();
    let error = t.fit(&train, &test, Epochs(5)).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { epoch: 1, .. }), "{error}");
    assert_eq!(t.parameters(), before);
}

#[test]
fn data_that_do_not_fit_are_refused() {
    let mut t = training(1, 0.1);
    let before = t.parameters();
    let data = |fields: &[(&str, Tensor)]| TensorDataset::new("data", fields.to_vec()).unwrap();
    let x = Tensor::zeros(Type::new(F32, [32, 2]));
    let labels = |at: usize, value: i64| {
        Tensor::from_fn(Type::new(I64, [32]), |i| Scalar::I64(if i == at { value } else { 1 }))
    };
    for (data, expected) in [
        (
            data(&[("x", Tensor::zeros(Type::new(F32, [32, 3]))), ("y", labels(0, 0))]),
            "input `x` is a batch f32[16,2]; field `x` of data is f32[3]",
        ),
        (
            data(&[("x", labels(0, 0)), ("y", x.clone())]),
            "input `x` is a batch f32[16,2]; field `x` of data is i64[]",
        ),
        (
            data(&[("first", x.clone()), ("second", x.clone())]),
            "input `y` is a batch i32[16]; field `second` of data is f32[2]",
        ),
        (data(&[("x", x.clone())]), "the model has the inputs `x`, `y`; the fields of data are `x`"),
        (
            data(&[("x", x.clone()), ("y", labels(21, 7))]),
            "data: y 7 at index 21; the model expects values from 0 to 1",
        ),
        (
            data(&[("x", x.clone()), ("y", labels(21, -1))]),
            "data: y -1 at index 21; the model expects values from 0 to 1",
        ),
    ] {
        let error = t.fit(&data, &data, Epochs(1)).unwrap_err().to_string();
        assert_eq!((error.as_str(), t.parameters()), (expected, before.clone()));
    }
    let few = rings(5);
    let error = t.fit(&few, &few, Epochs(1)).unwrap_err().to_string();
    assert_eq!(error, "rings: 5 rows do not fill a batch of 16");
}

#[test]
fn fields_are_taken_by_name_then_in_order_whatever_their_shape_and_integers() {
    let (x, y) = (
        Tensor::from_fn(Type::new(U8, [32, 1, 2]), |i| Scalar::I64(i as i64 % 5)),
        Tensor::zeros(Type::new(U8, [32])),
    );
    let data = |fields: &[(&str, &Tensor)]| {
        TensorDataset::new("data", fields.iter().map(|&(name, t)| (name, t.clone()))).unwrap()
    };
    let mut t = training(1, 0.1);
    let floats = Tensor::from_fn(Type::new(F32, [32, 2]), |i| x.get(i));
    let labels = Tensor::zeros(Type::new(I32, [32]));
    let expected = t.evaluate(&data(&[("x", &floats), ("y", &labels)])).unwrap();
    for fields in
        [&[("y", &y), ("z", &x), ("x", &x)][..], &[("x", &x), ("label", &y)], &[("a", &floats), ("b", &y)]]
    {
        assert_eq!(t.evaluate(&data(fields)).unwrap(), expected);
    }
    // What does not fit the model's integers is told, not wrapped.
    let g = Graph::new();
    let (x, y) = (g.input("x", F32, [4, 1]), g.input("y", U8, [4, 1]));
    let mut t = Trainer::new((x.dense_with(1, Init::HeNormal, true) * y.convert(F32)).mean(), Sgd::new(0.1))
        .compile()
        .unwrap();
    let (x, y) = (Tensor::zeros(Type::new(F32, [4])), Tensor::from_slice([4], &[0, 255, 256, 1]).unwrap());
    let error = t.evaluate(&data(&[("x", &x), ("y", &y)])).unwrap_err().to_string();
    assert_eq!(error, "data: y 256 at index 2; the model expects u8");
}

#[test]
fn mistakes_are_reported_with_their_line() {
    let g = Graph::new();
    let x = g.input("x", F32, [4, 28, 28]);
    let y = x.dense(10); // the mistake
    let line = line!() - 1;
    let z = (y + 1.0).tanh().cross_entropy(g.input("label", I32, [4]));
    let error = g.finish().unwrap_err().to_string();
    let expected = format!(
        "tests/training.rs:{line}: dense: expected a matrix, got f32[4,28,28]; flatten the last axes first"
    );
    assert!(error.ends_with(&expected), "{error}");
    assert!(Trainer::new(z.mean(), Sgd::new(0.1)).compile().is_err());

    for (make, message) in [
        (
            (|g| {
                _ = g.input("a", F32, [2]) + g.input("b", F32, [3]);
            }) as fn(&Graph),
            "add: f32[2] and f32[3] do not broadcast",
        ),
        (
            |g| {
                g.input("a", F32, [2, 3]).matmul(g.input("b", F32, [2, 3]));
            },
            "matmul: f32[2,3] and f32[2,3]: 3 columns do not meet 2 rows",
        ),
        (
            |g| {
                g.input("a", I32, [2]).tanh();
            },
            "tanh(i32[2]): expected floats, got i32[2]",
        ),
        (
            |g| {
                _ = g.input("a", F32, [2]) + g.input("b", F64, [2]);
            },
            "expected two operands of one type, got f32[2] and f64[2]",
        ),
        (
            |g| {
                g.input("a", F32, [2]).sum_axes(&[1]);
            },
            "sum: axis 1 is out of range for f32[2]",
        ),
        (
            |g| {
                g.input("a", F32, [2]).reshape([3]);
            },
            "reshape(f32[2])",
        ),
        (
            |g| {
                g.input("a", F32, [2]);
                g.input("a", F32, [2]);
            },
            "there is an input or state `a` already",
        ),
        (
            |g| {
                let a = g.input("a", F32, [2]);
                g.grad(a, &[a]);
            },
            "expected a loss of one float",
        ),
    ] {
        let g = Graph::new();
        make(&g);
        let error = g.finish().unwrap_err().to_string();
        assert!(error.contains("training.rs:") && error.contains(message), "{error}");
    }
}

fn evaluate(g: &Graph) -> Result<Values, EvalError> {
    let starts = g.start_values();
    eval(&g.finish().unwrap(), &|name| starts.iter().find(|s| s.0 == name).map(|s| s.1.clone()))
}

#[test]
fn losses_are_stable_for_extreme_logits() {
    let g = Graph::new();
    let logits = g.tensor(&Tensor::from_vec([3, 2], vec![1e4f32, -1e4, 0.0, 0.0, -1e4, 1e4]).unwrap());
    let labels = g.tensor(&Tensor::from_vec([3], vec![0i32, 1, 0]).unwrap());
    g.output("loss", logits.cross_entropy(labels));
    g.output("softmax", logits.softmax(1));
    let values = evaluate(&g).unwrap();
    assert_eq!(values.outputs["loss"].to_vec::<f32>().unwrap(), [0.0, 2f32.ln(), 2e4]);
    assert_eq!(values.outputs["softmax"].to_vec::<f32>().unwrap(), [1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
}

#[test]
fn activations_have_the_values_and_slopes_of_their_formulas() {
    type Case = (&'static str, fn(Value<'_>) -> Value<'_>, fn(f64) -> f64);
    let cases: [Case; 7] = [
        ("relu", |x| x.relu(), |x| x.max(0.0)),
        ("leaky", |x| x.leaky_relu(0.1), |x| x.max(0.1 * x)),
        ("sigmoid", |x| x.sigmoid_slope(2.0), |x| 1.0 / (1.0 + (-2.0 * x).exp())),
        ("elu", |x| x.elu(1.5), |x| if x > 0.0 { x } else { 1.5 * x.exp_m1() }),
        ("silu", |x| x.silu(), |x| x / (1.0 + (-x).exp())),
        ("softplus", |x| x.softplus(), |x| x.exp().ln_1p()),
        (
            "gelu tanh",
            |x| x.gelu_tanh(),
            |x| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
        ),
    ];
    let points = [-3.1, -0.7, -0.01, 0.02, 0.9, 4.2];
    for (name, f, reference) in cases {
        let g = Graph::new();
        let x = g.tensor(&Tensor::from_slice([points.len()], &points).unwrap());
        let y = f(x);
        g.output("y", y);
        g.output("slope", g.grad(y.sum(), &[x])[0]);
        let values = evaluate(&g).unwrap();
        for (i, &p) in points.iter().enumerate() {
            let slope = (reference(p + 1e-6) - reference(p - 1e-6)) / 2e-6;
            let (y, d) = (values.outputs["y"].get(i).to_f64(), values.outputs["slope"].get(i).to_f64());
            assert!((y - reference(p)).abs() < 1e-12, "{name}({p}) = {y}");
            assert!((d - slope).abs() < 1e-8, "{name}'({p}) = {d}, expected {slope}");
        }
    }
}

#[test]
fn random_numbers_differ_from_run_to_run_and_repeat_with_the_seed() {
    let draw = |seed: u64| {
        let g = Graph::with_seed(seed);
        g.output("u", g.random_uniform(F32, [1000]));
        g.output("n", g.random_normal(F64, [1000]));
        g.output("b", g.random_bernoulli(0.25, [1000]));
        let mut program = compile(&g.finish().unwrap(), &Config::default(), &mut |_| ()).unwrap();
        for (name, value) in g.start_values() {
            program.set_state(&name, &value).unwrap();
        }
        let mut runs = vec![];
        for _ in 0..2 {
            let outputs = program.run(&[]).unwrap();
            runs.push(["u", "n", "b"].map(|n| outputs.get(n).unwrap().clone()));
        }
        runs
    };
    let (a, b, c) = (draw(1), draw(1), draw(2));
    assert_eq!(a, b);
    assert_ne!(a[0], a[1]);
    assert_ne!(a[0], c[0]);
    let mean = |t: &Tensor| t.scalars().map(|s| s.to_f64()).sum::<f64>() / t.elements() as f64;
    assert!(
        (mean(&a[0][0]) - 0.5).abs() < 0.04
            && mean(&a[0][1]).abs() < 0.13
            && (mean(&a[0][2]) - 0.25).abs() < 0.06
    );
}
