//! Regions of large graphs, each searched on its own.
//!
//! Nodes are in topological order, so consecutive ones are convex: no path leaves a region and comes back. Regions end
//! before dots, which few rewrites cross. A value from outside is an input of the region; constants are copied.

use std::ops::Range;

use bespoke_graph::{Graph, NodeId, Op};

use crate::{Config, OptimizeError, Report, optimize::search, tier0};

/// Graphs of fewer nodes are one region.
const WHOLE: usize = 4000;
/// A region has at least so many nodes.
const SMALL: usize = 300;
/// A region is cut here even where there is no dot.
const LARGE: usize = 1000;

/// The ranges of node numbers to search one by one.
pub fn regions(graph: &Graph) -> Vec<Range<usize>> {
    if graph.len() < WHOLE {
        return std::iter::once(0..graph.len()).collect();
    }
    let mut cuts = vec![];
    let mut start = 0;
    for id in graph.ids() {
        let size = id.index() - start;
        if size >= LARGE || size >= SMALL && matches!(graph.node(id).op, Op::Dot(_) | Op::Convolution(_)) {
            cuts.push(start..id.index());
            start = id.index();
        }
    }
    cuts.push(start..graph.len());
    cuts
}

/// Searches every region.
pub fn search_regions(graph: &Graph, config: &Config, report: &mut Report) -> Result<Graph, OptimizeError> {
    let regions = regions(graph);
    report.regions = regions.len();
    if let [_] = regions[..] {
        let names: Vec<NodeId> = graph.ids().collect();
        return search(graph, &names, config, report);
    }
    // The last region that uses a value; roots are used at the end.
    let mut last_use = vec![0; graph.len()];
    for (r, region) in regions.iter().enumerate() {
        for i in region.clone() {
            graph.node(NodeId(i as u32)).inputs.iter().for_each(|i| last_use[i.index()] = r);
        }
    }
    graph.roots().for_each(|id| last_use[id.index()] = regions.len());
    let mut result = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    tier0::sources(graph, &mut result, &mut map);
    for (r, region) in regions.into_iter().enumerate() {
        let leaves = |id: NodeId| last_use[id.index()] > r;
        let (part, names) = cut(graph, region, &leaves);
        let best = search(&part, &names, config, report)?;
        splice(&best, &mut result, &mut map);
    }
    tier0::roots(graph, &mut result, &|id| map[id.index()].expect("a root leaves its region"));
    Ok(tier0::compact(&result))
}

/// A region as a graph of its own, and the nodes it was made of. Inputs and outputs are named by node.
fn cut(graph: &Graph, region: Range<usize>, leaves: &dyn Fn(NodeId) -> bool) -> (Graph, Vec<NodeId>) {
    let mut part = Graph::new();
    let mut names = vec![];
    let mut map: Vec<Option<NodeId>> = vec![None; region.end];
    for i in region.clone() {
        let id = NodeId(i as u32);
        import(graph, id, &mut part, &mut map, &mut names, region.start);
        if leaves(id) && !matches!(graph.node(id).op, Op::Input(_) | Op::StateRead(_)) {
            part.set_output(&id.0.to_string(), map[i].expect("just made")).expect("numbers are distinct");
        }
    }
    (part, names)
}

fn import(
    graph: &Graph,
    id: NodeId,
    part: &mut Graph,
    map: &mut [Option<NodeId>],
    names: &mut Vec<NodeId>,
    start: usize,
) -> NodeId {
    if let Some(done) = map[id.index()] {
        return done;
    }
    let node = graph.node(id);
    let is_constant = |id: NodeId| matches!(graph.node(id).op, Op::Constant(_));
    let copied = is_constant(id) || matches!(node.op, Op::Broadcast(_)) && is_constant(node.inputs[0]);
    let is_source = matches!(node.op, Op::Input(_) | Op::StateRead(_));
    part.set_location(node.location);
    let new = if is_source || (id.index() < start && !copied) {
        part.input(&id.0.to_string(), node.ty).expect("numbers are distinct")
    } else {
        let inputs: Vec<NodeId> =
            node.inputs.iter().map(|&i| import(graph, i, part, map, names, start)).collect();
        part.set_location(node.location);
        part.must(node.op.clone(), &inputs)
    };
    if new.index() == names.len() {
        names.push(id);
    }
    map[id.index()] = Some(new);
    new
}

/// Adds a searched region to the result. `map` leads from nodes of the graph to those of the result.
fn splice(part: &Graph, result: &mut Graph, map: &mut [Option<NodeId>]) {
    let number = |name: &str| name.parse::<usize>().expect("names are numbers");
    let mut made: Vec<NodeId> = Vec::with_capacity(part.len());
    for id in part.ids() {
        let node = part.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| made[i.index()]).collect();
        result.set_location(node.location);
        made.push(match &node.op {
            Op::Input(i) => map[number(&i.name)].expect("regions come in order"),
            op => result.must(op.clone(), &inputs),
        });
    }
    for (name, id) in part.outputs() {
        map[number(name)] = Some(made[id.index()]);
    }
}
