//! Weights that are zero and stay so.

use crate::{Graph, Parameter, Value};

/// The name of the mask of a parameter.
fn mask_name(parameter: &str) -> String {
    format!("mask/{parameter}")
}

/// A value of a parameter's type, 0 where the parameter is pruned.
pub(crate) fn masked<'g>(graph: &'g Graph, parameter: &Parameter, value: Value<'g>) -> Value<'g> {
    let name = mask_name(&parameter.name);
    let mask = graph.inner.borrow().parameters.iter().find(|p| p.name == name).map(|p| p.node);
    match mask {
        Some(mask) => Value { graph, id: Some(mask) }.select(value, 0.0),
        None => value,
    }
}
