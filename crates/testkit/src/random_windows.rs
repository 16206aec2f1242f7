//! Random windows.

use bespoke_graph::{
    Operator, Windows,
    op::{Extremum, WindowArg, WindowReduce},
};
use bespoke_loops::Combine;
use bespoke_tensor::DType;

use crate::random::{ELEMENTS, Maker};

impl Maker {
    /// Windows over one to three of the last axes, if they fit.
    pub fn windows(&mut self) {
        let x = self.any(|t| t.dtype != DType::Bool && t.rank() > 0 && t.elements() <= ELEMENTS);
        let ty = self.graph.ty(x);
        let axes = 1 + self.rng.below(ty.rank().min(3));
        let mut windows = Windows::new(&vec![1; axes], &vec![1; axes]);
        for a in 0..axes {
            windows.extent[a] = 1 + self.rng.below(3);
            windows.stride[a] = 1 + self.rng.below(3);
            windows.dilation[a] = 1 + self.rng.below(2);
            let span = windows.span(a);
            if self.rng.chance(0.5) {
                windows.padding[a] = (self.rng.below(span), self.rng.below(span));
            }
        }
        let extremum = *self.rng.pick(&[Extremum::Max, Extremum::Min]);
        let combine = *self.rng.pick(&[Combine::Sum, Combine::Max, Combine::Min]);
        let (reduce, arg) =
            (WindowReduce { combine, windows: windows.clone() }, WindowArg { extremum, windows });
        if self.rng.chance(0.7) {
            if reduce.infer(&[ty]).is_ok_and(|t| t.elements() <= ELEMENTS) {
                self.graph.must(reduce, &[x]);
            }
        } else if arg.infer(&[ty]).is_ok_and(|t| t.elements() <= ELEMENTS) {
            self.graph.must(arg, &[x]);
        }
    }
}
