//! What a graph costs: a roofline model of one core.
//!
//! A dot or reduction is a kernel: its launch, its operations at the machine's speed, and for a dot the packing of its operands.
//! Elementwise operators and movement fuse into their users and cost their operations only; in a graph, a value that lowering
//! will store costs its bytes too, where they take longer than the operations. Constants cost nothing, nor what can be
//! computed from them in advance.

use bespoke_graph::{Graph, NodeId, Op, op::Binary, op::Convolution, op::Dot, op::Unary};
use bespoke_tensor::{DType, Type};
use smallvec::SmallVec;

use crate::{Config, Machine, Minimise, bodies, operations, stores};

/// Operations that take as long as an element of another order in memory.
const TRANSPOSED: f64 = 8.0;
/// Flops that a function such as exp counts.
const FUNCTION: f64 = 20.0;
/// Nanoseconds for a node: of two equal graphs, the one with fewer nodes is better.
const NODE: f64 = 0.1;
/// Nanoseconds for a node that is only another view.
const VIEW: f64 = 0.01;

/// Flops of a quotient.
pub const DIVISION: f64 = 4.0;

/// Operations that a nanosecond weighs among formulas with equally many.
const BY_TIME: f64 = 0.01;

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
            _ => FUNCTION,
        },
        Op::Binary(Binary::Pow | Binary::Atan2 | Binary::Rem) => 2.0 * FUNCTION,
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

/// Nanoseconds of work of this type that is fused into its user.
pub fn elementwise(machine: &Machine, flops: f64, dtype: DType) -> f64 {
    flops / per_nanosecond(machine.elementwise) * lanes(dtype)
}

/// Nanoseconds of a reduction of this type.
pub fn reduction(machine: &Machine, flops: f64, dtype: DType) -> f64 {
    f64::from(machine.launch) + flops / per_nanosecond(machine.reduction) * lanes(dtype)
}

/// Nanoseconds of a dot, by the bytes of its operands and of its result: both operands are packed by kernels of their own.
pub fn dot(machine: &Machine, flops: f64, [operands, result]: [f64; 2], dtype: DType) -> f64 {
    let packing = operands / per_nanosecond(machine.packing);
    3.0 * f64::from(machine.launch) + packing + (flops / dots(machine, dtype)).max(traffic(machine, result))
}

/// Flops a nanosecond of dots in a type.
fn dots(machine: &Machine, dtype: DType) -> f64 {
    per_nanosecond(if dtype.size() == 8 { machine.dot_f64 } else { machine.dot_f32 })
}

/// Below these extents, and below so many products, a dot is an ordinary loop.
const TILE: [usize; 3] = [4, 4, 2];
const PRODUCTS: usize = 2048;

fn is_packed(dot: &Dot, operands: &[Type]) -> bool {
    let extent = |axes: &[usize], ty: &Type| axes.iter().map(|&a| ty.shape[a]).product::<usize>();
    let (lhs, rhs) = (&operands[0], &operands[1]);
    let extents = [
        extent(&dot.lhs_free(lhs.rank()), lhs),
        extent(&dot.rhs_free(rhs.rank()), rhs),
        extent(&dot.contract.0, lhs),
    ];
    extents.iter().zip(TILE).all(|(&extent, least)| extent >= least)
        && extents.iter().product::<usize>() >= PRODUCTS
}

/// Nanoseconds of a convolution: its kernel is packed, its operand is read as it lies, and before that copied if it is padded.
fn convolution(machine: &Machine, op: &Convolution, operands: &[Type], ty: &Type, flops: f64) -> f64 {
    let launch = f64::from(machine.launch);
    let of_group = ty.shape[1] / op.groups.max(1);
    if of_group < 2 {
        return launch + flops / per_nanosecond(machine.reduction) * lanes(ty.dtype);
    }
    let packing = operands[1].bytes() as f64 / per_nanosecond(machine.packing);
    let is_padded = op.padding.iter().any(|&padding| padding != (0, 0));
    let read = traffic(machine, operands[0].bytes() as f64);
    let padding = if is_padded { 2.0 * read + launch } else { 0.0 };
    let arithmetic = flops / per_nanosecond(machine.convolution) * lanes(ty.dtype);
    2.0 * launch + packing + padding + read + arithmetic.max(traffic(machine, ty.bytes() as f64))
}

/// Nanoseconds to read or write a value of so many bytes.
pub fn traffic(machine: &Machine, bytes: f64) -> f64 {
    let fits = |size: u32| bytes <= f64::from(size) * 1e3;
    let speed = if fits(machine.near_size) {
        machine.near
    } else if fits(machine.cache_size) {
        machine.cache
    } else {
        machine.memory
    };
    bytes / per_nanosecond(speed)
}

/// Of millions a second.
fn per_nanosecond(speed: u32) -> f64 {
    f64::from(speed) / 1e3
}

/// How much longer than f32 vectors of a type take.
fn lanes(dtype: DType) -> f64 {
    if dtype.size() == 8 { 2.0 } else { 1.0 }
}

/// Nanoseconds of a node by itself: what is fused costs its operations, nothing is written.
pub fn node(machine: &Machine, op: &Op, operands: &[Type], ty: &Type) -> f64 {
    let flops = flops(op, operands, ty);
    let bytes = || [operands.iter().map(|t| t.bytes() as f64).sum(), ty.bytes() as f64];
    let time = match op {
        Op::Input(_) | Op::StateRead(_) | Op::Constant(_) => return 0.0,
        Op::Reshape(_) | Op::Broadcast(_) => return VIEW,
        Op::Barrier(_) => return 0.0,
        Op::Custom(custom) => return graph(machine, &custom.body),
        Op::Dot(d) if is_packed(d, operands) => dot(machine, flops, bytes(), ty.dtype),
        Op::Dot(_) => {
            let moved = operands.iter().chain([ty]).map(|t| traffic(machine, t.bytes() as f64)).sum();
            f64::from(machine.launch) + f64::max(2.0 * flops / dots(machine, ty.dtype), moved)
        }
        Op::Convolution(c) => convolution(machine, c, operands, ty, flops),
        // Each element is alone in its line of the cache.
        Op::Transpose(t) if t.permutation.last() != Some(&(ty.rank().wrapping_sub(1))) => {
            elementwise(machine, TRANSPOSED * ty.elements() as f64, ty.dtype)
        }
        Op::Reduce(_)
        | Op::ArgReduce(_)
        | Op::WindowReduce(_)
        | Op::WindowArg(_)
        | Op::Cumulative(_)
        | Op::ArgSort(_)
        | Op::ScatterAdd(_) => reduction(machine, flops, operands[0].dtype),
        Op::Scan(scan) => f64::from(machine.launch) + bodies::share(scan, graph(machine, &scan.body)),
        Op::Unary(_) | Op::Binary(_) if flops >= FUNCTION * ty.elements() as f64 => {
            flops / FUNCTION / per_nanosecond(machine.function) * lanes(ty.dtype)
        }
        _ => elementwise(machine, flops, ty.dtype),
    };
    time + NODE
}

/// What a node adds to what is minimised.
pub fn of_node(config: &Config, op: &Op, operands: &[Type], ty: &Type) -> f64 {
    let time = node(&config.machine, op, operands, ty);
    match config.minimise {
        Minimise::Time => time,
        Minimise::Operations => operations::of_node(op, false) + BY_TIME * time,
        Minimise::Elementary => operations::of_node(op, true) + BY_TIME * time,
    }
}

/// What is minimised, of a graph's live nodes.
pub fn of_graph(config: &Config, graph: &Graph) -> f64 {
    of_nodes(config, graph).iter().sum()
}

/// What of [`of_graph`] each node has.
pub fn of_nodes(config: &Config, graph: &Graph) -> Vec<f64> {
    match config.minimise {
        Minimise::Time => nodes(&config.machine, graph),
        Minimise::Operations | Minimise::Elementary => {
            each(graph, |op, operands, ty| of_node(config, op, operands, ty)).0
        }
    }
}

/// Nanoseconds of a graph's live nodes.
pub fn graph(machine: &Machine, graph: &Graph) -> f64 {
    nodes(machine, graph).iter().sum()
}

/// Nanoseconds of each node of a graph, with what it takes to write those values that lowering will store and to read them
/// again; none of what is dead or computed in advance.
pub fn nodes(machine: &Machine, graph: &Graph) -> Vec<f64> {
    let (mut costs, known) = each(graph, |op, operands, ty| node(machine, op, operands, ty));
    stores::add_traffic(machine, graph, &known, &mut costs);
    costs
}

/// Flops of a graph's live nodes.
pub fn graph_flops(graph: &Graph) -> f64 {
    each(graph, flops).0.iter().sum()
}

/// A measure of each live node, and whether it can be computed in advance, when it is 0.
pub fn each(graph: &Graph, measure: impl Fn(&Op, &[Type], &Type) -> f64) -> (Vec<f64>, Vec<bool>) {
    let live = graph.live();
    let mut stored: Vec<Option<usize>> = vec![None; graph.len()];
    let mut costs = vec![0.0; graph.len()];
    let mut loops: Vec<NodeId> = vec![];
    for id in graph.ids().filter(|i| live[i.index()]) {
        let node = graph.node(id);
        let operands: SmallVec<[Type; 3]> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
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
    (costs, stored.iter().map(Option::is_some).collect())
}
