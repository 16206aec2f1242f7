//! `bespoke grad`.

use std::path::PathBuf;

use bespoke_graph::NodeId;

use crate::{error::Failure, model};

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The graph's text
    file: PathBuf,
    /// The output to differentiate, a scalar
    #[arg(long)]
    of: String,
    /// Inputs and states to differentiate by
    #[arg(long, value_delimiter = ',', required = true)]
    wrt: Vec<String>,
}

/// The graph with the gradients as further outputs `d_<name>`, with another `d_` before where that name is taken.
pub fn grad(arguments: &Arguments) -> Result<String, Failure> {
    let mut graph = model::read(&arguments.file)?;
    let quoted = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let loss = graph.output(&arguments.of).ok_or_else(|| {
        let known = quoted(graph.outputs().iter().map(|o| o.0.as_str()).collect());
        Failure(format!("there is no output `{}`; the outputs are {known}", arguments.of))
    })?;
    let mut wrt: Vec<NodeId> = vec![];
    for name in &arguments.wrt {
        wrt.push(graph.source(name).ok_or_else(|| {
            let states = graph.states().iter().map(|s| s.name.as_str());
            let known = quoted(graph.inputs().map(|i| i.0).chain(states).collect());
            Failure(format!("there is no input or state `{name}`; there are {known}"))
        })?);
    }
    let gradients = bespoke_autodiff::grad(&mut graph, loss, &wrt)?;
    for (name, gradient) in arguments.wrt.iter().zip(gradients) {
        // The gradient of a gradient must not take its name.
        let mut output = format!("d_{name}");
        while graph.output(&output).is_some() {
            output.insert_str(0, "d_");
        }
        graph.set_output(&output, gradient)?;
    }
    Ok(graph.to_string())
}
