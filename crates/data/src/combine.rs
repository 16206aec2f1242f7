//! Data sets made of others.

use bespoke_tensor::Tensor;

use crate::{DataError, Dataset, Draws, Field, Transform, dataset::check_sample};

/// Some rows of another data set, in any order.
///
/// ```
/// use bespoke_data::{Dataset, Subset, TensorDataset};
/// use bespoke_tensor::Tensor;
///
/// let letters = TensorDataset::new("letters", [("code", Tensor::from_vec([3], vec![97, 98, 99])?)])?;
/// let some = Subset::new(&letters, vec![2, 0])?;
/// assert_eq!(some.sample(0)?, [Tensor::scalar(99)]);
/// assert!(Subset::new(&letters, vec![3]).is_err());
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subset<D> {
    name: String,
    dataset: D,
    rows: Vec<usize>,
}

impl<D: Dataset> Subset<D> {
    /// These rows; one may come several times.
    ///
    /// # Errors
    /// [`DataError::Row`] if one does not exist.
    pub fn new(dataset: D, rows: Vec<usize>) -> Result<Subset<D>, DataError> {
        rows.iter().try_for_each(|&row| dataset.check_index(row))?;
        Ok(Subset { name: format!("{}, {} rows", dataset.name(), rows.len()), dataset, rows })
    }

    /// Which rows of the other data set these are.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }
}

impl<D: Dataset> Dataset for Subset<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn fields(&self) -> &[Field] {
        self.dataset.fields()
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        self.check_index(index)?;
        self.dataset.sample(self.rows[index])
    }

    fn gather(&self, rows: &[usize], into: &mut [Tensor]) -> Result<(), DataError> {
        rows.iter().try_for_each(|&row| self.check_index(row))?;
        let rows: Vec<usize> = rows.iter().map(|&row| self.rows[row]).collect();
        self.dataset.gather(&rows, into)
    }

    fn classes(&self) -> Option<usize> {
        self.dataset.classes()
    }

    fn in_memory(&self) -> bool {
        self.dataset.in_memory()
    }

    fn labels(&self) -> Result<Vec<i64>, DataError> {
        let labels = self.dataset.labels()?;
        Ok(self.rows.iter().map(|&row| labels[row]).collect())
    }
}

/// Data sets one after another.
#[derive(Clone, Debug)]
pub struct Concatenated<D> {
    name: String,
    parts: Vec<D>,
    /// The number of examples before each part, and in all.
    starts: Vec<usize>,
    classes: Option<usize>,
}

/// The examples of data sets one after another. Those of different types go in as `Box<dyn Dataset>`.
///
/// # Errors
/// [`DataError::Fields`] if there is none, or their fields or numbers of classes differ.
///
/// ```
/// use bespoke_data::{Dataset, concat, mnist_bundled};
///
/// let digits = mnist_bundled();
/// assert_eq!(concat([&digits.train, &digits.test])?.len(), 12_000);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn concat<D: Dataset>(parts: impl IntoIterator<Item = D>) -> Result<Concatenated<D>, DataError> {
    let parts: Vec<D> = parts.into_iter().collect();
    let Some(first) = parts.first() else {
        return Err(DataError::argument("concat", "expected at least one data set, got none"));
    };
    for part in &parts {
        let (ours, theirs) = (summary(first), summary(part));
        if ours != theirs {
            let reason = format!("expected {ours}, as {} has, got {theirs}", first.name());
            return Err(DataError::Fields { name: part.name().to_owned(), reason });
        }
    }
    let mut starts = vec![0];
    parts.iter().for_each(|part| starts.push(starts[starts.len() - 1] + part.len()));
    let names: Vec<&str> = parts.iter().map(|p| p.name()).collect();
    Ok(Concatenated { name: names.join(" + "), starts, classes: first.classes(), parts })
}

/// Fields and classes, for people.
fn summary(dataset: &impl Dataset) -> String {
    let fields: Vec<String> = dataset.fields().iter().map(|f| format!("`{}` {}", f.name, f.ty)).collect();
    let classes = dataset.classes().map_or(String::new(), |classes| format!(" of {classes} classes"));
    format!("{}{classes}", fields.join(", "))
}

impl<D: Dataset> Dataset for Concatenated<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.starts[self.parts.len()]
    }

    fn fields(&self) -> &[Field] {
        self.parts[0].fields()
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        self.check_index(index)?;
        let part = self.starts.partition_point(|&start| start <= index) - 1;
        self.parts[part].sample(index - self.starts[part])
    }

    fn classes(&self) -> Option<usize> {
        self.classes
    }

    fn in_memory(&self) -> bool {
        self.parts.iter().all(|part| part.in_memory())
    }

    fn labels(&self) -> Result<Vec<i64>, DataError> {
        let labels: Vec<Vec<i64>> = self.parts.iter().map(|part| part.labels()).collect::<Result<_, _>>()?;
        Ok(labels.concat())
    }
}

/// A data set seen through a function.
pub struct Mapped<D, F> {
    dataset: D,
    fields: Vec<Field>,
    f: F,
}

/// The examples that `f` makes of another data set's: it gets index and example, and gives values of `fields`. Class numbers
/// are known of the result if `label` is in both.
///
/// ```
/// use bespoke_data::{Dataset, Field, map, mnist_bundled};
/// use bespoke_tensor::Tensor;
///
/// // Digits told apart by being odd.
/// let digits = mnist_bundled().test;
/// let fields = vec![digits.fields()[0].clone(), Field::new("odd", "i32[]".parse()?)];
/// let odd = map(digits, fields, |_, mut example| {
///     example[1] = Tensor::scalar(example[1].view::<i32>()?[0] % 2);
///     Ok(example)
/// });
/// assert!(odd.sample(3)?[1].view::<i32>()?[0] < 2);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn map<D, F>(dataset: D, fields: Vec<Field>, f: F) -> Mapped<D, F>
where
    D: Dataset,
    F: Fn(usize, Vec<Tensor>) -> Result<Vec<Tensor>, DataError> + Send + Sync,
{
    Mapped { dataset, fields, f }
}

impl<D, F> Dataset for Mapped<D, F>
where
    D: Dataset,
    F: Fn(usize, Vec<Tensor>) -> Result<Vec<Tensor>, DataError> + Send + Sync,
{
    fn name(&self) -> &str {
        self.dataset.name()
    }

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        let sample = (self.f)(index, self.dataset.sample(index)?)?;
        check_sample(self.name(), &self.fields, index, &sample)?;
        Ok(sample)
    }

    fn classes(&self) -> Option<usize> {
        self.position("label").and_then(|_| self.dataset.classes())
    }
}

/// A data set's examples as a transform makes them, the same each time: its random numbers are a function of seed and index.
/// A loader's `augment` draws anew in each epoch.
///
/// # Errors
/// Those of [`Transform::fields`].
pub fn transformed<D: Dataset, T: Transform>(
    dataset: D,
    transform: T,
    seed: u64,
) -> Result<impl Dataset, DataError> {
    let before = dataset.fields().to_vec();
    let after = transform.fields(&before)?;
    Ok(map(dataset, after, move |index, mut sample| {
        transform.apply(&mut sample, &before, &mut Draws::new(seed, 0, index as u64))?;
        Ok(sample)
    }))
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::DType;

    use super::*;
    use crate::{TensorDataset, dataset::allocate};

    fn numbers(name: &str, from: i32, to: i32) -> TensorDataset {
        let label: Vec<i32> = (from..to).collect();
        TensorDataset::new(name, [("label", Tensor::from_slice([label.len()], &label).unwrap())]).unwrap()
    }

    fn gathered(dataset: &dyn Dataset, rows: &[usize]) -> Vec<i32> {
        let mut batch = allocate(dataset.fields(), rows.len()).unwrap();
        dataset.gather(rows, &mut batch).unwrap();
        let singly: Vec<i32> =
            rows.iter().map(|&r| dataset.sample(r).unwrap()[0].view::<i32>().unwrap()[0]).collect();
        let together = batch[0].to_vec::<i32>().unwrap();
        assert_eq!(singly, together);
        let labels = dataset.labels().unwrap();
        assert_eq!(rows.iter().map(|&r| labels[r] as i32).collect::<Vec<_>>(), together);
        together
    }

    #[test]
    fn rows_are_found_in_their_parts() {
        let (a, none, b) = (numbers("a", 0, 3), numbers("none", 0, 0), numbers("b", 3, 7));
        let all = concat([&none, &a, &none, &b, &none]).unwrap();
        assert_eq!((all.len(), all.in_memory()), (7, true));
        assert_eq!(gathered(&all, &[6, 0, 2, 3, 3]), [6, 0, 2, 3, 3]);
        let some = Subset::new(&all, vec![5, 4, 0]).unwrap();
        assert_eq!((some.len(), some.rows()), (3, &[5, 4, 0][..]));
        assert_eq!(gathered(&some, &[2, 0, 1]), [0, 5, 4]);
        let fields = all.fields().to_vec();
        let negated = map(&some, fields, |i, s| Ok(vec![Tensor::scalar(i as i32 - s[0].view::<i32>()?[0])]));
        assert_eq!(gathered(&negated, &[0, 1, 2]), [-5, -3, 2]);
        for set in [&all as &dyn Dataset, &some, &negated] {
            assert!(matches!(set.sample(7), Err(DataError::Row { .. })));
        }
        assert_eq!(
            some.sample(3).unwrap_err().to_string(),
            format!("{}: row 3; expected one of 3 rows", some.name())
        );
    }

    #[test]
    fn parts_that_differ_are_refused() {
        let a = numbers("a", 0, 3);
        let b = numbers("b", 0, 3).with_classes(3).unwrap();
        let error = concat([&a, &b]).unwrap_err().to_string();
        assert_eq!(error, "b: expected `label` i32[], as a has, got `label` i32[] of 3 classes");
        assert!(concat(Vec::<TensorDataset>::new()).is_err());
        let error = Subset::new(&a, vec![0, 3]).unwrap_err().to_string();
        assert_eq!(error, "a: row 3; expected one of 3 rows");
        let wrong = map(&a, vec![Field::new("x", "f32[]".parse().unwrap())], |_, s| Ok(s));
        let error = wrong.sample(1).unwrap_err().to_string();
        assert_eq!(error, "a: field `x` of example 1: expected f32[], got i32[]");
        assert_eq!(wrong.fields()[0].ty.dtype, DType::F32);
    }
}
