//! The register tile of a matrix product, with Cranelift's vectors. (`assembled` has wider ones.)

use bespoke_lower::{Access, TileCode};
use bespoke_tensor::DType;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, condcodes::IntCC, types};
use cranelift_frontend::FunctionBuilder;

use crate::vector::chunk_type;

/// Steps of k in one iteration: hides the loop's own work.
pub const UNROLL: i64 = 4;

/// Emits the body of the tile's function `(a, b, k, c, ldc, terms, rows, add)`: `c[i·ldc + j] (+)= Σₖ A(i, k) · B(k, j)`. An
/// operand of a table is found at `a + rows[i] + terms[k]` or (a vector) `b + terms[k]`; offsets are in bytes. With `add`, the
/// sums go on from what is in c.
///
/// All accumulators live in registers. It is compiled without optimisation of the intermediate code, which would move
/// loads together and spill them.
pub fn emit(code: TileCode, b: &mut FunctionBuilder<'_>) {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    let (a, panel, k, c, ldc) = (params[0], params[1], params[2], params[3], params[4]);
    let (terms, rows, add) = (params[5], params[6], params[7]);
    let tile = code.tile;
    let emitter = Emitter { code, chunks: tile.nr * tile.dtype.size() / 16 };
    let flags = MemFlagsData::new().with_notrap();
    let bases: Vec<Value> = match code.left {
        Access::Steps { .. } => vec![a],
        Access::Table => (0..tile.mr as i32)
            .map(|i| {
                let start = b.ins().load(types::I64, flags, rows, i * 8);
                b.ins().iadd(a, start)
            })
            .collect(),
    };
    let row_bytes = b.ins().imul_imm_s(ldc, tile.dtype.size() as i64);
    let start = emitter.start(b, c, row_bytes, add);
    let whole = b.ins().band_imm_s(k, -UNROLL);
    let rest = b.ins().isub(k, whole);
    let state = State { bases, panel, terms, left: whole, sums: start };
    let mut state = emitter.steps(b, state, UNROLL);
    state.left = rest;
    let state = emitter.steps(b, state, 1);
    let mut at = c;
    for row in state.sums.chunks(emitter.chunks) {
        for (i, &sum) in row.iter().enumerate() {
            b.ins().store(flags, sum, at, i as i32 * 16);
        }
        at = b.ins().iadd(at, row_bytes);
    }
    b.ins().return_(&[]);
}

struct Emitter {
    code: TileCode,
    /// Vectors of a row.
    chunks: usize,
}

/// What changes from step to step, but for the bases of gathered rows.
struct State {
    /// Where the rows of A begin, or each of them.
    bases: Vec<Value>,
    /// Where the columns of B begin.
    panel: Value,
    terms: Value,
    left: Value,
    sums: Vec<Value>,
}

impl State {
    fn values(&self) -> Vec<Value> {
        let own = [self.panel, self.terms, self.left];
        self.bases.iter().copied().chain(own).chain(self.sums.iter().copied()).collect()
    }

    fn from(values: &[Value], bases: usize) -> State {
        let (bases, rest) = values.split_at(bases);
        let bases = bases.to_vec();
        State { bases, panel: rest[0], terms: rest[1], left: rest[2], sums: rest[3..].to_vec() }
    }
}

impl Emitter {
    /// The accumulators: zeros, or the elements of c.
    fn start(&self, b: &mut FunctionBuilder<'_>, c: Value, row_bytes: Value, add: Value) -> Vec<Value> {
        let tile = self.code.tile;
        let ty = chunk_type(tile.dtype);
        let (load, after) = (b.create_block(), b.create_block());
        let zero = match tile.dtype {
            DType::F64 => b.ins().f64const(0.0),
            _ => b.ins().f32const(0.0),
        };
        let zero = b.ins().splat(ty, zero);
        let zeros: Vec<_> = vec![zero.into(); tile.mr * self.chunks];
        for _ in &zeros {
            b.append_block_param(after, ty);
        }
        b.ins().brif(add, load, &[], after, &zeros);
        b.switch_to_block(load);
        b.seal_block(load);
        let (mut at, mut found) = (c, vec![]);
        for _ in 0..tile.mr {
            for i in 0..self.chunks {
                let value = b.ins().load(ty, MemFlagsData::new().with_notrap(), at, i as i32 * 16);
                found.push(value.into());
            }
            at = b.ins().iadd(at, row_bytes);
        }
        b.ins().jump(after, &found);
        b.switch_to_block(after);
        b.seal_block(after);
        b.block_params(after).to_vec()
    }

    /// `state.left` steps of k, `unroll` at a time; gives the state after them.
    fn steps(&self, b: &mut FunctionBuilder<'_>, state: State, unroll: i64) -> State {
        let (head, body, after) = (b.create_block(), b.create_block(), b.create_block());
        let start = state.values();
        for block in [head, body, after] {
            for &v in &start {
                let ty = b.func.dfg.value_type(v);
                b.append_block_param(block, ty);
            }
        }
        let bases = state.bases.len();
        let args = |values: &[Value]| values.iter().map(|&v| v.into()).collect::<Vec<_>>();
        b.ins().jump(head, &args(&start));
        b.switch_to_block(head);
        let params = b.block_params(head).to_vec();
        let more = b.ins().icmp_imm_s(IntCC::SignedGreaterThan, State::from(&params, bases).left, 0);
        b.ins().brif(more, body, &args(&params), after, &args(&params));
        b.switch_to_block(body);
        b.seal_block(body);
        let mut state = State::from(b.block_params(body), bases);
        for step in 0..unroll {
            self.step(b, &mut state, step);
        }
        if let Access::Steps { term, .. } = self.code.left {
            state.bases[0] = b.ins().iadd_imm_s(state.bases[0], unroll * term);
        }
        if let Access::Steps { term, .. } = self.code.right {
            state.panel = b.ins().iadd_imm_s(state.panel, unroll * term);
        }
        if self.gathers() {
            state.terms = b.ins().iadd_imm_s(state.terms, unroll * 8);
        }
        state.left = b.ins().iadd_imm_s(state.left, -unroll);
        b.ins().jump(head, &args(&state.values()));
        b.seal_block(head);
        b.switch_to_block(after);
        b.seal_block(after);
        State::from(b.block_params(after), bases)
    }

    fn gathers(&self) -> bool {
        self.code.left == Access::Table || self.code.right == Access::Table
    }

    /// One step of k.
    fn step(&self, b: &mut FunctionBuilder<'_>, state: &mut State, step: i64) {
        let tile = self.code.tile;
        let ty = chunk_type(tile.dtype);
        let scalar = if tile.dtype == DType::F64 { types::F64 } else { types::F32 };
        let flags = MemFlagsData::new().with_notrap().with_readonly().with_can_move();
        let offset = self.gathers().then(|| b.ins().load(types::I64, flags, state.terms, step as i32 * 8));
        let (columns_at, from) = match (self.code.right, offset) {
            (Access::Table, Some(offset)) => (b.ins().iadd(state.panel, offset), 0),
            (Access::Steps { term, .. }, _) => (state.panel, step * term),
            (Access::Table, None) => unreachable!("there is a table"),
        };
        let column = |i: usize| (from + i as i64 * 16) as i32;
        let columns: Vec<Value> =
            (0..self.chunks).map(|i| b.ins().load(ty, flags, columns_at, column(i))).collect();
        for row in 0..tile.mr {
            let (at, from) = match (self.code.left, offset) {
                (Access::Table, Some(offset)) => (b.ins().iadd(state.bases[row], offset), 0),
                (Access::Steps { line, term }, _) => (state.bases[0], step * term + row as i64 * line),
                (Access::Table, None) => unreachable!("there is a table"),
            };
            let x = b.ins().load(scalar, flags, at, from as i32);
            let x = b.ins().splat(ty, x);
            for (i, &column) in columns.iter().enumerate() {
                let sum = &mut state.sums[row * self.chunks + i];
                *sum = b.ins().fma(x, column, *sum);
            }
        }
    }
}
