//! Handles of values, and what is done element by element.

use bespoke_graph::{
    NodeId,
    op::{self, Binary, Unary},
};
use bespoke_tensor::{DType, Scalar, Shape, Type};

use crate::{Dims, Graph};

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
                like.number(Scalar::from(self))
            }
        }
    )*};
}

numbers!(f32, f64, i32, i64);

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
        operators!(@number $name $method $function i32);
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

operators!(Add add Add, Sub sub Sub, Mul mul Mul, Div div Div, Rem rem Rem);

/// `%7: f32[4,3]`.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.id {
            Some(id) => write!(f, "{id}: {}", self.ty()),
            None => f.write_str("nothing: a mistake came before"),
        }
    }
}

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

    /// A value that spoils what uses it.
    pub(crate) fn spoiled(self) -> Value<'g> {
        Value { id: None, ..self }
    }

    /// A number of the same element type. One that the type does not have is a mistake, for it is never meant.
    #[track_caller]
    pub(crate) fn number(self, number: Scalar) -> Value<'g> {
        if self.id.is_none() {
            return self;
        }
        let dtype = self.ty().dtype;
        let converted = number.convert(dtype);
        if !dtype.is_float() && converted.to_f64() != number.to_f64() {
            let hint = "convert the value to floats first";
            return self
                .graph
                .refuse(format!("{number} is not a value of {dtype}, which {} holds; {hint}", self.ty()));
        }
        self.graph.constant(converted)
    }

    #[track_caller]
    fn pair(self, what: &str, f: Binary, other: impl Operand<'g>) -> Value<'g> {
        let other = other.value(self);
        let (x, y) = (self, other);
        if x.id.is_none() || y.id.is_none() {
            return self.spoiled();
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
    pub fn broadcast_to(self, shape: impl Dims) -> Value<'g> {
        let Some(shape) = self.graph.shape("broadcast", shape) else { return self.spoiled() };
        let from = self.shape();
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
        let squeezed = self.reshape(dims);
        let axes = kept.iter().map(|a| a + offset).collect();
        if squeezed.shape() == shape {
            return squeezed;
        }
        self.graph.apply("broadcast", op::Broadcast { shape, axes }.into(), &[squeezed])
    }

    /// Limited to an interval.
    #[track_caller]
    pub fn clamp(self, low: f64, high: f64) -> Value<'g> {
        self.maximum(low).minimum(high)
    }

    /// `if self { x } else { y }`, element by element; self is bool.
    #[track_caller]
    pub fn select(self, x: Value<'g>, y: impl Operand<'g>) -> Value<'g> {
        let y = y.value(x);
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
pub(crate) fn common_shape(a: Shape, b: Shape) -> Option<Shape> {
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
