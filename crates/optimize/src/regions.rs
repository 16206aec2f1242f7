//! Regions of large graphs, each searched on its own.
//!
//! Nodes are in topological order, so consecutive ones are convex: no path leaves a region and comes back. Regions end
//! before dots, which few rewrites cross. Those that are equal up to renaming are searched once, and what is found is used
//! at each place; different ones are searched in parallel. Measured on training steps (cost found, in time of the model
//! machine): ResNets of any depth gain as much as from a search of the whole, in a tenth of its time; transformers, where
//! a factor may move from the forward half to the backward half, two thirds of it. So graphs of up to a few thousand nodes
//! are searched whole.

pub mod cut;
pub mod splice;

use std::{ops::Range, sync::Arc};

use bespoke_graph::{Graph, NodeId, Op};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

pub use cut::Region;
use cut::{Cut, Cutting};

use crate::{
    Config, OptimizeError, Report,
    optimize::{Found, search},
};

/// How large regions are, in nodes.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Graphs below this are one region.
    pub whole: usize,
    /// A region is at least so large, but the last one.
    pub small: usize,
    /// A region of this size is cut even where there is no dot.
    pub large: usize,
}

/// What has proved good.
pub const SIZES: Sizes = Sizes { whole: 4000, small: 200, large: 500 };

/// The ranges of node numbers to search one by one.
pub fn ranges(graph: &Graph, sizes: Sizes) -> Vec<Range<usize>> {
    let mut cuts = vec![];
    let (mut start, mut size) = (0, 0);
    for id in graph.ids() {
        let node = graph.node(id);
        let is_dot = matches!(node.op, Op::Dot(_) | Op::Convolution(_));
        if size >= sizes.large || size >= sizes.small && is_dot {
            cuts.push(start..id.index());
            (start, size) = (id.index(), 0);
        }
        size += usize::from(!node.inputs.is_empty()); // sources and constants do not count
    }
    cuts.push(start..graph.len());
    cuts
}

/// The cheapest graph that is found, in one search or by regions.
pub fn search_regions(
    graph: Graph,
    sizes: Sizes,
    config: &Config,
    report: &mut Report,
) -> Result<Graph, OptimizeError> {
    if graph.len() < sizes.whole {
        let names: Vec<NodeId> = graph.ids().collect();
        let region = Region::whole(graph);
        let found = search(&region, config)?;
        report.add(&found, &[&names]);
        return Ok(found.graph.unwrap_or(region.graph));
    }
    let ranges = ranges(&graph, sizes);
    let cutting = Cutting::new(&graph, &ranges);
    let mut numbers: FxHashMap<Arc<Region>, usize> = FxHashMap::default();
    let mut distinct: Vec<Arc<Region>> = vec![];
    let mut cuts: Vec<(usize, Cut)> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let (region, cut) = cutting.cut(range);
        let region = Arc::new(region);
        let number = *numbers.entry(region.clone()).or_insert(distinct.len());
        if number == distinct.len() {
            distinct.push(region);
        }
        cuts.push((number, cut));
    }
    let searched: Vec<_> = distinct.par_iter().map(|region| search(region, config)).collect();
    let found = searched.into_iter().collect::<Result<Vec<Found>, _>>()?;
    let best: Vec<Option<&Graph>> = found.iter().map(|f| f.graph.as_ref()).collect();
    let (result, is_kept) = splice::splice(&graph, &cuts, &best, &config.machine);
    report.regions = cuts.len();
    report.distinct = distinct.len();
    let mut names: Vec<Vec<&[NodeId]>> = vec![vec![]; distinct.len()];
    for ((number, cut), _) in cuts.iter().zip(is_kept).filter(|c| !c.1) {
        names[*number].push(&cut.nodes);
    }
    found.iter().zip(&names).for_each(|(f, names)| report.add(f, names));
    Ok(result)
}
