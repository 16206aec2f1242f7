//! Batches of examples.

use bespoke_tensor::{Shape, Tensor, Type};

use crate::{DataError, Dataset, permutation};

/// An iterator over batches of a data set: (inputs `[batch, …]`, labels `i32[batch]`).
///
/// Where no memory may be taken for each batch, ask for [`next_rows`](Batches::next_rows) and gather them yourself.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    dataset: &'a Dataset,
    order: Vec<usize>,
    batch_size: usize,
    next: usize,
}

/// The batches of one epoch: `batch_size` examples each, the last of as many as are left. With a seed, they are in an
/// order that is a function of seed and `epoch` alone; without, in the data set's.
///
/// # Errors
/// [`DataError::BatchSize`] if `batch_size` is 0, and those of [`Dataset::new`] if the data set's fields do not fit.
///
/// ```
/// use bespoke_data::{Dataset, batches};
/// use bespoke_tensor::Tensor;
///
/// let inputs = Tensor::from_vec([5, 1], vec![0.0f32, 1.0, 2.0, 3.0, 4.0])?;
/// let labels = Tensor::from_vec([5], vec![0, 1, 2, 3, 4])?;
/// let numbers = Dataset::new("numbers", inputs, labels, 5)?;
///
/// let sizes = |b: bespoke_data::Batches| b.map(|(_, labels)| labels.elements()).collect::<Vec<_>>();
/// assert_eq!(sizes(batches(&numbers, 2, Some(42), 0)?), [2, 2, 1]);
/// assert_eq!(sizes(batches(&numbers, 2, Some(42), 0)?.drop_last()), [2, 2]);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn batches(
    dataset: &Dataset,
    batch_size: usize,
    seed: Option<u64>,
    epoch: u64,
) -> Result<Batches<'_>, DataError> {
    if batch_size == 0 {
        return Err(DataError::BatchSize);
    }
    dataset.check()?;
    let order = match seed {
        Some(seed) => permutation(dataset.len(), seed, epoch),
        None => (0..dataset.len()).collect(),
    };
    Ok(Batches { dataset, order, batch_size, next: 0 })
}

impl Batches<'_> {
    /// Leaves out a last batch of fewer examples than the others.
    pub fn drop_last(mut self) -> Self {
        self.order.truncate(self.order.len() - self.order.len() % self.batch_size);
        self
    }

    /// The examples of the next batch, for [`gather_rows`]; takes no memory.
    ///
    /// ```
    /// use bespoke_data::{Dataset, batches, gather_rows};
    /// use bespoke_tensor::{DType, Tensor, Type};
    ///
    /// let inputs = Tensor::from_vec([4, 2], vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])?;
    /// let dataset = Dataset::new("d", inputs, Tensor::from_vec([4], vec![0, 1, 0, 1])?, 2)?;
    /// let mut x = Tensor::zeros(Type::new(DType::F32, [2, 2]));
    /// let mut y = Tensor::zeros(Type::new(DType::I32, [2]));
    /// let mut epoch = batches(&dataset, 2, None, 0)?.drop_last();
    /// while let Some(rows) = epoch.next_rows() {
    ///     gather_rows(&dataset.inputs, rows, &mut x)?;
    ///     gather_rows(&dataset.labels, rows, &mut y)?;
    /// }
    /// assert_eq!(x.view::<f32>()?, [4.0, 5.0, 6.0, 7.0]);
    /// # Ok::<(), bespoke_data::DataError>(())
    /// ```
    pub fn next_rows(&mut self) -> Option<&[usize]> {
        let start = self.next;
        self.next = (start + self.batch_size.min(self.order.len() - start)).min(self.order.len());
        (start < self.next).then(|| &self.order[start..self.next])
    }
}

impl Iterator for Batches<'_> {
    type Item = (Tensor, Tensor);

    fn next(&mut self) -> Option<(Tensor, Tensor)> {
        let dataset = self.dataset;
        let rows = self.next_rows()?;
        let gather = |from: &Tensor| {
            let mut to = Tensor::zeros(rows_type(from, rows.len()));
            copy_rows(from, rows, &mut to); // rows and shapes are ours
            to
        };
        Some((gather(&dataset.inputs), gather(&dataset.labels)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.order.len() - self.next).div_ceil(self.batch_size);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches<'_> {}

/// Copies rows (along the first axis) of `from` into `to`, in this order. It takes no memory unless `to` shares its
/// storage with another tensor.
///
/// # Errors
/// [`DataError::Type`] if `to` is not of `from`'s type with `rows.len()` rows, [`DataError::Row`] if a row does not
/// exist; `to` is then unchanged.
///
/// ```
/// use bespoke_data::gather_rows;
/// use bespoke_tensor::Tensor;
///
/// let from = Tensor::from_vec([3, 2], vec![1, 2, 3, 4, 5, 6])?;
/// let mut to = Tensor::full([2, 2], 0);
/// gather_rows(&from, &[2, 0], &mut to)?;
/// assert_eq!(to.view::<i32>()?, [5, 6, 1, 2]);
/// assert!(gather_rows(&from, &[2, 3], &mut to).is_err());
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn gather_rows(from: &Tensor, rows: &[usize], to: &mut Tensor) -> Result<(), DataError> {
    if from.shape().rank() == 0 {
        return Err(DataError::Type {
            what: "rows to gather".to_owned(),
            expected: "at least one dimension".to_owned(),
            got: from.ty().to_string(),
        });
    }
    let expected = rows_type(from, rows.len());
    if to.ty() != expected {
        return Err(DataError::Type {
            what: "gathered rows".to_owned(),
            expected: expected.to_string(),
            got: to.ty().to_string(),
        });
    }
    let count = from.shape()[0];
    if let Some(&index) = rows.iter().find(|&&row| row >= count) {
        return Err(DataError::Row { index, rows: count });
    }
    copy_rows(from, rows, to);
    Ok(())
}

/// The type of so many rows of `from`.
fn rows_type(from: &Tensor, rows: usize) -> Type {
    let Type { dtype, shape } = from.ty();
    let mut dims = [0; bespoke_tensor::MAX_RANK];
    dims[..shape.rank()].copy_from_slice(&shape);
    dims[0] = rows;
    let shape = Shape::new(&dims[..shape.rank()]).expect("no more rows than memory holds indices");
    Type { dtype, shape }
}

fn copy_rows(from: &Tensor, rows: &[usize], to: &mut Tensor) {
    let size = from.shape()[1..].iter().product::<usize>() * from.dtype().size();
    if size == 0 {
        return;
    }
    for (row, target) in rows.iter().zip(to.bytes_mut().chunks_exact_mut(size)) {
        target.copy_from_slice(&from.bytes()[row * size..(row + 1) * size]);
    }
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::{DType, Scalar};

    use super::*;

    fn numbers(n: usize) -> Dataset {
        let inputs =
            Tensor::from_fn(Type::new(DType::F32, [n, 2, 3]), |i| Scalar::I64((i / 6 * 10 + i % 6) as i64));
        let labels = Tensor::from_fn(Type::new(DType::I32, [n]), |i| Scalar::I64(i as i64));
        Dataset::new("numbers", inputs, labels, n).unwrap()
    }

    #[test]
    fn every_example_once_with_its_label() {
        for n in [0, 1, 6, 7, 20] {
            let dataset = numbers(n);
            for (seed, size) in
                [(None, 1), (None, 3), (Some(1), 3), (Some(2), 7), (Some(3), 100), (None, usize::MAX)]
            {
                let all = batches(&dataset, size, seed, 5).unwrap();
                assert_eq!(all.len(), n.div_ceil(size));
                let mut seen = vec![];
                for (x, y) in all {
                    assert_eq!(&x.shape()[..], [y.elements(), 2, 3]);
                    for (row, &label) in x.view::<f32>().unwrap().chunks(6).zip(y.view::<i32>().unwrap()) {
                        assert_eq!(row, [0., 1., 2., 3., 4., 5.].map(|v| v + 10.0 * label as f32));
                        seen.push(label);
                    }
                }
                if seed.is_some() && n > 6 {
                    assert!(!seen.is_sorted(), "{n} examples were not shuffled");
                } else if seed.is_none() {
                    assert!(seen.is_sorted());
                }
                seen.sort();
                assert_eq!(seen, (0..n as i32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn epochs_differ_and_repeat() {
        let dataset = numbers(20);
        let labels = |epoch| batches(&dataset, 20, Some(9), epoch).unwrap().next().unwrap().1;
        assert_eq!(labels(0), labels(0));
        assert_ne!(labels(0), labels(1));
    }

    #[test]
    fn a_partial_last_batch_can_be_dropped() {
        let dataset = numbers(7);
        let sizes = |b: Batches| b.map(|(x, _)| x.shape()[0]).collect::<Vec<_>>();
        assert_eq!(sizes(batches(&dataset, 3, Some(1), 0).unwrap()), [3, 3, 1]);
        assert_eq!(sizes(batches(&dataset, 3, Some(1), 0).unwrap().drop_last()), [3, 3]);
        assert_eq!(sizes(batches(&dataset, 7, None, 0).unwrap().drop_last()), [7]);
        assert!(sizes(batches(&dataset, 8, None, 0).unwrap().drop_last()).is_empty());
    }

    #[test]
    fn mistakes_are_errors() {
        let mut dataset = numbers(4);
        assert!(matches!(batches(&dataset, 0, None, 0), Err(DataError::BatchSize)));
        let mut to = Tensor::full([2], 7i32);
        assert!(matches!(
            gather_rows(&dataset.labels, &[0, 4], &mut to),
            Err(DataError::Row { index: 4, rows: 4 })
        ));
        assert_eq!(to, Tensor::full([2], 7i32), "a failed gather wrote");
        let wrong = gather_rows(&dataset.labels, &[0, 1, 2], &mut to).unwrap_err().to_string();
        assert_eq!(wrong, "gathered rows: expected i32[3], got i32[2]");
        assert!(gather_rows(&Tensor::scalar(1i32), &[0], &mut to).is_err());
        dataset.labels = Tensor::full([4], 9i32);
        assert!(matches!(batches(&dataset, 2, None, 0), Err(DataError::Label { index: 0, value: 9, .. })));
    }

    #[test]
    fn gathering_reuses_the_storage() {
        let dataset = numbers(10);
        let mut to = Tensor::zeros(Type::new(DType::F32, [3, 2, 3]));
        let address = to.as_ptr();
        let mut epoch = batches(&dataset, 3, Some(4), 0).unwrap().drop_last();
        let expected: Vec<Tensor> = epoch.clone().map(|(x, _)| x).collect();
        let mut got = vec![];
        while let Some(rows) = epoch.next_rows() {
            gather_rows(&dataset.inputs, rows, &mut to).unwrap();
            assert_eq!(to.as_ptr(), address);
            got.push(Tensor::from_slice(to.shape(), to.view::<f32>().unwrap()).unwrap());
        }
        assert_eq!(got, expected);
    }
}
