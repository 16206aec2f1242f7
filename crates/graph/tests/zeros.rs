//! The sign of zero: what is one term is its own sum.

use bespoke_graph::{Graph, NodeId, Windows, eval, op};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Tensor, Type};

#[test]
fn one_term_is_its_own_sum_and_none_is_positive() {
    let sum = |axes: &[usize]| op::Reduce { combine: Combine::Sum, axes: axes.to_vec() };
    type Build<'a> = &'a dyn Fn(&mut Graph, NodeId) -> NodeId;
    let convolved = |g: &mut Graph, x: NodeId, kernel: usize| {
        let shaped = g.reshape(x, [1, 1, 2].into());
        let ones = g.fill(Type::new(DType::F32, [1, 1, kernel]), 1.0);
        let convolution = op::Convolution {
            padding: vec![(0, 0)],
            stride: vec![1],
            input_dilation: vec![1],
            kernel_dilation: vec![1],
            groups: 1,
        };
        g.must(convolution, &[shaped, ones])
    };
    let window = |g: &mut Graph, x: NodeId, extent: usize| {
        g.must(op::WindowReduce { combine: Combine::Sum, windows: Windows::new(&[extent], &[1]) }, &[x])
    };
    let cases: [(&str, bool, Build<'_>); 8] = [
        ("outer product", true, &|g, x| {
            let one = g.fill(Type::new(DType::F32, [1]), 1.0);
            let dot = op::Dot { contract: (vec![], vec![]), ..op::Dot::matmul() };
            g.must(dot, &[x, one])
        }),
        ("sum of one", true, &|g, x| {
            let column = g.reshape(x, [2, 1].into());
            g.must(sum(&[1]), &[column])
        }),
        ("sum of two", false, &|g, x| g.must(sum(&[0]), &[x])),
        ("sum of none", false, &|g, _| {
            let none = g.fill(Type::new(DType::F32, [2, 0]), 1.0);
            g.must(sum(&[1]), &[none])
        }),
        ("convolution of one", true, &|g, x| convolved(g, x, 1)),
        ("convolution of two", false, &|g, x| convolved(g, x, 2)),
        ("window of one", true, &|g, x| window(g, x, 1)),
        ("window of two", false, &|g, x| window(g, x, 2)),
    ];
    for (name, negative, build) in cases {
        let mut g = Graph::new();
        let x = g.input("x", Type::new(DType::F32, [2])).unwrap();
        let y = build(&mut g, x);
        g.set_output("y", y).unwrap();
        let values = eval(&g, &|_| Some(Tensor::full([2], -0.0f32))).unwrap();
        for zero in values.outputs["y"].scalars() {
            assert_eq!(zero.to_f64(), 0.0, "{name}");
            assert_eq!(zero.to_f64().is_sign_negative(), negative, "{name}");
        }
    }
}
