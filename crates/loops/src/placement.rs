//! Where each expression is evaluated: the printer and every translator follow the same plan.
//!
//! Expressions are pure but for what they read: a value that reads an accumulator is stale once the accumulator
//! changes, one that loads from a buffer once the buffer is stored to, one that depends on a loop variable outside of
//! the loop. The plan evaluates an expression as far out as that allows and again only where it is stale.
//!
//! **Inline** expressions ([`is_inline`]) are in no plan; who needs one computes it on the spot: loop variables, affine
//! indices, what an accumulator holds. Literals that are indices or parts of them are not in the plan either; literals
//! that are values are, so that they can be spread over a vector once.

use crate::{AccId, BufferId, Expr, ExprId, Exprs, Kernel, Stmt, VarId};

/// A set of loop variables, accumulators and buffers: what a value depends on, or what a statement changes.
///
/// Numbers are taken modulo 64. The verifier refuses kernels with more of a kind; here, two that share a bit are only
/// taken for one another, so that less is shared or hoisted than could be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dependence {
    /// Loop variables by number.
    pub vars: u64,
    /// Accumulators by number.
    pub accs: u64,
    /// Buffers (loaded from, or stored to) by number.
    pub buffers: u64,
}

impl Dependence {
    /// The set of one loop variable.
    pub fn var(var: VarId) -> Dependence {
        Dependence { vars: bit(var.0), ..Dependence::default() }
    }

    /// The set of one accumulator.
    pub fn acc(acc: AccId) -> Dependence {
        Dependence { accs: bit(acc.0), ..Dependence::default() }
    }

    /// The set of one buffer.
    pub fn buffer(buffer: BufferId) -> Dependence {
        Dependence { buffers: bit(buffer.0), ..Dependence::default() }
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Dependence) -> Dependence {
        Dependence {
            vars: self.vars | other.vars,
            accs: self.accs | other.accs,
            buffers: self.buffers | other.buffers,
        }
    }

    /// Is anything in both?
    pub fn intersects(self, other: Dependence) -> bool {
        self.vars & other.vars != 0 || self.accs & other.accs != 0 || self.buffers & other.buffers != 0
    }
}

fn bit(number: u32) -> u64 {
    1u64.rotate_left(number % 64)
}

/// What each expression of an arena depends on, directly or through operands.
#[derive(Clone, Debug)]
pub struct Dependencies(Vec<Dependence>);

impl Dependencies {
    /// Of all expressions that are in the arena now.
    pub fn of(exprs: &Exprs) -> Dependencies {
        let mut dependencies = Dependencies(Vec::with_capacity(exprs.len()));
        dependencies.extend(exprs);
        dependencies
    }

    /// Takes in the expressions that were added to the arena since.
    pub(crate) fn extend(&mut self, exprs: &Exprs) {
        let all = &mut self.0;
        for id in exprs.ids().skip(all.len()) {
            let mut own = match exprs.get(id) {
                Expr::Var(var) => Dependence::var(*var),
                Expr::Acc(acc) => Dependence::acc(*acc),
                Expr::Load { buffer, .. } => Dependence::buffer(*buffer),
                _ => Dependence::default(),
            };
            exprs.get(id).operands(|o| own = own.union(all[o.index()]));
            all.push(own);
        }
    }

    /// What this expression depends on.
    pub fn get(&self, e: ExprId) -> Dependence {
        self.0[e.index()]
    }
}

/// What running the statement changes: the variables of its loops, accumulators that are set or updated, buffers that
/// are stored to.
pub fn effects(stmt: &Stmt) -> Dependence {
    match stmt {
        Stmt::For { var, body, .. } => {
            body.iter().map(effects).fold(Dependence::var(*var), Dependence::union)
        }
        Stmt::Init { acc, .. } | Stmt::Update { acc, .. } => Dependence::acc(*acc),
        Stmt::Store(stores) => {
            stores.iter().map(|s| Dependence::buffer(s.buffer)).fold(Dependence::default(), Dependence::union)
        }
        Stmt::Add(store) => Dependence::buffer(store.buffer),
    }
}

/// Calls `f` on each expression a statement itself uses, in its order, with whether it is an index. A loop uses none.
pub fn uses(stmt: &Stmt, f: &mut dyn FnMut(ExprId, bool)) {
    match stmt {
        Stmt::For { .. } => {}
        Stmt::Init { value, .. } | Stmt::Update { value, .. } => f(*value, false),
        Stmt::Store(stores) => {
            for store in stores {
                f(store.index, true);
                f(store.value, false);
            }
        }
        Stmt::Add(store) => {
            f(store.index, true);
            f(store.value, false);
        }
    }
}

/// Is the expression computed on the spot instead of being evaluated once and kept?
pub fn is_inline(exprs: &Exprs, e: ExprId) -> bool {
    matches!(exprs.get(e), Expr::Var(_) | Expr::Affine(_) | Expr::Acc(_))
}

/// A statement and what is evaluated right before it.
#[derive(Clone, Debug)]
pub struct Placed<'k> {
    /// The statement.
    pub stmt: &'k Stmt,
    /// What to evaluate, operands before users. What a value needs is before it in this list, in an earlier list
    /// of the same body or of one around it, or inline. An expression may come again where its value has become stale:
    /// the latest evaluation counts.
    pub before: Vec<ExprId>,
    /// The body of a loop; empty for other statements.
    pub body: Vec<Placed<'k>>,
}

/// The plan of a kernel.
///
/// Before a loop comes what its body needs and what changes in no iteration; loads are always legal, so
/// they may be executed early. Nothing is taken out of a loop of extent 0, where an index may have no legal value.
pub fn place(kernel: &Kernel) -> Placed<'_> {
    let exprs = &kernel.exprs;
    let mut placer = Placer {
        exprs,
        dependencies: Dependencies::of(exprs),
        available: vec![false; exprs.len()],
        valid: Vec::new(),
        seen: vec![0; exprs.len()],
        search: 0,
    };
    placer.statement(&kernel.body)
}

/// The expressions that evaluating these values takes, operands before users, without the inline ones.
pub fn needed(exprs: &Exprs, roots: &[ExprId]) -> Vec<ExprId> {
    let mut placer = Placer {
        exprs,
        dependencies: Dependencies(Vec::new()),
        available: vec![false; exprs.len()],
        valid: Vec::new(),
        seen: vec![0; exprs.len()],
        search: 1,
    };
    let mut out = Vec::new();
    for &root in roots {
        placer.collect(root, false, &mut out);
    }
    out
}

struct Placer<'k> {
    exprs: &'k Exprs,
    dependencies: Dependencies,
    /// Has the expression a value that is not stale?
    available: Vec<bool>,
    /// The available ones in the order of evaluation.
    valid: Vec<ExprId>,
    /// The last search that met the expression (not as a literal index).
    seen: Vec<u32>,
    search: u32,
}

impl<'k> Placer<'k> {
    fn statement(&mut self, stmt: &'k Stmt) -> Placed<'k> {
        let changes = effects(stmt);
        let Stmt::For { body, .. } = stmt else {
            let before = self.search(stmt, |_| true);
            self.forget(changes);
            return Placed { stmt, before, body: Vec::new() };
        };
        // What an iteration changes is stale in the next one.
        self.forget(changes);
        let before = self.search(stmt, |d| !d.intersects(changes));
        let outside = self.valid.len();
        let body = body.iter().map(|s| self.statement(s)).collect();
        for e in self.valid.drain(outside..) {
            self.available[e.index()] = false;
        }
        Placed { stmt, before, body }
    }

    /// Values that depend on what changes are stale.
    fn forget(&mut self, changes: Dependence) {
        if changes == Dependence::default() {
            return;
        }
        let (available, dependencies) = (&mut self.available, &self.dependencies);
        self.valid.retain(|e| {
            let keep = !dependencies.get(*e).intersects(changes);
            available[e.index()] = keep;
            keep
        });
    }

    /// What the statement (or the body of the loop) uses, is not available, and depends on nothing unwanted.
    fn search(&mut self, stmt: &Stmt, wanted: impl Fn(Dependence) -> bool) -> Vec<ExprId> {
        self.search += 1;
        let mut all = Vec::new();
        self.collect_statement(stmt, &mut all);
        all.retain(|e| wanted(self.dependencies.get(*e)));
        for &e in &all {
            self.available[e.index()] = true;
            self.valid.push(e);
        }
        all
    }

    fn collect_statement(&mut self, stmt: &Stmt, out: &mut Vec<ExprId>) {
        if let Stmt::For { var, body, .. } = stmt
            && self.exprs.extent(*var) > 0
        {
            body.iter().for_each(|s| self.collect_statement(s, out));
        }
        uses(stmt, &mut |e, index| self.collect(e, index, out));
    }

    /// Appends what is needed for `root` after its operands. Depth first without recursion: chains may be long.
    fn collect(&mut self, root: ExprId, index: bool, out: &mut Vec<ExprId>) {
        let exprs = self.exprs;
        // Each entry: expression, is it an index, have its operands been visited.
        let mut stack = vec![(root, index, false)];
        while let Some((e, index, visited)) = stack.pop() {
            if visited {
                out.push(e);
                continue;
            }
            let expr = exprs.get(e);
            // A literal met as an index must still be found as a value.
            if self.seen[e.index()] == self.search
                || self.available[e.index()]
                || (index && matches!(expr, Expr::Literal(_)))
            {
                continue;
            }
            self.seen[e.index()] = self.search;
            if !is_inline(exprs, e) {
                stack.push((e, index, true));
            }
            let operands_are_indices = matches!(expr, Expr::Load { .. } | Expr::Affine(_));
            let first = stack.len();
            expr.operands(|o| stack.push((o, operands_are_indices, false)));
            stack[first..].reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use bespoke_tensor::DType;

    use super::*;
    use crate::{Acc, Access, BinaryFn, Buffer, Combine, LoopKind, Store};

    fn buffer(access: Access) -> Buffer {
        Buffer { dtype: DType::F32, elements: 64, access }
    }

    #[test]
    fn invariants_leave_the_loops() {
        // for i { for j { b1[8 i + j] = b0[i] + (b0[j] + 2) } }
        let mut x = Exprs::new();
        let (b0, b1) = (x.declare_buffer(DType::F32), x.declare_buffer(DType::F32));
        let (i, j) = (x.declare_var(8), x.declare_var(8));
        let (vi, vj) = (x.var(i), x.var(j));
        let (at_i, at_j) = (x.load(b0, vi), x.load(b0, vj));
        let two = x.literal(2f32);
        let shifted = x.binary(BinaryFn::Add, at_j, two);
        let value = x.binary(BinaryFn::Add, at_i, shifted);
        let index = x.flatten(&[8, 8], &[vi, vj]);
        let store = Stmt::Store(vec![Store { buffer: b1, index, value }]);
        let inner = Stmt::For { var: j, kind: LoopKind::Serial, body: vec![store] };
        let kernel = Kernel {
            name: "k".into(),
            buffers: vec![buffer(Access::Read), buffer(Access::Write)],
            accs: vec![],
            exprs: x,
            body: Stmt::For { var: i, kind: LoopKind::Serial, body: vec![inner] },
        };
        let placed = place(&kernel);
        assert_eq!(placed.before, [two]);
        assert_eq!(placed.body[0].before, [at_i]);
        assert_eq!(placed.body[0].body[0].before, [at_j, shifted, value]);
        assert_eq!(needed(&kernel.exprs, &[value]), [at_i, at_j, two, shifted, value]);
    }

    #[test]
    fn stale_values_are_evaluated_again() {
        // for i { a = b0[i]; b1[0] = a + a; a += b0[i]; b1[1] = a + a; b0[i] = b1[0]; b1[2] = b0[i] }
        let mut x = Exprs::new();
        let (b0, b1) = (x.declare_buffer(DType::F32), x.declare_buffer(DType::F32));
        let i = x.declare_var(8);
        let acc = x.declare_acc(DType::F32);
        let vi = x.var(i);
        let loaded = x.load(b0, vi);
        let held = x.acc(acc);
        let double = x.binary(BinaryFn::Add, held, held);
        let at: Vec<_> = (0..3).map(|c| x.index_const(c)).collect();
        let again = x.load(b1, at[0]);
        let store = |buffer, index, value| Stmt::Store(vec![Store { buffer, index, value }]);
        let body = vec![
            Stmt::Init { acc, value: loaded },
            store(b1, at[0], double),
            Stmt::Update { acc, value: loaded },
            store(b1, at[1], double),
            store(b0, vi, again),
            store(b1, at[2], loaded),
        ];
        let kernel = Kernel {
            name: "k".into(),
            buffers: vec![buffer(Access::ReadWrite), buffer(Access::ReadWrite)],
            accs: vec![Acc { dtype: DType::F32, combine: Combine::Sum }],
            exprs: x,
            body: Stmt::For { var: i, kind: LoopKind::Serial, body },
        };
        let placed = place(&kernel);
        assert!(placed.before.is_empty(), "{placed:?}");
        let before: Vec<_> = placed.body.iter().map(|p| p.before.clone()).collect();
        assert_eq!(
            before,
            [vec![loaded], vec![double], vec![], vec![double], vec![again], vec![loaded]],
            "{placed:#?}"
        );
    }

    #[test]
    fn nothing_leaves_an_empty_loop() {
        let mut x = Exprs::new();
        let (b0, b1) = (x.declare_buffer(DType::F32), x.declare_buffer(DType::F32));
        let (i, j) = (x.declare_var(8), x.declare_var(0));
        let zero = x.index_const(0);
        let value = x.load(b0, zero);
        let store = Stmt::Store(vec![Store { buffer: b1, index: zero, value }]);
        let inner = Stmt::For { var: j, kind: LoopKind::Serial, body: vec![store] };
        let kernel = Kernel {
            name: "k".into(),
            buffers: vec![buffer(Access::Read), buffer(Access::Write)],
            accs: vec![],
            exprs: x,
            body: Stmt::For { var: i, kind: LoopKind::Serial, body: vec![inner] },
        };
        let placed = place(&kernel);
        assert!(placed.before.is_empty() && placed.body[0].before.is_empty(), "{placed:?}");
        assert_eq!(placed.body[0].body[0].before, [value]);
    }
}
