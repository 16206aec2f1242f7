//! Saving and loading parameters as safetensors.

use std::path::Path;

use bespoke_tensor::{DType, Shape, Tensor, Type, write_aside};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::TrainError;

fn file_error(path: &Path, reason: impl std::fmt::Display) -> TrainError {
    TrainError::File { path: path.to_owned(), reason: reason.to_string() }
}

fn to_safetensors(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::U32 => Dtype::U32,
        DType::Bool => Dtype::BOOL,
    }
}

/// Writes tensors to a file, beside it first: it is whole or as it was.
///
/// # Errors
/// [`TrainError::File`] if it cannot be written.
pub fn save(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), TrainError> {
    let views: Result<Vec<(&str, TensorView<'_>)>, _> = tensors
        .iter()
        .map(|(name, t)| {
            TensorView::new(to_safetensors(t.dtype()), t.shape().to_vec(), t.bytes())
                .map(|v| (name.as_str(), v))
        })
        .collect();
    let bytes = safetensors::serialize(views.map_err(|e| file_error(path, e))?, None)
        .map_err(|e| file_error(path, e))?;
    write_aside(path, |file| std::io::Write::write_all(file, &bytes).map_err(Into::into))
        .map_err(|e| file_error(path, e))
}

/// Reads the tensors of these names and types from a file. Others in the file are left alone.
///
/// # Errors
/// [`TrainError`] if the file cannot be read, is damaged, or lacks one of the tensors in its type.
pub fn load(
    path: &Path,
    wanted: &[(String, bespoke_tensor::Type)],
) -> Result<Vec<(String, Tensor)>, TrainError> {
    let bytes = std::fs::read(path).map_err(|e| file_error(path, e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| file_error(path, format!("no whole safetensors file: {e}")))?;
    wanted
        .iter()
        .map(|(name, ty)| {
            let missing =
                |_| TrainError::MissingTensor { path: path.to_owned(), name: name.clone(), ty: *ty };
            let view = file.tensor(name).map_err(missing)?;
            if view.dtype() != to_safetensors(ty.dtype) || *view.shape() != ty.shape[..] {
                let got = format!("{:?}{:?}", view.dtype(), view.shape()).to_lowercase().replace(' ', "");
                return Err(TrainError::WrongTensor {
                    path: path.to_owned(),
                    name: name.clone(),
                    expected: *ty,
                    got,
                });
            }
            if ty.dtype == DType::Bool && view.data().iter().any(|&b| b > 1) {
                return Err(file_error(
                    path,
                    format!("tensor `{name}` holds a bool that is neither 0 nor 1"),
                ));
            }
            let mut tensor = Tensor::zeros(*ty);
            tensor.bytes_mut().copy_from_slice(view.data());
            Ok((name.clone(), tensor))
        })
        .collect()
}

/// Reads all tensors of a file, in the order of their names.
///
/// # Errors
/// [`TrainError::File`] if the file cannot be read, is damaged, or holds a type of elements that tensors do not have.
pub fn load_all(path: &Path) -> Result<Vec<(String, Tensor)>, TrainError> {
    let bytes = std::fs::read(path).map_err(|e| file_error(path, e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| file_error(path, format!("no whole safetensors file: {e}")))?;
    let mut wanted = vec![];
    for (name, view) in file.tensors() {
        let dtypes = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::U32, DType::Bool];
        let Some(dtype) = dtypes.into_iter().find(|&d| to_safetensors(d) == view.dtype()) else {
            return Err(file_error(path, format!("tensor `{name}` is of {:?}", view.dtype())));
        };
        wanted.push((name, Type { dtype, shape: Shape::new(view.shape())? }));
    }
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    load(path, &wanted)
}
