//! States made constant.

use bespoke_graph::{Graph, NodeId, eval, op};
use bespoke_tensor::{DType, Tensor, Type};

fn vector() -> Type {
    Type::new(DType::F32, [3])
}

/// y = tanh(x · w) + count, where count grows by v with every run.
fn model() -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", vector()).unwrap();
    let w = g.state("w", vector()).unwrap();
    let v = g.state("v", vector()).unwrap();
    let count = g.state("count", vector()).unwrap();
    let product = g.times(x, w);
    let h = g.unary(op::Unary::Tanh, product);
    let y = g.plus(h, count);
    g.set_output("y", y).unwrap();
    let next = g.plus(count, v);
    g.set_next(count, next).unwrap();
    g
}

fn value(name: &str) -> Option<Tensor> {
    let start = match name {
        "x" => 0.5,
        "w" => 2.0,
        "v" => 1.0,
        "count" => 10.0,
        _ => return None,
    };
    Some(Tensor::from_fn(vector(), |i| (start + i as f64).into()))
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.states().iter().map(|s| s.name.as_str()).collect()
}

#[test]
fn a_frozen_graph_computes_what_it_did() {
    let graph = model();
    let (w, v) = (value("w").unwrap(), value("v").unwrap());
    let expected = eval(&graph, &value).unwrap();
    for (frozen, left) in [(vec![("w", &w)], vec!["v", "count"]), (vec![("v", &v), ("w", &w)], vec!["count"])]
    {
        let result = graph.freeze(&frozen).unwrap();
        assert_eq!(bespoke_graph::verify(&result), Vec::<String>::new());
        assert_eq!(names(&result), left);
        let only_left = |name: &str| value(name).filter(|_| name == "x" || left.contains(&name));
        let values = eval(&result, &only_left).unwrap();
        assert_eq!(values.outputs, expected.outputs);
        assert_eq!(values.states["count"], expected.states["count"]);
    }
    assert_eq!(graph.freeze(&[]).unwrap(), graph);
}

#[test]
fn equal_values_become_one_constant() {
    let graph = model();
    let ones = Tensor::full([3], 1.0f32);
    let frozen = graph.freeze(&[("w", &ones), ("v", &ones)]).unwrap();
    let is_constant = |id: &NodeId| matches!(frozen.node(*id).op, op::Op::Constant(_));
    assert_eq!(frozen.ids().filter(is_constant).count(), 1, "{frozen}");
}

#[test]
fn what_cannot_be_frozen_is_refused_by_name() {
    let graph = model();
    let refusal = |name: &str, value: &Tensor| graph.freeze(&[(name, value)]).unwrap_err().to_string();
    let ones = Tensor::full([3], 1.0f32);
    assert_eq!(refusal("weight", &ones), "freeze: there is no state `weight`");
    assert_eq!(refusal("x", &ones), "freeze: there is no state `x`");
    assert_eq!(refusal("w", &Tensor::full([4], 1.0f32)), "freeze: state `w`: expected f32[3], got f32[4]");
    assert_eq!(refusal("count", &ones), "freeze: state `count` has a next value: it is not constant");
}
