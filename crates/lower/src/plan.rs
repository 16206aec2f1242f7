//! The stage: graph to program.

mod products;
mod push;

use bespoke_graph::{Graph, NodeId, Op, Operator, inline_customs, op};
use bespoke_loops::{ExprId, Stmt, Store, VarId};
use bespoke_tensor::{DType, Type};
use rustc_hash::FxHashMap;

use crate::{
    Buffer, BufferIndex, Carry, Config, Launch, Loop, LowerError, Place, Program, Slot, Sort, StateSlot,
    Work,
    arena::{self, Lifetime},
    builder::{Builder, Values},
    contraction::Forms,
    convolution,
    launches::finish,
    lines,
    partition::{self, Group, Partition, is_source},
    pushes, scan, setup, split, windows,
};

/// Lowers a graph: partitions it into kernels, schedules their loops, plans all memory.
///
/// # Errors
/// [`LowerError::TooLarge`] if the memory cannot be addressed.
pub fn lower(graph: &Graph, config: Config) -> Result<Program, LowerError> {
    let inputs = graph.inputs().count();
    lower_body(graph, config, inputs)
}

/// The same, of one step of a loop, of which the inputs from `unchanged` on are the same in each.
pub(crate) fn lower_body(graph: &Graph, config: Config, unchanged: usize) -> Result<Program, LowerError> {
    let graph = split::split_long(copy_source_roots(&inline_customs(graph)));
    let graph = windows::write_out_padding(convolution::write_out_padding(graph));
    let graph = &scan::store_scalars(graph);
    let live = graph.live();
    let forms = Forms::new(graph, config.isa);
    let parts = partition::partition(graph, &live, &forms, config.fusion);
    let mut plan = Plan::new(graph, &live, &parts, &forms, config);
    plan.unchanged = graph.inputs().skip(unchanged).map(|i| i.1).collect();
    for group in &parts.groups {
        plan.group(group)?;
    }
    plan.finish(unchanged)
}

/// The graph in which every output and next state that is an input, state or constant is a copy of it, so that each is
/// written by a kernel.
fn copy_source_roots(graph: &Graph) -> Graph {
    let bare = |id: NodeId| is_source(graph, id);
    if !graph.roots().any(bare) {
        return graph.clone();
    }
    let mut copy = graph.clone();
    let outputs = copy.outputs().to_vec();
    copy.clear_outputs();
    let of = |copy: &mut Graph, id: NodeId| if bare(id) { copy.must(op::StopGradient, &[id]) } else { id };
    for (name, id) in outputs {
        let id = of(&mut copy, id);
        copy.set_output(&name, id).expect("names were unique before");
    }
    for i in 0..copy.states().len() {
        let state = copy.states()[i].clone();
        if let Some(next) = state.next.filter(|&n| bare(n)) {
            let next = if next == state.node { None } else { Some(of(&mut copy, next)) };
            copy.replace_next(state.node, next);
        }
    }
    copy
}

/// The program under construction.
struct Plan<'a> {
    graph: &'a Graph,
    parts: &'a Partition,
    forms: &'a Forms,
    config: Config,
    /// Inputs that are the same in each step of a loop.
    unchanged: Vec<NodeId>,
    program: Program,
    /// The buffer to read each source or materialised value from.
    read: FxHashMap<NodeId, BufferIndex>,
    /// The buffers that each materialised value is written to.
    write: FxHashMap<NodeId, Vec<BufferIndex>>,
}

impl<'a> Plan<'a> {
    fn new(
        graph: &'a Graph,
        live: &[bool],
        parts: &'a Partition,
        forms: &'a Forms,
        config: Config,
    ) -> Plan<'a> {
        let mut plan = Plan {
            graph,
            parts,
            forms,
            config,
            unchanged: vec![],
            program: Program::default(),
            read: FxHashMap::default(),
            write: FxHashMap::default(),
        };
        for (name, id) in graph.inputs() {
            let buffer = plan.buffer(name, graph.ty(id), Place::Input);
            plan.read.insert(id, buffer);
            plan.program.inputs.push((name.to_owned(), buffer));
        }
        for state in graph.states() {
            let buffer = plan.buffer(&state.name, graph.ty(state.node), Place::State);
            plan.read.insert(state.node, buffer);
            plan.program.states.push(StateSlot { name: state.name.clone(), buffer, copy_from: None });
        }
        for id in graph.ids().filter(|id| live[id.index()]) {
            if let Op::Constant(c) = &graph.node(id).op
                && is_source(graph, id)
            {
                let buffer = plan.buffer("constant", graph.ty(id), Place::Constant(c.value.clone()));
                plan.read.insert(id, buffer);
            }
        }
        plan.targets();
        plan.program.checks = bespoke_graph::index_inputs(graph);
        plan
    }

    fn buffer(&mut self, name: &str, ty: Type, place: Place) -> BufferIndex {
        self.program.buffers.push(Buffer { name: name.to_owned(), ty, place, sliced: false });
        self.program.buffers.len() - 1
    }

    /// Gives every materialised value its buffers: outputs, states that are updated in place, else one in the arena.
    fn targets(&mut self) {
        for (name, id) in self.graph.outputs() {
            let buffer = self.buffer(name, self.graph.ty(*id), Place::Output);
            self.program.outputs.push((name.clone(), buffer));
            let id = scan::stored(self.graph, *id);
            self.write.entry(id).or_default().push(buffer);
            self.read.entry(id).or_insert(buffer);
        }
        for (i, state) in self.graph.states().iter().enumerate() {
            let Some(next) = state.next else { continue };
            let slot = self.program.states[i].buffer;
            if self.parts.in_place[i] {
                self.write.entry(next).or_default().push(slot);
                self.read.entry(next).or_insert(slot);
            } else {
                // Not from an output: the caller may hold that tensor.
                let copy = self.buffer(&state.name, self.graph.ty(next), Place::Arena(0));
                self.write.entry(next).or_default().push(copy);
                self.read.entry(next).or_insert(copy);
                self.program.states[i].copy_from = Some(copy);
            }
        }
        let mut inner: Vec<NodeId> = self.parts.leaves.keys().copied().collect();
        inner.sort_unstable();
        for id in inner {
            if !self.write.contains_key(&id) && self.used_outside(id) {
                let buffer = self.buffer("", self.graph.ty(id), Place::Arena(0));
                self.write.insert(id, vec![buffer]);
                self.read.insert(id, buffer);
            }
        }
    }

    /// Does another group read the value?
    fn used_outside(&self, id: NodeId) -> bool {
        let own = self.parts.groups.iter().find(|g| g.nodes.contains(&id)).expect("it is in a group");
        let reads = |n: &NodeId| self.parts.leaves[n].iter().any(|l| l.node == id);
        self.parts.groups.iter().any(|g| g.nodes != own.nodes && g.nodes.iter().any(reads))
    }

    fn group(&mut self, group: &Group) -> Result<(), LowerError> {
        if let Some(scan) = scan::of(self.graph, group.nodes[0]) {
            return self.scan(group, scan);
        }
        if self.graph.ty(group.nodes[0]).elements() == 0 {
            return Ok(());
        }
        let first = group.nodes[0];
        if lines::cumulative(self.graph, first).is_some() {
            self.cumulative(first);
            return Ok(());
        }
        if let Some(sort) = lines::sort(self.graph, first) {
            self.sort(first, sort);
            return Ok(());
        }
        let product = group.nodes.iter().copied().find(|&id| self.forms.has(id));
        match product {
            Some(product) => self.contraction(group, product),
            None if group.nodes.len() == 1 && matches!(self.graph.node(first).op, Op::Pad(_)) => {
                self.pad(first)
            }
            None if pushes::is_pushed(self.graph, first) => self.push(first),
            None => self.loops(group),
        }
        Ok(())
    }

    /// A loop around the program of one step. `group` are the results that someone uses.
    fn scan(&mut self, group: &Group, scan: &op::Scan) -> Result<(), LowerError> {
        let node_of = |result: usize| {
            group
                .nodes
                .iter()
                .copied()
                .find(|&id| scan::of(self.graph, id).is_some_and(|s| s.result == result))
        };
        let used: Vec<usize> = (0..scan.body.outputs().len()).filter(|&i| node_of(i).is_some()).collect();
        let body = scan::body(scan, &used, self.config)?;
        let name = self.name(group);
        let operands = self.graph.node(group.nodes[0]).inputs.iter();
        let operands: Vec<NodeId> = operands.map(|&i| scan::unreshaped(self.graph, i)).collect();
        let targets: Vec<Option<BufferIndex>> =
            (0..scan.body.outputs().len()).map(|i| node_of(i).map(|id| self.write[&id][0])).collect();
        let slot = |buffer: BufferIndex, inner: BufferIndex, is_stepped: bool| Slot {
            buffer,
            stride_bytes: if is_stepped { body.buffers[inner].ty.bytes() } else { 0 },
        };
        let inputs = body
            .inputs
            .iter()
            .enumerate()
            .map(|(i, input)| slot(self.read[&operands[scan.carried + i]], input.1, i < scan.stepped));
        let inputs = inputs.collect();
        let outer = targets.iter().skip(scan.carried).filter_map(|t| *t);
        let outputs =
            body.outputs.iter().zip(outer).map(|(inner, outer)| slot(outer, inner.1, true)).collect();
        let carries = (0..scan.carried)
            .map(|i| {
                let ty = body.buffers[body.states[i].buffer].ty;
                let start = self.read[&operands[i]];
                let buffer = targets[i].unwrap_or_else(|| self.buffer("", ty, Place::Arena(0)));
                Carry { start, buffer }
            })
            .collect();
        let arena = (body.arena_bytes > 0)
            .then(|| self.buffer(&name, Type::new(DType::U8, [body.arena_bytes]), Place::Arena(0)));
        let sum = |of: fn(&Launch) -> f64| body.launches.iter().map(of).sum::<f64>() * scan.length as f64;
        let (flop, bytes) = (sum(|l| l.flop), sum(|l| l.bytes));
        let work = Work::Loop(Loop {
            name: name.clone(),
            body: Box::new(body),
            length: scan.length,
            reverse: scan.reverse,
            inputs,
            carries,
            outputs,
            arena,
        });
        self.program.launches.push(Launch { work, args: vec![], flop, bytes });
        for &id in &group.nodes {
            for (i, target) in self.write[&id].clone().into_iter().enumerate().skip(1) {
                let copy = self.copy(target, &[], id, format!("{name}_copy{i}"));
                self.program.launches.extend(copy);
            }
        }
        Ok(())
    }

    /// A kernel that writes a value to a buffer; none if there is nothing to write. `own` is defined rather than read.
    fn copy(&self, target: BufferIndex, own: &[NodeId], value: NodeId, name: String) -> Option<Launch> {
        let ty = self.graph.ty(value);
        if ty.elements() == 0 {
            return None;
        }
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let mut builder = Builder::new(&values, own);
        let vars: Vec<VarId> = ty.shape.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
        let index: Vec<ExprId> = vars.iter().map(|&v| builder.exprs.var(v)).collect();
        let flat = builder.exprs.flatten(&ty.shape, &index);
        let value = builder.element(value, &index);
        let store = builder.store(target, ty, flat, value);
        builder.push(Stmt::Store(vec![store]));
        Some(finish(builder, name, vars))
    }

    /// A kernel over all elements of the group's shape.
    fn loops(&mut self, group: &Group) {
        let shape = self.graph.ty(group.nodes[0]).shape;
        let name = self.name(group);
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let mut builder = Builder::new(&values, &group.nodes);
        let vars: Vec<VarId> = shape.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
        let index: Vec<ExprId> = vars.iter().map(|&v| builder.exprs.var(v)).collect();
        let flat = builder.exprs.flatten(&shape, &index);
        let stores = stores(&mut builder, graph, &self.write, group, &index, flat);
        builder.push(Stmt::Store(stores));
        let launch = finish(builder, name, vars);
        self.program.launches.push(launch);
    }

    /// A kernel that runs along an axis, line by line.
    fn cumulative(&mut self, id: NodeId) {
        let name = self.name(&Group { nodes: vec![id] });
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let (ty, targets) = (graph.ty(id), &self.write[&id]);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let mut builder = Builder::new(&values, &[id]);
        let vars = lines::run_along(&mut builder, graph, id, |builder, flat, value| {
            Stmt::Store(targets.iter().map(|&target| builder.store(target, ty, flat, value)).collect())
        });
        let launch = finish(builder, name, vars);
        self.program.launches.push(launch);
    }

    /// A launch that sorts lines.
    fn sort(&mut self, id: NodeId, sort: &op::ArgSort) {
        let operand = self.graph.node(id).inputs[0];
        let from = self.graph.ty(operand);
        let (before, after) = (&from.shape[..sort.axis], &from.shape[sort.axis + 1..]);
        let extents = [before.iter().product(), from.shape[sort.axis], after.iter().product()];
        let name = self.name(&Group { nodes: vec![id] });
        let targets = self.write[&id].clone();
        let (elements, extent) = (from.elements() as f64, extents[1] as f64);
        let work = Work::Sort(Sort {
            name: name.clone(),
            from: self.read[&operand],
            to: targets[0],
            dtype: from.dtype,
            extents,
            descending: sort.descending,
        });
        let flop = 4.0 * elements * extent.log2().max(1.0);
        self.program.launches.push(Launch { work, args: vec![], flop, bytes: 2.0 * from.bytes() as f64 });
        for (i, &target) in targets.iter().enumerate().skip(1) {
            self.program.launches.extend(self.copy(target, &[], id, format!("{name}_copy{i}")));
        }
    }

    /// `k3_dot_max`: the launch's number and what it computes.
    fn name(&self, group: &Group) -> String {
        let mut words: Vec<&str> = group.nodes.iter().map(|&id| self.graph.node(id).op.name()).collect();
        words.dedup();
        words.truncate(3);
        format!("k{}_{}", self.program.launches.len(), words.join("_"))
    }

    /// Places the arena's buffers and checks sizes.
    fn finish(mut self, unchanged: usize) -> Result<Program, LowerError> {
        let program = &mut self.program;
        let unchanged: Vec<BufferIndex> = program.inputs.iter().skip(unchanged).map(|i| i.1).collect();
        setup::move_to_front(program, &unchanged);
        let count = program.launches.len();
        let mut lifetimes: Vec<Option<Lifetime>> = vec![None; program.buffers.len()];
        let mut touch = |buffer: BufferIndex, at: usize| {
            let bytes = program.buffers[buffer].ty.bytes();
            let life = lifetimes[buffer].get_or_insert(Lifetime { first: at, last: at, bytes });
            (life.first, life.last) = (life.first.min(at), life.last.max(at));
        };
        for (i, launch) in program.launches.iter().enumerate() {
            launch.buffers().for_each(|b| touch(b, i));
            if i < program.setup {
                launch.written().iter().for_each(|&b| [0, count].iter().for_each(|&at| touch(b, at)));
            }
        }
        program.states.iter().filter_map(|s| s.copy_from).for_each(|b| touch(b, count));
        let in_arena: Vec<usize> = (0..program.buffers.len())
            .filter(|&b| matches!(program.buffers[b].place, Place::Arena(_)) && lifetimes[b].is_some())
            .collect();
        let lives: Vec<Lifetime> = in_arena.iter().filter_map(|&b| lifetimes[b]).collect();
        let total: Option<usize> = lives.iter().try_fold(0usize, |sum, l| sum.checked_add(l.bytes));
        if total.is_none_or(|t| t > isize::MAX as usize / 2) {
            return Err(LowerError::TooLarge);
        }
        let (offsets, bytes) = arena::place(&lives);
        for (&buffer, offset) in in_arena.iter().zip(offsets) {
            program.buffers[buffer].place = Place::Arena(offset);
        }
        program.arena_bytes = bytes;
        for i in 0..count {
            let name = program.launches[i].name().to_owned();
            let written = program.launches[i].written();
            for b in written {
                if program.buffers[b].name.is_empty() {
                    program.buffers[b].name.clone_from(&name);
                }
            }
        }
        Ok(self.program)
    }
}

/// The stores of all values of the group that someone reads.
fn stores(
    builder: &mut Builder<'_>,
    graph: &Graph,
    write: &FxHashMap<NodeId, Vec<BufferIndex>>,
    group: &Group,
    index: &[ExprId],
    flat: ExprId,
) -> Vec<Store> {
    let mut stores = vec![];
    for &id in &group.nodes {
        for &target in write.get(&id).into_iter().flatten() {
            let value = builder.element(id, index);
            stores.push(builder.store(target, graph.ty(id), flat, value));
        }
    }
    stores
}
