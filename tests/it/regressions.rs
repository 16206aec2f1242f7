//! Graphs that went wrong once.

use bespoke_graph::{Graph, parse};
use bespoke_testkit::random_inputs;

use crate::columns::{agree, no_failures, optimized_agrees, passes};

const GRAPHS: [(&str, &str); 2] = [
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
