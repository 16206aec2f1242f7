//! Checkpoints while training goes on.

use std::path::{Path, PathBuf};

use bespoke_tensor::Tensor;

use super::watch::Watch;
use crate::{Callback, Measured, TrainError, Training, resume::in_folder};

/// Writes checkpoints into a folder: `step-<steps>.safetensors` after each epoch, or every so many steps, of which the last few
/// are kept; and, if asked, `best.safetensors`. [`Training::resume`] goes on from them. Training that does not is an error where the
/// folder has checkpoints of later steps. What a process that was killed left unfinished there is removed at the start.
///
/// ```
/// use bespoke_nn::Checkpoints;
///
/// let checkpoints = Checkpoints::new("run-1").every_steps(500).keep(3).best("accuracy", true);
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    every: Option<usize>,
    keep: usize,
    best: Option<Watch>,
}

impl Checkpoints {
    /// After each epoch, into this folder, which is made if there is none. The last two are kept.
    pub fn new(folder: impl Into<PathBuf>) -> Checkpoints {
        Checkpoints { folder: folder.into(), every: None, keep: 2, best: None }
    }

    /// Also after every so many steps, at least 1.
    pub fn every_steps(self, steps: usize) -> Checkpoints {
        Checkpoints { every: Some(steps.max(1)), ..self }
    }

    /// Keeps so many of the last, at least 1.
    pub fn keep(self, last: usize) -> Checkpoints {
        Checkpoints { keep: last.max(1), ..self }
    }

    /// Keeps the best too, by a figure of the held-out data which is better the higher, or the lower.
    pub fn best(self, metric: &str, higher_is_better: bool) -> Checkpoints {
        Checkpoints { best: Some(Watch::loss().of(metric, higher_is_better)), ..self }
    }

    fn ask(&self, training: &mut Training) -> Result<(), TrainError> {
        let step = training.position().step as u64;
        let path = self.folder.join(format!("step-{step:09}.safetensors"));
        let mut old: Vec<(u64, PathBuf)> =
            in_folder(&self.folder)?.into_iter().filter(|(_, p)| *p != path).collect();
        // Those of later steps, which training did not go on from, are the first to go.
        old.sort_by_key(|(of, _)| (*of <= step, *of));
        old.truncate((old.len() + 1).saturating_sub(self.keep));
        training.request_checkpoint(path, old.into_iter().map(|(_, path)| path).collect());
        Ok(())
    }
}

impl Callback for Checkpoints {
    fn name(&self) -> &str {
        "checkpoints"
    }

    fn start(&mut self, training: &mut Training) -> Result<(), TrainError> {
        let error = |reason: String| TrainError::File { path: self.folder.clone(), reason };
        std::fs::create_dir_all(&self.folder).map_err(|e| error(format!("cannot be made: {e}")))?;
        let made = training.position().step as u64;
        remove_unfinished(&self.folder).map_err(|e| error(format!("cannot be cleared: {e}")))?;
        let last = in_folder(&self.folder)?.pop().filter(|(step, _)| *step > made);
        match last {
            Some((step, _)) if !training.position.resumed => Err(error(format!(
                "there is a checkpoint of step {step} already: resume from it, or take another folder"
            ))),
            _ => Ok(()),
        }
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        match self.every {
            Some(every) if training.position().step.is_multiple_of(every) => self.ask(training),
            _ => Ok(()),
        }
    }

    fn after_epoch(
        &mut self,
        training: &mut Training,
        _: &Measured,
        held_out: &Measured,
    ) -> Result<(), TrainError> {
        if let Some(best) = &mut self.best
            && best.improved("checkpoints", held_out)?
        {
            training.request_checkpoint(self.folder.join("best.safetensors"), vec![]);
        }
        self.ask(training)
    }

    /// Also what ^C interrupts can be resumed.
    fn end(&mut self, training: &mut Training) -> Result<(), TrainError> {
        self.ask(training)
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.best.as_ref().map_or(vec![], Watch::state)
    }

    fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), TrainError> {
        self.best.iter_mut().for_each(|best| best.restore(state));
        Ok(())
    }
}

/// Removes what [`write_aside`](bespoke_tensor::write_aside) had no time to put in place.
fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with('.') && name.ends_with(".partial") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
