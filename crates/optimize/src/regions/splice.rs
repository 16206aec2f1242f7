//! What was found for regions, put together.

use bespoke_graph::{Graph, NodeId, Op};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::cut::{Cut, Place};
use crate::{Machine, cost, tier0};

/// The graph with the best graph of each region in its place; `cuts` says for each region which that is. Where the whole has
/// become dearer, regions stay as they were: the flags say which.
pub fn splice(
    graph: &Graph,
    cuts: &[(usize, Cut)],
    best: &[Option<&Graph>],
    machine: &Machine,
) -> (Graph, Vec<bool>) {
    let mut first: Vec<Option<&Cut>> = vec![None; best.len()];
    cuts.iter().for_each(|(number, cut)| {
        first[*number].get_or_insert(cut);
    });
    let before = cost::nodes(machine, graph);
    let mut is_kept = vec![false; cuts.len()];
    loop {
        let mut splice = Splice::new(graph);
        for (r, (number, cut)) in cuts.iter().enumerate() {
            match best[*number].filter(|_| !is_kept[r]) {
                Some(best) => splice.region(best, cut, first[*number].expect("it has a first place")),
                None => cut.outputs.iter().for_each(|&id| {
                    splice.value(id);
                }),
            }
            splice.maker.resize(splice.result.len(), r);
        }
        let (result, maker) = splice.finish();
        let after = cost::nodes(machine, &result);
        if after.iter().sum::<f64>() <= before.iter().sum() {
            return (tier0::compact(&result), is_kept);
        }
        let old = |cut: &Cut| before[cut.range.clone()].iter().sum::<f64>();
        let mut change: Vec<f64> = cuts.iter().map(|(_, cut)| -old(cut)).collect();
        maker.iter().zip(&after).for_each(|(&r, cost)| change[r] += cost);
        let dearer: Vec<usize> = (0..cuts.len()).filter(|&r| change[r] > 0.0 && !is_kept[r]).collect();
        if dearer.is_empty() {
            return (graph.clone(), vec![true; cuts.len()]);
        }
        dearer.into_iter().for_each(|r| is_kept[r] = true);
    }
}

/// The result under construction.
struct Splice<'a> {
    graph: &'a Graph,
    result: Graph,
    /// The value of each node of the graph, where there is one already.
    map: Vec<Option<NodeId>>,
    /// The number of the region that added each node.
    maker: Vec<usize>,
}

impl Splice<'_> {
    fn new(graph: &Graph) -> Splice<'_> {
        let mut result = Graph::new();
        let mut map = vec![None; graph.len()];
        tier0::sources(graph, &mut result, &mut map);
        Splice { graph, result, map, maker: vec![] }
    }

    /// A value, by the graph's definition if it does not exist.
    fn value(&mut self, id: NodeId) -> NodeId {
        if let Some(done) = self.map[id.index()] {
            return done;
        }
        let node = self.graph.node(id);
        let inputs: SmallVec<[NodeId; 3]> = node.inputs.iter().map(|&i| self.value(i)).collect();
        self.result.set_location(node.location);
        let new = self.result.must(node.op.clone(), &inputs);
        self.map[id.index()] = Some(new);
        new
    }

    /// Adds what was found for a region, at the first of its places.
    fn region(&mut self, best: &Graph, cut: &Cut, first: &Cut) {
        let places: FxHashMap<Place, Place> =
            first.places.iter().copied().zip(cut.places.iter().copied()).collect();
        let number = |name: &str| name.parse::<usize>().expect("names are numbers");
        let live = best.live();
        let mut made: Vec<Option<NodeId>> = vec![None; best.len()];
        for id in best.ids().filter(|id| live[id.index()]) {
            let node = best.node(id);
            let inputs: SmallVec<[NodeId; 3]> =
                node.inputs.iter().map(|i| made[i.index()].expect("operands of what is live are")).collect();
            made[id.index()] = Some(match &node.op {
                Op::Input(i) => self.value(cut.inputs[number(&i.name)]),
                op => {
                    self.result.set_location(places.get(&node.location).copied().flatten());
                    self.result.must(op.clone(), &inputs)
                }
            });
        }
        for (name, id) in best.outputs() {
            self.map[cut.outputs[number(name)].index()] = made[id.index()];
        }
    }

    /// The whole, and the region that added each node.
    fn finish(mut self) -> (Graph, Vec<usize>) {
        self.graph.roots().for_each(|id| {
            self.value(id); // a constant may be one
        });
        tier0::roots(self.graph, &mut self.result, &|id| self.map[id.index()].expect("just made"));
        self.maker.resize(self.result.len(), 0);
        (self.result, self.maker)
    }
}
