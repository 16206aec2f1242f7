//! Bounds on the rounding of functions of single elements.

use bespoke_graph::{
    Op,
    op::{Binary, Unary},
};
use bespoke_tensor::{DType, Scalar};

use crate::{
    compare::ulp,
    reference::{largest, unit},
};

/// One element of an operand.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// The evaluator's value.
    pub value: Scalar,
    /// How far it may be off.
    pub error: f64,
}

/// A bound for the result of an operator on single elements, of which the evaluator says `value`. If signs do not count, zeros may
/// have either.
pub fn bound(op: &Op, inputs: &[Element], value: Scalar, signs: bool) -> f64 {
    if !signs && tells_zeros_apart(op, inputs) {
        return f64::INFINITY;
    }
    let exact = inputs.iter().all(|i| i.error == 0.0);
    let dtype = value.dtype();
    if exact && !dtype.is_float() {
        return 0.0;
    }
    if inputs.iter().any(|i| !i.error.is_finite()) {
        return f64::INFINITY;
    }
    if !dtype.is_float() {
        let same = corners(inputs).iter().all(|c| apply(op, c, dtype) == value);
        return if same && !may_meet(op, inputs) { 0.0 } else { f64::INFINITY };
    }
    let center = value.to_f64();
    let rounding = units(op, dtype, inputs, exact) * ulp(dtype, center);
    // The evaluator's own value, before it is rounded.
    let before = apply_wide(op, &inputs.iter().map(|i| i.value.to_f64()).collect::<Vec<_>>());
    if exact {
        let edge = (1.0 - 8.0 * unit(dtype)) * largest(dtype);
        let near = [before, center].iter().any(|v| v.is_finite() && v.abs() >= edge);
        return if near && rounding > 0.0 { f64::INFINITY } else { rounding };
    }
    if matches!(op, Op::Unary(Unary::Sin | Unary::Cos)) {
        return (inputs[0].error + rounding).min(2.0);
    }
    if jumps(op, inputs) {
        return f64::INFINITY;
    }
    let mut spread: f64 = 0.0;
    for corner in corners(inputs) {
        let wide: Vec<f64> = corner.iter().map(|s| s.to_f64()).collect();
        let v = apply_wide(op, &wide);
        let narrow = Scalar::from_f64(dtype, v * (1.0 + 8.0 * unit(dtype))).to_f64();
        if narrow.is_nan() != center.is_nan() || narrow.is_infinite() != center.is_infinite() {
            return f64::INFINITY;
        }
        if center.is_finite() {
            spread = spread.max((v - before).abs());
        } else if center.is_infinite() && center != narrow {
            return f64::INFINITY;
        }
    }
    1.05 * spread + rounding * 1.05
}

/// Does the result depend on whether numbers are equal that may be or not? The ends of their ranges do not show it.
fn may_meet(op: &Op, inputs: &[Element]) -> bool {
    let distance = match (op, inputs) {
        (Op::Binary(Binary::Eq | Binary::Ne), [x, y]) => x.value.to_f64() - y.value.to_f64(),
        (Op::Convert(convert), [x]) if convert.dtype == DType::Bool => x.value.to_f64(),
        _ => return false,
    };
    distance.abs() <= inputs.iter().map(|i| i.error).sum()
}

/// The operands at the ends of their ranges, in f64 if they are floats, and where they are in the middle.
fn corners(inputs: &[Element]) -> Vec<Vec<Scalar>> {
    let mut all = vec![vec![]];
    for input in inputs {
        let v = input.value;
        let choices = match v {
            Scalar::F32(_) | Scalar::F64(_) if input.error > 0.0 => {
                vec![
                    Scalar::F64(v.to_f64() - input.error),
                    Scalar::F64(v.to_f64()),
                    Scalar::F64(v.to_f64() + input.error),
                ]
            }
            Scalar::F32(_) | Scalar::F64(_) => vec![Scalar::F64(v.to_f64())],
            _ => vec![v],
        };
        all = all
            .into_iter()
            .flat_map(|c: Vec<Scalar>| choices.iter().map(move |&x| [&c[..], &[x]].concat()))
            .collect();
    }
    all
}

fn apply(op: &Op, inputs: &[Scalar], dtype: DType) -> Scalar {
    match op {
        Op::Unary(f) => f.apply(inputs[0]),
        Op::Binary(f) => f.apply(inputs[0], inputs[1]),
        Op::Convert(_) => inputs[0].convert(dtype),
        _ => unreachable!("a function of single elements"),
    }
}

fn apply_wide(op: &Op, inputs: &[f64]) -> f64 {
    let inputs: Vec<Scalar> = inputs.iter().map(|&x| Scalar::F64(x)).collect();
    apply(op, &inputs, DType::F64).to_f64()
}

/// Are there other results for a zero of the other sign, but for a zero of the other sign?
fn tells_zeros_apart(op: &Op, inputs: &[Element]) -> bool {
    let zero = |i: usize| inputs[i].value.to_f64() == 0.0;
    match op {
        Op::Unary(Unary::Rsqrt) => zero(0),
        Op::Binary(Binary::Div) => zero(1),
        Op::Binary(Binary::Atan2) => zero(0) && inputs[1].value.to_f64() <= 0.0,
        Op::Binary(Binary::Pow) => zero(0) && inputs[1].value.to_f64() < 0.0,
        _ => false,
    }
}

/// Is there a pole or jump within reach that the ends of the ranges need not show?
fn jumps(op: &Op, inputs: &[Element]) -> bool {
    let (x, e) = (inputs[0].value.to_f64(), inputs[0].error);
    let straddles = |i: usize| inputs[i].error > 0.0 && inputs[i].value.to_f64().abs() <= inputs[i].error;
    match op {
        Op::Unary(Unary::Tan) => {
            let turns = x / std::f64::consts::PI - 0.5;
            e > 1e-2 || (turns - turns.round()).abs() * 3.0 < e && e > 0.0
        }
        Op::Unary(Unary::Rsqrt | Unary::Log) => straddles(0),
        Op::Binary(Binary::Div) => straddles(1),
        Op::Binary(Binary::Atan2) => straddles(0) || straddles(1),
        // Of a negative base, the exponent must be an integer, and its parity counts.
        Op::Binary(Binary::Pow) => straddles(0) || straddles(1) && x == 0.0 || x < e && inputs[1].error > 0.0,
        Op::Binary(Binary::Rem) => {
            let (y, ye) = (inputs[1].value.to_f64(), inputs[1].error);
            let turns = |x: f64, y: f64| (x / y).trunc();
            let now = turns(x, y);
            straddles(0)
                || straddles(1)
                || [(x - e, y - ye), (x - e, y + ye), (x + e, y - ye), (x + e, y + ye)]
                    .iter()
                    .any(|&(x, y)| turns(x, y) != now)
                || (x / y).abs() > 1e6
        }
        _ => false,
    }
}

/// How many units in the last place an implementation may be from the evaluator.
fn units(op: &Op, dtype: DType, inputs: &[Element], exact: bool) -> f64 {
    let wide = dtype == DType::F64;
    match op {
        Op::Unary(Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round) => 0.0,
        // What is rounded right may still be rounded to neighbours.
        Op::Unary(Unary::Sqrt) | Op::Convert(_) if exact => 0.0,
        Op::Unary(Unary::Sqrt) | Op::Convert(_) => 1.0,
        // Within 2 units (4 in f64), of an evaluator that is itself within 1.
        Op::Unary(_) => {
            if wide {
                6.0
            } else {
                3.0
            }
        }
        Op::Binary(Binary::Add | Binary::Sub | Binary::Mul) => {
            // A product may be fused into a sum, and is then not rounded by itself.
            let v = apply_wide(op, &[inputs[0].value.to_f64(), inputs[1].value.to_f64()]);
            let is_exact = exact && !wide && f64::from(v as f32) == v;
            if is_exact { 0.0 } else { 1.0 }
        }
        Op::Binary(Binary::Div) => 1.0,
        Op::Binary(Binary::Rem | Binary::Min | Binary::Max) => 0.0,
        Op::Binary(_) => {
            if wide {
                6.0
            } else {
                5.0
            }
        }
        _ => 0.0,
    }
}
