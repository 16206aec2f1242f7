use bespoke_tensor::Tensor;
use bespoke_zoo::hopfield::Hopfield;

use crate::{floats, uniform};

const UNITS: usize = 120;

/// Random patterns of −1 and 1.
fn patterns(count: usize) -> Tensor {
    floats([count, UNITS], |i| if uniform(i, 51) < 0.5 { -1.0 } else { 1.0 })
}

/// One of the patterns, with a share of its units turned.
fn corrupted(patterns: &Tensor, which: usize, share: f64) -> Tensor {
    floats([UNITS], |i| {
        let bit = patterns.get(which * UNITS + i).to_f64();
        if uniform(i + which * UNITS, 52) < share { -bit } else { bit }
    })
}

fn row(patterns: &Tensor, which: usize) -> Vec<f32> {
    patterns.view::<f32>().unwrap()[which * UNITS..(which + 1) * UNITS].to_vec()
}

#[test]
fn corrupted_patterns_are_recalled() {
    let patterns = patterns(6);
    let mut net = Hopfield::learn(&patterns).unwrap();
    for which in 0..6 {
        let state = corrupted(&patterns, which, 0.2);
        assert_ne!(state.to_vec::<f32>().unwrap(), row(&patterns, which));
        let recalled = net.recall(&state, 7, 20).unwrap();
        assert_eq!(recalled.state.to_vec::<f32>().unwrap(), row(&patterns, which), "pattern {which}");
        assert!(recalled.settled && recalled.energies.len() >= 3, "{:?}", recalled.energies);
        assert!(recalled.energies.windows(2).all(|e| e[1] <= e[0] + 1e-4), "{:?}", recalled.energies);
    }
    // A state that is a pattern stays, and so does its negative.
    let negative = floats([UNITS], |i| -patterns.get(i).to_f64());
    assert_eq!(net.recall(&negative, 0, 5).unwrap().state, negative);
}

#[test]
fn too_many_patterns_are_not_remembered() {
    let patterns = patterns(60);
    let mut net = Hopfield::learn(&patterns).unwrap();
    let stable = (0..60).filter(|&which| {
        let state = corrupted(&patterns, which, 0.0);
        net.recall(&state, 1, 1).unwrap().state == state
    });
    assert!(stable.count() < 6, "half a pattern a unit is far above 0.14");
}

#[test]
fn weights_fields_and_energies_are_those_of_their_definitions() {
    let patterns = patterns(3);
    let mut net = Hopfield::learn(&patterns).unwrap();
    let xi = |p: usize, i: usize| patterns.get(p * UNITS + i).to_f64();
    let weight = |i: usize, j: usize| {
        if i == j { 0.0 } else { (0..3).map(|p| xi(p, i) * xi(p, j)).sum::<f64>() / UNITS as f64 }
    };
    let state = corrupted(&patterns, 1, 0.4);
    let s = |i: usize| state.get(i).to_f64();
    let field = net.field(&state).unwrap();
    let mut energy = 0.0;
    for i in 0..UNITS {
        let expected: f64 = (0..UNITS).map(|j| weight(i, j) * s(j)).sum();
        assert!((field.get(i).to_f64() - expected).abs() < 1e-5);
        energy -= 0.5 * s(i) * expected;
        for j in 0..UNITS {
            assert!((net.weights().get(i * UNITS + j).to_f64() - weight(i, j)).abs() < 1e-6);
        }
    }
    assert!((net.energy(&state).unwrap() - energy).abs() < 1e-4);
}

#[test]
fn one_sweep_turns_unit_after_unit() {
    let patterns = patterns(4);
    let mut net = Hopfield::learn(&patterns).unwrap();
    let state = corrupted(&patterns, 2, 0.45);
    let found = net.recall(&state, 3, 1).unwrap();
    let weights = net.weights().to_vec::<f32>().unwrap();
    let mut s = state.to_vec::<f32>().unwrap();
    for i in bespoke_data::permutation(UNITS, 3, 0) {
        let field: f32 = (0..UNITS).map(|j| weights[i * UNITS + j] * s[j]).sum();
        assert!(field.abs() > 1e-4, "too close to tell");
        s[i] = field.signum();
    }
    assert_eq!(found.state.to_vec::<f32>().unwrap(), s);
    assert!(!found.settled);
}

#[test]
fn what_is_no_pattern_is_told() {
    let told = |patterns: Tensor| Hopfield::learn(&patterns).err().unwrap().to_string();
    assert_eq!(told(floats([3], |_| 1.0)), "hopfield: expected patterns f32[patterns,units], got f32[3]");
    assert_eq!(told(Tensor::full([2, 3], 1.0f64)), "hopfield: patterns: expected f32[2,3], got f64[2,3]");
    assert_eq!(
        told(floats([2, 3], |i| if i == 4 { 0.5 } else { 1.0 })),
        "hopfield: patterns: expected −1 or 1, got 0.5 at index 4"
    );
    let mut net = Hopfield::learn(&patterns(2)).unwrap();
    let short = net.recall(&floats([5], |_| 1.0), 0, 5).unwrap_err().to_string();
    assert_eq!(short, "hopfield: state: expected f32[120], got f32[5]");
    assert!(Hopfield::learn(&floats([0, 4], |_| 1.0)).is_ok(), "no pattern is nothing to remember");
}
