//! Times the fused chain y = tanh(a·x + b)·σ(c·x): `cargo bench --bench chain`. With `--test` each size runs once.

use std::time::Instant;

use bespoke::prelude::*;

fn main() -> Result<(), bespoke::Error> {
    let once = std::env::args().any(|a| a == "--test");
    println!("{:>10} {:>8} {:>12} {:>12}", "elements", "threads", "median us", "least us");
    for exponent in [10, 16, 24] {
        let n = 1usize << exponent;
        let g = Graph::new();
        let x = g.input("x", F32, [n]);
        g.output("y", (x * 0.7 + 0.1).tanh() * (x * -0.3).sigmoid());
        let graph = g.finish()?;
        let values =
            Tensor::from_fn(Type::new(F32, [n]), |i| Scalar::F64((i * 7919 % 1000) as f64 / 100.0 - 5.0));
        for threads in [1, 0] {
            let config = Config { threads, ..Config::default() };
            let mut program = compile(&graph, &config, &mut |_| ())?;
            let mut times = vec![];
            let start = Instant::now();
            while times.is_empty() || !once && start.elapsed().as_secs_f64() < 1.0 {
                let run = Instant::now();
                program.run(&[("x", &values)])?;
                times.push(run.elapsed().as_secs_f64() * 1e6);
            }
            times.sort_by(f64::total_cmp);
            println!("{n:>10} {:>8} {:>12.1} {:>12.1}", program.threads(), times[times.len() / 2], times[0]);
        }
    }
    Ok(())
}
