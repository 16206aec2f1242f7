//! `bespoke bench all`, and of one workload: times, the time to the first step, memory, and how near they are to the machine's
//! limit.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use bespoke_compiler::{Artifact, Config, compile};
use bespoke_graph::{Graph as Ir, Op};
use bespoke_nn::{Graph, Trainer, flop};
use bespoke_runtime::Executable;
use bespoke_tensor::Tensor;
use serde_json::{Value, json};

pub use crate::workloads::Workload;
use crate::{error::Failure, limits, workloads};

/// Before it is timed, a workload runs for so many seconds.
const WARM: f64 = 0.5;
/// It is timed at least so often, and at most.
const RUNS: [usize; 2] = [7, 5000];
/// What takes less than so many seconds is timed several times at once, so that the clock costs less than 1 %.
const LEAST: f64 = 2e-5;

/// How to measure.
pub struct Choices {
    /// Threads; 0: all.
    pub threads: usize,
    /// Runs to time, without a warm-up; none: as many as the workload's time takes.
    pub steps: Option<u64>,
    /// JSON lines rather than a table.
    pub json: bool,
}

/// The workloads of this name, or of one that goes on with `-…`: `W1` for `W1-b1`, `W1-b16` and `W1-b128`; `all` for all. None
/// if the name is not of a workload's kind.
pub fn named(name: &str) -> Result<Vec<Workload>, Failure> {
    let mut chosen = workloads::all();
    let known: Vec<String> = chosen.iter().map(|w| w.name.clone()).collect();
    chosen.retain(|w| {
        let rest = w.name.strip_prefix(name);
        name == "all" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    if chosen.is_empty() && name.starts_with('W') {
        let beside = "W12 and W13 are measured of each training step";
        let message =
            format!("there is no workload `{name}`; the workloads are {}; {beside}", known.join(", "));
        return Err(Failure(message));
    }
    Ok(chosen)
}

/// Measures one workload here, and several each in a process of its own, so that none finds memory and code of another. What
/// is measured of several is printed at once.
pub fn suite(workloads: &[Workload], choices: &Choices) -> Result<String, Failure> {
    if let [workload] = workloads {
        let lines = measure(workload, choices)?;
        return Ok(if choices.json {
            lines.iter().map(|line| format!("{line}\n")).collect()
        } else {
            HEADER.to_owned() + &lines.iter().map(|line| row(line, workload.about)).collect::<String>()
        });
    }
    if !choices.json {
        crate::print(HEADER)?;
    }
    let mut failed = vec![];
    for workload in workloads {
        match in_own_process(workload, choices) {
            Ok(lines) if choices.json => crate::print(&lines)?,
            Ok(lines) => {
                for line in lines.lines() {
                    crate::print(&row(&serde_json::from_str(line)?, workload.about))?;
                }
            }
            Err(failure) => {
                eprintln!("bespoke: {}: {failure}", workload.name);
                failed.push(workload.name.as_str());
            }
        }
    }
    if failed.is_empty() { Ok(String::new()) } else { Err(Failure(format!("failed: {}", failed.join(", ")))) }
}

/// The JSON lines of a process that measures a workload.
fn in_own_process(workload: &Workload, choices: &Choices) -> Result<String, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", &workload.name, "--json", "--threads", &choices.threads.to_string()]);
    command.args(choices.steps.map(|steps| format!("--steps={steps}")));
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(Failure(format!("it ended with {}", output.status)));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A line each of what is measured: `us`, the time of a run, and of training steps also `first_step_ms`, from the definition to the
/// end of the first step, and `peak_mib`, the peak of memory above that before the definition, with compilation and (as `min`)
/// without.
fn measure(workload: &Workload, choices: &Choices) -> Result<Vec<Value>, Failure> {
    reset_peak();
    let before = memory("VmRSS");
    let start = Instant::now();
    let Prepared { mut program, inputs, operations, bytes } = prepare(workload, choices.threads)?;
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, v)| (n.as_str(), v)).collect();
    let mut run = || program.run(&inputs).map(|_| ());
    run()?;
    let first = start.elapsed().as_secs_f64();
    let with_compilation = memory("VmHWM");
    for _ in 0..3 {
        run()?;
    }
    reset_peak();
    let (median, least) = time(&mut run, workload.seconds, choices.steps)?;
    let steady = memory("VmHWM");

    let threads = program.threads();
    let line = |metric: &str, median: f64, least: f64| {
        json!({
            "peer": "bespoke", "workload": workload.name, "threads": threads, "metric": metric,
            "median": rounded(median), "min": rounded(least),
        })
    };
    let mut timed = line("us", median * 1e6, least * 1e6);
    let (limit, by) = limit(operations, bytes, threads);
    timed["limit_us"] = json!(rounded(limit * 1e6));
    timed["of_limit"] = json!(rounded(limit / median));
    timed["limited_by"] = json!(by);
    let mut lines = vec![timed];
    if workload.update.is_some() {
        lines.push(line("first_step_ms", first * 1e3, first * 1e3));
        if let (Some(before), Some(with_compilation), Some(steady)) = (before, with_compilation, steady) {
            lines.push(line("peak_mib", with_compilation.max(steady) - before, steady - before));
        }
    }
    Ok(lines)
}

/// A program with its inputs, and what a run does at least.
struct Prepared {
    program: Executable,
    inputs: Vec<(String, Tensor)>,
    /// Floating-point operations.
    operations: f64,
    /// Bytes of inputs, states, their next values and outputs.
    bytes: usize,
}

fn prepare(workload: &Workload, threads: usize) -> Result<Prepared, Failure> {
    let g = Graph::new();
    let value = (workload.build)(&g);
    let (graph, start) = match workload.update {
        Some(update) => {
            let trainer = Trainer::new(value, update());
            (trainer.graphs()?.0, trainer.start_values()?)
        }
        None => (g.query_graph(&[("output", value)])?, g.start_values()),
    };
    let is_state = |name: &str| graph.states().iter().any(|s| s.name == name);
    let start: Vec<(&str, &Tensor)> =
        start.iter().filter(|s| is_state(&s.0)).map(|(n, v)| (n.as_str(), v)).collect();
    let compiled = if workload.update.is_some() { graph.clone() } else { graph.freeze(&start)? };
    // A simpler graph is a lower limit.
    let mut operations = flop(&graph);
    let config = Config { threads, ..Config::calibrated() };
    let mut program = compile(&compiled, &config, &mut |event| {
        if let Artifact::Optimized(graph, _) = &event.artifact {
            operations = operations.min(flop(graph));
        }
    })?;
    let left: Vec<String> = program.states().map(|s| s.0.to_owned()).collect();
    for (name, value) in start.iter().filter(|s| left.iter().any(|name| name == s.0)) {
        program.set_state(name, value)?;
    }
    let inputs =
        graph.inputs().map(|(n, id)| (n.to_owned(), workloads::input(workload, n, graph.ty(id)))).collect();
    Ok(Prepared { program, inputs, operations, bytes: traffic(&graph) })
}

/// The bytes that a run cannot but read and write: live inputs and states, next values, outputs.
fn traffic(graph: &Ir) -> usize {
    let live = graph.live();
    let read = graph
        .ids()
        .filter(|id| live[id.index()] && matches!(graph.node(*id).op, Op::Input(_) | Op::StateRead(_)));
    let next = graph.states().iter().filter_map(|s| s.next);
    let written = next.chain(graph.outputs().iter().map(|o| o.1));
    read.chain(written).map(|id| graph.ty(id).bytes()).sum()
}

/// The least seconds that the machine needs for so many operations and bytes, and what they are bound by.
fn limit(operations: f64, bytes: usize, threads: usize) -> (f64, String) {
    let moved = limits::bandwidth(bytes, threads);
    let memory = (bytes as f64 / moved, format!("memory at {:.1} GB/s", moved / 1e9));
    match limits::operations(threads) {
        Some(rate) if operations / rate > memory.0 => {
            (operations / rate, format!("multiply-adds at {:.0} GFLOP/s", rate / 1e9))
        }
        _ => memory,
    }
}

/// Median and least seconds of a run.
fn time<E>(
    run: &mut impl FnMut() -> Result<(), E>,
    seconds: f64,
    steps: Option<u64>,
) -> Result<(f64, f64), E> {
    let warm = Instant::now();
    while steps.is_none() && warm.elapsed().as_secs_f64() < WARM {
        run()?;
    }
    let start = Instant::now();
    run()?;
    let at_once = if steps.is_none() { (LEAST / start.elapsed().as_secs_f64()) as usize } else { 1 }.max(1);
    let mut times: Vec<f64> = vec![];
    let start = Instant::now();
    let enough = |n: usize| match steps {
        Some(steps) => n as u64 >= steps,
        None => n >= RUNS[0] && (start.elapsed().as_secs_f64() > seconds || n >= RUNS[1]),
    };
    while !enough(times.len()) {
        let start = Instant::now();
        for _ in 0..at_once {
            run()?;
        }
        times.push(start.elapsed().as_secs_f64() / at_once as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], times[0]))
}

/// To five digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().expect("a number")
}

const HEADER: &str = "workload             threads  metric             median         min  of limit\n";

/// A line of the table.
fn row(line: &Value, about: &str) -> String {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let number = |key: &str| line[key].as_f64().unwrap_or_default();
    let (of_limit, remark) = match line["of_limit"].as_f64() {
        Some(share) => (format!("{:.0} %", share * 100.0), format!("of {}; {about}", text("limited_by"))),
        None => Default::default(),
    };
    let (workload, metric) = (text("workload"), text("metric"));
    let (threads, median, least) = (number("threads"), number("median"), number("min"));
    let row =
        format!("{workload:<20} {threads:>7}  {metric:<13} {median:>11} {least:>11} {of_limit:>9}  {remark}");
    row.trim_end().to_owned() + "\n"
}

/// Memory of this process in MiB: `VmRSS`, now, or `VmHWM`, the peak since [`reset_peak`]. None where the system does not tell.
fn memory(field: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Where the system has no such file, it does not tell the peak either.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").ok();
}
