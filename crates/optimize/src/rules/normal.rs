//! Normal forms: what is equal in many spellings, in one.

use bespoke_graph::op::{Binary, Dot};

use crate::{
    einsum,
    rule::{Rule, whole},
};

/// Normal forms.
pub const RULES: &[Rule] = &[whole("normal/product", einsum::propose)
    .why("factors over named indices, contracted in the cheapest order, whatever the spelling")
    .near_miss(|e| {
        // One factor only.
        let x = e.matrix();
        e.graph.sum(x, &[0])
    })
    .example(|e| {
        // Σ (hⱼ wᵢⱼ)²
        let [m, n] = e.dims();
        let (h, w) = (e.input([n]), e.input([m, n]));
        let wide = e.graph.broadcast(h, [m, n].into(), &[1]);
        let jacobian = e.graph.binary(Binary::Mul, wide, w);
        let dot = Dot { batch: (vec![], vec![]), contract: (vec![0, 1], vec![0, 1]) };
        e.graph.must(dot, &[jacobian, jacobian])
    })];
