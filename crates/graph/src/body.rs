//! Graphs as attributes of operators.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use rustc_hash::FxHasher;

use crate::Graph;

/// A graph that an operator runs: the body of a scan, the meaning of a custom operator. Shared, never changed, and hashed
/// once. Its inputs, in the order they were added, are its parameters; its outputs are its results. It has no states.
#[derive(Clone)]
pub struct Body(Arc<(u64, Graph)>);

impl Body {
    /// The graph as a body.
    pub fn new(graph: Graph) -> Body {
        let mut hasher = FxHasher::default();
        graph.hash(&mut hasher);
        Body(Arc::new((hasher.finish(), graph)))
    }
}

impl Deref for Body {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.0.1
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Body {}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.0.hash(state);
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.1, f)
    }
}
