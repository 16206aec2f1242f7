//! Shifts of series in time.

use bespoke_tensor::{DType, Tensor};

use super::{Border, Target, wrong_type};
use crate::{DataError, Draws, Field, Transform};

/// A shift in time. See [`time_shift`].
#[derive(Clone, Debug)]
pub struct TimeShift {
    most: usize,
    border: Border,
    target: Target,
}

/// Shifts a series `f32[T]` or `f32[T,C]` by a whole number of steps, each from −`most` to `most` equally likely. Before the first
/// and after the last step, these are repeated, unless [`border`](TimeShift::border) says otherwise. It keeps the labels of whole
/// series; those of single steps are moved along by [`also`](TimeShift::also).
///
/// ```
/// use bespoke_data::{Draws, Field, Transform, augment::time_shift};
/// use bespoke_tensor::Tensor;
///
/// let series = Tensor::from_vec([4], vec![1.0f32, 2.0, 3.0, 4.0])?;
/// let fields = [Field::new("series", series.ty())];
/// let mut shifted = [series];
/// time_shift(1).apply(&mut shifted, &fields, &mut Draws::new(0, 0, 5))?;
/// assert_eq!(shifted[0].view::<f32>()?, [1.0, 1.0, 2.0, 3.0]);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn time_shift(most: usize) -> TimeShift {
    TimeShift { most, border: Border::Edge, target: Target::default() }
}

impl TimeShift {
    /// With another rule for what lies beyond the ends.
    pub fn border(mut self, border: Border) -> TimeShift {
        self.border = border;
        self
    }

    /// Of this field instead of the first.
    pub fn on(mut self, field: &str) -> TimeShift {
        self.target.on = Some(field.to_owned());
        self
    }

    /// Shifts a further field of as many steps alike, of any type.
    pub fn also(mut self, field: &str) -> TimeShift {
        self.target.also.push(field.to_owned());
        self
    }

    fn shift(&self, from: &Tensor, by: i64, value: f32) -> Tensor {
        let mut to = Tensor::zeros(from.ty());
        let steps = from.shape()[0];
        let size = from.ty().bytes() / steps.max(1);
        for (step, target) in to.bytes_mut().chunks_exact_mut(size.max(1)).enumerate() {
            match self.border.resolve((step as i64).saturating_sub(by), steps) {
                Some(step) => target.copy_from_slice(&from.bytes()[step * size..][..size]),
                None if value != 0.0 => {
                    target.chunks_exact_mut(4).for_each(|x| x.copy_from_slice(&value.to_le_bytes()));
                }
                None => {}
            }
        }
        to
    }
}

impl Transform for TimeShift {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        let main = &fields[self.target.main("time_shift", fields)?];
        if main.ty.dtype != DType::F32 || !(1..=2).contains(&main.ty.rank()) {
            return Err(wrong_type("time_shift", &main.name, "a series f32[T] or f32[T,C]", main.ty));
        }
        let steps = main.ty.shape[0];
        for other in self.target.others("time_shift", fields)? {
            let other = &fields[other];
            if other.ty.shape.first() != Some(&steps) {
                return Err(wrong_type("time_shift", &other.name, &format!("{steps} steps"), other.ty));
            }
        }
        Ok(fields.to_vec())
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        let main = self.target.main("time_shift", fields)?;
        let by = draws.below(self.most.saturating_mul(2).saturating_add(1)) as i64 - self.most as i64;
        sample[main] = self.shift(&sample[main], by, self.border.value());
        for other in self.target.others("time_shift", fields)? {
            sample[other] = self.shift(&sample[other], by, 0.0);
        }
        Ok(())
    }
}
