//! Which values lowering will store, and what their bytes cost.
//!
//! Lowering stores outputs, next states, the results of contractions and reductions, and what is dear and needed more than once; all else
//! is computed where it is used. What is said here follows its decisions, not their every detail.

use bespoke_graph::{Graph, NodeId, Op};
use bespoke_tensor::Type;
use smallvec::SmallVec;

use crate::{Machine, cost};

/// Work up to which a value is computed again by each of several users, in flops an element.
const CHEAP: f64 = 6.0;
/// The share of a kernel's operations that hide behind its bytes: less work is better, even where bytes take longer.
const HIDDEN: f64 = 0.75;
/// So many values that a kernel loads are told apart.
const LOADS: usize = 32;

/// A kernel of its own, whose result is stored.
fn is_kernel(op: &Op) -> bool {
    matches!(
        op,
        Op::Dot(_)
            | Op::Convolution(_)
            | Op::Reduce(_)
            | Op::ArgReduce(_)
            | Op::WindowReduce(_)
            | Op::WindowArg(_)
            | Op::Cumulative(_)
            | Op::ArgSort(_)
            | Op::ScatterAdd(_)
            | Op::Scan(_)
    )
}

fn is_source(op: &Op) -> bool {
    matches!(op, Op::Input(_) | Op::StateRead(_) | Op::Constant(_))
}

/// Does the user ask for elements of the operand more than once?
fn rereads(graph: &Graph, user: NodeId, operand: NodeId) -> bool {
    let (ty, from) = (graph.ty(user).elements(), graph.ty(operand).elements());
    match &graph.node(user).op {
        Op::Convolution(_) => operand != graph.node(user).inputs[1],
        Op::Broadcast(_) | Op::Gather(_) => ty > from,
        Op::WindowReduce(reduce) => ty * reduce.windows.elements() > from,
        Op::WindowArg(arg) => ty * arg.windows.elements() > from,
        Op::Cumulative(_) | Op::ArgSort(_) => true,
        _ => false,
    }
}

/// What the kernel of a value needs.
#[derive(Clone, Default)]
struct Needs {
    /// The stored values that it loads, ascending.
    loads: SmallVec<[NodeId; 4]>,
    /// Nanoseconds of the operations that are fused into it.
    work: f64,
    /// Flops an element.
    flops: f64,
}

/// Adds the time of bytes to that of operations: a stored value is written, and what its kernel loads is read, beside the
/// operations. What is `known` in advance is a constant. A value of the shape of one that it loads comes out of that one's kernel, where it need not be loaded.
pub fn add_traffic(machine: &Machine, graph: &Graph, known: &[bool], costs: &mut [f64]) {
    let live = graph.live();
    let users = graph.users();
    let mut is_root = vec![false; graph.len()];
    graph.roots().for_each(|id| is_root[id.index()] = true);
    let mut is_stored = vec![false; graph.len()];
    let mut needs: Vec<Needs> = vec![Needs::default(); graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        if is_source(&node.op) || known[id.index()] && !matches!(node.op, Op::Broadcast(_)) {
            is_stored[id.index()] = true;
            if node.ty.rank() > 0 || !matches!(node.op, Op::Constant(_)) {
                needs[id.index()].loads.push(id);
            }
            continue;
        }
        let types: SmallVec<[Type; 3]> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
        let mut own = Needs {
            flops: cost::flops(&node.op, &types, &node.ty) / node.ty.elements().max(1) as f64,
            work: costs[id.index()],
            ..Needs::default()
        };
        for operand in &node.inputs {
            let of = &needs[operand.index()];
            if !is_stored[operand.index()] {
                own.flops += of.flops;
                own.work += of.work;
            }
            own.loads.extend_from_slice(&of.loads);
        }
        own.loads.sort_unstable();
        own.loads.dedup();
        own.loads.truncate(LOADS);
        let users = users[id.index()].iter().filter(|u| live[u.index()]);
        let is_needed_again = users.clone().nth(1).is_some() || users.clone().any(|&u| rereads(graph, u, id));
        let is_dear = own.flops > CHEAP && !matches!(node.op, Op::Reshape(_) | Op::Broadcast(_));
        is_stored[id.index()] = is_root[id.index()] || is_kernel(&node.op) || is_dear && is_needed_again;
        if is_stored[id.index()] {
            let is_product = matches!(node.op, Op::Dot(_) | Op::Convolution(_));
            if !is_product {
                let from_kernel = |&&load: &&NodeId| {
                    let is_made = !is_source(&graph.node(load).op) && !known[load.index()];
                    is_made && graph.ty(load).shape == node.ty.shape
                };
                let merged = own.loads.iter().filter(from_kernel).count() > 0;
                let read = own.loads.iter().filter(|l| !from_kernel(l));
                let bytes = read.map(|&l| cost::traffic(machine, graph.ty(l).bytes() as f64)).sum::<f64>();
                let written = cost::traffic(machine, node.ty.bytes() as f64);
                costs[id.index()] += (bytes + written - HIDDEN * own.work).max(0.0);
                if !merged && !is_kernel(&node.op) {
                    costs[id.index()] += f64::from(machine.launch);
                }
            }
            needs[id.index()].loads.push(id);
        } else {
            needs[id.index()] = own;
        }
    }
}
