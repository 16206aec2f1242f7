//! Windows of several widths, along one axis.

use bespoke_tensor::{Tensor, Type};

use crate::{I32, Value};

/// How the elements of a window are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// The sum.
    Sum,
    /// The first greatest, or the first NaN.
    Max,
}

/// Windows that share an extent as evenly as can be: of n elements, window i of m holds ⌊i·n/m⌋ to below ⌈(i + 1)·n/m⌉.
pub(crate) struct Bins {
    extent: usize,
    windows: usize,
}

impl Bins {
    /// So many windows, at least one, over an extent of at least one.
    pub fn new(extent: usize, windows: usize) -> Bins {
        Bins { extent, windows }
    }

    /// The extent of all windows, if they lie side by side.
    pub fn even(&self) -> Option<usize> {
        self.extent.is_multiple_of(self.windows).then(|| self.extent / self.windows)
    }

    fn edges(&self, i: usize) -> (usize, usize) {
        (i * self.extent / self.windows, ((i + 1) * self.extent).div_ceil(self.windows))
    }

    /// The number of elements of each window.
    pub fn counts(&self) -> Vec<usize> {
        (0..self.windows).map(|i| self.edges(i)).map(|(start, end)| end - start).collect()
    }

    /// A value's windows along `axis`, combined. Axis by axis from the last to the first, the first maximum in row-major
    /// order wins.
    #[track_caller]
    pub fn fold<'g>(&self, fold: Fold, axis: usize, value: Value<'g>) -> Value<'g> {
        let (counts, windows, rank) = (self.counts(), self.windows, value.shape().rank());
        let Some(&width) = counts.iter().max().filter(|_| value.id.is_some()) else { return value };
        let g = value.graph;
        // Each row ends with its last element repeated.
        let at = Tensor::from_fn(Type::new(I32, [windows, width]), |i| {
            let (start, end) = self.edges(i / width);
            ((start + i % width).min(end - 1) as i32).into()
        });
        // The axis as the last one, and back.
        let mut order: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
        order.push(axis);
        let mut back: Vec<usize> = (0..rank - 1).collect();
        back.insert(axis, rank - 1);
        let all = value.transpose(&order).gather(g.tensor(&at), -1);
        let folded = match fold {
            Fold::Sum => {
                let counts = Tensor::from_fn(Type::new(I32, [windows, 1]), |i| (counts[i] as i32).into());
                let there = g.iota(I32, [windows, width], 1).lt(g.tensor(&counts));
                there.select(all, 0.0).sum_axes(&[-1])
            }
            Fold::Max => {
                let dims = all.shape()[..rank].to_vec();
                let rows = all.reshape([dims.iter().product(), width]);
                rows.pick(rows.argmax(-1)).reshape(dims)
            }
        };
        folded.transpose(&back)
    }
}
