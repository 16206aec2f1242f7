//! Host tensors.

use std::{fmt, sync::Arc};

use bytemuck::{AnyBitPattern, Pod, Zeroable};

use crate::{DType, Element, Scalar, Shape, TensorError, Type};

// Element bytes are copied to and from `u64` bits, files and registers as they are.
const _: () = assert!(cfg!(target_endian = "little"), "only little-endian machines are supported");

/// One cache line; storage is made of whole ones.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A dense row-major array in host memory. Cloning shares the storage; writing to shared storage copies it first.
/// Equality is by type and bits.
///
/// ```
/// use bespoke_tensor::Tensor;
///
/// let mut a = Tensor::full([2], 1.0f32);
/// let b = a.clone();
/// a.view_mut::<f32>()?[0] = 3.0;
/// assert_eq!((a.view::<f32>()?, b.view::<f32>()?), (&[3.0, 1.0][..], &[1.0, 1.0][..]));
/// # Ok::<(), bespoke_tensor::TensorError>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    ty: Type,
    lines: Arc<Vec<Line>>,
}

impl Tensor {
    /// All elements zero (false).
    pub fn zeros(ty: Type) -> Tensor {
        // At least one line: code may form the address of a first element that does not exist.
        let lines = ty.bytes().div_ceil(64).max(1);
        Tensor { ty, lines: Arc::new(vec![Line::zeroed(); lines]) }
    }

    /// [`Tensor::zeros`] where the memory may not be there.
    ///
    /// # Errors
    /// [`TensorError::Memory`] if the system does not give it.
    pub fn try_zeros(ty: Type) -> Result<Tensor, TensorError> {
        Tensor::check_memory(ty)?;
        Ok(Tensor::zeros(ty))
    }

    /// Would the system give the memory for a tensor of this type?
    ///
    /// # Errors
    /// [`TensorError::Memory`] if not.
    pub fn check_memory(ty: Type) -> Result<(), TensorError> {
        let bytes = ty.bytes();
        Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| TensorError::Memory(ty, bytes))
    }

    /// All elements `value`.
    pub fn full(shape: impl Into<Shape>, value: impl Into<Scalar>) -> Tensor {
        let value = value.into();
        let mut tensor = Tensor::zeros(Type::new(value.dtype(), shape));
        let size = value.dtype().size();
        let bits = value.bits().to_le_bytes();
        for element in tensor.bytes_mut().chunks_exact_mut(size) {
            element.copy_from_slice(&bits[..size]);
        }
        tensor
    }

    /// A tensor of rank 0.
    pub fn scalar(value: impl Into<Scalar>) -> Tensor {
        Tensor::full([], value)
    }

    /// A tensor of `values` in row-major order.
    ///
    /// # Errors
    /// [`TensorError::WrongLength`] if their number is not the shape's.
    pub fn from_vec<T: Element>(shape: impl Into<Shape>, values: Vec<T>) -> Result<Tensor, TensorError> {
        Tensor::from_slice(shape, &values)
    }

    /// A tensor of `values` in row-major order.
    ///
    /// # Errors
    /// [`TensorError::WrongLength`] if their number is not the shape's.
    pub fn from_slice<T: Element>(shape: impl Into<Shape>, values: &[T]) -> Result<Tensor, TensorError> {
        let shape = shape.into();
        if shape.elements() != values.len() {
            return Err(TensorError::WrongLength { shape, expected: shape.elements(), got: values.len() });
        }
        let mut tensor = Tensor::zeros(Type::new(T::DTYPE, shape));
        tensor.bytes_mut().copy_from_slice(bytemuck::cast_slice(values));
        Ok(tensor)
    }

    /// A tensor of the values that `f` gives for each flat index.
    pub fn from_fn(ty: Type, mut f: impl FnMut(usize) -> Scalar) -> Tensor {
        let mut tensor = Tensor::zeros(ty);
        let size = ty.dtype.size();
        for (i, element) in tensor.bytes_mut().chunks_exact_mut(size).enumerate() {
            element.copy_from_slice(&f(i).convert(ty.dtype).bits().to_le_bytes()[..size]);
        }
        tensor
    }

    /// Element type and shape.
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.ty.dtype
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.ty.shape
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.ty.elements()
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] if they are of another type.
    pub fn view<T: Element>(&self) -> Result<&[T], TensorError> {
        self.expect(T::DTYPE)?;
        // A bool of another byte than 0 and 1 can come from nowhere: writers are typed.
        Ok(bytemuck::checked::cast_slice(self.bytes()))
    }

    /// The elements in row-major order, to be written. Shared storage is copied first.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] if they are of another type.
    pub fn view_mut<T: Element + AnyBitPattern>(&mut self) -> Result<&mut [T], TensorError> {
        self.expect(T::DTYPE)?;
        Ok(bytemuck::cast_slice_mut(self.bytes_mut()))
    }

    /// A copy of the elements.
    ///
    /// # Errors
    /// [`TensorError::WrongDType`] if they are of another type.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>, TensorError> {
        Ok(self.view::<T>()?.to_vec())
    }

    /// The element at flat index `i`.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, i: usize) -> Scalar {
        let size = self.ty.dtype.size();
        let mut bits = [0; 8];
        bits[..size].copy_from_slice(&self.bytes()[i * size..(i + 1) * size]);
        Scalar::from_bits(self.ty.dtype, u64::from_le_bytes(bits))
    }

    /// All elements as scalars, in row-major order.
    pub fn scalars(&self) -> impl Iterator<Item = Scalar> + '_ {
        (0..self.elements()).map(|i| self.get(i))
    }

    /// The bytes of the elements, in the machine's order.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(self.lines.as_slice())[..self.ty.bytes()]
    }

    /// The bytes of the elements, to be written. Shared storage is copied first. For a bool, write 0 or 1.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.ty.bytes();
        &mut bytemuck::cast_slice_mut(Arc::make_mut(&mut self.lines).as_mut_slice())[..bytes]
    }

    /// The address of the storage: 64-byte aligned and padded to whole 64-byte lines.
    pub fn as_ptr(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }

    /// The address of the storage for writing. Shared storage is copied first.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        Arc::make_mut(&mut self.lines).as_mut_ptr().cast()
    }

    /// Does no other tensor share the storage?
    pub fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.lines).is_some()
    }

    /// The same elements under another shape; the storage is shared.
    ///
    /// # Errors
    /// [`TensorError::WrongLength`] if the shape has another number of elements.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Tensor, TensorError> {
        let shape = shape.into();
        if shape.elements() != self.elements() {
            return Err(TensorError::WrongLength { shape, expected: shape.elements(), got: self.elements() });
        }
        Ok(Tensor { ty: Type { dtype: self.ty.dtype, shape }, lines: self.lines.clone() })
    }

    fn expect(&self, expected: DType) -> Result<(), TensorError> {
        if self.ty.dtype == expected {
            Ok(())
        } else {
            Err(TensorError::WrongDType { expected, got: self.ty })
        }
    }
}

/// Equal types and equal bits.
impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        self.ty == other.ty && self.bytes() == other.bytes()
    }
}

impl Eq for Tensor {}

impl std::hash::Hash for Tensor {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.ty.hash(state);
        self.bytes().hash(state);
    }
}

/// The type and the first elements.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.ty)?;
        for (i, s) in self.scalars().take(8).enumerate() {
            write!(f, "{}{s}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(if self.elements() > 8 { ", …]" } else { "]" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_aligned_and_padded() {
        for dtype in DType::ALL {
            for n in [0, 1, 7, 8, 15, 16, 17, 64, 65, 1000] {
                let mut tensor = Tensor::zeros(Type::new(dtype, [n]));
                assert_eq!(tensor.as_ptr() as usize % 64, 0, "{}", tensor.ty());
                assert_eq!(tensor.as_mut_ptr() as usize % 64, 0, "{}", tensor.ty());
                assert!(tensor.lines.len() * 64 >= tensor.ty().bytes().max(1), "{}", tensor.ty());
                assert_eq!(tensor.bytes().len(), n * dtype.size());
                assert_eq!(tensor.bytes().as_ptr(), tensor.as_ptr());
            }
        }
    }

    #[test]
    fn views_refuse_other_types() {
        fn refused<T: Element>(tensor: &Tensor) -> bool {
            match tensor.view::<T>() {
                Ok(view) => {
                    assert_eq!(view.len(), tensor.elements());
                    false
                }
                Err(error) => {
                    assert_eq!(
                        error.to_string(),
                        format!("expected a tensor of {}, got {}", T::DTYPE, tensor.ty())
                    );
                    true
                }
            }
        }
        for dtype in DType::ALL {
            let tensor = Tensor::zeros(Type::new(dtype, [2, 3]));
            let refusals = [
                refused::<f32>(&tensor),
                refused::<f64>(&tensor),
                refused::<i32>(&tensor),
                refused::<i64>(&tensor),
                refused::<u8>(&tensor),
                refused::<u32>(&tensor),
                refused::<bool>(&tensor),
            ];
            assert_eq!(refusals, DType::ALL.map(|d| d != dtype), "{dtype}");
        }
        let mut tensor = Tensor::zeros(Type::new(DType::F32, [2]));
        assert!(tensor.view_mut::<i32>().is_err());
        assert!(tensor.to_vec::<u32>().is_err());
    }

    #[test]
    fn clones_share_until_written() {
        let mut a = Tensor::full([3], 1i32);
        let b = a.clone();
        assert_eq!(a.as_ptr(), b.as_ptr());
        assert!(!a.is_unique());
        a.view_mut::<i32>().unwrap()[1] = 7;
        assert_eq!((a.to_vec::<i32>().unwrap(), b.to_vec::<i32>().unwrap()), (vec![1, 7, 1], vec![1, 1, 1]));
        assert!(a.is_unique());
    }

    #[test]
    fn constructors_agree() {
        let ty = Type::new(DType::F64, [2, 2]);
        let a = Tensor::from_fn(ty, |i| Scalar::I32(i as i32));
        let b = Tensor::from_vec([2, 2], vec![0.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.scalars().collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0].map(Scalar::F64));
        assert_eq!(Tensor::zeros(ty), Tensor::full([2, 2], 0.0f64));
        assert_ne!(Tensor::full([2, 2], -0.0f64), Tensor::full([2, 2], 0.0f64));
        assert_eq!(Tensor::scalar(f32::NAN), Tensor::scalar(f32::NAN));
        assert_eq!(Tensor::scalar(true).view::<bool>().unwrap(), [true]);
        let error = Tensor::from_slice([2, 2], &[1u8]).unwrap_err().to_string();
        assert_eq!(error, "[2,2] has 4 elements, got 1 values");
    }

    #[test]
    fn reshape_shares_and_counts() {
        let a = Tensor::from_vec([2, 3], vec![1u8, 2, 3, 4, 5, 6]).unwrap();
        let b = a.reshape([3, 2, 1]).unwrap();
        assert_eq!((b.as_ptr(), b.bytes(), b.shape()), (a.as_ptr(), a.bytes(), Shape::from([3, 2, 1])));
        assert!(a.reshape([5]).is_err());
        assert!(a.reshape([]).is_err());
        assert_eq!(Tensor::zeros(Type::new(DType::F32, [0, 3])).reshape([5, 0]).unwrap().elements(), 0);
    }

    #[test]
    fn debug_text_is_short() {
        assert_eq!(format!("{:?}", Tensor::scalar(1.5f32)), "f32[] [1.5]");
        assert_eq!(format!("{:?}", Tensor::full([9], 1u8)), "u8[9] [1, 1, 1, 1, 1, 1, 1, 1, …]");
    }
}
