//! Compacting random graphs, whose states are zero in parts: what is left computes the same.

use std::collections::BTreeMap;

use bespoke::nn::compact;
use bespoke_graph::{NodeId, eval, verify};
use bespoke_tensor::{Scalar, Tensor};
use bespoke_testkit::{Rng, Tolerance, compare, random_graph, random_inputs, reference};

/// Sets random positions of a random axis to zero.
fn pruned(value: &Tensor, rng: &mut Rng) -> Tensor {
    let (shape, strides) = (value.shape(), value.shape().strides());
    if shape.rank() == 0 {
        return value.clone();
    }
    let axis = rng.below(shape.rank());
    let lost: Vec<bool> = (0..shape[axis]).map(|_| rng.chance(0.5)).collect();
    let zero = |i: usize| lost[i / strides[axis] % shape[axis]];
    Tensor::from_fn(value.ty(), |i| if zero(i) { Scalar::I64(0) } else { value.get(i) })
}

#[test]
fn a_thousand_compacted_graphs_compute_the_same() {
    let mut smaller = 0;
    let count: u64 = 1000;
    for seed in 0..count {
        let mut graph = random_graph(seed, 10 + seed as usize % 56);
        let mut rng = Rng::new(seed);
        let states: Vec<NodeId> = graph.states().iter().map(|s| s.node).collect();
        for state in states {
            graph.replace_next(state, None); // one that changes has no known value
        }
        let mut sources: BTreeMap<String, Tensor> = random_inputs(&graph, seed, false);
        for state in graph.states() {
            let value = sources.get_mut(&state.name).unwrap();
            *value = pruned(value, &mut rng);
        }
        let states: Vec<(String, Tensor)> =
            graph.states().iter().map(|s| (s.name.clone(), sources[&s.name].clone())).collect();
        let small = compact(&graph, &states).unwrap();
        assert_eq!(verify(&small.graph), Vec::<String>::new(), "seed {seed}");
        smaller += usize::from(!small.report.layers.is_empty());
        let expected = reference(&graph, &|name| sources.get(name).cloned()).unwrap();
        sources.extend(small.values);
        let got = eval(&small.graph, &|name| sources.get(name).cloned()).unwrap();
        for (name, bounded) in &expected.outputs {
            // Sums have other terms, and what is not finite may have met a zero.
            let allowed = |i: usize| {
                let value = bounded.value.get(i).to_f64();
                if value.is_finite() { 4.0 * bounded.error[i] + 1e-6 * value.abs() } else { f64::INFINITY }
            };
            let bounds: Vec<f64> = (0..bounded.error.len()).map(allowed).collect();
            let same = compare(&got.outputs[name], &bounded.value, Tolerance::Bounds(&bounds));
            same.unwrap_or_else(|e| panic!("seed {seed}: `{name}`: {e}\n{graph}\n{}", small.graph));
        }
    }
    assert!(smaller > 20, "only {smaller} of 1000 became smaller");
}
