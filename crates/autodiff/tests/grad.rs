//! What gradients look like as graphs, and what has none.

use bespoke_autodiff::{grad, vjp};
use bespoke_graph::{Graph, NodeId, eval, op};
use bespoke_tensor::{Tensor, Type};

fn ty(text: &str) -> Type {
    text.parse().unwrap()
}

fn message(g: &mut Graph, loss: NodeId, wrt: &[NodeId]) -> String {
    grad(g, loss, wrt).expect_err("there is no gradient").to_string()
}

#[test]
fn what_has_no_gradient_says_why() {
    let mut g = Graph::new();
    let (x, n) = (g.input("x", ty("f32[3]")).unwrap(), g.input("n", ty("i32[3]")).unwrap());
    let w = g.state("dense0/weight", ty("f32[3]")).unwrap();
    let apart = g.unary(op::Unary::Tanh, w);
    let sum = g.sum_all(x);
    let count = g.sum_all(n);
    assert_eq!(
        message(&mut g, x, &[x]),
        "grad: expected a loss of one float, got f32[3]; reduce it to a scalar first"
    );
    assert_eq!(
        message(&mut g, count, &[n]),
        "grad: expected a loss of one float, got i32[]; reduce it to a scalar first"
    );
    assert_eq!(message(&mut g, sum, &[n]), "grad: %1 is i32[3]; only floats have gradients");
    assert_eq!(
        message(&mut g, sum, &[x, w]),
        "grad: the loss does not depend differentiably on %2 (state `dense0/weight`)"
    );
    assert_eq!(message(&mut g, sum, &[apart]), "grad: the loss does not depend differentiably on %3 (tanh)");
    // Through operators whose derivative is zero everywhere.
    let floor = g.unary(op::Unary::Floor, x);
    let stopped = g.must(op::StopGradient, &[x]);
    let both = g.plus(floor, stopped);
    let flat = g.sum_all(both);
    assert_eq!(
        message(&mut g, flat, &[x]),
        "grad: the loss does not depend differentiably on %0 (input `x`)"
    );
}

#[test]
fn values_within_the_graph_are_variables_too() {
    let mut g = Graph::new();
    let x = g.input("x", ty("f64[]")).unwrap();
    let y = g.times(x, x);
    let z = g.unary(op::Unary::Sin, y);
    let d = grad(&mut g, z, &[x, y, z]).unwrap();
    for (i, &d) in d.iter().enumerate() {
        g.set_output(&i.to_string(), d).unwrap();
    }
    let values = eval(&g, &|_| Some(Tensor::scalar(0.7f64))).unwrap();
    let at = |name: &str| values.outputs[name].get(0).to_f64();
    assert!((at("0") - 2.0 * 0.7 * 0.49f64.cos()).abs() < 1e-15);
    assert!((at("1") - 0.49f64.cos()).abs() < 1e-15);
    assert_eq!(at("2"), 1.0);
}

#[test]
fn values_that_lie_behind_another_move_with_it_too() {
    // z = sin(x²): along (ẋ, ẏ) it moves by cos(y)·(2x·ẋ + ẏ), whatever else is carried through y = x².
    for through_loop in [false, true] {
        let mut g = Graph::new();
        let x = g.input("x", ty("f64[]")).unwrap();
        let y = if through_loop {
            let mut body = Graph::new();
            let h = body.input("h", ty("f64[]")).unwrap();
            let squared = body.times(h, h);
            body.set_output("h", squared).unwrap();
            let scan = op::Scan {
                body: bespoke_graph::Body::new(body),
                length: 1,
                carried: 1,
                stepped: 0,
                reverse: false,
                recompute: false,
                result: 0,
            };
            g.must(scan, &[x])
        } else {
            g.times(x, x)
        };
        let z = g.unary(op::Unary::Sin, y);
        let [dx, dy] = [2.0, 3.0].map(|v| g.fill(ty("f64[]"), v));
        let tangents = bespoke_autodiff::jvp(&mut g, &[y, z], &[(x, dx), (y, dy)]).unwrap();
        for (name, tangent) in ["y", "z"].iter().zip(tangents) {
            g.set_output(name, tangent.unwrap()).unwrap();
        }
        let values = eval(&g, &|_| Some(Tensor::scalar(0.7f64))).unwrap();
        let at = |name: &str| values.outputs[name].get(0).to_f64();
        let expected = 2.0 * 0.7 * 2.0 + 3.0;
        assert!((at("y") - expected).abs() < 1e-15);
        assert!((at("z") - 0.49f64.cos() * expected).abs() < 1e-14);
    }
}

#[test]
fn uses_of_one_value_add_up() {
    let mut g = Graph::new();
    let x = g.input("x", ty("f64[]")).unwrap();
    let square = g.times(x, x);
    let cube = g.times(square, x);
    let fourth = g.times(square, square);
    let sum = g.plus(cube, fourth);
    let d = grad(&mut g, sum, &[x]).unwrap()[0];
    let dd = grad(&mut g, d, &[x]).unwrap()[0];
    let ddd = grad(&mut g, dd, &[x]).unwrap()[0];
    for (name, node) in [("1", d), ("2", dd), ("3", ddd)] {
        g.set_output(name, node).unwrap();
    }
    let values = eval(&g, &|_| Some(Tensor::scalar(2.0f64))).unwrap();
    let at = |name: &str| values.outputs[name].get(0).to_f64();
    // x³ + x⁴ at 2.
    assert_eq!((at("1"), at("2"), at("3")), (12.0 + 32.0, 12.0 + 48.0, 6.0 + 48.0));
}

#[test]
fn cotangents_are_given_to_vjp() {
    let mut g = Graph::new();
    let (x, w) = (g.input("x", ty("f64[2,3]")).unwrap(), g.input("w", ty("f64[3,2]")).unwrap());
    let c = g.input("c", ty("f64[2,2]")).unwrap();
    let y = g.matmul(x, w);
    let d = vjp(&mut g, &[(y, c)], &[x, w]).unwrap();
    g.set_output("dx", d[0]).unwrap();
    g.set_output("dw", d[1]).unwrap();
    let value = |name: &str| {
        Some(match name {
            "x" => Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap(),
            "w" => Tensor::from_vec([3, 2], vec![1.0, -1.0, 0.0, 2.0, 3.0, 1.0]).unwrap(),
            _ => Tensor::from_vec([2, 2], vec![1.0, 0.0, 0.0, 10.0]).unwrap(),
        })
    };
    let values = eval(&g, &value).unwrap();
    // c · wᵀ and xᵀ · c.
    assert_eq!(values.outputs["dx"].to_vec::<f64>().unwrap(), [1.0, 0.0, 3.0, -10.0, 20.0, 10.0]);
    assert_eq!(values.outputs["dw"].to_vec::<f64>().unwrap(), [1.0, 40.0, 2.0, 50.0, 3.0, 60.0]);
}

/// The gradients of a matrix product are two products without transposes around them; that by `x`, which nobody asked
/// for, stays behind as a dead node.
#[test]
fn backward_graphs_are_small() {
    let mut g = Graph::new();
    let (x, w) = (g.input("x", ty("f32[4,3]")).unwrap(), g.input("w", ty("f32[3,2]")).unwrap());
    let y = g.matmul(x, w);
    let loss = g.sum_all(y);
    let d = grad(&mut g, loss, &[w]).unwrap()[0];
    g.set_output("d", d).unwrap();
    assert_eq!(
        g.to_string(),
        "graph {
  %0 = input {name=\"x\"} : f32[4,3]
  %1 = input {name=\"w\"} : f32[3,2]
  %2 = dot %0, %1 {contract=[1]x[0]} : f32[4,2]
  %3 = reduce_sum %2 {axes=[0,1]} : f32[]
  %4 = constant {value=1} : f32[]
  %5 = broadcast %4 {axes=[]} : f32[4,2]
  %6 = dot %5, %1 {contract=[1]x[1]} : f32[4,3]
  %7 = dot %0, %5 {contract=[0]x[0]} : f32[3,2]
  output \"d\" = %7
}
"
    );
}

/// Derivatives at points where formulas need care.
#[test]
fn corners() {
    let derivative = |build: &dyn Fn(&mut Graph, NodeId) -> NodeId, at: &[f64]| {
        let mut g = Graph::new();
        let x = g.input("x", Type::new(bespoke_tensor::DType::F64, [at.len()])).unwrap();
        let y = build(&mut g, x);
        let loss = g.sum_all(y);
        let d = grad(&mut g, loss, &[x]).unwrap()[0];
        g.set_output("d", d).unwrap();
        let value = Tensor::from_vec([at.len()], at.to_vec()).unwrap();
        eval(&g, &|_| Some(value.clone())).unwrap().outputs["d"].to_vec::<f64>().unwrap()
    };
    let reduce = |combine| move |g: &mut Graph, x: NodeId| g.reduce(combine, x, &[0]);
    use bespoke_loops::Combine;
    // Shared by all that attain it.
    assert_eq!(derivative(&reduce(Combine::Max), &[1.0, 3.0, 3.0]), [0.0, 0.5, 0.5]);
    // Products with no, one and two zeros.
    assert_eq!(derivative(&reduce(Combine::Product), &[2.0, 3.0, 4.0]), [12.0, 8.0, 6.0]);
    assert_eq!(derivative(&reduce(Combine::Product), &[2.0, 0.0, 4.0]), [0.0, 8.0, 0.0]);
    assert_eq!(derivative(&reduce(Combine::Product), &[0.0, 0.0, 4.0]), [0.0; 3]);
    assert_eq!(derivative(&|g, x| g.unary(op::Unary::Abs, x), &[-2.0, 0.0, 3.0]), [-1.0, 0.0, 1.0]);
    // relu(0) has the derivative 0.
    let relu = |g: &mut Graph, x: NodeId| {
        let zero = g.fill_like(x, 0.0);
        g.binary(op::Binary::Max, x, zero)
    };
    assert_eq!(derivative(&relu, &[-1.0, 0.0, 2.0]), [0.0, 0.0, 1.0]);
    let square = |g: &mut Graph, x: NodeId| {
        let two = g.fill_like(x, 2.0);
        g.binary(op::Binary::Pow, x, two)
    };
    assert_eq!(derivative(&square, &[-3.0, 0.0, 2.0]), [-6.0, 0.0, 4.0]);
    // Large arguments do not overflow.
    assert_eq!(derivative(&|g, x| g.unary(op::Unary::Softplus, x), &[-1000.0, 1000.0]), [0.0, 1.0]);
    assert_eq!(derivative(&|g, x| g.unary(op::Unary::Tanh, x), &[-1000.0, 1000.0]), [0.0, 0.0]);
}
