//! Expressions, indices and memory.

use bespoke_loops::{BinaryFn, Expr, ExprId, Store};
use bespoke_tensor::{DType, Scalar};
use iced_x86::Code::*;

use super::{
    kernel::{Builder, Made, Value},
    registers::{Form, Memory, Tail, Virtual},
    vector::{Lanes, is_double},
};
use crate::scalar;

/// A general value, the depth at which it was made, and its factor.
type Term = ((Virtual, usize), i64);

impl Builder<'_> {
    /// Evaluates expressions, operands before users.
    pub fn evaluate(&mut self, list: &[ExprId]) -> Option<()> {
        for &e in list {
            let value = self.compute(e)?;
            self.values.insert(e, value);
        }
        Some(())
    }

    /// The value of an expression that was evaluated, or is computed on the spot.
    pub fn held(&mut self, e: ExprId) -> Option<Value> {
        if let Some(value) = self.values.get(&e) {
            return Some(value.clone());
        }
        match self.kernel.exprs.get(e) {
            Expr::Literal(value) => Some(Value::Literal(*value)),
            Expr::Acc(acc) => {
                let (lanes, alike) = self.accs.get(acc)?.clone();
                Some(Value::Lanes(lanes, alike))
            }
            _ if self.varies(e) => Some(Value::Lanes(self.index_lanes(e)?, false)),
            _ => {
                let (v, depth) = self.index(e)?;
                Some(Value::General(v, depth))
            }
        }
    }

    /// Is the index different from lane to lane?
    fn varies(&self, e: ExprId) -> bool {
        self.around.is_some_and(|l| self.kernel.exprs.depends_on_var(e, l.var)) || self.has_vector_atom(e)
    }

    /// Has it a part, other than loop variables, that is?
    fn has_vector_atom(&self, e: ExprId) -> bool {
        self.kernel.exprs.affine(e).terms.iter().any(|&(atom, _)| match self.kernel.exprs.get(atom) {
            Expr::Acc(acc) => self.accs.get(acc).is_none_or(|a| !a.1),
            _ => matches!(self.values.get(&atom), Some(Value::Lanes(_, false))),
        })
    }

    fn number(&mut self, n: i64) -> Option<(Virtual, usize)> {
        let (made, depth) =
            self.once(Made::Number(n), 0, |b| Some(vec![b.op_number(Mov_r64_imm64, &[], n)]))?;
        Some((made[0], depth))
    }

    /// `prefix + v · c`, as far out as both are known.
    fn sum(
        &mut self,
        prefix: Option<(Virtual, usize)>,
        (v, depth): (Virtual, usize),
        c: i64,
    ) -> Option<(Virtual, usize)> {
        let c32 = i32::try_from(c).ok()?;
        if prefix.is_none() && c == 1 {
            return Some((v, depth));
        }
        let depth = depth.max(prefix.map_or(0, |p| p.1));
        let (made, depth) = self.once(Made::Sum(prefix.map(|p| p.0), v, c), depth, |b| {
            let product = if c == 1 { v } else { b.op_number(Imul_r64_rm64_imm32, &[v], c32.into()) };
            Some(vec![match prefix {
                None => product,
                Some(p) => b.formed(Form::Tied, Add_r64_rm64, &[p.0, product], None),
            }])
        })?;
        Some((made[0], depth))
    }

    /// The terms of an index in the first lane with their factors, those that change least often first, and its constant.
    fn terms(&mut self, e: ExprId) -> Option<(Vec<Term>, i64)> {
        let affine = self.kernel.exprs.affine(e);
        let mut terms = vec![];
        for (atom, c) in affine.terms {
            let term = match self.kernel.exprs.get(atom) {
                Expr::Var(var) => *self.vars.get(var)?,
                _ => {
                    let value = self.held(atom)?;
                    self.general(&value, DType::I64)?
                }
            };
            terms.push((term, c));
        }
        terms.sort_by_key(|t| (t.0.1, t.0.0));
        Some((terms, affine.constant))
    }

    /// An index in the first lane.
    fn index(&mut self, e: ExprId) -> Option<(Virtual, usize)> {
        if !matches!(self.kernel.exprs.get(e), Expr::Var(_) | Expr::Affine(_) | Expr::Literal(_)) {
            let value = self.held(e)?;
            return self.general(&value, DType::I64);
        }
        let (terms, constant) = self.terms(e)?;
        let mut sum = None;
        for (term, c) in terms {
            sum = Some(self.sum(sum, term, c)?);
        }
        match sum {
            None => self.number(constant),
            Some(sum) if constant == 0 => Some(sum),
            Some(sum) => {
                let constant = self.number(constant)?;
                self.sum(Some(sum), constant, 1)
            }
        }
    }

    /// Where an element lies, in the first lane.
    fn address(&mut self, buffer: usize, e: ExprId) -> Option<Memory> {
        let size = self.kernel.buffers[buffer].dtype.size() as i64;
        let (base, depth) = self.once(Made::Buffer(buffer), 0, |b| Some(vec![b.buffer(buffer)]))?;
        let (mut terms, constant) = self.terms(e)?;
        let displacement = i32::try_from(constant.checked_mul(size)?).ok()?;
        let last = terms.pop();
        let mut base = (base[0], depth);
        for (term, c) in terms {
            base = self.sum(Some(base), term, c.checked_mul(size)?)?;
        }
        let index = match last {
            None => None,
            Some((term, c)) => match c.checked_mul(size)? {
                scale @ (1 | 2 | 4 | 8) => Some((term.0, scale as u32)),
                c => Some((self.sum(None, term, c)?.0, 1)),
            },
        };
        Some(Memory { base: base.0, index, displacement })
    }

    /// An index that grows by a constant from lane to lane.
    fn step(&self, e: ExprId) -> Option<i64> {
        let around = self.around?;
        self.kernel.exprs.stride(e, around.var).filter(|_| !self.has_vector_atom(e))
    }

    /// Multiples of a step, in a vector of lanes of this type from lane `first` on.
    fn steps(&mut self, dtype: DType, step: i64, first: i64) -> Virtual {
        let count = if is_double(dtype) { self.lanes() / 2 } else { self.lanes() };
        let size = if is_double(dtype) { 8 } else { 4 };
        let lane = |i: i64| step.wrapping_mul(first + i).to_le_bytes()[..size].to_vec();
        self.constant((0..count).flat_map(lane).collect())
    }

    fn index_lanes(&mut self, e: ExprId) -> Option<Lanes> {
        let step = self.step(e)?;
        let first = self.index(e)?;
        let first = self.spread_general(first, DType::I64)?;
        let half = self.lanes() / 2;
        let steps = [self.steps(DType::I64, step, 0), self.steps(DType::I64, step, half)];
        self.binary(BinaryFn::Add, DType::I64, &first, &steps, true)
    }

    /// An index that grows by a constant from lane to lane, as another type: counted in 32 bits, where that gives the same.
    fn count_up(&mut self, to: DType, index: ExprId) -> Option<Lanes> {
        let range = self.kernel.exprs.range(index);
        let small =
            range.is_some_and(|(low, high)| low >= i64::from(i32::MIN) && high <= i64::from(i32::MAX));
        let step = self.step(index)?;
        let fits = match to {
            DType::I32 | DType::U32 | DType::U8 => true,
            DType::F32 | DType::F64 => small,
            DType::I64 | DType::Bool => false,
        };
        if !fits {
            return None;
        }
        let first = self.index(index)?;
        let first = self.spread_general(first, DType::I32)?;
        let steps = self.steps(DType::I32, step, 0);
        let counted = self.binary(BinaryFn::Add, DType::I32, &first, &[steps], true)?;
        if matches!(to, DType::I32 | DType::U32) {
            Some(counted)
        } else {
            self.convert(DType::I32, to, &counted)
        }
    }

    /// The low bits of a general value in all lanes.
    fn spread_general(&mut self, (v, depth): (Virtual, usize), dtype: DType) -> Option<Lanes> {
        let made = self.once(Made::Spread(v, dtype), depth, |b| {
            if dtype == DType::Bool {
                let ones = b.formed(Form::Tied, Neg_rm64, &[v], None);
                return match b.wide() {
                    true => Some(vec![b.op(VEX_Kmovw_kr_r32, &[ones])]),
                    false => {
                        let one = b.op(VEX_Vmovd_xmm_rm32, &[ones]);
                        Some(vec![b.op(VEX_Vpbroadcastd_ymm_xmmm32, &[one])])
                    }
                };
            }
            let double = is_double(dtype);
            let lanes = match (b.wide(), double) {
                (true, true) => b.op(EVEX_Vpbroadcastq_zmm_k1z_r64, &[v]),
                (true, false) => b.op(EVEX_Vpbroadcastd_zmm_k1z_r32, &[v]),
                (false, true) => {
                    let one = b.op(VEX_Vmovq_xmm_rm64, &[v]);
                    b.op(VEX_Vpbroadcastq_ymm_xmmm64, &[one])
                }
                (false, false) => {
                    let one = b.op(VEX_Vmovd_xmm_rm32, &[v]);
                    b.op(VEX_Vpbroadcastd_ymm_xmmm32, &[one])
                }
            };
            Some(vec![lanes; if double { 2 } else { 1 }])
        })?;
        Some(made.0)
    }

    /// The value of each lane.
    pub fn spread(&mut self, value: &Value, dtype: DType) -> Option<Lanes> {
        match value {
            Value::Lanes(lanes, _) => Some(lanes.clone()),
            Value::General(v, depth) => self.spread_general((*v, *depth), dtype),
            Value::Literal(Scalar::Bool(_)) => {
                let general = self.general(value, dtype)?;
                self.spread_general(general, dtype)
            }
            Value::Literal(s) => {
                let double = is_double(dtype);
                let bits = s.bits().to_le_bytes();
                let lanes = self.constant(bits[..if double { 8 } else { 4 }].to_vec());
                Some(vec![lanes; if double { 2 } else { 1 }])
            }
        }
    }

    /// An i64 or a bool that is the same in all lanes.
    pub fn general(&mut self, value: &Value, dtype: DType) -> Option<(Virtual, usize)> {
        match value {
            Value::General(v, depth) => Some((*v, *depth)),
            Value::Literal(s) => self.number(s.bits() as i64),
            Value::Lanes(lanes, true) => {
                let depth = self.depth();
                let low = self.pick(EVEX_Vmovd_rm32_xmm, VEX_Vmovd_rm32_xmm);
                let all = self.pick(EVEX_Vmovq_rm64_xmm, VEX_Vmovq_rm64_xmm);
                let v = match dtype {
                    DType::I64 => self.op(all, &[lanes[0]]),
                    DType::Bool => {
                        let mask = if self.wide() {
                            self.op(VEX_Kmovw_r32_kr, &[lanes[0]])
                        } else {
                            self.op(low, &[lanes[0]])
                        };
                        self.formed(Form::Tied, And_rm64_imm32, &[mask], Some(1))
                    }
                    _ => self.op(low, &[lanes[0]]),
                };
                Some((v, depth))
            }
            Value::Lanes(_, false) => None,
        }
    }

    fn compute(&mut self, e: ExprId) -> Option<Value> {
        let exprs = &self.kernel.exprs;
        let dtype = exprs.dtype(e);
        let expr = exprs.get(e).clone();
        match expr {
            Expr::Load { buffer, index } => return self.load(buffer.index(), index),
            Expr::Literal(s) => return Some(Value::Literal(s)),
            Expr::Call(..) => return None,
            Expr::Convert(to, index)
                if exprs.dtype(index) == DType::I64 && self.step(index).is_some_and(|s| s != 0) =>
            {
                return Some(Value::Lanes(self.count_up(to, index)?, false));
            }
            _ => {}
        }
        let mut operands = vec![];
        exprs.get(e).operands(|o| operands.push(o));
        let types: Vec<DType> = operands.iter().map(|&o| exprs.dtype(o)).collect();
        let held: Vec<Value> = operands.iter().map(|&o| self.held(o)).collect::<Option<_>>()?;
        let general = held.iter().all(|h| !matches!(h, Value::Lanes(..)))
            && matches!(types[0], DType::I64 | DType::Bool);
        let becomes_index =
            matches!((&expr, &held[0]), (Expr::Convert(DType::I64, _), Value::Lanes(_, true)));
        if (general || becomes_index)
            && let Some((v, depth)) = self.scalar(&expr, dtype, &types, &held)
        {
            return Some(Value::General(v, depth));
        }
        let alike = held.iter().all(|h| !matches!(h, Value::Lanes(_, false)));
        let number = |h: &Value| matches!(h, Value::Literal(v) if !v.to_f64().is_nan());
        if let Expr::Binary(f @ (BinaryFn::Shl | BinaryFn::Shr), ..) = expr
            && let Value::Literal(by) = held[1]
        {
            let x = self.spread(&held[0], dtype)?;
            return Some(Value::Lanes(self.shift_by(f, dtype, &x, by.bits())?, alike));
        }
        // An i64 that is the same in all lanes: its low half will do.
        if let (Expr::Convert(to, _), DType::I64, Value::General(v, depth)) = (&expr, types[0], &held[0]) {
            let range = self.kernel.exprs.range(operands[0]);
            let small =
                range.is_some_and(|(low, high)| low >= i64::from(i32::MIN) && high <= i64::from(i32::MAX));
            if !small && !matches!(to, DType::I32 | DType::U32 | DType::U8) || *to == DType::Bool {
                return None;
            }
            let words = self.spread_general((*v, *depth), DType::I32)?;
            if matches!(to, DType::I32 | DType::U32) {
                return Some(Value::Lanes(words, true));
            }
            return Some(Value::Lanes(self.convert(DType::I32, *to, &words)?, true));
        }
        let x: Vec<Lanes> =
            held.iter().zip(&types).map(|(h, &d)| self.spread(h, d)).collect::<Option<_>>()?;
        let lanes = match expr {
            Expr::Unary(f, _) => self.unary(f, dtype, &x[0])?,
            Expr::Binary(f @ (BinaryFn::Shl | BinaryFn::Shr), ..) => self.shift(f, dtype, &x[0], &x[1])?,
            Expr::Binary(f, ..) => self.binary(f, types[0], &x[0], &x[1], number(&held[1]))?,
            Expr::MulAdd(..) => self.mul_add(dtype, &x[0], &x[1], &x[2])?,
            Expr::Select(..) => self.select(dtype, x[0][0], &x[1], &x[2]),
            Expr::Convert(to, _) => self.convert(types[0], to, &x[0])?,
            Expr::Bitcast(..) => x[0].clone(),
            _ => return None,
        };
        Some(Value::Lanes(lanes, alike))
    }

    /// An i64, or a bool made of such, that is the same in all lanes; `None` where general registers have no instruction.
    fn scalar(
        &mut self,
        expr: &Expr,
        dtype: DType,
        types: &[DType],
        held: &[Value],
    ) -> Option<(Virtual, usize)> {
        let depth = self.depth();
        if let Expr::Convert(DType::I64, _) = expr {
            let (v, _) = match types[0] {
                DType::I32 | DType::U32 | DType::U8 => self.general(&held[0], types[0])?,
                DType::Bool if matches!(held[0], Value::General(..)) => {
                    return self.general(&held[0], types[0]);
                }
                _ => return None,
            };
            // The upper half is zero.
            let v = if types[0] == DType::I32 { self.op(Movsxd_r64_rm32, &[v]) } else { v };
            return Some((v, depth));
        }
        let x: Vec<Virtual> =
            held.iter().zip(types).map(|(h, &d)| Some(self.general(h, d)?.0)).collect::<Option<_>>()?;
        let v = match expr {
            Expr::Binary(f, ..) if f.is_comparison() && types[0] == DType::I64 => {
                let code = match f {
                    BinaryFn::Eq => Sete_rm8,
                    BinaryFn::Ne => Setne_rm8,
                    BinaryFn::Lt => Setl_rm8,
                    BinaryFn::Le => Setle_rm8,
                    BinaryFn::Gt => Setg_rm8,
                    _ => Setge_rm8,
                };
                self.formed(Form::Compare, code, &x, None)
            }
            Expr::Binary(f @ (BinaryFn::And | BinaryFn::Or | BinaryFn::Xor), ..) => {
                let code = match f {
                    BinaryFn::And => And_r64_rm64,
                    BinaryFn::Or => Or_r64_rm64,
                    _ => Xor_r64_rm64,
                };
                self.formed(Form::Tied, code, &x, None)
            }
            Expr::Binary(f @ (BinaryFn::Min | BinaryFn::Max), ..) if dtype == DType::I64 => {
                let code = if *f == BinaryFn::Min { Setl_rm8 } else { Setg_rm8 };
                let first = self.formed(Form::Compare, code, &x, None);
                self.formed(Form::Choose, INVALID, &[first, x[0], x[1]], None)
            }
            Expr::Binary(f @ (BinaryFn::Div | BinaryFn::Rem), a, b)
                if dtype == DType::I64 && scalar::index_divides(&self.kernel.exprs, *a, *b) =>
            {
                let Expr::Literal(Scalar::I64(c)) = self.kernel.exprs.get(*b) else { return None };
                let quotient = *f == BinaryFn::Div;
                if c.count_ones() == 1 && *c < i64::from(i32::MAX) {
                    let (code, by) = if quotient {
                        (Shr_rm64_imm8, i64::from(c.trailing_zeros()))
                    } else {
                        (And_rm64_imm32, c - 1)
                    };
                    self.formed(Form::Tied, code, &x[..1], Some(by))
                } else {
                    let form = if quotient { Form::Quotient } else { Form::Remainder };
                    self.formed(form, INVALID, &x[..1], Some(*c))
                }
            }
            Expr::Select(..) if dtype == DType::I64 || dtype == DType::Bool => {
                self.formed(Form::Choose, INVALID, &x, None)
            }
            Expr::Unary(bespoke_loops::UnaryFn::Not, _) if dtype == DType::Bool => {
                self.formed(Form::Tied, Xor_rm64_imm32, &x, Some(1))
            }
            _ => return None,
        };
        Some((v, depth))
    }

    fn load(&mut self, buffer: usize, index: ExprId) -> Option<Value> {
        let dtype = self.kernel.buffers[buffer].dtype;
        if self.varies(index) {
            if self.step(index)? != 1 {
                return None;
            }
            let at = self.address(buffer, index)?;
            return Some(Value::Lanes(self.load_lanes(dtype, at)?, false));
        }
        let at = self.address(buffer, index)?;
        let depth = self.depth();
        Some(match dtype {
            DType::F32 | DType::I32 | DType::U32 => {
                let code = self.pick(EVEX_Vbroadcastss_zmm_k1z_xmmm32, VEX_Vbroadcastss_ymm_m32);
                Value::Lanes(vec![self.load_op(code, at, Tail::Whole)], true)
            }
            DType::F64 => {
                let code = self.pick(EVEX_Vbroadcastsd_zmm_k1z_xmmm64, VEX_Vbroadcastsd_ymm_m64);
                Value::Lanes(vec![self.load_op(code, at, Tail::Whole); 2], true)
            }
            DType::I64 => Value::General(self.load_op(Mov_r64_rm64, at, Tail::Whole), depth),
            DType::Bool => Value::General(self.load_op(Movzx_r32_rm8, at, Tail::Whole), depth),
            DType::U8 => {
                let byte = self.load_op(Movzx_r32_rm8, at, Tail::Whole);
                Value::Lanes(self.spread_general((byte, depth), DType::U8)?, true)
            }
        })
    }

    /// May lanes of bytes be loaded and stored here? There are no masks for them but with AVX-512.
    fn bytes_fit(&self) -> Option<()> {
        (self.wide() || self.around.is_some_and(|a| a.exact)).then_some(())
    }

    fn load_lanes(&mut self, dtype: DType, at: Memory) -> Option<Lanes> {
        let whole = self.pick(EVEX_Vmovups_zmm_k1z_zmmm512, VEX_Vmovups_ymm_ymmm256);
        Some(match dtype {
            DType::F32 | DType::I32 | DType::U32 => vec![self.load_op(whole, at, Tail::Words)],
            DType::F64 | DType::I64 => {
                let code = self.pick(EVEX_Vmovupd_zmm_k1z_zmmm512, VEX_Vmovups_ymm_ymmm256);
                let upper = self.upper(at)?;
                vec![self.load_op(code, at, Tail::Lower), self.load_op(code, upper, Tail::Upper)]
            }
            DType::U8 | DType::Bool => {
                self.bytes_fit()?;
                let code = self.pick(EVEX_Vpmovzxbd_zmm_k1z_xmmm128, VEX_Vpmovzxbd_ymm_xmmm64);
                let bytes = self.load_op(code, at, Tail::Words);
                match (dtype, self.wide()) {
                    (DType::U8, _) => vec![bytes],
                    (_, true) => self.convert(DType::U8, DType::Bool, &[bytes])?,
                    (_, false) => self.unary(bespoke_loops::UnaryFn::Neg, DType::I32, &[bytes])?,
                }
            }
        })
    }

    fn upper(&self, at: Memory) -> Option<Memory> {
        let displacement = at.displacement.checked_add(self.lanes() as i32 * 4)?;
        Some(Memory { displacement, ..at })
    }

    /// Stores what is held as `value`.
    pub fn store(&mut self, store: &Store, value: Value) -> Option<()> {
        let buffer = store.buffer.index();
        let dtype = self.kernel.buffers[buffer].dtype;
        if self.around.is_none() {
            let at = self.address(buffer, store.index)?;
            return self.store_one(dtype, at, &value);
        }
        if self.step(store.index)? != 1 {
            return None;
        }
        let lanes = self.spread(&value, dtype)?;
        let at = self.address(buffer, store.index)?;
        let whole = self.pick(EVEX_Vmovups_zmmm512_k1z_zmm, VEX_Vmovups_ymmm256_ymm);
        match dtype {
            DType::F32 | DType::I32 | DType::U32 => self.store_op(whole, at, lanes[0], Tail::Words),
            DType::F64 | DType::I64 => {
                let code = self.pick(EVEX_Vmovupd_zmmm512_k1z_zmm, VEX_Vmovups_ymmm256_ymm);
                let upper = self.upper(at)?;
                self.store_op(code, at, lanes[0], Tail::Lower);
                self.store_op(code, upper, lanes[1], Tail::Upper);
            }
            DType::U8 | DType::Bool => {
                self.bytes_fit()?;
                let words = match dtype {
                    DType::Bool => self.convert(DType::Bool, DType::I32, &lanes)?[0],
                    _ => lanes[0],
                };
                if self.wide() {
                    self.store_op(EVEX_Vpmovdb_xmmm128_k1z_zmm, at, words, Tail::Words);
                } else {
                    let upper = self.op_number(VEX_Vextracti128_xmmm128_ymm_imm8, &[words], 1);
                    let words = self.op(VEX_Vpackusdw_xmm_xmm_xmmm128, &[words, upper]);
                    let bytes = self.op(VEX_Vpackuswb_xmm_xmm_xmmm128, &[words, words]);
                    self.store_op(VEX_Vmovq_xmmm64_xmm, at, bytes, Tail::Whole);
                }
            }
        }
        Some(())
    }

    /// Stores one element outside of vector loops.
    fn store_one(&mut self, dtype: DType, at: Memory, value: &Value) -> Option<()> {
        let (code, from) = match dtype {
            DType::I64 => (Mov_rm64_r64, self.general(value, dtype)?.0),
            DType::Bool | DType::U8 => {
                let value = match value {
                    Value::Literal(_) | Value::General(..) => value.clone(),
                    Value::Lanes(lanes, _) => Value::Lanes(lanes.clone(), true),
                };
                (Mov_rm8_r8, self.general(&value, dtype)?.0)
            }
            DType::F64 => {
                (self.pick(EVEX_Vmovsd_m64_k1_xmm, VEX_Vmovsd_m64_xmm), self.spread(value, dtype)?[0])
            }
            _ => (self.pick(EVEX_Vmovss_m32_k1_xmm, VEX_Vmovss_m32_xmm), self.spread(value, dtype)?[0]),
        };
        self.store_op(code, at, from, Tail::Whole);
        Some(())
    }

    fn buffer(&mut self, buffer: usize) -> Virtual {
        self.formed(Form::Argument, Mov_r64_rm64, &[], Some(buffer as i64))
    }
}
