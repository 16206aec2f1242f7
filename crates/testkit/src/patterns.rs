//! What networks consist of, for random graphs: groups of nodes that kernels are made for.

use bespoke_graph::op::{Dot, Reverse, Unary};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Shape, Type};

use crate::random::{ELEMENTS, Maker};

impl Maker {
    /// A product large enough for a register tile, with transposes before and something after it.
    pub fn matrix_product(&mut self) {
        let dtype = if self.rng.chance(0.8) { DType::F32 } else { DType::F64 };
        let extent = |m: &mut Maker| *m.rng.pick(&[4usize, 5, 7, 8, 11, 13, 16, 17]);
        let (m, n, k) = (extent(self), extent(self), *self.rng.pick(&[7usize, 13, 17, 32, 41]));
        let batch: Vec<usize> = if self.rng.chance(0.3) { vec![*self.rng.pick(&[1, 2, 3])] } else { vec![] };
        let b = batch.len();
        let mut sides = vec![];
        for rows in [m, n] {
            let swapped = self.rng.chance(0.5);
            let dims =
                if swapped { [&batch[..], &[k, rows]].concat() } else { [&batch[..], &[rows, k]].concat() };
            let mut x = self.of_type(Type::new(dtype, Shape::new(&dims).expect("rank 3 at most")));
            match self.rng.below(5) {
                0 => x = self.graph.unary(Unary::Tanh, x),
                1 => {
                    let y = self.of_type(self.graph.ty(x));
                    x = self.graph.plus(x, y);
                }
                _ => {}
            }
            let mut rank_order: Vec<usize> = (0..b + 2).collect();
            let mut at = (b + usize::from(!swapped), 0);
            if self.rng.chance(0.3) {
                rank_order.reverse();
                x = self.graph.transpose(x, &rank_order);
                at = (b + 1 - at.0, b + 1);
            }
            sides.push((x, at));
        }
        let dims = |i: usize| if b == 0 { vec![] } else { vec![sides[i].1.1] };
        let dot = Dot { batch: (dims(0), dims(1)), contract: (vec![sides[0].1.0], vec![sides[1].1.0]) };
        let product = self.graph.must(dot, &[sides[0].0, sides[1].0]);
        let ty = self.graph.ty(product);
        match self.rng.below(4) {
            0 => {
                let last = ty.rank() - 1;
                let bias = self.of_type(Type::new(dtype, [ty.shape[last]]));
                let bias = self.graph.broadcast(bias, ty.shape, &[last]);
                let sum = self.graph.plus(product, bias);
                self.graph.unary(Unary::Tanh, sum);
            }
            1 => {
                // An update of a state by a product, as training makes.
                let state = self.state(ty);
                let next = self.graph.minus(state, product);
                self.graph.set_next(state, next).expect("the state is new");
            }
            2 => {
                let other = self.of_type(ty);
                self.graph.times(product, other);
            }
            _ => {}
        }
    }

    /// Reductions of the same data, later ones of what earlier ones give: softmax, variance.
    pub fn normalise(&mut self) {
        let x = self.any(|t| t.dtype.is_float() && t.rank() > 0 && t.elements() <= ELEMENTS);
        let ty = self.graph.ty(x);
        let axes = vec![if self.rng.chance(0.7) { ty.rank() - 1 } else { self.rng.below(ty.rank()) }];
        let combine = *self.rng.pick(&[Combine::Max, Combine::Sum, Combine::Min]);
        let first = self.graph.reduce(combine, x, &axes);
        let spread = self.graph.unreduce(first, ty.shape, &axes);
        let centred = self.graph.minus(x, spread);
        let part = if self.rng.chance(0.5) {
            self.graph.unary(Unary::Exp, centred)
        } else {
            self.graph.times(centred, centred)
        };
        let second = self.graph.sum(part, &axes);
        match self.rng.below(3) {
            0 => {
                let spread = self.graph.unreduce(second, ty.shape, &axes);
                self.graph.over(part, spread);
            }
            1 => _ = self.graph.plus(first, second),
            _ => {}
        }
        if self.rng.chance(0.3) {
            self.graph.sum(x, &axes);
        }
    }

    /// A square product, and what might join its epilogue but must not: its transpose, reductions of the same shape.
    pub fn meet_product(&mut self) {
        let n = *self.rng.pick(&[11usize, 13, 16, 17]);
        let ty = Type::new(DType::F32, [n, n]);
        let (x, y) = (self.of_type(ty), self.of_type(ty));
        let product = self.graph.matmul(x, y);
        let other = match self.rng.below(3) {
            0 => self.graph.transpose(product, &[1, 0]),
            1 => {
                let deep = self.of_type(Type::new(DType::F32, [n, n, 3]));
                let axes = [2];
                self.graph.sum(deep, &axes)
            }
            _ => {
                let flipped = self.graph.must(Reverse { axes: vec![0] }, &[product]);
                self.graph.unary(Unary::Tanh, flipped)
            }
        };
        let sum = self.graph.plus(product, other);
        if self.rng.chance(0.5) {
            let scaled = self.graph.times(sum, x);
            self.graph.unary(Unary::Sin, scaled);
        }
    }
}
