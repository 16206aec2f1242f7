//! Functions of two values, a row each. Adding one is adding a row to the table.

use bespoke_loops::{BinaryFn, ExprId, Exprs, math};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Operator, Unary, operands, sum_of};
use crate::{Graph, NodeId, attributes::Reader};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Domain {
    /// Floats.
    Float,
    /// All numbers.
    Number,
    /// Bool and integers.
    Bits,
    /// Integers.
    Int,
    /// u32.
    Word,
    /// Numbers (and bool, for equality), and the result is bool.
    Comparison,
}

/// The loop expression of a row.
type Define2 = fn(&mut Exprs, ExprId, ExprId) -> ExprId;
/// The cotangents of x and y from the graph, x, y, f(x, y) and the cotangent of f(x, y).
type Derivative = fn(&mut Graph, NodeId, NodeId, NodeId, NodeId) -> [NodeId; 2];

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $domain:ident, $float:expr, $int:expr, $define:expr, $vjp:expr;)*) => {
        /// A function of two values, applied to each pair of elements.
        ///
        /// Constraints: two operands of one type that the function takes; the result has their type (bool for comparisons).
        ///
        /// Example: `%2 = add %0, %1 : f32[128,256]`
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Binary { $($(#[doc = $doc])+ $variant,)* }

        impl Binary {
            /// All functions, in the order of the table.
            pub const ALL: &[Binary] = &[$(Binary::$variant),*];

            /// The function's name.
            pub const fn text(self) -> &'static str {
                match self { $(Binary::$variant => $name),* }
            }

            /// The formula of the operator reference.
            pub const fn doc(self) -> &'static str {
                match self { $(Binary::$variant => concat!($($doc),+)),* }
            }

            const fn domain(self) -> Domain {
                match self { $(Binary::$variant => Domain::$domain),* }
            }

            fn float(self) -> fn(f64, f64) -> f64 {
                match self { $(Binary::$variant => $float),* }
            }

            fn int(self) -> fn(i64, i64) -> i64 {
                match self { $(Binary::$variant => $int),* }
            }

            fn expr(self) -> Define2 {
                match self { $(Binary::$variant => $define),* }
            }

            fn derivative(self) -> Option<Derivative> {
                match self { $(Binary::$variant => $vjp),* }
            }
        }
    };
}

const fn none(_: f64, _: f64) -> f64 {
    f64::NAN // of functions that take no floats
}

const fn none_int(_: i64, _: i64) -> i64 {
    0 // of functions that take no integers
}

// Columns: variant, name, domain; value in f64; value in i64 (then wrapped); loop expression; cotangents of x and y given
// (graph, x, y, f(x, y), cotangent).
table! {
    /// x + y; integers wrap.
    Add "add" Number, |x, y| x + y, i64::wrapping_add, |e, x, y| e.binary(BinaryFn::Add, x, y), Some(|_, _, _, _, c| [c, c]);
    /// x − y; integers wrap.
    Sub "sub" Number, |x, y| x - y, i64::wrapping_sub, |e, x, y| e.binary(BinaryFn::Sub, x, y), Some(|g, _, _, _, c| [c, g.negate(c)]);
    /// x · y; integers wrap.
    Mul "mul" Number, |x, y| x * y, i64::wrapping_mul, |e, x, y| e.binary(BinaryFn::Mul, x, y),
        Some(|g, x, y, _, c| [g.times(c, y), g.times(c, x)]);
    /// x / y; integers truncate, x / 0 = 0, MIN / −1 = MIN.
    Div "div" Number, |x, y| x / y, |x, y| if y == 0 { 0 } else { x.wrapping_div(y) }, |e, x, y| e.binary(BinaryFn::Div, x, y),
        Some(|g, _, y, z, c| {
            let dx = g.over(c, y);
            let product = g.times(dx, z);
            [dx, g.negate(product)]
        });
    /// The remainder of x / y with the sign of x (C's fmod); integers: x rem 0 = x. The derivative by y is −trunc(x / y).
    Rem "rem" Number, |x, y| x % y, |x, y| if y == 0 { x } else { x.wrapping_rem(y) }, |e, x, y| e.binary(BinaryFn::Rem, x, y),
        Some(|g, x, y, z, c| {
            let whole = g.minus(x, z);
            let quotient = g.over(whole, y);
            let turns = g.unary(Unary::Round, quotient);
            let product = g.times(c, turns);
            [c, g.negate(product)]
        });
    /// x to the power y, C99's special cases. The derivative by x is 0 where y is 0, that by y where x is 0 and y at least 0.
    Pow "pow" Float, f64::powf, none_int, math::pow, Some(|g, x, y, z, c| {
        let slopes = [slope_of_base(g, x, y), slope_of_exponent(g, x, y, z)];
        slopes.map(|slope| g.times(c, slope))
    });
    /// The lesser; NaN if either is. Equal values are the first, and their cotangent goes to the second.
    Min "min" Number, |x, y| if y < x || y.is_nan() { y } else { x }, |x, y| x.min(y), |e, x, y| e.binary(BinaryFn::Min, x, y),
        Some(|g, x, y, _, c| share(g, Binary::Lt, x, y, c));
    /// The greater; NaN if either is. Equal values are the first, and their cotangent goes to the second.
    Max "max" Number, |x, y| if y > x || y.is_nan() { y } else { x }, |x, y| x.max(y), |e, x, y| e.binary(BinaryFn::Max, x, y),
        Some(|g, x, y, _, c| share(g, Binary::Gt, x, y, c));
    /// atan2(x, y): the angle of the point with ordinate x and abscissa y, within ±π.
    Atan2 "atan2" Float, f64::atan2, none_int, math::atan2, Some(|g, x, y, _, c| {
        let (xx, yy) = (g.times(x, x), g.times(y, y));
        let square = g.plus(xx, yy);
        let scaled = g.over(c, square);
        let dx = g.times(scaled, y);
        let product = g.times(scaled, x);
        [dx, g.negate(product)]
    });
    /// x = y, as bool.
    Eq "eq" Comparison, |x, y| f64::from(x == y), |x, y| i64::from(x == y), |e, x, y| e.binary(BinaryFn::Eq, x, y), None;
    /// x ≠ y, as bool; true of NaN.
    Ne "ne" Comparison, |x, y| f64::from(x != y), |x, y| i64::from(x != y), |e, x, y| e.binary(BinaryFn::Ne, x, y), None;
    /// x < y, as bool.
    Lt "lt" Comparison, |x, y| f64::from(x < y), |x, y| i64::from(x < y), |e, x, y| e.binary(BinaryFn::Lt, x, y), None;
    /// x ≤ y, as bool.
    Le "le" Comparison, |x, y| f64::from(x <= y), |x, y| i64::from(x <= y), |e, x, y| e.binary(BinaryFn::Le, x, y), None;
    /// x > y, as bool.
    Gt "gt" Comparison, |x, y| f64::from(x > y), |x, y| i64::from(x > y), |e, x, y| e.binary(BinaryFn::Gt, x, y), None;
    /// x ≥ y, as bool.
    Ge "ge" Comparison, |x, y| f64::from(x >= y), |x, y| i64::from(x >= y), |e, x, y| e.binary(BinaryFn::Ge, x, y), None;
    /// Logical or bitwise and.
    And "and" Bits, none, |x, y| x & y, |e, x, y| e.binary(BinaryFn::And, x, y), None;
    /// Logical or bitwise or.
    Or "or" Bits, none, |x, y| x | y, |e, x, y| e.binary(BinaryFn::Or, x, y), None;
    /// Logical or bitwise exclusive or.
    Xor "xor" Bits, none, |x, y| x ^ y, |e, x, y| e.binary(BinaryFn::Xor, x, y), None;
    /// x shifted left by y modulo the width.
    Shl "shl" Int, none, |x, y| x.wrapping_shl(y as u32), |e, x, y| e.binary(BinaryFn::Shl, x, y), None;
    /// x shifted right by y modulo the width; arithmetic for signed types.
    Shr "shr" Int, none, |x, y| x.wrapping_shr(y as u32), |e, x, y| e.binary(BinaryFn::Shr, x, y), None;
    /// The upper half of the double-width product.
    MulHigh "mulhigh" Word, none, |x, y| ((x as u64 * y as u64) >> 32) as i64, |e, x, y| e.binary(BinaryFn::MulHigh, x, y), None;
}

/// y·x^(y−1), without 0·∞ where both are 0: powers with whole constant exponents have all derivatives there.
fn slope_of_base(graph: &mut Graph, x: NodeId, y: NodeId) -> NodeId {
    let (base, less) = match graph.number(y) {
        Some(0.0) => return graph.fill_like(x, 0.0),
        Some(exponent) => (x, graph.fill_like(y, exponent - 1.0)),
        None => {
            let (one, zero) = (graph.fill_like(y, 1.0), graph.fill_like(x, 0.0));
            let flat = [x, y].map(|v| graph.binary(Binary::Eq, v, zero));
            let flat = graph.binary(Binary::And, flat[0], flat[1]);
            (graph.select(flat, one, x), graph.minus(y, one))
        }
    };
    let power = graph.binary(Binary::Pow, base, less);
    graph.times(y, power)
}

/// xʸ·ln x, without 0·∞ where x is 0 and y at least 0.
fn slope_of_exponent(graph: &mut Graph, x: NodeId, y: NodeId, power: NodeId) -> NodeId {
    let (one, zero) = (graph.fill_like(y, 1.0), graph.fill_like(x, 0.0));
    let at_zero = graph.binary(Binary::Eq, x, zero);
    let flat = graph.binary(Binary::Ge, y, zero);
    let flat = graph.binary(Binary::And, at_zero, flat);
    let base = graph.select(flat, one, x);
    let log = graph.unary(Unary::Log, base);
    graph.times(power, log)
}

/// The cotangents of an extremum: all to x where `wins(x, y)`, else all to y.
fn share(g: &mut Graph, wins: Binary, x: NodeId, y: NodeId, c: NodeId) -> [NodeId; 2] {
    let (first, zero) = (g.binary(wins, x, y), g.fill_like(c, 0.0));
    [g.select(first, c, zero), g.select(first, zero, c)]
}

impl Binary {
    /// Does it take elements of this type?
    pub fn takes(self, dtype: DType) -> bool {
        match self.domain() {
            Domain::Float => dtype.is_float(),
            Domain::Number => dtype != DType::Bool,
            Domain::Bits => !dtype.is_float(),
            Domain::Int => dtype.is_int(),
            Domain::Word => dtype == DType::U32,
            Domain::Comparison => dtype != DType::Bool || matches!(self, Binary::Eq | Binary::Ne),
        }
    }

    /// Is the result a bool?
    pub fn is_comparison(self) -> bool {
        self.domain() == Domain::Comparison
    }

    /// Has it a derivative that is not zero everywhere?
    pub fn is_differentiable(self) -> bool {
        self.derivative().is_some()
    }

    /// The value at x and y, of one type that it takes.
    pub fn apply(self, x: Scalar, y: Scalar) -> Scalar {
        let dtype = x.dtype();
        if dtype.is_float() {
            let value = self.float()(x.to_f64(), y.to_f64());
            return if self.is_comparison() { Scalar::Bool(value != 0.0) } else { Scalar::from_f64(dtype, value) };
        }
        let (a, b) = (x.to_i64().expect("not a float"), y.to_i64().expect("not a float"));
        let b = if self.domain() == Domain::Int { b & (dtype.size() as i64 * 8 - 1) } else { b };
        let value = self.int()(a, b);
        if self.is_comparison() { Scalar::Bool(value != 0) } else { Scalar::I64(value).convert(dtype) }
    }

    pub(super) fn names() -> Vec<&'static str> {
        Binary::ALL.iter().map(|b| b.text()).collect()
    }

    pub(super) fn read(name: &str, _: &mut Reader, _: Type) -> Option<Result<Binary, String>> {
        Binary::ALL.iter().find(|b| b.text() == name).map(|&b| Ok(b))
    }
}

impl Operator for Binary {
    fn name(&self) -> &'static str {
        self.text()
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x, y] = operands(inputs)?;
        if x != y {
            return Err(format!("expected two operands of one type, got {x} and {y}"));
        }
        if !self.takes(x.dtype) {
            let wanted = match self.domain() {
                Domain::Float => "floats",
                Domain::Number | Domain::Comparison => "numbers",
                Domain::Bits => "bool or integers",
                Domain::Int => "integers",
                Domain::Word => "u32",
            };
            return Err(format!("expected {wanted}, got {x}"));
        }
        Ok(if self.is_comparison() { Type::new(DType::Bool, x.shape) } else { x })
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        Tensor::from_fn(ty, |i| self.apply(inputs[0].get(i), inputs[1].get(i)))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let (x, y) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        match self.derivative() {
            Some(f) => f(graph, x, y, node, cotangent).map(Some).to_vec(),
            None => vec![None, None],
        }
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let (x, y) = (graph.node(node).inputs[0], graph.node(node).inputs[1]);
        let f = self.derivative()?;
        // The row's derivative is a factor for each element: the same to either side.
        let left = tangents[0].map(|t| f(graph, x, y, node, t)[0]);
        let right = tangents[1].map(|t| f(graph, x, y, node, t)[1]);
        sum_of(graph, left, right)
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let (x, y) = (definer.operand(0, index), definer.operand(1, index));
        self.expr()(definer.exprs(), x, y)
    }
}
