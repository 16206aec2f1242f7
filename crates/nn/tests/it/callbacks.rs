//! What callbacks are told, and what those that come along do.

use std::{cell::RefCell, rc::Rc};

use bespoke_nn::{
    Callback, Checkpoints, CsvLog, EarlyStopping, Epochs, History, Measured, ReduceOnPlateau, Sgd, Steps,
    TrainError, Trainer, Training,
};

use crate::common::{number, ones, regression, rows, scripted};

type Events = Rc<RefCell<Vec<String>>>;

/// Writes down what it is told.
struct Recorder(&'static str, Events);

impl Recorder {
    fn record(&self, event: &str, training: &Training) -> Result<(), TrainError> {
        let (at, name) = (training.position(), self.0);
        self.1.borrow_mut().push(format!("{name} {event} {}.{}.{}", at.epoch, at.batch, at.step));
        Ok(())
    }
}

impl Callback for Recorder {
    fn name(&self) -> &str {
        self.0
    }

    fn start(&mut self, training: &mut Training) -> Result<(), TrainError> {
        self.record("start", training)
    }

    fn before_step(&mut self, training: &mut Training) -> Result<(), TrainError> {
        self.record("before", training)
    }

    fn after_step(&mut self, training: &mut Training, loss: f64) -> Result<(), TrainError> {
        assert!(loss.is_finite());
        self.record("after", training)
    }

    fn after_epoch(&mut self, training: &mut Training, _: &Measured, _: &Measured) -> Result<(), TrainError> {
        self.record("epoch", training)
    }

    fn end(&mut self, training: &mut Training) -> Result<(), TrainError> {
        self.record("end", training)
    }
}

#[test]
fn events_come_in_order_to_one_after_the_other() {
    let events = Events::default();
    let trainer = Trainer::of(4, regression, Sgd::new(0.1));
    let trainer = trainer.callback(Recorder("a", events.clone())).callback(Recorder("b", events.clone()));
    // 7 rows are a batch of 4 and one of 3; 3 steps end within the second epoch.
    trainer.compile().unwrap().fit(&rows(7), &rows(3), Steps(3)).unwrap();
    let expected = [
        "start 0.0.0",
        "before 0.0.0",
        "after 0.1.1",
        "before 0.1.1",
        "after 0.2.2",
        "epoch 1.0.2",
        "before 1.0.2",
        "after 1.1.3",
        "epoch 1.1.3",
        "end 1.1.3",
    ];
    let both = expected.iter().flat_map(|event| [format!("a {event}"), format!("b {event}")]);
    assert_eq!(*events.borrow(), both.collect::<Vec<_>>());
}

/// Fails at a step.
struct Failing(usize);

impl Callback for Failing {
    fn name(&self) -> &str {
        "failing"
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        match training.position().step == self.0 {
            true => Err(TrainError::Data("failed as it was told".to_owned())),
            false => Ok(()),
        }
    }
}

#[test]
fn an_error_of_a_callback_ends_the_epoch_as_if_it_had_not_begun() {
    let mut training = Trainer::of(4, regression, Sgd::new(0.1)).callback(Failing(6)).compile().unwrap();
    let error = training.fit(&rows(16), &rows(4), Epochs(3)).unwrap_err();
    assert_eq!(error.to_string(), "failed as it was told");
    assert_eq!((training.position().epoch, training.position().batch, training.position().step), (1, 0, 4));
    let mut other = Trainer::of(4, regression, Sgd::new(0.1)).compile().unwrap();
    other.fit(&rows(16), &rows(4), Epochs(1)).unwrap();
    assert_eq!(training.states(), other.states());
}

fn figures(history: &History) -> Vec<f64> {
    history.held_out.iter().map(|m| m.metric("figure").unwrap()).collect()
}

#[test]
fn early_stopping_waits_for_its_patience_and_puts_the_best_back() {
    let all = [5.0, 3.0, 4.0, 2.75, 3.0, 2.5, 2.75, 2.75, 2.0, 1.0];
    // Trainer, epochs that are made, and the epoch of the best.
    let cases = [
        (EarlyStopping::new(1).metric("figure", false), 3, 2),
        (EarlyStopping::new(2).metric("figure", false), 8, 6),
        (EarlyStopping::new(3).metric("figure", false), 10, 10),
        (EarlyStopping::new(2).metric("figure", false).min_delta(0.25), 4, 2),
        (EarlyStopping::new(2).metric("figure", false).min_delta(0.25).keep_last(), 4, 4),
        (EarlyStopping::new(2).metric("figure", true), 3, 1),
        // The loss is −w, which gets better all the time.
        (EarlyStopping::new(1), 10, 10),
    ];
    for (stopping, epochs, best) in cases {
        let mut training = scripted(&all).callback(stopping.clone()).compile().unwrap();
        let history = training.fit(&ones(), &ones(), Epochs(10)).unwrap();
        assert_eq!(figures(&history), all[..epochs], "{stopping:?}");
        assert_eq!(number(&training, "w"), best as f64, "{stopping:?}");
        assert_eq!(number(&training, "figure"), all[best - 1], "all states are of the best epoch");
        assert_eq!(training.position().step, epochs);
    }
}

#[test]
fn what_is_no_number_is_never_the_best() {
    let all = [f64::NAN, 3.0, f64::NAN, 4.0, 2.0];
    let stopping = EarlyStopping::new(2).metric("figure", false);
    let mut training = scripted(&all).callback(stopping).compile().unwrap();
    let history = training.fit(&ones(), &ones(), Epochs(5)).unwrap();
    assert_eq!((history.held_out.len(), number(&training, "w")), (4, 2.0));
    let stopping = EarlyStopping::new(2).metric("figure", false);
    let mut training = scripted(&[f64::NAN; 5]).callback(stopping).compile().unwrap();
    let history = training.fit(&ones(), &ones(), Epochs(5)).unwrap();
    assert_eq!((history.held_out.len(), number(&training, "w")), (2, 2.0), "there is none to put back");
}

#[test]
fn early_stopping_begins_anew_with_another_call() {
    let all = [1.0, 2.0, 9.0, 8.0, 7.0, 8.0, 8.0];
    let stopping = EarlyStopping::new(1).metric("figure", false);
    let mut training = scripted(&all).callback(stopping).compile().unwrap();
    let first = training.fit(&ones(), &ones(), Epochs(7)).unwrap();
    assert_eq!((figures(&first), number(&training, "w")), (vec![1.0, 2.0], 1.0));
    // On other data, say: what was best before is no measure for it.
    let second = training.fit(&ones(), &ones(), Epochs(5)).unwrap();
    assert_eq!(figures(&second), [9.0, 8.0, 7.0, 8.0]);
    assert_eq!(number(&training, "w"), 4.0, "three steps from 1");
}

#[test]
fn callbacks_name_a_metric_that_there_is_not() {
    let stopping = EarlyStopping::new(1).metric("accuracy", true);
    let mut training = scripted(&[1.0]).callback(stopping).compile().unwrap();
    let error = training.fit(&ones(), &ones(), Epochs(1)).unwrap_err().to_string();
    assert_eq!(error, "early stopping: there is no metric `accuracy`; there are `loss`, `figure`");
}

/// The learning rate of each epoch.
struct Rates(Rc<RefCell<Vec<f64>>>);

impl Callback for Rates {
    fn name(&self) -> &str {
        "rates"
    }

    fn before_step(&mut self, training: &mut Training) -> Result<(), TrainError> {
        self.0.borrow_mut().push(training.learning_rate());
        Ok(())
    }
}

#[test]
fn the_rate_falls_on_a_plateau() {
    let figures = [4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0, 1.0];
    let reduce = |factor, patience| ReduceOnPlateau::new(factor, patience).metric("figure", false);
    let cases = [
        (reduce(0.5, 2), vec![1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25]),
        (reduce(0.5, 1), vec![1.0, 1.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.0625, 0.03125]),
        (reduce(0.5, 1).lowest(0.25), vec![1.0, 1.0, 1.0, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25]),
        // A rate that is below the lowest stays.
        (reduce(0.5, 1).lowest(2.0), vec![1.0; 9]),
        (reduce(0.5, 2).min_delta(1.0), vec![1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]),
    ];
    for (reduce, expected) in cases {
        let rates = Rc::new(RefCell::new(vec![]));
        let trainer = scripted(&figures).callback(reduce.clone()).callback(Rates(rates.clone()));
        trainer.compile().unwrap().fit(&ones(), &ones(), Epochs(9)).unwrap();
        assert_eq!(*rates.borrow(), expected, "{reduce:?}");
    }
}

/// The names of a folder's files, in order.
fn files(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn checkpoints_keep_the_last_and_the_best() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("deep/run");
    let checkpoints = Checkpoints::new(&folder).keep(3).best("figure", true);
    let mut training = scripted(&[1.0, 4.0, 2.0, 3.0, 4.0]).callback(checkpoints).compile().unwrap();
    training.fit(&ones(), &ones(), Epochs(5)).unwrap();
    let step = |n: usize| format!("step-{n:09}.safetensors");
    assert_eq!(files(&folder), ["best.safetensors".to_owned(), step(3), step(4), step(5)]);
    let mut other = scripted(&[0.0]).compile().unwrap();
    for (file, w) in [("best.safetensors", 2.0), (&step(3), 3.0), (&step(5), 5.0)] {
        other.load(folder.join(file)).unwrap();
        assert_eq!(number(&other, "w"), w, "{file}");
    }

    let folder = directory.path().join("steps");
    let checkpoints = Checkpoints::new(&folder).every_steps(3).keep(100);
    let mut training = Trainer::of(4, regression, Sgd::new(0.1)).callback(checkpoints).compile().unwrap();
    training.fit(&rows(16), &rows(4), Steps(10)).unwrap();
    let expected = [3, 4, 6, 8, 9, 10].map(step); // an epoch has 4 steps
    assert_eq!(files(&folder), expected);
}

#[test]
fn checkpoints_of_another_training_are_not_mixed_up() {
    let folder = tempfile::tempdir().unwrap();
    let train = |from: Option<usize>, epochs: usize| {
        let checkpoints = Checkpoints::new(folder.path()).keep(2);
        let mut training = scripted(&[0.0; 9]).callback(checkpoints).compile().unwrap();
        if let Some(step) = from {
            training.resume(folder.path().join(format!("step-{step:09}.safetensors"))).unwrap().unwrap();
        }
        training.fit(&ones(), &ones(), Epochs(epochs))
    };
    train(None, 5).unwrap();
    let before = files(folder.path());
    // From the start again: the newest would be another training's.
    let error = train(None, 3).unwrap_err().to_string();
    assert!(
        error.ends_with("there is a checkpoint of step 5 already: resume from it, or take another folder"),
        "{error}"
    );
    assert_eq!(files(folder.path()), before);
    // From an older one: those of later steps go first.
    train(Some(4), 4).unwrap();
    assert_eq!(files(folder.path()), before);
    std::fs::remove_file(folder.path().join("step-000000005.safetensors")).unwrap();
    train(Some(4), 7).unwrap();
    assert_eq!(files(folder.path()), ["step-000000006.safetensors", "step-000000007.safetensors"]);
}

#[test]
fn two_checkpoints_may_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = || Checkpoints::new(folder.path()).keep(1);
    let trainer = scripted(&[0.0; 4]).callback(checkpoints()).callback(checkpoints());
    trainer.compile().unwrap().fit(&ones(), &ones(), Epochs(4)).unwrap();
    assert_eq!(files(folder.path()), ["step-000000004.safetensors"]);
}

#[test]
fn a_table_has_a_row_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, "of another time\n1,2,3\n").unwrap();
    let training = |figures: &[f64]| scripted(figures).callback(CsvLog::new(&path)).compile().unwrap();
    let mut first = training(&[0.5, 0.25, 0.125, 0.0]);
    first.fit(&ones(), &ones(), Epochs(2)).unwrap();
    let head = "epoch,step,learning_rate,loss,figure,held_out_loss,held_out_figure\n";
    let rows = ["1,1,1,0,0.5,-1,0.5\n", "2,2,1,-1,0.25,-2,0.25\n", "3,3,1,-2,0.125,-3,0.125\n"];
    assert_eq!(std::fs::read_to_string(&path).unwrap(), head.to_owned() + &rows[..2].concat());
    let checkpoint = folder.path().join("state.safetensors");
    first.save_checkpoint(&checkpoint).unwrap();
    first.fit(&ones(), &ones(), Epochs(1)).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), head.to_owned() + &rows.concat());
    // What goes on from the checkpoint replaces the third row, and one that was cut off.
    let half = std::fs::read_to_string(&path).unwrap() + "4,4,1,-3";
    std::fs::write(&path, half).unwrap();
    let mut second = training(&[9.0, 9.0, 7.0, 9.0]);
    second.resume(&checkpoint).unwrap();
    second.fit(&ones(), &ones(), Epochs(3)).unwrap();
    let expected = [head, rows[0], rows[1], "3,3,1,-2,7,-3,7\n"].concat();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn rows_of_later_steps_of_the_same_epoch_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    let training =
        || Trainer::of(4, regression, Sgd::new(0.1)).callback(CsvLog::new(&path)).compile().unwrap();
    let mut first = training();
    first.fit(&rows(16), &rows(4), Steps(4)).unwrap();
    let checkpoint = folder.path().join("state.safetensors");
    first.save_checkpoint(&checkpoint).unwrap();
    first.fit(&rows(16), &rows(4), Steps(2)).unwrap(); // ends within the second epoch
    let mut second = training();
    second.resume(&checkpoint).unwrap();
    second.fit(&rows(16), &rows(4), Steps(8)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let places: Vec<&str> = text.lines().skip(1).map(|line| &line[..3]).collect();
    assert_eq!(places, ["1,4", "2,8"]);
}

#[test]
fn each_callback_goes_on_from_what_it_remembers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let all = [5.0, 4.0, 6.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0];
    // Two of one kind among them.
    let training = || {
        let trainer = scripted(&all)
            .callback(EarlyStopping::new(9).metric("figure", true))
            .callback(EarlyStopping::new(6).metric("figure", false))
            .callback(ReduceOnPlateau::new(0.5, 3).metric("figure", false))
            .callback(Checkpoints::new(folder.path().join("run")).best("figure", false));
        trainer.compile().unwrap()
    };
    let run = |training: &mut Training| {
        let history = training.fit(&ones(), &ones(), Epochs(11)).unwrap();
        (history.held_out.last().unwrap().clone(), training.states(), training.position())
    };
    let mut whole = training();
    let expected = run(&mut whole);
    assert_eq!((expected.2.step, number(&whole, "w")), (10, 4.0));
    let best = std::fs::read(folder.path().join("run/best.safetensors")).unwrap();
    std::fs::remove_dir_all(folder.path().join("run")).unwrap();

    for stop in [1, 4, 7] {
        let mut first = training();
        first.callback(StopAt(stop));
        first.fit(&ones(), &ones(), Epochs(11)).unwrap();
        assert_eq!(first.position().step, stop);
        std::fs::copy(folder.path().join(format!("run/step-{stop:09}.safetensors")), &path).unwrap();
        let mut second = training();
        second.resume(&path).unwrap().unwrap();
        assert_eq!(run(&mut second), expected, "stopped at {stop}");
        assert_eq!(std::fs::read(folder.path().join("run/best.safetensors")).unwrap(), best);
        std::fs::remove_dir_all(folder.path().join("run")).unwrap();
    }
}

#[test]
fn training_that_had_stopped_early_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let training = || {
        let trainer = scripted(&[1.0, 2.0, 3.0, 0.0]).callback(Checkpoints::new(folder.path()));
        trainer.callback(EarlyStopping::new(2).metric("figure", false)).compile().unwrap()
    };
    let mut first = training();
    first.fit(&ones(), &ones(), Epochs(4)).unwrap();
    assert_eq!((first.position().step, number(&first, "w")), (3, 1.0));
    let mut second = training();
    second.resume(folder.path()).unwrap().unwrap();
    assert_eq!(number(&second, "w"), 3.0, "the last checkpoint holds the last states");
    let history = second.fit(&ones(), &ones(), Epochs(4)).unwrap();
    assert!(history.held_out.is_empty());
    assert_eq!(second.states(), first.states());
}

/// Stops after a step, as ^C would.
struct StopAt(usize);

impl Callback for StopAt {
    fn name(&self) -> &str {
        "stop_at"
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        if training.position().step == self.0 {
            training.stop();
        }
        Ok(())
    }
}
