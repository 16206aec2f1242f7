//! Matrix products and convolutions: the launches that pack their operands, and the one around the register tile.

use bespoke_graph::{Graph, NodeId, Op};
use bespoke_loops::{ExprId, Stmt, Store, VarId};
use bespoke_tensor::{Shape, Type};

use super::{Plan, stores};
use crate::{
    BufferIndex, Contraction, Launch, Place, Work,
    builder::{Builder, Values},
    contraction::{Extents, Form, Layout, Panels, Reading, Side},
    convolution,
    launches::{finish, finish_inner, finish_rows},
    partition::Group,
    strided,
};

impl Plan<'_> {
    /// Packs the operands, then the product with everything else in its group as epilogue.
    pub(super) fn contraction(&mut self, group: &Group, product: NodeId) {
        let form = self.forms.of(product).expect("the caller asked");
        let Form { extents, tile, run, a_batch, gather: _, layout } = *form;
        let ty = self.graph.ty(product);
        let name = self.name(group);
        let is_convolution = matches!(self.graph.node(product).op, Op::Convolution(_));
        let gathered = convolution::gathered(self.graph, product, form).map(|g| (self.read[&g.0], g.1));
        let (a, left, b, right) = if let Some((image, how)) = gathered {
            let (kernel, how) = (self.pack_kernel(product, form, &name), Reading::Gathered(how));
            match form.gather {
                Some(Side::Rows) => (image, how, Panels::Buffer(kernel), Reading::Panels),
                _ => (kernel, Reading::Panels, Panels::Buffer(image), how),
            }
        } else if is_convolution {
            let (a, b) = self.pack_convolution(product, form, &name);
            (a, Reading::Panels, b, Reading::Panels)
        } else {
            let (a, left) = self.operand(group, product, Side::Rows, form, &name);
            let (b, right) = self.operand(group, product, Side::Columns, form, &name);
            (a, left, Panels::Buffer(b), right)
        };
        let only = group.nodes.len() == 1 && self.write.get(&product).is_some_and(|w| w.len() == 1);
        let mut contraction = Contraction {
            name: name.clone(),
            extents,
            tile,
            run,
            a,
            left,
            a_batch,
            b,
            right,
            out: None,
            epilogue: None,
        };
        let Extents { batch, m, n, k } = extents;
        let mut args = vec![];
        let mut bytes = 0.0;
        let in_place = match layout {
            Layout::Same => true,
            Layout::FeaturesFirst => ty.shape[0] == 1,
            Layout::FeaturesLast => ty.shape[2..].iter().all(|&d| d == 1),
        };
        if only && in_place {
            contraction.out = Some(self.write[&product][0]);
        } else {
            let (graph, parts, read) = (self.graph, self.parts, &self.read);
            let values = Values { graph, materialised: &parts.materialised, buffers: read };
            let mut builder = Builder::new(&values, &group.nodes);
            builder.read_product(product, layout.order(ty.rank()));
            let (vars, index) = if is_convolution {
                convolution::rows(&mut builder, graph, product, form)
            } else {
                let vars =
                    vec![builder.exprs.declare_var((batch * m) as i64), builder.exprs.declare_var(n as i64)];
                let (row, column) = (builder.exprs.var(vars[0]), builder.exprs.var(vars[1]));
                (vars, product_index(&mut builder, graph, product, row, column))
            };
            let flat = builder.exprs.flatten(&ty.shape, &index);
            let stores = stores(&mut builder, graph, &self.write, group, &index, flat);
            builder.push(Stmt::Store(stores));
            let launch = finish_rows(builder, format!("{name}_epilogue"), vars);
            bytes = launch.bytes;
            args = launch.args;
            let Work::Loops(kernel) = launch.work else { unreachable!("finish makes loops") };
            contraction.epilogue = Some(Box::new(kernel));
        }
        let size = ty.dtype.size() as f64;
        self.program.launches.push(Launch {
            work: Work::Contraction(contraction),
            args,
            flop: 2.0 * (batch * m * n) as f64 * k as f64,
            bytes: bytes + size * (batch * (m * k + k * n + m * n)) as f64,
        });
    }

    /// An operand of a dot: where it lies if the tile can read it there, else in panels.
    fn operand(
        &mut self,
        group: &Group,
        product: NodeId,
        side: Side,
        form: &Form,
        name: &str,
    ) -> (BufferIndex, Reading) {
        let lies = strided::operand(self.graph, product, side, form).and_then(|(base, how)| {
            let buffer = *self.read.get(&base)?;
            let stays = self.unchanged.contains(&base) || matches!(self.graph.node(base).op, Op::Constant(_));
            if stays && matches!(how, Reading::Strided { copied: true, .. }) {
                return None; // panels are packed once
            }
            let mut written = group.nodes.iter().flat_map(|id| self.write.get(id)).flatten();
            (!written.any(|&w| w == buffer)).then_some((buffer, how))
        });
        lies.unwrap_or_else(|| (self.pack(product, side, form, name), Reading::Panels))
    }

    /// A kernel that writes an operand of a product in panels.
    fn pack(&mut self, product: NodeId, side: Side, form: &Form, name: &str) -> BufferIndex {
        let (e, tile, left) = (form.extents, form.tile, side == Side::Rows);
        let (rows, width) = if left { (e.m, tile.mr) } else { (e.n, tile.nr) };
        let dims = [e.batch, rows.div_ceil(width), e.k, width];
        let ty = Type::new(tile.dtype, dims);
        let name = format!("{name}_pack_{}", if left { "a" } else { "b" });
        let target = self.buffer(&name, ty, Place::Arena(0));
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let Op::Dot(dot) = &graph.node(product).op else { unreachable!("a product is a dot") };
        let operand = graph.node(product).inputs[usize::from(!left)];
        let shape = graph.ty(operand).shape;
        let (batch_dims, contract_dims, free_dims) = strided::dims(dot, side, shape.rank());
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let mut builder = Builder::new(&values, &[]);
        let vars: Vec<VarId> = dims.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
        let at: Vec<ExprId> = vars.iter().map(|&v| builder.exprs.var(v)).collect();
        let x = &mut builder.exprs;
        let mut panel = x.index_mul(at[1], width as i64);
        if !left {
            // The last panel of columns overlaps the one before: no lane strays.
            panel = x.index_clamp(panel, rows.saturating_sub(width) as i64);
        }
        let row = x.index_add(panel, at[3]);
        // Rows beyond the last repeat it; what is computed from them is dropped.
        let row = x.index_clamp(row, rows as i64 - 1);
        let mut index = vec![at[0]; shape.rank()];
        for (dims, flat) in [(&batch_dims, at[0]), (&contract_dims, at[2]), (&free_dims, row)] {
            let extents: Vec<usize> = dims.iter().map(|&d| shape[d]).collect();
            let position = x.unflatten(&extents, flat);
            dims.iter().zip(position).for_each(|(&d, p)| index[d] = p);
        }
        let flat = x.flatten(&dims, &at);
        let value = builder.element(operand, &index);
        let store = builder.store(target, ty, flat, value);
        builder.push(Stmt::Store(vec![store]));
        let launch = finish(builder, name, vars);
        self.program.launches.push(launch);
        target
    }

    /// Packs the kernel of a convolution.
    fn pack_kernel(&mut self, id: NodeId, form: &Form, name: &str) -> BufferIndex {
        let (side, width, count) = match form.layout {
            Layout::FeaturesLast => ("b", form.tile.nr, form.extents.n),
            _ => ("a", form.tile.mr, form.extents.m),
        };
        let name = format!("{name}_pack_{side}");
        let ty = Type::new(form.tile.dtype, [form.a_batch, count.div_ceil(width), form.extents.k, width]);
        let target = self.buffer(&name, ty, Place::Arena(0));
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let mut builder = Builder::new(&values, &[]);
        let (vars, flat, value) = convolution::pack_kernel(&mut builder, graph, id, form);
        let store = builder.store(target, ty, flat, value);
        builder.push(Stmt::Store(vec![store]));
        let launch = finish(builder, name, vars);
        self.program.launches.push(launch);
        target
    }

    /// Packs the kernel of a convolution, and its images or says how to.
    fn pack_convolution(&mut self, id: NodeId, form: &Form, name: &str) -> (BufferIndex, Panels) {
        let a = self.pack_kernel(id, form, name);
        let ty = Type::new(
            form.tile.dtype,
            [form.extents.batch, form.column_panels(), form.extents.k, form.tile.nr],
        );
        let name = format!("{name}_pack_b");
        let (graph, parts, read) = (self.graph, self.parts, &self.read);
        let values = Values { graph, materialised: &parts.materialised, buffers: read };
        let mut builder = Builder::new(&values, &[]);
        if convolution::packs_each(form) {
            let panels = builder.write_scratch(ty);
            let (vars, flat, value) = convolution::pack_b(&mut builder, graph, id, form);
            builder.push(Stmt::Store(vec![Store { buffer: panels, index: flat, value }]));
            let pack = finish_inner(builder, name, vars);
            let Work::Loops(kernel) = pack.work else { unreachable!("finish makes loops") };
            return (a, Panels::Packed(Box::new(kernel), pack.args));
        }
        let (vars, flat, value) = convolution::pack_b(&mut builder, graph, id, form);
        let b = self.program.buffers.len();
        let store = builder.store(b, ty, flat, value);
        builder.push(Stmt::Store(vec![store]));
        let pack = finish(builder, name.clone(), vars);
        self.buffer(&name, ty, Place::Arena(0));
        self.program.launches.push(pack);
        (a, Panels::Buffer(b))
    }
}

/// The index in the product's shape of a row (batch and left dimensions) and column (right dimensions).
fn product_index(
    builder: &mut Builder<'_>,
    graph: &Graph,
    product: NodeId,
    row: ExprId,
    column: ExprId,
) -> Vec<ExprId> {
    let node = graph.node(product);
    let Op::Dot(dot) = &node.op else { unreachable!("a product is a dot") };
    let rows = dot.batch.0.len() + dot.lhs_free(graph.ty(node.inputs[0]).rank()).len();
    let shape: Shape = node.ty.shape;
    let mut index = builder.exprs.unflatten(&shape[..rows], row);
    index.extend(builder.exprs.unflatten(&shape[rows..], column));
    index
}
