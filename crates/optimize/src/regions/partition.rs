//! Which nodes are a region.
//!
//! Pieces first: consecutive nodes up to a dot or convolution, which few rewrites cross, or up to where nothing is left
//! open, as between the updates of two parameters. Then pieces that share most values are put together: a layer with its
//! gradient, which uses what the layer computed, and with the update of its parameters. So what the forward half keeps for
//! the backward half can change with both.

use bespoke_graph::{Graph, NodeId, Op};
use rustc_hash::FxHashMap;

use super::Sizes;

/// The nodes of each region, in order; `own` says which nodes are in regions at all.
pub fn partition(graph: &Graph, own: &[bool], sizes: Sizes) -> Vec<Vec<NodeId>> {
    let piece = pieces(graph, own, sizes);
    let count = piece.last().map_or(0, |&p| p + 1);
    let mut nodes = vec![0; count];
    let mut uses: Vec<(NodeId, usize)> = vec![];
    for id in graph.ids().filter(|id| own[id.index()]) {
        nodes[piece[id.index()]] += 1;
        for &i in graph.node(id).inputs.iter().filter(|i| own[i.index()]) {
            if piece[i.index()] != piece[id.index()] {
                uses.push((i, piece[id.index()]));
            }
        }
    }
    uses.sort_unstable();
    uses.dedup();
    let mut shared: FxHashMap<(usize, usize), usize> = FxHashMap::default();
    for (value, user) in uses {
        *shared.entry((piece[value.index()], user)).or_default() += 1;
    }
    let mut pairs: Vec<_> = shared.into_iter().collect();
    pairs.sort_unstable_by_key(|&(pair, values)| (std::cmp::Reverse(values), pair));
    let mut group: Vec<usize> = (0..count).collect();
    let find = |group: &[usize], mut p: usize| {
        while group[p] != p {
            p = group[p];
        }
        p
    };
    for ((a, b), _) in pairs {
        let (a, b) = (find(&group, a), find(&group, b));
        if a != b && nodes[a] + nodes[b] <= sizes.large {
            let (first, second) = (a.min(b), a.max(b));
            group[second] = first;
            nodes[first] += nodes[second];
        }
    }
    let mut number: FxHashMap<usize, usize> = FxHashMap::default();
    let mut regions: Vec<Vec<NodeId>> = vec![];
    for id in graph.ids().filter(|id| own[id.index()]) {
        let next = regions.len();
        let number = *number.entry(find(&group, piece[id.index()])).or_insert(next);
        if number == next {
            regions.push(vec![]);
        }
        regions[number].push(id);
    }
    regions
}

/// The number of each node's piece.
fn pieces(graph: &Graph, own: &[bool], sizes: Sizes) -> Vec<usize> {
    let mut last_use = vec![0; graph.len()];
    for id in graph.ids() {
        graph.node(id).inputs.iter().for_each(|i| last_use[i.index()] = id.index());
    }
    let (mut piece, mut size, mut open) = (0, 0, 0);
    let mut pieces = Vec::with_capacity(graph.len());
    for id in graph.ids() {
        let is_dot = matches!(graph.node(id).op, Op::Dot(_) | Op::Convolution(_));
        let is_closed = open < id.index();
        if own[id.index()] {
            if size >= sizes.large || size >= sizes.small && is_dot || size > 0 && is_closed {
                piece += 1;
                size = 0;
            }
            size += 1;
            open = open.max(last_use[id.index()]);
        }
        pieces.push(piece);
    }
    pieces
}
