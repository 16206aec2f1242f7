//! What must hold of every kernel.

use bespoke_tensor::{DType, Scalar};

use crate::{
    AccId, Access, Combine, Expr, ExprId, FunctionCode, Kernel, LoopKind, Stmt, Store, VarId, apply_binary,
    apply_combine, apply_unary, placement,
};

/// At most this many loop variables, accumulators and buffers each: sets of them are machine words.
const LIMIT: usize = 64;

/// All violations of the rules of a kernel, in words; none if it is valid.
///
/// - The body is a loop; each variable belongs to one loop and is used only inside it; extents are not negative.
/// - Operands have the types that their function is defined for; an index is an `i64`; a stored value has the type of
///   its buffer and an accumulated one that of its accumulator.
/// - Loads are from buffers with [`Access::Read`] or `ReadWrite`, stores to `Write` or `ReadWrite`; an [`Stmt::Add`]
///   needs `ReadWrite`. A statement stores to one element of a buffer at most once where that can be seen.
/// - An accumulator is initialised on every way to its use.
/// - Where the range of an index is known, it lies within the buffer (code in loops of extent 0 is exempt).
/// - A vector loop has 4, 8, 16 or 32 lanes and changes only accumulators that it initialises itself or that combine;
///   those that it combines are not read in it.
pub fn verify(kernel: &Kernel) -> Vec<String> {
    let mut v = Verifier {
        kernel,
        errors: Vec::new(),
        open: Vec::new(),
        used: vec![false; kernel.exprs.vars()],
        ready: vec![false; kernel.accs.len()],
        typed: vec![false; kernel.exprs.len()],
        empty: false,
    };
    v.counts();
    match &kernel.body {
        Stmt::For { .. } => v.statement(&kernel.body),
        _ => v.error("the body is not a loop"),
    }
    v.errors
}

struct Verifier<'k> {
    kernel: &'k Kernel,
    errors: Vec<String>,
    /// The variables of the loops around.
    open: Vec<VarId>,
    /// Has the variable had its loop?
    used: Vec<bool>,
    /// Is the accumulator initialised?
    ready: Vec<bool>,
    /// Have the types been checked?
    typed: Vec<bool>,
    /// Is a loop around that never runs?
    empty: bool,
}

impl Verifier<'_> {
    fn error(&mut self, what: impl Into<String>) {
        let what = what.into();
        let error = format!("kernel {}: {what}", self.kernel.name);
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn counts(&mut self) {
        let kernel = self.kernel;
        let all = [
            ("loop variables", kernel.exprs.vars()),
            ("accumulators", kernel.accs.len()),
            ("buffers", kernel.buffers.len()),
        ];
        for (what, count) in all {
            if count > LIMIT {
                self.error(format!("{count} {what}; at most {LIMIT} are supported"));
            }
        }
        for (i, acc) in kernel.accs.iter().enumerate() {
            let probe = Scalar::from_bits(acc.dtype, 0);
            if apply_combine(acc.combine, probe, probe).is_none() {
                self.error(format!(
                    "{}: `{}` is not defined for {}",
                    AccId(i as u32),
                    acc.combine.name(),
                    acc.dtype
                ));
            }
        }
    }

    fn statement(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::For { var, kind, body } => self.loop_of(*var, *kind, body),
            Stmt::Init { acc, value } => {
                self.evaluated(stmt);
                self.accumulated(*acc, *value);
                if let Some(ready) = self.ready.get_mut(acc.index()) {
                    *ready = true;
                }
            }
            Stmt::Update { acc, value } => {
                self.evaluated(stmt);
                self.accumulated(*acc, *value);
                self.initialised(*acc, "updated");
            }
            Stmt::Store(stores) => {
                self.evaluated(stmt);
                stores.iter().for_each(|s| self.store(s, false));
                for (i, s) in stores.iter().enumerate() {
                    if stores[..i].iter().any(|t| (t.buffer, t.index) == (s.buffer, s.index)) {
                        self.error(format!("one statement stores twice to {}[{}]", s.buffer, s.index));
                    }
                }
            }
            Stmt::Add(s) => {
                self.evaluated(stmt);
                self.store(s, true);
            }
        }
    }

    fn loop_of(&mut self, var: VarId, kind: LoopKind, body: &[Stmt]) {
        if var.index() >= self.used.len() {
            return self.error(format!("{var} is not declared"));
        }
        if std::mem::replace(&mut self.used[var.index()], true) {
            self.error(format!("{var} belongs to two loops"));
        }
        let extent = self.kernel.exprs.extent(var);
        if extent < 0 {
            self.error(format!("{var} has the negative extent {extent}"));
        }
        if let LoopKind::Vector(lanes) = kind {
            if ![4, 8, 16, 32].contains(&lanes) {
                self.error(format!("{var}: a vector loop of {lanes} lanes; expected 4, 8, 16 or 32"));
            }
            self.vector(var, body);
        }
        let empty = self.empty;
        self.empty |= extent <= 0;
        let ready = self.ready.clone();
        self.open.push(var);
        body.iter().for_each(|s| self.statement(s));
        self.open.pop();
        self.empty = empty;
        // A loop may run no iteration at all: what it initialises is not ready after it.
        self.ready = ready;
    }

    /// The iterations of a vector loop must be independent but for accumulators that combine.
    fn vector(&mut self, var: VarId, body: &[Stmt]) {
        let mut inits = 0u64;
        let mut updates = Vec::new();
        let mut read = 0u64;
        let dependencies = placement::Dependencies::of(&self.kernel.exprs);
        walk(body, &mut |stmt| {
            match stmt {
                Stmt::Init { acc, .. } => inits |= placement::Dependence::acc(*acc).accs,
                Stmt::Update { acc, .. } => updates.push(*acc),
                _ => {}
            }
            placement::uses(stmt, &mut |e, _| read |= dependencies.get(e).accs);
        });
        for acc in updates {
            let bit = placement::Dependence::acc(acc).accs;
            if inits & bit != 0 {
                continue;
            }
            if self.kernel.accs.get(acc.index()).is_some_and(|a| a.combine == Combine::Set) {
                self.error(format!("{var}: a vector loop sets {acc}, which is initialised outside"));
            }
            if read & bit != 0 {
                self.error(format!("{var}: a vector loop reads {acc}, which it combines"));
            }
        }
    }

    fn accumulated(&mut self, acc: AccId, value: ExprId) {
        let Some(declared) = self.kernel.accs.get(acc.index()) else {
            return self.error(format!("{acc} is not declared"));
        };
        let got = self.kernel.exprs.dtype(value);
        if got != declared.dtype {
            self.error(format!("{acc} holds {}, got {got} ({value})", declared.dtype));
        }
    }

    fn initialised(&mut self, acc: AccId, what: &str) {
        if self.ready.get(acc.index()) == Some(&false) {
            self.error(format!("{acc} is {what} before it is initialised"));
        }
    }

    fn store(&mut self, store: &Store, adds: bool) {
        let Some(buffer) = self.kernel.buffers.get(store.buffer.index()) else {
            return self.error(format!("{} is not declared", store.buffer));
        };
        let (expected, what) = if adds {
            (buffer.access == Access::ReadWrite, "added to")
        } else {
            (buffer.access != Access::Read, "stored to")
        };
        if !expected {
            self.error(format!("{} is {what} but declared `{}`", store.buffer, buffer.access.name()));
        }
        let got = self.kernel.exprs.dtype(store.value);
        if got != buffer.dtype {
            self.error(format!("{} holds {}, got {got} ({})", store.buffer, buffer.dtype, store.value));
        }
        if adds && buffer.dtype == DType::Bool {
            self.error(format!("{} is added to but holds bool", store.buffer));
        }
        self.index(store.buffer.index(), store.index, "store");
    }

    fn index(&mut self, buffer: usize, index: ExprId, what: &str) {
        let got = self.kernel.exprs.dtype(index);
        if got != DType::I64 {
            self.error(format!("{what}: the index {index} of b{buffer} is {got}, not i64"));
        }
        let elements = self.kernel.buffers[buffer].elements;
        if let Some((lo, hi)) = self.kernel.exprs.range(index)
            && !self.empty
            && (lo < 0 || hi >= elements as i64)
        {
            self.error(format!(
                "{what}: b{buffer} has {elements} elements, the index {index} is in {lo}..={hi}"
            ));
        }
    }

    /// Checks everything that the statement evaluates.
    fn evaluated(&mut self, stmt: &Stmt) {
        let kernel = self.kernel;
        let mut stack = Vec::new();
        placement::uses(stmt, &mut |e, _| stack.push(e));
        let mut seen = rustc_hash::FxHashSet::default();
        while let Some(e) = stack.pop() {
            if !seen.insert(e) {
                continue;
            }
            let expr = kernel.exprs.get(e);
            expr.operands(|o| stack.push(o));
            match expr {
                Expr::Var(var) if !self.open.contains(var) => {
                    self.error(format!("{var} is used outside its loop"))
                }
                Expr::Acc(acc) => self.initialised(*acc, "read"),
                Expr::Load { buffer, index } => match kernel.buffers.get(buffer.index()) {
                    None => self.error(format!("{buffer} is not declared")),
                    Some(declared) => {
                        if declared.access == Access::Write {
                            self.error(format!("{buffer} is loaded from but declared `write`"));
                        }
                        self.index(buffer.index(), *index, "load");
                    }
                },
                _ => {}
            }
            if !std::mem::replace(&mut self.typed[e.index()], true)
                && let Some(wrong) = self.mistyped(e)
            {
                self.error(format!("{e}: {wrong}"));
            }
        }
    }

    fn mistyped(&self, e: ExprId) -> Option<String> {
        let exprs = &self.kernel.exprs;
        let dtype = |e: &ExprId| exprs.dtype(*e);
        let zero = |e: &ExprId| Scalar::from_bits(exprs.dtype(*e), 0);
        let list = |es: &[ExprId]| es.iter().map(|e| exprs.dtype(*e).name()).collect::<Vec<_>>().join(", ");
        match exprs.get(e) {
            Expr::Literal(_) | Expr::Var(_) => None,
            Expr::Load { buffer, .. } => {
                let declared = self.kernel.buffers.get(buffer.index())?.dtype;
                (declared != dtype(&e)).then(|| format!("{buffer} holds {declared}, its loads {}", dtype(&e)))
            }
            Expr::Acc(acc) => match self.kernel.accs.get(acc.index()) {
                None => Some(format!("{acc} is not declared")),
                Some(a) => {
                    (a.dtype != dtype(&e)).then(|| format!("{acc} holds {}, read as {}", a.dtype, dtype(&e)))
                }
            },
            Expr::Affine(a) => a.terms.iter().find_map(|(atom, c)| match exprs.get(*atom) {
                _ if dtype(atom) != DType::I64 => {
                    Some(format!("the atom {atom} of an index is {}", dtype(atom)))
                }
                Expr::Affine(_) | Expr::Literal(_) => {
                    Some(format!("the atom {atom} of an index is affine itself"))
                }
                _ => (*c == 0).then(|| format!("the atom {atom} of an index has the coefficient 0")),
            }),
            Expr::Unary(f, a) => apply_unary(*f, zero(a))
                .is_none()
                .then(|| format!("`{}` is not defined for {}", f.name(), dtype(a))),
            Expr::Binary(f, a, b) => apply_binary(*f, zero(a), zero(b))
                .is_none()
                .then(|| format!("`{}` is not defined for {}", f.name(), list(&[*a, *b]))),
            Expr::MulAdd(a, b, c) => {
                let same = dtype(a) == dtype(b) && dtype(b) == dtype(c);
                (!same || !dtype(a).is_float())
                    .then(|| format!("`fma` is not defined for {}", list(&[*a, *b, *c])))
            }
            Expr::Select(c, a, b) => (dtype(c) != DType::Bool || dtype(a) != dtype(b))
                .then(|| format!("`select` is not defined for {}", list(&[*c, *a, *b]))),
            Expr::Convert(..) => None,
            Expr::Bitcast(to, a) => {
                let bool = *to == DType::Bool || dtype(a) == DType::Bool;
                (to.size() != dtype(a).size() || bool)
                    .then(|| format!("no `bitcast` from {} to {to}", dtype(a)))
            }
            Expr::Call(f, args) => {
                let expected = match f.code {
                    FunctionCode::One(_) => 1,
                    FunctionCode::Two(_) => 2,
                };
                let wrong = args.len() != expected || args.iter().any(|a| dtype(a) != DType::F64);
                wrong.then(|| format!("`{}` takes {expected} × f64, got {}", f.name, list(args)))
            }
        }
    }
}

fn walk(stmts: &[Stmt], f: &mut dyn FnMut(&Stmt)) {
    for stmt in stmts {
        f(stmt);
        if let Stmt::For { body, .. } = stmt {
            walk(body, f);
        }
    }
}
