//! Graphs that are searched by regions.

use std::panic::Location;

use bespoke_graph::{Graph, NodeId, Op, op::Unary};
use bespoke_tensor::{DType, Type};

use super::{Random, decisions::mlp, difference, random::random_graph, run, sources};
use crate::{
    Config, Machine, Report, cost,
    notes::Notes,
    optimize,
    regions::{
        SIZES, Sizes,
        cut::{Cutting, own},
        partition::partition,
        search_regions,
        splice::splice,
    },
    tier0,
};

/// Regions of at most so many nodes, in pieces of at least so many.
fn sizes(small: usize, large: usize) -> Sizes {
    Sizes { whole: 0, small, large }
}

fn f32(shape: impl Into<bespoke_tensor::Shape>) -> Type {
    Type::new(DType::F32, shape)
}

fn search(graph: &Graph, sizes: Sizes) -> (Graph, Report) {
    let mut report = Report::default();
    let result =
        search_regions(graph.clone(), sizes, &Config::default(), &mut report, &mut Notes::default()).unwrap();
    (result, report)
}

#[test]
fn graphs_in_regions_mean_the_same() {
    let mut changed = 0;
    for seed in 1..=300 {
        let mut random = Random(seed * 0x9e37_79b9);
        let graph = tier0::compact(&random_graph(&mut random, 20 + (seed as usize) % 40));
        let (result, report) = search(&graph, sizes(1 + seed as usize % 5, 8));
        assert!(bespoke_graph::verify(&result).is_empty(), "{result}");
        assert!(
            cost::graph(&Machine::fixed(), &result) <= cost::graph(&Machine::fixed(), &graph),
            "graph {seed}:\n{graph}\n{result}\n{report}"
        );
        let values = sources(&graph, &mut Random(seed), false);
        let (before, after) = (run(&graph, &values), run(&result, &values));
        for (name, value) in &before.outputs {
            if value.scalars().all(|v| v.to_f64().abs() <= 1e6) {
                let difference = difference(value, &after.outputs[name], 1e-6);
                assert_eq!(difference, None, "graph {seed}, output {name}\n{graph}\n{result}\n{report}");
            }
        }
        changed += usize::from(result != graph);
    }
    assert!(changed > 100, "only {changed} graphs were changed");
}

/// h ← tanh(h·w·v), `n` times; each line of `places` asks for one of them.
pub fn blocks(n: usize, places: &[&'static Location<'static>]) -> Graph {
    let mut g = Graph::new();
    let mut h = g.input("x", f32([1000, 40])).unwrap();
    let states: Vec<NodeId> = (0..2 * n).map(|i| g.state(&format!("w{i}"), f32([40, 40])).unwrap()).collect();
    for (i, pair) in states.chunks(2).enumerate() {
        g.set_location(places.get(i).copied());
        let narrow = g.matmul(h, pair[0]);
        let wide = g.matmul(narrow, pair[1]);
        h = g.unary(Unary::Tanh, wide);
    }
    g.set_output("y", h).unwrap();
    g
}

#[test]
fn equal_regions_are_searched_once() {
    let graph = blocks(20, &[]);
    let (result, report) = search(&graph, sizes(3, 3));
    // The first region does not see a tanh as its input.
    assert_eq!((report.regions, report.distinct), (20, 2), "{report}");
    let [found] = &report.found[..] else { panic!("{report}") };
    assert_eq!((&found.rules[..], found.again.len()), (&["linear/compose"][..], 19));
    let first: Vec<NodeId> = found.before.iter().map(|b| b.0).collect();
    for (i, nodes) in [first].iter().chain(&found.again).enumerate() {
        let expected = [0, 1].map(|k| NodeId((41 + 3 * i + k) as u32));
        assert_eq!(*nodes, expected, "the two dots of block {i}\n{graph}");
    }
    assert!(report.to_string().contains("(×20)"), "{report}");
    // As if each had been searched.
    let whole = search(&graph, SIZES).0;
    assert_eq!(cost::graph(&Machine::fixed(), &result), cost::graph(&Machine::fixed(), &whole));
    assert_eq!(result.len(), whole.len());
}

#[track_caller]
fn here() -> &'static Location<'static> {
    Location::caller()
}

#[test]
fn what_is_used_again_has_its_own_place_in_the_program() {
    let places = [here(), here(), here()];
    let (result, report) = search(&blocks(3, &places), sizes(3, 3));
    assert_eq!(report.distinct, 2, "{report}");
    let computed = result.ids().filter(|&id| !result.node(id).inputs.is_empty());
    let found: Vec<_> = computed.map(|id| result.node(id).location.unwrap()).collect();
    assert_eq!(found, places.map(|p| [p; 3]).concat(), "{result}");
}

/// The product of two narrow matrices is a wide one that only the next region needs, which does without it.
#[test]
fn a_region_sees_what_its_inputs_are() {
    let mut g = Graph::new();
    let x = g.input("x", f32([1000, 8])).unwrap();
    let w = g.state("w", f32([8, 512])).unwrap();
    let v = g.state("v", f32([512, 1])).unwrap();
    let wide = g.matmul(x, w);
    let y = g.matmul(wide, v);
    g.set_output("y", y).unwrap();
    let (result, report) = search(&g, sizes(1, 1));
    assert_eq!(report.regions, 2, "{report}");
    assert!(result.ids().all(|id| result.ty(id) != g.ty(wide)), "{result}");
    assert_eq!(report.found.len(), 1, "{report}");
    assert_eq!(report.found[0].before, [(y, "dot")], "the other dot is not the region's:\n{report}");
}

#[test]
fn a_region_that_became_dearer_stays_as_it_was() {
    let graph = blocks(3, &[]);
    let own = own(&graph);
    let regions = partition(&graph, &own, sizes(3, 3));
    let cutting = Cutting::new(&graph, own, &regions);
    let cuts = regions.into_iter().enumerate();
    let cuts: Vec<_> = cuts.map(|(i, nodes)| (usize::from(i == 1), cutting.cut(nodes))).collect();
    let better = search(&cuts[0].1.0.graph, SIZES).0;
    let dearer = cuts[1].1.0.graph.rebuild(|new, id, inputs| {
        let node = cuts[1].1.0.graph.node(id);
        let value = new.must(node.op.clone(), inputs);
        match node.op {
            Op::Unary(_) => {
                let negative = new.negate(value);
                new.negate(negative)
            }
            _ => value,
        }
    });
    let cuts: Vec<_> = cuts.into_iter().map(|(number, (_, cut))| (number, cut)).collect();
    let (result, is_kept) = splice(&graph, &cuts, &[None, Some(&dearer)], &Machine::fixed());
    assert_eq!((result, is_kept), (graph.clone(), vec![false, true, false]));
    // What pays elsewhere pays for it.
    let (result, is_kept) = splice(&graph, &cuts, &[Some(&better), Some(&dearer)], &Machine::fixed());
    assert!(cost::graph(&Machine::fixed(), &result) < cost::graph(&Machine::fixed(), &graph));
    assert_eq!(is_kept, [false; 3]);
}

/// A region of a = tanh x and c = −b around one of b = sin a.
#[test]
fn a_region_that_would_need_itself_stays_as_it_was() {
    let mut g = Graph::new();
    let x = g.input("x", f32([3])).unwrap();
    let a = g.unary(Unary::Tanh, x);
    let b = g.unary(Unary::Sin, a);
    let c = g.negate(b);
    g.set_output("c", c).unwrap();
    let cutting = Cutting::new(&g, own(&g), &[vec![a, c], vec![b]]);
    let cuts = [(0, cutting.cut(vec![a, c]).1), (1, cutting.cut(vec![b]).1)];
    assert_eq!((&cuts[0].1.inputs, &cuts[0].1.outputs), (&vec![x, b], &vec![a, c]));
    // As if a search had found |·| of an input for each of the two.
    let found = |of: [usize; 2]| {
        let mut found = Graph::new();
        let inputs = ["0", "1"].map(|name| found.input(name, f32([3])).unwrap());
        for (name, i) in ["0", "1"].into_iter().zip(of) {
            let value = found.unary(Unary::Abs, inputs[i]);
            found.set_output(name, value).unwrap();
        }
        found
    };
    let (result, is_kept) = splice(&g, &cuts, &[Some(&found([0, 1])), None], &Machine::fixed());
    let abs = |id: &NodeId| result.node(*id).op == Unary::Abs.into();
    assert_eq!((result.ids().filter(abs).count(), is_kept), (2, vec![false; 2]), "{result}");
    // a from b, which comes from a.
    assert_eq!(splice(&g, &cuts, &[Some(&found([1, 1])), None], &Machine::fixed()), (g, vec![true, false]));
}

#[test]
fn any_number_of_threads_gives_the_same_text() {
    let graph = mlp(4, &[5; 200]);
    let texts = [1, 2, 4].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (result, report) = pool.install(|| optimize(&graph, &Config::default())).unwrap();
        assert!(report.distinct > 4, "there is something to share out: {report}");
        format!("{result}\n{report}")
    });
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
}
