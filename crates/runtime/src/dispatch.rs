//! Calls machine code, launch after launch.

use std::ops::Range;

use bespoke_codegen::{CopyFn, FunctionId, KernelFn, LaunchCode, Module, RANGE_ALIGNMENT, TileFn};
use bespoke_loops::{Kernel, LoopKind, Stmt};
use bespoke_lower::{Contraction, Launch, Loop, Panels, Place, Program, Reading, Slot, Sort, Work};
use bespoke_tensor::DType;
use rayon::{ThreadPool, prelude::*};

use crate::{
    contraction::{Scratch, TERMS, block_panels},
    executable::Compiled,
    sort,
};

/// Below this estimate, in seconds, a launch is not worth sharing: waking a thread costs about as much.
const WORTH_SHARING: f64 = 20e-6;
/// Rough speeds of one core for that estimate: operations and bytes a second.
const FLOP_RATE: f64 = 20e9;
const BYTE_RATE: f64 = 12e9;

/// An address that threads may share.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Address(*mut u8);

// SAFETY: an address is plain data; those who write through it write to disjoint memory (see `run`).
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    fn add(self, bytes: usize) -> *mut u8 {
        self.0.wrapping_add(bytes)
    }
}

/// Runs all launches on these buffers, then copies the states that could not be updated in place. `scratch` is memory for
/// each thread, as large as [`scratch_bytes`](crate::contraction::scratch_bytes) of every launch. `observe` is told after
/// each launch.
///
/// # Safety
/// Each address must be that of a buffer of the program's type, 64-byte aligned and padded to whole
/// 64-byte lines, alive during the call; buffers that kernels write must not be shared with anyone.
pub unsafe fn run(
    compiled: &Compiled,
    buffers: &[*mut u8],
    scratch: &mut [*mut u8],
    pool: Option<&ThreadPool>,
    observe: Option<&(dyn Fn(usize) + Sync)>,
) {
    let buffers: Vec<Address> = buffers.iter().map(|&b| Address(b)).collect();
    let scratch: Vec<Address> = scratch.iter().map(|&s| Address(s)).collect();
    let (program, code) = (&compiled.program, &compiled.code);
    let run = Run { module: &code.module, scratch: &scratch };
    let all = || run.program(program, &code.launches, &buffers, observe);
    match pool {
        // Enter the pool once, and only with a reason: handing work to it costs more than a small kernel.
        Some(pool) if program.launches.iter().any(is_worth_sharing) => pool.install(all),
        _ => all(),
    }
}

fn is_worth_sharing(launch: &Launch) -> bool {
    match &launch.work {
        Work::Loop(scan) => scan.body.launches.iter().any(is_worth_sharing),
        _ => (launch.flop / FLOP_RATE).max(launch.bytes / BYTE_RATE) > WORTH_SHARING,
    }
}

/// What all launches of a run have in common.
struct Run<'a> {
    module: &'a Module,
    /// Scratch memory of each thread.
    scratch: &'a [Address],
}

impl Run<'_> {
    /// Runs all launches of a program, then copies the states that could not be updated in place.
    fn program(
        &self,
        program: &Program,
        code: &[LaunchCode],
        buffers: &[Address],
        observe: Option<&(dyn Fn(usize) + Sync)>,
    ) {
        for (i, (launch, code)) in program.launches.iter().zip(code).enumerate() {
            self.launch(program, launch, code, buffers);
            if let Some(observe) = observe {
                observe(i);
            }
        }
        for state in &program.states {
            if let Some(from) = state.copy_from {
                copy(buffers[from], buffers[state.buffer], program.buffers[from].ty.bytes());
            }
        }
    }

    fn launch(&self, program: &Program, launch: &Launch, code: &LaunchCode, buffers: &[Address]) {
        let parts = if is_worth_sharing(launch) { self.scratch.len() } else { 1 };
        match (&launch.work, code) {
            (Work::Loops(kernel), LaunchCode::Loops(function)) => {
                let args: Vec<Address> = launch.args.iter().map(|&a| buffers[a]).collect();
                let function = self.module.kernel(*function);
                let align = if is_vector(kernel) { RANGE_ALIGNMENT } else { 1 };
                share(kernel.range(), align, parts, |_, begin, end| call(function, &args, begin, end));
            }
            (Work::Contraction(c), LaunchCode::Contraction { rows, last_rows, columns, pack, epilogue }) => {
                let of = |args: &[usize]| args.iter().map(|&a| buffers[a]).collect::<Vec<_>>();
                let product = Product {
                    c,
                    rows: self.rows(*rows),
                    last_rows: self.rows(last_rows.unwrap_or(*rows)),
                    columns_code: columns.map(|c| self.module.copy(c)),
                    places: Scratch::of(c),
                    epilogue: epilogue.map(|e| self.module.kernel(e)),
                    a: buffers[c.a],
                    b: match &c.b {
                        Panels::Buffer(b) => Right::At(buffers[*b]),
                        Panels::Packed(_, args) => {
                            let pack = pack.expect("code is generated for it");
                            Right::Packed(self.module.kernel(pack), of(args))
                        }
                    },
                    out: c.out.map(|o| buffers[o]),
                    args: of(&launch.args),
                };
                let panels = c.extents.m.div_ceil(c.tile.mr);
                match &product.b {
                    Right::At(_) => share((panels * c.extents.batch) as i64, 1, parts, |part, begin, end| {
                        product.panels(begin as usize, end as usize, self.scratch[part]);
                    }),
                    Right::Packed(..) => share(c.extents.batch as i64, 1, parts, |part, begin, end| {
                        for batch in begin as usize..end as usize {
                            product.pack(batch, self.scratch[part]);
                            product.panels(batch * panels, (batch + 1) * panels, self.scratch[part]);
                        }
                    }),
                }
            }
            (Work::Loop(scan), LaunchCode::Loop(code)) => self.steps(program, scan, code, buffers),
            (Work::Sort(s), LaunchCode::Sort) => sort_lines(s, buffers[s.from], buffers[s.to], parts),
            _ => unreachable!("code is generated for each launch in order"),
        }
    }

    fn rows(&self, (tile, copy): (FunctionId, Option<FunctionId>)) -> (TileFn, Option<CopyFn>) {
        (self.module.tile(tile), copy.map(|c| self.module.copy(c)))
    }

    /// Runs the body of a loop for each step.
    fn steps(&self, program: &Program, scan: &Loop, code: &[LaunchCode], buffers: &[Address]) {
        let body = &scan.body;
        let arena = scan.arena.map(|a| buffers[a]);
        let mut inner: Vec<Address> = body
            .buffers
            .iter()
            .map(|buffer| match &buffer.place {
                Place::Arena(offset) => Address(arena.map_or(std::ptr::null_mut(), |a| a.add(*offset))),
                Place::Constant(tensor) => Address(tensor.as_ptr().cast_mut()),
                Place::Input | Place::State | Place::Output => Address(std::ptr::null_mut()),
            })
            .collect();
        for (state, carry) in body.states.iter().zip(&scan.carries) {
            inner[state.buffer] = buffers[carry.buffer];
            copy(buffers[carry.start], buffers[carry.buffer], program.buffers[carry.buffer].ty.bytes());
        }
        let inputs = body.inputs.iter().zip(&scan.inputs);
        let pieces: Vec<(usize, Slot)> =
            inputs.chain(body.outputs.iter().zip(&scan.outputs)).map(|((_, b), slot)| (*b, *slot)).collect();
        for step in 0..scan.length {
            let step = if scan.reverse { scan.length - 1 - step } else { step };
            for &(buffer, slot) in &pieces {
                inner[buffer] = Address(buffers[slot.buffer].add(step * slot.stride_bytes));
            }
            self.program(body, code, &inner, None);
        }
    }
}

/// Sorts lines; threads share the axes before them.
fn sort_lines(s: &Sort, from: Address, to: Address, parts: usize) {
    let [outer, extent, inner] = s.extents;
    let block = extent * inner;
    share(outer as i64, 1, parts, |_, begin, end| {
        let (begin, count) = (begin as usize, (end - begin) as usize * block);
        let (first, size) = (begin * block, s.dtype.size());
        // SAFETY: both buffers have `outer` blocks, of the element types said, and pieces are of different blocks.
        unsafe {
            let to = std::slice::from_raw_parts_mut(to.add(first * 4).cast::<i32>(), count);
            let from = from.add(first * size);
            let lines = sort::Lines { extent, inner, descending: s.descending };
            match s.dtype {
                DType::F32 => lines.floats(std::slice::from_raw_parts(from.cast::<f32>(), count), to),
                DType::F64 => lines.floats(std::slice::from_raw_parts(from.cast::<f64>(), count), to),
                DType::I32 => lines.integers(std::slice::from_raw_parts(from.cast::<i32>(), count), to),
                DType::I64 => lines.integers(std::slice::from_raw_parts(from.cast::<i64>(), count), to),
                DType::U8 => lines.integers(std::slice::from_raw_parts(from.cast_const(), count), to),
                DType::U32 => lines.integers(std::slice::from_raw_parts(from.cast::<u32>(), count), to),
                DType::Bool => unreachable!("numbers are sorted"),
            }
        }
    });
}

/// Copies between buffers that do not overlap.
fn copy(from: Address, to: Address, bytes: usize) {
    // SAFETY: both buffers have this size, and buffers that are alive together do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from.0, to.0, bytes) };
}

fn is_vector(kernel: &Kernel) -> bool {
    matches!(kernel.body, Stmt::For { kind: LoopKind::Vector(_), .. })
}

/// Calls `f(part, begin, end)` for pieces of `0..range`, at the same time if there are several.
fn share(range: i64, align: i64, parts: usize, f: impl Fn(usize, i64, i64) + Sync) {
    let steps = range.div_euclid(align) + i64::from(range % align != 0);
    let parts = parts.min(steps.max(1) as usize);
    if parts <= 1 {
        return f(0, 0, range);
    }
    let edge = |part: usize| (steps * part as i64 / parts as i64 * align).min(range);
    (0..parts).into_par_iter().with_max_len(1).for_each(|part| f(part, edge(part), edge(part + 1)));
}

fn call(function: KernelFn, args: &[Address], begin: i64, end: i64) {
    if begin < end {
        // SAFETY: the code was generated for a kernel with these buffers; it stays inside them (code is refused for
        // a kernel whose indices may leave its buffers; gathers clamp), and pieces of the range write to disjoint elements. `Address` has
        // the layout of a pointer.
        unsafe { function(args.as_ptr().cast(), begin, end) }
    }
}

/// The panels of B.
enum Right {
    /// Of all products.
    At(Address),
    /// Packed into scratch memory before each product, by this kernel from these buffers.
    Packed(KernelFn, Vec<Address>),
}

/// One matrix product with its buffers.
struct Product<'a> {
    c: &'a Contraction,
    /// The tile, and what copies its rows.
    rows: (TileFn, Option<CopyFn>),
    /// The same for the last rows.
    last_rows: (TileFn, Option<CopyFn>),
    /// What copies columns.
    columns_code: Option<CopyFn>,
    places: Scratch,
    epilogue: Option<KernelFn>,
    a: Address,
    b: Right,
    out: Option<Address>,
    args: Vec<Address>,
}

impl Product<'_> {
    /// Packs the panels of B of one product into scratch memory.
    fn pack(&self, batch: usize, scratch: Address) {
        if let Right::Packed(function, args) = &self.b {
            let args: Vec<Address> =
                [self.packed(batch, scratch)].into_iter().chain(args.iter().copied()).collect();
            call(*function, &args, batch as i64, batch as i64 + 1);
        }
    }

    /// Where the panels of all products would begin if those of this one, which are in scratch memory, were among them.
    fn packed(&self, batch: usize, scratch: Address) -> Address {
        let c = self.c;
        let bytes = c.column_panels() * c.extents.k * c.tile.nr * c.tile.dtype.size();
        Address(scratch.0.wrapping_sub(batch * bytes))
    }

    /// Computes the rows of the panels `begin..end` of A (over all batches), and runs the epilogue on them.
    fn panels(&self, begin: usize, end: usize, scratch: Address) {
        let e = self.c.extents;
        let per_batch = e.m.div_ceil(self.c.tile.mr);
        let block = block_panels(self.c);
        let mut at = begin;
        while at < end {
            // A block lies within one batch.
            let stop = (at + block).min(end).min((at / per_batch + 1) * per_batch);
            self.block(at / per_batch, at % per_batch, stop - at, scratch);
            at = stop;
        }
    }

    /// `count` panels from `first` of one batch.
    fn block(&self, batch: usize, first: usize, count: usize, scratch: Address) {
        let (e, tile) = (self.c.extents, self.c.tile);
        let size = tile.dtype.size();
        let rows = first * tile.mr..((first + count) * tile.mr).min(e.m);
        let start = batch * e.m + rows.start;
        // Addressed like the whole product, whether it is the whole or only the rows of this block.
        let product = match self.out {
            Some(out) => out,
            None => Address(scratch.add(self.places.product).wrapping_sub(start * e.n * size)),
        };
        for from in (0..e.k).step_by(TERMS) {
            for panel in first..first + count {
                self.copy_rows(batch, panel, panel - first, from..(from + TERMS).min(e.k), scratch);
            }
            for column_panel in 0..self.c.column_panels() {
                // Terms that count are multiplied, and where none does zeros are written.
                let all = match &self.c.right {
                    Reading::Gathered(how) => how.ranges[column_panel].clone(),
                    _ => 0..e.k,
                };
                let terms = all.start + from..(all.start + from + TERMS).min(all.end);
                if terms.is_empty() && from > 0 {
                    continue;
                }
                let columns = self.columns(batch, column_panel, &terms, scratch);
                for panel in first..first + count {
                    let row = batch * e.m + panel * tile.mr;
                    let to = product.add((row * e.n + self.c.columns(column_panel)) * size);
                    let rows = self.rows(batch, panel, panel - first, &terms, scratch);
                    let (code, none) = (self.rows_code(panel).0, std::ptr::null());
                    let offsets = rows.terms.or(columns.terms).unwrap_or(none);
                    let starts = rows.starts.unwrap_or(none);
                    let (k, add) = (terms.len() as i64, i64::from(from > 0));
                    // SAFETY: what is read lies in the operands' buffers, which the program's verifier checks, or in scratch
                    // memory; there are as many offsets as the code reads, and the product has room for the tile.
                    unsafe { code(rows.at, columns.at, k, to, e.n as i64, offsets, starts, add) }
                }
            }
        }
        if let Some(epilogue) = self.epilogue {
            let args: Vec<Address> = [product].into_iter().chain(self.args.iter().copied()).collect();
            call(epilogue, &args, start as i64, (batch * e.m + rows.end) as i64);
        }
    }

    /// The tile of a panel of rows, and what copies them.
    fn rows_code(&self, panel: usize) -> (TileFn, Option<CopyFn>) {
        if (panel + 1) * self.c.tile.mr > self.c.extents.m { self.last_rows } else { self.rows }
    }

    /// Copies some terms of a panel of rows to its place in a block, if they are copied.
    fn copy_rows(&self, batch: usize, panel: usize, place: usize, terms: Range<usize>, scratch: Address) {
        let Reading::Strided { starts, line, term, .. } = &self.c.left else { return };
        if let Some(copy) = self.rows_code(panel).1 {
            let mr = self.c.tile.mr;
            let from = starts[batch] + (panel * mr) as i64 * line + terms.start as i64 * term;
            let from = self.a.0.wrapping_offset(from as isize);
            // SAFETY: the lines lie in their buffer, which the program's verifier checks, and scratch memory has room.
            unsafe { copy(from, self.copied_rows(place, scratch), terms.len() as i64, std::ptr::null()) }
        }
    }

    fn copied_rows(&self, place: usize, scratch: Address) -> *mut u8 {
        let (tile, terms) = (self.c.tile, self.c.extents.k.min(TERMS));
        scratch.add(self.places.rows + place * tile.mr * terms * tile.dtype.size())
    }

    /// Where a panel of rows is, which is at `place` of a block.
    fn rows(
        &self,
        batch: usize,
        panel: usize,
        place: usize,
        terms: &Range<usize>,
        scratch: Address,
    ) -> Operand {
        let (c, e, tile) = (self.c, self.c.extents, self.c.tile);
        match &c.left {
            Reading::Panels => {
                let panel = batch % c.a_batch * e.m.div_ceil(tile.mr) + panel;
                let elements = (panel * e.k + terms.start) * tile.mr;
                Operand::at(self.a, (elements * tile.dtype.size()) as i64)
            }
            Reading::Strided { copied: true, .. } => {
                Operand { at: self.copied_rows(place, scratch), terms: None, starts: None }
            }
            Reading::Strided { starts, line, term, copied: false } => Operand::at(
                self.a,
                starts[batch] + (panel * tile.mr) as i64 * line + terms.start as i64 * term,
            ),
            Reading::Gathered(how) => Operand {
                terms: Some(how.terms[terms.clone()].as_ptr()),
                starts: Some(how.starts[panel * tile.mr..].as_ptr()),
                ..Operand::at(self.a, batch as i64 * how.batch)
            },
        }
    }

    /// Where some terms of a panel of columns are: in scratch memory once they are copied there, if they are.
    fn columns(&self, batch: usize, panel: usize, terms: &Range<usize>, scratch: Address) -> Operand {
        let (c, tile) = (self.c, self.c.tile);
        let size = tile.dtype.size();
        let b = match self.b {
            Right::At(b) => b,
            Right::Packed(..) => self.packed(batch, scratch),
        };
        match &c.right {
            Reading::Panels => {
                let elements = ((batch * c.column_panels() + panel) * c.extents.k + terms.start) * tile.nr;
                Operand::at(b, (elements * size) as i64)
            }
            Reading::Strided { starts, line, term, .. } => {
                let start = starts[batch] + c.columns(panel) as i64 * line + terms.start as i64 * term;
                let there = Operand::at(b, start);
                let Some(copy) = self.columns_code else { return there };
                let to = scratch.add(self.places.columns);
                // SAFETY: as with rows.
                unsafe { copy(there.at, to, terms.len() as i64, std::ptr::null()) };
                Operand { at: to, ..there }
            }
            Reading::Gathered(how) => Operand {
                terms: Some(how.terms[terms.clone()].as_ptr()),
                ..Operand::at(b, batch as i64 * how.batch + how.starts[panel])
            },
        }
    }
}

/// Where a tile finds some terms of an operand.
struct Operand {
    at: *const u8,
    /// Offsets of the terms, if they are gathered.
    terms: Option<*const i64>,
    /// Offsets of the rows, if they are gathered.
    starts: Option<*const i64>,
}

impl Operand {
    fn at(buffer: Address, bytes: i64) -> Operand {
        Operand { at: buffer.0.wrapping_offset(bytes as isize), terms: None, starts: None }
    }
}
