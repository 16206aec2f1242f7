//! What happens between gradients and new parameters: accumulation, clipping, groups, constraints, averages, several updates.

use std::collections::BTreeMap;

use bespoke_nn::{
    Adam, AdamW, Constraint, Conv, F32, F64, Graph, Group, Init, Query, RmsProp, Sgd, Trainer, Update,
    averages,
};
use bespoke_tensor::{Scalar, Shape, Tensor, Type};

/// Numbers within ±1 that are no pattern.
fn wave(shape: &[usize], phase: f64) -> Tensor {
    let ty = Type::new(F64, Shape::new(shape).unwrap());
    Tensor::from_fn(ty, |i| Scalar::F64(((i + 1) as f64 * 1.7 + phase).sin()))
}

fn states(step: &mut Query) -> BTreeMap<String, Vec<f64>> {
    let program = step.executable();
    let names: Vec<String> = program.states().map(|s| s.0.to_owned()).collect();
    let numbers = |t: Tensor| t.scalars().map(|s| s.to_f64()).collect();
    names.into_iter().map(|n| (n.clone(), numbers(program.state(&n).unwrap()))).collect()
}

fn near(got: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= tolerance * (1.0 + e.abs()), "{what}: {got:?}, expected {expected:?}");
    }
}

/// The step of a small net on batches of `x` [rows,3] and `t` [rows].
fn regression(rows: usize, update: impl Into<Update>) -> Query {
    let g = Graph::with_seed(3);
    let (x, t) = (g.input("x", F64, [rows, 3]), g.input("t", F64, [rows]));
    let error = x.dense(4).tanh().dense(1).reshape([rows]) - t;
    g.minimize((error * error).mean(), update);
    g.compile().unwrap()
}

fn rows(of: &Tensor, from: usize, count: usize) -> Tensor {
    let ty = of.ty();
    let each = ty.elements() / ty.shape[0];
    let mut dims = ty.shape.to_vec();
    dims[0] = count;
    Tensor::from_fn(Type::new(F64, Shape::new(&dims).unwrap()), |i| of.get(from * each + i))
}

#[test]
fn accumulation_is_one_step_on_all_micro_batches() {
    let updates: [fn() -> Update; 4] = [
        || Sgd::new(0.5).momentum(0.9).nesterov().into(),
        || Update::new(Adam::new(0.1).amsgrad()).clip_norm(0.1).average(0.75),
        || {
            Update::new(AdamW::new(0.1))
                .clip_value(0.05)
                .constrain("dense1/weight", Constraint::max_norm(0.5))
        },
        || RmsProp::new(0.1).momentum(0.5).centered().into(),
    ];
    for (case, update) in updates.into_iter().enumerate() {
        let (mut whole, mut micro) = (regression(16, update()), regression(4, update().accumulate(4)));
        for step in 0..3 {
            let (x, t) = (wave(&[16, 3], step as f64), wave(&[16], 5.0 + step as f64));
            whole.run(&[("x", &x), ("t", &t)]).unwrap();
            for part in 0..4 {
                let before = states(&mut micro);
                let (x, t) = (rows(&x, 4 * part, 4), rows(&t, 4 * part, 4));
                micro.run(&[("x", &x), ("t", &t)]).unwrap();
                for (name, value) in states(&mut micro) {
                    if part < 3 && !name.starts_with("accumulate/") {
                        assert_eq!(value, before[&name], "{case}: {name} changed at part {part}");
                    }
                }
            }
            let got = states(&mut micro);
            for (name, value) in states(&mut whole) {
                near(&got[&name], &value, 1e-12, &format!("{case}: {name} after step {step}"));
            }
            assert!(
                got.iter().filter(|s| s.0.starts_with("accumulate/")).all(|s| s.1.iter().all(|v| *v == 0.0))
            );
        }
    }
}

#[test]
fn an_average_follows_the_parameters_from_their_start() {
    let mut step = regression(8, Update::new(Sgd::new(0.5)).average(0.75));
    let names = ["dense0/weight", "dense0/bias", "dense1/weight", "dense1/bias"];
    let mut expected: Vec<Vec<f64>> = names.iter().map(|&n| states(&mut step)[n].clone()).collect();
    for i in 0..3 {
        step.run(&[("x", &wave(&[8, 3], i as f64)), ("t", &wave(&[8], 4.0))]).unwrap();
        let now = states(&mut step);
        for (name, expected) in names.iter().zip(&mut expected) {
            expected.iter_mut().zip(&now[*name]).for_each(|(a, w)| *a = 0.75 * *a + 0.25 * w);
            assert_ne!(now[*name], *expected);
            near(&now[&format!("average/{name}")], expected, 1e-14, name);
        }
    }
    let program = step.executable();
    let all: Vec<String> = program.states().map(|s| s.0.to_owned()).collect();
    let averages = averages(all.into_iter().map(|n| (n.clone(), program.state(&n).unwrap())));
    assert_eq!(averages.iter().map(|a| a.0.as_str()).collect::<Vec<_>>(), names);
}

#[test]
fn groups_have_their_own_rate_and_decay() {
    // Loss −Σ of all: each gradient is −1, so that a step is η(1 − λw).
    let g = Graph::new();
    let parameter = |name: &str| g.parameter(name, F64, [2], Init::Constant(2.0));
    let all = ["a/x", "a/b/x", "a/b/y", "c"].map(parameter);
    let loss = -all.iter().map(|p| p.sum()).reduce(|a, b| a + b).unwrap();
    let update = Update::new(Sgd::new(0.5).weight_decay(0.25))
        .group("a/", Group::new().rate(0.1))
        .group("a/b/", Group::new().rate(0.01).decay(0.0))
        .group("a/b/y", Group::new().frozen());
    g.minimize(loss, update);
    let mut step = g.compile().unwrap();
    step.run(&[]).unwrap();
    let now = states(&mut step);
    near(&now["a/x"], &[2.025; 2], 1e-12, "a/x");
    near(&now["a/b/x"], &[2.005; 2], 1e-12, "a/b/x");
    near(&now["c"], &[2.25; 2], 1e-12, "c");
    assert!(
        !now.contains_key("a/b/y"),
        "a frozen parameter takes no part in a step that needs no value of it"
    );
    // Rates of groups are factors: they follow the rate that is set.
    step.executable().set_state("sgd/learning_rate", &Tensor::scalar(0.0f32)).unwrap();
    step.run(&[]).unwrap();
    assert_eq!(states(&mut step)["a/x"], now["a/x"]);
}

#[test]
fn frozen_parameters_have_no_gradient() {
    let step = |frozen: bool| {
        let g = Graph::with_seed(3);
        let x = g.input("x", F64, [8, 3]);
        let loss = x.dense(4).tanh().dense(1).squared_norm();
        let update = Update::new(Adam::new(0.1)).clip_norm(1.0);
        g.minimize(loss, if frozen { update.group("dense0/", Group::new().frozen()) } else { update });
        g.compile().unwrap()
    };
    let (mut all, mut last) = (step(false), step(true));
    last.run(&[("x", &wave(&[8, 3], 0.0))]).unwrap();
    let fresh = states(&mut all);
    for (name, value) in states(&mut last) {
        assert_eq!(
            name.starts_with("dense0/"),
            fresh[&name] == value && name != "adam/learning_rate",
            "{name}"
        );
    }
    assert!(states(&mut last).keys().all(|n| !n.starts_with("adam/dense0")));
    let kernels = |step: &mut Query| step.executable().kernels();
    assert!(kernels(&mut last) < kernels(&mut all), "the gradient of what is frozen is computed");
}

/// The value of `w` after a step that adds `change` to it.
fn constrained(start: &Tensor, change: f64, constraint: Constraint) -> Vec<f64> {
    let g = Graph::new();
    let w = g.parameter("w", F64, start.shape(), Init::Constant(0.0));
    g.minimize(-w.sum(), Update::new(Sgd::new(change)).constrain("w", constraint));
    let mut step = g.compile().unwrap();
    step.executable().set_state("w", start).unwrap();
    step.run(&[]).unwrap();
    states(&mut step).remove("w").unwrap()
}

#[test]
fn constraints_hold_after_each_step() {
    let matrix = Tensor::from_slice([2, 3], &[3.0, 0.3, 0.0, 4.0, 0.4, 0.0]).unwrap();
    let near = |got: Vec<f64>, expected: &[f64]| near(&got, expected, 1e-12, "constraint");
    near(constrained(&matrix, 0.0, Constraint::max_norm(1.0)), &[0.6, 0.3, 0.0, 0.8, 0.4, 0.0]);
    near(constrained(&matrix, 0.0, Constraint::unit_norm()), &[0.6, 0.6, 0.0, 0.8, 0.8, 0.0]);
    let row = [3.0, 0.3, 0.0].map(|w| w / 9.09f64.sqrt());
    let rows = constrained(&matrix, 0.0, Constraint::max_norm(1.0).over(&[-1]));
    near(rows[..3].to_vec(), &row);
    // Of a kernel, features are the first axis.
    let kernel = matrix.reshape(Shape::new(&[2, 1, 3]).unwrap()).unwrap();
    near(constrained(&kernel, 0.0, Constraint::unit_norm())[..3].to_vec(), &row);
    let vector = Tensor::from_slice([3], &[-1.0, 0.25, 2.0]).unwrap();
    near(constrained(&vector, 0.5, Constraint::non_negative()), &[0.0, 0.75, 2.5]);
    near(constrained(&vector, 0.5, Constraint::within(-0.25, 1.0)), &[-0.25, 0.75, 1.0]);
}

#[test]
fn norms_of_units_bound_dense_and_convolutional_layers_but_no_biases() {
    let g = Graph::with_seed(1);
    let x = g.input("x", F64, [2, 3, 6, 6]);
    let y = x.conv2d(4, 3, Conv::new()).relu().reshape([2, 64]).dense(5);
    let update = Update::new(Sgd::new(10.0)).constrain("", Constraint::max_norm(0.125));
    g.minimize((y - 1.0).squared_norm(), update);
    let mut step = g.compile().unwrap();
    step.run(&[("x", &wave(&[2, 3, 6, 6], 0.0))]).unwrap();
    let now = states(&mut step);
    let norm = |w: Vec<f64>| w.iter().map(|w| w * w).sum::<f64>().sqrt();
    let mut norms: Vec<f64> = now["conv2d0/weight"].chunks(27).map(|w| norm(w.to_vec())).collect();
    norms.extend((0..5).map(|u| norm(now["dense0/weight"].iter().skip(u).step_by(5).copied().collect())));
    assert!(norms.iter().all(|n| *n <= 0.125 + 1e-12), "{norms:?}");
    assert!(norms.iter().any(|n| *n > 0.12), "{norms:?}");
    assert!(norm(now["dense0/bias"].clone()) > 1.0);
}

#[test]
fn two_players_of_one_graph_leave_each_other_alone() {
    /// The steps of a generator and a critic, both or one of them.
    fn players(which: &[&str]) -> Query {
        let g = Graph::with_seed(7);
        let noise = g.input("noise", F64, [8, 2]);
        let made = g.scope("generator", || noise.dense(4).tanh().dense(3));
        let verdict = g.scope("critic", || made.dense(4).tanh().dense(1)).mean();
        for &name in which {
            let loss = if name == "critic" { verdict } else { -verdict };
            let update = Update::new(Adam::new(0.1)).clip_norm(0.5).accumulate(2).average(0.5);
            g.minimize(loss, update.only(&format!("{name}/")).named(name));
        }
        let mut step = g.compile().unwrap();
        for i in 0..4 {
            step.run(&[("noise", &wave(&[8, 2], i as f64))]).unwrap();
        }
        step
    }
    let both = states(&mut players(&["critic", "generator"]));
    for name in ["critic", "generator"] {
        assert!(both.contains_key(&format!("{name}/adam/learning_rate")));
        assert!(both.contains_key(&format!("{name}/adam/{name}/dense0/weight/first")), "{:?}", both.keys());
        assert!(both.contains_key(&format!("average/{name}/dense0/weight")));
    }
    // With one player alone the other stays.
    let alone = states(&mut players(&["critic"]));
    let start = {
        let g = Graph::with_seed(7);
        let noise = g.input("noise", F64, [8, 2]);
        g.output("y", g.scope("generator", || noise.dense(4).tanh().dense(3)));
        states(&mut g.compile().unwrap())
    };
    for (name, value) in &start {
        assert_eq!(&alone[name], value, "{name}");
        assert_ne!(&both[name], value, "{name}");
    }
}

#[test]
fn gradients_of_two_players_are_those_at_the_values_before() {
    let g = Graph::new();
    let (u, v) =
        (g.parameter("u", F64, [], Init::Constant(2.0)), g.parameter("v", F64, [], Init::Constant(3.0)));
    g.minimize(u * v, Update::new(Sgd::new(0.5)).only("u").named("min"));
    g.minimize(-(u * v), Update::new(Sgd::new(0.5)).only("v").named("max"));
    let mut step = g.compile().unwrap();
    step.run(&[]).unwrap();
    let now = states(&mut step);
    assert_eq!((now["u"][0], now["v"][0]), (0.5, 4.0));
}

#[test]
fn parameters_of_two_element_types_are_clipped_together() {
    let g = Graph::new();
    let a = g.parameter("a", F32, [2], Init::Constant(3.0));
    let b = g.parameter("b", F64, [], Init::Constant(4.0));
    let loss = (a.convert(F64) * a.convert(F64)).sum() * 0.5 + b * b * 0.5;
    g.minimize(loss, Update::new(Sgd::new(1.0).momentum(0.5)).clip_norm(1.0).accumulate(1));
    let mut step = g.compile().unwrap();
    step.run(&[]).unwrap();
    let norm = 34f64.sqrt();
    let now = states(&mut step);
    near(&now["a"], &[3.0 - 3.0 / norm; 2], 1e-6, "a");
    near(&now["b"], &[4.0 - 4.0 / norm], 1e-6, "b");
}

#[test]
fn a_trainer_takes_updates_by_name() {
    let g = Graph::new();
    let x = g.input("x", F32, [4, 3]);
    let trainer = Trainer::new(x.dense(2).squared_norm(), Update::new(Adam::new(0.1)).named("first"));
    let mut training = trainer.compile().unwrap();
    training.set_learning_rate(0.25).unwrap();
    assert_eq!(training.state("first/adam/learning_rate").unwrap().get(0).to_f64(), 0.25);
    // Boxed, an optimiser can be chosen at run time.
    let boxed: Box<dyn bespoke_nn::Optimizer> = Box::new(Sgd::new(0.1));
    assert_eq!(Update::from(boxed).rate_name(), "sgd/learning_rate");
}

fn mistake(update: impl Into<Update>, with: impl Fn(&Graph)) -> String {
    let g = Graph::new();
    let x = g.input("x", F64, [4, 3]);
    let loss = x.dense(2).squared_norm();
    with(&g);
    g.minimize(loss, update);
    let error = g.finish().unwrap_err().to_string();
    assert!(error.contains("tests/update.rs:"), "{error}");
    error.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn mistakes_are_named() {
    let sgd = || Update::new(Sgd::new(0.1));
    let none = |_: &Graph| ();
    let cases = [
        (
            mistake(sgd().group("encoder/", Group::new()), none),
            "group: no parameter's name starts with `encoder/`",
        ),
        (mistake(sgd().only("encoder/"), none), "only: no parameter's name starts with `encoder/`"),
        (
            mistake(sgd().only("dense0/weight").group("dense0/bias", Group::new()), none),
            "group: no parameter's name starts with `dense0/bias`",
        ),
        (
            mistake(sgd().constrain("dense1", Constraint::unit_norm()), none),
            "constrain: no parameter's name starts with `dense1`",
        ),
        (
            mistake(sgd().constrain("dense0/bias", Constraint::unit_norm()), none),
            "constrain: all parameters `dense0/bias…` are vectors or scalars, which have no norm of units",
        ),
        (
            mistake(sgd().constrain("dense0", Constraint::max_norm(0.0)), none),
            "constrain: expected a limit above 0 of the norm, got 0",
        ),
        (
            mistake(sgd().constrain("dense0", Constraint::within(1.0, -1.0)), none),
            "constrain: expected bounds low ≤ high, got 1 and -1",
        ),
        (mistake(sgd().accumulate(0), none), "accumulate: expected at least 1 step, got 0"),
        (mistake(sgd().average(1.0), none), "average: expected a decay within [0, 1), got 1"),
        (mistake(sgd().clip_norm(f64::NAN), none), "clip_norm: expected a limit above 0, got NaN"),
        (mistake(sgd().clip_value(-1.0), none), "clip_value: expected a limit above 0, got -1"),
        (
            mistake(sgd().group("dense0/", Group::new().rate(-1.0)), none),
            "group `dense0/`: expected a rate of 0 or above, got -1",
        ),
        (
            mistake(sgd(), |g| g.freeze("dense0/")),
            "there is nothing to train: all of 2 parameters are frozen or left out",
        ),
    ];
    for (got, expected) in &cases {
        assert_eq!(got, expected);
    }
    let unused = mistake(sgd(), |g| _ = g.parameter("unused", F64, [], Init::Constant(1.0)));
    assert!(unused.starts_with("grad: the loss does not depend differentiably on "), "{unused}");
    assert!(unused.ends_with("(state `unused`)"), "{unused}");
    let twice = {
        let g = Graph::new();
        let w = g.parameter("w", F64, [], Init::Constant(1.0));
        g.minimize(w, sgd());
        g.minimize(w, sgd().named("second"));
        g.finish().unwrap_err().to_string()
    };
    assert!(twice.contains("tests/update.rs:"), "{twice}");
    assert!(twice.ends_with("state `w` has a next value already"), "{twice}");
    let axis = mistake(sgd().constrain("dense0/weight", Constraint::unit_norm().over(&[2])), none);
    assert!(axis.contains("axis 2 is out of range"), "{axis}");
}

#[test]
fn a_graph_without_parameters_is_named() {
    let g = Graph::new();
    let x = g.input("x", F64, [4]);
    let Err(error) = Trainer::new(x.sum(), Sgd::new(0.1)).compile() else { panic!("nothing is trained") };
    assert!(error.to_string().ends_with("there is nothing to train: the graph has no parameters"), "{error}");
}
