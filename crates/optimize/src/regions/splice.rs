//! What was found for regions, put together.

use bespoke_graph::{Graph, NodeId, Op};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::cut::{Cut, Place};
use crate::{Machine, cost, tier0};

/// A region where it is, and the number of the distinct one that it is equal to.
pub type Placed = (usize, Cut);

/// The graph with the best graph of each region in its place, if there is one. Where the whole would become dearer, or
/// regions would need each other's results, they stay as they were: the flags say which.
pub fn splice(
    graph: &Graph,
    cuts: &[Placed],
    best: &[Option<&Graph>],
    machine: &Machine,
) -> (Graph, Vec<bool>) {
    let before = cost::nodes(machine, graph);
    let mut is_kept = vec![false; cuts.len()];
    loop {
        let mut splice = Splice::new(graph, cuts, best, &is_kept);
        if let Err(region) = splice.all() {
            is_kept[region] = true;
            continue;
        }
        let after = cost::nodes(machine, &splice.result);
        if after.iter().sum::<f64>() <= before.iter().sum() {
            return (tier0::compact(&splice.result), is_kept);
        }
        let old = |cut: &Cut| cut.own.iter().map(|id| before[id.index()]).sum::<f64>();
        let mut change: Vec<f64> = cuts.iter().map(|(_, cut)| -old(cut)).collect();
        for (maker, cost) in splice.maker.iter().zip(&after) {
            if let Some(region) = maker {
                change[*region] += cost;
            }
        }
        let is_new = |r: &usize| best[cuts[*r].0].is_some() && !is_kept[*r];
        let dearer: Vec<usize> = (0..cuts.len()).filter(|r| is_new(r) && change[*r] > 0.0).collect();
        if dearer.is_empty() {
            return (graph.clone(), vec![true; cuts.len()]);
        }
        dearer.into_iter().for_each(|r| is_kept[r] = true);
    }
}

/// A node that is to be built.
#[derive(Clone, Copy)]
enum Task {
    /// Of the graph.
    Given(NodeId),
    /// Of what was found for a region.
    Found(usize, NodeId),
}

/// The result under construction.
struct Splice<'a> {
    graph: &'a Graph,
    cuts: &'a [Placed],
    /// What takes the place of each region.
    best: Vec<Option<&'a Graph>>,
    /// The region of each node, and the node of what was found there, if it is among its outputs.
    output: Vec<Option<(usize, NodeId)>>,
    region: Vec<Option<usize>>,
    places: Vec<FxHashMap<Place, Place>>,
    /// Where the nodes of what was found for a region are numbered from, after those of the graph.
    start: Vec<usize>,
    /// By these numbers: what was built. Under way is what has no node yet.
    built: Vec<Option<Option<NodeId>>>,
    result: Graph,
    /// The region that added each node.
    maker: Vec<Option<usize>>,
}

impl<'a> Splice<'a> {
    fn new(graph: &'a Graph, cuts: &'a [Placed], best: &[Option<&'a Graph>], is_kept: &[bool]) -> Splice<'a> {
        let mut first: Vec<Option<&Cut>> = vec![None; best.len()];
        let (mut output, mut region) = (vec![None; graph.len()], vec![None; graph.len()]);
        let (mut start, mut next) = (vec![], graph.len());
        let (mut chosen, mut places) = (vec![], vec![]);
        for (r, (number, cut)) in cuts.iter().enumerate() {
            let first = *first[*number].get_or_insert(cut);
            places.push(first.places.iter().copied().zip(cut.places.iter().copied()).collect());
            cut.own.iter().for_each(|id| region[id.index()] = Some(r));
            chosen.push(best[*number].filter(|_| !is_kept[r]));
            start.push(next);
            if let Some(best) = chosen[r] {
                next += best.len();
                for (name, id) in best.outputs() {
                    output[cut.outputs[position(name)].index()] = Some((r, *id));
                }
            }
        }
        let mut result = Graph::new();
        let mut map = vec![None; graph.len()];
        tier0::sources(graph, &mut result, &mut map);
        let mut built: Vec<Option<Option<NodeId>>> = map.into_iter().map(|m| m.map(Some)).collect();
        built.resize(next, None);
        let maker = vec![None; result.len()];
        Splice { graph, cuts, best: chosen, output, region, places, start, built, result, maker }
    }

    /// Builds everything. An error is a region that needs itself.
    fn all(&mut self) -> Result<(), usize> {
        for id in self.graph.ids() {
            let is_own = self.region[id.index()].is_some_and(|r| self.best[r].is_none());
            if is_own || self.output[id.index()].is_some() {
                self.build(Task::Given(id))?;
            }
        }
        for root in self.graph.roots() {
            self.build(Task::Given(root))?; // a constant may be one
        }
        let built = |id: NodeId| self.built[id.index()].flatten().expect("just built");
        tier0::roots(self.graph, &mut self.result, &built);
        Ok(())
    }

    fn slot(&self, task: Task) -> usize {
        match task {
            Task::Given(id) => id.index(),
            Task::Found(region, id) => self.start[region] + id.index(),
        }
    }

    /// What a node is built of.
    fn operands(&self, task: Task) -> SmallVec<[Task; 3]> {
        match task {
            Task::Given(id) => match self.output[id.index()] {
                Some((region, found)) => [Task::Found(region, found)].into_iter().collect(),
                None => self.graph.node(id).inputs.iter().map(|&i| Task::Given(i)).collect(),
            },
            Task::Found(region, id) => {
                let node = self.best[region].expect("something was found").node(id);
                match &node.op {
                    Op::Input(i) => {
                        [Task::Given(self.cuts[region].1.inputs[position(&i.name)])].into_iter().collect()
                    }
                    _ => node.inputs.iter().map(|&i| Task::Found(region, i)).collect(),
                }
            }
        }
    }

    /// The last region on the way to what is built now.
    fn nearest_region(&self, stack: &[Task]) -> usize {
        let on_the_way = stack.iter().rev().filter(|task| self.built[self.slot(**task)] == Some(None));
        let region = |task: &Task| match task {
            Task::Found(region, _) => Some(*region),
            Task::Given(_) => None,
        };
        on_the_way.filter_map(region).next().expect("the graph given is acyclic")
    }

    fn build(&mut self, task: Task) -> Result<(), usize> {
        let mut stack = vec![task];
        while let Some(&task) = stack.last() {
            let slot = self.slot(task);
            if let Some(Some(_)) = self.built[slot] {
                stack.pop();
                continue;
            }
            let operands = self.operands(task);
            if self.built[slot].is_none() {
                self.built[slot] = Some(None);
                for &operand in operands.iter().rev() {
                    match self.built[self.slot(operand)] {
                        None => stack.push(operand),
                        Some(Some(_)) => {}
                        Some(None) => return Err(self.nearest_region(&stack)),
                    }
                }
                continue;
            }
            let inputs: SmallVec<[NodeId; 3]> = operands
                .iter()
                .map(|&o| self.built[self.slot(o)].flatten().expect("operands are built before"))
                .collect();
            let (node, place, maker) = match task {
                Task::Given(id) => {
                    let node = self.graph.node(id);
                    (node, node.location, self.region[id.index()])
                }
                Task::Found(region, id) => {
                    let node = self.best[region].expect("something was found").node(id);
                    (node, self.places[region].get(&node.location).copied().flatten(), Some(region))
                }
            };
            let stands_for_another = match task {
                Task::Given(id) => self.output[id.index()].is_some(),
                Task::Found(..) => matches!(node.op, Op::Input(_)),
            };
            let made = if stands_for_another {
                inputs[0]
            } else {
                self.result.set_location(place);
                self.result.must(node.op.clone(), &inputs)
            };
            self.maker.resize(self.result.len(), maker);
            self.built[slot] = Some(Some(made));
            stack.pop();
        }
        Ok(())
    }
}

/// The position that a name is.
fn position(name: &str) -> usize {
    name.parse().expect("names are numbers")
}
