//! What lowering makes: kernels in order, with their buffers.

use bespoke_graph::IndexInput;
use bespoke_loops::{Access, Kernel};
use bespoke_tensor::{Tensor, Type};

use crate::{Contraction, Isa, Panels, Sort};

/// A buffer's position in [`Program::buffers`].
pub type BufferIndex = usize;

/// Where a buffer lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In the caller's tensor.
    Input,
    /// In the executable's memory of states; it survives the run.
    State,
    /// In a tensor given to the caller.
    Output,
    /// In the program.
    Constant(Tensor),
    /// At this byte of the arena, 64-byte aligned.
    Arena(usize),
}

/// A tensor that kernels read or write.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// The name of the input, state or output; of others, the kernel that writes it.
    pub name: String,
    /// Element type and shape.
    pub ty: Type,
    /// Where it lies.
    pub place: Place,
    /// Is it a piece of a larger buffer, so that what lies behind its end belongs to others?
    pub sliced: bool,
}

/// A state and the buffer that holds it.
#[derive(Clone, Debug)]
pub struct StateSlot {
    /// The state's name.
    pub name: String,
    /// The buffer, of [`Place::State`].
    pub buffer: BufferIndex,
    /// The buffer to copy from after the last launch, where the update could not be made in place.
    pub copy_from: Option<BufferIndex>,
}

/// What a launch runs.
#[derive(Clone, Debug)]
pub enum Work {
    /// A loop kernel.
    Loops(Kernel),
    /// A matrix product around a register tile.
    Contraction(Contraction),
    /// A program that runs again and again.
    Loop(Loop),
    /// Lines that are sorted.
    Sort(Sort),
}

/// A buffer of which each step of a loop uses its own piece, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The buffer.
    pub buffer: BufferIndex,
    /// From one step's piece to the next one's; 0: all steps use the same.
    pub stride_bytes: usize,
}

/// A value that goes from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carry {
    /// Where it starts.
    pub start: BufferIndex,
    /// Where each step finds it and leaves it.
    pub buffer: BufferIndex,
}

/// A program that runs for each of a number of steps: its code does not depend on their number.
#[derive(Clone, Debug)]
pub struct Loop {
    /// A name for people; unique within a program.
    pub name: String,
    /// One step. Its states are the carried values.
    pub body: Box<Program>,
    /// The number of steps.
    pub length: usize,
    /// Do they run from the last to the first?
    pub reverse: bool,
    /// What the body's inputs are, in their order.
    pub inputs: Vec<Slot>,
    /// What the body's states are, in their order.
    pub carries: Vec<Carry>,
    /// What the body's outputs are, in their order.
    pub outputs: Vec<Slot>,
    /// The memory of values that live during a step, if there are any.
    pub arena: Option<BufferIndex>,
}

impl Loop {
    /// Buffers of the body that lie in buffers around it, and those.
    pub fn buffers(&self) -> Vec<(BufferIndex, BufferIndex)> {
        let inputs = self.body.inputs.iter().zip(&self.inputs).map(|(i, slot)| (i.1, slot.buffer));
        let carries = self.body.states.iter().zip(&self.carries).map(|(s, carry)| (s.buffer, carry.buffer));
        let outputs = self.body.outputs.iter().zip(&self.outputs).map(|(o, slot)| (o.1, slot.buffer));
        inputs.chain(carries).chain(outputs).collect()
    }

    /// The buffers that it writes.
    fn written(&self) -> Vec<BufferIndex> {
        let carries = self.carries.iter().map(|c| c.buffer);
        carries.chain(self.outputs.iter().map(|o| o.buffer)).chain(self.arena).collect()
    }

    /// The buffers that it only reads.
    fn read(&self) -> impl Iterator<Item = BufferIndex> + '_ {
        self.inputs.iter().map(|i| i.buffer).chain(self.carries.iter().map(|c| c.start))
    }
}

/// One step of a program.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What runs.
    pub work: Work,
    /// The buffers, in the order of the kernel's (of the epilogue's, after scratch, for a contraction).
    pub args: Vec<BufferIndex>,
    /// Estimated floating-point operations, for the decision to share the work among threads.
    pub flop: f64,
    /// Estimated bytes moved.
    pub bytes: f64,
}

impl Launch {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        match &self.work {
            Work::Loops(kernel) => &kernel.name,
            Work::Contraction(contraction) => &contraction.name,
            Work::Loop(scan) => &scan.name,
            Work::Sort(sort) => &sort.name,
        }
    }

    /// All buffers that it uses.
    pub fn buffers(&self) -> impl Iterator<Item = BufferIndex> + '_ {
        let product = match &self.work {
            Work::Loops(_) => vec![],
            Work::Contraction(c) => {
                let b = match &c.b {
                    Panels::Buffer(b) => std::slice::from_ref(b),
                    Panels::Packed(_, args) => args,
                };
                [Some(c.a), c.out].into_iter().flatten().chain(b.iter().copied()).collect()
            }
            Work::Loop(scan) => scan.read().chain(scan.written()).collect(),
            Work::Sort(sort) => vec![sort.from, sort.to],
        };
        self.args.iter().copied().chain(product)
    }

    /// The buffers that it writes.
    pub fn written(&self) -> Vec<BufferIndex> {
        let stored = |kernel: &Kernel, skip: usize| {
            let access = kernel.buffers[skip..].iter().map(|b| b.access);
            self.args.iter().zip(access).filter(|a| a.1 != Access::Read).map(|a| *a.0).collect::<Vec<_>>()
        };
        match &self.work {
            Work::Loops(kernel) => stored(kernel, 0),
            // The epilogue's first buffer is the product in scratch memory.
            Work::Contraction(c) => {
                c.epilogue.as_ref().map_or_else(|| c.out.into_iter().collect(), |e| stored(e, 1))
            }
            Work::Loop(scan) => scan.written(),
            Work::Sort(sort) => vec![sort.to],
        }
    }
}

impl Program {
    /// What its products are made of, within loops too: where the machine has less, it cannot run.
    pub fn isa(&self) -> Isa {
        let of = |launch: &Launch| match &launch.work {
            Work::Contraction(c) => c.tile.vectors.isa(),
            Work::Loop(scan) => scan.body.isa(),
            Work::Loops(_) | Work::Sort(_) => Isa::Portable,
        };
        self.launches.iter().map(of).max().unwrap_or_default()
    }

    /// The number of loop kernels and matrix products that code is generated for, within loops too.
    pub fn kernels(&self) -> usize {
        let count = |launch: &Launch| match &launch.work {
            Work::Loops(_) | Work::Contraction(_) => 1,
            Work::Loop(scan) => scan.body.kernels(),
            Work::Sort(_) => 0,
        };
        self.launches.iter().map(count).sum()
    }
}

/// Kernels in the order they run, and their memory.
///
/// Invariant: buffers of the arena that overlap are never alive at the same time; a state is overwritten only when
/// nothing reads its old value any more; every buffer but inputs, states and constants is written before it is read.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// The launches in order.
    pub launches: Vec<Launch>,
    /// So many of the first launches give the same in every run (in every step of a loop): once is enough, and nobody else uses
    /// their buffers.
    pub setup: usize,
    /// The size of the arena in bytes.
    pub arena_bytes: usize,
    /// The input buffers by name, in the graph's order.
    pub inputs: Vec<(String, BufferIndex)>,
    /// The output buffers by name, in the graph's order.
    pub outputs: Vec<(String, BufferIndex)>,
    /// The states, in the graph's order.
    pub states: Vec<StateSlot>,
    /// What to check of inputs before a run.
    pub checks: Vec<IndexInput>,
}
