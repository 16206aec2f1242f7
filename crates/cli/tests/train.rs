//! `bespoke train` as users meet it: every kind of data, what it leaves behind, going on, and what it says of mistakes.

use std::{
    path::Path,
    process::{Command, Output},
};

use bespoke_tensor::{Tensor, npy::write_npy};

fn train(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bespoke"))
        .arg("train")
        .args(arguments)
        .args(["--threads", "1"])
        .current_dir(folder)
        .output()
        .unwrap()
}

/// Standard output of a success.
fn text(folder: &Path, arguments: &[&str]) -> String {
    let output = train(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The figure of the last line, which begins so.
fn figure(text: &str, start: &str) -> f64 {
    let last = text.lines().last().unwrap();
    let rest = last.strip_prefix(start).unwrap_or_else(|| panic!("{last}"));
    rest.trim_end_matches(" %").parse().unwrap()
}

#[test]
fn a_table_is_learned_and_training_goes_on_bitwise() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..240)
        .map(|i| {
            let (x, y) = (f64::from(i * 37 % 100) / 50.0 - 1.0, f64::from(i * 53 % 100) / 50.0 - 1.0);
            format!("{x},{y},{}\n", usize::from(x + y > 0.0))
        })
        .collect();
    std::fs::write(dir.path().join("half.csv"), format!("x,y,side\n{rows}")).unwrap();
    let arguments = ["mlp", "--data", "half.csv", "--batch", "16", "--width", "0.1", "--optimizer", "adam"];
    let with = |more: &[&'static str]| [&arguments[..], more].concat();
    let whole = text(dir.path(), &with(&["--epochs", "6", "--checkpoints", "whole", "--csv", "log.csv"]));
    assert!(figure(&whole, "held-out accuracy: ") > 85.0, "{whole}");
    assert!(whole.contains("saved whole/weights.safetensors"), "{whole}");
    let log = std::fs::read_to_string(dir.path().join("log.csv")).unwrap();
    assert_eq!(log.lines().count(), 7, "{log}");
    // A run of six epochs whose last checkpoint is lost goes on from the one before.
    text(dir.path(), &with(&["--epochs", "6", "--checkpoints", "parts"]));
    let mut steps: Vec<_> =
        std::fs::read_dir(dir.path().join("parts")).unwrap().map(|e| e.unwrap().path()).collect();
    steps.retain(|p| p.to_string_lossy().contains("step-"));
    steps.sort();
    assert_eq!(steps.len(), 2);
    std::fs::remove_file(&steps[1]).unwrap();
    let resumed = text(dir.path(), &with(&["--epochs", "6", "--checkpoints", "parts", "--resume"]));
    assert!(resumed.contains("going on from parts/step-"), "{resumed}");
    let read = |name: &str| std::fs::read(dir.path().join(name).join("weights.safetensors")).unwrap();
    assert!(read("whole") == read("parts"));
}

#[test]
fn texts_sentences_and_arrays_are_data() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("abc.txt", &"abcabd ".repeat(200));
    let small = ["--small", "--epochs", "3", "--optimizer", "adam", "--learning-rate", "0.01"];
    let of = |arguments: &[&'static str]| text(dir.path(), &[arguments, &small[..]].concat());
    let loss = figure(&of(&["char-lstm", "--data", "abc.txt"]), "held-out loss: ");
    assert!(loss < 1.5, "{loss} nats a character; chance is {}", 5f64.ln());
    assert!(dir.path().join("char-lstm/characters.txt").exists());
    let pairs: String = (0..100).map(|i| format!("a{}\tb{}\n", i % 10, i % 10)).collect();
    write("pairs.tsv", &format!("from\tto\n{pairs}"));
    of(&["seq2seq", "--data", "pairs.tsv", "--classes", "300"]);
    assert!(dir.path().join("seq2seq/pieces.txt").exists());
    // The unit t = x₀.
    std::fs::create_dir(dir.path().join("arrays")).unwrap();
    let array = |name: &str, value: &Tensor| write_npy(dir.path().join("arrays").join(name), value).unwrap();
    let x: Vec<f32> = (0..180).map(|i| (i * i * 7 % 11 % 2) as f32).collect();
    let t: Vec<f32> = x.chunks(3).map(|row| row[0]).collect();
    array("x.npy", &Tensor::from_vec([60, 3], x).unwrap());
    array("t.npy", &Tensor::from_vec([60, 1], t).unwrap());
    let before =
        figure(&text(dir.path(), &["linear", "--data", "arrays", "--epochs", "1"]), "held-out loss: ");
    let after =
        figure(&text(dir.path(), &["linear", "--data", "arrays", "--epochs", "30"]), "held-out loss: ");
    assert!(after < 0.5 * before, "{before} → {after}");
}

#[test]
fn players_learn_in_turn_and_images_are_resized() {
    let dir = tempfile::tempdir().unwrap();
    for (class, level) in [("dark", 10), ("light", 200)] {
        let folder = dir.path().join("images").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..20 {
            let image = image::GrayImage::from_pixel(11, 7, image::Luma([level + i]));
            image.save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
    let out = text(dir.path(), &["dcgan", "--data", "images", "--small", "--epochs", "1"]);
    assert!(out.contains("generator"), "{out}");
    figure(&out, "held-out loss: ");
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let failure = |arguments: &[&str]| {
        let output = train(dir.path(), arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        errors
    };
    assert!(failure(&["nothing"]).contains("there is no model `nothing`"));
    assert!(failure(&["mlp", "--data", "nowhere"]).contains("nowhere: "));
    assert!(failure(&["mlp", "--resume"]).contains("mlp: there are no checkpoints"));
    assert!(failure(&["mlp", "--learning-rate", "-1"]).contains("expected a learning rate above 0, got -1"));
    assert!(failure(&["mlp", "--batch", "0"]).contains("the batch must be at least 1"));
    let own = failure(&["gqn"]);
    assert!(
        own.contains("`gqn` learns from data of its own: give --data a folder with images.npy f32["),
        "{own}"
    );
    assert!(failure(&["alexnet", "--size", "8"]).contains("alexnet"));
    std::fs::write(dir.path().join("bad.csv"), "a,b\n1,2\n1,x\n").unwrap();
    assert!(failure(&["mlp", "--data", "bad.csv"]).contains("bad.csv: line 3"));
}
