//! What the optimiser is worth: each model's step and its query with constant weights, compiled with the rules that are always
//! better alone (tier 0), with fusion too, and with the e-graph besides, timed in turn in one run on one thread, in its processor
//! time, so that other work on the machine does not count: `cargo bench --bench payoff`. Words behind `--` choose models by name;
//! with `--profile` the kernels of all programs follow; with `--calibrated` the optimiser decides for the machine that `bespoke
//! calibrate` measured; with `--test` each runs once.

use std::time::Instant;

use bespoke::{
    Error,
    compiler::{Artifact, Config, Fusion, compile, load_machine},
    graph::Graph,
    inspect,
    nn::live_part,
    optimize::{self, Machine},
    runtime::Executable,
    tensor::Tensor,
    zoo::{self, Options},
};
use cpu_time::ThreadTime;

/// What differs from the sizes that a model was published with.
type Sizes = fn(Options) -> Options;

/// The models.
const MODELS: [(&str, Sizes); 7] = [
    ("mlp", |o| Options { batch: 128, ..o }),
    ("lenet5", |o| Options { batch: 64, ..o }),
    ("resnet18", |o| Options { batch: 16, size: 32, classes: 10, width: 0.25, ..o }),
    ("googlenet", |o| Options { batch: 8, size: 64, classes: 10, width: 0.25, ..o }),
    ("vae", |o| Options { batch: 128, ..o }),
    ("lstm", |o| Options { batch: 32, ..o }),
    ("gpt", |o| Options { batch: 4, size: 64, classes: 64, width: 0.5, ..o }),
];

/// Seconds that a model's two programs are timed.
const TIME: f64 = 4.0;
/// Each of them runs at least so often.
const RUNS: usize = 25;
/// Seconds that one of them runs before the other has its turn.
const TURN: f64 = 0.02;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_set = |flag: &str| arguments.iter().any(|a| a == flag);
    let wanted: Vec<&String> = arguments.iter().filter(|a| !a.starts_with("--")).collect();
    let machine = if is_set("--calibrated") { load_machine().unwrap_or_default() } else { Machine::fixed() };
    let titles =
        ["program", "tier 0 ms", "fused ms", "all ms", "ratio", "to fused", "modelled ms", "launches"];
    let [program, before, fused, after, ratio, rest, modelled, launches] = titles;
    println!(
        "{program:<18} {before:>10} {fused:>10} {after:>10} {ratio:>7} {rest:>9} {modelled:>12} {launches:>20}"
    );
    let mut ratios: [[Vec<f64>; 2]; 2] = Default::default();
    for (name, sizes) in MODELS.iter().filter(|m| wanted.is_empty() || wanted.iter().any(|w| *w == m.0)) {
        let architecture = zoo::find(name).expect("a model");
        let model = architecture.model_with(&sizes(architecture.defaults))?;
        let weights = model.start.iter().filter(|s| model.query.source(&s.0).is_some());
        let weights: Vec<_> = weights.map(|(n, v)| (n.as_str(), v)).collect();
        let query = live_part(&model.query.freeze(&weights).expect("they are the query's"));
        for (kind, (label, graph)) in [("step", &model.training), ("query", &query)].into_iter().enumerate() {
            let mut programs = [
                program_of(graph, (false, Fusion::Separate), machine, &model.start)?,
                program_of(graph, (false, Fusion::Priced), machine, &model.start)?,
                program_of(graph, (true, Fusion::Priced), machine, &model.start)?,
            ];
            let inputs = zoo::sample_inputs(graph);
            let inputs: Vec<_> = inputs.iter().map(|(n, v)| (n.as_str(), v)).collect();
            let (time, runs) = if is_set("--test") { (0.0, 1) } else { (TIME, RUNS) };
            let [before, fused, after] = race(&mut programs, &inputs, time, runs)?;
            println!(
                "{:<18} {:>10.3} {:>10.3} {:>10.3} {:>7.3} {:>9.3} {:>12.3} {:>20}",
                format!("{name} {label}"),
                before * 1e3,
                fused * 1e3,
                after * 1e3,
                before / after,
                fused / after,
                programs[2].modelled / 1e6,
                launches_of(&programs),
            );
            ratios[kind][0].push(before / after);
            ratios[kind][1].push(fused / after);
            if is_set("--profile") {
                for (title, program) in ["tier 0", "fused", "all"].iter().zip(&mut programs) {
                    println!("{title}: {}", inspect::profile(&mut program.executable, &inputs, 30)?);
                }
            }
        }
    }
    for (label, ratios) in ["steps", "queries"].iter().zip(&ratios) {
        let [all, rest] = ratios
            .each_ref()
            .map(|ratios| (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp());
        println!("geometric means of {label}: {all:.3} of tier 0, {rest:.3} of tier 0 with fusion");
    }
    Ok(())
}

struct Program {
    executable: Executable,
    /// What the cost model says that a run takes, in nanoseconds.
    modelled: f64,
}

/// How many there are in each; one number for programs that are the same.
fn launches_of(programs: &[Program; 3]) -> String {
    let [separate, fused, all] = programs.each_ref().map(|p| p.executable.program());
    let same = fused.to_string() == all.to_string();
    let last = if same { String::new() } else { format!(" → {}", all.launches.len()) };
    format!("{} → {}{last}", separate.launches.len(), fused.launches.len())
}

/// The graph compiled for one thread, with these states where it has them.
fn program_of(
    graph: &Graph,
    (egraph, fusion): (bool, Fusion),
    machine: Machine,
    states: &[(String, Tensor)],
) -> Result<Program, Error> {
    let optimize = Some(optimize::Config { egraph, machine, ..optimize::Config::default() });
    let mut modelled = 0.0;
    let config = Config { optimize, fusion, threads: 1, ..Config::default() };
    let mut executable = compile(graph, &config, &mut |event| {
        if let Artifact::Optimized(_, report) = &event.artifact {
            modelled = report.costs[2];
        }
    })?;
    for (name, value) in states.iter().filter(|s| graph.source(&s.0).is_some()) {
        // What learns a batch by heart gets units of denormal numbers, which are slow: it learns nothing.
        let rate = name.ends_with("/learning_rate").then(|| Tensor::scalar(1e-9f32));
        executable.set_state(name, rate.as_ref().unwrap_or(value))?;
    }
    Ok(Program { executable, modelled })
}

/// The seconds of a run of each program: the lower quartile, since other work on the machine slows runs down and never
/// speeds them up. The programs run in turn, so that a change of the machine's speed meets both.
fn race(
    programs: &mut [Program; 3],
    inputs: &[(&str, &Tensor)],
    time: f64,
    runs: usize,
) -> Result<[f64; 3], Error> {
    let mut times: [Vec<f64>; 3] = Default::default();
    let start = Instant::now();
    while times.iter().any(|t| t.len() < runs) || start.elapsed().as_secs_f64() < time {
        for (Program { executable, .. }, times) in programs.iter_mut().zip(&mut times) {
            executable.run(inputs)?; // its memory comes back to the cache
            let turn = ThreadTime::now();
            let mut end = 0.0;
            while end == 0.0 || end < TURN.min(time) {
                executable.run(inputs)?;
                let now = turn.elapsed().as_secs_f64();
                times.push(now - end);
                end = now;
            }
        }
    }
    Ok(times.map(|mut t| {
        t.sort_by(f64::total_cmp);
        t[t.len() / 4]
    }))
}
