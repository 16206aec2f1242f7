use bespoke_nn::{Adam, Graph, I32, Trainer};
use bespoke_tensor::Tensor;
use bespoke_zoo::{
    Options,
    seq2seq::{Seq2Seq, counted, shifted},
};

use crate::{architecture, integers, parameters_of, small, sound_and_learns};

/// A sentence of 1 to 4 words of 1 to 5; its translation has them in reverse, each one greater.
fn sentence(row: usize) -> [Vec<i32>; 2] {
    let words: Vec<i32> = (0..1 + row % 4).map(|i| ((row * 3 + i * (row / 4 + 2)) % 5 + 1) as i32).collect();
    let translated = words.iter().rev().map(|w| w + 1).collect();
    [words, translated]
}

/// Sentences `[rows,size]` and their translations.
fn sentences(rows: usize, size: usize) -> [Tensor; 2] {
    let padded = |words: Vec<i32>| (0..size).map(move |i| words.get(i).copied().unwrap_or(0));
    [0, 1].map(|side| {
        let words = (0..rows).flat_map(|row| padded(sentence(row)[side].clone())).collect();
        Tensor::from_vec([rows, size], words).unwrap()
    })
}

#[test]
fn it_learns() {
    let [source, target] = sentences(12, 6);
    let inputs = [("source", &source), ("target", &target)];
    sound_and_learns("seq2seq", &small("seq2seq"), &inputs, &["source"], (60, 0.8));
}

#[test]
fn parameters_are_those_of_the_layers() {
    let gru = |i: usize| 3 * 128 * (i + 128 + 2);
    let encoder = 1000 * 64 + 2 * gru(64) + 257 * 128;
    let attention = 128 * 128 + 128 * 256 + 128;
    let decoder = 1000 * 64 + gru(64) + attention + 385 * 128 + 129 * 1000;
    assert_eq!(parameters_of("seq2seq"), encoder + decoder);
}

#[test]
fn translations_are_learned_and_end_where_they_should() {
    let [source, target] = sentences(12, 6);
    let g = Graph::new();
    let parts = architecture("seq2seq").build(&g, &small("seq2seq"));
    let mut training =
        Trainer::new(parts.loss, Adam::new(0.02)).metric("accuracy", parts.metrics[0].1).compile().unwrap();
    let mut accuracy = 0.0;
    for _ in 0..300 {
        let outputs = training.step(&[("source", &source), ("target", &target)]).unwrap();
        accuracy = outputs.get("accuracy").unwrap().get(0).to_f64();
    }
    assert!(accuracy > 0.999, "{accuracy}");
    g.output("translation", parts.output);
    let mut query = g.compile().unwrap();
    for (name, value) in training.parameters() {
        query.executable().set_state(&name, &value).unwrap();
    }
    let outputs = query.run(&[("source", &source)]).unwrap();
    assert_eq!(outputs.get("translation").unwrap(), &target);
}

/// The loss of twelve sentences padded to a size, and its gradients by all parameters.
fn loss_and_slopes(size: usize) -> (f64, Vec<Vec<f32>>) {
    let g = Graph::new();
    let parts = architecture("seq2seq").build(&g, &Options { size, ..small("seq2seq") });
    let mut graph = g.finish().unwrap();
    graph.clear_outputs();
    let loss = parts.loss.node().unwrap();
    graph.set_output("loss", loss).unwrap();
    let wrt: Vec<_> = g.parameters().iter().map(|p| p.node).collect();
    for (i, d) in bespoke_autodiff::grad(&mut graph, loss, &wrt).unwrap().into_iter().enumerate() {
        graph.set_output(&format!("d{i}"), d).unwrap();
    }
    let [source, target] = sentences(12, size);
    let start: std::collections::BTreeMap<String, Tensor> = g.start_values().into_iter().collect();
    let source_of = |name: &str| match name {
        "source" => Some(source.clone()),
        "target" => Some(target.clone()),
        name => start.get(name).cloned(),
    };
    let outputs = bespoke_graph::eval(&graph, &source_of).unwrap().outputs;
    let slopes = (0..wrt.len()).map(|i| outputs[&format!("d{i}")].to_vec::<f32>().unwrap());
    (outputs["loss"].get(0).to_f64(), slopes.collect())
}

#[test]
fn padding_does_not_change_what_is_learned() {
    let (loss, slopes) = loss_and_slopes(5);
    for size in [6, 9] {
        let (padded, padded_slopes) = loss_and_slopes(size);
        assert!((padded - loss).abs() < 1e-6, "{padded}, expected {loss}");
        for (got, expected) in padded_slopes.iter().flatten().zip(slopes.iter().flatten()) {
            assert!((got - expected).abs() < 1e-6, "{got}, expected {expected}");
        }
    }
    assert!(slopes.iter().all(|s| s.iter().any(|&x| x != 0.0)), "a parameter has no slope");
}

#[test]
fn targets_are_shifted_and_counted_to_their_end() {
    let g = Graph::new();
    let target = g.input("target", I32, [3, 4]);
    g.output("shifted", shifted(target));
    g.output("counted", counted(target));
    let target = Tensor::from_vec([3, 4], vec![5, 6, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]).unwrap();
    let outputs = g.compile().unwrap().run(&[("target", &target)]).unwrap();
    let shifted = outputs.get("shifted").unwrap().to_vec::<i32>().unwrap();
    assert_eq!(shifted, [0, 5, 6, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    let counted = outputs.get("counted").unwrap().to_vec::<f32>().unwrap();
    assert_eq!(counted, [1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn words_behind_the_end_are_not_read() {
    // The decoder's logits do not depend on how far the source is padded.
    let logits = |size: usize| {
        let g = Graph::new();
        let model = Seq2Seq { source_words: 8, target_words: 8, embedding: 4, hidden: 6 };
        let memory = model.encode(g.input("source", I32, [4, size]));
        let words = g.tensor(&integers([4, 5], |i| i * 3 % 7));
        g.output("logits", model.decode(&memory, words, memory.start).0);
        let [source, _] = sentences(4, size);
        g.compile()
            .unwrap()
            .run(&[("source", &source)])
            .unwrap()
            .get("logits")
            .unwrap()
            .to_vec::<f32>()
            .unwrap()
    };
    let short = logits(4);
    for (got, expected) in logits(11).iter().zip(&short) {
        assert!((got - expected).abs() < 1e-6, "{got}, expected {expected}");
    }
}
