//! Products that share an operand, merged into a wider one: the 1×1 convolutions of an inception module, queries, keys and
//! values of attention, gradients of weights by one activation.
//!
//! No place of a graph shows such siblings, so they are proposed from the whole. What is alike after each (bias, activation)
//! is merged with them, so that it stays the product's epilogue. That each is a slice of the merged value undoes it.

use bespoke_graph::{
    Graph, NodeId, Op, op,
    op::{Binary, Convolution, Dot, Unary},
};
use bespoke_tensor::{Shape, Type};
use rustc_hash::FxHashMap;

use crate::{
    cost,
    example::Example,
    rule::{Rule, function, whole},
    view::{Children, Class, Term, View, is_commutative, nodes},
};

/// So many elementwise operators after the products are merged at most.
const EPILOGUE: usize = 8;
/// FLOP from which a product is no better for company: it fills the machine alone, and its operands would have to be put
/// together.
const LARGE: f64 = 1.4e8;
/// A product of a concatenation of more parts is not split.
const SPLIT: usize = 4;

/// Along which axis one operand of a product may be lengthened, and which axis of the result that is.
fn seam(graph: &Graph, node: NodeId, operand: usize) -> Option<(usize, usize)> {
    let node = graph.node(node);
    match &node.op {
        Op::Dot(d) => {
            let ranks = [graph.ty(node.inputs[0]).rank(), graph.ty(node.inputs[1]).rank()];
            let (left, batches) = (d.lhs_free(ranks[0]), d.batch.0.len());
            let own = if operand == 0 { left.clone() } else { d.rhs_free(ranks[1]) };
            Some((*own.first()?, batches + operand * left.len()))
        }
        // Images of one kernel, or kernels for one image.
        Op::Convolution(c) => (operand == 0 || c.groups == 1).then_some((0, operand)),
        _ => None,
    }
}

/// Products of one operator whose operands are equal but for one, which is equal but for the extent of one axis; by pairs of
/// that axis and the axis of the result.
fn siblings(graph: &Graph, is_asked: fn(&Op) -> bool, operand: usize) -> Vec<(Vec<NodeId>, (usize, usize))> {
    let mut groups: Vec<(Vec<NodeId>, (usize, usize))> = vec![];
    let mut index: FxHashMap<(&Op, NodeId, Shape), usize> = FxHashMap::default();
    for id in graph.ids().filter(|&id| is_asked(&graph.node(id).op)) {
        let node = graph.node(id);
        let operands: Vec<Type> = node.inputs.iter().map(|&i| graph.ty(i)).collect();
        if cost::flops(&node.op, &operands, &node.ty) > LARGE {
            continue;
        }
        let Some(seam) = seam(graph, id, operand) else { continue };
        let mut dims = graph.ty(node.inputs[operand]).shape.to_vec();
        dims[seam.0] = 0;
        let Ok(shape) = Shape::new(&dims) else { continue };
        let group = *index.entry((&node.op, node.inputs[1 - operand], shape)).or_insert_with(|| {
            groups.push((vec![], seam));
            groups.len() - 1
        });
        groups[group].0.push(id);
    }
    groups.retain(|g| g.0.len() > 1);
    groups
        .into_iter()
        .flat_map(|(all, seam)| independent(graph, &all).into_iter().map(move |g| (g, seam)))
        .collect()
}

/// Nodes, ascending, in groups of which no member depends on another.
fn independent(graph: &Graph, nodes: &[NodeId]) -> Vec<Vec<NodeId>> {
    let (first, last) = (nodes[0].index(), nodes[nodes.len() - 1].index());
    // How many of the nodes come one after another up to here.
    let mut depth = vec![0u32; last - first + 1];
    let mut groups: Vec<Vec<NodeId>> = vec![];
    let mut next = nodes.iter().peekable();
    for i in first..=last {
        let id = NodeId(i as u32);
        let inputs = graph.node(id).inputs.iter().filter_map(|x| x.index().checked_sub(first));
        depth[i - first] = inputs.map(|x| depth[x]).max().unwrap_or(0);
        if next.next_if_eq(&&id).is_some() {
            let group = depth[i - first] as usize;
            if groups.len() <= group {
                groups.resize_with(group + 1, Vec::new);
            }
            groups[group].push(id);
            depth[i - first] += 1;
        }
    }
    groups.retain(|g| g.len() > 1);
    groups
}

/// Values side by side along an axis of one wide value.
struct Merged {
    parts: Vec<NodeId>,
    axis: usize,
    whole: Term,
    shape: Shape,
}

impl Merged {
    fn propose(&self, graph: &Graph, all: &mut Vec<(NodeId, Term)>) {
        let mut start = 0;
        for &node in &self.parts {
            let extent = graph.ty(node).shape[self.axis];
            all.push((node, self.whole.clone().part(self.shape, self.axis, start, extent)));
            start += extent;
        }
    }

    /// What is computed from each part alike, from the whole.
    fn epilogue(&self, graph: &Graph, users: &[Vec<NodeId>]) -> Option<Merged> {
        let mut parts = vec![];
        for part in &self.parts {
            let [user] = users[part.index()][..] else { return None };
            parts.push(user);
        }
        let op = &graph.node(parts[0]).op;
        if !matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_))
            || parts.iter().any(|&p| graph.node(p).op != *op)
        {
            return None;
        }
        // The operands of each, with the part itself first if they may change places.
        let operands = |i: usize| {
            let mut inputs = graph.node(parts[i]).inputs.clone();
            if is_commutative(op) && inputs[1] == self.parts[i] {
                inputs.swap(0, 1);
            }
            inputs
        };
        let all: Vec<_> = (0..parts.len()).map(operands).collect();
        let operand = |k: usize| {
            let own = all[0][k] == self.parts[0];
            let alike = |i: usize| (all[i][k] == self.parts[i]) == own;
            if !(0..parts.len()).all(alike) {
                return None;
            }
            let others: Vec<NodeId> = all.iter().map(|inputs| inputs[k]).collect();
            if own { Some(self.whole.clone()) } else { self.side_by_side(graph, &others) }
        };
        let operands = (0..all[0].len()).map(operand).collect::<Option<Vec<_>>>()?;
        Some(Merged { whole: Term::Node(op.clone(), operands), parts, ..*self })
    }

    /// Other operands beside each other: what is repeated is so afterwards.
    fn side_by_side(&self, graph: &Graph, values: &[NodeId]) -> Option<Term> {
        let broadcast = |&v: &NodeId| match &graph.node(v).op {
            Op::Broadcast(b) => Some((graph.node(v).inputs[0], b.axes.clone())),
            _ => None,
        };
        let repeated: Option<Vec<(NodeId, Vec<usize>)>> = values.iter().map(broadcast).collect();
        let Some(repeated) = repeated.filter(|all| all.iter().all(|r| r.1 == all[0].1)) else {
            let whole = values.iter().map(|v| Term::Class(v.0)).collect();
            return Some(Term::concatenate(whole, self.axis));
        };
        let axes = repeated[0].1.clone();
        let narrow: Vec<Term> = repeated.iter().map(|r| Term::Class(r.0.0)).collect();
        let narrow = match axes.iter().position(|&a| a == self.axis) {
            Some(axis) => Term::concatenate(narrow, axis),
            None => narrow[0].clone(),
        };
        let one = axes.contains(&self.axis) || repeated.iter().all(|r| r.0 == repeated[0].0);
        one.then(|| narrow.broadcast(self.shape, axes))
    }
}

fn merge(graph: &Graph, is_asked: fn(&Op) -> bool, operand: usize) -> Vec<(NodeId, Term)> {
    let mut all = vec![];
    let groups = siblings(graph, is_asked, operand);
    if groups.is_empty() {
        return all;
    }
    let mut users = graph.users();
    graph.roots().for_each(|r| users[r.index()].push(r));
    for (parts, (axis, out)) in groups {
        let first = graph.node(parts[0]);
        let varying = parts.iter().map(|p| Term::Class(graph.node(*p).inputs[operand].0)).collect();
        let mut operands = [0, 1].map(|k| Term::Class(first.inputs[k].0));
        operands[operand] = Term::concatenate(varying, axis);
        let mut dims = first.ty.shape.to_vec();
        dims[out] = parts.iter().map(|&p| graph.ty(p).shape[out]).sum();
        let Ok(shape) = Shape::new(&dims) else { continue };
        let whole = Term::Node(first.op.clone(), operands.into());
        let mut merged = Merged { parts, axis: out, whole, shape };
        merged.propose(graph, &mut all);
        for _ in 0..EPILOGUE {
            let Some(next) = merged.epilogue(graph, &users) else { break };
            merged = next;
            merged.propose(graph, &mut all);
        }
    }
    all
}

/// The axes of both operands that a product sums over first.
fn summed(product: &Op) -> Option<[usize; 2]> {
    match product {
        Op::Dot(d) => Some([*d.contract.0.first()?, *d.contract.1.first()?]),
        Op::Convolution(c) => (c.groups == 1).then_some([1, 1]),
        _ => None,
    }
}

fn equal_but_for(a: Shape, b: Shape, axis: usize) -> bool {
    a.rank() == b.rank() && (0..a.rank()).all(|i| i == axis || a[i] == b[i])
}

/// x·a + y·b is [x, y]·[a; b].
fn sum_of_products(view: &dyn View, _: Class, op: &Op, children: &Children) -> Option<Term> {
    let Op::Binary(Binary::Add) = op else { return None };
    for (product, xs) in nodes(view, children[0]) {
        let Some(axes) = summed(product) else { continue };
        let fits = |ys: &Children| {
            let alike = |i: usize| equal_but_for(view.ty(xs[i]).shape, view.ty(ys[i]).shape, axes[i]);
            // What is shared is taken out of the sum instead.
            xs[0] != ys[0] && xs[1] != ys[1] && alike(0) && alike(1)
        };
        let other = nodes(view, children[1]).find(|(op, ys)| *op == product && fits(ys));
        if let Some((_, ys)) = other {
            let both = |i: usize| Term::concatenate(vec![Term::Class(xs[i]), Term::Class(ys[i])], axes[i]);
            return Some(Term::Node(product.clone(), vec![both(0), both(1)]));
        }
    }
    None
}

/// [x, y]·w is x·(the first rows of w) + y·(the others).
fn product_of_parts(view: &dyn View, op: &Op, children: &Children, operand: usize) -> Option<Term> {
    let axes = summed(op)?;
    nodes(view, children[operand]).find_map(|(concatenate, parts)| {
        let Op::Concatenate(c) = concatenate else { return None };
        if c.axis != axes[operand] || parts.len() > SPLIT {
            return None;
        }
        let other = children[1 - operand];
        let mut start = 0;
        let mut products = vec![];
        for &part in &parts {
            let extent = view.ty(part).shape[c.axis];
            let mut operands = vec![Term::Class(part); 2];
            operands[1 - operand] =
                Term::Class(other).part(view.ty(other).shape, axes[1 - operand], start, extent);
            products.push(Term::Node(op.clone(), operands));
            start += extent;
        }
        products.into_iter().reduce(|sum, product| Term::new(Binary::Add, [sum, product]))
    })
}

fn is_dot(op: &Op) -> bool {
    matches!(op, Op::Dot(_))
}

fn is_convolution(op: &Op) -> bool {
    matches!(op, Op::Convolution(_))
}

/// σ of two products of one matrix, with biases.
fn two_units(e: &mut Example) -> NodeId {
    let [m, k] = e.dims();
    let x = e.input([m, k]);
    let [_, y] = [0, 1].map(|_| {
        let n = e.dim();
        let (w, b) = (e.input([k, n]), e.input([n]));
        let xw = e.graph.matmul(x, w);
        let wide = e.graph.broadcast(b, [m, n].into(), &[1]);
        let sum = e.graph.plus(xw, wide);
        e.graph.unary(Unary::Sigmoid, sum)
    });
    y
}

/// Two convolutions of one image, with ReLU.
fn two_branches(e: &mut Example, second: Convolution) -> NodeId {
    let [n, c] = e.dims();
    let x = e.input([n, c, 6, 5]);
    let [_, y] = [Convolution::new(&[1, 1], &[1, 0]), second].map(|convolution| {
        let kernel = [e.dim(), c, 3, 2];
        let w = e.input(kernel);
        let y = e.graph.must(convolution, &[x, w]);
        let zero = e.fill(y, 0.0);
        e.graph.binary(Binary::Max, y, zero)
    });
    y
}

/// Siblings.
pub const RULES: &[Rule] = &[
    whole("merge/dots-right", |g| merge(g, is_dot, 1))
        .why("x·a and x·b are halves of x·[a, b]: x is packed once, tiles are wider, one kernel runs for two")
        .example(two_units)
        .near_miss(|e| {
            // The second needs the first.
            let ([m, n], scale) = (e.dims(), e.input([]));
            let x = e.input([m, n]);
            let w = e.input([n, m]);
            let xw = e.graph.matmul(x, w);
            let shape = [n, m].into();
            let wide = e.graph.broadcast(scale, shape, &[]);
            let sum = e.graph.sum_all(xw);
            let sum = e.graph.broadcast(sum, shape, &[]);
            let v = e.graph.times(sum, wide);
            e.graph.matmul(x, v)
        }),
    whole("merge/dots-left", |g| merge(g, is_dot, 0))
        .why("a·w and b·w are halves of [a; b]·w: w is packed once, one kernel runs for two")
        .example(|e| {
            let [k, n] = e.dims();
            let w = e.input([k, n]);
            let [_, y] = [0, 1].map(|_| {
                let m = e.dim();
                let x = e.input([m, k]);
                e.graph.matmul(x, w)
            });
            y
        })
        .near_miss(|e| {
            let [k, m] = e.dims();
            let (w, x, y) = (e.input([k, k]), e.input([m, k]), e.input([m, k]));
            e.graph.matmul(x, w);
            // Contracted with the other dimension of w.
            e.graph.must(Dot { batch: (vec![], vec![]), contract: (vec![1], vec![1]) }, &[y, w])
        }),
    whole("merge/convolutions", |g| merge(g, is_convolution, 1))
        .why("the 1×1 convolutions of an inception module are one: the image is read once, tiles are wider")
        .example(|e| two_branches(e, Convolution::new(&[1, 1], &[1, 0])))
        .near_miss(|e| two_branches(e, Convolution::new(&[1, 1], &[0, 0]))),
    whole("merge/images", |g| merge(g, is_convolution, 0))
        .why("images that one kernel sees are one batch")
        .example(|e| {
            let c = e.dim();
            let kernel = [e.dim(), c, 2, 2];
            let w = e.input(kernel);
            let [_, y] = [0, 1].map(|_| {
                let n = e.dim();
                let x = e.input([n, c, 4, 3]);
                e.graph.must(Convolution::new(&[2, 1], &[0, 1]), &[x, w])
            });
            y
        })
        .near_miss(|e| {
            let c = e.dim();
            let kernel = [e.dim(), c, 2, 2];
            let w = e.input(kernel);
            let [_, y] = [4, 5].map(|extent| {
                let x = e.input([2, c, extent, 3]);
                e.graph.must(Convolution::new(&[2, 1], &[0, 1]), &[x, w])
            });
            y
        }),
    function("merge/sum", &["add"], sum_of_products)
        .why("x·a + y·b is [x, y]·[a; b]: one product for two, and none to add to the other")
        .example(|e| {
            if e.below(2) == 0 {
                let [m, n] = e.dims();
                let [y, z] = [0, 1].map(|_| {
                    let k = e.dim();
                    let (x, w) = (e.input([m, k]), e.input([k, n]));
                    e.graph.matmul(x, w)
                });
                return e.graph.plus(y, z);
            }
            let [n, o] = e.dims();
            let [y, z] = [0, 1].map(|_| {
                let c = e.dim();
                let (x, w) = (e.input([n, c, 4, 3]), e.input([o, c, 2, 2]));
                e.graph.must(Convolution::new(&[1, 2], &[1, 0]), &[x, w])
            });
            e.graph.plus(y, z)
        })
        .near_miss(|e| {
            // Groups see features of their own.
            let [n, o] = e.dims();
            let [y, z] = [0, 1].map(|_| {
                let (x, w) = (e.input([n, 4, 4, 3]), e.input([2 * o, 2, 2, 2]));
                e.graph.must(Convolution { groups: 2, ..Convolution::new(&[1, 2], &[1, 0]) }, &[x, w])
            });
            e.graph.plus(y, z)
        }),
    function("merge/split-left", &["dot"], |view, _, op, children| product_of_parts(view, op, children, 0))
        .why("[x, y]·w is x·a + y·b: nothing is put side by side")
        .example(|e| beside(e, true, 0))
        .near_miss(|e| beside(e, false, 0)),
    function("merge/split-right", &["dot"], |view, _, op, children| product_of_parts(view, op, children, 1))
        .why("w·[x; y] is a·x + b·y: nothing is put side by side")
        .example(|e| beside(e, true, 1))
        .near_miss(|e| beside(e, false, 1)),
];

/// The product of a matrix with two others side by side, along what is summed over or not.
fn beside(e: &mut Example, is_summed: bool, operand: usize) -> NodeId {
    let dims = e.dims();
    let axis = if is_summed { 1 - operand } else { operand };
    let parts = [0, 1].map(|_| {
        let mut dims = dims;
        dims[axis] = e.dim();
        e.input(dims)
    });
    let both = e.graph.must(op::Concatenate { axis }, &parts);
    let extent = e.graph.ty(both).shape[1 - operand];
    let n = e.dim();
    if operand == 0 {
        let w = e.input([extent, n]);
        return e.graph.matmul(both, w);
    }
    let w = e.input([n, extent]);
    e.graph.matmul(w, both)
}
