//! Scaling to a common range: y = (x − shift) / scale.

use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use crate::{DataError, Dataset, Draws, Field, TensorDataset, Transform};

/// What gets a shift and a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each element of the field: the columns of a table.
    Element,
    /// Each index along the field's first axis: the channels of an image `[C,H,W]`.
    Channel,
    /// The field has one.
    Field,
}

/// A scaling of one field, fitted to the training data: y = (x − shift) / scale. NaN stays NaN and plays no part in the fit.
///
/// It is a [`Transform`] too, for loaders.
///
/// ```
/// use bespoke_data::{Per, Scaler, TensorDataset};
/// use bespoke_tensor::Tensor;
///
/// let x = Tensor::from_vec([4, 2], vec![1.0f32, 10.0, 2.0, f32::NAN, 3.0, 10.0, 6.0, 20.0])?;
/// let train = TensorDataset::new("train", [("x", x.clone())])?;
/// let scaler = Scaler::standardise(&train, "x", Per::Element)?;
/// let y = scaler.apply(&x)?;
/// assert!(y.view::<f32>()?.iter().step_by(2).sum::<f32>().abs() < 1e-6);
/// let back = scaler.invert(&y)?;
/// assert!((back.view::<f32>()?[6] - 6.0).abs() < 1e-6);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    field: String,
    ty: Type,
    shift: Tensor,
    scale: Tensor,
}

/// Sums over the numbers that share a scale.
#[derive(Clone, Copy)]
struct Seen {
    count: f64,
    mean: f64,
    /// Of squared distances from the mean.
    squares: f64,
    low: f64,
    high: f64,
}

impl Seen {
    const NOTHING: Seen =
        Seen { count: 0.0, mean: 0.0, squares: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY };

    /// Welford's update (1962), which loses no digits where the mean is large.
    fn add(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        self.count += 1.0;
        let before = x - self.mean;
        self.mean += before / self.count;
        self.squares += before * (x - self.mean);
        (self.low, self.high) = (self.low.min(x), self.high.max(x));
    }
}

impl Scaler {
    /// To mean 0 and standard deviation 1: shift is the mean x̄ and scale √(Σ(x − x̄)²/n). Where all are equal, the scale is 1.
    /// Reads all examples.
    ///
    /// # Errors
    /// [`DataError::Argument`] if there is no such field, [`DataError::Type`] if it is not of f32 or f64, and those of reading.
    pub fn standardise(
        dataset: &(impl Dataset + ?Sized),
        field: &str,
        per: Per,
    ) -> Result<Scaler, DataError> {
        Scaler::fit(dataset, field, per, |seen| (seen.mean, (seen.squares / seen.count.max(1.0)).sqrt()))
    }

    /// To 0 at the least and 1 at the greatest value. Where all are equal, the scale is 1. Reads all examples.
    ///
    /// # Errors
    /// Those of [`Scaler::standardise`].
    pub fn min_max(dataset: &(impl Dataset + ?Sized), field: &str, per: Per) -> Result<Scaler, DataError> {
        Scaler::fit(dataset, field, per, |seen| {
            if seen.count > 0.0 { (seen.low, seen.high - seen.low) } else { (0.0, 1.0) }
        })
    }

    fn fit(
        dataset: &(impl Dataset + ?Sized),
        field: &str,
        per: Per,
        of: impl Fn(&Seen) -> (f64, f64),
    ) -> Result<Scaler, DataError> {
        let number = position(dataset.fields(), field)?;
        let ty = dataset.fields()[number].ty;
        check(field, ty)?;
        let shape = match per {
            Per::Element => ty.shape,
            Per::Field => Shape::SCALAR,
            Per::Channel => Shape::new(&ty.shape[..ty.rank().min(1)])?,
        };
        let size = ty.elements() / shape.elements().max(1);
        let mut seen = vec![Seen::NOTHING; shape.elements()];
        let mut batch = dataset.allocate(1)?;
        for index in 0..dataset.len() {
            dataset.gather(&[index], &mut batch)?;
            batch[number].scalars().enumerate().for_each(|(i, x)| seen[i / size].add(x.to_f64()));
        }
        let of = |i: usize| {
            let (shift, scale) = of(&seen[i]);
            (shift, if scale > 0.0 { scale } else { 1.0 })
        };
        let ty = |dtype| Type { dtype, shape };
        let shift = Tensor::from_fn(ty(DType::F64), |i| Scalar::F64(of(i).0));
        let scale = Tensor::from_fn(ty(DType::F64), |i| Scalar::F64(of(i).1));
        Ok(Scaler { field: field.to_owned(), ty: dataset.fields()[number].ty, shift, scale })
    }

    /// A scaler of shift and scale that were saved. Their type is `f64` and their shape `[]` or that of the first or all axes of
    /// `ty`, the field's type.
    ///
    /// # Errors
    /// [`DataError::Type`] if they are others.
    pub fn new(
        field: impl Into<String>,
        ty: Type,
        shift: Tensor,
        scale: Tensor,
    ) -> Result<Scaler, DataError> {
        let field = field.into();
        check(&field, ty)?;
        let shapes = [&ty.shape[..0], &ty.shape[..ty.rank().min(1)], &ty.shape[..]];
        for (what, tensor) in [("shift", &shift), ("scale", &scale)] {
            if tensor.dtype() != DType::F64
                || !shapes.contains(&&tensor.shape()[..])
                || tensor.shape() != shift.shape()
            {
                return Err(DataError::Type {
                    what: format!("the {what} of a scaler of field `{field}` ({ty})"),
                    expected: "f64 of the first axes".to_owned(),
                    got: tensor.ty().to_string(),
                });
            }
        }
        Ok(Scaler { field, ty, shift, scale })
    }

    /// What is subtracted, in `f64`, to be saved.
    pub fn shift(&self) -> &Tensor {
        &self.shift
    }

    /// What is divided by, in `f64`, to be saved.
    pub fn scale(&self) -> &Tensor {
        &self.scale
    }

    /// Scales one value of the field or a batch of them.
    ///
    /// # Errors
    /// [`DataError::Type`] if it is not of the field's type.
    pub fn apply(&self, values: &Tensor) -> Result<Tensor, DataError> {
        self.each(values, |x, shift, scale| (x - shift) / scale)
    }

    /// What [`apply`](Scaler::apply) made it of.
    ///
    /// # Errors
    /// Those of [`apply`](Scaler::apply).
    pub fn invert(&self, values: &Tensor) -> Result<Tensor, DataError> {
        self.each(values, |y, shift, scale| y * scale + shift)
    }

    /// A data set in memory with its field scaled.
    ///
    /// # Errors
    /// Those of [`apply`](Scaler::apply), and if there is no such field.
    pub fn scaled(&self, dataset: &TensorDataset) -> Result<TensorDataset, DataError> {
        position(dataset.fields(), &self.field)?;
        let scale = |(name, tensor): (&str, &Tensor)| {
            let tensor = if name == self.field { self.apply(tensor)? } else { tensor.clone() };
            Ok((name.to_owned(), tensor))
        };
        let tensors: Vec<_> = dataset.tensors().map(scale).collect::<Result<_, DataError>>()?;
        let scaled = TensorDataset::new(dataset.name(), tensors)?;
        match dataset.classes() {
            Some(classes) => scaled.with_classes(classes),
            None => Ok(scaled),
        }
    }

    fn each(&self, values: &Tensor, f: impl Fn(f64, f64, f64) -> f64) -> Result<Tensor, DataError> {
        let (rank, shape) = (self.ty.rank(), values.shape());
        let fits = shape.rank() == rank || shape.rank() == rank + 1;
        if values.dtype() != self.ty.dtype || !fits || shape[shape.rank() - rank..] != self.ty.shape[..] {
            return Err(DataError::Type {
                what: format!("scaling field `{}`", self.field),
                expected: format!("{} or a batch of them", self.ty),
                got: values.ty().to_string(),
            });
        }
        let (shift, scale) = (self.shift.view::<f64>()?, self.scale.view::<f64>()?);
        let size = (self.ty.elements() / shift.len().max(1)).max(1);
        let mut scaled = values.clone();
        macro_rules! write {
            ($element:ty) => {
                for (i, x) in scaled.view_mut::<$element>()?.iter_mut().enumerate() {
                    let part = i / size % shift.len();
                    *x = f(f64::from(*x), shift[part], scale[part]) as $element;
                }
            };
        }
        if values.dtype() == DType::F32 {
            write!(f32);
        } else {
            write!(f64);
        }
        Ok(scaled)
    }
}

fn position(fields: &[Field], name: &str) -> Result<usize, DataError> {
    fields.iter().position(|f| f.name == name).ok_or_else(|| {
        let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        DataError::argument(
            "a scaler",
            format!("there is no field `{name}`; the fields are `{}`", known.join("`, `")),
        )
    })
}

fn check(name: &str, ty: Type) -> Result<(), DataError> {
    if ty.dtype.is_float() {
        return Ok(());
    }
    let what = format!("a scaler of field `{name}`");
    Err(DataError::Type { what, expected: "f32 or f64".to_owned(), got: ty.to_string() })
}

impl Transform for Scaler {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        let field = &fields[position(fields, &self.field)?];
        if field.ty != self.ty {
            return Err(DataError::Type {
                what: format!("scaling field `{}`", self.field),
                expected: self.ty.to_string(),
                got: field.ty.to_string(),
            });
        }
        Ok(fields.to_vec())
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], _: &mut Draws) -> Result<(), DataError> {
        let number = position(fields, &self.field)?;
        sample[number] = Scaler::apply(self, &sample[number])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five images of 2 × 1 × 3, far from 0.
    fn images(dtype: DType) -> TensorDataset {
        let ty = Type::new(dtype, [5, 2, 1, 3]);
        let x = Tensor::from_fn(ty, |i| {
            let x = 1000.0 + (i * 7919 % 101) as f64 + if i % 6 < 3 { 0.0 } else { 500.0 };
            Scalar::F64(if i == 7 { f64::NAN } else { x })
        });
        let label = Tensor::from_vec([5], vec![0, 1, 0, 1, 1]).unwrap();
        TensorDataset::new("images", [("image", x), ("label", label)]).unwrap().with_classes(2).unwrap()
    }

    /// The values that share a scale.
    fn groups(x: &Tensor, per: Per) -> Vec<Vec<f64>> {
        let (count, group): (usize, fn(usize) -> usize) = match per {
            Per::Element => (6, |i| i % 6),
            Per::Channel => (2, |i| i % 6 / 3),
            Per::Field => (1, |_| 0),
        };
        let mut groups = vec![vec![]; count];
        let numbers = x.scalars().map(|s| s.to_f64()).enumerate().filter(|(_, x)| !x.is_nan());
        numbers.for_each(|(i, x)| groups[group(i)].push(x));
        groups
    }

    #[test]
    fn scaled_values_have_the_moments_and_ranges_and_come_back() {
        for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F64, 1e-12)] {
            let data = images(dtype);
            let x = data.field("image").unwrap();
            for per in [Per::Element, Per::Channel, Per::Field] {
                let standard = Scaler::standardise(&data, "image", per).unwrap();
                for group in groups(&standard.apply(x).unwrap(), per) {
                    let n = group.len() as f64;
                    let mean = group.iter().sum::<f64>() / n;
                    let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                    assert!(
                        mean.abs() < tolerance && (variance - 1.0).abs() < tolerance,
                        "{mean}, {variance}"
                    );
                }
                let unit = Scaler::min_max(&data, "image", per).unwrap();
                for group in groups(&unit.apply(x).unwrap(), per) {
                    assert_eq!(group.iter().copied().fold(f64::INFINITY, f64::min), 0.0);
                    assert_eq!(group.iter().copied().fold(f64::NEG_INFINITY, f64::max), 1.0);
                }
                for scaler in [standard, unit] {
                    let scaled = scaler.scaled(&data).unwrap();
                    assert_eq!((scaled.classes(), scaled.field("label")), (Some(2), data.field("label")));
                    let back = scaler.invert(scaled.field("image").unwrap()).unwrap();
                    for (a, b) in back.scalars().zip(x.scalars()) {
                        let (a, b) = (a.to_f64(), b.to_f64());
                        assert!((a - b).abs() < 1e3 * tolerance || a.is_nan() && b.is_nan(), "{a}, {b}");
                    }
                    // One example, as a transform and by what was saved.
                    let again = Scaler::new(
                        "image",
                        data.fields()[0].ty,
                        scaler.shift().clone(),
                        scaler.scale().clone(),
                    );
                    let mut sample = data.sample(2).unwrap();
                    let again = again.unwrap();
                    assert_eq!(again, scaler);
                    again.fields(data.fields()).unwrap();
                    Transform::apply(&again, &mut sample, data.fields(), &mut Draws::new(0, 0, 0)).unwrap();
                    assert_eq!(sample, scaled.sample(2).unwrap());
                }
            }
        }
    }

    #[test]
    fn constants_and_nothing_stay_finite() {
        let new = |x: Tensor| TensorDataset::new("x", [("x", x)]).unwrap();
        for x in [
            Tensor::full([3, 2], 5.0f32),
            Tensor::full([3, 2], f32::NAN),
            Tensor::zeros(Type::new(DType::F32, [0, 2])),
        ] {
            for scaler in [Scaler::standardise, Scaler::min_max] {
                let scaler = scaler(&new(x.clone()), "x", Per::Element).unwrap();
                assert!(
                    scaler.shift().scalars().chain(scaler.scale().scalars()).all(|s| s.to_f64().is_finite())
                );
                let zeros = scaler.apply(&x).unwrap();
                assert!(zeros.scalars().all(|s| s.to_f64() == 0.0 || s.to_f64().is_nan()));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = images(DType::F32);
        let error = Scaler::min_max(&data, "label", Per::Field).unwrap_err().to_string();
        assert_eq!(error, "a scaler of field `label`: expected f32 or f64, got i32[]");
        assert!(Scaler::min_max(&data, "picture", Per::Field).is_err());
        let scaler = Scaler::standardise(&data, "image", Per::Channel).unwrap();
        for wrong in
            [Tensor::full([2, 1, 4], 1.0f32), Tensor::full([2, 1, 3], 1.0f64), Tensor::scalar(1.0f32)]
        {
            let error = scaler.apply(&wrong).unwrap_err().to_string();
            assert!(
                error.starts_with("scaling field `image`: expected f32[2,1,3] or a batch of them, got"),
                "{error}"
            );
        }
        let ty = data.fields()[0].ty;
        let of =
            |shape: &[usize]| Tensor::zeros(Type { dtype: DType::F64, shape: Shape::new(shape).unwrap() });
        assert!(Scaler::new("image", ty, of(&[2]), of(&[2])).is_ok());
        assert!(Scaler::new("image", ty, of(&[3]), of(&[3])).is_err());
        assert!(Scaler::new("image", ty, of(&[2]), of(&[])).is_err());
        assert!(Scaler::new("image", ty, Tensor::scalar(1.0f32), Tensor::scalar(1.0f32)).is_err());
    }
}
