//! The order in which nodes run, those that run again included.

use std::collections::BTreeSet;

use bespoke_graph::{Graph, NodeId, Op};
use smallvec::SmallVec;

use super::measure::{self, Measure};

/// An operand of an event.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// The event that gives it.
    pub event: usize,
    /// Is it seen through a barrier?
    pub barrier: bool,
}

/// A node that is computed.
#[derive(Clone, Debug)]
pub struct Event {
    /// Which.
    pub node: NodeId,
    /// Its operands.
    pub inputs: SmallVec<[Operand; 3]>,
    /// Is it computed another time?
    pub again: bool,
    /// The event that its barriers wait for.
    pub after: Option<usize>,
}

/// A graph without dead nodes, and where its backward half begins.
pub struct Schedule<'a> {
    pub graph: &'a Graph,
    /// The last node of the forward half.
    pub border: NodeId,
    /// Inputs and states.
    source: Vec<bool>,
    /// Is it made of constants alone?
    closed: Vec<bool>,
    /// Outputs and next states.
    root: Vec<bool>,
    /// Which values become buffers if nothing runs again.
    pub buffers: Vec<bool>,
}

impl<'a> Schedule<'a> {
    /// All of it is the forward half.
    pub fn new(graph: &'a Graph) -> Schedule<'a> {
        let border = NodeId(u32::MAX);
        let source =
            graph.ids().map(|id| matches!(graph.node(id).op, Op::Input(_) | Op::StateRead(_))).collect();
        let (closed, mut root) = (vec![false; graph.len()], vec![false; graph.len()]);
        graph.roots().for_each(|r| root[r.index()] = true);
        let mut new = Schedule { graph, border, source, closed, root, buffers: vec![] };
        for id in graph.ids().filter(|&id| !new.source[id.index()]) {
            new.closed[id.index()] = graph.node(id).inputs.iter().all(|i| new.closed[i.index()]);
        }
        new.buffers = measure::buffers(graph, &new.plain());
        new
    }

    /// Values that are kept across the border.
    pub fn held(&self, keep: &[bool]) -> Vec<NodeId> {
        let mut late_use = vec![false; self.graph.len()];
        for id in self.graph.ids().rev() {
            let passes = id > self.border || late_use[id.index()] && !keep[id.index()];
            if passes {
                self.graph.node(id).inputs.iter().for_each(|i| late_use[i.index()] = true);
            }
        }
        let held = |id: &NodeId| *id <= self.border && keep[id.index()] && late_use[id.index()];
        self.graph.ids().filter(held).collect()
    }

    /// The order of the nodes.
    fn plain(&self) -> Vec<Event> {
        let event = |id: NodeId| {
            let inputs = self.graph.node(id).inputs.iter();
            let inputs = inputs.map(|i| Operand { event: i.index(), barrier: false }).collect();
            Event { node: id, inputs, again: false, after: None }
        };
        self.graph.ids().map(event).collect()
    }

    /// The order of the nodes in which those of the forward half that are not in `keep` run again for the backward half.
    pub fn events(&self, keep: &[bool]) -> Vec<Event> {
        let graph = self.graph;
        // What is not there any more in the backward half.
        let mut gone = vec![false; graph.len()];
        for id in graph.ids().filter(|&id| id <= self.border) {
            let i = id.index();
            gone[i] = !self.source[i]
                && !self.closed[i]
                && !keep[i]
                && (self.buffers[i] || graph.node(id).inputs.iter().any(|o| gone[o.index()]));
        }
        let mut events: Vec<Event> = Vec::with_capacity(graph.len());
        let mut first: Vec<usize> = vec![0; graph.len()];
        let mut second: Vec<Option<usize>> = vec![None; graph.len()];
        let mut last_late: Option<usize> = None;
        for id in graph.ids() {
            let node = graph.node(id);
            let late = id > self.border;
            let mut inputs: SmallVec<[Operand; 3]> = SmallVec::new();
            for &input in &node.inputs {
                if late && gone[input.index()] {
                    let after = self.latest(id).map(|n| first[n.index()]).or(last_late);
                    self.again(input, keep, after, &first, &mut second, &mut events);
                }
                let event = if late { second[input.index()].filter(|_| gone[input.index()]) } else { None };
                inputs.push(Operand { event: event.unwrap_or(first[input.index()]), barrier: false });
            }
            first[id.index()] = events.len();
            if late && self.buffers[id.index()] && !self.root[id.index()] {
                last_late = Some(events.len());
            }
            events.push(Event { node: id, inputs, again: false, after: None });
        }
        events
    }

    /// The latest buffer of the backward half that operands of a node are made of.
    fn latest(&self, id: NodeId) -> Option<NodeId> {
        let mut latest = None;
        let mut stack: Vec<NodeId> = self.graph.node(id).inputs.to_vec();
        let mut fuel = 256; // a far one is as good as the nearest
        while let Some(at) = stack.pop().filter(|_| fuel > 0) {
            fuel -= 1;
            if at <= self.border {
                continue;
            }
            if self.buffers[at.index()] {
                latest = latest.max(Some(at));
            } else {
                stack.extend(&self.graph.node(at).inputs);
            }
        }
        latest
    }

    /// Computes a value again, and what it is made of down to what is kept.
    fn again(
        &self,
        id: NodeId,
        keep: &[bool],
        after: Option<usize>,
        first: &[usize],
        second: &mut [Option<usize>],
        events: &mut Vec<Event>,
    ) {
        let is_leaf = |i: NodeId| self.source[i.index()] || self.closed[i.index()] || keep[i.index()];
        let mut wanted = BTreeSet::new();
        let mut stack = vec![id];
        while let Some(at) = stack.pop() {
            if second[at.index()].is_none() && !is_leaf(at) && wanted.insert(at) {
                stack.extend(&self.graph.node(at).inputs);
            }
        }
        for at in wanted {
            let operands = &self.graph.node(at).inputs;
            let kept = |i: NodeId| keep[i.index()] && !self.source[i.index()];
            let has_own = operands.iter().any(|&i| !is_leaf(i) || kept(i));
            let inputs = operands.iter().map(|&i| {
                let leaf = is_leaf(i);
                // A parameter needs no barrier beside another operand that has one.
                let barrier = leaf && !self.closed[i.index()] && (kept(i) || !has_own);
                let event =
                    if leaf { first[i.index()] } else { second[i.index()].expect("it was computed again") };
                Operand { event, barrier }
            });
            let inputs = inputs.collect();
            second[at.index()] = Some(events.len());
            events.push(Event { node: at, inputs, again: true, after });
        }
    }

    /// Measures what keeping these values needs.
    pub fn measure(&self, keep: &[bool]) -> Measure {
        self.measure_within(keep, usize::MAX)
    }

    /// The same, with what is over a budget.
    pub fn measure_within(&self, keep: &[bool], budget: usize) -> Measure {
        self.measure_events(&self.events(keep), budget)
    }

    /// Measures a schedule.
    pub fn measure_events(&self, events: &[Event], budget: usize) -> Measure {
        measure::measure(self.graph, events, budget)
    }
}
