//! Images of another size.

use bespoke_tensor::{DType, Tensor, Type};
use image::{
    ImageBuffer, Luma,
    imageops::{FilterType, resize},
};

use crate::{DataError, Dataset, Field, map};

/// The data set with its images stretched to a height and width: those of the first field, `f32[height,width]` or
/// `f32[channels,height,width]`. Each pixel is a weighted mean of those around its place (a triangle filter, as wide as a pixel
/// of the smaller image).
///
/// ```
/// use bespoke_data::{Dataset, mnist_bundled, resized};
///
/// let digits = resized(mnist_bundled().test, [64, 64])?;
/// assert_eq!(digits.fields()[0].ty.to_string(), "f32[64,64]");
/// assert_eq!(digits.sample(0)?[0].ty().to_string(), "f32[64,64]");
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::Type`] if the first field is no image, [`DataError::Argument`] if a size is not within 1 to 65,535.
pub fn resized<D: Dataset>(dataset: D, [height, width]: [usize; 2]) -> Result<impl Dataset, DataError> {
    if ![height, width].iter().all(|s| (1..=65_535).contains(s)) {
        let reason = format!("expected a height and width of 1 to 65535, got {height} and {width}");
        return Err(DataError::argument(dataset.name(), reason));
    }
    let mut fields = dataset.fields().to_vec();
    let from = fields.first().map(|field| field.ty);
    let from = from.filter(|ty| ty.dtype == DType::F32 && [2, 3].contains(&ty.rank()));
    let Some(from) = from else {
        let got = fields.first().map_or("nothing".to_owned(), |field| field.ty.to_string());
        return Err(DataError::Type {
            what: format!("{}: images to resize", dataset.name()),
            expected: "f32[height,width] or f32[channels,height,width]".to_owned(),
            got,
        });
    };
    let [channels, h, w] = match from.shape[..] {
        [h, w] => [1, h, w],
        [channels, h, w] => [channels, h, w],
        _ => unreachable!("of rank 2 or 3"),
    };
    let to = match from.rank() {
        2 => Type::new(DType::F32, [height, width]),
        _ => Type::new(DType::F32, [channels, height, width]),
    };
    fields[0] = Field::new(fields[0].name.clone(), to);
    Ok(map(dataset, fields, move |_, mut example| {
        let mut pixels = vec![];
        for channel in example[0].view::<f32>()?.chunks_exact((h * w).max(1)) {
            let image: ImageBuffer<Luma<f32>, _> =
                ImageBuffer::from_raw(w as u32, h as u32, channel.to_vec())
                    .expect("as many pixels as its type says");
            pixels.extend(resize(&image, width as u32, height as u32, FilterType::Triangle).into_raw());
        }
        example[0] = Tensor::from_vec(to.shape, pixels)?;
        Ok(example)
    }))
}
