//! The expression arena.

use std::fmt;

use bespoke_tensor::{DType, Scalar};
use rustc_hash::FxHashMap;

use crate::{AccId, BufferId, VarId};

/// An expression of an [`Exprs`] arena; prints as `e7`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ExprId(pub(crate) u32);

impl ExprId {
    /// Its position in the arena: operands come before users.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ExprId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// A machine-level function of one value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum UnaryFn {
    /// −x; integers wrap.
    Neg,
    /// |x|; integers wrap.
    Abs,
    /// Correctly rounded square root of a float.
    Sqrt,
    /// Largest integral float not above x.
    Floor,
    /// Smallest integral float not below x.
    Ceil,
    /// Nearest integral float toward zero.
    Trunc,
    /// Nearest integral float, ties to even.
    Round,
    /// Logical not of a bool, bitwise not of an integer.
    Not,
}

/// A machine-level function of two values of one type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum BinaryFn {
    /// Sum; integers wrap.
    Add,
    /// Difference; integers wrap.
    Sub,
    /// Product; integers wrap.
    Mul,
    /// Quotient; integers truncate, x / 0 = 0 and MIN / −1 = MIN.
    Div,
    /// Remainder with the sign of x; integers: x rem 0 = x and MIN rem −1 = 0; floats: C's `fmod`.
    Rem,
    /// `if y < x { y } else if y is NaN { y } else { x }`: NaN if either is.
    Min,
    /// `if y > x { y } else if y is NaN { y } else { x }`: NaN if either is.
    Max,
    /// Logical or bitwise and.
    And,
    /// Logical or bitwise or.
    Or,
    /// Logical or bitwise exclusive or.
    Xor,
    /// Shift left by y modulo the width.
    Shl,
    /// Shift right by y modulo the width; arithmetic for signed types.
    Shr,
    /// The upper half of the double-width product of two `u32`.
    MulHigh,
    /// x = y, as bool.
    Eq,
    /// x ≠ y, as bool; true for NaN.
    Ne,
    /// x < y, as bool.
    Lt,
    /// x ≤ y, as bool.
    Le,
    /// x > y, as bool.
    Gt,
    /// x ≥ y, as bool.
    Ge,
}

impl BinaryFn {
    /// Is the result a bool whatever the operands are?
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryFn::Eq | BinaryFn::Ne | BinaryFn::Lt | BinaryFn::Le | BinaryFn::Gt | BinaryFn::Ge
        )
    }
}

macro_rules! named {
    ($ty:ident { $($variant:ident => $name:literal),* $(,)? }) => {
        impl $ty {
            /// All of them.
            pub const ALL: &[$ty] = &[$($ty::$variant),*];

            /// The name in the text form.
            pub fn name(self) -> &'static str {
                match self { $($ty::$variant => $name),* }
            }

            /// The one with this name in the text form.
            pub fn from_name(name: &str) -> Option<$ty> {
                match name { $($name => Some($ty::$variant),)* _ => None }
            }
        }
    };
}
pub(crate) use named;

named!(UnaryFn { Neg => "neg", Abs => "abs", Sqrt => "sqrt", Floor => "floor", Ceil => "ceil", Trunc => "trunc",
    Round => "round", Not => "not" });
named!(BinaryFn { Add => "add", Sub => "sub", Mul => "mul", Div => "div", Rem => "rem", Min => "min", Max => "max",
    And => "and", Or => "or", Xor => "xor", Shl => "shl", Shr => "shr", MulHigh => "mulhigh", Eq => "eq", Ne => "ne",
    Lt => "lt", Le => "le", Gt => "gt", Ge => "ge" });

/// A function of one or two `f64` that the kernel calls, lane by lane, where no inline form pays.
#[derive(Clone, Copy)]
pub struct Function {
    /// The name in the text form and of the symbol.
    pub name: &'static str,
    /// The code, of one or two arguments.
    pub code: FunctionCode,
}

/// The code of a [`Function`].
#[derive(Clone, Copy)]
pub enum FunctionCode {
    /// Of one argument.
    One(extern "C" fn(f64) -> f64),
    /// Of two arguments.
    Two(extern "C" fn(f64, f64) -> f64),
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.name == other.name
    }
}
impl Eq for Function {}
impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// `Σ coefficient · atom + constant` over `i64`; atoms ascend and no coefficient is zero.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Affine {
    /// Atoms (not affine themselves) and their coefficients.
    pub terms: Vec<(ExprId, i64)>,
    /// The constant term.
    pub constant: i64,
}

/// One pure expression.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Expr {
    /// A constant.
    Literal(Scalar),
    /// The value of a loop variable, an `i64`.
    Var(VarId),
    /// An index: two terms or more, or one with a coefficient or constant. See [`Exprs::index_add`].
    Affine(Affine),
    /// The element of a buffer at an `i64` index, which must lie inside.
    Load {
        /// The buffer.
        buffer: BufferId,
        /// The element number.
        index: ExprId,
    },
    /// What an accumulator holds at this point.
    Acc(AccId),
    /// A function of one value.
    Unary(UnaryFn, ExprId),
    /// A function of two values of one type.
    Binary(BinaryFn, ExprId, ExprId),
    /// `a · b + c` of floats with one rounding.
    MulAdd(ExprId, ExprId, ExprId),
    /// `if condition { a } else { b }`; both are evaluated.
    Select(ExprId, ExprId, ExprId),
    /// [`Scalar::convert`] to another element type.
    Convert(DType, ExprId),
    /// The same bits as another element type of the same size (not bool).
    Bitcast(DType, ExprId),
    /// A call on `f64` values.
    Call(Function, Vec<ExprId>),
}

impl Expr {
    /// Calls `f` on each operand.
    pub fn operands(&self, mut f: impl FnMut(ExprId)) {
        match self {
            Expr::Literal(_) | Expr::Var(_) | Expr::Acc(_) => {}
            Expr::Affine(a) => a.terms.iter().for_each(|t| f(t.0)),
            Expr::Load { index, .. } => f(*index),
            Expr::Unary(_, a) | Expr::Convert(_, a) | Expr::Bitcast(_, a) => f(*a),
            Expr::Binary(_, a, b) => {
                f(*a);
                f(*b);
            }
            Expr::MulAdd(a, b, c) | Expr::Select(a, b, c) => {
                f(*a);
                f(*b);
                f(*c);
            }
            Expr::Call(_, args) => args.iter().for_each(|&a| f(a)),
        }
    }
}

/// An expression and what is known of its value.
#[derive(Clone, Debug)]
struct Node {
    expr: Expr,
    dtype: DType,
    range: Option<(i64, i64)>,
}

/// An append-only arena of hash-consed expressions. Equal expressions have equal ids.
#[derive(Clone, Debug, Default)]
pub struct Exprs {
    nodes: Vec<Node>,
    ids: FxHashMap<Expr, ExprId>,
    pub(crate) extents: Vec<i64>,
    /// What [`Exprs::load`] gives is of the buffer's type: element types by buffer.
    buffers: Vec<DType>,
    accs: Vec<DType>,
}

impl Exprs {
    /// An empty arena.
    pub fn new() -> Exprs {
        Exprs::default()
    }

    /// The number of expressions.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The expression.
    pub fn get(&self, id: ExprId) -> &Expr {
        &self.nodes[id.index()].expr
    }

    /// The type of its value.
    pub fn dtype(&self, id: ExprId) -> DType {
        self.nodes[id.index()].dtype
    }

    /// The least and greatest value of an `i64` expression, where they are known.
    pub fn range(&self, id: ExprId) -> Option<(i64, i64)> {
        self.nodes[id.index()].range
    }

    /// All ids, operands before users.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ExprId> + use<> {
        (0..self.nodes.len() as u32).map(ExprId)
    }

    /// Declares a loop variable that runs from 0 to below `extent`.
    pub fn declare_var(&mut self, extent: i64) -> VarId {
        self.extents.push(extent);
        VarId(self.extents.len() as u32 - 1)
    }

    /// The extent of a loop variable.
    pub fn extent(&self, var: VarId) -> i64 {
        self.extents[var.index()]
    }

    /// The number of declared loop variables.
    pub fn vars(&self) -> usize {
        self.extents.len()
    }

    /// Declares the next buffer.
    pub fn declare_buffer(&mut self, dtype: DType) -> BufferId {
        self.buffers.push(dtype);
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// Declares the next accumulator.
    pub fn declare_acc(&mut self, dtype: DType) -> AccId {
        self.accs.push(dtype);
        AccId(self.accs.len() as u32 - 1)
    }

    /// Adds an expression as it is, without simplification.
    pub fn add(&mut self, expr: Expr) -> ExprId {
        if let Some(&id) = self.ids.get(&expr) {
            return id;
        }
        let dtype = match &expr {
            Expr::Literal(s) => s.dtype(),
            Expr::Var(_) | Expr::Affine(_) => DType::I64,
            Expr::Load { buffer, .. } => self.buffers[buffer.index()],
            Expr::Acc(acc) => self.accs[acc.index()],
            Expr::Unary(_, a) | Expr::MulAdd(a, ..) | Expr::Select(_, a, _) => self.dtype(*a),
            Expr::Binary(f, ..) if f.is_comparison() => DType::Bool,
            Expr::Binary(_, a, _) => self.dtype(*a),
            Expr::Convert(dtype, _) | Expr::Bitcast(dtype, _) => *dtype,
            Expr::Call(..) => DType::F64,
        };
        let id = ExprId(self.nodes.len() as u32);
        let range = if dtype == DType::I64 { self.range_of(&expr) } else { None };
        self.nodes.push(Node { expr: expr.clone(), dtype, range });
        self.ids.insert(expr, id);
        id
    }

    /// A constant.
    pub fn literal(&mut self, value: impl Into<Scalar>) -> ExprId {
        self.add(Expr::Literal(value.into()))
    }

    /// The constant `value` rounded to `dtype`.
    pub fn constant(&mut self, dtype: DType, value: f64) -> ExprId {
        self.literal(Scalar::from_f64(dtype, value))
    }

    /// A loop variable's value; a variable of extent 1 is the constant 0.
    pub fn var(&mut self, var: VarId) -> ExprId {
        if self.extent(var) == 1 { self.index_const(0) } else { self.add(Expr::Var(var)) }
    }

    /// An element of a buffer.
    pub fn load(&mut self, buffer: BufferId, index: ExprId) -> ExprId {
        self.add(Expr::Load { buffer, index })
    }

    /// What an accumulator holds.
    pub fn acc(&mut self, acc: AccId) -> ExprId {
        self.add(Expr::Acc(acc))
    }

    /// A function of one value.
    pub fn unary(&mut self, function: UnaryFn, a: ExprId) -> ExprId {
        self.add(Expr::Unary(function, a))
    }

    /// A function of two values of one type. Comparisons of indices that their ranges decide become literals, and
    /// logical operations with literals are folded, so that guards which always hold vanish.
    pub fn binary(&mut self, function: BinaryFn, a: ExprId, b: ExprId) -> ExprId {
        if function.is_comparison()
            && self.dtype(a) == DType::I64
            && let Some(decided) = self.decide(function, a, b)
        {
            return self.literal(decided);
        }
        if let (BinaryFn::And | BinaryFn::Or, DType::Bool) = (function, self.dtype(a)) {
            for (x, y) in [(a, b), (b, a)] {
                if let Expr::Literal(Scalar::Bool(v)) = *self.get(x) {
                    let neutral = v == (function == BinaryFn::And);
                    return if neutral { y } else { x };
                }
            }
        }
        self.add(Expr::Binary(function, a, b))
    }

    /// `a · b + c` with one rounding.
    pub fn mul_add(&mut self, a: ExprId, b: ExprId, c: ExprId) -> ExprId {
        self.add(Expr::MulAdd(a, b, c))
    }

    /// `if condition { a } else { b }`, folded if the condition is a literal.
    pub fn select(&mut self, condition: ExprId, a: ExprId, b: ExprId) -> ExprId {
        match *self.get(condition) {
            Expr::Literal(Scalar::Bool(true)) => a,
            Expr::Literal(Scalar::Bool(false)) => b,
            _ if a == b => a,
            _ => self.add(Expr::Select(condition, a, b)),
        }
    }

    /// Conversion to `dtype`, nothing if it has that type already.
    pub fn convert(&mut self, dtype: DType, a: ExprId) -> ExprId {
        if self.dtype(a) == dtype {
            return a;
        }
        if let Expr::Literal(s) = *self.get(a) {
            return self.literal(s.convert(dtype));
        }
        self.add(Expr::Convert(dtype, a))
    }

    /// The same bits as `dtype`.
    pub fn bitcast(&mut self, dtype: DType, a: ExprId) -> ExprId {
        if self.dtype(a) == dtype { a } else { self.add(Expr::Bitcast(dtype, a)) }
    }
}
