//! Going on from checkpoints, and files that are none.

use std::path::Path;

use bespoke_data::{DataError, Draws, Field, Transform};
use bespoke_nn::{
    Adam, Callback, Checkpoints, CsvLog, EarlyStopping, Epochs, F32, Graph, History, Norm, Objective,
    ReduceOnPlateau, Schedule, Steps, TrainError, Trainer, Training, Update,
};
use bespoke_tensor::{Scalar, Tensor};

use crate::common::{regression, rows};

/// Adds noise to the first field.
struct Noise;

impl Transform for Noise {
    fn apply(&self, sample: &mut [Tensor], _: &[Field], draws: &mut Draws) -> Result<(), DataError> {
        let ty = sample[0].ty();
        sample[0] =
            Tensor::from_fn(ty, |i| Scalar::F64(sample[0].get(i).to_f64() + 0.1 * draws.normals()[0]));
        Ok(())
    }
}

/// A net with batch norm and dropout.
fn net(g: &Graph, batch: usize) -> Objective {
    let (x, t) = (g.input("x", F32, [batch, 3]), g.input("t", F32, [batch]));
    let y = x.dense(6).batch_norm(Norm::new()).tanh().dropout(0.3).dense(1).reshape([batch]);
    Objective::new(((y - t) * (y - t)).mean()).metric("absolute", (y - t).abs())
}

/// What remembers something, as a trainer with checkpoints in a folder, if one is named.
fn training(folder: Option<&Path>, constant: bool) -> Training {
    let update = Update::new(Adam::new(0.02)).clip_norm(1.0).accumulate(3).average(0.9);
    let mut trainer = Trainer::of(4, net, update).seed(11).augment(Noise);
    trainer = match constant {
        true => trainer.callback(ReduceOnPlateau::new(0.5, 1).min_delta(0.1)),
        false => trainer.callback(Schedule::cosine(0.05, 24).warm_up(4)),
    };
    trainer = trainer.callback(EarlyStopping::new(20).metric("absolute", false));
    if let Some(folder) = folder {
        let checkpoints = Checkpoints::new(folder).every_steps(1).keep(100).best("absolute", false);
        trainer = trainer.callback(checkpoints).callback(CsvLog::new(folder.with_extension("csv")));
    }
    trainer.compile().unwrap()
}

fn run(training: &mut Training) -> History {
    training.fit(&rows(22), &rows(9), Epochs(4)).unwrap() // 6 steps an epoch, the last of 2 rows
}

#[test]
fn whoever_goes_on_ends_bitwise_where_it_would_have_ended() {
    for constant in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("run");
        let mut whole = training(Some(&folder), constant);
        let history = run(&mut whole);
        let table = std::fs::read(folder.with_extension("csv")).unwrap();
        let last = std::fs::read(folder.join("step-000000024.safetensors")).unwrap();
        let best = std::fs::read(folder.join("best.safetensors")).unwrap();
        // Within an epoch, between micro-steps, before the small batch, at an epoch's end; by a new training.
        for step in [1, 5, 6, 9, 12, 17, 23] {
            let again = directory.path().join(format!("again{step}"));
            std::fs::create_dir(&again).unwrap();
            let name = format!("step-{step:09}.safetensors");
            std::fs::copy(folder.join(&name), again.join(&name)).unwrap();
            std::fs::copy(folder.with_extension("csv"), again.with_extension("csv")).unwrap();
            let mut second = training(Some(&again), constant);
            assert_eq!(second.resume(&again).unwrap(), Some(again.join(&name)));
            assert_eq!(second.position().step, step);
            let rest = run(&mut second);
            // A checkpoint of after an epoch has that behind it.
            let made = step / 6;
            assert_eq!(rest.train, history.train[made..], "step {step}");
            assert_eq!(rest.held_out, history.held_out[made..], "step {step}");
            assert_eq!(
                (second.states(), second.position()),
                (whole.states(), whole.position()),
                "step {step}"
            );
            assert_eq!(std::fs::read(again.join("step-000000024.safetensors")).unwrap(), last, "step {step}");
            assert_eq!(std::fs::read(again.with_extension("csv")).unwrap(), table, "step {step}");
            if let Ok(got) = std::fs::read(again.join("best.safetensors")) {
                assert_eq!(got, best, "step {step}");
            }
        }
    }
}

/// Saves a copy of the checkpoint that every step writes, before the epoch's end is seen to.
struct Copy(std::path::PathBuf, usize);

impl Callback for Copy {
    fn name(&self) -> &str {
        "copy"
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        if training.position().step == self.1 {
            training.request_checkpoint(self.0.clone(), vec![]);
        }
        Ok(())
    }
}

#[test]
fn the_end_of_an_epoch_that_was_not_seen_to_is_seen_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.safetensors");
    let mut whole = training(None, true);
    whole.callback(Copy(path.clone(), 12));
    let history = run(&mut whole);
    let mut second = training(None, true);
    second.resume(&path).unwrap();
    assert_eq!((second.position().epoch, second.position().batch), (1, 6));
    let rest = run(&mut second);
    assert_eq!((rest.train, rest.held_out), (history.train[1..].to_vec(), history.held_out[1..].to_vec()));
    assert_eq!((second.states(), second.position()), (whole.states(), whole.position()));
}

/// Fails at a step.
struct Fails(usize);

impl Callback for Fails {
    fn name(&self) -> &str {
        "fails"
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        match training.position().step == self.0 {
            true => Err(TrainError::Data("fails".to_owned())),
            false => Ok(()),
        }
    }
}

#[test]
fn a_checkpoint_of_a_step_that_failed_is_not_written_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("step3.safetensors");
    let mut training = training(None, true);
    training.callback(Copy(path.clone(), 3));
    training.callback(Fails(3));
    training.fit(&rows(22), &rows(9), Epochs(1)).unwrap_err();
    training.fit(&rows(22), &rows(9), Steps(2)).unwrap();
    assert!(!path.exists());
}

#[test]
fn with_fewer_data_than_before_the_epoch_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.safetensors");
    let mut first = training(None, true);
    first.callback(Copy(path.clone(), 5));
    run(&mut first);
    let mut second = training(None, true);
    second.resume(&path).unwrap();
    let history = second.fit(&rows(8), &rows(9), Epochs(2)).unwrap();
    // The first epoch had its 5 batches already; the second has 2.
    assert_eq!((history.train.len(), second.position().step), (2, 7));
}

/// All that a failed resumption must leave.
fn all(training: &Training, folder: &Path) -> (Vec<(String, Tensor)>, Vec<u8>) {
    let path = folder.join("all.safetensors");
    training.save_checkpoint(&path).unwrap();
    (training.states(), std::fs::read(path).unwrap())
}

#[test]
fn a_file_that_is_no_checkpoint_of_the_model_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.safetensors");
    let mut first = training(None, true);
    first.fit(&rows(22), &rows(9), Epochs(2)).unwrap();
    first.save_checkpoint(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();

    let mut second = training(None, true);
    second.fit(&rows(22), &rows(9), Epochs(1)).unwrap();
    let before = all(&second, directory.path());
    let mut refused = |what: &str, bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = second.resume(&path).unwrap_err().to_string();
        assert!(error.contains("state.safetensors: ") && error.contains(expected), "{what}: {error}");
        assert_eq!(all(&second, directory.path()), before, "{what}");
    };
    for length in (0..whole.len()).step_by(97) {
        refused("cut off", &whole[..length], "");
    }
    refused("longer", &[&whole[..], b"x"].concat(), "no whole safetensors file");
    refused("foreign", b"PK\x03\x04 not one of ours at all", "no whole safetensors file");
    for at in (0..300).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x41;
        std::fs::write(&path, &damaged).unwrap();
        // The head may be damaged where it does not show; what is refused changes nothing.
        if second.resume(&path).is_err() {
            assert_eq!(all(&second, directory.path()), before, "byte {at}");
        } else {
            second = training(None, true);
            second.fit(&rows(22), &rows(9), Epochs(1)).unwrap();
        }
    }

    // Parameters alone, and another model's.
    first.save(&path).unwrap();
    let error = second.resume(&path).unwrap_err();
    assert!(matches!(error, TrainError::MissingTensor { .. }), "{error}");
    let other = Trainer::of(4, regression, Adam::new(0.1)).compile().unwrap();
    other.save_checkpoint(&path).unwrap();
    let error = second.resume(&path).unwrap_err();
    assert!(matches!(error, TrainError::WrongTensor { .. } | TrainError::MissingTensor { .. }), "{error}");
    let error = second.resume(directory.path().join("none.safetensors")).unwrap_err().to_string();
    assert!(error.contains("none.safetensors"), "{error}");
    assert_eq!(all(&second, directory.path()), before);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_an_older_one() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("run");
    let mut whole = training(Some(&folder), true);
    run(&mut whole);
    let path = |step: usize| folder.join(format!("step-{step:09}.safetensors"));
    let bytes = std::fs::read(path(24)).unwrap();
    std::fs::write(path(24), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(path(23), b"").unwrap();
    let mut second = training(Some(&folder), true);
    assert_eq!(second.resume(&folder).unwrap(), Some(path(22)));
    run(&mut second);
    assert_eq!(second.states(), whole.states());
    // What was damaged is whole again.
    assert_eq!(std::fs::read(path(24)).unwrap(), bytes);
    // If none is whole, the newest is named; if there is none, none is given.
    for entry in std::fs::read_dir(&folder).unwrap() {
        std::fs::write(entry.unwrap().path(), b"damaged").unwrap();
    }
    let mut third = training(None, true);
    let error = third.resume(&folder).unwrap_err().to_string();
    assert!(error.contains("step-000000024.safetensors: no whole safetensors file"), "{error}");
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(third.resume(&empty).unwrap(), None);
}

#[test]
fn where_nothing_can_be_written_training_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "a file, no folder").unwrap();
    let mut training = Trainer::of(4, regression, Adam::new(0.1)).compile().unwrap();
    training.callback(Checkpoints::new(file.join("run")));
    let error = training.fit(&rows(8), &rows(4), Epochs(1)).unwrap_err().to_string();
    assert!(error.contains("file/run: cannot be made: "), "{error}");
    assert_eq!(training.position().step, 0);
    for path in [Path::new("/dev/full"), directory.path(), &directory.path().join("no/such.safetensors")] {
        let error = training.save_checkpoint(path).unwrap_err();
        assert!(matches!(&error, TrainError::File { path: named, .. } if named == path), "{error}");
    }
}

#[test]
fn a_run_of_steps_that_began_within_an_epoch_goes_on_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("run.safetensors");
    let data = rows(40);
    let of = || Trainer::of(4, regression, Adam::new(0.01)).compile().unwrap();
    // Ten batches an epoch: five steps, then ten, of which seven are made before a stop, in the second epoch.
    let mut whole = of();
    whole.fit(&data, &data, Steps(5)).unwrap();
    whole.fit(&data, &data, Steps(10)).unwrap();
    let mut stopped = of();
    stopped.fit(&data, &data, Steps(5)).unwrap();
    stopped.callback(StopAt(12, file.clone()));
    stopped.fit(&data, &data, Steps(10)).unwrap();
    assert_eq!(stopped.position().step, 12);
    let mut resumed = of();
    resumed.callback(StopAt(usize::MAX, file.clone()));
    resumed.resume(&file).unwrap();
    resumed.fit(&data, &data, Steps(10)).unwrap();
    assert_eq!(resumed.position().step, 15);
    assert!(resumed.states() == whole.states());
}

/// Asks for a checkpoint after so many steps in all, and stops.
struct StopAt(usize, std::path::PathBuf);

impl Callback for StopAt {
    fn name(&self) -> &str {
        "stop at"
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        if training.position().step == self.0 {
            training.request_checkpoint(self.1.clone(), vec![]);
            training.stop();
        }
        Ok(())
    }
}

#[test]
fn a_run_of_another_seed_or_batch_is_not_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("run.safetensors");
    let of = |seed: u64, batch: usize| {
        Trainer::of(batch, regression, Adam::new(0.01)).seed(seed).compile().unwrap()
    };
    let data = rows(24);
    for seed in [3, u64::MAX] {
        let mut first = of(seed, 4);
        first.fit(&data, &data, Steps(4)).unwrap();
        first.save_checkpoint(&file).unwrap();
        first.fit(&data, &data, Steps(9)).unwrap();
        let mut second = of(seed, 4);
        second.resume(&file).unwrap();
        second.fit(&data, &data, Steps(13)).unwrap();
        assert!(first.states() == second.states(), "seed {seed}");
    }
    let refused = |mut training: Training| training.resume(&file).unwrap_err().to_string();
    let expected = format!("is of a run with the seed {}; this one has 3", u64::MAX);
    assert!(refused(of(3, 4)).contains(&expected), "{}", refused(of(3, 4)));
    assert!(refused(of(u64::MAX, 8)).contains("is of a run with batches of 4; this one has 8"));
}
