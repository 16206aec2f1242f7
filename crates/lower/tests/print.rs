//! Lowers small graphs and looks at the program's text.

use bespoke_graph::{Graph, op};
use bespoke_tensor::{DType, Type};

fn lowered(g: &Graph) -> String {
    let program = bespoke_lower::lower(g).unwrap();
    let violations = bespoke_lower::verify(&program);
    assert!(violations.is_empty(), "{violations:#?}\n{program}");
    program.to_string()
}

#[test]
fn softmax_gradient_like() {
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::F32, [128, 784])).unwrap();
    let w = g.state("w", Type::new(DType::F32, [784, 512])).unwrap();
    let b = g.state("b", Type::new(DType::F32, [512])).unwrap();
    let y = g.matmul(x, w);
    let bb = g.broadcast(b, [128, 512].into(), &[1]);
    let y = g.plus(y, bb);
    let zero = g.fill_like(y, 0.0);
    let y = g.binary(op::Binary::Max, y, zero);
    let t = g.unary(op::Unary::Tanh, y);
    let loss = g.sum_all(t);
    g.set_output("loss", loss).unwrap();
    let grads = bespoke_autodiff::grad(&mut g, loss, &[w, b]).unwrap();
    for (p, d) in [w, b].into_iter().zip(grads) {
        let lr = g.fill_like(d, 0.1);
        let step = g.times(lr, d);
        let next = g.minus(p, step);
        g.set_next(p, next).unwrap();
    }
    println!("{g}{}", lowered(&g));
}
