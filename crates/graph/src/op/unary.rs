//! Functions of one value, a row each. Adding one is adding a row to the table: text form, types, evaluation, derivative
//! and loop expression follow from it.

use bespoke_loops::{BinaryFn, Combine, ExprId, Exprs, UnaryFn, math};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Graph, NodeId, attributes::Reader};

/// What a function takes, and what of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Domain {
    /// Floats.
    Float,
    /// All numbers.
    Number,
    /// Bool and integers.
    Bits,
    /// Floats, and the result is bool.
    Test,
}

/// The loop expression of a row.
type Define1 = fn(&mut Exprs, ExprId) -> ExprId;
/// The cotangent of x from the graph, x, f(x) and the cotangent of f(x).
type Derivative = fn(&mut Graph, NodeId, NodeId, NodeId) -> NodeId;

macro_rules! table {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $domain:ident, $float:expr, $define:expr, $vjp:expr;)*) => {
        /// A function of one value, applied to each element. Floats are evaluated in f64 and rounded once.
        ///
        /// Constraints: one operand, of a type that the function takes; the result has its type (bool for tests).
        ///
        /// Example: `%1 = tanh %0 : f32[128,256]`
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Unary { $($(#[doc = $doc])+ $variant,)* }

        impl Unary {
            /// All functions, in the order of the table.
            pub const ALL: &[Unary] = &[$(Unary::$variant),*];

            /// The function's name.
            pub const fn text(self) -> &'static str {
                match self { $(Unary::$variant => $name),* }
            }

            /// The formula of the operator reference.
            pub const fn doc(self) -> &'static str {
                match self { $(Unary::$variant => concat!($($doc),+)),* }
            }

            const fn domain(self) -> Domain {
                match self { $(Unary::$variant => Domain::$domain),* }
            }

            fn float(self) -> fn(f64) -> f64 {
                match self { $(Unary::$variant => $float),* }
            }

            fn expr(self) -> Define1 {
                match self { $(Unary::$variant => $define),* }
            }

            fn derivative(self) -> Option<Derivative> {
                match self { $(Unary::$variant => $vjp),* }
            }
        }
    };
}

// Columns: variant, name, domain; value in f64; loop expression; cotangent of x given (graph, x, f(x), cotangent).
table! {
    /// −x; integers wrap.
    Neg "neg" Number, |x| -x, |e, x| e.unary(UnaryFn::Neg, x), Some(|g, _, _, c| g.negate(c));
    /// |x|; the derivative at 0 is 0.
    Abs "abs" Number, f64::abs, |e, x| e.unary(UnaryFn::Abs, x), Some(|g, x, _, c| {
        let s = g.unary(Unary::Sign, x);
        g.times(c, s)
    });
    /// −1, 0 or 1; NaN of NaN, and a zero keeps its sign.
    Sign "sign" Number, |x| if x == 0.0 || x.is_nan() { x } else { x.signum() }, define_sign, None;
    /// The largest integer not above x.
    Floor "floor" Float, f64::floor, |e, x| e.unary(UnaryFn::Floor, x), None;
    /// The smallest integer not below x.
    Ceil "ceil" Float, f64::ceil, |e, x| e.unary(UnaryFn::Ceil, x), None;
    /// The nearest integer, ties to even.
    Round "round" Float, f64::round_ties_even, |e, x| e.unary(UnaryFn::Round, x), None;
    /// eˣ.
    Exp "exp" Float, f64::exp, math::exp, Some(|g, _, y, c| g.times(c, y));
    /// eˣ − 1, accurate near 0.
    Expm1 "expm1" Float, f64::exp_m1, math::expm1, Some(|g, x, _, c| {
        let exp = g.unary(Unary::Exp, x);
        g.times(c, exp)
    });
    /// The natural logarithm; NaN below 0, −∞ at 0.
    Log "log" Float, f64::ln, math::log, Some(|g, x, _, c| g.over(c, x));
    /// ln(1 + x), accurate near 0.
    Log1p "log1p" Float, f64::ln_1p, math::log1p, Some(|g, x, _, c| {
        let one = g.fill_like(x, 1.0);
        let above = g.plus(one, x);
        g.over(c, above)
    });
    /// √x; NaN below 0.
    Sqrt "sqrt" Float, f64::sqrt, |e, x| e.unary(UnaryFn::Sqrt, x), Some(|g, _, y, c| {
        let half = g.fill_like(c, 0.5);
        let scaled = g.times(c, half);
        g.over(scaled, y)
    });
    /// 1/√x.
    Rsqrt "rsqrt" Float, |x| 1.0 / x.sqrt(), math::rsqrt, Some(|g, x, y, c| {
        let half = g.fill_like(c, -0.5);
        let slope = g.over(y, x);
        let scaled = g.times(c, half);
        g.times(scaled, slope)
    });
    /// The sine of x radians.
    Sin "sin" Float, f64::sin, math::sin, Some(|g, x, _, c| {
        let cos = g.unary(Unary::Cos, x);
        g.times(c, cos)
    });
    /// The cosine of x radians.
    Cos "cos" Float, f64::cos, math::cos, Some(|g, x, _, c| {
        let sin = g.unary(Unary::Sin, x);
        let product = g.times(c, sin);
        g.negate(product)
    });
    /// The tangent of x radians.
    Tan "tan" Float, f64::tan, math::tan, Some(|g, _, y, c| {
        let (one, square) = (g.fill_like(y, 1.0), g.times(y, y));
        let slope = g.plus(one, square);
        g.times(c, slope)
    });
    /// The arc sine, within ±π/2; NaN outside [−1, 1].
    Asin "asin" Float, f64::asin, math::asin, Some(|g, x, _, c| {
        let slope = inverse_circle(g, x);
        g.times(c, slope)
    });
    /// The arc cosine, within [0, π]; NaN outside [−1, 1].
    Acos "acos" Float, f64::acos, math::acos, Some(|g, x, _, c| {
        let slope = inverse_circle(g, x);
        let product = g.times(c, slope);
        g.negate(product)
    });
    /// The arc tangent, within ±π/2.
    Atan "atan" Float, f64::atan, math::atan, Some(|g, x, _, c| {
        let (one, square) = (g.fill_like(x, 1.0), g.times(x, x));
        let below = g.plus(one, square);
        g.over(c, below)
    });
    /// (eˣ − e⁻ˣ)/2.
    Sinh "sinh" Float, f64::sinh, math::sinh, Some(|g, x, _, c| {
        let cosh = g.unary(Unary::Cosh, x);
        g.times(c, cosh)
    });
    /// (eˣ + e⁻ˣ)/2.
    Cosh "cosh" Float, f64::cosh, math::cosh, Some(|g, x, _, c| {
        let sinh = g.unary(Unary::Sinh, x);
        g.times(c, sinh)
    });
    /// The hyperbolic tangent; its derivative is 1 − tanh².
    Tanh "tanh" Float, f64::tanh, math::tanh, Some(|g, _, y, c| {
        let (one, square) = (g.fill_like(y, 1.0), g.times(y, y));
        let slope = g.minus(one, square);
        g.times(c, slope)
    });
    /// The logistic function 1/(1 + e⁻ˣ); its derivative is σ·(1 − σ).
    Sigmoid "sigmoid" Float, logistic, math::sigmoid, Some(|g, _, y, c| {
        let one = g.fill_like(y, 1.0);
        let rest = g.minus(one, y);
        let slope = g.times(y, rest);
        g.times(c, slope)
    });
    /// ln(1 + eˣ), without overflow; its derivative is the logistic function.
    Softplus "softplus" Float, |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), math::softplus, Some(|g, x, _, c| {
        let slope = g.unary(Unary::Sigmoid, x);
        g.times(c, slope)
    });
    /// The error function 2/√π · ∫₀ˣ e^(−t²) dt.
    Erf "erf" Float, libm::erf, math::erf, Some(|g, x, _, c| {
        let square = g.times(x, x);
        let negative = g.negate(square);
        let bell = g.unary(Unary::Exp, negative);
        let factor = g.fill_like(x, std::f64::consts::FRAC_2_SQRT_PI);
        let slope = g.times(factor, bell);
        g.times(c, slope)
    });
    /// Logical not of bool, bitwise not of integers.
    Not "not" Bits, |x| x, |e, x| e.unary(UnaryFn::Not, x), None;
    /// Is x not a number?
    IsNan "is_nan" Test, |x| f64::from(x.is_nan()), |e, x| e.binary(BinaryFn::Ne, x, x), None;
    /// Is x neither infinite nor NaN?
    IsFinite "is_finite" Test, |x| f64::from(x.is_finite()), define_is_finite, None;
}

/// 1/(1 + e⁻ˣ), as eˣ/(1 + eˣ) below 0, where e⁻ˣ would overflow.
fn logistic(x: f64) -> f64 {
    if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
}

/// 1/√(1 − x²).
fn inverse_circle(g: &mut Graph, x: NodeId) -> NodeId {
    let (one, square) = (g.fill_like(x, 1.0), g.times(x, x));
    let rest = g.minus(one, square);
    g.unary(Unary::Rsqrt, rest)
}

fn define_sign(e: &mut Exprs, x: ExprId) -> ExprId {
    let dtype = e.dtype(x);
    let (zero, one) = (e.constant(dtype, 0.0), e.constant(dtype, 1.0));
    let above = e.binary(BinaryFn::Gt, x, zero);
    // Zeros and NaN are themselves.
    let positive = e.select(above, one, x);
    if matches!(dtype, DType::U8 | DType::U32) {
        return positive;
    }
    let (minus, below) = (e.constant(dtype, -1.0), e.binary(BinaryFn::Lt, x, zero));
    e.select(below, minus, positive)
}

fn define_is_finite(e: &mut Exprs, x: ExprId) -> ExprId {
    let size = e.unary(UnaryFn::Abs, x);
    let infinity = e.literal(Combine::Min.identity(e.dtype(x)));
    e.binary(BinaryFn::Lt, size, infinity)
}

impl Unary {
    /// Does it take elements of this type?
    pub fn takes(self, dtype: DType) -> bool {
        match self.domain() {
            Domain::Float | Domain::Test => dtype.is_float(),
            Domain::Number => dtype != DType::Bool,
            Domain::Bits => !dtype.is_float(),
        }
    }

    /// Has it a derivative that is not zero everywhere?
    pub fn is_differentiable(self) -> bool {
        self.derivative().is_some()
    }

    /// The value at x, of a type that it takes.
    pub fn apply(self, x: Scalar) -> Scalar {
        match (self, x) {
            (Unary::Not, Scalar::Bool(v)) => Scalar::Bool(!v),
            (Unary::Not, _) => Scalar::from_bits(x.dtype(), !x.bits()),
            _ if self.domain() == Domain::Test => Scalar::Bool(self.float()(x.to_f64()) != 0.0),
            _ if x.dtype().is_float() => Scalar::from_f64(x.dtype(), self.float()(x.to_f64())),
            _ => {
                let v = x.to_i64().expect("an integer");
                let value = match self {
                    Unary::Neg => v.wrapping_neg(),
                    Unary::Abs => v.wrapping_abs(),
                    Unary::Sign => v.signum(),
                    _ => unreachable!("only these take integers"),
                };
                Scalar::I64(value).convert(x.dtype())
            }
        }
    }

    pub(super) fn names() -> Vec<&'static str> {
        Unary::ALL.iter().map(|u| u.text()).collect()
    }

    pub(super) fn read(name: &str, _: &mut Reader, _: Type) -> Option<Result<Unary, String>> {
        Unary::ALL.iter().find(|u| u.text() == name).map(|&u| Ok(u))
    }
}

impl Operator for Unary {
    fn name(&self) -> &'static str {
        self.text()
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        if !self.takes(x.dtype) {
            let wanted = match self.domain() {
                Domain::Float | Domain::Test => "floats",
                Domain::Number => "numbers",
                Domain::Bits => "bool or integers",
            };
            return Err(format!("expected {wanted}, got {x}"));
        }
        Ok(if self.domain() == Domain::Test { Type::new(DType::Bool, x.shape) } else { x })
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        Tensor::from_fn(ty, |i| self.apply(inputs[0].get(i)))
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let x = graph.node(node).inputs[0];
        vec![self.derivative().map(|f| f(graph, x, node, cotangent))]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        // The row's derivative is a factor for each element: the same to either side.
        let x = graph.node(node).inputs[0];
        self.derivative().zip(tangents[0]).map(|(f, t)| f(graph, x, node, t))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let x = definer.operand(0, index);
        self.expr()(definer.exprs(), x)
    }
}
