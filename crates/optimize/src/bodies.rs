//! Bodies of scans: what no one asks for is dropped, what is left is rewritten like any graph.

use bespoke_graph::{Body, Graph, NodeId, Op, op::Scan};

use crate::{
    Config, OptimizeError, Policy, Report, notes::Notes, optimize::with_loops, tier0, trace::Reason,
};

/// The graph with the bodies of its scans trimmed and rewritten.
pub fn rewrite(
    graph: &Graph,
    config: &Config,
    report: &mut Report,
    notes: &mut Notes,
) -> Result<Graph, OptimizeError> {
    let live = graph.live();
    let is_scan = |id: &NodeId| live[id.index()] && matches!(graph.node(*id).op, Op::Scan(_));
    let scans: Vec<NodeId> = graph.ids().filter(is_scan).collect();
    if scans.is_empty() {
        return Ok(graph.clone());
    }
    let mut loops: Vec<(NodeId, Trimmed)> = vec![];
    for &id in &scans {
        if loops.iter().any(|l| graph.are_siblings(l.0, id)) {
            continue;
        }
        let siblings =
            scans.iter().filter(|&&s| graph.are_siblings(id, s)).filter_map(|s| scan_of(graph, *s));
        let results: Vec<usize> = siblings.map(|s| s.result).collect();
        let mut trimmed = trim(scan_of(graph, id).expect("it is a scan"), &results);
        // A step's values live as long as the step.
        let config = Config { policy: Policy::KeepAll, ..config.clone() };
        let mut inside = Notes { trace: None, ..notes.fork() };
        let (body, inner) = with_loops(&trimmed.scan.body, &config, &mut inside)?;
        notes.join(&inside);
        trimmed.scan.body = Body::new(body);
        report.add_body(inner);
        loops.push((id, trimmed));
    }
    let mut result = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    tier0::sources(graph, &mut result, &mut map);
    for id in graph.ids().filter(|id| live[id.index()]) {
        if map[id.index()].is_some() {
            continue;
        }
        let node = graph.node(id);
        let mut inputs: Vec<NodeId> =
            node.inputs.iter().map(|i| map[i.index()].expect("operands come first")).collect();
        let mut op = node.op.clone();
        if let Op::Scan(scan) = &node.op {
            let (_, trimmed) =
                loops.iter().find(|l| graph.are_siblings(l.0, id)).expect("all scans were trimmed");
            inputs = trimmed.operands.iter().map(|&i| inputs[i]).collect();
            let place = trimmed.results.iter().position(|&r| r == scan.result);
            op = trimmed.scan.of_result(place.expect("results that are used stay")).into();
        }
        result.set_location(node.location);
        map[id.index()] = Some(result.must(op, &inputs));
    }
    tier0::roots(graph, &mut result, &|id| map[id.index()].expect("roots are live"));
    if let Some(trace) = &mut notes.trace {
        let (before, after) = (trace.import(graph), trace.import(&result));
        for id in scans {
            let new = map[id.index()].expect("it is live");
            trace.equal(before[id.index()], after[new.index()], Reason::Body);
        }
    }
    Ok(result)
}

fn scan_of(graph: &Graph, id: NodeId) -> Option<&Scan> {
    match &graph.node(id).op {
        Op::Scan(scan) => Some(scan),
        _ => None,
    }
}

/// A scan without what is not needed.
struct Trimmed {
    scan: Scan,
    /// The operands that stay.
    operands: Vec<usize>,
    /// The results that stay.
    results: Vec<usize>,
}

/// Drops results that are not among `used`, carried values that nothing used depends on, and operands without users.
fn trim(scan: &Scan, used: &[usize]) -> Trimmed {
    let body = &scan.body;
    let parameters: Vec<NodeId> = body.inputs().map(|i| i.1).collect();
    let mut wanted: Vec<bool> = (0..body.outputs().len()).map(|i| used.contains(&i)).collect();
    let live = loop {
        let mut live = vec![false; body.len()];
        let roots = body.outputs().iter().zip(&wanted).filter(|o| *o.1);
        roots.for_each(|((_, id), _)| live[id.index()] = true);
        for id in body.ids().rev() {
            if live[id.index()] {
                body.node(id).inputs.iter().for_each(|i| live[i.index()] = true);
            }
        }
        match (0..scan.carried).find(|&i| !wanted[i] && live[parameters[i].index()]) {
            Some(i) => wanted[i] = true,
            None => break live,
        }
    };
    // A carried value that is asked for stays, though no step may use it.
    let stays = |i: usize| if i < scan.carried { wanted[i] } else { live[parameters[i].index()] };
    let operands: Vec<usize> = (0..parameters.len()).filter(|&i| stays(i)).collect();
    let results: Vec<usize> = (0..wanted.len()).filter(|&i| wanted[i]).collect();
    let mut trimmed = Graph::new();
    let mut new: Vec<Option<NodeId>> = vec![None; body.len()];
    for (i, (name, id)) in body.inputs().enumerate() {
        if stays(i) {
            new[id.index()] = Some(trimmed.input(name, body.ty(id)).expect("names differ"));
        }
    }
    for id in body.ids().filter(|id| live[id.index()]) {
        if new[id.index()].is_none() {
            let node = body.node(id);
            let inputs: Vec<NodeId> =
                node.inputs.iter().map(|i| new[i.index()].expect("operands of what is live are")).collect();
            trimmed.set_location(node.location);
            new[id.index()] = Some(trimmed.must(node.op.clone(), &inputs));
        }
    }
    trimmed.set_location(None);
    for &i in &results {
        let (name, id) = &body.outputs()[i];
        trimmed.set_output(name, new[id.index()].expect("outputs are live")).expect("names differ");
    }
    let among = |range: std::ops::Range<usize>| operands.iter().filter(|i| range.contains(i)).count();
    let scan = Scan {
        body: Body::new(trimmed),
        carried: among(0..scan.carried),
        stepped: among(scan.carried..scan.carried + scan.stepped),
        ..scan.clone()
    };
    Trimmed { scan, operands, results }
}

/// What one result of a scan takes, if a step takes so much: its share of all steps.
pub fn share(scan: &Scan, step: f64) -> f64 {
    scan.length as f64 * step / scan.body.outputs().len().max(1) as f64
}
