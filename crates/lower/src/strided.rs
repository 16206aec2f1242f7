//! Operands of dots that are read where they lie.

use bespoke_graph::{Graph, NodeId, Op, op::Dot};

use crate::{
    contraction::{Form, Forms, Reading, Side},
    convolution::image_of,
    tile::Vectors,
};

/// Bytes after which addresses share a set of the first-level cache.
const CACHE_PERIOD: i64 = 4096;
/// Lines of a set of that cache that rows of A may take.
const CACHE_WAYS: usize = 8;
/// Uses from which a panel is worth a copy.
const REUSED: usize = 3;

/// The batch, contracted and free dimensions of an operand of so many dimensions.
pub fn dims(dot: &Dot, side: Side, rank: usize) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    match side {
        Side::Rows => (dot.batch.0.clone(), dot.contract.0.clone(), dot.lhs_free(rank)),
        Side::Columns => (dot.batch.1.clone(), dot.contract.1.clone(), dot.rhs_free(rank)),
    }
}

/// The values that tiles read where they lie, if they are buffers: to pack panels of what is computed costs more than to
/// compute it in its own order.
pub fn operands(graph: &Graph, live: &[bool], forms: &Forms) -> Vec<bool> {
    let mut read = vec![false; graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let wide = |form: &Form| form.tile.vectors != Vectors::Portable;
        if matches!(graph.node(id).op, Op::Dot(_)) && forms.of(id).is_some_and(wide) {
            let bases = graph.node(id).inputs.iter().filter_map(|&i| image_of(graph, i));
            bases.for_each(|(base, _)| read[base.index()] = true);
        }
    }
    read
}

/// The value in whose memory the operand lies, and how; none if the tile cannot read it there, or had better not.
pub fn operand(graph: &Graph, product: NodeId, side: Side, form: &Form) -> Option<(NodeId, Reading)> {
    let node = graph.node(product);
    let Op::Dot(dot) = &node.op else { return None };
    let operand = node.inputs[usize::from(side == Side::Columns)];
    let shape = graph.ty(operand).shape;
    let (base, strides) = image_of(graph, operand)?;
    let size = node.ty.dtype.size() as i64;
    let (batch, contract, free) = dims(dot, side, shape.rank());
    let step = |dims: &[usize]| {
        let mut dims = dims.iter().rev().filter(|&&d| shape[d] != 1);
        let Some(&last) = dims.next() else { return Some(size) };
        let mut next = strides[last] * shape[last] as i64;
        for &d in dims {
            if strides[d] != next {
                return None;
            }
            next *= shape[d] as i64;
        }
        Some(strides[last] * size)
    };
    let (line, term) = (step(&free)?, step(&contract)?);
    let tile = form.tile;
    let (reuses, stays) = match side {
        // Rows a multiple of the cache's period apart would push each other out.
        Side::Rows => {
            (form.column_panels(), term == size && (line % CACHE_PERIOD != 0 || tile.mr <= CACHE_WAYS))
        }
        Side::Columns => (form.extents.m.div_ceil(tile.mr), false),
    };
    let reads = side == Side::Rows || line == size;
    // What is read again and again had better lie together.
    let copied = tile.vectors != Vectors::Portable
        && (line == size || term == size)
        && (!reads || !stays && reuses >= REUSED);
    let suits = copied || reads && (tile.vectors != Vectors::Portable || stays || line == size);
    // Displacements of instructions have 32 bits.
    let reach = line.checked_mul(form.tile.mr as i64)?.checked_add(term.checked_mul(8)?)?;
    if !suits || reach > i64::from(i32::MAX) / 2 {
        return None;
    }
    let mut starts = vec![0];
    for &d in &batch {
        let along = (0..shape[d] as i64).map(|i| i * strides[d] * size);
        starts = starts.iter().flat_map(|o| along.clone().map(move |i| o + i)).collect();
    }
    Some((base, Reading::Strided { starts, line, term, copied }))
}
