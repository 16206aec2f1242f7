//! Launches that put operands where they belong in a value.

use bespoke_graph::{NodeId, Op};
use bespoke_loops::{ExprId, Stmt, Store, VarId};
use bespoke_tensor::DType;

use super::Plan;
use crate::{
    builder::{Builder, Values},
    launches::{finish, finish_serial},
    partition::Group,
};

impl Plan<'_> {
    /// The launches of a value that [`crate::pushes::is_pushed`].
    pub(super) fn push(&mut self, id: NodeId) {
        match &self.graph.node(id).op {
            Op::ScatterAdd(_) => self.scatter(id),
            Op::Concatenate(_) => self.concatenate(id),
            _ => unreachable!("the caller asked"),
        }
    }

    /// Each part at its place.
    fn concatenate(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let Op::Concatenate(concatenate) = &node.op else { unreachable!("the caller asked") };
        let name = self.name(&Group { nodes: vec![id] });
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let targets = &self.write[&id];
        let mut start = 0;
        for (i, &part) in node.inputs.iter().enumerate() {
            let shape = graph.ty(part).shape;
            if shape.contains(&0) {
                continue;
            }
            let mut builder = Builder::new(&values, &[id]);
            let vars: Vec<VarId> = shape.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
            let index: Vec<ExprId> = vars.iter().map(|&v| builder.exprs.var(v)).collect();
            let mut to = index.clone();
            let offset = builder.exprs.index_const(start);
            to[concatenate.axis] = builder.exprs.index_add(to[concatenate.axis], offset);
            let to = builder.exprs.flatten(&node.ty.shape, &to);
            let value = builder.element(part, &index);
            let stores = targets.iter().map(|&t| builder.store(t, node.ty, to, value)).collect();
            builder.push(Stmt::Store(stores));
            self.program.launches.push(finish(builder, format!("{name}_part{i}"), vars));
            start += shape[concatenate.axis] as i64;
        }
    }

    /// The pushing form of a pad: zeros, then the operand among them.
    pub(super) fn pad(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let Op::Pad(pad) = &node.op else { unreachable!("the caller asked") };
        let (ty, from) = (node.ty, self.graph.ty(node.inputs[0]).shape);
        let name = self.name(&Group { nodes: vec![id] });
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        for (i, &target) in self.write[&id].iter().enumerate() {
            let kernel = |dims: &[usize], operand: usize, what: &str| {
                let mut builder = Builder::new(&values, &[id]);
                let vars: Vec<VarId> = dims.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
                let index: Vec<ExprId> = vars.iter().map(|&v| builder.exprs.var(v)).collect();
                let e = &mut builder.exprs;
                let mut to = index.clone();
                for a in (0..to.len()).filter(|_| operand == 0) {
                    let (low, spread) =
                        (e.index_const(pad.low[a] as i64), e.index_mul(to[a], pad.inner[a] as i64 + 1));
                    to[a] = e.index_add(low, spread);
                }
                let flat = e.flatten(&ty.shape, &to);
                let value = builder.element(node.inputs[operand], if operand == 0 { &index } else { &[] });
                let store = builder.store(target, ty, flat, value);
                builder.push(Stmt::Store(vec![store]));
                finish(builder, format!("{name}_{what}{i}"), vars)
            };
            let fill = kernel(&ty.shape, 1, "fill");
            let copy = (from.elements() > 0).then(|| kernel(&from, 0, "copy"));
            self.program.launches.push(fill);
            self.program.launches.extend(copy);
        }
    }

    /// The pushing form of a scatter: a copy of the operand, then the updates one after the other.
    fn scatter(&mut self, id: NodeId) {
        let Op::ScatterAdd(scatter) = &self.graph.node(id).op else { unreachable!("the caller asked") };
        let [x, indices @ .., updates] = &self.graph.node(id).inputs[..] else {
            unreachable!("it was inferred so")
        };
        let (x, updates) = (*x, *updates);
        let (ty, from, picks) = (self.graph.ty(id), self.graph.ty(updates), self.graph.ty(indices[0]));
        let name = self.name(&Group { nodes: vec![id] });
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let targets = self.write[&id].clone();
        let first = targets[0];
        let mut launches = vec![];
        launches.extend(self.copy(first, &[id], x, format!("{name}_copy")));

        let mut builder = Builder::new(&values, &[id]);
        let vars: Vec<VarId> = from.shape.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
        let index: Vec<ExprId> = vars.iter().map(|&v| builder.exprs.var(v)).collect();
        let (axis, count) = (scatter.axis, picks.rank() - scatter.batch);
        let at = [&index[..scatter.batch], &index[axis..axis + count]].concat();
        let mut to = index[..axis].to_vec();
        for &indices in indices {
            let position = builder.element(indices, &at);
            let position = builder.exprs.convert(DType::I64, position);
            to.push(builder.exprs.index_clamp(position, ty.shape[to.len()] as i64 - 1));
        }
        to.extend(&index[axis + count..]);
        let to = builder.exprs.flatten(&ty.shape, &to);
        let value = builder.element(updates, &index);
        let store = Store { value, ..builder.store(first, ty, to, value) };
        builder.add_to(store.buffer);
        builder.push(Stmt::Add(store));
        launches.push(finish_serial(builder, format!("{name}_add"), vars));

        // Not from the operands again: the first target may be a state that they are computed from.
        for (i, &target) in targets.iter().enumerate().skip(1) {
            launches.extend(self.copy(target, &[], id, format!("{name}_copy{i}")));
        }
        self.program.launches.extend(launches);
    }
}
