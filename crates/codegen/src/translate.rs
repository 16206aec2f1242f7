//! Loop kernels to Cranelift's intermediate code.
//!
//! The walk follows the plan of [`bespoke_loops::placement`]: what to evaluate before each statement is decided there. A
//! vector loop is emitted twice, for groups of lanes and for what is left over; the same expression gives the same bits
//! in both.

use bespoke_loops::{
    Acc, AccId, Access, BinaryFn, Combine, Expr, ExprId, FunctionCode, Kernel, LoopKind, Stmt, Store, VarId,
    placement::{self, Placed},
};
use bespoke_tensor::{DType, Scalar};
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

/// Emits the body of the kernel's function `(args, begin, end)`.
pub fn translate(kernel: &Kernel, b: &mut FunctionBuilder<'_>, import: &mut Import<'_>) {
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
        if kernel.buffers.iter().any(|b| b.dtype.size() * width > 64) {
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
                let total = self.join_lanes(acc);
                self.accs.insert(acc, variables.clone());
                let before = self.b.use_var(variables.0[0]);
                let Acc { dtype, combine } = self.kernel.accs[acc.index()];
                let after = self.combine_scalars(combine, dtype, before, total);
                self.b.def_var(variables.0[0], after);
            }
        }
        if whole < extent {
            self.count(var, middle, end, 1, &placed.body, None);
        }
    }

    /// Gives an accumulator a variable a chunk, at first the identity.
    fn start_lanes(&mut self, acc: AccId, lanes: usize) {
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

    fn init(&mut self, acc: AccId, value: ExprId) {
        let dtype = self.kernel.accs[acc.index()].dtype;
        let chunks = match (self.lanes, self.held(value)) {
            (Some(lanes), held) => self.spread(held, dtype, lanes.count),
            (None, Held::Scalar(x)) => vec![x],
            (None, Held::Vector(_)) => unreachable!("there are lanes in vector loops only"),
        };
        self.define_acc(acc, &chunks);
    }

    fn update(&mut self, acc: AccId, value: ExprId) {
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
        if self.kernel.exprs.stride(store.index, lanes.var) == Some(1) {
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

    /// Evaluates expressions, operands before users.
    fn evaluate(&mut self, list: &[ExprId]) {
        for &e in list {
            let value = self.compute(e);
            self.values.insert(e, value);
        }
    }

    /// The value of an expression that was evaluated, or is computed on the spot.
    fn held(&mut self, e: ExprId) -> Held {
        if let Some(held) = self.values.get(&e) {
            return held.clone();
        }
        match self.kernel.exprs.get(e) {
            Expr::Acc(acc) => {
                let values: Chunks = self.accs[acc].0.clone().iter().map(|&v| self.b.use_var(v)).collect();
                match self.lanes {
                    Some(_) if values.len() > 1 || self.is_chunk(values[0]) => Held::Vector(values),
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

    fn is_chunk(&self, x: Value) -> bool {
        self.b.func.dfg.value_type(x).is_vector()
    }

    fn has_vector_atom(&self, e: ExprId) -> bool {
        self.kernel
            .exprs
            .affine(e)
            .terms
            .iter()
            .any(|t| matches!(self.values.get(&t.0), Some(Held::Vector(_))))
    }

    /// An index in one lane.
    fn index(&mut self, e: ExprId, lane: usize) -> Value {
        let affine = self.kernel.exprs.affine(e);
        let mut sum = None;
        let mut constant = affine.constant;
        for (atom, coefficient) in affine.terms {
            let value = match self.kernel.exprs.get(atom) {
                Expr::Var(var) => {
                    if lane > 0 && self.lanes.is_some_and(|l| l.var == *var) {
                        constant += coefficient * lane as i64;
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

    fn lane(&mut self, held: &Held, dtype: DType, lane: usize) -> Value {
        match held {
            Held::Scalar(x) => *x,
            Held::Vector(chunks) => vector::extract(self.b, dtype, chunks, lane),
        }
    }

    fn spread(&mut self, held: Held, dtype: DType, lanes: usize) -> Chunks {
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
            Expr::Binary(f @ (BinaryFn::Div | BinaryFn::Rem), _, y)
                if dtype == DType::I64 && self.index_divides(e, y) =>
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

    /// Is it a quotient of an index that is known not to be negative, by a positive literal?
    fn index_divides(&self, e: ExprId, divisor: ExprId) -> bool {
        let Expr::Binary(_, x, _) = self.kernel.exprs.get(e) else { return false };
        let positive = matches!(self.kernel.exprs.get(divisor), Expr::Literal(Scalar::I64(c)) if *c > 0);
        positive && self.kernel.exprs.range(*x).is_some_and(|r| r.0 >= 0)
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

    fn binary_lanes(&mut self, f: BinaryFn, dtype: DType, x: &[Value], y: &[Value], number: bool) -> Chunks {
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

/// The function that combines two values; none if the new one replaces the old.
fn function(combine: Combine) -> Option<BinaryFn> {
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
fn updated(body: &[Placed<'_>]) -> Vec<AccId> {
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
