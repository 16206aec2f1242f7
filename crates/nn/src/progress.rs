//! Progress for people: a bar on a terminal, a line an epoch elsewhere.

use std::{io::IsTerminal, time::Duration, time::Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::Measured;

/// What is shown after an epoch.
pub struct Epoch<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// On the training data.
    pub train: &'a Measured,
    /// On held-out data.
    pub held_out: &'a Measured,
}

/// The display of one call of `fit`.
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    epochs: usize,
    samples: usize,
    batch: usize,
    steps: usize,
    terminal: bool,
}

impl Progress {
    /// For `epochs` of `steps` of `batch` rows.
    pub fn new(epochs: usize, steps: usize, batch: usize) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new((epochs * steps) as u64) } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("{prefix} [{bar:28}] {msg}  ETA {eta}").expect("a fixed template");
        bar.set_style(style.progress_chars("=> "));
        Progress { bar, start: Instant::now(), epochs, samples: steps * batch, batch, steps, terminal }
    }

    /// After a step: `means` are over the epoch's steps so far.
    pub fn step(&self, epoch: usize, means: &[(String, f64)], steps: usize) {
        self.bar.inc(1);
        // A text a few times a second is enough.
        if self.terminal && (steps.is_multiple_of(16) || steps == self.steps) {
            let done = ((epoch - 1) * self.steps + steps) * self.batch;
            let rate = done as f64 / self.start.elapsed().max(Duration::from_millis(1)).as_secs_f64();
            let values: Vec<String> =
                means.iter().map(|(name, mean)| format!("{name} {}", figure(name, *mean))).collect();
            self.bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
            self.bar.set_message(format!("{}  {rate:.0} samples/s", values.join("  ")));
        }
    }

    /// After an epoch and its measurement.
    pub fn finish_epoch(&self, epoch: &Epoch<'_>) {
        let rate = (epoch.number * self.samples) as f64 / self.start.elapsed().as_secs_f64();
        let line = format!(
            "epoch {}/{}: {}; held out: {}; {rate:.0} samples/s",
            epoch.number,
            self.epochs,
            text(epoch.train),
            text(epoch.held_out)
        );
        self.note(&line);
    }

    /// A line above the bar.
    pub fn note(&self, line: &str) {
        if self.terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn text(m: &Measured) -> String {
    let metrics = m.metrics.iter().map(|(name, v)| format!(", {name} {}", figure(name, *v)));
    format!("loss {:.4}{}", m.loss, metrics.collect::<String>())
}

fn figure(name: &str, value: f64) -> String {
    if name == "accuracy" { format!("{:.2} %", value * 100.0) } else { format!("{value:.4}") }
}
