//! Players that learn in turn.

use bespoke_nn::{Adam, Epochs, F32, Graph, Init, Objective, ReduceOnPlateau, Sgd, Trainer, Update};
use bespoke_tensor::Tensor;

use crate::common::{number, rows};

/// A critic and a generator, with the critic's loss first.
fn adversaries(g: &Graph, batch: usize) -> Objective {
    let x = g.input("x", F32, [batch, 3]);
    let made = g.scope("generator", || g.random_normal(F32, [batch, 2]).dense(4).tanh().dense(3));
    let [real, fake] = [x, made].map(|v| g.shared("critic", || v.dense(4).tanh().dense(1)));
    let critic = (-real).softplus() + fake.softplus();
    Objective::new(critic.mean()).player("generator", (-fake).softplus().mean())
}

#[test]
fn each_changes_its_own_alone() {
    let compile = |critic: f64, generator: f64| {
        let update = Update::new(Adam::new(critic)).only("critic/");
        let trainer = Trainer::of(4, adversaries, update);
        trainer.player("generator", Update::new(Adam::new(generator)).only("generator/")).compile().unwrap()
    };
    let start = compile(0.01, 0.01).parameters();
    for (critic, generator) in [(0.01, 0.0), (0.0, 0.01), (0.01, 0.01)] {
        let mut training = compile(critic, generator);
        let history = training.fit(&rows(10), &rows(6), Epochs(2)).unwrap();
        assert!(history.held_out[0].metric("generator").is_some_and(f64::is_finite), "{history:?}");
        for ((name, before), (_, after)) in start.iter().zip(training.parameters()) {
            let rate = if name.starts_with("critic/") { critic } else { generator };
            assert_eq!(*before == after, rate == 0.0, "{name} at rates {critic} and {generator}");
        }
        // The optimiser of each remembers its own.
        let names: Vec<String> = training.states().into_iter().map(|s| s.0).collect();
        assert!(names.iter().any(|n| n.starts_with("adam/critic/")), "{names:?}");
        assert!(names.iter().any(|n| n.starts_with("generator/adam/generator/")), "{names:?}");
        assert!(
            !names.iter().any(|n| n.contains("adam/") && n.contains("generator/adam/critic/")),
            "{names:?}"
        );
    }
}

#[test]
fn the_second_sees_what_the_first_has_changed() {
    // min over u of u·v·x̄, then max over v: by hand, with x = 1.
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let [u, v] =
        [("u", 2.0), ("v", 3.0)].map(|(name, start)| g.parameter(name, F32, [], Init::Constant(start)));
    let product = (x * (u * v)).mean();
    let trainer =
        Trainer::new(Objective::new(product).player("max", -product), Update::new(Sgd::new(0.5)).only("u"));
    let mut training = trainer.player("max", Update::new(Sgd::new(0.5)).only("v")).compile().unwrap();
    let ones = Tensor::full([2], 1.0f32);
    let (mut by_hand_u, mut by_hand_v) = (2.0f64, 3.0f64);
    for _ in 0..4 {
        training.step(&[("x", &ones)]).unwrap();
        by_hand_u -= 0.5 * by_hand_v;
        by_hand_v += 0.5 * by_hand_u;
        assert_eq!((number(&training, "u"), number(&training, "v")), (by_hand_u, by_hand_v));
    }
}

#[test]
fn players_are_to_be_named_on_both_sides() {
    let error = |trainer: Trainer| {
        let Err(error) = trainer.compile() else { panic!("expected a mistake") };
        error.to_string()
    };
    let critic = || Update::new(Sgd::new(0.1)).only("critic/");
    let unsaid = error(Trainer::of(4, adversaries, critic()));
    assert!(unsaid.ends_with("player: how `generator` learns is not said"), "{unsaid}");
    let generator = || Update::new(Sgd::new(0.1)).only("generator/");
    let trainer = Trainer::of(4, adversaries, critic()).player("generator", generator());
    let unknown = error(trainer.player("judge", generator()));
    assert!(unknown.ends_with("player: the objective has no player `judge`"), "{unknown}");
}

#[test]
fn a_plateau_keeps_how_much_faster_one_learns() {
    let update = |rate: f64, prefix: &str| Update::new(Adam::new(rate)).only(prefix);
    let trainer = Trainer::of(4, adversaries, update(1e-4, "critic/"));
    let trainer = trainer.player("generator", update(4e-4, "generator/"));
    // The loss has to fall by 100 to count.
    let plateau = ReduceOnPlateau::new(0.5, 1).min_delta(100.0).lowest(1e-4);
    let mut training = trainer.callback(plateau).compile().unwrap();
    training.fit(&rows(10), &rows(6), Epochs(3)).unwrap();
    let rate = |name: &str| number(&training, name);
    assert_eq!(rate("adam/learning_rate"), f64::from(1e-4f32));
    assert_eq!(rate("generator/adam/learning_rate"), f64::from(1e-4f32));
    training.set_learning_rate(0.5).unwrap();
    training.scale_learning_rate(0.5, 0.0).unwrap();
    assert_eq!(training.learning_rate(), 0.25);
}
