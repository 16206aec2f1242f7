//! Derivatives of scans: scans of derivatives.

use bespoke_graph::{Graph, NodeId, Op, op::Scan};

use crate::{
    GradError, forward,
    late::{self, Joint, LateCarry},
    reverse,
};

/// The lowest sibling of each scan among the first `end` nodes: where all of them are differentiated. In reverse all users
/// of all siblings come before it; forward, all their operands do.
pub fn first_siblings(graph: &Graph, end: usize) -> Vec<Option<NodeId>> {
    let mut firsts: Vec<NodeId> = vec![];
    let mut result = vec![None; end];
    for id in graph.ids().take(end).filter(|&id| matches!(graph.node(id).op, Op::Scan(_))) {
        let first =
            firsts.iter().copied().find(|&first| graph.are_siblings(first, id)).unwrap_or_else(|| {
                firsts.push(id);
                id
            });
        result[id.index()] = Some(first);
    }
    result
}

/// The scan of a node with the nodes of its body that matter.
struct Parts {
    scan: Scan,
    operands: Vec<NodeId>,
    /// The body's inputs, in the order of the operands.
    parameters: Vec<NodeId>,
    /// The body's outputs.
    outputs: Vec<NodeId>,
    /// Which inputs of the body a derivative flows through.
    active: Vec<bool>,
    /// Which outputs of the body depend on those.
    depends: Vec<bool>,
}

impl Parts {
    /// `wanted` says of each operand whether derivatives flow through it.
    fn new(graph: &Graph, node: NodeId, wanted: &[bool]) -> Parts {
        let Op::Scan(scan) = graph.node(node).op.clone() else { unreachable!("the caller asked") };
        let parameters: Vec<NodeId> = scan.body.inputs().map(|i| i.1).collect();
        let outputs: Vec<NodeId> = scan.body.outputs().iter().map(|o| o.1).collect();
        let is_float = |id: NodeId| scan.body.ty(id).dtype.is_float();
        let mut active: Vec<bool> = parameters.iter().zip(wanted).map(|(&p, &w)| w && is_float(p)).collect();
        loop {
            let mut depends = vec![false; scan.body.len()];
            for id in scan.body.ids() {
                depends[id.index()] = parameters.iter().zip(&active).any(|(&p, &a)| a && p == id)
                    || is_float(id) && scan.body.node(id).inputs.iter().any(|i| depends[i.index()]);
            }
            // What a step makes of active values makes the carried value active.
            let spread = (0..scan.carried).find(|&i| !active[i] && depends[outputs[i].index()]);
            match spread {
                Some(i) => active[i] = true,
                None => {
                    let depends = outputs.iter().map(|o| depends[o.index()]).collect();
                    let operands = graph.node(node).inputs.to_vec();
                    return Parts { scan, operands, parameters, outputs, active, depends };
                }
            }
        }
    }

    /// The body as the start of a joint graph.
    fn joint(&self) -> Joint {
        let mut graph = (*self.scan.body).clone();
        graph.clear_outputs();
        Joint { graph, carries: vec![], stepped: vec![], invariant: vec![], results: vec![] }
    }

    fn is_stepped(&self, parameter: usize) -> bool {
        (self.scan.carried..self.scan.carried + self.scan.stepped).contains(&parameter)
    }
}

/// An input of the joint graph that is known late.
fn late_input(graph: &mut Graph, like: NodeId) -> NodeId {
    let name = (graph.len()..).map(|i| format!("late{i}")).find(|n| graph.source(n).is_none());
    graph.input(&name.expect("numbers do not end"), graph.ty(like)).expect("the name is new")
}

/// The cotangents of the operands of a scan, given those of its results (`None`: zero) and which operands need one.
pub fn vjp(
    graph: &mut Graph,
    node: NodeId,
    cotangents: &[(usize, NodeId)],
    wanted: &[bool],
) -> Result<Vec<Option<NodeId>>, GradError> {
    let parts = Parts::new(graph, node, wanted);
    let Parts { scan, parameters, outputs, active, depends, .. } = &parts;
    let of_result = |result: usize| cotangents.iter().find(|c| c.0 == result).map(|c| c.1);
    let mut joint = parts.joint();
    let mut seeds = vec![];
    let mut carried = vec![]; // which carried value, and its cotangent in the joint graph
    for i in (0..scan.carried).filter(|&i| active[i]) {
        let cotangent = late_input(&mut joint.graph, parameters[i]);
        seeds.push((outputs[i], cotangent));
        carried.push((i, cotangent));
    }
    for i in (scan.carried..outputs.len()).filter(|&i| depends[i]) {
        let Some(stacked) = of_result(i) else { continue };
        let cotangent = late_input(&mut joint.graph, outputs[i]);
        seeds.push((outputs[i], cotangent));
        joint.stepped.push((cotangent, stacked));
    }
    let wrt: Vec<usize> = (0..parameters.len()).filter(|&i| active[i]).collect();
    let nodes: Vec<NodeId> = wrt.iter().map(|&i| parameters[i]).collect();
    let gradients = reverse::cotangents(&mut joint.graph, &seeds, &nodes)?;
    let mut by_parameter: Vec<Option<NodeId>> = vec![None; parameters.len()];
    wrt.iter().zip(gradients).for_each(|(&i, gradient)| by_parameter[i] = gradient);

    // What each operand's cotangent will be: a last carried value or a stacked result of the late scan.
    let mut places: Vec<Option<usize>> = vec![None; parameters.len()];
    for &(i, input) in &carried {
        let next = by_parameter[i].unwrap_or_else(|| joint.graph.fill_like(input, 0.0));
        let start = of_result(i).unwrap_or_else(|| graph.fill_like(parts.operands[i], 0.0));
        places[i] = wanted[i].then_some(joint.carries.len());
        joint.carries.push(LateCarry { input, next, start });
    }
    for i in scan.carried + scan.stepped..parameters.len() {
        let Some(gradient) = by_parameter[i] else { continue };
        let input = late_input(&mut joint.graph, parameters[i]);
        let next = joint.graph.plus(input, gradient);
        let start = graph.fill_like(parts.operands[i], 0.0);
        places[i] = Some(joint.carries.len());
        joint.carries.push(LateCarry { input, next, start });
    }
    for i in (0..parameters.len()).filter(|&i| parts.is_stepped(i)) {
        let Some(gradient) = by_parameter[i] else { continue };
        places[i] = Some(joint.carries.len() + joint.results.len());
        joint.results.push(gradient);
    }
    let found = late::append(graph, node, &joint, !scan.reverse)?;
    Ok(places.into_iter().map(|place| place.map(|p| found[p])).collect())
}

/// The tangents of the results `wanted` of a scan, given those of its operands.
pub fn jvp(
    graph: &mut Graph,
    node: NodeId,
    tangents: &[Option<NodeId>],
    wanted: &[usize],
) -> Result<Vec<Option<NodeId>>, GradError> {
    let moving: Vec<bool> = tangents.iter().map(Option::is_some).collect();
    let parts = Parts::new(graph, node, &moving);
    let Parts { scan, parameters, outputs, active, .. } = &parts;
    let mut joint = parts.joint();
    let mut seeds = vec![];
    let mut starts = vec![]; // of carried values
    for i in (0..parameters.len()).filter(|&i| active[i]) {
        let input = late_input(&mut joint.graph, parameters[i]);
        seeds.push((parameters[i], input));
        let given = tangents[i].unwrap_or_else(|| graph.fill_like(parts.operands[i], 0.0));
        match i {
            i if i < scan.carried => starts.push((i, input, given)),
            i if parts.is_stepped(i) => joint.stepped.push((input, given)),
            _ => joint.invariant.push((input, given)),
        }
    }
    let found = forward::jvp(&mut joint.graph, outputs, &seeds)?;
    let mut places: Vec<Option<usize>> = vec![None; outputs.len()];
    for (i, input, start) in starts {
        let next = found[i].unwrap_or_else(|| joint.graph.fill_like(input, 0.0));
        places[i] = Some(joint.carries.len());
        joint.carries.push(LateCarry { input, next, start });
    }
    for &i in wanted.iter().filter(|&&i| i >= scan.carried) {
        let Some(tangent) = found[i] else { continue };
        places[i] = Some(joint.carries.len() + joint.results.len());
        joint.results.push(tangent);
    }
    let found = late::append(graph, node, &joint, scan.reverse)?;
    Ok(wanted.iter().map(|&i| places[i].map(|p| found[p])).collect())
}
