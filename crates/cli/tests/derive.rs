//! `bespoke derive`: what it prints, and what it says of mistakes.

use std::process::{Command, Output};

fn derive(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bespoke")).arg("derive").args(arguments).output().unwrap()
}

fn text(arguments: &[&str]) -> String {
    let output = derive(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The last line, which is the last derivative.
fn last(arguments: &[&str]) -> String {
    text(arguments).lines().last().unwrap().trim().to_owned()
}

#[test]
fn derivatives_are_printed_as_derived_and_simplified() {
    let expected = "\
derived
  s = σ(w·x + b)
  f = s²
  ∂f/∂w = 2·s·x·(1 − s)·s^1
simplified
  s = σ(w·x + b)
  f = s²
  ∂f/∂w = 2·s²·x·(1 − s)
";
    assert_eq!(text(&["sigmoid(w*x+b)^2", "--wrt", "w"]), expected);
    assert_eq!(last(&["log(1+exp(x))", "--wrt", "x"]), "∂f/∂x = σ(x)");
    assert_eq!(last(&["tanh(x)", "--wrt", "x"]), "∂f/∂x = 1 − s²");
    assert_eq!(last(&["(a-b)^2/2", "--wrt", "a"]), "∂f/∂a = δ");
    assert_eq!(last(&["x/x", "--wrt", "x"]), "∂f/∂x = 0");
    assert_eq!(last(&["x^3", "--wrt", "x", "--order", "3"]), "∂³f/∂x³ = 6");
    assert_eq!(last(&["x^3", "--wrt", "x", "--latex"]), r"\frac{\partial f}{\partial x} = 3 \, x^2");
    assert_eq!(last(&["sigmoid(x)", "--wrt", "x"]), "∂f/∂x = s·(1 − s)");
    // The logistic function is one operation where people read, three where it is written by exponentials.
    assert_eq!(last(&["softplus(x)", "--wrt", "x"]), "∂f/∂x = σ(x)");
    let two = text(&["(a-b)^2/2", "--wrt", "a,b"]);
    assert!(two.ends_with("∂f/∂a = δ\n  ∂f/∂b = b − a\n"), "{two}");
}

#[test]
fn mistakes_are_named() {
    let failure = |arguments: &[&str]| {
        let output = derive(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
        errors
    };
    assert!(failure(&["2 +", "--wrt", "x"]).contains("2 +\n  column 4: expected a number"));
    assert!(failure(&["x*y", "--wrt", "z"]).contains("there is no variable `z`; there are x, y"));
    assert!(failure(&["2", "--wrt", "z"]).contains("there are none"));
    let long = "x+".repeat(3000) + "x";
    assert!(failure(&[&long, "--wrt", "x"]).contains("at most 4000 characters"));
    // As long as it may be.
    let sum = "x+".repeat(1999) + "x";
    assert!(text(&[&sum, "--wrt", "x"]).contains("∂f/∂x = "));
    let nested = format!("{}x{}", "sin(".repeat(190), ")".repeat(190));
    assert!(text(&[&nested, "--wrt", "x"]).contains("∂f/∂x = "));
}
