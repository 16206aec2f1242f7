//! Data sets: readers and the bundled digits.
//!
//! ```
//! use bespoke_data::{Dataset, mnist_bundled};
//!
//! let digits = mnist_bundled();
//! assert_eq!((digits.train.len(), digits.train.classes()), (10_000, Some(10)));
//! let fields: Vec<String> = digits.test.fields().iter().map(|f| format!("{}: {}", f.name, f.ty)).collect();
//! assert_eq!(fields, ["image: f32[28,28]", "label: i32[]"]);
//! ```

mod dataset;
mod error;
pub mod idx;
mod memory;
pub mod mnist;
mod shuffle;

pub use dataset::{Dataset, Field};
pub use error::DataError;
pub use memory::{Split, TensorDataset};
pub use mnist::bundled as mnist_bundled;
pub use shuffle::permutation;
