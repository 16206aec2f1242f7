//! Derivatives of formulas.

use bespoke_autodiff::{GradError, jvp};
use bespoke_graph::{Graph, GraphError, NodeId};
use bespoke_optimize::{Config, Minimise, OptimizeError, optimize};

use crate::{ExpressionError, formulas, latex, parse_expression};

/// A formula has no derivative as asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DerivationError {
    /// The text is no formula.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// The formula does not depend on what it is to be differentiated by.
    #[error("there is no variable `{name}`; there are {known}")]
    Variable {
        /// What was asked for.
        name: String,
        /// The formula's variables.
        known: String,
    },
    /// A part of it has no derivative.
    #[error(transparent)]
    Grad(#[from] GradError),
    /// The graph refuses a node.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It could not be simplified.
    #[error(transparent)]
    Optimize(#[from] OptimizeError),
}

/// A formula and its derivatives.
#[derive(Clone, Debug)]
pub struct Derivation {
    /// Its outputs are the formula, `0`, and the derivatives by one variable after the other, `1`, `2`, …
    pub graph: Graph,
    wrt: Vec<String>,
    order: u8,
}

/// Reads a formula ([`parse_expression`]) and differentiates it `order` times by each of the variables `wrt`.
///
/// ```
/// use bespoke_inspect::{derive, simplify};
///
/// let derived = derive("log(1 + exp(w*x))", &["w".into()], 1)?;
/// let lines = simplify(&derived, false)?.lines(false);
/// assert_eq!(lines.last().unwrap(), "∂f/∂w = x·σ(s)");
/// # Ok::<(), bespoke_inspect::DerivationError>(())
/// ```
///
/// # Errors
/// [`DerivationError`] if the text is no formula, has no such variable, or no derivative.
pub fn derive(formula: &str, wrt: &[String], order: u8) -> Result<Derivation, DerivationError> {
    let mut graph = Graph::new();
    let f = parse_expression(&mut graph, formula)?;
    let mut outputs = vec![f];
    for name in wrt {
        let variable = graph.source(name).ok_or_else(|| {
            let known: Vec<&str> = graph.inputs().map(|i| i.0).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            DerivationError::Variable { name: name.clone(), known }
        })?;
        outputs.push(repeated(&mut graph, f, variable, order)?);
    }
    for (i, id) in outputs.into_iter().enumerate() {
        graph.set_output(&i.to_string(), id)?;
    }
    Ok(Derivation { graph, wrt: wrt.to_vec(), order })
}

/// The derivative of a value by a variable, so often; zero where it does not depend on it.
fn repeated(graph: &mut Graph, value: NodeId, variable: NodeId, order: u8) -> Result<NodeId, GradError> {
    let one = graph.fill_like(variable, 1.0);
    (0..order).try_fold(value, |value, _| {
        let tangent = jvp(graph, &[value], &[(variable, one)])?[0];
        Ok(tangent.unwrap_or_else(|| graph.fill_like(value, 0.0)))
    })
}

/// The same with as few operations as the e-graph finds ([`Config::formula`]); if `elementary`, without the logistic function and
/// softplus where exponentials and logarithms take fewer.
///
/// # Errors
/// [`OptimizeError`] if a rule breaks its promise.
pub fn simplify(derivation: &Derivation, elementary: bool) -> Result<Derivation, OptimizeError> {
    let mut config = Config::formula(&derivation.graph);
    if elementary {
        config.minimise = Minimise::Elementary;
    }
    let (graph, _) = optimize(&derivation.graph, &config)?;
    Ok(Derivation { graph, ..derivation.clone() })
}

impl Derivation {
    /// The formula and its derivatives, `f = …` and `∂f/∂w = …`, in text or LaTeX. What several parts share comes first.
    pub fn lines(&self, in_latex: bool) -> Vec<String> {
        let mut lines = if in_latex { latex(&self.graph) } else { formulas(&self.graph) };
        let names = ["f".to_owned()].into_iter().chain(self.wrt.iter().map(|x| self.label(x, in_latex)));
        // The outputs come last, in order.
        let first = lines.len() - 1 - self.wrt.len();
        for (name, line) in names.zip(&mut lines[first..]) {
            let value = line.split_once(" = ").map_or("", |parts| parts.1);
            *line = format!("{name} = {value}");
        }
        lines
    }

    /// ∂f/∂w, ∂²f/∂w² …
    fn label(&self, name: &str, in_latex: bool) -> String {
        let power: String = match (self.order, in_latex) {
            (1, _) => String::new(),
            (n, true) => format!("^{n}"),
            (n, false) => n.to_string().chars().map(superscript).collect(),
        };
        if in_latex {
            format!(r"\frac{{\partial{power} f}}{{\partial {name}{power}}}")
        } else {
            format!("∂{power}f/∂{name}{power}")
        }
    }
}

fn superscript(digit: char) -> char {
    digit.to_digit(10).and_then(|d| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(d as usize)).unwrap_or(digit)
}
