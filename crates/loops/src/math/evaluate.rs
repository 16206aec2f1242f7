//! Evaluates an expression at many points, operation by operation: much faster than a kernel's interpreter.

use bespoke_tensor::{DType, Scalar};

use super::Builder;
use crate::{BinaryFn, Expr, ExprId, Exprs, FunctionCode, UnaryFn};

/// The number of points evaluated at once.
pub const BLOCK: usize = 512;

/// A value at each point of a block.
#[derive(Clone, Debug)]
pub enum Column {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
}

impl Column {
    fn same(value: Scalar) -> Column {
        match value {
            Scalar::F32(v) => Column::F32(vec![v; BLOCK]),
            Scalar::F64(v) => Column::F64(vec![v; BLOCK]),
            Scalar::I32(v) => Column::I32(vec![v; BLOCK]),
            Scalar::I64(v) => Column::I64(vec![v; BLOCK]),
            Scalar::Bool(v) => Column::Bool(vec![v; BLOCK]),
            other => panic!("no columns of {}", other.dtype()),
        }
    }

    /// Its values, which are `f32`.
    pub fn f32(&self) -> &[f32] {
        let Column::F32(v) = self else { panic!("expected f32, got {self:?}") };
        v
    }

    /// Its values, which are `f64`.
    pub fn f64(&self) -> &[f64] {
        let Column::F64(v) = self else { panic!("expected f64, got {self:?}") };
        v
    }
}

/// A function of one or two values.
pub struct Evaluator {
    exprs: Exprs,
    arguments: Vec<ExprId>,
    result: ExprId,
    columns: Vec<Column>,
}

impl Evaluator {
    /// Of one value of type `dtype`.
    pub fn unary(dtype: DType, build: Builder) -> Evaluator {
        Evaluator::new(&[dtype], |e, args| build(e, args[0]))
    }

    /// Of two values of type `dtype`.
    pub fn binary(dtype: DType, build: fn(&mut Exprs, ExprId, ExprId) -> ExprId) -> Evaluator {
        Evaluator::new(&[dtype, dtype], |e, args| build(e, args[0], args[1]))
    }

    fn new(dtypes: &[DType], build: impl FnOnce(&mut Exprs, &[ExprId]) -> ExprId) -> Evaluator {
        let mut exprs = Exprs::new();
        let arguments: Vec<ExprId> = dtypes
            .iter()
            .map(|&d| {
                let acc = exprs.declare_acc(d);
                exprs.acc(acc)
            })
            .collect();
        let result = build(&mut exprs, &arguments);
        let columns = exprs
            .ids()
            .map(|id| match *exprs.get(id) {
                Expr::Literal(v) => Column::same(v),
                _ => Column::same(Scalar::from_f64(exprs.dtype(id), 0.0)),
            })
            .collect();
        Evaluator { exprs, arguments, result, columns }
    }

    /// The values of the function, given those of its arguments; each column has [`BLOCK`] values.
    pub fn run(&mut self, arguments: impl IntoIterator<Item = Column>) -> &Column {
        for (&id, column) in self.arguments.iter().zip(arguments) {
            self.columns[id.index()] = column;
        }
        for id in self.exprs.ids() {
            if let Some(column) = self.evaluate(id) {
                self.columns[id.index()] = column;
            }
        }
        &self.columns[self.result.index()]
    }

    /// `None` for what has its value already.
    fn evaluate(&self, id: ExprId) -> Option<Column> {
        use Column::{Bool, F32, F64, I32, I64};
        let c = |e: &ExprId| &self.columns[e.index()];
        let expr = self.exprs.get(id);
        Some(match expr {
            Expr::Literal(_) | Expr::Acc(_) => return None,
            Expr::Unary(f, a) => match c(a) {
                F32(a) => F32(unary32(*f, a)),
                F64(a) => F64(unary64(*f, a)),
                other => panic!("{f:?} of {other:?}"),
            },
            Expr::Binary(f, a, b) => match (c(a), c(b)) {
                (F32(a), F32(b)) => binary32(*f, a, b),
                (F64(a), F64(b)) => binary64(*f, a, b),
                (I32(a), I32(b)) => match f {
                    BinaryFn::Sub => I32(map2(a, b, |a, b| a.wrapping_sub(b))),
                    BinaryFn::And => I32(map2(a, b, |a, b| a & b)),
                    BinaryFn::Or => I32(map2(a, b, |a, b| a | b)),
                    BinaryFn::Shl => I32(map2(a, b, |a, b| a << (b & 31))),
                    BinaryFn::Shr => I32(map2(a, b, |a, b| a >> (b & 31))),
                    BinaryFn::Lt => Bool(map2(a, b, |a, b| a < b)),
                    other => panic!("{other:?} of i32"),
                },
                (I64(a), I64(b)) => match f {
                    BinaryFn::Sub => I64(map2(a, b, |a, b| a.wrapping_sub(b))),
                    BinaryFn::And => I64(map2(a, b, |a, b| a & b)),
                    BinaryFn::Or => I64(map2(a, b, |a, b| a | b)),
                    BinaryFn::Shl => I64(map2(a, b, |a, b| a << (b & 63))),
                    BinaryFn::Shr => I64(map2(a, b, |a, b| a >> (b & 63))),
                    other => panic!("{other:?} of i64"),
                },
                (Bool(a), Bool(b)) => match f {
                    BinaryFn::And => Bool(map2(a, b, |a, b| a & b)),
                    BinaryFn::Or => Bool(map2(a, b, |a, b| a | b)),
                    other => panic!("{other:?} of bool"),
                },
                other => panic!("{f:?} of {other:?}"),
            },
            Expr::MulAdd(a, b, d) => match (c(a), c(b), c(d)) {
                (F32(a), F32(b), F32(d)) => F32(map3(a, b, d, |a, b, d| a.mul_add(b, d))),
                (F64(a), F64(b), F64(d)) => F64(map3(a, b, d, |a, b, d| a.mul_add(b, d))),
                other => panic!("MulAdd of {other:?}"),
            },
            Expr::Select(k, a, b) => match (c(k), c(a), c(b)) {
                (Bool(k), F32(a), F32(b)) => F32(map3(k, a, b, |k, a, b| if k { a } else { b })),
                (Bool(k), F64(a), F64(b)) => F64(map3(k, a, b, |k, a, b| if k { a } else { b })),
                other => panic!("Select of {other:?}"),
            },
            Expr::Convert(d, a) => match (c(a), d) {
                (F32(a), DType::F64) => F64(map(a, |a| a as f64)),
                (F64(a), DType::F32) => F32(map(a, |a| a as f32)),
                (I32(a), DType::F32) => F32(map(a, |a| a as f32)),
                (I64(a), DType::F64) => F64(map(a, |a| a as f64)),
                (I32(a), DType::F64) => F64(map(a, |a| a as f64)),
                other => panic!("Convert of {other:?}"),
            },
            Expr::Bitcast(d, a) => match (c(a), d) {
                (F32(a), DType::I32) => I32(map(a, |a| a.to_bits() as i32)),
                (I32(a), DType::F32) => F32(map(a, |a| f32::from_bits(a as u32))),
                (F64(a), DType::I64) => I64(map(a, |a| a.to_bits() as i64)),
                (I64(a), DType::F64) => F64(map(a, |a| f64::from_bits(a as u64))),
                other => panic!("Bitcast of {other:?}"),
            },
            Expr::Call(f, args) => match (f.code, &args[..]) {
                (FunctionCode::One(code), [a]) => F64(map(c(a).f64(), |a| code(a))),
                (FunctionCode::Two(code), [a, b]) => F64(map2(c(a).f64(), c(b).f64(), |a, b| code(a, b))),
                other => panic!("a call of {other:?} arguments", other = other.1.len()),
            },
            other => panic!("{other:?} in a function"),
        })
    }
}

fn map<A: Copy, R>(a: &[A], f: impl Fn(A) -> R) -> Vec<R> {
    a.iter().map(|&a| f(a)).collect()
}

fn map2<A: Copy, B: Copy, R>(a: &[A], b: &[B], f: impl Fn(A, B) -> R) -> Vec<R> {
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}

fn map3<A: Copy, B: Copy, C: Copy, R>(a: &[A], b: &[B], c: &[C], f: impl Fn(A, B, C) -> R) -> Vec<R> {
    a.iter().zip(b).zip(c).map(|((&a, &b), &c)| f(a, b, c)).collect()
}

macro_rules! float {
    ($ty:ty, $variant:ident, $unary:ident, $binary:ident) => {
        fn $unary(f: UnaryFn, a: &[$ty]) -> Vec<$ty> {
            match f {
                UnaryFn::Neg => map(a, |a| -a),
                UnaryFn::Abs => map(a, |a| a.abs()),
                UnaryFn::Sqrt => map(a, |a| a.sqrt()),
                UnaryFn::Floor => map(a, |a| a.floor()),
                UnaryFn::Ceil => map(a, |a| a.ceil()),
                UnaryFn::Trunc => map(a, |a| a.trunc()),
                UnaryFn::Round => map(a, |a| a.round_ties_even()),
                UnaryFn::Not => panic!("not of a float"),
            }
        }

        fn $binary(f: BinaryFn, a: &[$ty], b: &[$ty]) -> Column {
            use Column::{Bool, $variant as Float};
            match f {
                BinaryFn::Add => Float(map2(a, b, |a, b| a + b)),
                BinaryFn::Sub => Float(map2(a, b, |a, b| a - b)),
                BinaryFn::Mul => Float(map2(a, b, |a, b| a * b)),
                BinaryFn::Div => Float(map2(a, b, |a, b| a / b)),
                BinaryFn::Min => Float(map2(a, b, |a, b| if b < a || b.is_nan() { b } else { a })),
                BinaryFn::Max => Float(map2(a, b, |a, b| if b > a || b.is_nan() { b } else { a })),
                BinaryFn::Eq => Bool(map2(a, b, |a, b| a == b)),
                BinaryFn::Ne => Bool(map2(a, b, |a, b| a != b)),
                BinaryFn::Lt => Bool(map2(a, b, |a, b| a < b)),
                BinaryFn::Le => Bool(map2(a, b, |a, b| a <= b)),
                BinaryFn::Gt => Bool(map2(a, b, |a, b| a > b)),
                BinaryFn::Ge => Bool(map2(a, b, |a, b| a >= b)),
                other => panic!("{other:?} of floats"),
            }
        }
    };
}
float!(f32, F32, unary32, binary32);
float!(f64, F64, unary64, binary64);
