//! Windows of time series.

use bespoke_tensor::{DType, Shape, Tensor, Type};

use crate::{DataError, Dataset, Field, dataset::check_batch};

/// A series `f32[T]` or `f32[T,C]` as windows: `history`, so many steps, and `future`, the steps after them, which are to be
/// learned. Windows begin `stride` steps apart. To hold out the end of a series, cut the series: windows overlap.
///
/// ```
/// use bespoke_data::{Dataset, SeriesWindows, sunspots_bundled};
///
/// let sunspots = sunspots_bundled();
/// let series = sunspots.field("spots").unwrap();
/// let windows = SeriesWindows::new("sunspots", series, 22, 1, 1)?;
/// assert_eq!(windows.len(), 309 - 22);
/// let example = windows.sample(0)?;
/// assert_eq!((example[0].ty().to_string(), example[1].get(0)), ("f32[22]".to_owned(), series.get(22)));
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SeriesWindows {
    name: String,
    series: Tensor,
    /// Where each window begins.
    starts: Vec<usize>,
    fields: [Field; 2],
}

impl SeriesWindows {
    /// Windows of `history` steps and the `horizon` steps after them.
    ///
    /// # Errors
    /// [`DataError::Type`] if the series is of another type, [`DataError::Argument`] if one of the numbers is 0 or the series is
    /// shorter than a window.
    pub fn new(
        name: impl Into<String>,
        series: &Tensor,
        history: usize,
        horizon: usize,
        stride: usize,
    ) -> Result<SeriesWindows, DataError> {
        let (name, ty) = (name.into(), series.ty());
        if ty.dtype != DType::F32 || !(1..=2).contains(&ty.rank()) {
            let expected = "a series f32[T] or f32[T,C]".to_owned();
            return Err(DataError::Type { what: name, expected, got: ty.to_string() });
        }
        let steps = ty.shape[0];
        let window = history.saturating_add(horizon);
        if history == 0 || horizon == 0 || stride == 0 || window > steps {
            let reason = format!(
                "expected history, horizon and stride of at least 1, a window of at most {steps} steps; got {history}, {horizon}, {stride}"
            );
            return Err(DataError::argument(name, reason));
        }
        let part = |steps: usize| Shape::new(&[&[steps], &ty.shape[1..]].concat());
        let [past, future] =
            [history, horizon].map(|steps| part(steps).map(|shape| Type { dtype: DType::F32, shape }));
        let fields = [Field::new("history", past?), Field::new("future", future?)];
        let starts = (0..=steps - window).step_by(stride).collect();
        Ok(SeriesWindows { name, series: series.clone(), starts, fields })
    }

    /// Without the windows in which something is missing: NaN.
    ///
    /// # Errors
    /// None: the series was checked.
    pub fn complete(mut self) -> Result<SeriesWindows, DataError> {
        let values = self.series.view::<f32>()?;
        let width = values.len() / self.series.shape()[0];
        let window = self.fields[0].ty.shape[0] + self.fields[1].ty.shape[0];
        self.starts
            .retain(|start| !values[start * width..(start + window) * width].iter().any(|v| v.is_nan()));
        Ok(self)
    }

    /// The steps at which the windows begin.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }
}

impl Dataset for SeriesWindows {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        let mut batch = self.allocate(1)?;
        self.gather(&[index], &mut batch)?;
        batch.iter().zip(&self.fields).map(|(tensor, field)| Ok(tensor.reshape(field.ty.shape)?)).collect()
    }

    fn gather(&self, rows: &[usize], into: &mut [Tensor]) -> Result<(), DataError> {
        check_batch(&self.name, &self.fields, rows.len(), into)?;
        rows.iter().try_for_each(|&row| self.check_index(row))?;
        let bytes = self.series.bytes();
        let step = bytes.len() / self.series.shape()[0];
        let history = self.fields[0].ty.shape[0];
        for (offset, (field, tensor)) in [0, history].into_iter().zip(self.fields.iter().zip(into)) {
            let size = field.ty.bytes();
            for (&row, to) in rows.iter().zip(tensor.bytes_mut().chunks_exact_mut(size.max(1))) {
                to.copy_from_slice(&bytes[(self.starts[row] + offset) * step..][..size]);
            }
        }
        Ok(())
    }

    fn in_memory(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::Scalar;

    use super::*;

    #[test]
    fn windows_hold_their_steps() {
        for (shape, width) in [(&[11][..], 1), (&[11, 1], 1), (&[11, 3], 3)] {
            let ty = Type { dtype: DType::F32, shape: Shape::new(shape).unwrap() };
            let series = Tensor::from_fn(ty, |i| Scalar::I64(i as i64));
            for (history, horizon, stride) in [(3, 2, 1), (3, 2, 4), (10, 1, 1), (1, 1, 3)] {
                let windows = SeriesWindows::new("s", &series, history, horizon, stride).unwrap();
                assert_eq!(windows.len(), (11 - history - horizon) / stride + 1);
                for index in 0..windows.len() {
                    let sample = windows.sample(index).unwrap();
                    assert_eq!(sample[0].shape()[1..], shape[1..]);
                    let all: Vec<f32> = sample.iter().flat_map(|t| t.to_vec::<f32>().unwrap()).collect();
                    let first = index * stride * width;
                    let expected: Vec<f32> =
                        (first..first + (history + horizon) * width).map(|i| i as f32).collect();
                    assert_eq!(all, expected);
                }
                assert!(windows.sample(windows.len()).is_err());
            }
        }
    }

    #[test]
    fn incomplete_windows_can_be_left_out_and_mistakes_are_errors() {
        let mut values = vec![1.0f32; 10];
        values[4] = f32::NAN;
        let series = Tensor::from_vec([10], values).unwrap();
        let windows = SeriesWindows::new("s", &series, 2, 1, 1).unwrap();
        assert_eq!(windows.len(), 8);
        assert_eq!(windows.complete().unwrap().starts(), [0, 1, 5, 6, 7]);
        for (history, horizon, stride) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (10, 1, 1), (usize::MAX, 1, 1)] {
            assert!(SeriesWindows::new("s", &series, history, horizon, stride).is_err());
        }
        let wrong = SeriesWindows::new("s", &Tensor::full([3], 1i32), 1, 1, 1).unwrap_err().to_string();
        assert_eq!(wrong, "s: expected a series f32[T] or f32[T,C], got i32[3]");
    }
}
