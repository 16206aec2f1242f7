//! Ready-made architectures, one file each.

mod lenet;
mod linear;
mod mlp;

use bespoke_graph::{Graph as Ir, NodeId};
use bespoke_nn::{Graph, Sgd, TrainError, Trainer, Value};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

/// An architecture that can be built for any batch.
#[derive(Clone, Copy)]
pub struct Architecture {
    /// The name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The usual batch.
    pub batch: usize,
    build: for<'g> fn(&'g Graph, usize) -> Parts<'g>,
    optimizer: fn() -> Sgd,
}

/// The values of a model that others need.
pub struct Parts<'g> {
    /// What the model gives for a batch: predictions or logits.
    pub output: Value<'g>,
    /// The loss to train on, a scalar.
    pub loss: Value<'g>,
    /// What else to report, by name.
    pub metrics: Vec<(&'static str, Value<'g>)>,
}

/// A model's graphs for one batch.
pub struct Model {
    /// The architecture's name.
    pub name: &'static str,
    /// Rows in a batch.
    pub batch: usize,
    /// Prediction only.
    pub query: Ir,
    /// Prediction and loss.
    pub forward: Ir,
    /// Prediction, loss and the gradients of all parameters as outputs `d_<parameter>`.
    pub backward: Ir,
    /// Forward, backward and update: one step.
    pub training: Ir,
    /// The start values of the states, by name.
    pub start: Vec<(String, Tensor)>,
    /// Layers, shapes, parameters.
    pub summary: bespoke_nn::Summary,
}

/// All architectures.
pub const ARCHITECTURES: &[Architecture] = &[linear::LINEAR, mlp::MLP, lenet::LENET];

/// The architecture of this name.
pub fn find(name: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|a| a.name == name)
}

impl Architecture {
    /// Builds the model in a graph: its inputs, parameters and loss.
    pub fn build<'g>(&self, graph: &'g Graph, batch: usize) -> Parts<'g> {
        (self.build)(graph, batch)
    }

    /// The model's graphs for a batch.
    ///
    /// # Errors
    /// [`TrainError::Build`] if there is none for this batch.
    pub fn model(&self, batch: usize) -> Result<Model, TrainError> {
        let graph = Graph::new();
        let parts = self.build(&graph, batch);
        let forward = with_outputs(&graph.finish()?, &[("output", parts.output), ("loss", parts.loss)]);
        // The loss and its labels vanish.
        let query = bespoke_nn::live_part(&with_outputs(&forward, &[("output", parts.output)]));
        let mut backward = forward.clone();
        let parameters = graph.parameters();
        let wrt: Vec<NodeId> = parameters.iter().map(|p| p.node).collect();
        if let Some(loss) = parts.loss.node() {
            let gradients = bespoke_autodiff::grad(&mut backward, loss, &wrt)?;
            for (p, d) in parameters.iter().zip(gradients) {
                backward.set_output(&format!("d_{}", p.name), d)?;
            }
        }
        let summary = bespoke_nn::Summary::of(&graph);
        let mut trainer = Trainer::new(parts.loss, (self.optimizer)());
        for (name, value) in &parts.metrics {
            trainer = trainer.metric(name, *value);
        }
        let (training, _) = trainer.graphs()?;
        let start = trainer.start_values()?;
        Ok(Model { name: self.name, batch, query, forward, backward, training, start, summary })
    }
}

/// The graph with these outputs.
fn with_outputs(graph: &Ir, outputs: &[(&str, Value<'_>)]) -> Ir {
    let mut graph = graph.clone();
    graph.clear_outputs();
    for (name, value) in outputs {
        if let Some(node) = value.node() {
            graph.set_output(name, node).expect("names differ");
        }
    }
    graph
}

/// Reproducible values for the inputs of a graph: noise of ±1, labels below 10.
pub fn sample_inputs(graph: &Ir) -> Vec<(String, Tensor)> {
    let value = |ty: Type, salt: u32| {
        Tensor::from_fn(ty, |i| {
            let word = bespoke_graph::philox::block([i as u32, 0, 0, salt], [17, 0])[0];
            match ty.dtype {
                DType::F32 | DType::F64 => Scalar::F64(f64::from(word) / f64::from(u32::MAX) * 2.0 - 1.0),
                DType::Bool => Scalar::Bool(word & 1 == 1),
                _ => Scalar::I64(i64::from(word % 10)),
            }
        })
    };
    graph
        .inputs()
        .enumerate()
        .map(|(i, (name, id))| (name.to_owned(), value(graph.ty(id), i as u32)))
        .collect()
}
