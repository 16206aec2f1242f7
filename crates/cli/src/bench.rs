//! `bespoke bench`.

use std::time::Instant;

use bespoke_compiler::{Artifact, Config, Event, clear_cache, compile};
use bespoke_optimize::Candidate;
use serde_json::json;

use crate::{error::Failure, model, suite};

/// Without `--steps`, time steps for about this long, in seconds.
const TIME: f64 = 2.0;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model's name (see `bespoke models`); or `all` workloads, or one of them: `W4`
    model: String,
    #[command(flatten)]
    sizes: model::Sizes,
    /// Threads, at most 64; 0: all
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Steps to time; without, about two seconds of them
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Compile and time so many of the optimiser's best graphs, and keep the fastest
    #[arg(long, value_name = "CANDIDATES", default_value_t = 0)]
    measure: usize,
    /// The query program instead of the training step
    #[arg(long)]
    query: bool,
    /// Only compile
    #[arg(long)]
    compile_only: bool,
    /// One JSON object; of workloads, a line each
    #[arg(long)]
    json: bool,
    /// Also the time of each kernel (not in JSON)
    #[arg(long)]
    profile: bool,
}

/// Compiles the model and times its steps; or measures workloads.
pub fn bench(arguments: &Arguments) -> Result<String, Failure> {
    let workloads = suite::named(&arguments.model)?;
    if !workloads.is_empty() {
        return of_workloads(&workloads, arguments);
    }
    let architecture = model::architecture(&arguments.model)?;
    let model = architecture.model_with(&arguments.sizes.options(architecture)?)?;
    let graph = if arguments.query { &model.query } else { &model.training };
    let config = Config { threads: arguments.threads, measure: arguments.measure, ..Config::calibrated() };
    clear_cache();
    let mut stages = serde_json::Map::new();
    let mut measured = serde_json::Map::new();
    let milliseconds = |seconds: f64| (seconds * 1e6).round() / 1e3;
    let start = Instant::now();
    let mut program = compile(graph, &config, &mut |event: &Event<'_>| {
        if let Artifact::Optimized(_, report) = &event.artifact {
            let time = |m: &Candidate| (m.name.to_owned(), json!(milliseconds(m.cost / 1e9)));
            measured = report.measured.iter().map(time).collect();
        }
        stages.insert(event.stage.to_string(), json!(milliseconds(event.elapsed.as_secs_f64())));
    })?;
    let total = milliseconds(start.elapsed().as_secs_f64());
    let staged: f64 = stages.values().filter_map(serde_json::Value::as_f64).sum();
    // What no stage reports: memory for the states and all else, and the cache.
    stages.insert("memory".to_owned(), json!(((total - staged) * 1e3).round() / 1e3));
    stages.insert("total".to_owned(), json!(total));
    let states: Vec<String> = program.states().map(|s| s.0.to_owned()).collect();
    for (name, value) in model.start.iter().filter(|s| states.contains(&s.0)) {
        program.set_state(name, value)?;
    }
    // A model that learns its batch gets units that are never used again; their momentum decays to denormal numbers, which
    // take the processor five times as long. Keep it where it is.
    for name in states.iter().filter(|n| n.ends_with("/learning_rate")) {
        program.set_state(name, &bespoke_tensor::Tensor::scalar(1e-9f32))?;
    }
    let inputs = bespoke_zoo::sample_inputs(graph);
    let inputs: Vec<_> = inputs.iter().map(|(n, v)| (n.as_str(), v)).collect();

    let mut times: Vec<f64> = vec![];
    if !arguments.compile_only {
        let warm = Instant::now();
        while warm.elapsed().as_secs_f64() < 0.2 {
            program.run(&inputs)?;
        }
        let start = Instant::now();
        let enough = |n: usize| match arguments.steps {
            Some(steps) => n as u64 >= steps,
            None => n >= 5 && start.elapsed().as_secs_f64() > TIME,
        };
        while !enough(times.len()) {
            let step = Instant::now();
            program.run(&inputs)?;
            times.push(step.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
    }
    let median = times.get(times.len() / 2).copied();
    let mut result = json!({
        "model": architecture.name,
        "batch": model.batch,
        "threads": program.threads(),
        "mode": if arguments.query { "query" } else { "train" },
        "compile_ms": stages,
        "step_ms": median.map(|m| json!({
            "median": milliseconds(m), "min": milliseconds(times[0]), "runs": times.len(),
        })),
        "samples_per_s": median.map(|m| (model.batch as f64 / m).round()),
        "flop": bespoke_nn::flop(graph),
        "arena_bytes": program.arena_bytes(),
        "code_bytes": program.code_bytes(),
        "kernels": program.kernels(),
    });
    if !measured.is_empty() {
        result["candidates_ms"] = measured.into();
    }
    if arguments.json {
        return Ok(format!("{result}\n"));
    }
    let mut text = table(&result);
    if arguments.profile && !arguments.compile_only {
        text.push_str(&bespoke_inspect::profile(&mut program, &inputs, 100)?);
    }
    Ok(text)
}

/// Measures workloads, whose sizes are fixed.
fn of_workloads(workloads: &[suite::Workload], arguments: &Arguments) -> Result<String, Failure> {
    let Arguments { threads, steps, json, .. } = *arguments;
    let others = arguments.query || arguments.compile_only || arguments.profile || arguments.measure > 0;
    if others || arguments.sizes.any() {
        let message = "only --threads, --steps and --json go with workloads";
        return Err(Failure(format!("bench {}: {message}, whose sizes are fixed", arguments.model)));
    }
    suite::suite(workloads, &suite::Choices { threads, steps, json })
}

/// `key: value`, a line each, inner keys indented.
fn table(value: &serde_json::Value) -> String {
    let mut text = String::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(inner) => {
                text.push_str(&format!("{key}:\n"));
                inner.iter().for_each(|(k, v)| text.push_str(&format!("  {k}: {v}\n")));
            }
            None => text
                .push_str(&format!("{key}: {}\n", value.as_str().map_or(value.to_string(), str::to_owned))),
        }
    }
    text
}
