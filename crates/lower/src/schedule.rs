//! How the loops of a kernel run: which one is vectorised, and how wide.

use bespoke_loops::{Acc, Combine, Expr, ExprId, Exprs, LoopKind, Stmt, VarId};
use rustc_hash::FxHashSet;

use crate::nest::each_expr;

/// Lanes of one vector; kernels on more are unrolled.
const LANES: i64 = 4;

/// Chooses the vectorised loop among the innermost output loop and the innermost loops of reductions, and marks it.
/// `vars` are the output loops, outermost first, around `stmts`.
pub fn vectorise(exprs: &Exprs, accs: &[Acc], vars: &[VarId], mut stmts: Vec<Stmt>) -> Vec<Stmt> {
    let inner = vars.last().copied();
    let reductions = innermost_loops(&stmts);
    let Some(out) = inner else {
        reductions.into_iter().for_each(|r| mark_reduction(exprs, accs, &mut stmts, r));
        return stmts;
    };
    // A loop suits vectors if what it steps through lies side by side.
    let contiguous =
        |var: VarId| loads(exprs, &stmts).iter().all(|&i| matches!(exprs.stride(i, var), Some(0 | 1)));
    let scattered = |var: VarId| {
        loads(exprs, &stmts).iter().filter(|&&i| !matches!(exprs.stride(i, var), Some(0 | 1))).count()
    };
    let along_out = exprs.extent(out) >= LANES
        && (reductions.is_empty()
            || contiguous(out)
            || reductions
                .iter()
                .all(|&r| !can_reduce(exprs, accs, &stmts, r) || scattered(r) >= scattered(out)));
    if along_out || has_add(&stmts) {
        return stmts; // marked by the caller, who makes the loop
    }
    reductions.into_iter().for_each(|r| mark_reduction(exprs, accs, &mut stmts, r));
    stmts
}

/// The kind of the innermost output loop around `stmts`.
pub fn output_kind(exprs: &Exprs, var: VarId, stmts: &[Stmt]) -> LoopKind {
    let extent = exprs.extent(var);
    if extent < LANES || has_vector(stmts) || has_add(stmts) {
        return LoopKind::Serial;
    }
    // Reductions inside run down columns: whole cache lines at once. Short chains hide latency by unrolling.
    let widest: i64 = if !innermost_loops(stmts).is_empty() {
        16
    } else if weight(exprs, stmts) <= 12 {
        8
    } else {
        LANES
    };
    let width = [32, 16, 8, 4]
        .into_iter()
        .find(|&w| w <= widest && (extent % w == 0 || extent >= 4 * w))
        .unwrap_or(LANES);
    LoopKind::Vector(width as u8)
}

/// The number of expressions that are evaluated.
fn weight(exprs: &Exprs, stmts: &[Stmt]) -> usize {
    let mut seen = FxHashSet::default();
    let mut stack = vec![];
    each_expr(stmts, &mut |e| stack.push(e));
    while let Some(e) = stack.pop() {
        if seen.insert(e) && !matches!(exprs.get(e), Expr::Load { .. }) {
            exprs.get(e).operands(|o| stack.push(o));
        }
    }
    seen.len()
}

/// The indices of all loads.
fn loads(exprs: &Exprs, stmts: &[Stmt]) -> Vec<ExprId> {
    let mut seen = FxHashSet::default();
    let mut stack = vec![];
    let mut found = vec![];
    each_expr(stmts, &mut |e| stack.push(e));
    while let Some(e) = stack.pop() {
        if seen.insert(e) {
            if let Expr::Load { index, .. } = exprs.get(e) {
                found.push(*index);
            }
            exprs.get(e).operands(|o| stack.push(o));
        }
    }
    found
}

fn innermost_loops(stmts: &[Stmt]) -> Vec<VarId> {
    let mut found = vec![];
    for stmt in stmts {
        if let Stmt::For { var, body, .. } = stmt {
            let inner = innermost_loops(body);
            if inner.is_empty() { found.push(*var) } else { found.extend(inner) }
        }
    }
    found
}

fn has_vector(stmts: &[Stmt]) -> bool {
    stmts
        .iter()
        .any(|s| matches!(s, Stmt::For { kind, body, .. } if *kind != LoopKind::Serial || has_vector(body)))
}

fn has_add(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::Add(_) => true,
        Stmt::For { body, .. } => has_add(body),
        _ => false,
    })
}

/// Can the loop over `var` combine several iterations at once?
fn can_reduce(exprs: &Exprs, accs: &[Acc], stmts: &[Stmt], var: VarId) -> bool {
    let Some(body) = body_of(stmts, var) else { return false };
    exprs.extent(var) >= LANES
        && body
            .iter()
            .all(|s| matches!(s, Stmt::Update { acc, .. } if accs[acc.index()].combine != Combine::Set))
}

fn body_of(stmts: &[Stmt], wanted: VarId) -> Option<&[Stmt]> {
    stmts.iter().find_map(|s| match s {
        Stmt::For { var, body, .. } if *var == wanted => Some(&body[..]),
        Stmt::For { body, .. } => body_of(body, wanted),
        _ => None,
    })
}

fn mark_reduction(exprs: &Exprs, accs: &[Acc], stmts: &mut [Stmt], wanted: VarId) {
    if !can_reduce(exprs, accs, stmts, wanted) {
        return;
    }
    let extent = exprs.extent(wanted);
    // Several accumulators hide the latency of additions.
    let width = [16, 8, 4].into_iter().find(|&w| extent >= 2 * w || extent == w).unwrap_or(LANES);
    set_kind(stmts, wanted, LoopKind::Vector(width as u8));
}

fn set_kind(stmts: &mut [Stmt], wanted: VarId, new: LoopKind) {
    for stmt in stmts {
        if let Stmt::For { var, kind, body } = stmt {
            if *var == wanted {
                *kind = new;
            } else {
                set_kind(body, wanted, new);
            }
        }
    }
}
