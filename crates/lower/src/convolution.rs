//! Convolutions as matrix products: `out[n, o, p] = Σ_{c, k} kernel[o, (c, k)] · image[n, (c, k), p]`.
//!
//! Padding and dilation are written out first, as an image with zeros, so that packing reads it with affine indices. Then
//! either each image is a product of its own, whose columns are its output positions, row by row, and which lies in the
//! result as it is; or the positions of all images together are the columns of one product, where rows are too short.

use std::ops::Range;

use bespoke_graph::{
    Graph, NodeId, Op,
    op::{self, Convolution},
};
use bespoke_loops::{ExprId, VarId};
use bespoke_tensor::Shape;

use crate::{
    Isa,
    builder::Builder,
    contraction::{Extents, Form, Forms, Gathered, Layout, Side},
    tile,
};

/// Nanoseconds of an element packed from a run, and of one packed by itself.
const PACK_RUN: f64 = 0.2;
const PACK_SINGLE: f64 = 0.8;
/// Nanoseconds of a multiply-add in a loop nest, along runs and one by one.
const NEST_RUN: f64 = 0.4;
const NEST_SINGLE: f64 = 1.5;
/// Nanoseconds to move an element of a product that does not lie as the value does.
const STORE: f64 = 1.0;
/// Multiply-adds from which it may pay.
const SMALL: usize = 4096;
/// Images from which each is packed by the thread that multiplies it, just before.
const MANY: usize = 4;

/// Rows of which a tile can hold the places in registers.
const GATHERED_ROWS: usize = 11;

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

/// What the views are views of.
fn base_of(graph: &Graph, mut id: NodeId) -> NodeId {
    while is_view(&graph.node(id).op) {
        id = graph.node(id).inputs[0];
    }
    id
}

/// The values whose elements convolutions and windows read again and again, so that they had better be buffers.
pub fn images(graph: &Graph, live: &[bool], forms: &Forms) -> Vec<bool> {
    let mut users = vec![0; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        graph.node(id).inputs.iter().for_each(|i| users[i.index()] += 1);
    }
    let mut read = vec![false; graph.len()];
    for id in (0..graph.len()).rev().filter(|&i| live[i]) {
        let node = graph.node(NodeId(id as u32));
        if let Op::Convolution(_) = &node.op {
            read[node.inputs[0].index()] = true;
            // A product's kernel is packed once. It may be a cotangent that others need too.
            let is_product = forms.has(NodeId(id as u32));
            read[node.inputs[1].index()] |= !is_product || users[base_of(graph, node.inputs[1]).index()] > 1;
        }
        if let Op::WindowReduce(op::WindowReduce { windows, .. })
        | Op::WindowArg(op::WindowArg { windows, .. }) = &node.op
        {
            let overlap = (0..windows.axes()).any(|a| windows.stride[a] < windows.extent[a]);
            let padded = matches!(graph.node(node.inputs[0]).op, Op::Pad(_));
            read[node.inputs[0].index()] |= overlap || padded;
        }
        if is_view(&node.op) && read[id] {
            read[node.inputs[0].index()] = true;
            read[id] = false;
        }
    }
    read
}

/// How the convolution becomes a contraction, if it pays: the fastest by estimate.
pub fn form_of(graph: &Graph, id: NodeId, convolution: &Convolution, isa: Isa) -> Option<Form> {
    let node = graph.node(id);
    let (x, kernel, out) = (graph.ty(node.inputs[0]).shape, graph.ty(node.inputs[1]).shape, node.ty.shape);
    let written_out = !needs_padding(graph, id);
    if !node.ty.dtype.is_float() || !written_out || x.elements() == 0 || node.ty.elements() == 0 {
        return None;
    }
    let (images, groups) = (x[0], convolution.groups);
    let (features, k): (usize, usize) = (kernel[0] / groups, kernel[1..].iter().product());
    let positions: usize = out[2..].iter().product();
    let macs = images * kernel[0] * positions * k;
    if k < 2 || features < 2 || macs < SMALL {
        return None;
    }
    let last = out.rank() - 1;
    let contiguous = convolution.stride[last - 2] == 1;
    let nest = if contiguous && out[last] >= 4 { NEST_RUN } else { NEST_SINGLE } * macs as f64;
    let run: usize = out[run_start(convolution, x, out)..].iter().product();
    let strides = image_of(graph, node.inputs[0]).map(|i| i.1);
    let in_rows = |s: &Vec<i64>| (2..last).all(|a| s[a] == s[a + 1] * x[a + 1] as i64);
    let evenly = |s: &Vec<i64>| groups == 1 || s[0] == s[1] * x[1] as i64;
    let gathers_columns =
        contiguous && strides.as_ref().is_some_and(|s| s[last] == 1 && in_rows(s) && evenly(s));
    let mut best: (f64, Option<Form>) = (nest, None);
    let mut consider =
        |extents: Extents, run: usize, layout: Layout, gather: Option<Side>, extra: &dyn Fn(usize) -> f64| {
            let Extents { batch, m, n, k } = extents;
            let most = if gather == Some(Side::Rows) { GATHERED_ROWS } else { usize::MAX };
            let Some((tile, term)) = tile::best(isa, node.ty.dtype, batch, m, run, most) else { return };
            let runs = batch * (n / run);
            let columns = runs * run.next_multiple_of(tile.nr);
            let left = if gather == Some(Side::Rows) { 0 } else { groups * m * k };
            let time =
                (runs * k) as f64 * term + left as f64 * PACK_SINGLE + (columns * k) as f64 * extra(tile.nr);
            if time < best.0 {
                best = (time, Some(Form { extents, tile, run, a_batch: groups, gather, layout }));
            }
        };
    let each = Extents { batch: images * groups, m: features, n: positions, k };
    let run_cost = |nr: usize| if !contiguous || run < nr { PACK_SINGLE } else { PACK_RUN };
    consider(each, run, Layout::Same, None, &run_cost);
    if gathers_columns {
        consider(each, run, Layout::Same, Some(Side::Columns), &|_| 0.0);
    }
    let all = images * positions;
    let together = Extents { batch: groups, m: features, n: all, k };
    let store = STORE * features as f64 / k as f64;
    consider(together, all, Layout::FeaturesFirst, None, &|_| PACK_SINGLE + store);
    if groups == 1 && strides.is_some() {
        let across = Extents { batch: 1, m: all, n: features, k };
        let store = STORE * all as f64 / k as f64;
        consider(across, features, Layout::FeaturesLast, Some(Side::Rows), &|_| PACK_SINGLE + store);
    }
    best.1
}

/// The buffer behind an image, which may be another view of it, and the steps between its elements.
pub fn image_of(graph: &Graph, id: NodeId) -> Option<(NodeId, Vec<i64>)> {
    let node = graph.node(id);
    let strides = || node.ty.shape.strides().iter().map(|&s| s as i64).collect::<Vec<_>>();
    match &node.op {
        Op::Transpose(t) => {
            let (base, inner) = image_of(graph, node.inputs[0])?;
            Some((base, t.permutation.iter().map(|&p| inner[p]).collect()))
        }
        // Of a buffer as it lies, not of another view.
        Op::Reshape(_) => {
            let mut base = node.inputs[0];
            while let Op::Reshape(_) = &graph.node(base).op {
                base = graph.node(base).inputs[0];
            }
            (!is_view(&graph.node(base).op)).then(|| (base, strides()))
        }
        Op::StopGradient(_) => image_of(graph, node.inputs[0]),
        op if is_view(op) => None,
        _ => Some((id, strides())),
    }
}

/// The buffer from which an operand is gathered, and how.
pub fn gathered(graph: &Graph, id: NodeId, form: &Form) -> Option<(NodeId, Gathered)> {
    let side = form.gather?;
    let node = graph.node(id);
    let Op::Convolution(c) = &node.op else { return None };
    let (kernel, out) = (graph.ty(node.inputs[1]).shape, node.ty.shape);
    let (image, strides) = image_of(graph, node.inputs[0]).expect("a form that gathers has one");
    let size = node.ty.dtype.size() as i64;
    let steps = |dims: &[usize], steps: &[i64]| -> Vec<i64> {
        let mut offsets = vec![0];
        for (&d, &step) in dims.iter().zip(steps) {
            offsets = offsets.iter().flat_map(|&o| (0..d as i64).map(move |i| o + i * step * size)).collect();
        }
        offsets
    };
    let along = |dilation: &[usize]| {
        strides[2..].iter().zip(dilation).map(|(s, &d)| s * d as i64).collect::<Vec<_>>()
    };
    let mut kernel_dims = kernel[1..].to_vec();
    let mut kernel_steps = [&strides[1..2], &along(&c.kernel_dilation)].concat();
    if side == Side::Columns {
        kernel_dims.swap(0, 1);
        kernel_steps.swap(0, 1);
    }
    let terms = steps(&kernel_dims, &kernel_steps);
    let crop: i64 = strides[2..].iter().zip(&c.padding).map(|(s, p)| -p.0 * s * size).sum();
    let mut positions = steps(&out[2..], &along(&c.stride));
    positions.iter_mut().for_each(|p| *p += crop);
    let (starts, batch, ranges) = match side {
        Side::Columns => {
            let firsts = (0..form.column_panels()).map(|panel| positions[form.columns(panel)]);
            let ranges = term_ranges(graph, image, c, form, kernel, out);
            (firsts.collect(), strides[0] * size / c.groups as i64, ranges)
        }
        Side::Rows => {
            let step = strides[0] * size;
            let of = |image: usize| positions.iter().map(move |p| image as i64 * step + p);
            ((0..graph.ty(node.inputs[0]).shape[0]).flat_map(of).collect(), 0, vec![])
        }
    };
    Some((image, Gathered { batch, starts, terms, ranges }))
}

/// The terms of each panel of columns but for those that only meet zeros before or after the image, along the first spatial
/// dimension: it is the outermost of the terms.
fn term_ranges(
    graph: &Graph,
    image: NodeId,
    c: &Convolution,
    form: &Form,
    kernel: Shape,
    out: Shape,
) -> Vec<Range<usize>> {
    let (k, a_step) = (form.extents.k, form.extents.k / kernel[2]);
    let rest: usize = out[3..].iter().product();
    let pad = match &graph.node(image).op {
        // A run that goes over several rows has none of its own.
        Op::Pad(pad) if form.run <= rest => pad,
        _ => return vec![0..k; form.column_panels()],
    };
    let inside = graph.ty(graph.node(image).inputs[0]).shape[2];
    let covered = (inside.max(1) - 1) * (pad.inner[2] + 1);
    let (first, last) = (pad.low[2] as i64, (pad.low[2] + covered) as i64);
    let of = |panel: usize| {
        let at = (form.columns(panel) / rest * c.stride[0]) as i64 - c.padding[0].0;
        let met = |&i: &usize| (first..=last).contains(&(at + (i * c.kernel_dilation[0]) as i64));
        let start = (0..kernel[2]).find(met).unwrap_or(kernel[2]);
        let end = (start..kernel[2]).rev().find(met).map_or(start, |i| i + 1);
        start * a_step..end * a_step
    };
    (0..form.column_panels()).map(of).collect()
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
    form.layout == Layout::Same && form.extents.batch >= MANY
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
    let over: Vec<usize> = if form.layout == Layout::FeaturesFirst {
        [&[out[0]], &out[2..]].concat()
    } else {
        out[2..].to_vec()
    };
    let inner = if form.layout == Layout::FeaturesFirst { 0 } else { run_start(c, x, out) - 2 };
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
    let (image, group) = if form.layout == Layout::FeaturesFirst {
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
    (form.layout == Layout::FeaturesFirst) && convolution.kernel_dilation[last] == 1 && kernel[last + 2] >= 4
}

/// The element of a panel of the convolution's kernel (A, or B where its features are columns), its flat position and the
/// loops around it.
pub fn pack_kernel(
    builder: &mut Builder<'_>,
    graph: &Graph,
    id: NodeId,
    form: &Form,
) -> (Vec<VarId>, ExprId, ExprId) {
    let node = graph.node(id);
    let kernel = graph.ty(node.inputs[1]).shape;
    let as_columns = form.layout == Layout::FeaturesLast;
    let (features, width) =
        if as_columns { (form.extents.n, form.tile.nr) } else { (form.extents.m, form.tile.mr) };
    let mut dims = [&[form.a_batch, features.div_ceil(width)], &kernel[1..], &[width]].concat();
    let swaps = form.gather == Some(Side::Columns);
    if swaps {
        dims.swap(2, 3); // see `term_ranges`
    }
    let (mut vars, at) = loops(builder, &dims);
    let e = &mut builder.exprs;
    let mut panel = e.index_mul(at[1], width as i64);
    if as_columns {
        panel = e.index_clamp(panel, features.saturating_sub(width) as i64);
    }
    let feature = e.index_add(panel, at[dims.len() - 1]);
    // Features beyond the last repeat it; what is computed from them is dropped.
    let feature = e.index_clamp(feature, features as i64 - 1);
    let first = e.index_mul(at[0], features as i64);
    let mut from = vec![e.index_add(first, feature)];
    from.extend(&at[2..dims.len() - 1]);
    if swaps {
        from.swap(1, 2);
    }
    let flat = e.flatten(&dims, &at);
    if kernel[kernel.rank() - 1] >= 4 {
        // Along the kernel, but within a piece that stays in the first-level cache.
        let lane = vars.remove(dims.len() - 1);
        vars.insert(3, lane);
    }
    let value = builder.element(node.inputs[1], &from);
    (vars, flat, value)
}

/// The loops over rows and columns of the product, and the index of the result there.
pub fn rows(builder: &mut Builder<'_>, graph: &Graph, id: NodeId, form: &Form) -> (Vec<VarId>, Vec<ExprId>) {
    let out = graph.ty(id).shape;
    if form.layout == Layout::FeaturesFirst {
        let dims = [&[out[1], out[0]], &out[2..]].concat();
        let (vars, mut index) = loops(builder, &dims);
        index.swap(0, 1);
        return (vars, index);
    }
    if form.layout == Layout::FeaturesLast {
        let (vars, at) = loops(builder, &[form.extents.m, out[1]]);
        let mut index = builder.exprs.unflatten(&[&out[..1], &out[2..]].concat(), at[0]);
        index.insert(1, at[1]);
        return (vars, index);
    }
    let (vars, at) = loops(builder, &[out[0] * out[1], form.extents.n]);
    let mut index = builder.exprs.unflatten(&out[..2], at[0]);
    index.extend(builder.exprs.unflatten(&out[2..], at[1]));
    (vars, index)
}
