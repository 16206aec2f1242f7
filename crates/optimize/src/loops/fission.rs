//! Loops taken apart: what does not depend on earlier steps is computed for all steps at once, before the loop; what only adds up
//! over the steps is added up behind it. One product of all steps' rows takes the place of a product in each. If nothing is
//! left, there is no loop: a Jacobian, which goes row by row, becomes one product.

use bespoke_graph::{Body, Graph, NodeId, Op, op::Binary, op::Scan};
use bespoke_loops::Combine;

use super::batch::{self, Outside};
use crate::tier0;

/// What is stacked anew may take at most so many times the bytes that the loop reads and writes step by step.
const GROWTH: usize = 10;

/// The graph with its loops taken apart, or none if none can be.
pub fn fission(graph: &Graph) -> Option<Graph> {
    let live = graph.live();
    let mut result = Graph::new();
    let mut map: Vec<Option<NodeId>> = vec![None; graph.len()];
    let mut changed = false;
    tier0::sources(graph, &mut result, &mut map);
    for id in graph.ids().filter(|id| live[id.index()]) {
        if map[id.index()].is_some() {
            continue;
        }
        let node = graph.node(id);
        let inputs: Vec<NodeId> =
            node.inputs.iter().map(|i| map[i.index()].expect("operands come first")).collect();
        result.set_location(node.location);
        if let Op::Scan(scan) = &node.op {
            let is_sibling = |s: &NodeId| live[s.index()] && (*s == id || graph.are_siblings(*s, id));
            let siblings = graph.ids().filter(is_sibling);
            let siblings: Vec<(NodeId, usize)> = siblings
                .filter_map(|s| match &graph.node(s).op {
                    Op::Scan(scan) => Some((s, scan.result)),
                    _ => None,
                })
                .collect();
            let used: Vec<usize> = siblings.iter().map(|s| s.1).collect();
            if let Some(found) = Split::new(&mut result, scan, &inputs, &used).and_then(Split::finish) {
                changed = true;
                for (sibling, number) in siblings {
                    map[sibling.index()] = found[number];
                }
                continue;
            }
        }
        map[id.index()] = Some(result.must(node.op.clone(), &inputs));
    }
    tier0::roots(graph, &mut result, &|id| map[id.index()].expect("roots are live"));
    changed.then_some(result)
}

/// A loop that is being taken apart.
struct Split<'a> {
    result: &'a mut Graph,
    scan: &'a Scan,
    operands: &'a [NodeId],
    used: &'a [usize],
    /// The body's inputs.
    parameters: Vec<NodeId>,
    /// The values that the body gives, by result.
    roots: Vec<NodeId>,
    /// For each carried value that only adds up: what is added in each step.
    added: Vec<Option<NodeId>>,
    /// Does the value depend on earlier steps?
    carried: Vec<bool>,
    /// Does the value only serve what is added up?
    late: Vec<bool>,
    /// Values of the body that are computed outside.
    outside: Vec<Option<Outside>>,
}

fn is_dear(op: &Op) -> bool {
    matches!(op, Op::Dot(_) | Op::Reduce(_))
}

impl<'a> Split<'a> {
    fn new(
        result: &'a mut Graph,
        scan: &'a Scan,
        operands: &'a [NodeId],
        used: &'a [usize],
    ) -> Option<Split<'a>> {
        // A loop that computes its steps again for its gradient saves memory: leave it alone.
        if scan.recompute || scan.length == 0 {
            return None;
        }
        let body = &scan.body;
        let parameters: Vec<NodeId> = body.inputs().map(|i| i.1).collect();
        let roots: Vec<NodeId> = body.outputs().iter().map(|o| o.1).collect();
        let mut split = Split {
            result,
            scan,
            operands,
            used,
            added: vec![None; scan.carried],
            carried: vec![false; body.len()],
            late: vec![false; body.len()],
            outside: vec![None; body.len()],
            parameters,
            roots,
        };
        split.find_sums();
        split.find_carried();
        Some(split)
    }

    fn body(&self) -> &'a Graph {
        &self.scan.body
    }

    /// Carried values that are only added to, where what is added is a product or a sum of other values.
    fn find_sums(&mut self) {
        let body = self.body();
        let users = body.users();
        let root_uses = |id: NodeId| self.roots.iter().filter(|&&r| r == id).count();
        for i in 0..self.scan.carried {
            let (parameter, next) = (self.parameters[i], self.roots[i]);
            let (Op::Binary(Binary::Add), [x, y]) = (&body.node(next).op, &body.node(next).inputs[..]) else {
                continue;
            };
            let alone = users[parameter.index()] == [next] && x != y && root_uses(parameter) == 0;
            let ends = users[next.index()].is_empty() && root_uses(next) == 1;
            let is_float = body.ty(next).dtype.is_float();
            if alone && ends && is_float && [*x, *y].contains(&parameter) {
                self.added[i] = Some(if *x == parameter { *y } else { *x });
            }
        }
        loop {
            self.late = vec![false; body.len()];
            for (i, _) in self.added.iter().enumerate().filter(|a| a.1.is_some()) {
                self.late[self.roots[i].index()] = true;
            }
            for id in body.ids().rev() {
                let of = &users[id.index()];
                let only = !of.is_empty() && of.iter().all(|u| self.late[u.index()]);
                let moves = batch::is_supported(&body.node(id).op);
                if only && moves && root_uses(id) == 0 {
                    self.late[id.index()] = true;
                }
            }
            let idle = (0..self.scan.carried).find(|&i| self.added[i].is_some_and(|f| !self.has_dear(f)));
            match idle {
                // To stack what is added as it is would only cost memory.
                Some(i) if self.has_carried() => self.added[i] = None,
                _ => return,
            }
        }
    }

    fn has_carried(&self) -> bool {
        self.added.iter().any(Option::is_none)
    }

    fn has_dear(&self, id: NodeId) -> bool {
        let node = self.body().node(id);
        self.late[id.index()] && (is_dear(&node.op) || node.inputs.iter().any(|&i| self.has_dear(i)))
    }

    fn find_carried(&mut self) {
        let body = self.body();
        for i in 0..self.scan.carried {
            self.carried[self.parameters[i].index()] = true;
        }
        for id in body.ids() {
            if body.node(id).inputs.iter().any(|i| self.carried[i.index()]) {
                self.carried[id.index()] = true;
            }
        }
    }

    /// Computes a value of the body for all steps, if it does not depend on earlier ones.
    fn hoist(&mut self, id: NodeId) -> Option<Outside> {
        if let Some(done) = self.outside[id.index()] {
            return Some(done);
        }
        if self.carried[id.index()] {
            return None;
        }
        let found = match self.parameters.iter().position(|&p| p == id) {
            Some(i) => {
                let steps = self.scan.carried..self.scan.carried + self.scan.stepped;
                Outside { node: self.operands[i], stacked: steps.contains(&i) }
            }
            None => {
                let node = self.body().node(id);
                let inputs = node.inputs.iter().map(|&i| self.hoist(i)).collect::<Option<Vec<_>>>()?;
                self.result.set_location(node.location);
                batch::batch(self.result, &node.op, &inputs, node.ty, self.scan.length)?
            }
        };
        self.outside[id.index()] = Some(found);
        Some(found)
    }

    /// The results by number; none that was not asked for.
    fn finish(mut self) -> Option<Vec<Option<NodeId>>> {
        let body = self.body();
        let steps = self.scan.length;
        let is_needed = |i: usize| self.used.contains(&i);
        let inner: Vec<usize> = (0..self.scan.carried).filter(|&i| self.added[i].is_none()).collect();

        // What the loop has to give: carried values, results, and what is added up behind it.
        let mut wanted: Vec<NodeId> = inner.iter().map(|&i| self.roots[i]).collect();
        let mut given: Vec<NodeId> = vec![];
        for i in (self.scan.carried..self.roots.len()).filter(|&i| is_needed(i)) {
            let root = self.roots[i];
            if self.hoist(root).is_none() && !given.contains(&root) {
                given.push(root);
            }
        }
        for id in body.ids().filter(|id| self.late[id.index()]).collect::<Vec<_>>() {
            for &i in &body.node(id).inputs {
                if self.late[i.index()] || self.is_sum(i) {
                    continue;
                }
                if self.hoist(i).is_none() && !given.contains(&i) {
                    given.push(i);
                }
            }
        }
        wanted.extend(&given);

        // Dear values that the loop needs are computed before it.
        let mut needed = vec![false; body.len()];
        wanted.iter().for_each(|id| needed[id.index()] = true);
        let mut taken: Vec<(NodeId, Outside)> = vec![];
        for id in body.ids().rev() {
            if !needed[id.index()] || self.parameters.contains(&id) {
                continue;
            }
            if is_dear(&body.node(id).op)
                && let Some(outside) = self.hoist(id)
            {
                taken.push((id, outside));
                continue;
            }
            body.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
        }
        let moved = self.added.iter().flatten().count() + taken.len();
        let all_outside = wanted.is_empty();
        let idle = inner.is_empty() && self.added.iter().flatten().any(|&f| !self.has_dear(f));
        if !all_outside && (moved == 0 || idle || !self.is_small_enough(&given, &taken)) {
            return None;
        }

        // The loop that is left.
        let mut results: Vec<Option<NodeId>> = vec![None; self.roots.len()];
        if !all_outside {
            let scan = self.loop_of(&inner, &given, &taken);
            let (scan, operands) = scan;
            for (k, &i) in inner.iter().enumerate().filter(|(_, i)| is_needed(**i)) {
                results[i] = Some(self.result.must(scan.of_result(k), &operands));
            }
            for (k, &id) in given.iter().enumerate() {
                let node = self.result.must(scan.of_result(inner.len() + k), &operands);
                self.outside[id.index()] = Some(Outside { node, stacked: true });
            }
        }
        for i in (self.scan.carried..self.roots.len()).filter(|&i| is_needed(i)) {
            let value = self.outside[self.roots[i].index()]?;
            results[i] = Some(batch::spread(self.result, value, steps)?);
        }
        self.carried.iter_mut().for_each(|c| *c = false);
        for i in (0..self.scan.carried).filter(|&i| is_needed(i)) {
            let Some(added) = self.added[i] else { continue };
            let value = self.hoist(added)?;
            let all = batch::spread(self.result, value, steps)?;
            let sum = self.result.reduce(Combine::Sum, all, &[0]);
            results[i] = Some(self.result.plus(self.operands[i], sum));
        }
        Some(results)
    }

    /// Is it a carried value that is only added to?
    fn is_sum(&self, id: NodeId) -> bool {
        (0..self.scan.carried).any(|i| self.added[i].is_some() && self.parameters[i] == id)
    }

    fn is_small_enough(&self, given: &[NodeId], taken: &[(NodeId, Outside)]) -> bool {
        let body = self.body();
        let bytes = |ids: &mut dyn Iterator<Item = NodeId>| ids.map(|id| body.ty(id).bytes()).sum::<usize>();
        let stepped = self.scan.carried..self.scan.carried + self.scan.stepped;
        let stacked = self.used.iter().filter(|&&i| i >= self.scan.carried).map(|&i| self.roots[i]);
        let before = bytes(&mut stepped.map(|i| self.parameters[i]).chain(stacked));
        let taken = taken.iter().filter(|t| t.1.stacked).map(|t| t.0);
        bytes(&mut given.iter().copied().chain(taken)) <= GROWTH * before
    }

    /// The loop without what has been moved out of it: it carries `inner`, gives `given`, and gets `taken`.
    fn loop_of(&self, inner: &[usize], given: &[NodeId], taken: &[(NodeId, Outside)]) -> (Scan, Vec<NodeId>) {
        let body = self.body();
        let scan = self.scan;
        let mut rest = Graph::new();
        let mut new: Vec<Option<NodeId>> = vec![None; body.len()];
        let mut operands = vec![];
        let mut add = |rest: &mut Graph, id: NodeId, operand: NodeId| {
            // What has been moved out gets a name that no operand has: those are not only digits.
            let name = match &body.node(id).op {
                Op::Input(input) => input.name.clone(),
                _ => id.index().to_string(),
            };
            new[id.index()] = Some(rest.input(&name, body.ty(id)).expect("numbers differ"));
            operands.push(operand);
        };
        let steps = scan.carried..scan.carried + scan.stepped;
        let old = |i: usize| (self.parameters[i], self.operands[i]);
        let moved = |stacked: bool| taken.iter().filter(move |t| t.1.stacked == stacked);
        inner.iter().map(|&i| old(i)).for_each(|(id, operand)| add(&mut rest, id, operand));
        steps.clone().map(old).for_each(|(id, operand)| add(&mut rest, id, operand));
        moved(true).for_each(|(id, outside)| add(&mut rest, *id, outside.node));
        (steps.end..self.parameters.len()).map(old).for_each(|(id, operand)| add(&mut rest, id, operand));
        moved(false).for_each(|(id, outside)| add(&mut rest, *id, outside.node));
        let stepped = scan.stepped + moved(true).count();
        let outputs: Vec<NodeId> =
            inner.iter().map(|&i| self.roots[i]).chain(given.iter().copied()).collect();
        let mut needed = vec![false; body.len()];
        outputs.iter().for_each(|id| needed[id.index()] = true);
        for id in body.ids().rev().filter(|id| new[id.index()].is_none()).collect::<Vec<_>>() {
            if needed[id.index()] {
                body.node(id).inputs.iter().for_each(|i| needed[i.index()] = true);
            }
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
        let scan = Scan { body: Body::new(rest), carried: inner.len(), stepped, result: 0, ..scan.clone() };
        (scan, operands)
    }
}
