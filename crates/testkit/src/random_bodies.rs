//! Random graphs within graphs: loops and customs.

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
        operands.extend(rest.into_iter().map(|ty| self.of_type(ty)).collect::<Vec<_>>());
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
        operands.extend(rest.into_iter().map(|ty| self.of_type(ty)).collect::<Vec<_>>());
        let custom = Custom { name: "made".to_owned(), body: Body::new(body), vjp: None, jvp: None };
        self.graph.must(custom, &operands);
    }
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
