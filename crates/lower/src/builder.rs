//! A kernel under construction: answers the definitions of operators with loop expressions.

use bespoke_graph::{Define, Graph, NodeId, Operator, op};
use bespoke_loops::{
    Acc, AccId, Access, BinaryFn, BufferId, Combine, Expr, ExprId, Exprs, LoopKind, Stmt, Store, VarId,
};
use bespoke_tensor::{DType, Type};
use rustc_hash::FxHashMap;

use crate::{BufferIndex, partition::is_source};

/// Positions of a reduction that is written out at most.
const UNROLLED: usize = 9;

/// What a buffer of the kernel is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Argument {
    /// The program's buffer; none for the product that an epilogue reads.
    pub buffer: Option<BufferIndex>,
    /// The element type.
    pub dtype: DType,
    /// The number of elements.
    pub elements: usize,
    /// How the kernel uses it.
    pub access: Access,
}

/// Which values are buffers, for all kernels.
pub struct Values<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// Is the value materialised?
    pub materialised: &'a [bool],
    /// The buffer to read a source or materialised value from.
    pub buffers: &'a FxHashMap<NodeId, BufferIndex>,
}

/// A kernel under construction.
pub struct Builder<'a> {
    values: &'a Values<'a>,
    /// The expressions.
    pub exprs: Exprs,
    /// The accumulators.
    pub accs: Vec<Acc>,
    /// The buffers in the order of the arguments.
    pub arguments: Vec<Argument>,
    /// Statements of the innermost block, behind those around it.
    blocks: Vec<Vec<Stmt>>,
    /// Materialised values that this kernel computes: defined rather than loaded.
    own: Vec<NodeId>,
    /// The value that is read from scratch: a contraction's product; and the order of its dimensions there.
    product: Option<(NodeId, BufferId, Vec<usize>)>,
    /// What elements are, as far as each block knows: an inner block's values may read what only its loop has.
    memos: Vec<FxHashMap<(NodeId, Vec<ExprId>), ExprId>>,
}

impl<'a> Builder<'a> {
    /// A kernel that computes `own`.
    pub fn new(values: &'a Values<'a>, own: &[NodeId]) -> Builder<'a> {
        Builder {
            values,
            exprs: Exprs::new(),
            accs: vec![],
            arguments: vec![],
            blocks: vec![vec![]],
            own: own.to_vec(),
            product: None,
            memos: vec![FxHashMap::default()],
        }
    }

    /// Makes the value of a contraction the kernel's first buffer, in which its dimensions lie in this order.
    pub fn read_product(&mut self, node: NodeId, order: Vec<usize>) {
        let ty = self.values.graph.ty(node);
        let id = self.argument(Argument {
            buffer: None,
            dtype: ty.dtype,
            elements: ty.elements(),
            access: Access::Read,
        });
        self.product = Some((node, id, order));
    }

    /// Makes scratch memory the kernel's first buffer, to be written.
    pub fn write_scratch(&mut self, ty: Type) -> BufferId {
        self.argument(Argument {
            buffer: None,
            dtype: ty.dtype,
            elements: ty.elements(),
            access: Access::Write,
        })
    }

    /// The buffer's number in the kernel.
    fn argument(&mut self, argument: Argument) -> BufferId {
        let same = |a: &Argument| a.buffer == argument.buffer && a.buffer.is_some();
        if let Some(i) = self.arguments.iter().position(same) {
            if self.arguments[i].access != argument.access {
                self.arguments[i].access = Access::ReadWrite;
            }
            return BufferId(i as u32);
        }
        self.arguments.push(argument);
        self.exprs.declare_buffer(argument.dtype)
    }

    /// A store of a value to one of the program's buffers.
    pub fn store(&mut self, buffer: BufferIndex, ty: Type, index: ExprId, value: ExprId) -> Store {
        let argument = Argument {
            buffer: Some(buffer),
            dtype: ty.dtype,
            elements: ty.elements(),
            access: Access::Write,
        };
        Store { buffer: self.argument(argument), index, value }
    }

    /// Says that the kernel also reads a buffer that it stores to.
    pub fn add_to(&mut self, buffer: BufferId) {
        self.arguments[buffer.index()].access = Access::ReadWrite;
    }

    /// Appends a statement.
    pub fn push(&mut self, stmt: Stmt) {
        self.blocks.last_mut().expect("there is always a block").push(stmt);
    }

    /// The statements of the outermost block.
    pub fn take_statements(&mut self) -> Vec<Stmt> {
        std::mem::take(&mut self.blocks[0])
    }

    /// The element of a value at an index.
    pub fn element(&mut self, node: NodeId, index: &[ExprId]) -> ExprId {
        let key = (node, index.to_vec());
        if let Some(&e) = self.memos.iter().find_map(|m| m.get(&key)) {
            return e;
        }
        let graph = self.values.graph;
        let ty = graph.ty(node);
        let e = if let Some((_, buffer, order)) = self.product.as_ref().filter(|p| p.0 == node) {
            let (dims, index): (Vec<usize>, Vec<ExprId>) =
                order.iter().map(|&d| (ty.shape[d], index[d])).unzip();
            let flat = self.exprs.flatten(&dims, &index);
            self.exprs.load(*buffer, flat)
        } else if is_source(graph, node)
            || self.values.materialised[node.index()] && !self.own.contains(&node)
        {
            let buffer = Some(self.values.buffers[&node]);
            let argument =
                Argument { buffer, dtype: ty.dtype, elements: ty.elements(), access: Access::Read };
            let buffer = self.argument(argument);
            let flat = self.exprs.flatten(&ty.shape, index);
            self.exprs.load(buffer, flat)
        } else {
            graph.node(node).op.define(&mut At { builder: self, node }, index)
        };
        self.memos.last_mut().expect("one a block").insert(key, e);
        e
    }

    /// Opens an inner block.
    pub fn open(&mut self) {
        self.blocks.push(vec![]);
        self.memos.push(FxHashMap::default());
    }

    /// Closes the innermost block, and gives its statements.
    pub fn close(&mut self) -> Vec<Stmt> {
        self.memos.pop();
        self.blocks.pop().expect("a block was opened")
    }

    /// A new accumulator.
    pub fn declare_acc(&mut self, dtype: DType, combine: Combine) -> AccId {
        self.accs.push(Acc { dtype, combine });
        self.exprs.declare_acc(dtype)
    }

    /// A loop of this block over the same extents that a new reduction can join.
    fn loop_to_join(&self, extents: &[usize]) -> Option<(usize, Vec<VarId>)> {
        let block = self.blocks.last()?;
        block.iter().enumerate().rev().find_map(|(at, stmt)| {
            let mut vars = vec![];
            let mut stmts = std::slice::from_ref(stmt);
            while let [Stmt::For { var, body, .. }] = stmts {
                vars.push(*var);
                stmts = body;
            }
            let only_updates = stmts.iter().all(|s| matches!(s, Stmt::Update { .. }));
            let same = vars.iter().map(|&v| self.exprs.extent(v)).eq(extents.iter().map(|&e| e as i64));
            (!vars.is_empty() && only_updates && same).then_some((at, vars))
        })
    }

    /// The accumulators that a value reads.
    fn accs_of(&self, e: ExprId, found: &mut Vec<AccId>) {
        if let Expr::Acc(acc) = self.exprs.get(e) {
            found.push(*acc);
        }
        let mut operands = vec![];
        self.exprs.get(e).operands(|o| operands.push(o));
        operands.into_iter().for_each(|o| self.accs_of(o, found));
    }
}

/// One node of the kernel under construction.
struct At<'b, 'a> {
    builder: &'b mut Builder<'a>,
    node: NodeId,
}

impl Define for At<'_, '_> {
    fn exprs(&mut self) -> &mut Exprs {
        &mut self.builder.exprs
    }

    fn ty(&self) -> Type {
        self.builder.values.graph.ty(self.node)
    }

    fn operands(&self) -> usize {
        self.builder.values.graph.node(self.node).inputs.len()
    }

    fn operand_type(&self, operand: usize) -> Type {
        let graph = self.builder.values.graph;
        graph.ty(graph.node(self.node).inputs[operand])
    }

    fn operand(&mut self, operand: usize, index: &[ExprId]) -> ExprId {
        let input = self.builder.values.graph.node(self.node).inputs[operand];
        self.builder.element(input, index)
    }

    fn reduce(
        &mut self,
        combine: Combine,
        dtype: DType,
        extents: &[usize],
        body: op::ReduceBody<'_>,
    ) -> ExprId {
        let positions: usize = extents.iter().product();
        if positions == 0 {
            // The body would ask for elements that do not exist.
            return self.builder.exprs.literal(combine.identity(dtype));
        }
        if positions == 1 {
            let zero = self.builder.exprs.index_const(0);
            return body(self, &vec![zero; extents.len()]);
        }
        if let Some(value) = unrolled(self, combine, dtype, extents, body) {
            return value;
        }
        // Axes of extent 1 need no loop, and would make equal loops look different.
        let long: Vec<usize> = extents.iter().copied().filter(|&e| e != 1).collect();
        let acc = self.builder.declare_acc(dtype, combine);
        let identity = self.builder.exprs.literal(combine.identity(dtype));
        let init = Stmt::Init { acc, value: identity };
        let joined = self.builder.loop_to_join(&long);
        let vars = match &joined {
            Some((_, vars)) => vars.clone(),
            None => long.iter().map(|&e| self.builder.exprs.declare_var(e as i64)).collect(),
        };
        let mut values = vars.iter();
        let mut position = vec![];
        for &extent in extents {
            position.push(match extent {
                1 => self.builder.exprs.index_const(0),
                _ => {
                    let var = *values.next().expect("a variable a long axis");
                    self.builder.exprs.var(var)
                }
            });
        }
        self.builder.open();
        let mut value = body(self, &position);
        let mut inner = self.builder.close();
        if let Some((at, vars)) = joined {
            let mut read = vec![];
            self.builder.accs_of(value, &mut read);
            let block = self.builder.blocks.last_mut().expect("there is always a block");
            let before: Vec<AccId> = block[..at]
                .iter()
                .filter_map(|s| match s {
                    Stmt::Init { acc, .. } => Some(*acc),
                    _ => None,
                })
                .collect();
            let late = |acc: &AccId| updates(&block[at..], *acc) || !before.contains(acc);
            if inner.is_empty() && !read.iter().any(late) {
                block.insert(at, init);
                let mut stmts = std::slice::from_mut(&mut block[at + 1]);
                while let [Stmt::For { body, .. }] = stmts {
                    if matches!(body[..], [Stmt::For { .. }]) {
                        stmts = body;
                    } else {
                        body.push(Stmt::Update { acc, value });
                        break;
                    }
                }
                return self.builder.exprs.acc(acc);
            }
            // It reads what that loop makes: it needs a loop of its own.
            let fresh: Vec<VarId> = long.iter().map(|&e| self.builder.exprs.declare_var(e as i64)).collect();
            let mut rename = |exprs: &mut Exprs, var: VarId| {
                vars.iter().position(|&v| v == var).map(|i| exprs.var(fresh[i]))
            };
            value = self.builder.exprs.substitute(value, &mut rename);
            let exprs = &mut self.builder.exprs;
            inner = inner
                .into_iter()
                .map(|s| crate::nest::map_exprs(s, &mut |e| exprs.substitute(e, &mut rename)))
                .collect();
            inner.push(Stmt::Update { acc, value });
            self.builder.push(init);
            let nest = wrap(inner, &fresh);
            self.builder.push(nest);
            return self.builder.exprs.acc(acc);
        }
        inner.push(Stmt::Update { acc, value });
        self.builder.push(init);
        let nest = wrap(inner, &vars);
        self.builder.push(nest);
        self.builder.exprs.acc(acc)
    }

    fn fold(&mut self, init: &[ExprId], extents: &[usize], body: op::FoldBody<'_>) -> Vec<ExprId> {
        if let Some(values) = unrolled_fold(self, init, extents, body) {
            return values;
        }
        let accs: Vec<AccId> = init
            .iter()
            .map(|&value| {
                let acc = self.builder.declare_acc(self.builder.exprs.dtype(value), Combine::Set);
                self.builder.push(Stmt::Init { acc, value });
                acc
            })
            .collect();
        let vars: Vec<VarId> = extents.iter().map(|&e| self.builder.exprs.declare_var(e as i64)).collect();
        let position: Vec<ExprId> = vars.iter().map(|&v| self.builder.exprs.var(v)).collect();
        let before: Vec<ExprId> = accs.iter().map(|&a| self.builder.exprs.acc(a)).collect();
        self.builder.open();
        let after = body(self, &position, &before);
        let mut inner = self.builder.close();
        // All new values are taken before any old one is lost.
        let taken: Vec<AccId> = after
            .iter()
            .map(|&value| {
                let acc = self.builder.declare_acc(self.builder.exprs.dtype(value), Combine::Set);
                inner.push(Stmt::Init { acc, value });
                acc
            })
            .collect();
        for (&acc, &taken) in accs.iter().zip(&taken) {
            let value = self.builder.exprs.acc(taken);
            inner.push(Stmt::Update { acc, value });
        }
        let nest = wrap(inner, &vars);
        self.builder.push(nest);
        before
    }
}

/// A reduction over so few positions (a pooling window, a small kernel) that a loop would cost more than its body, written out;
/// if the body has no loops itself.
fn unrolled(
    at: &mut At<'_, '_>,
    combine: Combine,
    dtype: DType,
    extents: &[usize],
    body: op::ReduceBody<'_>,
) -> Option<ExprId> {
    let positions: usize = extents.iter().product();
    let innermost = extents.iter().rev().find(|&&e| e > 1)?;
    let function = match combine {
        Combine::Sum => BinaryFn::Add,
        Combine::Product => BinaryFn::Mul,
        Combine::Max => BinaryFn::Max,
        Combine::Min => BinaryFn::Min,
        Combine::Any => BinaryFn::Or,
        Combine::All => BinaryFn::And,
        Combine::Set => return None,
    };
    // Longer rows are better vectorised along themselves.
    if positions > UNROLLED || *innermost > 3 {
        return None;
    }
    let mut position = |at: &mut At<'_, '_>, flat: usize| {
        let flat = at.builder.exprs.index_const(flat as i64);
        let index = at.builder.exprs.unflatten(extents, flat);
        body(at, &index)
    };
    at.builder.open();
    position(at, 0);
    if !at.builder.close().is_empty() {
        return None;
    }
    let mut value = at.builder.exprs.literal(combine.identity(dtype));
    for flat in 0..positions {
        let next = position(at, flat);
        value = at.builder.exprs.binary(function, value, next);
    }
    Some(value)
}

/// A fold over few positions, written out as a reduction is.
fn unrolled_fold(
    at: &mut At<'_, '_>,
    init: &[ExprId],
    extents: &[usize],
    body: op::FoldBody<'_>,
) -> Option<Vec<ExprId>> {
    let positions: usize = extents.iter().product();
    if positions > UNROLLED {
        return None;
    }
    let mut values = init.to_vec();
    for flat in 0..positions {
        let index = at.builder.exprs.index_const(flat as i64);
        let index = at.builder.exprs.unflatten(extents, index);
        if flat == 0 {
            at.builder.open();
            body(at, &index, &values);
            if !at.builder.close().is_empty() {
                return None;
            }
        }
        values = body(at, &index, &values);
    }
    Some(values)
}

/// Does one of the statements update the accumulator?
fn updates(stmts: &[Stmt], acc: AccId) -> bool {
    stmts.iter().any(|s| match s {
        Stmt::For { body, .. } => updates(body, acc),
        Stmt::Update { acc: a, .. } | Stmt::Init { acc: a, .. } => *a == acc,
        Stmt::Store(_) | Stmt::Add(_) => false,
    })
}

/// The statements within loops over `vars`, outermost first.
pub fn wrap(mut stmts: Vec<Stmt>, vars: &[VarId]) -> Stmt {
    for &var in vars.iter().rev() {
        stmts = vec![Stmt::For { var, kind: LoopKind::Serial, body: stmts }];
    }
    stmts.pop().expect("at least one loop")
}
