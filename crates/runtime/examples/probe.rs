//! Times a training step kernel by kernel (temporary).
use std::{sync::Arc, time::Instant};
use bespoke_codegen::generate;
use bespoke_graph::{Graph, op};
use bespoke_runtime::{Compiled, Executable};
use bespoke_tensor::{DType, Scalar, Tensor, Type};
fn noise(ty: Type, seed: u32) -> Tensor {
    Tensor::from_fn(ty, |i| { let w = bespoke_graph::philox::block([i as u32, 0, 0, 0], [seed, 0])[0]; Scalar::F64((f64::from(w) / f64::from(u32::MAX) - 0.5) * 0.1) })
}
fn main() {
    let batch: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let sizes = [784, 512, 256, 10];
    let mut g = Graph::new();
    let f = |s: &[usize]| Type::new(DType::F32, bespoke_tensor::Shape::new(s).unwrap());
    let x = g.input("x", f(&[batch, 784])).unwrap();
    let t = g.input("t", f(&[batch, 10])).unwrap();
    let mut h = x; let mut params = vec![];
    for l in 0..3 {
        let w = g.state(&format!("w{l}"), f(&[sizes[l], sizes[l + 1]])).unwrap();
        let b = g.state(&format!("b{l}"), f(&[sizes[l + 1]])).unwrap();
        params.extend([w, b]);
        h = g.matmul(h, w);
        let bb = g.broadcast(b, [batch, sizes[l + 1]].into(), &[1]);
        h = g.plus(h, bb);
        if l < 2 { let z = g.fill_like(h, 0.0); h = g.binary(op::Binary::Max, h, z); }
    }
    let e = g.minus(h, t); let sq = g.times(e, e); let loss = g.sum_all(sq);
    g.set_output("loss", loss).unwrap();
    let grads = bespoke_autodiff::grad(&mut g, loss, &params).unwrap();
    for (p, d) in params.into_iter().zip(grads) {
        let name = format!("v{}", p);
        let v = g.state(&name, g.ty(p)).unwrap();
        let m = g.fill_like(d, 0.9); let mv = g.times(m, v); let nv = g.plus(mv, d);
        let rate = g.fill_like(d, 1e-6); let c = g.times(rate, nv); let n = g.minus(p, c);
        g.set_next(p, n).unwrap(); g.set_next(v, nv).unwrap();
    }
    let s = Instant::now();
    let program = bespoke_lower::lower(&g).unwrap();
    let lower = s.elapsed();
    let code = generate(&program, false).unwrap();
    println!("lower {lower:?} total {:?} launches {} code {}", s.elapsed(), program.launches.len(), code.module.code_bytes());
    let compiled = Arc::new(Compiled { program, code });
    for threads in [1, 2] {
        let mut ex = Executable::new(compiled.clone(), threads, false);
        let names: Vec<(String, Type)> = ex.states().map(|s| (s.0.to_owned(), s.1)).collect();
        for (i, (n, ty)) in names.iter().enumerate() { ex.set_state(n, &noise(*ty, i as u32)).unwrap(); }
        let (x, t) = (noise(f(&[batch, 784]), 10), noise(f(&[batch, 10]), 11));
        for _ in 0..20 { ex.run(&[("x", &x), ("t", &t)]).unwrap(); }
        let mut times: Vec<f64> = (0..200).map(|_| { let s = Instant::now(); ex.run(&[("x", &x), ("t", &t)]).unwrap(); s.elapsed().as_secs_f64() * 1e3 }).collect();
        times.sort_by(f64::total_cmp);
        println!("threads {threads}: median {:.3} ms min {:.3}", times[100], times[0]);
    }
    if std::env::args().nth(2).is_some() {
        let mut names = vec![];
        for l in &compiled.program.launches { names.push((l.name().to_owned(), l.flop, l.bytes)); }
        let mut ex = Executable::new(compiled.clone(), 1, false);
        let (x, t) = (noise(f(&[batch, 784]), 10), noise(f(&[batch, 10]), 11));
        let mut sums = vec![0.0; names.len()];
        for _ in 0..100 { for (i, d) in ex.profile(&[("x", &x), ("t", &t)]).unwrap().into_iter().enumerate() { sums[i] += d.1.as_secs_f64() * 10.0; } }
        for (n, s) in names.iter().zip(&sums) { println!("{:9.1} us {:8.1} GF/s {:8.1} GB/s {}", s * 1e3, n.1 / s / 1e6, n.2 / s / 1e6, n.0); }
    }
}
