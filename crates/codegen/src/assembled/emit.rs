//! Instructions with registers, in order.

use bespoke_lower::Isa;
use iced_x86::{Code, MemoryOperand, OpCodeOperandKind, Register};

use super::{
    assembler::{Assembler, Operand, at},
    registers::{Bound, Class, Form, Item, Loop, Memory, Op, Place, Tail, Values, Virtual, allocate},
};

/// The first argument, which stays where it is.
const ARGS: Register = Register::RDI;
/// The address of the constants.
const CONSTANTS: Register = Register::R11;
/// The frame on the stack.
const FRAME: Register = Register::RBP;
/// What values may be in. The last five belong to the caller.
const GENERAL: [Register; 8] = [
    Register::R8,
    Register::R9,
    Register::R10,
    Register::RBX,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];
const CALLERS: [Register; 5] = [Register::RBX, Register::R12, Register::R13, Register::R14, Register::R15];
/// Masks of the lanes of the last step: all, and the upper half.
const TAIL: [Register; 2] = [Register::K7, Register::K6];
/// The first masks that values may be in, and how many there are.
const MASKS: (Register, usize) = (Register::K1, 4);
/// Registers for values that are in memory: vectors are the two last ones.
const SPARE_GENERAL: [Register; 2] = [Register::RAX, Register::RSI];
const SPARE_MASKS: [Register; 2] = [Register::K5, Register::K0];

/// How an instruction leaves lanes out.
enum Masked {
    No,
    /// By a mask of its own kind.
    Mask(Register),
    /// By a vector that is here.
    Vector(MemoryOperand),
}

/// What a function is emitted with.
struct Emitter<'a> {
    asm: Assembler,
    wide: bool,
    values: &'a Values,
    places: Vec<Place>,
    /// Where values in memory are: bytes from the stack pointer, or from the constants.
    offsets: Vec<i32>,
    /// Is this the last step of a loop, with a mask?
    masked: bool,
}

/// The bytes of a vector.
fn bytes(isa: Isa) -> usize {
    if isa == Isa::Avx512 { 64 } else { 32 }
}

fn vectors(isa: Isa) -> usize {
    if isa == Isa::Avx512 { 32 } else { 16 }
}

/// The machine code of a function `(args, begin, end)`; `begin` and `end` are the values that hold these arguments.
///
/// # Errors
/// The encoder's words.
pub fn emit(values: &Values, body: &[Item], range: [Virtual; 2], isa: Isa) -> Result<Vec<u8>, String> {
    let places = allocate(values, body, range, |class| match class {
        Class::General => GENERAL.len(),
        Class::Vector => vectors(isa) - 2,
        Class::Mask => MASKS.1,
    });
    let mut pool = vec![];
    let mut offsets = vec![0; places.len()];
    // Whole vectors first: all are aligned then.
    let mut constants: Vec<(Virtual, &Vec<u8>)> =
        values.all().filter_map(|(v, k)| Some((v, k.constant.as_ref()?))).collect();
    constants.sort_by_key(|c| std::cmp::Reverse(c.1.len()));
    if isa != Isa::Avx512 {
        // Eight lanes and eight more, from which masks are read.
        pool.extend([0xff; 32]);
        pool.extend([0; 32]);
    }
    for (v, constant) in constants {
        offsets[v.index()] = pool.len() as i32;
        pool.extend(constant);
    }
    let mut stack = 0;
    if isa != Isa::Avx512 {
        stack += 3 * 32;
    }
    for class in [Class::Vector, Class::General, Class::Mask] {
        for (v, known) in values.all() {
            if known.class == class && known.constant.is_none() && places[v.index()] == Place::Memory {
                offsets[v.index()] = stack;
                stack += if class == Class::Vector { bytes(isa) as i32 } else { 8 };
            }
        }
    }
    let mut emitter = Emitter {
        asm: Assembler::default(),
        wide: isa == Isa::Avx512,
        values,
        places,
        offsets,
        masked: false,
    };
    let used = |r: &Register| {
        emitter.places.iter().zip(values.all()).any(|(p, (_, known))| {
            known.class == Class::General && matches!(p, Place::Register(n) if GENERAL[*n] == *r)
        })
    };
    let saved: Vec<Register> = CALLERS.into_iter().filter(used).collect();
    emitter.function(body, range, &saved, stack, !pool.is_empty());
    let mut code = emitter.asm.finish()?;
    if !pool.is_empty() {
        code.resize(code.len().next_multiple_of(64), 0);
        code.extend(pool);
    }
    Ok(code)
}

fn register(first: Register, number: usize) -> Register {
    Register::try_from(first as usize + number).expect("registers of a kind follow each other")
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
    fn function(&mut self, body: &[Item], range: [Virtual; 2], saved: &[Register], stack: i32, pool: bool) {
        use Code::*;
        let (after, done) = (self.asm.label(), self.asm.label());
        let framed = stack > 0;
        self.asm.two(Cmp_r64_rm64, Register::RSI, Register::RDX);
        self.asm.jump(Jge_rel32_64, done);
        saved.iter().for_each(|&r| self.asm.one(Push_r64, r));
        if framed {
            self.asm.one(Push_r64, FRAME);
            self.asm.two(Mov_r64_rm64, FRAME, Register::RSP);
            self.asm.number(Sub_rm64_imm32, Register::RSP, stack);
            self.asm.number(And_rm64_imm32, Register::RSP, -64);
        }
        if pool {
            self.asm.address(CONSTANTS, after);
            self.asm.number(Add_rm64_imm32, CONSTANTS, 64);
            self.asm.number(And_rm64_imm32, CONSTANTS, -64);
        }
        for (v, from) in range.into_iter().zip([Register::RSI, Register::RDX]) {
            self.general_result(v, |asm, to| asm.two(Mov_r64_rm64, to, from));
        }
        self.items(body);
        self.asm.plain(VEX_Vzeroupper);
        if framed {
            self.asm.two(Mov_r64_rm64, Register::RSP, FRAME);
            self.asm.one(Pop_r64, FRAME);
        }
        saved.iter().rev().for_each(|&r| self.asm.one(Pop_r64, r));
        self.asm.bind(done);
        self.asm.plain(Retnq);
        // The constants follow at the next multiple of 64.
        self.asm.bind(after);
        self.asm.plain(Int3);
    }

    fn items(&mut self, body: &[Item]) {
        for item in body {
            match item {
                Item::Op(op) => self.op(op),
                Item::Loop(l) if l.lanes => self.lanes(l),
                Item::Loop(l) => self.serial(l),
            }
        }
    }

    fn bound(&mut self, bound: Bound, to: Register) {
        match bound {
            Bound::Number(n) => self.asm.wide_number(to, n),
            Bound::Value(v) => {
                let from = self.general(v, to);
                if from != to {
                    self.asm.two(Code::Mov_r64_rm64, to, from);
                }
            }
        }
    }

    fn start(&mut self, l: &Loop) {
        let to = self.held(l.var).unwrap_or(Register::RAX);
        self.bound(l.begin, to);
        if self.held(l.var).is_none() {
            self.spill(l.var, to);
        }
    }

    /// Adds to the counter, and gives the register that it is in then.
    fn advance(&mut self, l: &Loop, step: i32) -> Register {
        let var = self.general(l.var, Register::RAX);
        self.asm.number(Code::Add_rm64_imm32, var, step);
        if self.held(l.var).is_none() {
            self.spill(l.var, var);
        }
        var
    }

    /// Compares a register with the end.
    fn compare_end(&mut self, l: &Loop, register: Register) {
        match l.end {
            Bound::Number(n) if i32::try_from(n).is_ok() => {
                self.asm.number(Code::Cmp_rm64_imm32, register, n as i32);
            }
            Bound::Number(n) => {
                self.asm.wide_number(Register::RCX, n);
                self.asm.two(Code::Cmp_r64_rm64, register, Register::RCX);
            }
            Bound::Value(v) => {
                let end = self.general(v, Register::RCX);
                self.asm.two(Code::Cmp_r64_rm64, register, end);
            }
        }
    }

    fn serial(&mut self, l: &Loop) {
        let again = self.asm.label();
        self.start(l);
        self.asm.bind(again);
        self.items(&l.body);
        let var = self.advance(l, 1);
        self.compare_end(l, var);
        self.asm.jump(Code::Jl_rel32_64, again);
    }

    /// Whole groups of lanes, then what is left over with a mask. The range is not empty.
    fn lanes(&mut self, l: &Loop) {
        use Code::*;
        let step = if self.wide { 16 } else { 8 };
        let known = match (l.begin, l.end) {
            (Bound::Number(begin), Bound::Number(end)) => Some(end - begin),
            _ => None,
        };
        let (again, last, done) = (self.asm.label(), self.asm.label(), self.asm.label());
        self.start(l);
        if known.is_none_or(|n| n >= step) {
            if known.is_none() && !l.exact {
                self.ahead(l, step as i32);
                self.asm.jump(Jg_rel32_64, last);
            }
            self.asm.bind(again);
            self.items(&l.body);
            let var = self.advance(l, step as i32);
            if l.exact {
                self.compare_end(l, var);
                self.asm.jump(Jl_rel32_64, again);
            } else {
                self.ahead(l, step as i32);
                self.asm.jump(Jle_rel32_64, again);
            }
        }
        if l.exact || known.is_some_and(|n| n % step == 0) {
            return;
        }
        self.asm.bind(last);
        // What is left over, in RCX.
        self.bound(l.end, Register::RCX);
        let var = self.general(l.var, Register::RAX);
        self.asm.two(Sub_r64_rm64, Register::RCX, var);
        if known.is_none() {
            self.asm.jump(Je_rel32_64, done);
        }
        self.tail_masks();
        self.masked = true;
        self.items(&l.body);
        self.masked = false;
        if known.is_none() {
            self.asm.bind(done);
            self.asm.plain(Nopd);
        }
    }

    /// Compares the end of the next group with that of the loop.
    fn ahead(&mut self, l: &Loop, step: i32) {
        let var = self.general(l.var, Register::RAX);
        self.asm.load(Code::Lea_r64_m, Register::RAX, at(var, Register::None, i64::from(step)));
        self.compare_end(l, Register::RAX);
    }

    /// Masks of the first RCX lanes.
    fn tail_masks(&mut self) {
        use Code::*;
        if self.wide {
            self.asm.wide_number(Register::RAX, 1);
            self.asm.two(Shl_rm32_CL, Register::EAX, Register::CL);
            self.asm.number(Sub_rm64_imm32, Register::RAX, 1);
            self.asm.two(VEX_Kmovw_kr_r32, TAIL[0], Register::EAX);
            self.asm.operands(
                VEX_Kshiftrw_kr_kr_imm8,
                &[Operand::Register(TAIL[1]), Operand::Register(TAIL[0]), Operand::Number(8)],
                Register::None,
                false,
            );
            return;
        }
        self.asm.one(Neg_rm64, Register::RCX);
        let from = MemoryOperand::with_base_index_scale_displ_size(CONSTANTS, Register::RCX, 4, 32, 1);
        let [mask, half] = [14, 15].map(|n| register(Register::YMM0, n));
        let slot = |i: i64| at(Register::RSP, Register::None, 32 * i);
        self.asm.load(VEX_Vmovups_ymm_ymmm256, mask, from);
        self.asm.store(VEX_Vmovups_ymmm256_ymm, slot(0), mask);
        for i in [1, 2] {
            let upper = at(Register::RSP, Register::None, 16 * (i - 1));
            self.asm.load(VEX_Vpmovsxdq_ymm_xmmm128, half, upper);
            self.asm.store(VEX_Vmovups_ymmm256_ymm, slot(i), half);
        }
    }

    fn place(&self, v: Virtual) -> Place {
        self.places[v.index()]
    }

    fn slot(&self, v: Virtual) -> MemoryOperand {
        let constant = self.values.known(v).constant.is_some();
        let base = if constant { CONSTANTS } else { Register::RSP };
        at(base, Register::None, i64::from(self.offsets[v.index()]))
    }

    fn full_vector(&self, number: usize) -> Register {
        register(if self.wide { Register::ZMM0 } else { Register::YMM0 }, number)
    }

    /// The register that a value is in, if it is in one.
    fn held(&self, v: Virtual) -> Option<Register> {
        let Place::Register(n) = self.place(v) else { return None };
        Some(match self.values.known(v).class {
            Class::General => GENERAL[n],
            Class::Vector => self.full_vector(n),
            Class::Mask => register(MASKS.0, n),
        })
    }

    /// A general value in its register or in this one.
    fn general(&mut self, v: Virtual, spare: Register) -> Register {
        self.held(v).unwrap_or_else(|| {
            let slot = self.slot(v);
            self.asm.load(Code::Mov_r64_rm64, spare, slot);
            spare
        })
    }

    /// Sets a general value.
    fn general_result(&mut self, v: Virtual, set: impl FnOnce(&mut Assembler, Register)) {
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

    fn op(&mut self, op: &Op) {
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

    fn spill(&mut self, v: Virtual, from: Register) {
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
