//! Derivatives of scans equal those of unrolled graphs.

use std::collections::BTreeMap;

use bespoke_autodiff::{grad, jvp};
use bespoke_graph::{Body, Graph, NodeId, Values, eval, op, parse, verify};
use bespoke_tensor::{DType, Tensor, Type};

const STEPS: usize = 5;

fn ty(text: &str) -> Type {
    text.parse().unwrap()
}

/// h ← tanh(x·w + h·w), gives h·x: one step.
fn step(g: &mut Graph, h: NodeId, x: NodeId, w: NodeId) -> (NodeId, NodeId) {
    let (xw, hw) = (g.times(x, w), g.times(h, w));
    let sum = g.plus(xw, hw);
    let next = g.unary(op::Unary::Tanh, sum);
    let out = g.times(next, x);
    (next, out)
}

fn body() -> Body {
    let mut g = Graph::new();
    let h = g.input("h", ty("f64[3]")).unwrap();
    let x = g.input("x", ty("f64[3]")).unwrap();
    let w = g.input("w", ty("f64[3]")).unwrap();
    let (next, out) = step(&mut g, h, x, w);
    g.set_output("h", next).unwrap();
    g.set_output("y", out).unwrap();
    Body::new(g)
}

/// A loss of the last h and of all outputs: by a scan or, with `unrolled`, by its steps one after the other.
fn model(unrolled: bool, reverse: bool, recompute: bool) -> (Graph, NodeId, [NodeId; 3]) {
    let mut g = Graph::new();
    let h = g.input("h", ty("f64[3]")).unwrap();
    let xs = g.input("xs", Type::new(DType::F64, [STEPS, 3])).unwrap();
    let w = g.input("w", ty("f64[3]")).unwrap();
    let (last, ys) = if unrolled {
        let mut state = h;
        let mut outs = vec![None; STEPS];
        for t in 0..STEPS {
            let t = if reverse { STEPS - 1 - t } else { t };
            let slice = op::Slice { start: vec![t, 0], limit: vec![t + 1, 3], step: vec![1, 1] };
            let x = g.must(slice, &[xs]);
            let x = g.reshape(x, ty("f64[3]").shape);
            let (next, out) = step(&mut g, state, x, w);
            state = next;
            outs[t] = Some(g.reshape(out, ty("f64[1,3]").shape));
        }
        let outs: Vec<NodeId> = outs.into_iter().flatten().collect();
        let ys = g.must(op::Concatenate { axis: 0 }, &outs);
        (state, ys)
    } else {
        let scan =
            op::Scan { body: body(), length: STEPS, carried: 1, stepped: 1, reverse, recompute, result: 0 };
        let last = g.must(scan.clone(), &[h, xs, w]);
        (last, g.must(scan.of_result(1), &[h, xs, w]))
    };
    let square = g.times(ys, ys);
    let (a, b) = (g.sum_all(square), g.sum_all(last));
    let loss = g.plus(a, b);
    (g, loss, [h, xs, w])
}

fn values(g: &Graph) -> Values {
    assert_eq!(verify(g), Vec::<String>::new());
    assert_eq!(parse(&g.to_string()).unwrap().to_string(), g.to_string());
    let sources: BTreeMap<String, Tensor> = g
        .inputs()
        .map(|(name, id)| {
            let seed = name.len() as f64;
            (name.to_owned(), Tensor::from_fn(g.ty(id), |i| ((i as f64 + seed) * 0.7).sin().into()))
        })
        .collect();
    eval(g, &|name| sources.get(name).cloned()).unwrap()
}

fn assert_close(what: &str, a: &Graph, b: &Graph) {
    let (a, b) = (values(a).outputs, values(b).outputs);
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, x) in &a {
        let y = &b[name];
        assert_eq!(x.ty(), y.ty());
        for i in 0..x.elements() {
            let (x, y) = (x.get(i).to_f64(), y.get(i).to_f64());
            assert!((x - y).abs() <= 1e-12 * (1.0 + y.abs()), "{what}: {name}[{i}]: {x} and {y}");
        }
    }
}

/// Compares what `make` appends as outputs, with scans and unrolled.
fn compare(what: &str, make: impl Fn(&mut Graph, NodeId, [NodeId; 3])) {
    for reverse in [false, true] {
        let build = |unrolled: bool, recompute: bool| {
            let (mut g, loss, wrt) = model(unrolled, reverse, recompute);
            g.set_output("loss", loss).unwrap();
            make(&mut g, loss, wrt);
            g
        };
        let plain = build(true, false);
        assert_close(what, &build(false, false), &plain);
        assert_close(&format!("{what}, recomputed"), &build(false, true), &plain);
    }
}

fn name_all(g: &mut Graph, what: &str, nodes: &[NodeId]) {
    for (i, &id) in nodes.iter().enumerate() {
        g.set_output(&format!("{what}{i}"), id).unwrap();
    }
}

#[test]
fn gradients_equal_the_unrolled() {
    compare("grad", |g, loss, wrt| {
        let gradients = grad(g, loss, &wrt).unwrap();
        name_all(g, "d", &gradients);
    });
    compare("grad of one", |g, loss, [_, xs, _]| {
        let gradients = grad(g, loss, &[xs]).unwrap();
        name_all(g, "d", &gradients);
    });
}

#[test]
fn tangents_equal_the_unrolled() {
    compare("jvp", |g, loss, wrt| {
        let pairs: Vec<(NodeId, NodeId)> = wrt.iter().map(|&id| (id, g.unary(op::Unary::Cos, id))).collect();
        let tangents = jvp(g, &[loss], &pairs).unwrap();
        name_all(g, "t", &[tangents[0].unwrap()]);
    });
}

#[test]
fn second_and_third_derivatives_equal_the_unrolled() {
    compare("second", |g, loss, wrt| {
        let first = grad(g, loss, &wrt).unwrap();
        let sums: Vec<NodeId> = first
            .iter()
            .map(|&d| {
                let square = g.times(d, d);
                g.sum_all(square)
            })
            .collect();
        let sum = sums.into_iter().reduce(|a, b| g.plus(a, b)).unwrap();
        let second = grad(g, sum, &wrt).unwrap();
        name_all(g, "reverse", &second);
        let pairs: Vec<(NodeId, NodeId)> = wrt.iter().map(|&id| (id, g.unary(op::Unary::Cos, id))).collect();
        let forward = jvp(g, &first, &pairs).unwrap();
        name_all(g, "forward", &forward.into_iter().flatten().collect::<Vec<_>>());
        let mixed = jvp(g, &[loss], &pairs).unwrap()[0].unwrap();
        let mixed = grad(g, mixed, &wrt).unwrap();
        name_all(g, "mixed", &mixed);
        let third = jvp(g, &second, &pairs).unwrap();
        name_all(g, "third", &third.into_iter().flatten().collect::<Vec<_>>());
    });
}

#[test]
fn a_gradient_does_not_grow_with_the_steps() {
    let nodes = |length: usize| {
        let mut g = Graph::new();
        let h = g.input("h", ty("f64[3]")).unwrap();
        let xs = g.input("xs", Type::new(DType::F64, [length, 3])).unwrap();
        let w = g.input("w", ty("f64[3]")).unwrap();
        let scan = op::Scan {
            body: body(),
            length,
            carried: 1,
            stepped: 1,
            reverse: false,
            recompute: false,
            result: 0,
        };
        let last = g.must(scan, &[h, xs, w]);
        let loss = g.sum_all(last);
        grad(&mut g, loss, &[h, xs, w]).unwrap();
        g.len()
    };
    assert_eq!(nodes(2), nodes(1000));
}
