//! Element types, shapes and host tensors.
//!
//! A [`Tensor`] is a dense row-major array in host memory: a [`Type`] (element type and shape) and 64-byte aligned
//! storage that is padded to whole 64-byte lines, so that vector code may read past the last element.
//!
//! ```
//! use bespoke_tensor::{DType, Tensor};
//!
//! let t = Tensor::from_vec([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//! assert_eq!(t.ty().to_string(), "f32[2,3]");
//! assert_eq!(t.view::<f32>()?[4], 5.0);
//! assert!(t.view::<f64>().is_err());
//! # Ok::<(), bespoke_tensor::TensorError>(())
//! ```

mod dtype;
mod element;
mod error;
mod file;
pub mod npy;
mod npz;
mod scalar;
mod shape;
mod tensor;

pub use dtype::DType;
pub use element::Element;
pub use error::TensorError;
pub use file::write_aside;
pub use scalar::Scalar;
pub use shape::{MAX_RANK, Shape, Type};
pub use tensor::Tensor;
