//! From a builder's statements to a launch: the loops around them.

use bespoke_loops::{Kernel, LoopKind, Stmt, VarId};

use crate::{
    Launch, Work,
    builder::{Argument, Builder, wrap},
    nest, schedule,
};

/// A launch of the builder's statements within loops over `vars`, collapsed and vectorised.
pub fn finish(mut builder: Builder<'_>, name: String, vars: Vec<VarId>) -> Launch {
    let stmts = builder.take_statements();
    let (vars, stmts) = nest::collapse(&mut builder.exprs, vars, stmts);
    scheduled(builder, name, vars, stmts)
}

/// A launch whose outermost loop is the first of `vars`, whatever its extent; the others are collapsed and vectorised.
pub fn finish_inner(mut builder: Builder<'_>, name: String, mut vars: Vec<VarId>) -> Launch {
    let stmts = builder.take_statements();
    let inner = vars.split_off(1);
    let (inner, stmts) = nest::collapse(&mut builder.exprs, inner, stmts);
    vars.extend(inner);
    scheduled(builder, name, vars, stmts)
}

/// A launch whose outermost loop is the first of `vars`, whatever its extent.
pub fn finish_rows(mut builder: Builder<'_>, name: String, vars: Vec<VarId>) -> Launch {
    let stmts = builder.take_statements();
    scheduled(builder, name, vars, stmts)
}

fn scheduled(builder: Builder<'_>, name: String, mut vars: Vec<VarId>, stmts: Vec<Stmt>) -> Launch {
    let mut builder = builder;
    let mut stmts = schedule::vectorise(&builder.exprs, &builder.accs, &vars, stmts);
    if vars.is_empty() {
        vars.push(builder.exprs.declare_var(1));
    }
    let last = vars.len() - 1;
    for (i, &var) in vars.iter().enumerate().rev() {
        let kind =
            if i == last { schedule::output_kind(&builder.exprs, var, &stmts) } else { LoopKind::Serial };
        stmts = vec![Stmt::For { var, kind, body: stmts }];
    }
    launch(builder, name, stmts.pop().expect("there is a loop"))
}

/// A launch of one piece: its iterations depend on each other.
pub fn finish_serial(mut builder: Builder<'_>, name: String, vars: Vec<VarId>) -> Launch {
    let stmts = builder.take_statements();
    let once = builder.exprs.declare_var(1);
    let all: Vec<VarId> = [once].into_iter().chain(vars).collect();
    launch(builder, name, wrap(stmts, &all))
}

/// A launch of one loop nest.
fn launch(builder: Builder<'_>, name: String, body: Stmt) -> Launch {
    let buffers =
        |a: &Argument| bespoke_loops::Buffer { dtype: a.dtype, elements: a.elements, access: a.access };
    let bytes = builder.arguments.iter().map(|a| (a.elements * a.dtype.size()) as f64).sum();
    let kernel = Kernel {
        name,
        buffers: builder.arguments.iter().map(buffers).collect(),
        accs: builder.accs,
        exprs: builder.exprs,
        body,
    };
    let args = builder.arguments.iter().filter_map(|a| a.buffer).collect();
    let flop = nest::operations(&kernel);
    Launch { work: Work::Loops(kernel), args, flop, bytes }
}
