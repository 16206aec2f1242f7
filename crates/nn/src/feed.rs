//! What goes into the programs of training.

use bespoke_data::{Batch, Field};
use bespoke_tensor::{DType, Tensor, Type};

use crate::TrainError;

/// The batches of a data set as a model's inputs, in memory that is used again for each.
///
/// Inputs take the fields of their names, or if there are not all, those in order. A field of another shape with as many
/// elements is taken in row-major order; integers become what the model takes.
pub struct Feed {
    /// What messages call the data.
    data: String,
    inputs: Vec<Input>,
}

struct Input {
    name: String,
    /// The position and name of the field that it takes.
    field: (usize, String),
    ty: Type,
    /// How many positions it may point to, if it is used as index.
    extent: Option<usize>,
    value: Tensor,
}

impl Feed {
    /// For a model with these inputs, of which those in `extents` are used as indices to so many positions, from the fields of
    /// the data set called `data`.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the fields do not fit the inputs.
    pub fn new(
        inputs: &[(String, Type)],
        extents: &[(String, usize)],
        data: &str,
        fields: &[Field],
    ) -> Result<Feed, TrainError> {
        let Some(batch) = inputs.first().and_then(|i| i.1.shape.first().copied()).filter(|&b| b > 0) else {
            return Err(TrainError::Data("expected a model whose inputs have a batch axis".to_owned()));
        };
        let mut taken = vec![];
        for ((name, ty), position) in inputs.iter().zip(matching(inputs, data, fields)?) {
            let field = &fields[position];
            if !fits(field, *ty, batch) {
                let given = format!("field `{}` of {data} is {}", field.name, field.ty);
                return Err(TrainError::Data(format!("input `{name}` is a batch {ty}; {given}")));
            }
            let extent = extents.iter().filter(|e| e.0 == *name).map(|e| e.1).min();
            let (name, field) = (name.clone(), (position, field.name.clone()));
            taken.push(Input { name, field, ty: *ty, extent, value: Tensor::scalar(0u8) });
        }
        Ok(Feed { data: data.to_owned(), inputs: taken })
    }

    /// The number of rows that it takes.
    pub fn rows(&self) -> usize {
        self.inputs[0].ty.shape[0]
    }

    /// The inputs of a batch.
    ///
    /// # Errors
    /// [`TrainError`] if an integer is not one that the model takes.
    pub fn inputs(&mut self, batch: &Batch) -> Result<Vec<(&str, &Tensor)>, TrainError> {
        for input in &mut self.inputs {
            let from = &batch.fields[input.field.0];
            let size = (from.elements() / batch.rows.max(1)).max(1);
            let what = |at: usize, value: i64| {
                format!("{}: {} {value} at index {}", self.data, input.field.1, batch.examples[at / size])
            };
            if let Some((at, value)) = input.extent.and_then(|extent| outside(from, extent)) {
                let last = input.extent.unwrap_or_default().saturating_sub(1);
                let what = what(at, value);
                return Err(TrainError::Data(format!("{what}; the model expects values from 0 to {last}")));
            }
            if from.dtype() == input.ty.dtype {
                input.value = from.reshape(input.ty.shape)?;
                continue;
            }
            if input.value.ty() != input.ty {
                input.value = Tensor::zeros(input.ty);
            }
            if let Some((at, value)) = convert(from, &mut input.value)? {
                let (what, ty) = (what(at, value), input.ty.dtype);
                return Err(TrainError::Data(format!("{what}; the model expects {ty}")));
            }
        }
        Ok(self.inputs.iter().map(|i| (i.name.as_str(), &i.value)).collect())
    }

    /// Lets go of the batch, so that its memory can be written again without a copy.
    pub fn release(&mut self, batch: &Batch) {
        let shares = |input: &Input| batch.fields[input.field.0].dtype() == input.ty.dtype;
        self.inputs.iter_mut().filter(|i| shares(i)).for_each(|input| input.value = Tensor::scalar(0u8));
    }
}

/// The number of the field that each input takes: that of its name, else the first in order that no other has taken.
fn matching(inputs: &[(String, Type)], data: &str, fields: &[Field]) -> Result<Vec<usize>, TrainError> {
    let position = |name: &str| fields.iter().position(|f| f.name == name);
    let by_name: Vec<Option<usize>> = inputs.iter().map(|(name, _)| position(name)).collect();
    if fields.len() < inputs.len() {
        let names = |names: Vec<&str>| names.join("`, `");
        return Err(TrainError::Data(format!(
            "the model has the inputs `{}`; the fields of {data} are `{}`",
            names(inputs.iter().map(|i| i.0.as_str()).collect()),
            names(fields.iter().map(|f| f.name.as_str()).collect())
        )));
    }
    let mut others = (0..fields.len()).filter(|at| !by_name.contains(&Some(*at)));
    let taken = by_name.iter().map(|at| at.or_else(|| others.next()).expect("there are as many fields"));
    Ok(taken.collect())
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
                match <$to>::try_from(value) {
                    Ok(narrow) => *to = narrow,
                    Err(_) => return Ok(Some((at, value))),
                }
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
