//! Handles of values: shapes, slices, lookups. Negative axes count from the end.

use bespoke_graph::op;
use bespoke_tensor::{DType, Scalar, Type};

use crate::{Dims, Value};

impl<'g> Value<'g> {
    /// The same elements in row-major order under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl Dims) -> Value<'g> {
        match self.graph.shape("reshape", shape) {
            Some(shape) if self.id.is_some() && shape == self.shape() => self,
            Some(shape) => self.graph.apply("reshape", op::Reshape { shape }.into(), &[self]),
            None => self.spoiled(),
        }
    }

    /// All axes but the first made one: a matrix of one row an example.
    #[track_caller]
    pub fn flatten(self) -> Value<'g> {
        let shape = self.shape();
        match shape.first() {
            Some(&rows) if shape.rank() != 2 => self.reshape([rows, shape[1..].iter().product()]),
            _ => self,
        }
    }

    /// With an axis of extent 1 put in at `axis`; −1 puts it behind the last.
    #[track_caller]
    pub fn expand_dims(self, axis: isize) -> Value<'g> {
        let mut dims = self.shape().to_vec();
        let at = if axis < 0 { axis + dims.len() as isize + 1 } else { axis };
        if at < 0 || at > dims.len() as isize {
            return self
                .graph
                .refuse(format!("expand_dims: there is no place {axis} for an axis in {}", self.ty()));
        }
        dims.insert(at as usize, 1);
        self.reshape(dims)
    }

    /// Without an axis of extent 1.
    #[track_caller]
    pub fn squeeze(self, axis: isize) -> Value<'g> {
        let Some(axis) = self.axis("squeeze", axis) else { return self.spoiled() };
        let mut dims = self.shape().to_vec();
        if dims.remove(axis) != 1 {
            return self.graph.refuse(format!("squeeze: axis {axis} of {} is not of extent 1", self.ty()));
        }
        self.reshape(dims)
    }

    /// Axes in another order: axis i of the result is axis `permutation[i]`.
    #[track_caller]
    pub fn transpose(self, permutation: &[usize]) -> Value<'g> {
        self.graph.apply("transpose", op::Transpose { permutation: permutation.to_vec() }.into(), &[self])
    }

    /// The last two axes exchanged; a vector or scalar stays.
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
    pub fn slice(self, axis: isize, range: std::ops::Range<usize>) -> Value<'g> {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th of the positions `range` along an axis.
    #[track_caller]
    pub fn slice_step(self, axis: isize, range: std::ops::Range<usize>, step: usize) -> Value<'g> {
        let Some(axis) = self.axis("slice", axis) else { return self.spoiled() };
        let shape = self.shape();
        let mut slice =
            op::Slice { start: vec![0; shape.rank()], limit: shape.to_vec(), step: vec![1; shape.rank()] };
        (slice.start[axis], slice.limit[axis], slice.step[axis]) = (range.start, range.end, step);
        self.graph.apply("slice", slice.into(), &[self])
    }

    /// `low` and `high` elements of `value` before and after, along each axis.
    #[track_caller]
    pub fn pad(self, low: &[usize], high: &[usize], value: f64) -> Value<'g> {
        let value = self.number(Scalar::F64(value));
        let pad = op::Pad { low: low.to_vec(), high: high.to_vec(), inner: vec![0; low.len()] };
        self.graph.apply("pad", pad.into(), &[self, value])
    }

    /// Axes run backwards.
    #[track_caller]
    pub fn reverse(self, axes: &[isize]) -> Value<'g> {
        let Some(axes) = self.axes("reverse", axes) else { return self.spoiled() };
        self.graph.apply("reverse", op::Reverse { axes }.into(), &[self])
    }

    /// Others behind it along an axis.
    #[track_caller]
    pub fn concatenate(self, others: &[Value<'g>], axis: isize) -> Value<'g> {
        let Some(axis) = self.axis("concatenate", axis) else { return self.spoiled() };
        let all: Vec<Value<'g>> = [self].iter().chain(others).copied().collect();
        self.graph.apply("concatenate", op::Concatenate { axis }.into(), &all)
    }

    /// Rows looked up by index: `self` is a table [rows,width…], the result has the indices' shape before the width.
    #[track_caller]
    pub fn lookup(self, indices: Value<'g>) -> Value<'g> {
        self.graph.apply("lookup", op::Gather { axis: 0, batch: 0 }.into(), &[self, indices])
    }

    /// Positions looked up by index along an axis: indices [n…] put n… in the axis' place.
    #[track_caller]
    pub fn gather(self, indices: Value<'g>, axis: isize) -> Value<'g> {
        let Some(axis) = self.axis("gather", axis) else { return self.spoiled() };
        self.graph.apply("gather", op::Gather { axis, batch: 0 }.into(), &[self, indices])
    }

    /// The element of each row that an integer label points to: `self` is `[rows,classes]`, `labels` is `[rows]`.
    #[track_caller]
    pub fn pick(self, labels: Value<'g>) -> Value<'g> {
        self.graph.apply("pick", op::Gather { axis: 1, batch: 1 }.into(), &[self, labels])
    }

    /// Integer labels as rows of zeros with a one, of an element type.
    #[track_caller]
    pub fn one_hot(self, classes: usize, dtype: DType) -> Value<'g> {
        let labels = self.ty();
        if self.id.is_some() && !labels.dtype.is_int() {
            return self.graph.refuse(format!("one_hot: expected integer labels, got {labels}"));
        }
        let dims = [&labels.shape[..], &[classes]].concat();
        let Some(shape) = self.graph.shape("one_hot", dims) else { return self.spoiled() };
        let axis = labels.rank();
        let positions =
            self.graph.apply("one_hot", op::Iota { ty: Type::new(labels.dtype, shape), axis }.into(), &[]);
        self.expand_dims(-1).eq(positions).convert(dtype)
    }
}
