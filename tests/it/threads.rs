//! Kernels large enough to be shared: right, and the same bits for any number of threads.

use std::{collections::BTreeMap, sync::Arc};

use bespoke_graph::{Graph, NodeId, op};
use bespoke_loops::Combine;
use bespoke_runtime::{Compiled, Executable};
use bespoke_tensor::{DType, Scalar, Tensor, Type};
use bespoke_testkit::{compare_values, random_inputs, reference};

use crate::columns::{no_failures, run, same_bits};

/// Adds an input.
fn input(g: &mut Graph, ty: &str) -> NodeId {
    let name = format!("x{}", g.len());
    g.input(&name, ty.parse().expect("a type")).expect("names are numbered")
}

fn output(g: &mut Graph, node: NodeId) {
    g.set_output(&format!("y{}", g.outputs().len()), node).expect("names are numbered");
}

fn elementwise(g: &mut Graph) {
    let (x, y) = (input(g, "f32[413,607]"), input(g, "f32[413,607]"));
    let sum = g.plus(x, y);
    let tanh = g.unary(op::Unary::Tanh, sum);
    let (flat, z) = (g.reshape(tanh, [413 * 607].into()), input(g, "f32[250691]"));
    let product = g.times(flat, z);
    output(g, product);
    let below = g.binary(op::Binary::Lt, x, y);
    output(g, below);
    let narrow = g.convert(y, DType::U8);
    output(g, narrow);
    let state = g.state("s", g.ty(x)).expect("it is the first");
    let next = g.plus(state, tanh);
    g.set_next(state, next).expect("it is the first");
}

fn softmax(g: &mut Graph) {
    let x = input(g, "f32[401,303]");
    let max = g.reduce(Combine::Max, x, &[1]);
    let max = g.unreduce(max, g.ty(x).shape, &[1]);
    let shifted = g.minus(x, max);
    let exp = g.unary(op::Unary::Exp, shifted);
    let sum = g.sum(exp, &[1]);
    let sum = g.unreduce(sum, g.ty(x).shape, &[1]);
    let y = g.over(exp, sum);
    output(g, y);
}

fn reductions(g: &mut Graph) {
    for ty in ["f32[601,333]", "f64[301,300]", "i32[501,400]", "u8[1000,277]"] {
        let x = input(g, ty);
        for axes in [&[0][..], &[1], &[0, 1]] {
            for combine in [Combine::Sum, Combine::Max] {
                let y = g.reduce(combine, x, axes);
                output(g, y);
            }
        }
        for axis in [0, 1] {
            let at = g.must(op::ArgReduce { extremum: op::Extremum::Min, axis }, &[x]);
            output(g, at);
        }
    }
}

fn products(g: &mut Graph) {
    let (x, w) =
        (input(g, "f32[157,129]"), g.state("w", "f32[129,131]".parse().expect("a type")).expect("first"));
    let b = input(g, "f32[131]");
    let y = g.matmul(x, w);
    let b = g.broadcast(b, g.ty(y).shape, &[1]);
    let y = g.plus(y, b);
    let y = g.unary(op::Unary::Tanh, y);
    output(g, y);
    // wᵀ-gradient-like, as update in place.
    let d = g.must(op::Dot { batch: (vec![], vec![]), contract: (vec![0], vec![0]) }, &[x, y]);
    let next = g.minus(w, d);
    g.set_next(w, next).expect("the first");
    let (l, r) = (input(g, "f64[5,61,43]"), input(g, "f64[43,5,57]"));
    let batched = g.must(op::Dot { batch: (vec![0], vec![1]), contract: (vec![2], vec![0]) }, &[l, r]);
    output(g, batched);
    let square = input(g, "f32[97,97]");
    let y = g.matmul(square, square);
    let t = g.transpose(y, &[1, 0]);
    let y = g.plus(y, t);
    output(g, y);
}

fn movement(g: &mut Graph) {
    let x = input(g, "f32[401,513]");
    let t = g.transpose(x, &[1, 0]);
    output(g, t);
    let r = g.must(op::Reverse { axes: vec![0, 1] }, &[x]);
    let c = g.must(op::Concatenate { axis: 1 }, &[x, r]);
    output(g, c);
    let zero = g.scalar(1.5f32);
    let pad = op::Pad { low: vec![1, 0], high: vec![0, 3], inner: vec![0, 1] };
    let p = g.must(pad, &[x, zero]);
    output(g, p);
    let s = g.must(op::Slice { start: vec![1, 2], limit: vec![400, 513], step: vec![1, 2] }, &[x]);
    output(g, s);
}

fn picks(g: &mut Graph) {
    let (x, i) = (input(g, "f32[300,101]"), input(g, "i32[900]"));
    let rows = g.must(op::Gather { axis: 0, batch: 0 }, &[x, i]);
    output(g, rows);
    let u = input(g, "f32[900,101]");
    let sum = g.must(op::ScatterAdd { axis: 0, batch: 0 }, &[x, i, u]);
    output(g, sum);
    let (key, counter) = (input(g, "u32[2]"), input(g, "u32[2]"));
    let bits = g.must(op::RandomBits { shape: [301, 401].into() }, &[key, counter]);
    output(g, bits);
}

/// Adds inputs, nodes and outputs.
type Build = fn(&mut Graph);

/// A convolution with bias and activation, and both gradients: images as products of their own, and as columns of one.
fn convolutions(g: &mut Graph) {
    let cases = [
        ("f32[9,3,17,19]", "f32[7,3,5,5]", op::Convolution::new(&[1, 1], &[2, 2])),
        ("f32[6,8,13,14]", "f32[12,8,3,3]", op::Convolution::new(&[2, 2], &[1, 1])),
        ("f32[5,24,4,3]", "f32[40,24,3,3]", op::Convolution::new(&[1, 1], &[1, 1])),
        (
            "f64[2,10,9,11]",
            "f64[6,5,1,1]",
            op::Convolution { groups: 2, ..op::Convolution::new(&[1, 1], &[0, 0]) },
        ),
    ];
    for (x, kernel, convolution) in cases {
        let (x, kernel) = (input(g, x), input(g, kernel));
        let y = g.must(convolution, &[x, kernel]);
        let ty = g.ty(y);
        let bias = input(g, &format!("{}[{}]", ty.dtype, ty.shape[1]));
        let bias = g.broadcast(bias, ty.shape, &[1]);
        let y = g.plus(y, bias);
        let y = g.unary(op::Unary::Tanh, y);
        output(g, y);
        let loss = g.sum_all(y);
        for d in bespoke_autodiff::grad(g, loss, &[x, kernel]).expect("both are reached") {
            output(g, d);
        }
    }
}

#[test]
fn large_kernels_are_right_on_any_number_of_threads() {
    let graphs: [(&str, Build); 7] = [
        ("elementwise", elementwise),
        ("softmax", softmax),
        ("reductions", reductions),
        ("products", products),
        ("convolutions", convolutions),
        ("movement", movement),
        ("picks", picks),
    ];
    let mut failures = vec![];
    for (name, build) in graphs {
        let mut graph = Graph::new();
        build(&mut graph);
        let sources = random_inputs(&graph, 1, false);
        let program = bespoke_lower::lower(&graph, bespoke_lower::Config::default()).expect("it is small");
        assert_eq!(bespoke_lower::verify(&program), Vec::<String>::new(), "{name}");
        let compiled =
            Compiled::new(program, bespoke_lower::Isa::detect(), false).expect("every program has code");
        let compiled = Arc::new(compiled);
        let with = |threads: usize| {
            run(&mut Executable::new(compiled.clone(), threads, false).unwrap(), &graph, &sources)
        };
        let one = with(1).expect("it runs");
        let expected = reference(&graph, &|n| sources.get(n).cloned()).expect("all sources are there");
        failures.extend(compare_values(&one, &expected).err().map(|e| format!("{name}: {e}")));
        for threads in [2, 3, 5] {
            let more = with(threads).expect("it runs");
            failures
                .extend(same_bits(&more, &one).err().map(|e| format!("{name} on {threads} threads: {e}")));
        }
    }
    no_failures(&failures);
}

/// A training step of a few layers keeps its bits over ten steps.
#[test]
fn training_gives_the_same_bits_on_any_number_of_threads() {
    let mut g = Graph::new();
    let (x, t) = (input(&mut g, "f32[96,200]"), input(&mut g, "f32[96,10]"));
    let state =
        |g: &mut Graph, name: &str, ty: &str| g.state(name, ty.parse().expect("a type")).expect("new");
    let (a, b) = (state(&mut g, "a", "f32[200,128]"), state(&mut g, "b", "f32[128,10]"));
    let h = g.matmul(x, a);
    let h = g.unary(op::Unary::Tanh, h);
    let y = g.matmul(h, b);
    let e = g.minus(y, t);
    let square = g.times(e, e);
    let loss = g.sum_all(square);
    output(&mut g, loss);
    for (w, d) in
        [a, b].into_iter().zip(bespoke_autodiff::grad(&mut g, loss, &[a, b]).expect("all are reached"))
    {
        let rate = g.fill_like(d, 1e-4);
        let step = g.times(rate, d);
        let next = g.minus(w, step);
        g.set_next(w, next).expect("new");
    }
    let sources: BTreeMap<String, Tensor> = random_inputs(&g, 2, false);
    let trained = |threads: usize| {
        let config = bespoke_compiler::Config { threads, ..Default::default() };
        let mut executable = bespoke_compiler::compile(&g, &config, &mut |_| ()).expect("it compiles");
        for name in ["a", "b"] {
            let ty: Type = sources[name].ty();
            let small = |i: usize| Scalar::F64(sources[name].get(i).to_f64() * 0.05);
            executable.set_state(name, &Tensor::from_fn(ty, small)).expect("there is one");
        }
        let inputs: Vec<(&str, &Tensor)> = g.inputs().map(|(n, _)| (n, &sources[n])).collect();
        let loss = |_| executable.run(&inputs).expect("it runs").get("y0").expect("the loss").get(0).to_f64();
        (0..10).map(loss).collect::<Vec<f64>>()
    };
    let one = trained(1);
    assert!(one[9] < 0.9 * one[0] && one[9].is_finite(), "{one:?}");
    for threads in [2, 3] {
        assert_eq!(trained(threads), one, "{threads} threads");
    }
}
