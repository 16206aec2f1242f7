//! A second compilation of an equal graph is a hit; another graph or configuration is not.

use bespoke_compiler::{Config, compile};
use bespoke_graph::{Graph, op::Unary};
use bespoke_tensor::{DType, Tensor, Type};

fn graph(n: usize) -> Graph {
    let mut g = Graph::new();
    let x = g.input("x", Type::new(DType::F32, [n])).unwrap();
    let y = g.unary(Unary::Tanh, x);
    g.set_output("y", y).unwrap();
    g
}

#[test]
fn equal_graphs_are_compiled_once() {
    let compiled = |n: usize, config: &Config| {
        let mut events = 0;
        let mut program = compile(&graph(n), config, &mut |_| events += 1).unwrap();
        let outputs = program.run(&[("x", &Tensor::full([n], 0.5f32))]).unwrap();
        assert_eq!(outputs.get("y").unwrap().elements(), n);
        (program.cached(), events)
    };
    let config = Config::default();
    assert_eq!(compiled(1021, &config), (false, 4));
    assert_eq!(compiled(1021, &config), (true, 0));
    // Threads share the code; another shape or way to compile does not.
    assert_eq!(compiled(1021, &Config { threads: 1, ..config.clone() }), (true, 0));
    assert!(!compiled(1019, &config).0);
    assert!(!compiled(1021, &Config { optimize: None, ..config }).0);
}
