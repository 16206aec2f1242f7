//! What is the same whatever the inputs are, unit by unit.

use std::collections::BTreeMap;

use bespoke_graph::{Graph as Ir, NodeId, Op, Operator, op::Binary};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Tensor, Type};

use super::axes::{Axis, blocks, is_depthwise};

/// What is known of a value: the number that all elements are, and the number that all elements at each position of each
/// axis are.
#[derive(Clone, Default)]
struct Known {
    whole: Option<Scalar>,
    along: Vec<Vec<Option<Scalar>>>,
}

/// What is known of all values of a graph.
pub struct Constants<'a> {
    graph: &'a Ir,
    values: &'a BTreeMap<NodeId, Tensor>,
    known: Vec<Known>,
    is_static: Vec<bool>,
}

pub fn is_zero(value: Scalar) -> bool {
    value.to_f64() == 0.0
}

/// The number that all are.
fn same(mut values: impl Iterator<Item = Option<Scalar>>) -> Option<Scalar> {
    let first = values.next()??;
    values.all(|v| v.is_some_and(|v| v == first || is_zero(v) && is_zero(first))).then_some(first)
}

impl<'a> Constants<'a> {
    /// Of a graph whose states have these values.
    pub fn of(graph: &'a Ir, values: &'a BTreeMap<NodeId, Tensor>) -> Constants<'a> {
        let mut constants = Constants { graph, values, known: vec![], is_static: vec![] };
        for id in graph.ids() {
            let mut known = constants.node(id);
            if let Some(whole) = known.whole {
                known.along.iter_mut().flatten().for_each(|v| *v = Some(whole));
            }
            constants.known.push(known);
            let node = graph.node(id);
            let is_static = match &node.op {
                Op::StateRead(_) => values.contains_key(&id),
                // Their meaning is more than a function of one value each.
                Op::Input(_) | Op::RandomBits(_) | Op::Scan(_) | Op::Custom(_) => false,
                _ => node.inputs.iter().all(|x| constants.is_static[x.index()]),
            };
            constants.is_static.push(is_static);
        }
        constants
    }

    /// The number that all elements at a position of an axis are.
    pub fn at(&self, (node, axis): Axis, position: usize) -> Option<Scalar> {
        self.known[node.index()].along[axis][position]
    }

    /// Has no input a part in the value of a node?
    pub fn is_static(&self, id: NodeId) -> bool {
        self.is_static[id.index()]
    }

    /// The value of a node that no input has a part in.
    pub fn tensor(&self, id: NodeId) -> Option<Tensor> {
        if !self.is_static(id) {
            return None;
        }
        let node = self.graph.node(id);
        if matches!(node.op, Op::StateRead(_)) {
            return self.values.get(&id).cloned();
        }
        let operands: Option<Vec<Tensor>> = node.inputs.iter().map(|&x| self.tensor(x)).collect();
        Some(node.op.eval(&operands?.iter().collect::<Vec<_>>(), node.ty))
    }

    fn node(&self, id: NodeId) -> Known {
        let node = self.graph.node(id);
        let ty = node.ty;
        let nothing = Known { whole: None, along: ty.shape.iter().map(|&n| vec![None; n]).collect() };
        let operand = |i: usize| &self.known[node.inputs[i].index()];
        let shape_of = |i: usize| self.graph.ty(node.inputs[i]).shape;
        match &node.op {
            Op::StateRead(_) => self.values.get(&id).map_or(nothing, of_tensor),
            Op::Constant(constant) => of_tensor(&constant.value),
            Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Convert(_) | Op::StopGradient(_) => {
                let of = |part: &dyn Fn(&Known) -> Option<Scalar>| {
                    let operands = node.inputs.iter().map(|x| part(&self.known[x.index()]));
                    element(&node.op, &operands.collect::<Vec<_>>(), ty)
                };
                let along = |(axis, &n): (usize, &usize)| (0..n).map(|i| of(&|k| k.along[axis][i])).collect();
                Known { whole: of(&|k| k.whole), along: ty.shape.iter().enumerate().map(along).collect() }
            }
            Op::Transpose(transpose) => {
                let along = transpose.permutation.iter().map(|&from| operand(0).along[from].clone());
                Known { whole: operand(0).whole, along: along.collect() }
            }
            Op::Broadcast(broadcast) => {
                let whole = operand(0).whole;
                let mut along: Vec<Vec<_>> = ty.shape.iter().map(|&n| vec![whole; n]).collect();
                for (from, &to) in broadcast.axes.iter().enumerate() {
                    along[to].clone_from(&operand(0).along[from]);
                }
                Known { whole, along }
            }
            Op::Reshape(_) => reshaped(operand(0), &shape_of(0), nothing),
            Op::Slice(slice) => {
                let positions =
                    |axis: usize| (slice.start[axis]..slice.limit[axis]).step_by(slice.step[axis]);
                let along = |axis| positions(axis).map(|i| operand(0).along[axis][i]).collect();
                Known { whole: operand(0).whole, along: (0..ty.rank()).map(along).collect() }
            }
            Op::Reduce(reduce) => {
                let from = shape_of(0);
                let terms = reduce.axes.iter().map(|&a| from[a]).product();
                let of = |value: Option<Scalar>| combined(reduce.combine, value?, terms);
                let kept = (0..from.rank()).filter(|a| !reduce.axes.contains(a));
                let along = kept.map(|axis| operand(0).along[axis].iter().map(|&v| of(v)).collect());
                Known { whole: of(operand(0).whole), along: along.collect() }
            }
            Op::WindowReduce(reduce) => {
                // Windows that lie in padding in part have fewer terms.
                let terms = reduce.windows.elements();
                let of = |value: Option<Scalar>| {
                    let value = value.filter(|v| is_zero(*v) || !reduce.windows.is_padded());
                    combined(reduce.combine, value?, terms)
                };
                let mut known = Known { whole: of(operand(0).whole), ..nothing };
                for axis in 0..ty.rank() - reduce.windows.axes() {
                    known.along[axis] = operand(0).along[axis].iter().map(|&v| of(v)).collect();
                }
                known
            }
            Op::Dot(dot) => {
                let [x, y] = [0, 1].map(operand);
                let zero = |value: Option<Scalar>| value.filter(|v| is_zero(*v));
                let zeros =
                    |k: &Known, axis: usize| k.along[axis].iter().map(|&v| zero(v)).collect::<Vec<_>>();
                let batch =
                    dot.batch.0.iter().zip(&dot.batch.1).map(|(&a, &b)| {
                        zeros(x, a).into_iter().zip(zeros(y, b)).map(|(a, b)| a.or(b)).collect()
                    });
                let free = dot.lhs_free(x.along.len()).into_iter().map(|axis| zeros(x, axis));
                let free = free.chain(dot.rhs_free(y.along.len()).into_iter().map(|axis| zeros(y, axis)));
                Known { whole: zero(x.whole).or(zero(y.whole)), along: batch.chain(free).collect() }
            }
            Op::Convolution(convolution) => {
                let [x, kernel] = [0, 1].map(operand);
                let zero = |value: Option<Scalar>| value.filter(|v| is_zero(*v));
                let mut known = Known { whole: zero(x.whole).or(zero(kernel.whole)), ..nothing };
                let depthwise = is_depthwise(self.graph, id, convolution);
                for (o, at) in known.along[1].iter_mut().enumerate() {
                    let channel = if depthwise { zero(x.along[1][o]) } else { None };
                    *at = zero(kernel.along[0][o]).or(channel);
                }
                known
            }
            _ => nothing,
        }
    }
}

/// A function of elements, of those that are known.
fn element(op: &Op, operands: &[Option<Scalar>], ty: Type) -> Option<Scalar> {
    let zero = || operands.iter().copied().flatten().find(|v| is_zero(*v));
    let value = match (op, operands) {
        // What is multiplied by zero is finite, or the result would be NaN.
        (Op::Binary(Binary::Mul), _) if zero().is_some() => zero(),
        (Op::Select(_), &[Some(condition), x, y]) => {
            if is_zero(condition) {
                y
            } else {
                x
            }
        }
        (Op::Select(_), &[None, x, y]) => same([x, y].into_iter()),
        _ => {
            let scalars: Option<Vec<Tensor>> = operands.iter().map(|v| v.map(Tensor::scalar)).collect();
            Some(op.eval(&scalars?.iter().collect::<Vec<_>>(), Type::scalar(ty.dtype)).get(0))
        }
    };
    value.filter(|v| v.to_f64().is_finite())
}

/// The number that equal terms combine to.
fn combined(combine: Combine, value: Scalar, terms: usize) -> Option<Scalar> {
    match combine {
        _ if terms == 0 => None,
        Combine::Max | Combine::Min | Combine::Any | Combine::All => Some(value),
        Combine::Sum if is_zero(value) => Some(value),
        Combine::Sum if value.dtype().is_float() => {
            let sum = Scalar::from_f64(value.dtype(), value.to_f64() * terms as f64);
            Some(sum).filter(|s| s.to_f64().is_finite())
        }
        _ => None,
    }
}

fn of_tensor(tensor: &Tensor) -> Known {
    let (shape, strides) = (tensor.shape(), tensor.shape().strides());
    let mut along: Vec<Vec<Option<Option<Scalar>>>> = shape.iter().map(|&n| vec![None; n]).collect();
    for (i, value) in tensor.scalars().enumerate() {
        for axis in 0..shape.rank() {
            let at = &mut along[axis][i / strides[axis] % shape[axis]];
            // At first nothing is seen, then a number, then that they differ.
            *at = Some(same([at.unwrap_or(Some(value)), Some(value)].into_iter()));
        }
    }
    let finite = |v: Option<Option<Scalar>>| v.flatten().filter(|v| v.to_f64().is_finite());
    Known {
        whole: same(tensor.scalars().map(Some)).filter(|v| v.to_f64().is_finite()),
        along: along.into_iter().map(|a| a.into_iter().map(finite).collect()).collect(),
    }
}

/// What is known under another shape; `nothing` has its extents.
fn reshaped(x: &Known, from: &[usize], nothing: Known) -> Known {
    let mut known = Known { whole: x.whole, ..nothing };
    let to: Vec<usize> = known.along.iter().map(Vec::len).collect();
    let product = |shape: &[usize], axes: &[usize]| axes.iter().map(|&a| shape[a]).product::<usize>();
    for (of, into) in blocks(from, &to).unwrap_or_default() {
        match (&of[..], &into[..]) {
            (&[a], &[b]) => known.along[b].clone_from(&x.along[a]),
            // At a position of the product it is that of any of its axes.
            (_, &[one]) => {
                for (k, &a) in of.iter().enumerate() {
                    let inner = product(from, &of[k + 1..]);
                    for (i, at) in known.along[one].iter_mut().enumerate() {
                        *at = at.or(x.along[a][i / inner % from[a]]);
                    }
                }
            }
            // At a position of a factor it is that of all positions of the product.
            (&[one], _) => {
                for (k, &b) in into.iter().enumerate() {
                    let inner = product(&to, &into[k + 1..]);
                    for (i, at) in known.along[b].iter_mut().enumerate() {
                        let positions = (0..from[one]).filter(|p| p / inner % to[b] == i);
                        *at = same(positions.map(|p| x.along[one][p]));
                    }
                }
            }
            _ => {}
        }
    }
    known
}
