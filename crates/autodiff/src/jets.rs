//! Numbers with several infinitesimal parts.

use std::fmt;

use bespoke_graph::{Graph, NodeId};

use crate::{GradError, jvp};

/// A value with infinitesimal parts: v + a₀ε₀ + a₁ε₁ + …, where the product of any two ε is zero. A dual number has one; a
/// value with one part for each variable carries its whole gradient.
///
/// ```
/// let jet = bespoke_autodiff::Jet { value: 6.0, parts: vec![3.0, -1.0, 0.0, 2.5] };
/// assert_eq!(jet.to_string(), "6 + 3ε₀ − ε₁ + 2.5ε₃");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Jet<T> {
    /// The value itself.
    pub value: T,
    /// How much of ε₀, ε₁, … there is.
    pub parts: Vec<T>,
}

impl<T> Jet<T> {
    /// The same jet of other things, such as of the nodes' values.
    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Jet<U> {
        Jet { value: f(&self.value), parts: self.parts.iter().map(f).collect() }
    }
}

/// Appends the jet of a value where variable i is xᵢ + εᵢ: forward mode with a tangent for each variable, so that the forward
/// values are shared. A part is the derivative by its variable, of the value's type, summed over the variable's elements if
/// it has several; zero if the value does not depend on it. Parts are nodes, and have jets themselves.
///
/// ```
/// use bespoke_graph::{Graph, eval};
/// use bespoke_tensor::{DType, Type, Tensor};
///
/// let mut g = Graph::new();
/// let x = g.input("x", Type::scalar(DType::F64))?;
/// let y = g.input("y", Type::scalar(DType::F64))?;
/// let product = g.times(x, y);
/// let jet = bespoke_autodiff::jet(&mut g, product, &[x, y])?;
/// let at = |name: &str| Some(Tensor::scalar(if name == "x" { 2.0 } else { 3.0 }));
/// let values = bespoke_graph::eval_all(&g, &at)?;
/// let jet = jet.map(|id| values[id.index()].get(0).to_f64());
/// assert_eq!(jet.to_string(), "6 + 3ε₀ + 2ε₁");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GradError`] if a variable or the value is not of floats.
pub fn jet(graph: &mut Graph, value: NodeId, variables: &[NodeId]) -> Result<Jet<NodeId>, GradError> {
    if !graph.ty(value).dtype.is_float() {
        return Err(GradError::NotFloat(value, graph.ty(value)));
    }
    let mut parts = vec![];
    for &variable in variables {
        let one = graph.fill_like(variable, 1.0);
        let part = jvp(graph, &[value], &[(variable, one)])?[0];
        parts.push(part.unwrap_or_else(|| graph.fill_like(value, 0.0)));
    }
    Ok(Jet { value, parts })
}

impl fmt::Display for Jet<f64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |f: &mut fmt::Formatter<'_>, v: f64| match f.precision() {
            Some(digits) => write!(f, "{v:.digits$}"),
            None => write!(f, "{v}"),
        };
        let minus = if self.value < 0.0 { "−" } else { "" };
        f.write_str(minus)?;
        size(f, self.value.abs())?;
        for (i, &part) in self.parts.iter().enumerate().filter(|p| *p.1 != 0.0) {
            f.write_str(if part < 0.0 { " − " } else { " + " })?;
            if part.abs() != 1.0 {
                size(f, part.abs())?;
            }
            let digits = i.to_string();
            let lowered = digits.bytes().map(|d| char::from_u32(0x2080 + u32::from(d - b'0')));
            write!(f, "ε{}", lowered.map(|c| c.expect("subscripts are letters")).collect::<String>())?;
        }
        Ok(())
    }
}
