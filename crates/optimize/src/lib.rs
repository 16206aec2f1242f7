//! Rewrites graphs into cheaper equal ones.

mod config;
mod report;
mod rounding;
mod simplify;

use bespoke_graph::{Graph, NodeId, Op};

pub use config::{Config, OptimizeError};
pub use report::Report;
pub use rounding::Rounding;

/// Gives a cheaper graph with the same inputs, states and outputs, and a report of what was done.
///
/// # Errors
/// None at present; the signature is that of every stage.
pub fn optimize(graph: &Graph, config: &Config) -> Result<(Graph, Report), OptimizeError> {
    let mut report = Report { nodes_before: live_nodes(graph), ..Report::default() };
    let mut current = graph.clone();
    loop {
        let (simple, fired) = simplify::simplify(&current, config.rounding);
        let next = compact(&simple);
        let settled = next == current;
        current = next;
        for (rule, count) in fired {
            *report.simplified.entry(rule).or_default() += count;
        }
        if settled {
            break;
        }
    }
    report.nodes_after = live_nodes(&current);
    Ok((current, report))
}

fn live_nodes(graph: &Graph) -> usize {
    graph.live().into_iter().filter(|&l| l).count()
}

/// The graph without dead nodes, inputs and states apart.
fn compact(graph: &Graph) -> Graph {
    let live = graph.live();
    let mut result = Graph::new();
    let mut new: Vec<Option<NodeId>> = vec![None; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        result.set_location(node.location);
        new[id.index()] = match &node.op {
            Op::Input(i) => Some(result.input(&i.name, i.ty).expect("names were unique before")),
            Op::StateRead(r) => Some(result.state(&r.name, r.ty).expect("names were unique before")),
            _ if !live[id.index()] => None,
            op => {
                let inputs: Vec<NodeId> =
                    node.inputs.iter().map(|i| new[i.index()].expect("operands are live")).collect();
                Some(result.must(op.clone(), &inputs))
            }
        };
    }
    result.set_location(None);
    finish(graph, &mut result, &|id| new[id.index()].expect("roots are live"));
    result
}

/// Gives the new graph the outputs and next states of the old one.
pub(crate) fn finish(old: &Graph, new: &mut Graph, map: &dyn Fn(NodeId) -> NodeId) {
    for (name, id) in old.outputs() {
        new.set_output(name, map(*id)).expect("names were unique before");
    }
    for state in old.states() {
        new.replace_next(map(state.node), state.next.map(map));
    }
}
