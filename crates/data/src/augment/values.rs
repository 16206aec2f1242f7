//! Changes of values that move nothing.

use std::ops::RangeInclusive;

use bespoke_tensor::{DType, Tensor};

use super::{Target, check_range, wrong_type};
use crate::{DataError, Draws, Field, Transform};

/// A change of the values of a field in `f32`, of any shape. See [`contrast`], [`brightness`] and [`noise`].
#[derive(Clone, Debug)]
pub struct Values {
    change: Change,
    target: Target,
}

#[derive(Clone, Debug)]
enum Change {
    Contrast(RangeInclusive<f64>),
    Brightness(RangeInclusive<f64>),
    Noise(f64),
}

fn values(change: Change) -> Values {
    Values { change, target: Target::default() }
}

/// Moves all values away from the example's mean by a factor, or towards it if that is below 1: x ← m + f·(x − m). Values may leave
/// the range that they were in. It keeps labels unless they are about intensity.
pub fn contrast(factor: RangeInclusive<f64>) -> Values {
    values(Change::Contrast(factor))
}

/// Adds one number to all values. It keeps labels unless they are about intensity.
pub fn brightness(added: RangeInclusive<f64>) -> Values {
    values(Change::Brightness(added))
}

/// Adds a normal number of this standard deviation to each value, independently. It keeps labels as long as a person could still
/// tell them.
pub fn noise(deviation: f64) -> Values {
    values(Change::Noise(deviation))
}

impl Values {
    /// Of this field instead of the first.
    pub fn on(mut self, field: &str) -> Values {
        self.target.on = Some(field.to_owned());
        self
    }

    fn name(&self) -> &'static str {
        match self.change {
            Change::Contrast(_) => "contrast",
            Change::Brightness(_) => "brightness",
            Change::Noise(_) => "noise",
        }
    }
}

impl Transform for Values {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        let main = &fields[self.target.main(self.name(), fields)?];
        if main.ty.dtype != DType::F32 {
            return Err(wrong_type(self.name(), &main.name, "f32", main.ty));
        }
        match &self.change {
            Change::Contrast(range) => check_range(range, 0.0, f64::from(f32::MAX)),
            Change::Brightness(range) => check_range(range, f64::from(f32::MIN), f64::from(f32::MAX)),
            Change::Noise(deviation) => check_range(&(*deviation..=*deviation), 0.0, f64::from(f32::MAX)),
        }
        .map_err(|reason| DataError::argument(self.name(), reason))?;
        Ok(fields.to_vec())
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        let main = self.target.main(self.name(), fields)?;
        let values = sample[main].view_mut::<f32>()?;
        match &self.change {
            Change::Contrast(range) => {
                let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len().max(1) as f64;
                let factor = draws.within(range.clone());
                values.iter_mut().for_each(|x| *x = (mean + factor * (f64::from(*x) - mean)) as f32);
            }
            Change::Brightness(range) => {
                let added = draws.within(range.clone()) as f32;
                values.iter_mut().for_each(|x| *x += added);
            }
            Change::Noise(deviation) => {
                for pair in values.chunks_mut(2) {
                    let normals = draws.normals();
                    pair.iter_mut().zip(normals).for_each(|(x, normal)| *x += (normal * deviation) as f32);
                }
            }
        }
        Ok(())
    }
}
