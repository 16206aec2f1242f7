//! Scans: loops around programs.

use bespoke_graph::{Graph, NodeId, Op, op, op::Scan};

use crate::{Config, LowerError, Program, Work, plan};

/// The scan of a node.
pub fn of(graph: &Graph, id: NodeId) -> Option<&Scan> {
    match &graph.node(id).op {
        Op::Scan(scan) => Some(scan),
        _ => None,
    }
}

/// The value whose memory holds this one: reshaping moves nothing.
pub fn unreshaped(graph: &Graph, id: NodeId) -> NodeId {
    match &graph.node(id).op {
        Op::Reshape(_) => unreshaped(graph, graph.node(id).inputs[0]),
        _ => id,
    }
}

/// The value that an output is stored as: a result of a scan under another shape is the result itself.
pub fn stored(graph: &Graph, output: NodeId) -> NodeId {
    let id = unreshaped(graph, output);
    if of(graph, id).is_some() { id } else { output }
}

/// The program of one step that gives the results `used`: carried values are its states, what the step gives its outputs.
pub fn body(scan: &Scan, used: &[usize], config: Config) -> Result<Program, LowerError> {
    let body = &scan.body;
    let mut step = Graph::new();
    let mut new: Vec<Option<NodeId>> = vec![None; body.len()];
    for (i, (name, id)) in body.inputs().enumerate() {
        let ty = body.ty(id);
        let source = if i < scan.carried { step.state(name, ty) } else { step.input(name, ty) };
        new[id.index()] = Some(source.expect("names differ"));
    }
    for id in body.ids() {
        if new[id.index()].is_none() {
            let node = body.node(id);
            let inputs: Vec<NodeId> =
                node.inputs.iter().map(|i| new[i.index()].expect("operands come first")).collect();
            step.set_location(node.location);
            new[id.index()] = Some(step.must(node.op.clone(), &inputs));
        }
    }
    for (i, (name, id)) in body.outputs().iter().enumerate() {
        let value = new[id.index()].expect("all are copied");
        if i < scan.carried {
            let state = step.states()[i].node;
            step.set_next(state, value).expect("types were inferred");
        } else if used.contains(&i) {
            step.set_output(name, value).expect("names differ");
        }
    }
    let mut program = plan::lower_body(&step, config, scan.stepped)?;
    let pieces = program.inputs.iter().take(scan.stepped).chain(&program.outputs);
    for buffer in pieces.map(|p| p.1).collect::<Vec<_>>() {
        // A piece of whole cache lines is as good as a buffer of its own.
        program.buffers[buffer].sliced = !program.buffers[buffer].ty.bytes().is_multiple_of(64);
    }
    hand_down(&mut program);
    Ok(program)
}

/// Marks what loops within use of pieces as pieces.
fn hand_down(program: &mut Program) {
    for launch in &mut program.launches {
        let Work::Loop(scan) = &mut launch.work else { continue };
        for (inner, outer) in scan.buffers() {
            scan.body.buffers[inner].sliced |= program.buffers[outer].sliced;
        }
        hand_down(&mut scan.body);
    }
}

/// The graph in which scalar constants that scans use are values that a kernel writes: scans read buffers.
pub fn store_scalars(graph: Graph) -> Graph {
    let is_scalar =
        |graph: &Graph, id: NodeId| matches!(graph.node(id).op, Op::Constant(_)) && graph.ty(id).rank() == 0;
    let uses =
        |id: NodeId| of(&graph, id).is_some() && graph.node(id).inputs.iter().any(|&i| is_scalar(&graph, i));
    if !graph.ids().any(uses) {
        return graph;
    }
    graph.rebuild(|copy, id, inputs| {
        let mut inputs = inputs.to_vec();
        if of(&graph, id).is_some() {
            for input in &mut inputs {
                if is_scalar(copy, unreshaped(copy, *input)) {
                    *input = copy.must(op::StopGradient, &[*input]);
                }
            }
        }
        copy.must(graph.node(id).op.clone(), &inputs)
    })
}
