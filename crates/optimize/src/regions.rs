//! Regions of large graphs, each searched on its own.
//!
//! Those that are equal up to renaming are searched once, and what is found is used at each place; different ones are
//! searched in parallel. A region need not be convex: it may hold a layer's forward and backward half, between which lies
//! the rest of the network. What is found is built on demand, and a region that would need its own result stays as it was.
//!
//! Measured on training steps, in processor time of all threads: regions gain about what a search of the whole gains (ResNet-50
//! 1.9 % and 2.2 % of the modelled cost, DenseNet-121 4.5 and 4.4, ResNet-152 1.7 and 1.6), in about the same time on one core.
//! Small graphs are searched whole, as there is time for it and no border to lose anything at.

pub mod cut;
pub mod partition;
pub mod splice;

use std::sync::Arc;

use bespoke_graph::{Graph, NodeId};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

pub use cut::Region;
use cut::{Cut, Cutting};
use partition::partition;

use crate::{
    Config, OptimizeError, Report,
    notes::Notes,
    optimize::{Found, search},
};

/// How large regions are, in nodes.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Graphs below this are one region.
    pub whole: usize,
    /// A piece of a region is at least so large, unless nothing is left open where it ends.
    pub small: usize,
    /// A region is at most so large.
    pub large: usize,
}

/// What has proved good.
pub const SIZES: Sizes = Sizes { whole: 4000, small: 20, large: 300 };

/// The cheapest graph that is found, in one search or by regions.
pub fn search_regions(
    graph: Graph,
    sizes: Sizes,
    config: &Config,
    report: &mut Report,
    notes: &mut Notes,
) -> Result<Graph, OptimizeError> {
    if graph.len() < sizes.whole {
        let names: Vec<NodeId> = graph.ids().collect();
        let region = Region::whole(graph);
        let found = search(&region, config, notes.fork())?;
        report.add(&found, &[&names]);
        note(notes, &region.graph, &region.graph, &found, &[&names]);
        return Ok(found.graph.unwrap_or(region.graph));
    }
    let own = cut::own(&graph);
    let regions = partition(&graph, &own, sizes);
    let cutting = Cutting::new(&graph, own, &regions);
    let mut numbers: FxHashMap<Arc<Region>, usize> = FxHashMap::default();
    let mut distinct: Vec<Arc<Region>> = vec![];
    let mut cuts: Vec<(usize, Cut)> = Vec::with_capacity(regions.len());
    for nodes in regions {
        let (region, cut) = cutting.cut(nodes);
        let region = Arc::new(region);
        let number = *numbers.entry(region.clone()).or_insert(distinct.len());
        if number == distinct.len() {
            distinct.push(region);
        }
        cuts.push((number, cut));
    }
    let searched: Vec<_> = distinct.par_iter().map(|region| search(region, config, notes.fork())).collect();
    let found = searched.into_iter().collect::<Result<Vec<Found>, _>>()?;
    let best: Vec<Option<&Graph>> = found.iter().map(|f| f.graph.as_ref()).collect();
    let (result, is_kept) = splice::splice(&graph, &cuts, &best, &config.machine);
    report.regions = cuts.len();
    report.distinct = distinct.len();
    let mut names: Vec<Vec<&[NodeId]>> = vec![vec![]; distinct.len()];
    for ((number, cut), _) in cuts.iter().zip(is_kept).filter(|c| !c.1) {
        names[*number].push(&cut.nodes);
    }
    for ((found, names), region) in found.iter().zip(&names).zip(&distinct) {
        report.add(found, names);
        note(notes, &graph, &region.graph, found, names);
    }
    Ok(result)
}

/// Notes what was noted of a region, at each of its places in the graph.
fn note(notes: &mut Notes, graph: &Graph, region: &Graph, found: &Found, places: &[&[NodeId]]) {
    notes.join(&found.notes);
    if let (Some(trace), Some(part)) = (&mut notes.trace, &found.notes.trace) {
        let names = trace.import(graph);
        for place in places {
            let names: Vec<NodeId> = place.iter().map(|id| names[id.index()]).collect();
            trace.add_region(region, part, &names);
        }
    }
}
