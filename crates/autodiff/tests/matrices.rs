//! Jacobians, Hessians and products with them, against differences.

use bespoke_autodiff::{GradError, batch_jacobian, grad, hessian, hvp, jacobian, jet, numerical};
use bespoke_graph::{Graph, NodeId, eval, op, op::Unary, verify};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

fn at(ty: Type, seed: usize) -> Tensor {
    Tensor::from_fn(ty, |i| Scalar::F64(((i * 7 + seed * 3) % 11) as f64 / 5.0 - 1.0))
}

fn values(g: &Graph, ids: &[NodeId]) -> Vec<Tensor> {
    assert_eq!(verify(g), Vec::<String>::new());
    let mut g = g.clone();
    g.clear_outputs();
    ids.iter().enumerate().for_each(|(i, &id)| g.set_output(&i.to_string(), id).unwrap());
    let types: Vec<(String, Type)> = g.inputs().map(|(n, id)| (n.to_owned(), g.ty(id))).collect();
    let source = |name: &str| {
        let i = types.iter().position(|t| t.0 == name)?;
        Some(at(types[i].1, i))
    };
    let mut values = eval(&g, &source).unwrap();
    (0..ids.len()).map(|i| values.outputs.remove(&i.to_string()).unwrap()).collect()
}

fn differences(g: &Graph, output: NodeId, wrt: NodeId) -> Tensor {
    let types: Vec<(String, Type)> = g.inputs().map(|(n, id)| (n.to_owned(), g.ty(id))).collect();
    let source = |name: &str| {
        let i = types.iter().position(|t| t.0 == name)?;
        Some(at(types[i].1, i))
    };
    numerical(g, output, wrt, &source).unwrap()
}

#[track_caller]
fn close(got: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(got.ty(), expected.ty());
    for (a, b) in got.scalars().zip(expected.scalars()) {
        let (a, b) = (a.to_f64(), b.to_f64());
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{got:?}\n{expected:?}");
    }
}

/// tanh(W x) with inputs W and x, `rows` × `columns` and `columns` × 2.
fn layer(rows: usize, columns: usize) -> (Graph, NodeId, NodeId, NodeId) {
    let mut g = Graph::new();
    let w = g.input("w", Type::new(DType::F64, [rows, columns])).unwrap();
    let x = g.input("x", Type::new(DType::F64, [columns, 2])).unwrap();
    let product = g.must(op::Dot::matmul(), &[w, x]);
    let y = g.unary(Unary::Tanh, product);
    (g, w, x, y)
}

#[test]
fn jacobians_equal_differences_by_rows_and_by_columns() {
    for (rows, columns) in [(2, 3), (4, 1), (1, 1), (3, 0), (0, 3)] {
        let (mut g, w, x, y) = layer(rows, columns);
        let found = jacobian(&mut g, y, &[w, x]).unwrap();
        let one = jacobian(&mut g, y, &[x]).unwrap()[0];
        let got = values(&g, &[found[0], found[1], one]);
        close(&got[0], &differences(&g, y, w), 1e-9);
        close(&got[1], &differences(&g, y, x), 1e-9);
        close(&got[2], &got[1], 1e-14);
    }
}

/// The blocks of the Jacobian in which both examples are the same.
#[test]
fn examples_have_jacobians_of_their_own() {
    for (inner, outer) in [(3, 2), (2, 3)] {
        let mut g = Graph::new();
        let x = g.input("x", Type::new(DType::F64, [4, inner, 1])).unwrap();
        let w = g.input("w", Type::new(DType::F64, [inner, outer])).unwrap();
        let product = g.must(op::Dot { contract: (vec![1], vec![0]), ..op::Dot::matmul() }, &[x, w]);
        let y = g.unary(Unary::Tanh, product);
        let found = batch_jacobian(&mut g, y, x).unwrap();
        assert_eq!(g.ty(found).shape[..], [4, 1, outer, inner, 1]);
        let all = differences(&g, y, x);
        let blocks = Tensor::from_fn(g.ty(found), |i| {
            let (example, within) = (i / (outer * inner), i % (outer * inner));
            let (row, column) = (example * outer + within / inner, example * inner + within % inner);
            all.get(row * 4 * inner + column)
        });
        close(&values(&g, &[found])[0], &blocks, 1e-9);
    }
}

#[test]
fn the_graph_does_not_grow_with_the_size() {
    let size = |n: usize| {
        let (mut g, w, _, y) = layer(n, n);
        jacobian(&mut g, y, &[w]).unwrap();
        let square = g.times(y, y);
        let loss = g.sum_all(square);
        hessian(&mut g, loss, w).unwrap();
        g.len()
    };
    assert_eq!(size(3), size(50));
}

#[test]
fn hessians_equal_differences_of_gradients_and_give_products() {
    let (mut g, w, x, y) = layer(2, 3);
    let cubes = g.times(y, y);
    let cubes = g.times(cubes, y);
    let loss = g.sum_all(cubes);
    let gradient = grad(&mut g, loss, &[x]).unwrap()[0];
    let by_differences = differences(&g, gradient, x);
    let matrix = hessian(&mut g, loss, x).unwrap();
    let twice = jacobian(&mut g, gradient, &[x]).unwrap()[0];
    let v = g.unary(Unary::Cos, x);
    let other = g.unary(Unary::Sin, w);
    let products = hvp(&mut g, loss, &[x], &[v]).unwrap();
    let both = hvp(&mut g, loss, &[w, x], &[other, v]).unwrap();
    let contract = op::Dot { contract: (vec![2, 3], vec![0, 1]), ..op::Dot::matmul() };
    let expected = g.must(contract, &[matrix, v]);
    let got = values(&g, &[matrix, twice, products[0], expected, both[1]]);
    close(&got[0], &by_differences, 1e-9);
    close(&got[1], &got[0], 1e-13);
    close(&got[2], &got[3], 1e-13);
    // The direction of w adds to how the gradient by x changes.
    assert!(got[4] != got[2]);
}

#[test]
fn jacobians_can_be_differentiated_again() {
    let (mut g, w, x, y) = layer(2, 3);
    let found = jacobian(&mut g, y, &[x]).unwrap()[0];
    let squares = g.times(found, found);
    let penalty = g.sum_all(squares);
    let expected = differences(&g, penalty, w);
    let gradient = grad(&mut g, penalty, &[w]).unwrap()[0];
    let nested = jacobian(&mut g, found, &[w]).unwrap()[0];
    let by_differences = differences(&g, found, w);
    let got = values(&g, &[gradient, nested]);
    close(&got[0], &expected, 1e-9);
    close(&got[1], &by_differences, 1e-9);
}

#[test]
fn what_is_linear_has_a_hessian_of_zeros() {
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::F64, [3])).unwrap();
    let loss = g.sum_all(x);
    let matrix = hessian(&mut g, loss, x).unwrap();
    let product = hvp(&mut g, loss, &[x], &[x]).unwrap()[0];
    let got = values(&g, &[matrix, product]);
    assert_eq!(got[0], Tensor::full([3, 3], 0.0f64));
    assert_eq!(got[1], Tensor::full([3], 0.0f64));
}

#[test]
fn jets_carry_all_derivatives() {
    let mut g = Graph::new();
    let scalar = Type::scalar(DType::F64);
    let (x, y) = (g.input("x", scalar).unwrap(), g.input("y", scalar).unwrap());
    let xy = g.times(x, y);
    let square = g.times(xy, xy);
    let skew = g.times(y, xy);
    let numbers = |name: &str| Some(Tensor::scalar(if name == "x" { 2.0 } else { 3.0 }));
    let mut show = |value| {
        let jet = jet(&mut g, value, &[x, y]).unwrap();
        let all = bespoke_graph::eval_all(&g, &numbers).unwrap();
        jet.map(|id| all[id.index()].get(0).to_f64()).to_string()
    };
    assert_eq!(show(x), "2 + ε₀");
    assert_eq!(show(y), "3 + ε₁");
    assert_eq!(show(xy), "6 + 3ε₀ + 2ε₁");
    assert_eq!(show(square), "36 + 36ε₀ + 24ε₁");
    assert_eq!(show(skew), "18 + 9ε₀ + 12ε₁");
}

#[test]
fn mistakes_are_errors() {
    let (mut g, w, x, y) = layer(2, 3);
    let loss = g.sum_all(y);
    assert_eq!(hvp(&mut g, loss, &[w, x], &[w]).unwrap_err(), GradError::Count { values: 2, directions: 1 });
    assert!(matches!(hvp(&mut g, loss, &[w], &[x]), Err(GradError::WrongType { .. })));
    assert!(matches!(hessian(&mut g, y, x), Err(GradError::NotScalar(_))));
    let z = g.input("z", Type::new(DType::F64, [2])).unwrap();
    let i = g.input("i", Type::new(DType::I32, [2])).unwrap();
    assert!(matches!(jacobian(&mut g, y, &[z]), Err(GradError::Unreachable(..))));
    assert!(matches!(jacobian(&mut g, y, &[i]), Err(GradError::NotFloat(..))));
    assert!(matches!(batch_jacobian(&mut g, y, x), Err(GradError::Examples { .. })));
    assert!(matches!(batch_jacobian(&mut g, loss, x), Err(GradError::Examples { .. })));
    assert!(matches!(jet(&mut g, i, &[x]), Err(GradError::NotFloat(..))));
    let deep = g.input("deep", Type::new(DType::F64, [1; 5])).unwrap();
    let product = g.times(deep, deep);
    assert!(matches!(jacobian(&mut g, product, &[deep]), Err(GradError::TooLarge { .. })));
    assert_eq!(numerical(&g, y, y, &|_| None).unwrap_err(), GradError::NotSource(y));
    assert!(matches!(numerical(&g, y, x, &|_| None), Err(GradError::Eval(_))));
    let wrong = |_: &str| Some(Tensor::scalar(1.0));
    assert!(matches!(numerical(&g, y, x, &wrong), Err(GradError::Eval(_))));
}
