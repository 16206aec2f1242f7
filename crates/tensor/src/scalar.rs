//! Single values.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use crate::DType;

/// One value of any element type. Equality, order and hash are by bits, so `NaN == NaN` and `0.0 != -0.0`.
///
/// ```
/// use bespoke_tensor::{DType, Scalar};
///
/// let x = Scalar::parse(DType::F32, "-0").unwrap();
/// assert_eq!(x, Scalar::F32(-0.0));
/// assert_ne!(x, Scalar::F32(0.0));
/// assert_eq!(Scalar::F64(-1.9).convert(DType::I32).to_string(), "-1");
/// ```
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

#[cfg(test)]
mod tests {
    use super::*;

    fn specials() -> Vec<Scalar> {
        let mut scalars = vec![];
        for bits in
            [0, 1, 0x7f80_0000, 0x7f80_0001, 0x7fc0_0000, 0x7fc0_0001, 0x7fff_ffff, 0x7f7f_ffff, 0x0080_0000]
        {
            scalars.extend([bits, bits | 1 << 31].map(|b: u32| Scalar::F32(f32::from_bits(b))));
        }
        for bits in
            [0, 1, 0x7ff << 52, (0x7ff << 52) + 1, 0xfff << 51, (0xfff << 51) + 1, u64::MAX >> 1, 1 << 52]
        {
            scalars.extend([bits, bits | 1 << 63].map(|b: u64| Scalar::F64(f64::from_bits(b))));
        }
        scalars.extend([0, 1, -1, i32::MIN, i32::MAX].map(Scalar::I32));
        scalars.extend([0, 1, -1, i64::MIN, i64::MAX].map(Scalar::I64));
        scalars.extend([0, 1, u8::MAX].map(Scalar::U8));
        scalars.extend([0, 1, u32::MAX].map(Scalar::U32));
        scalars.extend([false, true].map(Scalar::Bool));
        scalars
    }

    #[test]
    fn texts_read_back_to_the_same_bits() {
        let mut state = 1u64;
        let mut scalars = specials();
        for _ in 0..20_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            scalars.extend(
                DType::ALL.map(|d| Scalar::from_bits(d, state >> if d.size() == 8 { 0 } else { 32 })),
            );
        }
        for scalar in scalars {
            let text = scalar.to_string();
            let read = Scalar::parse(scalar.dtype(), &text);
            assert_eq!(read, Some(scalar), "{} written as `{text}`", scalar.dtype());
            assert!(text.len() <= 24, "`{text}` is long");
        }
    }

    #[test]
    fn texts_are_as_documented() {
        let texts: [(Scalar, &str); 12] = [
            (Scalar::F32(1.0), "1"),
            (Scalar::F32(0.1), "0.1"),
            (Scalar::F64(0.1), "0.1"),
            (Scalar::F32(-0.0), "-0"),
            (Scalar::F64(f64::NEG_INFINITY), "-inf"),
            (Scalar::F32(f32::NAN), "nan"),
            (Scalar::F64(f64::NAN), "nan"),
            (Scalar::F32(f32::from_bits(0x7fc0_0001)), "nan:0x7fc00001"),
            (Scalar::F32(1e-7), "1e-7"),
            (Scalar::F64(1e300), "1e300"),
            (Scalar::Bool(true), "true"),
            (Scalar::I64(-3), "-3"),
        ];
        for (scalar, text) in texts {
            assert_eq!(scalar.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for (dtype, text) in [
            (DType::F32, ""),
            (DType::F32, "1,5"),
            (DType::F32, "nan:0x0"),
            (DType::F32, "nan:0x7ff8000000000001"),
            (DType::F64, "nan:0x7fc00001"),
            (DType::I32, "nan:0x7fc00001"),
            (DType::I32, "2147483648"),
            (DType::I32, "1.0"),
            (DType::U8, "-1"),
            (DType::U8, "256"),
            (DType::Bool, "1"),
        ] {
            assert_eq!(Scalar::parse(dtype, text), None, "{dtype} from `{text}`");
        }
    }

    #[test]
    fn equality_is_by_bits_and_type() {
        assert_eq!(Scalar::F32(f32::NAN), Scalar::F32(f32::NAN));
        assert_ne!(Scalar::F32(0.0), Scalar::F32(-0.0));
        assert_ne!(Scalar::I32(0), Scalar::U32(0));
        for a in specials() {
            assert_eq!(Scalar::from_bits(a.dtype(), a.bits()), a);
            for b in specials() {
                assert_eq!(a == b, a.cmp(&b).is_eq(), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn conversions_are_rusts() {
        let convert = |s: Scalar, d| s.convert(d);
        assert_eq!(convert(Scalar::F32(-1.9), DType::I32), Scalar::I32(-1));
        assert_eq!(convert(Scalar::F64(1e10), DType::I32), Scalar::I32(i32::MAX));
        assert_eq!(convert(Scalar::F32(f32::NAN), DType::I64), Scalar::I64(0));
        assert_eq!(convert(Scalar::F32(-1.0), DType::U8), Scalar::U8(0));
        assert_eq!(convert(Scalar::I32(-1), DType::U8), Scalar::U8(255));
        assert_eq!(convert(Scalar::I32(-1), DType::U32), Scalar::U32(u32::MAX));
        assert_eq!(convert(Scalar::U32(u32::MAX), DType::I64), Scalar::I64(u32::MAX as i64));
        assert_eq!(convert(Scalar::F32(f32::NAN), DType::Bool), Scalar::Bool(true));
        assert_eq!(convert(Scalar::F64(-0.0), DType::Bool), Scalar::Bool(false));
        assert_eq!(convert(Scalar::I64(1 << 40), DType::Bool), Scalar::Bool(true));
        assert_eq!(convert(Scalar::Bool(true), DType::F64), Scalar::F64(1.0));
        assert_eq!(Scalar::from_f64(DType::F32, 0.1), Scalar::F32(0.1));
        assert_eq!((Scalar::Bool(true).to_i64(), Scalar::F32(1.0).to_i64()), (Some(1), None));
    }
}
