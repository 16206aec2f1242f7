//! Sorting lines.

use std::cmp::Ordering;

/// How lines lie in a block: `extent` elements, `inner` apart, `inner` lines side by side.
pub struct Lines {
    /// Elements of a line.
    pub extent: usize,
    /// Lines side by side.
    pub inner: usize,
    /// Is the greatest first?
    pub descending: bool,
}

impl Lines {
    /// Writes the positions in the order in which elements ascend or descend; NaN is greater than all else.
    pub fn floats<T: PartialOrd + Copy>(&self, x: &[T], to: &mut [i32]) {
        let is_nan = |a: &T| a.partial_cmp(a).is_none();
        self.sort(x, to, |a, b| a.partial_cmp(b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b))));
    }

    /// [`Lines::floats`] of integers.
    pub fn integers<T: Ord + Copy>(&self, x: &[T], to: &mut [i32]) {
        self.sort(x, to, T::cmp);
    }

    fn sort<T: Copy>(&self, x: &[T], to: &mut [i32], compare: impl Fn(&T, &T) -> Ordering) {
        let block = self.extent * self.inner;
        let mut line: Vec<(T, i32)> = Vec::with_capacity(self.extent);
        for (x, to) in x.chunks_exact(block).zip(to.chunks_exact_mut(block)) {
            for j in 0..self.inner {
                line.clear();
                line.extend((0..self.extent).map(|i| (x[i * self.inner + j], i as i32)));
                // Stable: equal elements keep their order, whichever way.
                line.sort_by(|a, b| {
                    let ascending = compare(&a.0, &b.0);
                    if self.descending { ascending.reverse() } else { ascending }
                });
                line.iter().enumerate().for_each(|(i, element)| to[i * self.inner + j] = element.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_strided_lines_stably_with_nan_last() {
        let x = [3.0, f64::NAN, 1.0, 2.0, -0.0, 2.0, 0.0, f64::INFINITY];
        let mut to = [0; 8];
        Lines { extent: 4, inner: 2, descending: false }.floats(&x, &mut to);
        // The lines 3, 1, −0, 0 and NaN, 2, 2, ∞.
        assert_eq!(to, [2, 1, 3, 2, 1, 3, 0, 0]);
        Lines { extent: 4, inner: 2, descending: true }.floats(&x, &mut to);
        assert_eq!(to, [0, 0, 1, 3, 2, 1, 3, 2]);
    }
}
