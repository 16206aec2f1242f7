//! Single values.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::DType;

/// One value of any element type. Equality, order and hash are by bits, so `NaN == NaN` and `0.0 != -0.0`.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    /// An [`DType::F32`].
    F32(f32),
    /// An [`DType::F64`].
    F64(f64),
    /// An [`DType::I32`].
    I32(i32),
    /// An [`DType::I64`].
    I64(i64),
    /// An [`DType::U8`].
    U8(u8),
    /// An [`DType::U32`].
    U32(u32),
    /// A [`DType::Bool`].
    Bool(bool),
}

impl Scalar {
    /// Its element type.
    pub const fn dtype(self) -> DType {
        match self {
            Scalar::F32(_) => DType::F32,
            Scalar::F64(_) => DType::F64,
            Scalar::I32(_) => DType::I32,
            Scalar::I64(_) => DType::I64,
            Scalar::U8(_) => DType::U8,
            Scalar::U32(_) => DType::U32,
            Scalar::Bool(_) => DType::Bool,
        }
    }

    /// Its bits, zero-extended.
    pub const fn bits(self) -> u64 {
        match self {
            Scalar::F32(v) => v.to_bits() as u64,
            Scalar::F64(v) => v.to_bits(),
            Scalar::I32(v) => v as u32 as u64,
            Scalar::I64(v) => v as u64,
            Scalar::U8(v) => v as u64,
            Scalar::U32(v) => v as u64,
            Scalar::Bool(v) => v as u64,
        }
    }

    /// The value of type `dtype` with these (zero-extended) bits; a bool is true if any bit is set.
    pub const fn from_bits(dtype: DType, bits: u64) -> Scalar {
        match dtype {
            DType::F32 => Scalar::F32(f32::from_bits(bits as u32)),
            DType::F64 => Scalar::F64(f64::from_bits(bits)),
            DType::I32 => Scalar::I32(bits as i32),
            DType::I64 => Scalar::I64(bits as i64),
            DType::U8 => Scalar::U8(bits as u8),
            DType::U32 => Scalar::U32(bits as u32),
            DType::Bool => Scalar::Bool(bits != 0),
        }
    }

    /// `value` rounded to `dtype`; out-of-range integers saturate, NaN becomes 0, a bool is `value != 0`.
    pub fn from_f64(dtype: DType, value: f64) -> Scalar {
        Scalar::F64(value).convert(dtype)
    }

    /// The value as `f64`; large `i64` are rounded, `true` is 1.
    pub const fn to_f64(self) -> f64 {
        match self {
            Scalar::F32(v) => v as f64,
            Scalar::F64(v) => v,
            Scalar::I32(v) => v as f64,
            Scalar::I64(v) => v as f64,
            Scalar::U8(v) => v as f64,
            Scalar::U32(v) => v as f64,
            Scalar::Bool(v) => v as u8 as f64,
        }
    }

    /// The value as `i64` if it is an integer or bool.
    pub const fn to_i64(self) -> Option<i64> {
        Some(match self {
            Scalar::I32(v) => v as i64,
            Scalar::I64(v) => v,
            Scalar::U8(v) => v as i64,
            Scalar::U32(v) => v as i64,
            Scalar::Bool(v) => v as i64,
            Scalar::F32(_) | Scalar::F64(_) => return None,
        })
    }

    /// Conversion between element types, Rust's `as`: integer to integer wraps, float to integer truncates toward
    /// zero and saturates with NaN to 0, to bool is `!= 0` (NaN is true).
    pub fn convert(self, dtype: DType) -> Scalar {
        if dtype == DType::Bool {
            return Scalar::Bool(match self {
                Scalar::F32(v) => v != 0.0,
                Scalar::F64(v) => v != 0.0,
                other => other.bits() != 0,
            });
        }
        macro_rules! cast {
            ($v:expr) => {
                match dtype {
                    DType::F32 => Scalar::F32($v as f32),
                    DType::F64 => Scalar::F64($v as f64),
                    DType::I32 => Scalar::I32($v as i32),
                    DType::I64 => Scalar::I64($v as i64),
                    DType::U8 => Scalar::U8($v as u8),
                    DType::U32 => Scalar::U32($v as u32),
                    DType::Bool => unreachable!("handled above"),
                }
            };
        }
        match self {
            Scalar::F32(v) => cast!(v),
            Scalar::F64(v) => cast!(v),
            Scalar::I32(v) => cast!(v),
            Scalar::I64(v) => cast!(v),
            Scalar::U8(v) => cast!(v),
            Scalar::U32(v) => cast!(v),
            Scalar::Bool(v) => cast!(v as u8),
        }
    }

    /// Reads what [`Display`](fmt::Display) writes for a value of type `dtype`.
    pub fn parse(dtype: DType, text: &str) -> Option<Scalar> {
        if let Some(hex) = text.strip_prefix("nan:0x") {
            let bits = u64::from_str_radix(hex, 16).ok()?;
            let value = Scalar::from_bits(dtype, bits);
            return (value.bits() == bits && value.to_f64().is_nan()).then_some(value);
        }
        Some(match dtype {
            DType::F32 if text == "nan" => Scalar::F32(f32::NAN),
            DType::F64 if text == "nan" => Scalar::F64(f64::NAN),
            DType::F32 => Scalar::F32(text.parse().ok()?),
            DType::F64 => Scalar::F64(text.parse().ok()?),
            DType::I32 => Scalar::I32(text.parse().ok()?),
            DType::I64 => Scalar::I64(text.parse().ok()?),
            DType::U8 => Scalar::U8(text.parse().ok()?),
            DType::U32 => Scalar::U32(text.parse().ok()?),
            DType::Bool => Scalar::Bool(text.parse().ok()?),
        })
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.dtype() == other.dtype() && self.bits() == other.bits()
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Scalar) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Scalar) -> std::cmp::Ordering {
        (self.dtype(), self.bits()).cmp(&(other.dtype(), other.bits()))
    }
}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.dtype().hash(state);
        self.bits().hash(state);
    }
}

/// The shortest text that reads back to the same bits: `1`, `0.1`, `-0`, `inf`, `nan`, `nan:0x7fc00001`, `true`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Scalar::F32(v) if v.is_nan() && v.to_bits() != f32::NAN.to_bits() => {
                write!(f, "nan:{:#x}", v.to_bits())
            }
            Scalar::F64(v) if v.is_nan() && v.to_bits() != f64::NAN.to_bits() => {
                write!(f, "nan:{:#x}", v.to_bits())
            }
            Scalar::F32(v) if v.is_nan() => f.write_str("nan"),
            Scalar::F64(v) if v.is_nan() => f.write_str("nan"),
            Scalar::F32(v) if v != 0.0 && v.is_finite() && !(1e-5..1e7).contains(&v.abs()) => {
                write!(f, "{v:e}")
            }
            Scalar::F64(v) if v != 0.0 && v.is_finite() && !(1e-5..1e16).contains(&v.abs()) => {
                write!(f, "{v:e}")
            }
            Scalar::F32(v) => write!(f, "{v}"),
            Scalar::F64(v) => write!(f, "{v}"),
            Scalar::I32(v) => write!(f, "{v}"),
            Scalar::I64(v) => write!(f, "{v}"),
            Scalar::U8(v) => write!(f, "{v}"),
            Scalar::U32(v) => write!(f, "{v}"),
            Scalar::Bool(v) => write!(f, "{v}"),
        }
    }
}
