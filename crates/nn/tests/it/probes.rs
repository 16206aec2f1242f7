//! Checks before a long training.

use bespoke_data::{DataError, Draws, Field, Transform};
use bespoke_nn::{Adam, Epochs, F32, Graph, Init, Norm, Objective, Sgd, TrainError, Trainer, Training};
use bespoke_tensor::{Tensor, Type};

use crate::common::{regression, rows};

/// A net with all kinds of states.
fn net(g: &Graph, batch: usize) -> Objective {
    let (x, t) = (g.input("x", F32, [batch, 3]), g.input("t", F32, [batch]));
    let y = x.dense(8).batch_norm(Norm::new()).tanh().dropout(0.1).dense(1).reshape([batch]);
    Objective::new(((y - t) * (y - t)).mean())
}

/// A probe leaves nothing behind: training ends as without.
fn leaves_nothing(probe: impl Fn(&mut Training)) {
    let training = || Trainer::of(4, net, Adam::new(0.01)).compile().unwrap();
    let (mut probed, mut other) = (training(), training());
    for _ in 0..2 {
        let before = (probed.states(), probed.position());
        probe(&mut probed);
        assert_eq!((probed.states(), probed.position()), before);
        let [got, expected] =
            [&mut probed, &mut other].map(|t| t.fit(&rows(18), &rows(5), Epochs(1)).unwrap());
        assert_eq!(got, expected);
        assert_eq!(probed.states(), other.states());
    }
}

#[test]
fn probes_put_all_back() {
    leaves_nothing(|t| _ = t.overfit_one_batch(&rows(9), 5).unwrap());
    leaves_nothing(|t| _ = t.find_learning_rate(&rows(9), 1e-4, 10.0, 12).unwrap());
    // Also where they fail: 3 rows are no batch; rates that are none.
    leaves_nothing(|t| {
        let error = t.overfit_one_batch(&rows(3), 5).unwrap_err().to_string();
        assert_eq!(error, "rows: there are not enough rows to fill a batch of 4");
        for (lowest, highest, steps) in [(0.0, 1.0, 5), (1.0, 0.1, 5), (0.1, 1.0, 1), (f64::NAN, 1.0, 5)] {
            let error = t.find_learning_rate(&rows(9), lowest, highest, steps).unwrap_err();
            assert!(matches!(error, TrainError::Data(_)), "{error}");
        }
    });
}

#[test]
fn a_sound_net_learns_one_batch_by_heart() {
    let mut training = Trainer::of(6, regression, Adam::new(0.03)).compile().unwrap();
    let losses = training.overfit_one_batch(&rows(40), 400).unwrap();
    assert_eq!(losses.len(), 400);
    assert!(losses[399] < 1e-3 && losses[0] > 0.1, "{} … {}", losses[0], losses[399]);
}

#[test]
fn the_rate_found_is_one_that_learns() {
    // 2(w − t)² has the curvature 4: rates below 1/2 come near the targets' mean, those above fly off.
    // In batches of all rows, and of a third, whose targets differ.
    for batch in [9, 3] {
        let parabola = |rate: f64| {
            let g = Graph::new();
            let t = g.input("t", F32, [batch]);
            let error = t - g.parameter("w", F32, [], Init::Constant(3.0));
            Trainer::new((error * error).mean() * 2.0, Sgd::new(rate)).compile().unwrap()
        };
        let mut training = parabola(0.123);
        let test = training.find_learning_rate(&rows(9), 1e-4, 1e2, 100).unwrap();
        let rate = test.suggestion.unwrap();
        // The rates r so far add up to r / ln q, if each is q times the one before, and w's distance falls by e^(−4r / ln q): the
        // loss, its square, falls most per factor of r where r = ln q / 8.
        let expected = (1e6f64).ln() / 99.0 / 8.0;
        assert!(
            (0.5..2.0).contains(&(rate / expected)),
            "{rate} with batches of {batch}, expected {expected}"
        );
        assert!(test.losses.len() < 100, "it ends where the loss flies off");
        assert!((test.losses[0].0 - 1e-4).abs() < 1e-12, "{:?}", test.losses[0]);
        let factor = test.losses[1].0 / test.losses[0].0;
        assert!((factor - 1e6f64.powf(1.0 / 99.0)).abs() < 1e-9, "{factor}");
        assert!((training.learning_rate() - 0.123).abs() < 1e-6);
        let mut learned = parabola(rate);
        let history = learned.fit(&rows(9), &rows(9), Epochs(50)).unwrap();
        let targets = rows(9).field("t").unwrap().to_vec::<f32>().unwrap();
        let mean = f64::from(targets.iter().sum::<f32>()) / 9.0;
        let least = targets.iter().map(|&t| 2.0 * (f64::from(t) - mean).powi(2)).sum::<f64>() / 9.0;
        let last = history.held_out[49].loss;
        assert!(last < 1.2 * least && least < history.held_out[0].loss / 3.0, "{last}, at least {least}");
    }
}

#[test]
fn losses_below_zero_end_no_search_at_once() {
    let g = Graph::new();
    let x = g.input("x", F32, [3, 3]);
    let w = g.parameter("w", F32, [], Init::Constant(0.0));
    let error = (x * 0.0).sum_axes(&[1]) + (w - 1.0);
    let mut training = Trainer::new((error * error).mean() - 10.0, Sgd::new(0.1)).compile().unwrap();
    let test = training.find_learning_rate(&rows(9), 1e-3, 1e2, 50).unwrap();
    assert!(test.losses.len() > 25, "{:?}", test.losses);
    assert!(test.suggestion.is_some_and(|rate| rate < 1.0), "{:?}", test.suggestion);
}

#[test]
fn probes_see_what_training_sees() {
    /// Leaves the last of three numbers out.
    struct Shorter;
    impl Transform for Shorter {
        fn fields(&self, fields: &[Field]) -> Result<Vec<Field>, DataError> {
            let mut fields = fields.to_vec();
            fields[0].ty = Type::new(F32, [2]);
            Ok(fields)
        }
        fn apply(&self, sample: &mut [Tensor], _: &[Field], _: &mut Draws) -> Result<(), DataError> {
            sample[0] = Tensor::from_slice([2], &sample[0].view::<f32>()?[..2])?;
            Ok(())
        }
    }
    let model = |g: &Graph, batch: usize| {
        let (x, t) = (g.input("x", F32, [batch, 2]), g.input("t", F32, [batch]));
        Objective::new((x.dense(1).reshape([batch]) - t).pow(2.0).mean())
    };
    let mut training = Trainer::of(4, model, Adam::new(0.1)).augment(Shorter).compile().unwrap();
    let losses = training.overfit_one_batch(&rows(8), 30).unwrap();
    assert!(losses[29] < losses[0], "{losses:?}");
}
