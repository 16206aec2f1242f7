//! Loops whose steps need not wait for one another, computed for all steps at once; what only adds up over the steps is added up
//! behind them. A Jacobian, which goes row by row, becomes one product. Of a loop in which anything else goes from step to step, only
//! sums of products are taken out: the rest stays, so that its code does not depend on the number of steps.

use bespoke_graph::{Graph, NodeId, Op, op::Binary, op::Scan};
use bespoke_loops::Combine;

use super::{
    batch::{self, Outside},
    sums,
};
use crate::tier0;

/// The graph with its loops taken apart, or none if none can be.
pub fn fission(graph: &Graph) -> Option<Graph> {
    each_loop(graph, |result, scan, inputs, used| Steps::new(result, scan, inputs)?.results(used))
}

/// The graph in which products that only add up over a loop are one product behind it, or none if there is none.
pub fn sums_behind(graph: &Graph) -> Option<Graph> {
    each_loop(graph, |result, scan, inputs, _| sums::behind(result, scan, inputs))
}

/// The graph with loops whose results, of which some numbers are used, come from elsewhere; none if those of none do.
fn each_loop(
    graph: &Graph,
    results: impl Fn(&mut Graph, &Scan, &[NodeId], &[usize]) -> Option<Vec<Option<NodeId>>>,
) -> Option<Graph> {
    let live = graph.live();
    if !graph.ids().any(|id| live[id.index()] && matches!(graph.node(id).op, Op::Scan(_))) {
        return None;
    }
    let mut result = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    let mut changed = false;
    tier0::sources(graph, &mut result, &mut map);
    for id in graph.ids().filter(|id| live[id.index()]) {
        if map[id.index()].is_some() {
            continue;
        }
        let node = graph.node(id);
        let inputs: Vec<NodeId> =
            node.inputs.iter().map(|i| map[i.index()].expect("operands come first")).collect();
        result.set_location(node.location);
        if let Op::Scan(scan) = &node.op {
            let is_sibling = |s: &NodeId| live[s.index()] && (*s == id || graph.are_siblings(*s, id));
            let siblings = graph.ids().filter(is_sibling);
            let siblings: Vec<(NodeId, usize)> = siblings
                .filter_map(|s| match &graph.node(s).op {
                    Op::Scan(scan) => Some((s, scan.result)),
                    _ => None,
                })
                .collect();
            let used: Vec<usize> = siblings.iter().map(|s| s.1).collect();
            if let Some(found) = results(&mut result, scan, &inputs, &used) {
                changed = true;
                for (sibling, number) in siblings {
                    map[sibling.index()] = found[number];
                }
                continue;
            }
        }
        map[id.index()] = Some(result.must(node.op.clone(), &inputs));
    }
    tier0::roots(graph, &mut result, &|id| map[id.index()].expect("roots are live"));
    changed.then_some(result)
}

/// The steps of a loop.
struct Steps<'a> {
    result: &'a mut Graph,
    scan: &'a Scan,
    operands: &'a [NodeId],
    /// The body's inputs.
    parameters: Vec<NodeId>,
    /// The values that the body gives, by result.
    roots: Vec<NodeId>,
    /// For each carried value: what is added to it in each step.
    added: Vec<NodeId>,
    /// Values of the body, of all steps.
    outside: Vec<Option<Outside>>,
}

impl<'a> Steps<'a> {
    /// None if anything but a sum goes from step to step.
    fn new(result: &'a mut Graph, scan: &'a Scan, operands: &'a [NodeId]) -> Option<Steps<'a>> {
        // A loop that computes its steps again for its gradient saves memory: leave it alone.
        if scan.recompute || scan.length == 0 {
            return None;
        }
        let body = &scan.body;
        let parameters: Vec<NodeId> = body.inputs().map(|i| i.1).collect();
        let roots: Vec<NodeId> = body.outputs().iter().map(|o| o.1).collect();
        let users = body.users();
        let uses = |id: NodeId| roots.iter().filter(|&&r| r == id).count();
        let added = |i: usize| {
            let (parameter, next) = (parameters[i], roots[i]);
            let node = body.node(next);
            let (Op::Binary(Binary::Add), [x, y]) = (&node.op, &node.inputs[..]) else { return None };
            let alone = users[parameter.index()] == [next] && x != y && uses(parameter) == 0;
            let ends = users[next.index()].is_empty() && uses(next) == 1;
            let is_sum = alone && ends && node.ty.dtype.is_float() && [*x, *y].contains(&parameter);
            is_sum.then_some(if *x == parameter { *y } else { *x })
        };
        let added = (0..scan.carried).map(added).collect::<Option<Vec<NodeId>>>()?;
        let outside = vec![None; body.len()];
        Some(Steps { result, scan, operands, parameters, roots, added, outside })
    }

    /// A value of the body for all steps, if its operators have such a form.
    fn hoist(&mut self, id: NodeId) -> Option<Outside> {
        if let Some(done) = self.outside[id.index()] {
            return Some(done);
        }
        let found = match self.parameters.iter().position(|&p| p == id) {
            Some(i) if i < self.scan.carried => return None,
            Some(i) => Outside { node: self.operands[i], stacked: i < self.scan.carried + self.scan.stepped },
            None => {
                let node = self.scan.body.node(id);
                let inputs = node.inputs.iter().map(|&i| self.hoist(i)).collect::<Option<Vec<_>>>()?;
                self.result.set_location(node.location);
                batch::batch(self.result, &node.op, &inputs, node.ty, self.scan.length)?
            }
        };
        self.outside[id.index()] = Some(found);
        Some(found)
    }

    /// The results by number; none that is not used.
    fn results(mut self, used: &[usize]) -> Option<Vec<Option<NodeId>>> {
        let mut results: Vec<Option<NodeId>> = vec![None; self.roots.len()];
        for &i in used {
            let value = self.added.get(i).copied().unwrap_or(self.roots[i]);
            let each = self.hoist(value)?;
            let all = batch::spread(self.result, each, self.scan.length)?;
            results[i] = Some(if i < self.scan.carried {
                let sum = self.result.reduce(Combine::Sum, all, &[0]);
                self.result.plus(self.operands[i], sum)
            } else {
                all
            });
        }
        Some(results)
    }
}
