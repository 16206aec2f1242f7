//! Images: bytes in memory, and folders of files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bespoke_tensor::{DType, Tensor, Type};
use image::imageops::FilterType;

use crate::{DataError, Dataset, Field, TensorDataset, dataset::check_batch};

/// Images in memory as bytes, a quarter of what they take as numbers; each is given as `image`, `f32` in `[0, 1]`, beside the other
/// fields.
#[derive(Clone, Debug)]
pub struct ByteImages {
    pixels: Tensor,
    others: TensorDataset,
    fields: Vec<Field>,
}

impl ByteImages {
    /// Images `u8[n,…]` and other fields of as many examples.
    ///
    /// # Errors
    /// [`DataError::Type`] if the images are no bytes, or of another number; [`DataError::Fields`] if another field is called `image`.
    pub fn new(pixels: Tensor, others: TensorDataset) -> Result<ByteImages, DataError> {
        let (n, name) = (others.len(), others.name());
        if pixels.dtype() != DType::U8 || pixels.shape().first() != Some(&n) {
            let expected = format!("u8[{n},…], an image for each example");
            return Err(DataError::Type {
                what: format!("{name}: images"),
                expected,
                got: pixels.ty().to_string(),
            });
        }
        if others.position("image").is_some() {
            let reason = "there are two fields `image`".to_owned();
            return Err(DataError::Fields { name: name.to_owned(), reason });
        }
        let shape = pixels.shape()[1..].try_into()?;
        let mut fields = vec![Field::new("image", Type { dtype: DType::F32, shape })];
        fields.extend_from_slice(others.fields());
        Ok(ByteImages { pixels, others, fields })
    }

    /// The bytes, `u8[n,…]`.
    pub fn pixels(&self) -> &Tensor {
        &self.pixels
    }
}

impl Dataset for ByteImages {
    fn name(&self) -> &str {
        self.others.name()
    }

    fn len(&self) -> usize {
        self.others.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        let mut batch = self.allocate(1)?;
        self.gather(&[index], &mut batch)?;
        batch.iter().zip(&self.fields).map(|(tensor, field)| Ok(tensor.reshape(field.ty.shape)?)).collect()
    }

    fn gather(&self, rows: &[usize], into: &mut [Tensor]) -> Result<(), DataError> {
        check_batch(self.name(), &self.fields, rows.len(), into)?;
        self.others.gather(rows, &mut into[1..])?;
        let (pixels, size) = (self.pixels.view::<u8>()?, self.fields[0].ty.elements());
        for (&row, to) in rows.iter().zip(into[0].view_mut::<f32>()?.chunks_exact_mut(size.max(1))) {
            let image = &pixels[row * size..][..size];
            to.iter_mut().zip(image).for_each(|(to, &pixel)| *to = f32::from(pixel) / 255.0);
        }
        Ok(())
    }

    fn classes(&self) -> Option<usize> {
        self.others.classes()
    }

    fn in_memory(&self) -> bool {
        true
    }

    fn labels(&self) -> Result<Vec<i64>, DataError> {
        self.others.labels()
    }
}

/// PNG and JPEG files, read when they are asked for: a folder for each class, numbered in the order of the folders' names. Fields:
/// `image`, `f32[channels,height,width]` in `[0, 1]`, and `label`, a class in `i32`.
///
/// ```
/// use bespoke_data::{Dataset, ImageFolder};
///
/// let root = tempfile::tempdir()?;
/// for (class, level) in [("dark", 10), ("light", 200)] {
///     std::fs::create_dir(root.path().join(class))?;
///     let path = root.path().join(class).join("1.png");
///     image::RgbImage::from_pixel(8, 6, image::Rgb([level; 3])).save(path)?;
/// }
/// let shades = ImageFolder::open(root.path(), [3, 4, 4])?;
/// assert_eq!(shades.class_names(), ["dark", "light"]);
/// let example = shades.sample(1)?;
/// assert_eq!(example[0].ty().to_string(), "f32[3,4,4]");
/// assert_eq!(example[1].view::<i32>()?, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    name: String,
    files: Vec<(PathBuf, i32)>,
    classes: Vec<String>,
    fields: [Field; 2],
}

impl ImageFolder {
    /// The images under a folder, whose files end in `png`, `jpg` or `jpeg`, each stretched to `[channels, height, width]`. Channels
    /// are 1 for grey or 3 for red, green and blue; transparency is left out.
    ///
    /// # Errors
    /// [`DataError::File`] if a folder cannot be read, there are no folders in it, or one of them has no images;
    /// [`DataError::Argument`] if a size is 0, above 65,535, or channels are others.
    pub fn open(
        path: impl AsRef<Path>,
        [channels, height, width]: [usize; 3],
    ) -> Result<ImageFolder, DataError> {
        let root = path.as_ref();
        let name = root.display().to_string();
        if ![1, 3].contains(&channels) || ![height, width].iter().all(|s| (1..=65_535).contains(s)) {
            let reason = format!(
                "expected 1 or 3 channels, height and width of 1 to 65535, got {channels}, {height}, {width}"
            );
            return Err(DataError::argument(name, reason));
        }
        let (mut files, mut classes) = (vec![], vec![]);
        for folder in entries(root)?.into_iter().filter(|entry| entry.is_dir()) {
            let images: Vec<PathBuf> = entries(&folder)?.into_iter().filter(|f| is_image(f)).collect();
            if images.is_empty() {
                return Err(DataError::file(
                    &folder,
                    "expected PNG or JPEG files, one folder for each class",
                ));
            }
            files.extend(images.into_iter().map(|file| (file, classes.len() as i32)));
            classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        if classes.is_empty() {
            return Err(DataError::file(root, "expected a folder for each class, got none"));
        }
        let image = Field::new("image", Type::new(DType::F32, [channels, height, width]));
        let label = Field::new("label", Type::scalar(DType::I32));
        Ok(ImageFolder { name, files, classes, fields: [image, label] })
    }

    /// The names of the classes, by number.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// The file of an example.
    pub fn file(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|f| f.0.as_path())
    }
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let wrong = |e: std::io::Error| DataError::file(folder, e);
    let entries = fs::read_dir(folder).map_err(wrong)?.map(|entry| entry.map(|e| e.path()));
    let mut entries: Vec<PathBuf> = entries.collect::<Result<_, _>>().map_err(wrong)?;
    entries.retain(|e| !e.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    entries.sort();
    Ok(entries)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    path.is_file() && extension.is_some_and(|e| ["png", "jpg", "jpeg"].contains(&e.as_str()))
}

/// Reads a PNG or JPEG file, by what is in it, as `f32[channels,height,width]` in `[0, 1]`.
fn read_image(path: &Path, ty: Type) -> Result<Tensor, DataError> {
    let reader = image::ImageReader::open(path).and_then(|r| r.with_guessed_format());
    let image =
        reader.map_err(|e| DataError::file(path, e))?.decode().map_err(|e| DataError::file(path, e))?;
    let [channels, height, width] = [0, 1, 2].map(|axis| ty.shape[axis]);
    let image = if (image.width() as usize, image.height() as usize) == (width, height) {
        image
    } else {
        image.resize_exact(width as u32, height as u32, FilterType::Triangle)
    };
    let bytes = if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
    let mut tensor = Tensor::zeros(ty);
    for (channel, to) in tensor.view_mut::<f32>()?.chunks_exact_mut(height * width).enumerate() {
        let from = bytes[channel..].iter().step_by(channels);
        to.iter_mut().zip(from).for_each(|(to, &byte)| *to = f32::from(byte) / 255.0);
    }
    Ok(tensor)
}

impl Dataset for ImageFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        self.check_index(index)?;
        let (path, label) = &self.files[index];
        Ok(vec![read_image(path, self.fields[0].ty)?, Tensor::scalar(*label)])
    }

    fn classes(&self) -> Option<usize> {
        Some(self.classes.len())
    }

    fn labels(&self) -> Result<Vec<i64>, DataError> {
        Ok(self.files.iter().map(|f| i64::from(f.1)).collect())
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    /// Two classes of one PNG and two JPEGs.
    fn folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (class, files) in [("b", &["1.png"][..]), ("a", &["2.JPG", "1.jpeg"])] {
            fs::create_dir(root.path().join(class)).unwrap();
            for file in files {
                let image = RgbImage::from_fn(4, 2, |x, y| Rgb([x as u8 * 60, y as u8 * 200, 30]));
                image.save(root.path().join(class).join(file)).unwrap();
            }
        }
        fs::write(root.path().join("a/notes.txt"), "no image").unwrap();
        fs::write(root.path().join("readme"), "no class").unwrap();
        root
    }

    #[test]
    fn files_are_found_by_name_and_read_exactly() {
        let root = folder();
        let images = ImageFolder::open(root.path(), [3, 2, 4]).unwrap();
        assert_eq!((images.len(), images.class_names()), (3, &["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(images.labels().unwrap(), [0, 0, 1]);
        assert!(
            images.file(0).unwrap().ends_with("a/1.jpeg") && images.file(2).unwrap().ends_with("b/1.png")
        );
        let exact: Vec<f32> = (0..24)
            .map(|i| [(i % 4) as f32 * 60.0, (i % 8 / 4) as f32 * 200.0, 30.0][i / 8] / 255.0)
            .collect();
        let png = images.sample(2).unwrap();
        assert_eq!((png[0].to_vec::<f32>().unwrap(), &png[1]), (exact.clone(), &Tensor::scalar(1i32)));
        // JPEG rounds, and halves the resolution of colours.
        let jpeg = images.sample(0).unwrap()[0].to_vec::<f32>().unwrap();
        let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
        for channel in 0..3 {
            let (got, expected) = (mean(&jpeg[channel * 8..][..8]), mean(&exact[channel * 8..][..8]));
            assert!((got - expected).abs() < 0.06, "channel {channel}: {got}, expected {expected}");
        }
        let grey = ImageFolder::open(root.path(), [1, 1, 2]).unwrap().sample(2).unwrap();
        assert_eq!(grey[0].ty().to_string(), "f32[1,1,2]");
        let grey = grey[0].view::<f32>().unwrap();
        assert!(grey[0] < grey[1] && grey[0] > 0.2 && grey[1] < 0.6, "{grey:?}");
    }

    #[test]
    fn what_is_no_image_is_named() {
        let root = folder();
        let path = root.path().join("b/1.png");
        let whole = fs::read(&path).unwrap();
        let images = ImageFolder::open(root.path(), [3, 2, 4]).unwrap();
        for length in (0..whole.len() - 12).step_by(5) {
            fs::write(&path, &whole[..length]).unwrap();
            let error = images.sample(2).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
        }
        fs::remove_file(&path).unwrap();
        let error = images.sample(2).unwrap_err().to_string();
        assert!(error.contains("1.png: No such file"), "{error}");
        let error = ImageFolder::open(root.path(), [3, 2, 4]).unwrap_err().to_string();
        assert!(error.ends_with("b: expected PNG or JPEG files, one folder for each class"), "{error}");
        let error = ImageFolder::open(root.path().join("a"), [3, 2, 4]).unwrap_err().to_string();
        assert!(error.ends_with("a: expected a folder for each class, got none"), "{error}");
        assert!(ImageFolder::open("no/such", [3, 2, 4]).is_err());
        for size in [[2, 2, 2], [3, 0, 2], [3, 2, 70_000]] {
            assert!(
                ImageFolder::open(root.path(), size)
                    .unwrap_err()
                    .to_string()
                    .contains("expected 1 or 3 channels")
            );
        }
    }
}
