//! Tier 0: rules that always pay, applied while the graph is rebuilt.
//!
//! A node is simplified when it is added, from operands that are simple already, so that one pass in topological order
//! reaches the fixpoint. Each rule names itself in the log.

use bespoke_graph::{
    Graph, NodeId, Op, Operator,
    op::{Binary, Broadcast, Constant, Dot, Reduce, Transpose, Unary},
};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Shape, Tensor, Type};

use crate::rounding::Rounding;

/// The largest constant that folding makes, in elements.
const LARGEST_CONSTANT: usize = 1024;

/// Adds simplified nodes to a graph.
pub struct Simplifier {
    /// The graph under construction.
    pub graph: Graph,
    /// The loosest class of rules allowed.
    pub rounding: Rounding,
    /// How often each rule was applied.
    pub fired: std::collections::BTreeMap<&'static str, usize>,
}

impl Simplifier {
    /// Adds a node, or one that is equal and cheaper.
    pub fn add(&mut self, op: &Op, inputs: &[NodeId]) -> NodeId {
        let folded = self.fold(op, inputs);
        let result = folded.or_else(|| match op {
            Op::Unary(f) => self.unary(*f, inputs[0]),
            Op::Binary(f) => self.binary(*f, inputs[0], inputs[1]),
            Op::Select(_) => self.select(inputs[0], inputs[1], inputs[2]),
            Op::Convert(c) if self.graph.ty(inputs[0]).dtype == c.dtype => {
                self.done("movement/convert-same", inputs[0])
            }
            Op::StopGradient(_) => self.done("movement/stop-gradient", inputs[0]),
            Op::Reshape(r) => self.reshape(inputs[0], r.shape),
            Op::Transpose(t) => self.transpose(inputs[0], t),
            Op::Broadcast(b) => self.broadcast(inputs[0], b),
            Op::Slice(_) | Op::Pad(_) | Op::Concatenate(_) | Op::Reverse(_) => self.whole(op, inputs),
            Op::Reduce(r) => self.reduce(inputs[0], r),
            Op::Dot(d) => self.dot(inputs[0], inputs[1], d),
            _ => None,
        });
        result.unwrap_or_else(|| self.graph.must(op.clone(), inputs))
    }

    fn done(&mut self, rule: &'static str, result: NodeId) -> Option<NodeId> {
        *self.fired.entry(rule).or_default() += 1;
        Some(result)
    }

    fn op(&self, id: NodeId) -> &Op {
        &self.graph.node(id).op
    }

    fn input(&self, id: NodeId, i: usize) -> NodeId {
        self.graph.node(id).inputs[i]
    }

    /// The value of all elements, if it is one constant.
    pub fn splat(&self, id: NodeId) -> Option<Scalar> {
        match self.op(id) {
            Op::Constant(c) if c.value.ty().rank() == 0 => Some(c.value.get(0)),
            Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) => self.splat(self.input(id, 0)),
            _ => None,
        }
    }

    /// A constant of one value, as a scalar that is broadcast.
    fn fill(&mut self, shape: Shape, value: Scalar) -> NodeId {
        let scalar = self.graph.scalar(value);
        self.graph.broadcast(scalar, shape, &[])
    }

    /// Operators on constants.
    fn fold(&mut self, op: &Op, inputs: &[NodeId]) -> Option<NodeId> {
        if inputs.is_empty() || matches!(op, Op::Broadcast(_)) {
            return None;
        }
        let types: Vec<Type> = inputs.iter().map(|&i| self.graph.ty(i)).collect();
        let ty = op.infer(&types).ok()?;
        let elementwise = matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_));
        if elementwise && let Some(values) = inputs.iter().map(|&i| self.splat(i)).collect::<Option<Vec<_>>>()
        {
            let scalars: Vec<Tensor> = values.into_iter().map(Tensor::scalar).collect();
            let value = op.eval(&scalars.iter().collect::<Vec<_>>(), Type::scalar(ty.dtype)).get(0);
            let result = self.fill(ty.shape, value);
            return self.done("fold/constants", result);
        }
        let constant = |id: &NodeId| match self.op(*id) {
            Op::Constant(c) => Some(c.value.clone()),
            _ => None,
        };
        let values = inputs.iter().map(constant).collect::<Option<Vec<Tensor>>>()?;
        if ty.elements() > LARGEST_CONSTANT {
            return None;
        }
        let value = op.eval(&values.iter().collect::<Vec<_>>(), ty);
        let result = self.graph.must(Constant { value }, &[]);
        self.done("fold/constants", result)
    }

    fn unary(&mut self, f: Unary, x: NodeId) -> Option<NodeId> {
        match (f, self.op(x)) {
            (Unary::Neg, Op::Unary(Unary::Neg)) => self.done("algebra/neg-neg", self.input(x, 0)),
            (Unary::Not, Op::Unary(Unary::Not)) => self.done("algebra/not-not", self.input(x, 0)),
            (Unary::Abs, Op::Unary(Unary::Neg | Unary::Abs)) => {
                let result = self.add(&Unary::Abs.into(), &[self.input(x, 0)]);
                self.done("algebra/abs-even", result)
            }
            _ => None,
        }
    }

    fn binary(&mut self, f: Binary, x: NodeId, y: NodeId) -> Option<NodeId> {
        let float = self.graph.ty(x).dtype.is_float();
        let (a, b) = (self.splat(x), self.splat(y));
        let is = |s: Option<Scalar>, v: f64| {
            s.is_some_and(|s| s.to_f64() == v && s.to_f64().is_sign_positive() == v.is_sign_positive())
        };
        let neg =
            |s: &Simplifier, id: NodeId| matches!(s.op(id), Op::Unary(Unary::Neg)).then(|| s.input(id, 0));
        let reassociates = self.rounding >= Rounding::Reassociates;
        match f {
            // x + 0 would turn −0 into 0.
            Binary::Add if is(b, -0.0) || is(b, 0.0) && (!float || reassociates) => {
                self.done("algebra/add-zero", x)
            }
            Binary::Add if is(a, -0.0) || is(a, 0.0) && (!float || reassociates) => {
                self.done("algebra/add-zero", y)
            }
            Binary::Sub if is(b, 0.0) => self.done("algebra/sub-zero", x),
            Binary::Mul | Binary::Div if is(b, 1.0) => self.done("algebra/mul-one", x),
            Binary::Mul if is(a, 1.0) => self.done("algebra/mul-one", y),
            Binary::Mul | Binary::Div if is(b, -1.0) => {
                let result = self.add(&Unary::Neg.into(), &[x]);
                self.done("algebra/mul-minus-one", result)
            }
            Binary::Mul if is(a, -1.0) => {
                let result = self.add(&Unary::Neg.into(), &[y]);
                self.done("algebra/mul-minus-one", result)
            }
            Binary::Add | Binary::Sub if neg(self, y).is_some() => {
                let opposite = if f == Binary::Add { Binary::Sub } else { Binary::Add };
                let result = self.add(&opposite.into(), &[x, neg(self, y)?]);
                self.done("algebra/add-neg", result)
            }
            Binary::Add if neg(self, x).is_some() => {
                let result = self.add(&Binary::Sub.into(), &[y, neg(self, x)?]);
                self.done("algebra/add-neg", result)
            }
            Binary::Mul | Binary::Div if neg(self, x).is_some() && neg(self, y).is_some() => {
                let result = self.add(&f.into(), &[neg(self, x)?, neg(self, y)?]);
                self.done("algebra/neg-neg-product", result)
            }
            // Only a power of two has an exact reciprocal.
            Binary::Div if float && b.is_some_and(|s| exact_reciprocal(s)) => {
                let reciprocal = Scalar::from_f64(self.graph.ty(y).dtype, 1.0 / b?.to_f64());
                let factor = self.fill(self.graph.ty(y).shape, reciprocal);
                let result = self.add(&Binary::Mul.into(), &[x, factor]);
                self.done("algebra/div-constant", result)
            }
            Binary::Pow if is(b, 1.0) => self.done("algebra/pow-one", x),
            Binary::Pow if is(b, 2.0) => {
                let result = self.add(&Binary::Mul.into(), &[x, x]);
                self.done("algebra/pow-two", result)
            }
            // c₁ · (c₂ · x)
            Binary::Mul if reassociates && (a.is_some() || b.is_some()) => {
                let (c, rest) = if a.is_some() { (x, y) } else { (y, x) };
                if !matches!(self.op(rest), Op::Binary(Binary::Mul)) {
                    return None;
                }
                let (p, q) = (self.input(rest, 0), self.input(rest, 1));
                let (inner, other) = match (self.splat(p), self.splat(q)) {
                    (Some(_), None) => (p, q),
                    (None, Some(_)) => (q, p),
                    _ => return None,
                };
                let factor = self.add(&Binary::Mul.into(), &[c, inner]);
                let result = self.add(&Binary::Mul.into(), &[other, factor]);
                self.done("algebra/mul-constants", result)
            }
            _ => None,
        }
    }

    fn select(&mut self, condition: NodeId, x: NodeId, y: NodeId) -> Option<NodeId> {
        match self.splat(condition) {
            _ if x == y => self.done("algebra/select-same", x),
            Some(Scalar::Bool(true)) => self.done("algebra/select-constant", x),
            Some(Scalar::Bool(false)) => self.done("algebra/select-constant", y),
            _ => None,
        }
    }

    fn reshape(&mut self, x: NodeId, shape: Shape) -> Option<NodeId> {
        if self.graph.ty(x).shape == shape {
            return self.done("movement/reshape-same", x);
        }
        if let Some(value) = self.splat(x) {
            let result = self.fill(shape, value);
            return self.done("movement/reshape-constant", result);
        }
        if matches!(self.op(x), Op::Reshape(_)) {
            let inner = self.input(x, 0);
            let result = self.reshape(inner, shape).unwrap_or_else(|| self.graph.reshape(inner, shape));
            return self.done("movement/reshape-reshape", result);
        }
        None
    }

    fn transpose(&mut self, x: NodeId, t: &Transpose) -> Option<NodeId> {
        let dims: Vec<usize> = t.permutation.iter().map(|&p| self.graph.ty(x).shape[p]).collect();
        if t.permutation.iter().enumerate().all(|(i, &p)| i == p) {
            return self.done("movement/transpose-same", x);
        }
        if let Some(value) = self.splat(x) {
            let result = self.fill(Shape::new(&dims).ok()?, value);
            return self.done("movement/transpose-constant", result);
        }
        match self.op(x).clone() {
            Op::Transpose(inner) => {
                let permutation: Vec<usize> = t.permutation.iter().map(|&p| inner.permutation[p]).collect();
                let result = self.add(&Transpose { permutation }.into(), &[self.input(x, 0)]);
                self.done("movement/transpose-transpose", result)
            }
            Op::Broadcast(b) => {
                let inverse = t.inverse();
                let axes: Vec<usize> = b.axes.iter().map(|&a| inverse[a]).collect();
                if axes.windows(2).any(|w| w[0] > w[1]) {
                    return None;
                }
                let shape = Shape::new(&dims).ok()?;
                let result = self.add(&Broadcast { shape, axes }.into(), &[self.input(x, 0)]);
                self.done("movement/transpose-broadcast", result)
            }
            // (A·B)ᵀ = Bᵀ·Aᵀ: the free dimensions change places.
            Op::Dot(d) => {
                let (lhs, rhs) = (self.input(x, 0), self.input(x, 1));
                let batches = d.batch.0.len();
                let left = d.lhs_free(self.graph.ty(lhs).rank()).len();
                let right = d.rhs_free(self.graph.ty(rhs).rank()).len();
                let swapped =
                    (0..batches).chain(batches + left..batches + left + right).chain(batches..batches + left);
                if !t.permutation.iter().copied().eq(swapped) {
                    return None;
                }
                let swap = |p: &(Vec<usize>, Vec<usize>)| (p.1.clone(), p.0.clone());
                let dot = Dot { batch: swap(&d.batch), contract: swap(&d.contract) };
                let result = self.add(&dot.into(), &[rhs, lhs]);
                self.done("linear/transpose-dot", result)
            }
            _ => None,
        }
    }

    fn broadcast(&mut self, x: NodeId, b: &Broadcast) -> Option<NodeId> {
        if self.graph.ty(x).shape == b.shape {
            return self.done("movement/broadcast-same", x);
        }
        match self.op(x).clone() {
            Op::Broadcast(inner) => {
                let axes = inner.axes.iter().map(|&a| b.axes[a]).collect();
                let result = self.add(&Broadcast { shape: b.shape, axes }.into(), &[self.input(x, 0)]);
                self.done("movement/broadcast-broadcast", result)
            }
            // Axes of extent 1 that a reshape added are as good as none.
            Op::Reshape(r) => {
                let from = self.graph.ty(self.input(x, 0)).shape;
                let long: Vec<usize> = (0..r.shape.rank()).filter(|&a| r.shape[a] != 1).collect();
                if !long.iter().map(|&a| r.shape[a]).eq(from.iter().copied()) {
                    return None;
                }
                let axes = long.iter().map(|&a| b.axes[a]).collect();
                let result = self.add(&Broadcast { shape: b.shape, axes }.into(), &[self.input(x, 0)]);
                self.done("movement/broadcast-reshape", result)
            }
            _ => None,
        }
    }

    /// Movements that move nothing.
    fn whole(&mut self, op: &Op, inputs: &[NodeId]) -> Option<NodeId> {
        let x = inputs[0];
        let shape = self.graph.ty(x).shape;
        let same = match op {
            Op::Slice(s) => {
                s.start.iter().all(|&s| s == 0) && s.limit[..] == shape[..] && s.step.iter().all(|&s| s == 1)
            }
            Op::Pad(p) => p.low.iter().chain(&p.high).chain(&p.inner).all(|&n| n == 0),
            Op::Concatenate(_) => inputs.len() == 1,
            Op::Reverse(r) => r.axes.iter().all(|&a| shape[a] <= 1),
            _ => false,
        };
        if same { self.done("movement/whole", x) } else { None }
    }

    fn reduce(&mut self, x: NodeId, r: &Reduce) -> Option<NodeId> {
        let ty = self.graph.ty(x);
        if r.axes.is_empty() {
            return self.done("reduction/none", x);
        }
        if r.axes.iter().all(|&a| ty.shape[a] == 1) {
            let dims: Vec<usize> =
                (0..ty.rank()).filter(|a| !r.axes.contains(a)).map(|a| ty.shape[a]).collect();
            let shape = Shape::new(&dims).ok()?;
            let result = self.reshape(x, shape).unwrap_or_else(|| self.graph.reshape(x, shape));
            return self.done("reduction/extent-one", result);
        }
        match self.op(x).clone() {
            Op::Reduce(inner) if inner.combine == r.combine => {
                // The axes of the inner reduction come back between those of the outer.
                let kept: Vec<usize> =
                    (0..self.graph.ty(self.input(x, 0)).rank()).filter(|a| !inner.axes.contains(a)).collect();
                let mut axes: Vec<usize> = r.axes.iter().map(|&a| kept[a]).chain(inner.axes).collect();
                axes.sort_unstable();
                let result = self.add(&Reduce { combine: r.combine, axes }.into(), &[self.input(x, 0)]);
                self.done("reduction/reduce-reduce", result)
            }
            Op::Broadcast(b) => self.reduce_broadcast(x, r, &b, ty),
            _ => None,
        }
    }

    /// A reduction over axes along which nothing changes.
    fn reduce_broadcast(&mut self, x: NodeId, r: &Reduce, b: &Broadcast, ty: Type) -> Option<NodeId> {
        let new = b.new_axes();
        let idle: Vec<usize> = r.axes.iter().copied().filter(|a| new.contains(a)).collect();
        let count: usize = idle.iter().map(|&a| ty.shape[a]).product();
        let sums = r.combine == Combine::Sum;
        let exact = matches!(r.combine, Combine::Max | Combine::Min | Combine::Any | Combine::All);
        if idle.is_empty() || count == 0 || !(exact || sums && self.rounding >= Rounding::Reassociates) {
            return None;
        }
        let kept: Vec<usize> = (0..ty.rank()).filter(|a| !idle.contains(a)).collect();
        let shape = Shape::new(&kept.iter().map(|&a| ty.shape[a]).collect::<Vec<_>>()).ok()?;
        let place = |a: usize| kept.iter().position(|&k| k == a);
        let axes: Vec<usize> = b.axes.iter().filter_map(|&a| place(a)).collect();
        let narrow = self.add(&Broadcast { shape, axes }.into(), &[self.input(x, 0)]);
        let rest: Vec<usize> = r.axes.iter().filter_map(|&a| place(a)).collect();
        let mut result = self.add(&Reduce { combine: r.combine, axes: rest }.into(), &[narrow]);
        if sums {
            let factor = Scalar::from_f64(ty.dtype, count as f64);
            let factor = self.fill(self.graph.ty(result).shape, factor);
            result = self.add(&Binary::Mul.into(), &[result, factor]);
        }
        self.done("reduction/reduce-broadcast", result)
    }

    fn dot(&mut self, x: NodeId, y: NodeId, d: &Dot) -> Option<NodeId> {
        let (lhs, rhs) = (self.graph.ty(x), self.graph.ty(y));
        // Transposed operands: the dimension numbers say it as well, as long as the free dimensions keep their order.
        if let Op::Transpose(t) = self.op(x).clone() {
            let map = |v: &[usize]| v.iter().map(|&a| t.permutation[a]).collect::<Vec<_>>();
            if map(&d.lhs_free(lhs.rank())).is_sorted() {
                let dot = Dot {
                    batch: (map(&d.batch.0), d.batch.1.clone()),
                    contract: (map(&d.contract.0), d.contract.1.clone()),
                };
                let result = self.add(&dot.into(), &[self.input(x, 0), y]);
                return self.done("linear/dot-transpose", result);
            }
        }
        if let Op::Transpose(t) = self.op(y).clone() {
            let map = |v: &[usize]| v.iter().map(|&a| t.permutation[a]).collect::<Vec<_>>();
            if map(&d.rhs_free(rhs.rank())).is_sorted() {
                let dot = Dot {
                    batch: (d.batch.0.clone(), map(&d.batch.1)),
                    contract: (d.contract.0.clone(), map(&d.contract.1)),
                };
                let result = self.add(&dot.into(), &[x, self.input(y, 0)]);
                return self.done("linear/dot-transpose", result);
            }
        }
        // A single product instead of a sum: an outer product, which fuses with what follows.
        if d.contract.0.iter().any(|&a| lhs.shape[a] != 1) {
            return None;
        }
        let (left, right) = (d.lhs_free(lhs.rank()), d.rhs_free(rhs.rank()));
        let shape = d.infer(&[lhs, rhs]).ok()?.shape;
        let (batches, lefts) = (d.batch.0.len(), left.len());
        let mut spread = |x: NodeId, batch: &[usize], free: &[usize], start: usize| {
            let ty = self.graph.ty(x);
            let order: Vec<usize> = batch.iter().chain(free).copied().collect();
            let dims: Vec<usize> =
                (0..ty.rank()).filter(|a| order.contains(a)).map(|a| ty.shape[a]).collect();
            let squeezed = self
                .add(&bespoke_graph::op::Reshape { shape: Shape::new(&dims).expect("smaller") }.into(), &[x]);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            let permutation: Vec<usize> =
                order.iter().map(|a| sorted.iter().position(|s| s == a).expect("the same axes")).collect();
            let ordered = self.add(&Transpose { permutation }.into(), &[squeezed]);
            let axes: Vec<usize> = (0..batches).chain(start..start + free.len()).collect();
            self.add(&Broadcast { shape, axes }.into(), &[ordered])
        };
        let a = spread(x, &d.batch.0, &left, batches);
        let b = spread(y, &d.batch.1, &right, batches + lefts);
        let result = self.add(&Binary::Mul.into(), &[a, b]);
        self.done("linear/outer-product", result)
    }
}

/// Is it a power of two whose reciprocal is a normal number?
fn exact_reciprocal(s: Scalar) -> bool {
    match s {
        Scalar::F32(v) => v.is_normal() && v.to_bits() & 0x007F_FFFF == 0 && (1.0 / v).is_normal(),
        Scalar::F64(v) => v.is_normal() && v.to_bits() & 0x000F_FFFF_FFFF_FFFF == 0 && (1.0 / v).is_normal(),
        _ => false,
    }
}

/// Rebuilds a graph with simplified nodes; only what outputs and next states need, and all inputs and states.
pub fn simplify(
    graph: &Graph,
    rounding: Rounding,
) -> (Graph, std::collections::BTreeMap<&'static str, usize>) {
    let mut s = Simplifier { graph: Graph::new(), rounding, fired: Default::default() };
    let live = graph.live();
    let mut new: Vec<Option<NodeId>> = vec![None; graph.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        s.graph.set_location(node.location);
        new[id.index()] = match &node.op {
            Op::Input(i) => Some(s.graph.input(&i.name, i.ty).expect("names were unique before")),
            Op::StateRead(r) => Some(s.graph.state(&r.name, r.ty).expect("names were unique before")),
            _ if !live[id.index()] => None,
            op => {
                let inputs: Vec<NodeId> =
                    node.inputs.iter().map(|i| new[i.index()].expect("operands are live")).collect();
                Some(s.add(op, &inputs))
            }
        };
    }
    s.graph.set_location(None);
    crate::finish(graph, &mut s.graph, &|id| new[id.index()].expect("roots are live"));
    (s.graph, s.fired)
}
