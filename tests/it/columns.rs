//! The ways to compute a graph, which must agree.

use std::{collections::BTreeMap, sync::Arc};

use bespoke_compiler::{Artifact, Config, Event, compile};
use bespoke_graph::{Graph, Values};
use bespoke_lower::{Config as Choices, Fusion, Isa, lower};
use bespoke_runtime::{Compiled, Executable};
use bespoke_tensor::{DType, Tensor};
use bespoke_testkit::{
    Tolerance, compare, compare_values, interpret_program, reference, reference_of_rewritten, save_failure,
    shrink,
};

/// Values of inputs and states by name.
pub type Sources = BTreeMap<String, Tensor>;

/// Evaluates a graph, interprets its program and runs its machine code with one and two threads.
///
/// # Errors
/// The first two that disagree, and in what; or violations that a verifier found.
pub fn agree(graph: &Graph, sources: &Sources) -> Result<(), String> {
    let source = |name: &str| sources.get(name).cloned();
    let expected = reference(graph, &source).map_err(|e| format!("eval: {e}"))?;
    let interpreted = |fusion: Fusion, isa: Isa| {
        let program = lower(graph, Choices { fusion, isa }).map_err(|e| format!("lower: {e}"))?;
        let violations = bespoke_lower::verify(&program);
        if !violations.is_empty() {
            return Err(format!("lower: {violations:#?}\n{program}"));
        }
        let values =
            interpret_program(&program, &source).map_err(|e| format!("interpreter: {e}\n{program}"))?;
        compare_values(&values, &expected).map_err(|e| format!("interpreted program: {e}\n{program}"))?;
        Ok(program)
    };
    interpreted(Fusion::Separate, Isa::Portable)?;
    let program = interpreted(Fusion::Priced, Isa::detect())?;
    let text = program.to_string();
    let compiled =
        Compiled::new(program, Isa::detect(), false).map_err(|e| format!("codegen: {e}\n{text}"))?;
    let compiled = Arc::new(compiled);
    let one = run(&mut Executable::new(compiled.clone(), 1, false).unwrap(), graph, sources)?;
    compare_values(&one, &expected).map_err(|e| format!("machine code: {e}\n{}", compiled.program()))?;
    let two = run(&mut Executable::new(compiled.clone(), 2, false).unwrap(), graph, sources)?;
    same_bits(&one, &two).map_err(|e| format!("2 threads: {e}\n{}", compiled.program()))
}

/// Compiles with optimisation and compares with the evaluator, as far as rewriting keeps values: rounding may differ, and
/// so may what overflows.
///
/// # Errors
/// Where they disagree.
pub fn optimized_agrees(graph: &Graph, sources: &Sources) -> Result<(), String> {
    let source = |name: &str| sources.get(name).cloned();
    let mut expected = reference_of_rewritten(graph, &source).map_err(|e| format!("eval: {e}"))?;
    for bounded in expected.outputs.values_mut().chain(expected.states.values_mut()) {
        let unit = if bounded.value.dtype() == DType::F32 { 1e-6 } else { 1e-14 };
        for (i, error) in bounded.error.iter_mut().enumerate().filter(|_| bounded.value.dtype().is_float()) {
            let value = bounded.value.get(i).to_f64();
            *error = if value.is_finite() { 16.0 * *error + unit * value.abs() } else { f64::INFINITY };
        }
    }
    let mut optimized = String::new();
    for threads in [1, 2] {
        let config = Config { threads, ..Config::default() };
        let mut observer = |event: &Event<'_>| {
            if let Artifact::Optimized(graph, _) = &event.artifact {
                optimized = graph.to_string();
            }
        };
        let mut executable = compile(graph, &config, &mut observer).map_err(|e| e.to_string())?;
        let values = run(&mut executable, graph, sources)?;
        let compared = compare_values(&values, &expected);
        compared.map_err(|e| format!("optimised, {threads} threads: {e}\n{optimized}"))?;
    }
    Ok(())
}

/// Runs machine code twice, so that memory is used again, and returns what the second run gives from the same states.
///
/// # Errors
/// What the run refuses, or that the runs differ.
pub fn run(executable: &mut Executable, graph: &Graph, sources: &Sources) -> Result<Values, String> {
    let inputs: Vec<(&str, &Tensor)> = graph.inputs().map(|(name, _)| (name, &sources[name])).collect();
    let mut outcomes = vec![];
    for _ in 0..2 {
        for state in graph.states() {
            executable.set_state(&state.name, &sources[&state.name]).map_err(|e| e.to_string())?;
        }
        let outputs = executable.run(&inputs).map_err(|e| format!("run: {e}"))?;
        let mut values = Values::default();
        for (name, value) in outputs.iter() {
            values.outputs.insert(name.to_owned(), value.clone());
        }
        for state in graph.states() {
            values.states.insert(state.name.clone(), executable.state(&state.name).expect("it was set"));
        }
        outcomes.push(values);
    }
    let second = outcomes.pop().expect("two runs");
    same_bits(&second, &outcomes[0])
        .map_err(|e| format!("second run with {} threads: {e}", executable.threads()))?;
    Ok(second)
}

/// Are all outputs and states equal, bit by bit?
///
/// # Errors
/// The first that is not.
pub fn same_bits(got: &Values, expected: &Values) -> Result<(), String> {
    let pairs = expected.outputs.iter().chain(&expected.states);
    for ((name, expected), got) in pairs.zip(got.outputs.values().chain(got.states.values())) {
        compare(got, expected, Tolerance::Exact).map_err(|e| format!("{name:?}: {e}"))?;
    }
    Ok(())
}

/// A way to check a graph on values.
pub type Check = fn(&Graph, &Sources) -> Result<(), String>;

/// Checks, and turns a panic into an error.
pub fn passes(check: Check, graph: &Graph, sources: &Sources) -> Result<(), String> {
    let result = std::panic::catch_unwind(|| check(graph, sources));
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Shrinks a graph that fails with sources that depend on the graph only, saves it under `target/failures` and returns
/// what to report.
pub fn report(name: &str, check: Check, graph: &Graph, sources: &dyn Fn(&Graph) -> Sources) -> String {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ())); // shrinking panics again and again
    let fails = |g: &Graph| passes(check, g, &sources(g)).is_err();
    let small = shrink(graph, &fails);
    let values = sources(&small);
    let error = passes(check, &small, &values).err().unwrap_or_else(|| "it does not fail again".to_owned());
    std::panic::set_hook(hook);
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("failures");
    let saved = save_failure(dir, name, &small, &|n| values.get(n).cloned());
    let saved = saved.map_or_else(|e| format!("not saved: {e}"), |path| path.display().to_string());
    format!("{name} ({saved}):\n{small}{error}\n")
}

/// Panics if there are failures.
pub fn no_failures(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}
