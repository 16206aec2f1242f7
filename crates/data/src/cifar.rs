//! CIFAR-10 and CIFAR-100 in their binary form (Krizhevsky, *Learning multiple layers of features from tiny images*, 2009).
//!
//! A file is rows of one byte (CIFAR-10: the class) or two (CIFAR-100: one of 20 coarse classes, one of 100), then 3 × 32 × 32 bytes:
//! red, green, blue, each row by row.

use std::{fs, path::Path};

use bespoke_tensor::Tensor;

use crate::{ByteImages, DataError, TensorDataset};

const PIXELS: usize = 3 * 32 * 32;

/// Training and test images.
#[derive(Clone, Debug)]
pub struct Cifar {
    /// The images to learn from.
    pub train: ByteImages,
    /// Held-out images.
    pub test: ByteImages,
}

/// Reads CIFAR-10 from the directory of its binary version: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`. Fields:
/// `image`, `f32[3,32,32]` in `[0, 1]`, and `label`, a class in `i32`.
///
/// # Errors
/// [`DataError::File`] if a file is missing, not made of whole rows, or has a label outside `0..10`.
///
/// ```no_run
/// use bespoke_data::{Dataset, cifar};
///
/// let cifar = cifar::read_10("cifar-10-batches-bin")?;
/// assert_eq!(cifar.train.len(), 50_000);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn read_10(directory: impl AsRef<Path>) -> Result<Cifar, DataError> {
    let directory = directory.as_ref();
    let train: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
    let labels = [("label", 10)];
    Ok(Cifar {
        train: read(directory, &train, &labels)?,
        test: read(directory, &["test_batch.bin".to_owned()], &labels)?,
    })
}

/// Reads CIFAR-100 from the directory of its binary version: `train.bin` and `test.bin`. Fields: those of [`read_10`], with 100 classes,
/// and `coarse`, one of 20 in `i32`.
///
/// # Errors
/// Those of [`read_10`].
pub fn read_100(directory: impl AsRef<Path>) -> Result<Cifar, DataError> {
    let directory = directory.as_ref();
    let labels = [("coarse", 20), ("label", 100)];
    let part = |file: &str| read(directory, &[file.to_owned()], &labels);
    Ok(Cifar { train: part("train.bin")?, test: part("test.bin")? })
}

/// The rows of files, which begin with a byte for each of these labels: name and number of classes.
fn read(directory: &Path, files: &[String], labels: &[(&str, u8)]) -> Result<ByteImages, DataError> {
    let (row, mut pixels, mut values) = (labels.len() + PIXELS, vec![], vec![vec![]; labels.len()]);
    for file in files {
        let path = directory.join(file);
        let bytes = fs::read(&path).map_err(|e| DataError::file(&path, e))?;
        if bytes.is_empty() || bytes.len() % row != 0 {
            let reason = format!("expected whole rows of {row} bytes, got {} bytes", bytes.len());
            return Err(DataError::file(&path, reason));
        }
        for (i, row) in bytes.chunks_exact(row).enumerate() {
            for (k, &(name, classes)) in labels.iter().enumerate() {
                if row[k] >= classes {
                    let reason =
                        format!("{name} {} at index {i}; expected labels from 0 to {}", row[k], classes - 1);
                    return Err(DataError::file(&path, reason));
                }
                values[k].push(i32::from(row[k]));
            }
            pixels.extend_from_slice(&row[labels.len()..]);
        }
    }
    let n = values[0].len();
    let tensor = |values| Tensor::from_vec([n], values);
    let mut fields = vec![];
    // The label first: models take fields in order too.
    for (&(name, _), values) in labels.iter().zip(values).rev() {
        fields.push((name, tensor(values)?));
    }
    let classes = usize::from(labels[labels.len() - 1].1);
    let name = format!("{} of {}", files.join(", "), directory.display());
    let others = TensorDataset::new(name, fields)?.with_classes(classes)?;
    ByteImages::new(Tensor::from_vec([n, 3, 32, 32], pixels)?, others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    /// Rows whose pixels are channel · 80 + index.
    fn rows(labels: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![];
        for (i, labels) in labels.iter().enumerate() {
            bytes.extend_from_slice(labels);
            bytes.extend((0..PIXELS).map(|p| (p / 1024 * 80 + i) as u8));
        }
        bytes
    }

    #[test]
    fn both_forms_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(directory.path().join(name), bytes).unwrap();
        (1..=5u8).for_each(|i| write(&format!("data_batch_{i}.bin"), rows(&[&[i], &[9]])));
        write("test_batch.bin", rows(&[&[0]]));
        write("train.bin", rows(&[&[19, 99], &[3, 7]]));
        write("test.bin", rows(&[&[0, 1]]));
        let ten = read_10(directory.path()).unwrap();
        assert_eq!((ten.train.len(), ten.test.len(), ten.train.classes()), (10, 1, Some(10)));
        assert_eq!(ten.train.labels().unwrap(), [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
        let hundred = read_100(directory.path()).unwrap();
        assert_eq!((hundred.train.labels().unwrap(), hundred.train.classes()), (vec![99, 7], Some(100)));
        let fields: Vec<String> =
            hundred.train.fields().iter().map(|f| format!("{} {}", f.name, f.ty)).collect();
        assert_eq!(fields, ["image f32[3,32,32]", "label i32[]", "coarse i32[]"]);
        let sample = hundred.train.sample(1).unwrap();
        let pixels = sample[0].view::<f32>().unwrap();
        assert_eq!(
            [pixels[0], pixels[1023], pixels[1024], pixels[3071]],
            [1.0, 1.0, 81.0, 161.0].map(|p: f32| p / 255.0)
        );
        assert_eq!(sample[1..], [Tensor::scalar(7i32), Tensor::scalar(3i32)]);
        let mut batch = hundred.train.allocate(2).unwrap();
        hundred.train.gather(&[1, 0], &mut batch).unwrap();
        assert_eq!(batch[0].view::<f32>().unwrap()[..3072], *pixels);
        assert!(hundred.train.sample(2).is_err());
        assert_eq!(hundred.train.pixels().ty().to_string(), "u8[2,3,32,32]");
    }

    #[test]
    fn broken_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("train.bin");
        fs::write(directory.path().join("test.bin"), rows(&[&[0, 1]])).unwrap();
        let whole = rows(&[&[19, 99], &[20, 7]]);
        for (bytes, reason) in [
            (&whole[..], "coarse 20 at index 1; expected labels from 0 to 19"),
            (&whole[..3000], "expected whole rows of 3074 bytes, got 3000 bytes"),
            (&whole[..0], "expected whole rows of 3074 bytes, got 0 bytes"),
            (&rows(&[&[1, 100]])[..], "label 100 at index 0; expected labels from 0 to 99"),
        ] {
            fs::write(&path, bytes).unwrap();
            let error = read_100(directory.path()).unwrap_err().to_string();
            assert_eq!(error, format!("{}: {reason}", path.display()));
        }
        let error = read_10(directory.path()).unwrap_err().to_string();
        assert!(error.contains("data_batch_1.bin: No such file"), "{error}");
    }
}
