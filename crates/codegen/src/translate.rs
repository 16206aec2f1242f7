//! Loop kernels to Cranelift's intermediate code.
//!
//! The walk follows the plan of [`bespoke_loops::placement`]: what to evaluate before each statement is decided there. A
//! vector loop is emitted twice, for groups of lanes and for what is left over; the same expression gives the same bits
//! in both.

mod accumulate;
mod evaluate;

pub use accumulate::{function, updated};
use bespoke_loops::{
    AccId, Access, BinaryFn, Expr, ExprId, FunctionCode, Kernel, LoopKind, Stmt, Store, VarId,
    placement::{self, Placed},
};
use cranelift_codegen::ir::{
    Block, FuncRef, InstBuilder, MemFlagsData, Type, Value, condcodes::IntCC, types,
};
use cranelift_frontend::{FunctionBuilder, Variable};
use rustc_hash::FxHashMap;

use crate::{
    scalar,
    vector::{self, Chunks},
};

/// What an expression's value is held as.
#[derive(Clone, Debug)]
enum Held {
    /// One value, of all lanes if in a vector loop.
    Scalar(Value),
    /// A value a lane.
    Vector(Chunks),
}

/// Variables, one a chunk, and their type.
type Variables = (Vec<Variable>, Type);

/// The vector loop being emitted.
#[derive(Clone, Copy)]
struct Lanes {
    var: VarId,
    count: usize,
}

/// Gives the reference of a function by its name.
pub type Import<'a> = dyn FnMut(&mut FunctionBuilder<'_>, &'static str, FunctionCode) -> FuncRef + 'a;

/// Emits the body of the kernel's function `(args, begin, end)`. `padded`: all buffers are padded to whole 64-byte lines.
pub fn translate(kernel: &Kernel, padded: bool, b: &mut FunctionBuilder<'_>, import: &mut Import<'_>) {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    let trusted = MemFlagsData::trusted();
    let bases = (0..kernel.buffers.len())
        .map(|i| b.ins().load(types::I64, trusted, params[0], i as i32 * 8))
        .collect();
    let mut t = Translator {
        kernel,
        padded,
        b,
        import,
        bases,
        values: FxHashMap::default(),
        vars: FxHashMap::default(),
        accs: FxHashMap::default(),
        lanes: None,
    };
    if kernel.range() > 0 {
        let plan = placement::place(kernel);
        t.evaluate(&plan.before);
        t.outermost(&plan, params[1], params[2]);
    }
    t.b.ins().return_(&[]);
}

struct Translator<'k, 'f, 'b, 'i> {
    kernel: &'k Kernel,
    padded: bool,
    b: &'b mut FunctionBuilder<'f>,
    import: &'b mut Import<'i>,
    bases: Vec<Value>,
    values: FxHashMap<ExprId, Held>,
    /// The current value of each loop variable; in a vector loop, of its first lane.
    vars: FxHashMap<VarId, Value>,
    /// The variables of each accumulator, one a chunk, and their type.
    accs: FxHashMap<AccId, Variables>,
    lanes: Option<Lanes>,
}

impl Translator<'_, '_, '_, '_> {
    fn outermost(&mut self, plan: &Placed<'_>, begin: Value, end: Value) {
        let Stmt::For { var, kind, .. } = plan.stmt else {
            panic!("{}: the body must be a loop", self.kernel.name)
        };
        match kind {
            LoopKind::Serial => self.count(*var, begin, end, 1, &plan.body, None),
            LoopKind::Vector(width) => {
                let width = *width as usize;
                let lanes = Lanes { var: *var, count: width };
                if self.may_overrun(*var, width, plan) {
                    return self.count(*var, begin, end, width as i64, &plan.body, Some(lanes));
                }
                let whole = self.whole_groups(begin, end, width as i64);
                self.count(*var, begin, whole, width as i64, &plan.body, Some(lanes));
                self.count(*var, whole, end, 1, &plan.body, None);
            }
        }
    }

    /// The end of the whole groups of `width` within `begin..end`.
    fn whole_groups(&mut self, begin: Value, end: Value, width: i64) -> Value {
        let length = self.b.ins().isub(end, begin);
        let whole = self.b.ins().band_imm_s(length, -width);
        self.b.ins().iadd(begin, whole)
    }

    /// May the last group of an outermost vector loop run beyond the end, into the padding of all buffers?
    fn may_overrun(&self, var: VarId, width: usize, plan: &Placed<'_>) -> bool {
        let kernel = self.kernel;
        // Buffers are padded to whole lines of 64 bytes: a group must not be longer.
        if !self.padded || kernel.buffers.iter().any(|b| b.dtype.size() * width > 64) {
            return false;
        }
        let extent = kernel.exprs.extent(var);
        let flat = |index: ExprId, buffer: usize, exact: bool| {
            let elements = kernel.buffers[buffer].elements as i64;
            matches!(kernel.exprs.get(index), Expr::Var(v) if *v == var)
                && if exact { elements == extent } else { elements >= extent }
        };
        let mut roots = vec![];
        for placed in &plan.body {
            let Stmt::Store(stores) = placed.stmt else { return false };
            for store in stores {
                if !flat(store.index, store.buffer.index(), true) {
                    return false;
                }
                roots.push(store.value);
            }
        }
        placement::needed(&kernel.exprs, &roots).into_iter().all(|e| match kernel.exprs.get(e) {
            Expr::Load { buffer, index } => {
                kernel.exprs.stride(*index, var) == Some(0) || flat(*index, buffer.index(), false)
            }
            _ => true,
        })
    }

    /// `for var in begin..end step`.
    fn count(
        &mut self,
        var: VarId,
        begin: Value,
        end: Value,
        step: i64,
        body: &[Placed<'_>],
        lanes: Option<Lanes>,
    ) {
        let (head, inside, after) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let i = self.b.append_block_param(head, types::I64);
        self.b.ins().jump(head, &[begin.into()]);
        self.b.switch_to_block(head);
        let more = self.b.ins().icmp(IntCC::SignedLessThan, i, end);
        self.b.ins().brif(more, inside, &[], after, &[]);
        self.b.switch_to_block(inside);
        self.b.seal_block(inside);
        self.block(var, i, body, lanes);
        let next = self.b.ins().iadd_imm_s(i, step);
        self.jump_back(head, next);
        self.b.switch_to_block(after);
        self.b.seal_block(after);
    }

    fn jump_back(&mut self, head: Block, next: Value) {
        self.b.ins().jump(head, &[next.into()]);
        self.b.seal_block(head);
    }

    /// A loop's body; values that it evaluates are forgotten after it.
    fn block(&mut self, var: VarId, i: Value, body: &[Placed<'_>], lanes: Option<Lanes>) {
        let outer = self.values.clone();
        let before = self.lanes;
        self.vars.insert(var, i);
        if lanes.is_some() {
            self.lanes = lanes;
        }
        self.statements(body);
        self.lanes = before;
        self.vars.remove(&var);
        self.values = outer;
    }

    fn statements(&mut self, body: &[Placed<'_>]) {
        for placed in body {
            self.evaluate(&placed.before);
            match placed.stmt {
                Stmt::For { var, kind, .. } => self.inner_loop(*var, *kind, placed),
                Stmt::Init { acc, value } => self.init(*acc, *value),
                Stmt::Update { acc, value } => self.update(*acc, *value),
                Stmt::Store(stores) => {
                    let values: Vec<Held> = stores.iter().map(|s| self.held(s.value)).collect();
                    for (store, value) in stores.iter().zip(values) {
                        self.store(store, value);
                    }
                }
                Stmt::Add(store) => self.add(store),
            }
        }
    }

    fn inner_loop(&mut self, var: VarId, kind: LoopKind, placed: &Placed<'_>) {
        let extent = self.kernel.exprs.extent(var);
        if extent == 0 {
            // Not even loads: Cranelift takes those of constant memory out of the loop, and there may be no element.
            return;
        }
        let mut at = |value: i64| self.b.ins().iconst(types::I64, value);
        let (zero, end) = (at(0), at(extent));
        let width = match kind {
            LoopKind::Vector(width) if self.lanes.is_none() => width,
            // Lanes hold the iterations of one loop only; those of a vector loop inside it come one after the other.
            _ => return self.count(var, zero, end, 1, &placed.body, None),
        };
        let width = i64::from(width);
        let whole = extent / width * width;
        let middle = at(whole);
        let lanes = Lanes { var, count: width as usize };
        if whole > 0 {
            // Accumulators that live on are combined lane by lane first.
            let outer: Vec<(AccId, Variables)> =
                updated(&placed.body).into_iter().map(|a| (a, self.accs[&a].clone())).collect();
            for &(acc, _) in &outer {
                self.start_lanes(acc, width as usize);
            }
            self.count(var, zero, middle, width, &placed.body, Some(lanes));
            for (acc, variables) in outer {
                self.finish_lanes(acc, variables);
            }
        }
        if whole < extent {
            self.count(var, middle, end, 1, &placed.body, None);
        }
    }

    fn flags(&self, access: Access) -> MemFlagsData {
        let flags = MemFlagsData::new().with_notrap();
        // Memory that nobody writes may be loaded at any time.
        if access == Access::Read { flags.with_readonly().with_can_move() } else { flags }
    }

    fn address(&mut self, buffer: usize, index: Value) -> Value {
        let size = self.kernel.buffers[buffer].dtype.size() as i64;
        let base = self.bases[buffer];
        let offset =
            if size == 1 { index } else { self.b.ins().ishl_imm_u(index, size.trailing_zeros() as i64) };
        self.b.ins().iadd(base, offset)
    }

    fn store(&mut self, store: &Store, value: Held) {
        let buffer = store.buffer.index();
        let dtype = self.kernel.buffers[buffer].dtype;
        let flags = self.flags(Access::Write);
        let Some(lanes) = self.lanes else {
            let Held::Scalar(x) = value else { unreachable!("there are lanes in vector loops only") };
            let index = self.index(store.index, 0);
            let at = self.address(buffer, index);
            self.b.ins().store(flags, x, at, 0);
            return;
        };
        let chunks = self.spread(value, dtype, lanes.count);
        let side_by_side = self.kernel.exprs.stride(store.index, lanes.var) == Some(1);
        if side_by_side && !self.has_vector_atom(store.index) {
            let index = self.index(store.index, 0);
            let at = self.address(buffer, index);
            return vector::store(self.b, flags, dtype, &chunks, at);
        }
        for lane in 0..lanes.count {
            let x = vector::extract(self.b, dtype, &chunks, lane);
            let index = self.index(store.index, lane);
            let at = self.address(buffer, index);
            self.b.ins().store(flags, x, at, 0);
        }
    }

    /// Adds to elements one after the other: lanes may mean the same one.
    fn add(&mut self, store: &Store) {
        let buffer = store.buffer.index();
        let dtype = self.kernel.buffers[buffer].dtype;
        let flags = self.flags(Access::ReadWrite);
        let held = self.held(store.value);
        for lane in 0..self.lanes.map_or(1, |l| l.count) {
            let x = self.lane(&held, dtype, lane);
            let index = self.index(store.index, lane);
            let at = self.address(buffer, index);
            let before = self.b.ins().load(scalar::scalar_type(dtype), flags, at, 0);
            let sum = scalar::binary(self.b, BinaryFn::Add, dtype, before, x);
            self.b.ins().store(flags, sum, at, 0);
        }
    }
}
