//! What a graph costs: a roofline model with a fixed machine, so that decisions are the same everywhere.
//!
//! A dot or reduction is a kernel: max(flops / peak, bytes / bandwidth) + launch. Elementwise operators and movement fuse
//! into their users and cost their flops only. Constants cost nothing, nor what can be computed from them in advance.

use bespoke_graph::{Graph, NodeId, Op, op::Binary, op::Unary};
use bespoke_tensor::{DType, Type};

use crate::bodies;

/// Flops of a dot, a nanosecond: about half of one core's AVX-512 peak in f32.
const DOT_FLOPS: f64 = 32.0;
/// Flops of elementwise code and reductions, a nanosecond.
const FLOPS: f64 = 8.0;
/// Bytes a nanosecond from the outer caches.
const BANDWIDTH: f64 = 16.0;
/// Nanoseconds to start a kernel.
const LAUNCH: f64 = 300.0;
/// Nanoseconds for a node: of two equal graphs, the one with fewer nodes is better.
const NODE: f64 = 0.1;
/// Nanoseconds for a node that is only another view.
const VIEW: f64 = 0.01;

/// Flops of a quotient.
pub const DIVISION: f64 = 4.0;

/// Constants of at most so many elements are always computed in advance.
pub const FOLDED_ELEMENTS: usize = 1024;
/// Larger ones are if they take at most so many flops.
const FOLDED_FLOPS: f64 = 4e7;

/// Should an operator on constants of these types, of which so many elements are stored, be computed in advance?
pub fn is_foldable(op: &Op, operands: &[Type], stored: usize, ty: &Type) -> bool {
    let computed_later = operands.is_empty() || matches!(op, Op::Barrier(_));
    !computed_later && ty.elements() <= stored.max(FOLDED_ELEMENTS) && flops(op, operands, ty) <= FOLDED_FLOPS
}

/// How many elements are stored of a node that can be computed in advance, if it can; its operands store so many.
pub fn stored(
    op: &Op,
    operands: &[Type],
    stored: impl Iterator<Item = Option<usize>>,
    ty: &Type,
) -> Option<usize> {
    if let Op::Constant(_) = op {
        return Some(ty.elements());
    }
    let given = stored.sum::<Option<usize>>()?;
    if is_foldable(op, operands, given, ty) {
        return Some(ty.elements());
    }
    // What is repeated is so where it is used.
    matches!(op, Op::Broadcast(_)).then_some(given)
}

/// Floating-point operations of a node; functions such as exp count 20, moving an element one half.
pub fn flops(op: &Op, operands: &[Type], ty: &Type) -> f64 {
    let n = ty.elements() as f64;
    let operand = |i: usize| operands[i].elements() as f64;
    n * match op {
        Op::Input(_) | Op::StateRead(_) | Op::Constant(_) => 0.0,
        Op::Reshape(_) | Op::Broadcast(_) | Op::Slice(_) | Op::StopGradient(_) | Op::Barrier(_) => 0.0,
        Op::Iota(_) | Op::Transpose(_) | Op::Reverse(_) => 0.5,
        Op::Unary(f) => match f {
            Unary::Neg | Unary::Abs | Unary::Not | Unary::Floor | Unary::Ceil | Unary::Round => 1.0,
            Unary::Sign | Unary::IsNan | Unary::IsFinite => 2.0,
            Unary::Sqrt => 6.0,
            Unary::Rsqrt => 8.0,
            _ => 20.0,
        },
        Op::Binary(Binary::Pow | Binary::Atan2 | Binary::Rem) => 40.0,
        Op::Binary(Binary::Div) => DIVISION,
        Op::Binary(_) | Op::Select(_) | Op::Convert(_) => 1.0,
        Op::Gather(_) => 2.0,
        Op::DynamicSlice(_) => 0.5,
        Op::DynamicUpdate(_) => 3.0,
        Op::Cumulative(_) => 1.0,
        Op::ArgSort(s) => 4.0 * (ty.shape[s.axis] as f64).max(2.0).log2(),
        Op::Pad(_) | Op::Concatenate(_) => 3.0,
        Op::RandomBits(_) => 30.0,
        Op::Custom(custom) => return graph_flops(&custom.body),
        Op::Reduce(_) | Op::ArgReduce(_) => return operand(0),
        Op::WindowReduce(r) => r.windows.elements() as f64,
        Op::WindowArg(a) => 2.0 * a.windows.elements() as f64,
        Op::Scan(scan) => return bodies::share(scan, graph_flops(&scan.body)),
        Op::ScatterAdd(_) => return operand(0) + 2.0 * operand(operands.len() - 1),
        Op::Convolution(_) => {
            return 2.0 * n * operands[1].shape[1..].iter().map(|&k| k as f64).product::<f64>();
        }
        Op::Dot(d) => {
            return 2.0 * n * d.contract.0.iter().map(|&k| operands[0].shape[k] as f64).product::<f64>();
        }
    }
}

/// Nanoseconds of work that is fused into its user.
pub fn elementwise(flops: f64) -> f64 {
    flops / FLOPS
}

/// Nanoseconds of a reduction.
pub fn reduction(flops: f64) -> f64 {
    LAUNCH + flops / FLOPS
}

/// Nanoseconds of a dot or a convolution.
pub fn contraction(flops: f64, bytes: f64, dtype: DType) -> f64 {
    let peak = if dtype == DType::F32 { DOT_FLOPS } else { DOT_FLOPS / 2.0 };
    LAUNCH + f64::max(flops / peak, bytes / BANDWIDTH)
}

/// Nanoseconds of a node.
pub fn node(op: &Op, operands: &[Type], ty: &Type) -> f64 {
    let flops = flops(op, operands, ty);
    let bytes = || operands.iter().chain([ty]).map(|t| t.bytes() as f64).sum::<f64>();
    let time = match op {
        Op::Input(_) | Op::StateRead(_) | Op::Constant(_) => return 0.0,
        Op::Reshape(_) | Op::Broadcast(_) => return VIEW,
        Op::Barrier(_) => return 0.0,
        Op::Custom(custom) => return graph(&custom.body),
        Op::Dot(_) | Op::Convolution(_) => contraction(flops, bytes(), ty.dtype),
        Op::Reduce(_)
        | Op::ArgReduce(_)
        | Op::WindowReduce(_)
        | Op::WindowArg(_)
        | Op::Cumulative(_)
        | Op::ArgSort(_)
        | Op::ScatterAdd(_) => reduction(flops),
        Op::Scan(scan) => LAUNCH + bodies::share(scan, graph(&scan.body)),
        _ => elementwise(flops),
    };
    time + NODE
}

/// Nanoseconds of a graph's live nodes.
pub fn graph(graph: &Graph) -> f64 {
    nodes(graph).iter().sum()
}

/// Nanoseconds of each node of a graph; none of what is dead or computed in advance.
pub fn nodes(graph: &Graph) -> Vec<f64> {
    each(graph, node)
}

/// Flops of a graph's live nodes.
pub fn graph_flops(graph: &Graph) -> f64 {
    each(graph, flops).iter().sum()
}

fn each(graph: &Graph, measure: fn(&Op, &[Type], &Type) -> f64) -> Vec<f64> {
    let live = graph.live();
    let mut stored: Vec<Option<usize>> = vec![None; graph.len()];
    let mut costs = vec![0.0; graph.len()];
    let mut loops: Vec<NodeId> = vec![];
    for id in graph.ids().filter(|i| live[i.index()]) {
        let node = graph.node(id);
        let operands: Vec<Type> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
        let given = node.inputs.iter().map(|i| stored[i.index()]);
        stored[id.index()] = self::stored(&node.op, &operands, given, &node.ty);
        if stored[id.index()].is_some() {
            continue;
        }
        let mut times = 1.0;
        if let Op::Scan(scan) = &node.op {
            // All of the loop, once.
            if loops.iter().any(|&other| graph.are_siblings(other, id)) {
                continue;
            }
            loops.push(id);
            times = scan.body.outputs().len() as f64;
        }
        costs[id.index()] = times * measure(&node.op, &operands, &node.ty);
    }
    costs
}
