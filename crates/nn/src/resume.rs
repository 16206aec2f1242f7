//! Saving and loading of training: parameters alone, all states, or everything that goes on from where it was.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use bespoke_tensor::Tensor;

use crate::{Callback, Position, TrainError, Training, checkpoint, sums::Sums};

/// Names of what is no state start so.
const POSITION: &str = "training/position";
const SUMS: &str = "training/sums/";
const CALLBACK: &str = "callback/";

impl Training {
    /// Saves the parameters as safetensors, beside the file first: it is whole or as it was.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        checkpoint::save(path.as_ref(), &self.parameters())
    }

    /// Loads the parameters. Nothing changes if one is missing or of another type.
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or does not fit the model.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        let parameters = checkpoint::load(path.as_ref(), &self.parameters)?;
        self.restore(&parameters)
    }

    /// Loads the parameters whose names start so, such as `encoder/` of another model's file, and gives their names. Nothing changes
    /// if one of them is missing or of another type.
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or lacks one of them; if no parameter's name starts so.
    pub fn load_part(&mut self, path: impl AsRef<Path>, prefix: &str) -> Result<Vec<String>, TrainError> {
        let mut wanted = self.parameters.clone();
        wanted.retain(|(name, _)| name.starts_with(prefix));
        if wanted.is_empty() {
            let reason = format!("no parameter's name starts with `{prefix}`");
            return Err(TrainError::File { path: path.as_ref().to_owned(), reason });
        }
        let parameters = checkpoint::load(path.as_ref(), &wanted)?;
        self.restore(&parameters)?;
        Ok(parameters.into_iter().map(|p| p.0).collect())
    }

    /// Saves everything: all states (parameters, what optimiser and layers remember, counters of random draws), how far training
    /// has come, and what callbacks remember. [`Training::load`] and [`Query::load`](crate::Query::load) read the
    /// parameters from it too.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be written.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        self.write_checkpoint(path.as_ref(), &self.callbacks)
    }

    /// Loads what [`Training::save_checkpoint`] wrote, or the newest such file `step-….safetensors` of a folder, as
    /// [`Checkpoints`](crate::Checkpoints) leaves them. The next call of [`Training::fit`] with the same data and length goes on
    /// from there, and ends bitwise where it would have ended without a stop. Nothing changes if the file does not fit: it is of a run
    /// with the same seed and batch.
    ///
    /// Gives the file; none if the folder has none. A damaged file is passed over for an older one.
    ///
    /// # Errors
    /// [`TrainError`] if the file, or the last in the folder, cannot be read, is damaged, or does not fit model and optimiser.
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<Option<PathBuf>, TrainError> {
        let path = path.as_ref();
        let files = if path.is_dir() { in_folder(path)? } else { vec![(0, path.to_owned())] };
        let mut first_error = None;
        for (_, file) in files.into_iter().rev() {
            match self.load_checkpoint(&file) {
                Ok(()) => return Ok(Some(file)),
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        first_error.map_or(Ok(None), Err)
    }

    fn load_checkpoint(&mut self, path: &Path) -> Result<(), TrainError> {
        let all = checkpoint::load_all(path)?;
        let states = checkpoint::load(path, &self.store.types())?;
        let find = |name: &str| all.iter().find(|t| t.0 == name).map(|t| &t.1);
        let damaged =
            |what: &str| TrainError::File { path: path.to_owned(), reason: format!("{what} is missing") };
        let position = find(POSITION).ok_or_else(|| damaged("how far training had come"))?;
        let numbers = position.to_vec::<i64>()?;
        let [epoch, batch, step, first, begin, seed, rows] = numbers[..] else {
            return Err(damaged("a part of how far training had come"));
        };
        let [epoch, batch, step, first, begin] =
            [epoch, batch, step, first, begin].map(|n| n.max(0) as usize);
        let differs = |what: &str, theirs: u64, own: u64| TrainError::File {
            path: path.to_owned(),
            reason: format!("is of a run with {what} {theirs}; this one has {own}"),
        };
        if seed as u64 != self.seed {
            return Err(differs("the seed", seed as u64, self.seed));
        }
        let own = self.family.rows();
        if rows as usize != own {
            return Err(differs("batches of", rows as u64, own as u64));
        }
        let sums = Sums::from_tensors(&below(&all, SUMS))?;
        let prefixes = prefixes(&self.callbacks);
        let remembered: Vec<_> = self.callbacks.iter().map(|callback| callback.state()).collect();
        let mut restored = self.callbacks.iter_mut().zip(prefixes);
        if let Err(error) =
            restored.try_for_each(|(callback, prefix)| callback.restore(&below(&all, &prefix)))
        {
            for (callback, state) in self.callbacks.iter_mut().zip(remembered) {
                callback.restore(&state)?;
            }
            return Err(error);
        }
        self.restore(&states)?;
        self.sums = sums;
        self.position = Position { epoch, batch, step, began: (first, begin), resumed: true };
        Ok(())
    }

    /// Asks for a checkpoint, written when all callbacks were told of the present event; then `remove` is removed.
    pub fn request_checkpoint(&mut self, path: PathBuf, remove: Vec<PathBuf>) {
        self.requested.push((path, remove));
    }

    pub(crate) fn write_requested(&mut self, callbacks: &[Box<dyn Callback>]) -> Result<(), TrainError> {
        for (path, remove) in std::mem::take(&mut self.requested) {
            self.write_checkpoint(&path, callbacks)?;
            for old in remove {
                match std::fs::remove_file(&old) {
                    Err(e) if e.kind() != ErrorKind::NotFound => {
                        let reason = format!("cannot be removed: {e}");
                        return Err(TrainError::File { path: old, reason });
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn write_checkpoint(&self, path: &Path, callbacks: &[Box<dyn Callback>]) -> Result<(), TrainError> {
        let Position { epoch, batch, step, began: (first, begin), .. } = self.position;
        let rows = self.family.rows();
        let numbers = [epoch, batch, step, first, begin, self.seed as usize, rows].map(|n| n as i64);
        let mut tensors = self.states();
        tensors.push((POSITION.to_owned(), Tensor::from_slice([numbers.len()], &numbers)?));
        tensors.extend(self.sums.tensors().into_iter().map(|(n, v)| (format!("{SUMS}{n}"), v)));
        for (callback, prefix) in callbacks.iter().zip(prefixes(callbacks)) {
            tensors.extend(callback.state().into_iter().map(|(n, v)| (format!("{prefix}{n}"), v)));
        }
        checkpoint::save(path, &tensors)
    }
}

/// How the names of what each callback remembers start: of several of one name, the further ones are numbered.
fn prefixes(callbacks: &[Box<dyn Callback>]) -> Vec<String> {
    let names: Vec<&str> = callbacks.iter().map(|c| c.name()).collect();
    let before = |i: usize| names[..i].iter().filter(|n| **n == names[i]).count();
    let prefix = |i: usize| match before(i) {
        0 => format!("{CALLBACK}{}/", names[i]),
        before => format!("{CALLBACK}{}#{}/", names[i], before + 1),
    };
    (0..names.len()).map(prefix).collect()
}

/// The tensors whose names start so, without that.
fn below(all: &[(String, Tensor)], prefix: &str) -> Vec<(String, Tensor)> {
    all.iter().filter_map(|(n, v)| n.strip_prefix(prefix).map(|n| (n.to_owned(), v.clone()))).collect()
}

/// The checkpoints of a folder with the steps that were made before them, the oldest first.
pub(crate) fn in_folder(folder: &Path) -> Result<Vec<(u64, PathBuf)>, TrainError> {
    let error = |e: std::io::Error| TrainError::File { path: folder.to_owned(), reason: e.to_string() };
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let step = name.strip_prefix("step-").and_then(|n| n.strip_suffix(".safetensors"));
        if let Some(step) = step.and_then(|n| n.parse::<u64>().ok()) {
            files.push((step, path));
        }
    }
    files.sort();
    Ok(files)
}
