//! What can go wrong in optimisation.

use bespoke_graph::NodeId;

/// Optimisation failed, or a question about its result was wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptimizeError {
    /// The result of a rule is not well typed or of another type than what it replaces: a fault of the rule, not of the graph,
    /// which is valid as it is.
    #[error("the rule `{rule}` gives an ill-typed result: {message}")]
    IllTyped {
        /// The rule's name.
        rule: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A node was asked for that the optimised graph does not have.
    #[error("there is no {node} in the optimised graph; {}", known(*.nodes))]
    NoNode {
        /// The node asked for.
        node: NodeId,
        /// The number of nodes that there are.
        nodes: usize,
    },
}

fn known(nodes: usize) -> String {
    match nodes {
        0 => "it has no nodes".to_owned(),
        n => format!("its nodes are %0 to %{}", n - 1),
    }
}
