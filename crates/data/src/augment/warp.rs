//! Moves of images and volumes in space.

use std::ops::RangeInclusive;

use bespoke_tensor::Tensor;

use super::{Axis, Border, Layout, Target, check_range, resample};
use crate::{DataError, Draws, Field, Transform};

/// A random map of an image or volume in space, about its centre, by one resampling: linear between the nearest elements.
/// Beyond the border are zeros unless [`border`](Warp::border) says otherwise.
#[derive(Clone, Debug)]
pub struct Warp {
    moves: Vec<Move>,
    border: Border,
    target: Target,
}

#[derive(Clone, Debug)]
enum Move {
    Mirror(Axis),
    Translate(Vec<usize>),
    Rotate(Axis, Axis, RangeInclusive<f64>),
    Stretch(Vec<RangeInclusive<f64>>),
    Shear { along: Axis, by: Axis, factor: RangeInclusive<f64> },
    Affine(f64),
    Perspective(f64),
}

/// From places in the result to places in the original, both from the centre, homogeneous: the last of `dims + 1` coordinates
/// is 1, the rest of row and column is unused.
pub(super) type Matrix = [[f64; 4]; 4];

fn warp(one: Move) -> Warp {
    Warp { moves: vec![one], border: Border::Value(0.0), target: Target::default() }
}

/// Mirrors every example along an axis; the usual half of them is `.with_probability(0.5)`. Things have no left and right that
/// matters to most photographs' labels; to those of digits and letters it does.
///
/// ```
/// use bespoke_data::{Draws, Field, Transform, augment::{Axis, mirror}};
/// use bespoke_tensor::Tensor;
///
/// let mut example = [Tensor::from_vec([1, 3], vec![1.0f32, 2.0, 3.0])?];
/// let fields = [Field::new("image", example[0].ty())];
/// mirror(Axis::Width).apply(&mut example, &fields, &mut Draws::new(0, 0, 0))?;
/// assert_eq!(example[0].view::<f32>()?, [3.0, 2.0, 1.0]);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn mirror(axis: Axis) -> Warp {
    warp(Move::Mirror(axis))
}

/// Shifts by a whole number of elements, each from −n to n equally likely, along each axis in space: `[2, 2]` for images,
/// `[1, 2, 2]` for volumes. It keeps labels that don't say where a thing is, as long as it stays in view.
pub fn translate(most: impl Into<Vec<usize>>) -> Warp {
    warp(Move::Translate(most.into()))
}

/// Turns by an angle in degrees in the plane of height and width, counter-clockwise. Small angles keep the labels of digits;
/// all keep those of cells and of pictures from above.
pub fn rotate(degrees: RangeInclusive<f64>) -> Warp {
    rotate_in(Axis::Height, Axis::Width, degrees)
}

/// Turns by an angle in degrees in the plane of two axes: what points along the second, to where the first comes from.
pub fn rotate_in(first: Axis, second: Axis, degrees: RangeInclusive<f64>) -> Warp {
    warp(Move::Rotate(first, second, degrees))
}

/// Stretches by a factor along each axis in space, drawn from a range for each: below 1 makes things smaller.
pub fn stretch(factors: impl Into<Vec<RangeInclusive<f64>>>) -> Warp {
    warp(Move::Stretch(factors.into()))
}

/// Moves things along one axis by a factor times their distance from the centre on another: an italic is a shear along
/// [`Axis::Width`] by [`Axis::Height`].
pub fn shear(along: Axis, by: Axis, factor: RangeInclusive<f64>) -> Warp {
    warp(Move::Shear { along, by, factor })
}

/// A general linear map: each element of the matrix, from places in the result to those in the original, differs from the
/// identity's by at most this, which is less than 1 / the number of axes, so that the map can be inverted. Turns, stretches and
/// shears of given sizes are [`rotate`], [`stretch`] and [`shear`], as one resampling by [`Warp::and`].
pub fn affine(most: f64) -> Warp {
    warp(Move::Affine(most))
}

/// A perspective view: a place x in the result is taken from x / (1 + Σᵢ gᵢ xᵢ / hᵢ), x from the centre and h half the extents,
/// with each gᵢ within ± this, which is less than 1 / the number of axes. One side gets larger and the other smaller by about
/// that fraction.
pub fn perspective(most: f64) -> Warp {
    warp(Move::Perspective(most))
}

impl Warp {
    /// This map, then another, by one resampling. The border and the fields are those of the first.
    pub fn and(mut self, next: Warp) -> Warp {
        self.moves.extend(next.moves);
        self
    }

    /// With another rule for what lies beyond the border.
    pub fn border(mut self, border: Border) -> Warp {
        self.border = border;
        self
    }

    /// Of this field instead of the first.
    pub fn on(mut self, field: &str) -> Warp {
        self.target.on = Some(field.to_owned());
        self
    }

    /// Moves a further field alike, such as a mask: of any element type, each taken from the nearest place.
    pub fn also(mut self, field: &str) -> Warp {
        self.target.also.push(field.to_owned());
        self
    }

    /// The map for an image of these extents.
    fn draw(&self, layout: &Layout, draws: &mut Draws) -> Matrix {
        let identity = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
        self.moves.iter().fold(identity, |whole, one| product(&whole, &one.draw(layout, draws)))
    }
}

impl Move {
    /// What the mistake is, if it cannot be made in so many axes.
    fn check(&self, dims: usize) -> Result<(), String> {
        let axis = |axis: &Axis| {
            axis.number(dims).map(|_| ()).ok_or_else(|| "an image has no depth; expected a volume".to_owned())
        };
        let count = |n: usize| {
            if n == dims {
                Ok(())
            } else {
                Err(format!("expected {dims} values, one for each axis in space, got {n}"))
            }
        };
        let two = |a: &Axis, b: &Axis| {
            axis(a).and(axis(b))?;
            if a == b { Err("expected two different axes".to_owned()) } else { Ok(()) }
        };
        let small = |most: f64| {
            if most >= 0.0 && most * (dims as f64) < 1.0 {
                Ok(())
            } else {
                Err(format!("expected from 0 to less than 1/{dims}, got {most}"))
            }
        };
        match self {
            Move::Mirror(a) => axis(a),
            Move::Translate(most) => count(most.len()),
            Move::Rotate(a, b, degrees) => two(a, b).and(check_range(degrees, -360.0, 360.0)),
            Move::Stretch(factors) => {
                count(factors.len())?;
                factors.iter().try_for_each(|range| check_range(range, 0.01, 100.0))
            }
            Move::Shear { along, by, factor } => two(along, by).and(check_range(factor, -100.0, 100.0)),
            Move::Affine(most) | Move::Perspective(most) => small(*most),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Move::Mirror(_) => "mirror",
            Move::Translate(_) => "translate",
            Move::Rotate(..) => "rotate",
            Move::Stretch(_) => "stretch",
            Move::Shear { .. } => "shear",
            Move::Affine(_) => "affine",
            Move::Perspective(_) => "perspective",
        }
    }

    fn draw(&self, layout: &Layout, draws: &mut Draws) -> Matrix {
        let dims = layout.dims;
        let mut m: Matrix = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
        let number = |axis: &Axis| axis.number(dims).expect("checked with the fields");
        match self {
            Move::Mirror(axis) => m[number(axis)][number(axis)] = -1.0,
            Move::Translate(most) => {
                for (axis, &n) in most.iter().enumerate() {
                    let shift = draws.below(n.saturating_mul(2).saturating_add(1)) as f64 - n as f64;
                    m[axis][dims] = -shift;
                }
            }
            Move::Rotate(first, second, degrees) => {
                let (sin, cos) = libm::sincos(draws.within(degrees.clone()).to_radians());
                let (a, b) = (number(first), number(second));
                (m[a][a], m[a][b], m[b][a], m[b][b]) = (cos, sin, -sin, cos);
            }
            Move::Stretch(factors) => {
                for (axis, range) in factors.iter().enumerate() {
                    m[axis][axis] = 1.0 / draws.within(range.clone());
                }
            }
            Move::Shear { along, by, factor } => {
                m[number(along)][number(by)] = -draws.within(factor.clone());
            }
            Move::Affine(most) => {
                for row in &mut m[..dims] {
                    row[..dims].iter_mut().for_each(|x| *x += draws.within(-most..=*most));
                }
            }
            Move::Perspective(most) => {
                for axis in 0..dims {
                    let half = (layout.extents[axis] as f64 / 2.0).max(0.5);
                    m[dims][axis] = draws.within(-most..=*most) / half;
                }
            }
        }
        m
    }
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..4).map(|k| a[i][k] * b[k][j]).sum()))
}

impl Transform for Warp {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        let what = self.moves[0].name();
        let main = &fields[self.target.main(what, fields)?];
        let layout = Layout::of_image(what, &main.name, main.ty)?;
        for one in &self.moves {
            one.check(layout.dims).map_err(|reason| DataError::argument(one.name(), reason))?;
        }
        for other in self.target.others(what, fields)? {
            layout.of_other(what, &fields[other].name, fields[other].ty)?;
        }
        Ok(fields.to_vec())
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        let what = self.moves[0].name();
        let main = self.target.main(what, fields)?;
        let layout = Layout::of_image(what, &fields[main].name, sample[main].ty())?;
        let matrix = self.draw(&layout, draws);
        sample[main] = resample::linear(&sample[main], layout, &matrix, self.border)?;
        for other in self.target.others(what, fields)? {
            let layout = layout.of_other(what, &fields[other].name, sample[other].ty())?;
            sample[other] = resample::nearest(&sample[other], layout, &matrix, self.border);
        }
        Ok(())
    }
}
