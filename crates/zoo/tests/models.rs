//! Small architectures: their graphs are sound, their training steps learn, their queries ask for nothing but examples.

use std::collections::BTreeMap;

use bespoke_graph::{Graph, eval, verify};
use bespoke_tensor::Tensor;
use bespoke_zoo::{Architecture, find, sample_inputs};

/// Those that are small enough for the reference evaluator as they are.
fn small() -> [&'static Architecture; 3] {
    ["linear", "mlp", "lenet5"].map(|name| find(name).unwrap())
}

/// Steps of a graph by the reference evaluator; the outputs of each by name.
fn steps(graph: &Graph, start: &[(String, Tensor)], count: usize) -> Vec<BTreeMap<String, Tensor>> {
    let inputs: BTreeMap<String, Tensor> = sample_inputs(graph).into_iter().collect();
    let mut states: BTreeMap<String, Tensor> = start.iter().cloned().collect();
    let mut outputs = vec![];
    for _ in 0..count {
        let values = eval(graph, &|name| inputs.get(name).or_else(|| states.get(name)).cloned()).unwrap();
        states = values.states;
        outputs.push(values.outputs);
    }
    outputs
}

#[test]
fn architectures_are_sound_and_learn() {
    for architecture in small() {
        let name = architecture.name;
        let model = architecture.model(2).unwrap();
        for (stage, graph) in [
            ("query", &model.query),
            ("forward", &model.forward),
            ("backward", &model.backward),
            ("training", &model.training),
        ] {
            assert_eq!(verify(graph), Vec::<String>::new(), "{name}, {stage}");
            let text = graph.to_string();
            assert_eq!(bespoke_graph::parse(&text).unwrap().to_string(), text, "{name}, {stage}");
        }
        assert_eq!(model.query.inputs().count(), 1, "{name}: the query asks for more than examples");
        assert!(model.query.states().iter().all(|s| s.next.is_none()), "{name}: the query changes states");

        let losses: Vec<f64> =
            steps(&model.training, &model.start, 6).iter().map(|o| o["loss"].get(0).to_f64()).collect();
        assert!(losses[5] < 0.9 * losses[0], "{name}: {losses:?}");

        // The query's output is the training step's prediction.
        let forward = &steps(&model.forward, &model.start, 1)[0];
        assert_eq!(steps(&model.query, &model.start, 1)[0]["output"], forward["output"], "{name}");
    }
}

#[test]
fn the_linear_unit_takes_the_delta_rules_steps() {
    let model = find("linear").unwrap().model(1).unwrap();
    let [(_, x), (_, t)] = &sample_inputs(&model.training)[..] else { panic!("two inputs") };
    let (x, t) = (x.to_vec::<f32>().unwrap(), t.get(0).to_f64() as f32);
    let start: BTreeMap<_, _> = model.start.iter().cloned().collect();
    let (mut w, mut b) = (start["w"].to_vec::<f32>().unwrap(), 0.0f32);
    for outputs in steps(&model.training, &model.start, 3) {
        let delta = w.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>() + b - t;
        let loss = outputs["loss"].get(0).to_f64() as f32;
        assert!((loss - delta * delta / 2.0).abs() < 1e-6, "{loss}, expected {}", delta * delta / 2.0);
        w.iter_mut().zip(&x).for_each(|(w, x)| *w -= 0.1 * delta * x);
        b -= 0.1 * delta;
    }
}

#[test]
fn sizes_are_those_of_the_names_and_any_batch_is_answered() {
    assert_eq!(find("mlp").unwrap().model(1).unwrap().summary.parameters, 535_818);
    assert_eq!(find("lenet5").unwrap().model(1).unwrap().summary.parameters, 61_706);
    assert!(find("no-such-model").is_none());
    for architecture in small() {
        assert!(architecture.model(0).is_ok());
        assert!(architecture.model(usize::MAX).is_err());
    }
}
