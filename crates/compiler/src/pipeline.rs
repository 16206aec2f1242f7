//! The stages one after the other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bespoke_codegen::ProgramCode;
use bespoke_graph::Graph;
use bespoke_lower::Program;
use bespoke_optimize::Report;
use bespoke_runtime::{Compiled, Executable};

use crate::{CompileError, Config, Stage, cache, measure};

/// What a stage made.
pub enum Artifact<'a> {
    /// The graph as it was given.
    Graph(&'a Graph),
    /// The graph after rewriting, and what was done.
    Optimized(&'a Graph, &'a Report),
    /// Kernels and memory.
    Program(&'a Program),
    /// Machine code.
    Code(&'a ProgramCode),
}

/// A stage is done.
pub struct Event<'a> {
    /// Which.
    pub stage: Stage,
    /// What it made.
    pub artifact: Artifact<'a>,
    /// How long it took.
    pub elapsed: Duration,
}

impl<'a> Event<'a> {
    fn new(stage: Stage, artifact: Artifact<'a>, start: Instant) -> Event<'a> {
        Event { stage, artifact, elapsed: start.elapsed() }
    }
}

/// Compiles a graph. `observer` is told what every stage made; it is told nothing if the same graph was compiled before
/// with the same configuration, since then nothing is made ([`Executable::cached`]).
///
/// # Errors
/// [`CompileError`] with the stage that failed.
///
/// # Panics
/// In debug builds, if a stage breaks an invariant of its output: that is a bug of the compiler.
pub fn compile(
    graph: &Graph,
    config: &Config,
    observer: &mut dyn FnMut(&Event<'_>),
) -> Result<Executable, CompileError> {
    if let Some(compiled) = cache::get(graph, config) {
        return Executable::new(compiled, config.threads, true).map_err(CompileError::at(Stage::Memory));
    }
    let start = Instant::now();
    check("graph", graph, || bespoke_graph::verify(graph));
    bespoke_graph::check_constant_indices(graph).map_err(CompileError::at(Stage::Graph))?;
    observer(&Event::new(Stage::Graph, Artifact::Graph(graph), start));

    let start = Instant::now();
    let optimized;
    let lowered_from = match &config.optimize {
        None => graph,
        Some(options) => {
            let (result, report) = match config.measure {
                0 | 1 => {
                    bespoke_optimize::optimize(graph, options).map_err(CompileError::at(Stage::Optimized))?
                }
                _ => measure::fastest(graph, options, config)?,
            };
            check("optimized graph", &result, || bespoke_graph::verify(&result));
            observer(&Event::new(Stage::Optimized, Artifact::Optimized(&result, &report), start));
            optimized = result;
            &optimized
        }
    };

    let start = Instant::now();
    let program = lower(lowered_from, graph, config)?;
    observer(&Event::new(Stage::Lowered, Artifact::Program(&program), start));

    let start = Instant::now();
    let compiled =
        Compiled::new(program, config.isa, config.keep_text).map_err(CompileError::at(Stage::Code))?;
    observer(&Event::new(Stage::Code, Artifact::Code(compiled.code()), start));

    let compiled = Arc::new(compiled);
    cache::insert(graph, config, compiled.clone());
    Executable::new(compiled, config.threads, false).map_err(CompileError::at(Stage::Memory))
}

/// The program of a graph, which checks inputs as the graph that was given asks for.
pub fn lower(graph: &Graph, given: &Graph, config: &Config) -> Result<Program, CompileError> {
    let choices = bespoke_lower::Config { fusion: config.fusion, isa: config.isa };
    let mut program = bespoke_lower::lower(graph, choices).map_err(CompileError::at(Stage::Lowered))?;
    program.checks = bespoke_graph::index_inputs(given);
    check("program", &program, || bespoke_lower::verify(&program));
    Ok(program)
}

/// Panics in debug builds if there are violations, with the artifact's text.
fn check(what: &str, artifact: &dyn std::fmt::Display, verify: impl Fn() -> Vec<String>) {
    if cfg!(debug_assertions) {
        let violations = verify();
        assert!(
            violations.is_empty(),
            "the {what} breaks its invariants:\n{}\n{artifact}",
            violations.join("\n")
        );
    }
}
