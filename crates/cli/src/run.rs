//! `bespoke run`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bespoke_compiler::{Config, compile};
use bespoke_graph::{Graph, eval};
use bespoke_tensor::{
    Tensor,
    npy::{read_npy, write_npy},
};

use crate::{error::Failure, model};

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The graph's text
    file: PathBuf,
    /// The value of an input or state: NAME=FILE.npy; a state without one starts at zero
    #[arg(long = "input", value_name = "NAME=FILE", value_parser = pair)]
    inputs: Vec<(String, PathBuf)>,
    /// The folder for NAME.npy of each output and each state that changes; `/` in a name makes a folder
    #[arg(long)]
    output: PathBuf,
    /// Compile the graph as it is
    #[arg(long)]
    no_optimize: bool,
    /// Use the reference evaluator instead of compiled code
    #[arg(long)]
    eval: bool,
    /// Threads, at most 64; 0: all
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn pair(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("expected NAME=FILE.npy")?;
    Ok((name.to_owned(), file.into()))
}

/// Runs the graph once and writes its outputs and next states; prints their names and types.
pub fn run(arguments: &Arguments) -> Result<String, Failure> {
    let graph = model::read(&arguments.file)?;
    let mut values: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, file) in &arguments.inputs {
        let Some(node) = graph.source(name) else {
            let states = graph.states().iter().map(|s| s.name.as_str());
            let known: Vec<&str> = graph.inputs().map(|i| i.0).chain(states).collect();
            return Err(Failure(format!(
                "there is no input or state `{name}`; there are {}",
                known.join(", ")
            )));
        };
        let (value, expected) = (read_npy(file)?, graph.ty(node));
        if value.ty() != expected {
            return Err(Failure(format!(
                "input `{name}`: expected {expected}, {} holds {}",
                file.display(),
                value.ty()
            )));
        }
        values.insert(name.clone(), value);
    }
    let changed = graph.states().iter().filter(|s| s.next.is_some()).map(|s| s.name.as_str());
    let mut names: Vec<&str> = graph.outputs().iter().map(|o| o.0.as_str()).chain(changed).collect();
    for name in &names {
        target(&arguments.output, name)?;
    }
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|p| p[0] == p[1]) {
        return Err(Failure(format!("an output and a state that changes are both named `{}`", pair[0])));
    }
    for state in graph.states() {
        Tensor::check_memory(graph.ty(state.node))?;
        values.entry(state.name.clone()).or_insert_with(|| Tensor::zeros(graph.ty(state.node)));
    }
    let results =
        if arguments.eval { evaluate(&graph, &values)? } else { execute(arguments, &graph, &values)? };
    let mut text = String::new();
    for (name, value) in &results {
        let path = target(&arguments.output, name)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Failure(format!("{}: {e}", folder.display())))?;
        }
        write_npy(&path, value)?;
        text.push_str(&format!("{name}: {}\n", value.ty()));
    }
    Ok(text)
}

/// The file for a name, inside the folder whatever the name is.
fn target(folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let parts: Vec<&str> = name.split('/').collect();
    if parts.iter().any(|p| matches!(*p, "" | "." | "..") || p.contains(['\\', '\0'])) {
        return Err(Failure(format!("the name `{name}` cannot be that of a file")));
    }
    Ok(folder.join(format!("{name}.npy")))
}

fn evaluate(graph: &Graph, values: &BTreeMap<String, Tensor>) -> Result<Vec<(String, Tensor)>, Failure> {
    let results = eval(graph, &|name| values.get(name).cloned())?;
    let changed = graph.states().iter().filter(|s| s.next.is_some());
    let states = changed.filter_map(|s| results.states.get(&s.name).map(|v| (s.name.clone(), v.clone())));
    let outputs =
        graph.outputs().iter().filter_map(|o| results.outputs.get(&o.0).map(|v| (o.0.clone(), v.clone())));
    Ok(outputs.chain(states).collect())
}

fn execute(
    arguments: &Arguments,
    graph: &Graph,
    values: &BTreeMap<String, Tensor>,
) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut config = Config { threads: arguments.threads, ..Config::calibrated() };
    if arguments.no_optimize {
        config.optimize = None;
    }
    let mut program = compile(graph, &config, &mut |_| ())?;
    for state in graph.states() {
        program.set_state(&state.name, &values[&state.name])?;
    }
    let inputs: Vec<(&str, &Tensor)> =
        graph.inputs().filter_map(|i| values.get(i.0).map(|v| (i.0, v))).collect();
    let outputs = program.run(&inputs)?;
    let changed = graph.states().iter().filter(|s| s.next.is_some());
    let states = changed.filter_map(|s| program.state(&s.name).map(|v| (s.name.clone(), v)));
    Ok(outputs.iter().map(|(n, v)| (n.to_owned(), v.clone())).chain(states).collect())
}
