//! Data sets: readers, batches and the bundled digits.
//!
//! ```
//! use bespoke_data::{batches, mnist_bundled};
//!
//! let digits = mnist_bundled();
//! assert_eq!(digits.train.inputs.ty().to_string(), "f32[10000,784]");
//! assert_eq!(digits.test.labels.ty().to_string(), "i32[2000]");
//! for (images, labels) in batches(&digits.test, 128, Some(1), 0)?.drop_last() {
//!     assert_eq!((images.shape()[0], labels.elements()), (128, 128));
//! }
//! # Ok::<(), bespoke_data::DataError>(())
//! ```

mod batch;
mod dataset;
mod error;
pub mod idx;
pub mod mnist;
mod shuffle;

pub use batch::{Batches, batches, gather_rows};
pub use dataset::{Dataset, Split};
pub use error::DataError;
pub use mnist::bundled as mnist_bundled;
pub use shuffle::permutation;
