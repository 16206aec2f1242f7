//! `random_bits`: counter-based random words.

use bespoke_loops::{BinaryFn, ExprId, Exprs};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use super::{Define, Operator, operands};
use crate::{Graph, NodeId, attributes::Reader, philox};

/// Uniformly random words, a pure function of a key and a counter: element i is word i mod 4 of
/// [`philox::block`]`([i / 4 (low word), i / 4 (high word), counter₀, counter₁], [key₀, key₁])`.
///
/// Inputs: `key`: `u32[2]`, the seed; `counter`: `u32[2]`, another one for each draw.
/// Constraints: the result is of u32.
///
/// Example: `%2 = random_bits %0, %1 : u32[128,256]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RandomBits {
    /// The result's shape.
    pub shape: Shape,
}

impl RandomBits {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["random_bits"]
    }

    pub(super) fn read(name: &str, _: &mut Reader, ty: Type) -> Option<Result<RandomBits, String>> {
        (name == "random_bits").then_some(Ok(RandomBits { shape: ty.shape }))
    }
}

impl Operator for RandomBits {
    fn name(&self) -> &'static str {
        "random_bits"
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let pair = Type::new(DType::U32, [2]);
        for (what, ty) in ["key", "counter"].iter().zip(operands::<2>(inputs)?) {
            if ty != pair {
                return Err(format!("expected a {what} of {pair}, got {ty}"));
            }
        }
        Ok(Type::new(DType::U32, self.shape))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let word = |operand: usize, i: usize| inputs[operand].get(i).bits() as u32;
        Tensor::from_fn(ty, |i| {
            let n = i as u64 / 4;
            let counter = [n as u32, (n >> 32) as u32, word(1, 0), word(1, 1)];
            Scalar::U32(philox::block(counter, [word(0, 0), word(0, 1)])[i % 4])
        })
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![None, None]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let at = [0, 1].map(|i| definer.exprs().index_const(i));
        let mut key = [definer.operand(0, &at[..1]), definer.operand(0, &at[1..])];
        let (c2, c3) = (definer.operand(1, &at[..1]), definer.operand(1, &at[1..]));
        let e = definer.exprs();
        let i = e.flatten(&self.shape, index);
        let (n, lane) = (e.index_div(i, 4), e.index_rem(i, 4));
        let c0 = e.convert(DType::U32, n);
        // More than 2³⁴ elements do not fit into memory, so that the upper word of the block number is zero.
        let c1 = e.literal(0u32);
        let mut c = [c0, c1, c2, c3];
        for round in 0..philox::ROUNDS {
            if round > 0 {
                key = [0, 1].map(|k| {
                    let weyl = e.literal(philox::WEYL[k]);
                    e.binary(BinaryFn::Add, key[k], weyl)
                });
            }
            let (even_high, even_low) = multiply(e, philox::MULTIPLIERS[0], c[0]);
            let (odd_high, odd_low) = multiply(e, philox::MULTIPLIERS[1], c[2]);
            c = [xor(e, odd_high, c[1], key[0]), odd_low, xor(e, even_high, c[3], key[1]), even_low];
        }
        let lane = e.convert(DType::U32, lane);
        let mut word = c[3];
        for (k, &candidate) in c[..3].iter().enumerate() {
            let k = e.literal(k as u32);
            let is_lane = e.binary(BinaryFn::Eq, lane, k);
            word = e.select(is_lane, candidate, word);
        }
        word
    }
}

fn multiply(e: &mut Exprs, multiplier: u32, word: ExprId) -> (ExprId, ExprId) {
    let multiplier = e.literal(multiplier);
    (e.binary(BinaryFn::MulHigh, word, multiplier), e.binary(BinaryFn::Mul, word, multiplier))
}

fn xor(e: &mut Exprs, a: ExprId, b: ExprId, c: ExprId) -> ExprId {
    let ab = e.binary(BinaryFn::Xor, a, b);
    e.binary(BinaryFn::Xor, ab, c)
}
