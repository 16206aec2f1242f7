//! Copies lines of an operand (rows of A, columns of B) into a panel, where the lines of a term lie side by side.

use bespoke_lower::{CopyCode, Lines};
use bespoke_tensor::DType;
use iced_x86::{Code, Register};

use super::assembler::{Assembler, Label, at};

// Arguments, by the convention of Unix.
const FROM: Register = Register::RDI;
const TO: Register = Register::RSI;
const K: Register = Register::RDX;
const TERMS: Register = Register::RCX;
/// The offset of a term.
const TERM: Register = Register::RAX;

/// Terms and lines of a square that is transposed in registers.
const SQUARE: usize = 8;

/// The machine code of `(from, to, k, terms)`: `to[p·lines + i] = from(i, p)` for all lines i and the first k terms p.
///
/// # Errors
/// The encoder's words.
pub fn assemble(code: CopyCode) -> Result<Vec<u8>, String> {
    let mut emitter = Emitter { code, size: code.dtype.size(), asm: Assembler::default() };
    match code.lines {
        Lines::SideBySide { .. } | Lines::Gathered => emitter.along(),
        Lines::Apart { line } => emitter.across(line),
    }
    emitter.asm.plain(Code::VEX_Vzeroupper);
    emitter.asm.plain(Code::Retnq);
    emitter.asm.finish()
}

struct Emitter {
    code: CopyCode,
    size: usize,
    asm: Assembler,
}

fn register(first: Register, number: usize) -> Register {
    Register::try_from(first as usize + number).expect("vector registers follow each other")
}

fn xmm(number: usize) -> Register {
    register(Register::XMM0, number)
}

fn ymm(number: usize) -> Register {
    register(Register::YMM0, number)
}

impl Emitter {
    /// `count` terms at a time while there are so many, then one by one.
    fn loops(&mut self, count: usize, many: impl Fn(&mut Emitter), one: impl Fn(&mut Emitter)) {
        let labels: [Label; 4] = std::array::from_fn(|_| self.asm.label());
        let [again, rest, single, done] = labels;
        self.asm.number(Code::Sub_rm64_imm32, K, count as i32);
        self.asm.jump(Code::Jl_rel32_64, rest);
        self.asm.bind(again);
        many(self);
        self.asm.number(Code::Sub_rm64_imm32, K, count as i32);
        self.asm.jump(Code::Jge_rel32_64, again);
        self.asm.bind(rest);
        self.asm.number(Code::Add_rm64_imm32, K, count as i32);
        self.asm.jump(Code::Je_rel32_64, done);
        self.asm.bind(single);
        one(self);
        self.asm.number(Code::Sub_rm64_imm32, K, 1);
        self.asm.jump(Code::Jne_rel32_64, single);
        self.asm.bind(done);
    }

    /// Goes on by so many terms.
    fn advance(&mut self, count: usize) {
        let along = match self.code.lines {
            Lines::SideBySide { term } => count as i64 * term,
            Lines::Apart { .. } => (count * self.size) as i64,
            Lines::Gathered => {
                self.asm.number(Code::Add_rm64_imm32, TERMS, count as i32 * 8);
                0
            }
        };
        if along != 0 {
            self.asm.number(Code::Add_rm64_imm32, FROM, along as i32);
        }
        self.asm.number(Code::Add_rm64_imm32, TO, (count * self.code.count * self.size) as i32);
    }

    /// The lines of a term lie side by side.
    fn along(&mut self) {
        const UNROLL: usize = 4;
        let some = |count: usize| {
            move |emitter: &mut Emitter| {
                (0..count).for_each(|step| emitter.term(step));
                emitter.advance(count);
            }
        };
        self.loops(UNROLL, some(UNROLL), some(1));
    }

    /// All lines of a term, in pieces of at most the vectors' bytes.
    fn term(&mut self, step: usize) {
        use Code::*;
        let pieces = [
            (64, EVEX_Vmovups_zmm_k1z_zmmm512, EVEX_Vmovups_zmmm512_k1z_zmm, Register::ZMM0),
            (32, VEX_Vmovups_ymm_ymmm256, VEX_Vmovups_ymmm256_ymm, Register::YMM0),
            (16, VEX_Vmovups_xmm_xmmm128, VEX_Vmovups_xmmm128_xmm, Register::XMM0),
            (8, VEX_Vmovsd_xmm_m64, VEX_Vmovsd_m64_xmm, Register::XMM0),
            (4, VEX_Vmovss_xmm_m32, VEX_Vmovss_m32_xmm, Register::XMM0),
        ];
        if self.code.lines == Lines::Gathered {
            self.asm.load(Mov_r64_rm64, TERM, at(TERMS, Register::None, step as i64 * 8));
        }
        let bytes = self.code.count * self.size;
        let (mut done, mut number) = (0, 0);
        for (width, load, store, first) in pieces.into_iter().filter(|p| p.0 <= self.code.bytes) {
            while bytes - done >= width {
                let from = match self.code.lines {
                    Lines::SideBySide { term } => at(FROM, Register::None, step as i64 * term + done as i64),
                    _ => at(FROM, TERM, done as i64),
                };
                let vector = register(first, number % 16);
                self.asm.load(load, vector, from);
                self.asm.store(store, at(TO, Register::None, (step * bytes + done) as i64), vector);
                done += width;
                number += 1;
            }
        }
    }

    /// The terms of a line lie side by side.
    fn across(&mut self, line: i64) {
        let one = |emitter: &mut Emitter| {
            (0..emitter.code.count).for_each(|i| emitter.element(i, 0, line));
            emitter.advance(1);
        };
        let many = |emitter: &mut Emitter| {
            let count = emitter.code.count;
            let mut first = 0;
            if emitter.code.dtype == DType::F32 {
                while count - first >= SQUARE {
                    emitter.square(first, line);
                    first += SQUARE;
                }
            }
            for i in first..count {
                (0..SQUARE).for_each(|term| emitter.element(i, term, line));
            }
            emitter.advance(SQUARE);
        };
        self.loops(SQUARE, many, one);
    }

    fn element(&mut self, i: usize, term: usize, line: i64) {
        use Code::*;
        let (load, store) = match self.code.dtype {
            DType::F64 => (VEX_Vmovsd_xmm_m64, VEX_Vmovsd_m64_xmm),
            _ => (VEX_Vmovss_xmm_m32, VEX_Vmovss_m32_xmm),
        };
        let vector = xmm(term % 16);
        self.asm.load(load, vector, at(FROM, Register::None, i as i64 * line + (term * self.size) as i64));
        let to = (term * self.code.count + i) * self.size;
        self.asm.store(store, at(TO, Register::None, to as i64), vector);
    }

    /// Eight lines from `first`, eight terms of each.
    fn square(&mut self, first: usize, line: i64) {
        use Code::*;
        // Register r of lines 0 to 3: terms 0 to 3 of line r below, those of line r + 4 above; then the same of terms 4 to 7.
        for half in 0..2 {
            for row in 0..4 {
                let from = |lower: usize| {
                    let offset = (first + lower) as i64 * line + half as i64 * 16;
                    at(FROM, Register::None, offset)
                };
                let number = half * 4 + row;
                self.asm.load(VEX_Vmovups_xmm_xmmm128, xmm(number), from(row));
                let high = from(row + 4);
                self.asm.insert_high(ymm(number), high);
            }
        }
        for half in 0..2 {
            let [r0, r1, r2, r3] = std::array::from_fn(|i| ymm(half * 4 + i));
            let [t0, t1, t2, t3] = std::array::from_fn(|i| ymm(8 + half * 4 + i));
            self.asm.three(VEX_Vunpcklps_ymm_ymm_ymmm256, t0, r0, r1);
            self.asm.three(VEX_Vunpckhps_ymm_ymm_ymmm256, t1, r0, r1);
            self.asm.three(VEX_Vunpcklps_ymm_ymm_ymmm256, t2, r2, r3);
            self.asm.three(VEX_Vunpckhps_ymm_ymm_ymmm256, t3, r2, r3);
            for (to, x, y, which) in
                [(r0, t0, t2, 0x44), (r1, t0, t2, 0xee), (r2, t1, t3, 0x44), (r3, t1, t3, 0xee)]
            {
                self.asm.shuffle(to, x, y, which);
            }
            for (term, vector) in [r0, r1, r2, r3].into_iter().enumerate() {
                let to = ((half * 4 + term) * self.code.count + first) * self.size;
                self.asm.store(VEX_Vmovups_ymmm256_ymm, at(TO, Register::None, to as i64), vector);
            }
        }
    }
}
