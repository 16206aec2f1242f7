//! Every architecture in small sizes: its graphs are sound, its training step learns, its query asks for nothing but
//! examples.

use std::collections::BTreeMap;

use bespoke_compiler::{Config, compile};
use bespoke_graph::{Graph, eval, verify};
use bespoke_runtime::{Executable, Outputs};
use bespoke_tensor::Tensor;
use bespoke_zoo::{ARCHITECTURES, Architecture, Options, Task, find, sample_inputs};

/// A compiled graph with the start values of a model.
fn started(graph: &Graph, start: &[(String, Tensor)]) -> Executable {
    let mut program = compile(graph, &Config::default(), &mut |_| ()).unwrap();
    let states: Vec<String> = program.states().map(|s| s.0.to_owned()).collect();
    for (name, value) in start.iter().filter(|s| states.contains(&s.0)) {
        program.set_state(name, value).unwrap();
    }
    program
}

/// One run; what says whether it trains says no.
fn run(program: &mut Executable, inputs: &[(String, Tensor)]) -> Outputs {
    let value = |(name, value): &(String, Tensor)| match &name[..] {
        "training" => Tensor::scalar(false),
        _ => value.clone(),
    };
    let values: Vec<Tensor> = inputs.iter().map(value).collect();
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|i| &i.0[..]).zip(&values).collect();
    program.run(&inputs).unwrap()
}

/// The loss that training is to fall below, and in at most how many steps.
fn goal(architecture: &Architecture, first: f64) -> (f64, usize) {
    let steps = match architecture.name {
        "alexnet" | "neocognitron" | "nin" => 100,
        "vgg16" | "squeezenet1.1" => 200,
        _ => 30,
    };
    match architecture.task {
        // What biases alone could learn of labels that are all different is their entropy.
        Task::Images => (0.9 * (architecture.small.batch as f64).ln(), steps),
        _ => (0.9 * first, 10),
    }
}

fn is_sound_and_learns(architecture: &Architecture) {
    let name = architecture.name;
    assert_eq!(find(name).map(|a| a.name), Some(name));
    let model = architecture.model_with(&architecture.small).unwrap();
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
    assert!(model.query.states().iter().all(|s| s.next.is_none()), "{name}: the query changes states");
    if !matches!(architecture.task, Task::Images) && name != "linear" {
        return; // what others learn is tested family by family
    }
    assert!(!model.query.to_string().contains("random"), "{name}: the query draws");
    assert_eq!(model.query.inputs().count(), 1, "{name}: the query asks for more than examples");

    let mut step = started(&model.training, &model.start);
    if name == "squeezenet1.1" {
        // At the rate for large batches, whether so few images are learned depends on the last bit of a weight.
        step.set_state("sgd/learning_rate", &Tensor::scalar(5e-4f32)).unwrap();
    }
    let mut inputs = sample_inputs(&model.training);
    if architecture.task == Task::Images {
        let labels: Vec<i32> = (0..architecture.small.batch as i32).collect();
        inputs[1].1 = Tensor::from_slice([labels.len()], &labels).unwrap();
    }
    let mut loss = || run(&mut step, &inputs).get("loss").unwrap().get(0).to_f64();
    let mut losses = vec![loss()];
    let (goal, steps) = goal(architecture, losses[0]);
    while losses[losses.len() - 1] > goal {
        assert!(losses.len() < steps, "{name}: the loss is to fall below {goal}, but {losses:?}");
        losses.push(loss());
    }

    // The query's output is the forward graph's.
    let inputs = sample_inputs(&model.forward);
    let forward = run(&mut started(&model.forward, &model.start), &inputs);
    let query = run(&mut started(&model.query, &model.start), &inputs[..1]);
    let [forward, query] = [&forward, &query].map(|o| o.get("output").unwrap().to_vec::<f32>().unwrap());
    assert_eq!(forward.len(), query.len(), "{name}");
    for (a, b) in forward.iter().zip(&query) {
        assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{name}: forward {a}, query {b}");
    }
}

/// All, or the one that `BESPOKE_ARCHITECTURE` names.
#[test]
fn every_architecture_is_sound_and_learns() {
    let only = std::env::var("BESPOKE_ARCHITECTURE").ok();
    for architecture in ARCHITECTURES.iter().filter(|a| only.as_deref().is_none_or(|only| only == a.name)) {
        is_sound_and_learns(architecture);
    }
}

#[test]
fn the_linear_unit_takes_the_delta_rules_steps() {
    let model = find("linear").unwrap().model(1).unwrap();
    let inputs = sample_inputs(&model.training);
    let [(_, x), (_, t)] = &inputs[..] else { panic!("two inputs") };
    let (x, t) = (x.to_vec::<f32>().unwrap(), t.get(0).to_f64() as f32);
    let mut states: BTreeMap<String, Tensor> = model.start.iter().cloned().collect();
    let (mut w, mut b) = (states["w"].to_vec::<f32>().unwrap(), 0.0f32);
    for _ in 0..3 {
        let given: BTreeMap<String, Tensor> = inputs.iter().cloned().collect();
        let read = |name: &str| given.get(name).or_else(|| states.get(name)).cloned();
        let values = eval(&model.training, &read).unwrap();
        states = values.states;
        let delta = w.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>() + b - t;
        let loss = values.outputs["loss"].get(0).to_f64() as f32;
        assert!((loss - delta * delta / 2.0).abs() < 1e-6, "{loss}, expected {}", delta * delta / 2.0);
        w.iter_mut().zip(&x).for_each(|(w, x)| *w -= 0.1 * delta * x);
        b -= 0.1 * delta;
    }
}

#[test]
fn names_are_known_and_any_batch_is_answered() {
    assert!(find("no-such-model").is_none());
    for architecture in ARCHITECTURES {
        let with = |batch: usize| architecture.model_with(&Options { batch, ..architecture.small });
        assert!(with(0).is_ok(), "{}", architecture.name);
        assert!(with(usize::MAX).is_err(), "{}", architecture.name);
    }
}

#[test]
fn graphs_of_many_layers_are_built_in_full_size() {
    let model = find("resnet152").unwrap().model(1).unwrap();
    assert_eq!(model.summary.parameters, 60_192_808);
    assert_eq!(verify(&model.training), Vec::<String>::new());
    let trained = model.training.states().iter().filter(|s| s.name.starts_with("sgd/") && s.next.is_some());
    // A convolution has one parameter, batch normalisation and the last layer two each.
    assert_eq!(trained.count(), 155 + 2 * 155 + 2);
}
