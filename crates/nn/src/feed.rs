//! What goes into the programs of training, and what comes out.

use bespoke_data::{DataError, Dataset, gather_rows};
use bespoke_runtime::Outputs;
use bespoke_tensor::{DType, Tensor, Type};

use crate::Measured;

/// Memory for a batch, used again for each.
pub struct Feed<'a> {
    names: Vec<&'a str>,
    examples: Tensor,
    /// As data sets hold them.
    labels: Tensor,
    /// As the model takes them.
    converted: Tensor,
}

impl<'a> Feed<'a> {
    /// For a model with these inputs: examples, and labels if there is a second.
    pub fn new(inputs: &'a [(String, Type)]) -> Feed<'a> {
        let labels = inputs.get(1).map_or(Type::new(DType::I32, [0]), |i| i.1);
        Feed {
            names: inputs.iter().map(|i| i.0.as_str()).collect(),
            examples: Tensor::zeros(inputs[0].1),
            labels: Tensor::zeros(Type { dtype: DType::I32, ..labels }),
            converted: Tensor::zeros(labels),
        }
    }

    /// The inputs for these rows.
    pub fn fill(&mut self, data: &Dataset, rows: &[usize]) -> Result<Vec<(&'a str, &Tensor)>, DataError> {
        gather_rows(&data.inputs, rows, &mut self.examples)?;
        if self.names.len() == 1 {
            return Ok(vec![(self.names[0], &self.examples)]);
        }
        gather_rows(&data.labels, rows, &mut self.labels)?;
        let ty = self.converted.ty();
        if ty.dtype != DType::I32 {
            self.converted = Tensor::from_fn(ty, |i| self.labels.get(i));
        }
        let labels = if ty.dtype == DType::I32 { &self.labels } else { &self.converted };
        Ok(vec![(self.names[0], &self.examples), (self.names[1], labels)])
    }
}

/// Sums of a program's outputs over batches.
#[derive(Default)]
pub struct Sums {
    /// Name, sum over rows, rows.
    values: Vec<(String, f64, usize)>,
    /// The number of batches.
    pub batches: usize,
}

impl Sums {
    /// Adds the first `count` rows of a batch; gives the loss, which is the first output.
    pub fn add(&mut self, outputs: &Outputs, count: usize, batch: usize) -> f64 {
        let mut loss = f64::NAN;
        for (i, (name, value)) in outputs.iter().enumerate() {
            if self.batches == 0 {
                self.values.push((name.to_owned(), 0.0, 0));
            }
            let by_row = value.ty().rank() > 0;
            let mean = if by_row { mean_of_rows(value, count) } else { value.get(0).to_f64() };
            if i == 0 {
                loss = mean;
            }
            // A scalar of a filled batch counts rows twice: it serves only where there is nothing better.
            if by_row || count == batch || self.batches == 0 {
                self.values[i].1 += mean * count as f64;
                self.values[i].2 += count;
            }
        }
        self.batches += 1;
        loss
    }

    /// The means by name.
    pub fn means(&self) -> Vec<(String, f64)> {
        self.values.iter().map(|(name, sum, rows)| (name.clone(), sum / *rows as f64)).collect()
    }

    /// The means: the loss, then the metrics.
    pub fn measured(&self) -> Measured {
        let mut means = self.means();
        let loss = if means.is_empty() { f64::NAN } else { means.remove(0).1 };
        Measured { loss, metrics: means }
    }
}

/// The mean over all elements of the first rows.
fn mean_of_rows(value: &Tensor, rows: usize) -> f64 {
    let count = value.elements() / value.shape()[0].max(1) * rows;
    (0..count).map(|i| value.get(i).to_f64()).sum::<f64>() / count as f64
}
