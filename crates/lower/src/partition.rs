//! Which values become buffers, and which of those are computed together.
//!
//! 1. Values that are outputs, next states, contractions, reductions, or both dear and needed more than once are
//!    *materialised*: they become buffers. All others are recomputed where they are used.
//! 2. Materialised values of one shape that use each other at the same index only, or reduce the same data, are merged
//!    into one *group*, which becomes one kernel.

use bespoke_graph::{
    Graph, NodeId, Op, State,
    op::{Binary, Unary},
};
use petgraph::{algo::has_path_connecting, graph::NodeIndex, stable_graph::StableDiGraph};
use rustc_hash::FxHashMap;

use crate::{Fusion, contraction::Forms, convolution, lines, pushes, scan, strided};

/// Work up to which a value is recomputed by each of several users, in simple operations per element.
const CHEAP: f64 = 6.0;
/// Values stored by one kernel at most: each occupies an address register.
const MAX_STORES: usize = 6;
/// Buffers that one value is computed from at most. A kernel has 64 for all its values.
const MAX_LOADS: usize = 40;
/// Accumulators that one value needs at most. A kernel has 64, and as many loop variables.
const MAX_ACCS: usize = 8;
/// Buffers and accumulators of a kernel of several values at most.
const MAX_GROUP: usize = 48;

/// A value that a materialised value is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// A materialised value or source.
    pub node: NodeId,
    /// Is only its element at the very index used that is being computed?
    pub same_index: bool,
}

/// Values computed by one kernel, ascending.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The values.
    pub nodes: Vec<NodeId>,
}

/// What was decided.
pub struct Partition {
    /// Is the value a buffer?
    pub materialised: Vec<bool>,
    /// The groups in an order in which they can run.
    pub groups: Vec<Group>,
    /// What each materialised value is computed from.
    pub leaves: FxHashMap<NodeId, Vec<Leaf>>,
    /// For each state: can its next value be written over the old one?
    pub in_place: Vec<bool>,
}

/// Is it a buffer by itself: an input, a state, a constant that is not a scalar?
pub fn is_source(graph: &Graph, id: NodeId) -> bool {
    match &graph.node(id).op {
        Op::Input(_) | Op::StateRead(_) => true,
        Op::Constant(c) => c.value.ty().rank() > 0,
        _ => false,
    }
}

/// Is it a launch of its own, that nothing else can share?
fn is_alone(graph: &Graph, id: NodeId) -> bool {
    scan::of(graph, id).is_some()
        || lines::cumulative(graph, id).is_some()
        || lines::sort(graph, id).is_some()
        || pushes::is_pushed(graph, id)
}

/// Does it use its operands at its own index?
fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_) | Op::StopGradient(_))
}

fn is_reduction(op: &Op) -> bool {
    matches!(
        op,
        Op::Reduce(_)
            | Op::ArgReduce(_)
            | Op::Dot(_)
            | Op::Convolution(_)
            | Op::ScatterAdd(_)
            | Op::WindowReduce(_)
            | Op::Cumulative(_)
            | Op::ArgSort(_)
            | Op::WindowArg(_)
    )
}

/// Does the operator compute anything, rather than repeat or move what is there?
fn is_computed(op: &Op) -> bool {
    let moves = matches!(
        op,
        Op::Constant(_)
            | Op::Iota(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Broadcast(_)
            | Op::Slice(_)
            | Op::Reverse(_)
            | Op::StopGradient(_)
            | Op::Barrier(_)
    );
    !moves
}

/// How many positions are combined for one element.
fn reduced_elements(graph: &Graph, id: NodeId) -> f64 {
    let node = graph.node(id);
    let operand = |i: usize| graph.ty(node.inputs[i]);
    let ratio = |elements: usize| elements as f64 / node.ty.elements().max(1) as f64;
    match &node.op {
        Op::Reduce(_) | Op::ArgReduce(_) => ratio(operand(0).elements()),
        Op::WindowReduce(reduce) => reduce.windows.elements() as f64,
        Op::Cumulative(c) => node.ty.shape[c.axis] as f64,
        Op::ArgSort(s) => (node.ty.shape[s.axis] as f64).powi(2),
        Op::WindowArg(arg) => arg.windows.elements() as f64,
        Op::Dot(dot) => dot.contract.0.iter().map(|&d| operand(0).shape[d] as f64).product(),
        Op::Convolution(_) => operand(1).shape[1..].iter().map(|&d| d as f64).product(),
        Op::ScatterAdd(scatter) => operand(1).shape[scatter.batch..].iter().map(|&d| d as f64).product(),
        _ => 1.0,
    }
}

/// Simple operations of the operator itself, per element.
fn own_cost(graph: &Graph, id: NodeId) -> f64 {
    match &graph.node(id).op {
        Op::Unary(Unary::Neg | Unary::Abs | Unary::Not | Unary::Floor | Unary::Ceil | Unary::Round) => 1.0,
        Op::Unary(Unary::Sign | Unary::IsNan | Unary::IsFinite) => 2.0,
        Op::Unary(Unary::Sqrt) => 6.0,
        Op::Unary(_) => 20.0,
        Op::Binary(Binary::Pow | Binary::Atan2) => 40.0,
        Op::Binary(Binary::Div) => 4.0,
        Op::Binary(_) | Op::Select(_) | Op::Convert(_) | Op::Gather(_) => 1.0,
        Op::Pad(_) | Op::Concatenate(_) => 4.0,
        Op::ArgReduce(_) | Op::WindowArg(_) => 4.0,
        Op::WindowReduce(_) => 1.0,
        Op::RandomBits(_) => 100.0,
        _ => 0.0,
    }
}

/// Partitions a graph without dead nodes among `live`.
pub fn partition(graph: &Graph, live: &[bool], forms: &Forms, fusion: Fusion) -> Partition {
    let materialised = materialise(graph, live, forms, fusion);
    let leaves = find_leaves(graph, live, &materialised);
    let accs = find_accs(graph, live, &materialised);
    let known = Known { graph, leaves: &leaves, accs: &accs, forms };
    let (mut dag, of) = merge(&known, &materialised, fusion);
    let in_place =
        graph.states().iter().map(|s| update_in_place(graph, &mut dag, &of, &leaves, forms, s)).collect();
    Partition { materialised, groups: order(graph, dag), leaves, in_place }
}

/// Can the next value of a state be written over the old one? If so, all other readers are made to run before.
fn update_in_place(
    graph: &Graph,
    dag: &mut StableDiGraph<Group, ()>,
    of: &FxHashMap<NodeId, NodeIndex>,
    leaves: &FxHashMap<NodeId, Vec<Leaf>>,
    forms: &Forms,
    state: &State,
) -> bool {
    let Some(&writer) = state.next.and_then(|next| of.get(&next)) else { return false };
    let reads =
        |id: &NodeId, same: bool| leaves[id].iter().any(|l| l.node == state.node && !(same && l.same_index));
    // The operands of a dot are packed before its epilogue writes.
    let is_packed = |id: NodeId| matches!(graph.node(id).op, Op::Dot(_)) && forms.has(id);
    if dag[writer].nodes.iter().any(|&id| !is_packed(id) && reads(&id, true)) {
        return false;
    }
    let readers: Vec<NodeIndex> = dag
        .node_indices()
        .filter(|&g| g != writer && dag[g].nodes.iter().any(|id| reads(id, false)))
        .collect();
    if readers.iter().any(|&r| has_path_connecting(&*dag, writer, r, None)) {
        return false;
    }
    readers.into_iter().for_each(|r| _ = dag.update_edge(r, writer, ()));
    true
}

/// Decides which values become buffers.
fn materialise(graph: &Graph, live: &[bool], forms: &Forms, fusion: Fusion) -> Vec<bool> {
    let mut all_users = vec![vec![]; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        for &i in &graph.node(id).inputs {
            all_users[i.index()].push(id);
        }
    }
    let mut root = vec![false; graph.len()];
    graph.outputs().iter().for_each(|o| root[scan::stored(graph, o.1).index()] = true);
    graph.states().iter().filter_map(|s| s.next).for_each(|n| root[n.index()] = true);
    // A loop reads buffers.
    for id in graph.ids().filter(|id| live[id.index()] && scan::of(graph, *id).is_some()) {
        graph.node(id).inputs.iter().for_each(|&i| root[scan::unreshaped(graph, i).index()] = true);
    }
    // So does sorting.
    for id in graph.ids().filter(|id| live[id.index()] && lines::sort(graph, *id).is_some()) {
        root[graph.node(id).inputs[0].index()] = true;
    }
    let mut materialised = vec![false; graph.len()];
    let mut ends = vec![false; graph.len()];
    let mut cost = vec![1.0; graph.len()]; // a load
    let mut needs: Vec<Needs> = vec![Needs::default(); graph.len()];
    let images = convolution::images(graph, live, forms);
    let multiplied = strided::operands(graph, live, forms);
    for id in graph.ids().filter(|id| live[id.index()]) {
        if is_source(graph, id) {
            needs[id.index()].loads = vec![id];
            continue;
        }
        let node = graph.node(id);
        needs[id.index()] = bounded_needs(graph, id, &mut materialised, &mut needs);
        let operands: f64 =
            node.inputs.iter().map(|i| if materialised[i.index()] { 1.0 } else { cost[i.index()] }).sum();
        cost[id.index()] = (own_cost(graph, id) + operands) * reduced_elements(graph, id).max(1.0);
        let scalar_constant = matches!(node.op, Op::Constant(_));
        let users = &all_users[id.index()];
        let again = |user: &NodeId| rereads(graph, forms, *user, id);
        let needed_again = users.len() > 1;
        ends[id.index()] = ends_product(graph, forms, &all_users, &ends, id);
        materialised[id.index()] = root[id.index()]
            || is_alone(graph, id)
            || fusion == Fusion::Separate && is_computed(&node.op)
            || !scalar_constant
                && (images[id.index()]
                    || multiplied[id.index()] && is_computed(&node.op)
                    || is_reduction(&node.op) && cost[id.index()] > CHEAP
                    || cost[id.index()] > CHEAP && (needed_again || users.iter().any(again))
                    || needed_again && ends[id.index()]);
        if materialised[id.index()] {
            needs[id.index()] = Needs { loads: vec![id], accs: 0 };
        }
    }
    materialised
}

/// What a kernel needs to compute a value.
#[derive(Clone, Debug, Default)]
struct Needs {
    /// The values that it loads, ascending.
    loads: Vec<NodeId>,
    /// The number of accumulators, if each value is computed for each of its users.
    accs: usize,
}

/// Accumulators of the operator itself.
fn own_accs(op: &Op) -> usize {
    match op {
        // The best value, its position, and both anew.
        Op::ArgReduce(_) | Op::WindowArg(_) => 4,
        Op::ArgSort(_) => 2,
        op => usize::from(is_reduction(op)),
    }
}

/// What the value needs, after operands that need too much for one kernel have been made buffers.
fn bounded_needs(graph: &Graph, id: NodeId, materialised: &mut [bool], needs: &mut [Needs]) -> Needs {
    let node = graph.node(id);
    loop {
        let mut loads: Vec<NodeId> =
            node.inputs.iter().flat_map(|i| needs[i.index()].loads.clone()).collect();
        loads.sort_unstable();
        loads.dedup();
        let below: usize = node.inputs.iter().map(|i| needs[i.index()].accs).sum();
        let accs = below + own_accs(&node.op);
        if loads.len() <= MAX_LOADS && (accs <= MAX_ACCS || below == 0) {
            return Needs { loads, accs };
        }
        let size = |i: &NodeId| {
            if loads.len() > MAX_LOADS { needs[i.index()].loads.len() } else { needs[i.index()].accs }
        };
        let open = |i: &&NodeId| !materialised[i.index()] && !is_source(graph, **i);
        let Some(&largest) = node.inputs.iter().filter(open).max_by_key(|i| size(i)) else {
            return Needs { loads, accs };
        };
        materialised[largest.index()] = true;
        needs[largest.index()] = Needs { loads: vec![largest], accs: 0 };
    }
}

/// The number of accumulators of each materialised value's kernel.
fn find_accs(graph: &Graph, live: &[bool], materialised: &[bool]) -> Vec<usize> {
    let mut accs = vec![0; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let below = node.inputs.iter().filter(|i| !materialised[i.index()]).map(|i| accs[i.index()]);
        accs[id.index()] = below.sum::<usize>() + own_accs(&node.op);
    }
    accs
}

/// Is it made element by element from a contraction that nobody else needs? Then it is stored in the product's place, by
/// the product's epilogue, instead of the bare product. `ends` says it of the nodes before.
fn ends_product(graph: &Graph, forms: &Forms, users: &[Vec<NodeId>], ends: &[bool], id: NodeId) -> bool {
    let node = graph.node(id);
    is_elementwise(&node.op)
        && node.inputs.iter().any(|&i| {
            let only_here = users[i.index()].iter().all(|&u| u == id);
            only_here && (ends[i.index()] || forms.has(i))
        })
}

/// Does the user need elements of the operand more than once, so that a dear operand had better be stored?
fn rereads(graph: &Graph, forms: &Forms, user: NodeId, operand: NodeId) -> bool {
    let (ty, from) = (graph.ty(user), graph.ty(operand));
    match &graph.node(user).op {
        // A contraction's packing reads each element once.
        Op::Dot(_) => !forms.has(user),
        // A contraction's packing reads each element of the kernel once.
        Op::Convolution(_) => operand != graph.node(user).inputs[1] || !forms.has(user),
        Op::Broadcast(_) | Op::Gather(_) => ty.elements() > from.elements(),
        Op::Cumulative(_) | Op::ArgSort(_) => true,
        Op::WindowReduce(reduce) => ty.elements() * reduce.windows.elements() > from.elements(),
        Op::WindowArg(arg) => ty.elements() * arg.windows.elements() > from.elements(),
        // Scatter's elements ask all updates.
        Op::ScatterAdd(scatter) => {
            graph.ty(graph.node(user).inputs[1]).shape[scatter.batch..].iter().product::<usize>() > 1
                || graph.node(user).inputs[0] != operand && ty.shape[scatter.axis] > 1
        }
        _ => false,
    }
}

fn find_leaves(graph: &Graph, live: &[bool], materialised: &[bool]) -> FxHashMap<NodeId, Vec<Leaf>> {
    let mut leaves = FxHashMap::default();
    for root in graph.ids().filter(|id| live[id.index()] && materialised[id.index()]) {
        // `same` of a visited node: was it only reached at the index of the root?
        let mut visited: FxHashMap<NodeId, bool> = FxHashMap::default();
        let mut found: Vec<Leaf> = vec![];
        let mut stack = vec![(root, true)];
        while let Some((id, same)) = stack.pop() {
            if id != root && (materialised[id.index()] || is_source(graph, id)) || is_source(graph, id) {
                match found.iter_mut().find(|l| l.node == id) {
                    Some(leaf) => leaf.same_index &= same,
                    None => found.push(Leaf { node: id, same_index: same }),
                }
                continue;
            }
            match visited.get(&id) {
                Some(&before) if !before || same => continue,
                _ => visited.insert(id, same),
            };
            let node = graph.node(id);
            let passes = is_elementwise(&node.op);
            for (i, &input) in node.inputs.iter().enumerate() {
                let passes = passes || matches!(node.op, Op::ScatterAdd(_) | Op::Barrier(_)) && i == 0;
                stack.push((input, same && passes));
            }
        }
        found.sort_by_key(|l| l.node);
        leaves.insert(root, found);
    }
    leaves
}

/// Groups and what must run before what, and the group of each materialised value.
type Groups = (StableDiGraph<Group, ()>, FxHashMap<NodeId, NodeIndex>);

/// What merging goes by.
struct Known<'a> {
    graph: &'a Graph,
    /// What each materialised value is computed from.
    leaves: &'a FxHashMap<NodeId, Vec<Leaf>>,
    /// The accumulators of each.
    accs: &'a [usize],
    forms: &'a Forms,
}

/// Merges materialised values into groups.
fn merge(known: &Known<'_>, materialised: &[bool], fusion: Fusion) -> Groups {
    let Known { graph, leaves, .. } = *known;
    let mut dag: StableDiGraph<Group, ()> = StableDiGraph::new();
    let mut of: FxHashMap<NodeId, NodeIndex> = FxHashMap::default();
    let roots: Vec<NodeId> = graph.ids().filter(|id| leaves.contains_key(id)).collect();
    for &id in &roots {
        // The results of one scan come out of one loop.
        let sibling = roots.iter().take_while(|&&r| r < id).find(|&&r| graph.are_siblings(r, id));
        match sibling.map(|s| of[s]) {
            Some(group) => {
                dag[group].nodes.push(id);
                of.insert(id, group);
            }
            None => _ = of.insert(id, dag.add_node(Group { nodes: vec![id] })),
        }
    }
    for &id in &roots {
        for leaf in leaves[&id].iter().filter(|l| materialised[l.node.index()] && l.node != id) {
            dag.update_edge(of[&leaf.node], of[&id], ());
        }
    }
    if fusion == Fusion::Separate {
        return (dag, of);
    }
    // Users after what they use, so that chains grow from their start.
    for &user in &roots {
        for leaf in &leaves[&user] {
            if leaf.same_index && leaf.node != user && materialised[leaf.node.index()] {
                try_merge(known, &mut dag, &mut of, leaf.node, user);
            }
        }
    }
    merge_siblings(known, &mut dag, &mut of, &roots);
    (dag, of)
}

/// Reductions of the same data, side by side in one pass.
fn merge_siblings(
    known: &Known<'_>,
    dag: &mut StableDiGraph<Group, ()>,
    of: &mut FxHashMap<NodeId, NodeIndex>,
    roots: &[NodeId],
) {
    let Known { graph, leaves, .. } = *known;
    let mut by_data: FxHashMap<(NodeId, Vec<usize>), NodeId> = FxHashMap::default();
    for &id in roots {
        let Op::Reduce(reduce) = &graph.node(id).op else { continue };
        let operand = graph.node(id).inputs[0];
        for leaf in &leaves[&id] {
            if graph.ty(leaf.node).shape != graph.ty(operand).shape {
                continue;
            }
            match by_data.get(&(leaf.node, reduce.axes.clone())) {
                Some(&sibling) => try_merge(known, dag, of, sibling, id),
                None => {
                    by_data.insert((leaf.node, reduce.axes.clone()), id);
                }
            }
        }
    }
}

/// Merges the groups of `a` and `b` if one kernel can compute both.
fn try_merge(
    known: &Known<'_>,
    dag: &mut StableDiGraph<Group, ()>,
    of: &mut FxHashMap<NodeId, NodeIndex>,
    a: NodeId,
    b: NodeId,
) {
    let Known { graph, leaves, accs, forms } = *known;
    let (ga, gb) = (of[&a], of[&b]);
    if ga == gb || graph.ty(a).shape != graph.ty(b).shape {
        return;
    }
    let (first, second) = (&dag[ga].nodes, &dag[gb].nodes);
    if first.iter().chain(second).any(|&id| is_alone(graph, id)) {
        return;
    }
    let is_contraction = |id: &NodeId| forms.has(*id);
    let contractions = first.iter().chain(second).filter(|id| is_contraction(id)).count();
    // The epilogue of a contraction runs row by row while its operands still wait: it must not hold other reductions,
    // and nothing that the product needs may come out of it.
    let reduces = |id: &NodeId| is_reduction(&graph.node(*id).op) && !is_contraction(id);
    let mixed = contractions > 0 && first.iter().chain(second).any(reduces);
    if contractions > 1 || mixed || first.len() + second.len() > MAX_STORES {
        return;
    }
    let mut loads: Vec<NodeId> =
        first.iter().chain(second).flat_map(|id| leaves[id].iter().map(|l| l.node)).collect();
    loads.sort_unstable();
    loads.dedup();
    let sums: usize = first.iter().chain(second).map(|id| accs[id.index()]).sum();
    if loads.len() > MAX_GROUP || sums > MAX_GROUP {
        return;
    }
    // Within a group, values are used at the same index only.
    let crosswise = |from: &[NodeId], to: &[NodeId]| {
        to.iter().any(|t| leaves[t].iter().any(|l| from.contains(&l.node) && !l.same_index))
    };
    if crosswise(first, second) || crosswise(second, first) {
        return;
    }
    // No way from one to the other through a third group.
    let detour = |from: NodeIndex, to: NodeIndex| {
        let next: Vec<NodeIndex> = dag.neighbors(from).filter(|&n| n != to).collect();
        next.into_iter().any(|n| has_path_connecting(&*dag, n, to, None))
    };
    if detour(ga, gb) || detour(gb, ga) {
        return;
    }
    let moved = absorb(dag, gb, ga);
    for &id in &moved.nodes {
        of.insert(id, ga);
    }
    dag[ga].nodes.extend(moved.nodes);
    dag[ga].nodes.sort_unstable();
}

/// Removes a group; its edges become those of `into`.
fn absorb(dag: &mut StableDiGraph<Group, ()>, group: NodeIndex, into: NodeIndex) -> Group {
    use petgraph::Direction::{Incoming, Outgoing};
    let before: Vec<NodeIndex> = dag.neighbors_directed(group, Incoming).filter(|&n| n != into).collect();
    let after: Vec<NodeIndex> = dag.neighbors_directed(group, Outgoing).filter(|&n| n != into).collect();
    before.into_iter().for_each(|n| _ = dag.update_edge(n, into, ()));
    after.into_iter().for_each(|n| _ = dag.update_edge(into, n, ()));
    dag.remove_node(group).expect("it is in the graph")
}

/// Scalars, which cost no memory, and hold up what frees some: an optimiser's corrections hold up every gradient's end.
const TINY: usize = 64;

/// The groups in topological order. Where there is a choice, tiny ones come first, then that of the least value.
fn order(graph: &Graph, dag: StableDiGraph<Group, ()>) -> Vec<Group> {
    use petgraph::Direction::Incoming;
    use std::{cmp::Reverse, collections::BinaryHeap};
    let mut waiting: FxHashMap<NodeIndex, usize> =
        dag.node_indices().map(|n| (n, dag.neighbors_directed(n, Incoming).count())).collect();
    let rank = |n: NodeIndex| {
        let bytes: usize = dag[n].nodes.iter().map(|&id| graph.ty(id).bytes()).sum();
        Reverse((bytes > TINY, dag[n].nodes[0], n))
    };
    let mut ready: BinaryHeap<Reverse<(bool, NodeId, NodeIndex)>> =
        dag.node_indices().filter(|n| waiting[n] == 0).map(rank).collect();
    let mut groups = vec![];
    while let Some(Reverse((_, _, n))) = ready.pop() {
        groups.push(dag[n].clone());
        for next in dag.neighbors(n) {
            let left = waiting.get_mut(&next).expect("every group waits");
            *left -= 1;
            if *left == 0 {
                ready.push(rank(next));
            }
        }
    }
    assert_eq!(groups.len(), dag.node_count(), "merging made a cycle of groups");
    groups
}
