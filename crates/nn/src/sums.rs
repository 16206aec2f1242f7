//! Means and other figures over the batches of a partition.

use bespoke_runtime::Outputs;
use bespoke_tensor::{Scalar, Shape, Tensor, Type};

use crate::{DType, Measured, TrainError, metric::Finish};

/// How each output becomes a figure, by name; the loss is the first.
pub type Finishes = [(String, Finish)];

/// Sums of programs' outputs over batches.
#[derive(Clone, Default)]
pub struct Sums {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    name: String,
    /// The type of a row's value.
    row: Type,
    /// Of each element of a row, over all rows.
    sums: Vec<f64>,
    rows: usize,
}

impl Sums {
    /// Adds the first `count` rows of a batch of `batch`.
    pub fn add(&mut self, outputs: &Outputs, count: usize, batch: usize) {
        for (name, value) in outputs.iter() {
            let by_row = value.ty().rank() > 0;
            let shape =
                value.shape().get(1..).map_or(Shape::from([]), |s| s.try_into().expect("a part of a shape"));
            let row = Type { shape, ..value.ty() };
            let entry = match self.entries.iter().position(|e| e.name == name) {
                Some(i) => &mut self.entries[i],
                None => {
                    let sums = vec![0.0; row.elements()];
                    self.entries.push(Entry { name: name.to_owned(), row, sums, rows: 0 });
                    self.entries.last_mut().expect("pushed above")
                }
            };
            // A scalar of a filled batch counts rows twice: it serves only where there is nothing better.
            if by_row || count == batch || entry.rows == 0 {
                let elements = entry.sums.len();
                for i in 0..if by_row { count * elements } else { 1 } {
                    let times = if by_row { 1.0 } else { count as f64 };
                    entry.sums[i % elements] += value.get(i).to_f64() * times;
                }
                entry.rows += count;
            }
        }
    }

    /// The figures: the loss, then the metrics and tables.
    pub fn measured(&self, finishes: &Finishes) -> Measured {
        let mut measured = Measured { loss: f64::NAN, metrics: vec![], tables: vec![] };
        for (i, (name, finish)) in finishes.iter().enumerate() {
            let Some(entry) = self.entries.iter().find(|e| e.name == *name) else { continue };
            match finish {
                Finish::Mean if i == 0 => measured.loss = entry.mean(),
                Finish::Mean => measured.metrics.push((name.clone(), entry.mean())),
                Finish::Sums(finish) => {
                    measured.metrics.push((name.clone(), finish(&entry.sums, entry.rows)))
                }
                Finish::Table => {
                    let ty = Type { dtype: DType::F64, ..entry.row };
                    let table = Tensor::from_fn(ty, |i| Scalar::F64(entry.sums[i]));
                    measured.tables.push((name.clone(), table));
                }
            }
        }
        measured
    }

    /// As tensors by name, for a checkpoint.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut tensors = vec![];
        for entry in &self.entries {
            let ty = Type { dtype: DType::F64, ..entry.row };
            tensors
                .push((format!("sums/{}", entry.name), Tensor::from_fn(ty, |i| Scalar::F64(entry.sums[i]))));
            tensors.push((format!("rows/{}", entry.name), Tensor::scalar(entry.rows as i64)));
        }
        tensors
    }

    /// From such tensors.
    pub fn from_tensors(tensors: &[(String, Tensor)]) -> Result<Sums, TrainError> {
        let mut sums = Sums::default();
        let whole = |value: &Tensor| value.get(0).to_i64().unwrap_or_default().max(0) as usize;
        for (name, value) in tensors {
            if let Some(name) = name.strip_prefix("sums/") {
                let (row, sums_of) = (value.ty(), value.to_vec::<f64>()?);
                let rows = tensors.iter().find(|t| t.0 == format!("rows/{name}")).map_or(0, |t| whole(&t.1));
                sums.entries.push(Entry { name: name.to_owned(), row, sums: sums_of, rows });
            }
        }
        Ok(sums)
    }
}

impl Entry {
    fn mean(&self) -> f64 {
        self.sums.iter().sum::<f64>() / (self.rows * self.sums.len()) as f64
    }
}
