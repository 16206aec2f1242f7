//! A function with registers: its frame, constants, loops and the masks of their last steps.

use bespoke_lower::Isa;
use iced_x86::{Code, MemoryOperand, Register};

use super::{
    assembler::{Assembler, Operand, at},
    registers::{Bound, Class, Item, Loop, Place, Values, Virtual, allocate},
};

/// The first argument, which stays where it is.
pub const ARGS: Register = Register::RDI;
/// The address of the constants.
pub const CONSTANTS: Register = Register::R11;
/// The frame on the stack.
const FRAME: Register = Register::RBP;
/// What general values may be in. The last five belong to the caller.
pub const GENERAL: [Register; 8] = [
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
pub const TAIL: [Register; 2] = [Register::K7, Register::K6];
/// The first masks that values may be in, and how many there are.
pub const MASKS: (Register, usize) = (Register::K1, 4);
/// For general values that are in memory, while an instruction needs them.
pub const SPARE_GENERAL: [Register; 2] = [Register::RAX, Register::RSI];
/// The same for masks. For vectors it is the two last ones.
pub const SPARE_MASKS: [Register; 2] = [Register::K5, Register::K0];

/// What a function is emitted with.
pub struct Emitter<'a> {
    /// The instructions.
    pub asm: Assembler,
    /// Are there masks and vectors of 512 bits?
    pub wide: bool,
    /// All values,
    pub values: &'a Values,
    /// and where each is.
    pub places: Vec<Place>,
    /// Where values in memory are: bytes from the stack pointer, or from the constants.
    pub offsets: Vec<i32>,
    /// Is this the last step of a loop, with a mask?
    pub masked: bool,
}

/// The bytes of a vector.
fn bytes(isa: Isa) -> usize {
    if isa == Isa::Avx512 { 64 } else { 32 }
}

fn vectors(isa: Isa) -> usize {
    if isa == Isa::Avx512 { 32 } else { 16 }
}

/// The most bytes of values that wait on the stack: each has a place of its own.
const MOST_STACK: i32 = 64 << 10;

/// The machine code of a function `(args, begin, end)`; `begin` and `end` are the values that hold these arguments. None if too
/// many values have to wait on the stack.
///
/// # Errors
/// The encoder's words.
pub fn emit(
    values: &Values,
    body: &[Item],
    range: [Virtual; 2],
    isa: Isa,
) -> Option<Result<Vec<u8>, String>> {
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
    if stack > MOST_STACK {
        return None;
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
    let code = emitter.asm.finish().map(|mut code| {
        if !pool.is_empty() {
            code.resize(code.len().next_multiple_of(64), 0);
            code.extend(pool);
        }
        code
    });
    Some(code)
}

/// The register of this number, of the kind of the first.
pub fn register(first: Register, number: usize) -> Register {
    Register::try_from(first as usize + number).expect("registers of a kind follow each other")
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
}
