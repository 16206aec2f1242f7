//! Accumulators: what loops combine, in lanes and across them, in the order of [`crate::translate`].

use bespoke_loops::{Acc, AccId, Combine, ExprId};
use bespoke_tensor::{DType, Scalar};
use iced_x86::Code::*;

use super::{
    kernel::{Builder, Value},
    registers::{Form, Item, Virtual},
    vector::{Lanes, is_double},
};
use crate::translate::function;

impl Builder<'_> {
    /// May the loop combine so many lanes at once as there are in a vector, though it asked for `width`?
    pub fn combines_alike(&self, accs: &[AccId], width: u8) -> bool {
        // Sums of floats depend on their order. So do greatest values, of which zero, and there are no masks of 256 bits.
        accs.iter().all(|acc| {
            let Acc { dtype, combine } = self.kernel.accs[acc.index()];
            let known = combine != Combine::Set && (dtype != DType::Bool || self.wide());
            known && (i64::from(width) == self.lanes() || !dtype.is_float())
        })
    }

    /// Registers of their own that hold these values.
    fn hold(&mut self, from: &[Virtual]) -> Lanes {
        let held: Lanes = from.iter().map(|&v| self.declare_like(v)).collect();
        held.iter().zip(from).for_each(|(&to, &from)| self.copy(to, from));
        held
    }

    /// Sets an accumulator.
    pub fn init(&mut self, acc: AccId, value: ExprId) -> Option<()> {
        let dtype = self.kernel.accs[acc.index()].dtype;
        let value = self.held(value)?;
        let from = self.spread(&value, dtype)?;
        let held = self.hold(&from);
        self.accs.insert(acc, (held, self.around.is_none()));
        Some(())
    }

    /// Combines a value into an accumulator.
    pub fn update(&mut self, acc: AccId, value: ExprId) -> Option<()> {
        let Acc { dtype, combine } = self.kernel.accs[acc.index()];
        let value = self.held(value)?;
        let value = self.spread(&value, dtype)?;
        let held = self.accs.get(&acc)?.0.clone();
        let Some(f) = function(combine) else {
            held.iter().zip(&value).for_each(|(&to, &from)| self.copy(to, from));
            return Some(());
        };
        let after = self.binary(f, dtype, &held, &value, false)?;
        // In place, if the last instruction made the result.
        if let ([to], [from]) = (&held[..], &after[..])
            && let Some(Item::Op(op)) = self.last()
            && op.to == Some(*from)
            && op.form == Form::Plain
        {
            op.to = Some(*to);
            return Some(());
        }
        held.iter().zip(&after).for_each(|(&to, &from)| self.copy(to, from));
        Some(())
    }

    /// Gives an accumulator lanes, at first the identity, and returns what it was held in.
    pub fn start_lanes(&mut self, acc: AccId) -> Option<Lanes> {
        let Acc { dtype, combine } = self.kernel.accs[acc.index()];
        let identity = self.spread(&Value::Literal(combine.identity(dtype)), dtype)?;
        let held = self.hold(&identity);
        self.accs.insert(acc, (held, false)).map(|before| before.0)
    }

    /// Combines the lanes of an accumulator into what it held before.
    pub fn finish_lanes(&mut self, acc: AccId, before: Lanes) -> Option<()> {
        let Acc { dtype, combine } = self.kernel.accs[acc.index()];
        let lanes = self.accs.get(&acc)?.0.clone();
        let total = if dtype == DType::Bool {
            self.join_bools(combine, lanes[0])?
        } else {
            self.join_lanes(combine, dtype, &lanes)?
        };
        let after = self.binary(function(combine)?, dtype, &before, &total, false)?;
        before.iter().zip(&after).for_each(|(&to, &from)| self.copy(to, from));
        self.accs.insert(acc, (before, true));
        Some(())
    }

    /// Any or all lanes of a mask.
    fn join_bools(&mut self, combine: Combine, mask: Virtual) -> Option<Lanes> {
        let bits = self.op(VEX_Kmovw_r32_kr, &[mask]);
        let (limit, code) = if combine == Combine::Any { (0, Setne_rm8) } else { (0xffff, Sete_rm8) };
        let limit = self.general(&Value::Literal(Scalar::I64(limit)), DType::I64)?.0;
        let total = self.formed(Form::Compare, code, &[bits, limit], None);
        let depth = self.depth();
        self.spread(&Value::General(total, depth), DType::Bool)
    }

    /// Halves with halves down to 128 bits, then lane by lane; the result is in all lanes.
    fn join_lanes(&mut self, combine: Combine, dtype: DType, lanes: &[Virtual]) -> Option<Lanes> {
        let f = function(combine)?;
        let mut total = lanes[0];
        let join = |b: &mut Self, x: Virtual, y: Virtual| Some(b.binary(f, dtype, &[x], &[y], false)?[0]);
        if let Some(&upper) = lanes.get(1) {
            total = join(self, total, upper)?;
        }
        if self.wide() {
            let upper = self.op_number(EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8, &[total], 1);
            total = join(self, total, upper)?;
        }
        let quarter = self.pick(EVEX_Vextractf32x4_xmmm128_k1z_zmm_imm8, VEX_Vextractf128_xmmm128_ymm_imm8);
        let upper = self.op_number(quarter, &[total], 1);
        let four = join(self, total, upper)?;
        let shuffle = self.pick(EVEX_Vpshufd_zmm_k1z_zmmm512b32_imm8, VEX_Vpshufd_ymm_ymmm256_imm8);
        let others: &[i64] = if is_double(dtype) { &[0xee] } else { &[0x55, 0xaa, 0xff] };
        total = four;
        for &which in others {
            let next = self.op_number(shuffle, &[four], which);
            total = join(self, total, next)?;
        }
        let spread = match (is_double(dtype), self.wide()) {
            (false, true) => EVEX_Vbroadcastss_zmm_k1z_xmmm32,
            (true, true) => EVEX_Vbroadcastsd_zmm_k1z_xmmm64,
            (false, false) => VEX_Vbroadcastss_ymm_xmm,
            (true, false) => VEX_Vbroadcastsd_ymm_xmm,
        };
        let total = self.op(spread, &[total]);
        Some(vec![total; lanes.len()])
    }
}
