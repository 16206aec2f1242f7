//! Operators and layers give the numbers of PyTorch and JAX, and their first and second derivatives, that
//! `tests/goldens/generate.py` has written: evaluated in f64, and compiled in f32.

mod functions;
mod handles;
mod layers;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use bespoke::{
    nn,
    prelude::{Config, DType, Recurrent, Scalar, Tensor, Type, Value, compile},
    tensor::npy::read_npz,
};
use bespoke_autodiff::grad;
use bespoke_graph::{
    Graph, NodeId, Op, Operator, eval,
    op::{Concatenate, Constant},
    parse,
};

use crate::columns::no_failures;

const OPERATORS: &str = include_str!("../goldens/operators.txt");

/// Numbers that are meant to differ from the peers': the case, the value or order of derivative, and the elements, by the
/// operands' and the position.
type Explained = (&'static str, &'static str, fn(&[f64], usize) -> bool);

/// All that differ. Each must, or the test fails; what they are instead stands in the snapshot `explained`.
const EXPLAINED: &[Explained] = &[
    // The sign of NaN is NaN, and so the slope of its distance to 0. PyTorch says 0.
    ("extreme sign", "y", |x, _| x[0].is_nan()),
    ("extreme abs", "d", |x, _| x[0].is_nan()),
    // Where operands are equal, the second has the slope: relu(x), which is max(x, 0), has slope 0 at 0. PyTorch gives
    // each a half. NaN is not greater than anything, and the second has the slope too.
    ("extreme max", "d", |x, _| x[0] == x[1] || x[0].is_nan() || x[1].is_nan()),
    ("extreme min", "d", |x, _| x[0] == x[1] || x[0].is_nan() || x[1].is_nan()),
    // No element of a row with NaN is equal to its maximum, and none has a slope. PyTorch divides 0 by 0 of them.
    ("extreme reduce_max", "d", |_, i| (4..8).contains(&i)),
    ("extreme reduce_min", "d", |_, i| (4..8).contains(&i)),
    // x² + y², which the slopes are divided by, leaves what f32 has. Near the origin slopes are infinite, and at it there is
    // none; PyTorch says 0 for all of them.
    ("extreme atan2", "d", |x, _| x[0].abs() < 1e-29 && x[1].abs() < 1e-29),
    ("extreme atan2", "dd", |x, _| {
        (x[0] * x[0] + x[1] * x[1]).abs() < 1e-58 || x[0].abs().max(x[1].abs()) > 1e38
    }),
    // The slope by y is (c/y)·(x/y), which saves a division; c/y is infinite for the least y, and PyTorch's second derivative
    // is ∞·0 of most of them.
    ("extreme div", "d", |x, _| x[0] == 0.0 && x[1].abs() < 1e-39),
    ("extreme div", "dd", |x, _| x[1].abs() < 1e-29 || x[0].is_infinite()),
    // x·exp(−x²) is 0 for large x. PyTorch's is ∞·0.
    ("extreme erf", "dd", |x, _| x[0].abs() > 1e38),
    ("extreme softplus", "dd", |x, _| x[0] < -9e3),
    // x⁰ has slope 0, and that 1/x by y: 0·∞ for the least x. PyTorch gives the constant 0, and so loses d²/dxdy = 1/x;
    // and it takes ln x for 0 where x is negative.
    ("extreme pow", "d", |x, _| x[1] == 0.0 && (x[0].abs() < 1e-39 || x[0].is_nan())),
    ("extreme pow", "dd", |x, _| x[1] == 0.0 || x[0].abs() < 1e-39),
    // The remainder is exact however large the quotient is; PyTorch has x − y·trunc(x/y). Remainders by 0 and of ∞ have no
    // value and no slope.
    ("extreme rem", "y", |x, _| (x[0] / x[1]).abs() > 1e38),
    ("extreme rem", "d", |x, _| x[1] == 0.0 || x[0].is_infinite() || (x[0] / x[1]).abs() > 1e38),
    // At 0, the second derivative is that from below. PyTorch takes that from above.
    ("logits, elu", "dd", |x, _| x[0] == 0.0),
    ("elu", "dd", |x, _| x[0] == 0.0),
    ("selu", "dd", |x, _| x[0] == 0.0),
    ("logits, selu", "dd", |x, _| x[0] == 0.0),
    // PyTorch's least divisor is 10⁻¹² as f32 has it, and its second derivative there is not that of the first, which is a
    // straight line.
    ("sure, bernoulli_cross_entropy", "d", |x, _| x[1] == 0.0 || x[1] == 1.0),
    ("sure, bernoulli_cross_entropy", "dd", |x, _| x[1] == 0.0 || x[1] == 1.0),
    // Terms that cancel leave 0.6 of it; what f32 has rounded of them is 2·10⁻⁵, and the tolerance 1.3·10⁻⁵.
    ("group_norm_plain", "dd", |_, i| i == 9),
    ("layer_norm_plain", "dd", |_, i| i == 9),
    // What does not happen has no slope, whatever is thought of it. PyTorch's is 0/0 and 0·∞.
    ("sure, categorical_cross_entropy", "d", |x, _| x.contains(&0.0)),
    ("sure, categorical_cross_entropy", "dd", |x, _| x.contains(&0.0)),
    ("sure, kl_divergence", "d", |x, _| x.contains(&0.0)),
    ("sure, kl_divergence", "dd", |x, _| x.contains(&0.0)),
];

/// The arrays of a case by name: `in|x`, `y`, `d|x` and `dd|x`.
pub type Case = BTreeMap<String, Tensor>;

/// A number that is not the peers'.
enum Difference {
    /// The index of the explanation, the array, what is there instead, and the position.
    Explained(usize, String, String, usize),
    Wrong(String),
}

impl Difference {
    fn is_wrong(&self) -> bool {
        matches!(self, Difference::Wrong(_))
    }
}

/// How recurrent layers have their steps.
type Steps = for<'g> fn(Recurrent<'g>) -> Recurrent<'g>;

const STEPS: [Steps; 4] = [|r| r, |r| r.unrolled(), |r| r.segments(3), |r| r.checkpoints()];

/// All cases, by name.
pub fn cases() -> BTreeMap<String, Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/goldens.npz");
    let mut cases: BTreeMap<String, Case> = BTreeMap::new();
    for (name, tensor) in read_npz(path).unwrap() {
        let (case, what) = name.split_once('|').unwrap();
        cases.entry(case.to_owned()).or_default().insert(what.to_owned(), tensor);
    }
    cases
}

/// The graphs of operators, by the name of the case.
fn operators() -> BTreeMap<&'static str, String> {
    let texts = OPERATORS.split("// ").skip(1);
    texts.map(|text| text.split_once('\n').unwrap()).map(|(name, graph)| (name, graph.to_owned())).collect()
}

/// The inputs of a case, as values of a graph.
struct Inputs<'g> {
    graph: &'g nn::Graph,
    case: &'g Case,
    dtype: DType,
    made: RefCell<BTreeMap<String, Value<'g>>>,
}

impl<'g> Inputs<'g> {
    fn get(&self, name: &str) -> Value<'g> {
        let ty = narrowed(self.case[&format!("in|{name}")].ty(), self.dtype);
        *self
            .made
            .borrow_mut()
            .entry(name.to_owned())
            .or_insert_with(|| self.graph.input(name, ty.dtype, ty.shape.to_vec()))
    }
}

/// The type, with floats of this width.
fn narrowed(ty: Type, dtype: DType) -> Type {
    if ty.dtype.is_float() { Type { dtype, ..ty } } else { ty }
}

/// The graph of a case with floats of this type, with the output `y`; none if there is no such case.
fn built(name: &str, case: &Case, dtype: DType, steps: Steps) -> Option<Graph> {
    if let Some(text) = operators().get(name) {
        let widths = |to: &str| text.replace("f32[", to).replace("f64[", to);
        let text = widths(if dtype == DType::F32 { "f32[" } else { "f64[" });
        return Some(parse(&text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}")));
    }
    let graph = nn::Graph::new();
    let inputs = Inputs { graph: &graph, case, dtype, made: RefCell::default() };
    let y = functions::function(name, &inputs)
        .or_else(|| handles::handles(name, &inputs))
        .or_else(|| layers::layer(name, &inputs, steps))?;
    graph.output("y", y);
    let mut graph = graph.finish().unwrap_or_else(|e| panic!("{name}: {e}"));
    if name.ends_with(", next states") {
        // Of this case, what the states become is asked, one behind the other.
        let next: Vec<NodeId> = graph.states().iter().filter_map(|s| s.next).collect();
        graph.clear_outputs();
        let y = graph.must(Concatenate { axis: 0 }, &next);
        graph.set_output("y", y).expect("it is the only one");
    }
    Some(graph)
}

/// Adds Σ value · f(i) for the i-th element.
fn weighted(graph: &mut Graph, value: NodeId, weight: impl Fn(f64) -> f64) -> NodeId {
    let weights = Tensor::from_fn(graph.ty(value), |i| Scalar::F64(weight(i as f64)));
    let weights = graph.must(Constant { value: weights }, &[]);
    let product = graph.times(value, weights);
    graph.sum_all(product)
}

/// Makes outputs of the derivatives by the inputs that have one: d of Σ w·y, and dd of Σ v·d. Where nothing depends on an
/// input, there is none.
fn differentiate(graph: &mut Graph, case: &Case) {
    let y = graph.output("y").expect("built with one");
    let names: Vec<&str> = case.keys().filter_map(|what| what.strip_prefix("d|")).collect();
    if !graph.ty(y).dtype.is_float() || names.is_empty() {
        return;
    }
    let loss = weighted(graph, y, |i| (0.7 * i + 0.3).sin());
    let nodes = names.iter().filter_map(|name| Some((*name, graph.source(name)?)));
    let nodes: Vec<(&str, NodeId)> = nodes.collect();
    let mut sum = graph.scalar(Scalar::F64(0.0).convert(graph.ty(y).dtype));
    for (j, &(name, x)) in nodes.iter().enumerate() {
        let Ok(d) = grad(graph, loss, &[x]) else { continue };
        graph.set_output(&format!("d|{name}"), d[0]).expect("names differ");
        let part = weighted(graph, d[0], |i| (1.3 * i + j as f64).cos());
        sum = graph.plus(sum, part);
    }
    for &(name, x) in &nodes {
        let Ok(dd) = grad(graph, sum, &[x]) else { continue };
        graph.set_output(&format!("dd|{name}"), dd[0]).expect("names differ");
    }
}

/// Values for all that the graph reads: the case's, ones for running statistics, and yes for whether this is training.
fn sources(graph: &Graph, case: &Case) -> BTreeMap<String, Tensor> {
    let inputs = graph.inputs().map(|(name, id)| (name.to_owned(), id));
    let all = inputs.chain(graph.states().iter().map(|s| (s.name.clone(), s.node)));
    let value = |name: &str, ty: Type| match case.get(&format!("in|{name}")) {
        Some(tensor) => Tensor::from_fn(ty, |i| tensor.get(i)),
        None if ty.dtype == DType::Bool => Tensor::scalar(true),
        None => Tensor::from_fn(ty, |_| Scalar::F64(1.0)),
    };
    all.map(|(name, id)| (name.clone(), value(&name, graph.ty(id)))).collect()
}

/// Where what was computed differs from the case, for each array: the first element that is not explained, and those that
/// are. A derivative that either has not is zero.
fn compare(
    (name, case): (&str, &Case),
    got: &BTreeMap<String, Tensor>,
    close: impl Fn(f64, f64) -> bool,
) -> Vec<Difference> {
    let same = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || close(a, b);
    let operands = |i: usize| {
        let inputs = case.iter().filter(|(what, _)| what.starts_with("in|"));
        let here = inputs.filter(|(_, x)| i < x.ty().elements());
        here.map(|(_, x)| x.get(i).to_f64()).collect::<Vec<_>>()
    };
    let explanation = |what: &str, i: usize| {
        let order = what.split('|').next().expect("the first part");
        let of_this = |e: &Explained| e.0 == name && e.1 == order && (e.2)(&operands(i), i);
        EXPLAINED.iter().position(of_this)
    };
    let differ = |what: &str| {
        let (got, expected) = (got.get(what), case.get(what));
        let shape = got.or(expected).expect("the name is of one of them").ty().shape;
        if [got, expected].into_iter().flatten().any(|t| t.ty().shape != shape) {
            let types = [got, expected].map(|t| t.map(Tensor::ty));
            return vec![Difference::Wrong(format!(
                "{name}: {what}: {:?}, expected {:?}",
                types[0], types[1]
            ))];
        }
        let number = |t: Option<&Tensor>, i: usize| t.map_or(0.0, |t| t.get(i).to_f64());
        let pairs = (0..shape.elements()).map(|i| (i, number(got, i), number(expected, i)));
        let differences = pairs.filter(|&(_, a, b)| !same(a, b));
        let mut differences: Vec<Difference> = differences
            .map(|(i, a, b)| match explanation(what, i) {
                Some(index) => Difference::Explained(index, what.to_owned(), format!("{a:.3e}"), i),
                None => Difference::Wrong(format!("{name}: {what}: element {i}: {a:e}, expected {b:e}")),
            })
            .collect();
        differences.dedup_by(|a, b| a.is_wrong() && b.is_wrong());
        differences
    };
    let names: BTreeSet<&String> = got.keys().chain(case.keys().filter(|n| !n.starts_with("in|"))).collect();
    names.into_iter().flat_map(|what| differ(what)).collect()
}

/// What differs in a case.
fn check(name: &str, case: &Case, steps: Steps) -> Vec<Difference> {
    let mut found = vec![];
    let extreme = name.starts_with("extreme");
    for dtype in [DType::F64, DType::F32] {
        if extreme && dtype == DType::F64 {
            continue; // What overflows in f32 does not in f64.
        }
        let Some(mut graph) = built(name, case, dtype, steps) else {
            return vec![Difference::Wrong(format!("{name}: no graph is made of it"))];
        };
        differentiate(&mut graph, case);
        let sources = sources(&graph, case);
        let rough = |a: f64, b: f64| (a - b).abs() <= 2e-5 * b.abs() + 1e-6;
        // Tables of words are of f32.
        let narrow = graph.ty(graph.output("y").expect("built with one")).dtype == DType::F32;
        if dtype == DType::F64 || extreme {
            let values = eval(&graph, &|name| sources.get(name).cloned()).unwrap().outputs;
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * b.abs().max(1.0) || narrow && rough(a, b);
            found.extend(compare((name, case), &values, close));
        }
        if dtype == DType::F32 {
            found.extend(compare((name, case), &compiled(&graph, &sources), rough));
        }
    }
    found
}

/// What the compiled graph gives.
fn compiled(graph: &Graph, sources: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let config = Config { threads: 1, ..Config::default() };
    let mut program = compile(graph, &config, &mut |_| ()).unwrap();
    for state in graph.states() {
        program.set_state(&state.name, &sources[&state.name]).unwrap();
    }
    let inputs: Vec<(&str, &Tensor)> = graph.inputs().map(|(name, _)| (name, &sources[name])).collect();
    let outputs = program.run(&inputs).unwrap();
    outputs.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

#[test]
fn operators_and_layers_give_the_numbers_of_pytorch_and_jax() {
    let cases = cases();
    let names: Vec<&String> = cases.keys().collect();
    let all = |names: &[&String]| {
        let mut found = vec![];
        for &name in names {
            let recurrent = ["rnn", "lstm", "gru"].iter().any(|kind| name.starts_with(kind));
            for steps in &STEPS[..if recurrent { 4 } else { 1 }] {
                found.extend(check(name, &cases[name], *steps));
            }
        }
        found
    };
    let (first, second) = names.split_at(names.len() / 2);
    let found = std::thread::scope(|scope| {
        let second = scope.spawn(|| all(second));
        let mut found = all(first);
        found.extend(second.join().unwrap());
        found
    });
    let (mut wrong, mut used) = (vec![], BTreeSet::new());
    // Of each case, array and number: where it is.
    let mut explained: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for difference in found {
        match difference {
            Difference::Wrong(text) => wrong.push(text),
            Difference::Explained(index, what, number, at) => {
                used.insert(index);
                explained.entry((EXPLAINED[index].0, what, number)).or_default().insert(at);
            }
        }
    }
    for (index, (name, what, _)) in EXPLAINED.iter().enumerate() {
        if !used.contains(&index) {
            wrong.push(format!("{name}: {what} is explained and does not differ"));
        }
    }
    no_failures(&wrong);
    let line = |((case, what, number), at): (&(&str, String, String), &BTreeSet<usize>)| {
        let at: Vec<String> = at.iter().map(usize::to_string).collect();
        format!("{case}: {what} is {number} at {}\n", at.join(" "))
    };
    insta::assert_snapshot!("explained", explained.iter().map(line).collect::<String>());
}

#[test]
fn every_operator_has_a_golden() {
    // Bits of random numbers are those of Random123's tables; the others have no value of their own, or (the high word of
    // a product) are no operator of PyTorch's and JAX's.
    let without = ["input", "state", "constant", "random_bits", "mulhigh"];
    let cases = cases();
    let mut seen: BTreeSet<&str> = without.into();
    for (name, case) in &cases {
        let graph = built(name, case, DType::F64, STEPS[0]).unwrap();
        seen.extend(graph.ids().map(|id| graph.node(id).op.name()));
    }
    let missing: Vec<&str> = Op::names().into_iter().filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "operators without a golden: {missing:?}");
    let stale: Vec<&str> = operators().into_keys().filter(|name| !cases.contains_key(*name)).collect();
    assert!(stale.is_empty(), "graphs without numbers: {stale:?}");
}
