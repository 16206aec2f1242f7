//! A table of figures, a row an epoch.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Seek, Write},
    path::PathBuf,
};

use crate::{Callback, Measured, TrainError, Training};

/// Writes a row an epoch: `epoch,step,learning_rate,loss,…,held_out_loss,…`. When training goes on from a checkpoint, rows of
/// later steps are replaced.
#[derive(Debug)]
pub struct CsvLog {
    path: PathBuf,
    file: Option<File>,
}

impl CsvLog {
    /// Into this file.
    pub fn new(path: impl Into<PathBuf>) -> CsvLog {
        CsvLog { path: path.into(), file: None }
    }

    fn error(&self, error: std::io::Error) -> TrainError {
        TrainError::File { path: self.path.clone(), reason: error.to_string() }
    }

    /// Opens the file behind the rows of steps that were made.
    fn open(&self, steps: usize) -> std::io::Result<File> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        let mut end = 0;
        let mut reader = BufReader::new(&file);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            let step = line.split(',').nth(1).and_then(|step| step.parse::<usize>().ok());
            let is_old = step.map_or(end == 0, |step| step <= steps);
            if steps == 0 || !is_old || !line.ends_with('\n') {
                break;
            }
            end += line.len() as u64;
            line.clear();
        }
        file.set_len(end)?;
        file.seek(std::io::SeekFrom::Start(end))?;
        Ok(file)
    }
}

impl Callback for CsvLog {
    fn name(&self) -> &str {
        "csv_log"
    }

    fn start(&mut self, training: &mut Training) -> Result<(), TrainError> {
        self.file = Some(self.open(training.position().step).map_err(|e| self.error(e))?);
        Ok(())
    }

    fn after_epoch(
        &mut self,
        training: &mut Training,
        train: &Measured,
        held_out: &Measured,
    ) -> Result<(), TrainError> {
        let position = training.position();
        let Some(mut file) = self.file.as_ref() else { return Ok(()) };
        let write = |file: &mut &File| -> std::io::Result<()> {
            if file.stream_position()? == 0 {
                let names = |m: &Measured, prefix: &str| {
                    let metrics = m.metrics.iter().map(|(name, _)| format!(",{prefix}{name}"));
                    format!(",{prefix}loss{}", metrics.collect::<String>())
                };
                let names = names(train, "") + &names(held_out, "held_out_");
                writeln!(file, "epoch,step,learning_rate{names}")?;
            }
            let values = |m: &Measured| {
                let metrics = m.metrics.iter().map(|(_, value)| format!(",{value}"));
                format!(",{}{}", m.loss, metrics.collect::<String>())
            };
            let (epoch, step, rate) = (position.epoch, position.step, training.learning_rate());
            writeln!(file, "{epoch},{step},{rate}{}{}", values(train), values(held_out))
        };
        write(&mut file).map_err(|e| self.error(e))
    }
}
