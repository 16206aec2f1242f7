//! The text form of graphs. [`parse`](crate::parse) reads it back.

use std::fmt;

use crate::{Attribute, Body, Graph, Operator};

/// Bodies of operators, one line a node, then outputs and next states:
///
/// ```text
/// graph {
///   %0 = input {name="x"} : f32[4]
///   %1 = tanh %0 : f32[4]
///   output "y" = %1
/// }
/// ```
///
/// A body stands before the nodes, as `body @0 {`, its lines and `}`; numbers of bodies and nodes are its own.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {{")?;
        write_lines(f, self, 1)?;
        writeln!(f, "}}")
    }
}

/// What stands between the braces.
fn write_lines(f: &mut fmt::Formatter<'_>, graph: &Graph, depth: usize) -> fmt::Result {
    let indent = "  ".repeat(depth);
    let bodies = graph.bodies();
    for (i, body) in bodies.iter().enumerate() {
        writeln!(f, "{indent}body @{i} {{")?;
        write_lines(f, body, depth + 1)?;
        writeln!(f, "{indent}}}")?;
    }
    for id in graph.ids() {
        let node = graph.node(id);
        write!(f, "{indent}{id} = {}", node.op.name())?;
        for (i, input) in node.inputs.iter().enumerate() {
            write!(f, "{} {input}", if i > 0 { "," } else { "" })?;
        }
        let attributes = node.op.attributes();
        for (i, (key, value)) in attributes.0.iter().enumerate() {
            write!(f, "{}{key}=", if i > 0 { ", " } else { " {" })?;
            match value {
                Attribute::Body(body) => {
                    let number = bodies.iter().position(|b| b == body).expect("all bodies are listed");
                    write!(f, "@{number}")?;
                }
                value => write!(f, "{value}")?,
            }
        }
        writeln!(f, "{} : {}", if attributes.0.is_empty() { "" } else { "}" }, node.ty)?;
    }
    for (name, node) in graph.outputs() {
        writeln!(f, "{indent}output {name:?} = {node}")?;
    }
    for state in graph.states() {
        if let Some(next) = state.next {
            writeln!(f, "{indent}next {:?} = {next}", state.name)?;
        }
    }
    Ok(())
}

impl Graph {
    /// The distinct bodies of its operators, in the order of the nodes.
    pub fn bodies(&self) -> Vec<Body> {
        let mut bodies: Vec<Body> = vec![];
        for id in self.ids() {
            for body in self.node(id).op.attributes().bodies() {
                if !bodies.contains(body) {
                    bodies.push(body.clone());
                }
            }
        }
        bodies
    }
}
