//! Progress for people: a bar on a terminal, a line an epoch elsewhere.

use std::{
    cell::Cell,
    io::IsTerminal,
    time::{Duration, Instant},
};

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
    per_epoch: usize,
    batch: usize,
    /// Steps that were made, and that were made before it.
    steps: Cell<(usize, usize)>,
    terminal: bool,
    /// When the text was last written.
    shown: Cell<Option<Instant>>,
}

impl Progress {
    /// For so many epochs and steps, of `per_epoch` batches of `batch` rows an epoch.
    pub fn new(epochs: usize, steps: usize, per_epoch: usize, batch: usize) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(steps as u64) } else { ProgressBar::hidden() };
        let style =
            ProgressStyle::with_template("{prefix} [{bar:28}] {msg}  ETA {eta}").expect("a fixed template");
        bar.set_style(style.progress_chars("=> "));
        let (start, shown, steps) = (Instant::now(), Cell::new(None), Cell::new((0, 0)));
        Progress { bar, start, epochs, per_epoch, batch, steps, terminal, shown }
    }

    /// So many steps were made before.
    pub fn skip(&self, steps: usize) {
        self.bar.inc(steps as u64);
        self.steps.set((steps, steps));
    }

    /// After a step of an epoch, from 1. The figures over the epoch so far are asked for when they are shown.
    pub fn step(&self, epoch: usize, figures: &mut dyn FnMut() -> Measured) {
        self.bar.inc(1);
        let (made, before) = self.steps.get();
        self.steps.set((made + 1, before));
        // A text a few times a second is enough.
        let now = Instant::now();
        if self.terminal && self.shown.get().is_none_or(|then| now - then > Duration::from_millis(100)) {
            self.shown.set(Some(now));
            self.bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
            self.bar.set_message(format!("{}  {:.0} samples/s", text(&figures()), self.rate()));
        }
    }

    /// Examples a second.
    fn rate(&self) -> f64 {
        let (made, before) = self.steps.get();
        ((made - before) * self.batch) as f64 / self.start.elapsed().as_secs_f64().max(1e-3)
    }

    /// After an epoch and its measurement.
    pub fn finish_epoch(&self, epoch: &Epoch<'_>) {
        let made = self.steps.get().0;
        let part = if made.is_multiple_of(self.per_epoch) { String::new() } else { format!(", step {made}") };
        let line = format!(
            "epoch {}/{}{part}: {}; held out: {}; {:.0} samples/s",
            epoch.number,
            self.epochs,
            text(epoch.train),
            text(epoch.held_out),
            self.rate()
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
