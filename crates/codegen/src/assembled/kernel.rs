//! Loop kernels whose vector loops pay at the machine's full width: the second translator of the loop language, beside
//! [`crate::translate`] and with the same plan and the same results.
//!
//! A vector loop runs as many iterations at once as a vector has lanes of 32 bits, whatever number it asks for, and what is left
//! over with a mask. Outside of it, values other than indices are vectors too, alike in all lanes.

use bespoke_loops::{
    AccId, ExprId, Kernel, LoopKind, Stmt, VarId,
    placement::{self, Placed},
};
use bespoke_lower::Isa;
use bespoke_tensor::{DType, Scalar};
use iced_x86::{
    Code::{self, *},
    OpCodeOperandKind,
};
use rustc_hash::FxHashMap;

use super::{
    emit::emit,
    registers::{Bound, Class, Form, Item, Loop, Memory, Op, Tail, Values, Virtual},
    vector::Lanes,
};
use crate::translate::updated;

/// What an expression's value is held as.
#[derive(Clone, Debug)]
pub enum Value {
    /// An i64, or a bool as 0 or 1, that is the same in all lanes; and the depth of the loops around where it was made.
    General(Virtual, usize),
    /// Vectors, and whether they are the same in all lanes.
    Lanes(Lanes, bool),
    /// Known.
    Literal(Scalar),
}

/// What an instruction is made of, to find one that was made before.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Made {
    /// A number.
    Number(i64),
    /// A sum of the first (if any) and a multiple of the second.
    Sum(Option<Virtual>, Virtual, i64),
    /// The first as lanes of a type.
    Spread(Virtual, DType),
    /// Where a buffer begins.
    Buffer(usize),
}

/// The vector loop around.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// Its variable.
    pub var: VarId,
    /// Is nothing left over?
    pub exact: bool,
}

/// Collects the instructions of a kernel.
pub struct Builder<'k> {
    pub(super) kernel: &'k Kernel,
    isa: Isa,
    registers: Values,
    /// What is done so far in each of the loops around, from the function down.
    blocks: Vec<Vec<Item>>,
    /// Where instructions go: a position in `blocks`.
    depth: usize,
    pub(super) made: FxHashMap<Made, (Lanes, usize)>,
    pub(super) values: FxHashMap<ExprId, Value>,
    /// The registers of loop variables (of the first lane) and the depths of their loops.
    pub(super) vars: FxHashMap<VarId, (Virtual, usize)>,
    /// What accumulators are held in, and whether it is the same in all lanes.
    pub(super) accs: FxHashMap<AccId, (Lanes, bool)>,
    pub(super) around: Option<Around>,
}

/// The machine code of a kernel, as [`crate::KernelFn`]; `None` if it has no vector loop, or something that this translator does
/// not know.
pub fn assemble(kernel: &Kernel, isa: Isa) -> Option<Result<Vec<u8>, String>> {
    if isa == Isa::Portable || kernel.range() == 0 || !has_vector(&kernel.body, kernel, isa) {
        return None;
    }
    let mut builder = Builder {
        kernel,
        isa,
        registers: Values::default(),
        blocks: vec![vec![]],
        depth: 0,
        made: FxHashMap::default(),
        values: FxHashMap::default(),
        vars: FxHashMap::default(),
        accs: FxHashMap::default(),
        around: None,
    };
    let range = [builder.declare(Class::General), builder.declare(Class::General)];
    builder.outermost(range)?;
    let body = builder.blocks.pop()?;
    emit(&builder.registers, &body, range, isa)
}

/// The lanes of 32 bits.
fn lanes(isa: Isa) -> i64 {
    if isa == Isa::Avx512 { 16 } else { 8 }
}

/// Has it a vector loop that fills half a vector?
fn has_vector(stmt: &Stmt, kernel: &Kernel, isa: Isa) -> bool {
    let Stmt::For { var, kind, body } = stmt else { return false };
    *kind != LoopKind::Serial && kernel.exprs.extent(*var) >= lanes(isa) / 2
        || body.iter().any(|s| has_vector(s, kernel, isa))
}

impl Builder<'_> {
    /// Are there masks and vectors of 512 bits?
    pub fn wide(&self) -> bool {
        self.isa == Isa::Avx512
    }

    /// Lanes of 32 bits in a vector.
    pub fn lanes(&self) -> i64 {
        lanes(self.isa)
    }

    /// A new value.
    pub fn declare(&mut self, class: Class) -> Virtual {
        self.registers.declare(class)
    }

    /// How many loops are around.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Adds instructions to a loop further out, before the loops in it.
    pub fn outside<T>(&mut self, depth: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.depth;
        self.depth = depth;
        let result = f(self);
        self.depth = before;
        result
    }

    /// Adds an instruction.
    pub fn push(&mut self, op: Op) {
        self.blocks[self.depth].push(Item::Op(op));
    }

    /// An instruction, and its result.
    pub fn formed(&mut self, form: Form, code: Code, from: &[Virtual], number: Option<i64>) -> Virtual {
        let class = match form {
            Form::MulAdd { .. } => Class::Vector,
            Form::Compare | Form::Choose | Form::Quotient | Form::Remainder => Class::General,
            _ => result_class(code),
        };
        let to = self.declare(class);
        let from = from.to_vec();
        self.push(Op { code, form, to: Some(to), from, memory: None, number, mask: None, tail: Tail::Whole });
        to
    }

    /// A plain instruction.
    pub fn op(&mut self, code: Code, from: &[Virtual]) -> Virtual {
        self.formed(Form::Plain, code, from, None)
    }

    /// A plain instruction with a number.
    pub fn op_number(&mut self, code: Code, from: &[Virtual], number: i64) -> Virtual {
        self.formed(Form::Plain, code, from, Some(number))
    }

    /// A plain instruction on the lanes of a mask.
    pub fn masked_op(&mut self, code: Code, from: &[Virtual], mask: Virtual) -> Virtual {
        let to = self.declare(result_class(code));
        let (from, mask) = (from.to_vec(), Some(mask));
        let form = Form::Plain;
        self.push(Op { code, form, to: Some(to), from, memory: None, number: None, mask, tail: Tail::Whole });
        to
    }

    /// What an instruction reads from memory.
    pub fn load_op(&mut self, code: Code, memory: Memory, tail: Tail) -> Virtual {
        let to = self.declare(result_class(code));
        let memory = Some(memory);
        let form = Form::Plain;
        self.push(Op { code, form, to: Some(to), from: vec![], memory, number: None, mask: None, tail });
        to
    }

    /// An instruction that writes memory.
    pub fn store_op(&mut self, code: Code, memory: Memory, from: Virtual, tail: Tail) {
        let (from, memory) = (vec![from], Some(memory));
        self.push(Op { code, form: Form::Plain, to: None, from, memory, number: None, mask: None, tail });
    }

    /// A constant vector, of the bytes of one lane or of all.
    pub fn constant(&mut self, mut bytes: Vec<u8>) -> Virtual {
        if !self.wide() && bytes.len() < 32 {
            bytes = bytes.repeat(32 / bytes.len());
        }
        let (v, new) = self.registers.constant(bytes);
        if new {
            let (form, to) = (Form::Constant, Some(v));
            let op = Op {
                code: INVALID,
                form,
                to,
                from: vec![],
                memory: None,
                number: None,
                mask: None,
                tail: Tail::Whole,
            };
            self.blocks[0].push(Item::Op(op));
        }
        v
    }

    /// Is it a constant vector?
    pub fn is_constant(&self, v: Virtual) -> bool {
        self.registers.known(v).constant.is_some()
    }

    /// Finds what was made before, or makes it at this depth.
    pub fn once(
        &mut self,
        made: Made,
        depth: usize,
        f: impl FnOnce(&mut Self) -> Option<Lanes>,
    ) -> Option<(Lanes, usize)> {
        if let Some(found) = self.made.get(&made) {
            return Some(found.clone());
        }
        let result = (self.outside(depth, f)?, depth);
        self.made.insert(made, result.clone());
        Some(result)
    }

    fn outermost(&mut self, range: [Virtual; 2]) -> Option<()> {
        let plan = placement::place(self.kernel);
        self.evaluate(&plan.before)?;
        let Stmt::For { var, kind, .. } = plan.stmt else { return None };
        let [begin, end] = range.map(Bound::Value);
        match kind {
            LoopKind::Serial => self.run(*var, begin, end, None, &plan.body),
            LoopKind::Vector(_) => {
                // Pieces begin at multiples of all numbers of lanes.
                let exact = self.kernel.exprs.extent(*var) % self.lanes() == 0;
                self.run(*var, begin, end, Some(Around { var: *var, exact }), &plan.body)
            }
        }
    }

    /// A loop, vectorised if told so.
    fn run(
        &mut self,
        var: VarId,
        begin: Bound,
        end: Bound,
        vector: Option<Around>,
        body: &[Placed<'_>],
    ) -> Option<()> {
        let counter = self.declare(Class::General);
        self.blocks.push(vec![]);
        self.depth += 1;
        self.vars.insert(var, (counter, self.depth));
        let outer = self.values.clone();
        let before = self.around;
        self.around = vector.or(before);
        self.statements(body)?;
        self.around = before;
        self.values = outer;
        self.vars.remove(&var);
        self.depth -= 1;
        let depth = self.depth;
        self.made.retain(|_, made| made.1 <= depth);
        let body = self.blocks.pop()?;
        let (lanes, exact) = (vector.is_some(), vector.is_some_and(|v| v.exact));
        self.blocks[depth].push(Item::Loop(Loop { var: counter, begin, end, lanes, exact, body }));
        Some(())
    }

    fn statements(&mut self, body: &[Placed<'_>]) -> Option<()> {
        for placed in body {
            self.evaluate(&placed.before)?;
            match placed.stmt {
                Stmt::For { var, kind, .. } => self.inner_loop(*var, *kind, placed)?,
                Stmt::Init { acc, value } => self.init(*acc, *value)?,
                Stmt::Update { acc, value } => self.update(*acc, *value)?,
                Stmt::Store(stores) => {
                    let values: Option<Vec<Value>> = stores.iter().map(|s| self.held(s.value)).collect();
                    for (store, value) in stores.iter().zip(values?) {
                        self.store(store, value)?;
                    }
                }
                Stmt::Add(_) => return None,
            }
        }
        Some(())
    }

    fn inner_loop(&mut self, var: VarId, kind: LoopKind, placed: &Placed<'_>) -> Option<()> {
        let extent = self.kernel.exprs.extent(var);
        if extent == 0 {
            return Some(());
        }
        let (zero, end) = (Bound::Number(0), Bound::Number(extent));
        let width = match kind {
            LoopKind::Vector(width) if self.around.is_none() => width,
            _ => return self.run(var, zero, end, None, &placed.body),
        };
        let accs = updated(&placed.body);
        if accs.is_empty() {
            let exact = extent % self.lanes() == 0;
            return self.run(var, zero, end, Some(Around { var, exact }), &placed.body);
        }
        // Accumulators that live on are combined lane by lane first; what is left over goes one by one, as it always does.
        if !self.combines_alike(&accs, width) {
            return None;
        }
        let whole = extent / self.lanes() * self.lanes();
        if whole > 0 {
            let outer: Vec<Lanes> = accs.iter().map(|&acc| self.start_lanes(acc)).collect::<Option<_>>()?;
            let around = Around { var, exact: true };
            self.run(var, zero, Bound::Number(whole), Some(around), &placed.body)?;
            for (acc, before) in accs.into_iter().zip(outer) {
                self.finish_lanes(acc, before)?;
            }
        }
        if whole < extent {
            self.run(var, Bound::Number(whole), end, None, &placed.body)?;
        }
        Some(())
    }

    /// Sets a value to another.
    pub fn copy(&mut self, to: Virtual, from: Virtual) {
        let code = match self.registers.known(to).class {
            Class::General => Mov_r64_rm64,
            Class::Mask => VEX_Kmovw_kr_km16,
            Class::Vector => self.pick(EVEX_Vmovaps_zmm_k1z_zmmm512, VEX_Vmovaps_ymm_ymmm256),
        };
        let (form, to, from) = (Form::Plain, Some(to), vec![from]);
        self.push(Op { code, form, to, from, memory: None, number: None, mask: None, tail: Tail::Whole });
    }

    /// A new value of the same class.
    pub fn declare_like(&mut self, v: Virtual) -> Virtual {
        let class = self.registers.known(v).class;
        self.declare(class)
    }

    /// What was added last.
    pub fn last(&mut self) -> Option<&mut Item> {
        self.blocks[self.depth].last_mut()
    }
}

/// The class of what an instruction sets.
fn result_class(code: Code) -> Class {
    use OpCodeOperandKind::*;
    match code.op_code().op_kind(0) {
        k_reg | k_or_mem => Class::Mask,
        r32_reg | r64_reg | r32_or_mem | r64_or_mem | r32_rm | r64_rm | r64_opcode => Class::General,
        _ => Class::Vector,
    }
}
