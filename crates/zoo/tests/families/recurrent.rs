use bespoke_nn::{F32, Graph};
use bespoke_zoo::recurrent::{Kind, SequenceClassifier};

use crate::{floats, integers, parameters, parameters_of, small, sound_and_learns, uniform};

#[test]
fn all_learn() {
    // Which half of the sequence is loud?
    let label = |row: usize| row % 3 % 2;
    let sequence = floats([24, 10, 3], |i| {
        let loud = i / 3 % 10 / 5 == label(i / 30);
        uniform(i, 41) * if loud { 1.0 } else { 0.2 } - 0.3
    });
    let labels = integers([24], label);
    for name in ["elman", "lstm", "gru"] {
        let inputs = [("sequence", &sequence), ("label", &labels)];
        sound_and_learns(name, &small(name), &inputs, &["sequence"], (120, 0.5));
    }
}

#[test]
fn parameters_are_those_of_the_gates() {
    let layer = |gates: usize, i: usize, h: usize| gates * h * (i + h + 2);
    let head = 256 * 10 + 10;
    assert_eq!(parameters_of("elman"), layer(1, 128, 256) + head);
    assert_eq!(parameters_of("lstm"), layer(4, 128, 256) + head);
    assert_eq!(parameters_of("gru"), layer(3, 128, 256) + head);
    let model =
        SequenceClassifier { layers: 2, bidirectional: true, ..SequenceClassifier::new(Kind::Lstm, 20, 5) };
    let count = parameters(|g| {
        g.input("sequence", F32, [2, 7, 3]).apply(&model);
    });
    assert_eq!(count, 2 * layer(4, 3, 20) + 2 * layer(4, 40, 20) + 40 * 5 + 5);
}

#[test]
fn both_directions_see_the_whole_sequence() {
    // The logits move with the first step and with the last.
    for (bidirectional, layers) in [(false, 1), (true, 1), (true, 2)] {
        let model = SequenceClassifier { bidirectional, layers, ..SequenceClassifier::new(Kind::Gru, 6, 2) };
        let g = Graph::new();
        let x = g.input("x", F32, [1, 5, 3]);
        let logits = x.apply(&model);
        g.output("slope", g.grad(logits.slice(1, 0..1).sum(), &[x])[0].abs().sum_axes(&[0, 2]));
        let x = floats([1, 5, 3], |i| uniform(i, 42));
        let slopes = g.compile().unwrap().run(&[("x", &x)]).unwrap();
        let slopes = slopes.get("slope").unwrap().to_vec::<f32>().unwrap();
        assert!(slopes.iter().all(|&s| s > 1e-4), "{slopes:?}");
        // Forward in time, the first step has faded; from both ends it has not.
        assert_eq!(slopes[0] > 0.5 * slopes[2], bidirectional, "{slopes:?}");
    }
}
