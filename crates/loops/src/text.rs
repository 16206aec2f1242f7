//! Kernels as text. [`parse`](crate::parse_kernel) reads it back.
//!
//! ```text
//! kernel row_sum(b0: f32[40] read, b1: f32[8] write) {
//!   parallel i0 < 8 {
//!     a0 = sum f32 0
//!     vector(4) i1 < 5 {
//!       e0 = load b0[i0*5 + i1]
//!       update a0, e0
//!     }
//!     store b1[i0], a0
//!   }
//! }
//! ```
//!
//! An expression stands where it is evaluated ([`placement`](crate::placement)); one that is evaluated again, because
//! it became stale, gets a new number. Variables, accumulators and expressions are numbered in the order of appearance.

use std::fmt::{self, Display, Formatter, Write as _};

use bespoke_tensor::Scalar;
use rustc_hash::FxHashMap;

use crate::{
    AccId, Expr, ExprId, Kernel, LoopKind, Stmt, Store, VarId,
    placement::{Placed, place},
};

/// The canonical text: kernels that mean the same up to numbering print the same.
impl Display for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("kernel ")?;
        if is_plain_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            write!(f, "{:?}", self.name)?;
        }
        f.write_char('(')?;
        for (i, b) in self.buffers.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}b{i}: {}[{}] {}", b.dtype, b.elements, b.access.name())?;
        }
        f.write_str(") {\n")?;
        Printer { kernel: self, f, names: Names::default() }.statement(&place(self), 1)?;
        f.write_str("}\n")
    }
}

/// Does the name need no quotes?
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('/') && name.chars().all(is_plain)
}

/// May the character be part of a name without quotes?
pub(crate) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./%-+".contains(c)
}

/// The numbers that have been given.
#[derive(Default)]
struct Names {
    vars: FxHashMap<VarId, usize>,
    accs: FxHashMap<AccId, usize>,
    /// Of the latest evaluation.
    exprs: FxHashMap<ExprId, usize>,
    evaluations: usize,
}

struct Printer<'k, 'f, 'w> {
    kernel: &'k Kernel,
    f: &'f mut Formatter<'w>,
    names: Names,
}

impl Printer<'_, '_, '_> {
    fn statement(&mut self, placed: &Placed<'_>, depth: usize) -> fmt::Result {
        let kernel = self.kernel;
        let indent = 2 * depth;
        for &e in &placed.before {
            if matches!(kernel.exprs.get(e), Expr::Literal(_)) {
                continue;
            }
            let text = self.expression(e);
            let number = self.names.evaluations;
            self.names.evaluations += 1;
            self.names.exprs.insert(e, number);
            writeln!(self.f, "{:indent$}e{number} = {text}", "")?;
        }
        write!(self.f, "{:indent$}", "")?;
        match placed.stmt {
            Stmt::For { var, kind, .. } => {
                let next = self.names.vars.len();
                let number = *self.names.vars.entry(*var).or_insert(next);
                let head = match (depth, kind) {
                    (1, LoopKind::Serial) => "parallel".to_owned(),
                    (1, LoopKind::Vector(lanes)) => format!("parallel vector({lanes})"),
                    (_, LoopKind::Serial) => "for".to_owned(),
                    (_, LoopKind::Vector(lanes)) => format!("vector({lanes})"),
                };
                writeln!(self.f, "{head} i{number} < {} {{", kernel.exprs.extent(*var))?;
                for inner in &placed.body {
                    self.statement(inner, depth + 1)?;
                }
                writeln!(self.f, "{:indent$}}}", "")
            }
            Stmt::Init { acc, value } => {
                let value = self.operand(*value);
                let next = self.names.accs.len();
                let number = *self.names.accs.entry(*acc).or_insert(next);
                let combine = kernel.accs.get(acc.index()).map_or("?", |a| a.combine.name());
                writeln!(self.f, "a{number} = {combine} {value}")
            }
            Stmt::Update { acc, value } => {
                let (acc, value) = (self.acc(*acc), self.operand(*value));
                writeln!(self.f, "update {acc}, {value}")
            }
            Stmt::Store(stores) => {
                let stores: Vec<String> = stores.iter().map(|s| self.store(s)).collect();
                let space = if stores.is_empty() { "" } else { " " };
                writeln!(self.f, "store{space}{}", stores.join("; "))
            }
            Stmt::Add(store) => {
                let store = self.store(store);
                writeln!(self.f, "add {store}")
            }
        }
    }

    fn store(&self, store: &Store) -> String {
        format!("{}[{}], {}", store.buffer, self.index(store.index), self.operand(store.value))
    }

    fn expression(&self, e: ExprId) -> String {
        match self.kernel.exprs.get(e) {
            Expr::Load { buffer, index } => format!("load {buffer}[{}]", self.index(*index)),
            Expr::Unary(f, a) => format!("{} {}", f.name(), self.operand(*a)),
            Expr::Binary(f, a, b) => format!("{} {}, {}", f.name(), self.operand(*a), self.operand(*b)),
            Expr::MulAdd(a, b, c) => {
                format!("fma {}, {}, {}", self.operand(*a), self.operand(*b), self.operand(*c))
            }
            Expr::Select(c, a, b) => {
                format!("select {}, {}, {}", self.operand(*c), self.operand(*a), self.operand(*b))
            }
            Expr::Convert(dtype, a) => format!("convert {} to {dtype}", self.operand(*a)),
            Expr::Bitcast(dtype, a) => format!("bitcast {} to {dtype}", self.operand(*a)),
            Expr::Call(f, args) => {
                let args: Vec<String> = args.iter().map(|&a| self.operand(a)).collect();
                format!("call {}({})", f.name, args.join(", "))
            }
            Expr::Literal(_) | Expr::Var(_) | Expr::Affine(_) | Expr::Acc(_) => self.operand(e),
        }
    }

    /// What stands for the value in a list of operands.
    fn operand(&self, e: ExprId) -> String {
        match self.kernel.exprs.get(e) {
            Expr::Literal(Scalar::I64(v)) => v.to_string(),
            Expr::Literal(s) => format!("{} {s}", s.dtype()),
            Expr::Var(var) => self.names.vars.get(var).map_or(format!("{var}?"), |n| format!("i{n}")),
            Expr::Acc(acc) => self.acc(*acc),
            Expr::Affine(_) => format!("({})", self.index(e)),
            _ => self.names.exprs.get(&e).map_or(format!("{e}?"), |n| format!("e{n}")),
        }
    }

    /// A question mark is for what a valid kernel has not: an accumulator that was never initialised.
    fn acc(&self, acc: AccId) -> String {
        self.names.accs.get(&acc).map_or(format!("{acc}?"), |n| format!("a{n}"))
    }

    fn index(&self, e: ExprId) -> String {
        let Expr::Affine(a) = self.kernel.exprs.get(e) else { return self.operand(e) };
        let mut terms = a.terms.clone();
        // Loop variables from the outermost in; other atoms are already numbered in the order of the arena.
        terms.sort_by_key(|(atom, _)| match self.kernel.exprs.get(*atom) {
            Expr::Var(var) => (0, self.names.vars.get(var).copied().unwrap_or(usize::MAX)),
            Expr::Acc(acc) => (1, self.names.accs.get(acc).copied().unwrap_or(usize::MAX)),
            _ => (2, self.names.exprs.get(atom).copied().unwrap_or(usize::MAX)),
        });
        let mut text = String::new();
        let sign = |text: &mut String, negative| {
            text.push_str(match (text.is_empty(), negative) {
                (true, true) => "-",
                (true, false) => "",
                (false, true) => " - ",
                (false, false) => " + ",
            });
        };
        for (atom, c) in terms {
            sign(&mut text, c < 0);
            text.push_str(&self.operand(atom));
            if c.unsigned_abs() != 1 {
                let _ = write!(text, "*{}", c.unsigned_abs());
            }
        }
        if a.constant != 0 || text.is_empty() {
            sign(&mut text, a.constant < 0);
            let _ = write!(text, "{}", a.constant.unsigned_abs());
        }
        text
    }
}
