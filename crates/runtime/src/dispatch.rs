//! Calls machine code, launch after launch.

use std::ops::Range;

use bespoke_codegen::{GatherFn, KernelFn, LaunchCode, Module, RANGE_ALIGNMENT, TileFn};
use bespoke_loops::{Kernel, LoopKind, Stmt};
use bespoke_lower::{Contraction, Gathered, Launch, Loop, Panels, Place, Program, Side, Slot, Sort, Work};
use bespoke_tensor::DType;
use rayon::{ThreadPool, prelude::*};

use crate::{
    contraction::{block_panels, panel_bytes, panels_at},
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
            (Work::Contraction(c), LaunchCode::Contraction { tile, pack, epilogue }) => {
                let of = |args: &[usize]| args.iter().map(|&a| buffers[a]).collect::<Vec<_>>();
                let product = Product {
                    c,
                    tile: match &c.gathered {
                        None => Multiply::Panels(self.module.tile(*tile)),
                        Some(how) => Multiply::Gather(self.module.gather(*tile), how),
                    },
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

/// The register tile.
enum Multiply<'a> {
    Panels(TileFn),
    Gather(GatherFn, &'a Gathered),
}

/// Terms that are multiplied at a time where sums can go on: so many panels stay in the first-level cache.
const TERMS: usize = 512;

/// One matrix product with its buffers.
struct Product<'a> {
    c: &'a Contraction,
    tile: Multiply<'a>,
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
        Address(scratch.add(panels_at(c)).wrapping_sub(batch * bytes))
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
        let (m_panels, n_panels) = (e.m.div_ceil(tile.mr), self.c.column_panels());
        let rows = first * tile.mr..((first + count) * tile.mr).min(e.m);
        let start = batch * e.m + rows.start;
        // Addressed like the whole product, whether it is the whole or only the rows of this block.
        let product = match self.out {
            Some(out) => out,
            None => {
                Address(scratch.add(panels_at(self.c) + panel_bytes(self.c)).wrapping_sub(start * e.n * size))
            }
        };
        let terms = match self.tile {
            Multiply::Gather(_, how) if how.side == Side::Rows => TERMS,
            _ => e.k,
        };
        for from in (0..e.k).step_by(terms) {
            for column_panel in 0..n_panels {
                let (column, width) = self.c.columns(column_panel);
                let steps = match self.tile {
                    Multiply::Gather(_, how) if how.side == Side::Columns => how.ranges[column_panel].clone(),
                    _ => from..(from + terms).min(e.k),
                };
                for panel in first..first + count {
                    let height = tile.mr.min(e.m - panel * tile.mr);
                    let to = product.add(((batch * e.m + panel * tile.mr) * e.n + column) * size);
                    let multiply = |to: *mut u8, ldc: usize| {
                        self.multiply(
                            batch,
                            [panel, column_panel],
                            [m_panels, n_panels],
                            steps.clone(),
                            to,
                            ldc,
                            scratch,
                        );
                    };
                    if width == tile.nr && height == tile.mr {
                        multiply(to, e.n);
                        continue;
                    }
                    let rows = (0..height)
                        .map(|row| (scratch.add(row * tile.nr * size), to.wrapping_add(row * e.n * size)));
                    // SAFETY: the tile goes to scratch memory, which has room for one, and its inner part to the product, from
                    // where sums that go on come.
                    unsafe {
                        if from > 0 {
                            rows.clone().for_each(|(here, there)| {
                                std::ptr::copy_nonoverlapping(there, here, width * size)
                            });
                        }
                        multiply(scratch.0, tile.nr);
                        rows.for_each(|(here, there)| {
                            std::ptr::copy_nonoverlapping(here, there, width * size)
                        });
                    }
                }
            }
        }
        if let Some(epilogue) = self.epilogue {
            let args: Vec<Address> = [product].into_iter().chain(self.args.iter().copied()).collect();
            call(epilogue, &args, start as i64, (batch * e.m + rows.end) as i64);
        }
    }

    /// One tile: these terms of a panel of rows and one of columns, of so many. Sums go on but from the first term.
    #[allow(clippy::too_many_arguments)] // the position in a product has as many coordinates
    fn multiply(
        &self,
        batch: usize,
        [panel, column_panel]: [usize; 2],
        [m_panels, n_panels]: [usize; 2],
        steps: Range<usize>,
        to: *mut u8,
        ldc: usize,
        scratch: Address,
    ) {
        let (e, tile) = (self.c.extents, self.c.tile);
        let size = tile.dtype.size();
        let b = match self.b {
            Right::At(b) => b,
            Right::Packed(..) => self.packed(batch, scratch),
        };
        let panel_a =
            || self.a.add(((batch % self.c.a_batch * m_panels + panel) * e.k + steps.start) * tile.mr * size);
        let panel_b = || b.add(((batch * n_panels + column_panel) * e.k + steps.start) * tile.nr * size);
        let (k, ldc) = (steps.len() as i64, ldc as i64);
        match self.tile {
            // SAFETY: both panels are whole, and the caller has room for the tile.
            Multiply::Panels(code) => unsafe { code(panel_a(), panel_b(), k, to, ldc) },
            Multiply::Gather(code, how) => {
                let (terms, at_start) = (how.terms[steps.clone()].as_ptr(), steps.start == 0);
                let at = batch as i64 * how.batch;
                let (a, b, rows, add) = match how.side {
                    Side::Rows => {
                        let rows = how.starts[panel * tile.mr..][..tile.mr].as_ptr();
                        (self.a.add(at as usize), panel_b(), rows, i64::from(!at_start))
                    }
                    Side::Columns => {
                        let start = at + how.starts[column_panel];
                        (panel_a(), b.0.wrapping_offset(start as isize), terms, 0)
                    }
                };
                // SAFETY: as above; what is gathered lies in its buffer, which the program's verifier checks, and there are as
                // many offsets as the code reads.
                unsafe { code(a, b, k, to, ldc, terms, rows, add) }
            }
        }
    }
}
