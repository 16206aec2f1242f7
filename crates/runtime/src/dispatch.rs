//! Calls machine code, launch after launch.

use std::ops::Range;

use bespoke_codegen::{KernelFn, LaunchCode, Module, RANGE_ALIGNMENT, TileFn};
use bespoke_loops::{Kernel, LoopKind, Stmt};
use bespoke_lower::{Contraction, Launch, Loop, Panels, Place, Program, Reading, Slot, Sort, Work};
use bespoke_tensor::DType;
use rayon::{ThreadPool, prelude::*};

use crate::{
    contraction::{block_panels, panel_bytes},
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
            (Work::Contraction(c), LaunchCode::Contraction { tile, last, pack, epilogue }) => {
                let of = |args: &[usize]| args.iter().map(|&a| buffers[a]).collect::<Vec<_>>();
                let product = Product {
                    c,
                    tile: self.module.tile(*tile),
                    last: self.module.tile(last.unwrap_or(*tile)),
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

/// Terms that are multiplied at a time: so many of a panel of rows stay in the first-level cache.
const TERMS: usize = 256;

/// One matrix product with its buffers.
struct Product<'a> {
    c: &'a Contraction,
    tile: TileFn,
    /// For the last rows.
    last: TileFn,
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
            None => Address(scratch.add(panel_bytes(self.c)).wrapping_sub(start * e.n * size)),
        };
        for from in (0..e.k).step_by(TERMS) {
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
                for panel in first..first + count {
                    let row = batch * e.m + panel * tile.mr;
                    let to = product.add((row * e.n + self.c.columns(column_panel)) * size);
                    self.multiply(batch, panel, column_panel, terms.clone(), from > 0, to, scratch);
                }
            }
        }
        if let Some(epilogue) = self.epilogue {
            let args: Vec<Address> = [product].into_iter().chain(self.args.iter().copied()).collect();
            call(epilogue, &args, start as i64, (batch * e.m + rows.end) as i64);
        }
    }

    /// One tile: these terms of a panel of rows and one of columns. With `add`, sums go on.
    #[allow(clippy::too_many_arguments)] // a place in a product has as many coordinates
    fn multiply(
        &self,
        batch: usize,
        panel: usize,
        column_panel: usize,
        terms: Range<usize>,
        add: bool,
        to: *mut u8,
        scratch: Address,
    ) {
        let (c, e, tile) = (self.c, self.c.extents, self.c.tile);
        let size = tile.dtype.size();
        let none = std::ptr::null();
        let (mut offsets, mut rows) = (none, none);
        let a = match &c.left {
            Reading::Panels => {
                let panel = batch % c.a_batch * e.m.div_ceil(tile.mr) + panel;
                ((panel * e.k + terms.start) * tile.mr * size) as i64
            }
            Reading::Strided { starts, line, term } => {
                starts[batch] + (panel * tile.mr) as i64 * line + terms.start as i64 * term
            }
            Reading::Gathered(how) => {
                offsets = how.terms[terms.clone()].as_ptr();
                rows = how.starts[panel * tile.mr..].as_ptr();
                batch as i64 * how.batch
            }
        };
        let b = match &c.right {
            Reading::Panels => {
                (((batch * c.column_panels() + column_panel) * e.k + terms.start) * tile.nr * size) as i64
            }
            Reading::Strided { starts, term, .. } => {
                starts[batch] + (c.columns(column_panel) * size) as i64 + terms.start as i64 * term
            }
            Reading::Gathered(how) => {
                offsets = how.terms[terms.clone()].as_ptr();
                batch as i64 * how.batch + how.starts[column_panel]
            }
        };
        let right = match self.b {
            Right::At(b) => b,
            Right::Packed(..) => self.packed(batch, scratch),
        };
        let (a, b) = (self.a.0.wrapping_offset(a as isize), right.0.wrapping_offset(b as isize));
        let is_last = (panel + 1) * tile.mr > e.m;
        let code = if is_last { self.last } else { self.tile };
        // SAFETY: what is read lies in the operands' buffers, which the program's verifier checks, there are as many offsets as
        // the code reads, and the caller has room for the tile.
        unsafe { code(a, b, terms.len() as i64, to, e.n as i64, offsets, rows, i64::from(add)) }
    }
}
