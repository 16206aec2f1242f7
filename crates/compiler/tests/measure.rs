//! Candidates that compete on the machine.

use bespoke_compiler::{Artifact, Config, compile};
use bespoke_graph::Graph;
use bespoke_optimize::Report;
use bespoke_tensor::{DType, Scalar, Tensor, Type};

const ROWS: usize = 8192;

/// Two linear units without anything between them, of which many rows make one.
fn units() -> Graph {
    let mut g = Graph::new();
    let mut h = g.input("x", Type::new(DType::F32, [ROWS, 60])).unwrap();
    for (i, widths) in [[60, 40], [40, 5]].into_iter().enumerate() {
        let w = g.state(&format!("w{i}"), Type::new(DType::F32, widths)).unwrap();
        h = g.matmul(h, w);
    }
    g.set_output("y", h).unwrap();
    g
}

fn value(ty: Type) -> Tensor {
    Tensor::from_fn(ty, |i| Scalar::F64((i * 31 % 101) as f64 / 100.0 - 0.5))
}

/// The report and the result.
fn run(config: &Config) -> (Report, Vec<f32>) {
    let graph = units();
    let mut report = None;
    let mut program = compile(&graph, config, &mut |event| {
        if let Artifact::Optimized(_, r) = &event.artifact {
            report = Some((*r).clone());
        }
    })
    .unwrap();
    for state in graph.states() {
        program.set_state(&state.name, &value(graph.ty(state.node))).unwrap();
    }
    let x = value(graph.ty(graph.source("x").unwrap()));
    let y = program.run(&[("x", &x)]).unwrap().get("y").unwrap().to_vec::<f32>().unwrap();
    (report.expect("it was compiled"), y)
}

#[test]
fn the_fastest_candidate_is_kept_and_computes_the_same() {
    let (report, expected) = run(&Config::default());
    assert_eq!(report.measured, [], "nothing is measured that was not asked for");
    let (report, y) = run(&Config { measure: 8, ..Config::default() });
    let names: Vec<&str> = report.measured.iter().map(|m| m.name).collect();
    assert!(names.len() >= 2 && names.contains(&"cheapest") && names.contains(&"local rules"), "{report}");
    assert!(
        report.measured.is_sorted_by(|a, b| a.cost <= b.cost) && report.measured[0].cost > 0.0,
        "{report}"
    );
    assert!(report.to_string().contains(&format!("measured: {} ", names[0])), "{report}");
    // The report is that of the candidate that won: the local rules leave both products as they are.
    assert_eq!(report.saturation.is_none(), names[0] == "local rules", "{report}");
    for (y, expected) in y.iter().zip(&expected) {
        assert!((y - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{y}, expected {expected}");
    }
    let (report, _) = run(&Config { measure: 2, ..Config::default() });
    assert_eq!(report.measured.len(), 2, "{report}");
}
