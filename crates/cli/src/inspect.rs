//! `bespoke inspect`.

use std::path::Path;

use bespoke_compiler::{Artifact, Config, clear_cache, compile};
use bespoke_graph::{Graph, NodeId};
use bespoke_inspect as report;
use clap::ValueEnum;

use crate::{error::Failure, model};

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// A model's name (see `bespoke models`) or the file of a graph's text
    what: String,
    /// What to show
    #[arg(long, value_enum, default_value = "graph")]
    stage: Stage,
    #[command(flatten)]
    sizes: model::Sizes,
    /// The query program instead of the training step
    #[arg(long)]
    query: bool,
    /// Of the optimised graph: how long rewriting took, and its rules
    #[arg(long)]
    time: bool,
    /// Of the optimised graph: why this node, such as %17, is computed as it is
    #[arg(long, value_name = "NODE", conflicts_with = "time")]
    why: Option<String>,
    /// With --why: the steps from the value as it was given
    #[arg(long, requires = "why")]
    proof: bool,
}

/// A stage of compilation.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// The model as it was written: prediction and loss
    Graph,
    /// With gradients and update, and what they say as formulas
    Backward,
    /// After rewriting, with the report
    Optimized,
    /// Kernels
    Lowered,
    /// Cranelift's intermediate code
    Clif,
    /// Machine code
    Asm,
    /// Where buffers lie
    Memory,
}

/// The text of the stage.
pub fn inspect(arguments: &Arguments) -> Result<String, Failure> {
    let graph = graph(arguments)?;
    let comment = |line: &str| format!("// {line}\n");
    if arguments.time || arguments.why.is_some() {
        if arguments.stage != Stage::Optimized {
            return Err(Failure("--time, --why and --proof are for --stage optimized".to_owned()));
        }
        bespoke_graph::check_constant_indices(&graph)?;
        let config = Config::calibrated().optimize.unwrap_or_default();
        if let Some(name) = &arguments.why {
            return why(&graph, &config, name, arguments.proof);
        }
        let (result, report, timings) = bespoke_optimize::optimize_timed(&graph, &config)?;
        let lines = format!("{report}{timings}");
        return Ok(lines.lines().map(comment).collect::<String>() + &result.to_string());
    }
    match arguments.stage {
        Stage::Graph => return Ok(graph.to_string()),
        Stage::Backward => {
            let config = bespoke_optimize::Config { egraph: false, ..Default::default() };
            let (simple, _) = bespoke_optimize::optimize(&graph, &config)?;
            let formulas: String = report::formulas(&simple).iter().map(|l| comment(l)).collect();
            return Ok(format!("{formulas}{graph}"));
        }
        _ => {}
    }
    // What the cache knows is not made again, and only what is made can be shown.
    clear_cache();
    let mut text = String::new();
    let config = Config { keep_text: true, ..Config::calibrated() };
    compile(&graph, &config, &mut |event| match (&event.artifact, arguments.stage) {
        (Artifact::Optimized(graph, report), Stage::Optimized) => {
            text = report.to_string().lines().map(comment).collect::<String>() + &graph.to_string();
        }
        (Artifact::Program(program), Stage::Lowered) => text = program.to_string(),
        (Artifact::Program(program), Stage::Memory) => text = report::memory(program),
        (Artifact::Code(code), Stage::Clif) => text = report::clif(code),
        (Artifact::Code(code), Stage::Asm) => text = report::asm(code),
        _ => {}
    })?;
    Ok(text)
}

/// Why a node of the optimised graph, as `%17` or `17`, is computed as it is.
fn why(graph: &Graph, config: &bespoke_optimize::Config, name: &str, proof: bool) -> Result<String, Failure> {
    let number = name.strip_prefix('%').unwrap_or(name).parse();
    let node = NodeId(number.map_err(|_| Failure(format!("`{name}` is no node, as %17 is one")))?);
    let why = bespoke_optimize::why(graph, config, node)?;
    let steps = if proof { format!("\n{}", why.proof.text(&report::formula)) } else { String::new() };
    Ok(format!("{why}{steps}"))
}

/// The graph to show: of a file as it is, of a model what the stage is about.
fn graph(arguments: &Arguments) -> Result<Graph, Failure> {
    let is_file = bespoke_zoo::find(&arguments.what).is_none()
        && (arguments.what.ends_with(".ir") || Path::new(&arguments.what).exists());
    if is_file {
        return model::read(Path::new(&arguments.what));
    }
    let architecture = model::architecture(&arguments.what)?;
    let model = architecture.model_with(&arguments.sizes.options(architecture)?)?;
    Ok(match arguments.stage {
        _ if arguments.query => model.query,
        Stage::Graph => model.forward,
        _ => model.training,
    })
}
