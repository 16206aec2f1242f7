//! Random operators that pick by index.

use bespoke_graph::{
    NodeId, Operator, State,
    op::{Binary, Gather, ScatterAdd},
};
use bespoke_tensor::{DType, Shape, Type};

use crate::random::Maker;

impl Maker {
    /// Indices for a value, sometimes for two neighbouring axes, and the first axis and batch to use them with.
    fn indices(&mut self, ty: Type) -> (Vec<NodeId>, usize, usize) {
        let axes: Vec<usize> = (0..ty.rank()).filter(|&a| ty.shape[a] > 0).collect();
        let axis = *self.rng.pick(&axes);
        let batch = if self.rng.chance(0.4) { self.rng.below(axis + 1) } else { 0 };
        let mut dims = ty.shape[..batch].to_vec();
        for _ in 0..self.rng.below(3) {
            dims.push(*self.rng.pick(&[1, 2, 3, 5, 8]));
        }
        let dtype = *self.rng.pick(&[DType::I32, DType::I64, DType::U8, DType::U32]);
        let of = Type::new(dtype, Shape::new(&dims).expect("rank 6 at most"));
        let two = axes.contains(&(axis + 1)) && self.rng.chance(0.3);
        ((0..1 + usize::from(two)).map(|_| self.index(of)).collect(), axis, batch)
    }

    /// Indices that are not known to be out of range, which is refused: an input's, or computed ones, if only as max(i, i).
    fn index(&mut self, ty: Type) -> NodeId {
        if self.rng.chance(0.3) {
            return self.input(ty);
        }
        let found = self.of_type(ty);
        self.graph.binary(Binary::Max, found, found)
    }

    /// A value for an input that a body asked for itself: it may be an index there, see [`Maker::index`].
    pub fn asked_for(&mut self, ty: Type) -> NodeId {
        if ty.dtype.is_int() { self.input(ty) } else { self.of_type(ty) }
    }

    fn picks(t: Type) -> bool {
        t.elements() > 0 && (1..=3).contains(&t.rank()) && t.elements() <= 150
    }

    pub fn gather(&mut self) {
        let x = self.any(Maker::picks);
        let (indices, axis, batch) = self.indices(self.graph.ty(x));
        self.graph.must(Gather { axis, batch }, &[&[x][..], &indices].concat());
    }

    pub fn scatter(&mut self) {
        let x = self.any(|t| Maker::picks(t) && t.dtype != DType::Bool);
        let (indices, axis, batch) = self.indices(self.graph.ty(x));
        let types = [x].iter().chain(&indices).map(|&i| self.graph.ty(i)).collect::<Vec<_>>();
        let picked = Gather { axis, batch }.infer(&types);
        let ty = picked.expect("the indices suit");
        let updates = self.of_type(ty);
        let operands = [&[x][..], &indices, &[updates]].concat();
        let sum = self.graph.must(ScatterAdd { axis, batch }, &operands);
        let is_free = |s: &State| s.node == x && s.next.is_none();
        if self.graph.states().iter().any(is_free) && self.rng.chance(0.6) {
            self.graph.set_next(x, sum).expect("the state has none yet");
        }
    }
}
