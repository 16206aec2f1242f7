//! `bespoke train` as users meet it: every kind of data, what it leaves behind, going on, and what it says of mistakes.

use std::{
    path::Path,
    process::{Command, Output},
};

use bespoke_tensor::{
    Tensor,
    npy::{read_npy, write_npy},
};

fn train(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bespoke"))
        .env("BESPOKE_CACHE", "no-such-directory")
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
    of(&["seq2seq", "--data", "pairs.tsv"]);
    assert!(dir.path().join("seq2seq/pieces.txt").exists());
    // The unit t = x₀.
    std::fs::create_dir(dir.path().join("arrays")).unwrap();
    let array = |name: &str, value: &Tensor| write_npy(dir.path().join("arrays").join(name), value).unwrap();
    let x: Vec<f32> = (0..180).map(|i| (i * i * 7 % 11 % 2) as f32).collect();
    let t: Vec<f32> = x.chunks(3).map(|row| row[0]).collect();
    array("x.npy", &Tensor::from_vec([60, 3], x).unwrap());
    array("t.npy", &Tensor::from_vec([60, 1], t).unwrap());
    let held_out = |epochs: &str| {
        let arguments = ["linear", "--data", "arrays", "--epochs", epochs, "--checkpoints", epochs];
        figure(&text(dir.path(), &arguments), "held-out loss: ")
    };
    let (before, after) = (held_out("1"), held_out("30"));
    assert!(after < 0.5 * before, "{before} → {after}");
}

/// A table of a name whose class is whether a number far from 0 is above 5000; one number in ten is missing.
fn write_table(folder: &Path, name: &str, rows: usize) {
    let row = |i: usize| {
        let x = i * 37 % 100;
        let noise = if i.is_multiple_of(10) { String::new() } else { format!("{}", i * 53 % 7) };
        format!("{},{noise},{}\n", 4950 + x, if x > 50 { "\"high, very\"" } else { "low" })
    };
    let rows: String = (0..rows).map(row).collect();
    std::fs::write(folder.join(name), format!("x,noise,\"how, high\"\n{rows}")).unwrap();
}

#[test]
fn tables_are_standardised_and_have_names_of_classes() {
    let dir = tempfile::tempdir().unwrap();
    write_table(dir.path(), "t.csv", 300);
    let arguments = ["mlp", "--data", "t.csv", "--batch", "16", "--width", "0.1", "--optimizer", "adam"];
    let out = text(dir.path(), &[&arguments[..], &["--epochs", "8"]].concat());
    // A column of thousands and a missing value would each alone keep it at chance, 50 %.
    assert!(figure(&out, "held-out accuracy: ") > 90.0, "{out}");
    let read = |name: &str| read_npy(dir.path().join("mlp").join(name)).unwrap().to_vec::<f64>().unwrap();
    let (shift, scale) = (read("shift.npy"), read("scale.npy"));
    assert!((shift[0] - 4999.5).abs() < 3.0 && (scale[0] - 28.9).abs() < 1.5, "{shift:?}, {scale:?}");
    assert!((shift[1] - 3.0).abs() < 0.3, "{shift:?}");
    let classes = std::fs::read_to_string(dir.path().join("mlp/classes.txt")).unwrap();
    assert_eq!(classes, "high, very\nlow\n");
}

#[test]
fn bundled_rows_are_learned_by_the_smallest_models() {
    let dir = tempfile::tempdir().unwrap();
    for (name, epochs) in [("perceptron", "50"), ("xor", "200")] {
        let out = text(dir.path(), &[name, "--epochs", epochs]);
        assert_eq!(figure(&out, "held-out accuracy: "), 100.0, "{name}: {out}");
    }
    let out = text(dir.path(), &["linear", "--small"]);
    assert!(figure(&out, "held-out loss: ") < 1e-3, "{out}");
}

#[test]
fn going_on_takes_another_learning_rate_and_starting_anew_another_folder() {
    let dir = tempfile::tempdir().unwrap();
    let common = ["linear", "--small", "--csv", "log.csv", "--epochs"];
    text(dir.path(), &[&common[..], &["1"]].concat());
    let output = train(dir.path(), &["linear", "--small"]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("linear: there are checkpoints already: --resume"), "{errors}");
    assert!(errors.contains("--checkpoints"), "{errors}");
    text(dir.path(), &[&common[..], &["2", "--resume"]].concat());
    text(dir.path(), &[&common[..], &["3", "--resume", "--learning-rate", "0.0625"]].concat());
    text(dir.path(), &[&common[..], &["4", "--resume"]].concat());
    let log = std::fs::read_to_string(dir.path().join("log.csv")).unwrap();
    let rates: Vec<f64> =
        log.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect();
    let near = |(a, b): (&f64, f64)| (a - b).abs() < 1e-6;
    assert_eq!(rates.len(), 4, "{log}");
    assert!(rates.iter().zip([0.1, 0.1, 0.0625, 0.0625]).all(near), "{log}");
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
    let of = |name: &str, text: &str, model: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        failure(&[model, "--data", name, "--small"])
    };
    assert!(of("bad.csv", "a,b\n1,2\nx,2\n1,1\n1,1\n", "mlp").contains("bad.csv: line 3, column 1 (`a`)"));
    let errors = of("fractions.csv", "a,b\n1,2.5\n2,3.5\n1,2.5\n1,2.5\n", "mlp");
    assert!(
        errors.contains("column 2 (`b`): `2.5` looks like a number to predict; expected classes"),
        "{errors}"
    );
    let errors = of("few.csv", "a,b\n1,0\n2,0\n1,1\n1,1\n", "mlp");
    assert!(errors.contains("few: 4 rows are too few: 4 to learn from and 0 held out"), "{errors}");
    assert!(of("one.csv", "b\n1\n0\n1\n0\n", "mlp").contains("expected columns of numbers before the last"));
    let errors = of("empty.txt", "", "char-lstm");
    assert!(
        errors.contains("empty.txt: 0 characters are too few: 0 to learn from and 0 held out"),
        "{errors}"
    );
    let errors = of("short.txt", &"ab".repeat(30), "char-lstm");
    assert!(
        errors.contains("54 to learn from and 6 held out, but a sequence of --size 12 needs 13"),
        "{errors}"
    );
    let errors = of("few.tsv", "from\tto\na\tb\n", "seq2seq");
    assert!(errors.contains("1 pairs are too few: 1 to learn from and 0 held out"), "{errors}");
    let errors = failure(&["seq2seq", "--classes", "100"]);
    assert!(errors.contains("expected at least 259 classes, the 256 bytes and 3 marks, got 100"), "{errors}");
    let errors = failure(&["unet", "--small"]);
    assert!(errors.contains("a folder with image.npy f32[2,1,188,188], label.npy i32[2,4,4] ("), "{errors}");
    let errors = failure(&["xor", "--channels", "3"]);
    assert!(errors.contains("the bundled rows of `xor` have 2 channels, got 3"), "{errors}");
    let errors = failure(&["mlp", "--width", "0"]);
    assert!(errors.contains("mlp: expected a width that is a finite number above 0, got 0"), "{errors}");
    std::fs::write(dir.path().join("train-images.idx3-ubyte"), "").unwrap();
    assert!(failure(&["mlp", "--data", "."]).contains("train-labels-idx1-ubyte"));
}
