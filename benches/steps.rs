//! Times compilation and steps of the models: `cargo bench`. With `--test` each runs once.

use std::time::Instant;

use bespoke::{
    compiler::{Config, clear_cache, compile},
    tensor::Tensor,
    zoo,
};

/// The median of times in seconds.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What is measured, and in which batches.
const MODELS: [(&str, &[usize]); 7] = [
    ("linear", &[1, 16, 128]),
    ("mlp", &[1, 16, 128]),
    ("lenet5", &[1, 16, 64]),
    ("mlp-deep", &[128]),
    ("vae", &[128]),
    ("lstm", &[32]),
    ("autoencoder-contractive", &[32]),
];

fn main() -> Result<(), bespoke::Error> {
    let once = std::env::args().any(|a| a == "--test");
    println!("{:<23} {:>6} {:>8} {:>12} {:>12}", "model", "batch", "threads", "compile ms", "step us");
    for (name, batches) in MODELS {
        let architecture = zoo::find(name).expect("a model");
        for &batch in batches {
            let model = architecture.model(batch)?;
            for threads in [1, 0] {
                let config = Config { threads, ..Config::default() };
                let compiled = (0..if once { 1 } else { 11 }).map(|_| {
                    clear_cache();
                    let start = Instant::now();
                    compile(&model.training, &config, &mut |_| ())
                        .map(|program| (start.elapsed().as_secs_f64(), program))
                });
                let mut compiled = compiled.collect::<Result<Vec<_>, _>>()?;
                let compile_time = median(compiled.iter().map(|c| c.0).collect());
                let mut program = compiled.pop().expect("one at least").1;
                for (name, value) in &model.start {
                    let rate = name.ends_with("/learning_rate").then(|| Tensor::scalar(1e-9f32));
                    program.set_state(name, rate.as_ref().unwrap_or(value))?;
                }
                let inputs = zoo::sample_inputs(&model.training);
                let inputs: Vec<_> = inputs.iter().map(|(n, v)| (n.as_str(), v)).collect();
                let mut times = vec![];
                let start = Instant::now();
                while times.is_empty() || !once && start.elapsed().as_secs_f64() < 1.0 {
                    let step = Instant::now();
                    program.run(&inputs)?;
                    times.push(step.elapsed().as_secs_f64());
                }
                let threads = program.threads();
                let (compile_ms, step_us) = (compile_time * 1e3, median(times) * 1e6);
                println!("{name:<23} {batch:>6} {threads:>8} {compile_ms:>12.2} {step_us:>12.1}");
            }
        }
    }
    Ok(())
}
