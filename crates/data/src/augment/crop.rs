//! Pieces of images and volumes.

use bespoke_tensor::{Shape, Tensor, Type};

use super::{Layout, Target};
use crate::{DataError, Draws, Field, Transform};

/// A piece of an image or volume. See [`crop`].
#[derive(Clone, Debug)]
pub struct Crop {
    extents: Vec<usize>,
    centre: bool,
    target: Target,
}

/// Takes a piece of these extents in space, `[height, width]` or `[depth, height, width]`, from anywhere: each place is equally
/// likely. The field's type changes. It keeps the labels of things that still are in the piece. For pieces that reach over the
/// border (the padding of CIFAR's usual recipe) see [`translate`](super::translate).
///
/// ```
/// use bespoke_data::{Dataset, Loader, augment::crop, mnist_bundled};
///
/// let digits = mnist_bundled().test;
/// let loader = Loader::new(&digits, 32).augment(crop([24, 24]));
/// assert_eq!(loader.fields()?[0].ty.to_string(), "f32[24,24]");
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn crop(extents: impl Into<Vec<usize>>) -> Crop {
    Crop { extents: extents.into(), centre: false, target: Target::default() }
}

impl Crop {
    /// From the middle instead of anywhere: what held-out examples get.
    pub fn centre(mut self) -> Crop {
        self.centre = true;
        self
    }

    /// Of this field instead of the first.
    pub fn on(mut self, field: &str) -> Crop {
        self.target.on = Some(field.to_owned());
        self
    }

    /// Takes the same piece of a further field, such as a mask.
    pub fn also(mut self, field: &str) -> Crop {
        self.target.also.push(field.to_owned());
        self
    }

    fn check(&self, layout: &Layout) -> Result<(), DataError> {
        let whole = &layout.extents[..layout.dims];
        let fits = self.extents.len() == layout.dims
            && self.extents.iter().zip(whole).all(|(e, w)| 1 <= *e && e <= w);
        if fits {
            return Ok(());
        }
        Err(DataError::argument(
            "crop",
            format!("expected extents from 1 to {whole:?}, got {:?}", self.extents),
        ))
    }

    /// The type of a piece of a value of this type.
    fn piece(&self, ty: Type) -> Result<Type, DataError> {
        let channels = &ty.shape[..ty.rank() - self.extents.len()];
        Ok(Type { dtype: ty.dtype, shape: Shape::new(&[channels, &self.extents].concat())? })
    }

    /// Copies the piece that begins at `start`.
    fn copy(&self, from: &Tensor, layout: &Layout, start: &[usize]) -> Result<Tensor, DataError> {
        let mut to = Tensor::zeros(self.piece(from.ty())?);
        let (dims, bytes) = (layout.dims, from.dtype().size());
        let length = self.extents[dims - 1] * bytes;
        for (row, target) in to.bytes_mut().chunks_exact_mut(length).enumerate() {
            // Of which channel, and where in it.
            let (mut rest, mut index, mut stride) = (row, start[dims - 1], layout.extents[dims - 1]);
            for axis in (0..dims - 1).rev() {
                index += (rest % self.extents[axis] + start[axis]) * stride;
                rest /= self.extents[axis];
                stride *= layout.extents[axis];
            }
            target.copy_from_slice(&from.bytes()[(rest * stride + index) * bytes..][..length]);
        }
        Ok(to)
    }
}

impl Transform for Crop {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        let mut changed = fields.to_vec();
        let main = self.target.main("crop", fields)?;
        let layout = Layout::of_image("crop", &fields[main].name, fields[main].ty)?;
        self.check(&layout)?;
        changed[main].ty = self.piece(fields[main].ty)?;
        for other in self.target.others("crop", fields)? {
            layout.of_other("crop", &fields[other].name, fields[other].ty)?;
            changed[other].ty = self.piece(fields[other].ty)?;
        }
        Ok(changed)
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        let main = self.target.main("crop", fields)?;
        let layout = Layout::of_image("crop", &fields[main].name, sample[main].ty())?;
        self.check(&layout)?;
        let start: Vec<usize> = layout.extents[..layout.dims]
            .iter()
            .zip(&self.extents)
            .map(
                |(whole, piece)| {
                    if self.centre { (whole - piece) / 2 } else { draws.below(whole - piece + 1) }
                },
            )
            .collect();
        sample[main] = self.copy(&sample[main], &layout, &start)?;
        for other in self.target.others("crop", fields)? {
            let layout = layout.of_other("crop", &fields[other].name, sample[other].ty())?;
            sample[other] = self.copy(&sample[other], &layout, &start)?;
        }
        Ok(())
    }
}
