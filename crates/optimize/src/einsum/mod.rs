//! The normal form of products: multiplication, division, broadcasts, transposes, sums, dots and one-hot masks put together
//! into factors over named indices, however they were spelled, and taken apart again in the cheapest order.
//!
//! Each sum moves inwards over the factors that do not depend on its index, a sum over a δ of two indices is an index put in
//! another's place, factors that occur twice become squares, and numbers one coefficient. That composes linear units, finds the
//! order of a chain of products, and makes of ‖∂h/∂x‖² = Σ (h'ⱼ Wᵢⱼ)² the product of two small sums, Σ h'ⱼ² · Σ Wᵢⱼ².

mod collect;
mod contract;
mod product;

use bespoke_graph::{
    Graph, NodeId,
    op::{Binary, Unary},
};
use bespoke_tensor::DType;

use self::{
    collect::{Products, Sum},
    contract::contract,
    product::Product,
};
use crate::{tier0, view::Term};

/// The normal form of every product, and of every sum in which terms come together, that is not part of a larger one.
pub fn propose(graph: &Graph) -> Vec<(NodeId, Term)> {
    tier0::with_view(graph, |view| {
        let products = Products::collect(graph, view);
        let roots = graph.ids().filter(|id| !products.inlined[id.index()]);
        let proposals = roots.filter_map(|id| {
            let dtype = graph.ty(id).dtype;
            let term = match (&products.of[id.index()], &products.sums[id.index()]) {
                (Some(product), _) if product.operators > 1 => contract(product, dtype)?,
                (None, Some(sum)) if sum.merged => add(sum, dtype)?,
                _ => return None,
            };
            Some((id, term))
        });
        proposals.collect()
    })
}

/// The terms added up.
fn add(sum: &Sum, dtype: DType) -> Option<Term> {
    let mut total: Option<(bool, Term)> = None;
    for product in &sum.terms {
        let is_negative = product.coefficient < 0.0;
        let magnitude = Product { coefficient: product.coefficient.abs(), ..product.clone() };
        let term = contract(&magnitude, dtype)?;
        // ±total ± term
        total = Some(match total {
            None => (is_negative, term),
            Some((sign, total)) if sign == is_negative => (sign, Term::new(Binary::Add, [total, term])),
            Some((true, total)) => (false, Term::new(Binary::Sub, [term, total])),
            Some((false, total)) => (false, Term::new(Binary::Sub, [total, term])),
        });
    }
    total.map(|(is_negative, total)| if is_negative { Term::new(Unary::Neg, [total]) } else { total })
}
