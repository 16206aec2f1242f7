//! 40 derivatives against SymPy (`tests/goldens/sympy_derivatives.py`): no longer than its shortest form of at least 36, and none wrong.

use bespoke_graph::{Graph, eval};
use bespoke_inspect::{derive, formulas, simplify};
use bespoke_optimize::{Config, operations, optimize};
use bespoke_tensor::Tensor;

const GOLDEN: &str = include_str!("../../../tests/goldens/derivatives.txt");

struct Case {
    formula: &'static str,
    wrt: &'static str,
    /// The fewest operations of SymPy, and its form.
    operations: usize,
    sympy: &'static str,
    /// Values of the variables, and of the derivative.
    points: Vec<(Vec<(&'static str, f64)>, f64)>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![];
    for line in GOLDEN.lines().filter(|l| !l.is_empty() && !l.starts_with("//")) {
        let columns: Vec<&str> = line.split(" ; ").collect();
        match columns[..] {
            [formula, wrt, operations, _, sympy] => {
                let operations = operations.parse().expect("a number");
                cases.push(Case { formula, wrt, operations, sympy, points: vec![] });
            }
            [point, value] => {
                let variable = |text: &'static str| {
                    let (name, value) = text.split_once('=').expect("name=value");
                    (name, value.parse().expect("a number"))
                };
                let point = point.split_whitespace().map(variable).collect();
                let last = cases.last_mut().expect("a formula comes first");
                last.points.push((point, value.parse().expect("a number")));
            }
            _ => panic!("{line}"),
        }
    }
    cases
}

/// The derivative alone, as short as we make it.
fn shortest(case: &Case) -> Graph {
    let derived = derive(case.formula, &[case.wrt.to_owned()], 1).expect(case.formula);
    let mut graph = derived.graph;
    let derivative = graph.output("1").expect("the first derivative");
    graph.clear_outputs();
    graph.set_output("derivative", derivative).expect("it is the only output");
    let (g, r) = optimize(&graph, &Config::formula(&graph)).expect(case.formula);
    eprintln!("{:?}", r.saturation.map(|s| (s.iterations, s.nodes, s.classes, s.stop)));
    g
}

/// The largest relative error at the points.
fn error(case: &Case, graph: &Graph) -> f64 {
    let at = |(point, expected): &(Vec<(&str, f64)>, f64)| {
        let value = |name: &str| point.iter().find(|p| p.0 == name).map(|p| Tensor::scalar(p.1));
        let values = eval(graph, &value).expect(case.formula);
        let found = values.outputs["derivative"].get(0).to_f64();
        if found == *expected { 0.0 } else { (found - expected).abs() / expected.abs() }
    };
    case.points.iter().map(at).fold(0.0, |a, b| if a < b || b.is_nan() { b } else { a })
}

#[test]
fn derivatives_are_as_short_as_those_of_sympy() {
    let cases = cases();
    assert_eq!(cases.len(), 40);
    let (mut short, mut right) = (0, 0);
    let mut table = String::new();
    for case in &cases {
        let start = std::time::Instant::now();
        let graph = shortest(case);
        eprintln!("{:?} {}", start.elapsed(), case.formula);
        let (ours, error) = (operations(&graph), error(case, &graph));
        assert!(!case.points.is_empty());
        short += usize::from(ours <= case.operations);
        right += usize::from(error <= 1e-12);
        let mark = if ours <= case.operations { ' ' } else { '*' };
        table += &format!(
            "{mark} {ours:2} {:2} {error:7.0e}  {} by {}\n",
            case.operations, case.formula, case.wrt
        );
        table += &format!("    ours   {}\n    SymPy  {}\n", formulas(&graph).join("; "), case.sympy);
    }
    let title = "operations of ours and SymPy's, largest error";
    // Shown by `-- --nocapture`, and where the test fails.
    println!("{short} as short, {right} right; {title}:\n{table}");
    assert!(short >= 36 && right == 40, "{short} as short, {right} right");
}

/// What `bespoke derive` prints, for people to look at.
#[test]
fn derivatives_read_well() {
    let mut text = String::new();
    for case in cases() {
        let derived = derive(case.formula, &[case.wrt.to_owned()], 1).expect(case.formula);
        let simple = simplify(&derived).expect(case.formula);
        for lines in [simple.lines(false), simple.lines(true)] {
            text += &format!("{}\n", lines.join("\n"));
        }
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}
