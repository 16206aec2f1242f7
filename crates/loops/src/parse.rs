//! Reads the text of a kernel.

use std::str::FromStr;

use bespoke_tensor::{DType, Scalar};
use rustc_hash::FxHashMap;

use crate::{
    Acc, AccId, Access, Affine, BinaryFn, Buffer, BufferId, Combine, Expr, ExprId, Exprs, Function,
    FunctionCode, Kernel, LoopKind, Stmt, Store, UnaryFn, VarId,
    placement::{Dependence, Dependencies, effects},
    text::is_plain,
};

/// Loops inside one another beyond which a text is refused; the verifier allows 64 loops in all.
const MAX_DEPTH: usize = 64;

/// Where and why a text is not a kernel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{line}:{column}: expected {expected}, got {got}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What could have come.
    pub expected: String,
    /// What came.
    pub got: String,
}

/// Reads a kernel that calls no functions; see [`parse_kernel`].
impl FromStr for Kernel {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Kernel, ParseError> {
        parse_kernel(text, &[])
    }
}

/// Reads what [`Display`](std::fmt::Display) of a kernel writes; calls are to `functions`. Printing the result gives a
/// printed text again. Comments run from `//` to the end of the line.
///
/// # Errors
/// [`ParseError`] at the first place that does not fit. Types and bounds are left to [`verify`](crate::verify()).
pub fn parse_kernel(text: &str, functions: &[Function]) -> Result<Kernel, ParseError> {
    let mut parser = Parser {
        text,
        at: 0,
        functions,
        kernel: (Vec::new(), Vec::new(), Exprs::new()),
        vars: FxHashMap::default(),
        accs: FxHashMap::default(),
        names: FxHashMap::default(),
        scopes: Vec::new(),
        uses: Vec::new(),
        dependencies: Dependencies::of(&Exprs::new()),
    };
    parser.kernel()
}

type Parsed<T> = Result<T, ParseError>;

/// An expression that has a name.
struct Named {
    expr: ExprId,
    /// How many loops are around it.
    depth: usize,
    /// Has what it reads changed since?
    stale: bool,
}

/// A use of a value from outside the innermost loop, which the loop may yet turn out to change.
struct OuterUse {
    at: usize,
    expr: ExprId,
    depth: usize,
}

struct Parser<'t> {
    text: &'t str,
    /// The byte offset.
    at: usize,
    functions: &'t [Function],
    kernel: (Vec<Buffer>, Vec<Acc>, Exprs),
    /// Loop variables by number; `None` after the loop.
    vars: FxHashMap<u32, Option<VarId>>,
    accs: FxHashMap<u32, AccId>,
    names: FxHashMap<u32, Named>,
    /// The names given in each open loop.
    scopes: Vec<Vec<u32>>,
    uses: Vec<OuterUse>,
    dependencies: Dependencies,
}

impl<'t> Parser<'t> {
    fn kernel(&mut self) -> Parsed<Kernel> {
        self.word("kernel")?;
        let name = self.name()?;
        self.symbol("(")?;
        while !self.try_symbol(")") {
            if !self.kernel.0.is_empty() {
                self.symbol(",")?;
            }
            let start = self.skip();
            let number = self.number("b", "a buffer such as b0")?;
            if number as usize != self.kernel.0.len() {
                return Err(
                    self.error_at(start, format!("b{}: buffers are numbered in order", self.kernel.0.len()))
                );
            }
            self.symbol(":")?;
            let dtype = self.dtype()?;
            self.symbol("[")?;
            let elements = self.unsigned::<usize>("a number of elements")?;
            self.symbol("]")?;
            let start = self.skip();
            let access = Access::from_name(self.ident())
                .ok_or_else(|| self.error_at(start, "`read`, `write` or `readwrite`"))?;
            self.kernel.2.declare_buffer(dtype);
            self.kernel.0.push(Buffer { dtype, elements, access });
        }
        self.symbol("{")?;
        self.scopes.push(Vec::new());
        let start = self.skip();
        let body = loop {
            if let Some(stmt) = self.statement()? {
                break stmt;
            }
        };
        if !matches!(body, Stmt::For { .. }) {
            return Err(self.error_at(start, "`parallel i0 < …`: one loop is the body of a kernel"));
        }
        self.symbol("}")?;
        let end = self.skip();
        if end < self.text.len() {
            return Err(self.error_at(end, "the end of the text"));
        }
        let (buffers, accs, exprs) = std::mem::take(&mut self.kernel);
        Ok(Kernel { name, buffers, accs, exprs, body })
    }

    /// A statement, or nothing if it names an expression.
    fn statement(&mut self) -> Parsed<Option<Stmt>> {
        let start = self.skip();
        let word = self.ident();
        let outermost = self.scopes.len() == 1;
        let stmt = match word {
            "parallel" if outermost => {
                let next = self.skip();
                if self.ident() == "vector" {
                    self.vector_loop()?
                } else {
                    self.at = next;
                    self.loop_of(LoopKind::Serial)?
                }
            }
            "for" if !outermost => self.loop_of(LoopKind::Serial)?,
            "vector" if !outermost => self.vector_loop()?,
            "update" => {
                let acc = self.acc()?;
                self.symbol(",")?;
                Stmt::Update { acc, value: self.operand()? }
            }
            "store" => {
                let mut stores = Vec::new();
                let next = self.skip();
                let empty = !self.ident().starts_with('b');
                self.at = next;
                if !empty {
                    stores.push(self.store()?);
                    while self.try_symbol(";") {
                        stores.push(self.store()?);
                    }
                }
                Stmt::Store(stores)
            }
            "add" => Stmt::Add(self.store()?),
            _ => match (word.as_bytes().first(), word.get(1..).and_then(plain_number)) {
                (Some(b'e'), Some(number)) => {
                    if self.names.contains_key(&number) {
                        return Err(
                            self.error_at(start, format!("a name other than e{number}, which is taken"))
                        );
                    }
                    self.symbol("=")?;
                    let expr = self.expression()?;
                    self.dependencies.extend(&self.kernel.2);
                    self.names.insert(number, Named { expr, depth: self.scopes.len(), stale: false });
                    self.scopes.last_mut().expect("a scope is open").push(number);
                    return Ok(None);
                }
                (Some(b'a'), Some(number)) => self.init(number)?,
                _ if outermost => return Err(self.error_at(start, "`parallel` or `e0 = …`")),
                _ => {
                    let expected =
                        "a statement: `for`, `vector`, `e0 = …`, `a0 = …`, `update`, `store`, `add`, or `}`";
                    return Err(self.error_at(start, expected));
                }
            },
        };
        self.forget(effects(&stmt));
        Ok(Some(stmt))
    }

    fn forget(&mut self, changes: Dependence) {
        for named in self.names.values_mut() {
            named.stale |= self.dependencies.get(named.expr).intersects(changes);
        }
    }

    fn init(&mut self, number: u32) -> Parsed<Stmt> {
        self.symbol("=")?;
        let start = self.skip();
        let combine = Combine::from_name(self.ident()).ok_or_else(|| {
            let names: Vec<&str> = Combine::ALL.iter().map(|c| c.name()).collect();
            self.error_at(start, format!("how the accumulator combines: {}", names.join(", ")))
        })?;
        let value = self.operand()?;
        let new = Acc { dtype: self.kernel.2.dtype(value), combine };
        let acc = match self.accs.get(&number) {
            Some(&acc) if self.kernel.1[acc.index()] == new => acc,
            Some(acc) => {
                let Acc { dtype, combine } = self.kernel.1[acc.index()];
                let expected = format!("`{}` of {dtype}, as a{number} was before", combine.name());
                return Err(self.error_at(start, expected));
            }
            None => {
                let acc = self.kernel.2.declare_acc(new.dtype);
                self.kernel.1.push(new);
                self.accs.insert(number, acc);
                acc
            }
        };
        Ok(Stmt::Init { acc, value })
    }

    fn vector_loop(&mut self) -> Parsed<Stmt> {
        self.symbol("(")?;
        let lanes = self.unsigned::<u8>("a number of lanes")?;
        self.symbol(")")?;
        self.loop_of(LoopKind::Vector(lanes))
    }

    fn loop_of(&mut self, kind: LoopKind) -> Parsed<Stmt> {
        let start = self.skip();
        if self.scopes.len() > MAX_DEPTH {
            return Err(self.error_at(start, format!("at most {MAX_DEPTH} loops inside one another")));
        }
        let number = self.number("i", "a loop variable such as i0")?;
        if self.vars.contains_key(&number) {
            return Err(
                self.error_at(start, format!("a variable other than i{number}, which another loop has"))
            );
        }
        self.symbol("<")?;
        let start = self.skip();
        let extent = self.unsigned::<u64>("an extent")?;
        let extent = i64::try_from(extent).map_err(|_| self.error_at(start, "an extent that fits an i64"))?;
        self.symbol("{")?;
        let var = self.kernel.2.declare_var(extent);
        self.vars.insert(number, Some(var));
        self.scopes.push(Vec::new());
        let mut body = Vec::new();
        while !self.try_symbol("}") {
            body.extend(self.statement()?);
        }
        for name in self.scopes.pop().unwrap_or_default() {
            self.names.remove(&name);
        }
        self.vars.insert(number, None);
        let stmt = Stmt::For { var, kind, body };
        let changes = effects(&stmt);
        let depth = self.scopes.len();
        for used in &self.uses {
            if used.depth <= depth && self.dependencies.get(used.expr).intersects(changes) {
                let expected = "a value that the loop around it does not change; evaluate it inside";
                return Err(self.error_at(used.at, expected));
            }
        }
        self.uses.retain(|u| u.depth < depth);
        Ok(stmt)
    }

    fn store(&mut self) -> Parsed<Store> {
        let (buffer, index) = self.element()?;
        self.symbol(",")?;
        Ok(Store { buffer, index, value: self.operand()? })
    }

    /// `b0[i0*4 + 1]`
    fn element(&mut self) -> Parsed<(BufferId, ExprId)> {
        let start = self.skip();
        let number = self.number("b", "a buffer such as b0")?;
        if number as usize >= self.kernel.0.len() {
            return Err(
                self.error_at(start, format!("one of the {} buffers of the kernel", self.kernel.0.len()))
            );
        }
        self.symbol("[")?;
        let index = self.index()?;
        self.symbol("]")?;
        Ok((BufferId(number), index))
    }

    fn expression(&mut self) -> Parsed<ExprId> {
        let start = self.skip();
        let word = self.ident();
        let expr = match word {
            "load" => {
                let (buffer, index) = self.element()?;
                Expr::Load { buffer, index }
            }
            "fma" | "select" => {
                let a = self.operand()?;
                self.symbol(",")?;
                let b = self.operand()?;
                self.symbol(",")?;
                let c = self.operand()?;
                if word == "fma" { Expr::MulAdd(a, b, c) } else { Expr::Select(a, b, c) }
            }
            "convert" | "bitcast" => {
                let a = self.operand()?;
                self.word("to")?;
                let dtype = self.dtype()?;
                if word == "convert" { Expr::Convert(dtype, a) } else { Expr::Bitcast(dtype, a) }
            }
            "call" => self.call()?,
            _ => {
                if let Some(f) = UnaryFn::from_name(word) {
                    Expr::Unary(f, self.operand()?)
                } else if let Some(f) = BinaryFn::from_name(word) {
                    let a = self.operand()?;
                    self.symbol(",")?;
                    Expr::Binary(f, a, self.operand()?)
                } else {
                    return Err(self.error_at(start, "an operation such as load, add, select or convert"));
                }
            }
        };
        Ok(self.kernel.2.add(expr))
    }

    fn call(&mut self) -> Parsed<Expr> {
        let start = self.skip();
        let name = self.ident();
        let Some(&function) = self.functions.iter().find(|f| f.name == name) else {
            return Err(self.error_at(start, "a known function"));
        };
        let arguments = match function.code {
            FunctionCode::One(_) => 1,
            FunctionCode::Two(_) => 2,
        };
        self.symbol("(")?;
        let mut args = Vec::new();
        for i in 0..arguments {
            if i > 0 {
                self.symbol(",")?;
            }
            args.push(self.operand()?);
        }
        self.symbol(")")?;
        Ok(Expr::Call(function, args))
    }

    fn operand(&mut self) -> Parsed<ExprId> {
        let start = self.skip();
        if self.try_symbol("(") {
            let e = self.index()?;
            self.symbol(")")?;
            return Ok(e);
        }
        if self.rest().starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            let negative = self.try_symbol("-");
            let value = self.signed(negative)?;
            return Ok(self.kernel.2.add(Expr::Literal(Scalar::I64(value))));
        }
        let word = self.ident();
        if let Ok(dtype) = word.parse::<DType>() {
            let start = self.skip();
            let rest = self.rest();
            let end = rest.find(|c: char| c.is_whitespace() || ",;)]}/".contains(c)).unwrap_or(rest.len());
            self.at += end;
            let literal = Scalar::parse(dtype, &rest[..end])
                .ok_or_else(|| self.error_at(start, format!("a value of type {dtype}")))?;
            return Ok(self.kernel.2.add(Expr::Literal(literal)));
        }
        self.at = start;
        self.atom("an operand: e0, a0, i0, a literal such as `f32 0`, or an index in parentheses")
    }

    /// A named value, a loop variable or an accumulator.
    fn atom(&mut self, expected: &str) -> Parsed<ExprId> {
        let start = self.skip();
        let word = self.ident();
        let expr = match (word.as_bytes().first(), word.get(1..).and_then(plain_number)) {
            (Some(b'e'), Some(number)) => {
                let Some(named) = self.names.get(&number) else {
                    return Err(
                        self.error_at(start, "a value that was defined before, in this loop or around it")
                    );
                };
                if named.stale {
                    let expected = "a value that no statement since has changed; evaluate it again";
                    return Err(self.error_at(start, expected));
                }
                if named.depth < self.scopes.len() {
                    self.uses.push(OuterUse { at: start, expr: named.expr, depth: named.depth });
                }
                return Ok(named.expr);
            }
            (Some(b'i'), Some(number)) => match self.vars.get(&number) {
                Some(Some(var)) => Expr::Var(*var),
                _ => return Err(self.error_at(start, "the variable of a loop around this")),
            },
            (Some(b'a'), Some(_)) => {
                self.at = start;
                Expr::Acc(self.acc()?)
            }
            _ => return Err(self.error_at(start, expected)),
        };
        let e = self.kernel.2.add(expr);
        self.dependencies.extend(&self.kernel.2);
        Ok(e)
    }

    fn acc(&mut self) -> Parsed<AccId> {
        let start = self.skip();
        let number = self.number("a", "an accumulator such as a0")?;
        let known = self.accs.get(&number).copied();
        known.ok_or_else(|| self.error_at(start, "an accumulator that was initialised before"))
    }

    /// `i0*4 - e1 + 3`
    fn index(&mut self) -> Parsed<ExprId> {
        let mut terms: Vec<(ExprId, i64)> = Vec::new();
        let mut constant = 0i64;
        let mut negative = self.try_symbol("-");
        loop {
            let start = self.skip();
            let too_large = "an index whose coefficients fit an i64";
            if self.rest().starts_with(|c: char| c.is_ascii_digit()) {
                let value = self.signed(negative)?;
                constant = constant.checked_add(value).ok_or_else(|| self.error_at(start, too_large))?;
            } else {
                let atom = self.atom("an index: i0, e0 or a number")?;
                let sign = if negative { -1 } else { 1 };
                let c = if self.try_symbol("*") { self.signed(negative)? } else { sign };
                match terms.iter_mut().find(|t| t.0 == atom) {
                    Some(t) => t.1 = t.1.checked_add(c).ok_or_else(|| self.error_at(start, too_large))?,
                    None => terms.push((atom, c)),
                }
            }
            negative = if self.try_symbol("+") {
                false
            } else if self.try_symbol("-") {
                true
            } else {
                break;
            };
        }
        terms.retain(|t| t.1 != 0);
        terms.sort_unstable();
        Ok(match terms[..] {
            [] => self.kernel.2.add(Expr::Literal(Scalar::I64(constant))),
            [(atom, 1)] if constant == 0 => atom,
            _ => self.kernel.2.add(Expr::Affine(Affine { terms, constant })),
        })
    }

    fn signed(&mut self, negative: bool) -> Parsed<i64> {
        let start = self.skip();
        let value = self.unsigned::<u64>("a number")?;
        let value = if negative { -i128::from(value) } else { i128::from(value) };
        i64::try_from(value).map_err(|_| self.error_at(start, "a number that fits an i64"))
    }

    fn unsigned<T: FromStr>(&mut self, expected: &str) -> Parsed<T> {
        let start = self.skip();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        self.at += end;
        rest[..end].parse().map_err(|_| self.error_at(start, expected))
    }

    /// A prefix and a number, as in `b12`.
    fn number(&mut self, prefix: &str, expected: &str) -> Parsed<u32> {
        let start = self.skip();
        let word = self.ident();
        word.strip_prefix(prefix).and_then(plain_number).ok_or_else(|| self.error_at(start, expected))
    }

    fn dtype(&mut self) -> Parsed<DType> {
        let start = self.skip();
        self.ident().parse().map_err(|_| self.error_at(start, "an element type such as f32"))
    }

    fn name(&mut self) -> Parsed<String> {
        let start = self.skip();
        let rest = self.rest();
        if !rest.starts_with('"') {
            let end = rest.find(|c| !is_plain(c)).unwrap_or(rest.len());
            self.at += end;
            return if end > 0 { Ok(rest[..end].to_owned()) } else { Err(self.error_at(start, "a name")) };
        }
        let mut name = String::new();
        let mut chars = rest[1..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 2;
                    return Ok(name);
                }
                '\\' => match chars.next().map(|c| c.1) {
                    Some('n') => name.push('\n'),
                    Some('r') => name.push('\r'),
                    Some('t') => name.push('\t'),
                    Some('0') => name.push('\0'),
                    Some('u') => {
                        let digits: String = chars.by_ref().map(|c| c.1).take_while(|&c| c != '}').collect();
                        let code = digits.strip_prefix('{').and_then(|d| u32::from_str_radix(d, 16).ok());
                        let c = code.and_then(char::from_u32);
                        name.push(c.ok_or_else(|| self.error_at(start + 1 + i, "a character's number"))?);
                    }
                    Some(c @ ('"' | '\'' | '\\')) => name.push(c),
                    _ => return Err(self.error_at(start + 1 + i, "an escape such as \\n or \\u{e9}")),
                },
                c => name.push(c),
            }
        }
        Err(self.error_at(self.text.len(), "the closing `\"` of a name"))
    }

    fn word(&mut self, word: &str) -> Parsed<()> {
        let start = self.skip();
        if self.ident() == word { Ok(()) } else { Err(self.error_at(start, format!("`{word}`"))) }
    }

    fn symbol(&mut self, symbol: &str) -> Parsed<()> {
        let start = self.skip();
        if self.try_symbol(symbol) { Ok(()) } else { Err(self.error_at(start, format!("`{symbol}`"))) }
    }

    fn try_symbol(&mut self, symbol: &str) -> bool {
        self.skip();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// A word of letters, digits and `_`; empty if none is there.
    fn ident(&mut self) -> &'t str {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// Skips space and comments; where the next token begins.
    fn skip(&mut self) -> usize {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return self.at;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn error_at(&self, at: usize, expected: impl Into<String>) -> ParseError {
        let before = &self.text[..at];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let rest = &self.text[at..];
        let word: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
        let got = match (word.is_empty(), rest.chars().next()) {
            (false, _) => format!("`{word}`"),
            (true, Some(c)) => format!("`{}`", c.escape_debug()),
            (true, None) => "the end of the text".to_owned(),
        };
        let line = before.matches('\n').count() + 1;
        ParseError { line, column: before[line_start..].chars().count() + 1, expected: expected.into(), got }
    }
}

/// A number of at most nine digits, without sign.
fn plain_number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())?
}
