//! Processes that end, or cannot write, while they save checkpoints: tests that start themselves again.
#![cfg(unix)]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bespoke_data::Draws;
use bespoke_nn::{
    Adam, Callback, Checkpoints, EarlyStopping, Epochs, F32, Graph, Objective, Steps, TrainError, Trainer,
    Training,
};

use crate::common::rows;

/// Names the folder that a test is started again for.
const FOLDER: &str = "BESPOKE_CHECKPOINTS";

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// The program and arguments that run one ignored test in a process of its own.
fn arguments(test: &str) -> Vec<std::ffi::OsString> {
    let program = std::env::current_exe().unwrap().into_os_string();
    let options = [&format!("kills::{test}"), "--exact", "--ignored", "--nocapture"].map(Into::into);
    [program].into_iter().chain(options).collect()
}

fn start(test: &str, folder: &Path) -> Child {
    let arguments = arguments(test);
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]).env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// A net of some 130 kB, so that a checkpoint takes a while to write.
fn training() -> Training {
    let model = |g: &Graph, batch: usize| {
        let (x, t) = (g.input("x", F32, [batch, 3]), g.input("t", F32, [batch]));
        let y = x.dense(100).tanh().dense(100).tanh().dropout(0.1).dense(1).reshape([batch]);
        Objective::new(((y - t) * (y - t)).mean())
    };
    Trainer::of(4, model, Adam::new(1e-3)).compile().unwrap()
}

#[test]
#[ignore = "is started again by others, and killed"]
fn saves_as_fast_as_it_can() {
    let Some(folder) = folder() else { return };
    let mut training = training();
    training.callback(Checkpoints::new(&folder).every_steps(1));
    training.resume(&folder).unwrap();
    training.fit(&rows(4000), &rows(4), Epochs(1000)).unwrap();
}

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|p| p.extension().is_some_and(|e| e == "safetensors")).collect();
    paths.sort();
    paths
}

/// Kills a training so often while it saves; after each the newest checkpoint is whole.
fn kill(times: usize) {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("run");
    std::fs::create_dir(&folder).unwrap();
    let mut training = training();
    let mut draws = Draws::new(5, 0, times as u64);
    let (mut made, mut left) = (0, 2);
    for number in 0..times {
        let mut child = start("saves_as_fast_as_it_can", &folder);
        let begun = Instant::now();
        // Until it goes on from where the one before was.
        let newest = || checkpoints(&folder).pop();
        let before = newest();
        while newest() == before {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is saved");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(draws.below(30_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let all = checkpoints(&folder);
        assert_eq!(training.resume(&folder).unwrap().as_ref(), all.last(), "kill {number}");
        // Two are kept. What a kill between writing and removing leaves, the next save removes: only a process that saved
        // once can leave one more than it found.
        let saved = training.position().step - made;
        let allowed = if saved > 1 { 3 } else { left + 1 };
        assert!(saved > 0 && all.len() <= allowed, "kill {number}: {saved} saved, {left} before: {all:?}");
        (made, left) = (training.position().step, all.len());
        let aside = std::fs::read_dir(&folder).unwrap().count() - left;
        assert!(aside <= 1, "kill {number}: {aside} files that were not finished");
    }
    // What goes on ends bitwise where a run without a stop ends.
    let until = Steps(made + 20);
    training.callback(Checkpoints::new(&folder));
    training.fit(&rows(4000), &rows(4), until).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    let mut whole = self::training();
    whole.fit(&rows(4000), &rows(4), until).unwrap();
    assert_eq!(training.position().step, whole.position().step);
    assert!(training.states() == whole.states(), "after {made} steps in {times} runs");
}

#[test]
fn the_newest_checkpoint_is_whole_after_twenty_kills() {
    kill(20);
}

#[test]
#[ignore = "takes half a minute"]
fn the_newest_checkpoint_is_whole_after_two_hundred_kills() {
    kill(200);
}

#[test]
#[ignore = "is started again by another, with a limit to what it may write"]
fn saves_where_there_is_no_room() {
    let Some(folder) = folder() else { return };
    let mut training = training();
    training.callback(Checkpoints::new(&folder));
    training.resume(&folder).unwrap();
    let before = training.states();
    let error = training.fit(&rows(8), &rows(4), Epochs(3)).unwrap_err();
    assert!(matches!(error, TrainError::File { .. }), "{error}");
    assert!(error.to_string().contains("cannot be written: "), "{error}");
    assert_ne!(training.states(), before, "the epoch that could not be saved is not lost");
}

#[test]
fn without_room_the_old_checkpoint_stays() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("run");
    let mut training = training();
    training.callback(Checkpoints::new(&folder));
    training.fit(&rows(8), &rows(4), Epochs(1)).unwrap();
    let files = || {
        let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|p| (p.clone(), std::fs::read(p).unwrap())).collect::<Vec<_>>()
    };
    let before = files();
    // A limit to the size of files fails a write in its midst, as a full disk does.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .args(arguments("saves_where_there_is_no_room"));
    let output = shell.env(FOLDER, &folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(files(), before, "and nothing is left beside it");
}

/// Sends the process an interrupt after a step, and waits until it has arrived.
struct Interrupt(usize);

impl Callback for Interrupt {
    fn name(&self) -> &str {
        "interrupt"
    }

    fn after_step(&mut self, training: &mut Training, _: f64) -> Result<(), TrainError> {
        if training.position().step == self.0 {
            let id = std::process::id().to_string();
            assert!(Command::new("kill").args(["-INT", &id]).status()?.success());
            std::thread::sleep(Duration::from_millis(400));
        }
        Ok(())
    }
}

#[test]
#[ignore = "is started again by another, and interrupts itself twice"]
fn is_interrupted_twice() {
    if folder().is_none() {
        return;
    }
    let mut training = training();
    // Both within one step: the second is not waited for.
    training.callback(Interrupt(2));
    training.callback(Interrupt(2));
    training.fit(&rows(18), &rows(6), Epochs(6)).unwrap();
}

#[test]
fn a_second_interrupt_ends_the_process_at_once() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(start("is_interrupted_twice", directory.path()).wait().unwrap().code(), Some(130));
}

fn watched(folder: &Path) -> Training {
    let mut training = training();
    // The best is not the last: a rate that is too high sees to it.
    training.set_learning_rate(0.3).unwrap();
    training.callback(EarlyStopping::new(3));
    training.callback(Checkpoints::new(folder));
    training
}

#[test]
#[ignore = "is started again by another, and interrupts itself"]
fn is_interrupted() {
    let Some(folder) = folder() else { return };
    let step = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let mut training = watched(&folder);
    training.callback(Interrupt(step));
    let history = training.fit(&rows(18), &rows(6), Epochs(6)).unwrap();
    assert!(history.interrupted);
    assert_eq!(training.position().step, step);
    assert_eq!(history.held_out.len(), step.div_ceil(5));
}

#[test]
fn after_an_interrupt_training_goes_on_as_if_there_had_been_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut whole = watched(&directory.path().join("whole"));
    let history = whole.fit(&rows(18), &rows(6), Epochs(6)).unwrap();
    assert!(!history.interrupted);
    // Within an epoch of 5 steps, and at the end of one.
    for step in [7, 10] {
        let folder = directory.path().join(step.to_string());
        let arguments = arguments("is_interrupted");
        let mut command = Command::new(&arguments[0]);
        let output = command.args(&arguments[1..]).env(FOLDER, &folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let mut second = watched(&folder);
        second.resume(&folder).unwrap().unwrap();
        assert_eq!(second.position().step, step);
        let rest = second.fit(&rows(18), &rows(6), Epochs(6)).unwrap();
        assert_eq!(rest.held_out, history.held_out[step / 5..], "interrupted at {step}");
        assert_eq!((second.states(), second.position()), (whole.states(), whole.position()));
    }
}
