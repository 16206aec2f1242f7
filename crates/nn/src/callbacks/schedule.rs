//! Learning rates that are a function of the step.

use std::f64::consts::PI;

use crate::{Callback, TrainError, Training};

/// A learning rate for each step, a function of how many steps were made. Two schedules at once would undo each other.
///
/// ```
/// use bespoke_nn::Schedule;
///
/// let schedule = Schedule::cosine(0.1, 1000).warm_up(100);
/// assert_eq!(schedule.rate(0), 0.001); // a hundredth
/// assert_eq!(schedule.rate(100), 0.1);
/// assert!((schedule.rate(550) - 0.05).abs() < 1e-12); // half-way
/// assert_eq!(schedule.rate(1000), 0.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    shape: Shape,
    warm_up: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant { rate: f64 },
    Step { rate: f64, factor: f64, every: usize },
    Cosine { rate: f64, lowest: f64, steps: usize },
    Linear { rate: f64, last: f64, steps: usize },
    OneCycle { highest: f64, steps: usize },
}

impl Schedule {
    fn new(shape: Shape) -> Schedule {
        Schedule { shape, warm_up: 0 }
    }

    /// Always this rate.
    pub fn constant(rate: f64) -> Schedule {
        Schedule::new(Shape::Constant { rate })
    }

    /// The rate, times a factor after every so many steps, at least 1.
    pub fn step(rate: f64, factor: f64, every: usize) -> Schedule {
        Schedule::new(Shape::Step { rate, factor, every: every.max(1) })
    }

    /// From the rate to 0 along half a cosine, over so many steps, those of the warm-up included (Loshchilov & Hutter 2017).
    pub fn cosine(rate: f64, steps: usize) -> Schedule {
        Schedule::new(Shape::Cosine { rate, lowest: 0.0, steps })
    }

    /// From the rate to another in a line, over so many steps, those of the warm-up included.
    pub fn linear(rate: f64, last: f64, steps: usize) -> Schedule {
        Schedule::new(Shape::Linear { rate, last, steps })
    }

    /// From a 25th of the highest rate up to it in the first 30 % of the steps, then down to a 250,000th, both along half a cosine
    /// (Smith & Topin 2018, with PyTorch's numbers).
    pub fn one_cycle(highest: f64, steps: usize) -> Schedule {
        Schedule::new(Shape::OneCycle { highest, steps })
    }

    /// The first so many steps climb to the rate in a line (Goyal et al. 2017); what comes then starts behind them.
    pub fn warm_up(self, steps: usize) -> Schedule {
        Schedule { warm_up: steps, ..self }
    }

    /// Of a cosine: the rate that it ends at, in place of 0.
    pub fn lowest(self, rate: f64) -> Schedule {
        match self.shape {
            Shape::Cosine { rate: highest, steps, .. } => {
                Schedule { shape: Shape::Cosine { rate: highest, lowest: rate, steps }, ..self }
            }
            _ => self,
        }
    }

    /// The rate of the step after so many.
    pub fn rate(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.after_warm_up(0) * (step + 1) as f64 / self.warm_up as f64;
        }
        self.after_warm_up(step - self.warm_up)
    }

    fn after_warm_up(&self, step: usize) -> f64 {
        // Half a cosine from one number to another.
        let bend = |from: f64, to: f64, part: f64| to + (from - to) * 0.5 * (1.0 + (PI * part).cos());
        let part = |steps: usize| (step as f64 / steps.saturating_sub(self.warm_up).max(1) as f64).min(1.0);
        match self.shape {
            Shape::Constant { rate } => rate,
            Shape::Step { rate, factor, every } => rate * factor.powf((step / every) as f64),
            Shape::Cosine { rate, lowest, steps } => bend(rate, lowest, part(steps)),
            Shape::Linear { rate, last, steps } => rate + (last - rate) * part(steps),
            Shape::OneCycle { highest, steps } => {
                let (part, top) = (part(steps), 0.3);
                match part < top {
                    true => bend(highest / 25.0, highest, part / top),
                    false => bend(highest, highest / 250_000.0, (part - top) / (1.0 - top)),
                }
            }
        }
    }
}

impl Callback for Schedule {
    fn name(&self) -> &str {
        "schedule"
    }

    fn before_step(&mut self, training: &mut Training) -> Result<(), TrainError> {
        training.set_learning_rate(self.rate(training.position().step))
    }
}
