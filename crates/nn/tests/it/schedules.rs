//! Learning rates as functions of the step, and when they are set.

use std::{cell::RefCell, f64::consts::PI, rc::Rc};

use bespoke_nn::{Callback, Schedule, Steps, TrainError, Training};

use crate::common::{ones, scripted};

#[test]
fn schedules_are_their_formulas() {
    let half_cosine = |part: f64| 0.5 * (1.0 + (PI * part).cos());
    type Case = (&'static str, Schedule, Box<dyn Fn(usize) -> f64>);
    let cases: Vec<Case> = vec![
        ("constant", Schedule::constant(0.3), Box::new(|_| 0.3)),
        ("step", Schedule::step(0.8, 0.5, 7), Box::new(|t| 0.8 * 0.5f64.powi(t as i32 / 7))),
        ("cosine", Schedule::cosine(0.2, 40), Box::new(move |t| 0.2 * half_cosine(t.min(40) as f64 / 40.0))),
        (
            "cosine to a lowest rate",
            Schedule::cosine(0.2, 40).lowest(0.05),
            Box::new(move |t| 0.05 + 0.15 * half_cosine(t.min(40) as f64 / 40.0)),
        ),
        ("linear", Schedule::linear(0.2, 0.1, 20), Box::new(|t| 0.2 - 0.1 * t.min(20) as f64 / 20.0)),
        (
            "warm-up and constant",
            Schedule::constant(0.5).warm_up(10),
            Box::new(|t| 0.5 * (t + 1).min(10) as f64 / 10.0),
        ),
        (
            "warm-up and cosine",
            Schedule::cosine(0.5, 40).warm_up(10),
            Box::new(move |t| match t {
                0..10 => 0.5 * (t + 1) as f64 / 10.0,
                _ => 0.5 * half_cosine((t.min(40) - 10) as f64 / 30.0),
            }),
        ),
        (
            "warm-up and step",
            Schedule::step(0.5, 0.1, 5).warm_up(3),
            Box::new(|t| match t {
                0..3 => 0.5 * (t + 1) as f64 / 3.0,
                _ => 0.5 * 0.1f64.powi((t as i32 - 3) / 5),
            }),
        ),
        (
            "one cycle",
            Schedule::one_cycle(1.0, 50),
            Box::new(move |t| match t {
                0..15 => 1.0 - 0.96 * half_cosine(t as f64 / 15.0),
                _ => 4e-6 + (1.0 - 4e-6) * half_cosine((t.min(50) - 15) as f64 / 35.0),
            }),
        ),
    ];
    for (name, schedule, formula) in cases {
        for step in 0..60 {
            let (got, expected) = (schedule.rate(step), formula(step));
            assert!((got - expected).abs() < 1e-12, "{name}: {got} at step {step}, expected {expected}");
        }
    }
}

/// Keeps `w` after each step.
struct Weights(Rc<RefCell<Vec<f64>>>);

impl Callback for Weights {
    fn name(&self) -> &str {
        "weights"
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        self.0.borrow_mut().push(crate::common::number(training, "w"));
        Ok(())
    }
}

#[test]
fn a_rate_holds_from_its_own_step_on() {
    let weights = Rc::new(RefCell::new(vec![]));
    let trainer = scripted(&[0.0; 8]).callback(Schedule::step(0.5, 0.5, 2).warm_up(2));
    let mut training = trainer.callback(Weights(weights.clone())).compile().unwrap();
    // Two calls: the second goes on where the first ended.
    for steps in [3, 5] {
        training.fit(&ones(), &ones(), Steps(steps)).unwrap();
    }
    // The slope by w is −1, so that each step adds its rate.
    let rates = [0.25, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125];
    let expected: Vec<f64> = (1..=rates.len()).map(|made| rates[..made].iter().sum()).collect();
    assert_eq!(*weights.borrow(), expected);
}
