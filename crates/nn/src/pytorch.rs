//! Weights to and from PyTorch.
//!
//! Names differ in their separator, layouts in dense layers alone: the weight `[inputs,units]` of a dense layer is
//! `[units,inputs]` there. All else is laid out alike: convolutions `[features,channels/groups,kernel…]`, transposed ones
//! `[channels,features/groups,kernel…]`, recurrent layers `weight_ih_l0` and so on, attention's `in_proj_weight`, embeddings
//! `[rows,width]`, and the `running_mean` and `running_var` of batch normalisation. PyTorch's `num_batches_tracked` has no counterpart.

use std::path::Path;

use bespoke_tensor::{Shape, Tensor, Type};

use crate::{Query, TrainError, Training, checkpoint};

/// What PyTorch calls a parameter of a model whose modules have the names of the scopes: `conv1/weight` is `conv1.weight`.
///
/// ```
/// assert_eq!(bespoke_nn::pytorch_name("layer1/0/bn1/running_mean"), "layer1.0.bn1.running_mean");
/// ```
pub fn pytorch_name(name: &str) -> String {
    name.replace('/', ".")
}

/// The matrix with rows and columns exchanged.
fn transpose(matrix: &Tensor) -> Tensor {
    let [rows, columns] = matrix.shape()[..] else { return matrix.clone() };
    let ty = Type::new(matrix.dtype(), [columns, rows]);
    Tensor::from_fn(ty, |i| matrix.get(i % rows * columns + i / rows))
}

/// What PyTorch's file holds for these parameters, in our layout.
fn load(
    path: &Path,
    parameters: &[(String, Type)],
    transposed: &[String],
    name: impl Fn(&str) -> String,
) -> Result<Vec<(String, Tensor)>, TrainError> {
    let is_transposed = |name: &String| transposed.contains(name);
    let wanted = parameters.iter().map(|(own, ty)| {
        let shape = match ty.shape[..] {
            [inputs, units] if is_transposed(own) => Shape::new(&[units, inputs])?,
            _ => ty.shape,
        };
        Ok((name(own), Type { shape, ..*ty }))
    });
    let wanted = wanted.collect::<Result<Vec<_>, TrainError>>()?;
    let found = checkpoint::load(path, &wanted)?.into_iter().zip(parameters);
    let to_own = |((_, value), (own, _)): ((String, Tensor), &(String, Type))| {
        (own.clone(), if is_transposed(own) { transpose(&value) } else { value })
    };
    Ok(found.map(to_own).collect())
}

fn save(
    path: &Path,
    parameters: Vec<(String, Tensor)>,
    transposed: &[String],
    name: impl Fn(&str) -> String,
) -> Result<(), TrainError> {
    let theirs = parameters.into_iter().map(|(own, value)| {
        let value = if transposed.contains(&own) { transpose(&value) } else { value };
        (name(&own), value)
    });
    checkpoint::save(path, &theirs.collect::<Vec<_>>())
}

impl Training {
    /// Loads parameters and running statistics from a safetensors file of a PyTorch `state_dict` (written there by
    /// `safetensors.torch.save_file(model.state_dict(), path)`). `name` says what PyTorch calls each: [`pytorch_name`] if the
    /// modules have the same names. Nothing changes if one is missing or of another type; others in the file are left alone.
    ///
    /// ```no_run
    /// use bespoke_nn::{F32, Graph, Sgd, Trainer, pytorch_name};
    ///
    /// let g = Graph::new();
    /// let loss = g.named("fc", || g.input("x", F32, [8, 4]).dense(3)).mean();
    /// let mut training = Trainer::new(loss, Sgd::new(0.1)).compile()?;
    /// training.load_pytorch("model.safetensors", pytorch_name)?; // fc.weight [3,4], fc.bias [3]
    /// training.load_pytorch("whole.safetensors", |name| format!("backbone.{}", pytorch_name(name)))?;
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or does not fit the model.
    pub fn load_pytorch(
        &mut self,
        path: impl AsRef<Path>,
        name: impl Fn(&str) -> String,
    ) -> Result<(), TrainError> {
        let found = load(path.as_ref(), &self.parameters, &self.transposed, name)?;
        self.restore(&found)
    }

    /// Saves parameters and running statistics for PyTorch: see [`Training::load_pytorch`]. There
    /// `model.load_state_dict(safetensors.torch.load_file(path), strict=False)` reads them.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be written.
    pub fn save_pytorch(
        &self,
        path: impl AsRef<Path>,
        name: impl Fn(&str) -> String,
    ) -> Result<(), TrainError> {
        save(path.as_ref(), self.parameters(), &self.transposed, name)
    }
}

impl Query {
    /// Loads the parameters that it needs from PyTorch: see [`Training::load_pytorch`].
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or does not fit the model.
    pub fn load_pytorch(
        &mut self,
        path: impl AsRef<Path>,
        name: impl Fn(&str) -> String,
    ) -> Result<(), TrainError> {
        for (name, value) in load(path.as_ref(), &self.parameters, &self.transposed, name)? {
            self.executable.set_state(&name, &value)?;
        }
        Ok(())
    }
}
