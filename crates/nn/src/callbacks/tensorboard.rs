//! Event files for TensorBoard.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{Callback, Measured, TrainError, Training};

/// Writes loss, metrics and learning rate where TensorBoard looks for them: a new file `events.out.tfevents.…` in a folder, at each call
/// of [`Training::fit`]. Losses of steps are tagged `step/loss`, those of epochs `train/loss` and `held_out/loss`.
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    file: Option<BufWriter<File>>,
}

impl TensorBoard {
    /// Into this folder, which is made if there is none.
    pub fn new(folder: impl Into<PathBuf>) -> TensorBoard {
        TensorBoard { folder: folder.into(), file: None }
    }

    fn write(&mut self, event: &[u8]) -> Result<(), TrainError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&record(event))
            .map_err(|e| TrainError::File { path: self.folder.clone(), reason: e.to_string() })
    }

    fn scalar(&mut self, tag: &str, value: f64, step: usize) -> Result<(), TrainError> {
        // Summary.Value: tag = 1, simple_value = 2; Summary: value = 1; Event: step = 2, summary = 5.
        let value = [bytes_field(1, tag.as_bytes()), fixed32_field(2, value as f32)].concat();
        let summary = bytes_field(1, &value);
        self.write(&[event_head(), varint_field(2, step as u64), bytes_field(5, &summary)].concat())
    }

    fn flush(&mut self) -> Result<(), TrainError> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|e| TrainError::File { path: self.folder.clone(), reason: e.to_string() })
    }
}

impl Callback for TensorBoard {
    fn name(&self) -> &str {
        "tensorboard"
    }

    fn start(&mut self, _: &mut Training) -> Result<(), TrainError> {
        let error = |e: std::io::Error| TrainError::File { path: self.folder.clone(), reason: e.to_string() };
        std::fs::create_dir_all(&self.folder).map_err(error)?;
        let time = now();
        let name = format!("events.out.tfevents.{:010}.{:09}", time as u64, (time.fract() * 1e9) as u64);
        self.file = Some(BufWriter::new(File::create_new(self.folder.join(name)).map_err(error)?));
        // Event: file_version = 3.
        self.write(&[event_head(), bytes_field(3, b"brain.Event:2")].concat())
    }

    fn after_step(&mut self, training: &mut Training, loss: f64) -> Result<(), TrainError> {
        self.scalar("step/loss", loss, training.position().step)
    }

    fn after_epoch(
        &mut self,
        training: &mut Training,
        train: &Measured,
        held_out: &Measured,
    ) -> Result<(), TrainError> {
        let step = training.position().step;
        self.scalar("learning_rate", training.learning_rate(), step)?;
        for (partition, measured) in [("train", train), ("held_out", held_out)] {
            self.scalar(&format!("{partition}/loss"), measured.loss, step)?;
            for (name, value) in &measured.metrics {
                self.scalar(&format!("{partition}/{name}"), *value, step)?;
            }
        }
        self.flush()
    }

    fn end(&mut self, _: &mut Training) -> Result<(), TrainError> {
        self.flush()
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The field that each event has: wall_time = 1.
fn event_head() -> Vec<u8> {
    [&[1 << 3 | 1][..], &now().to_le_bytes()].concat()
}

/// A TFRecord: length, its checksum, the data, theirs.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat()
}

/// CRC-32C, rotated and shifted as TFRecord wants it.
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn varint_field(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn fixed32_field(field: u8, value: f32) -> Vec<u8> {
    [&[field << 3 | 5][..], &value.to_le_bytes()].concat()
}

fn bytes_field(field: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![field << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}
