//! Operators with derivatives of their own.

use bespoke_autodiff::{GradError, grad, jvp};
use bespoke_graph::{
    Body, Graph, NodeId, eval, inline_customs,
    op::{Custom, Unary},
    parse,
};
use bespoke_tensor::{DType, Tensor, Type};

fn body(inputs: &[Type], f: impl FnOnce(&mut Graph, &[NodeId]) -> Vec<(&'static str, NodeId)>) -> Body {
    let mut g = Graph::new();
    let ids: Vec<NodeId> =
        inputs.iter().enumerate().map(|(i, &t)| g.input(&format!("a{i}"), t).unwrap()).collect();
    for (name, id) in f(&mut g, &ids) {
        g.set_output(name, id).unwrap();
    }
    Body::new(g)
}

fn evaluate(g: &mut Graph, ids: &[NodeId], x: &[f64]) -> Vec<Vec<f64>> {
    g.clear_outputs();
    ids.iter().enumerate().for_each(|(i, &id)| g.set_output(&i.to_string(), id).unwrap());
    let value = Tensor::from_vec([x.len()], x.to_vec()).unwrap();
    let values = eval(g, &|_| Some(value.clone())).unwrap();
    let numbers = |t: &Tensor| t.scalars().map(|s| s.to_f64()).collect();
    (0..ids.len()).map(|i| numbers(&values.outputs[&i.to_string()])).collect()
}

/// The sign, with the gradient of the identity.
fn sign(t: Type) -> Custom {
    Custom {
        name: "sign".to_owned(),
        body: body(&[t], |g, a| vec![("y", g.unary(Unary::Sign, a[0]))]),
        vjp: Some(body(&[t; 3], |_, a| vec![("0", a[2])])),
        jvp: None,
    }
}

#[test]
fn the_rule_is_used_and_its_transpose_derived() {
    let t = Type::new(DType::F64, [3]);
    let mut g = Graph::new();
    let x = g.input("x", t).unwrap();
    let y = g.add(sign(t), &[x]).unwrap();
    let scaled = g.times(y, x);
    let loss = g.sum_all(scaled);
    let dx = grad(&mut g, loss, &[x]).unwrap()[0];
    let forward = jvp(&mut g, &[y], &[(x, x)]).unwrap()[0].unwrap();
    let values = evaluate(&mut g, &[y, dx, forward], &[-2.0, 0.5, 3.0]);
    assert_eq!(values[0], [-1.0, 1.0, 1.0]);
    assert_eq!(values[1], [-2.0 - 1.0, 0.5 + 1.0, 3.0 + 1.0]); // x through the rule, sign(x) beside it
    assert_eq!(values[2], [-2.0, 0.5, 3.0]);
    assert_eq!(parse(&g.to_string()).unwrap(), g);
    let inlined = inline_customs(&g).into_owned();
    assert!(!inlined.to_string().contains("custom"), "{inlined}");
    assert_eq!(eval(&inlined, &|_| Some(Tensor::from_vec([3], vec![-2.0, 0.5, 3.0]).unwrap())).unwrap(), {
        eval(&g, &|_| Some(Tensor::from_vec([3], vec![-2.0, 0.5, 3.0]).unwrap())).unwrap()
    });
}

#[test]
fn an_operand_used_twice_gets_both_cotangents() {
    let t = Type::new(DType::F64, [2]);
    let product = |vjp, jvp| Custom {
        name: "product".to_owned(),
        body: body(&[t, t], |g, a| vec![("y", g.times(a[0], a[1]))]),
        vjp,
        jvp,
    };
    let tangent = body(&[t; 5], |g, a| {
        let (left, right) = (g.times(a[3], a[1]), g.times(a[0], a[4]));
        vec![("t", g.plus(left, right))]
    });
    for custom in [product(None, None), product(None, Some(tangent))] {
        let mut g = Graph::new();
        let x = g.input("x", t).unwrap();
        let y = g.add(custom, &[x, x]).unwrap();
        let loss = g.sum_all(y);
        let dx = grad(&mut g, loss, &[x]).unwrap()[0];
        let total = g.sum_all(dx);
        let second = grad(&mut g, total, &[x]).unwrap()[0];
        let values = evaluate(&mut g, &[dx, second], &[3.0, -1.0]);
        assert_eq!(values, [[6.0, -2.0], [2.0, 2.0]]);
    }
}

#[test]
fn an_operand_without_rule_does_not_move_the_value() {
    let t = Type::new(DType::F64, [2]);
    let custom = Custom {
        name: "stop".to_owned(),
        body: body(&[t], |_, a| vec![("y", a[0])]),
        vjp: Some(body(&[t; 3], |_, _| vec![])),
        jvp: None,
    };
    let mut g = Graph::new();
    let x = g.input("x", t).unwrap();
    let y = g.add(custom, &[x]).unwrap();
    assert_eq!(jvp(&mut g, &[y], &[(x, x)]).unwrap(), [None]);
    let loss = g.sum_all(y);
    assert!(matches!(grad(&mut g, loss, &[x]), Err(GradError::Unreachable(..))));
}

#[test]
fn bodies_that_do_not_fit_are_refused() {
    let t = Type::new(DType::F64, [3]);
    let other = Type::new(DType::F64, [2]);
    let refused = |custom: Custom, expected: &str| {
        let mut g = Graph::new();
        let x = g.input("x", t).unwrap();
        let error = g.add(custom, &[x]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let good = sign(t);
    refused(sign(other), "body: expected inputs (f64[3]), the operands; got (f64[2])");
    let two = body(&[t], |_, a| vec![("y", a[0]), ("z", a[0])]);
    refused(Custom { body: two, ..good.clone() }, "body: expected one output, got 2");
    let short = body(&[t; 2], |_, a| vec![("0", a[1])]);
    refused(
        Custom { vjp: Some(short), ..good.clone() },
        "vjp: expected inputs (f64[3], f64[3], f64[3]), the operands, the value and its cotangent; got (f64[3], f64[3])",
    );
    let named = body(&[t; 3], |_, a| vec![("1", a[2])]);
    refused(Custom { vjp: Some(named), ..good.clone() }, "vjp: the output \"1\" names none of 1 operands");
    let sum = body(&[t; 3], |g, a| vec![("0", g.sum_all(a[2]))]);
    refused(Custom { vjp: Some(sum), ..good.clone() }, "vjp: operand 0 is f64[3], its cotangent f64[]");
    let sum = body(&[t; 3], |g, a| vec![("t", g.sum_all(a[2]))]);
    refused(Custom { jvp: Some(sum), ..good.clone() }, "jvp: the value is f64[3], its tangent f64[]");
    let mut state = Graph::new();
    let s = state.state("s", t).unwrap();
    state.set_output("y", s).unwrap();
    refused(Custom { body: Body::new(state), ..good }, "body: a body has no states, this one has `s`");
}
