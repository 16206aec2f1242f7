//! Instructions one after the other, with labels.

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, IcedError, Instruction, InstructionBlock, MemoryOperand,
    OpCodeOperandKind, OpKind, Register,
};

/// An operand of an instruction.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    /// A register.
    Register(Register),
    /// What lies in memory.
    Memory(MemoryOperand),
    /// One element in memory, for all lanes.
    Broadcast(MemoryOperand),
    /// A number.
    Number(i64),
}

/// A place in the code.
#[derive(Clone, Copy, Debug)]
pub struct Label(u64);

/// Collects the instructions of a function. What cannot be encoded is told at the end.
#[derive(Default)]
pub struct Assembler {
    instructions: Vec<Instruction>,
    labels: u64,
    /// The label that the next instruction gets.
    pending: Option<Label>,
    failed: Option<IcedError>,
}

impl Assembler {
    fn push(&mut self, instruction: Result<Instruction, IcedError>) {
        match instruction {
            Ok(mut instruction) => {
                // The encoder finds branch targets by their address before encoding: labels are such addresses.
                instruction.set_ip(self.pending.take().map_or(0, |l| l.0));
                self.instructions.push(instruction);
            }
            Err(error) => _ = self.failed.get_or_insert(error),
        }
    }

    /// An instruction without operands.
    pub fn plain(&mut self, code: Code) {
        self.push(Ok(Instruction::with(code)));
    }

    /// An instruction of one register.
    pub fn one(&mut self, code: Code, register: Register) {
        self.push(Instruction::with1(code, register));
    }

    /// An instruction of two registers.
    pub fn two(&mut self, code: Code, to: Register, from: Register) {
        self.push(Instruction::with2(code, to, from));
    }

    /// An instruction of three registers.
    pub fn three(&mut self, code: Code, to: Register, x: Register, y: Register) {
        self.push(Instruction::with3(code, to, x, y));
    }

    /// An instruction of a register and a number.
    pub fn number(&mut self, code: Code, register: Register, number: i32) {
        self.push(Instruction::with2(code, register, number));
    }

    /// An instruction that reads memory.
    pub fn load(&mut self, code: Code, to: Register, from: MemoryOperand) {
        self.push(Instruction::with2(code, to, from));
    }

    /// An instruction that writes memory.
    pub fn store(&mut self, code: Code, to: MemoryOperand, from: Register) {
        self.push(Instruction::with2(code, to, from));
    }

    /// An instruction of any operands, on the lanes of a mask (or `Register::None`); `zeroing`: others become zero.
    pub fn operands(&mut self, code: Code, operands: &[Operand], mask: Register, zeroing: bool) {
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        for (i, &operand) in operands.iter().enumerate() {
            let position = i as u32;
            match operand {
                Operand::Register(register) => {
                    instruction.set_op_kind(position, OpKind::Register);
                    instruction.set_op_register(position, register);
                }
                Operand::Memory(memory) | Operand::Broadcast(memory) => {
                    instruction.set_op_kind(position, OpKind::Memory);
                    instruction.set_memory_base(memory.base);
                    instruction.set_memory_index(memory.index);
                    instruction.set_memory_index_scale(memory.scale);
                    instruction.set_memory_displ_size(memory.displ_size);
                    instruction.set_memory_displacement64(memory.displacement as u64);
                    instruction.set_is_broadcast(matches!(operand, Operand::Broadcast(_)));
                }
                Operand::Number(number) => match code.op_code().op_kind(position) {
                    OpCodeOperandKind::imm32sex64 => {
                        instruction.set_op_kind(position, OpKind::Immediate32to64);
                        instruction.set_immediate32to64(number);
                    }
                    OpCodeOperandKind::imm64 => {
                        instruction.set_op_kind(position, OpKind::Immediate64);
                        instruction.set_immediate64(number as u64);
                    }
                    _ => {
                        instruction.set_op_kind(position, OpKind::Immediate8);
                        instruction.set_immediate8(number as u8);
                    }
                },
            }
        }
        instruction.set_op_mask(mask);
        instruction.set_zeroing_masking(zeroing);
        self.push(Ok(instruction));
    }

    /// A number of 64 bits comes into a register.
    pub fn wide_number(&mut self, to: Register, number: i64) {
        self.operands(
            Code::Mov_r64_imm64,
            &[Operand::Register(to), Operand::Number(number)],
            Register::None,
            false,
        );
    }

    /// The address of a label.
    pub fn address(&mut self, to: Register, label: Label) {
        let from = MemoryOperand::with_base_displ(Register::RIP, label.0 as i64);
        self.push(Instruction::with2(Code::Lea_r64_m, to, from));
    }

    /// The upper half of a register of 256 bits from memory.
    pub fn insert_high(&mut self, register: Register, from: MemoryOperand) {
        self.push(Instruction::with4(
            Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8,
            register,
            register,
            from,
            1,
        ));
    }

    /// `vshufps` of registers of 256 bits.
    pub fn shuffle(&mut self, to: Register, x: Register, y: Register, which: i32) {
        self.push(Instruction::with4(Code::VEX_Vshufps_ymm_ymm_ymmm256_imm8, to, x, y, which));
    }

    /// A jump.
    pub fn jump(&mut self, code: Code, to: Label) {
        self.push(Instruction::with_branch(code, to.0));
    }

    /// A place that is not yet known.
    pub fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels)
    }

    /// The next instruction is at the label.
    pub fn bind(&mut self, label: Label) {
        debug_assert!(self.pending.is_none(), "one label an instruction");
        self.pending = Some(label);
    }

    /// The machine code, which runs at any address.
    ///
    /// # Errors
    /// The encoder's words if an instruction has operands that it does not take.
    pub fn finish(self) -> Result<Vec<u8>, String> {
        if let Some(error) = self.failed {
            return Err(error.to_string());
        }
        let block = InstructionBlock::new(&self.instructions, 0);
        let result = BlockEncoder::encode(64, block, BlockEncoderOptions::NONE).map_err(|e| e.to_string())?;
        Ok(result.code_buffer)
    }
}

/// What lies at `base + index + displacement`.
pub fn at(base: Register, index: Register, displacement: i64) -> MemoryOperand {
    MemoryOperand::with_base_index_scale_displ_size(
        base,
        index,
        1,
        displacement,
        u32::from(displacement != 0),
    )
}
