//! Checks before a long training: does it learn at all, and at which rate?

use std::ops::ControlFlow;

use bespoke_data::{Dataset, Loader};

use crate::{TrainError, Training};

/// The losses of a test of learning rates: see [`Training::find_learning_rate`].
#[derive(Clone, Debug, PartialEq)]
pub struct RateTest {
    /// The rate of each step and the loss before it.
    pub losses: Vec<(f64, f64)>,
    /// The rate at which the loss falls most steeply per factor of the rate, from its mean over a tenth of the steps before to that
    /// over as many after, so that batches which differ do not decide; none if it nowhere falls.
    pub suggestion: Option<f64>,
}

/// What is done before a step, given the losses so far.
type BeforeStep<'a> = dyn FnMut(&mut Training, &[f64]) -> Result<ControlFlow<()>, TrainError> + 'a;

impl Training {
    /// Learns the first batch alone, again and again, and gives the loss of each step: a model that is sound gets it near
    /// zero. All states are put back afterwards.
    ///
    /// # Errors
    /// Those of [`Training::step`], and if the data do not fit.
    pub fn overfit_one_batch(&mut self, data: &dyn Dataset, steps: usize) -> Result<Vec<f64>, TrainError> {
        self.probe(data, steps, &mut |_, _| Ok(ControlFlow::Continue(())), true)
    }

    /// Learns batches at rates that grow from `lowest` to `highest` by the same factor each step (Smith 2017), until the loss is four
    /// times its smallest (of losses below 0: as far above it) or no number. All states are put back afterwards.
    ///
    /// # Errors
    /// Those of [`Training::step`], if the data do not fit, or the rates are not 0 < lowest < highest.
    pub fn find_learning_rate(
        &mut self,
        data: &dyn Dataset,
        lowest: f64,
        highest: f64,
        steps: usize,
    ) -> Result<RateTest, TrainError> {
        if !(lowest > 0.0 && highest > lowest && highest.is_finite()) || steps < 2 {
            let got = format!("{lowest} and {highest} in {steps} steps");
            return Err(TrainError::Data(format!(
                "learning rates: expected 0 < lowest < highest, got {got}"
            )));
        }
        let factor = (highest / lowest).powf(1.0 / (steps - 1) as f64);
        let rate = |step: usize| lowest * factor.powi(step as i32);
        let mut best = f64::INFINITY;
        let losses = self.probe(
            data,
            steps,
            &mut |training, last| {
                let made = last.len();
                let loss = last.last().copied().unwrap_or(f64::INFINITY);
                best = best.min(loss);
                if made > 0 && (loss.is_nan() || loss > best + 3.0 * best.abs()) {
                    return Ok(ControlFlow::Break(()));
                }
                training.set_learning_rate(rate(made))?;
                Ok(ControlFlow::Continue(()))
            },
            false,
        )?;
        let losses: Vec<(f64, f64)> =
            losses.into_iter().enumerate().map(|(i, loss)| (rate(i), loss)).collect();
        let suggestion = steepest(&losses);
        Ok(RateTest { losses, suggestion })
    }

    /// Steps after each of which `before` is asked whether to go on; then everything is as it was.
    fn probe(
        &mut self,
        data: &dyn Dataset,
        steps: usize,
        before: &mut BeforeStep<'_>,
        same_batch: bool,
    ) -> Result<Vec<f64>, TrainError> {
        let (states, position) = (self.states(), self.position);
        let batch = self.family.rows();
        let transform = self.transform.take();
        let mut loader = Loader::new(data, batch).drop_last().shuffle(self.seed);
        if let Some(transform) = &transform {
            loader = loader.augment(&**transform);
        }
        let result = self.probed(&loader, data.name(), steps, before, same_batch);
        drop(loader);
        self.transform = transform;
        self.position = position;
        self.restore(&states)?;
        result
    }

    fn probed(
        &mut self,
        loader: &Loader<'_>,
        name: &str,
        steps: usize,
        before: &mut BeforeStep<'_>,
        same_batch: bool,
    ) -> Result<Vec<f64>, TrainError> {
        let batch = self.family.rows();
        let mut feed = self.family.whole().feed(name, &loader.fields()?)?;
        if loader.batches() == 0 {
            return Err(TrainError::Data(format!(
                "{name}: there are not enough rows to fill a batch of {batch}"
            )));
        }
        let mut losses = vec![];
        let mut epoch = 0;
        let mut going = true;
        let mut result = Ok(());
        while going && losses.len() < steps && result.is_ok() {
            result = loader.run(epoch, 0, |batch| -> Result<_, TrainError> {
                loop {
                    if losses.len() >= steps || before(self, &losses)?.is_break() {
                        going = false;
                        return Ok(ControlFlow::Break(()));
                    }
                    let outputs = self.step(&feed.inputs(batch)?)?;
                    losses.push(outputs.iter().next().map_or(f64::NAN, |o| o.1.get(0).to_f64()));
                    if !same_batch {
                        feed.release(batch);
                        return Ok(ControlFlow::Continue(()));
                    }
                }
            });
            epoch += 1;
        }
        result.map(|()| losses)
    }
}

/// The rate where losses fall most steeply.
fn steepest(losses: &[(f64, f64)]) -> Option<f64> {
    let reach = (losses.len() / 10).max(1);
    let mean = |part: &[(f64, f64)]| part.iter().map(|l| l.1).sum::<f64>() / part.len() as f64;
    let places = reach..(losses.len() + 1).saturating_sub(reach);
    let falls = places.map(|i| (mean(&losses[i..i + reach]) - mean(&losses[i - reach..i]), losses[i].0));
    falls.filter(|f| f.0 < 0.0).min_by(|a, b| a.0.total_cmp(&b.0)).map(|f| f.1)
}
