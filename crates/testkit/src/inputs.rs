//! Random values.

use std::collections::BTreeMap;

use bespoke_graph::{Graph, NodeId, index_inputs};
use bespoke_tensor::{DType, Scalar, Tensor};

use crate::Rng;

/// A value for each input and state, a function of seed, name and type. With `spice`, some are NaN, infinite, a negative
/// zero, denormal or extreme. Inputs that are used as indices lie within bounds.
pub fn random_inputs(graph: &Graph, seed: u64, spice: bool) -> BTreeMap<String, Tensor> {
    let indices = index_inputs(graph);
    let bound = |name: &str| indices.iter().filter(|i| i.input == name).map(|i| i.extent).min();
    let sources = graph.inputs().map(|(name, id)| (name.to_owned(), id));
    let states = graph.states().iter().map(|s| (s.name.clone(), s.node));
    let value = |(name, id): (String, NodeId)| {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut rng = Rng::new(seed ^ hash);
        let ty = graph.ty(id);
        let spicy = spice && rng.chance(0.6);
        let bound = bound(&name);
        let tensor = Tensor::from_fn(ty, |_| match bound {
            Some(bound) => Scalar::I64(rng.below(bound) as i64),
            None => element(&mut rng, ty.dtype, spicy),
        });
        (name, tensor)
    };
    sources.chain(states).map(value).collect()
}

/// A random element.
pub(crate) fn element(rng: &mut Rng, dtype: DType, spicy: bool) -> Scalar {
    if spicy && dtype.is_float() && rng.chance(0.1) {
        let least = if dtype == DType::F32 { f64::from(f32::from_bits(3)) } else { f64::from_bits(3) };
        let most = if dtype == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
        let special =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, least, -least, most, -most, 1e20, 1e-20];
        return Scalar::F64(*rng.pick(&special));
    }
    if spicy && dtype.is_int() && rng.chance(0.1) {
        let special =
            [i64::MIN, i64::MAX, i64::from(i32::MIN), i64::from(i32::MAX), -1, 255, i64::from(u32::MAX)];
        return Scalar::I64(*rng.pick(&special));
    }
    match dtype {
        DType::Bool => Scalar::Bool(rng.chance(0.5)),
        DType::I32 | DType::I64 => Scalar::I64(rng.below(23) as i64 - 8),
        DType::U8 | DType::U32 => Scalar::I64(rng.below(19) as i64),
        // Half of them are small integers and halves, on which ties and jumps happen.
        _ if rng.chance(0.3) => Scalar::F64(rng.below(13) as f64 * 0.5 - 3.0),
        _ => Scalar::F64(rng.unit() * 4.0 - 2.0),
    }
}
