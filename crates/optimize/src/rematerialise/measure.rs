//! What a schedule needs: an estimate of which values become buffers and how long they live.

use bespoke_graph::{Graph, NodeId, Op};
use bespoke_tensor::Type;

use super::schedule::Event;
use crate::cost;

/// Flops an element up to which a value is computed by each of its users, rather than stored.
const CHEAP: f64 = 6.0;

/// What a schedule needs.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Bytes alive at the worst moment.
    pub peak: usize,
    /// The node at that moment.
    pub peak_at: NodeId,
    /// Bytes over the budget, summed over all moments.
    pub over: f64,
    /// Flops of all.
    pub flops: f64,
}

/// What is known of an event.
struct Facts {
    live: Vec<bool>,
    /// Users that are live.
    users: Vec<Vec<usize>>,
    root: Vec<bool>,
}

fn facts(graph: &Graph, events: &[Event]) -> Facts {
    let mut root_node = vec![false; graph.len()];
    graph.roots().for_each(|r| root_node[r.index()] = true);
    let root: Vec<bool> = events.iter().map(|e| !e.again && root_node[e.node.index()]).collect();
    let mut live = root.clone();
    let mut users = vec![vec![]; events.len()];
    for (i, event) in events.iter().enumerate().rev() {
        if live[i] {
            for input in &event.inputs {
                live[input.event] = true;
                users[input.event].push(i);
            }
        }
    }
    Facts { live, users, root }
}

fn flops(graph: &Graph, id: NodeId) -> f64 {
    let node = graph.node(id);
    let types: Vec<Type> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
    cost::flops(&node.op, &types, &node.ty)
}

/// Which events' values are stored, as lowering is likely to decide: products, reductions and the like, unless a user takes
/// them up at once; others if they are dear and needed more than once.
pub fn buffers(graph: &Graph, events: &[Event]) -> Vec<bool> {
    stored(graph, events, &facts(graph, events))
}

fn stored(graph: &Graph, events: &[Event], facts: &Facts) -> Vec<bool> {
    let mut stored = vec![false; events.len()];
    let mut cost = vec![1.0; events.len()]; // a load
    let mut ends_product = vec![false; events.len()];
    let elementwise = |i: usize| {
        matches!(graph.node(events[i].node).op, Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_))
    };
    let goes_on = |i: usize, user: usize| {
        elementwise(user) && graph.ty(events[user].node).shape == graph.ty(events[i].node).shape
    };
    // All that is made of it are outputs and next states of its shape: one kernel writes them, such as an optimiser's update.
    let mut ends_in_roots = vec![false; events.len()];
    for i in (0..events.len()).rev().filter(|&i| facts.live[i]) {
        ends_in_roots[i] = facts.users[i].iter().all(|&user| goes_on(i, user) && ends_in_roots[user]);
    }
    for (i, event) in events.iter().enumerate().filter(|e| facts.live[e.0]) {
        let node = graph.node(event.node);
        if matches!(node.op, Op::Input(_) | Op::StateRead(_) | Op::Constant(_) | Op::Iota(_)) {
            continue;
        }
        let users = &facts.users[i];
        let taken_up = |i: usize| {
            let users = &facts.users[i];
            ends_in_roots[i] || users.len() == 1 && goes_on(i, users[0])
        };
        let own = flops(graph, event.node) / node.ty.elements().max(1) as f64;
        let below: f64 = event.inputs.iter().map(|o| if stored[o.event] { 1.0 } else { cost[o.event] }).sum();
        cost[i] = own + below;
        let is_product = matches!(node.op, Op::Dot(_) | Op::Convolution(_));
        ends_product[i] = is_product
            || elementwise(i) && event.inputs.iter().any(|o| ends_product[o.event] && taken_up(o.event));
        stored[i] = facts.root[i]
            || match &node.op {
                Op::Dot(_) | Op::Convolution(_) => !taken_up(i),
                Op::Reduce(_) | Op::ArgReduce(_) | Op::ScatterAdd(_) | Op::ArgSort(_) | Op::Scan(_) => true,
                Op::WindowReduce(_) | Op::WindowArg(_) | Op::Cumulative(_) => true,
                _ => users.len() > 1 && !ends_in_roots[i] && (cost[i] > CHEAP || ends_product[i]),
            };
    }
    stored
}

/// Measures a schedule.
pub fn measure(graph: &Graph, events: &[Event], budget: usize) -> Measure {
    let facts = facts(graph, events);
    let stored = stored(graph, events, &facts);
    // A value that is not stored is computed by its users, which read what it is made of; but a product that is taken up
    // runs where it stands.
    let is_product = |i: usize| matches!(graph.node(events[i].node).op, Op::Dot(_) | Op::Convolution(_));
    let mut last: Vec<usize> = (0..events.len()).collect();
    for (i, _) in events.iter().enumerate().rev().filter(|e| facts.live[e.0]) {
        let read = |&user: &usize| if stored[user] || is_product(user) { user } else { last[user] };
        last[i] = facts.users[i].iter().map(read).max().unwrap_or(i).max(i);
    }
    let mut change = vec![0i64; events.len() + 1];
    let mut total = 0.0;
    for (i, event) in events.iter().enumerate().filter(|e| facts.live[e.0]) {
        total += flops(graph, event.node);
        if stored[i] && !facts.root[i] {
            let bytes = graph.ty(event.node).bytes() as i64;
            change[i] += bytes;
            change[last[i] + 1] -= bytes;
        }
    }
    let mut found = Measure { peak: 0, peak_at: NodeId(0), over: 0.0, flops: total };
    let mut alive = 0i64;
    for (i, event) in events.iter().enumerate() {
        alive += change[i];
        let bytes = alive as usize;
        if bytes > found.peak {
            found = Measure { peak: bytes, peak_at: event.node, ..found };
        }
        found.over += bytes.saturating_sub(budget) as f64;
    }
    found
}
