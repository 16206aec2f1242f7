//! Random operators along axes, and pieces whose place is known at run time.

use bespoke_graph::{
    NodeId,
    op::{ArgSort, Cumulative, DynamicSlice, DynamicUpdate},
};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Shape, Type};

use crate::random::{ELEMENTS, Maker};

impl Maker {
    /// A cumulative operator or a sort.
    pub fn along_axis(&mut self) {
        let x = self.any(|t| t.dtype != DType::Bool && t.rank() > 0 && t.elements() <= ELEMENTS);
        let axis = self.rng.below(self.graph.ty(x).rank());
        if self.rng.chance(0.4) {
            let descending = self.rng.chance(0.5);
            self.graph.must(ArgSort { axis, descending }, &[x]);
            return;
        }
        let combine =
            *self.rng.pick(&[Combine::Sum, Combine::Sum, Combine::Product, Combine::Max, Combine::Min]);
        let reverse = self.rng.chance(0.4);
        self.graph.must(Cumulative { combine, axis, reverse }, &[x]);
    }

    /// A piece taken or replaced.
    pub fn piece(&mut self) {
        let x = self.any(|t| t.rank() <= 3 && t.elements() <= ELEMENTS);
        let ty = self.graph.ty(x);
        let sizes: Vec<usize> = ty.shape.iter().map(|&d| self.rng.below(d + 1)).collect();
        let dtype = *self.rng.pick(&[DType::I32, DType::I64, DType::U8, DType::U32]);
        let starts: Vec<NodeId> = sizes.iter().map(|_| self.of_type(Type::scalar(dtype))).collect();
        if self.rng.chance(0.5) {
            self.graph.must(DynamicSlice { sizes }, &[&[x][..], &starts].concat());
            return;
        }
        let update = self.of_type(Type::new(ty.dtype, Shape::new(&sizes).expect("not larger")));
        self.graph.must(DynamicUpdate, &[&[x, update][..], &starts].concat());
    }
}
