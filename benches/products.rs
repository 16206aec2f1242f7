//! Matrix products by size, in billions of operations a second: `cargo bench --bench products`. Words behind `--` choose
//! sizes (`128x784x512`: rows, terms, columns); `--threads N`; with `--test` each runs once.
//!
//! A product is `A·B`, and in the second and third column `Aᵀ·B` and `A·Bᵀ`, as the gradients of a layer have them.

use std::time::Instant;

use bespoke::{
    Error,
    compiler::{Config, compile},
    graph::{Graph, op::Dot},
    tensor::{DType, Scalar, Tensor, Type},
};

/// Rows, terms and columns.
const SIZES: [[usize; 3]; 17] = [
    [32, 32, 32],
    [64, 64, 64],
    [128, 128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [1, 1024, 1024],
    [32, 256, 1024],
    [128, 784, 512],
    [784, 128, 512],
    [128, 512, 256],
    [512, 128, 256],
    [256, 2048, 1024],
    [128, 500, 500],
    [1024, 256, 1024],
    [128, 400, 784],
];
/// Seconds that each is timed.
const TIME: f64 = 0.3;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| arguments.iter().skip_while(|a| *a != flag).nth(1).and_then(|n| n.parse().ok());
    let threads = after("--threads").unwrap_or(1);
    let test = arguments.iter().any(|a| a == "--test");
    let size = |name: &String| -> Option<[usize; 3]> {
        let numbers: Option<Vec<usize>> = name.split('x').map(|n| n.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let wanted: Vec<[usize; 3]> = arguments.iter().filter_map(size).collect();
    let sizes = if wanted.is_empty() { SIZES.to_vec() } else { wanted };
    println!("{:<16} {:>9} {:>9} {:>9}   GFLOP/s, {threads} threads", "size", "A·B", "Aᵀ·B", "A·Bᵀ");
    for [m, k, n] in sizes {
        let name = format!("{m}x{k}x{n}");
        let flop = 2.0 * (m * k * n) as f64;
        let mut speeds = vec![];
        for (left, right) in [(1, 0), (0, 0), (1, 1)] {
            let shape = |rows, columns, last| if last { [rows, columns] } else { [columns, rows] };
            let a = Type::new(DType::F32, shape(m, k, left == 1));
            let b = Type::new(DType::F32, shape(n, k, right == 1));
            let seconds = time(
                a,
                b,
                Dot { batch: (vec![], vec![]), contract: (vec![left], vec![right]) },
                threads,
                if test { 0.0 } else { TIME },
            )?;
            speeds.push(flop / seconds / 1e9);
        }
        println!("{name:<16} {:>9.1} {:>9.1} {:>9.1}", speeds[0], speeds[1], speeds[2]);
    }
    Ok(())
}

/// The median seconds of a product.
fn time(a: Type, b: Type, dot: Dot, threads: usize, time: f64) -> Result<f64, Error> {
    let mut graph = Graph::new();
    let (x, y) = (graph.input("a", a)?, graph.input("b", b)?);
    let product = graph.add(dot, &[x, y])?;
    graph.set_output("product", product)?;
    let mut executable =
        compile(&graph, &Config { threads, optimize: None, ..Config::default() }, &mut |_| ())?;
    let values = |ty| Tensor::from_fn(ty, |i| Scalar::F64((i as f64 * 0.37).sin()));
    let (a, b) = (values(a), values(b));
    let mut times = vec![];
    let start = Instant::now();
    while times.len() < 3 || start.elapsed().as_secs_f64() < time {
        let before = Instant::now();
        executable.run(&[("a", &a), ("b", &b)])?;
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
