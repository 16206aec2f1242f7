//! Progress for people: a bar on a terminal, a line an epoch elsewhere.

use std::{
    cell::Cell,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{Measured, feed::Sums};

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
    /// When the text was last written.
    shown: Cell<Option<Instant>>,
}

impl Progress {
    /// For `epochs` of `steps` of `batch` rows.
    pub fn new(epochs: usize, steps: usize, batch: usize) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new((epochs * steps) as u64) } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("{prefix} [{bar:28}] {msg}  ETA {eta}").expect("a fixed template");
        bar.set_style(style.progress_chars("=> "));
        let (start, shown) = (Instant::now(), Cell::new(None));
        Progress { bar, start, epochs, samples: steps * batch, batch, steps, terminal, shown }
    }

    /// After a step: `sums` are over the epoch's steps so far.
    pub fn step(&self, epoch: usize, sums: &Sums) {
        self.bar.inc(1);
        // A text a few times a second is enough.
        let now = Instant::now();
        if self.terminal && self.shown.get().is_none_or(|then| now - then > Duration::from_millis(100)) {
            self.shown.set(Some(now));
            let done = ((epoch - 1) * self.steps + sums.batches) * self.batch;
            let rate = done as f64 / (now - self.start).max(Duration::from_millis(1)).as_secs_f64();
            let means = sums.means();
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
