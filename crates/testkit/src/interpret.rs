//! The meaning of a program, executed plainly.

use std::collections::BTreeMap;

use bespoke_graph::{Operator, Values, op::ArgSort};
use bespoke_loops::{Access, BinaryFn, Kernel, apply_binary, interpret};
use bespoke_lower::{Contraction, Loop, Panels, Place, Program, Reading, Slot, Work};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

/// Memory that was never written shows as NaN, −1 or true.
const UNWRITTEN: u8 = 0xff;

/// Runs a program: kernels by the interpreter of loops, matrix products as three loops over the packed panels. The
/// arena is one block of bytes with its buffers at their offsets, so that buffers that share memory while both are alive
/// destroy each other. Iterations of the outermost loop run in pieces, the last piece first, as threads might.
///
/// `sources` gives inputs and states by name.
///
/// # Errors
/// What is missing, of another type, or outside of its buffer.
pub fn interpret_program(
    program: &Program,
    sources: &dyn Fn(&str) -> Option<Tensor>,
) -> Result<Values, String> {
    let mut memory = Memory::new(program, sources)?;
    for launch in &program.launches {
        match &launch.work {
            Work::Loops(kernel) => _ = memory.run(kernel, None, &launch.args)?,
            Work::Contraction(c) => {
                let b = match &c.b {
                    Panels::Buffer(b) => memory.read(*b),
                    Panels::Packed(pack, args) => {
                        let dims = [pack.buffers[0].elements];
                        let panels = unwritten(Type::new(c.tile.dtype, dims));
                        memory.run(pack, Some(panels), args)?.expect("it is the first buffer")
                    }
                };
                let product = product(c, &memory.read(c.a), &b);
                match &c.epilogue {
                    Some(epilogue) => _ = memory.run(epilogue, Some(product), &launch.args)?,
                    None => {
                        let out = c.out.ok_or_else(|| format!("{}: the product goes nowhere", c.name))?;
                        let ty = program.buffers[out].ty;
                        memory
                            .write(out, &product.reshape(ty.shape).map_err(|e| format!("{}: {e}", c.name))?);
                    }
                }
            }
            Work::Loop(scan) => memory.steps(scan)?,
            Work::Sort(sort) => {
                let lines = memory
                    .read(sort.from)
                    .reshape(sort.extents)
                    .map_err(|e| format!("{}: {e}", sort.name))?;
                let op = ArgSort { axis: 1, descending: sort.descending };
                let positions = op.eval(&[&lines], Type::new(DType::I32, sort.extents));
                let shape = program.buffers[sort.to].ty.shape;
                memory.write(sort.to, &positions.reshape(shape).map_err(|e| format!("{}: {e}", sort.name))?);
            }
        }
    }
    let copies: Vec<(usize, Tensor)> = (program.states.iter())
        .filter_map(|s| s.copy_from.map(|from| (s.buffer, memory.read(from))))
        .collect();
    copies.iter().for_each(|(to, value)| memory.write(*to, value));
    let mut values = Values::default();
    for (name, buffer) in &program.outputs {
        values.outputs.insert(name.clone(), memory.read(*buffer));
    }
    for state in &program.states {
        values.states.insert(state.name.clone(), memory.read(state.buffer));
    }
    Ok(values)
}

struct Memory<'a> {
    program: &'a Program,
    arena: Vec<u8>,
    /// Inputs, states, outputs and constants.
    own: BTreeMap<usize, Tensor>,
}

impl<'a> Memory<'a> {
    fn new(program: &'a Program, sources: &dyn Fn(&str) -> Option<Tensor>) -> Result<Memory<'a>, String> {
        let mut own = BTreeMap::new();
        for (i, buffer) in program.buffers.iter().enumerate() {
            let value = match &buffer.place {
                Place::Arena(_) => continue,
                Place::Constant(tensor) => tensor.clone(),
                Place::Output => unwritten(buffer.ty),
                Place::Input | Place::State => {
                    let value =
                        sources(&buffer.name).ok_or_else(|| format!("`{}` has no value", buffer.name))?;
                    if value.ty() != buffer.ty {
                        return Err(format!("`{}`: expected {}, got {}", buffer.name, buffer.ty, value.ty()));
                    }
                    value
                }
            };
            own.insert(i, value);
        }
        Ok(Memory { program, arena: vec![UNWRITTEN; program.arena_bytes], own })
    }

    fn read(&self, buffer: usize) -> Tensor {
        let declared = &self.program.buffers[buffer];
        match &declared.place {
            Place::Arena(offset) => {
                let mut tensor = Tensor::zeros(declared.ty);
                if declared.ty.elements() > 0 {
                    tensor.bytes_mut().copy_from_slice(&self.arena[*offset..][..declared.ty.bytes()]);
                }
                tensor
            }
            _ => self.own[&buffer].clone(),
        }
    }

    fn write(&mut self, buffer: usize, value: &Tensor) {
        match &self.program.buffers[buffer].place {
            Place::Arena(offset) if value.elements() > 0 => {
                self.arena[*offset..][..value.bytes().len()].copy_from_slice(value.bytes());
            }
            Place::Arena(_) => {}
            _ => {
                let shape = self.program.buffers[buffer].ty.shape;
                _ = self.own.insert(buffer, value.reshape(shape).expect("as many elements"));
            }
        }
    }

    /// Runs the body of a loop for each step.
    fn steps(&mut self, scan: &Loop) -> Result<(), String> {
        let body = &scan.body;
        let mut carried: BTreeMap<String, Tensor> = BTreeMap::new();
        for (state, carry) in body.states.iter().zip(&scan.carries) {
            let shape = body.buffers[state.buffer].ty.shape;
            let start = self.read(carry.start).reshape(shape).map_err(|e| format!("{}: {e}", scan.name))?;
            carried.insert(state.name.clone(), start);
        }
        for step in 0..scan.length {
            let step = if scan.reverse { scan.length - 1 - step } else { step };
            let at = |slot: &Slot, ty: Type| step * slot.stride_bytes / ty.dtype.size();
            let mut sources = carried.clone();
            for ((name, inner), slot) in body.inputs.iter().zip(&scan.inputs) {
                let (ty, whole) = (body.buffers[*inner].ty, self.read(slot.buffer));
                let start = at(slot, ty);
                sources.insert(name.clone(), Tensor::from_fn(ty, |i| whole.get(start + i)));
            }
            let values = interpret_program(body, &|name| sources.get(name).cloned())
                .map_err(|e| format!("{}: step {step}: {e}", scan.name))?;
            carried = values.states;
            for ((name, inner), slot) in body.outputs.iter().zip(&scan.outputs) {
                let (ty, whole, piece) =
                    (body.buffers[*inner].ty, self.read(slot.buffer), &values.outputs[name]);
                let start = at(slot, ty);
                let merged = Tensor::from_fn(whole.ty(), |i| match i.checked_sub(start) {
                    Some(i) if i < ty.elements() => piece.get(i),
                    _ => whole.get(i),
                });
                self.write(slot.buffer, &merged);
            }
        }
        for (state, carry) in body.states.iter().zip(&scan.carries) {
            self.write(carry.buffer, &carried[&state.name]);
        }
        Ok(())
    }

    /// `scratch` is the kernel's first buffer if there is one, and returned; `args` are the others.
    fn run(
        &mut self,
        kernel: &Kernel,
        scratch: Option<Tensor>,
        args: &[usize],
    ) -> Result<Option<Tensor>, String> {
        let skip = usize::from(scratch.is_some());
        let mut buffers: Vec<Tensor> =
            scratch.into_iter().chain(args.iter().map(|&b| self.read(b))).collect();
        let (range, pieces) = (kernel.range(), kernel.range().min(3));
        for piece in (0..pieces).rev() {
            let edge = |piece: i64| range * piece / pieces;
            interpret(kernel, &mut buffers, edge(piece)..edge(piece + 1)).map_err(|e| e.to_string())?;
        }
        for (i, &b) in args.iter().enumerate() {
            if kernel.buffers[skip + i].access != Access::Read {
                self.write(b, &buffers[skip + i]);
            }
        }
        Ok((skip > 0).then(|| buffers.swap_remove(0)))
    }
}

fn unwritten(ty: Type) -> Tensor {
    let mut tensor = Tensor::zeros(ty);
    tensor.bytes_mut().fill(UNWRITTEN);
    tensor
}

/// `out[b, i, j] = Σ_p A(b, i, p) · B(b, p, j)` from panels `[a_batch][⌈m / mr⌉][k][mr]` and `[batch][panels of B][k][nr]`.
fn product(c: &Contraction, a: &Tensor, b: &Tensor) -> Tensor {
    let (e, tile) = (c.extents, c.tile);
    let size = tile.dtype.size();
    // The panel that each column is in, and where.
    let mut places = vec![(0, 0); e.n];
    for panel in 0..c.column_panels() {
        (0..tile.nr).for_each(|lane| places[c.columns(panel) + lane] = (panel, lane));
    }
    Tensor::from_fn(Type::new(tile.dtype, [e.batch * e.m * e.n]), |flat| {
        let (batch, i, j) = (flat / (e.m * e.n), flat / e.n % e.m, flat % e.n);
        let mut sum = Scalar::from_f64(tile.dtype, 0.0);
        let terms = match &c.right {
            Reading::Gathered(g) => g.ranges[places[j].0].clone(),
            _ => 0..e.k,
        };
        for p in terms {
            let elsewhere = |reading: &Reading, line: usize, start: usize| match reading {
                Reading::Panels => None,
                Reading::Strided { starts, line: step, term, .. } => {
                    Some((starts[batch] + line as i64 * step + p as i64 * term) as usize / size)
                }
                Reading::Gathered(g) => {
                    Some((batch as i64 * g.batch + g.starts[start] + g.terms[p]) as usize / size)
                }
            };
            let panel = batch % c.a_batch * e.m.div_ceil(tile.mr) + i / tile.mr;
            let x = elsewhere(&c.left, i, i).unwrap_or((panel * e.k + p) * tile.mr + i % tile.mr);
            let panel = batch * c.column_panels() + places[j].0;
            let lane = if matches!(c.right, Reading::Gathered(_)) { places[j].1 } else { 0 };
            let y = elsewhere(&c.right, j, places[j].0).unwrap_or((panel * e.k + p) * tile.nr + places[j].1);
            let (x, y) = (a.get(x), b.get(y + lane));
            let term = apply_binary(BinaryFn::Mul, x, y).expect("floats are multiplied");
            sum = apply_binary(BinaryFn::Add, sum, term).expect("floats are added");
        }
        sum
    })
}
