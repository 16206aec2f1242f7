//! Compiled programs with their memory.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bespoke_codegen::{CodegenError, ProgramCode, generate};
use bespoke_lower::{Isa, Place, Program};
use bespoke_tensor::{DType, Tensor, Type};

use crate::{
    RunError, contraction, dispatch,
    team::{self, Team},
};

/// A program and its machine code, which belong together: nobody can change one of them.
#[derive(Debug)]
pub struct Compiled {
    pub(crate) program: Program,
    pub(crate) code: ProgramCode,
    /// What the machine must have.
    isa: Isa,
}

impl Compiled {
    /// Generates the code of a program, with instructions that the machine must have. `keep_text` keeps the intermediate code for
    /// inspection.
    ///
    /// # Errors
    /// [`CodegenError`] if this machine is not supported or a kernel is refused.
    pub fn new(program: Program, isa: Isa, keep_text: bool) -> Result<Compiled, CodegenError> {
        let code = generate(&program, isa, keep_text)?;
        Ok(Compiled { isa: isa.max(program.isa()), program, code })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Its machine code.
    pub fn code(&self) -> &ProgramCode {
        &self.code
    }
}

/// A compiled program with memory of its own: arena, states (at first zero) and outputs.
pub struct Executable {
    compiled: Arc<Compiled>,
    team: Option<Arc<Team>>,
    threads: usize,
    arena: Tensor,
    /// Scratch memory of each thread.
    scratch: Vec<Tensor>,
    states: Vec<Tensor>,
    outputs: Vec<Tensor>,
    cached: bool,
    /// Does the arena hold what is the same in every run?
    is_set_up: bool,
}

/// The outputs of a run by name.
#[derive(Clone, Debug)]
pub struct Outputs {
    compiled: Arc<Compiled>,
    values: Vec<Tensor>,
}

impl Outputs {
    /// The output of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.iter().find(|o| o.0 == name).map(|o| o.1)
    }

    /// All outputs in the graph's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.compiled.program.outputs.iter().map(|o| o.0.as_str()).zip(&self.values)
    }
}

impl Executable {
    /// An executable of `threads` threads, at most 64 (0: as many as the machine has). `cached` says that the code was
    /// compiled before.
    ///
    /// # Errors
    /// [`RunError::Memory`] if there is not enough; [`RunError::Isa`] if the code is for another machine.
    pub fn new(compiled: Arc<Compiled>, threads: usize, cached: bool) -> Result<Executable, RunError> {
        if !compiled.isa.is_available() {
            return Err(RunError::Isa(compiled.isa));
        }
        let threads = team::resolve(threads);
        let team = team::get(threads);
        let threads = if team.is_some() { threads } else { 1 };
        let program = &compiled.program;
        let zeros = |ty: Type| Tensor::try_zeros(ty).map_err(|_| RunError::Memory { ty });
        let bytes = |n: usize| zeros(Type::new(DType::U8, [n]));
        let of = |b: usize| zeros(program.buffers[b].ty);
        let scratch = program.launches.iter().map(contraction::scratch_bytes).max().unwrap_or(0);
        Ok(Executable {
            arena: bytes(program.arena_bytes)?,
            scratch: (0..threads).map(|_| bytes(scratch)).collect::<Result<_, _>>()?,
            states: program.states.iter().map(|s| of(s.buffer)).collect::<Result<_, _>>()?,
            outputs: program.outputs.iter().map(|o| of(o.1)).collect::<Result<_, _>>()?,
            compiled,
            team,
            threads,
            cached,
            is_set_up: false,
        })
    }

    /// Runs the program: computes the outputs and advances the states.
    ///
    /// An output's memory is used again by the next run once the caller has dropped it.
    ///
    /// # Errors
    /// [`RunError`] if an input is missing, unknown, of another type, or an index out of range; then no state has changed.
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Outputs, RunError> {
        self.run_observed(inputs, None)
    }

    /// Runs the program and measures each launch: its name and how long it took, in order.
    ///
    /// # Errors
    /// Those of [`Executable::run`].
    pub fn profile(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Duration)>, RunError> {
        let ends: Vec<OnceLock<Instant>> =
            self.compiled.program.launches.iter().map(|_| OnceLock::new()).collect();
        let mut start = Instant::now();
        self.run_observed(inputs, Some(&|launch| _ = ends[launch].set(Instant::now())))?;
        let launches = self.compiled.program.launches.iter().zip(ends);
        let measured = launches.map(|(launch, end)| {
            let end = end.into_inner().unwrap_or(start);
            let elapsed = end.duration_since(start);
            start = end;
            (launch.name().to_owned(), elapsed)
        });
        Ok(measured.collect())
    }

    fn run_observed(
        &mut self,
        inputs: &[(&str, &Tensor)],
        observe: Option<&(dyn Fn(usize) + Sync)>,
    ) -> Result<Outputs, RunError> {
        let compiled = self.compiled.clone();
        let program = &compiled.program;
        let inputs = self.match_inputs(inputs)?;
        let mut buffers: Vec<*mut u8> = Vec::with_capacity(program.buffers.len());
        let arena = self.arena.as_mut_ptr();
        for buffer in &program.buffers {
            buffers.push(match &buffer.place {
                Place::Arena(offset) => arena.wrapping_add(*offset),
                // Constants and inputs are only read.
                Place::Constant(tensor) => tensor.as_ptr().cast_mut(),
                Place::Input | Place::State | Place::Output => std::ptr::null_mut(),
            });
        }
        for ((_, buffer), tensor) in program.inputs.iter().zip(&inputs) {
            buffers[*buffer] = tensor.as_ptr().cast_mut();
        }
        for (slot, tensor) in program.states.iter().zip(&mut self.states) {
            buffers[slot.buffer] = tensor.as_mut_ptr();
        }
        for ((_, buffer), tensor) in program.outputs.iter().zip(&mut self.outputs) {
            if !tensor.is_unique() {
                *tensor = Tensor::zeros(tensor.ty());
            }
            buffers[*buffer] = tensor.as_mut_ptr();
        }
        let mut scratch: Vec<*mut u8> = self.scratch.iter_mut().map(Tensor::as_mut_ptr).collect();
        // SAFETY: each address is that of a tensor (or of a piece of the arena, as the program planned it) of the buffer's
        // type, whose storage is aligned and padded; arena, states, outputs and scratch are not shared with anyone: the
        // mutable borrows above copied or replaced what was.
        unsafe {
            dispatch::run(&compiled, &buffers, &mut scratch, self.team.as_deref(), !self.is_set_up, observe)
        };
        self.is_set_up = true;
        Ok(Outputs { values: self.outputs.clone(), compiled })
    }

    /// The tensor of each input, in the program's order.
    fn match_inputs<'t>(&self, given: &[(&str, &'t Tensor)]) -> Result<Vec<&'t Tensor>, RunError> {
        let program = &self.compiled.program;
        if let Some((name, _)) = given.iter().find(|g| !program.inputs.iter().any(|i| i.0 == g.0)) {
            let known = names(program.inputs.iter().map(|i| &i.0));
            return Err(RunError::UnknownInput { name: (*name).to_owned(), known });
        }
        let mut matched = vec![];
        for (name, buffer) in &program.inputs {
            let ty = program.buffers[*buffer].ty;
            let tensor = given.iter().find(|g| g.0 == name).map(|g| g.1);
            let tensor = tensor.ok_or_else(|| RunError::MissingInput { name: name.clone(), ty })?;
            check_type("input", name, ty, tensor)?;
            matched.push(tensor);
        }
        for check in &program.checks {
            let i = program.inputs.iter().position(|i| i.0 == check.input).expect("a check is of an input");
            if let Some((position, value)) = check.first_outside(matched[i]) {
                let (name, last) = (check.input.clone(), check.extent - 1);
                return Err(RunError::IndexOutOfRange { name, position, value, last });
            }
        }
        Ok(matched)
    }

    /// The value of a state. It shares memory with the executable until the next run.
    pub fn state(&self, name: &str) -> Option<Tensor> {
        let i = self.compiled.program.states.iter().position(|s| s.name == name)?;
        Some(self.states[i].clone())
    }

    /// The names and types of the states, in the graph's order.
    pub fn states(&self) -> impl Iterator<Item = (&str, Type)> {
        let program = &self.compiled.program;
        program.states.iter().map(|s| (s.name.as_str(), program.buffers[s.buffer].ty))
    }

    /// Sets a state.
    ///
    /// # Errors
    /// [`RunError`] if there is none of this name, or the type is another.
    pub fn set_state(&mut self, name: &str, value: &Tensor) -> Result<(), RunError> {
        let program = &self.compiled.program;
        let Some(i) = program.states.iter().position(|s| s.name == name) else {
            let known = names(program.states.iter().map(|s| &s.name));
            return Err(RunError::UnknownState { name: name.to_owned(), known });
        };
        check_type("state", name, program.buffers[program.states[i].buffer].ty, value)?;
        self.states[i] = value.clone();
        Ok(())
    }

    /// Exchanges each state, in their order, with the value of the same type at its place in `values`: programs can run in turn
    /// on states that are kept elsewhere, without copies.
    ///
    /// ```
    /// use bespoke_tensor::Tensor;
    /// # use bespoke_runtime::{Compiled, Executable};
    /// # let mut graph = bespoke_graph::Graph::new();
    /// # let state = graph.state("count", bespoke_tensor::Type::scalar(bespoke_tensor::DType::F32))?;
    /// # let next = graph.plus(state, state);
    /// # graph.set_next(state, next)?;
    /// # let compiled = Compiled::new(bespoke_lower::lower(&graph, bespoke_lower::Config::default())?, bespoke_lower::Isa::detect(), false)?;
    /// # let mut executable = Executable::new(compiled.into(), 1, false)?;
    /// let mut states = [Tensor::scalar(7i32), Tensor::scalar(1.5f32)];
    /// executable.exchange_states(&mut states, &[1])?;
    /// executable.run(&[])?;
    /// executable.exchange_states(&mut states, &[1])?;
    /// assert_eq!(states[1], Tensor::scalar(3.0f32)); // twice 1.5
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RunError::WrongType`] if a value is of another type than the state; then nothing is exchanged.
    pub fn exchange_states(&mut self, values: &mut [Tensor], places: &[usize]) -> Result<(), RunError> {
        let program = &self.compiled.program;
        for (slot, &place) in program.states.iter().zip(places) {
            check_type("state", &slot.name, program.buffers[slot.buffer].ty, &values[place])?;
        }
        for (state, &place) in self.states.iter_mut().zip(places) {
            std::mem::swap(state, &mut values[place]);
        }
        Ok(())
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.compiled.program
    }

    /// The machine code.
    pub fn code(&self) -> &ProgramCode {
        &self.compiled.code
    }

    /// The bytes of memory for values that live during a run only.
    pub fn arena_bytes(&self) -> usize {
        self.compiled.program.arena_bytes
    }

    /// The bytes of machine code.
    pub fn code_bytes(&self) -> usize {
        self.compiled.code.module.code_bytes()
    }

    /// The number of launches in a run.
    pub fn kernels(&self) -> usize {
        self.compiled.program.launches.len()
    }

    /// The number of threads that share large kernels.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Was the code compiled before for an equal graph?
    pub fn cached(&self) -> bool {
        self.cached
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = names.map(|n| format!("`{n}`")).collect();
    if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") }
}

fn check_type(kind: &'static str, name: &str, expected: Type, tensor: &Tensor) -> Result<(), RunError> {
    if tensor.ty() == expected {
        return Ok(());
    }
    Err(RunError::WrongType { kind, name: name.to_owned(), expected, got: tensor.ty() })
}
