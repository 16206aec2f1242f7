//! Type mistakes name the operator, the operands' types and the rule that is broken.

use bespoke_graph::{Graph, NodeId, Op, op};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Tensor, Type};

/// What the operator says of operands of these types.
fn error(op: impl Into<Op>, types: &[&str]) -> String {
    let mut g = Graph::new();
    let inputs: Vec<NodeId> = types
        .iter()
        .enumerate()
        .map(|(i, text)| g.input(&format!("x{i}"), text.parse().unwrap()).unwrap())
        .collect();
    let before = g.to_string();
    let error = g.add(op, &inputs).expect_err("the operands do not suit").to_string();
    assert_eq!(g.to_string(), before, "a mistake leaves no trace");
    error
}

#[test]
fn elementwise() {
    let cases: [(Op, &[&str], &str); 10] = [
        (op::Unary::Tanh.into(), &["i32[4]"], "tanh(i32[4]): expected floats, got i32[4]"),
        (op::Unary::Neg.into(), &["bool[]"], "neg(bool[]): expected numbers, got bool[]"),
        (op::Unary::Not.into(), &["f64[2]"], "not(f64[2]): expected bool or integers, got f64[2]"),
        (op::Unary::Exp.into(), &["f32[2]", "f32[2]"], "exp(f32[2], f32[2]): expected 1 operand, got 2"),
        (
            op::Binary::Add.into(),
            &["f32[128,10]", "f32[10]"],
            "add(f32[128,10], f32[10]): expected two operands of one type, got f32[128,10] and f32[10]",
        ),
        (
            op::Binary::Mul.into(),
            &["f32[3]", "f64[3]"],
            "mul(f32[3], f64[3]): expected two operands of one type, got f32[3] and f64[3]",
        ),
        (op::Binary::Shl.into(), &["f32[]", "f32[]"], "shl(f32[], f32[]): expected integers, got f32[]"),
        (
            op::Binary::Lt.into(),
            &["bool[1]", "bool[1]"],
            "lt(bool[1], bool[1]): expected numbers, got bool[1]",
        ),
        (
            op::Select.into(),
            &["u8[2]", "f32[2]", "f32[2]"],
            "select(u8[2], f32[2], f32[2]): expected a condition of bool, got u8[2]",
        ),
        (
            op::Select.into(),
            &["bool[]", "f32[2]", "f32[2]"],
            "select(bool[], f32[2], f32[2]): expected a condition of shape [2], got []",
        ),
    ];
    for (op, types, expected) in cases {
        assert_eq!(error(op, types), expected);
    }
}

#[test]
fn shapes() {
    let axes = |axes: &[usize]| axes.to_vec();
    let cases: [(Op, &[&str], &str); 14] = [
        (
            op::Reshape { shape: [5].into() }.into(),
            &["f32[2,3]"],
            "reshape(f32[2,3]): f32[2,3] has 6 elements, [5] has 5",
        ),
        (
            op::Transpose { permutation: axes(&[0, 0]) }.into(),
            &["f32[2,3]"],
            "transpose(f32[2,3]): axis 0 appears twice",
        ),
        (
            op::Transpose { permutation: axes(&[1]) }.into(),
            &["f32[2,3]"],
            "transpose(f32[2,3]): expected a permutation of 2 axes, got [1]",
        ),
        (
            op::Broadcast { shape: [3, 4].into(), axes: axes(&[1]) }.into(),
            &["f32[3]"],
            "broadcast(f32[3]): axis 0 of f32[3] has extent 3, axis 1 of [3,4] has 4",
        ),
        (
            op::Broadcast { shape: [2, 3].into(), axes: axes(&[1, 0]) }.into(),
            &["f32[3,2]"],
            "broadcast(f32[3,2]): expected ascending axes, got [1, 0]; transpose first",
        ),
        (
            op::Reduce { combine: Combine::Sum, axes: axes(&[2]) }.into(),
            &["f32[2,3]"],
            "reduce_sum(f32[2,3]): axis 2 is out of range for an operand of rank 2",
        ),
        (
            op::Reduce { combine: Combine::Any, axes: axes(&[0]) }.into(),
            &["i32[2]"],
            "reduce_any(i32[2]): expected bool, got i32[2]",
        ),
        (
            op::Slice { start: axes(&[2]), limit: axes(&[9]), step: axes(&[1]) }.into(),
            &["f32[8]"],
            "slice(f32[8]): axis 0 has extent 8, 2..9 is not within it",
        ),
        (
            op::Slice { start: axes(&[2]), limit: axes(&[4]), step: axes(&[0]) }.into(),
            &["f32[8]"],
            "slice(f32[8]): axis 0: expected a step of at least 1, got 0",
        ),
        (
            op::Pad { low: axes(&[1]), high: axes(&[1]), inner: axes(&[0]) }.into(),
            &["f32[8]", "f32[1]"],
            "pad(f32[8], f32[1]): expected a padding value of f32[], got f32[1]",
        ),
        (
            op::Concatenate { axis: 0 }.into(),
            &["f32[2,3]", "f32[2,4]"],
            "concatenate(f32[2,3], f32[2,4]): f32[2,4] does not continue f32[2,3] along axis 0",
        ),
        (op::Concatenate { axis: 0 }.into(), &[], "concatenate: expected one operand or more, got none"),
        (
            op::ArgReduce { extremum: op::Extremum::Max, axis: 1 }.into(),
            &["f32[2,0]"],
            "arg_max(f32[2,0]): axis 1 of f32[2,0] is empty",
        ),
        (
            op::Iota { ty: Type::new(DType::I32, [3]), axis: 1 }.into(),
            &[],
            "iota: axis 1 is out of range for i32[3]",
        ),
    ];
    for (op, types, expected) in cases {
        assert_eq!(error(op, types), expected);
    }
}

#[test]
fn products_and_indices() {
    assert_eq!(
        error(op::Dot::matmul(), &["f32[128,784]", "f32[256,10]"]),
        "dot(f32[128,784], f32[256,10]): contracted dimensions differ: dimension 1 of the left operand is 784, dimension 0 of the right is 256"
    );
    assert_eq!(
        error(op::Dot::matmul(), &["f32[2]", "f32[2,3]"]),
        "dot(f32[2], f32[2,3]): dimension 1 is out of range for an operand of rank 1"
    );
    assert_eq!(
        error(op::Dot { batch: (vec![0], vec![]), contract: (vec![1], vec![0]) }, &["f32[2,3]", "f32[3,2]"]),
        "dot(f32[2,3], f32[3,2]): 1 batch dimensions on the left, 0 on the right"
    );
    assert_eq!(
        error(op::Dot { batch: (vec![0], vec![0]), contract: (vec![0], vec![0]) }, &["f32[2,3]", "f32[2,3]"]),
        "dot(f32[2,3], f32[2,3]): dimension 0 appears twice"
    );
    assert_eq!(
        error(op::Dot::matmul(), &["bool[2,2]", "bool[2,2]"]),
        "dot(bool[2,2], bool[2,2]): expected two operands of one number type, got bool and bool"
    );
    assert_eq!(
        error(op::Gather { axis: 0, batch: 0 }, &["f32[5]", "f32[2]"]),
        "gather(f32[5], f32[2]): expected indices of an integer type, got f32[2]"
    );
    assert_eq!(
        error(op::Gather { axis: 1, batch: 1 }, &["f32[5,4]", "i32[3]"]),
        "gather(f32[5,4], i32[3]): the first 1 dimensions of f32[5,4] and i32[3] differ"
    );
    assert_eq!(
        error(op::ScatterAdd { axis: 0, batch: 0 }, &["f32[5,4]", "i32[3]", "f32[3]"]),
        "scatter_add(f32[5,4], i32[3], f32[3]): expected updates of f32[3,4], got f32[3]"
    );
    assert_eq!(
        error(op::RandomBits { shape: [4].into() }, &["u32[2]", "u32[]"]),
        "random_bits(u32[2], u32[]): expected a counter of u32[2], got u32[]"
    );
}

#[test]
fn ranks_beyond_eight_are_refused() {
    let axes: Vec<usize> = vec![];
    let outer = op::Dot { batch: (axes.clone(), axes.clone()), contract: (axes.clone(), axes) };
    let text = error(outer, &["f32[1,1,1,1,1]", "f32[1,1,1,1]"]);
    assert!(text.starts_with("dot(f32[1,1,1,1,1], f32[1,1,1,1]): ") && text.contains("rank 9"), "{text}");
}

/// What a user may write as attributes must not overflow.
#[test]
fn huge_attributes_are_errors() {
    let huge = || vec![usize::MAX];
    for op in [
        Op::from(op::Pad { low: huge(), high: vec![0], inner: vec![0] }),
        Op::from(op::Pad { low: vec![0], high: vec![0], inner: huge() }),
        Op::from(op::Pad { low: vec![0], high: vec![1 << 62], inner: vec![0] }),
    ] {
        let text = error(op, &["f32[2]", "f32[]"]);
        assert!(text.starts_with("pad(f32[2], f32[]): "), "{text}");
    }
    let all = "f32[576460752303423487]";
    let text = error(op::Concatenate { axis: 0 }, &[all, all, all, all]);
    assert!(text.starts_with("concatenate("), "{text}");
    let step = op::Slice { start: vec![0], limit: vec![2], step: huge() };
    let mut g = Graph::new();
    let x = g.input("x", "f32[2]".parse().unwrap()).unwrap();
    let y = g.add(step, &[x]).unwrap();
    assert_eq!(g.ty(y).to_string(), "f32[1]");
    g.set_output("y", y).unwrap();
    let value =
        bespoke_graph::eval(&g, &|_| Some(Tensor::from_vec([2], vec![3.0f32, 4.0]).unwrap())).unwrap();
    assert_eq!(value.outputs["y"].view::<f32>().unwrap(), [3.0]);
}

#[test]
fn names_and_next_values() {
    let mut g = Graph::new();
    let ty = |t: &str| -> Type { t.parse().unwrap() };
    let x = g.input("x", ty("f32[3]")).unwrap();
    let s = g.state("s", ty("f32[3]")).unwrap();
    let n = g.input("n", ty("f32[2]")).unwrap();
    let text = |r: Result<(), bespoke_graph::GraphError>| r.unwrap_err().to_string();
    assert_eq!(
        g.input("s", ty("f32[]")).unwrap_err().to_string(),
        "input: there is an input or state `s` already"
    );
    assert_eq!(
        g.state("x", ty("f32[]")).unwrap_err().to_string(),
        "state: there is an input or state `x` already"
    );
    assert_eq!(text(g.set_next(x, s)), "next: %0 is not a state");
    assert_eq!(text(g.set_next(s, n)), "next: state `s` is f32[3], its next value f32[2]");
    g.set_next(s, x).unwrap();
    assert_eq!(text(g.set_next(s, x)), "next: state `s` has a next value already");
    g.set_output("y", x).unwrap();
    assert_eq!(text(g.set_output("y", s)), "output: there is an output `y` already");
}

#[test]
#[track_caller]
fn errors_name_the_line_of_the_user() {
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::I32, [2])).unwrap();
    let here = std::panic::Location::caller();
    g.set_location(Some(here));
    let error = g.add(op::Unary::Exp, &[x]).unwrap_err().to_string();
    assert_eq!(error, format!("{}:{}: exp(i32[2]): expected floats, got i32[2]", here.file(), here.line()));
}

#[test]
fn convolutions() {
    let of = |change: &dyn Fn(&mut op::Convolution)| {
        let mut convolution = op::Convolution::new(&[1, 1], &[0, 0]);
        change(&mut convolution);
        convolution
    };
    let same = |_: &mut op::Convolution| ();
    let cases: [(op::Convolution, &[&str], &str); 9] = [
        (
            of(&same),
            &["f32[1,2,5,5]", "f64[3,2,3,3]"],
            "expected two operands of one number type, got f32 and f64",
        ),
        (
            of(&same),
            &["f32[1,2,5]", "f32[3,2,3,3]"],
            "a stride for each of 2 spatial dimensions takes [N, C, …] and [O, C / groups, …] of rank 4, got f32[1,2,5] and \
             f32[3,2,3,3]",
        ),
        (
            of(&|c| c.padding.truncate(1)),
            &["f32[1,2,5,5]", "f32[3,2,3,3]"],
            "expected a padding for each of 2 spatial dimensions, got 1",
        ),
        (
            of(&|c| c.stride[1] = 0),
            &["f32[1,2,5,5]", "f32[3,2,3,3]"],
            "the stride of spatial dimension 1 is 0, expected at least 1",
        ),
        (
            of(&same),
            &["f32[1,2,5,5]", "f32[3,2,0,3]"],
            "the kernel extent of spatial dimension 0 is 0, expected at least 1",
        ),
        (
            of(&|c| c.groups = 0),
            &["f32[1,2,5,5]", "f32[3,2,3,3]"],
            "expected groups that divide 2 features into 3, got 0",
        ),
        (
            of(&|c| c.groups = 2),
            &["f32[1,2,5,5]", "f32[3,1,3,3]"],
            "expected groups that divide 2 features into 3, got 2",
        ),
        (
            of(&|c| c.groups = 2),
            &["f32[1,2,5,5]", "f32[4,2,3,3]"],
            "expected a kernel for 2 / 2 = 1 features, got one for 2",
        ),
        (
            of(&|c| c.padding[0] = (i64::MAX, 1)),
            &["f32[1,2,5,5]", "f32[3,2,3,3]"],
            "spatial dimension 0 becomes too large",
        ),
    ];
    for (convolution, types, expected) in cases {
        let message = error(convolution, types);
        assert_eq!(message, format!("convolution({}): {expected}", types.join(", ")));
    }
    // Where no kernel fits, there is nothing.
    let mut g = Graph::new();
    let (x, k) = (
        g.input("x", "f32[2,1,3,4]".parse().unwrap()).unwrap(),
        g.input("k", "f32[5,1,4,2]".parse().unwrap()).unwrap(),
    );
    let y = g.add(op::Convolution::new(&[1, 2], &[0, 0]), &[x, k]).unwrap();
    assert_eq!(g.ty(y).to_string(), "f32[2,5,0,2]");
}
