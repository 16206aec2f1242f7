//! A whole training step against the reference evaluator.

use std::{collections::BTreeMap, sync::Arc};

use bespoke_graph::{Graph, eval, op};
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
        let program = bespoke_lower::lower(&g, bespoke_lower::Config::default()).unwrap();
        assert_eq!(bespoke_lower::verify(&program), Vec::<String>::new());
        let compiled = Compiled::new(program, bespoke_lower::Isa::detect(), false).unwrap();
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
