//! The normal form of products: multiplication, division, broadcasts, transposes, sums, dots and one-hot masks put together
//! into factors over named indices, however they were spelled, and taken apart again in the cheapest order.
//!
//! Each sum moves inwards over the factors that do not depend on its index, a sum over a δ of two indices is an index put in
//! another's place, factors that occur twice become squares, and numbers one coefficient. That composes linear units, finds the
//! order of a chain of products, and makes of ‖∂h/∂x‖² = Σ (h'ⱼ Wᵢⱼ)² the product of two small sums, Σ h'ⱼ² · Σ Wᵢⱼ².

mod collect;
mod contract;
mod product;

use bespoke_graph::{Graph, NodeId};

use crate::{tier0, view::Term};

/// The normal form of every product of the graph that is not part of a larger one.
pub fn propose(graph: &Graph) -> Vec<(NodeId, Term)> {
    tier0::with_view(graph, |view| {
        let products = collect::Products::collect(graph, view);
        let roots = graph.ids().filter(|id| !products.inlined[id.index()]);
        let proposals = roots.filter_map(|id| {
            let product = products.of[id.index()].as_ref().filter(|p| p.operators > 1)?;
            Some((id, contract::contract(product, graph.ty(id).dtype)?))
        });
        proposals.collect()
    })
}
