//! Memory for time: values of the forward half that the backward half needs are computed again just before, rather than
//! kept (Griewank & Walther, *Evaluating Derivatives*, 2008, ch. 12; Chen et al., *Training deep nets with sublinear memory
//! cost*, 2016).
//!
//! Equal nodes are one node, so what is computed again starts from [`Barrier`](op::Barrier)s. Their second operand is a
//! value of the backward half: it holds the computation back until it is wanted.

mod measure;
mod schedule;

use std::fmt;

use bespoke_graph::{Graph, NodeId, Op, inline_customs, op};
use smallvec::SmallVec;

use crate::{cost, report::flop, tier0};
use measure::Measure;
use schedule::{Event, Schedule};

/// Which values stay in memory from the forward to the backward half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// All that are needed again.
    #[default]
    KeepAll,
    /// All but those made element by element, which are computed again from the others.
    RecomputeElementwise,
    /// Results of products and convolutions only.
    KeepProducts,
    /// As few as it takes to need at most so many bytes, by an estimate: those are given up first that free the most bytes a
    /// flop. If there is no way, as near as this search comes.
    Budget(usize),
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rematerialised {
    /// Bytes alive at the worst moment, before and after, by an estimate that knows nothing of packed panels and padding.
    /// Inputs, states and outputs do not count.
    pub bytes: [usize; 2],
    /// Flops that are spent in addition.
    pub flops: f64,
    /// The number of nodes that are computed twice.
    pub nodes: usize,
}

impl fmt::Display for Rematerialised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = self.bytes.map(|b| b as f64 / 1e3);
        let (nodes, flops) = (self.nodes, flop(self.flops));
        write!(f, "{nodes} nodes computed again: {before:.1} kB → {after:.1} kB for {flops} more")
    }
}

/// Candidates that are tried in a round at most.
const TRIED: usize = 48;
/// Rounds at most; each gives up one value, or several of a large graph.
const ROUNDS: usize = 64;

/// The graph with values of its forward half computed again where the backward half needs them. The border between the
/// halves is the moment when the most bytes are alive. A graph that would need no less stays as it is: one chain of
/// elementwise operators, say, is one kernel that stores nothing. Results are the same bit by bit, as far as the same
/// operators on the same values give the same bits. Loops are never run again here: see
/// [`segmented_scan`](bespoke_graph::Graph::segmented_scan) for that.
///
/// ```
/// use bespoke_graph::{Graph, op::Unary};
/// use bespoke_optimize::{Policy, rematerialise};
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let w = g.input("w", Type::new(DType::F32, [32, 32]))?;
/// let mut y = g.input("x", Type::new(DType::F32, [64, 32]))?;
/// for _ in 0..16 {
///     let product = g.matmul(y, w);
///     y = g.unary(Unary::Tanh, product);
/// }
/// let loss = g.sum_all(y);
/// let dw = bespoke_autodiff::grad(&mut g, loss, &[w])?[0];
/// g.set_output("dw", dw)?;
/// let (again, report) = rematerialise(&g, Policy::Budget(100_000));
/// assert!(report.bytes[1] <= 100_000 && report.bytes[0] > 130_000, "{report}");
/// assert!(again.to_string().contains("barrier"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn rematerialise(graph: &Graph, policy: Policy) -> (Graph, Rematerialised) {
    let graph = &tier0::compact(&inline_customs(graph));
    let first = Schedule::new(graph);
    let base = first.measure(&first.buffers);
    let nothing = Rematerialised { bytes: [base.peak; 2], ..Rematerialised::default() };
    let mut schedule = first;
    schedule.border = base.peak_at;
    let keep = match policy {
        Policy::KeepAll => return (graph.clone(), nothing),
        Policy::RecomputeElementwise => kept(&schedule, |op| !is_elementwise(op)),
        Policy::KeepProducts => kept(&schedule, |op| matches!(op, Op::Dot(_) | Op::Convolution(_))),
        Policy::Budget(bytes) => search(&schedule, bytes),
    };
    let events = schedule.events(&keep);
    let done = schedule.measure_events(&events, usize::MAX);
    if done.peak >= base.peak {
        return (graph.clone(), nothing);
    }
    let result = build(graph, &events);
    let nodes = events.iter().filter(|e| e.again).count();
    let flops = cost::graph_flops(&result) - cost::graph_flops(graph);
    (result, Rematerialised { bytes: [base.peak, done.peak], flops, nodes })
}

fn is_elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(_)
            | Op::Binary(_)
            | Op::Select(_)
            | Op::Convert(_)
            | Op::StopGradient(_)
            | Op::Barrier(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Broadcast(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Concatenate(_)
            | Op::Reverse(_)
            | Op::RandomBits(_)
    )
}

/// Scans stay: all results of one run as one loop.
fn kept(schedule: &Schedule<'_>, which: impl Fn(&Op) -> bool) -> Vec<bool> {
    let of = |id: NodeId| {
        let op = &schedule.graph.node(id).op;
        which(op) || matches!(op, Op::Scan(_))
    };
    schedule.graph.ids().map(of).collect()
}

/// Gives up kept values, one after the other, until the estimate is within the budget or nothing helps.
fn search(schedule: &Schedule<'_>, budget: usize) -> Vec<bool> {
    let graph = schedule.graph;
    let mut keep = schedule.buffers.clone();
    let mut now = schedule.measure_within(&keep, budget);
    for _ in 0..ROUNDS {
        if now.over == 0.0 {
            break;
        }
        let mut open: Vec<NodeId> = schedule.held(&keep);
        open.retain(|&id| !matches!(graph.node(id).op, Op::Scan(_)));
        // The most bytes a flop of their own first; of many, some at equal distances.
        let flops = |id: NodeId| {
            let types: Vec<_> = graph.node(id).inputs.iter().map(|&i| graph.ty(i)).collect();
            cost::flops(&graph.node(id).op, &types, &graph.ty(id))
        };
        let ratio = |id: NodeId| graph.ty(id).bytes() as f64 / (1.0 + flops(id));
        open.sort_by(|&a, &b| ratio(b).total_cmp(&ratio(a)).then(a.cmp(&b)));
        let stride = open.len().div_ceil(TRIED).max(1);
        let mut gains: Vec<(f64, NodeId, Measure)> = vec![];
        for &id in open.iter().step_by(stride) {
            keep[id.index()] = false;
            let then = schedule.measure_within(&keep, budget);
            keep[id.index()] = true;
            if then.over < now.over {
                let gain = (now.over - then.over) / (then.flops - now.flops).max(1.0);
                gains.push((gain, id, then));
            }
        }
        gains.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let Some(best) = gains.first() else { break };
        keep[best.1.index()] = false;
        now = best.2;
        // In a large graph, the next best too where they help on top.
        for &(_, id, _) in gains.iter().skip(1).take(open.len() / ROUNDS) {
            keep[id.index()] = false;
            let then = schedule.measure_within(&keep, budget);
            if then.over < now.over {
                now = then;
            } else {
                keep[id.index()] = true;
            }
        }
    }
    if now.over > 0.0 {
        let (spaced, then) = checkpoints(schedule, budget);
        if then.over < now.over {
            return spaced;
        }
    }
    keep
}

/// Keeps values at equal distances, as near to each other as the budget allows. Of n equal ones, every √n-th needs the least.
fn checkpoints(schedule: &Schedule<'_>, budget: usize) -> (Vec<bool>, Measure) {
    let all = &schedule.buffers;
    let held = schedule.held(all);
    let is_scan = |id: NodeId| matches!(schedule.graph.node(id).op, Op::Scan(_));
    let mut best = (all.clone(), schedule.measure_within(all, budget));
    for distance in 2..=held.len() {
        let mut keep = all.clone();
        let between = held.iter().enumerate().filter(|(i, id)| (i + 1) % distance != 0 && !is_scan(**id));
        between.for_each(|(_, id)| keep[id.index()] = false);
        let now = schedule.measure_within(&keep, budget);
        if now.over < best.1.over {
            best = (keep, now);
        }
        if best.1.over == 0.0 || distance > 4 * held.len().isqrt() {
            break;
        }
    }
    best
}

/// The graph of a schedule.
fn build(graph: &Graph, events: &[Event]) -> Graph {
    let mut result = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    tier0::sources(graph, &mut result, &mut map);
    let mut made: Vec<NodeId> = Vec::with_capacity(events.len());
    for event in events {
        let node = graph.node(event.node);
        result.set_location(node.location);
        let mut inputs: SmallVec<[NodeId; 3]> = SmallVec::new();
        for input in &event.inputs {
            let value = made[input.event];
            inputs.push(match (input.barrier, event.after) {
                (false, _) => value,
                (true, None) => result.must(op::Barrier, &[value]),
                (true, Some(after)) => result.must(op::Barrier, &[value, made[after]]),
            });
        }
        let id = match map[event.node.index()].filter(|_| !event.again) {
            Some(source) => source,
            None => result.must(node.op.clone(), &inputs),
        };
        if !event.again {
            map[event.node.index()] = Some(id);
        }
        made.push(id);
    }
    tier0::roots(graph, &mut result, &|id| map[id.index()].expect("roots are scheduled"));
    tier0::compact(&result)
}
