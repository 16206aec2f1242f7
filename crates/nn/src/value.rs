//! Handles of values: element by element, reductions, and products.

use bespoke_graph::{
    NodeId,
    op::{self, ArgReduce, Binary, Dot, Extremum, Reduce, Unary},
};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Scalar, Shape, Type};

use crate::Graph;

/// A value of a graph: a `Copy` handle. A handle that came of a mistake spoils what is made of it, silently: the first
/// mistake is reported by [`Graph::finish`].
#[derive(Clone, Copy)]
pub struct Value<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) id: Option<NodeId>,
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident $function:ident;)*) => {
        /// Functions of each element.
        impl<'g> Value<'g> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(self) -> Value<'g> {
                self.graph.apply(stringify!($name), Unary::$function.into(), &[self])
            })*
        }
    };
}

unary! {
    /// |x|.
    abs Abs;
    /// −1, 0 or 1.
    sign Sign;
    /// The largest integer not above.
    floor Floor;
    /// The smallest integer not below.
    ceil Ceil;
    /// The nearest integer, ties to even.
    round Round;
    /// eˣ.
    exp Exp;
    /// eˣ − 1.
    expm1 Expm1;
    /// The natural logarithm.
    log Log;
    /// ln(1 + x).
    log1p Log1p;
    /// √x.
    sqrt Sqrt;
    /// 1/√x.
    rsqrt Rsqrt;
    /// The sine.
    sin Sin;
    /// The cosine.
    cos Cos;
    /// The tangent.
    tan Tan;
    /// The arc sine.
    asin Asin;
    /// The arc cosine.
    acos Acos;
    /// The arc tangent.
    atan Atan;
    /// The hyperbolic sine.
    sinh Sinh;
    /// The hyperbolic cosine.
    cosh Cosh;
    /// The hyperbolic tangent.
    tanh Tanh;
    /// 1/(1 + e⁻ˣ).
    sigmoid Sigmoid;
    /// ln(1 + eˣ).
    softplus Softplus;
    /// The error function.
    erf Erf;
    /// Not, of bool or integer bits.
    logical_not Not;
    /// Is it not a number?
    is_nan IsNan;
    /// Is it neither infinite nor NaN?
    is_finite IsFinite;
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident $function:ident;)*) => {
        /// Functions of two values, broadcast to a common shape as numpy does.
        impl<'g> Value<'g> {
            $($(#[$doc])*
            #[track_caller]
            pub fn $name(self, other: impl Operand<'g>) -> Value<'g> {
                self.pair(stringify!($name), Binary::$function, other)
            })*
        }
    };
}

binary! {
    /// The remainder with the sign of the first.
    rem Rem;
    /// The first to the power of the second.
    pow Pow;
    /// The greater.
    maximum Max;
    /// The lesser.
    minimum Min;
    /// The angle of the point (other, self).
    atan2 Atan2;
    /// Equal?
    eq Eq;
    /// Unequal?
    ne Ne;
    /// Less?
    lt Lt;
    /// Less or equal?
    le Le;
    /// Greater?
    gt Gt;
    /// Greater or equal?
    ge Ge;
    /// And, of bool or integer bits.
    logical_and And;
    /// Or, of bool or integer bits.
    logical_or Or;
    /// Exclusive or, of bool or integer bits.
    logical_xor Xor;
}

/// What a binary function takes as second operand: a value, or a number of the first's element type.
pub trait Operand<'g> {
    /// As a value; a number takes the type of elements of `like`.
    #[doc(hidden)]
    fn value(self, like: Value<'g>) -> Value<'g>;
}

impl<'g> Operand<'g> for Value<'g> {
    fn value(self, _: Value<'g>) -> Value<'g> {
        self
    }
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl<'g> Operand<'g> for $ty {
            #[track_caller]
            fn value(self, like: Value<'g>) -> Value<'g> {
                if like.id.is_none() {
                    return like;
                }
                like.graph.constant(Scalar::from(self).convert(like.ty().dtype))
            }
        }
    )*};
}

numbers!(f32, f64, i32);

macro_rules! operators {
    ($($name:ident $method:ident $function:ident),*) => {$(
        impl<'g, T: Operand<'g>> std::ops::$name<T> for Value<'g> {
            type Output = Value<'g>;
            #[track_caller]
            fn $method(self, other: T) -> Value<'g> {
                self.pair(stringify!($method), Binary::$function, other)
            }
        }
        operators!(@number $name $method $function f64);
    )*};
    (@number $name:ident $method:ident $function:ident $ty:ty) => {
        impl<'g> std::ops::$name<Value<'g>> for $ty {
            type Output = Value<'g>;
            #[track_caller]
            fn $method(self, other: Value<'g>) -> Value<'g> {
                Operand::value(self, other).pair(stringify!($method), Binary::$function, other)
            }
        }
    };
}

operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div);

impl<'g> std::ops::Neg for Value<'g> {
    type Output = Value<'g>;
    #[track_caller]
    fn neg(self) -> Value<'g> {
        self.graph.apply("neg", Unary::Neg.into(), &[self])
    }
}

impl<'g> Value<'g> {
    /// Element type and shape; that of an f32 scalar for a value that came of a mistake.
    pub fn ty(self) -> Type {
        self.id.map_or(Type::scalar(DType::F32), |id| self.graph.inner.borrow().graph.ty(id))
    }

    /// The shape.
    pub fn shape(self) -> Shape {
        self.ty().shape
    }

    /// The node in the compiler's graph; none for a value that came of a mistake.
    pub fn node(self) -> Option<NodeId> {
        self.id
    }

    /// The graph that it is of.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    #[track_caller]
    fn pair(self, what: &str, f: Binary, other: impl Operand<'g>) -> Value<'g> {
        let other = other.value(self);
        let (x, y) = (self, other);
        if x.id.is_none() || y.id.is_none() {
            return Value { id: None, ..self };
        }
        let Some(shape) = common_shape(x.shape(), y.shape()) else {
            return self.graph.refuse(format!(
                "{what}: {} and {} do not broadcast to a common shape",
                x.ty(),
                y.ty()
            ));
        };
        let (x, y) = (x.broadcast_to(shape), y.broadcast_to(shape));
        self.graph.apply(what, f.into(), &[x, y])
    }

    /// Repeated to a shape by numpy's rules: trailing axes are matched, missing ones and those of extent 1 are repeated.
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Value<'g> {
        let (from, shape) = (self.shape(), shape.into());
        if self.id.is_none() || from == shape {
            return self;
        }
        let Some(offset) = shape
            .rank()
            .checked_sub(from.rank())
            .filter(|&o| (0..from.rank()).all(|a| from[a] == shape[a + o] || from[a] == 1))
        else {
            return self.graph.refuse(format!("broadcast: {} does not broadcast to {shape}", self.ty()));
        };
        let kept: Vec<usize> = (0..from.rank()).filter(|&a| from[a] == shape[a + offset]).collect();
        let dims: Vec<usize> = kept.iter().map(|&a| from[a]).collect();
        let squeezed = self.reshape_to(&dims);
        let axes = kept.iter().map(|a| a + offset).collect();
        if squeezed.shape() == shape {
            return squeezed;
        }
        self.graph.apply("broadcast", op::Broadcast { shape, axes }.into(), &[squeezed])
    }

    #[track_caller]
    pub(crate) fn reshape_to(self, dims: &[usize]) -> Value<'g> {
        if self.id.is_none() || self.shape()[..] == *dims {
            return self;
        }
        match Shape::new(dims) {
            Ok(shape) => self.graph.apply("reshape", op::Reshape { shape }.into(), &[self]),
            Err(error) => self.graph.refuse(format!("reshape: {error}")),
        }
    }

    /// Axes counted from the end if negative.
    #[track_caller]
    fn axes(self, what: &str, axes: &[isize]) -> Option<Vec<usize>> {
        let rank = self.shape().rank() as isize;
        let mut resolved = vec![];
        for &a in axes {
            if a < -rank || a >= rank {
                self.graph.refuse(format!("{what}: axis {a} is out of range for {}", self.ty()));
                return None;
            }
            resolved.push(if a < 0 { a + rank } else { a } as usize);
        }
        resolved.sort_unstable();
        Some(resolved)
    }

    #[track_caller]
    fn reduce(self, what: &str, combine: Combine, axes: &[isize]) -> Value<'g> {
        if self.id.is_none() {
            return self;
        }
        match self.axes(what, axes) {
            Some(axes) if axes.is_empty() => self,
            Some(axes) => self.graph.apply(what, Reduce { combine, axes }.into(), &[self]),
            None => Value { id: None, ..self },
        }
    }

    fn all_axes(self) -> Vec<isize> {
        (0..self.shape().rank() as isize).collect()
    }

    /// The sum of all elements.
    #[track_caller]
    pub fn sum(self) -> Value<'g> {
        self.sum_axes(&self.all_axes())
    }

    /// The sum over axes, which vanish; negative ones count from the end.
    #[track_caller]
    pub fn sum_axes(self, axes: &[isize]) -> Value<'g> {
        self.reduce("sum", Combine::Sum, axes)
    }

    /// The mean of all elements.
    #[track_caller]
    pub fn mean(self) -> Value<'g> {
        let mean = self.mean_axes(&self.all_axes());
        if let (Some(mean), Some(of)) = (mean.id, self.id) {
            self.graph.inner.borrow_mut().means.insert(mean, of);
        }
        mean
    }

    /// The mean over axes, which vanish.
    #[track_caller]
    pub fn mean_axes(self, axes: &[isize]) -> Value<'g> {
        let sum = self.sum_axes(axes);
        let count = self.shape().elements() as f64 / sum.shape().elements().max(1) as f64;
        sum * (1.0 / count)
    }

    /// The product over axes, which vanish.
    #[track_caller]
    pub fn product_axes(self, axes: &[isize]) -> Value<'g> {
        self.reduce("product", Combine::Product, axes)
    }

    /// The maximum over axes, which vanish.
    #[track_caller]
    pub fn max_axes(self, axes: &[isize]) -> Value<'g> {
        self.reduce("max", Combine::Max, axes)
    }

    /// The minimum over axes, which vanish.
    #[track_caller]
    pub fn min_axes(self, axes: &[isize]) -> Value<'g> {
        self.reduce("min", Combine::Min, axes)
    }

    /// Is any element true, over axes, which vanish?
    #[track_caller]
    pub fn any_axes(self, axes: &[isize]) -> Value<'g> {
        self.reduce("any", Combine::Any, axes)
    }

    /// Are all elements true, over axes, which vanish?
    #[track_caller]
    pub fn all_axes_true(self, axes: &[isize]) -> Value<'g> {
        self.reduce("all", Combine::All, axes)
    }

    /// The position of the first maximum along an axis.
    #[track_caller]
    pub fn argmax(self, axis: isize) -> Value<'g> {
        self.arg_reduce("argmax", Extremum::Max, axis)
    }

    /// The position of the first minimum along an axis.
    #[track_caller]
    pub fn argmin(self, axis: isize) -> Value<'g> {
        self.arg_reduce("argmin", Extremum::Min, axis)
    }

    #[track_caller]
    fn arg_reduce(self, what: &str, extremum: Extremum, axis: isize) -> Value<'g> {
        match self.axes(what, &[axis]) {
            Some(axes) => self.graph.apply(what, ArgReduce { extremum, axis: axes[0] }.into(), &[self]),
            None => Value { id: None, ..self },
        }
    }

    /// Put back axes of extent 1 where a reduction of `like` over `axes` took them.
    #[track_caller]
    pub fn expand_like(self, like: Value<'g>, axes: &[isize]) -> Value<'g> {
        let Some(axes) = like.axes("expand", axes) else { return Value { id: None, ..self } };
        let dims: Vec<usize> =
            like.shape().iter().enumerate().map(|(a, &d)| if axes.contains(&a) { 1 } else { d }).collect();
        self.reshape_to(&dims)
    }

    /// The matrix product of the last two axes; axes before are batches, broadcast as numpy does. A vector on the right
    /// is a column, on the left a row.
    #[track_caller]
    pub fn matmul(self, other: Value<'g>) -> Value<'g> {
        let (a, b) = (self.shape(), other.shape());
        if self.id.is_none() || other.id.is_none() {
            return Value { id: None, ..self };
        }
        if a.rank() == 0 || b.rank() == 0 {
            return self.graph.refuse(format!(
                "matmul: expected matrices, got {} and {}",
                self.ty(),
                other.ty()
            ));
        }
        let (ka, kb) = (a.rank() - 1, b.rank().saturating_sub(2));
        if a.rank() <= 2 && b.rank() <= 2 {
            let dot = Dot { batch: (vec![], vec![]), contract: (vec![ka], vec![kb]) };
            return self.graph.apply("matmul", dot.into(), &[self, other]);
        }
        let batch_of = |s: Shape| s[..s.rank().saturating_sub(2)].to_vec();
        let batches = Shape::new(&batch_of(a)).ok().zip(Shape::new(&batch_of(b)).ok());
        let Some(batch) =
            batches.and_then(|(x, y)| common_shape(x, y)).filter(|_| a.rank() >= 2 && b.rank() >= 2)
        else {
            return self.graph.refuse(format!(
                "matmul: the batches of {} and {} do not broadcast",
                self.ty(),
                other.ty()
            ));
        };
        let whole = |s: Shape| Shape::new(&[&batch[..], &s[s.rank() - 2..]].concat());
        let (Ok(wa), Ok(wb)) = (whole(a), whole(b)) else {
            return self.graph.refuse(format!(
                "matmul: {} and {} make too large a product",
                self.ty(),
                other.ty()
            ));
        };
        let n = batch.rank();
        let dims: Vec<usize> = (0..n).collect();
        let dot = Dot { batch: (dims.clone(), dims), contract: (vec![n + 1], vec![n]) };
        let (x, y) = (self.broadcast_to(wa), other.broadcast_to(wb));
        self.graph.apply("matmul", dot.into(), &[x, y])
    }

    /// Limited to an interval.
    #[track_caller]
    pub fn clamp(self, low: f64, high: f64) -> Value<'g> {
        self.maximum(low).minimum(high)
    }

    /// `if self { x } else { y }`, element by element; self is bool.
    #[track_caller]
    pub fn select(self, x: Value<'g>, y: Value<'g>) -> Value<'g> {
        let shapes = common_shape(x.shape(), y.shape()).and_then(|s| common_shape(s, self.shape()));
        let Some(shape) = shapes else {
            let message = format!(
                "select: {}, {} and {} do not broadcast to a common shape",
                self.ty(),
                x.ty(),
                y.ty()
            );
            return self.graph.refuse(message);
        };
        let operands = [self.broadcast_to(shape), x.broadcast_to(shape), y.broadcast_to(shape)];
        self.graph.apply("select", op::Select.into(), &operands)
    }

    /// Converted to another element type.
    #[track_caller]
    pub fn convert(self, dtype: DType) -> Value<'g> {
        if self.ty().dtype == dtype {
            self
        } else {
            self.graph.apply("convert", op::Convert { dtype }.into(), &[self])
        }
    }

    /// Itself, as a constant for derivatives.
    #[track_caller]
    pub fn stop_gradient(self) -> Value<'g> {
        self.graph.apply("stop_gradient", op::StopGradient.into(), &[self])
    }
}

/// The shape that both broadcast to.
fn common_shape(a: Shape, b: Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let at = |s: Shape, i: usize| (i + s.rank()).checked_sub(rank).map_or(1, |axis| s[axis]);
    let mut dims = vec![];
    for i in 0..rank {
        dims.push(match (at(a, i), at(b, i)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return None,
        });
    }
    Shape::new(&dims).ok()
}
