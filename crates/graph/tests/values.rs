//! Values computed by hand, and random words against the published generator.

use bespoke_graph::{Graph, Op, eval, op, philox};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

/// The operator's value of these operands.
fn apply(op: impl Into<Op>, operands: &[Tensor]) -> Tensor {
    let mut g = Graph::new();
    let inputs: Vec<_> =
        operands.iter().enumerate().map(|(i, x)| g.input(&i.to_string(), x.ty()).unwrap()).collect();
    let y = g.add(op, &inputs).unwrap();
    g.set_output("y", y).unwrap();
    let values = eval(&g, &|name| Some(operands[name.parse::<usize>().unwrap()].clone())).unwrap();
    values.outputs["y"].clone()
}

fn floats<const N: usize>(dims: [usize; N], values: &[f32]) -> Tensor
where
    [usize; N]: Into<bespoke_tensor::Shape>,
{
    Tensor::from_slice(dims, values).unwrap()
}

fn ints<const N: usize>(dims: [usize; N], values: &[i32]) -> Tensor
where
    [usize; N]: Into<bespoke_tensor::Shape>,
{
    Tensor::from_slice(dims, values).unwrap()
}

#[test]
fn dots() {
    let dot = |batch: [&[usize]; 2], contract: [&[usize]; 2]| op::Dot {
        batch: (batch[0].to_vec(), batch[1].to_vec()),
        contract: (contract[0].to_vec(), contract[1].to_vec()),
    };
    // [[1,2,3],[4,5,6]] · [[1,0],[0,1],[2,2]]
    let (x, y) = (floats([2, 3], &[1., 2., 3., 4., 5., 6.]), floats([3, 2], &[1., 0., 0., 1., 2., 2.]));
    assert_eq!(apply(op::Dot::matmul(), &[x.clone(), y.clone()]), floats([2, 2], &[7., 8., 16., 17.]));
    // xᵀ as the left operand: contract the first dimension of both.
    let z = floats([2, 2], &[1., 2., 3., 4.]);
    let expected = floats([3, 2], &[13., 18., 17., 24., 21., 30.]);
    assert_eq!(apply(dot([&[], &[]], [&[0], &[0]]), &[x.clone(), z]), expected);
    // Nothing contracted: the outer product.
    let outer = apply(dot([&[], &[]], [&[], &[]]), &[ints([2], &[2, -3]), ints([3], &[1, 10, 100])]);
    assert_eq!(outer, ints([2, 3], &[2, 20, 200, -3, -30, -300]));
    // Two dimensions in opposite order: Σ x[i,k] y[k,i].
    assert_eq!(apply(dot([&[], &[]], [&[0, 1], &[1, 0]]), &[x, y]), floats([], &[24.]));
    // A batch dimension that is last on the left and first on the right: out[b] = Σ_k l[k,b] r[b,k].
    let (l, r) = (ints([3, 2], &[1, 2, 3, 4, 5, 6]), ints([2, 3], &[1, 1, 1, 1, 0, -1]));
    assert_eq!(apply(dot([&[1], &[0]], [&[0], &[1]]), &[l, r]), ints([2], &[9, -4]));
    // The batch comes first, then what is left of the left, then of the right.
    let (l, r) = (ints([2, 2, 1], &[1, 2, 3, 4]), ints([1, 2, 2], &[10, 20, 30, 40]));
    // out[b,i,j] = l[i,b,0] · r[0,j,b]
    let expected = ints([2, 2, 2], &[10, 30, 30, 90, 40, 80, 80, 160]);
    assert_eq!(apply(dot([&[1], &[2]], [&[2], &[0]]), &[l, r]), expected);
    // Sums of nothing.
    let empty = apply(op::Dot::matmul(), &[floats([2, 0], &[]), floats([0, 2], &[])]);
    assert_eq!(empty.view::<f32>().unwrap(), [0.0; 4]);
    // Integers wrap.
    let bytes =
        [Tensor::from_slice([2], &[200u8, 100]).unwrap(), Tensor::from_slice([2], &[2u8, 1]).unwrap()];
    assert_eq!(apply(dot([&[], &[]], [&[0], &[0]]), &bytes), Tensor::scalar(244u8)); // 500 − 256
}

#[test]
fn gathers() {
    let x = ints([3, 2], &[1, 2, 3, 4, 5, 6]);
    let rows = apply(op::Gather { axis: 0, batch: 0 }, &[x.clone(), ints([4], &[2, 0, 2, 1])]);
    assert_eq!(rows, ints([4, 2], &[5, 6, 1, 2, 5, 6, 3, 4]));
    let grid = apply(op::Gather { axis: 1, batch: 0 }, &[x.clone(), ints([2, 2], &[0, 0, 1, 0])]);
    assert_eq!(grid, ints([3, 2, 2], &[1, 1, 2, 1, 3, 3, 4, 3, 5, 5, 6, 5]));
    let labels = apply(op::Gather { axis: 1, batch: 1 }, &[x.clone(), ints([3], &[1, 0, 1])]);
    assert_eq!(labels, ints([3], &[2, 3, 6]));
    let row = apply(op::Gather { axis: 0, batch: 0 }, &[x.clone(), Tensor::scalar(1u8)]);
    assert_eq!(row, ints([2], &[3, 4]));
    // Out of range goes to the nearest.
    let indices = Tensor::from_slice([3], &[-5i64, 3, i64::MAX]).unwrap();
    assert_eq!(apply(op::Gather { axis: 0, batch: 0 }, &[x, indices]), ints([3, 2], &[1, 2, 5, 6, 5, 6]));
}

#[test]
fn scatters() {
    let x = ints([3, 2], &[100, 200, 300, 400, 500, 600]);
    let updates = ints([4, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let indices = ints([4], &[0, 2, 0, -7]);
    let sum = apply(op::ScatterAdd { axis: 0, batch: 0 }, &[x.clone(), indices, updates]);
    assert_eq!(sum, ints([3, 2], &[113, 216, 300, 400, 503, 604]));
    let one_a_row = apply(
        op::ScatterAdd { axis: 1, batch: 1 },
        &[x.clone(), ints([3], &[1, 1, 0]), ints([3], &[1, 2, 3])],
    );
    assert_eq!(one_a_row, ints([3, 2], &[100, 201, 300, 402, 503, 600]));
    let columns = apply(
        op::ScatterAdd { axis: 1, batch: 0 },
        &[x, ints([2], &[1, 1]), ints([3, 2], &[1, 2, 3, 4, 5, 6])],
    );
    assert_eq!(columns, ints([3, 2], &[100, 203, 300, 407, 500, 611]));
}

#[test]
fn pads() {
    let pad = |low: &[usize], high: &[usize], inner: &[usize]| op::Pad {
        low: low.to_vec(),
        high: high.to_vec(),
        inner: inner.to_vec(),
    };
    let nine = || Tensor::scalar(9i32);
    let line = apply(pad(&[1], &[2], &[1]), &[ints([3], &[1, 2, 3]), nine()]);
    assert_eq!(line, ints([8], &[9, 1, 9, 2, 9, 3, 9, 9]));
    let plane = apply(pad(&[0, 1], &[1, 0], &[1, 0]), &[ints([2, 2], &[1, 2, 3, 4]), nine()]);
    assert_eq!(plane, ints([4, 3], &[9, 1, 2, 9, 9, 9, 9, 3, 4, 9, 9, 9]));
    assert_eq!(apply(pad(&[2], &[1], &[5]), &[ints([0], &[]), nine()]), ints([3], &[9; 3]));
    assert_eq!(apply(pad(&[], &[], &[]), &[ints([], &[4]), nine()]), ints([], &[4]));
}

#[test]
fn slices_and_reversals() {
    let x = ints([2, 5], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let slice = op::Slice { start: vec![0, 1], limit: vec![2, 5], step: vec![1, 3] };
    assert_eq!(apply(slice, std::slice::from_ref(&x)), ints([2, 2], &[1, 4, 6, 9]));
    let both = apply(op::Reverse { axes: vec![0, 1] }, &[x]);
    assert_eq!(both, ints([2, 5], &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]));
}

#[test]
fn extrema_and_their_places() {
    let x = floats([2, 4], &[1., 3., 3., 2., f32::NEG_INFINITY, f32::NAN, 5., f32::NAN]);
    let arg = |extremum| op::ArgReduce { extremum, axis: 1 };
    assert_eq!(apply(arg(op::Extremum::Max), std::slice::from_ref(&x)), ints([2], &[1, 1]));
    assert_eq!(apply(arg(op::Extremum::Min), std::slice::from_ref(&x)), ints([2], &[0, 1]));
    let max = op::Reduce { combine: bespoke_loops::Combine::Max, axes: vec![1] };
    let values = apply(max, &[x]).to_vec::<f32>().unwrap();
    assert!(values[0] == 3.0 && values[1].is_nan(), "{values:?}");
}

/// Element i is word i mod 4 of block i / 4.
#[test]
fn random_bits_are_philox() {
    let pair = |a: u32, b: u32| Tensor::from_slice([2], &[a, b]).unwrap();
    for (key, counter) in
        [([0, 0], [0, 0]), ([1, 0], [0, 7]), ([0xa409_3822, 0x299f_31d0], [0x1319_8a2e, 0x0370_7344])]
    {
        let shape = [3, 7];
        let words = apply(
            op::RandomBits { shape: shape.into() },
            &[pair(key[0], key[1]), pair(counter[0], counter[1])],
        );
        let expected = Tensor::from_fn(Type::new(DType::U32, shape), |i| {
            Scalar::U32(philox::block([i as u32 / 4, 0, counter[0], counter[1]], key)[i % 4])
        });
        assert_eq!(words, expected);
    }
    let first = apply(op::RandomBits { shape: [4].into() }, &[pair(0, 0), pair(0, 0)]);
    assert_eq!(first.view::<u32>().unwrap(), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
}

/// Formulas hold at the ends of the range, where parts of them overflow.
#[test]
fn functions_at_extremes() {
    let at = |f: op::Unary, x: f64| f.apply(Scalar::F64(x)).to_f64();
    assert_eq!(at(op::Unary::Softplus, 1000.0), 1000.0);
    assert_eq!(at(op::Unary::Softplus, -1000.0), 0.0);
    assert_eq!(at(op::Unary::Sigmoid, 1000.0), 1.0);
    assert_eq!(at(op::Unary::Sigmoid, f64::NEG_INFINITY), 0.0);
    assert_eq!(at(op::Unary::Sign, -0.0).to_bits(), (-0.0f64).to_bits());
    assert!(at(op::Unary::Sign, f64::NAN).is_nan());
    assert_eq!(op::Unary::Abs.apply(Scalar::I32(i32::MIN)), Scalar::I32(i32::MIN));
    assert_eq!(op::Binary::Div.apply(Scalar::I64(i64::MIN), Scalar::I64(-1)), Scalar::I64(i64::MIN));
    assert_eq!(op::Binary::Rem.apply(Scalar::I32(i32::MIN), Scalar::I32(-1)), Scalar::I32(0));
    assert_eq!(op::Binary::Shl.apply(Scalar::U8(1), Scalar::U8(9)), Scalar::U8(2));
    assert_eq!(op::Binary::Shr.apply(Scalar::I32(-8), Scalar::I32(1)), Scalar::I32(-4));
    assert!(op::Binary::Max.apply(Scalar::F32(f32::NAN), Scalar::F32(1.0)).to_f64().is_nan());
    assert!(op::Binary::Max.apply(Scalar::F32(1.0), Scalar::F32(f32::NAN)).to_f64().is_nan());
}
