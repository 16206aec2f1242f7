//! Random graphs.

use bespoke_graph::{
    Graph, NodeId, Operator,
    op::{
        ArgReduce, Barrier, Binary, Broadcast, Concatenate, Constant, Convert, Convolution, Dot, Extremum,
        Iota, Pad, RandomBits, Reduce, Reshape, Reverse, Slice, StopGradient, Transpose, Unary,
    },
};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Shape, Tensor, Type};

use crate::{Rng, inputs::element};

const DIMS: [usize; 12] = [0, 1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17];
/// Elements of a value at most, so that evaluation stays fast.
pub(crate) const ELEMENTS: usize = 1200;

/// A well typed graph of about this many nodes over all operators: several outputs, often states with next values.
/// It depends on the seed only.
pub fn random_graph(seed: u64, nodes: usize) -> Graph {
    let mut maker = Maker::new(seed);
    for _ in 0..1 + maker.rng.below(3) {
        maker.source();
    }
    while maker.graph.len() < nodes {
        maker.step();
    }
    maker.finish();
    maker.graph
}

/// A graph under construction.
pub(crate) struct Maker {
    pub graph: Graph,
    pub rng: Rng,
    pub names: usize,
}

impl Maker {
    fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}{}", self.names)
    }

    fn dtype(&mut self) -> DType {
        if self.rng.chance(0.6) { DType::F32 } else { *self.rng.pick(&DType::ALL) }
    }

    fn number(&mut self) -> DType {
        match self.dtype() {
            DType::Bool => DType::I32,
            other => other,
        }
    }

    fn shape(&mut self) -> Shape {
        let rank = *self.rng.pick(&[0, 1, 1, 2, 2, 2, 2, 3, 3, 4]);
        let mut dims = vec![];
        let mut elements = 1;
        for _ in 0..rank {
            let mut d = *self.rng.pick(&DIMS);
            // Empty values make all that follows empty: seldom.
            if d == 0 && !self.rng.chance(0.3) {
                d = 6;
            }
            if elements * d.max(1) > ELEMENTS / 2 {
                d = 1 + self.rng.below(2);
            }
            elements *= d.max(1);
            dims.push(d);
        }
        Shape::new(&dims).expect("four small dimensions")
    }

    pub fn input(&mut self, ty: Type) -> NodeId {
        let name = self.name("x");
        self.graph.input(&name, ty).expect("the name is fresh")
    }

    pub fn state(&mut self, ty: Type) -> NodeId {
        let name = self.name("scope/s");
        self.graph.state(&name, ty).expect("the name is fresh")
    }

    /// A value of this type without operands.
    fn leaf(&mut self, ty: Type) -> NodeId {
        match self.rng.below(10) {
            0..=3 => self.input(ty),
            4..=5 => self.state(ty),
            6 if ty.rank() > 0 && ty.dtype != DType::Bool => {
                let axis = self.rng.below(ty.rank());
                self.graph.must(Iota { ty, axis }, &[])
            }
            7 => {
                let mut rng = Rng::new(self.rng.bits());
                self.graph.must(
                    Constant { value: Tensor::from_fn(ty, |_| element(&mut rng, ty.dtype, false)) },
                    &[],
                )
            }
            _ => {
                let value = element(&mut self.rng, ty.dtype, false).convert(ty.dtype);
                let scalar = self.graph.scalar(value);
                self.graph.broadcast(scalar, ty.shape, &[])
            }
        }
    }

    pub fn random_type(&mut self) -> Type {
        Type::new(self.dtype(), self.shape())
    }

    fn source(&mut self) -> NodeId {
        let ty = self.random_type();
        if self.rng.chance(0.7) { self.input(ty) } else { self.state(ty) }
    }

    /// A node of which `wanted` holds, rather a late one.
    fn find(&mut self, wanted: impl Fn(Type) -> bool) -> Option<NodeId> {
        let all: Vec<NodeId> = self.graph.ids().filter(|&id| wanted(self.graph.ty(id))).collect();
        let late = if self.rng.chance(0.7) { all.len().saturating_sub(6) } else { 0 };
        (!all.is_empty()).then(|| *self.rng.pick(&all[late..]))
    }

    pub fn any(&mut self, wanted: impl Fn(Type) -> bool) -> NodeId {
        if let Some(id) = self.find(&wanted) {
            return id;
        }
        let shape = self.shape();
        let mut dtypes = DType::ALL;
        self.rng.shuffle(&mut dtypes);
        let of = |dtype: &DType, shape: Shape| Some(Type::new(*dtype, shape)).filter(|t| wanted(*t));
        let matrix = Shape::from([4, 3]);
        let ty = dtypes.iter().find_map(|d| of(d, shape).or_else(|| of(d, matrix)));
        self.leaf(ty.expect("a matrix of some type suits every operator"))
    }

    /// A value of this very type.
    pub fn of_type(&mut self, ty: Type) -> NodeId {
        if self.rng.chance(0.75)
            && let Some(id) = self.find(|t| t == ty)
        {
            return id;
        }
        if self.rng.chance(0.3)
            && let Some(id) = self.find(|t| t.shape == ty.shape)
        {
            return self.graph.convert(id, ty.dtype);
        }
        // A row or column, repeated.
        if ty.rank() > 1 && self.rng.chance(0.4) {
            let axis = self.rng.below(ty.rank());
            let row = self.of_type(Type::new(ty.dtype, [ty.shape[axis]]));
            return self.graph.broadcast(row, ty.shape, &[axis]);
        }
        self.leaf(ty)
    }

    pub fn step(&mut self) {
        match self.rng.below(36) {
            0..=6 => self.unary(),
            7..=12 => self.binary(),
            13..=15 => self.reduce(),
            16..=17 => self.matrix_product(),
            18 if self.rng.chance(0.6) => self.dot(),
            18 => self.convolution(),
            19..=22 => self.movement(),
            23 => self.gather(),
            24 => self.scatter(),
            25 => self.select(),
            26 => self.convert(),
            27 => self.random_or_constant(),
            28 => self.arg_reduce(),
            29 => self.normalise(),
            30 => self.meet_product(),
            31 if self.rng.chance(0.7) => self.scan(),
            31 => self.custom(),
            32 => self.windows(),
            33 => self.along_axis(),
            34 => self.piece(),
            _ => _ = self.source(),
        }
    }

    fn unary(&mut self) {
        let function = *self.rng.pick(Unary::ALL);
        let mut x = self.any(|t| function.takes(t.dtype));
        // Mostly within the domain: NaN and infinity say little.
        if self.graph.ty(x).dtype.is_float() && self.rng.chance(0.7) {
            let before = match function {
                Unary::Log | Unary::Sqrt | Unary::Rsqrt | Unary::Log1p => Some(Unary::Abs),
                Unary::Asin | Unary::Acos => Some(Unary::Sin),
                Unary::Exp | Unary::Expm1 | Unary::Sinh | Unary::Cosh => Some(Unary::Tanh),
                _ => None,
            };
            x = before.map_or(x, |f| self.graph.unary(f, x));
        }
        self.graph.unary(function, x);
    }

    fn binary(&mut self) {
        let function = *self.rng.pick(Binary::ALL);
        let function =
            if self.rng.chance(0.4) { *self.rng.pick(&[Binary::Add, Binary::Mul]) } else { function };
        let mut x = self.any(|t| function.takes(t.dtype));
        if function == Binary::Pow && self.rng.chance(0.7) {
            x = self.graph.unary(Unary::Abs, x);
        }
        let y = self.of_type(self.graph.ty(x));
        if self.rng.chance(0.5) {
            self.graph.binary(function, x, y)
        } else {
            self.graph.binary(function, y, x)
        };
    }

    fn select(&mut self) {
        let x = self.any(|_| true);
        let ty = self.graph.ty(x);
        let y = self.of_type(ty);
        let condition = self.of_type(Type::new(DType::Bool, ty.shape));
        self.graph.select(condition, x, y);
    }

    fn convert(&mut self) {
        let x = self.any(|_| true);
        let dtype = *self.rng.pick(&DType::ALL);
        self.graph.must(Convert { dtype }, &[x]);
    }

    fn axes(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|_| self.rng.chance(0.5)).collect()
    }

    fn reduce(&mut self) {
        let combines = [
            Combine::Sum,
            Combine::Sum,
            Combine::Product,
            Combine::Max,
            Combine::Min,
            Combine::Any,
            Combine::All,
        ];
        let combine = *self.rng.pick(&combines);
        let logical = matches!(combine, Combine::Any | Combine::All);
        let mut x = self.any(|t| (t.dtype == DType::Bool) == logical);
        if combine == Combine::Sum && self.rng.chance(0.2) {
            // Long enough to be split.
            let ty = self.graph.ty(x);
            if ty.elements() >= 500 && ty.elements() <= ELEMENTS && ty.rank() < 3 {
                x = self.graph.broadcast(
                    x,
                    Shape::new(&[&ty.shape[..], &[32]].concat()).expect("rank 3"),
                    &(0..ty.rank()).collect::<Vec<_>>(),
                );
            }
        }
        let rank = self.graph.ty(x).rank();
        let axes = if self.rng.chance(0.3) { (0..rank).collect() } else { self.axes(rank) };
        self.graph.must(Reduce { combine, axes }, &[x]);
    }

    fn arg_reduce(&mut self) {
        let x = self.any(|t| t.dtype != DType::Bool && t.shape.iter().any(|&d| d > 0));
        let axes: Vec<usize> =
            self.graph.ty(x).shape.iter().enumerate().filter(|a| *a.1 > 0).map(|a| a.0).collect();
        let axis = *self.rng.pick(&axes);
        let extremum = *self.rng.pick(&[Extremum::Max, Extremum::Min]);
        self.graph.must(ArgReduce { extremum, axis }, &[x]);
    }

    /// Any dimensions, contracted and batched in any order.
    fn dot(&mut self) {
        let x = self.any(|t| t.dtype != DType::Bool && t.rank() > 0 && t.elements() <= 300);
        let ty = self.graph.ty(x);
        let (mut batch, mut contract) = (vec![], vec![]);
        for d in 0..ty.rank() {
            match self.rng.below(3) {
                0 => batch.push(d),
                1 => contract.push(d),
                _ => {}
            }
        }
        self.rng.shuffle(&mut batch);
        self.rng.shuffle(&mut contract);
        let mut dims: Vec<(Option<usize>, usize)> =
            batch.iter().chain(&contract).map(|&d| (Some(d), ty.shape[d])).collect();
        for _ in 0..self.rng.below(3) {
            dims.push((None, *self.rng.pick(&[1, 2, 3, 4])));
        }
        self.rng.shuffle(&mut dims);
        let shape = Shape::new(&dims.iter().map(|d| d.1).collect::<Vec<_>>()).expect("rank 6 at most");
        let y = self.of_type(Type::new(ty.dtype, shape));
        let there = |d: &usize| dims.iter().position(|p| p.0 == Some(*d)).expect("each was placed");
        let dot = Dot {
            batch: (batch.clone(), batch.iter().map(there).collect()),
            contract: (contract.clone(), contract.iter().map(there).collect()),
        };
        let result = dot.infer(&[ty, self.graph.ty(y)]);
        if result.is_ok_and(|r| r.elements() <= ELEMENTS) {
            self.graph.must(dot, &[x, y]);
        }
    }

    fn convolution(&mut self) {
        let dtype = self.number();
        let spatial = *self.rng.pick(&[1, 1, 2, 2, 3]);
        let groups = *self.rng.pick(&[1, 1, 1, 2, 3]);
        let mut counts =
            |choices: &[usize]| -> Vec<usize> { (0..spatial).map(|_| *self.rng.pick(choices)).collect() };
        let kernels: &[usize] = if spatial == 3 { &[1, 2, 3] } else { &[1, 2, 3, 5] };
        let (kernel, stride) = (counts(kernels), counts(&[1, 1, 1, 2]));
        let dilations = [counts(&[1, 1, 1, 2]), counts(&[1, 1, 1, 2])];
        let extents = match spatial {
            1 => counts(&[0, 1, 5, 17, 40]),
            2 => counts(&[1, 3, 4, 7, 9, 12]),
            _ => counts(&[1, 2, 3, 4, 5]),
        };
        let padding = (0..spatial).map(|_| (self.rng.below(4) as i64 - 1, self.rng.below(4) as i64 - 1));
        let convolution = Convolution {
            padding: padding.collect(),
            stride,
            input_dilation: dilations[0].clone(),
            kernel_dilation: dilations[1].clone(),
            groups,
        };
        let (n, c) = (*self.rng.pick(&[1, 2, 3]), *self.rng.pick(&[1, 2, 3]));
        let o = groups * *self.rng.pick(&[1, 3, 4, 5, 7]);
        let dims = |first: [usize; 2], rest: &[usize]| {
            Shape::new(&[&first[..], rest].concat()).expect("at most five dimensions")
        };
        let (x, kernel) = (dims([n, groups * c], &extents), dims([o, c], &kernel));
        let result = convolution.infer(&[Type::new(dtype, x), Type::new(dtype, kernel)]);
        if x.elements() <= ELEMENTS && result.is_ok_and(|r| r.elements() <= ELEMENTS) {
            let (x, kernel) = (self.of_type(Type::new(dtype, x)), self.of_type(Type::new(dtype, kernel)));
            self.graph.must(convolution, &[x, kernel]);
        }
    }

    fn movement(&mut self) {
        let x = self.any(|t| t.elements() <= ELEMENTS);
        let ty = self.graph.ty(x);
        let (rank, dims) = (ty.rank(), ty.shape.to_vec());
        match self.rng.below(8) {
            0 => {
                let shape = self.other_shape(&dims);
                self.graph.must(Reshape { shape }, &[x]);
            }
            1 => {
                let mut permutation: Vec<usize> = (0..rank).collect();
                self.rng.shuffle(&mut permutation);
                self.graph.must(Transpose { permutation }, &[x]);
            }
            2 => self.repeat(x),
            3 => {
                let (mut start, mut limit, mut step) = (vec![], vec![], vec![]);
                for &d in &dims {
                    let from = self.rng.below(d + 1).min(self.rng.below(d + 1));
                    start.push(from);
                    limit.push(d - self.rng.below(d - from + 1).min(self.rng.below(d + 1)).min(d - from));
                    step.push(1 + self.rng.below(3));
                }
                self.graph.must(Slice { start, limit, step }, &[x]);
            }
            4 if ty.elements() <= 200 => {
                let value = self.of_type(Type::scalar(ty.dtype));
                let mut counts = || -> Vec<usize> { dims.iter().map(|_| self.rng.below(3)).collect() };
                let pad = Pad { low: counts(), high: counts(), inner: counts() };
                self.graph.must(pad, &[x, value]);
            }
            5 if rank > 0 => {
                let axis = self.rng.below(rank);
                let mut parts = vec![x];
                for _ in 0..self.rng.below(3) {
                    let mut other = dims.clone();
                    other[axis] = *self.rng.pick(&[0, 1, 2, 3, dims[axis]]);
                    let part = self.of_type(Type::new(ty.dtype, Shape::new(&other).expect("as large as x")));
                    parts.push(part);
                }
                self.rng.shuffle(&mut parts);
                self.graph.must(Concatenate { axis }, &parts);
            }
            6 if self.rng.chance(0.5) => _ = self.graph.must(Barrier, &[x]),
            6 => _ = self.graph.must(StopGradient, &[x]),
            _ => {
                let axes = self.axes(rank);
                self.graph.must(Reverse { axes }, &[x]);
            }
        }
    }

    /// Another shape of as many elements.
    fn other_shape(&mut self, dims: &[usize]) -> Shape {
        let mut dims = dims.to_vec();
        if dims.len() > 1 && self.rng.chance(0.5) {
            let at = self.rng.below(dims.len() - 1);
            let second = dims.remove(at + 1);
            dims[at] *= second;
        }
        self.rng.shuffle(&mut dims);
        if let Some(at) = dims.iter().position(|d| d % 2 == 0 && *d > 0)
            && dims.len() < 4
            && self.rng.chance(0.5)
        {
            dims[at] /= 2;
            dims.insert(at + self.rng.below(2), 2);
        }
        if dims.len() < 4 && self.rng.chance(0.2) {
            dims.insert(self.rng.below(dims.len() + 1), 1);
        }
        Shape::new(&dims).expect("at most five dimensions")
    }

    fn repeat(&mut self, x: NodeId) {
        let ty = self.graph.ty(x);
        let mut dims = ty.shape.to_vec();
        let mut axes: Vec<usize> = (0..dims.len()).collect();
        for _ in 0..1 + self.rng.below(2) {
            let d = *self.rng.pick(&DIMS[1..]);
            if dims.len() < 5 && dims.iter().map(|d| *d.max(&1)).product::<usize>() * d <= ELEMENTS {
                let at = self.rng.below(dims.len() + 1);
                dims.insert(at, d);
                axes.iter_mut().filter(|a| **a >= at).for_each(|a| *a += 1);
            }
        }
        self.graph.must(Broadcast { shape: Shape::new(&dims).expect("rank 5"), axes }, &[x]);
    }

    fn random_or_constant(&mut self) {
        if self.rng.chance(0.5) {
            let ty = Type::new(self.number(), self.shape());
            self.leaf(ty);
            return;
        }
        let pair = Type::new(DType::U32, [2]);
        let (key, counter) = (self.of_type(pair), self.of_type(pair));
        let mut shape = self.shape();
        if shape.elements() > 100 {
            shape = Shape::from([7, 3]);
        }
        self.graph.must(RandomBits { shape }, &[key, counter]);
    }

    /// Names outputs and gives states their next values.
    fn finish(&mut self) {
        self.next_values();
        let users = self.graph.users();
        let ends: Vec<NodeId> = (self.graph.ids())
            .filter(|id| {
                users[id.index()].is_empty() && !self.graph.states().iter().any(|s| s.next == Some(*id))
            })
            .collect();
        let mut chosen: Vec<NodeId> = ends.into_iter().rev().take(1 + self.rng.below(6)).collect();
        for _ in 0..self.rng.below(3) {
            let id = NodeId(self.rng.below(self.graph.len()) as u32);
            chosen.push(id);
        }
        if chosen.is_empty() {
            chosen.push(NodeId(self.graph.len() as u32 - 1));
        }
        for (i, id) in chosen.into_iter().enumerate() {
            self.graph.set_output(&format!("y{i}"), id).expect("names are numbered");
        }
    }

    fn next_values(&mut self) {
        for i in 0..self.graph.states().len() {
            let state = self.graph.states()[i].clone();
            if state.next.is_some() {
                continue;
            }
            let ty = self.graph.ty(state.node);
            let next = match self.rng.below(10) {
                // An update in place, if nothing else is in the way.
                0..=2 if ty.dtype != DType::Bool => {
                    let other = self.of_type(ty);
                    self.graph.plus(state.node, other)
                }
                3 if ty.rank() == 2 && ty.shape[0] == ty.shape[1] => {
                    self.graph.transpose(state.node, &[1, 0])
                }
                3 if ty.rank() > 0 => self.graph.must(Reverse { axes: vec![0] }, &[state.node]),
                4 => {
                    // Another state of this type, which swaps or rotates them.
                    let others: Vec<NodeId> = (self.graph.states().iter())
                        .map(|s| s.node)
                        .filter(|n| self.graph.ty(*n) == ty && *n != state.node)
                        .collect();
                    if others.is_empty() { state.node } else { *self.rng.pick(&others) }
                }
                5 => self.input(ty),
                6 => continue,
                7 => {
                    // What another state becomes too.
                    let nexts = self.graph.states().iter().filter_map(|s| s.next);
                    let suitable: Vec<NodeId> = nexts.filter(|n| self.graph.ty(*n) == ty).collect();
                    if suitable.is_empty() { continue } else { *self.rng.pick(&suitable) }
                }
                _ => self.of_type(ty),
            };
            self.graph.set_next(state.node, next).expect("of the same type, and the first");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bespoke_graph::Op;

    use super::*;
    use crate::random_inputs;

    #[test]
    fn makes_every_operator_and_valid_graphs() {
        let mut made = BTreeSet::new();
        let mut contractions = 0;
        let mut next = 0;
        for seed in 0..800 {
            let nodes = 5 + seed as usize % 56;
            let graph = random_graph(seed, nodes);
            assert_eq!(bespoke_graph::verify(&graph), Vec::<String>::new(), "{graph}");
            assert!(graph.len() >= nodes && !graph.outputs().is_empty());
            let live = graph.live();
            made.extend(graph.ids().filter(|id| live[id.index()]).map(|id| graph.node(id).op.name()));
            next += graph.states().iter().filter(|s| s.next.is_some()).count();
            let program = bespoke_lower::lower(&graph, bespoke_lower::Config::default()).unwrap();
            contractions += (program.launches.iter())
                .filter(|l| matches!(l.work, bespoke_lower::Work::Contraction(_)))
                .count();
        }
        let missing: Vec<&str> = Op::names().into_iter().filter(|n| !made.contains(n)).collect();
        assert!(missing.is_empty(), "never made: {missing:?}");
        assert!(contractions > 100 && next > 200, "{contractions} contractions, {next} next values");
    }

    #[test]
    fn depends_on_the_seed_only() {
        assert_eq!(random_graph(17, 30).to_string(), random_graph(17, 30).to_string());
        assert_ne!(random_graph(17, 30), random_graph(18, 30));
        let graph = random_graph(17, 30);
        assert_eq!(random_inputs(&graph, 1, true), random_inputs(&graph, 1, true));
    }
}
