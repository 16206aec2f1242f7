//! Scans that run beside another and need what it computed: those of tangents and cotangents.

use bespoke_graph::{
    Body, Graph, NodeId, Op,
    op::{Input, Scan},
};
use bespoke_tensor::MAX_RANK;

use crate::GradError;

/// A carried value of a late scan.
pub struct LateCarry {
    /// The input of the joint graph that stands for it.
    pub input: NodeId,
    /// Its next value in the joint graph.
    pub next: NodeId,
    /// Where it starts, in the graph around.
    pub start: NodeId,
}

/// The body of a scan together with what is to run beside it (its derivative): a *joint* graph whose *late* inputs are
/// not known while the scan itself runs.
pub struct Joint {
    /// The nodes of the body, then what is made of them and of the late inputs.
    pub graph: Graph,
    /// Carried values of the late scan.
    pub carries: Vec<LateCarry>,
    /// Late inputs that are slices, and what they are slices of in the graph around.
    pub stepped: Vec<(NodeId, NodeId)>,
    /// Late inputs that stay the same, and what they are in the graph around.
    pub invariant: Vec<(NodeId, NodeId)>,
    /// What each step gives.
    pub results: Vec<NodeId>,
}

/// How the late scan gets a value of the joint graph.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It does not need it.
    None,
    /// It is a late input.
    Late,
    /// It computes it.
    Copied,
    /// The scan itself stacks it.
    Kept,
    /// It is a slice of the scan's operand of this number.
    Slice(usize),
    /// It is the scan's operand of this number.
    Same(usize),
}

/// Appends the late scan of a joint graph, and gives its last carried values and stacked results. The scan of `node` is
/// widened to stack what the late one needs of each step.
pub fn append(
    graph: &mut Graph,
    node: NodeId,
    joint: &Joint,
    reverse: bool,
) -> Result<Vec<NodeId>, GradError> {
    let outputs: Vec<NodeId> =
        joint.carries.iter().map(|c| c.next).chain(joint.results.iter().copied()).collect();
    if outputs.is_empty() {
        return Ok(vec![]);
    }
    let Op::Scan(scan) = graph.node(node).op.clone() else { unreachable!("the caller asked") };
    let sources = sources(&scan, joint, &outputs)?;
    let (mut kept, mut slices, mut same) = (vec![], vec![], vec![]);
    for id in joint.graph.ids() {
        match sources[id.index()] {
            Source::Kept => kept.push(id),
            Source::Slice(operand) => slices.push((id, operand)),
            Source::Same(operand) => same.push((id, operand)),
            Source::None | Source::Late | Source::Copied => {}
        }
    }
    let stacked = keep(graph, node, joint, &kept);
    let operands = graph.node(node).inputs.clone();

    // The body: inputs in the order of the operands, then what is computed.
    let mut body = Graph::new();
    let mut new: Vec<Option<NodeId>> = vec![None; joint.graph.len()];
    let mut arguments = vec![];
    let mut stepped = 0;
    {
        let mut parameter = |id: NodeId, kind: &str, argument: NodeId| {
            let name = format!("{kind}{}", arguments.len());
            new[id.index()] = Some(body.input(&name, joint.graph.ty(id)).expect("names are numbered"));
            arguments.push(argument);
        };
        joint.carries.iter().for_each(|c| parameter(c.input, "carry", c.start));
        let late = joint.stepped.iter().copied();
        let kept = kept.iter().copied().zip(stacked);
        let slices = slices.iter().map(|&(id, i)| (id, operands[i]));
        for (id, argument) in late.chain(kept).chain(slices) {
            parameter(id, "step", argument);
            stepped += 1;
        }
        let same = same.iter().map(|&(id, i)| (id, operands[i]));
        for (id, argument) in joint.invariant.iter().copied().chain(same) {
            parameter(id, "same", argument);
        }
    }
    for id in joint.graph.ids().filter(|id| sources[id.index()] == Source::Copied) {
        new[id.index()] = Some(copy(&joint.graph, id, &mut body, &new));
    }
    for (i, id) in outputs.iter().enumerate() {
        let value = new[id.index()].expect("outputs have a source");
        body.set_output(&format!("out{i}"), value).expect("names are numbered");
    }
    let late = Scan {
        body: Body::new(body),
        length: scan.length,
        carried: joint.carries.len(),
        stepped,
        reverse,
        recompute: scan.recompute,
        result: 0,
    };
    Ok((0..outputs.len()).map(|i| graph.must(late.of_result(i), &arguments)).collect())
}

/// Decides how the late scan gets each value that its outputs need.
fn sources(scan: &Scan, joint: &Joint, outputs: &[NodeId]) -> Result<Vec<Source>, GradError> {
    let graph = &joint.graph;
    let late_inputs: Vec<NodeId> = joint
        .carries
        .iter()
        .map(|c| c.input)
        .chain(joint.stepped.iter().chain(&joint.invariant).map(|i| i.0))
        .collect();
    let parameters: Vec<NodeId> = scan.body.inputs().map(|i| i.1).collect();
    // What depends on late inputs, and what changes from step to step.
    let mut late = vec![false; graph.len()];
    let mut varies = vec![false; graph.len()];
    for id in graph.ids() {
        let inputs = &graph.node(id).inputs;
        late[id.index()] = late_inputs.contains(&id) || inputs.iter().any(|i| late[i.index()]);
        varies[id.index()] = parameters.iter().take(scan.carried + scan.stepped).any(|p| *p == id)
            || inputs.iter().any(|i| varies[i.index()]);
    }
    let mut sources = vec![Source::None; graph.len()];
    let mut needed: Vec<bool> = vec![false; graph.len()];
    outputs.iter().for_each(|o| needed[o.index()] = true);
    for id in graph.ids().rev().filter(|id| id.index() < graph.len()) {
        if !needed[id.index()] {
            continue;
        }
        let node = graph.node(id);
        let parameter = parameters.iter().position(|p| *p == id);
        let source = match (&node.op, parameter) {
            (Op::Input(_), None) => Source::Late,
            (_, Some(i)) if i < scan.carried => Source::Kept,
            (_, Some(i)) if i < scan.carried + scan.stepped => Source::Slice(i),
            (_, Some(i)) => Source::Same(i),
            _ if late[id.index()] || !varies[id.index()] || scan.recompute => Source::Copied,
            // Cheaper to compute than to keep, and not larger.
            (Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Reverse(_), _) => Source::Copied,
            _ if node.ty.rank() == MAX_RANK => Source::Copied,
            _ => Source::Kept,
        };
        if source == Source::Kept && node.ty.rank() == MAX_RANK {
            return Err(GradError::TooManyAxes(node.ty));
        }
        if source == Source::Copied {
            node.inputs.iter().for_each(|i| needed[i.index()] = true);
        }
        sources[id.index()] = source;
    }
    // Inputs of the late scan stay even if nothing uses them: the caller has operands for them.
    late_inputs.iter().for_each(|i| sources[i.index()] = Source::Late);
    Ok(sources)
}

/// Makes the scan of `node` give the `kept` nodes of the joint graph at each step, and gives the nodes of what it stacks.
fn keep(graph: &mut Graph, node: NodeId, joint: &Joint, kept: &[NodeId]) -> Vec<NodeId> {
    let Op::Scan(scan) = graph.node(node).op.clone() else { unreachable!("the caller asked") };
    let mut outputs: Vec<(String, NodeId)> = scan.body.outputs().to_vec();
    let mut results = vec![];
    for &id in kept {
        let given = outputs.iter().skip(scan.carried).position(|o| o.1 == id);
        results.push(given.map_or(outputs.len(), |i| i + scan.carried));
        if given.is_none() {
            let taken = |name: &str| outputs.iter().any(|o| o.0 == name);
            let name = (0..).map(|i| format!("kept{i}")).find(|n| !taken(n)).expect("numbers do not end");
            outputs.push((name, id));
        }
    }
    if outputs.len() > scan.body.outputs().len() {
        graph.widen_scan(node, early_part(&scan.body, &joint.graph, &outputs));
    }
    let Op::Scan(scan) = graph.node(node).op.clone() else { unreachable!("it stays a scan") };
    let operands = graph.node(node).inputs.clone();
    results.into_iter().map(|i| graph.must(scan.of_result(i), &operands)).collect()
}

/// The part of a joint graph that outputs need: a body with the inputs of `body`.
fn early_part(body: &Body, joint: &Graph, outputs: &[(String, NodeId)]) -> Body {
    let mut needed = vec![false; joint.len()];
    outputs.iter().for_each(|o| needed[o.1.index()] = true);
    for id in joint.ids().rev().filter(|id| id.index() < joint.len()) {
        if needed[id.index()] {
            joint.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    let mut part = Graph::new();
    let mut new: Vec<Option<NodeId>> = vec![None; joint.len()];
    for (_, id) in body.inputs() {
        new[id.index()] = Some(copy(joint, id, &mut part, &new));
    }
    for id in joint.ids().filter(|id| needed[id.index()]) {
        if new[id.index()].is_none() {
            new[id.index()] = Some(copy(joint, id, &mut part, &new));
        }
    }
    for (name, id) in outputs {
        let id = new[id.index()].expect("outputs are needed");
        part.set_output(name, id).expect("names differ");
    }
    Body::new(part)
}

/// The node in another graph, which has its operands as `new` says.
fn copy(from: &Graph, id: NodeId, to: &mut Graph, new: &[Option<NodeId>]) -> NodeId {
    let node = from.node(id);
    if let Op::Input(Input { name, ty }) = &node.op {
        return to.input(name, *ty).expect("names differ");
    }
    let inputs: Vec<NodeId> =
        node.inputs.iter().map(|i| new[i.index()].expect("operands have a source")).collect();
    to.set_location(node.location);
    let id = to.must(node.op.clone(), &inputs);
    to.set_location(None);
    id
}
