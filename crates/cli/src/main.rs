//! The `bespoke` program: trains models, and looks into, runs and times what the compiler makes of them.

mod bench;
mod calibrate;
mod derive;
mod error;
mod grad;
mod inspect;
#[allow(unsafe_code)] // runs loops that need a feature of the processor, where it is there
mod limits;
mod made;
mod model;
mod run;
mod source;
mod suite;
mod summary;
mod table;
mod train;
mod workloads;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use error::Failure;

/// A symbolic compute-graph compiler for neural networks.
#[derive(Parser)]
#[command(name = "bespoke", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show a stage of a model or graph: graph, backward, optimized, lowered, clif, asm or memory
    Inspect(inspect::Arguments),
    /// Run a graph on .npy files
    Run(run::Arguments),
    /// Extend a graph by gradients, as outputs d_NAME (d_d_NAME where that is taken)
    Grad(grad::Arguments),
    /// Differentiate a formula and simplify what comes out
    Derive(derive::Arguments),
    /// Train a model: the last line is its held-out accuracy or loss
    Train(train::Arguments),
    /// Time compilation and steps of a model
    Bench(bench::Arguments),
    /// Measure this machine once, for what the optimiser decides by cost
    Calibrate(calibrate::Arguments),
    /// Show a model's layers, shapes and parameters
    Summary(summary::Arguments),
    /// List the models
    Models,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Inspect(arguments) => inspect::inspect(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Grad(arguments) => grad::grad(&arguments),
        Command::Derive(arguments) => derive::derive(&arguments),
        Command::Train(arguments) => train::train(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Calibrate(arguments) => calibrate::calibrate(&arguments),
        Command::Summary(arguments) => summary::summary(&arguments),
        Command::Models => Ok(bespoke_zoo::ARCHITECTURES.iter().map(|a| format!("{}\n", a.name)).collect()),
    };
    match result.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bespoke: {failure}");
            ExitCode::from(1)
        }
    }
}

/// Writes to standard output. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure(format!("standard output: {e}"))),
        _ => Ok(()),
    }
}
