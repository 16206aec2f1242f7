//! `bespoke derive`.

use bespoke_inspect as report;

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
    /// Without sigmoid and softplus, where exponentials and logarithms take fewer operations
    #[arg(long)]
    elementary: bool,
}

/// The formula with its derivatives, as they are derived and as the e-graph leaves them. What several parts share comes first.
pub fn derive(arguments: &Arguments) -> Result<String, Failure> {
    let Arguments { formula, wrt, order, latex, elementary } = arguments;
    if formula.chars().count() > LONGEST {
        return Err(Failure(format!("a formula has at most {LONGEST} characters")));
    }
    let derived = report::derive(formula, wrt, *order).map_err(|e| match e {
        report::DerivationError::Expression(e) => Failure(format!("{formula}\n  {e}")),
        e => Failure(e.to_string()),
    })?;
    let simplified = report::simplify(&derived, *elementary)?;
    let lines = |title: &str, derivation: &report::Derivation| -> String {
        let lines: String = derivation.lines(*latex).iter().map(|line| format!("  {line}\n")).collect();
        format!("{title}\n{lines}")
    };
    Ok(format!("{}{}", lines("derived", &derived), lines("simplified", &simplified)))
}
