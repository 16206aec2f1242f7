//! MNIST and sets in its format (Fashion-MNIST, KMNIST).

use std::path::{Path, PathBuf};

use bespoke_tensor::{DType, Tensor, Type};

use crate::{DataError, Split, TensorDataset, idx};

/// The number of classes.
pub const CLASSES: usize = 10;

/// The bundled digits: 10,000 training and 2,000 test images of MNIST, as many of each class, in a fixed random order.
/// Fields: `image`, `f32[28,28]` in `[0, 1]`, and `label`, a class in `i32`. Each call decompresses them anew.
///
/// ```
/// use bespoke_data::{Dataset, mnist_bundled};
///
/// let digits = mnist_bundled();
/// assert_eq!((digits.train.len(), digits.test.len(), digits.train.classes()), (10_000, 2_000, Some(10)));
/// assert_eq!(digits.test.field("image").unwrap().ty().to_string(), "f32[2000,28,28]");
/// ```
pub fn bundled() -> Split {
    macro_rules! part {
        ($name:literal, $file:literal) => {{
            let read = |bytes: &[u8]| idx::read_from(bytes).expect("the bundled files are whole");
            let images = read(include_bytes!(concat!("../assets/mnist/", $file, "-images-idx3-ubyte.gz")));
            let labels = read(include_bytes!(concat!("../assets/mnist/", $file, "-labels-idx1-ubyte.gz")));
            dataset($name, &images, &labels).expect("the bundled files fit each other")
        }};
    }
    Split { train: part!("bundled MNIST, training", "train"), test: part!("bundled MNIST, test", "t10k") }
}

/// Reads the four files of MNIST (or a set in its format with ten classes) from a directory: `train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, each plain or with `.gz`; a dot
/// before `idx` will do. Fields: `image`, `f32[h,w]` in `[0, 1]`, and `label`, a class in `i32`.
///
/// # Errors
/// [`DataError::File`] if a file is missing, broken (see [`idx::read`]), not of images or labels, has a label outside
/// `0..10`, or the numbers of images and labels differ.
///
/// ```no_run
/// use bespoke_data::{Dataset, mnist};
///
/// let digits = mnist::from_directory("mnist")?;
/// assert_eq!(digits.train.len(), 60_000);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn from_directory(path: impl AsRef<Path>) -> Result<Split, DataError> {
    let directory = path.as_ref();
    let part = |prefix: &str| {
        let images_path = find(directory, &format!("{prefix}-images"), "idx3-ubyte")?;
        let labels_path = find(directory, &format!("{prefix}-labels"), "idx1-ubyte")?;
        let (images, labels) = (idx::read(&images_path)?, idx::read(&labels_path)?);
        expect(&images, 3).map_err(|e| DataError::file(&images_path, e))?;
        expect(&labels, 1).map_err(|e| DataError::file(&labels_path, e))?;
        let (n, m) = (images.shape()[0], labels.shape()[0]);
        if n != m {
            let reason =
                format!("expected {n} labels, one for each image of {}, got {m}", images_path.display());
            return Err(DataError::file(&labels_path, reason));
        }
        let dataset = dataset(&labels_path.display().to_string(), &images, &labels)?;
        Ok(dataset.named(directory.join(prefix).display().to_string()))
    };
    Ok(Split { train: part("train")?, test: part("t10k")? })
}

/// Does a directory have such training images, in one of their usual spellings?
pub fn is_directory(path: impl AsRef<Path>) -> bool {
    find(path.as_ref(), "train-images", "idx3-ubyte").is_ok()
}

/// The file of this name, in one of its usual spellings.
fn find(directory: &Path, stem: &str, kind: &str) -> Result<PathBuf, DataError> {
    if !directory.is_dir() {
        return Err(DataError::file(
            directory,
            format!("expected a directory with {stem}-{kind} or {stem}-{kind}.gz"),
        ));
    }
    ["-", "."]
        .iter()
        .flat_map(|dot| ["", ".gz"].map(|gz| directory.join(format!("{stem}{dot}{kind}{gz}"))))
        .find(|path| path.exists())
        .ok_or_else(|| DataError::file(directory, format!("has neither {stem}-{kind} nor {stem}-{kind}.gz")))
}

/// Refuses all but bytes of this rank.
fn expect(tensor: &Tensor, rank: usize) -> Result<(), DataError> {
    if tensor.dtype() == DType::U8 && tensor.shape().rank() == rank {
        return Ok(());
    }
    let (what, expected) = if rank == 3 { ("images", "u8[n,height,width]") } else { ("labels", "u8[n]") };
    Err(DataError::Type {
        what: what.to_owned(),
        expected: expected.to_owned(),
        got: tensor.ty().to_string(),
    })
}

/// Images `u8[n,h,w]` and labels `u8[n]` as a data set.
fn dataset(name: &str, images: &Tensor, labels: &Tensor) -> Result<TensorDataset, DataError> {
    let mut image = Tensor::zeros(Type { dtype: DType::F32, ..images.ty() });
    for (to, &pixel) in image.view_mut::<f32>()?.iter_mut().zip(images.view::<u8>()?) {
        *to = f32::from(pixel) / 255.0;
    }
    let classes = labels.view::<u8>()?.iter().map(|&label| i32::from(label)).collect();
    let label = Tensor::from_vec([labels.elements()], classes)?;
    TensorDataset::new(name, [("image", image), ("label", label)])?.with_classes(CLASSES)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Dataset;

    fn idx_bytes(dims: &[u32], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes.extend(body);
        bytes
    }

    const NAMES: [&str; 4] = [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];

    /// Three training and two test images of 2 × 2.
    fn small() -> (tempfile::TempDir, [Vec<u8>; 4]) {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            idx_bytes(&[3, 2, 2], &[0, 51, 102, 153, 204, 255, 0, 0, 0, 0, 0, 255]),
            idx_bytes(&[3], &[7, 0, 9]),
            idx_bytes(&[2, 2, 2], &[255; 8]),
            idx_bytes(&[2], &[1, 2]),
        ];
        for (name, bytes) in NAMES.iter().zip(&files) {
            fs::write(directory.path().join(name), bytes).unwrap();
        }
        (directory, files)
    }

    #[test]
    fn the_bundled_digits_are_whole_and_stratified() {
        let digits = bundled();
        for (part, n) in [(&digits.train, 10_000), (&digits.test, 2_000)] {
            let (image, label) = (part.field("image").unwrap(), part.field("label").unwrap());
            assert_eq!(image.ty(), Type::new(DType::F32, [n, 28, 28]), "{}", part.name());
            assert_eq!(label.ty(), Type::new(DType::I32, [n]), "{}", part.name());
            assert_eq!(part.class_counts().unwrap(), [n / 10; 10], "{}", part.name());
            let pixels = image.view::<f32>().unwrap();
            let (low, high) = pixels.iter().fold((f32::MAX, f32::MIN), |(l, h), &p| (l.min(p), h.max(p)));
            assert_eq!((low, high), (0.0, 1.0), "{}", part.name());
            assert!(
                pixels.chunks(784).all(|image| image.iter().sum::<f32>() > 5.0),
                "{}: an empty image",
                part.name()
            );
            let labels = label.view::<i32>().unwrap();
            let first: std::collections::HashSet<_> = labels[..100].iter().collect();
            assert_eq!(first.len(), 10, "{}: the order is not random", part.name());
        }
        let pixels = digits.train.field("image").unwrap().view::<f32>().unwrap();
        let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / 7_840_000.0;
        assert!((mean - 0.1307).abs() < 0.005, "mean pixel {mean}; MNIST's is 0.1307");
    }

    #[test]
    fn a_directory_is_read() {
        let (directory, _) = small();
        let split = from_directory(directory.path()).unwrap();
        let expected = [0u8, 51, 102, 153, 204, 255, 0, 0, 0, 0, 0, 255].map(|p| f32::from(p) / 255.0);
        assert_eq!(split.train.field("image"), Some(&Tensor::from_slice([3, 2, 2], &expected).unwrap()));
        assert_eq!(split.train.field("label"), Some(&Tensor::from_vec([3], vec![7, 0, 9]).unwrap()));
        assert_eq!((split.test.len(), split.test.classes()), (2, Some(10)));
    }

    #[test]
    fn compressed_and_dotted_names_are_read() {
        use std::io::Write;
        let (directory, files) = small();
        for (name, bytes) in NAMES.iter().zip(&files) {
            fs::remove_file(directory.path().join(name)).unwrap();
            let path = directory.path().join(format!("{}.gz", name.replace("-idx", ".idx")));
            let mut encoder =
                flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), Default::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap();
        }
        assert!(is_directory(directory.path()) && !is_directory("no/such/place"));
        assert_eq!(from_directory(directory.path()).unwrap().train.len(), 3);
    }

    #[test]
    fn truncated_files_are_named() {
        let (directory, files) = small();
        for (name, bytes) in NAMES.iter().zip(&files) {
            let path = directory.path().join(name);
            for length in (0..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
                fs::write(&path, &bytes[..length]).unwrap();
                let error =
                    from_directory(directory.path()).expect_err("a truncated file was read").to_string();
                assert!(error.starts_with(&path.display().to_string()), "{error}");
            }
            fs::write(&path, bytes).unwrap();
        }
        from_directory(directory.path()).unwrap();
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let cases = [
            (1, idx_bytes(&[2], &[7, 0]), "expected 3 labels, one for each image of"),
            (1, idx_bytes(&[3], &[7, 0, 10]), "label 10 at index 2; expected labels from 0 to 9"),
            (3, idx_bytes(&[2, 2, 2], &[0; 8]), "labels: expected u8[n], got u8[2,2,2]"),
            (0, idx_bytes(&[3], &[0; 3]), "images: expected u8[n,height,width], got u8[3]"),
        ];
        for (which, bytes, reason) in cases {
            let (directory, _) = small();
            let path = directory.path().join(NAMES[which]);
            fs::write(&path, bytes).unwrap();
            let error = from_directory(directory.path()).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(reason), "{error}");
        }
        let (directory, _) = small();
        fs::remove_file(directory.path().join(NAMES[2])).unwrap();
        let error = from_directory(directory.path()).unwrap_err().to_string();
        assert!(
            error.contains("has neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz"),
            "{error}"
        );
        let error = from_directory("no/such/place").unwrap_err().to_string();
        assert!(error.starts_with("no/such/place: expected a directory"), "{error}");
    }
}
