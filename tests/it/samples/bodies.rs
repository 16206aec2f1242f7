//! Samples of operators that have graphs within: loops and customs.

use bespoke_graph::{
    Body, Graph, NodeId,
    op::{Custom, Scan, Unary},
};
use bespoke_tensor::{DType, Type};

use super::{SHAPES, Samples, ty};

impl Samples {
    /// Loops whose slices are no whole vectors: a step must not write to its neighbours.
    pub(super) fn narrow_scans(&mut self) {
        for (dtype, n) in [(DType::F32, 5), (DType::F64, 3), (DType::F32, 18), (DType::I32, 7)] {
            for reverse in [false, true] {
                let mut body = Graph::new();
                let x = body.input("x", ty(dtype, &[n])).expect("first");
                // Not of slices alone: those behind the end would give the neighbour's own value.
                let same = body.input("same", ty(dtype, &[n])).expect("second");
                let sum = body.plus(x, same);
                body.set_output("y", sum).expect("first");
                let scan = Scan {
                    body: Body::new(body),
                    length: 4,
                    carried: 0,
                    stepped: 1,
                    reverse,
                    recompute: false,
                    result: 0,
                };
                self.add(scan, &[ty(dtype, &[4, n]), ty(dtype, &[n])]);
            }
        }
    }

    /// A loop whose carried value is a slice of the loop around it.
    pub(super) fn nested_scan(&mut self) {
        let narrow = ty(DType::F32, &[13]);
        let mut inner = Graph::new();
        let x = inner.input("x", narrow).expect("first");
        let next = inner.unary(Unary::Softplus, x);
        inner.set_output("x", next).expect("first");
        let scan = |body: Graph, length: usize, result: usize| Scan {
            body: Body::new(body),
            length,
            carried: 1,
            stepped: 0,
            reverse: true,
            recompute: false,
            result,
        };
        let mut outer = Graph::new();
        let x = outer.input("x", narrow).expect("first");
        let y = outer.must(scan(inner, 2, 0), &[x]);
        outer.set_output("x", y).expect("first");
        outer.set_output("y", y).expect("second");
        self.add(scan(outer, 3, 1), &[narrow]);
    }

    /// Loops of which all results are used, in both directions, of no step, one, and several.
    pub(super) fn scans(&mut self) {
        for (dtype, n) in
            [(DType::F32, 3), (DType::F64, 5), (DType::F32, 16), (DType::F32, 17), (DType::F64, 0)]
        {
            for (length, reverse, recompute) in
                [(0, false, false), (1, true, false), (5, false, false), (5, true, true), (4, true, false)]
            {
                let body = Body::new(step_body(dtype, n));
                let mut g = Graph::new();
                let h = g.input("h", ty(dtype, &[2, n])).expect("first");
                let count = g.input("count", ty(DType::I32, &[])).expect("second");
                let xs = g.input("xs", ty(dtype, &[length, 2, n])).expect("third");
                let w = g.input("w", ty(dtype, &[n, n])).expect("fourth");
                let scan = Scan { body, length, carried: 2, stepped: 1, reverse, recompute, result: 0 };
                let operands = [h, count, xs, w];
                for (name, result) in [("last", 0), ("steps", 1), ("all", 3)] {
                    let value = g.must(scan.of_result(result), &operands);
                    g.set_output(name, value).expect("names differ");
                }
                self.graph((-1.0, 1.0), g, scan.of_result(2), &operands);
            }
        }
    }

    /// x²·eᶻ with each choice of rules; a gradient that is not that of the value is no sample.
    pub(super) fn customs(&mut self) {
        for dtype in [DType::F32, DType::F64] {
            for dims in SHAPES {
                let x = ty(dtype, dims);
                let (body, vjp, jvp) = (square_exp(x), square_exp_vjp(x), square_exp_jvp(x));
                for (vjp, jvp) in [
                    (None, None),
                    (Some(vjp.clone()), None),
                    (None, Some(jvp.clone())),
                    (Some(vjp.clone()), Some(jvp.clone())),
                ] {
                    let custom = Custom { name: "square exp".to_owned(), body: body.clone(), vjp, jvp };
                    self.within((-1.0, 1.0), custom, &[x, x]);
                }
            }
        }
    }
}

/// h ← tanh(x + h·w), counted; gives h·x and the count so far.
fn step_body(dtype: DType, n: usize) -> Graph {
    let mut g = Graph::new();
    let h = g.input("h", ty(dtype, &[2, n])).expect("first");
    let count = g.input("count", ty(DType::I32, &[])).expect("second");
    let x = g.input("x", ty(dtype, &[2, n])).expect("third");
    let w = g.input("w", ty(dtype, &[n, n])).expect("fourth");
    let product = g.matmul(h, w);
    let sum = g.plus(x, product);
    let next = g.unary(Unary::Tanh, sum);
    let one = g.fill_like(count, 1.0);
    let counted = g.plus(count, one);
    let out = g.times(next, x);
    for (name, id) in [("h", next), ("count", counted), ("y", out), ("n", counted)] {
        g.set_output(name, id).expect("names differ");
    }
    g
}

/// A graph with inputs of one type and named outputs.
fn body_of(count: usize, x: Type, f: impl FnOnce(&mut Graph, &[NodeId]) -> Vec<NodeId>) -> Body {
    let mut g = Graph::new();
    let inputs: Vec<NodeId> =
        (0..count).map(|i| g.input(&format!("a{i}"), x).expect("names are numbered")).collect();
    for (i, id) in f(&mut g, &inputs).into_iter().enumerate() {
        g.set_output(&i.to_string(), id).expect("names are numbered");
    }
    Body::new(g)
}

/// y = x²·eᶻ.
fn square_exp(x: Type) -> Body {
    body_of(2, x, |g, a| {
        let square = g.times(a[0], a[0]);
        let exp = g.unary(Unary::Exp, a[1]);
        vec![g.times(square, exp)]
    })
}

/// 2x·eᶻ.
fn slope(g: &mut Graph, x: NodeId, z: NodeId) -> NodeId {
    let exp = g.unary(Unary::Exp, z);
    let two = g.fill_like(x, 2.0);
    let double = g.times(two, x);
    g.times(double, exp)
}

/// c·2x·eᶻ and c·y, from x, z, y and c.
fn square_exp_vjp(x: Type) -> Body {
    body_of(4, x, |g, a| {
        let by_x = slope(g, a[0], a[1]);
        vec![g.times(a[3], by_x), g.times(a[3], a[2])]
    })
}

/// ẋ·2x·eᶻ + ż·y, from x, z, y, ẋ and ż.
fn square_exp_jvp(x: Type) -> Body {
    body_of(5, x, |g, a| {
        let by_x = slope(g, a[0], a[1]);
        let (left, right) = (g.times(a[3], by_x), g.times(a[4], a[2]));
        vec![g.plus(left, right)]
    })
}
