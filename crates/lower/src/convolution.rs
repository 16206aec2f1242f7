//! Convolutions as matrix products: `out[n, o, p] = Σ_{c, k} kernel[o, (c, k)] · image[n, (c, k), p]`.
//!
//! Padding and dilation are written out first, as an image with zeros, so that packing reads it with affine indices. Then
//! either each image is a product of its own, whose columns are its output positions, row by row, and which lies in the
//! result as it is; or the positions of all images together are the columns of one product, where rows are too short.

use bespoke_graph::{
    Graph, NodeId, Op,
    op::{self, Convolution},
};
use bespoke_loops::{ExprId, VarId};
use bespoke_tensor::{DType, Shape};

use crate::{
    builder::Builder,
    contraction::{Extents, Form, Tile},
};

/// Nanoseconds of a multiply-add of a full tile, of an element packed from a run, and of one packed by itself.
const MULTIPLY_ADD: f64 = 0.05;
const PACK_RUN: f64 = 0.2;
const PACK_SINGLE: f64 = 0.8;
/// Nanoseconds of a multiply-add in a loop nest, along runs and one by one.
const NEST_RUN: f64 = 0.4;
const NEST_SINGLE: f64 = 1.5;
/// Multiply-adds from which it may pay.
const SMALL: usize = 4096;
/// Images from which each is packed by the thread that multiplies it, just before.
const MANY: usize = 4;

/// Tiles in vectors (rows, vectors of columns) and how much of the peak they reach.
const TILES: [(usize, usize, f64); 7] =
    [(5, 2, 1.0), (4, 2, 0.95), (3, 3, 0.95), (6, 2, 0.87), (2, 4, 0.9), (3, 2, 0.72), (8, 1, 0.8)];

/// The graph in which every convolution reads an image that is padded and dilated already: what padding is left only crops.
pub fn write_out_padding(graph: Graph) -> Graph {
    if !graph.ids().any(|id| needs_padding(&graph, id)) {
        return graph;
    }
    let mut new = graph.clone();
    new.clear_outputs();
    let mut to: Vec<NodeId> = graph.ids().collect();
    for id in graph.ids() {
        let node = graph.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| to[i.index()]).collect();
        if let (Op::Convolution(convolution), true) = (&node.op, needs_padding(&graph, id)) {
            new.set_location(node.location);
            to[id.index()] = padded(&mut new, convolution, &inputs);
        } else if inputs != node.inputs[..] {
            new.set_location(node.location);
            to[id.index()] = new.must(node.op.clone(), &inputs);
        }
    }
    for (name, id) in graph.outputs() {
        new.set_output(name, to[id.index()]).expect("names were unique before");
    }
    for state in graph.states() {
        new.replace_next(state.node, state.next.map(|n| to[n.index()]));
    }
    new
}

fn needs_padding(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let Op::Convolution(c) = &node.op else { return false };
    let grows =
        c.padding.iter().any(|&(low, high)| low > 0 || high > 0) || c.input_dilation.iter().any(|&d| d > 1);
    grows && node.ty.elements() > 0
}

/// The convolution of a padded image. The image of an exchange of the first two dimensions is one as well: so the same
/// image serves the convolution and the gradient of its kernel.
fn padded(graph: &mut Graph, convolution: &Convolution, inputs: &[NodeId]) -> NodeId {
    let mut image = inputs[0];
    let mut exchanged = None;
    if let Op::Transpose(t) = &graph.node(image).op
        && t.permutation[2..].iter().enumerate().all(|(i, &p)| p == i + 2)
    {
        exchanged = Some(t.permutation.clone());
        image = graph.node(image).inputs[0];
    }
    let ends = |f: &dyn Fn(i64, i64) -> i64| -> Vec<usize> {
        [0, 0].into_iter().chain(convolution.padding.iter().map(|&(l, h)| f(l, h).max(0) as usize)).collect()
    };
    let inner = [0, 0].into_iter().chain(convolution.input_dilation.iter().map(|d| d - 1)).collect();
    let zero = bespoke_tensor::Scalar::from_f64(graph.ty(image).dtype, 0.0);
    let zero = graph.scalar(zero);
    let pad = op::Pad { low: ends(&|low, _| low), high: ends(&|_, high| high), inner };
    let mut image = graph.must(pad, &[image, zero]);
    if let Some(permutation) = exchanged {
        image = graph.transpose(image, &permutation);
    }
    let crops = Convolution {
        padding: convolution.padding.iter().map(|&(low, high)| (low.min(0), high.min(0))).collect(),
        input_dilation: vec![1; convolution.spatial()],
        ..convolution.clone()
    };
    graph.must(crops, &[image, inputs[1]])
}

/// Is the operator only another view of its operand's elements?
fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape(_) | Op::Transpose(_) | Op::Broadcast(_) | Op::Slice(_) | Op::Reverse(_))
}

/// The values whose elements convolutions read again and again, so that they had better be buffers.
pub fn images(graph: &Graph, live: &[bool]) -> Vec<bool> {
    let mut read = vec![false; graph.len()];
    for id in (0..graph.len()).rev().filter(|&i| live[i]) {
        let node = graph.node(NodeId(id as u32));
        if let Op::Convolution(c) = &node.op {
            read[node.inputs[0].index()] = true;
            let is_product = form_of(graph, NodeId(id as u32), c).is_some();
            read[node.inputs[1].index()] |= !is_product;
        }
        if is_view(&node.op) && read[id] {
            read[node.inputs[0].index()] = true;
            read[id] = false;
        }
    }
    read
}

/// How the convolution becomes a contraction, if it pays.
pub fn form_of(graph: &Graph, id: NodeId, convolution: &Convolution) -> Option<Form> {
    let node = graph.node(id);
    let (x, kernel, out) = (graph.ty(node.inputs[0]).shape, graph.ty(node.inputs[1]).shape, node.ty.shape);
    let written_out = !needs_padding(graph, id);
    if !node.ty.dtype.is_float() || !written_out || x.elements() == 0 || node.ty.elements() == 0 {
        return None;
    }
    let (images, groups) = (x[0], convolution.groups);
    let (m, k): (usize, usize) = (kernel[0] / groups, kernel[1..].iter().product());
    let positions: usize = out[2..].iter().product();
    let macs = images * kernel[0] * positions * k;
    if k < 2 || m < 2 || macs < SMALL {
        return None;
    }
    let innermost = out.rank() - 1;
    let contiguous = convolution.stride[innermost - 2] == 1;
    let nest = if contiguous && out[innermost] >= 4 { NEST_RUN } else { NEST_SINGLE } * macs as f64;
    let lanes = if node.ty.dtype == DType::F64 { 2 } else { 4 };
    let mut best: (f64, Option<Form>) = (nest, None);
    let run: usize = out[run_start(convolution, x, out)..].iter().product();
    for (mr, vectors, efficiency) in TILES {
        let tile = Tile { dtype: node.ty.dtype, mr, nr: vectors * lanes };
        for swapped in [false, true] {
            let (batch, n, run) = if swapped {
                (groups, images * positions, images * positions)
            } else {
                (images * groups, positions, run)
            };
            let columns = batch * (n / run) * run.next_multiple_of(tile.nr);
            let multiply = (columns * m.next_multiple_of(mr) * k) as f64 * MULTIPLY_ADD / efficiency;
            let pack = if swapped || !contiguous || run < tile.nr { PACK_SINGLE } else { PACK_RUN };
            let time = multiply * (8.0 / lanes as f64) / 2.0 + (columns * k) as f64 * pack;
            if time < best.0 {
                let extents = Extents { batch, m, n, k };
                best = (time, Some(Form { extents, tile, run, a_batch: groups, swapped }));
            }
        }
    }
    best.1
}

/// The first of the last dimensions whose output positions, as one run, are a run of the image.
fn run_start(convolution: &Convolution, x: Shape, out: Shape) -> usize {
    let mut start = out.rank() - 1;
    while start > 2 && convolution.stride[start - 3] * x[start] == convolution.stride[start - 2] * out[start]
    {
        start -= 1;
    }
    start
}

/// Is B packed product by product, by whoever multiplies it?
pub fn packs_each(form: &Form) -> bool {
    !form.swapped && form.extents.batch >= MANY
}

/// Declares loops over `dims`: their variables and values.
fn loops(builder: &mut Builder<'_>, dims: &[usize]) -> (Vec<VarId>, Vec<ExprId>) {
    let vars: Vec<VarId> = dims.iter().map(|&d| builder.exprs.declare_var(d as i64)).collect();
    let values = vars.iter().map(|&v| builder.exprs.var(v)).collect();
    (vars, values)
}

/// The element of a panel of B, its flat position and the loops around it, the products outermost.
pub fn pack_b(
    builder: &mut Builder<'_>,
    graph: &Graph,
    id: NodeId,
    form: &Form,
) -> (Vec<VarId>, ExprId, ExprId) {
    let node = graph.node(id);
    let Op::Convolution(c) = &node.op else { unreachable!("the caller asked") };
    let (x, kernel, out) = (graph.ty(node.inputs[0]).shape, graph.ty(node.inputs[1]).shape, node.ty.shape);
    let (nr, run) = (form.tile.nr, form.run);
    let blocks = run.div_ceil(nr);
    // Columns are spread over these dimensions of the result, of which the last ones are a run.
    let over: Vec<usize> = if form.swapped { [&[out[0]], &out[2..]].concat() } else { out[2..].to_vec() };
    let inner = if form.swapped { 0 } else { run_start(c, x, out) - 2 };
    let outer = &over[..inner];
    let dims = [&[form.extents.batch], outer, &[blocks], &kernel[1..], &[nr]].concat();
    let (mut vars, at) = loops(builder, &dims);
    let e = &mut builder.exprs;
    let (block, lane) = (at[1 + outer.len()], at[dims.len() - 1]);
    let terms = &at[2 + outer.len()..dims.len() - 1];
    let start = e.index_mul(block, nr as i64);
    let start = e.index_clamp(start, run.saturating_sub(nr) as i64);
    let column = e.index_add(start, lane);
    let column = e.index_clamp(column, run as i64 - 1);
    let mut positions = at[1..1 + outer.len()].to_vec();
    positions.extend(e.unflatten(&over[inner..], column));
    let (image, group) = if form.swapped {
        (positions.remove(0), at[0])
    } else {
        (e.index_div(at[0], c.groups as i64), e.index_rem(at[0], c.groups as i64))
    };
    let first = e.index_mul(group, kernel[1] as i64);
    let mut from = vec![image, e.index_add(first, terms[0])];
    for a in 0..c.spatial() {
        let position = e.index_mul(positions[a], c.stride[a] as i64);
        let along = e.index_mul(terms[a + 1], c.kernel_dilation[a] as i64);
        let crop = e.index_const(-c.padding[a].0);
        let sum = e.index_add(position, along);
        from.push(e.index_add(sum, crop));
    }
    let flat = e.flatten(&dims, &at);
    if is_run_along_terms(form, c, kernel) {
        let lane = vars.remove(dims.len() - 1);
        vars.insert(2 + outer.len(), lane);
    }
    let value = builder.element(node.inputs[0], &from);
    (vars, flat, value)
}

/// Do elements lie side by side in the image along the kernel rather than along the columns?
fn is_run_along_terms(form: &Form, convolution: &Convolution, kernel: Shape) -> bool {
    let last = convolution.spatial() - 1;
    form.swapped && convolution.kernel_dilation[last] == 1 && kernel[last + 2] >= 4
}

/// The element of a panel of A, its flat position and the loops around it.
pub fn pack_a(
    builder: &mut Builder<'_>,
    graph: &Graph,
    id: NodeId,
    form: &Form,
) -> (Vec<VarId>, ExprId, ExprId) {
    let node = graph.node(id);
    let kernel = graph.ty(node.inputs[1]).shape;
    let (m, mr) = (form.extents.m, form.tile.mr);
    let dims = [&[form.a_batch, m.div_ceil(mr)], &kernel[1..], &[mr]].concat();
    let (mut vars, at) = loops(builder, &dims);
    let e = &mut builder.exprs;
    let row = e.index_mul(at[1], mr as i64);
    let row = e.index_add(row, at[dims.len() - 1]);
    // Rows beyond the last repeat it; what is computed from them is dropped.
    let row = e.index_clamp(row, m as i64 - 1);
    let first = e.index_mul(at[0], m as i64);
    let mut from = vec![e.index_add(first, row)];
    from.extend(&at[2..dims.len() - 1]);
    let flat = e.flatten(&dims, &at);
    if kernel[kernel.rank() - 1] >= 4 {
        let lane = vars.remove(dims.len() - 1);
        vars.insert(2, lane);
    }
    let value = builder.element(node.inputs[1], &from);
    (vars, flat, value)
}

/// The loops over rows and columns of the product, and the index of the result there.
pub fn rows(builder: &mut Builder<'_>, graph: &Graph, id: NodeId, form: &Form) -> (Vec<VarId>, Vec<ExprId>) {
    let out = graph.ty(id).shape;
    if form.swapped {
        let dims = [&[out[1], out[0]], &out[2..]].concat();
        let (vars, mut index) = loops(builder, &dims);
        index.swap(0, 1);
        return (vars, index);
    }
    let (vars, at) = loops(builder, &[out[0] * out[1], form.extents.n]);
    let mut index = builder.exprs.unflatten(&out[..2], at[0]);
    index.extend(builder.exprs.unflatten(&out[2..], at[1]));
    (vars, index)
}
