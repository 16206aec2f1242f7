use bespoke_nn::{F32, Graph, I32, Init};
use bespoke_tensor::Tensor;
use bespoke_zoo::charmodel::CharModel;

use crate::{integers, parameters_of, small, sound_and_learns};

fn token(i: usize) -> usize {
    [1, 3, 0, 3, 2, 3][i % 6]
}

#[test]
fn it_learns() {
    let tokens = integers([4, 12], |i| token(i / 12 + i % 12));
    let targets = integers([4, 12], |i| token(i / 12 + i % 12 + 1));
    let inputs = [("tokens", &tokens), ("targets", &targets)];
    sound_and_learns("char-lstm", &small("char-lstm"), &inputs, &["tokens"], (150, 0.6));
}

#[test]
fn parameters_are_those_of_the_layers() {
    let lstm = |i: usize| 4 * 256 * (i + 256 + 2);
    assert_eq!(parameters_of("char-lstm"), 256 * 64 + lstm(64) + lstm(256) + 257 * 256);
}

const TINY: CharModel = CharModel { vocabulary: 5, embedding: 3, hidden: 4, layers: 2, dropout: 0.0 };

/// The logits of two rows of ten tokens.
fn whole(tokens: &Tensor) -> Vec<f32> {
    let g = Graph::new();
    g.output("logits", g.input("tokens", I32, [2, 10]).apply(&TINY));
    let outputs = g.compile().unwrap().run(&[("tokens", tokens)]).unwrap();
    outputs.get("logits").unwrap().to_vec().unwrap()
}

/// Positions `from..to` of each of two rows of ten.
fn piece<T: Copy>(all: &[T], from: usize, to: usize) -> Vec<T> {
    let width = all.len() / 20;
    all.chunks(10 * width).flat_map(|row| row[from * width..to * width].to_vec()).collect()
}

fn near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{got}, expected {expected}");
    }
}

#[test]
fn training_goes_on_where_the_last_batch_ended() {
    let tokens = integers([2, 10], |i| i * 7 % 5);
    let expected = whole(&tokens);
    let g = Graph::new();
    let logits = TINY.carry_on(g.input("tokens", I32, [2, 5]));
    g.output("logits", logits);
    let query = g.query_graph(&[("logits", logits)]).unwrap();
    assert!(query.states().iter().all(|s| !s.name.starts_with("carried")), "a query starts from zeros");
    let w = g.parameter("w", F32, [], Init::Constant(0.0));
    g.set_next(w, w + 1.0); // a training step
    let mut step = g.compile().unwrap();
    for from in [0, 5] {
        let tokens = Tensor::from_vec([2, 5], piece(tokens.view::<i32>().unwrap(), from, from + 5)).unwrap();
        let outputs = step.run(&[("tokens", &tokens)]).unwrap();
        near(outputs.get("logits").unwrap().view().unwrap(), &piece(&expected, from, from + 5));
    }
}

#[test]
fn characters_can_be_given_one_at_a_time() {
    let tokens = integers([2, 10], |i| i * 3 % 5);
    let expected = whole(&tokens);
    let g = Graph::new();
    let states = ["hidden", "cell"].map(|name| g.input(name, F32, [2, 2, 4]));
    let (logits, next) = TINY.run(g.input("tokens", I32, [2, 1]), Some(states));
    for (name, value) in ["logits", "hidden", "cell"].iter().zip([logits, next[0], next[1]]) {
        g.output(&format!("next {name}"), value);
    }
    let mut query = g.compile().unwrap();
    let mut states = [0, 1].map(|_| Tensor::full([2, 2, 4], 0.0f32));
    for at in 0..10 {
        let token = Tensor::from_vec([2, 1], piece(tokens.view::<i32>().unwrap(), at, at + 1)).unwrap();
        let outputs = query.run(&[("tokens", &token), ("hidden", &states[0]), ("cell", &states[1])]).unwrap();
        near(outputs.get("next logits").unwrap().view().unwrap(), &piece(&expected, at, at + 1));
        states = ["next hidden", "next cell"].map(|name| outputs.get(name).unwrap().clone());
    }
}
