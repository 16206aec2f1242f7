//! Transformations of loop nests.

use bespoke_loops::{BinaryFn, Expr, ExprId, Exprs, Stmt, Store, VarId};
use rustc_hash::FxHashSet;

/// The statement with each expression replaced.
pub fn map_exprs(stmt: Stmt, f: &mut impl FnMut(ExprId) -> ExprId) -> Stmt {
    let store =
        |s: Store, f: &mut dyn FnMut(ExprId) -> ExprId| Store { index: f(s.index), value: f(s.value), ..s };
    match stmt {
        Stmt::For { var, kind, body } => {
            Stmt::For { var, kind, body: body.into_iter().map(|s| map_exprs(s, f)).collect() }
        }
        Stmt::Init { acc, value } => Stmt::Init { acc, value: f(value) },
        Stmt::Update { acc, value } => Stmt::Update { acc, value: f(value) },
        Stmt::Store(stores) => Stmt::Store(stores.into_iter().map(|s| store(s, f)).collect()),
        Stmt::Add(s) => Stmt::Add(store(s, f)),
    }
}

/// Calls `f` with each expression of the statements.
pub fn each_expr(stmts: &[Stmt], f: &mut dyn FnMut(ExprId)) {
    for stmt in stmts {
        match stmt {
            Stmt::For { body, .. } => each_expr(body, f),
            Stmt::Init { value, .. } | Stmt::Update { value, .. } => f(*value),
            Stmt::Store(stores) => stores.iter().for_each(|s| {
                f(s.index);
                f(s.value);
            }),
            Stmt::Add(s) => {
                f(s.index);
                f(s.value);
            }
        }
    }
}

/// Merges neighbouring loops (outermost first) into one where every index allows it, so that a contiguous kernel is one
/// flat loop whatever its shape.
pub fn collapse(exprs: &mut Exprs, mut vars: Vec<VarId>, mut stmts: Vec<Stmt>) -> (Vec<VarId>, Vec<Stmt>) {
    vars.retain(|&v| exprs.extent(v) != 1);
    let mut at = vars.len();
    while at >= 2 {
        at -= 1;
        let (outer, inner) = (vars[at - 1], vars[at]);
        let extent = exprs.extent(inner);
        let whole = exprs.declare_var(exprs.extent(outer) * extent);
        let mut replace = |e: &mut Exprs, var: VarId| {
            let w = e.var(whole);
            (var == outer)
                .then(|| e.index_div(w, extent))
                .or_else(|| (var == inner).then(|| e.index_rem(w, extent)))
        };
        let merge = |s: &Stmt| map_exprs(s.clone(), &mut |e| exprs.substitute(e, &mut replace));
        let merged: Vec<Stmt> = stmts.iter().map(merge).collect();
        if !divides(exprs, &merged, whole) {
            stmts = merged;
            vars.splice(at - 1..=at, [whole]);
        }
    }
    (vars, stmts)
}

/// Is a quotient or remainder of the variable left?
fn divides(exprs: &Exprs, stmts: &[Stmt], var: VarId) -> bool {
    let mut seen = FxHashSet::default();
    let mut stack = vec![];
    each_expr(stmts, &mut |e| stack.push(e));
    while let Some(e) = stack.pop() {
        if !seen.insert(e) {
            continue;
        }
        if matches!(exprs.get(e), Expr::Binary(BinaryFn::Div | BinaryFn::Rem, x, _)
            if exprs.dtype(e) == bespoke_tensor::DType::I64 && exprs.depends_on_var(*x, var))
        {
            return true;
        }
        exprs.get(e).operands(|o| stack.push(o));
    }
    false
}

/// An estimate of the floating-point operations of a kernel: operators other than index arithmetic, times iterations.
pub fn operations(kernel: &bespoke_loops::Kernel) -> f64 {
    fn count(
        kernel: &bespoke_loops::Kernel,
        stmts: &[Stmt],
        iterations: f64,
        seen: &mut FxHashSet<ExprId>,
    ) -> f64 {
        let mut inner = 0.0;
        // Inner loops first: what they evaluate is counted there, what is left belongs to this block.
        for stmt in stmts {
            if let Stmt::For { var, body, .. } = stmt {
                inner += count(kernel, body, iterations * kernel.exprs.extent(*var) as f64, seen);
            }
        }
        let mut stack = vec![];
        let own: Vec<Stmt> = stmts.iter().filter(|s| !matches!(s, Stmt::For { .. })).cloned().collect();
        each_expr(&own, &mut |e| stack.push(e));
        let mut operations = own.len();
        while let Some(e) = stack.pop() {
            if !seen.insert(e) {
                continue;
            }
            let free = matches!(
                kernel.exprs.get(e),
                Expr::Literal(_) | Expr::Var(_) | Expr::Affine(_) | Expr::Acc(_)
            );
            operations += usize::from(!free && kernel.exprs.dtype(e) != bespoke_tensor::DType::I64);
            kernel.exprs.get(e).operands(|o| stack.push(o));
        }
        inner + operations as f64 * iterations
    }
    count(kernel, std::slice::from_ref(&kernel.body), 1.0, &mut FxHashSet::default())
}
