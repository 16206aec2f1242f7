//! Labelled examples.

use bespoke_tensor::{DType, Shape, Tensor};

use crate::DataError;

/// Examples with one class each.
///
/// ```
/// use bespoke_data::Dataset;
/// use bespoke_tensor::Tensor;
///
/// let inputs = Tensor::from_vec([3, 2], vec![0.0f32, 0.0, 0.0, 1.0, 1.0, 1.0])?;
/// let labels = Tensor::from_vec([3], vec![0, 1, 0])?;
/// let xor = Dataset::new("xor", inputs.clone(), labels, 2)?;
/// assert_eq!(xor.len(), 3);
///
/// let labels = Tensor::from_vec([3], vec![0, 1, 2])?;
/// let error = Dataset::new("xor", inputs, labels, 2).unwrap_err();
/// assert_eq!(error.to_string(), "xor: label 2 at index 2; expected labels from 0 to 1");
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The examples, `[n, …]`.
    pub inputs: Tensor,
    /// The class of each, `i32[n]`, in `0..classes`.
    pub labels: Tensor,
    /// The number of classes.
    pub classes: usize,
    /// What messages call it.
    pub name: String,
}

/// What to learn from, and what to judge by.
#[derive(Clone, Debug)]
pub struct Split {
    /// The examples to learn from.
    pub train: Dataset,
    /// Held-out examples.
    pub test: Dataset,
}

impl Dataset {
    /// A data set of `inputs` `[n, …]` and `labels` `i32[n]`.
    ///
    /// # Errors
    /// [`DataError::Type`] if the shapes are others, [`DataError::Label`] if a label is outside `0..classes`.
    pub fn new(
        name: impl Into<String>,
        inputs: Tensor,
        labels: Tensor,
        classes: usize,
    ) -> Result<Dataset, DataError> {
        let dataset = Dataset { inputs, labels, classes, name: name.into() };
        dataset.check()?;
        Ok(dataset)
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.inputs.shape().first().copied().unwrap_or(0)
    }

    /// Are there no examples?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The inputs `[n, s²]` as square images `[n, s, s]`; the storage is shared.
    ///
    /// # Errors
    /// [`DataError::Type`] if the rows are not of square length.
    pub fn images(&self) -> Result<Tensor, DataError> {
        let shape = self.inputs.shape();
        let side = shape.get(1).map_or(0, |s| s.isqrt());
        if shape.rank() != 2 || side * side != shape[1] {
            return Err(DataError::Type {
                what: format!("{}: images", self.name),
                expected: "inputs [n,s·s]".to_owned(),
                got: self.inputs.ty().to_string(),
            });
        }
        Ok(self.inputs.reshape([shape[0], side, side])?)
    }

    /// How many examples each class has.
    ///
    /// # Errors
    /// As [`Dataset::new`], for the fields may have been changed since.
    pub fn class_counts(&self) -> Result<Vec<usize>, DataError> {
        self.check()?;
        let mut counts = vec![0; self.classes];
        self.labels.view::<i32>()?.iter().for_each(|&label| counts[label as usize] += 1);
        Ok(counts)
    }

    /// Verifies what the fields' documentation says.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        let wrong = |what: &str, expected: String, tensor: &Tensor| DataError::Type {
            what: format!("{}: {what}", self.name),
            expected,
            got: tensor.ty().to_string(),
        };
        if self.inputs.shape().rank() == 0 {
            return Err(wrong("inputs", "at least one dimension, [n,…]".to_owned(), &self.inputs));
        }
        if self.labels.dtype() != DType::I32 || self.labels.shape() != Shape::from([self.len()]) {
            let expected = format!("i32[{}], one for each input", self.len());
            return Err(wrong("labels", expected, &self.labels));
        }
        match self
            .labels
            .view::<i32>()?
            .iter()
            .position(|&l| usize::try_from(l).map_or(true, |l| l >= self.classes))
        {
            Some(index) => Err(DataError::Label {
                name: self.name.clone(),
                index,
                value: self.labels.view::<i32>()?[index],
                classes: self.classes,
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::Type;

    use super::*;

    #[test]
    fn wrong_parts_are_named() {
        let inputs = || Tensor::zeros(Type::new(DType::F32, [3, 4]));
        let labels = |l: Vec<i32>| Tensor::from_vec([l.len()], l).unwrap();
        let cases = [
            (
                Dataset::new("d", Tensor::scalar(1.0f32), labels(vec![]), 2),
                "d: inputs: expected at least one dimension",
            ),
            (
                Dataset::new("d", inputs(), labels(vec![0, 1]), 2),
                "d: labels: expected i32[3], one for each input, got i32[2]",
            ),
            (Dataset::new("d", inputs(), Tensor::zeros(Type::new(DType::U8, [3])), 2), "got u8[3]"),
            (
                Dataset::new("d", inputs(), labels(vec![0, -1, 1]), 2),
                "d: label -1 at index 1; expected labels from 0 to 1",
            ),
            (
                Dataset::new("d", inputs(), labels(vec![0, 0, 5]), 5),
                "d: label 5 at index 2; expected labels from 0 to 4",
            ),
        ];
        for (result, expected) in cases {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "expected `{expected}` in: {error}");
        }
        let mut dataset = Dataset::new("d", inputs(), labels(vec![0, 1, 1]), 2).unwrap();
        assert_eq!(dataset.class_counts().unwrap(), [1, 2]);
        assert_eq!(dataset.images().unwrap().shape(), Shape::from([3, 2, 2]));
        dataset.inputs = Tensor::zeros(Type::new(DType::F32, [3, 5]));
        assert!(dataset.images().unwrap_err().to_string().contains("got f32[3,5]"));
        assert!(
            Dataset::new("none", Tensor::zeros(Type::new(DType::F32, [0, 4])), labels(vec![]), 0)
                .unwrap()
                .is_empty()
        );
    }
}
