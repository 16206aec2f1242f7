//! What every data set can be asked.

use std::sync::Arc;

use bespoke_tensor::{MAX_RANK, Shape, Tensor, Type};

use crate::DataError;

/// One part of every example: its name and the type of one example's value, without the batch axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, such as `image` or `label`.
    pub name: String,
    /// The type of one example's value.
    pub ty: Type,
}

impl Field {
    /// A field of this name, each example's value of this type.
    pub fn new(name: impl Into<String>, ty: Type) -> Field {
        Field { name: name.into(), ty }
    }

    /// The type of the values of so many examples: with the batch axis in front.
    ///
    /// # Errors
    /// [`DataError::Tensor`] if there is no such shape.
    ///
    /// ```
    /// use bespoke_data::Field;
    ///
    /// let image = Field::new("image", "f32[28,28]".parse()?);
    /// assert_eq!(image.batch(32)?.to_string(), "f32[32,28,28]");
    /// # Ok::<(), bespoke_data::DataError>(())
    /// ```
    pub fn batch(&self, rows: usize) -> Result<Type, DataError> {
        let (mut dims, rank) = ([0; MAX_RANK + 1], self.ty.rank());
        dims[0] = rows;
        dims[1..=rank].copy_from_slice(&self.ty.shape);
        Ok(Type { dtype: self.ty.dtype, shape: Shape::new(&dims[..=rank])? })
    }
}

/// Examples by number, each made of the same named fields.
///
/// ```
/// use bespoke_data::{DataError, Dataset, Field};
/// use bespoke_tensor::{DType, Tensor, Type};
///
/// /// The numbers below `len`, and their squares.
/// struct Squares(usize, [Field; 2]);
///
/// impl Dataset for Squares {
///     fn name(&self) -> &str {
///         "squares"
///     }
///     fn len(&self) -> usize {
///         self.0
///     }
///     fn fields(&self) -> &[Field] {
///         &self.1
///     }
///     fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
///         self.check_index(index)?;
///         let x = index as f32;
///         Ok(vec![Tensor::scalar(x), Tensor::scalar(x * x)])
///     }
/// }
///
/// let squares = Squares(10, ["x", "y"].map(|name| Field::new(name, Type::scalar(DType::F32))));
/// let mut batch = squares.allocate(2)?;
/// squares.gather(&[3, 5], &mut batch)?;
/// assert_eq!(batch[1].view::<f32>()?, [9.0, 25.0]);
/// # Ok::<(), DataError>(())
/// ```
pub trait Dataset: Send + Sync {
    /// What messages call it.
    fn name(&self) -> &str;

    /// The number of examples.
    fn len(&self) -> usize;

    /// Are there no examples?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parts of every example.
    fn fields(&self) -> &[Field];

    /// Example `index`: one tensor for each field, of the field's type.
    ///
    /// # Errors
    /// [`DataError::Row`] if there is no such example, and others if it cannot be read.
    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError>;

    /// Copies examples into the rows of `into`, one tensor `[rows.len(), …]` for each field. Provided by [`sample`]; sets in
    /// memory copy without taking any.
    ///
    /// # Errors
    /// [`DataError::Type`] if `into` is not of the fields' types with as many rows, and those of [`sample`].
    ///
    /// [`sample`]: Dataset::sample
    fn gather(&self, rows: &[usize], into: &mut [Tensor]) -> Result<(), DataError> {
        check_batch(self.name(), self.fields(), rows.len(), into)?;
        for (row, &index) in rows.iter().enumerate() {
            write_row(self.name(), self.fields(), index, &self.sample(index)?, row, into)?;
        }
        Ok(())
    }

    /// The number of classes, if the field `label` holds class numbers below it.
    fn classes(&self) -> Option<usize> {
        None
    }

    /// Is reading an example only a copy? Then a loader does not bother with a thread.
    fn in_memory(&self) -> bool {
        false
    }

    /// The integer in the field `label` of every example, to stratify by. Provided by reading all examples; sets that know
    /// their labels give them.
    ///
    /// # Errors
    /// [`DataError::Fields`] if there is no field `label`, [`DataError::Type`] if it is not one integer, and those of
    /// [`sample`](Dataset::sample).
    fn labels(&self) -> Result<Vec<i64>, DataError> {
        let position = label_position(self.name(), self.fields())?;
        (0..self.len()).map(|i| Ok(self.sample(i)?[position].get(0).to_i64().unwrap_or_default())).collect()
    }

    /// The number of the field of this name.
    fn position(&self, name: &str) -> Option<usize> {
        self.fields().iter().position(|f| f.name == name)
    }

    /// Zeros for [`gather`](Dataset::gather) to write so many examples into.
    ///
    /// # Errors
    /// [`DataError::Tensor`] if there is no memory for so many.
    fn allocate(&self, rows: usize) -> Result<Vec<Tensor>, DataError> {
        allocate(self.fields(), rows)
    }

    /// Refuses an example that does not exist.
    ///
    /// # Errors
    /// [`DataError::Row`] if `index` is not below the length.
    fn check_index(&self, index: usize) -> Result<(), DataError> {
        if index < self.len() {
            return Ok(());
        }
        Err(DataError::Row { name: self.name().to_owned(), index, rows: self.len() })
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: Dataset + ?Sized> Dataset for $pointer {
            fn name(&self) -> &str {
                (**self).name()
            }
            fn len(&self) -> usize {
                (**self).len()
            }
            fn fields(&self) -> &[Field] {
                (**self).fields()
            }
            fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
                (**self).sample(index)
            }
            fn gather(&self, rows: &[usize], into: &mut [Tensor]) -> Result<(), DataError> {
                (**self).gather(rows, into)
            }
            fn classes(&self) -> Option<usize> {
                (**self).classes()
            }
            fn in_memory(&self) -> bool {
                (**self).in_memory()
            }
            fn labels(&self) -> Result<Vec<i64>, DataError> {
                (**self).labels()
            }
        }
    )*};
}

forward!(&T, Arc<T>, Box<T>);

/// The number of the field `label`, of one integer.
pub(crate) fn label_position(name: &str, fields: &[Field]) -> Result<usize, DataError> {
    let Some(position) = fields.iter().position(|f| f.name == "label") else {
        let reason = "there is no field `label`".to_owned();
        return Err(DataError::Fields { name: name.to_owned(), reason });
    };
    let ty = fields[position].ty;
    if !ty.dtype.is_int() || ty.rank() > 0 {
        return Err(DataError::Type {
            what: format!("{name}: field `label`"),
            expected: "one integer for each example".to_owned(),
            got: ty.to_string(),
        });
    }
    Ok(position)
}

/// Zeros for so many examples of these fields.
pub(crate) fn allocate(fields: &[Field], rows: usize) -> Result<Vec<Tensor>, DataError> {
    fields.iter().map(|f| Ok(Tensor::try_zeros(f.batch(rows)?)?)).collect()
}

/// Refuses a batch that is not of the fields' types with so many rows. It takes no memory.
pub(crate) fn check_batch(
    name: &str,
    fields: &[Field],
    rows: usize,
    batch: &[Tensor],
) -> Result<(), DataError> {
    if batch.len() != fields.len() {
        return Err(DataError::Type {
            what: format!("{name}: a batch"),
            expected: format!("{} tensors, one for each field", fields.len()),
            got: batch.len().to_string(),
        });
    }
    for (field, tensor) in fields.iter().zip(batch) {
        let expected = field.batch(rows)?;
        if tensor.ty() != expected {
            return Err(DataError::Type {
                what: format!("{name}: a batch's field `{}`", field.name),
                expected: expected.to_string(),
                got: tensor.ty().to_string(),
            });
        }
    }
    Ok(())
}

/// Copies an example into a row of a batch that [`check_batch`] let pass.
pub(crate) fn write_row(
    name: &str,
    fields: &[Field],
    index: usize,
    sample: &[Tensor],
    row: usize,
    batch: &mut [Tensor],
) -> Result<(), DataError> {
    check_sample(name, fields, index, sample)?;
    for (tensor, rows) in sample.iter().zip(batch) {
        let size = tensor.ty().bytes();
        rows.bytes_mut()[row * size..(row + 1) * size].copy_from_slice(tensor.bytes());
    }
    Ok(())
}

/// Refuses an example whose tensors are not of the fields' types.
pub(crate) fn check_sample(
    name: &str,
    fields: &[Field],
    index: usize,
    sample: &[Tensor],
) -> Result<(), DataError> {
    if sample.len() != fields.len() {
        return Err(DataError::Type {
            what: format!("{name}: example {index}"),
            expected: format!("{} tensors, one for each field", fields.len()),
            got: sample.len().to_string(),
        });
    }
    match fields.iter().zip(sample).find(|(field, tensor)| field.ty != tensor.ty()) {
        Some((field, tensor)) => Err(DataError::Type {
            what: format!("{name}: field `{}` of example {index}", field.name),
            expected: field.ty.to_string(),
            got: tensor.ty().to_string(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::DType;

    use super::*;

    /// Gives its examples one element too many where asked.
    struct Faulty(Vec<Field>);

    impl Dataset for Faulty {
        fn name(&self) -> &str {
            "faulty"
        }
        fn len(&self) -> usize {
            4
        }
        fn fields(&self) -> &[Field] {
            &self.0
        }
        fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
            self.check_index(index)?;
            let mut tensors = vec![Tensor::full([2], index as i32)];
            if index == 2 {
                tensors = vec![Tensor::full([3], 2i32)];
            } else if index == 3 {
                tensors.push(Tensor::scalar(true));
            }
            Ok(tensors)
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let set = Faulty(vec![Field::new("x", Type::new(DType::I32, [2]))]);
        let mut batch = set.allocate(2).unwrap();
        (&set as &dyn Dataset).gather(&[1, 0], &mut batch).unwrap();
        assert_eq!(batch[0], Tensor::from_vec([2, 2], vec![1, 1, 0, 0]).unwrap());
        for (rows, expected) in [
            (&[0, 2][..], "faulty: field `x` of example 2: expected i32[2], got i32[3]"),
            (&[3, 1], "faulty: example 3: expected 1 tensors, one for each field, got 2"),
            (&[4, 1], "faulty: row 4; expected one of 4 rows"),
            (&[1], "faulty: a batch's field `x`: expected i32[1,2], got i32[2,2]"),
        ] {
            assert_eq!(Arc::new(&set).gather(rows, &mut batch).unwrap_err().to_string(), expected);
        }
        let error = set.gather(&[0], &mut []).unwrap_err().to_string();
        assert_eq!(error, "faulty: a batch: expected 1 tensors, one for each field, got 0");
        assert!(set.allocate(usize::MAX).is_err());
        assert_eq!((set.position("x"), set.position("y")), (Some(0), None));
    }
}
