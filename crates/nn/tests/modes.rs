//! What differs between training and query, and losses of extreme logits.

use bespoke_graph::Op;
use bespoke_nn::{Conv, F32, Graph, I32, Init, Norm, Value};
use bespoke_tensor::{Scalar, Tensor, Type};

fn near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{got}, expected {expected}");
    }
}

#[test]
fn batch_norm_follows_batches_in_training_and_uses_what_it_followed_in_queries() {
    let x = Tensor::from_slice([4, 2], &[1.0f32, 0.0, 3.0, 0.0, 5.0, 10.0, 7.0, 10.0]).unwrap();
    let model = |train: bool| {
        let g = Graph::new();
        let x = g.input("x", F32, [4, 2]);
        let scale = g.parameter("scale", F32, [2], Init::Constant(1.0));
        g.output("y", x.batch_norm(Norm::new().affine(false)) * scale);
        if train {
            g.set_next(scale, scale * 1.0);
        }
        g.compile().unwrap()
    };
    let mut step = model(true);
    let y = step.run(&[("x", &x)]).unwrap();
    // Means 4 and 5, biased variances 5 and 25.
    let unit = [3.0 / 5f32.sqrt(), 1.0 / 5f32.sqrt()];
    let expected = [-unit[0], -1.0, -unit[1], -1.0, unit[1], 1.0, unit[0], 1.0];
    near(&y.get("y").unwrap().to_vec::<f32>().unwrap(), &expected);
    let state = |query: &mut bespoke_nn::Query, name: &str| {
        query.executable().state(&format!("batch_norm0/{name}")).unwrap().to_vec::<f32>().unwrap()
    };
    near(&state(&mut step, "running_mean"), &[0.4, 0.5]);
    // Unbiased: 20/3 and 100/3.
    near(&state(&mut step, "running_var"), &[0.9 + 20.0 / 30.0, 0.9 + 100.0 / 30.0]);

    let mut query = model(false);
    let set = |query: &mut bespoke_nn::Query, name: &str, values: [f32; 2]| {
        let value = Tensor::from_slice([2], &values).unwrap();
        query.executable().set_state(&format!("batch_norm0/{name}"), &value).unwrap();
    };
    set(&mut query, "running_mean", [1.0, 2.0]);
    set(&mut query, "running_var", [4.0, 16.0]);
    let y = query.run(&[("x", &x)]).unwrap();
    near(&y.get("y").unwrap().to_vec::<f32>().unwrap(), &[0.0, -0.5, 1.0, -0.5, 2.0, 2.0, 3.0, 2.0]);
    near(&state(&mut query, "running_mean"), &[1.0, 2.0]);
}

#[test]
fn a_query_keeps_nothing_of_training() {
    let g = Graph::new();
    let x = g.input("x", F32, [4, 2]);
    g.output("y", x.batch_norm(Norm::new()));
    let mut query = g.compile().unwrap();
    let program = query.executable().program().to_string();
    assert!(!program.contains("reduce"), "batch statistics are left: {program}");
}

type Loss = for<'g> fn(Value<'g>, Value<'g>, Value<'g>) -> Value<'g>;

/// Losses of logits `[4,3]`, targets of 0 and 1 of that shape, and labels.
const LOSSES: [(&str, Loss); 6] = [
    ("cross_entropy", |x, _, labels| x.cross_entropy(labels)),
    ("cross_entropy_smoothed", |x, _, labels| x.cross_entropy_smoothed(labels, 0.1)),
    ("soft_cross_entropy", |x, t, _| x.soft_cross_entropy(t.softmax(-1))),
    ("binary_cross_entropy", |x, t, _| x.binary_cross_entropy(t)),
    ("focal", |x, t, _| x.focal(t, 0.25, 2.0)),
    ("hinge", |x, t, _| x.hinge(t * 2.0 - 1.0)),
];

#[test]
fn losses_of_extreme_logits_and_their_gradients_are_finite() {
    let logits = [1e4f32, -1e4, 0.0, -1e4, -1e4, -1e4, 1e4, 1e4, 1e4, -1e4, 1e4, 1e-4];
    for (name, loss) in LOSSES {
        let g = Graph::new();
        let x = g.input("x", F32, [4, 3]);
        let t = g.input("t", F32, [4, 3]);
        let labels = g.input("labels", I32, [4]);
        let loss = loss(x, t, labels).mean();
        g.output("loss", loss);
        g.output("gradient", g.grad(loss, &[x])[0]);
        let targets = Tensor::from_fn(t.ty(), |i| f64::from(u8::from(i % 2 == 0)).into());
        let labels = Tensor::from_slice([4], &[1i32, 0, 2, 1]).unwrap();
        let x = Tensor::from_slice([4, 3], &logits).unwrap();
        let live: Vec<(&str, &Tensor)> = vec![("x", &x), ("t", &targets), ("labels", &labels)];
        let mut query = g.compile().unwrap();
        let program = query.executable().program();
        let known: Vec<String> = program.inputs.iter().map(|i| i.0.clone()).collect();
        let given: Vec<_> = live.into_iter().filter(|i| known.iter().any(|k| k == i.0)).collect();
        let outputs = query.run(&given).unwrap();
        for (what, value) in outputs.iter() {
            let finite = value.scalars().all(|s| s.to_f64().is_finite());
            assert!(finite, "{name}: {what} is {:?}", value.to_vec::<f32>().unwrap());
        }
    }
}

#[test]
fn a_frozen_query_folds_what_depends_on_constants_alone_and_keeps_what_changes() {
    let g = Graph::new();
    let x = g.input("x", F32, [2, 3, 8, 8]);
    let h = x.conv(4, 3, Conv::new()).batch_norm(Norm::new()).relu();
    let runs = g.state("runs", &Tensor::scalar(5.0f32));
    g.output("y", h + runs);
    g.set_next(runs, runs + 1.0);
    let mut query = g.compile().unwrap();
    for (name, least) in [("running_mean", 0.5f32), ("running_var", 2.0), ("weight", 0.1), ("bias", -0.3)] {
        let name = format!("batch_norm0/{name}");
        let values = [least, least + 1.0, least + 2.0, least + 3.0];
        query.executable().set_state(&name, &Tensor::from_slice([4], &values).unwrap()).unwrap();
    }
    let mut frozen = query.freeze().unwrap();
    assert_eq!(frozen.parameters(), []);
    let states: Vec<String> = frozen.executable().states().map(|s| s.0.to_owned()).collect();
    assert_eq!(states, ["runs"]);
    let image = Tensor::from_fn(Type::new(F32, [2, 3, 8, 8]), |i| Scalar::F64((i % 11) as f64 - 5.0));
    let run = |query: &mut bespoke_nn::Query| {
        let outputs = query.run(&[("x", &image)]).unwrap();
        outputs.get("y").unwrap().to_vec::<f32>().unwrap()
    };
    let first = run(&mut query);
    near(&run(&mut frozen), &first);
    let second = run(&mut query);
    near(&run(&mut frozen), &second);
    assert_eq!(second[0], first[0] + 1.0);
    let operators = frozen.graph().ids().filter(|&id| matches!(frozen.graph().node(id).op, Op::StateRead(_)));
    assert_eq!(operators.count(), 1);
}
