//! Handles of values: shapes, slices, lookups.

use bespoke_graph::op;
use bespoke_tensor::{DType, Shape, Tensor, Type};

use crate::{Graph, Value};

impl<'g> Value<'g> {
    /// The same elements in row-major order under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Value<'g> {
        let shape = shape.into();
        self.graph.apply("reshape", op::Reshape { shape }.into(), &[self])
    }

    /// All axes but the first made one: a matrix of one row an example.
    #[track_caller]
    pub fn flatten(self) -> Value<'g> {
        let shape = self.shape();
        match shape.first() {
            Some(&rows) if shape.rank() != 2 => self.reshape_to(&[rows, shape[1..].iter().product()]),
            _ => self,
        }
    }

    /// Axes in another order: axis i of the result is axis `permutation[i]`.
    #[track_caller]
    pub fn transpose(self, permutation: &[usize]) -> Value<'g> {
        self.graph.apply("transpose", op::Transpose { permutation: permutation.to_vec() }.into(), &[self])
    }

    /// The last two axes exchanged.
    #[track_caller]
    pub fn t(self) -> Value<'g> {
        let mut permutation: Vec<usize> = (0..self.shape().rank()).collect();
        if permutation.len() < 2 {
            return self;
        }
        let last = permutation.len() - 1;
        permutation.swap(last - 1, last);
        self.transpose(&permutation)
    }

    /// The positions `range` along an axis.
    #[track_caller]
    pub fn slice(self, axis: usize, range: std::ops::Range<usize>) -> Value<'g> {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th of the positions `range` along an axis.
    #[track_caller]
    pub fn slice_step(self, axis: usize, range: std::ops::Range<usize>, step: usize) -> Value<'g> {
        let shape = self.shape();
        if axis >= shape.rank() {
            return self.graph.refuse(format!("slice: axis {axis} is out of range for {}", self.ty()));
        }
        let mut slice =
            op::Slice { start: vec![0; shape.rank()], limit: shape.to_vec(), step: vec![1; shape.rank()] };
        (slice.start[axis], slice.limit[axis], slice.step[axis]) = (range.start, range.end, step);
        self.graph.apply("slice", slice.into(), &[self])
    }

    /// `low` and `high` elements of `value` before and after, along each axis.
    #[track_caller]
    pub fn pad(self, low: &[usize], high: &[usize], value: f64) -> Value<'g> {
        let zero = self.graph.constant(bespoke_tensor::Scalar::from_f64(self.ty().dtype, value));
        let pad = op::Pad { low: low.to_vec(), high: high.to_vec(), inner: vec![0; low.len()] };
        self.graph.apply("pad", pad.into(), &[self, zero])
    }

    /// Axes run backwards.
    #[track_caller]
    pub fn reverse(self, axes: &[usize]) -> Value<'g> {
        self.graph.apply("reverse", op::Reverse { axes: axes.to_vec() }.into(), &[self])
    }

    /// Others behind it along an axis.
    #[track_caller]
    pub fn concatenate(self, others: &[Value<'g>], axis: usize) -> Value<'g> {
        let all: Vec<Value<'g>> = [self].iter().chain(others).copied().collect();
        self.graph.apply("concatenate", op::Concatenate { axis }.into(), &all)
    }

    /// Rows looked up by index: `self` is a table of f32[rows,width…], the result has the indices' shape before the width.
    #[track_caller]
    pub fn lookup(self, indices: Value<'g>) -> Value<'g> {
        self.graph.apply("lookup", op::Gather { axis: 0, batch: 0 }.into(), &[self, indices])
    }

    /// The element of each row that an integer label points to: `self` is [rows,classes], `labels` is [rows].
    #[track_caller]
    pub fn pick(self, labels: Value<'g>) -> Value<'g> {
        self.graph.apply("pick", op::Gather { axis: 1, batch: 1 }.into(), &[self, labels])
    }

    /// Integer labels as rows of zeros with a one, of an element type.
    #[track_caller]
    pub fn one_hot(self, classes: usize, dtype: DType) -> Value<'g> {
        let labels = self.ty();
        let Ok(shape) = Shape::new(&[&labels.shape[..], &[classes]].concat()) else {
            return self.graph.refuse(format!("one_hot: {labels} with {classes} classes is too large"));
        };
        let axis = labels.rank();
        let positions =
            self.graph.apply("one_hot", op::Iota { ty: Type::new(labels.dtype, shape), axis }.into(), &[]);
        let spread = op::Broadcast { shape, axes: (0..axis).collect() };
        let labels = self.graph.apply("one_hot", spread.into(), &[self]);
        labels.eq(positions).convert(dtype)
    }
}

impl Graph {
    /// A fresh draw of random words at each run: the key is the graph's seed, the counter a state that counts the draws.
    #[track_caller]
    fn random_bits<'g>(&'g self, shape: Shape) -> Value<'g> {
        let (seed, site) = {
            let inner = self.inner.borrow();
            (inner.seed, inner.starts.len() as u32)
        };
        let key = Tensor::from_slice([2], &[seed as u32, (seed >> 32) as u32]).expect("two words");
        let start = Tensor::from_slice([2], &[0u32, site]).expect("two words");
        let counter = self.state(&format!("random{site}/counter"), &start);
        let step = self.tensor(&Tensor::from_slice([2], &[1u32, 0]).expect("two words"));
        self.set_next(counter, counter + step);
        let key = self.tensor(&key);
        self.apply("random", op::RandomBits { shape }.into(), &[key, counter])
    }

    /// Uniform numbers of [0, 1), drawn anew at each run.
    #[track_caller]
    pub fn random_uniform<'g>(&'g self, dtype: DType, shape: impl Into<Shape>) -> Value<'g> {
        let bits = self.random_bits(shape.into());
        // 24 bits are exact in every float type, and 1 is never reached.
        let shift = self.constant(8u32);
        let shift = shift.broadcast_to(bits.shape());
        let top = self.apply("random", op::Binary::Shr.into(), &[bits, shift]);
        top.convert(dtype) * (1.0 / f64::from(1 << 24))
    }

    /// Standard normal numbers, drawn anew at each run (Box & Muller 1958).
    #[track_caller]
    pub fn random_normal<'g>(&'g self, dtype: DType, shape: impl Into<Shape>) -> Value<'g> {
        let shape = shape.into();
        // 1 − u lies in (0, 1].
        let radius = ((1.0 - self.random_uniform(dtype, shape)).log() * -2.0).sqrt();
        radius * (self.random_uniform(dtype, shape) * std::f64::consts::TAU).cos()
    }

    /// True with a probability, drawn anew at each run.
    #[track_caller]
    pub fn random_bernoulli<'g>(&'g self, probability: f64, shape: impl Into<Shape>) -> Value<'g> {
        self.random_uniform(DType::F32, shape).lt(probability)
    }
}
