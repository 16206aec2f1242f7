//! Expressions: for all lanes at once where there are instructions for that, lane by lane otherwise.

use bespoke_loops::{AccId, BinaryFn, Expr, ExprId, FunctionCode};
use bespoke_tensor::{DType, Scalar};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};

use super::{Held, Lanes, Translator};
use crate::{
    scalar,
    vector::{self, Chunks},
};

impl Translator<'_, '_, '_, '_> {
    /// Evaluates expressions, operands before users.
    pub(super) fn evaluate(&mut self, list: &[ExprId]) {
        for &e in list {
            let value = self.compute(e);
            self.values.insert(e, value);
        }
    }

    /// The value of an expression that was evaluated, or is computed on the spot.
    pub(super) fn held(&mut self, e: ExprId) -> Held {
        if let Some(held) = self.values.get(&e) {
            return held.clone();
        }
        match self.kernel.exprs.get(e) {
            Expr::Acc(acc) => {
                let values: Chunks = self.accs[acc].0.clone().iter().map(|&v| self.b.use_var(v)).collect();
                match self.lanes {
                    Some(_) if self.is_vector(*acc) => Held::Vector(values),
                    _ => Held::Scalar(values[0]),
                }
            }
            Expr::Literal(value) => Held::Scalar(scalar::literal(self.b, *value)),
            _ => match self.lanes {
                Some(lanes) if self.kernel.exprs.depends_on_var(e, lanes.var) || self.has_vector_atom(e) => {
                    Held::Vector((0..lanes.count).map(|lane| self.index(e, lane)).collect())
                }
                _ => Held::Scalar(self.index(e, 0)),
            },
        }
    }

    /// Has the index a part, other than loop variables, that differs between lanes?
    pub(super) fn has_vector_atom(&self, e: ExprId) -> bool {
        self.kernel.exprs.affine(e).terms.iter().any(|&(atom, _)| match self.kernel.exprs.get(atom) {
            Expr::Acc(acc) => self.is_vector(*acc),
            _ => matches!(self.values.get(&atom), Some(Held::Vector(_))),
        })
    }

    /// Does the accumulator hold a value a lane?
    fn is_vector(&self, acc: AccId) -> bool {
        let (variables, ty) = &self.accs[&acc];
        variables.len() > 1 || ty.is_vector()
    }

    /// An index in one lane.
    pub(super) fn index(&mut self, e: ExprId, lane: usize) -> Value {
        let affine = self.kernel.exprs.affine(e);
        let mut sum = None;
        let mut constant = affine.constant;
        for (atom, coefficient) in affine.terms {
            let value = match self.kernel.exprs.get(atom) {
                Expr::Var(var) => {
                    if lane > 0 && self.lanes.is_some_and(|l| l.var == *var) {
                        constant = constant.wrapping_add(coefficient.wrapping_mul(lane as i64));
                    }
                    self.vars[var]
                }
                _ => {
                    let held = self.held(atom);
                    self.lane(&held, DType::I64, lane)
                }
            };
            let term = if coefficient == 1 { value } else { self.b.ins().imul_imm_s(value, coefficient) };
            sum = Some(sum.map_or(term, |s| self.b.ins().iadd(s, term)));
        }
        match sum {
            None => self.b.ins().iconst(types::I64, constant),
            Some(sum) if constant == 0 => sum,
            Some(sum) => self.b.ins().iadd_imm_s(sum, constant),
        }
    }

    pub(super) fn lane(&mut self, held: &Held, dtype: DType, lane: usize) -> Value {
        match held {
            Held::Scalar(x) => *x,
            Held::Vector(chunks) => vector::extract(self.b, dtype, chunks, lane),
        }
    }

    pub(super) fn spread(&mut self, held: Held, dtype: DType, lanes: usize) -> Chunks {
        match held {
            Held::Vector(chunks) => chunks,
            Held::Scalar(x) => vector::splat(self.b, dtype, lanes, x),
        }
    }

    fn compute(&mut self, e: ExprId) -> Held {
        let exprs = &self.kernel.exprs;
        if let Expr::Load { buffer, index } = exprs.get(e) {
            return self.load(buffer.index(), *index);
        }
        if let &Expr::Convert(to, index) = exprs.get(e)
            && let Some(lanes) = self.lanes
            && let Some(chunks) = self.count_up(to, index, lanes)
        {
            return Held::Vector(chunks);
        }
        let mut operands = vec![];
        exprs.get(e).operands(|o| operands.push(o));
        let held: Vec<Held> = operands.iter().map(|&o| self.held(o)).collect();
        let Some(lanes) = self.lanes.filter(|_| held.iter().any(|h| matches!(h, Held::Vector(_)))) else {
            let values: Vec<Value> = held.iter().map(|h| self.lane(h, DType::I64, 0)).collect();
            return Held::Scalar(self.scalar(e, &operands, &values));
        };
        if let Some(chunks) = self.vector(e, &operands, &held, lanes.count) {
            return Held::Vector(chunks);
        }
        // No instruction for vectors: lane by lane.
        let dtypes: Vec<DType> = operands.iter().map(|&o| self.kernel.exprs.dtype(o)).collect();
        let results: Vec<Value> = (0..lanes.count)
            .map(|lane| {
                let values: Vec<Value> =
                    held.iter().zip(&dtypes).map(|(h, &d)| self.lane(h, d, lane)).collect();
                self.scalar(e, &operands, &values)
            })
            .collect();
        Held::Vector(vector::pack(self.b, self.kernel.exprs.dtype(e), &results))
    }

    /// An index that grows by a constant from lane to lane, as another type: counted in 32 bits, where that gives the same.
    fn count_up(&mut self, to: DType, index: ExprId, lanes: Lanes) -> Option<Chunks> {
        let exprs = &self.kernel.exprs;
        let small =
            |limit| exprs.range(index).is_some_and(|(low, high)| low >= i64::from(i32::MIN) && high <= limit);
        let fits = match to {
            DType::I32 | DType::U32 | DType::U8 => exprs.dtype(index) == DType::I64,
            DType::F32 | DType::F64 => small(i64::from(i32::MAX)),
            DType::I64 | DType::Bool => false,
        };
        let step = exprs.stride(index, lanes.var).filter(|&s| fits && s != 0)?;
        if self.has_vector_atom(index) {
            return None;
        }
        let first = self.index(index, 0);
        let first = self.b.ins().ireduce(types::I32, first);
        let counted = vector::count(self.b, lanes.count, first, step as i32);
        if matches!(to, DType::I32 | DType::U32) {
            Some(counted)
        } else {
            vector::convert(self.b, DType::I32, to, &counted)
        }
    }

    fn load(&mut self, buffer: usize, index: ExprId) -> Held {
        let dtype = self.kernel.buffers[buffer].dtype;
        let flags = self.flags(self.kernel.buffers[buffer].access);
        let ty = scalar::scalar_type(dtype);
        let one = |t: &mut Self, lane: usize| {
            let index = t.index(index, lane);
            let at = t.address(buffer, index);
            t.b.ins().load(ty, flags, at, 0)
        };
        let Some(lanes) = self.lanes else { return Held::Scalar(one(self, 0)) };
        let moving = self.has_vector_atom(index);
        match self.kernel.exprs.stride(index, lanes.var) {
            Some(0) if !moving => Held::Scalar(one(self, 0)),
            Some(1) if !moving => {
                let index = self.index(index, 0);
                let at = self.address(buffer, index);
                Held::Vector(vector::load(self.b, flags, dtype, lanes.count, at))
            }
            Some(2) if !moving && matches!(dtype, DType::F32 | DType::I32 | DType::U32) => {
                let index = self.index(index, 0);
                let at = self.address(buffer, index);
                Held::Vector(vector::load_every_second(self.b, flags, dtype, lanes.count, at))
            }
            _ => {
                let values: Vec<Value> = (0..lanes.count).map(|lane| one(self, lane)).collect();
                Held::Vector(vector::pack(self.b, dtype, &values))
            }
        }
    }

    /// The expression for one lane, or for all that are alike.
    fn scalar(&mut self, e: ExprId, operands: &[ExprId], x: &[Value]) -> Value {
        let exprs = &self.kernel.exprs;
        let dtype = exprs.dtype(e);
        let from = |i: usize| exprs.dtype(operands[i]);
        match exprs.get(e).clone() {
            Expr::Literal(value) => scalar::literal(self.b, value),
            Expr::Unary(f, _) => scalar::unary(self.b, f, dtype, x[0]),
            Expr::Binary(BinaryFn::Rem, ..) if dtype.is_float() => self.remainder(dtype, x[0], x[1]),
            Expr::Binary(f @ (BinaryFn::Div | BinaryFn::Rem), index, y)
                if dtype == DType::I64 && scalar::index_divides(&self.kernel.exprs, index, y) =>
            {
                let Expr::Literal(Scalar::I64(c)) = self.kernel.exprs.get(y) else {
                    unreachable!("asked above")
                };
                let c = *c;
                if f == BinaryFn::Div {
                    self.b.ins().udiv_imm_u(x[0], c)
                } else {
                    self.b.ins().urem_imm_u(x[0], c)
                }
            }
            Expr::Binary(f, ..) => scalar::binary(self.b, f, from(0), x[0], x[1]),
            Expr::MulAdd(..) => self.b.ins().fma(x[0], x[1], x[2]),
            Expr::Select(..) => self.b.ins().select(x[0], x[1], x[2]),
            Expr::Convert(to, _) => scalar::convert(self.b, from(0), to, x[0]),
            Expr::Bitcast(to, _) => {
                let ty = scalar::scalar_type(to);
                if self.b.func.dfg.value_type(x[0]) == ty {
                    x[0]
                } else {
                    self.b.ins().bitcast(ty, MemFlagsData::new(), x[0])
                }
            }
            Expr::Call(function, _) => {
                let callee = (self.import)(self.b, function.name, function.code);
                let call = self.b.ins().call(callee, x);
                self.b.inst_results(call)[0]
            }
            Expr::Var(_) | Expr::Affine(_) | Expr::Acc(_) | Expr::Load { .. } => {
                unreachable!("handled before")
            }
        }
    }

    /// C's fmod, which f32 has exactly through f64: both operands and the result are representable.
    fn remainder(&mut self, dtype: DType, x: Value, y: Value) -> Value {
        extern "C" fn fmod(x: f64, y: f64) -> f64 {
            x % y
        }
        let callee = (self.import)(self.b, "fmod", FunctionCode::Two(fmod));
        let wide = [x, y].map(|v| scalar::convert(self.b, dtype, DType::F64, v));
        let call = self.b.ins().call(callee, &wide);
        let result = self.b.inst_results(call)[0];
        scalar::convert(self.b, DType::F64, dtype, result)
    }

    /// The expression for all lanes at once; `None` where there is no instruction for it.
    fn vector(&mut self, e: ExprId, operands: &[ExprId], held: &[Held], lanes: usize) -> Option<Chunks> {
        let exprs = &self.kernel.exprs;
        let dtype = exprs.dtype(e);
        let from = exprs.dtype(operands[0]);
        let expr = exprs.get(e).clone();
        if let Expr::Binary(f @ (BinaryFn::Shl | BinaryFn::Shr), ..) = expr {
            let (Held::Vector(x), Held::Scalar(amount)) = (&held[0], &held[1]) else { return None };
            return vector::shift(self.b, f, dtype, x, *amount);
        }
        if let Expr::Call(..) = expr {
            return None;
        }
        let types: Vec<DType> = operands.iter().map(|&o| exprs.dtype(o)).collect();
        let number = operands
            .get(1)
            .is_some_and(|&y| matches!(exprs.get(y), Expr::Literal(v) if !v.to_f64().is_nan()));
        let x: Vec<Chunks> =
            held.iter().zip(&types).map(|(h, &d)| self.spread(h.clone(), d, lanes)).collect();
        match expr {
            Expr::Unary(f, _) => vector::unary(self.b, f, dtype, &x[0]),
            Expr::Binary(f, ..) => vector::binary(self.b, f, from, &x[0], &x[1], number),
            Expr::MulAdd(..) => Some(vector::mul_add(self.b, &x[0], &x[1], &x[2])),
            Expr::Select(..) => Some(vector::select(self.b, dtype, &x[0], &x[1], &x[2])),
            Expr::Convert(to, _) => vector::convert(self.b, from, to, &x[0]),
            Expr::Bitcast(to, _) => vector::bitcast(self.b, from, to, &x[0]),
            _ => unreachable!("other expressions have no vector operands"),
        }
    }

    pub(super) fn binary_lanes(
        &mut self,
        f: BinaryFn,
        dtype: DType,
        x: &[Value],
        y: &[Value],
        number: bool,
    ) -> Chunks {
        if let Some(chunks) = vector::binary(self.b, f, dtype, x, y, number) {
            return chunks;
        }
        let lanes = x.len() * vector::chunk_lanes(dtype);
        let results: Vec<Value> = (0..lanes)
            .map(|lane| {
                let (a, c) =
                    (vector::extract(self.b, dtype, x, lane), vector::extract(self.b, dtype, y, lane));
                scalar::binary(self.b, f, dtype, a, c)
            })
            .collect();
        vector::pack(self.b, dtype, &results)
    }
}
