//! Laws of derivatives, of every operator and composition: forward and reverse mode agree with differences, with each
//! other transposed, and at second and third order in every nesting.

use std::collections::{BTreeMap, BTreeSet};

use bespoke_autodiff::{grad, jvp};
use bespoke_graph::{
    Body, Graph, NodeId, Op, eval,
    op::{self, Constant, Convert, Custom, Iota, Scan},
};
use bespoke_tensor::{DType, Scalar, Tensor, Type};
use bespoke_testkit::{Rng, random_graph, random_inputs};

use crate::{
    columns::{Sources, no_failures},
    compositions::{compositions, generic_sources, variables, with_graph},
    laws::{differentiable, is_flat, loss, sources_within},
};

/// Half the distance of the points of a difference.
const STEP: f64 = 1e-5;

/// Values of nodes.
struct Values(BTreeMap<String, Vec<f64>>);

impl Values {
    /// `nodes` of a graph at these sources.
    fn of(graph: &Graph, nodes: &[(&str, NodeId)], sources: &Sources) -> Result<Values, String> {
        let mut graph = graph.clone();
        graph.clear_outputs();
        for (name, id) in nodes {
            graph.set_output(name, *id).map_err(|e| e.to_string())?;
        }
        let values = eval(&graph, &|name| sources.get(name).cloned()).map_err(|e| e.to_string())?;
        let floats = |t: &Tensor| t.scalars().map(Scalar::to_f64).collect();
        Ok(Values(values.outputs.iter().map(|(name, t)| (name.clone(), floats(t))).collect()))
    }

    fn get(&self, name: &str) -> &[f64] {
        &self.0[name]
    }
}

/// Are the numbers equal, relative to the largest of them?
fn close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) -> Result<(), String> {
    let size = got.iter().chain(expected).map(|x| x.abs()).fold(1e-3, f64::max);
    for (i, (x, y)) in got.iter().zip(expected).enumerate() {
        // So that NaN is a failure too.
        let near = (x - y).abs() <= tolerance * size;
        if !near {
            return Err(format!("{what}: element {i} is {x}, expected {y}, of at most {size:.1e}"));
        }
    }
    Ok(())
}

fn product(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// A constant of random numbers.
fn direction(graph: &mut Graph, like: NodeId, seed: u64) -> (NodeId, Vec<f64>) {
    let mut rng = Rng::new(seed);
    let ty = graph.ty(like);
    let value = Tensor::from_fn(ty, |_| Scalar::F64(rng.unit() * 2.0 - 1.0));
    let numbers = value.scalars().map(Scalar::to_f64).collect();
    (graph.must(Constant { value }, &[]), numbers)
}

/// The laws for `y` as a function of one input or state `x`; `loss` is a scalar made of `y`. Of what is not smooth, there is
/// no third order.
fn check(graph: &Graph, [y, loss, x]: [NodeId; 3], sources: &Sources, smooth: bool) -> Result<(), String> {
    let name = graph.inputs().find(|i| i.1 == x).map(|i| i.0.to_owned());
    let name = name.or_else(|| graph.states().iter().find(|s| s.node == x).map(|s| s.name.clone()));
    let name = name.ok_or("not an input")?;
    let of = |what: &str| format!("{what} by `{name}`");
    let mut g = graph.clone();
    let (v, along) = direction(&mut g, x, 1);
    let (u, across) = direction(&mut g, y, 2);
    let moved = |by: f64| -> Sources {
        let mut sources = sources.clone();
        let at = &sources[&name];
        let value = Tensor::from_fn(at.ty(), |i| Scalar::F64(at.get(i).to_f64() + by * along[i]));
        sources.insert(name.clone(), value);
        sources
    };
    // The derivative of a node along v, by differences of the fourth order.
    let difference = |g: &Graph, id: NodeId| -> Result<Vec<f64>, String> {
        let at = |by: f64| Ok::<_, String>(Values::of(g, &[("f", id)], &moved(by))?.get("f").to_vec());
        let [a, b, c, d] = [at(-2.0 * STEP)?, at(-STEP)?, at(STEP)?, at(2.0 * STEP)?];
        Ok((0..a.len()).map(|i| (8.0 * (c[i] - b[i]) - (d[i] - a[i])) / (12.0 * STEP)).collect())
    };
    let tangent = jvp(&mut g, &[y], &[(x, v)]).map_err(|e| e.to_string())?[0];
    let weighted = g.times(u, y);
    let pairing = g.sum_all(weighted);
    let (Some(tangent), Ok(pulled)) = (tangent, grad(&mut g, pairing, &[x])) else {
        let flat = difference(&g, y)?;
        return close(&of("an operator without derivative changes"), &flat, &vec![0.0; flat.len()], 1e-6);
    };
    let first = Values::of(&g, &[("Jv", tangent), ("uJ", pulled[0])], sources)?;
    close(&of("the tangent and differences"), first.get("Jv"), &difference(&g, y)?, 1e-6)?;
    let (forward, backward) = (product(first.get("Jv"), &across), product(first.get("uJ"), &along));
    let size: f64 = first.get("Jv").iter().zip(&across).map(|(a, b)| (a * b).abs()).sum();
    if (forward - backward).abs() > 1e-10 * size.max(1.0) {
        return Err(of(&format!("transposition: ⟨Jv, u⟩ = {forward}, ⟨v, Jᵀu⟩ = {backward}")));
    }

    // Second order, in all three nestings, and against differences of the first.
    let gradient = grad(&mut g, loss, &[x]).map_err(|e| e.to_string())?[0];
    let zeros = |g: &mut Graph| g.fill_like(x, 0.0);
    let over_reverse = jvp(&mut g, &[gradient], &[(x, v)]).map_err(|e| e.to_string())?[0];
    let over_reverse = over_reverse.unwrap_or_else(|| zeros(&mut g));
    let slope = jvp(&mut g, &[loss], &[(x, v)]).map_err(|e| e.to_string())?[0];
    let slope = slope.ok_or_else(|| of("the loss has a gradient, but no tangent"))?;
    let over_forward = grad(&mut g, slope, &[x]).map(|d| d[0]).unwrap_or_else(|_| zeros(&mut g));
    let scaled = g.times(gradient, v);
    let along_gradient = g.sum_all(scaled);
    let twice = grad(&mut g, along_gradient, &[x]).map(|d| d[0]).unwrap_or_else(|_| zeros(&mut g));
    let nodes = [("fr", over_reverse), ("rf", over_forward), ("rr", twice)];
    let second = Values::of(&g, &nodes, sources)?;
    close(&of("grad of jvp and jvp of grad"), second.get("rf"), second.get("fr"), 1e-9)?;
    close(&of("grad of grad and jvp of grad"), second.get("rr"), second.get("fr"), 1e-9)?;
    close(&of("jvp of grad and differences"), second.get("fr"), &difference(&g, gradient)?, 1e-5)?;

    if !smooth {
        return Ok(());
    }
    // Third order.
    let third = jvp(&mut g, &[over_reverse], &[(x, v)]).map_err(|e| e.to_string())?[0];
    let third = third.unwrap_or_else(|| zeros(&mut g));
    let third = Values::of(&g, &[("t", third)], sources)?;
    close(&of("third order and differences"), third.get("t"), &difference(&g, over_reverse)?, 1e-4)
}

#[test]
fn operators_obey_the_laws_of_derivatives() {
    let mut failures = vec![];
    let mut checked = BTreeSet::new();
    for (i, sample, y, inputs) in differentiable() {
        let mut g = sample.graph.clone();
        if is_flat(&g.node(y).op) {
            continue;
        }
        if g.ty(y).elements() > 60 || inputs.iter().any(|&x| g.ty(x).elements() > 60) {
            continue;
        }
        let loss = loss(&mut g, y, i as u64);
        let sources = sources_within(&sample, i as u64);
        // There is no direction to move nothing in.
        for &x in inputs.iter().filter(|&&x| g.ty(x).elements() > 0) {
            match check(&g, [y, loss, x], &sources, true) {
                Ok(()) => _ = checked.insert(sample.operator),
                Err(e) => failures.push(format!("{}: {e}\n{}", sample.operator, sample.graph)),
            }
        }
        if failures.len() >= 10 {
            break;
        }
    }
    no_failures(&failures);
    // Every operator that has a value of floats made of floats.
    let missing: Vec<&str> = differentiable()
        .iter()
        .filter(|(_, sample, y, _)| !is_flat(&sample.graph.node(*y).op))
        .map(|(_, sample, ..)| sample.operator)
        .filter(|operator| !checked.contains(operator))
        .collect();
    assert!(missing.is_empty(), "no law was checked of {missing:?}");
}

#[test]
fn compositions_obey_the_laws_of_derivatives() {
    let mut failures = vec![];
    for composition in compositions() {
        with_graph(composition, |g, value, loss, inputs| {
            let (mut graph, sources) = (g.finish().unwrap(), generic_sources(g));
            let (y, loss) = (value.node().unwrap(), loss.node().unwrap());
            // A curved loss, so that linear compositions have a second derivative too.
            let curved = graph.unary(op::Unary::Sin, loss);
            for x in variables(g, inputs) {
                let laws = || check(&graph, [y, curved, x], &sources, composition.smooth);
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(laws));
                let result = result.unwrap_or_else(|_| Err("panic".to_owned()));
                failures.extend(result.err().map(|e| format!("{}: {e}", composition.name)));
            }
        });
    }
    no_failures(&failures);
}

/// The graph with f64 in place of f32.
fn widened(graph: &Graph) -> Graph {
    let wide = |ty: Type| if ty.dtype == DType::F32 { Type { dtype: DType::F64, ..ty } } else { ty };
    let mut result = Graph::new();
    let mut new: Vec<NodeId> = vec![];
    for id in graph.ids() {
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new[i.index()]).collect();
        let op: Op = match &node.op {
            Op::Input(input) => {
                new.push(result.input(&input.name, wide(input.ty)).expect("names differ"));
                continue;
            }
            Op::StateRead(state) => {
                new.push(result.state(&state.name, wide(state.ty)).expect("names differ"));
                continue;
            }
            Op::Constant(c) => {
                let ty = wide(c.value.ty());
                Constant { value: Tensor::from_fn(ty, |i| c.value.get(i).convert(ty.dtype)) }.into()
            }
            Op::Iota(iota) => Iota { ty: wide(iota.ty), ..iota.clone() }.into(),
            Op::Convert(c) => Convert { dtype: wide(Type::scalar(c.dtype)).dtype }.into(),
            Op::Scan(scan) => Scan { body: Body::new(widened(&scan.body)), ..scan.clone() }.into(),
            Op::Custom(c) => {
                let [body, vjp, jvp] = [Some(&c.body), c.vjp.as_ref(), c.jvp.as_ref()]
                    .map(|rule| rule.map(|rule| Body::new(widened(rule))));
                Custom { name: c.name.clone(), body: body.expect("given"), vjp, jvp }.into()
            }
            op => op.clone(),
        };
        new.push(result.must(op, &inputs));
    }
    for (name, id) in graph.outputs() {
        result.set_output(name, new[id.index()]).expect("names differ");
    }
    result
}

#[test]
fn forward_over_reverse_is_reverse_over_forward_on_random_graphs() {
    let mut failures = vec![];
    let mut compared = 0;
    for seed in 0.. {
        if compared >= 200 || failures.len() >= 5 {
            break;
        }
        assert!(seed < 4000, "only {compared} graphs had second derivatives");
        let mut g = widened(&random_graph(seed, 10 + seed as usize % 30));
        let ends: Vec<NodeId> =
            g.outputs().iter().map(|o| o.1).filter(|&id| g.ty(id).dtype.is_float()).collect();
        let mut terms = vec![];
        for id in ends {
            let bounded = g.unary(op::Unary::Tanh, id);
            terms.push(g.sum_all(bounded));
        }
        let Some(loss) = terms.into_iter().reduce(|a, b| g.plus(a, b)) else { continue };
        let sources = random_inputs(&g, seed, false);
        let candidates: Vec<NodeId> =
            g.inputs().map(|i| i.1).chain(g.states().iter().map(|s| s.node)).collect();
        let wrt: Vec<NodeId> = candidates
            .into_iter()
            .filter(|&x| g.ty(x).dtype.is_float() && grad(&mut g.clone(), loss, &[x]).is_ok())
            .collect();
        if wrt.is_empty() {
            continue;
        }
        let both = |g: &Graph, sources: &Sources| -> Result<Option<()>, String> {
            let mut g = g.clone();
            let tangents: Vec<(NodeId, NodeId)> =
                wrt.iter().map(|&x| (x, direction(&mut g, x, seed).0)).collect();
            let gradients = grad(&mut g, loss, &wrt).map_err(|e| e.to_string())?;
            let forward = jvp(&mut g, &gradients, &tangents).map_err(|e| e.to_string())?;
            let slope = jvp(&mut g, &[loss], &tangents).map_err(|e| e.to_string())?[0];
            let slope = slope.ok_or("the loss has a gradient, but no tangent")?;
            let mut nodes = vec![];
            for (i, (&x, forward)) in wrt.iter().zip(forward).enumerate() {
                let forward = forward.unwrap_or_else(|| g.fill_like(x, 0.0));
                let reverse = grad(&mut g, slope, &[x]).map(|d| d[0]);
                let reverse = reverse.unwrap_or_else(|_| g.fill_like(x, 0.0));
                nodes.push((format!("f{i}"), forward));
                nodes.push((format!("r{i}"), reverse));
            }
            let named: Vec<(&str, NodeId)> = nodes.iter().map(|(n, id)| (n.as_str(), *id)).collect();
            let values = Values::of(&g, &named, sources)?;
            let mut told = false;
            for i in 0..wrt.len() {
                let (f, r) = (values.get(&format!("f{i}")), values.get(&format!("r{i}")));
                // Values that are no numbers, or so large that sums cancel, say nothing.
                let sane = |x: &&f64| x.is_finite() && x.abs() < 1e9;
                if !f.iter().chain(r).all(|x| sane(&x)) {
                    continue;
                }
                close("jvp of grad and grad of jvp", f, r, 1e-6)?;
                told |= f.iter().any(|x| *x != 0.0);
            }
            Ok(told.then_some(()))
        };
        match both(&g, &sources) {
            Ok(Some(())) => compared += 1,
            Ok(None) => {}
            Err(e) => failures.push(format!("seed {seed}: {e}\n{g}")),
        }
    }
    no_failures(&failures);
}
