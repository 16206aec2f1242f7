//! Graphs without loops.

use bespoke_graph::{
    Graph, NodeId, Op, Operator,
    op::{Concatenate, Scan, Slice},
};
use bespoke_tensor::{Shape, Type};

/// The graph with each scan replaced by its steps, one after the other.
pub fn unroll(graph: &Graph) -> Graph {
    if !graph.ids().any(|id| matches!(graph.node(id).op, Op::Scan(_))) {
        return graph.clone();
    }
    let mut done: Vec<(NodeId, Vec<NodeId>)> = vec![];
    graph.rebuild(|result, id, inputs| {
        let Op::Scan(scan) = &graph.node(id).op else {
            return result.must(graph.node(id).op.clone(), inputs);
        };
        let at = done.iter().position(|d| graph.are_siblings(d.0, id)).unwrap_or_else(|| {
            done.push((id, steps(result, scan, inputs)));
            done.len() - 1
        });
        done[at].1[scan.result]
    })
}

/// All results of a scan.
fn steps(graph: &mut Graph, scan: &Scan, operands: &[NodeId]) -> Vec<NodeId> {
    let body = unroll(&scan.body);
    let types: Vec<Type> = operands.iter().map(|&o| graph.ty(o)).collect();
    let count = body.outputs().len();
    let mut carry = operands[..scan.carried].to_vec();
    let mut slices: Vec<Vec<NodeId>> = vec![vec![]; count - scan.carried];
    for step in 0..scan.length {
        let step = if scan.reverse { scan.length - 1 - step } else { step };
        let arguments: Vec<NodeId> = (0..operands.len())
            .map(|i| match i {
                i if i < scan.carried => carry[i],
                i if i < scan.carried + scan.stepped => slice(graph, operands[i], step),
                i => operands[i],
            })
            .collect();
        let outputs = inline(graph, &body, &arguments);
        carry = outputs[..scan.carried].to_vec();
        slices.iter_mut().zip(&outputs[scan.carried..]).for_each(|(all, &id)| all.push(id));
    }
    for (i, mut all) in slices.into_iter().enumerate() {
        if scan.reverse {
            all.reverse();
        }
        let ty = scan.of_result(scan.carried + i).infer(&types).expect("it was inferred before");
        let one = Shape::new(&[&[1], &ty.shape[1..]].concat()).expect("not larger than the whole");
        let parts: Vec<NodeId> = all.into_iter().map(|id| graph.reshape(id, one)).collect();
        carry.push(match parts[..] {
            [] => graph.fill(ty, 0.0),
            _ => graph.must(Concatenate { axis: 0 }, &parts),
        });
    }
    carry
}

fn slice(graph: &mut Graph, stacked: NodeId, step: usize) -> NodeId {
    let dims = graph.ty(stacked).shape;
    let mut slice = Slice { start: vec![0; dims.rank()], limit: dims.to_vec(), step: vec![1; dims.rank()] };
    (slice.start[0], slice.limit[0]) = (step, step + 1);
    let piece = graph.must(slice, &[stacked]);
    graph.reshape(piece, Shape::new(&dims[1..]).expect("smaller than the whole"))
}

/// The outputs of a body that is given these inputs.
fn inline(graph: &mut Graph, body: &Graph, arguments: &[NodeId]) -> Vec<NodeId> {
    let mut arguments = arguments.iter();
    let mut new: Vec<NodeId> = vec![];
    for id in body.ids() {
        let node = body.node(id);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| new[i.index()]).collect();
        new.push(match &node.op {
            Op::Input(_) => *arguments.next().expect("an argument for each input"),
            op => graph.must(op.clone(), &inputs),
        });
    }
    body.outputs().iter().map(|o| new[o.1.index()]).collect()
}
