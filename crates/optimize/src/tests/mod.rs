//! Tests of the whole crate.

mod decisions;
mod extraction;
mod loops;
mod normalisation;
mod penalty;
mod products;
mod random;
mod regions;
mod rules;
mod saturation;
mod why;

use std::collections::BTreeMap;

use bespoke_graph::{Graph, Values, eval};
use bespoke_tensor::{DType, Scalar, Tensor};

/// A generator of numbers (xorshift64*, Vigna 2016).
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.word() >> 33) as usize % n
    }

    /// Within ±2, away from 0.
    pub fn float(&mut self) -> f64 {
        let magnitude = 0.1 + 1.9 * (self.word() >> 11) as f64 / (1u64 << 53) as f64;
        if self.below(2) == 0 { magnitude } else { -magnitude }
    }
}

/// Random values for inputs and states; positive where the name says so, infinities, NaN and zeros if `special`.
pub fn sources(graph: &Graph, random: &mut Random, special: bool) -> BTreeMap<String, Tensor> {
    let states = graph.states().iter().map(|s| (s.name.clone(), s.node));
    let inputs = graph.inputs().map(|i| (i.0.to_owned(), i.1));
    let mut values = BTreeMap::new();
    for (name, id) in inputs.chain(states) {
        let ty = graph.ty(id);
        let value = Tensor::from_fn(ty, |_| match ty.dtype {
            DType::F32 | DType::F64 => {
                let v = random.float();
                let odd = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0];
                let v = if special && random.below(2) == 0 { odd[random.below(6)] } else { v };
                Scalar::F64(if name.starts_with("positive") { v.abs() } else { v })
            }
            DType::Bool => Scalar::Bool(random.below(2) == 0),
            _ => Scalar::I64(random.below(7) as i64 - 1),
        });
        values.insert(name, value);
    }
    values
}

pub fn run(graph: &Graph, values: &BTreeMap<String, Tensor>) -> Values {
    eval(graph, &|name| values.get(name).cloned()).expect("all sources have values")
}

/// The first difference beyond `tolerance`, relative to the larger value but at least 1.
pub fn difference(a: &Tensor, b: &Tensor, tolerance: f64) -> Option<String> {
    if a.ty() != b.ty() {
        return Some(format!("{} and {}", a.ty(), b.ty()));
    }
    a.scalars().zip(b.scalars()).enumerate().find_map(|(i, (x, y))| {
        let (u, v) = (x.to_f64(), y.to_f64());
        let equal = x == y
            || u.is_nan() && v.is_nan()
            || tolerance > 0.0 && (u == v || (u - v).abs() <= tolerance * u.abs().max(v.abs()).max(1.0));
        (!equal).then(|| format!("element {i}: {x} and {y}"))
    })
}
