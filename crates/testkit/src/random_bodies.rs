//! Random graphs within graphs: loops and customs.

use bespoke_autodiff::{jvp, vjp};
use bespoke_graph::{
    Body, Graph, NodeId, Op,
    op::{Custom, Scan},
};
use bespoke_tensor::{Shape, Type};

use crate::{
    Rng,
    random::{ELEMENTS, Maker},
};

impl Maker {
    /// A scan with a random body, and some of its results.
    pub fn scan(&mut self) {
        let length = *self.rng.pick(&[0, 1, 2, 3, 5]);
        let small = |t: Type| t.elements() <= 150 && t.rank() <= 4;
        let (carried, stepped) = (self.rng.below(3), self.rng.below(3));
        let mut body = Maker::new(self.rng.bits());
        let mut operands = vec![];
        let mut carries = vec![];
        for _ in 0..carried {
            let start = self.any(small);
            carries.push(self.graph.ty(start));
            body.input(self.graph.ty(start));
            operands.push(start);
        }
        for _ in 0..stepped {
            let slice = body.random_type();
            let stacked = Shape::new(&[&[length], &slice.shape[..]].concat()).expect("five dimensions");
            operands.push(self.of_type(Type::new(slice.dtype, stacked)));
            body.input(slice);
        }
        if operands.is_empty() {
            let ty = body.random_type();
            body.input(ty);
        }
        let nodes = body.graph.len() + 1 + self.rng.below(8);
        while body.graph.len() < nodes {
            body.step();
        }
        let next: Vec<NodeId> = carries.iter().map(|&ty| body.of_type(ty)).collect();
        let given: Vec<NodeId> = (0..1 + self.rng.below(2)).map(|_| body.any(small)).collect();
        let mut body = without_states(&body.graph);
        for (i, &id) in next.iter().chain(&given).enumerate() {
            body.set_output(&format!("out{i}"), id).expect("names are numbered");
        }
        // What the body asks for beyond is the same in all steps.
        let rest: Vec<Type> = body.inputs().skip(operands.len()).map(|i| body.ty(i.1)).collect();
        operands.extend(rest.into_iter().map(|ty| self.asked_for(ty)).collect::<Vec<_>>());
        let results = body.outputs().len();
        let scan = Scan {
            body: Body::new(body),
            length,
            carried,
            stepped,
            reverse: self.rng.chance(0.5),
            recompute: self.rng.chance(0.3),
            result: 0,
        };
        if self.rng.chance(0.2) {
            let segment = 1 + self.rng.below(3);
            self.graph.segmented_scan(&scan, &operands, segment).expect("the scan takes them");
            return;
        }
        for result in 0..results {
            if result == 0 || self.rng.chance(0.7) {
                self.graph.must(scan.of_result(result), &operands);
            }
        }
    }
}

impl Maker {
    /// A random composition under a name.
    pub fn custom(&mut self) {
        let small = |t: Type| t.elements() <= ELEMENTS && t.rank() <= 4;
        let mut operands = vec![];
        let mut body = Maker::new(self.rng.bits());
        for _ in 0..1 + self.rng.below(2) {
            let x = self.any(small);
            body.input(self.graph.ty(x));
            operands.push(x);
        }
        let nodes = body.graph.len() + 1 + self.rng.below(6);
        while body.graph.len() < nodes {
            body.step();
        }
        let value = body.any(small);
        let mut body = without_states(&body.graph);
        body.set_output("y", value).expect("it is the first");
        let rest: Vec<Type> = body.inputs().skip(operands.len()).map(|i| body.ty(i.1)).collect();
        operands.extend(rest.into_iter().map(|ty| self.asked_for(ty)).collect::<Vec<_>>());
        let vjp = self.rng.chance(0.3).then(|| vjp_rule(&body)).flatten();
        let jvp = self.rng.chance(0.3).then(|| jvp_rule(&body)).flatten();
        let custom = Custom { name: "made".to_owned(), body: Body::new(body), vjp, jvp };
        self.graph.must(custom, &operands);
    }
}

/// The start of a rule: the body's inputs, its value, which is computed again, and the value as an input.
fn rule(body: &Graph) -> Option<(Graph, Vec<NodeId>, NodeId)> {
    let mut rule = Graph::new();
    let operand = |(name, id): (&str, NodeId)| rule.input(name, body.ty(id)).expect("names differ");
    let operands: Vec<NodeId> = body.inputs().map(operand).collect();
    let value = rule.import(body, &operands)[0];
    let ty = rule.ty(value);
    rule.input("value", ty).expect("bodies' inputs are numbered");
    ty.dtype.is_float().then_some((rule, operands, value))
}

/// The body's own derivative as a rule: such customs are differentiated like their bodies.
fn vjp_rule(body: &Graph) -> Option<Body> {
    let (mut rule, operands, value) = rule(body)?;
    let cotangent = rule.input("cotangent", rule.ty(value)).expect("bodies' inputs are numbered");
    for (i, &operand) in operands.iter().enumerate() {
        // An operand that the value does not depend on has no output.
        if let Ok(found) = vjp(&mut rule, &[(value, cotangent)], &[operand]) {
            rule.set_output(&i.to_string(), found[0]).expect("positions differ");
        }
    }
    Some(Body::new(rule))
}

/// As [`vjp_rule`], forward.
fn jvp_rule(body: &Graph) -> Option<Body> {
    let (mut rule, operands, value) = rule(body)?;
    let mut tangents = vec![];
    for (i, &operand) in
        operands.iter().enumerate().filter(|o| rule.ty(*o.1).dtype.is_float()).collect::<Vec<_>>()
    {
        let ty = rule.ty(operand);
        tangents.push((operand, rule.input(&format!("tangent{i}"), ty).expect("positions differ")));
    }
    let found = jvp(&mut rule, &[value], &tangents).ok()?[0];
    let found = found.unwrap_or_else(|| rule.fill_like(value, 0.0));
    rule.set_output("tangent", found).expect("it is the first");
    Some(Body::new(rule))
}

/// The graph with inputs in place of states; nodes keep their numbers.
fn without_states(graph: &Graph) -> Graph {
    let mut result = Graph::new();
    for id in graph.ids() {
        let node = graph.node(id);
        match &node.op {
            Op::Input(input) => result.input(&input.name, input.ty).expect("names differ"),
            Op::StateRead(state) => result.input(&state.name, state.ty).expect("names differ"),
            op => result.must(op.clone(), &node.inputs),
        };
    }
    result
}

impl Maker {
    /// A maker of a graph without nodes.
    pub fn new(seed: u64) -> Maker {
        Maker { graph: Graph::new(), rng: Rng::new(seed), names: 0 }
    }
}
