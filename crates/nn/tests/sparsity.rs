//! Penalties, and weights that are pruned.

use bespoke_nn::{Adam, F32, F64, Graph, Init, Prune, Query, Sgd, Sparsity, Update};
use bespoke_tensor::{Tensor, Type};

fn state(step: &mut Query, name: &str) -> Vec<f64> {
    step.executable().state(name).unwrap().scalars().map(|s| s.to_f64()).collect()
}

#[test]
fn penalties_are_the_norms_of_weights() {
    let g = Graph::new();
    let w = g.scope("layer", || g.parameter("weight", F64, [3, 1], Init::Constant(0.0)));
    g.scope("layer", || g.parameter("bias", F64, [3], Init::Constant(9.0)));
    g.scope("recurrent", || g.parameter("weight_ih_l0", F32, [2, 1], Init::Constant(-0.5)));
    g.scope("norm", || g.parameter("weight", F64, [3], Init::Constant(9.0)));
    g.output("l1", g.l1_penalty("layer/", 0.5));
    g.output("l2", g.l2_penalty("", 0.5));
    let elastic = g.elastic_penalty("layer", 0.5, 0.25);
    g.output("elastic", elastic);
    g.output("whole", g.l1_penalty("layer1/bias", 1.0));
    g.output("gradient", g.grad(elastic, &[w])[0]);
    let mut query = g.compile().unwrap();
    let value = Tensor::from_slice([3, 1], &[1.0, -2.0, 0.0]).unwrap();
    query.executable().set_state("layer/weight", &value).unwrap();
    let outputs = query.run(&[]).unwrap();
    let numbers = |name: &str| outputs.get(name).unwrap().scalars().map(|s| s.to_f64()).collect::<Vec<_>>();
    assert_eq!(numbers("l1"), [1.5]);
    assert_eq!(numbers("l2"), [2.75]);
    assert_eq!(numbers("elastic"), [2.75]);
    assert_eq!(numbers("whole"), [27.0]);
    // λ₁·sign w + 2λ₂w
    assert_eq!(numbers("gradient"), [1.0, -1.5, 0.0]);
}

#[test]
fn a_penalty_of_no_weight_is_a_mistake() {
    let message = |penalty: fn(&Graph)| {
        let g = Graph::new();
        g.scope("layer", || g.parameter("bias", F64, [3], Init::Constant(1.0)));
        penalty(&g);
        g.finish().unwrap_err().to_string()
    };
    let error = message(|g| _ = g.l1_penalty("dense", 0.1));
    assert!(error.ends_with("l1_penalty: no parameter's name starts with `dense`"), "{error}");
    let error = message(|g| _ = g.l2_penalty("layer/", 0.1));
    assert!(error.ends_with("l2_penalty: no parameter `layer/…` is a weight; name it whole"), "{error}");
    let error = message(|g| _ = g.l2_penalty("layer/bias", -0.1));
    assert!(error.ends_with("l2_penalty: expected a strength of 0 or above, got -0.1"), "{error}");
    let error = message(|g| g.prunable("layer/"));
    assert!(error.ends_with("prunable: no weight's name starts with `layer/`"), "{error}");
    assert!(error.contains("tests/sparsity.rs:"), "{error}");
}

/// A step of a net of which only the first two inputs matter.
fn two_of_eight(penalty: f64) -> Query {
    let g = Graph::with_seed(4);
    let x = g.input("x", F64, [32, 8]);
    let target = (x.slice(1, 0..2).sum_axes(&[1])).tanh();
    let error = x.dense(6).tanh().dense(1).reshape([32]) - target;
    g.prunable("");
    let loss = (error * error).mean();
    let loss = if penalty > 0.0 { loss + g.l1_penalty("", penalty) } else { loss };
    g.output("loss", loss);
    g.minimize(loss, Update::new(Adam::new(0.01)).average(0.9));
    g.compile().unwrap()
}

fn batch(seed: usize) -> Tensor {
    Tensor::from_fn(Type::new(F64, [32, 8]), |i| {
        (((i + 1 + 256 * seed) as f64 * 12.9898).sin() * 43758.5453 % 1.0).into()
    })
}

#[test]
fn pruned_weights_stay_zero_in_training() {
    let mut step = two_of_eight(0.0);
    for i in 0..3 {
        step.run(&[("x", &batch(i))]).unwrap(); // so that the optimiser remembers gradients
    }
    let sparsity = Prune::share(0.5).apply(step.executable()).unwrap();
    assert_eq!(
        sparsity.parameters,
        [("dense0/weight".to_owned(), 24, 48), ("dense1/weight".to_owned(), 3, 6)]
    );
    let before = state(&mut step, "dense0/weight");
    for i in 0..10 {
        step.run(&[("x", &batch(i))]).unwrap();
        let now = state(&mut step, "dense0/weight");
        for (old, new) in before.iter().zip(&now) {
            assert_eq!(*old == 0.0, *new == 0.0);
            assert!(*old == 0.0 || old != new, "what is not pruned learns");
        }
    }
    // The first moment forgets; nothing comes in.
    let moments = state(&mut step, "adam/dense0/weight/first");
    let largest = before.iter().zip(&moments).filter(|p| *p.0 == 0.0).map(|p| p.1.abs()).fold(0.0, f64::max);
    let free = before.iter().zip(&moments).filter(|p| *p.0 != 0.0).map(|p| p.1.abs()).fold(0.0, f64::max);
    assert!(largest < free, "{largest} {free}");
    assert_eq!(Sparsity::of(&step.parameters()[..1]).parameters[0].1, 24);
}

#[test]
fn an_l1_penalty_erodes_weights_that_do_not_matter() {
    let mut step = two_of_eight(2e-3);
    for i in 0..1500 {
        step.run(&[("x", &batch(i % 50))]).unwrap();
    }
    let sparsity = Prune::below(0.02).apply(step.executable()).unwrap();
    let first = state(&mut step, "dense0/weight");
    let lost = |input: usize| first[6 * input..6 * (input + 1)].iter().all(|w| *w == 0.0);
    assert!((2..8).all(lost), "{first:?}");
    assert!(!lost(0) && !lost(1), "{first:?}");
    assert!(sparsity.total() > 0.7, "{sparsity}");
    let loss = step.run(&[("x", &batch(0))]).unwrap().get("loss").unwrap().get(0).to_f64();
    assert!(loss < 0.03, "{loss}");
}

#[test]
fn masks_take_the_least_of_each_or_of_all() {
    let weights = [
        ("a".to_owned(), Tensor::from_slice([2, 2], &[0.1f32, -4.0, 3.0, -0.2]).unwrap()),
        ("b".to_owned(), Tensor::from_slice([2, 3], &[5.0f32, 9.0, -7.0, 6.0, 0.5, 8.0]).unwrap()),
    ];
    let masks = |prune: Prune| {
        let masks = prune.masks(&weights).unwrap();
        masks
            .into_iter()
            .map(|(_, m)| m.scalars().map(|s| s.to_f64() as u8).collect())
            .collect::<Vec<Vec<u8>>>()
    };
    assert_eq!(masks(Prune::share(0.5)), [vec![0, 1, 1, 0], vec![0, 1, 1, 0, 0, 1]]);
    assert_eq!(masks(Prune::share(0.4).global()), [vec![0, 1, 0, 0], vec![1, 1, 1, 1, 0, 1]]);
    assert_eq!(masks(Prune::below(0.5)), [vec![0, 1, 1, 0], vec![1; 6]]);
    assert_eq!(masks(Prune::share(0.0)), [vec![1; 4], vec![1; 6]]);
    assert_eq!(masks(Prune::share(1.0)), [vec![0; 4], vec![0; 6]]);
    // Columns: √(½(0.1² + 3²)) and √(½(4² + 0.2²)); √30.5, √40.6, √56.5.
    assert_eq!(masks(Prune::share(0.34).units()), [vec![0, 1, 0, 1], vec![0, 1, 1, 0, 1, 1]]);
    assert_eq!(masks(Prune::below(2.5).units()), [vec![0, 1, 0, 1], vec![1; 6]]);
    assert_eq!(masks(Prune::share(0.4).units().global()), [vec![0; 4], vec![1; 6]]);
    for wrong in [Prune::share(1.5), Prune::share(f64::NAN), Prune::below(-1.0)] {
        let error = wrong.masks(&weights).unwrap_err().to_string();
        assert!(error.starts_with("prune: expected a "), "{error}");
    }
}

#[test]
fn a_program_without_masks_is_not_pruned() {
    let g = Graph::new();
    let x = g.input("x", F32, [2, 3]);
    g.minimize(x.dense(2).squared_norm(), Sgd::new(0.1));
    let mut step = g.compile().unwrap();
    let error = Prune::share(0.5).apply(step.executable()).unwrap_err().to_string();
    assert!(error.starts_with("prune: the program has no masks"), "{error}");
}
