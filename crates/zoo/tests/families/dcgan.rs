use std::collections::BTreeMap;

use bespoke_graph::NodeId;
use bespoke_nn::{Graph, Sgd, Trainer};
use bespoke_tensor::Tensor;
use bespoke_zoo::Options;

use crate::{architecture, parameters_of, small, steps, waves};

#[test]
fn parameters_are_those_of_the_layers() {
    let generator = 100 * 128 * 49 + 2 * 128 + 128 * 64 * 16 + 2 * 64 + 64 * 16 + 1;
    let discriminator = 64 * 16 + 64 + 64 * 128 * 16 + 2 * 128 + 128 * 49 + 1;
    assert_eq!(parameters_of("dcgan"), generator + discriminator);
}

#[test]
fn graphs_are_sound_and_a_query_makes_images_of_noise() {
    let model = architecture("dcgan").model_with(&small("dcgan")).unwrap();
    for graph in [&model.query, &model.forward, &model.backward, &model.training] {
        assert_eq!(bespoke_graph::verify(graph), Vec::<String>::new());
    }
    assert_eq!(model.query.inputs().count(), 0);
    assert!(model.query.states().iter().all(|s| s.next.is_none() && !s.name.starts_with("discriminator")));
    assert_eq!(model.training.inputs().map(|i| i.0).collect::<Vec<_>>(), ["image"]);
    for (batch, sound) in [(0, true), (usize::MAX, false)] {
        assert_eq!(architecture("dcgan").model_with(&Options { batch, ..small("dcgan") }).is_ok(), sound);
    }
    let odd =
        architecture("dcgan").model_with(&Options { size: 30, ..small("dcgan") }).err().unwrap().to_string();
    assert!(odd.ends_with("dcgan: expected a size that 4 divides, got 30"), "{odd}");
}

#[test]
fn one_loss_has_the_gradients_of_both_players() {
    let g = Graph::new();
    let parts = architecture("dcgan").build(&g, &small("dcgan"));
    let parameters: Vec<_> = g.parameters().into_iter().filter(|p| p.trainable).collect();
    let mut graph = g.finish().unwrap();
    graph.clear_outputs();
    let mut count = 0;
    for (prefix, loss) in &parts.players {
        let own: Vec<_> = parameters.iter().filter(|p| p.name.starts_with(prefix)).collect();
        let wrt: Vec<NodeId> = own.iter().map(|p| p.node).collect();
        for (way, loss) in [("alone", *loss), ("both", parts.loss)] {
            let found = bespoke_autodiff::grad(&mut graph, loss.node().unwrap(), &wrt).unwrap();
            for (p, d) in own.iter().zip(found) {
                graph.set_output(&format!("{way} {}", p.name), d).unwrap();
            }
        }
        count += own.len();
    }
    assert_eq!(count, parameters.len());
    let start: BTreeMap<String, Tensor> = g.start_values().into_iter().collect();
    let source = |name: &str| match name {
        "image" => Some(waves([8, 1, 8, 8], 8)),
        "training" => Some(Tensor::scalar(true)),
        name => start.get(name).cloned(),
    };
    let outputs = bespoke_graph::eval(&graph, &source).unwrap().outputs;
    let numbers = |key: &str| outputs[key].scalars().map(|x| x.to_f64()).collect::<Vec<f64>>();
    for p in &parameters {
        let (alone, both) = (numbers(&format!("alone {}", p.name)), numbers(&format!("both {}", p.name)));
        let size = alone.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        assert!(size > 0.0, "{} does not learn", p.name);
        for (alone, both) in alone.iter().zip(both) {
            assert!((alone - both).abs() < 1e-5 * size, "{}: {both}, expected {alone}", p.name);
        }
    }
}

#[test]
fn players_learn_at_once() {
    let image = waves([8, 1, 8, 8], 8);
    let steps = steps("dcgan", &small("dcgan"), &[("image", &image)], 400);
    assert!(steps.iter().all(|s| s["loss"].is_finite()));
    let mean = |range: std::ops::Range<usize>, name: &str| {
        let count = range.len() as f64;
        steps[range].iter().map(|s| s[name]).sum::<f64>() / count
    };
    // At first nobody knows anything; then the discriminator tells them apart.
    assert!((mean(0..3, "real") - 0.5).abs() < 0.1 && (mean(0..3, "fake") - 0.5).abs() < 0.1);
    assert!(mean(380..400, "real") > mean(380..400, "fake") + 0.2, "{:?}", steps.last());
    assert!(mean(380..400, "discriminator") < 0.8 * steps[0]["discriminator"]);
}

#[test]
fn players_learn_in_alternation() {
    // Each player has a program of its own, in which the other is frozen; states go from one to the other.
    let program = |player: usize| {
        let g = Graph::new();
        let parts = architecture("dcgan").build(&g, &small("dcgan"));
        g.freeze(parts.players[1 - player].0);
        Trainer::new(parts.players[player].1, Sgd::new(0.1)).compile().unwrap()
    };
    let mut programs = [program(0), program(1)];
    let image = waves([8, 1, 8, 8], 8);
    // The generator alone, against a discriminator that stands still, becomes better; and the other way round.
    for player in [0, 1] {
        let mut losses = vec![];
        for _ in 0..60 {
            let outputs = programs[player].step(&[("image", &image)]).unwrap();
            losses.push(outputs.get("loss").unwrap().get(0).to_f64());
        }
        let early = losses[..5].iter().sum::<f64>() / 5.0;
        let late = losses[55..].iter().sum::<f64>() / 5.0;
        assert!(late < 0.9 * early, "player {player}: {losses:?}");
        let learned = programs[player].parameters();
        let other = &mut programs[1 - player];
        for (name, value) in learned.iter().filter(|p| !p.0.contains("running")) {
            if other.parameters().iter().any(|p| p.0 == *name) {
                other.set_state(name, value).unwrap();
            }
        }
    }
}
