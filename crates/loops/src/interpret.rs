//! The meaning of a kernel, executed plainly. Slow; what translators are tested against.

use std::ops::Range;

use bespoke_tensor::{DType, Scalar, Tensor, Type};

use crate::{
    AccId, BinaryFn, BufferId, Combine, Expr, ExprId, FunctionCode, Kernel, Stmt, Store, UnaryFn, VarId,
    placement,
};

/// Why a kernel could not be interpreted.
#[derive(Debug, thiserror::Error)]
pub enum InterpretError {
    /// Another number of buffers than the kernel declares.
    #[error("kernel {kernel}: expected {expected} buffers, got {got}")]
    Buffers {
        /// The kernel's name.
        kernel: String,
        /// The number declared.
        expected: usize,
        /// The number given.
        got: usize,
    },
    /// A buffer of another type or size than declared.
    #[error("kernel {kernel}: {buffer}: expected {dtype}[{elements}], got {got}")]
    Buffer {
        /// The kernel's name.
        kernel: String,
        /// Which.
        buffer: BufferId,
        /// The declared element type.
        dtype: DType,
        /// The declared number of elements.
        elements: usize,
        /// The type given.
        got: Type,
    },
    /// The range does not lie within that of the outermost loop.
    #[error("kernel {kernel}: expected a range within 0..{extent}, got {begin}..{end}")]
    Range {
        /// The kernel's name.
        kernel: String,
        /// The extent of the outermost loop.
        extent: i64,
        /// The first value given.
        begin: i64,
        /// One past the last value given.
        end: i64,
    },
    /// An element that does not exist is loaded or stored.
    #[error("kernel {kernel}: {what} of {buffer}[{index}], which has {elements} elements")]
    OutOfBounds {
        /// The kernel's name.
        kernel: String,
        /// `load` or `store`.
        what: &'static str,
        /// The buffer.
        buffer: BufferId,
        /// The element number.
        index: i64,
        /// The number of elements.
        elements: usize,
    },
    /// The verifier would have refused the kernel.
    #[error("kernel {kernel}: {what}")]
    Invalid {
        /// The kernel's name.
        kernel: String,
        /// What is wrong.
        what: String,
    },
}

/// Runs the iterations `range` of the outermost loop on `buffers`, which are in the kernel's order.
///
/// # Errors
/// [`InterpretError`] if buffers or range do not fit, an index lies outside, or the kernel is invalid. What was stored
/// until then stays.
pub fn interpret(kernel: &Kernel, buffers: &mut [Tensor], range: Range<i64>) -> Result<(), InterpretError> {
    let name = || kernel.name.clone();
    if buffers.len() != kernel.buffers.len() {
        return Err(InterpretError::Buffers {
            kernel: name(),
            expected: kernel.buffers.len(),
            got: buffers.len(),
        });
    }
    for (i, (tensor, declared)) in buffers.iter().zip(&kernel.buffers).enumerate() {
        if tensor.dtype() != declared.dtype || tensor.elements() != declared.elements {
            return Err(InterpretError::Buffer {
                kernel: name(),
                buffer: BufferId(i as u32),
                dtype: declared.dtype,
                elements: declared.elements,
                got: tensor.ty(),
            });
        }
    }
    let Stmt::For { var, body, .. } = &kernel.body else {
        return Err(InterpretError::Invalid { kernel: name(), what: "the body is not a loop".into() });
    };
    let extent = kernel.exprs.extent(*var);
    if range.start < 0 || range.end > extent || range.start > range.end {
        return Err(InterpretError::Range { kernel: name(), extent, begin: range.start, end: range.end });
    }
    let steps: Vec<Step> = body.iter().map(|s| Step::new(kernel, s)).collect();
    let mut machine = Machine {
        kernel,
        buffers,
        vars: vec![None; kernel.exprs.vars()],
        accs: vec![None; kernel.accs.len()],
        values: vec![Scalar::Bool(false); kernel.exprs.len()],
    };
    machine.iterate(*var, &steps, range)
}

/// A statement with all expressions that it takes, operands first: it evaluates every one of them anew.
struct Step<'k> {
    stmt: &'k Stmt,
    exprs: Vec<ExprId>,
    body: Vec<Step<'k>>,
}

impl<'k> Step<'k> {
    fn new(kernel: &Kernel, stmt: &'k Stmt) -> Step<'k> {
        let mut used = vec![false; kernel.exprs.len()];
        placement::uses(stmt, &mut |e, _| used[e.index()] = true);
        for e in kernel.exprs.ids().rev() {
            if used[e.index()] {
                kernel.exprs.get(e).operands(|o| used[o.index()] = true);
            }
        }
        let body = match stmt {
            Stmt::For { body, .. } => body.iter().map(|s| Step::new(kernel, s)).collect(),
            _ => Vec::new(),
        };
        Step { stmt, exprs: kernel.exprs.ids().filter(|e| used[e.index()]).collect(), body }
    }
}

struct Machine<'a> {
    kernel: &'a Kernel,
    buffers: &'a mut [Tensor],
    vars: Vec<Option<i64>>,
    accs: Vec<Option<Scalar>>,
    values: Vec<Scalar>,
}

impl Machine<'_> {
    fn iterate(&mut self, var: VarId, body: &[Step<'_>], range: Range<i64>) -> Result<(), InterpretError> {
        for i in range {
            self.vars[var.index()] = Some(i);
            for step in body {
                self.step(step)?;
            }
        }
        self.vars[var.index()] = None;
        Ok(())
    }

    fn step(&mut self, step: &Step<'_>) -> Result<(), InterpretError> {
        for &e in &step.exprs {
            self.values[e.index()] = self.evaluate(e)?;
        }
        match step.stmt {
            Stmt::For { var, .. } => {
                let extent = self.kernel.exprs.extent(*var);
                self.iterate(*var, &step.body, 0..extent)
            }
            Stmt::Init { acc, value } => {
                let value = self.of_acc(*acc, self.value(*value))?;
                self.accs[acc.index()] = Some(value);
                Ok(())
            }
            Stmt::Update { acc, value } => {
                let new = self.of_acc(*acc, self.value(*value))?;
                let old = self.acc(*acc)?;
                let combine = self.kernel.accs[acc.index()].combine;
                let combined = apply_combine(combine, old, new);
                self.accs[acc.index()] = Some(
                    combined.ok_or_else(|| self.invalid(format!("{} of {old} and {new}", combine.name())))?,
                );
                Ok(())
            }
            Stmt::Store(stores) => stores.iter().try_for_each(|s| self.store(s, self.value(s.value))),
            Stmt::Add(s) => {
                let index = self.index(s.index)?;
                let old = self.load(s.buffer, index, "store")?;
                let new = self.value(s.value);
                let sum = apply_binary(BinaryFn::Add, old, new)
                    .ok_or_else(|| self.invalid(format!("sum of {old} and {new}")))?;
                self.store(s, sum)
            }
        }
    }

    fn evaluate(&self, e: ExprId) -> Result<Scalar, InterpretError> {
        let value = match self.kernel.exprs.get(e) {
            Expr::Literal(s) => Some(*s),
            Expr::Var(var) => self.vars[var.index()].map(Scalar::I64),
            Expr::Affine(a) => {
                let mut sum = a.constant;
                for &(atom, c) in &a.terms {
                    sum = sum.wrapping_add(self.index(atom)?.wrapping_mul(c));
                }
                Some(Scalar::I64(sum))
            }
            Expr::Load { buffer, index } => Some(self.load(*buffer, self.index(*index)?, "load")?),
            Expr::Acc(acc) => Some(self.acc(*acc)?),
            Expr::Unary(f, a) => apply_unary(*f, self.value(*a)),
            Expr::Binary(f, a, b) => apply_binary(*f, self.value(*a), self.value(*b)),
            Expr::MulAdd(a, b, c) => match (self.value(*a), self.value(*b), self.value(*c)) {
                (Scalar::F32(a), Scalar::F32(b), Scalar::F32(c)) => Some(Scalar::F32(a.mul_add(b, c))),
                (Scalar::F64(a), Scalar::F64(b), Scalar::F64(c)) => Some(Scalar::F64(a.mul_add(b, c))),
                _ => None,
            },
            Expr::Select(c, a, b) => match self.value(*c) {
                Scalar::Bool(c) => Some(self.value(if c { *a } else { *b })),
                _ => None,
            },
            Expr::Convert(dtype, a) => Some(self.value(*a).convert(*dtype)),
            Expr::Bitcast(dtype, a) => Some(Scalar::from_bits(*dtype, self.value(*a).bits())),
            Expr::Call(f, args) => {
                match (f.code, &args.iter().map(|&a| self.value(a)).collect::<Vec<_>>()[..]) {
                    (FunctionCode::One(code), &[Scalar::F64(x)]) => Some(Scalar::F64(code(x))),
                    (FunctionCode::Two(code), &[Scalar::F64(x), Scalar::F64(y)]) => {
                        Some(Scalar::F64(code(x, y)))
                    }
                    _ => None,
                }
            }
        };
        value.ok_or_else(|| self.invalid(format!("{e} = {:?} has no value here", self.kernel.exprs.get(e))))
    }

    fn value(&self, e: ExprId) -> Scalar {
        self.values[e.index()]
    }

    fn index(&self, e: ExprId) -> Result<i64, InterpretError> {
        match self.value(e) {
            Scalar::I64(v) => Ok(v),
            other => Err(self.invalid(format!("the index {e} is {other}: {}, not an i64", other.dtype()))),
        }
    }

    fn acc(&self, acc: AccId) -> Result<Scalar, InterpretError> {
        self.accs[acc.index()].ok_or_else(|| self.invalid(format!("{acc} is used before it is initialised")))
    }

    fn of_acc(&self, acc: AccId, value: Scalar) -> Result<Scalar, InterpretError> {
        let expected = self.kernel.accs[acc.index()].dtype;
        if value.dtype() == expected {
            return Ok(value);
        }
        Err(self.invalid(format!("{acc} holds {expected}, got {}", value.dtype())))
    }

    fn load(&self, buffer: BufferId, index: i64, what: &'static str) -> Result<Scalar, InterpretError> {
        let tensor = &self.buffers[buffer.index()];
        match usize::try_from(index) {
            Ok(i) if i < tensor.elements() => Ok(tensor.get(i)),
            _ => Err(self.out_of_bounds(buffer, index, what)),
        }
    }

    fn store(&mut self, store: &Store, value: Scalar) -> Result<(), InterpretError> {
        let index = self.index(store.index)?;
        let declared = self.kernel.buffers[store.buffer.index()].dtype;
        if value.dtype() != declared {
            return Err(self.invalid(format!("{} holds {declared}, got {}", store.buffer, value.dtype())));
        }
        let tensor = &mut self.buffers[store.buffer.index()];
        let size = declared.size();
        match usize::try_from(index) {
            Ok(i) if i < tensor.elements() => {
                tensor.bytes_mut()[i * size..][..size].copy_from_slice(&value.bits().to_le_bytes()[..size]);
                Ok(())
            }
            _ => Err(self.out_of_bounds(store.buffer, index, "store")),
        }
    }

    fn out_of_bounds(&self, buffer: BufferId, index: i64, what: &'static str) -> InterpretError {
        let elements = self.kernel.buffers[buffer.index()].elements;
        InterpretError::OutOfBounds { kernel: self.kernel.name.clone(), what, buffer, index, elements }
    }

    fn invalid(&self, what: String) -> InterpretError {
        InterpretError::Invalid { kernel: self.kernel.name.clone(), what }
    }
}

/// What an accumulator that holds `old` holds after an update with `new`; `None` if it is not defined for their type.
pub fn apply_combine(combine: Combine, old: Scalar, new: Scalar) -> Option<Scalar> {
    let function = match combine {
        Combine::Sum => BinaryFn::Add,
        Combine::Product => BinaryFn::Mul,
        Combine::Max => BinaryFn::Max,
        Combine::Min => BinaryFn::Min,
        Combine::Any => BinaryFn::Or,
        Combine::All => BinaryFn::And,
        Combine::Set => return Some(new),
    };
    if matches!(combine, Combine::Any | Combine::All) && old.dtype() != DType::Bool {
        return None;
    }
    apply_binary(function, old, new)
}

/// A function of one value, as [`UnaryFn`] says; `None` if it is not defined for the type.
pub fn apply_unary(function: UnaryFn, x: Scalar) -> Option<Scalar> {
    macro_rules! float {
        ($variant:ident, $x:ident) => {
            Scalar::$variant(match function {
                UnaryFn::Neg => -$x,
                UnaryFn::Abs => $x.abs(),
                UnaryFn::Sqrt => $x.sqrt(),
                UnaryFn::Floor => $x.floor(),
                UnaryFn::Ceil => $x.ceil(),
                UnaryFn::Trunc => $x.trunc(),
                UnaryFn::Round => $x.round_ties_even(),
                UnaryFn::Not => return None,
            })
        };
    }
    macro_rules! int {
        ($variant:ident, $x:ident, $abs:expr) => {
            Scalar::$variant(match function {
                UnaryFn::Neg => $x.wrapping_neg(),
                UnaryFn::Abs => $abs,
                UnaryFn::Not => !$x,
                _ => return None,
            })
        };
    }
    Some(match x {
        Scalar::F32(x) => float!(F32, x),
        Scalar::F64(x) => float!(F64, x),
        Scalar::I32(x) => int!(I32, x, x.wrapping_abs()),
        Scalar::I64(x) => int!(I64, x, x.wrapping_abs()),
        Scalar::U8(x) => int!(U8, x, x),
        Scalar::U32(x) => int!(U32, x, x),
        Scalar::Bool(x) if function == UnaryFn::Not => Scalar::Bool(!x),
        Scalar::Bool(_) => return None,
    })
}

/// A function of two values of one type, as [`BinaryFn`] says; `None` if it is not defined for the types. Bools have
/// an order (false < true) and logic, but no arithmetic.
pub fn apply_binary(function: BinaryFn, x: Scalar, y: Scalar) -> Option<Scalar> {
    use BinaryFn as F;
    macro_rules! compared {
        ($x:ident, $y:ident) => {
            match function {
                F::Eq => return Some(Scalar::Bool($x == $y)),
                F::Ne => return Some(Scalar::Bool($x != $y)),
                F::Lt => return Some(Scalar::Bool($x < $y)),
                F::Le => return Some(Scalar::Bool($x <= $y)),
                F::Gt => return Some(Scalar::Bool($x > $y)),
                F::Ge => return Some(Scalar::Bool($x >= $y)),
                _ => {}
            }
        };
    }
    macro_rules! float {
        ($variant:ident, $x:ident, $y:ident) => {{
            compared!($x, $y);
            Scalar::$variant(match function {
                F::Add => $x + $y,
                F::Sub => $x - $y,
                F::Mul => $x * $y,
                F::Div => $x / $y,
                F::Rem => $x % $y,
                F::Min if $y < $x || $y.is_nan() => $y,
                F::Max if $y > $x || $y.is_nan() => $y,
                F::Min | F::Max => $x,
                _ => return None,
            })
        }};
    }
    macro_rules! int {
        ($variant:ident, $x:ident, $y:ident) => {{
            compared!($x, $y);
            Scalar::$variant(match function {
                F::Add => $x.wrapping_add($y),
                F::Sub => $x.wrapping_sub($y),
                F::Mul => $x.wrapping_mul($y),
                F::Div if $y == 0 => 0,
                F::Div => $x.wrapping_div($y),
                F::Rem if $y == 0 => $x,
                F::Rem => $x.wrapping_rem($y),
                F::Min => $x.min($y),
                F::Max => $x.max($y),
                F::And => $x & $y,
                F::Or => $x | $y,
                F::Xor => $x ^ $y,
                // These take the amount modulo the width, as two's complement does for negative ones.
                F::Shl => $x.wrapping_shl($y as u32),
                F::Shr => $x.wrapping_shr($y as u32),
                _ => return None,
            })
        }};
    }
    Some(match (x, y) {
        (Scalar::U32(x), Scalar::U32(y)) if function == F::MulHigh => {
            Scalar::U32(((u64::from(x) * u64::from(y)) >> 32) as u32)
        }
        (Scalar::F32(x), Scalar::F32(y)) => float!(F32, x, y),
        (Scalar::F64(x), Scalar::F64(y)) => float!(F64, x, y),
        (Scalar::I32(x), Scalar::I32(y)) => int!(I32, x, y),
        (Scalar::I64(x), Scalar::I64(y)) => int!(I64, x, y),
        (Scalar::U8(x), Scalar::U8(y)) => int!(U8, x, y),
        (Scalar::U32(x), Scalar::U32(y)) => int!(U32, x, y),
        (Scalar::Bool(x), Scalar::Bool(y)) => {
            compared!(x, y);
            Scalar::Bool(match function {
                F::Min | F::And => x & y,
                F::Max | F::Or => x | y,
                F::Xor => x ^ y,
                _ => return None,
            })
        }
        _ => return None,
    })
}
