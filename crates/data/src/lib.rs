//! Data sets: readers, augmentation, and the loader that feeds training.
//!
//! ```
//! use bespoke_data::{Dataset, mnist_bundled};
//!
//! let digits = mnist_bundled();
//! assert_eq!((digits.train.len(), digits.train.classes()), (10_000, Some(10)));
//! let fields: Vec<String> = digits.test.fields().iter().map(|f| format!("{}: {}", f.name, f.ty)).collect();
//! assert_eq!(fields, ["image: f32[28,28]", "label: i32[]"]);
//! ```

pub mod augment;
mod bundled;
pub mod cifar;
mod combine;
mod csv;
mod dataset;
mod draws;
mod error;
pub mod idx;
mod images;
mod loader;
mod memory;
pub mod mnist;
mod partition;
mod resized;
mod scale;
mod series;
mod shuffle;
mod text;
mod transform;

pub use bundled::{iris_bundled, pairs_bundled, shakespeare_bundled, sunspots_bundled};
pub use combine::{Concatenated, Mapped, Subset, concat, map, transformed};
pub use csv::{Csv, Table};
pub use dataset::{Dataset, Field};
pub use draws::Draws;
pub use error::DataError;
pub use images::{ByteImages, ImageFolder};
pub use loader::{Batch, Loader};
pub use memory::{Split, TensorDataset};
pub use mnist::bundled as mnist_bundled;
pub use partition::{partition, partition_in_order, stratified_partition};
pub use resized::resized;
pub use scale::{Per, Scaler};
pub use series::SeriesWindows;
pub use shuffle::permutation;
pub use text::{
    BEGIN, BytePair, CharTokenizer, Corpus, END, PADDING, Pairs, SPECIAL, Tokenizer, read_pairs, read_text,
};
pub use transform::{Sometimes, Then, Transform};
