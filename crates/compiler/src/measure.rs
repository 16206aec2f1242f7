//! Candidates compete on the machine itself.

use std::{sync::Arc, time::Instant};

use bespoke_graph::{Graph, IndexInput, index_inputs};
use bespoke_optimize::{Candidate, Report, Whole, candidates};
use bespoke_runtime::{Compiled, Executable, RunError};
use bespoke_tensor::{Scalar, Tensor, Type};

use crate::{CompileError, Config, Stage, pipeline::lower};

/// Candidates run in turn for about so many seconds each, and at least so often.
const TIME: f64 = 0.1;
const RUNS: usize = 3;

/// The fastest of the optimiser's best graphs on this machine, with all that was measured in its report.
///
/// # Errors
/// [`CompileError`] with the stage that failed.
pub fn fastest(
    graph: &Graph,
    options: &bespoke_optimize::Config,
    config: &Config,
) -> Result<(Graph, Report), CompileError> {
    let mut found = candidates(graph, options, config.measure).map_err(CompileError::at(Stage::Optimized))?;
    let checks = index_inputs(graph);
    let values: Vec<(&str, Tensor)> =
        graph.inputs().map(|(name, id)| (name, sample(name, graph.ty(id), &checks))).collect();
    let inputs: Vec<(&str, &Tensor)> = values.iter().map(|(name, value)| (*name, value)).collect();
    let mut programs = vec![];
    for Whole { graph: candidate, .. } in &found {
        let program = lower(candidate, graph, config)?;
        let compiled = Compiled::new(program, config.isa, false).map_err(CompileError::at(Stage::Code))?;
        programs
            .push(prepared(Arc::new(compiled), config, &checks).map_err(CompileError::at(Stage::Memory))?);
    }
    let times = race(&mut programs, &inputs).map_err(CompileError::at(Stage::Memory))?;
    let mut measured: Vec<(f64, usize)> = times.into_iter().zip(0..).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let candidate =
        |&(time, i): &(f64, usize)| Candidate { name: found[i].name, cost: time * 1e9, parts: vec![] };
    let all = measured.iter().map(candidate).collect();
    let Whole { graph, mut report, .. } = found.swap_remove(measured[0].1);
    report.measured = all;
    Ok((graph, report))
}

/// An executable whose states are no zeros.
fn prepared(compiled: Arc<Compiled>, config: &Config, checks: &[IndexInput]) -> Result<Executable, RunError> {
    let mut executable = Executable::new(compiled, config.threads, false)?;
    let states: Vec<(String, Type)> = executable.states().map(|(name, ty)| (name.to_owned(), ty)).collect();
    for (name, ty) in states {
        executable.set_state(&name, &sample(&name, ty, checks))?;
    }
    Ok(executable)
}

/// The least seconds of a run of each program: other work on the machine only ever adds to it.
fn race(programs: &mut [Executable], inputs: &[(&str, &Tensor)]) -> Result<Vec<f64>, RunError> {
    let mut least = vec![f64::INFINITY; programs.len()];
    let mut round = 0;
    let start = Instant::now();
    while round < RUNS || start.elapsed().as_secs_f64() < TIME * programs.len() as f64 {
        for (program, least) in programs.iter_mut().zip(&mut least) {
            let run = Instant::now();
            program.run(inputs)?;
            *least = least.min(run.elapsed().as_secs_f64());
        }
        round += 1;
    }
    Ok(least)
}

/// Numbers from 0.1 to 1.1, of which roots and logarithms are finite; whole numbers that are indices of something.
fn sample(name: &str, ty: Type, checks: &[IndexInput]) -> Tensor {
    let extents = checks.iter().filter(|c| c.input == name).map(|c| c.extent);
    let positions = extents.min().unwrap_or(2).max(1);
    Tensor::from_fn(ty, |i| {
        let noise = i * 7919 % 1009;
        if ty.dtype.is_float() {
            Scalar::F64(0.1 + noise as f64 / 1009.0)
        } else {
            Scalar::I64((noise % positions) as i64)
        }
    })
}
