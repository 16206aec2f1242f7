//! Calls machine code, launch after launch.

use bespoke_codegen::{KernelFn, LaunchCode, Module, RANGE_ALIGNMENT};
use bespoke_loops::{Kernel, LoopKind, Stmt};
use bespoke_lower::{Launch, Loop, Panels, Place, Program, Slot, Sort, Work};
use bespoke_tensor::DType;

use crate::{
    executable::Compiled,
    product::Product,
    sort,
    team::{self, Member, Team},
};

/// Below this estimate, in seconds, a launch is not worth sharing: to wait for each other costs about as much.
const WORTH_SHARING: f64 = 3e-6;
/// Below this estimate of all launches that are shared, a run is not worth waking other threads.
const WORTH_WAKING: f64 = 50e-6;
/// Rough speeds of one core for these estimates: operations a second, those of products, and bytes.
const FLOP_RATE: f64 = 20e9;
const PRODUCT_RATE: f64 = 100e9;
const BYTE_RATE: f64 = 12e9;

/// An address that threads may share.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Address(pub *mut u8);

// SAFETY: an address is plain data; those who write through it write to disjoint memory (see `run`).
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    /// So many bytes further.
    pub fn add(self, bytes: usize) -> *mut u8 {
        self.0.wrapping_add(bytes)
    }
}

/// Runs all launches on these buffers (without `setup` only those that do not give the same in every run), then copies the states
/// that could not be updated in place. `scratch` is memory for
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
    team: Option<&Team>,
    setup: bool,
    observe: Option<&(dyn Fn(usize) + Sync)>,
) {
    let buffers: Vec<Address> = buffers.iter().map(|&b| Address(b)).collect();
    let scratch: Vec<Address> = scratch.iter().map(|&s| Address(s)).collect();
    let (program, code) = (&compiled.program, &compiled.code);
    let run = Run { module: &code.module, scratch: &scratch };
    let first = if setup { 0 } else { program.setup };
    let all = |member: &mut Member<'_>| {
        run.program(member, program, &code.launches, &buffers, first, observe);
    };
    match team {
        Some(team) if shared_seconds(program) > WORTH_WAKING => team.run(all),
        _ => team::alone(all),
    }
}

/// An estimate of how long one core takes.
fn seconds(launch: &Launch) -> f64 {
    let rate = if matches!(launch.work, Work::Contraction(_)) { PRODUCT_RATE } else { FLOP_RATE };
    (launch.flop / rate).max(launch.bytes / BYTE_RATE)
}

fn is_worth_sharing(launch: &Launch) -> bool {
    match &launch.work {
        Work::Loop(scan) => scan.body.launches.iter().any(is_worth_sharing),
        _ => seconds(launch) > WORTH_SHARING,
    }
}

/// An estimate of how long one core takes for all launches that are worth sharing.
fn shared_seconds(program: &Program) -> f64 {
    let of = |launch: &Launch| match &launch.work {
        Work::Loop(scan) => shared_seconds(&scan.body) * scan.length as f64,
        _ => seconds(launch),
    };
    program.launches.iter().filter(|l| is_worth_sharing(l)).map(of).sum()
}

/// What all launches of a run have in common.
struct Run<'a> {
    module: &'a Module,
    /// Scratch memory of each thread.
    scratch: &'a [Address],
}

impl Run<'_> {
    /// Runs the launches of a program from the first one on, then copies the states that could not be updated in place. All
    /// members of a team call it.
    fn program(
        &self,
        member: &mut Member<'_>,
        program: &Program,
        code: &[LaunchCode],
        buffers: &[Address],
        first: usize,
        observe: Option<&(dyn Fn(usize) + Sync)>,
    ) {
        for (i, (launch, code)) in program.launches.iter().zip(code).enumerate().skip(first) {
            self.launch(member, program, launch, code, buffers);
            if let Some(observe) = observe {
                member.wait();
                member.first(|| observe(i));
            }
        }
        for state in &program.states {
            if let Some(from) = state.copy_from {
                let bytes = program.buffers[from].ty.bytes();
                member.first(|| copy(buffers[from], buffers[state.buffer], bytes));
            }
        }
    }

    fn launch(
        &self,
        member: &mut Member<'_>,
        program: &Program,
        launch: &Launch,
        code: &LaunchCode,
        buffers: &[Address],
    ) {
        let shared = is_worth_sharing(launch);
        match (&launch.work, code) {
            (Work::Loops(kernel), LaunchCode::Loops(function)) => {
                let args: Vec<Address> = launch.args.iter().map(|&a| buffers[a]).collect();
                let function = self.module.kernel(*function);
                let align = if is_vector(kernel) { RANGE_ALIGNMENT } else { 1 };
                share(member, shared, kernel.range(), align, |_, begin, end| {
                    call(function, &args, begin, end);
                });
            }
            (Work::Contraction(c), LaunchCode::Contraction { .. }) => {
                let product = Product::new(c, code, self.module, launch, buffers);
                let panels = c.extents.m.div_ceil(c.tile.mr);
                let range = if matches!(c.b, Panels::Packed(..)) { 1 } else { panels } * c.extents.batch;
                share(member, shared, range as i64, 1, |index, begin, end| {
                    product.run(begin as usize, end as usize, self.scratch[index]);
                });
            }
            (Work::Loop(scan), LaunchCode::Loop(code)) if shared => {
                self.steps(member, program, scan, code, buffers);
            }
            (Work::Loop(scan), LaunchCode::Loop(code)) => member.first(|| {
                team::alone(|member| self.steps(member, program, scan, code, buffers));
            }),
            (Work::Sort(s), LaunchCode::Sort) => {
                sort_lines(member, shared, s, buffers[s.from], buffers[s.to]);
            }
            _ => unreachable!("code is generated for each launch in order"),
        }
    }

    /// Runs the body of a loop for each step.
    fn steps(
        &self,
        member: &mut Member<'_>,
        program: &Program,
        scan: &Loop,
        code: &[LaunchCode],
        buffers: &[Address],
    ) {
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
            let bytes = program.buffers[carry.buffer].ty.bytes();
            member.first(|| copy(buffers[carry.start], buffers[carry.buffer], bytes));
        }
        let inputs = body.inputs.iter().zip(&scan.inputs);
        let pieces: Vec<(usize, Slot)> =
            inputs.chain(body.outputs.iter().zip(&scan.outputs)).map(|((_, b), slot)| (*b, *slot)).collect();
        for step in 0..scan.length {
            let first = if step == 0 { 0 } else { body.setup };
            let step = if scan.reverse { scan.length - 1 - step } else { step };
            for &(buffer, slot) in &pieces {
                inner[buffer] = Address(buffers[slot.buffer].add(step * slot.stride_bytes));
            }
            self.program(member, body, code, &inner, first, None);
        }
    }
}

/// Sorts lines; threads share the axes before them.
fn sort_lines(member: &mut Member<'_>, shared: bool, s: &Sort, from: Address, to: Address) {
    let [outer, extent, inner] = s.extents;
    let block = extent * inner;
    share(member, shared, outer as i64, 1, |_, begin, end| {
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

/// Calls `f(index, begin, end)` for this member's piece of `0..range`, or for all of it if it is the first and the work is not
/// shared.
fn share(member: &mut Member<'_>, shared: bool, range: i64, align: i64, f: impl FnOnce(usize, i64, i64)) {
    let (index, count) = (member.index() as i64, member.count() as i64);
    let steps = range.div_euclid(align) + i64::from(range % align != 0);
    if !shared || count == 1 || steps <= 1 {
        return member.first(|| f(0, 0, range));
    }
    let edge = |part: i64| (steps * part / count * align).min(range);
    member.all(|| f(index as usize, edge(index), edge(index + 1)));
}

/// Calls a kernel for a piece of its range.
pub fn call(function: KernelFn, args: &[Address], begin: i64, end: i64) {
    if begin < end {
        // SAFETY: the code was generated for a kernel with these buffers; it stays inside them (code is refused for
        // a kernel whose indices may leave its buffers; gathers clamp), and pieces of the range write to disjoint elements. `Address` has
        // the layout of a pointer.
        unsafe { function(args.as_ptr().cast(), begin, end) }
    }
}
