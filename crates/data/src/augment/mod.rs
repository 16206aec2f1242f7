//! Augmentations: random changes that make new examples of old ones.
//!
//! Images are `f32[C,H,W]` or `f32[H,W]`, volumes `f32[C,D,H,W]`, series `f32[T]` or `f32[T,C]`. Each transform changes the first
//! field, or the one given by `on`; those that move things move further fields given by `also` alike, such as masks, whose
//! elements are taken from the nearest place and never mixed.
//!
//! Whether a transform leaves the label right depends on the data: nothing here does more than its ranges say. A mirrored
//! digit is none, so a mirror is asked for by axis; a 6 turned by 180° is a 9, so angles are ranges.
//!
//! ```
//! use bespoke_data::{Draws, Transform, augment::*, mnist_bundled, Dataset};
//!
//! let digits = mnist_bundled().test;
//! // One resampling: a turn, then a stretch, then a shift. Digits stay what they are.
//! let distort = rotate(-10.0..=10.0).and(stretch([0.9..=1.1, 0.9..=1.1])).and(translate([2, 2]));
//! let augment = distort.then(noise(0.05).with_probability(0.5));
//!
//! let mut example = digits.sample(0)?;
//! augment.fields(digits.fields())?;
//! augment.apply(&mut example, digits.fields(), &mut Draws::new(42, 0, 0))?;
//! # Ok::<(), bespoke_data::DataError>(())
//! ```

mod colour;
mod crop;
mod resample;
mod series;
mod values;
mod warp;

pub use colour::{ColourJitter, ColourPca};
pub use crop::{Crop, crop};
pub use series::{TimeShift, time_shift};
pub use values::{Values, brightness, contrast, noise};
pub use warp::{Warp, affine, mirror, perspective, rotate, rotate_in, shear, stretch, translate};

use std::ops::RangeInclusive;

use bespoke_tensor::{DType, Type};

use crate::{DataError, Field};

/// An axis of an image or a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// The first of a volume's three axes.
    Depth,
    /// From top to bottom: the last but one.
    Height,
    /// From left to right: the last.
    Width,
}

impl Axis {
    /// Its number among so many axes in space.
    fn number(self, dims: usize) -> Option<usize> {
        dims.checked_sub(match self {
            Axis::Depth => 3,
            Axis::Height => 2,
            Axis::Width => 1,
        })
    }
}

/// What lies beyond the border of an image, volume or series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Border {
    /// This value; in fields that are moved alike, 0.
    Value(f32),
    /// The nearest element.
    Edge,
    /// The image mirrored at its outermost elements, which are not repeated: `c b | a b c | b a`.
    Reflect,
}

impl Border {
    /// Which element is taken for the one at `index` of `extent`; none is the border's value.
    fn resolve(self, index: i64, extent: usize) -> Option<usize> {
        let last = extent as i64 - 1;
        if (0..=last).contains(&index) {
            return Some(index as usize);
        }
        match self {
            Border::Value(_) => None,
            Border::Edge => Some(index.clamp(0, last.max(0)) as usize),
            Border::Reflect if last <= 0 => Some(0),
            Border::Reflect => {
                let place = index.rem_euclid(2 * last);
                Some(place.min(2 * last - place) as usize)
            }
        }
    }

    fn value(self) -> f32 {
        if let Border::Value(value) = self { value } else { 0.0 }
    }
}

/// The fields that a transform changes.
#[derive(Clone, Debug, Default)]
struct Target {
    on: Option<String>,
    also: Vec<String>,
}

impl Target {
    /// The number of the field that is meant first.
    fn main(&self, what: &str, fields: &[Field]) -> Result<usize, DataError> {
        match &self.on {
            Some(name) => position(what, name, fields),
            None if fields.is_empty() => Err(DataError::argument(what, "there are no fields")),
            None => Ok(0),
        }
    }

    /// The numbers of the others.
    fn others(&self, what: &str, fields: &[Field]) -> Result<impl Iterator<Item = usize>, DataError> {
        let others: Vec<usize> =
            self.also.iter().map(|name| position(what, name, fields)).collect::<Result<_, _>>()?;
        Ok(others.into_iter())
    }
}

fn position(what: &str, name: &str, fields: &[Field]) -> Result<usize, DataError> {
    fields.iter().position(|f| f.name == name).ok_or_else(|| {
        let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        DataError::argument(
            what,
            format!("there is no field `{name}`; the fields are `{}`", known.join("`, `")),
        )
    })
}

/// How an image or volume lies in memory: channels (1 if it has no such axis), then the extents in space.
#[derive(Clone, Copy)]
struct Layout {
    channels: usize,
    /// Those of `dims` axes; the others are 1.
    extents: [usize; 3],
    dims: usize,
}

impl Layout {
    /// Of a value that has so many axes in space, with or without channels.
    fn with_dims(ty: Type, dims: usize) -> Option<Layout> {
        let channels = match ty.rank().checked_sub(dims)? {
            0 => 1,
            1 => ty.shape[0],
            _ => return None,
        };
        let mut extents = [1; 3];
        extents[..dims].copy_from_slice(&ty.shape[ty.rank() - dims..]);
        Some(Layout { channels, extents, dims })
    }

    /// Of an image `f32[C,H,W]` or `f32[H,W]`, or a volume `f32[C,D,H,W]`.
    fn of_image(what: &str, name: &str, ty: Type) -> Result<Layout, DataError> {
        let dims = if ty.rank() == 4 { 3 } else { 2 };
        let layout = Layout::with_dims(ty, dims).filter(|_| ty.dtype == DType::F32);
        layout.ok_or_else(|| {
            wrong_type(what, name, "an image f32[C,H,W] or f32[H,W], or a volume f32[C,D,H,W]", ty)
        })
    }

    /// Of a field that is moved like one of this layout.
    fn of_other(&self, what: &str, name: &str, ty: Type) -> Result<Layout, DataError> {
        let layout = Layout::with_dims(ty, self.dims).filter(|l| l.extents == self.extents);
        let extents = &self.extents[..self.dims];
        layout.ok_or_else(|| wrong_type(what, name, &format!("extents {extents:?} in space"), ty))
    }

    fn elements(&self) -> usize {
        self.extents.iter().product()
    }
}

fn wrong_type(what: &str, name: &str, expected: &str, got: Type) -> DataError {
    DataError::Type {
        what: format!("{what}: field `{name}`"),
        expected: expected.to_owned(),
        got: got.to_string(),
    }
}

/// Refuses what is no range of numbers from `low` to `high`.
fn check_range(range: &RangeInclusive<f64>, low: f64, high: f64) -> Result<(), String> {
    let (start, end) = (*range.start(), *range.end());
    if low <= start && start <= end && end <= high {
        return Ok(());
    }
    Err(format!("expected a range within {low}..={high}, got {start}..={end}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_follow_their_rules() {
        let taken = |border: Border, extent| {
            (-4..6).map(|i| border.resolve(i, extent).map_or(-1, |i| i as i64)).collect::<Vec<_>>()
        };
        assert_eq!(taken(Border::Value(1.0), 3), [-1, -1, -1, -1, 0, 1, 2, -1, -1, -1]);
        assert_eq!(taken(Border::Edge, 3), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2]);
        assert_eq!(taken(Border::Reflect, 3), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(taken(Border::Reflect, 1), [0; 10]);
        assert_eq!(taken(Border::Edge, 1), [0; 10]);
    }
}
