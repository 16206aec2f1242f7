//! The few best whole graphs, to choose between them by more than a model.

use bespoke_graph::Graph;

use crate::{Config, Extraction, OptimizeError, Report, optimize};

/// A graph that is equal to the one given.
pub struct Whole {
    /// How it was found.
    pub name: &'static str,
    /// The graph.
    pub graph: Graph,
    /// What was done.
    pub report: Report,
}

/// The best graphs equal to one, at most so many and at least one, all different, the cheapest by the cost model first: the
/// result of [`optimize`](crate::optimize), those of other choices from the e-graphs, and that of the local rules alone.
///
/// ```
/// use bespoke_graph::Graph;
/// use bespoke_optimize::{Config, candidates};
/// use bespoke_tensor::{DType, Type};
///
/// let mut g = Graph::new();
/// let mut h = g.input("x", Type::new(DType::F32, [8192, 784]))?;
/// for (i, width) in [(784, 512), (512, 10)].into_iter().enumerate() {
///     let w = g.state(&format!("w{i}"), Type::new(DType::F32, <[usize; 2]>::from(width)))?;
///     h = g.matmul(h, w);
/// }
/// g.set_output("y", h)?;
/// // One product of weights for all rows; or as it was written.
/// let found = candidates(&g, &Config::default(), 9)?;
/// assert_eq!((found[0].name, found.last().unwrap().name), ("cheapest", "local rules"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OptimizeError`] if a rule breaks its promise.
pub fn candidates(graph: &Graph, config: &Config, most: usize) -> Result<Vec<Whole>, OptimizeError> {
    let mut found: Vec<Whole> = vec![];
    let mut add = |name: &'static str, config: Config| {
        let (graph, report) = optimize(graph, &config)?;
        if found.iter().all(|f| f.graph != graph) {
            found.push(Whole { name, graph, report });
        }
        Ok::<(), OptimizeError>(())
    };
    add("cheapest", config.clone())?;
    if config.egraph && most > 1 {
        for (name, extraction) in [
            ("improved input", Extraction::ImprovedInput),
            ("greedy", Extraction::Greedy),
            ("improved greedy", Extraction::ImprovedGreedy),
        ] {
            add(name, Config { extraction, ..config.clone() })?;
        }
        add("local rules", Config { egraph: false, ..config.clone() })?;
    }
    // Of equal costs the first wins.
    found.sort_by(|a, b| a.report.costs[2].total_cmp(&b.report.costs[2]));
    found.truncate(most.max(1));
    Ok(found)
}
