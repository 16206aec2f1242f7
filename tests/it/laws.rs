//! What must hold of every operator.

use std::collections::BTreeSet;

use bespoke_autodiff::{GradError, grad};
use bespoke_graph::{Graph, NodeId, Op, eval, op, parse};
use bespoke_tensor::{DType, Scalar, Tensor, Type};
use bespoke_testkit::{Rng, gradient_check, random_inputs};

use crate::{
    columns::{Check, Sources, agree, no_failures, optimized_agrees, passes, report},
    samples::{Sample, samples},
};

#[test]
fn every_operator_has_samples() {
    let sampled: BTreeSet<&str> = samples().iter().map(|s| s.operator).collect();
    let missing: Vec<&str> = Op::names().into_iter().filter(|n| !sampled.contains(n)).collect();
    assert!(missing.is_empty(), "operators without samples: {missing:?}");
}

#[test]
fn texts_round_trip() {
    for sample in samples() {
        let text = sample.graph.to_string();
        let again = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(again, sample.graph);
        assert_eq!(again.to_string(), text);
        assert_eq!(bespoke_graph::verify(&again), Vec::<String>::new(), "{text}");
    }
}

fn check_all(check: Check) {
    let mut failures = vec![];
    for (i, sample) in samples().iter().enumerate() {
        for spice in [false, true] {
            let sources = |g: &Graph| random_inputs(g, i as u64, spice);
            if passes(check, &sample.graph, &sources(&sample.graph)).is_err() {
                failures.push(report(&format!("{}_{i}", sample.operator), check, &sample.graph, &sources));
            }
        }
        if failures.len() >= 10 {
            break;
        }
    }
    no_failures(&failures);
}

#[test]
fn evaluator_interpreter_and_machine_code_agree() {
    check_all(agree);
}

#[test]
fn optimized_samples_agree() {
    check_all(optimized_agrees);
}

/// Inputs of floats within the sample's range.
pub fn sources_within(sample: &Sample, seed: u64) -> Sources {
    let mut sources = random_inputs(&sample.graph, seed, false);
    let mut rng = Rng::new(seed);
    for value in sources.values_mut().filter(|v| v.dtype().is_float()) {
        let (low, high) = sample.range;
        *value = Tensor::from_fn(value.ty(), |_| Scalar::F64(low + rng.unit() * (high - low)));
    }
    sources
}

/// Σ wᵢ · sin(yᵢ), whose derivatives are not constant, with random weights.
pub fn loss(g: &mut Graph, y: NodeId, seed: u64) -> NodeId {
    let mut rng = Rng::new(seed);
    let ty = g.ty(y);
    let weights = Tensor::from_fn(ty, |_| Scalar::F64(rng.unit() + 0.5));
    let weights = g.must(op::Constant { value: weights }, &[]);
    let sine = g.unary(op::Unary::Sin, y);
    let terms = g.times(weights, sine);
    g.sum_all(terms)
}

/// Operators of floats whose value does not change, or changes in jumps only.
pub fn is_flat(op: &Op) -> bool {
    match op {
        Op::Unary(f) => !f.is_differentiable(),
        Op::Binary(f) => !f.is_differentiable(),
        Op::StopGradient(_) => true,
        Op::Convert(convert) => !convert.dtype.is_float(),
        _ => false,
    }
}

/// Samples whose value and some of whose inputs are of f64, with those inputs.
pub fn differentiable() -> Vec<(usize, Sample, NodeId, Vec<NodeId>)> {
    let of_f64 = |g: &Graph, id: NodeId| g.ty(id).dtype == DType::F64 && g.ty(id).elements() <= 400;
    let each = |(i, sample): (usize, Sample)| {
        let g = &sample.graph;
        let y = g.output("y").expect("samples name it so");
        let inputs: Vec<NodeId> = g.inputs().map(|x| x.1).filter(|x| of_f64(g, *x)).collect();
        let wanted = g.ty(y).dtype == DType::F64 && !inputs.is_empty();
        wanted.then_some((i, sample, y, inputs))
    };
    samples().into_iter().enumerate().filter_map(each).collect()
}

/// Operators that no derivative flows through: those without operands, those that are flat between jumps, those of integers and
/// truth values, those that give positions, and the wall.
#[rustfmt::skip]
const WITHOUT_DERIVATIVE: &[&str] = &[
    "constant", "iota", "random_bits", "state",
    "ceil", "floor", "round", "sign",
    "and", "mulhigh", "not", "or", "shl", "shr", "xor",
    "eq", "ge", "gt", "is_finite", "is_nan", "le", "lt", "ne", "reduce_all", "reduce_any",
    "arg_max", "arg_min", "arg_sort", "window_arg_max", "window_arg_min",
    "stop_gradient",
];

/// Every operator was checked, or has no derivative: a new one is in one of both.
fn all_were(checked: &BTreeSet<&str>) {
    let all: BTreeSet<&str> = Op::names().into_iter().collect();
    let without: BTreeSet<&str> = WITHOUT_DERIVATIVE.iter().copied().collect();
    let expected: BTreeSet<&str> = all.difference(&without).copied().collect();
    assert_eq!(*checked, expected);
}

#[test]
fn gradients_equal_differences() {
    let mut failures = vec![];
    let mut checked = BTreeSet::new();
    for (i, sample, y, inputs) in differentiable() {
        let mut g = sample.graph.clone();
        let loss = loss(&mut g, y, i as u64);
        let sources = sources_within(&sample, i as u64);
        if is_flat(&g.node(y).op) {
            let refused = grad(&mut g, loss, &inputs);
            assert!(matches!(refused, Err(GradError::Unreachable(..))), "{g}");
            // What is flat does not move; what a derivative does not pass may.
            for &x in inputs.iter().filter(|_| !matches!(g.node(y).op, Op::StopGradient(_))) {
                if let Err(e) = is_constant(&g, loss, x, &sources, 1e-7) {
                    failures.push(format!("{}: {e}\n{}", sample.operator, sample.graph));
                }
            }
            continue;
        }
        checked.insert(sample.operator);
        if let Err(e) = gradient_check(&g, loss, &inputs, &|n| sources.get(n).cloned()) {
            failures.push(format!("{}: {e}\n{}", sample.operator, sample.graph));
        }
    }
    no_failures(&failures);
    all_were(&checked);
}

#[test]
fn second_derivatives_equal_differences() {
    let mut failures = vec![];
    let mut checked = BTreeSet::new();
    for (i, sample, y, inputs) in differentiable() {
        let small = inputs.iter().all(|&x| sample.graph.ty(x).elements() <= 40);
        if is_flat(&sample.graph.node(y).op) || !small {
            continue;
        }
        let mut g = sample.graph.clone();
        let first = loss(&mut g, y, i as u64);
        let gradients = grad(&mut g, first, &inputs).unwrap_or_else(|e| panic!("{e}\n{g}"));
        let parts: Vec<NodeId> = gradients.iter().map(|&d| loss(&mut g, d, 7)).collect();
        let second = parts.into_iter().reduce(|a, b| g.plus(a, b)).expect("there are inputs");
        let sources = sources_within(&sample, i as u64);
        for &x in &inputs {
            match gradient_check(&g, second, &[x], &|n| sources.get(n).cloned()) {
                Ok(()) => _ = checked.insert(sample.operator),
                Err(e) if e.contains("does not depend") => {
                    if let Err(e) = is_constant(&g, second, x, &sources, 1e-3) {
                        failures.push(format!("{}: {e}\n{}", sample.operator, sample.graph));
                    }
                }
                Err(e) => failures.push(format!("{}: {e}\n{}", sample.operator, sample.graph)),
            }
        }
    }
    no_failures(&failures);
    all_were(&checked);
}

/// Does the scalar stay as it is when all elements of the input move by so much?
fn is_constant(g: &Graph, scalar: NodeId, x: NodeId, sources: &Sources, shift: f64) -> Result<(), String> {
    let mut g = g.clone();
    g.clear_outputs();
    g.set_output("s", scalar).expect("it is the first");
    let name = g.inputs().find(|i| i.1 == x).expect("an input").0.to_owned();
    let value = |shift: f64| {
        let moved = |n: &str| {
            let value = sources.get(n)?;
            let moved = |i: usize| Scalar::F64(value.get(i).to_f64() + shift);
            Some(if n == name { Tensor::from_fn(value.ty(), moved) } else { value.clone() })
        };
        eval(&g, &moved).map(|v| v.outputs["s"].get(0).to_f64()).map_err(|e| e.to_string())
    };
    let (here, there) = (value(0.0)?, value(shift)?);
    if here == there { Ok(()) } else { Err(format!("unreachable from `{name}`, but {here} becomes {there}")) }
}

/// Every cotangent has its operand's type, for f32 too.
#[test]
fn gradients_of_f32_have_the_types_of_their_operands() {
    for sample in samples() {
        let mut g = sample.graph;
        let y = g.output("y").expect("samples name it so");
        let inputs: Vec<NodeId> = g.inputs().map(|x| x.1).filter(|x| g.ty(*x).dtype == DType::F32).collect();
        if g.ty(y).dtype.is_float() && !inputs.is_empty() && !is_flat(&g.node(y).op) {
            let loss = loss(&mut g, y, 1);
            let gradients = grad(&mut g, loss, &inputs).unwrap_or_else(|e| panic!("{e}\n{g}"));
            let types: Vec<Type> = gradients.iter().map(|&d| g.ty(d)).collect();
            assert_eq!(types, inputs.iter().map(|&x| g.ty(x)).collect::<Vec<_>>(), "{g}");
            assert_eq!(bespoke_graph::verify(&g), Vec::<String>::new(), "{g}");
        }
    }
}
