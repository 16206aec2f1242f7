//! One instruction with registers: sources that are in memory are loaded, or read where they lie.

use iced_x86::{Code, MemoryOperand, OpCodeOperandKind, Register};

use super::{
    assembler::{Assembler, Operand, at},
    emit::{ARGS, CONSTANTS, Emitter, GENERAL, MASKS, SPARE_GENERAL, SPARE_MASKS, TAIL, register},
    registers::{Class, Form, Memory, Op, Place, Tail, Virtual},
};

/// How an instruction leaves lanes out.
enum Masked {
    No,
    /// By a mask of its own kind.
    Mask(Register),
    /// By a vector that is here.
    Vector(MemoryOperand),
}

/// The register of the size that the instruction's operand has.
fn sized(register: Register, kind: OpCodeOperandKind) -> Register {
    use OpCodeOperandKind::*;
    let number = register.number();
    let first = match kind {
        xmm_or_mem | xmm_reg | xmm_rm | xmm_vvvv | xmm_is4 => Register::XMM0,
        ymm_or_mem | ymm_reg | ymm_rm | ymm_vvvv | ymm_is4 => Register::YMM0,
        r32_or_mem | r32_reg | r32_rm | r32_vvvv => Register::EAX,
        r8_reg if number < 4 => Register::AL,
        r8_reg => return self::register(Register::SPL, number - 4),
        _ => return register,
    };
    self::register(first, number)
}

/// May the operand be in memory?
fn takes_memory(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind::*;
    matches!(
        kind,
        mem | xmm_or_mem | ymm_or_mem | zmm_or_mem | k_or_mem | r8_or_mem | r32_or_mem | r64_or_mem
    )
}

impl Emitter<'_> {
    fn place(&self, v: Virtual) -> Place {
        self.places[v.index()]
    }

    fn slot(&self, v: Virtual) -> MemoryOperand {
        let constant = self.values.known(v).constant.is_some();
        let base = if constant { CONSTANTS } else { Register::RSP };
        at(base, Register::None, i64::from(self.offsets[v.index()]))
    }

    pub fn full_vector(&self, number: usize) -> Register {
        register(if self.wide { Register::ZMM0 } else { Register::YMM0 }, number)
    }

    /// The register that a value is in, if it is in one.
    pub fn held(&self, v: Virtual) -> Option<Register> {
        let Place::Register(n) = self.place(v) else { return None };
        Some(match self.values.known(v).class {
            Class::General => GENERAL[n],
            Class::Vector => self.full_vector(n),
            Class::Mask => register(MASKS.0, n),
        })
    }

    /// A general value in its register or in this one.
    pub fn general(&mut self, v: Virtual, spare: Register) -> Register {
        self.held(v).unwrap_or_else(|| {
            let slot = self.slot(v);
            self.asm.load(Code::Mov_r64_rm64, spare, slot);
            spare
        })
    }

    /// Sets a general value.
    pub fn general_result(&mut self, v: Virtual, set: impl FnOnce(&mut Assembler, Register)) {
        match (self.place(v), self.held(v)) {
            (Place::Nowhere, _) => {}
            (_, Some(r)) => set(&mut self.asm, r),
            _ => {
                set(&mut self.asm, Register::RAX);
                let slot = self.slot(v);
                self.asm.store(Code::Mov_rm64_r64, slot, Register::RAX);
            }
        }
    }

    fn memory(&mut self, m: Memory) -> MemoryOperand {
        let base = self.general(m.base, Register::RCX);
        let Some((index, scale)) = m.index else {
            return at(base, Register::None, i64::from(m.displacement));
        };
        let index = self.general(index, Register::RDX);
        let size = u32::from(m.displacement != 0);
        MemoryOperand::with_base_index_scale_displ_size(base, index, scale, m.displacement.into(), size)
    }

    /// Loads a value that is in memory.
    fn reload(&mut self, v: Virtual, to: Register) {
        use Code::*;
        let slot = self.slot(v);
        let known = self.values.known(v);
        let code = match (known.class, known.constant.as_ref().map(Vec::len)) {
            (Class::General, _) => Mov_r64_rm64,
            (Class::Mask, _) => VEX_Kmovw_kr_km16,
            (_, Some(4)) if self.wide => EVEX_Vbroadcastss_zmm_k1z_xmmm32,
            (_, Some(8)) if self.wide => EVEX_Vbroadcastsd_zmm_k1z_xmmm64,
            _ if self.wide => EVEX_Vmovups_zmm_k1z_zmmm512,
            _ => VEX_Vmovups_ymm_ymmm256,
        };
        self.asm.load(code, to, slot);
    }

    fn spare(&self, class: Class, number: usize) -> Register {
        match class {
            Class::General => SPARE_GENERAL[number],
            Class::Vector => self.full_vector(if self.wide { 30 } else { 14 } + number),
            Class::Mask => SPARE_MASKS[number],
        }
    }

    /// May the instruction read the value where it lies in memory?
    fn foldable(&self, code: Code, v: Virtual) -> Option<Operand> {
        let known = self.values.known(v);
        if self.place(v) != Place::Memory || known.class != Class::Vector {
            return None;
        }
        let slot = self.slot(v);
        let op_code = code.op_code();
        let size = op_code.memory_size().size();
        let whole = if self.wide { 64 } else { 32 };
        match known.constant.as_ref().map(Vec::len) {
            Some(n) if n != whole => {
                let fits = op_code.can_broadcast() && op_code.broadcast_memory_size().element_size() == n;
                fits.then_some(Operand::Broadcast(slot))
            }
            _ => (size == whole).then_some(Operand::Memory(slot)),
        }
    }

    pub fn op(&mut self, op: &Op) {
        match op.form {
            Form::Constant => {
                if let Some((to, r)) = op.to.and_then(|to| Some((to, self.held(to)?))) {
                    self.reload(to, r);
                }
            }
            Form::Argument => {
                if let Some(to) = op.to {
                    let from = at(ARGS, Register::None, 8 * op.number.unwrap_or(0));
                    self.general_result(to, |asm, to| asm.load(Code::Mov_r64_rm64, to, from));
                }
            }
            Form::Plain => self.plain(op),
            Form::Tied => self.tied(op),
            Form::MulAdd { double } => self.mul_add(op, double),
            Form::Compare | Form::Choose | Form::Quotient | Form::Remainder => self.scalar(op),
        }
    }

    fn plain(&mut self, op: &Op) {
        if op.to.is_some_and(|to| self.place(to) == Place::Nowhere) {
            return;
        }
        let kinds = op.code.op_code().op_kinds();
        let mut operands = vec![];
        let mut spares = [0; 3];
        let mut mask = Register::None;
        if let Some(m) = op.mask {
            mask = self.held(m).unwrap_or_else(|| {
                spares[Class::Mask as usize] += 1;
                let spare = self.spare(Class::Mask, 0);
                self.reload(m, spare);
                spare
            });
        }
        let (code, masked) = self.masked_code(op);
        let (mut result, mut store) = (None, None);
        if let Some(to) = op.to {
            let class = self.values.known(to).class;
            let r = self.held(to).unwrap_or_else(|| {
                store = Some(to);
                self.spare(class, 0)
            });
            // The sources of an instruction may share its result's spare register: it reads first.
            result = Some(r);
            operands.push(Operand::Register(sized(r, kinds[0])));
        }
        if let (Some(m), None) = (op.memory, op.to) {
            let at = self.memory(m);
            operands.push(Operand::Memory(at));
        }
        if let Masked::Vector(slot) = masked {
            let spare = self.full_vector(15);
            self.asm.load(Code::VEX_Vmovups_ymm_ymmm256, spare, slot);
            operands.push(Operand::Register(spare));
        }
        for &v in &op.from {
            let kind = kinds[operands.len().min(kinds.len() - 1)];
            let class = self.values.known(v).class;
            let operand = match self.held(v) {
                Some(r) => Operand::Register(sized(r, kind)),
                None => match self.foldable(code, v).filter(|_| op.memory.is_none() && takes_memory(kind)) {
                    Some(memory) => memory,
                    None => {
                        let number = &mut spares[class as usize];
                        let spare = self.spare(class, *number);
                        *number += 1;
                        self.reload(v, spare);
                        Operand::Register(sized(spare, kind))
                    }
                },
            };
            operands.push(operand);
        }
        if let (Some(m), Some(_)) = (op.memory, op.to) {
            let at = self.memory(m);
            operands.push(Operand::Memory(at));
        }
        if let Some(n) = op.number {
            operands.push(Operand::Number(n));
        }
        let mask = if let Masked::Mask(k) = masked { k } else { mask };
        let blends = matches!(
            code,
            Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32 | Code::EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64
        );
        self.asm.operands(code, &operands, mask, mask != Register::None && op.to.is_some() && !blends);
        if let (Some(v), Some(r)) = (store, result) {
            self.spill(v, r);
        }
    }

    pub fn spill(&mut self, v: Virtual, from: Register) {
        use Code::*;
        let code = match self.values.known(v).class {
            Class::General => Mov_rm64_r64,
            Class::Mask => VEX_Kmovw_m16_kr,
            Class::Vector if self.wide => EVEX_Vmovups_zmmm512_k1z_zmm,
            Class::Vector => VEX_Vmovups_ymmm256_ymm,
        };
        let slot = self.slot(v);
        self.asm.store(code, slot, from);
    }

    /// The instruction that leaves out lanes in the last step, and by what.
    fn masked_code(&self, op: &Op) -> (Code, Masked) {
        use Code::*;
        if !self.masked || op.tail == Tail::Whole {
            return (op.code, Masked::No);
        }
        if self.wide {
            return (op.code, Masked::Mask(TAIL[usize::from(op.tail == Tail::Upper)]));
        }
        let (slot, words) = match op.tail {
            Tail::Lower => (1, false),
            Tail::Upper => (2, false),
            _ => (0, true),
        };
        let code = match (op.to.is_some(), words) {
            (true, true) => VEX_Vmaskmovps_ymm_ymm_m256,
            (true, false) => VEX_Vmaskmovpd_ymm_ymm_m256,
            (false, true) => VEX_Vmaskmovps_m256_ymm_ymm,
            (false, false) => VEX_Vmaskmovpd_m256_ymm_ymm,
        };
        (code, Masked::Vector(at(Register::RSP, Register::None, 32 * slot)))
    }

    /// `to = first op second`, of general values.
    fn tied(&mut self, op: &Op) {
        let Some(to) = op.to else { unreachable!("it has a result") };
        if self.place(to) == Place::Nowhere {
            return;
        }
        let work = self.held(to).unwrap_or(Register::RAX);
        let first = self.general(op.from[0], work);
        if first != work {
            self.asm.two(Code::Mov_r64_rm64, work, first);
        }
        match (op.from.get(1), op.number) {
            (Some(&second), _) => {
                let second = self.general(second, Register::RSI);
                self.asm.two(op.code, work, second);
            }
            (None, Some(number)) => self.asm.number(op.code, work, number as i32),
            (None, None) => self.asm.one(op.code, work),
        }
        if self.held(to).is_none() {
            self.spill(to, work);
        }
    }

    fn scalar(&mut self, op: &Op) {
        use Code::*;
        let Some(to) = op.to else { unreachable!("it has a result") };
        let first = self.general(op.from[0], Register::RCX);
        match op.form {
            Form::Compare => {
                let second = self.general(op.from[1], Register::RDX);
                self.asm.two(Cmp_r64_rm64, first, second);
                self.asm.one(op.code, Register::AL);
                self.asm.two(Movzx_r32_rm8, Register::EAX, Register::AL);
            }
            Form::Choose => {
                let [yes, no] =
                    [(1, Register::RDX), (2, Register::RAX)].map(|(i, r)| self.general(op.from[i], r));
                if no != Register::RAX {
                    self.asm.two(Mov_r64_rm64, Register::RAX, no);
                }
                self.asm.two(Test_rm64_r64, first, first);
                self.asm.two(Cmovne_r64_rm64, Register::RAX, yes);
            }
            _ => {
                self.asm.two(Mov_r64_rm64, Register::RAX, first);
                self.asm.two(Xor_r32_rm32, Register::EDX, Register::EDX);
                self.asm.wide_number(Register::RCX, op.number.unwrap_or(1));
                self.asm.one(Div_rm64, Register::RCX);
                if op.form == Form::Remainder {
                    self.asm.two(Mov_r64_rm64, Register::RAX, Register::RDX);
                }
            }
        }
        self.general_result(to, |asm, to| asm.two(Mov_r64_rm64, to, Register::RAX));
    }

    /// `to = a · b + c`, by the instruction that overwrites what `to` shares a register with.
    fn mul_add(&mut self, op: &Op, double: bool) {
        let Some(to) = op.to.filter(|&to| self.place(to) != Place::Nowhere) else { return };
        let [a, b, c] = [op.from[0], op.from[1], op.from[2]];
        let result = self.held(to).unwrap_or(self.spare(Class::Vector, 0));
        let shared = [c, a, b].into_iter().find(|&v| self.held(v) == Some(result));
        // Else one is copied: best a value that must be loaded anyway, at last the sum.
        let tied = shared.unwrap_or_else(|| {
            let v = [c, a, b].into_iter().find(|&v| self.held(v).is_none()).unwrap_or(c);
            match self.held(v) {
                Some(from) => {
                    let code = if self.wide {
                        Code::EVEX_Vmovaps_zmm_k1z_zmmm512
                    } else {
                        Code::VEX_Vmovaps_ymm_ymmm256
                    };
                    self.asm.two(code, result, from);
                }
                None => self.reload(v, result),
            }
            v
        });
        let (kind, second, third) = if tied == c {
            (2, a, b)
        } else {
            // result = result · factor + c
            (1, if tied == a { b } else { a }, c)
        };
        // What is in memory comes last: products commute, and there is a form for the sum in the middle.
        let code = mul_add_code(kind, double, self.wide);
        let (kind, second, third) = match (self.held(second), kind) {
            (None, 2) if self.held(third).is_some() => (2, third, second),
            (None, 1) if self.held(third).is_some() => (0, third, second),
            (None, 1) if self.foldable(code, third).is_none() && self.foldable(code, second).is_some() => {
                (0, third, second)
            }
            _ => (kind, second, third),
        };
        let code = mul_add_code(kind, double, self.wide);
        let middle = self.held(second).unwrap_or_else(|| {
            let spare = self.spare(Class::Vector, 1);
            self.reload(second, spare);
            spare
        });
        let last = match self.held(third) {
            Some(r) => Operand::Register(r),
            None if third == second => Operand::Register(middle),
            None => match self.foldable(code, third) {
                Some(memory) => memory,
                None => unreachable!("a vector or a constant of the lanes' size"),
            },
        };
        self.asm.operands(
            code,
            &[Operand::Register(result), Operand::Register(middle), last],
            Register::None,
            false,
        );
        if self.held(to).is_none() {
            self.spill(to, result);
        }
    }
}

/// The instruction that multiplies first and third (0), second and first (1) or second and third (2).
fn mul_add_code(kind: usize, double: bool, wide: bool) -> Code {
    use Code::*;
    let codes = match (wide, double) {
        (true, false) => [
            EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
            EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
        ],
        (true, true) => [
            EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er,
            EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er,
            EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er,
        ],
        (false, false) => [
            VEX_Vfmadd132ps_ymm_ymm_ymmm256,
            VEX_Vfmadd213ps_ymm_ymm_ymmm256,
            VEX_Vfmadd231ps_ymm_ymm_ymmm256,
        ],
        (false, true) => [
            VEX_Vfmadd132pd_ymm_ymm_ymmm256,
            VEX_Vfmadd213pd_ymm_ymm_ymmm256,
            VEX_Vfmadd231pd_ymm_ymm_ymmm256,
        ],
    };
    codes[kind]
}
