//! Accumulators: variables of Cranelift's frontend, one a chunk in vector loops.

use bespoke_loops::{Acc, AccId, BinaryFn, Combine, ExprId, Stmt, placement::Placed};
use bespoke_tensor::DType;
use cranelift_codegen::ir::Value;

use super::{Held, Translator, Variables};
use crate::{
    scalar,
    vector::{self, Chunks},
};

impl Translator<'_, '_, '_, '_> {
    /// Gives an accumulator a variable a chunk, at first the identity.
    pub(super) fn start_lanes(&mut self, acc: AccId, lanes: usize) {
        let Acc { dtype, combine } = self.kernel.accs[acc.index()];
        let identity = scalar::literal(self.b, combine.identity(dtype));
        let chunks = vector::splat(self.b, dtype, lanes, identity);
        self.define_acc(acc, &chunks);
    }

    fn define_acc(&mut self, acc: AccId, chunks: &[Value]) {
        let ty = self.b.func.dfg.value_type(chunks[0]);
        // The scalar rest of a vector loop holds it in another way than the groups before.
        let variables = match self.accs.get(&acc) {
            Some((variables, held)) if variables.len() == chunks.len() && *held == ty => variables.clone(),
            _ => chunks.iter().map(|_| self.b.declare_var(ty)).collect(),
        };
        for (&variable, &chunk) in variables.iter().zip(chunks) {
            self.b.def_var(variable, chunk);
        }
        self.accs.insert(acc, (variables, ty));
    }

    /// Combines the lanes of an accumulator into what it held before them, in these variables.
    pub(super) fn finish_lanes(&mut self, acc: AccId, outer: Variables) {
        let total = self.join_lanes(acc);
        let Acc { dtype, combine } = self.kernel.accs[acc.index()];
        let before = self.b.use_var(outer.0[0]);
        let after = self.combine_scalars(combine, dtype, before, total);
        self.b.def_var(outer.0[0], after);
        self.accs.insert(acc, outer);
    }

    /// Combines the lanes of an accumulator: chunks in halves, then lanes in order.
    fn join_lanes(&mut self, acc: AccId) -> Value {
        let Acc { dtype, combine } = self.kernel.accs[acc.index()];
        let variables = self.accs[&acc].0.clone();
        let mut chunks: Chunks = variables.iter().map(|&v| self.b.use_var(v)).collect();
        while chunks.len() > 1 && dtype != DType::I64 {
            let half = chunks.split_off(chunks.len() / 2);
            chunks = self.combine_chunks(combine, dtype, &chunks, &half);
        }
        let lanes = if dtype == DType::I64 { chunks.len() } else { vector::chunk_lanes(dtype) };
        let mut total = vector::extract(self.b, dtype, &chunks, 0);
        for lane in 1..lanes {
            let next = vector::extract(self.b, dtype, &chunks, lane);
            total = self.combine_scalars(combine, dtype, total, next);
        }
        total
    }

    fn combine_scalars(&mut self, combine: Combine, dtype: DType, x: Value, y: Value) -> Value {
        match function(combine) {
            Some(f) => scalar::binary(self.b, f, dtype, x, y),
            None => y,
        }
    }

    fn combine_chunks(&mut self, combine: Combine, dtype: DType, x: &[Value], y: &[Value]) -> Chunks {
        match function(combine) {
            Some(f) => self.binary_lanes(f, dtype, x, y, false),
            None => y.to_vec(),
        }
    }

    pub(super) fn init(&mut self, acc: AccId, value: ExprId) {
        let dtype = self.kernel.accs[acc.index()].dtype;
        let chunks = match (self.lanes, self.held(value)) {
            (Some(lanes), held) => self.spread(held, dtype, lanes.count),
            (None, Held::Scalar(x)) => vec![x],
            (None, Held::Vector(_)) => unreachable!("there are lanes in vector loops only"),
        };
        self.define_acc(acc, &chunks);
    }

    pub(super) fn update(&mut self, acc: AccId, value: ExprId) {
        let Acc { dtype, combine } = self.kernel.accs[acc.index()];
        let variables = self.accs[&acc].0.clone();
        let before: Chunks = variables.iter().map(|&v| self.b.use_var(v)).collect();
        let held = self.held(value);
        let after = match self.lanes {
            Some(lanes) => {
                let value = self.spread(held, dtype, lanes.count);
                self.combine_chunks(combine, dtype, &before, &value)
            }
            None => {
                let Held::Scalar(value) = held else { unreachable!("there are lanes in vector loops only") };
                vec![self.combine_scalars(combine, dtype, before[0], value)]
            }
        };
        self.define_acc(acc, &after);
    }
}

/// The function that combines two values; none if the new one replaces the old.
pub fn function(combine: Combine) -> Option<BinaryFn> {
    Some(match combine {
        Combine::Sum => BinaryFn::Add,
        Combine::Product => BinaryFn::Mul,
        Combine::Max => BinaryFn::Max,
        Combine::Min => BinaryFn::Min,
        Combine::Any => BinaryFn::Or,
        Combine::All => BinaryFn::And,
        Combine::Set => return None,
    })
}

/// The accumulators that statements update, but for those that they initialise themselves.
pub fn updated(body: &[Placed<'_>]) -> Vec<AccId> {
    fn walk(body: &[Placed<'_>], updates: &mut Vec<AccId>, own: &mut Vec<AccId>) {
        for placed in body {
            match placed.stmt {
                Stmt::Init { acc, .. } => own.push(*acc),
                Stmt::Update { acc, .. } => updates.push(*acc),
                Stmt::For { .. } => walk(&placed.body, updates, own),
                Stmt::Store(_) | Stmt::Add(_) => {}
            }
        }
    }
    let (mut accs, mut own) = (vec![], vec![]);
    walk(body, &mut accs, &mut own);
    accs.retain(|a| !own.contains(a));
    accs.sort_unstable();
    accs.dedup();
    accs
}
