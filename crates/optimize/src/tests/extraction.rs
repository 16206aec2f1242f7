//! What is chosen from an e-graph.

use bespoke_graph::{Graph, NodeId, Op, op::Binary, op::Dot};
use bespoke_tensor::{DType, Type};

use super::{Random, random::random_graph};
use crate::{
    Config, Extraction, Machine, cost,
    extract::{Choices, extract},
    optimize,
    regions::Region,
    saturate::saturate,
    tier0,
};

/// Two scaled values, each with two users. A scale that one user leaves to its result is dearer, as the scaled value is
/// still there for the other. If both do, it is cheaper for the wide value, dearer for the narrow one; greedy choice counts
/// what is shared twice, so it gets the narrow one wrong.
#[test]
fn exact_search_changes_two_users_at_once() {
    let mut g = Graph::new();
    let c = g.input("c", Type::new(DType::F32, [])).unwrap();
    for (name, width, results) in [("wide", 1000, 2), ("narrow", 100, 60)] {
        let x = g.input(name, Type::new(DType::F32, [64, width])).unwrap();
        let factor = g.broadcast(c, [64, width].into(), &[]);
        let scaled = g.times(x, factor);
        for i in 0..2 {
            // Over different axes, so that the two are not one product.
            let (axis, extent) = [(1, width), (0, 64)][i];
            let w = g.state(&format!("{name}{i}"), Type::new(DType::F32, [extent, results])).unwrap();
            let dot = Dot { batch: (vec![], vec![]), contract: (vec![axis], vec![0]) };
            let y = g.must(dot, &[scaled, w]);
            g.set_output(&format!("{name}{i}"), y).unwrap();
        }
    }
    let (result, report) = optimize(&g, &Config::default()).unwrap();
    let (best, others) = report.candidates.split_first().unwrap();
    assert_eq!(best.name, "exact", "{report}");
    assert!(others.len() == 4 && others.iter().all(|c| c.cost > best.cost + 100.0), "{report}");
    let is_dot_of_wide = |id: &NodeId| {
        let node = result.node(*id);
        matches!(node.op, Op::Dot(_)) && node.inputs[0] == result.source("wide").unwrap()
    };
    assert_eq!(result.ids().filter(is_dot_of_wide).count(), 2, "{result}");
    assert!(
        result
            .ids()
            .any(|id| result.ty(id).shape == [64, 100].into() && result.node(id).op == Binary::Mul.into()),
        "{result}"
    );
}

/// From the graph given alone, an exhaustive search finds what is at least as good as everything else.
#[test]
fn no_candidate_beats_an_exhaustive_search() {
    let config = Config { iterations: 3, ..Config::default() };
    let mut improved = 0;
    for seed in 1..=300 {
        let mut random = Random(seed * 0x9e37_79b9);
        let graph = tier0::compact(&random_graph(&mut random, 5 + (seed as usize) % 15));
        let region = Region::whole(graph);
        let saturated = saturate(&region, &config).unwrap();
        let choices = Choices::new(&region, &saturated, &config);
        let (best, candidates) = extract(&region, &choices, Extraction::Cheapest);
        let given = choices.cost(&choices.input).unwrap();
        // Some nodes may have turned out equal.
        assert!(given <= cost::graph(&Machine::fixed(), &region.graph) + 1e-6, "{}", region.graph);
        if let Some((graph, _)) = &best {
            let difference = candidates[0].cost - cost::graph(&Machine::fixed(), graph);
            assert!(difference.abs() < 1e-6, "what a choice costs is what its graph costs:\n{graph}");
        }
        let exact = choices.exact(&choices.input, 100_000);
        let exact = exact.map_or(given, |choice| choices.cost(&choice).expect("it is acyclic"));
        let found = best.map_or(given, |best| choices.cost(&best.1).expect("it is acyclic"));
        assert!(exact <= found + 2e-3, "{exact} {candidates:?}\n{}", region.graph);
        improved += usize::from(exact < given);
    }
    assert!(improved > 30, "only {improved} graphs can be improved");
}
