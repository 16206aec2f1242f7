//! Data sets in memory.

use bespoke_tensor::{Shape, Tensor, Type};

use crate::{
    DataError, Dataset, Field,
    dataset::{check_batch, label_position},
};

/// Examples in memory: named tensors with a common first extent. Clones share the storage.
///
/// ```
/// use bespoke_data::{Dataset, TensorDataset};
/// use bespoke_tensor::Tensor;
///
/// let x = Tensor::from_vec([3, 2], vec![0.0f32, 0.0, 0.0, 1.0, 1.0, 1.0])?;
/// let label = Tensor::from_vec([3], vec![0, 1, 0])?;
/// let xor = TensorDataset::new("xor", [("x", x.clone()), ("label", label)])?.with_classes(2)?;
/// assert_eq!((xor.len(), xor.class_counts()), (3, Some(vec![2, 1])));
/// assert_eq!(xor.field("x"), Some(&x));
///
/// let label = Tensor::from_vec([3], vec![0, 1, 2])?;
/// let error = TensorDataset::new("xor", [("x", x), ("label", label)])?.with_classes(2).unwrap_err();
/// assert_eq!(error.to_string(), "xor: label 2 at index 2; expected labels from 0 to 1");
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorDataset {
    name: String,
    fields: Vec<Field>,
    tensors: Vec<Tensor>,
    classes: Option<usize>,
}

/// What to learn from, and what to judge by.
#[derive(Clone, Debug)]
pub struct Split {
    /// The examples to learn from.
    pub train: TensorDataset,
    /// Held-out examples.
    pub test: TensorDataset,
}

impl TensorDataset {
    /// A data set of tensors `[n, …]` by name.
    ///
    /// # Errors
    /// [`DataError::Fields`] if there is none or two have one name, [`DataError::Type`] if one has no first axis or another
    /// extent on it than the first tensor.
    pub fn new<N: Into<String>>(
        name: impl Into<String>,
        tensors: impl IntoIterator<Item = (N, Tensor)>,
    ) -> Result<TensorDataset, DataError> {
        let name = name.into();
        let (names, tensors): (Vec<String>, Vec<Tensor>) =
            tensors.into_iter().map(|(n, t)| (n.into(), t)).unzip();
        let wrong = |reason: String| Err(DataError::Fields { name: name.clone(), reason });
        let Some(first) = tensors.first() else { return wrong("there are no fields".to_owned()) };
        let rows = first.shape().first().copied();
        let mut fields = vec![];
        for (i, (field, tensor)) in names.iter().zip(&tensors).enumerate() {
            if names[..i].contains(field) {
                return wrong(format!("there are two fields `{field}`"));
            }
            let shape = tensor.shape();
            if shape.first().copied() != rows || rows.is_none() {
                let expected = match rows {
                    Some(rows) if i > 0 => format!("{rows} rows, as field `{}` has", names[0]),
                    _ => "at least one axis, [n,…]".to_owned(),
                };
                let what = format!("{name}: field `{field}`");
                return Err(DataError::Type { what, expected, got: tensor.ty().to_string() });
            }
            let shape = Shape::new(&shape[1..])?;
            fields.push(Field::new(field, Type { dtype: tensor.dtype(), shape }));
        }
        Ok(TensorDataset { name, fields, tensors, classes: None })
    }

    /// A copy in memory of any data set.
    ///
    /// # Errors
    /// Those of reading its examples.
    pub fn copy_of(dataset: &(impl Dataset + ?Sized)) -> Result<TensorDataset, DataError> {
        let mut tensors = dataset.allocate(dataset.len())?;
        let rows: Vec<usize> = (0..dataset.len()).collect();
        dataset.gather(&rows, &mut tensors)?;
        let (name, fields) = (dataset.name().to_owned(), dataset.fields().to_vec());
        Ok(TensorDataset { name, fields, tensors, classes: dataset.classes() })
    }

    /// The same data by another name.
    pub fn named(self, name: impl Into<String>) -> TensorDataset {
        TensorDataset { name: name.into(), ..self }
    }

    /// Says that the integers of the field `label` are classes below `classes`.
    ///
    /// # Errors
    /// [`DataError::Fields`] if there is no field `label`, [`DataError::Type`] if it does not hold one integer for each
    /// example, [`DataError::Label`] if one is outside `0..classes`.
    pub fn with_classes(self, classes: usize) -> Result<TensorDataset, DataError> {
        let is_class = |value: i64| usize::try_from(value).is_ok_and(|v| v < classes);
        match self.labels()?.into_iter().enumerate().find(|&(_, value)| !is_class(value)) {
            Some((index, value)) => Err(DataError::Label { name: self.name, index, value, classes }),
            None => Ok(TensorDataset { classes: Some(classes), ..self }),
        }
    }

    /// How many examples each class has; none if nothing is known of classes.
    pub fn class_counts(&self) -> Option<Vec<usize>> {
        let mut counts = vec![0; self.classes?];
        self.labels().ok()?.into_iter().for_each(|label| counts[label as usize] += 1);
        Some(counts)
    }

    /// All examples' values `[n, …]` of the field of this name.
    pub fn field(&self, name: &str) -> Option<&Tensor> {
        self.position(name).map(|i| &self.tensors[i])
    }

    /// The fields' names and values, in order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.fields.iter().map(|f| f.name.as_str()).zip(&self.tensors)
    }
}

impl Dataset for TensorDataset {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.tensors[0].shape()[0]
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        self.check_index(index)?;
        let row = |(tensor, field): (&Tensor, &Field)| {
            let (mut sample, size) = (Tensor::zeros(field.ty), field.ty.bytes());
            sample.bytes_mut().copy_from_slice(&tensor.bytes()[index * size..(index + 1) * size]);
            sample
        };
        Ok(self.tensors.iter().zip(&self.fields).map(row).collect())
    }

    fn gather(&self, rows: &[usize], into: &mut [Tensor]) -> Result<(), DataError> {
        check_batch(&self.name, &self.fields, rows.len(), into)?;
        rows.iter().try_for_each(|&row| self.check_index(row))?;
        for ((from, field), to) in self.tensors.iter().zip(&self.fields).zip(into) {
            let (from, size) = (from.bytes(), field.ty.bytes());
            if size == 0 {
                continue;
            }
            for (&row, target) in rows.iter().zip(to.bytes_mut().chunks_exact_mut(size)) {
                target.copy_from_slice(&from[row * size..(row + 1) * size]);
            }
        }
        Ok(())
    }

    fn classes(&self) -> Option<usize> {
        self.classes
    }

    fn in_memory(&self) -> bool {
        true
    }

    fn labels(&self) -> Result<Vec<i64>, DataError> {
        let labels = &self.tensors[label_position(&self.name, &self.fields)?];
        Ok(labels.scalars().map(|label| label.to_i64().unwrap_or_default()).collect())
    }
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::{DType, Scalar};

    use super::*;

    fn numbers(n: usize) -> TensorDataset {
        let x =
            Tensor::from_fn(Type::new(DType::F32, [n, 2, 3]), |i| Scalar::I64((i / 6 * 10 + i % 6) as i64));
        let label = Tensor::from_fn(Type::new(DType::U8, [n]), |i| Scalar::I64(i as i64));
        let nothing = Tensor::zeros(Type::new(DType::F32, [n, 0]));
        TensorDataset::new("numbers", [("x", x), ("label", label), ("nothing", nothing)]).unwrap()
    }

    #[test]
    fn samples_and_gathered_rows_agree() {
        let set = numbers(7).with_classes(7).unwrap();
        let mut batch = set.allocate(4).unwrap();
        let addresses: Vec<_> = batch.iter().map(|t| t.as_ptr()).collect();
        let rows = [6, 0, 3, 3];
        set.gather(&rows, &mut batch).unwrap();
        assert_eq!(batch.iter().map(|t| t.as_ptr()).collect::<Vec<_>>(), addresses, "memory was taken");
        for (row, &index) in rows.iter().enumerate() {
            let sample = set.sample(index).unwrap();
            assert_eq!(sample[1], Tensor::scalar(index as u8));
            assert_eq!(batch[1].get(row), Scalar::U8(index as u8));
            assert_eq!(
                sample[0].view::<f32>().unwrap(),
                [0., 1., 2., 3., 4., 5.].map(|v| v + 10. * index as f32)
            );
            assert_eq!(&batch[0].view::<f32>().unwrap()[row * 6..][..6], sample[0].view::<f32>().unwrap());
        }
        let before = batch.clone();
        let error = set.gather(&[0, 1, 2, 7], &mut batch).unwrap_err().to_string();
        assert_eq!((error.as_str(), batch), ("numbers: row 7; expected one of 7 rows", before));
        assert!(set.sample(7).is_err());

        let copy = TensorDataset::copy_of(&set).unwrap();
        assert!(copy.tensors().eq(set.tensors()));
        assert_eq!((copy.name(), copy.classes()), ("numbers", Some(7)));
        assert!(TensorDataset::copy_of(&numbers(0)).unwrap().is_empty());
    }

    #[test]
    fn wrong_parts_are_named() {
        let new = |fields: &[(&str, Tensor)]| TensorDataset::new("d", fields.to_vec());
        let x = Tensor::zeros(Type::new(DType::F32, [3, 4]));
        let label = |l: &[i32]| Tensor::from_slice([l.len()], l).unwrap();
        let classes = |l: &[i32], classes| new(&[("label", label(l))]).unwrap().with_classes(classes);
        let cases = [
            (new(&[]), "d: there are no fields"),
            (
                new(&[("x", Tensor::scalar(1.0f32))]),
                "d: field `x`: expected at least one axis, [n,…], got f32[]",
            ),
            (
                new(&[("x", x.clone()), ("y", Tensor::scalar(1i32))]),
                "d: field `y`: expected 3 rows, as field `x` has, got i32[]",
            ),
            (
                new(&[("x", x.clone()), ("label", label(&[0, 1]))]),
                "d: field `label`: expected 3 rows, as field `x` has, got i32[2]",
            ),
            (new(&[("x", x.clone()), ("x", x.clone())]), "d: there are two fields `x`"),
            (new(&[("x", x.clone())]).unwrap().with_classes(2), "d: there is no field `label`"),
            (
                new(&[("label", x.clone())]).unwrap().with_classes(2),
                "d: field `label`: expected one integer for each example, got f32[4]",
            ),
            (classes(&[0, -1, 1], 2), "d: label -1 at index 1; expected labels from 0 to 1"),
            (classes(&[0, 0, 5], 5), "d: label 5 at index 2; expected labels from 0 to 4"),
            (classes(&[0], 0), "d: label 0 at index 0; there are no classes"),
        ];
        for (result, expected) in cases {
            assert_eq!(result.unwrap_err().to_string(), expected);
        }
        assert_eq!(classes(&[0, 2, 0], 4).unwrap().class_counts(), Some(vec![2, 0, 1, 0]));
        assert_eq!(new(&[("label", label(&[1]))]).unwrap().class_counts(), None);
        assert!(classes(&[], 0).unwrap().is_empty());
    }
}
