//! Which axes of a graph's values have the same units, so that a unit can be taken away from all of them at once.

use std::collections::{BTreeMap, BTreeSet};

use bespoke_graph::{Graph as Ir, NodeId, Op, op::Convolution};
use bespoke_loops::Combine;

/// An axis of a node's value.
pub type Axis = (NodeId, usize);

/// Where an axis has the units of a family: position (outer·units + unit)·inner + i belongs to the unit, so that a flattened
/// image has those of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// An index of [`Families::families`].
    pub family: usize,
    /// How often the units are repeated.
    pub outer: usize,
    /// How many neighbours are of one unit.
    pub inner: usize,
}

/// Axes with the same units.
#[derive(Debug, Default)]
pub struct Family {
    /// The number of units.
    pub units: usize,
    /// Does something depend on units in a way that is not followed?
    pub fixed: bool,
    /// States with such an axis.
    pub states: Vec<NodeId>,
    /// Where units are summed over, and so leave no trace but their sum: the node, and the axes of its operands.
    pub sums: Vec<(NodeId, Vec<Axis>)>,
}

/// All axes of a graph's values, by their units.
pub struct Families {
    places: BTreeMap<Axis, Place>,
    /// The families.
    pub families: Vec<Family>,
}

impl Families {
    /// Of a graph all of whose nodes are live. `is_known` says which states have a known value.
    pub fn of(graph: &Ir, is_known: &dyn Fn(NodeId) -> bool) -> Families {
        let mut links = Links::new(graph, is_known);
        graph.ids().for_each(|id| links.relate(id));
        graph.roots().for_each(|id| links.fix_all(id));
        links.resolve_merges();
        links.families()
    }

    /// The place of an axis.
    pub fn place(&self, axis: Axis) -> Place {
        self.places[&axis]
    }
}

/// Axes `of` that one axis is the product of, in row-major order.
struct Merge {
    of: Vec<Axis>,
    one: Axis,
}

struct Links<'a> {
    graph: &'a Ir,
    is_known: &'a dyn Fn(NodeId) -> bool,
    /// The number of the first axis of each node.
    first: Vec<usize>,
    /// For each axis another with the same units, towards one that stands for all.
    parent: Vec<usize>,
    /// For those that stand for all: an axis with finer units, how often these are repeated, and how many neighbours each has.
    finer: BTreeMap<usize, (usize, usize, usize)>,
    fixed: BTreeSet<usize>,
    merges: Vec<Merge>,
    sums: Vec<(NodeId, Vec<Axis>)>,
}

impl<'a> Links<'a> {
    fn new(graph: &'a Ir, is_known: &'a dyn Fn(NodeId) -> bool) -> Links<'a> {
        let mut count = 0;
        let mut first = vec![];
        for id in graph.ids() {
            first.push(count);
            count += graph.ty(id).rank();
        }
        Links {
            graph,
            is_known,
            first,
            parent: (0..count).collect(),
            finer: BTreeMap::new(),
            fixed: BTreeSet::new(),
            merges: vec![],
            sums: vec![],
        }
    }

    fn number(&self, axis: Axis) -> usize {
        self.first[axis.0.index()] + axis.1
    }

    /// The axis that stands for all with the same units.
    fn root(&self, axis: Axis) -> usize {
        self.root_of(self.number(axis))
    }

    fn root_of(&self, mut number: usize) -> usize {
        while self.parent[number] != number {
            number = self.parent[number];
        }
        number
    }

    fn extent(&self, axis: Axis) -> usize {
        self.graph.ty(axis.0).shape[axis.1]
    }

    /// Two axes have the same units.
    fn join(&mut self, a: Axis, b: Axis) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    fn fix(&mut self, axis: Axis) {
        let number = self.number(axis);
        self.fixed.insert(number);
    }

    fn fix_all(&mut self, node: NodeId) {
        (0..self.graph.ty(node).rank()).for_each(|a| self.fix((node, a)));
    }

    /// What an operator says of the units of its operands and its result.
    fn relate(&mut self, id: NodeId) {
        let graph = self.graph;
        let node = graph.node(id);
        let operand = |i: usize| node.inputs[i];
        let rank_of = |i: usize| graph.ty(node.inputs[i]).rank();
        let rank = node.ty.rank();
        match &node.op {
            Op::Constant(_) => {}
            Op::StateRead(_) if (self.is_known)(id) => {}
            Op::Iota(iota) => self.fix((id, iota.axis)),
            Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_) | Op::StopGradient(_) => {
                for &x in &node.inputs {
                    for axis in 0..rank {
                        if let Some(source) = unbroadcast(graph, (x, axis)) {
                            self.join(source, (id, axis));
                        }
                    }
                }
            }
            Op::Transpose(transpose) => {
                for (to, &from) in transpose.permutation.iter().enumerate() {
                    self.join((operand(0), from), (id, to));
                }
            }
            Op::Broadcast(broadcast) => {
                for (from, &to) in broadcast.axes.iter().enumerate() {
                    self.join((operand(0), from), (id, to));
                }
            }
            Op::Reshape(_) => self.relate_reshape(operand(0), id),
            Op::Slice(slice) => {
                for axis in 0..rank {
                    let whole = slice.limit[axis] - slice.start[axis] == self.extent((operand(0), axis));
                    self.pass((operand(0), axis), (id, axis), whole && slice.step[axis] == 1);
                }
            }
            Op::Pad(pad) => {
                for axis in 0..rank {
                    let whole = pad.low[axis] + pad.high[axis] + pad.inner[axis] == 0;
                    self.pass((operand(0), axis), (id, axis), whole);
                }
            }
            Op::Reduce(reduce) => {
                let kept = (0..rank_of(0)).filter(|a| !reduce.axes.contains(a));
                kept.enumerate().for_each(|(to, from)| self.join((operand(0), from), (id, to)));
                for &axis in &reduce.axes {
                    match reduce.combine {
                        Combine::Sum => self.sums.push((id, vec![(operand(0), axis)])),
                        _ => self.fix((operand(0), axis)),
                    }
                }
            }
            Op::WindowReduce(reduce) => {
                let windows = &reduce.windows;
                let before = rank - windows.axes();
                (0..before).for_each(|axis| self.join((operand(0), axis), (id, axis)));
                for w in 0..windows.axes() {
                    let single = (windows.extent[w], windows.stride[w], windows.padding[w]) == (1, 1, (0, 0));
                    self.pass((operand(0), before + w), (id, before + w), single);
                }
            }
            Op::Dot(dot) => {
                let (x, y) = (operand(0), operand(1));
                for (to, (&a, &b)) in dot.batch.0.iter().zip(&dot.batch.1).enumerate() {
                    self.join((x, a), (id, to));
                    self.join((y, b), (id, to));
                }
                let free = dot.lhs_free(rank_of(0)).into_iter().map(|d| (x, d));
                let free = free.chain(dot.rhs_free(rank_of(1)).into_iter().map(|d| (y, d)));
                free.enumerate().for_each(|(i, from)| self.join(from, (id, dot.batch.0.len() + i)));
                for (&a, &b) in dot.contract.0.iter().zip(&dot.contract.1) {
                    self.join((x, a), (y, b));
                    self.sums.push((id, vec![(x, a), (y, b)]));
                }
            }
            Op::Convolution(convolution) => self.relate_convolution(id, convolution),
            _ => {
                self.fix_all(id);
                node.inputs.iter().for_each(|&x| self.fix_all(x));
            }
        }
    }

    /// The units go through as they are, or in a way that is not followed.
    fn pass(&mut self, from: Axis, to: Axis, whole: bool) {
        if whole {
            self.join(from, to);
        } else {
            self.fix(from);
            self.fix(to);
        }
    }

    fn relate_convolution(&mut self, id: NodeId, convolution: &Convolution) {
        let node = self.graph.node(id);
        let (x, kernel) = (node.inputs[0], node.inputs[1]);
        self.join((x, 0), (id, 0));
        self.join((kernel, 0), (id, 1));
        for axis in 2..node.ty.rank() {
            [x, kernel, id].into_iter().for_each(|n| self.fix((n, axis)));
        }
        if convolution.groups == 1 {
            self.join((x, 1), (kernel, 1));
            self.sums.push((id, vec![(x, 1), (kernel, 1)]));
        } else if is_depthwise(self.graph, id, convolution) {
            self.join((x, 1), (id, 1));
        } else {
            [(x, 1), (kernel, 0), (kernel, 1)].into_iter().for_each(|axis| self.fix(axis));
        }
    }

    fn relate_reshape(&mut self, x: NodeId, y: NodeId) {
        let Some(blocks) = blocks(&self.graph.ty(x).shape, &self.graph.ty(y).shape) else {
            self.fix_all(x);
            self.fix_all(y);
            return;
        };
        for (from, to) in blocks {
            let from: Vec<Axis> = from.into_iter().map(|a| (x, a)).collect();
            let to: Vec<Axis> = to.into_iter().map(|a| (y, a)).collect();
            match (&from[..], &to[..]) {
                (&[a], &[b]) => self.join(a, b),
                (_, &[one]) => self.merges.push(Merge { of: from, one }),
                (&[one], _) => self.merges.push(Merge { of: to, one }),
                _ => from.into_iter().chain(to).for_each(|axis| self.fix(axis)),
            }
        }
    }

    /// Of several axes in one, one has units that may be taken away; the others stay whole.
    fn resolve_merges(&mut self) {
        let fixed: BTreeSet<usize> = self.fixed.iter().map(|&n| self.root_of(n)).collect();
        let states = self.graph.states().iter().map(|s| s.node);
        let of_states: BTreeSet<usize> =
            states.flat_map(|s| self.axes_of(s)).map(|axis| self.root(axis)).collect();
        for Merge { of, one } in std::mem::take(&mut self.merges) {
            let free =
                |axis: &Axis| !fixed.contains(&self.root(*axis)) && of_states.contains(&self.root(*axis));
            let chosen = of.iter().position(free);
            for (i, &axis) in of.iter().enumerate() {
                if Some(i) != chosen {
                    self.fix(axis);
                }
            }
            let Some(i) = chosen else {
                self.fix(one);
                continue;
            };
            let product = |axes: &[Axis]| axes.iter().map(|&a| self.extent(a)).product::<usize>();
            let finer = (self.root(of[i]), product(&of[..i]), product(&of[i + 1..]));
            let root = self.root(one);
            if *self.finer.entry(root).or_insert(finer) != finer {
                self.fix(one);
                self.fix(of[i]);
            }
        }
    }

    fn axes_of(&self, node: NodeId) -> Vec<Axis> {
        (0..self.graph.ty(node).rank()).map(|a| (node, a)).collect()
    }

    /// The finest axis with the units of this one, how often they are repeated here and how many neighbours each has.
    fn finest(&self, axis: Axis) -> (usize, usize, usize) {
        let (mut root, mut outer, mut inner) = (self.root(axis), 1, 1);
        while let Some(&(finer, more_outer, more_inner)) = self.finer.get(&root) {
            (root, outer, inner) = (finer, outer * more_outer, inner * more_inner);
        }
        (root, outer, inner)
    }

    fn families(self) -> Families {
        let mut places = BTreeMap::new();
        let mut families: Vec<Family> = vec![];
        let mut index: BTreeMap<usize, usize> = BTreeMap::new();
        for axis in self.graph.ids().flat_map(|id| self.axes_of(id)) {
            let (root, outer, inner) = self.finest(axis);
            let family = *index.entry(root).or_insert_with(|| {
                families.push(Family { units: self.extent(axis) / (outer * inner), ..Family::default() });
                families.len() - 1
            });
            families[family].fixed |= self.fixed.contains(&self.number(axis));
            if matches!(self.graph.node(axis.0).op, Op::StateRead(_)) {
                families[family].states.push(axis.0);
            }
            places.insert(axis, Place { family, outer, inner });
        }
        for (node, axes) in self.sums {
            families[places[&axes[0]].family].sums.push((node, axes));
        }
        Families { places, families }
    }
}

/// The axis that gives an operand of a function of elements its units: of a value that is repeated, the one before, or none
/// if it is repeated along this axis, for then any extent will do.
pub fn unbroadcast(graph: &Ir, (x, axis): Axis) -> Option<Axis> {
    let Op::Broadcast(broadcast) = &graph.node(x).op else { return Some((x, axis)) };
    let from = broadcast.axes.iter().position(|&a| a == axis)?;
    Some((graph.node(x).inputs[0], from))
}

/// Does a convolution give each channel one result of its own?
pub fn is_depthwise(graph: &Ir, id: NodeId, convolution: &Convolution) -> bool {
    let channels = graph.ty(graph.node(id).inputs[0]).shape[1];
    convolution.groups > 1 && convolution.groups == channels && graph.ty(id).shape[1] == channels
}

/// The axes of two shapes of equally many elements, in blocks of equal products, as few as can be in each. Axes of extent 1 are
/// left out. None if there are no elements.
pub fn blocks(from: &[usize], to: &[usize]) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
    if from.contains(&0) {
        return None;
    }
    let mut of_from = (0..from.len()).filter(|&a| from[a] != 1);
    let mut of_to = (0..to.len()).filter(|&a| to[a] != 1);
    let mut blocks = vec![];
    while let (Some(i), Some(j)) = (of_from.next(), of_to.next()) {
        let (mut left, mut right) = ((vec![i], from[i]), (vec![j], to[j]));
        while left.1 != right.1 {
            let (block, next, shape) = if left.1 < right.1 {
                (&mut left, of_from.next(), from)
            } else {
                (&mut right, of_to.next(), to)
            };
            let axis = next.expect("the shapes have equally many elements");
            block.0.push(axis);
            block.1 *= shape[axis];
        }
        blocks.push((left.0, right.0));
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_split_into_blocks() {
        let block = |a: &[usize], b: &[usize]| (a.to_vec(), b.to_vec());
        assert_eq!(blocks(&[8, 3, 5, 7], &[8, 105]), Some(vec![block(&[0], &[0]), block(&[1, 2, 3], &[1])]));
        assert_eq!(blocks(&[1, 6], &[2, 1, 3]), Some(vec![block(&[1], &[0, 2])]));
        assert_eq!(blocks(&[4, 6], &[6, 4]), Some(vec![block(&[0, 1], &[0, 1])]));
        assert_eq!(blocks(&[1], &[]), Some(vec![]));
        assert_eq!(blocks(&[0, 3], &[3, 0]), None);
    }
}
