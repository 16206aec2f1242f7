//! Products that only add up over the steps of a loop in which other values go from step to step: a weight's gradient in a
//! recurrent layer. Behind the loop they are one product of all steps' rows.

use bespoke_graph::{Body, Graph, NodeId, Op, op, op::Binary, op::Scan};

/// A carried value to which each step adds a product.
struct Sum {
    carried: usize,
    dot: op::Dot,
    factors: [NodeId; 2],
}

/// Takes such sums out of a loop: its results by number, or none if there is no such sum.
pub fn behind(graph: &mut Graph, scan: &Scan, operands: &[NodeId]) -> Option<Vec<Option<NodeId>>> {
    // A loop that computes its steps again for its gradient saves memory: leave it alone.
    if scan.recompute || scan.length == 0 {
        return None;
    }
    let body = &*scan.body;
    let parameters: Vec<NodeId> = body.inputs().map(|i| i.1).collect();
    let roots: Vec<NodeId> = body.outputs().iter().map(|o| o.1).collect();
    let sums = find(scan, &parameters, &roots);
    if sums.is_empty() {
        return None;
    }
    let is_sum = |i: usize| sums.iter().any(|s| s.carried == i);
    let is_stepped = |i: usize| (scan.carried..scan.carried + scan.stepped).contains(&i);

    // What the loop still gives: other carried values, its results, and factors that are none of them and no operand.
    let inner: Vec<usize> = (0..scan.carried).filter(|&i| !is_sum(i)).collect();
    let mut given: Vec<NodeId> = roots[scan.carried..].to_vec();
    for &factor in sums.iter().flat_map(|s| &s.factors) {
        let is_operand = parameters.iter().position(|&p| p == factor).is_some_and(is_stepped);
        if !is_operand && !given.contains(&factor) {
            given.push(factor);
        }
    }
    let outputs: Vec<NodeId> = inner.iter().map(|&i| roots[i]).chain(given.iter().copied()).collect();
    let mut needed = vec![false; body.len()];
    outputs.iter().for_each(|id| needed[id.index()] = true);
    for id in body.ids().rev() {
        if needed[id.index()] {
            body.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
    }
    let stays = |i: usize| !is_sum(i) && (i < scan.carried || needed[parameters[i].index()]);
    let kept: Vec<usize> = (0..parameters.len()).filter(|&i| stays(i)).collect();

    let mut rest = Graph::new();
    let mut new: Vec<Option<NodeId>> = vec![None; body.len()];
    for (k, &i) in kept.iter().enumerate() {
        let id = parameters[i];
        new[id.index()] = Some(rest.input(&k.to_string(), body.ty(id)).expect("numbers differ"));
    }
    for id in body.ids().filter(|id| needed[id.index()]) {
        if new[id.index()].is_none() {
            let node = body.node(id);
            let inputs: Vec<NodeId> =
                node.inputs.iter().map(|i| new[i.index()].expect("operands are needed")).collect();
            rest.set_location(node.location);
            new[id.index()] = Some(rest.must(node.op.clone(), &inputs));
        }
    }
    for (k, id) in outputs.iter().enumerate() {
        rest.set_output(&k.to_string(), new[id.index()].expect("outputs are needed"))
            .expect("numbers differ");
    }
    let stepped = kept.iter().filter(|&&i| is_stepped(i)).count();
    let rest = Scan { body: Body::new(rest), carried: inner.len(), stepped, result: 0, ..scan.clone() };
    let kept: Vec<NodeId> = kept.iter().map(|&i| operands[i]).collect();

    let mut results: Vec<Option<NodeId>> = vec![None; roots.len()];
    for (k, &i) in inner.iter().enumerate() {
        results[i] = Some(graph.must(rest.of_result(k), &kept));
    }
    let all: Vec<NodeId> =
        (0..given.len()).map(|k| graph.must(rest.of_result(inner.len() + k), &kept)).collect();
    for i in scan.carried..roots.len() {
        results[i] = Some(all[i - scan.carried]);
    }
    for Sum { carried, dot, factors } in sums {
        let [x, y] = factors.map(|factor| match given.iter().position(|&g| g == factor) {
            Some(k) => all[k],
            None => operands[parameters.iter().position(|&p| p == factor).expect("it is an operand")],
        });
        let over = |dims: &[usize]| [0].into_iter().chain(dims.iter().map(|d| d + 1)).collect();
        let contract = (over(&dot.contract.0), over(&dot.contract.1));
        let sum = graph.must(op::Dot { batch: (vec![], vec![]), contract }, &[x, y]);
        results[carried] = Some(graph.plus(operands[carried], sum));
    }
    Some(results)
}

/// The carried values that are only added to, where what is added is a product that nobody else needs.
fn find(scan: &Scan, parameters: &[NodeId], roots: &[NodeId]) -> Vec<Sum> {
    let body = &*scan.body;
    let users = body.users();
    let uses = |id: NodeId| roots.iter().filter(|&&r| r == id).count();
    let sum = |carried: usize| {
        let (parameter, next) = (parameters[carried], roots[carried]);
        let node = body.node(next);
        let (Op::Binary(Binary::Add), [x, y]) = (&node.op, &node.inputs[..]) else { return None };
        let product = if *x == parameter { *y } else { *x };
        let Op::Dot(dot) = &body.node(product).op else { return None };
        let alone = [parameter, product].iter().all(|&i| users[i.index()] == [next] && uses(i) == 0);
        let ends = users[next.index()].is_empty() && uses(next) == 1 && [*x, *y].contains(&parameter);
        let factors = [body.node(product).inputs[0], body.node(product).inputs[1]];
        let is_product = dot.batch.0.is_empty() && node.ty.dtype.is_float() && !factors.contains(&parameter);
        (alone && ends && is_product).then(|| Sum { carried, dot: dot.clone(), factors })
    };
    (0..scan.carried).filter_map(sum).collect()
}
