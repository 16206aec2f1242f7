//! Shapes and types.

use std::{fmt, ops::Deref, str::FromStr};

use crate::{DType, TensorError};

/// The largest number of dimensions.
pub const MAX_RANK: usize = 8;

/// The extents of a tensor, outermost first: rank 0 to [`MAX_RANK`], zero-sized dimensions legal. It is `Copy` and
/// dereferences to its slice of dimensions.
///
/// ```
/// use bespoke_tensor::Shape;
///
/// let shape = Shape::from([2, 3, 4]);
/// assert_eq!((shape.rank(), shape.elements(), shape[1]), (3, 24, 3));
/// assert_eq!(shape.strides(), [12, 4, 1]);
/// assert!(Shape::new(&[usize::MAX, 2]).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    dims: [usize; MAX_RANK], // unused ones are zero, so that derived equality holds
    rank: u8,
}

impl Shape {
    /// The shape of a scalar: rank 0, one element.
    pub const SCALAR: Shape = Shape { dims: [0; MAX_RANK], rank: 0 };

    /// A shape of these dimensions.
    ///
    /// # Errors
    /// [`TensorError::Rank`] beyond rank 8, [`TensorError::TooLarge`] if the elements cannot be addressed.
    pub fn new(dims: &[usize]) -> Result<Shape, TensorError> {
        if dims.len() > MAX_RANK {
            return Err(TensorError::Rank(dims.len()));
        }
        // Zero dimensions do not excuse the others: strides must be computable too.
        let mut elements = 1usize;
        for &d in dims {
            elements = elements
                .checked_mul(d.max(1))
                .filter(|&e| e <= isize::MAX as usize / 16)
                .ok_or_else(|| TensorError::TooLarge(dims.to_vec()))?;
        }
        let mut shape = Shape { dims: [0; MAX_RANK], rank: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        Ok(shape)
    }

    /// The dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank as usize]
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The number of elements: the product of the dimensions, 1 for a scalar.
    pub fn elements(&self) -> usize {
        self.dims().iter().product()
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for axis in (1..self.rank()).rev() {
            strides[axis - 1] = strides[axis] * self.dims[axis];
        }
        strides
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

macro_rules! from_arrays {
    ($($n:literal),*) => {$(
        /// For dimensions written in a program; use [`Shape::new`] for those a user may choose.
        ///
        /// # Panics
        /// If the elements cannot be addressed.
        impl From<[usize; $n]> for Shape {
            fn from(dims: [usize; $n]) -> Shape {
                Shape::new(&dims).unwrap_or_else(|e| panic!("{e}"))
            }
        }
    )*};
}

from_arrays!(0, 1, 2, 3, 4, 5, 6, 7, 8);

impl TryFrom<&[usize]> for Shape {
    type Error = TensorError;

    fn try_from(dims: &[usize]) -> Result<Shape, TensorError> {
        Shape::new(dims)
    }
}

/// `[2,3]`; `[]` for a scalar.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.dims().iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Element type and shape.
///
/// ```
/// use bespoke_tensor::{DType, Type};
///
/// let ty: Type = "f32[2,3]".parse()?;
/// assert_eq!(ty, Type::new(DType::F32, [2, 3]));
/// assert_eq!(ty.bytes(), 24);
/// # Ok::<(), bespoke_tensor::TensorError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type {
    /// The element type.
    pub dtype: DType,
    /// The shape.
    pub shape: Shape,
}

impl Type {
    /// The type of tensors of `dtype` and `shape`.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> Type {
        Type { dtype, shape: shape.into() }
    }

    /// The type of a scalar.
    pub fn scalar(dtype: DType) -> Type {
        Type { dtype, shape: Shape::SCALAR }
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// The bytes of all elements, without padding.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }
}

/// `f32[2,3]`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Type {
    type Err = TensorError;

    fn from_str(text: &str) -> Result<Type, TensorError> {
        let bad = || TensorError::BadType(text.to_owned());
        let (dtype, rest) = text.split_once('[').ok_or_else(bad)?;
        let inner = rest.strip_suffix(']').ok_or_else(bad)?;
        let dims: Vec<usize> = if inner.trim().is_empty() {
            vec![]
        } else {
            inner.split(',').map(|d| d.trim().parse().map_err(|_| bad())).collect::<Result<_, _>>()?
        };
        Ok(Type { dtype: dtype.trim().parse()?, shape: Shape::new(&dims)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_strides() {
        for (dims, elements, strides) in [
            (&[][..], 1, &[][..]),
            (&[5], 5, &[1]),
            (&[2, 3, 4], 24, &[12, 4, 1]),
            (&[2, 0, 4], 0, &[0, 4, 1]),
            (&[1; 8], 1, &[1; 8]),
        ] {
            let shape = Shape::new(dims).unwrap();
            assert_eq!(
                (shape.rank(), shape.elements(), &shape.strides()[..]),
                (dims.len(), elements, strides),
                "{shape}"
            );
            assert_eq!(&shape[..], dims);
        }
        assert_eq!(Shape::new(&[]).unwrap(), Shape::SCALAR);
    }

    #[test]
    fn shapes_out_of_bounds_are_errors() {
        let rank = Shape::new(&[1; 9]).unwrap_err().to_string();
        assert!(rank.contains("rank 9") && rank.contains("at most 8"), "{rank}");
        for dims in [&[usize::MAX][..], &[1 << 31, 1 << 31, 4], &[0, usize::MAX, 2]] {
            let error = Shape::new(dims).unwrap_err().to_string();
            assert!(error.contains("too many elements"), "{error}");
        }
    }

    #[test]
    #[should_panic(expected = "too many elements")]
    fn arrays_out_of_bounds_do_not_wrap() {
        let _ = Shape::from([1 << 63, 2]);
    }

    #[test]
    fn texts_round_trip() {
        for dtype in DType::ALL {
            for dims in [&[][..], &[0], &[2, 3], &[1, 2, 3, 4, 5, 6, 7, 8]] {
                let ty = Type { dtype, shape: Shape::new(dims).unwrap() };
                assert_eq!(ty.to_string().parse::<Type>().unwrap(), ty);
            }
        }
        assert_eq!(" f32 [ 2 , 3 ]".parse::<Type>().unwrap().to_string(), "f32[2,3]");
        for text in [
            "",
            "f32",
            "f32[",
            "f32]",
            "f32[2,]",
            "f32[-1]",
            "f32[2][3]",
            "f16[2]",
            "[2]",
            "f32[99999999999999999999]",
        ] {
            let error = text.parse::<Type>().unwrap_err().to_string();
            assert!(error.contains("expected"), "`{text}`: {error}");
        }
        assert!("f32[9223372036854775807,2]".parse::<Type>().is_err());
    }
}
