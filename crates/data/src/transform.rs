//! Random changes to examples.

use std::sync::Arc;

use bespoke_tensor::Tensor;

use crate::{DataError, Draws, Field};

/// A change to examples that draws random numbers: an augmentation. See [`augment`](crate::augment) for those that exist.
pub trait Transform: Send + Sync {
    /// The fields of what it makes of examples with these fields.
    ///
    /// # Errors
    /// [`DataError`] if it cannot be applied to them.
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        Ok(fields.to_vec())
    }

    /// Changes an example: one tensor for each field, of the types that [`fields`](Transform::fields) let pass. `fields` name
    /// the tensors; where a transform before this one has changed a type, the tensor's own type holds.
    ///
    /// # Errors
    /// [`DataError`] if the example is not of those fields.
    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError>;

    /// This transform, then another.
    fn then<T: Transform>(self, next: T) -> Then<Self, T>
    where
        Self: Sized,
    {
        Then(self, next)
    }

    /// This transform for a part of the examples, in 0 to 1; the others stay as they are.
    fn with_probability(self, probability: f64) -> Sometimes<Self>
    where
        Self: Sized,
    {
        Sometimes { transform: self, probability }
    }
}

/// Two transforms after each other.
#[derive(Clone, Debug)]
pub struct Then<A, B>(A, B);

impl<A: Transform, B: Transform> Transform for Then<A, B> {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        self.1.fields(&self.0.fields(fields)?)
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        self.0.apply(sample, fields, draws)?;
        self.1.apply(sample, fields, draws)
    }
}

/// A transform of some of the examples.
#[derive(Clone, Debug)]
pub struct Sometimes<T> {
    transform: T,
    probability: f64,
}

impl<T: Transform> Transform for Sometimes<T> {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        if !(0.0..=1.0).contains(&self.probability) {
            let reason = format!("expected 0 to 1, got {}", self.probability);
            return Err(DataError::argument("a transform's probability", reason));
        }
        let changed = self.transform.fields(fields)?;
        match fields.iter().zip(&changed).find(|(before, after)| before != after) {
            Some((before, after)) if self.probability < 1.0 => Err(DataError::argument(
                format!("a transform's probability {}", self.probability),
                format!("it makes field `{}`, {}, {}: expected 1", before.name, before.ty, after.ty),
            )),
            _ => Ok(changed),
        }
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        if draws.uniform() < self.probability { self.transform.apply(sample, fields, draws) } else { Ok(()) }
    }
}

/// Transforms after each other, as many as a program decides when it runs.
impl Transform for Vec<Box<dyn Transform>> {
    fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
        self.iter().try_fold(fields.to_vec(), |fields, transform| transform.fields(&fields))
    }

    fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        self.iter().try_for_each(|transform| transform.apply(sample, fields, draws))
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: Transform + ?Sized> Transform for $pointer {
            fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
                (**self).fields(fields)
            }
            fn apply(&self, sample: &mut [Tensor], fields: &[Field], draws: &mut Draws) -> Result<(), DataError> {
                (**self).apply(sample, fields, draws)
            }
        }
    )*};
}

forward!(&T, Arc<T>, Box<T>);
