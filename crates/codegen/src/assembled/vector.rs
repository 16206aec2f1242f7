//! Functions of lanes. A value of 32 bits or less a lane is one vector (u8 zero-extended to 32 bits), of 64 bits two; a bool is a
//! mask with AVX-512, else a vector of masks of 32 bits. The bits are those of [`crate::vector`].

use bespoke_loops::{BinaryFn, UnaryFn};
use bespoke_tensor::DType;
use iced_x86::Code::{self, *};

use super::{
    kernel::Builder,
    registers::{Form, Virtual},
};

/// The vectors of a value, or its mask.
pub type Lanes = Vec<Virtual>;

/// Rounds to the nearest; down, up, toward zero; without exceptions.
const ROUND: [i64; 4] = [8, 9, 10, 11];

/// Has a lane 64 bits?
pub fn is_double(dtype: DType) -> bool {
    dtype.size() == 8
}

impl Builder<'_> {
    /// Applies `f` vector by vector; to the first only if all operands are alike in all vectors.
    pub fn each(
        &mut self,
        operands: &[&[Virtual]],
        mut f: impl FnMut(&mut Self, &[Virtual]) -> Option<Virtual>,
    ) -> Option<Lanes> {
        let count = operands[0].len();
        let piece = |i: usize| operands.iter().map(|o| o[i]).collect::<Vec<_>>();
        let first = f(self, &piece(0))?;
        let alike = operands.iter().all(|o| o.iter().all(|&v| v == o[0]));
        (0..count).map(|i| if i == 0 || alike { Some(first) } else { f(self, &piece(i)) }).collect()
    }

    /// The instruction of AVX-512 or that of AVX2.
    pub fn pick(&self, wide: Code, narrow: Code) -> Code {
        if self.wide() { wide } else { narrow }
    }

    fn by_size(&self, dtype: DType, words: (Code, Code), doubles: (Code, Code)) -> Code {
        let (wide, narrow) = if is_double(dtype) { doubles } else { words };
        self.pick(wide, narrow)
    }

    fn word(&mut self, bits: u32) -> Virtual {
        self.constant(bits.to_le_bytes().to_vec())
    }

    /// The same bits in each lane of this type.
    fn bits(&mut self, dtype: DType, bits: u64) -> Virtual {
        let size = if is_double(dtype) { 8 } else { 4 };
        self.constant(bits.to_le_bytes()[..size].to_vec())
    }

    fn logic(&mut self, f: BinaryFn, dtype: DType, x: Virtual, y: Virtual) -> Virtual {
        let code = match f {
            BinaryFn::And => self.by_size(
                dtype,
                (EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, VEX_Vpand_ymm_ymm_ymmm256),
                (EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64, VEX_Vpand_ymm_ymm_ymmm256),
            ),
            BinaryFn::Or => self.by_size(
                dtype,
                (EVEX_Vpord_zmm_k1z_zmm_zmmm512b32, VEX_Vpor_ymm_ymm_ymmm256),
                (EVEX_Vporq_zmm_k1z_zmm_zmmm512b64, VEX_Vpor_ymm_ymm_ymmm256),
            ),
            _ => self.by_size(
                dtype,
                (EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, VEX_Vpxor_ymm_ymm_ymmm256),
                (EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64, VEX_Vpxor_ymm_ymm_ymmm256),
            ),
        };
        self.commutative(code, x, y)
    }

    /// A constant comes last, where it may stay in memory.
    fn commutative(&mut self, code: Code, x: Virtual, y: Virtual) -> Virtual {
        let (x, y) = if self.is_constant(x) { (y, x) } else { (x, y) };
        self.op(code, &[x, y])
    }

    fn not(&mut self, dtype: DType, x: Virtual) -> Virtual {
        let ones = self.bits(dtype, u64::MAX);
        self.logic(BinaryFn::Xor, dtype, x, ones)
    }

    fn low_byte(&mut self, x: Virtual) -> Virtual {
        let mask = self.word(255);
        self.logic(BinaryFn::And, DType::I32, x, mask)
    }

    /// Lanes of 32 or 64 bits where the mask is set, else zero.
    fn where_set(&mut self, dtype: DType, mask: Virtual, x: Virtual) -> Virtual {
        if self.wide() {
            let code =
                if is_double(dtype) { EVEX_Vmovapd_zmm_k1z_zmmm512 } else { EVEX_Vmovaps_zmm_k1z_zmmm512 };
            return self.masked_op(code, &[x], mask);
        }
        self.logic(BinaryFn::And, dtype, mask, x)
    }

    /// A mask of all lanes as one for each half, of lanes of 64 bits.
    fn halves(&mut self, mask: Virtual) -> [Virtual; 2] {
        if self.wide() {
            return [mask, self.op_number(VEX_Kshiftrw_kr_kr_imm8, &[mask], 8)];
        }
        let upper = self.op_number(VEX_Vextracti128_xmmm128_ymm_imm8, &[mask], 1);
        [mask, upper].map(|half| self.op(VEX_Vpmovsxdq_ymm_xmmm128, &[half]))
    }

    /// Masks of the halves as one.
    fn join(&mut self, halves: &[Virtual]) -> Virtual {
        if self.wide() {
            return self.op(VEX_Kunpckbw_kr_kr_kr, &[halves[1], halves[0]]);
        }
        let words = self.op_number(VEX_Vshufps_ymm_ymm_ymmm256_imm8, &[halves[0], halves[1]], 0x88);
        self.op_number(VEX_Vpermq_ymm_ymmm256_imm8, &[words], 0xd8)
    }

    /// A function of one value; `None` where there is no instruction.
    pub fn unary(&mut self, f: UnaryFn, dtype: DType, x: &[Virtual]) -> Option<Lanes> {
        self.each(&[x], |b, x| b.unary_vector(f, dtype, x[0]))
    }

    fn unary_vector(&mut self, f: UnaryFn, dtype: DType, x: Virtual) -> Option<Virtual> {
        let float = dtype.is_float();
        let sign = if is_double(dtype) { 1 << 63 } else { 1 << 31 };
        Some(match f {
            UnaryFn::Neg if float => {
                let sign = self.bits(dtype, sign);
                self.logic(BinaryFn::Xor, dtype, x, sign)
            }
            UnaryFn::Abs if float => {
                let rest = self.bits(dtype, sign - 1);
                self.logic(BinaryFn::And, dtype, x, rest)
            }
            UnaryFn::Neg => {
                let zero = self.bits(dtype, 0);
                return self.binary_vector(BinaryFn::Sub, dtype, zero, x, true);
            }
            UnaryFn::Abs if dtype == DType::I32 => {
                let code = self.pick(EVEX_Vpabsd_zmm_k1z_zmmm512b32, VEX_Vpabsd_ymm_ymmm256);
                self.op(code, &[x])
            }
            UnaryFn::Abs if dtype == DType::I64 && !self.wide() => return None,
            UnaryFn::Abs if dtype == DType::I64 => self.op(EVEX_Vpabsq_zmm_k1z_zmmm512b64, &[x]),
            UnaryFn::Abs => x,
            UnaryFn::Sqrt => {
                let code = self.by_size(
                    dtype,
                    (EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er, VEX_Vsqrtps_ymm_ymmm256),
                    (EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er, VEX_Vsqrtpd_ymm_ymmm256),
                );
                self.op(code, &[x])
            }
            UnaryFn::Round | UnaryFn::Floor | UnaryFn::Ceil | UnaryFn::Trunc => {
                let code = self.by_size(
                    dtype,
                    (EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, VEX_Vroundps_ymm_ymmm256_imm8),
                    (EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae, VEX_Vroundpd_ymm_ymmm256_imm8),
                );
                let how = match f {
                    UnaryFn::Round => 0,
                    UnaryFn::Floor => 1,
                    UnaryFn::Ceil => 2,
                    _ => 3,
                };
                self.op_number(code, &[x], ROUND[how])
            }
            UnaryFn::Not if dtype == DType::Bool && self.wide() => self.op(VEX_Knotw_kr_kr, &[x]),
            UnaryFn::Not if dtype == DType::U8 => {
                let ones = self.word(255);
                self.logic(BinaryFn::Xor, dtype, x, ones)
            }
            UnaryFn::Not => self.not(dtype, x),
        })
    }

    /// A function of two values; `None` where there is no instruction. `number`: y is known not to be NaN.
    pub fn binary(
        &mut self,
        f: BinaryFn,
        dtype: DType,
        x: &[Virtual],
        y: &[Virtual],
        number: bool,
    ) -> Option<Lanes> {
        if !f.is_comparison() {
            return self.each(&[x, y], |b, v| b.binary_vector(f, dtype, v[0], v[1], number));
        }
        let masks = self.each(&[x, y], |b, v| b.compare(f, dtype, v[0], v[1]))?;
        Some(if is_double(dtype) { vec![self.join(&masks)] } else { masks })
    }

    fn binary_vector(
        &mut self,
        f: BinaryFn,
        dtype: DType,
        x: Virtual,
        y: Virtual,
        number: bool,
    ) -> Option<Virtual> {
        use BinaryFn as F;
        match f {
            F::And | F::Or | F::Xor if dtype == DType::Bool && self.wide() => {
                let code = match f {
                    F::And => VEX_Kandw_kr_kr_kr,
                    F::Or => VEX_Korw_kr_kr_kr,
                    _ => VEX_Kxorw_kr_kr_kr,
                };
                return Some(self.op(code, &[x, y]));
            }
            F::And | F::Or | F::Xor => return Some(self.logic(f, dtype, x, y)),
            F::MulHigh => return Some(self.multiply_high(x, y)),
            F::Min | F::Max if dtype.is_float() => return Some(self.extremum(f, dtype, x, y, number)),
            _ => {}
        }
        let single = |wide: Code, narrow: Code| self.pick(wide, narrow);
        let code = match (f, dtype) {
            (F::Add, DType::F32) => single(EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er, VEX_Vaddps_ymm_ymm_ymmm256),
            (F::Sub, DType::F32) => single(EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er, VEX_Vsubps_ymm_ymm_ymmm256),
            (F::Mul, DType::F32) => single(EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er, VEX_Vmulps_ymm_ymm_ymmm256),
            (F::Div, DType::F32) => single(EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er, VEX_Vdivps_ymm_ymm_ymmm256),
            (F::Add, DType::F64) => single(EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er, VEX_Vaddpd_ymm_ymm_ymmm256),
            (F::Sub, DType::F64) => single(EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er, VEX_Vsubpd_ymm_ymm_ymmm256),
            (F::Mul, DType::F64) => single(EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er, VEX_Vmulpd_ymm_ymm_ymmm256),
            (F::Div, DType::F64) => single(EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er, VEX_Vdivpd_ymm_ymm_ymmm256),
            (F::Add, DType::I64) => single(EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64, VEX_Vpaddq_ymm_ymm_ymmm256),
            (F::Sub, DType::I64) => single(EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64, VEX_Vpsubq_ymm_ymm_ymmm256),
            (F::Min, DType::I64) if self.wide() => EVEX_Vpminsq_zmm_k1z_zmm_zmmm512b64,
            (F::Max, DType::I64) if self.wide() => EVEX_Vpmaxsq_zmm_k1z_zmm_zmmm512b64,
            (_, DType::I64 | DType::Bool) => return None,
            (F::Add, _) => single(EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32, VEX_Vpaddd_ymm_ymm_ymmm256),
            (F::Sub, _) => single(EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32, VEX_Vpsubd_ymm_ymm_ymmm256),
            (F::Mul, _) => single(EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32, VEX_Vpmulld_ymm_ymm_ymmm256),
            (F::Min, DType::I32) => single(EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32, VEX_Vpminsd_ymm_ymm_ymmm256),
            (F::Max, DType::I32) => single(EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32, VEX_Vpmaxsd_ymm_ymm_ymmm256),
            (F::Min, _) => single(EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32, VEX_Vpminud_ymm_ymm_ymmm256),
            (F::Max, _) => single(EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32, VEX_Vpmaxud_ymm_ymm_ymmm256),
            _ => return None,
        };
        let either = matches!(f, F::Add | F::Mul | F::Min | F::Max);
        let result = if either { self.commutative(code, x, y) } else { self.op(code, &[x, y]) };
        let wraps = dtype == DType::U8 && matches!(f, F::Add | F::Sub | F::Mul);
        Some(if wraps { self.low_byte(result) } else { result })
    }

    /// The instruction gives its second operand where they are equal or one is NaN.
    fn extremum(&mut self, f: BinaryFn, dtype: DType, x: Virtual, y: Virtual, number: bool) -> Virtual {
        let code = if f == BinaryFn::Min {
            self.by_size(
                dtype,
                (EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae, VEX_Vminps_ymm_ymm_ymmm256),
                (EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae, VEX_Vminpd_ymm_ymm_ymmm256),
            )
        } else {
            self.by_size(
                dtype,
                (EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae, VEX_Vmaxps_ymm_ymm_ymmm256),
                (EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae, VEX_Vmaxpd_ymm_ymm_ymmm256),
            )
        };
        let best = self.op(code, &[y, x]);
        if number {
            return best;
        }
        let nan = self.compare_floats(dtype, y, y, 3);
        self.blend(dtype, nan, y, best)
    }

    /// `x` where the mask is set, else `y`; of doubles it is a mask of their half.
    fn blend(&mut self, dtype: DType, mask: Virtual, x: Virtual, y: Virtual) -> Virtual {
        if !self.wide() {
            return self.op(VEX_Vblendvps_ymm_ymm_ymmm256_ymm, &[y, x, mask]);
        }
        let code = if is_double(dtype) {
            EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64
        } else {
            EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32
        };
        self.masked_op(code, &[y, x], mask)
    }

    fn compare_floats(&mut self, dtype: DType, x: Virtual, y: Virtual, predicate: i64) -> Virtual {
        let code = self.by_size(
            dtype,
            (EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae, VEX_Vcmpps_ymm_ymm_ymmm256_imm8),
            (EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae, VEX_Vcmppd_ymm_ymm_ymmm256_imm8),
        );
        self.op_number(code, &[x, y], predicate)
    }

    fn compare(&mut self, f: BinaryFn, dtype: DType, x: Virtual, y: Virtual) -> Option<Virtual> {
        use BinaryFn as F;
        if dtype == DType::Bool {
            return None;
        }
        if dtype.is_float() {
            // Ordered and quiet, but for ≠.
            let predicate = match f {
                F::Eq => 0x00,
                F::Ne => 0x04,
                F::Lt => 0x11,
                F::Le => 0x12,
                F::Gt => 0x1e,
                _ => 0x1d,
            };
            return Some(self.compare_floats(dtype, x, y, predicate));
        }
        if self.wide() {
            let code = match dtype {
                DType::I64 => EVEX_Vpcmpq_kr_k1_zmm_zmmm512b64_imm8,
                DType::U32 => EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8,
                _ => EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8,
            };
            let predicate = match f {
                F::Eq => 0,
                F::Lt => 1,
                F::Le => 2,
                F::Ne => 4,
                F::Ge => 5,
                _ => 6,
            };
            return Some(self.op_number(code, &[x, y], predicate));
        }
        let (mut x, mut y) = (x, y);
        if dtype == DType::U32 && !matches!(f, F::Eq | F::Ne) {
            let sign = self.word(1 << 31);
            (x, y) = (self.logic(F::Xor, dtype, x, sign), self.logic(F::Xor, dtype, y, sign));
        }
        let double = is_double(dtype);
        let equal = if double { VEX_Vpcmpeqq_ymm_ymm_ymmm256 } else { VEX_Vpcmpeqd_ymm_ymm_ymmm256 };
        let greater = if double { VEX_Vpcmpgtq_ymm_ymm_ymmm256 } else { VEX_Vpcmpgtd_ymm_ymm_ymmm256 };
        let (code, x, y) = match f {
            F::Eq | F::Ne => (equal, x, y),
            F::Gt | F::Le => (greater, x, y),
            _ => (greater, y, x),
        };
        let mask = self.op(code, &[x, y]);
        Some(if matches!(f, F::Ne | F::Le | F::Ge) { self.not(dtype, mask) } else { mask })
    }

    /// The upper halves of the products of u32.
    fn multiply_high(&mut self, x: Virtual, y: Virtual) -> Virtual {
        let multiply = self.pick(EVEX_Vpmuludq_zmm_k1z_zmm_zmmm512b64, VEX_Vpmuludq_ymm_ymm_ymmm256);
        let right = self.pick(EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8, VEX_Vpsrlq_ymm_ymm_imm8);
        let even = self.op(multiply, &[x, y]);
        let even = self.op_number(right, &[even], 32);
        let (x, y) = (self.op_number(right, &[x], 32), self.op_number(right, &[y], 32));
        let odd = self.op(multiply, &[x, y]);
        let upper = self.bits(DType::I64, 0xffff_ffff << 32);
        let odd = self.logic(BinaryFn::And, DType::I64, odd, upper);
        self.logic(BinaryFn::Or, DType::I64, even, odd)
    }

    /// Shifts by a number that is the same in all lanes.
    pub fn shift_by(&mut self, f: BinaryFn, dtype: DType, x: &[Virtual], by: u64) -> Option<Lanes> {
        let bits = 8 * dtype.size() as u64;
        let by = (by % bits) as i64;
        let left = f == BinaryFn::Shl;
        self.each(&[x], |b, x| {
            let code = match (left, dtype) {
                (true, DType::I64) => b.pick(EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8, VEX_Vpsllq_ymm_ymm_imm8),
                (false, DType::I64) if b.wide() => EVEX_Vpsraq_zmm_k1z_zmmm512b64_imm8,
                (false, DType::I64) => return None,
                (true, _) => b.pick(EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8, VEX_Vpslld_ymm_ymm_imm8),
                (false, DType::I32) => b.pick(EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8, VEX_Vpsrad_ymm_ymm_imm8),
                (false, _) => b.pick(EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8, VEX_Vpsrld_ymm_ymm_imm8),
            };
            let shifted = b.op_number(code, &[x[0]], by);
            Some(if left && dtype == DType::U8 { b.low_byte(shifted) } else { shifted })
        })
    }

    /// Shifts each lane by its own number.
    pub fn shift(&mut self, f: BinaryFn, dtype: DType, x: &[Virtual], by: &[Virtual]) -> Option<Lanes> {
        let left = f == BinaryFn::Shl;
        self.each(&[x, by], |b, v| {
            let code = match (left, dtype) {
                (true, DType::I64) => {
                    b.pick(EVEX_Vpsllvq_zmm_k1z_zmm_zmmm512b64, VEX_Vpsllvq_ymm_ymm_ymmm256)
                }
                (false, DType::I64) if b.wide() => EVEX_Vpsravq_zmm_k1z_zmm_zmmm512b64,
                (false, DType::I64) => return None,
                (true, _) => b.pick(EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32, VEX_Vpsllvd_ymm_ymm_ymmm256),
                (false, DType::I32) => {
                    b.pick(EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32, VEX_Vpsravd_ymm_ymm_ymmm256)
                }
                (false, _) => b.pick(EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32, VEX_Vpsrlvd_ymm_ymm_ymmm256),
            };
            let width = b.bits(dtype, 8 * dtype.size() as u64 - 1);
            let by = b.logic(BinaryFn::And, dtype, v[1], width);
            let shifted = b.op(code, &[v[0], by]);
            Some(if left && dtype == DType::U8 { b.low_byte(shifted) } else { shifted })
        })
    }

    /// `if condition { x } else { y }`.
    pub fn select(&mut self, dtype: DType, condition: Virtual, x: &[Virtual], y: &[Virtual]) -> Lanes {
        if dtype == DType::Bool && self.wide() {
            let yes = self.op(VEX_Kandw_kr_kr_kr, &[condition, x[0]]);
            let no = self.op(VEX_Kandnw_kr_kr_kr, &[condition, y[0]]);
            return vec![self.op(VEX_Korw_kr_kr_kr, &[yes, no])];
        }
        let masks = if is_double(dtype) { self.halves(condition).to_vec() } else { vec![condition] };
        (0..x.len()).map(|i| self.blend(dtype, masks[i], x[i], y[i])).collect()
    }

    /// a · b + c.
    pub fn mul_add(&mut self, dtype: DType, x: &[Virtual], y: &[Virtual], z: &[Virtual]) -> Option<Lanes> {
        let form = Form::MulAdd { double: is_double(dtype) };
        self.each(&[x, y, z], |b, v| Some(b.formed(form, INVALID, v, None)))
    }

    /// Conversion; `None` where there is no instruction.
    pub fn convert(&mut self, from: DType, to: DType, x: &[Virtual]) -> Option<Lanes> {
        use DType::{Bool, F32, F64, I32, I64, U8, U32};
        let signed = self.pick(EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, VEX_Vcvtdq2ps_ymm_ymmm256);
        Some(match (from, to) {
            (F32, I32) => vec![self.truncate(x[0])],
            (F32, U8) => {
                let (whole, zero, top) = (self.truncate(x[0]), self.word(0), self.word(255));
                let positive = self.binary_vector(BinaryFn::Max, I32, whole, zero, true)?;
                vec![self.binary_vector(BinaryFn::Min, I32, positive, top, true)?]
            }
            (F32, U32) if self.wide() => {
                let zero = self.word(0);
                let positive = self.op(EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae, &[x[0], zero]);
                vec![self.op(EVEX_Vcvttps2udq_zmm_k1z_zmmm512b32_sae, &[positive])]
            }
            (I32 | U8, F32) => vec![self.op(signed, x)],
            (U32, F32) if self.wide() => vec![self.op(EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er, x)],
            (U32, F32) => {
                // Both halves are exact, and their sum is rounded once.
                let low = self.word(0xffff);
                let low = self.logic(BinaryFn::And, U32, x[0], low);
                let high = self.op_number(VEX_Vpsrld_ymm_ymm_imm8, x, 16);
                let (low, high) = (self.op(signed, &[low]), self.op(signed, &[high]));
                let scale = self.word(65536f32.to_bits());
                self.mul_add(F32, &[high], &[scale], &[low])?
            }
            (Bool, F32 | I32 | U32 | U8) => {
                let one = self.word(if to == F32 { 1f32.to_bits() } else { 1 });
                vec![self.where_set(to, x[0], one)]
            }
            (Bool, F64) => {
                let one = self.bits(F64, 1f64.to_bits());
                self.halves(x[0]).map(|mask| self.where_set(F64, mask, one)).to_vec()
            }
            (F32, F64) => self.widen(x[0], EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae, VEX_Vcvtps2pd_ymm_xmmm128),
            (I32 | U8, F64) => {
                self.widen(x[0], EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er, VEX_Vcvtdq2pd_ymm_xmmm128)
            }
            (U32, F64) if self.wide() => self.widen(x[0], EVEX_Vcvtudq2pd_zmm_k1z_ymmm256b32_er, INVALID),
            (I32, I64) => self.widen(x[0], EVEX_Vpmovsxdq_zmm_k1z_ymmm256, VEX_Vpmovsxdq_ymm_xmmm128),
            (U32 | U8, I64) => self.widen(x[0], EVEX_Vpmovzxdq_zmm_k1z_ymmm256, VEX_Vpmovzxdq_ymm_xmmm128),
            (F64, F32) => {
                let code = self.pick(EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er, VEX_Vcvtpd2ps_xmm_ymmm256);
                vec![self.narrow(x, code)]
            }
            (I64, I32 | U32) if self.wide() => vec![self.narrow(x, EVEX_Vpmovqd_ymmm256_k1z_zmm)],
            (I32 | U32 | U8, Bool) if self.wide() => {
                vec![self.op(EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, &[x[0], x[0]])]
            }
            (I32 | U32 | U8, Bool) => {
                let zero = self.word(0);
                vec![self.compare(BinaryFn::Ne, I32, x[0], zero)?]
            }
            (F32 | F64, Bool) => {
                let zero = self.bits(from, 0);
                return self.binary(BinaryFn::Ne, from, x, &vec![zero; x.len()], true);
            }
            (I32 | U32, U8) => vec![self.low_byte(x[0])],
            (I32 | U8, U32) | (U32 | U8, I32) => x.to_vec(),
            _ => return None,
        })
    }

    /// f32 to i32: NaN is 0, what is too large is the limit.
    fn truncate(&mut self, x: Virtual) -> Virtual {
        let code = self.pick(EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae, VEX_Vcvttps2dq_ymm_ymmm256);
        let whole = self.op(code, &[x]);
        let (limit, most) = (self.word(2147483648f32.to_bits()), self.word(i32::MAX as u32));
        let beyond = self.compare_floats(DType::F32, x, limit, 0x1d);
        let limited = self.blend(DType::I32, beyond, most, whole);
        let ordered = self.compare_floats(DType::F32, x, x, 7);
        self.where_set(DType::I32, ordered, limited)
    }

    /// Each half of the lanes through an instruction that doubles their size.
    fn widen(&mut self, x: Virtual, wide: Code, narrow: Code) -> Lanes {
        let code = self.pick(wide, narrow);
        let extract = self.pick(EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8, VEX_Vextractf128_xmmm128_ymm_imm8);
        let upper = self.op_number(extract, &[x], 1);
        vec![self.op(code, &[x]), self.op(code, &[upper])]
    }

    /// Both halves of the lanes through an instruction that halves their size.
    fn narrow(&mut self, x: &[Virtual], code: Code) -> Virtual {
        let halves = self.each(&[x], |b, x| Some(b.op(code, x))).expect("there is an instruction");
        let insert =
            self.pick(EVEX_Vinsertf64x4_zmm_k1z_zmm_ymmm256_imm8, VEX_Vinsertf128_ymm_ymm_xmmm128_imm8);
        self.op_number(insert, &halves, 1)
    }
}
