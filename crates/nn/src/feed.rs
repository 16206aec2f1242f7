//! What goes into the programs of training, and what comes out.

use bespoke_data::{Dataset, Field};
use bespoke_runtime::Outputs;
use bespoke_tensor::{DType, Tensor, Type};

use crate::{Measured, TrainError};

/// The batches of a data set as a model's inputs, in memory that is used again for each.
///
/// Inputs take the fields of their names, or if there are not all, those in order. A field of another shape with as many
/// elements is taken in row-major order; integers become what the model takes.
pub struct Feed<'a> {
    data: &'a dyn Dataset,
    /// As the data set holds them.
    fields: Vec<Tensor>,
    /// As the model takes them.
    inputs: Vec<Input<'a>>,
}

struct Input<'a> {
    name: &'a str,
    field: usize,
    ty: Type,
    /// How many positions it may point to, if it is used as index.
    extent: Option<usize>,
    value: Tensor,
}

impl<'a> Feed<'a> {
    /// For a model with these inputs, of which those in `extents` are used as indices to so many positions.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the data do not fit them, or there are none.
    pub fn new(
        inputs: &'a [(String, Type)],
        extents: &[(String, usize)],
        data: &'a dyn Dataset,
    ) -> Result<Feed<'a>, TrainError> {
        if data.is_empty() {
            return Err(TrainError::Data(format!("{}: there are no rows", data.name())));
        }
        let Some(batch) = inputs.first().and_then(|i| i.1.shape.first().copied()).filter(|&b| b > 0) else {
            return Err(TrainError::Data("expected a model whose inputs have a batch axis".to_owned()));
        };
        let mut taken = vec![];
        for ((name, ty), position) in inputs.iter().zip(matching(inputs, data)?) {
            let field = &data.fields()[position];
            if !fits(field, *ty, batch) {
                let given = format!("field `{}` of {} is {}", field.name, data.name(), field.ty);
                return Err(TrainError::Data(format!("input `{name}` is a batch {ty}; {given}")));
            }
            let extent = extents.iter().filter(|e| e.0 == *name).map(|e| e.1).min();
            taken.push(Input { name, field: position, ty: *ty, extent, value: Tensor::zeros(*ty) });
        }
        Ok(Feed { data, fields: data.allocate(batch)?, inputs: taken })
    }

    /// The number of rows of a batch.
    pub fn batch(&self) -> usize {
        self.inputs[0].ty.shape[0]
    }

    /// The inputs for these rows, as many as a batch has.
    ///
    /// # Errors
    /// [`TrainError`] if they cannot be read, or an integer is not one that the model takes.
    pub fn fill(&mut self, rows: &[usize]) -> Result<Vec<(&'a str, &Tensor)>, TrainError> {
        // A value that shares a field's storage would make the data set write elsewhere.
        self.inputs.iter_mut().for_each(|input| {
            if input.value.dtype() == self.fields[input.field].dtype() {
                input.value = Tensor::scalar(0u8);
            }
        });
        self.data.gather(rows, &mut self.fields)?;
        for input in &mut self.inputs {
            let from = &self.fields[input.field];
            let size = (from.elements() / rows.len()).max(1);
            let what = |at: usize, value: i64| {
                let name = &self.data.fields()[input.field].name;
                format!("{}: {name} {value} at index {}", self.data.name(), rows[at / size])
            };
            if let Some((at, value)) = input.extent.and_then(|extent| outside(from, extent)) {
                let last = input.extent.unwrap_or_default().saturating_sub(1);
                let what = what(at, value);
                return Err(TrainError::Data(format!("{what}; the model expects values from 0 to {last}")));
            }
            if from.dtype() == input.ty.dtype {
                input.value = from.reshape(input.ty.shape)?;
            } else if let Some((at, value)) = convert(from, &mut input.value)? {
                let (what, ty) = (what(at, value), input.ty.dtype);
                return Err(TrainError::Data(format!("{what}; the model expects {ty}")));
            }
        }
        Ok(self.inputs.iter().map(|i| (i.name, &i.value)).collect())
    }
}

/// The number of the field that each input takes.
fn matching(inputs: &[(String, Type)], data: &dyn Dataset) -> Result<Vec<usize>, TrainError> {
    let by_name: Option<Vec<usize>> = inputs.iter().map(|(name, _)| data.position(name)).collect();
    if by_name.is_none() && data.fields().len() < inputs.len() {
        let names = |names: Vec<&str>| names.join("`, `");
        return Err(TrainError::Data(format!(
            "the model has the inputs `{}`; the fields of {} are `{}`",
            names(inputs.iter().map(|i| i.0.as_str()).collect()),
            data.name(),
            names(data.fields().iter().map(|f| f.name.as_str()).collect())
        )));
    }
    Ok(by_name.unwrap_or_else(|| (0..inputs.len()).collect()))
}

/// Can values of the field be an input of this type?
fn fits(field: &Field, ty: Type, batch: usize) -> bool {
    let (from, to) = (field.ty.dtype, ty.dtype);
    ty.shape.first() == Some(&batch)
        && ty.elements() == batch * field.ty.elements()
        && (from == to || from.is_int() && (to.is_int() || to.is_float()))
}

/// The first integer that is no index below `extent`, and where it is.
fn outside(indices: &Tensor, extent: usize) -> Option<(usize, i64)> {
    let is_index = |value: i64| usize::try_from(value).is_ok_and(|v| v < extent);
    indices.scalars().filter_map(|s| s.to_i64()).enumerate().find(|&(_, value)| !is_index(value))
}

/// Writes integers as the target's element type. Gives the first that is none, and where it is.
fn convert(from: &Tensor, to: &mut Tensor) -> Result<Option<(usize, i64)>, TrainError> {
    Ok(match from.dtype() {
        DType::U8 => convert_all(from.view::<u8>()?, to)?,
        DType::U32 => convert_all(from.view::<u32>()?, to)?,
        DType::I32 => convert_all(from.view::<i32>()?, to)?,
        DType::I64 => convert_all(from.view::<i64>()?, to)?,
        dtype => unreachable!("{dtype} is no integer"),
    })
}

fn convert_all<T: Copy + Into<i64>>(from: &[T], to: &mut Tensor) -> Result<Option<(usize, i64)>, TrainError> {
    let from = from.iter().map(|&v| v.into());
    macro_rules! narrow {
        ($to:ty) => {
            for (at, (value, to)) in from.zip(to.view_mut::<$to>()?).enumerate() {
                let Ok(narrow) = <$to>::try_from(value) else { return Ok(Some((at, value))) };
                *to = narrow;
            }
        };
    }
    match to.dtype() {
        DType::F32 => from.zip(to.view_mut::<f32>()?).for_each(|(value, to)| *to = value as f32),
        DType::F64 => from.zip(to.view_mut::<f64>()?).for_each(|(value, to)| *to = value as f64),
        DType::U8 => narrow!(u8),
        DType::U32 => narrow!(u32),
        DType::I32 => narrow!(i32),
        DType::I64 => narrow!(i64),
        DType::Bool => unreachable!("no field of integers is taken for it"),
    }
    Ok(None)
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
