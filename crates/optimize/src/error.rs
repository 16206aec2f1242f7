//! What can go wrong in optimisation.

/// A rule broke its promise: a fault of the rule, not of the graph, which is valid as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptimizeError {
    /// The result of a rule is not well typed or of another type than what it replaces.
    #[error("the rule `{rule}` gives an ill-typed result: {message}")]
    IllTyped {
        /// The rule's name.
        rule: &'static str,
        /// What is wrong.
        message: String,
    },
}
