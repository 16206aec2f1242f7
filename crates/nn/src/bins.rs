//! What windows along one axis hold, combined. Windows over several axes are combined axis by axis, from the last to the
//! first: then the first maximum in row-major order wins.

use bespoke_tensor::{Scalar, Tensor, Type};

use crate::{I32, Value};

/// So many elements of a window are read by slices, which are one pass over the operand; those of wider ones are gathered.
const MOST_SLICES: usize = 16;

/// How the elements of a window are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// The sum.
    Sum,
    /// The first greatest, or the first NaN.
    Max,
}

/// Windows along one axis.
pub(crate) enum Bins {
    /// Of one width: window i begins at i·stride, its elements are `dilation` apart.
    Even { windows: usize, width: usize, stride: usize, dilation: usize },
    /// From a position to below another.
    Uneven(Vec<(usize, usize)>),
}

impl Bins {
    /// Windows that share an extent as evenly as can be: ⌊i·n/out⌋ to ⌈(i + 1)·n/out⌉.
    pub fn adaptive(extent: usize, windows: usize) -> Bins {
        if extent.is_multiple_of(windows) && extent > 0 {
            let width = extent / windows;
            return Bins::Even { windows, width, stride: width, dilation: 1 };
        }
        let edge = |i: usize| (i * extent / windows, ((i + 1) * extent).div_ceil(windows));
        Bins::Uneven((0..windows).map(edge).collect())
    }

    /// The number of elements of each window.
    pub fn counts(&self) -> Vec<usize> {
        match self {
            Bins::Even { windows, width, .. } => vec![*width; *windows],
            Bins::Uneven(bins) => bins.iter().map(|b| b.1 - b.0).collect(),
        }
    }

    /// The positions of the elements of each window, and is there an element? Rows are as long as the widest window, and
    /// end with the last element repeated.
    fn positions(&self) -> (Vec<Vec<usize>>, bool) {
        match *self {
            Bins::Even { windows, width, stride, dilation } => {
                let row = |i: usize| (0..width).map(|j| i * stride + j * dilation).collect();
                ((0..windows).map(row).collect(), true)
            }
            Bins::Uneven(ref bins) => {
                let widest = bins.iter().map(|b| b.1 - b.0).max().unwrap_or(0);
                let row = |b: &(usize, usize)| (0..widest).map(|j| (b.0 + j).min(b.1 - 1)).collect();
                (bins.iter().map(row).collect(), bins.iter().all(|b| b.1 - b.0 == widest))
            }
        }
    }

    /// Values along `axis`, combined window by window. Values behind the first follow it: they are taken from where its
    /// maximum is.
    #[track_caller]
    pub fn fold<'g>(&self, fold: Fold, axis: usize, values: Vec<Value<'g>>) -> Vec<Value<'g>> {
        match *self {
            Bins::Even { windows, width, stride, dilation } if width <= MOST_SLICES && windows > 0 => {
                let element = |v: Value<'g>, j: usize| {
                    let start = j * dilation;
                    v.slice_step(axis as isize, start..start + (windows - 1) * stride + 1, stride)
                };
                let mut best: Vec<Value<'g>> = values.iter().map(|&v| element(v, 0)).collect();
                for j in 1..width {
                    let next: Vec<Value<'g>> = values.iter().map(|&v| element(v, j)).collect();
                    best = combine(fold, best, next);
                }
                best
            }
            _ => self.gathered(fold, axis, values),
        }
    }

    #[track_caller]
    fn gathered<'g>(&self, fold: Fold, axis: usize, values: Vec<Value<'g>>) -> Vec<Value<'g>> {
        let (rows, even) = self.positions();
        let (Some(&first), width) = (values.first(), rows.first().map_or(0, Vec::len)) else { return values };
        let (g, rank, windows) = (first.graph, first.shape().rank(), rows.len());
        let ty = Type::new(I32, [windows, width]);
        let at = Tensor::from_fn(ty, |i| Scalar::I32(rows[i / width][i % width] as i32));
        let at = g.tensor(&at);
        // The axis as the last one, and back.
        let mut order: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
        order.push(axis);
        let back: Vec<usize> =
            (0..rank).map(|a| order.iter().position(|&o| o == a).unwrap_or_default()).collect();
        let mut dims: Vec<usize> = order.iter().map(|&a| first.shape()[a]).collect();
        dims[rank - 1] = windows;
        let whole: usize = dims.iter().product();
        let spread = |v: Value<'g>| v.transpose(&order).gather(at, -1);
        let folded: Vec<Value<'g>> = match fold {
            Fold::Sum => {
                let sum = |v: Value<'g>| {
                    let mut all = spread(v);
                    if !even {
                        let counts = Tensor::from_slice([windows, 1], &self.counts_i32());
                        let counts = g.tensor(&counts.expect("a count for each window"));
                        let there = g.iota(I32, [windows, width], 1).lt(counts);
                        all = there.select(all, 0.0);
                    }
                    all.sum_axes(&[-1])
                };
                values.into_iter().map(sum).collect()
            }
            Fold::Max => {
                let rows = values.into_iter().map(|v| spread(v).reshape([whole, width]));
                let rows: Vec<Value<'g>> = rows.collect();
                let best = rows[0].argmax(-1);
                rows.into_iter().map(|v| v.pick(best).reshape(&dims[..])).collect()
            }
        };
        folded.into_iter().map(|v| v.transpose(&back)).collect()
    }

    fn counts_i32(&self) -> Vec<i32> {
        self.counts().into_iter().map(|c| c as i32).collect()
    }
}

/// Earlier elements with later ones.
#[track_caller]
fn combine<'g>(fold: Fold, best: Vec<Value<'g>>, next: Vec<Value<'g>>) -> Vec<Value<'g>> {
    match fold {
        Fold::Sum => best.into_iter().zip(next).map(|(a, b)| a + b).collect(),
        Fold::Max => {
            let greater = next[0].gt(best[0]).logical_or(next[0].is_nan().logical_and(best[0].eq(best[0])));
            best.into_iter().zip(next).map(|(a, b)| greater.select(b, a)).collect()
        }
    }
}
