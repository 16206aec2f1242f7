//! Vector code: 128-bit chunks of a group of lanes.
//!
//! The lanes of a value are held as f32, i32 and u32: four a chunk; u8: four a chunk, zero-extended to 32 bits; bool:
//! four a chunk, masks of 32 bits; f64: two a chunk; i64: a scalar each, for its vector instructions are few.

use bespoke_loops::{BinaryFn, UnaryFn};
use bespoke_tensor::DType;
use cranelift_codegen::ir::{
    ConstantData, InstBuilder, MemFlagsData, Type, Value, condcodes::FloatCC, immediates::V128Imm, types,
};
use cranelift_frontend::FunctionBuilder;

use crate::scalar;

/// The chunks of a value, or its lanes.
pub type Chunks = Vec<Value>;

/// The type of a chunk.
pub fn chunk_type(dtype: DType) -> Type {
    match dtype {
        DType::F32 => types::F32X4,
        DType::F64 => types::F64X2,
        DType::I64 => types::I64,
        DType::I32 | DType::U32 | DType::U8 | DType::Bool => types::I32X4,
    }
}

/// Lanes in a chunk.
pub fn chunk_lanes(dtype: DType) -> usize {
    match dtype {
        DType::F64 => 2,
        DType::I64 => 1,
        _ => 4,
    }
}

/// The same bits as another vector type.
pub fn cast(b: &mut FunctionBuilder<'_>, to: Type, x: Value) -> Value {
    if b.func.dfg.value_type(x) == to {
        return x;
    }
    b.ins().bitcast(to, MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little), x)
}

/// All lanes the same scalar.
pub fn splat(b: &mut FunctionBuilder<'_>, dtype: DType, lanes: usize, x: Value) -> Chunks {
    let wide = widen_scalar(b, dtype, x);
    let chunk = if dtype == DType::I64 { wide } else { b.ins().splat(chunk_type(dtype), wide) };
    vec![chunk; lanes / chunk_lanes(dtype)]
}

/// A scalar as the element of a chunk: u8 zero-extended, bool as mask.
fn widen_scalar(b: &mut FunctionBuilder<'_>, dtype: DType, x: Value) -> Value {
    match dtype {
        DType::U8 => b.ins().uextend(types::I32, x),
        DType::Bool => {
            let bit = b.ins().uextend(types::I32, x);
            b.ins().ineg(bit)
        }
        _ => x,
    }
}

/// Puts scalars together.
pub fn pack(b: &mut FunctionBuilder<'_>, dtype: DType, lanes: &[Value]) -> Chunks {
    if dtype == DType::I64 {
        return lanes.to_vec();
    }
    lanes
        .chunks(chunk_lanes(dtype))
        .map(|group| {
            let first = widen_scalar(b, dtype, group[0]);
            let mut chunk = b.ins().scalar_to_vector(chunk_type(dtype), first);
            for (i, &x) in group.iter().enumerate().skip(1) {
                let x = widen_scalar(b, dtype, x);
                chunk = b.ins().insertlane(chunk, x, i as u8);
            }
            chunk
        })
        .collect()
}

/// The i32 `first`, `first + step`, …, which wrap.
pub fn count(b: &mut FunctionBuilder<'_>, lanes: usize, first: Value, step: i32) -> Chunks {
    let first = b.ins().splat(types::I32X4, first);
    (0..lanes as i32 / 4)
        .map(|chunk| {
            let steps = [0, 1, 2, 3].map(|lane| step.wrapping_mul(4 * chunk + lane).to_le_bytes());
            let steps = constant(b, steps.concat().try_into().expect("four times four bytes"));
            b.ins().iadd(first, steps)
        })
        .collect()
}

fn constant(b: &mut FunctionBuilder<'_>, bytes: [u8; 16]) -> Value {
    let constant = b.func.dfg.constants.insert(ConstantData::from(V128Imm(bytes)));
    b.ins().vconst(types::I32X4, constant)
}

/// Takes a scalar out.
pub fn extract(b: &mut FunctionBuilder<'_>, dtype: DType, chunks: &[Value], lane: usize) -> Value {
    let per = chunk_lanes(dtype);
    if dtype == DType::I64 {
        return chunks[lane];
    }
    let x = b.ins().extractlane(chunks[lane / per], (lane % per) as u8);
    match dtype {
        DType::U8 => b.ins().ireduce(types::I8, x),
        DType::Bool => {
            let low = b.ins().ireduce(types::I8, x);
            b.ins().band_imm_s(low, 1)
        }
        _ => x,
    }
}

/// Loads lanes that lie side by side.
pub fn load(
    b: &mut FunctionBuilder<'_>,
    flags: MemFlagsData,
    dtype: DType,
    lanes: usize,
    at: Value,
) -> Chunks {
    let per = chunk_lanes(dtype);
    (0..lanes / per)
        .map(|i| {
            let offset = (i * per * dtype.size()) as i32;
            if !matches!(dtype, DType::U8 | DType::Bool) {
                return b.ins().load(chunk_type(dtype), flags, at, offset);
            }
            let four = b.ins().load(types::I32, flags, at, offset);
            let bytes = b.ins().scalar_to_vector(types::I32X4, four);
            let bytes = cast(b, types::I8X16, bytes);
            let words = b.ins().uwiden_low(bytes);
            let wide = b.ins().uwiden_low(words);
            if dtype == DType::Bool { b.ins().ineg(wide) } else { wide }
        })
        .collect()
}

/// Loads lanes of which each is the second after the one before, of a type with four lanes a chunk.
pub fn load_every_second(
    b: &mut FunctionBuilder<'_>,
    flags: MemFlagsData,
    dtype: DType,
    lanes: usize,
    at: Value,
) -> Chunks {
    let ty = chunk_type(dtype);
    // Of elements 0 to 3 the even ones, of 3 to 6 the odd ones: nothing beyond the last lane is read.
    let picks: Vec<u8> = [0, 8, 20, 28].into_iter().flat_map(|first| first..first + 4).collect();
    let picks = b.func.dfg.immediates.push(picks.into());
    (0..lanes / 4)
        .map(|i| {
            let offset = (i * 8 * dtype.size()) as i32;
            let low = b.ins().load(ty, flags, at, offset);
            let high = b.ins().load(ty, flags, at, offset + 3 * dtype.size() as i32);
            let (low, high) = (cast(b, types::I8X16, low), cast(b, types::I8X16, high));
            let picked = b.ins().shuffle(low, high, picks);
            cast(b, ty, picked)
        })
        .collect()
}

/// Stores lanes side by side.
pub fn store(b: &mut FunctionBuilder<'_>, flags: MemFlagsData, dtype: DType, chunks: &[Value], at: Value) {
    let per = chunk_lanes(dtype);
    for (i, &chunk) in chunks.iter().enumerate() {
        let offset = (i * per * dtype.size()) as i32;
        if !matches!(dtype, DType::U8 | DType::Bool) {
            b.ins().store(flags, chunk, at, offset);
            continue;
        }
        let mut wide = chunk;
        if dtype == DType::Bool {
            wide = b.ins().ineg(chunk);
        }
        let words = b.ins().unarrow(wide, wide);
        let bytes = b.ins().unarrow(words, words);
        let bytes = cast(b, types::I32X4, bytes);
        let four = b.ins().extractlane(bytes, 0);
        b.ins().store(flags, four, at, offset);
    }
}

/// A function of one value; `None` where vectors have no such instruction.
pub fn unary(b: &mut FunctionBuilder<'_>, f: UnaryFn, dtype: DType, x: &[Value]) -> Option<Chunks> {
    if dtype == DType::I64 {
        return None;
    }
    if dtype == DType::U8 {
        return match f {
            UnaryFn::Neg => Some(map(x, |x| {
                let y = b.ins().ineg(x);
                low_byte(b, y)
            })),
            UnaryFn::Not => Some(map(x, |x| {
                let y = b.ins().bnot(x);
                low_byte(b, y)
            })),
            _ => Some(x.to_vec()),
        };
    }
    Some(map(x, |x| if f == UnaryFn::Not { b.ins().bnot(x) } else { scalar::unary(b, f, dtype, x) }))
}

/// A function of two values; `None` where vectors have no such instruction. `number` says that y is known not to be NaN.
pub fn binary(
    b: &mut FunctionBuilder<'_>,
    f: BinaryFn,
    dtype: DType,
    x: &[Value],
    y: &[Value],
    number: bool,
) -> Option<Chunks> {
    if dtype == DType::I64 || matches!(f, BinaryFn::Shl | BinaryFn::Shr) {
        return None;
    }
    let is_float = dtype.is_float();
    if matches!(f, BinaryFn::Rem) || matches!(f, BinaryFn::Div) && !is_float {
        return None;
    }
    if let Some((int, float)) = scalar::conditions(f, dtype) {
        let masks =
            zip(x, y, |x, y| if is_float { b.ins().fcmp(float, x, y) } else { b.ins().icmp(int, x, y) });
        return Some(if dtype == DType::F64 { narrow_masks(b, &masks) } else { masks });
    }
    Some(zip(x, y, |x, y| match f {
        BinaryFn::Min | BinaryFn::Max if is_float => extremum(b, f, dtype, x, y, number),
        BinaryFn::Min if dtype == DType::I32 => b.ins().smin(x, y),
        BinaryFn::Max if dtype == DType::I32 => b.ins().smax(x, y),
        BinaryFn::Min => b.ins().umin(x, y),
        BinaryFn::Max => b.ins().umax(x, y),
        BinaryFn::MulHigh => multiply_high(b, x, y),
        BinaryFn::Add | BinaryFn::Sub | BinaryFn::Mul if dtype == DType::U8 => {
            let wide = scalar::binary(b, f, DType::U32, x, y);
            low_byte(b, wide)
        }
        _ => scalar::binary(b, f, dtype, x, y),
    }))
}

/// Shifts all lanes by one amount.
pub fn shift(
    b: &mut FunctionBuilder<'_>,
    f: BinaryFn,
    dtype: DType,
    x: &[Value],
    amount: Value,
) -> Option<Chunks> {
    match (f, dtype) {
        (BinaryFn::Shl, DType::I32 | DType::U32) => Some(map(x, |x| b.ins().ishl(x, amount))),
        (BinaryFn::Shr, DType::I32) => Some(map(x, |x| b.ins().sshr(x, amount))),
        (BinaryFn::Shr, DType::U32) => Some(map(x, |x| b.ins().ushr(x, amount))),
        _ => None,
    }
}

/// One `minps` or `maxps`, which gives the second operand where they are equal or one is NaN; and a blend that lets a NaN
/// of y through where there can be one.
fn extremum(
    b: &mut FunctionBuilder<'_>,
    f: BinaryFn,
    dtype: DType,
    x: Value,
    y: Value,
    number: bool,
) -> Value {
    let ty = chunk_type(dtype);
    // The machine instruction is matched from this very form, with y < x for the lesser and x < y for the greater.
    let wins = if f == BinaryFn::Min {
        b.ins().fcmp(FloatCC::LessThan, y, x)
    } else {
        b.ins().fcmp(FloatCC::LessThan, x, y)
    };
    let mask = cast(b, ty, wins);
    let best = b.ins().bitselect(mask, y, x);
    if number {
        return best;
    }
    let nan = b.ins().fcmp(FloatCC::Unordered, y, y);
    let nan = cast(b, ty, nan);
    b.ins().bitselect(nan, y, best)
}

/// The upper halves of the products of four pairs of u32.
fn multiply_high(b: &mut FunctionBuilder<'_>, x: Value, y: Value) -> Value {
    let mut half = |low: bool| {
        let (x, y) = if low {
            (b.ins().uwiden_low(x), b.ins().uwiden_low(y))
        } else {
            (b.ins().uwiden_high(x), b.ins().uwiden_high(y))
        };
        let product = b.ins().imul(x, y);
        cast(b, types::I8X16, product)
    };
    let (low, high) = (half(true), half(false));
    let picked = shuffle(b, low, high, [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]);
    cast(b, types::I32X4, picked)
}

/// `if condition { x } else { y }`; the condition is a bool value.
pub fn select(
    b: &mut FunctionBuilder<'_>,
    dtype: DType,
    condition: &[Value],
    x: &[Value],
    y: &[Value],
) -> Chunks {
    if dtype == DType::I64 {
        return (0..x.len())
            .map(|lane| {
                let c = extract(b, DType::Bool, condition, lane);
                b.ins().select(c, x[lane], y[lane])
            })
            .collect();
    }
    let masks = if dtype == DType::F64 { widen_masks(b, condition) } else { condition.to_vec() };
    let ty = chunk_type(dtype);
    (0..x.len())
        .map(|i| {
            let mask = cast(b, ty, masks[i]);
            b.ins().bitselect(mask, x[i], y[i])
        })
        .collect()
}

/// a · b + c.
pub fn mul_add(b: &mut FunctionBuilder<'_>, x: &[Value], y: &[Value], z: &[Value]) -> Chunks {
    (0..x.len()).map(|i| b.ins().fma(x[i], y[i], z[i])).collect()
}

/// The same bits as another type of the same size; `None` between i64 and f64, which are held differently.
pub fn bitcast(b: &mut FunctionBuilder<'_>, from: DType, to: DType, x: &[Value]) -> Option<Chunks> {
    if from == DType::I64 || to == DType::I64 {
        return None;
    }
    Some(map(x, |x| cast(b, chunk_type(to), x)))
}

/// Conversion; `None` where vectors have no such instruction.
pub fn convert(b: &mut FunctionBuilder<'_>, from: DType, to: DType, x: &[Value]) -> Option<Chunks> {
    use DType::{Bool, F32, F64, I32, I64, U8, U32};
    Some(match (from, to) {
        (I64, _) | (_, I64) => return None,
        (F32, I32) => map(x, |x| b.ins().fcvt_to_sint_sat(types::I32X4, x)),
        (F32, U8) => map(x, |x| {
            let wide = b.ins().fcvt_to_sint_sat(types::I32X4, x);
            let (zero, top) = (splat_i32(b, 0), splat_i32(b, 255));
            let positive = b.ins().smax(wide, zero);
            b.ins().smin(positive, top)
        }),
        (F32, U32) => map(x, |x| b.ins().fcvt_to_uint_sat(types::I32X4, x)),
        (U32, F32) => map(x, |x| b.ins().fcvt_from_uint(types::F32X4, x)),
        (I32 | U8, F32) => map(x, |x| b.ins().fcvt_from_sint(types::F32X4, x)),
        (Bool, F32) => map(x, |x| {
            let one = splat_i32(b, 1.0f32.to_bits() as i64);
            let bits = b.ins().band(x, one);
            cast(b, types::F32X4, bits)
        }),
        (F32, F64) => x
            .iter()
            .flat_map(|&x| {
                let low = b.ins().fvpromote_low(x);
                let bytes = cast(b, types::I8X16, x);
                let high =
                    shuffle(b, bytes, bytes, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);
                let high = cast(b, types::F32X4, high);
                [low, b.ins().fvpromote_low(high)]
            })
            .collect(),
        (F64, F32) => x
            .chunks(2)
            .map(|pair| {
                let (low, high) = (b.ins().fvdemote(pair[0]), b.ins().fvdemote(pair[1]));
                let (low, high) = (cast(b, types::I8X16, low), cast(b, types::I8X16, high));
                let both = shuffle(b, low, high, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
                cast(b, types::F32X4, both)
            })
            .collect(),
        (I32 | U8, F64) => x
            .iter()
            .flat_map(|&x| {
                let (low, high) = (b.ins().swiden_low(x), b.ins().swiden_high(x));
                [b.ins().fcvt_from_sint(types::F64X2, low), b.ins().fcvt_from_sint(types::F64X2, high)]
            })
            .collect(),
        (U32, F64) => x
            .iter()
            .flat_map(|&x| {
                let (low, high) = (b.ins().uwiden_low(x), b.ins().uwiden_high(x));
                [b.ins().fcvt_from_uint(types::F64X2, low), b.ins().fcvt_from_uint(types::F64X2, high)]
            })
            .collect(),
        (Bool, F64) => {
            let one = b.ins().f64const(1.0);
            let one = b.ins().splat(types::F64X2, one);
            let masks = widen_masks(b, x);
            map(&masks, |mask| {
                let mask = cast(b, types::F64X2, mask);
                b.ins().band(mask, one)
            })
        }
        (Bool, I32 | U32 | U8) => map(x, |x| b.ins().ineg(x)),
        (I32 | U32 | U8, Bool) => {
            let zero = splat_i32(b, 0);
            map(x, |x| b.ins().icmp(cranelift_codegen::ir::condcodes::IntCC::NotEqual, x, zero))
        }
        (F32 | F64, Bool) => {
            let zero = scalar::literal(b, bespoke_tensor::Scalar::from_f64(from, 0.0));
            let zeros = splat(b, from, x.len() * chunk_lanes(from), zero);
            return binary(b, BinaryFn::Ne, from, x, &zeros, true);
        }
        (I32 | U32, U8) => map(x, |x| low_byte(b, x)),
        (I32 | U8, U32) | (U32 | U8, I32) => x.to_vec(),
        _ => return None,
    })
}

fn map(x: &[Value], f: impl FnMut(Value) -> Value) -> Chunks {
    x.iter().copied().map(f).collect()
}

fn zip(x: &[Value], y: &[Value], mut f: impl FnMut(Value, Value) -> Value) -> Chunks {
    x.iter().zip(y).map(|(&x, &y)| f(x, y)).collect()
}

fn splat_i32(b: &mut FunctionBuilder<'_>, value: i64) -> Value {
    let x = b.ins().iconst(types::I32, value);
    b.ins().splat(types::I32X4, x)
}

fn low_byte(b: &mut FunctionBuilder<'_>, x: Value) -> Value {
    let mask = splat_i32(b, 255);
    b.ins().band(x, mask)
}

fn shuffle(b: &mut FunctionBuilder<'_>, x: Value, y: Value, bytes: [u8; 16]) -> Value {
    let mask = b.func.dfg.immediates.push(ConstantData::from(V128Imm(bytes)));
    b.ins().shuffle(x, y, mask)
}

/// Masks of 64 bits, two a chunk, as masks of 32 bits, four a chunk.
fn narrow_masks(b: &mut FunctionBuilder<'_>, masks: &[Value]) -> Chunks {
    masks
        .chunks(2)
        .map(|pair| {
            let (low, high) = (cast(b, types::I8X16, pair[0]), cast(b, types::I8X16, pair[1]));
            let picked = shuffle(b, low, high, [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]);
            cast(b, types::I32X4, picked)
        })
        .collect()
}

/// Masks of 32 bits as masks of 64 bits.
fn widen_masks(b: &mut FunctionBuilder<'_>, masks: &[Value]) -> Chunks {
    masks.iter().flat_map(|&m| [b.ins().swiden_low(m), b.ins().swiden_high(m)]).collect()
}
