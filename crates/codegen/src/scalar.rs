//! Scalar code: one element at a time, and the functions that vectors lack.

use bespoke_loops::{BinaryFn, Expr, ExprId, Exprs, UnaryFn};
use bespoke_tensor::{DType, Scalar};
use cranelift_codegen::ir::{
    InstBuilder, Type, Value,
    condcodes::{FloatCC, IntCC},
    types,
};
use cranelift_frontend::FunctionBuilder;

/// The type of a scalar in registers; a bool is an I8 of 0 or 1.
pub fn scalar_type(dtype: DType) -> Type {
    match dtype {
        DType::F32 => types::F32,
        DType::F64 => types::F64,
        DType::I32 | DType::U32 => types::I32,
        DType::I64 => types::I64,
        DType::U8 | DType::Bool => types::I8,
    }
}

/// A constant.
pub fn literal(b: &mut FunctionBuilder<'_>, value: Scalar) -> Value {
    match value {
        Scalar::F32(v) => b.ins().f32const(v),
        Scalar::F64(v) => b.ins().f64const(v),
        _ => {
            let ty = scalar_type(value.dtype());
            // The immediate of a narrow type is its zero-extended bits.
            b.ins().iconst(ty, value.bits() as i64)
        }
    }
}

fn is_signed(dtype: DType) -> bool {
    matches!(dtype, DType::I32 | DType::I64)
}

/// How integers and floats are compared.
pub fn conditions(f: BinaryFn, dtype: DType) -> Option<(IntCC, FloatCC)> {
    let (signed, unsigned, float) = match f {
        BinaryFn::Eq => (IntCC::Equal, IntCC::Equal, FloatCC::Equal),
        BinaryFn::Ne => (IntCC::NotEqual, IntCC::NotEqual, FloatCC::NotEqual),
        BinaryFn::Lt => (IntCC::SignedLessThan, IntCC::UnsignedLessThan, FloatCC::LessThan),
        BinaryFn::Le => {
            (IntCC::SignedLessThanOrEqual, IntCC::UnsignedLessThanOrEqual, FloatCC::LessThanOrEqual)
        }
        BinaryFn::Gt => (IntCC::SignedGreaterThan, IntCC::UnsignedGreaterThan, FloatCC::GreaterThan),
        BinaryFn::Ge => {
            (IntCC::SignedGreaterThanOrEqual, IntCC::UnsignedGreaterThanOrEqual, FloatCC::GreaterThanOrEqual)
        }
        _ => return None,
    };
    Some((if is_signed(dtype) { signed } else { unsigned }, float))
}

/// A function of one scalar.
pub fn unary(b: &mut FunctionBuilder<'_>, f: UnaryFn, dtype: DType, x: Value) -> Value {
    let float = dtype.is_float();
    match f {
        UnaryFn::Neg if float => b.ins().fneg(x),
        UnaryFn::Neg => b.ins().ineg(x),
        UnaryFn::Abs if float => b.ins().fabs(x),
        UnaryFn::Abs if is_signed(dtype) => b.ins().iabs(x),
        UnaryFn::Abs => x,
        UnaryFn::Sqrt => b.ins().sqrt(x),
        UnaryFn::Floor => b.ins().floor(x),
        UnaryFn::Ceil => b.ins().ceil(x),
        UnaryFn::Trunc => b.ins().trunc(x),
        UnaryFn::Round => b.ins().nearest(x),
        UnaryFn::Not if dtype == DType::Bool => b.ins().bxor_imm_s(x, 1),
        UnaryFn::Not => b.ins().bnot(x),
    }
}

/// A function of two scalars but [`BinaryFn::Rem`] of floats, which is a call.
pub fn binary(b: &mut FunctionBuilder<'_>, f: BinaryFn, dtype: DType, x: Value, y: Value) -> Value {
    if let Some((int, float)) = conditions(f, dtype) {
        return if dtype.is_float() { b.ins().fcmp(float, x, y) } else { b.ins().icmp(int, x, y) };
    }
    let (is_float, signed) = (dtype.is_float(), is_signed(dtype));
    match f {
        BinaryFn::Add if is_float => b.ins().fadd(x, y),
        BinaryFn::Add => b.ins().iadd(x, y),
        BinaryFn::Sub if is_float => b.ins().fsub(x, y),
        BinaryFn::Sub => b.ins().isub(x, y),
        BinaryFn::Mul if is_float => b.ins().fmul(x, y),
        BinaryFn::Mul => b.ins().imul(x, y),
        BinaryFn::Div if is_float => b.ins().fdiv(x, y),
        BinaryFn::Div | BinaryFn::Rem => divide(b, f, dtype, x, y),
        BinaryFn::Min | BinaryFn::Max => {
            let beyond = if f == BinaryFn::Min { BinaryFn::Lt } else { BinaryFn::Gt };
            let wins = binary(b, beyond, dtype, y, x);
            let best = b.ins().select(wins, y, x);
            if !is_float {
                return best;
            }
            let nan = b.ins().fcmp(FloatCC::Unordered, y, y);
            b.ins().select(nan, y, best)
        }
        BinaryFn::And => b.ins().band(x, y),
        BinaryFn::Or => b.ins().bor(x, y),
        BinaryFn::Xor => b.ins().bxor(x, y),
        BinaryFn::Shl => b.ins().ishl(x, y),
        BinaryFn::Shr if signed => b.ins().sshr(x, y),
        BinaryFn::Shr => b.ins().ushr(x, y),
        BinaryFn::MulHigh => b.ins().umulhi(x, y),
        _ => unreachable!("comparisons are done above"),
    }
}

/// Is `x / divisor` the quotient of an index that is known not to be negative, by a positive literal?
pub fn index_divides(exprs: &Exprs, x: ExprId, divisor: ExprId) -> bool {
    let positive = matches!(exprs.get(divisor), Expr::Literal(Scalar::I64(c)) if *c > 0);
    positive && exprs.range(x).is_some_and(|r| r.0 >= 0)
}

/// Integer quotient or remainder that never traps: x / 0 = 0, x rem 0 = x, MIN / −1 = MIN, MIN rem −1 = 0.
fn divide(b: &mut FunctionBuilder<'_>, f: BinaryFn, dtype: DType, x: Value, y: Value) -> Value {
    let ty = scalar_type(dtype);
    let zero = b.ins().iconst(ty, 0);
    let one = b.ins().iconst(ty, 1);
    let by_zero = b.ins().icmp_imm_s(IntCC::Equal, y, 0);
    let mut safe = b.ins().select(by_zero, one, y);
    let quotient = f == BinaryFn::Div;
    if !is_signed(dtype) {
        let result = if quotient { b.ins().udiv(x, safe) } else { b.ins().urem(x, safe) };
        return b.ins().select(by_zero, if quotient { zero } else { x }, result);
    }
    // x / −1 is −x, without the trap of MIN.
    let by_minus_one = b.ins().icmp_imm_s(IntCC::Equal, y, -1);
    safe = b.ins().select(by_minus_one, one, safe);
    let result = if quotient { b.ins().sdiv(x, safe) } else { b.ins().srem(x, safe) };
    let negative = b.ins().ineg(x);
    let result = b.ins().select(by_minus_one, if quotient { negative } else { zero }, result);
    b.ins().select(by_zero, if quotient { zero } else { x }, result)
}

/// [`Scalar::convert`] of a scalar.
pub fn convert(b: &mut FunctionBuilder<'_>, from: DType, to: DType, x: Value) -> Value {
    let ty = scalar_type(to);
    match (from, to) {
        _ if from == to => x,
        (DType::F32, DType::F64) => b.ins().fpromote(types::F64, x),
        (DType::F64, DType::F32) => b.ins().fdemote(types::F32, x),
        (_, DType::Bool) if from.is_float() => {
            let zero = literal(b, Scalar::from_f64(from, 0.0));
            b.ins().fcmp(FloatCC::NotEqual, x, zero)
        }
        (_, DType::Bool) => b.ins().icmp_imm_s(IntCC::NotEqual, x, 0),
        (_, DType::U8) if from.is_float() => {
            let wide = b.ins().fcvt_to_uint_sat(types::I32, x);
            let top = b.ins().iconst(types::I32, 255);
            let limited = b.ins().umin(wide, top);
            b.ins().ireduce(types::I8, limited)
        }
        (_, DType::U32) if from.is_float() => b.ins().fcvt_to_uint_sat(ty, x),
        _ if from.is_float() => b.ins().fcvt_to_sint_sat(ty, x),
        _ if to.is_float() && is_signed(from) => b.ins().fcvt_from_sint(ty, x),
        _ if to.is_float() => {
            let wide = if from == DType::U32 { x } else { b.ins().uextend(types::I32, x) };
            b.ins().fcvt_from_uint(ty, wide)
        }
        _ if to.size() < from.size() => b.ins().ireduce(ty, x),
        _ if to.size() == from.size() => x,
        _ if is_signed(from) => b.ins().sextend(ty, x),
        _ => b.ins().uextend(ty, x),
    }
}
