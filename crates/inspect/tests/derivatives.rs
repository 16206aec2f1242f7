//! 40 derivatives against SymPy (`tests/goldens/sympy_derivatives.py`): no longer than its shortest form of at least 36, and none
//! wrong. Sigmoid and softplus count as one function each, or as their definitions: both are held to this.

use bespoke_graph::{Graph, eval};
use bespoke_inspect::{derive, formulas, simplify};
use bespoke_optimize::{Config, Minimise, elementary_operations, operations, optimize};
use bespoke_tensor::Tensor;

const GOLDEN: &str = include_str!("../../../tests/goldens/derivatives.txt");

struct Case {
    formula: &'static str,
    wrt: &'static str,
    /// The fewest operations of SymPy, elementary or not, and its elementary form.
    operations: [usize; 2],
    sympy: &'static str,
    /// Values of the variables, and of the derivative.
    points: Vec<(Vec<(&'static str, f64)>, f64)>,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = vec![];
    for line in GOLDEN.lines().filter(|l| !l.is_empty() && !l.starts_with("//")) {
        let columns: Vec<&str> = line.split(" ; ").collect();
        match columns[..] {
            [formula, wrt, elementary, operations, _, sympy] => {
                let operations = [elementary, operations].map(|n| n.parse().expect("a number"));
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
fn shortest(case: &Case, minimise: Minimise) -> Graph {
    let derived = derive(case.formula, &[case.wrt.to_owned()], 1).expect(case.formula);
    let mut graph = derived.graph;
    let derivative = graph.output("1").expect("the first derivative");
    graph.clear_outputs();
    graph.set_output("derivative", derivative).expect("it is the only output");
    let config = Config { minimise, ..Config::formula(&graph) };
    optimize(&graph, &config).expect(case.formula).0
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

/// Compares all derivatives with those of SymPy.
fn compare(minimise: Minimise, column: usize, count: fn(&Graph) -> usize) {
    let cases = cases();
    assert_eq!(cases.len(), 40);
    let (mut short, mut right) = (0, 0);
    let mut table = String::new();
    for case in &cases {
        assert!(!case.points.is_empty(), "{}", case.formula);
        let graph = shortest(case, minimise);
        let (ours, sympy, error) = (count(&graph), case.operations[column], error(case, &graph));
        short += usize::from(ours <= sympy);
        right += usize::from(error <= 1e-12);
        let mark = if ours <= sympy { ' ' } else { '*' };
        table += &format!("{mark} {ours:2} {sympy:2} {error:7.0e}  {} by {}\n", case.formula, case.wrt);
        table += &format!("    ours   {}\n    SymPy  {}\n", formulas(&graph).join("; "), case.sympy);
    }
    // Shown by `-- --nocapture`, and where the test fails.
    println!("{short} as short, {right} right; operations of ours and SymPy's, largest error:\n{table}");
    assert!(short >= 36 && right == 40, "{short} as short, {right} right");
}

#[test]
fn derivatives_are_as_short_as_those_of_sympy() {
    compare(Minimise::Operations, 1, operations);
}

#[test]
fn derivatives_in_elementary_functions_are_as_short_as_those_of_sympy() {
    compare(Minimise::Elementary, 0, elementary_operations);
}

/// What `bespoke derive` prints, for people to look at.
#[test]
fn derivatives_read_well() {
    let mut text = String::new();
    for case in cases() {
        let derived = derive(case.formula, &[case.wrt.to_owned()], 1).expect(case.formula);
        let simple = simplify(&derived, false).expect(case.formula);
        text += &format!("{} by {}\n", case.formula, case.wrt);
        for lines in [simple.lines(false), simple.lines(true)] {
            text += &lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
        }
    }
    insta::assert_snapshot!(text);
}
