//! Making failures small, and keeping them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bespoke_graph::{Graph, NodeId, Op};
use bespoke_tensor::Tensor;

/// A change of a graph.
enum Change {
    /// Drops the output, or names another node so.
    Output(usize, Option<NodeId>),
    /// The state keeps its value; a node may become an output instead.
    Next(usize, Option<NodeId>),
    /// Uses another node of the same type instead.
    Replace(NodeId, NodeId),
    /// Makes the node an input.
    Cut(NodeId),
}

/// The smallest graph that still fails, found by dropping outputs and next values, using operands instead of results,
/// and making nodes inputs, until nothing of that leaves a graph that fails. New inputs are named `cut0`, `cut1`, …, so
/// `fails` must find values for inputs of any name and type.
pub fn shrink(graph: &Graph, fails: &dyn Fn(&Graph) -> bool) -> Graph {
    let mut best = rebuild(graph, None);
    if !fails(&best) {
        return graph.clone();
    }
    loop {
        let smaller = changes(&best).into_iter().find_map(|change| {
            let candidate = rebuild(&best, Some(&change));
            (size(&candidate) < size(&best) && fails(&candidate)).then_some(candidate)
        });
        match smaller {
            Some(graph) => best = graph,
            None => return best,
        }
    }
}

/// Operators first, then roots and all nodes.
fn size(graph: &Graph) -> [usize; 4] {
    let is_leaf = |id: &NodeId| matches!(graph.node(*id).op, Op::Input(_) | Op::StateRead(_));
    let nexts = graph.states().iter().filter(|s| s.next.is_some()).count();
    [graph.ids().filter(|id| !is_leaf(id)).count(), graph.roots().count(), graph.len(), nexts]
}

/// The boldest first.
fn changes(graph: &Graph) -> Vec<Change> {
    let mut all = vec![];
    let operands = |id: NodeId| graph.node(id).inputs.to_vec();
    for (i, (_, id)) in graph.outputs().iter().enumerate() {
        all.push(Change::Output(i, None));
        all.extend(operands(*id).into_iter().map(|o| Change::Output(i, Some(o))));
    }
    for (i, state) in graph.states().iter().enumerate() {
        let Some(next) = state.next else { continue };
        all.push(Change::Next(i, None));
        all.extend(operands(next).into_iter().chain([next]).map(|n| Change::Next(i, Some(n))));
    }
    for id in graph.ids().rev() {
        let node = graph.node(id);
        if matches!(node.op, Op::Input(_) | Op::StateRead(_)) {
            continue;
        }
        all.push(Change::Cut(id));
        all.extend(node.inputs.iter().filter(|i| graph.ty(**i) == node.ty).map(|&i| Change::Replace(id, i)));
    }
    all
}

/// A copy without dead nodes, changed.
fn rebuild(graph: &Graph, change: Option<&Change>) -> Graph {
    let resolve = |id: NodeId| match change {
        Some(Change::Replace(from, to)) if *from == id => *to,
        _ => id,
    };
    let mut outputs = vec![];
    for (i, (name, id)) in graph.outputs().iter().enumerate() {
        match change {
            Some(Change::Output(o, None)) if *o == i => {}
            Some(Change::Output(o, Some(other))) if *o == i => outputs.push((name.clone(), *other)),
            _ => outputs.push((name.clone(), resolve(*id))),
        }
    }
    let mut nexts = vec![];
    for (i, state) in graph.states().iter().enumerate() {
        match (change, state.next) {
            (Some(Change::Next(s, None)), _) if *s == i => {}
            (Some(Change::Next(s, Some(other))), _) if *s == i => {
                outputs.push((format!("after {}", state.name), *other));
            }
            (_, Some(next)) => nexts.push((state.node, resolve(next))),
            (_, None) => {}
        }
    }
    let mut live = vec![false; graph.len()];
    for id in outputs.iter().map(|o| o.1).chain(nexts.iter().flat_map(|n: &(NodeId, NodeId)| [n.0, n.1])) {
        live[id.index()] = true;
    }
    for id in graph.ids().rev().filter(|id| !matches!(change, Some(Change::Cut(c)) if c == id)) {
        if live[id.index()] {
            graph.node(id).inputs.iter().for_each(|&i| live[resolve(i).index()] = true);
        }
    }
    let fresh =
        (0..).map(|i| format!("cut{i}")).find(|n| graph.source(n).is_none()).expect("names never end");
    let mut copy = Graph::new();
    let mut new: Vec<Option<NodeId>> = vec![None; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let at = |i: &NodeId| new[resolve(*i).index()].expect("operands are live and precede users");
        new[id.index()] = Some(match &node.op {
            _ if matches!(change, Some(Change::Cut(c)) if *c == id) => {
                copy.input(&fresh, node.ty).expect("the name is fresh")
            }
            Op::Input(input) => copy.input(&input.name, input.ty).expect("names were unique before"),
            Op::StateRead(state) => copy.state(&state.name, state.ty).expect("names were unique before"),
            op => copy.must(op.clone(), &node.inputs.iter().map(at).collect::<Vec<_>>()),
        });
    }
    let at = |id: NodeId| new[id.index()].expect("roots are live");
    for (name, id) in &outputs {
        copy.set_output(name, at(*id)).expect("names were unique before");
    }
    for (state, next) in nexts {
        copy.set_next(at(state), at(next)).expect("each state once, of the same type");
    }
    copy
}

/// Writes a graph as `NAME.ir` with its inputs and states as `NAME.SOURCE.npy`, and returns the path of the graph.
///
/// # Errors
/// If the files cannot be written.
pub fn save_failure(
    dir: impl AsRef<Path>,
    name: &str,
    graph: &Graph,
    sources: &dyn Fn(&str) -> Option<Tensor>,
) -> io::Result<PathBuf> {
    let dir = dir.as_ref();
    fs::create_dir_all(dir)?;
    let path = dir.join(format!("{name}.ir"));
    fs::write(&path, graph.to_string())?;
    let names = graph.inputs().map(|i| i.0).chain(graph.states().iter().map(|s| s.name.as_str()));
    for source in names {
        if let Some(tensor) = sources(source) {
            let file = format!("{name}.{}.npy", source.replace('/', "_"));
            bespoke_tensor::npy::write_npy(dir.join(file), &tensor).map_err(io::Error::other)?;
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use bespoke_graph::op::Unary;

    use super::*;
    use crate::{random_graph, random_inputs};

    #[test]
    fn keeps_what_fails_only() {
        let has_sine = |g: &Graph| {
            let live = g.live();
            g.ids().any(|id| live[id.index()] && g.node(id).op == Op::Unary(Unary::Sin))
        };
        let mut shrunk = 0;
        for seed in 0..60 {
            let graph = random_graph(seed, 40);
            if !has_sine(&graph) {
                continue;
            }
            let small = shrink(&graph, &has_sine);
            assert!(has_sine(&small) && small.len() == 2 && small.roots().count() == 1, "{small}");
            shrunk += 1;
        }
        assert!(shrunk > 3, "only {shrunk} graphs had a sine");
    }

    #[test]
    fn saves_what_can_be_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let graph = random_graph(3, 20);
        let inputs = random_inputs(&graph, 1, false);
        let path = save_failure(dir.path(), "three", &graph, &|n| inputs.get(n).cloned()).unwrap();
        assert_eq!(bespoke_graph::parse(&fs::read_to_string(path).unwrap()).unwrap(), graph);
        for (name, tensor) in &inputs {
            let file = dir.path().join(format!("three.{}.npy", name.replace('/', "_")));
            assert_eq!(bespoke_tensor::npy::read_npy(file).unwrap(), *tensor);
        }
    }
}
