//! `bespoke derive`.

use bespoke_graph::{Graph, NodeId};
use bespoke_inspect as report;
use bespoke_optimize::{Rounding, optimize};

use crate::error::Failure;

/// The longest formula, in characters.
const LONGEST: usize = 4000;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// A formula, such as "sigmoid(w*x+b)^2"
    formula: String,
    /// Variables to differentiate by
    #[arg(long, value_delimiter = ',', required = true)]
    wrt: Vec<String>,
    /// How often; by one variable after the other where there are several
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=6))]
    order: u8,
    /// In LaTeX
    #[arg(long)]
    latex: bool,
}

/// The formula with its derivatives, as they are derived and as the e-graph leaves them. What several parts share comes first.
pub fn derive(arguments: &Arguments) -> Result<String, Failure> {
    if arguments.formula.chars().count() > LONGEST {
        return Err(Failure(format!("a formula has at most {LONGEST} characters")));
    }
    let mut graph = Graph::new();
    let f = report::parse_expression(&mut graph, &arguments.formula)
        .map_err(|e| Failure(format!("{}\n  {e}", arguments.formula)))?;
    let mut outputs = vec![("f".to_owned(), f)];
    for name in &arguments.wrt {
        let variable = graph.source(name).ok_or_else(|| {
            let known: Vec<&str> = graph.inputs().map(|i| i.0).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Failure(format!("there is no variable `{name}`; there are {known}"))
        })?;
        outputs.push((
            label(name, arguments.order, arguments.latex),
            repeated(&mut graph, f, variable, arguments.order)?,
        ));
    }
    for (i, (_, id)) in outputs.iter().enumerate() {
        graph.set_output(&i.to_string(), *id)?;
    }
    // A formula has finite values where it has any: x/x is 1.
    let config = bespoke_optimize::Config {
        rounding: Rounding::AssumesFinite,
        iterations: 12,
        growth: 40,
        ..Default::default()
    };
    let (simple, _) = optimize(&graph, &config)?;
    let lines = |title: &str, graph: &Graph| -> String {
        let mut lines = if arguments.latex { report::latex(graph) } else { report::formulas(graph) };
        // The outputs come last, in order.
        let first = lines.len() - outputs.len();
        for ((name, _), line) in outputs.iter().zip(&mut lines[first..]) {
            let value = line.split_once(" = ").map_or("", |parts| parts.1);
            *line = format!("{name} = {value}");
        }
        format!("{title}\n{}", lines.iter().map(|line| format!("  {line}\n")).collect::<String>())
    };
    Ok(format!("{}{}", lines("derived", &graph), lines("simplified", &simple)))
}

/// The derivative of a value by a variable, so often; zero where it does not depend on it.
fn repeated(graph: &mut Graph, value: NodeId, variable: NodeId, order: u8) -> Result<NodeId, Failure> {
    let one = graph.fill_like(variable, 1.0);
    (0..order).try_fold(value, |value, _| {
        let tangent = bespoke_autodiff::jvp(graph, &[value], &[(variable, one)])?[0];
        Ok(tangent.unwrap_or_else(|| graph.fill_like(value, 0.0)))
    })
}

/// ∂f/∂w, ∂²f/∂w² …
fn label(name: &str, order: u8, latex: bool) -> String {
    let power = match (order, latex) {
        (1, _) => String::new(),
        (_, true) => format!("^{order}"),
        (_, false) => ["²", "³", "⁴", "⁵", "⁶"][usize::from(order) - 2].to_owned(),
    };
    if latex {
        format!(r"\frac{{\partial{power} f}}{{\partial {name}{power}}}")
    } else {
        format!("∂{power}f/∂{name}{power}")
    }
}
