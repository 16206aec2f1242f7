//! Partitions for training, validation and test.

use std::collections::HashMap;

use crate::{DataError, Dataset, Subset, permutation};

/// Random disjoint parts that together are the whole, by their fractions of it: a function of length, fractions and seed alone.
///
/// # Errors
/// [`DataError::Argument`] unless fractions are positive and their sum is 1.
///
/// ```
/// use bespoke_data::{Dataset, mnist_bundled, partition};
///
/// let digits = mnist_bundled().train;
/// let parts = partition(&digits, &[0.8, 0.1, 0.1], 42)?;
/// assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [8_000, 1_000, 1_000]);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn partition<D: Dataset + Clone>(
    dataset: D,
    fractions: &[f64],
    seed: u64,
) -> Result<Vec<Subset<D>>, DataError> {
    let order = permutation(dataset.len(), seed, 0);
    cut(&dataset, fractions, &order)
}

/// [`partition`] without shuffling, for examples whose order means something: the first part is the earliest.
///
/// # Errors
/// Those of [`partition`].
pub fn partition_in_order<D: Dataset + Clone>(
    dataset: D,
    fractions: &[f64],
) -> Result<Vec<Subset<D>>, DataError> {
    let order: Vec<usize> = (0..dataset.len()).collect();
    cut(&dataset, fractions, &order)
}

/// [`partition`] so that each part has its fraction of each class, as nearly as whole examples can.
///
/// # Errors
/// Those of [`partition`], and of [`Dataset::labels`].
///
/// ```
/// use bespoke_data::{TensorDataset, mnist_bundled, stratified_partition};
///
/// let parts = stratified_partition(mnist_bundled().test, &[0.75, 0.25], 1)?;
/// assert_eq!(TensorDataset::copy_of(&parts[1])?.class_counts(), Some(vec![50; 10]));
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
pub fn stratified_partition<D: Dataset + Clone>(
    dataset: D,
    fractions: &[f64],
    seed: u64,
) -> Result<Vec<Subset<D>>, DataError> {
    check(&dataset, fractions)?;
    let labels = dataset.labels()?;
    let mut sizes: HashMap<i64, usize> = HashMap::new();
    labels.iter().for_each(|&label| *sizes.entry(label).or_default() += 1);
    let ends: HashMap<i64, Vec<usize>> =
        sizes.into_iter().map(|(label, size)| (label, ends(fractions, size))).collect();
    let mut seen: HashMap<i64, usize> = HashMap::new();
    let mut parts = vec![vec![]; fractions.len()];
    for row in permutation(dataset.len(), seed, 0) {
        let seen = seen.entry(labels[row]).or_default();
        parts[ends[&labels[row]].partition_point(|end| end <= seen)].push(row);
        *seen += 1;
    }
    parts.into_iter().map(|rows| Subset::new(dataset.clone(), rows)).collect()
}

fn cut<D: Dataset + Clone>(
    dataset: &D,
    fractions: &[f64],
    order: &[usize],
) -> Result<Vec<Subset<D>>, DataError> {
    check(dataset, fractions)?;
    let mut start = 0;
    let part = |end| {
        let rows = order[start..end].to_vec();
        start = end;
        Subset::new(dataset.clone(), rows)
    };
    ends(fractions, order.len()).into_iter().map(part).collect()
}

/// Where the parts of so many examples end.
fn ends(fractions: &[f64], len: usize) -> Vec<usize> {
    let mut sum = 0.0;
    let mut ends: Vec<usize> = fractions
        .iter()
        .map(|fraction| {
            sum += fraction;
            ((sum * len as f64).round() as usize).min(len)
        })
        .collect();
    if let Some(last) = ends.last_mut() {
        *last = len;
    }
    ends
}

fn check(dataset: &impl Dataset, fractions: &[f64]) -> Result<(), DataError> {
    let sum: f64 = fractions.iter().sum();
    if fractions.iter().all(|&f| f > 0.0) && (sum - 1.0).abs() < 1e-9 {
        return Ok(());
    }
    let reason = format!("expected positive fractions that sum to 1, got {fractions:?}");
    Err(DataError::argument(format!("a partition of {}", dataset.name()), reason))
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::Tensor;

    use super::*;
    use crate::TensorDataset;

    /// 30 of class 0, 20 of class 7, 1 of class −1, and what is left of class 3.
    fn labelled(n: usize) -> TensorDataset {
        let label = |i: usize| {
            if i < 30 {
                0
            } else if i < 50 {
                7
            } else if i == 50 {
                -1
            } else {
                3i64
            }
        };
        let labels: Vec<i64> = (0..n).map(label).collect();
        TensorDataset::new("labelled", [("label", Tensor::from_vec([n], labels).unwrap())]).unwrap()
    }

    fn rows(parts: &[Subset<&TensorDataset>]) -> Vec<Vec<usize>> {
        parts.iter().map(|p| p.rows().to_vec()).collect()
    }

    #[test]
    fn parts_are_disjoint_whole_and_repeatable() {
        for n in [0, 1, 2, 51, 97, 100] {
            let data = labelled(n);
            for fractions in [&[1.0][..], &[0.8, 0.1, 0.1], &[0.5, 0.5], &[0.1; 10], &[1e-9, 1.0 - 1e-9]] {
                let random = |seed| rows(&partition(&data, fractions, seed).unwrap());
                let stratified = |seed| rows(&stratified_partition(&data, fractions, seed).unwrap());
                let in_order = rows(&partition_in_order(&data, fractions).unwrap());
                for parts in [random(1), stratified(1), in_order.clone()] {
                    let mut all = parts.concat();
                    all.sort();
                    assert_eq!(all, (0..n).collect::<Vec<_>>());
                }
                for parts in [random(1), in_order.clone()] {
                    for (part, fraction) in parts.iter().zip(fractions) {
                        assert!((part.len() as f64 - fraction * n as f64).abs() <= 1.0);
                    }
                }
                assert!(in_order.concat().is_sorted());
                assert_eq!((random(1), stratified(1)), (random(1), stratified(1)));
                if n > 50 {
                    assert!(random(1) != random(2) && stratified(1) != stratified(2));
                }
            }
        }
    }

    #[test]
    fn strata_keep_their_shares() {
        let data = labelled(100);
        let parts = stratified_partition(&data, &[0.6, 0.4], 5).unwrap();
        for (part, fraction) in parts.iter().zip([0.6, 0.4]) {
            let labels = part.labels().unwrap();
            for (label, size) in [(0, 30.0), (7, 20.0), (-1, 1.0), (3, 49.0)] {
                let count = labels.iter().filter(|&&l| l == label).count() as f64;
                assert!((count - fraction * size).abs() <= 0.5, "{count} of class {label}");
            }
            assert!(!labels.is_sorted(), "the classes are not mixed");
        }
    }

    #[test]
    fn senseless_fractions_are_refused() {
        let data = labelled(10);
        for fractions in [&[][..], &[0.5], &[0.5, 0.6], &[1.5, -0.5], &[f64::NAN, 1.0], &[0.0, 1.0]] {
            for parts in [partition(&data, fractions, 0), stratified_partition(&data, fractions, 0)] {
                let error = parts.unwrap_err().to_string();
                let expected = "a partition of labelled: expected positive fractions that sum to 1, got [";
                assert!(error.starts_with(expected), "{error}");
            }
        }
        let no_labels = TensorDataset::new("bare", [("x", Tensor::full([3], 1i32))]).unwrap();
        let error = stratified_partition(&no_labels, &[1.0], 0).unwrap_err().to_string();
        assert_eq!(error, "bare: there is no field `label`");
    }
}
