//! The register tile of a matrix product at the machine's full width: the function of [`crate::tile`], with vectors of 16, 32
//! or 64 bytes.

use bespoke_lower::{Access, TileCode};
use bespoke_tensor::DType;
use iced_x86::{Code, Register};

use super::assembler::{Assembler, at};
use crate::tile::UNROLL;

/// The instructions of an element type and a width.
struct Codes {
    broadcast: Code,
    multiply_add: Code,
    load: Code,
    store: Code,
    xor: Code,
    /// The first of the vector registers, and how many there are.
    registers: (Register, usize),
}

fn codes(dtype: DType, bytes: usize) -> Codes {
    use Code::*;
    let single = dtype == DType::F32;
    let of = |s: Code, d: Code| if single { s } else { d };
    match bytes {
        16 => Codes {
            broadcast: of(VEX_Vbroadcastss_xmm_m32, VEX_Vmovddup_xmm_xmmm64),
            multiply_add: of(VEX_Vfmadd231ps_xmm_xmm_xmmm128, VEX_Vfmadd231pd_xmm_xmm_xmmm128),
            load: VEX_Vmovups_xmm_xmmm128,
            store: VEX_Vmovups_xmmm128_xmm,
            xor: VEX_Vxorps_xmm_xmm_xmmm128,
            registers: (Register::XMM0, 16),
        },
        32 => Codes {
            broadcast: of(VEX_Vbroadcastss_ymm_m32, VEX_Vbroadcastsd_ymm_m64),
            multiply_add: of(VEX_Vfmadd231ps_ymm_ymm_ymmm256, VEX_Vfmadd231pd_ymm_ymm_ymmm256),
            load: VEX_Vmovups_ymm_ymmm256,
            store: VEX_Vmovups_ymmm256_ymm,
            xor: VEX_Vxorps_ymm_ymm_ymmm256,
            registers: (Register::YMM0, 16),
        },
        _ => Codes {
            broadcast: of(EVEX_Vbroadcastss_zmm_k1z_xmmm32, EVEX_Vbroadcastsd_zmm_k1z_xmmm64),
            multiply_add: of(
                EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
                EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er,
            ),
            load: EVEX_Vmovups_zmm_k1z_zmmm512,
            store: EVEX_Vmovups_zmmm512_k1z_zmm,
            xor: EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32,
            registers: (Register::ZMM0, 32),
        },
    }
}

// Arguments, by the convention of Unix; the last two are on the stack.
const A: Register = Register::RDI;
const B: Register = Register::RSI;
const K: Register = Register::RDX;
const C: Register = Register::RCX;
const LDC: Register = Register::R8;
const TERMS: Register = Register::R9;
/// The offset of a term.
const TERM: Register = Register::RAX;
/// Where the gathered rows begin. The first ones belong to arguments that are read before, those from the fourth on to the
/// caller.
const ROWS: [Register; 11] = [
    Register::R10,
    Register::R11,
    LDC,
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
    C,
    A,
];
/// Those of them that belong to the caller.
const SAVED: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];

/// The machine code of a tile's function.
///
/// # Errors
/// The encoder's words.
pub fn assemble(code: TileCode) -> Result<Vec<u8>, String> {
    let tile = code.tile;
    let bytes = tile.vectors.bytes();
    let columns = tile.nr * tile.dtype.size() / bytes;
    let codes = codes(tile.dtype, bytes);
    assert!(tile.mr * columns + columns < codes.registers.1, "the accumulators of {code} do not fit");
    let mut emitter = Emitter { code, columns, bytes, codes, asm: Assembler::default() };
    emitter.function();
    emitter.asm.finish()
}

struct Emitter {
    code: TileCode,
    /// Vectors of a row.
    columns: usize,
    /// Of a vector.
    bytes: usize,
    codes: Codes,
    asm: Assembler,
}

impl Emitter {
    fn vector(&self, number: usize) -> Register {
        let first = self.codes.registers.0 as usize;
        Register::try_from(first + number).expect("vector registers follow each other")
    }

    fn accumulator(&self, row: usize, column: usize) -> Register {
        self.vector(row * self.columns + column)
    }

    fn gathers_rows(&self) -> bool {
        self.code.left == Access::Table
    }

    fn gathers(&self) -> bool {
        self.gathers_rows() || self.code.right == Access::Table
    }

    fn function(&mut self) {
        let saved = if self.gathers_rows() { &SAVED[..] } else { &[] };
        for &register in saved {
            self.asm.one(Code::Push_r64, register);
        }
        // Past the return address.
        let arguments = 8 * (saved.len() as i64 + 1);
        self.asm.number(Code::Shl_rm64_imm8, LDC, self.code.tile.dtype.size().trailing_zeros() as i32);
        self.start(arguments + 8);
        if self.gathers_rows() {
            self.asm.one(Code::Push_r64, C);
            self.asm.one(Code::Push_r64, LDC);
            self.asm.load(Code::Mov_r64_rm64, TERM, at(Register::RSP, Register::None, arguments + 16));
            for (row, &register) in ROWS.iter().enumerate().take(self.code.tile.mr) {
                // The last register is that of A itself, which is added before it goes.
                self.asm.two(Code::Mov_r64_rm64, register, A);
                self.asm.load(Code::Add_r64_rm64, register, at(TERM, Register::None, row as i64 * 8));
            }
        }
        self.steps();
        if self.gathers_rows() {
            self.asm.one(Code::Pop_r64, LDC);
            self.asm.one(Code::Pop_r64, C);
        }
        self.rows(|emitter, column, register| {
            let place = at(C, Register::None, (column * emitter.bytes) as i64);
            emitter.asm.store(emitter.codes.store, place, register);
        });
        for &register in saved.iter().rev() {
            self.asm.one(Code::Pop_r64, register);
        }
        if self.bytes > 16 {
            // Cranelift's code is slow while upper halves are in use.
            self.asm.plain(Code::VEX_Vzeroupper);
        }
        self.asm.plain(Code::Retnq);
    }

    /// The accumulators: zeros, or the elements of c. `add` is where on the stack that is said.
    fn start(&mut self, add: i64) {
        let (zero, done) = (self.asm.label(), self.asm.label());
        self.asm.load(Code::Mov_r64_rm64, TERM, at(Register::RSP, Register::None, add));
        self.asm.two(Code::Test_rm64_r64, TERM, TERM);
        self.asm.jump(Code::Je_rel32_64, zero);
        self.asm.two(Code::Mov_r64_rm64, TERM, C);
        self.rows(|emitter, column, register| {
            let place = at(C, Register::None, (column * emitter.bytes) as i64);
            emitter.asm.load(emitter.codes.load, register, place);
        });
        self.asm.two(Code::Mov_r64_rm64, C, TERM);
        self.asm.jump(Code::Jmp_rel32_64, done);
        self.asm.bind(zero);
        for i in 0..self.code.tile.mr * self.columns {
            let register = self.vector(i);
            self.asm.three(self.codes.xor, register, register, register);
        }
        self.asm.bind(done);
    }

    /// Goes over the rows of c with the accumulators; afterwards C is past the last row.
    fn rows(&mut self, each: impl Fn(&mut Emitter, usize, Register)) {
        for row in 0..self.code.tile.mr {
            for column in 0..self.columns {
                let register = self.accumulator(row, column);
                each(self, column, register);
            }
            self.asm.two(Code::Add_r64_rm64, C, LDC);
        }
    }

    /// All terms.
    fn steps(&mut self) {
        let labels: [_; 4] = std::array::from_fn(|_| self.asm.label());
        let [many, rest, one, done] = labels;
        self.asm.number(Code::Sub_rm64_imm32, K, UNROLL as i32);
        self.asm.jump(Code::Jl_rel32_64, rest);
        self.asm.bind(many);
        (0..UNROLL).for_each(|step| self.step(step));
        self.advance(UNROLL);
        self.asm.number(Code::Sub_rm64_imm32, K, UNROLL as i32);
        self.asm.jump(Code::Jge_rel32_64, many);
        self.asm.bind(rest);
        self.asm.number(Code::Add_rm64_imm32, K, UNROLL as i32);
        self.asm.jump(Code::Je_rel32_64, done);
        self.asm.bind(one);
        self.step(0);
        self.advance(1);
        self.asm.number(Code::Sub_rm64_imm32, K, 1);
        self.asm.jump(Code::Jne_rel32_64, one);
        self.asm.bind(done);
    }

    /// Goes on by so many terms.
    fn advance(&mut self, count: i64) {
        if let Access::Steps { term, .. } = self.code.left {
            self.asm.number(Code::Add_rm64_imm32, A, (count * term) as i32);
        }
        if let Access::Steps { term, .. } = self.code.right {
            self.asm.number(Code::Add_rm64_imm32, B, (count * term) as i32);
        }
        if self.gathers() {
            self.asm.number(Code::Add_rm64_imm32, TERMS, (count * 8) as i32);
        }
    }

    /// One term: `step` terms from where the operands begin.
    fn step(&mut self, step: i64) {
        if self.gathers() {
            self.asm.load(Code::Mov_r64_rm64, TERM, at(TERMS, Register::None, step * 8));
        }
        let accumulators = self.code.tile.mr * self.columns;
        for column in 0..self.columns {
            let along = (column * self.bytes) as i64;
            let place = match self.code.right {
                Access::Steps { term, .. } => at(B, Register::None, step * term + along),
                Access::Table => at(B, TERM, along),
            };
            let register = self.vector(accumulators + column);
            self.asm.load(self.codes.load, register, place);
        }
        // What registers are left take turns, so that elements are loaded ahead.
        let left = self.codes.registers.1 - accumulators - self.columns;
        for row in 0..self.code.tile.mr {
            let place = match self.code.left {
                Access::Steps { line, term } => at(A, Register::None, step * term + row as i64 * line),
                Access::Table => at(ROWS[row], TERM, 0),
            };
            let element = self.vector(accumulators + self.columns + row % left);
            self.asm.load(self.codes.broadcast, element, place);
            for column in 0..self.columns {
                let (sum, b) = (self.accumulator(row, column), self.vector(accumulators + column));
                self.asm.three(self.codes.multiply_add, sum, b, element);
            }
        }
    }
}
