//! Random kernels: machine code gives what the interpreter gives, however loops are nested, run and split, and writes
//! nothing beyond the padding of a buffer. `BESPOKE_KERNELS=100000` runs more of them, `BESPOKE_SEED` begins elsewhere.
#![allow(unsafe_code)] // calls machine code on memory of the kernel's types

use bespoke_codegen::{ModuleBuilder, RANGE_ALIGNMENT};
use bespoke_loops::{
    Acc, AccId, Access, BinaryFn, Buffer, BufferId, Combine, Expr, ExprId, Exprs, Kernel, LoopKind, Stmt,
    Store, UnaryFn, VarId, apply_binary, apply_unary, interpret, verify,
};
use bespoke_lower::Isa;
use bespoke_tensor::{DType, Scalar, Tensor, Type};

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut h = self.0;
        h = (h ^ (h >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        h ^ (h >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// A kernel being made.
struct Maker {
    rng: Rng,
    exprs: Exprs,
    buffers: Vec<Buffer>,
    accs: Vec<Acc>,
    /// The loops around.
    scope: Vec<VarId>,
    /// Is one of them a vector loop?
    vector: bool,
    /// Does no loop run several iterations at once? Then one may load what another has stored.
    ordered: bool,
    /// Does everything lie side by side, so that the last group of lanes may run into the padding?
    flat: bool,
    /// Is there nothing but what wide vectors have instructions for?
    wide: bool,
    /// Buffers that are stored to in an ordered kernel.
    stored: Vec<BufferId>,
    /// No kernel gets larger than the interpreter likes.
    statements: usize,
}

impl Maker {
    fn kernel(seed: u64) -> Kernel {
        let mut m = Maker {
            rng: Rng(seed),
            exprs: Exprs::new(),
            buffers: vec![],
            accs: vec![],
            scope: vec![],
            vector: false,
            ordered: false,
            flat: false,
            wide: false,
            stored: vec![],
            statements: 0,
        };
        m.ordered = m.rng.one_in(4);
        m.flat = !m.ordered && m.rng.one_in(3);
        m.wide = !m.ordered && m.rng.one_in(2);
        let extent = m.rng.of(&[0, 1, 2, 3, 4, 5, 7, 8, 17, 31, 64, 65, 70, 131]);
        let body = m.nest(extent, 0, &mut |m, depth| m.block(depth));
        let name = format!("random_{seed}");
        Kernel { name, buffers: m.buffers, accs: m.accs, exprs: m.exprs, body }
    }

    /// A loop around what `f` makes.
    fn nest(&mut self, extent: i64, depth: usize, f: &mut dyn FnMut(&mut Maker, usize) -> Vec<Stmt>) -> Stmt {
        let mut lanes = self.rng.of(&[0, 0, 4, 4, 8, 16, 32]);
        if self.wide {
            // Not the outermost loop, so that steps are of one element.
            lanes = if depth == 0 && !self.flat { 0 } else { self.rng.of(&[8, 16, 16]) };
        }
        let kind = if lanes == 0 || self.ordered { LoopKind::Serial } else { LoopKind::Vector(lanes) };
        let var = self.exprs.declare_var(extent);
        self.scope.push(var);
        let outer = self.vector;
        self.vector |= kind != LoopKind::Serial;
        let body = f(self, depth + 1);
        self.vector = outer;
        self.scope.pop();
        Stmt::For { var, kind, body }
    }

    fn extent(&mut self) -> i64 {
        if self.wide && !self.vector {
            return self.rng.of(&[8, 9, 15, 16, 17, 33, 40]);
        }
        self.rng.of(&[0, 1, 2, 3, 4, 5, 6, 8, 9, 13, 17, 33])
    }

    fn block(&mut self, depth: usize) -> Vec<Stmt> {
        let mut body = vec![];
        for _ in 0..1 + self.rng.below(2) {
            self.statements += 1;
            match self.rng.below(
                if depth < if self.wide { 2 } else { 3 } && self.statements < 6 && !self.flat {
                    8
                } else {
                    3
                },
            ) {
                0..=2 if self.wide && !self.vector && !self.flat && depth < 2 => {
                    let extent = self.extent();
                    body.push(self.nest(extent, depth, &mut |m, depth| m.block(depth)));
                }
                0..=2 => body.push(self.store(&mut vec![])),
                3..=4 => {
                    let extent = self.extent();
                    body.push(self.nest(extent, depth, &mut |m, depth| m.block(depth)));
                }
                5 if !self.vector && !self.wide => body.push(self.scatter(depth)),
                _ => self.reduction(depth, &mut body),
            }
        }
        body
    }

    /// Accumulators, a loop or two that change them, a store of what they hold.
    fn reduction(&mut self, depth: usize, body: &mut Vec<Stmt>) {
        let mut accs: Vec<AccId> = (0..1 + self.rng.below(2)).map(|_| self.acc()).collect();
        accs.dedup();
        for &acc in &accs {
            let value = self.summand(acc, 1);
            body.push(Stmt::Init { acc, value });
        }
        let (extent, twice) = (self.extent(), self.rng.one_in(3) && depth < 3);
        let settable = accs.iter().any(|a| self.accs[a.index()].combine == Combine::Set);
        let looped = self.nest(extent, depth, &mut |m, depth| {
            let update = |m: &mut Maker, _| accs.iter().map(|&acc| m.update(acc)).collect();
            if !twice {
                return update(m, depth);
            }
            let extent = m.extent();
            vec![m.nest(extent, depth, &mut |m, depth| update(m, depth))]
        });
        body.push(if settable { serial(looped) } else { looped });
        let mut results = accs.iter().map(|&acc| self.exprs.acc(acc)).collect();
        body.push(self.store(&mut results));
    }

    fn update(&mut self, acc: AccId) -> Stmt {
        let mut value = self.summand(acc, 3);
        if self.accs[acc.index()].combine == Combine::Set && self.rng.one_in(2) {
            let before = self.exprs.acc(acc);
            let condition = self.value(DType::Bool, 2, &[]);
            value = self.exprs.add(Expr::Select(condition, before, value));
        }
        Stmt::Update { acc, value }
    }

    fn acc(&mut self) -> AccId {
        if !self.accs.is_empty() && self.rng.one_in(4) {
            return AccId(self.rng.below(self.accs.len()) as u32);
        }
        let dtype = self.dtype();
        let combines: &[Combine] = match dtype {
            DType::Bool => &[Combine::Any, Combine::All, Combine::Set],
            _ => &[Combine::Sum, Combine::Product, Combine::Max, Combine::Min, Combine::Set],
        };
        let combine = self.rng.of(combines);
        self.accs.push(Acc { dtype, combine });
        self.exprs.declare_acc(dtype)
    }

    /// A value that can be combined in any order with the same bits.
    fn summand(&mut self, acc: AccId, depth: usize) -> ExprId {
        let Acc { dtype, combine } = self.accs[acc.index()];
        if !dtype.is_float() || combine == Combine::Set {
            return self.value(dtype, depth, &[]);
        }
        if matches!(combine, Combine::Sum | Combine::Product) {
            let whole = self.value(DType::U8, depth, &[]);
            let low = self.exprs.literal(if combine == Combine::Sum { 7u8 } else { 1u8 });
            let few = self.exprs.add(Expr::Binary(BinaryFn::And, whole, low));
            let x = self.exprs.add(Expr::Convert(dtype, few));
            let three = self.exprs.constant(dtype, if combine == Combine::Sum { -3.0 } else { 1.0 });
            return self.exprs.add(Expr::Binary(BinaryFn::Add, x, three));
        }
        // Which zero is the greatest depends on the order.
        let (x, zero) = (self.value(dtype, depth, &[]), self.exprs.constant(dtype, 0.0));
        self.exprs.add(Expr::Binary(BinaryFn::Add, x, zero))
    }

    fn dtype(&mut self) -> DType {
        if self.wide {
            let types = [DType::F32, DType::F32, DType::F32, DType::F64, DType::I32, DType::U32, DType::U8];
            return if self.rng.one_in(6) { DType::Bool } else { self.rng.of(&types) };
        }
        let f32_often = [DType::F32, DType::F32, DType::F32];
        let all: Vec<DType> = DType::ALL.into_iter().chain(f32_often).collect();
        self.rng.of(&all)
    }

    /// One element each of a buffer or two of their own, at an index that is different in every iteration.
    fn store(&mut self, values: &mut Vec<ExprId>) -> Stmt {
        let count = 1 + self.rng.below(2);
        let given = std::mem::take(values);
        let stores = (0..count)
            .map(|_| {
                let dtype = match given.first() {
                    Some(&e) if self.rng.one_in(2) => self.exprs.dtype(e),
                    _ => self.dtype(),
                };
                let (index, elements) = self.injective();
                let update = self.ordered || self.rng.one_in(3);
                let access = if update { Access::ReadWrite } else { Access::Write };
                let buffer = self.buffer(dtype, elements, access);
                if self.ordered && elements > 0 {
                    self.stored.push(buffer);
                }
                let mut known = given.clone();
                if update {
                    known.push(self.exprs.load(buffer, index));
                }
                let value = self.value(dtype, 4, &known);
                Store { buffer, index, value }
            })
            .collect();
        Stmt::Store(stores)
    }

    /// Additions to elements that several iterations may share.
    fn scatter(&mut self, depth: usize) -> Stmt {
        let dtype = self.rng.of(&[DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::U32]);
        let elements = 1 + self.rng.below(9);
        let buffer = self.buffer(dtype, elements, Access::ReadWrite);
        let extent = self.extent();
        self.nest(extent, depth, &mut |m, _| {
            let position = m.value(DType::I64, 2, &[]);
            let index = m.exprs.index_clamp(position, elements as i64 - 1);
            let value = m.value(dtype, 3, &[]);
            vec![Stmt::Add(Store { buffer, index, value })]
        })
    }

    fn buffer(&mut self, dtype: DType, elements: usize, access: Access) -> BufferId {
        self.buffers.push(Buffer { dtype, elements, access });
        self.exprs.declare_buffer(dtype)
    }

    /// An index that has another value in each iteration of all loops around, and the elements that it takes.
    fn injective(&mut self) -> (ExprId, usize) {
        let mut vars = self.scope.clone();
        let plain = self.flat || self.wide;
        if !self.wide && self.rng.one_in(3) {
            let swap = self.rng.below(vars.len());
            vars.swap(0, swap);
        }
        let spread = if !plain && self.rng.one_in(5) { 2 } else { 1 };
        let (mut index, mut stride, mut last) = (self.exprs.index_const(0), spread, 0);
        for &var in vars.iter().rev() {
            let extent = self.exprs.extent(var);
            let mut i = self.exprs.add(Expr::Var(var));
            if !plain && self.rng.one_in(6) {
                let (back, end) = (self.exprs.index_mul(i, -1), self.exprs.index_const(extent - 1));
                i = self.exprs.index_add(end, back);
            }
            let term = self.exprs.index_mul(i, stride);
            index = self.exprs.index_add(index, term);
            last += stride * (extent - 1).max(0);
            stride *= extent.max(1);
        }
        (index, if self.empty() { self.rng.below(2) } else { last as usize + 1 })
    }

    fn empty(&self) -> bool {
        self.scope.iter().any(|&v| self.exprs.extent(v) == 0)
    }

    /// Any element of a buffer of its own that is only read.
    fn load(&mut self, dtype: DType, depth: usize, known: &[ExprId]) -> ExprId {
        if !self.stored.is_empty() && self.rng.one_in(3) {
            let buffer = self.rng.of(&self.stored);
            let last = self.buffers[buffer.index()].elements as i64 - 1;
            let position = self.value(DType::I64, depth.saturating_sub(2), known);
            let index = self.exprs.index_clamp(position, last);
            let x = self.exprs.load(buffer, index);
            return self.exprs.convert(dtype, x);
        }
        if depth > 1 && !self.flat && !self.wide && self.rng.one_in(6) {
            let elements = 1 + self.rng.below(20);
            let buffer = self.buffer(dtype, elements, Access::Read);
            let position = self.value(DType::I64, depth - 1, known);
            let index = self.exprs.index_clamp(position, elements as i64 - 1);
            return self.exprs.load(buffer, index);
        }
        if self.flat || self.wide || self.rng.one_in(2) {
            let (mut index, elements) = self.injective();
            if (self.flat || self.wide) && !self.empty() && self.rng.one_in(4) {
                index = self.exprs.index_const(elements as i64 - 1);
            }
            let buffer = self.buffer(dtype, elements, Access::Read);
            return self.exprs.load(buffer, index);
        }
        let mut index = self.exprs.index_const(0);
        let (mut low, mut high) = (0, 0);
        for var in self.scope.clone() {
            let c = self.rng.of(&[0, 0, 1, 1, 2, 3, -1, -2]);
            let i = self.exprs.add(Expr::Var(var));
            let term = self.exprs.index_mul(i, c);
            index = self.exprs.index_add(index, term);
            let end = c * (self.exprs.extent(var) - 1).max(0);
            (low, high) = (low + end.min(0), high + end.max(0));
        }
        let start = -low + self.rng.below(3) as i64;
        let constant = self.exprs.index_const(start);
        index = self.exprs.index_add(index, constant);
        if self.rng.one_in(6) && !self.empty() {
            index = self.exprs.index_div(index, 2);
        }
        let elements = if self.empty() { self.rng.below(2) } else { (high + start) as usize + 1 };
        let buffer = self.buffer(dtype, elements, Access::Read);
        self.exprs.load(buffer, index)
    }

    /// An expression of this type; `known` are values that it may use.
    fn value(&mut self, dtype: DType, depth: usize, known: &[ExprId]) -> ExprId {
        if !known.is_empty() && self.rng.one_in(2) {
            let e = self.rng.of(known);
            let e = self.exprs.convert(dtype, e);
            if dtype == DType::I64 && self.rng.one_in(3) {
                // A part of an index then.
                let three = self.exprs.index_const(3);
                return self.exprs.index_add(e, three);
            }
            return e;
        }
        // Kernels have at most 64 buffers.
        let full = self.buffers.len() > 40;
        if depth == 0 || full {
            return match self.rng.below(if full { 2 } else { 6 }) {
                0 => {
                    let x =
                        self.rng.of(&[0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 255.0, -7.25, f64::NAN, f64::INFINITY]);
                    self.exprs.constant(dtype, x)
                }
                1 => {
                    let var = self.rng.below(self.scope.len());
                    let i = self.exprs.add(Expr::Var(self.scope[var]));
                    let most = if self.wide { 5 } else { i64::MAX / 7 };
                    let (scale, start) = (self.rng.of(&[1, 1, 3, -1, most]), self.rng.of(&[0, 0, 2, -9]));
                    let (i, start) = (self.exprs.index_mul(i, scale), self.exprs.index_const(start));
                    let i = self.exprs.index_add(i, start);
                    self.exprs.convert(dtype, i)
                }
                _ => self.load(dtype, depth, known),
            };
        }
        let depth = depth - 1;
        match self.rng.below(12) {
            0 => {
                let takes = |f: &UnaryFn| apply_unary(*f, Scalar::from_bits(dtype, 0)).is_some();
                let all: Vec<UnaryFn> = UnaryFn::ALL.iter().copied().filter(takes).collect();
                let (f, x) = (self.rng.of(&all), self.value(dtype, depth, known));
                self.exprs.unary(f, x)
            }
            1 | 2 if dtype == DType::Bool => {
                let of = if self.wide { DType::F32 } else { self.dtype() };
                let zero = Scalar::from_bits(of, 0);
                let takes = |f: &BinaryFn| f.is_comparison() && apply_binary(*f, zero, zero).is_some();
                let all: Vec<BinaryFn> = BinaryFn::ALL.iter().copied().filter(takes).collect();
                if all.is_empty() {
                    return self.load(dtype, depth, known);
                }
                let (f, x, y) =
                    (self.rng.of(&all), self.value(of, depth, known), self.value(of, depth, known));
                self.exprs.binary(f, x, y)
            }
            1..=5 => {
                let zero = Scalar::from_bits(dtype, 0);
                let takes = |f: &BinaryFn| {
                    (!f.is_comparison() || dtype == DType::Bool) && apply_binary(*f, zero, zero).is_some()
                };
                let all: Vec<BinaryFn> = BinaryFn::ALL.iter().copied().filter(takes).collect();
                let f = self.rng.of(&all);
                if self.wide && (f == BinaryFn::Rem || f == BinaryFn::Div && !dtype.is_float())
                    || dtype == DType::Bool && f.is_comparison()
                {
                    return self.load(dtype, depth, known);
                }
                let (x, y) = (self.value(dtype, depth, known), self.value(dtype, depth, known));
                self.exprs.binary(f, x, y)
            }
            6 | 7 => {
                let condition = self.value(DType::Bool, depth, known);
                let (x, y) = (self.value(dtype, depth, known), self.value(dtype, depth, known));
                self.exprs.select(condition, x, y)
            }
            8 | 9 => {
                let mut from = self.dtype();
                if self.wide && from == DType::F64 && !dtype.is_float() {
                    from = DType::F32;
                }
                let x = self.value(from, depth, known);
                self.exprs.convert(dtype, x)
            }
            10 if dtype.is_float() => {
                let [x, y, z] = [0; 3].map(|_| self.value(dtype, depth, known));
                self.exprs.mul_add(x, y, z)
            }
            11 => {
                // Of integers only: which NaN an operation gives is nobody's business.
                let from = match dtype {
                    DType::F32 | DType::U32 => DType::I32,
                    DType::I32 => DType::U32,
                    DType::F64 => DType::I64,
                    _ => dtype,
                };
                let x = self.value(from, depth, known);
                self.exprs.bitcast(dtype, x)
            }
            _ => self.load(dtype, depth, known),
        }
    }
}

/// The same loops, one iteration after the other.
fn serial(stmt: Stmt) -> Stmt {
    match stmt {
        Stmt::For { var, body, .. } => {
            Stmt::For { var, kind: LoopKind::Serial, body: body.into_iter().map(serial).collect() }
        }
        other => other,
    }
}

/// Elements with many special values.
fn elements(rng: &mut Rng, ty: Type) -> Tensor {
    let special = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-40, 2147483648.0, 1e30, 256.0];
    let dtype = ty.dtype;
    Tensor::from_fn(ty, |_| match rng.below(4) {
        0 if dtype.is_float() => Scalar::from_f64(dtype, rng.of(&special)),
        0 => Scalar::from_bits(
            dtype,
            if dtype == DType::Bool { rng.next() & 1 } else { truncated(dtype, rng.next()) },
        ),
        _ => {
            Scalar::F64(rng.below(41) as f64 / if dtype.is_float() { 4.0 } else { 1.0 } - 5.0).convert(dtype)
        }
    })
}

fn truncated(dtype: DType, bits: u64) -> u64 {
    if dtype.size() == 8 { bits } else { bits & ((1 << (8 * dtype.size())) - 1) }
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// What lies between buffers: nobody may touch it.
const GUARD: u8 = 0xA5;

/// All buffers in one piece of memory, each padded to whole lines and followed by a guard; and where each begins.
fn lay_out(buffers: &[Tensor]) -> (Vec<Line>, Vec<usize>) {
    let (mut lines, mut starts) = (vec![Line([GUARD; 64])], vec![]);
    for b in buffers {
        starts.push(lines.len());
        let bytes = b.ty().bytes();
        let mut all = vec![0u8; bytes.next_multiple_of(64)];
        // SAFETY: the tensor has this many bytes.
        all[..bytes].copy_from_slice(unsafe { std::slice::from_raw_parts(b.as_ptr(), bytes) });
        lines.extend(all.chunks_exact(64).map(|c| Line(c.try_into().expect("a line"))));
        lines.push(Line([GUARD; 64]));
    }
    (lines, starts)
}

/// Was it assembled, not compiled by Cranelift?
fn check(kernel: &Kernel, rng: &mut Rng, isa: Isa) -> Result<bool, String> {
    let errors = verify(kernel);
    if !errors.is_empty() {
        return Err(format!("the test made an invalid kernel: {errors:?}"));
    }
    let buffers: Vec<Tensor> =
        kernel.buffers.iter().map(|b| elements(rng, Type::new(b.dtype, [b.elements]))).collect();
    let mut expected: Vec<Tensor> = buffers.to_vec();
    interpret(kernel, &mut expected, 0..kernel.range()).map_err(|e| format!("interpreter: {e}"))?;
    let mut builder = ModuleBuilder::new(isa);
    let id = builder.add_kernel(kernel);
    let module = builder.finish(true).map_err(|e| e.to_string())?;
    let range = kernel.range();
    let middle = (rng.below(3) as i64 * RANGE_ALIGNMENT).min(range);
    for pieces in [vec![(0, range)], vec![(0, middle), (middle, range)]] {
        let (mut lines, starts) = lay_out(&buffers);
        let base = lines.as_mut_ptr();
        let args: Vec<*mut u8> = starts.iter().map(|&s| base.wrapping_add(s).cast::<u8>()).collect();
        for &(begin, end) in &pieces {
            // SAFETY: the buffers have the kernel's types and sizes, and are padded.
            unsafe { module.kernel(id)(args.as_ptr(), begin, end) };
        }
        for (b, (start, expected)) in starts.iter().zip(&expected).enumerate() {
            let ty = expected.ty();
            let (dtype, size) = (ty.dtype, ty.dtype.size());
            let guard = start + ty.bytes().div_ceil(64);
            if lines[guard].0.iter().any(|&x| x != GUARD) {
                return Err(format!("b{b}: wrote beyond the padding"));
            }
            for i in 0..expected.elements() {
                let at = i * size;
                let mut bits = [0; 8];
                bits[..size].copy_from_slice(&lines[start + at / 64].0[at % 64..at % 64 + size]);
                let (got, want) = (Scalar::from_bits(dtype, u64::from_le_bytes(bits)), expected.get(i));
                let nan = got.to_f64().is_nan() && want.to_f64().is_nan();
                if got != want && !nan {
                    return Err(format!(
                        "b{b}[{i}]: {isa} machine code gives {got}, the interpreter {want} (pieces {pieces:?})"
                    ));
                }
            }
        }
    }
    Ok(module.clif(id).is_none())
}

#[test]
fn random_kernels() {
    let number = |name: &str, or: u64| std::env::var(name).map_or(or, |n| n.parse().expect("a number"));
    let (first, count) = (number("BESPOKE_SEED", 1), number("BESPOKE_KERNELS", 400));
    for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| isa <= Isa::detect()) {
        let mut assembled = 0;
        for seed in first..first + count {
            let kernel = Maker::kernel(seed);
            let run = std::panic::AssertUnwindSafe(|| check(&kernel, &mut Rng(seed ^ 0x5EED), isa));
            let result = std::panic::catch_unwind(run).unwrap_or_else(|_| Err("panicked".to_owned()));
            assembled += match result {
                Ok(assembled) => u64::from(assembled),
                Err(e) => panic!("seed {seed}: {e}\n{kernel}"),
            };
        }
        // Both translators have their share.
        let expected = if isa == Isa::Portable { 0..=0 } else { count / 20..=count - 1 };
        assert!(expected.contains(&assembled), "{isa}: {assembled} of {count} kernels were assembled");
    }
}
