//! The text form of graphs. [`parse`](crate::parse) reads it back.

use std::fmt;

use crate::{Graph, Operator};

/// One line a node, then outputs and next states:
///
/// ```text
/// graph {
///   %0 = input {name="x"} : f32[4]
///   %1 = tanh %0 : f32[4]
///   output "y" = %1
/// }
/// ```
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {{")?;
        for id in self.ids() {
            let node = self.node(id);
            write!(f, "  {id} = {}", node.op.name())?;
            for (i, input) in node.inputs.iter().enumerate() {
                write!(f, "{} {input}", if i > 0 { "," } else { "" })?;
            }
            let attributes = node.op.attributes();
            for (i, (key, value)) in attributes.0.iter().enumerate() {
                write!(f, "{}{key}={value}", if i > 0 { ", " } else { " {" })?;
            }
            writeln!(f, "{} : {}", if attributes.0.is_empty() { "" } else { "}" }, node.ty)?;
        }
        for (name, node) in self.outputs() {
            writeln!(f, "  output {name:?} = {node}")?;
        }
        for state in self.states() {
            if let Some(next) = state.next {
                writeln!(f, "  next {:?} = {next}", state.name)?;
            }
        }
        writeln!(f, "}}")
    }
}
