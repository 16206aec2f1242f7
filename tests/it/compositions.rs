//! Layers and other compositions of operators, under laws that all of them obey: machine code gives what the evaluator
//! does, for values and derivatives of two orders; gradients are those of differences.

mod functions;
mod handles;
mod layers;

use std::collections::BTreeMap;

use bespoke::prelude::{F64, Graph, Scalar, Tensor, Value};
use bespoke_autodiff::grad;
use bespoke_graph::NodeId;
use bespoke_testkit::{gradient_check, random_inputs};

use crate::columns::{agree, no_failures, optimized_agrees, passes};

/// A composition of operators.
pub struct Composition {
    /// Its name.
    pub name: &'static str,
    /// Has it derivatives of all orders everywhere? Of what has kinks, there are two, but at them.
    pub smooth: bool,
    /// Names and shapes of its inputs, of f64.
    pub inputs: &'static [(&'static str, &'static [usize])],
    /// Its value, of any shape.
    pub build: for<'g> fn(&'g Graph, &[Value<'g>]) -> Value<'g>,
}

/// All that there are.
pub fn compositions() -> impl Iterator<Item = &'static Composition> {
    functions::ALL.iter().chain(handles::ALL).chain(layers::ALL).copied().flatten()
}

/// A composition's graph: the value, a scalar that depends on all of it, and the inputs.
pub fn with_graph<T>(
    composition: &Composition,
    then: impl for<'g> FnOnce(&'g Graph, Value<'g>, Value<'g>, &[Value<'g>]) -> T,
) -> T {
    let g = Graph::with_seed(5);
    let inputs: Vec<Value<'_>> =
        composition.inputs.iter().map(|(name, shape)| g.input(name, F64, *shape)).collect();
    let value = (composition.build)(&g, &inputs);
    let numbers = value.shape().elements();
    let weights = (g.iota(F64, [numbers], 0) * 0.7 + 0.3).sin().reshape(value.shape());
    let loss = (value * weights).sum();
    then(&g, value, loss, &inputs)
}

/// What a composition is differentiated by: inputs and parameters.
pub fn variables(g: &Graph, inputs: &[Value<'_>]) -> Vec<NodeId> {
    let inputs = inputs.iter().map(|v| v.node().unwrap());
    inputs.chain(g.parameters().iter().map(|p| p.node)).collect()
}

/// Values for inputs, and the parameters as they start.
pub fn sources(g: &Graph) -> BTreeMap<String, Tensor> {
    let mut sources = random_inputs(&g.finish().unwrap(), 7, false);
    sources.extend(g.start_values());
    sources.entry("training".to_owned()).and_modify(|training| *training = Tensor::scalar(true));
    sources
}

/// The same, away from kinks and ties: random inputs are often halves.
pub fn generic_sources(g: &Graph) -> BTreeMap<String, Tensor> {
    let mut sources = sources(g);
    let graph = g.finish().unwrap();
    for (name, _) in graph.inputs() {
        let value = sources.get_mut(name).expect("inputs have values");
        if value.dtype().is_float() {
            let moved = |i: usize| value.get(i).to_f64() + 0.01 * (i as f64 + 1.0).sin();
            *value = Tensor::from_fn(value.ty(), |i| Scalar::F64(moved(i)));
        }
    }
    sources
}

#[test]
fn compiled_compositions_give_what_evaluated_ones_do() {
    let mut failures = vec![];
    for composition in compositions() {
        with_graph(composition, |g, value, loss, inputs| {
            g.output("value", value);
            let directions: Vec<Value<'_>> = inputs.iter().map(|x| x.cos()).collect();
            g.output("tangent", g.jvp(value, inputs, &directions));
            for (i, product) in g.hvp(loss, inputs, &directions).into_iter().enumerate() {
                g.output(&format!("hvp{i}"), product);
            }
            let (mut graph, sources) = (g.finish().unwrap(), sources(g));
            for (i, x) in variables(g, inputs).into_iter().enumerate() {
                // Nothing depends on running statistics.
                let Ok(gradient) = grad(&mut graph, loss.node().unwrap(), &[x]) else { continue };
                graph.set_output(&format!("gradient{i}"), gradient[0]).unwrap();
            }
            for check in [agree, optimized_agrees] {
                failures.extend(
                    passes(check, &graph, &sources).err().map(|e| format!("{}: {e}", composition.name)),
                );
            }
        });
    }
    no_failures(&failures);
}

#[test]
fn gradients_of_compositions_are_those_of_differences() {
    let mut failures = vec![];
    for composition in compositions() {
        with_graph(composition, |g, _, loss, inputs| {
            let (graph, sources) = (g.finish().unwrap(), generic_sources(g));
            let source = |name: &str| sources.get(name).cloned();
            let checked = gradient_check(&graph, loss.node().unwrap(), &variables(g, inputs), &source);
            failures.extend(checked.err().map(|e| format!("{}: {e}", composition.name)));
        });
    }
    no_failures(&failures);
}
