//! Graphs that went wrong once.

use bespoke::{
    nn,
    prelude::{DType, Tensor},
};
use bespoke_graph::{Graph, eval, parse};
use bespoke_testkit::random_inputs;

use crate::columns::{agree, no_failures, optimized_agrees, passes};

const GRAPHS: [(&str, &str); 8] = [
    (
        "a reduction of nothing asked for elements",
        r#"graph {
  %0 = input {name="x"} : f32[3,2,0]
  %1 = concatenate %0 {axis=2} : f32[3,2,0]
  %2 = reduce_max %1 {axes=[0,1,2]} : f32[]
  output "y" = %2
}"#,
    ),
    (
        "a sum of the one term −0 was −0 compiled and 0 evaluated",
        r#"graph {
  %0 = input {name="x"} : f64[2]
  %1 = constant {values=(0, 0)} : f64[2]
  %2 = neg %1 : f64[2]
  %3 = dot %2, %0 {contract=[]x[]} : f64[2,2]
  %4 = round %3 : f64[2,2]
  %5 = rsqrt %4 : f64[2,2]
  output "y" = %5
}"#,
    ),
    (
        "a scatter in place was read for a second state",
        r#"graph {
  %0 = state {name="a"} : f32[7]
  %1 = state {name="b"} : f32[7]
  %2 = input {name="at"} : i32[6]
  %3 = input {name="by"} : f32[6]
  %4 = scatter_add %0, %2, %3 {axis=0} : f32[7]
  next "a" = %4
  next "b" = %4
}"#,
    ),
    (
        "a quotient of integers was not that of reals",
        r#"graph {
  %0 = input {name="x"} : u8[5]
  %1 = constant {values=(1, 2, 3)} : u8[3]
  %2 = reduce_sum %1 {axes=[0]} : u8[]
  %3 = broadcast %2 {axes=[]} : u8[5]
  %4 = div %0, %3 : u8[5]
  %5 = mul %4, %3 : u8[5]
  output "y" = %5
}"#,
    ),
    (
        "a sum of nothing was scaled by infinity",
        r#"graph {
  %0 = input {name="x"} : f32[0]
  %1 = reduce_sum %0 {axes=[0]} : f32[]
  %2 = broadcast %1 {axes=[]} : f32[0]
  %3 = div %0, %2 : f32[0]
  %4 = reduce_sum %3 {axes=[0]} : f32[]
  output "y" = %4
}"#,
    ),
    (
        "a sum over a broadcast to nothing",
        r#"graph {
  %0 = input {name="x"} : f32[3]
  %1 = broadcast %0 {axes=[0]} : f32[3,0]
  %2 = reduce_sum %1 {axes=[1]} : f32[3]
  output "y" = %2
}"#,
    ),
    (
        "equal by rounding in machine code, by more than it in the evaluator",
        r#"graph {
  %0 = input {name="x"} : f32[40,4]
  %1 = reduce_sum %0 {axes=[1]} : f32[40]
  %2 = reverse %0 {axes=[1]} : f32[40,4]
  %3 = reduce_sum %2 {axes=[1]} : f32[40]
  %4 = eq %1, %3 : bool[40]
  output "y" = %4
}"#,
    ),
    (
        "a product with a scalar was taken for one with an image, whose features were counted",
        r#"graph {
  %0 = state {name="scope/s1"} : f64[5,3]
  %1 = input {name="cut0"} : u8[5,3]
  %2 = max %1, %1 : u8[5,3]
  %3 = constant {value=0.4068105518176388} : f64[]
  %4 = broadcast %3 {axes=[]} : f64[5]
  %5 = broadcast %4 {axes=[0]} : f64[5,3]
  %6 = scatter_add %0, %2, %5 {axis=1, batch=1} : f64[5,3]
  %7 = state {name="scope/s5"} : bool[16,17,2]
  %8 = constant {value=-1.0422969} : f32[]
  %9 = broadcast %8 {axes=[]} : f32[13]
  %10 = broadcast %9 {axes=[1]} : f32[13,13]
  %11 = dot %10, %10 {contract=[1]x[0]} : f32[13,13]
  %12 = transpose %11 {permutation=[1,0]} : f32[13,13]
  %13 = add %11, %12 : f32[13,13]
  %14 = mul %13, %10 : f32[13,13]
  %15 = sin %14 : f32[13,13]
  output "y0" = %15
  output "after scope/s1" = %6
  output "after scope/s5" = %7
}"#,
    ),
];

#[test]
fn agree_now() {
    let mut failures = vec![];
    for (what, text) in GRAPHS {
        let graph: Graph = parse(text).unwrap_or_else(|e| panic!("{what}: {e}"));
        for seed in 0..10 {
            let sources = random_inputs(&graph, seed, seed % 2 == 1);
            let result =
                passes(agree, &graph, &sources).and_then(|()| passes(optimized_agrees, &graph, &sources));
            failures.extend(result.err().map(|e| format!("{what}: {e}")));
        }
    }
    no_failures(&failures);
}

/// A third derivative of x² was 0·x⁻¹, NaN at 0.
#[test]
fn powers_have_all_derivatives_at_0() {
    let g = nn::Graph::new();
    let x = g.input("x", DType::F64, [2]);
    let mut derivative = x.pow(2.0) + x.pow(x * 0.0 + 3.0);
    let mut derivatives = vec![];
    for order in 0..5 {
        g.output(&format!("{order}"), derivative);
        derivatives.push(format!("{order}"));
        derivative = g.grad(derivative.sum(), &[x])[0];
    }
    let at = Tensor::from_slice([2], &[0.0, 1.0]).unwrap();
    let outputs = eval(&g.finish().unwrap(), &|_| Some(at.clone())).unwrap().outputs;
    for (order, expected) in
        derivatives.iter().zip([[0.0, 2.0], [0.0, 5.0], [2.0, 8.0], [6.0, 6.0], [0.0, 0.0]])
    {
        assert_eq!(outputs[order].to_vec::<f64>().unwrap(), expected, "derivative {order}");
    }
}
