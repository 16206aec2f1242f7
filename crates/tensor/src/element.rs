//! Rust types that are element types.

use bytemuck::{CheckedBitPattern, NoUninit};

use crate::{DType, Scalar};

mod sealed {
    pub trait Sealed {}
}

/// A Rust type whose values are elements of a [`Tensor`](crate::Tensor); sealed.
pub trait Element:
    sealed::Sealed
    + NoUninit
    + CheckedBitPattern
    + Copy
    + Default
    + PartialEq
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
    /// The element type.
    const DTYPE: DType;

    /// This value as a [`Scalar`].
    fn scalar(self) -> Scalar;
}

macro_rules! elements {
    ($($rust:ty => $variant:ident),*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DTYPE: DType = DType::$variant;
            fn scalar(self) -> Scalar {
                Scalar::$variant(self)
            }
        }
        impl From<$rust> for Scalar {
            fn from(value: $rust) -> Scalar {
                Scalar::$variant(value)
            }
        }
    )*};
}

elements!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, u8 => U8, u32 => U32, bool => Bool);
