//! Expressions with operators: what formulas are written in.

use std::{
    cell::RefCell,
    ops::{Add, Div, Mul, Neg, Sub},
};

use bespoke_tensor::{DType, Scalar};

use super::format::Format;
use crate::{BinaryFn, Expr, ExprId, Exprs, Function, UnaryFn};

/// An expression in its arena.
#[derive(Clone, Copy)]
pub(super) struct V<'m> {
    exprs: &'m RefCell<Exprs>,
    id: ExprId,
}

/// What stands beside a [`V`]: another one, or a constant that takes its type.
pub(super) trait Operand<'m>: Copy {
    /// The expression, of the type of `like` if this is a constant.
    fn like(self, like: V<'m>) -> V<'m>;
}

impl<'m> Operand<'m> for V<'m> {
    fn like(self, _: V<'m>) -> V<'m> {
        self
    }
}

impl<'m> Operand<'m> for f64 {
    fn like(self, like: V<'m>) -> V<'m> {
        like.literal(Scalar::from_f64(like.dtype(), self))
    }
}

/// Bits, for integers.
impl<'m> Operand<'m> for i64 {
    fn like(self, like: V<'m>) -> V<'m> {
        like.literal(if like.dtype() == DType::I32 { Scalar::I32(self as i32) } else { Scalar::I64(self) })
    }
}

impl<'m> Operand<'m> for i32 {
    fn like(self, like: V<'m>) -> V<'m> {
        (self as f64).like(like)
    }
}

/// The expression that `formula` makes of `x`.
pub(super) fn build(e: &mut Exprs, x: ExprId, formula: impl for<'m> FnOnce(V<'m>) -> V<'m>) -> ExprId {
    build2(e, x, x, |x, _| formula(x))
}

/// The expression that `formula` makes of `x` and `y`.
pub(super) fn build2(
    e: &mut Exprs,
    x: ExprId,
    y: ExprId,
    formula: impl for<'m> FnOnce(V<'m>, V<'m>) -> V<'m>,
) -> ExprId {
    // The arena moves into a cell meanwhile, so that every `V` can append to it.
    let exprs = RefCell::new(std::mem::take(e));
    let id = formula(V { exprs: &exprs, id: x }, V { exprs: &exprs, id: y }).id;
    *e = exprs.into_inner();
    id
}

impl<'m> V<'m> {
    fn append(self, make: impl FnOnce(&mut Exprs) -> ExprId) -> V<'m> {
        V { exprs: self.exprs, id: make(&mut self.exprs.borrow_mut()) }
    }

    pub(super) fn dtype(self) -> DType {
        self.exprs.borrow().dtype(self.id)
    }

    pub(super) fn is_f32(self) -> bool {
        self.dtype() == DType::F32
    }

    /// The constants of its type, `f32` or `f64`.
    pub(super) fn format(self) -> &'static Format {
        Format::of(self.dtype())
    }

    fn literal(self, value: Scalar) -> V<'m> {
        self.append(|e| e.literal(value))
    }

    /// A constant of the same type.
    pub(super) fn constant(self, value: f64) -> V<'m> {
        value.like(self)
    }

    pub(super) fn unary(self, function: UnaryFn) -> V<'m> {
        self.append(|e| e.unary(function, self.id))
    }

    pub(super) fn binary(self, function: BinaryFn, other: impl Operand<'m>) -> V<'m> {
        let other = other.like(self);
        self.append(|e| e.binary(function, self.id, other.id))
    }

    pub(super) fn abs(self) -> V<'m> {
        self.unary(UnaryFn::Abs)
    }

    pub(super) fn sqrt(self) -> V<'m> {
        self.unary(UnaryFn::Sqrt)
    }

    pub(super) fn round(self) -> V<'m> {
        self.unary(UnaryFn::Round)
    }

    pub(super) fn trunc(self) -> V<'m> {
        self.unary(UnaryFn::Trunc)
    }

    /// The smaller; NaN if either is.
    pub(super) fn min(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::Min, other)
    }

    /// The larger; NaN if either is.
    pub(super) fn max(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::Max, other)
    }

    pub(super) fn lt(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::Lt, other)
    }

    pub(super) fn gt(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::Gt, other)
    }

    pub(super) fn eq(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::Eq, other)
    }

    pub(super) fn ne(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::Ne, other)
    }

    pub(super) fn and(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::And, other)
    }

    pub(super) fn or(self, other: impl Operand<'m>) -> V<'m> {
        self.binary(BinaryFn::Or, other)
    }

    pub(super) fn shl(self, bits: i32) -> V<'m> {
        self.binary(BinaryFn::Shl, bits)
    }

    pub(super) fn shr(self, bits: i32) -> V<'m> {
        self.binary(BinaryFn::Shr, bits)
    }

    /// `minuend − self`.
    pub(super) fn subtracted_from(self, minuend: impl Operand<'m>) -> V<'m> {
        minuend.like(self) - self
    }

    /// `self · b + c` with one rounding.
    pub(super) fn fma(self, b: impl Operand<'m>, c: impl Operand<'m>) -> V<'m> {
        let (b, c) = (b.like(self), c.like(self));
        self.append(|e| e.mul_add(self.id, b.id, c.id))
    }

    /// `if self { a } else { b }`; a constant `b` takes the type of `a`.
    pub(super) fn select(self, a: V<'m>, b: impl Operand<'m>) -> V<'m> {
        let b = b.like(a);
        self.append(|e| e.select(self.id, a.id, b.id))
    }

    pub(super) fn convert(self, dtype: DType) -> V<'m> {
        self.append(|e| e.convert(dtype, self.id))
    }

    /// As `f64`.
    pub(super) fn wide(self) -> V<'m> {
        self.convert(DType::F64)
    }

    /// As `f32`.
    pub(super) fn narrow(self) -> V<'m> {
        self.convert(DType::F32)
    }

    /// The bits of a float as a signed integer.
    pub(super) fn bits(self) -> V<'m> {
        let dtype = if self.is_f32() { DType::I32 } else { DType::I64 };
        self.append(|e| e.bitcast(dtype, self.id))
    }

    /// The float with the bits of a signed integer.
    pub(super) fn float(self) -> V<'m> {
        let dtype = if self.dtype() == DType::I32 { DType::F32 } else { DType::F64 };
        self.append(|e| e.bitcast(dtype, self.id))
    }

    /// `Σ coefficients[i] · selfⁱ`, Horner's scheme.
    pub(super) fn poly(self, coefficients: &[f64]) -> V<'m> {
        let (last, rest) = coefficients.split_last().expect("a polynomial has coefficients");
        rest.iter().rev().fold(last.like(self), |sum, &c| sum.fma(self, c))
    }

    /// The magnitude `self ≥ +0` (or NaN) of a float with the sign of `sign`.
    pub(super) fn with_sign_of(self, sign: V<'m>) -> V<'m> {
        let bits = sign.bits();
        self.bits().or(bits.and(bits.sign_bit())).float()
    }

    /// −|self| of a float.
    pub(super) fn minus_abs(self) -> V<'m> {
        let bits = self.bits();
        bits.or(bits.sign_bit()).float()
    }

    /// The integer with only the highest bit set.
    fn sign_bit(self) -> i64 {
        if self.dtype() == DType::I32 { i32::MIN as i64 } else { i64::MIN }
    }

    /// A call on `f64`.
    pub(super) fn call(self, function: Function) -> V<'m> {
        self.append(|e| e.add(Expr::Call(function, vec![self.id])))
    }

    /// A call on two `f64`.
    pub(super) fn call2(self, function: Function, other: V<'m>) -> V<'m> {
        self.append(|e| e.add(Expr::Call(function, vec![self.id, other.id])))
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl<'m, O: Operand<'m>> $trait<O> for V<'m> {
            type Output = V<'m>;

            fn $method(self, other: O) -> V<'m> {
                self.binary(BinaryFn::$trait, other)
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl<'m> Neg for V<'m> {
    type Output = V<'m>;

    fn neg(self) -> V<'m> {
        self.unary(UnaryFn::Neg)
    }
}
