//! Shorthand for building graphs inside the compiler, where a type mistake is a broken invariant and panics.
//! Users build graphs with [`Graph::add`] or the layers of `nn`, which return errors.

use bespoke_loops::Combine;
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use crate::{Graph, NodeId, Op, op};

impl Graph {
    /// [`Graph::add`] of what is known to be well typed.
    ///
    /// # Panics
    /// If it is not.
    pub fn must(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> NodeId {
        match self.add(op, inputs) {
            Ok(id) => id,
            Err(error) => panic!("{error}\nin {self}"),
        }
    }

    /// A function of one value.
    pub fn unary(&mut self, function: op::Unary, x: NodeId) -> NodeId {
        self.must(function, &[x])
    }

    /// A function of two values of one type.
    pub fn binary(&mut self, function: op::Binary, x: NodeId, y: NodeId) -> NodeId {
        self.must(function, &[x, y])
    }

    /// x + y.
    pub fn plus(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.binary(op::Binary::Add, x, y)
    }

    /// x − y.
    pub fn minus(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.binary(op::Binary::Sub, x, y)
    }

    /// x · y, element by element.
    pub fn times(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.binary(op::Binary::Mul, x, y)
    }

    /// x / y, element by element.
    pub fn over(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.binary(op::Binary::Div, x, y)
    }

    /// −x.
    pub fn negate(&mut self, x: NodeId) -> NodeId {
        self.unary(op::Unary::Neg, x)
    }

    /// A scalar constant.
    pub fn scalar(&mut self, value: impl Into<Scalar>) -> NodeId {
        self.must(op::Constant { value: Tensor::scalar(value) }, &[])
    }

    /// `value` rounded to `dtype`, broadcast to a type.
    pub fn fill(&mut self, ty: Type, value: f64) -> NodeId {
        let scalar = self.scalar(Scalar::from_f64(ty.dtype, value));
        self.broadcast(scalar, ty.shape, &[])
    }

    /// A constant of the type of `like`.
    pub fn fill_like(&mut self, like: NodeId, value: f64) -> NodeId {
        self.fill(self.ty(like), value)
    }

    /// The number that all elements of `x` are, if it is made as [`Graph::fill`] makes it.
    pub fn number(&self, x: NodeId) -> Option<f64> {
        match &self.node(x).op {
            Op::Constant(constant) if constant.value.ty().rank() == 0 => Some(constant.value.get(0).to_f64()),
            Op::Broadcast(_) => self.number(self.node(x).inputs[0]),
            _ => None,
        }
    }

    /// `x` with its axes placed at `axes` of `shape`; itself if nothing changes.
    pub fn broadcast(&mut self, x: NodeId, shape: Shape, axes: &[usize]) -> NodeId {
        if self.ty(x).shape == shape {
            return x;
        }
        self.must(op::Broadcast { shape, axes: axes.to_vec() }, &[x])
    }

    /// `x`, reduced over `axes` before, stretched back to `shape` along them.
    pub fn unreduce(&mut self, x: NodeId, shape: Shape, axes: &[usize]) -> NodeId {
        let kept: Vec<usize> = (0..shape.rank()).filter(|a| !axes.contains(a)).collect();
        self.broadcast(x, shape, &kept)
    }

    /// `x` reduced over `axes`; itself if there are none.
    pub fn reduce(&mut self, combine: Combine, x: NodeId, axes: &[usize]) -> NodeId {
        if axes.is_empty() {
            return x;
        }
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        self.must(op::Reduce { combine, axes }, &[x])
    }

    /// The sum of `x` over `axes`.
    pub fn sum(&mut self, x: NodeId, axes: &[usize]) -> NodeId {
        self.reduce(Combine::Sum, x, axes)
    }

    /// The sum of all elements.
    pub fn sum_all(&mut self, x: NodeId) -> NodeId {
        let axes: Vec<usize> = (0..self.ty(x).rank()).collect();
        self.sum(x, &axes)
    }

    /// `x` under another shape; itself if it has that shape.
    pub fn reshape(&mut self, x: NodeId, shape: Shape) -> NodeId {
        if self.ty(x).shape == shape { x } else { self.must(op::Reshape { shape }, &[x]) }
    }

    /// `x` with axis `permutation[i]` as axis i; itself if nothing moves.
    pub fn transpose(&mut self, x: NodeId, permutation: &[usize]) -> NodeId {
        if permutation.iter().enumerate().all(|(i, &p)| i == p) {
            return x;
        }
        self.must(op::Transpose { permutation: permutation.to_vec() }, &[x])
    }

    /// `x` converted to an element type; itself if it has that type.
    pub fn convert(&mut self, x: NodeId, dtype: DType) -> NodeId {
        if self.ty(x).dtype == dtype { x } else { self.must(op::Convert { dtype }, &[x]) }
    }

    /// `if condition { x } else { y }`, element by element.
    pub fn select(&mut self, condition: NodeId, x: NodeId, y: NodeId) -> NodeId {
        self.must(op::Select, &[condition, x, y])
    }

    /// The matrix product of rank-2 operands.
    pub fn matmul(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.must(op::Dot::matmul(), &[x, y])
    }
}
