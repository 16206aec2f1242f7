//! The graph with fewer units.

use std::collections::BTreeMap;

use bespoke_graph::{
    Graph as Ir, NodeId, Op,
    op::{Broadcast, Constant, Convolution, Iota, Reshape, Slice},
};
use bespoke_tensor::{Scalar, Shape, Tensor, Type};

use super::{
    Fold,
    axes::{Axis, is_depthwise},
    kept_part,
};
use crate::live_part;

/// The graph and the values with the positions that `kept` gives for each axis, `None` for all of them; and behind sums
/// what was folded. Values are of nodes of the graph, before and after.
pub fn rebuild(
    graph: &Ir,
    kept: &dyn Fn(Axis) -> Option<Vec<usize>>,
    values: &BTreeMap<NodeId, Tensor>,
    folds: &BTreeMap<NodeId, Fold>,
) -> (Ir, BTreeMap<NodeId, Tensor>) {
    let mut result = Ir::new();
    let mut new: Vec<NodeId> = vec![];
    for id in graph.ids() {
        let node = graph.node(id);
        let positions: Vec<_> = (0..node.ty.rank()).map(|axis| kept((id, axis))).collect();
        let extents =
            positions.iter().zip(node.ty.shape.iter()).map(|(k, &n)| k.as_ref().map_or(n, Vec::len));
        let shape = Shape::new(&extents.collect::<Vec<_>>()).expect("it is no larger");
        let ty = Type { shape, ..node.ty };
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|x| new[x.index()]).collect();
        result.set_location(node.location);
        let mut made = match &node.op {
            Op::Input(input) => result.input(&input.name, ty).expect("names differ"),
            Op::StateRead(state) => result.state(&state.name, ty).expect("names differ"),
            Op::Constant(constant) => {
                result.must(Constant { value: kept_part(&constant.value, &positions) }, &[])
            }
            Op::Iota(iota) => result.must(Iota { ty, axis: iota.axis }, &[]),
            Op::Reshape(_) => result.must(Reshape { shape }, &inputs),
            Op::Broadcast(broadcast) => {
                result.must(Broadcast { shape, axes: broadcast.axes.clone() }, &inputs)
            }
            Op::Slice(slice) => {
                let whole = |a: usize| slice.limit[a] - slice.start[a] == graph.ty(node.inputs[0]).shape[a];
                let limit = (0..shape.rank()).map(|a| if whole(a) { shape[a] } else { slice.limit[a] });
                let slice = Slice { limit: limit.collect(), ..slice.clone() };
                result.must(slice, &inputs)
            }
            Op::Convolution(convolution) if is_depthwise(graph, id, convolution) => {
                result.must(Convolution { groups: shape[1], ..convolution.clone() }, &inputs)
            }
            Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_) | Op::StopGradient(_) => {
                // What is repeated is repeated as often as it is needed here.
                for (input, old) in inputs.iter_mut().zip(&node.inputs) {
                    if let Op::Broadcast(broadcast) = &graph.node(*old).op {
                        let of = new[graph.node(*old).inputs[0].index()];
                        *input = result.broadcast(of, shape, &broadcast.axes);
                    }
                }
                result.must(node.op.clone(), &inputs)
            }
            op => result.must(op.clone(), &inputs),
        };
        if let Some(fold) = folds.get(&id) {
            let all = Type { dtype: ty.dtype, shape: Shape::from([fold.sums.len()]) };
            let sums = Tensor::from_fn(all, |i| Scalar::F64(fold.sums[i]));
            let sums = kept_part(&sums, &positions[fold.axis..=fold.axis]);
            let sums = result.must(Constant { value: sums }, &[]);
            let sums = result.broadcast(sums, shape, &[fold.axis]);
            made = result.plus(made, sums);
        }
        new.push(made);
    }
    result.set_location(None);
    for (name, id) in graph.outputs() {
        result.set_output(name, new[id.index()]).expect("names differ");
    }
    for state in graph.states() {
        if let Some(next) = state.next {
            result.set_next(new[state.node.index()], new[next.index()]).expect("it was so before");
        }
    }
    let result = live_part(&result);
    let parts = values.iter().filter_map(|(&id, value)| {
        let Op::StateRead(state) = &graph.node(id).op else { return None };
        let positions: Vec<_> = (0..value.ty().rank()).map(|axis| kept((id, axis))).collect();
        Some((result.source(&state.name)?, kept_part(value, &positions)))
    });
    let values = parts.collect();
    (result, values)
}
