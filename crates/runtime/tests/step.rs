//! A whole training step against the reference evaluator.

use std::{collections::BTreeMap, sync::Arc};

use bespoke_graph::{Body, Graph, eval, op};
use bespoke_lower::{Config, Isa, Work, lower};
use bespoke_runtime::{Compiled, Executable};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

fn noise(ty: Type, seed: u32) -> Tensor {
    Tensor::from_fn(ty, |i| {
        let word = bespoke_graph::philox::block([i as u32, 0, 0, 0], [seed, 0])[0];
        Scalar::F64(f64::from(word) / f64::from(u32::MAX) - 0.5)
    })
}

/// A network of two layers under a squared loss, with gradient descent.
fn step(batch: usize, sizes: [usize; 3]) -> Graph {
    let mut g = Graph::new();
    let ty = |shape: [usize; 2]| Type::new(DType::F32, shape);
    let x = g.input("x", ty([batch, sizes[0]])).unwrap();
    let t = g.input("t", ty([batch, sizes[2]])).unwrap();
    let w0 = g.state("w0", ty([sizes[0], sizes[1]])).unwrap();
    let b0 = g.state("b0", Type::new(DType::F32, [sizes[1]])).unwrap();
    let w1 = g.state("w1", ty([sizes[1], sizes[2]])).unwrap();
    let h = g.matmul(x, w0);
    let b = g.broadcast(b0, [batch, sizes[1]].into(), &[1]);
    let h = g.plus(h, b);
    let h = g.unary(op::Unary::Tanh, h);
    let y = g.matmul(h, w1);
    let e = g.minus(y, t);
    let square = g.times(e, e);
    let loss = g.sum_all(square);
    g.set_output("loss", loss).unwrap();
    g.set_output("y", y).unwrap();
    let params = [w0, b0, w1];
    for (p, d) in params.into_iter().zip(bespoke_autodiff::grad(&mut g, loss, &params).unwrap()) {
        let rate = g.fill_like(d, 0.01);
        let change = g.times(rate, d);
        let next = g.minus(p, change);
        g.set_next(p, next).unwrap();
    }
    g
}

#[test]
fn trains_like_the_evaluator_on_one_and_two_threads() {
    for (batch, sizes) in [(1, [1, 1, 1]), (3, [5, 7, 2]), (16, [33, 40, 10]), (64, [128, 96, 10])] {
        let g = step(batch, sizes);
        let isa = Isa::detect();
        let program = lower(&g, Config { isa, ..Config::default() }).unwrap();
        assert_eq!(bespoke_lower::verify(&program), Vec::<String>::new());
        let compiled = Compiled::new(program, isa, false).unwrap();
        let compiled = Arc::new(compiled);
        let mut bits: Vec<Vec<Tensor>> = vec![];
        for threads in [1, 2] {
            let mut executable = Executable::new(compiled.clone(), threads, false).unwrap();
            let mut states: BTreeMap<String, Tensor> = BTreeMap::new();
            for (i, (name, ty)) in
                executable.states().map(|s| (s.0.to_owned(), s.1)).collect::<Vec<_>>().into_iter().enumerate()
            {
                let value = noise(ty, i as u32);
                executable.set_state(&name, &value).unwrap();
                states.insert(name, value);
            }
            let x = noise(Type::new(DType::F32, [batch, sizes[0]]), 10);
            let t = noise(Type::new(DType::F32, [batch, sizes[2]]), 11);
            let mut seen = vec![];
            for _ in 0..3 {
                let sources = |name: &str| match name {
                    "x" => Some(x.clone()),
                    "t" => Some(t.clone()),
                    _ => states.get(name).cloned(),
                };
                let expected = eval(&g, &sources).unwrap();
                let outputs = executable.run(&[("x", &x), ("t", &t)]).unwrap();
                let got = outputs.iter().map(|o| (o.0.to_owned(), o.1.clone()));
                let after = expected.states.keys().map(|n| (n.clone(), executable.state(n).unwrap()));
                for (name, value) in got.chain(after.collect::<Vec<_>>()) {
                    let reference = expected.outputs.get(&name).or(expected.states.get(&name)).unwrap();
                    for (a, b) in value.scalars().zip(reference.scalars()) {
                        let (a, b) = (a.to_f64(), b.to_f64());
                        assert!(
                            (a - b).abs() <= 1e-5 * (1.0 + b.abs()),
                            "{name} at {batch} {sizes:?}: {a} is not {b}"
                        );
                    }
                    seen.push(value);
                }
                states = expected.states;
                for name in ["w0", "b0", "w1"] {
                    executable.set_state(name, &states[name]).unwrap();
                }
            }
            bits.push(seen);
        }
        assert_eq!(bits[0], bits[1], "the results depend on the number of threads");
    }
}

/// tanh(tanh(x·Wᵀ)·Vᵀ) with constant weights, which no tile reads where they lie, and h ← tanh(h·Uᵀ) for five steps from there.
fn constant_weights() -> Graph {
    let ty = |shape: [usize; 2]| Type::new(DType::F32, shape);
    let transposed = || op::Dot { batch: (vec![], vec![]), contract: (vec![1], vec![1]) };
    let mut body = Graph::new();
    let h = body.input("h", ty([40, 48])).unwrap();
    let u = body.input("u", ty([48, 48])).unwrap();
    let next = body.must(transposed(), &[h, u]);
    let next = body.unary(op::Unary::Tanh, next);
    body.set_output("h", next).unwrap();
    let scan = op::Scan {
        body: Body::new(body),
        length: 5,
        carried: 1,
        stepped: 0,
        reverse: false,
        recompute: false,
        result: 0,
    };
    let mut g = Graph::new();
    let x = g.input("x", ty([40, 64])).unwrap();
    let u = g.input("u", ty([48, 48])).unwrap();
    let w = g.must(op::Constant { value: noise(ty([64, 64]), 1) }, &[]);
    let v = g.must(op::Constant { value: noise(ty([48, 64]), 2) }, &[]);
    let y = g.must(transposed(), &[x, w]);
    let y = g.unary(op::Unary::Tanh, y);
    let y = g.must(transposed(), &[y, v]);
    let y = g.unary(op::Unary::Tanh, y);
    let h = g.must(scan, &[y, u]);
    g.set_output("h", h).unwrap();
    g
}

#[test]
fn what_runs_once_serves_every_run_and_step() {
    let g = constant_weights();
    for isa in [Isa::Portable, Isa::detect()] {
        let program = lower(&g, Config { isa, ..Config::default() }).unwrap();
        assert_eq!(bespoke_lower::verify(&program), Vec::<String>::new());
        assert_eq!(program.isa(), isa, "what a machine must have to run it");
        let loops = program.launches.iter().filter_map(|l| match &l.work {
            Work::Loop(scan) => Some(scan.body.setup),
            _ => None,
        });
        assert_eq!((program.setup, loops.collect::<Vec<_>>()), (2, vec![1]), "{program}");
        let compiled = Arc::new(Compiled::new(program, isa, false).unwrap());
        for threads in [1, 2] {
            let mut executable = Executable::new(compiled.clone(), threads, false).unwrap();
            for run in 0..3 {
                // Another weight of the loop in each run: what its steps have in common changes with the runs.
                let inputs = [
                    ("x", noise(Type::new(DType::F32, [40, 64]), 20 + run)),
                    ("u", noise(Type::new(DType::F32, [48, 48]), 30 + run)),
                ];
                let find = |name: &str| inputs.iter().find(|i| i.0 == name).map(|i| i.1.clone());
                let expected = eval(&g, &find).unwrap();
                let given = inputs.each_ref().map(|(name, value)| (*name, value));
                let outputs = executable.run(&given).unwrap();
                let (got, expected) = (outputs.get("h").unwrap(), &expected.outputs["h"]);
                for (x, y) in got.scalars().zip(expected.scalars()) {
                    assert!((x.to_f64() - y.to_f64()).abs() < 1e-4, "{isa}, run {run}: {x} and {y}");
                }
            }
        }
    }
}
