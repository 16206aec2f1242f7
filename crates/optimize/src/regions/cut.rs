//! A region as a graph of its own.
//!
//! A value from outside is an input; constants are copied. Inputs and outputs are named by position, so that regions equal
//! up to renaming are equal graphs.
//!
//! A region sees its inputs through a *halo*: their definitions, two levels deep, down to values that live anyway: those
//! that cross a border between regions, sources, dots and convolutions. Such a value costs a region nothing, so that the
//! search may start from it instead of from the input.

use std::panic::Location;

use bespoke_graph::{Graph, Node, NodeId, Op, op};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// How many levels of definitions a region sees beyond its inputs.
const HALO: usize = 2;

/// A region as a graph of its own.
#[derive(PartialEq, Eq, Hash)]
pub struct Region {
    /// Its nodes, and those of its halo, which nothing uses. Inputs are named `0`, `1`, …, outputs likewise.
    pub graph: Graph,
    /// Inputs with their definitions.
    pub halo: Vec<(NodeId, NodeId)>,
    /// Values that are in the halo of other regions, and no outputs: they stay if they are computed anyway.
    pub shown: Vec<NodeId>,
    /// Where the program asks for each node, by number; equal regions share what is found only if these are equal too.
    places: Vec<u32>,
}

impl Region {
    /// A whole graph, with its names.
    pub fn whole(graph: Graph) -> Region {
        Region { graph, halo: vec![], shown: vec![], places: vec![] }
    }
}

/// A place in the user's program.
pub type Place = Option<&'static Location<'static>>;

/// Where a region was cut from: nodes of the graph.
pub struct Cut {
    /// The nodes that it consists of.
    pub own: Vec<NodeId>,
    /// What each node of the region was made of.
    pub nodes: Vec<NodeId>,
    /// Its inputs, by number.
    pub inputs: Vec<NodeId>,
    /// Its outputs by number, and then what it shows.
    pub outputs: Vec<NodeId>,
    /// Where the program asks for its nodes, by number.
    pub places: Vec<Place>,
}

/// What is known of each node of a graph that is cut.
pub struct Cutting<'a> {
    graph: &'a Graph,
    /// Is it computed in a region?
    own: Vec<bool>,
    /// Is it used outside of its region, or a root?
    crosses: Vec<bool>,
    /// Is it in the halo of another region?
    shown: Vec<bool>,
}

/// Which nodes are computed in regions: all but sources, constants, and what is nearly a constant, which regions copy.
pub fn own(graph: &Graph) -> Vec<bool> {
    let mut own = vec![true; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        own[id.index()] = match node.op {
            Op::Input(_) | Op::StateRead(_) | Op::Constant(_) | Op::Iota(_) => false,
            Op::Broadcast(_) | Op::Reshape(_) => {
                own[node.inputs[0].index()] || is_source(graph.node(node.inputs[0]))
            }
            _ => true,
        };
    }
    own
}

fn is_source(node: &Node) -> bool {
    matches!(node.op, Op::Input(_) | Op::StateRead(_))
}

impl<'a> Cutting<'a> {
    /// For regions of these nodes.
    pub fn new(graph: &'a Graph, own: Vec<bool>, regions: &[Vec<NodeId>]) -> Cutting<'a> {
        let mut region = vec![usize::MAX; graph.len()];
        for (r, nodes) in regions.iter().enumerate() {
            nodes.iter().for_each(|id| region[id.index()] = r);
        }
        let mut crosses = vec![false; graph.len()];
        for id in graph.ids().filter(|id| own[id.index()]) {
            for i in &graph.node(id).inputs {
                crosses[i.index()] |= region[i.index()] != region[id.index()];
            }
        }
        graph.roots().for_each(|id| crosses[id.index()] = true);
        let mut cutting = Cutting { graph, own, crosses, shown: vec![false; graph.len()] };
        for id in graph.ids() {
            if cutting.own[id.index()] && cutting.crosses[id.index()] {
                cutting.show(id, HALO);
            }
        }
        cutting
    }

    /// Does it cost nothing, whatever a region makes of its inputs?
    fn lives(&self, id: NodeId) -> bool {
        let is_dot = matches!(self.graph.node(id).op, Op::Dot(_) | Op::Convolution(_));
        is_dot || self.crosses[id.index()] || !self.own[id.index()]
    }

    /// Can its definition be seen, down to what lives, through so many levels?
    fn is_definable(&self, id: NodeId, levels: usize) -> bool {
        let is_visible = |&i: &NodeId| self.lives(i) || self.is_definable(i, levels - 1);
        levels > 0 && self.own[id.index()] && self.graph.node(id).inputs.iter().all(is_visible)
    }

    /// Notes what lives in the definition of a value.
    fn show(&mut self, id: NodeId, levels: usize) {
        self.shown[id.index()] |= self.lives(id);
        if self.is_definable(id, levels) {
            let graph = self.graph;
            graph.node(id).inputs.iter().for_each(|&i| self.show(i, levels - 1));
        }
    }

    /// A region as a graph of its own, and where it comes from.
    pub fn cut(&self, own: Vec<NodeId>) -> (Region, Cut) {
        let cut = Cut { own, nodes: vec![], inputs: vec![], outputs: vec![], places: vec![] };
        let (part, halo, places) = (Graph::new(), vec![], vec![]);
        let (new, numbers) = (FxHashMap::default(), FxHashMap::default());
        let mut cutter = Cutter { of: self, part, new, halo, places, numbers, cut };
        for i in 0..cutter.cut.own.len() {
            let id = cutter.cut.own[i];
            self.graph.node(id).inputs.iter().for_each(|&i| cutter.bring(i));
            cutter.copy(id);
        }
        for i in 0..cutter.cut.inputs.len() {
            cutter.see(cutter.cut.inputs[i], HALO);
        }
        let Cutter { part: mut graph, new, halo, places, mut cut, .. } = cutter;
        graph.set_location(None);
        let (outputs, inner): (Vec<NodeId>, Vec<NodeId>) =
            cut.own.iter().partition(|id| self.crosses[id.index()]);
        for (number, id) in outputs.iter().enumerate() {
            graph.set_output(&number.to_string(), new[id]).expect("numbers are distinct");
        }
        cut.outputs = outputs;
        cut.outputs.extend(inner.iter().filter(|id| self.shown[id.index()]));
        let shown = cut.outputs[graph.outputs().len()..].iter().map(|id| new[id]).collect();
        (Region { graph, halo, shown, places }, cut)
    }
}

/// A region under construction.
struct Cutter<'a> {
    of: &'a Cutting<'a>,
    part: Graph,
    /// The region's node for one of the graph.
    new: FxHashMap<NodeId, NodeId>,
    halo: Vec<(NodeId, NodeId)>,
    places: Vec<u32>,
    /// The number of each place in the program.
    numbers: FxHashMap<*const Location<'static>, u32>,
    cut: Cut,
}

impl Cutter<'_> {
    fn add(&mut self, id: NodeId, op: Op, inputs: &[NodeId]) -> NodeId {
        let location = self.of.graph.node(id).location;
        self.part.set_location(location);
        let new = self.part.must(op, inputs);
        if new.index() == self.cut.nodes.len() {
            self.cut.nodes.push(id);
            let (places, next) = (&mut self.cut.places, self.numbers.len() as u32);
            let address = location.map_or(std::ptr::null(), std::ptr::from_ref);
            self.places.push(*self.numbers.entry(address).or_insert_with(|| {
                places.push(location);
                next
            }));
        }
        new
    }

    /// The node as it is defined; its operands exist.
    fn define(&mut self, id: NodeId) -> NodeId {
        let node = self.of.graph.node(id);
        let inputs: SmallVec<[NodeId; 3]> = node.inputs.iter().map(|i| self.new[i]).collect();
        self.add(id, node.op.clone(), &inputs)
    }

    fn copy(&mut self, id: NodeId) {
        let new = self.define(id);
        self.new.insert(id, new);
    }

    /// Makes a value exist: a constant as a copy, any other as an input.
    fn bring(&mut self, id: NodeId) {
        if self.new.contains_key(&id) {
            return;
        }
        let node = self.of.graph.node(id);
        if !self.of.own[id.index()] && !is_source(node) {
            node.inputs.iter().for_each(|&i| self.bring(i));
            return self.copy(id);
        }
        let input = op::Input { name: self.cut.inputs.len().to_string(), ty: node.ty };
        self.cut.inputs.push(id);
        let new = self.add(id, input.into(), &[]);
        self.new.insert(id, new);
    }

    /// Makes a value exist that is visible through so many levels, with its definition if that is.
    fn see(&mut self, id: NodeId, levels: usize) {
        let lives = self.of.lives(id);
        if lives {
            self.bring(id);
        }
        if !self.of.is_definable(id, levels) {
            return;
        }
        let graph = self.of.graph;
        graph.node(id).inputs.iter().for_each(|&i| self.see(i, levels - 1));
        if !lives {
            return self.copy(id);
        }
        let before = self.part.len();
        let pair = (self.new[&id], self.define(id));
        if self.part.len() > before {
            self.halo.push(pair);
        }
    }
}
