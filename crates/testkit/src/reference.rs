//! What a graph gives, and how far a faithful computation may be from it.
//!
//! A running error analysis (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, ch. 3): each element carries
//! a bound on the difference between the evaluator's value and that of any program that rounds each operator within its
//! promised units and sums in any order. An infinite bound says that nothing is known: a comparison of values that may
//! be equal, a sum that may overflow on the way.

use std::collections::BTreeMap;

use bespoke_graph::{
    EvalError, Graph, NodeId, Op, Operator, eval_all, inline_customs,
    op::{Cumulative, WindowReduce},
};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use crate::{
    compare::ulp,
    operators::{self, Element},
    unroll,
};

/// A value with a bound for each element; 0 says exact, infinity that nothing is known.
#[derive(Clone, Debug)]
pub struct Bounded {
    /// The evaluator's value.
    pub value: Tensor,
    /// How far another faithful computation may be from it.
    pub error: Vec<f64>,
}

impl Bounded {
    /// The share of elements of which something is known; 1 if there are none.
    pub fn known(&self) -> f64 {
        let known = self.error.iter().filter(|e| e.is_finite()).count();
        if self.error.is_empty() { 1.0 } else { known as f64 / self.error.len() as f64 }
    }
}

/// Outputs and states after the run, with bounds.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// The outputs by name.
    pub outputs: BTreeMap<String, Bounded>,
    /// The states by name.
    pub states: BTreeMap<String, Bounded>,
}

/// Evaluates a graph with bounds on rounding. Scans are unrolled.
///
/// # Errors
/// [`EvalError`] if a value is missing or has another type.
pub fn reference(graph: &Graph, sources: &dyn Fn(&str) -> Option<Tensor>) -> Result<Reference, EvalError> {
    bounded(graph, sources, true)
}

/// [`reference()`] for a graph that was rewritten, where zeros may have either sign: −(a − b) may have become b − a.
///
/// # Errors
/// Those of [`reference()`].
pub fn reference_of_rewritten(
    graph: &Graph,
    sources: &dyn Fn(&str) -> Option<Tensor>,
) -> Result<Reference, EvalError> {
    bounded(graph, sources, false)
}

fn bounded(
    graph: &Graph,
    sources: &dyn Fn(&str) -> Option<Tensor>,
    signs: bool,
) -> Result<Reference, EvalError> {
    // Loops may hold customs, and those loops.
    let mut plain = graph.clone();
    while plain.ids().any(|id| matches!(plain.node(id).op, Op::Scan(_) | Op::Custom(_))) {
        plain = unroll(&inline_customs(&plain));
    }
    let graph = &plain;
    let values = eval_all(graph, sources)?;
    let mut errors: Vec<Vec<f64>> = vec![];
    for id in graph.ids() {
        let bounds = Bounds { graph, id, values: &values, errors: &errors, signs };
        let error = bounds.of_operator();
        assert_eq!(error.len(), values[id.index()].elements(), "a bound for each element of {id}");
        errors.push(error);
    }
    let bounded =
        |id: NodeId| Bounded { value: values[id.index()].clone(), error: errors[id.index()].clone() };
    let mut result = Reference::default();
    for (name, id) in graph.outputs() {
        result.outputs.insert(name.clone(), bounded(*id));
    }
    for state in graph.states() {
        result.states.insert(state.name.clone(), bounded(state.next.unwrap_or(state.node)));
    }
    Ok(result)
}

struct Bounds<'a> {
    graph: &'a Graph,
    id: NodeId,
    values: &'a [Tensor],
    errors: &'a [Vec<f64>],
    /// Do signs of zeros count?
    signs: bool,
}

/// The largest relative rounding error of one operation.
pub(crate) fn unit(dtype: DType) -> f64 {
    if dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON }
}

pub(crate) fn largest(dtype: DType) -> f64 {
    if dtype == DType::F32 { f64::from(f32::MAX) } else { f64::MAX }
}

/// NaN, from infinite bounds, says as little as an infinity.
fn settled(error: f64) -> f64 {
    if error.is_nan() { f64::INFINITY } else { error }
}

impl Bounds<'_> {
    fn operand(&self, i: usize) -> (&Tensor, &[f64]) {
        let at = self.graph.node(self.id).inputs[i].index();
        (&self.values[at], &self.errors[at])
    }

    fn operands(&self) -> usize {
        self.graph.node(self.id).inputs.len()
    }

    fn value(&self) -> &Tensor {
        &self.values[self.id.index()]
    }

    /// The operator, which moves elements only, applied to bounds.
    fn moved(&self, operands: &[&Tensor]) -> Vec<f64> {
        let ty = Type::new(DType::F64, self.value().shape());
        floats(&self.graph.node(self.id).op.eval(operands, ty))
    }

    fn error_tensor(&self, i: usize) -> Tensor {
        let (value, error) = self.operand(i);
        tensor(value, error)
    }

    /// The sizes of an operand's elements, those that are not finite as 0.
    fn sizes(&self, i: usize) -> Tensor {
        let (value, _) = self.operand(i);
        let size = |s: Scalar| if s.to_f64().is_finite() { s.to_f64().abs() } else { 0.0 };
        tensor(value, &value.scalars().map(size).collect::<Vec<_>>())
    }

    fn is_exact(&self, i: usize) -> bool {
        self.operand(i).1.iter().all(|&e| e == 0.0)
    }

    fn of_operator(&self) -> Vec<f64> {
        let count = self.value().elements();
        let unknown = || vec![f64::INFINITY; count];
        match &self.graph.node(self.id).op {
            Op::Input(_) | Op::StateRead(_) | Op::Constant(_) | Op::Iota(_) => vec![0.0; count],
            Op::RandomBits(_) if self.is_exact(0) && self.is_exact(1) => vec![0.0; count],
            Op::RandomBits(_) => unknown(),
            Op::Custom(_) => unreachable!("customs are replaced by their bodies"),
            Op::StopGradient(_) | Op::Barrier(_) | Op::Reshape(_) => self.operand(0).1.to_vec(),
            Op::Transpose(_)
            | Op::Broadcast(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Concatenate(_)
            | Op::Reverse(_) => {
                let errors: Vec<Tensor> = (0..self.operands()).map(|i| self.error_tensor(i)).collect();
                self.moved(&errors.iter().collect::<Vec<_>>())
            }
            Op::Gather(_) if (1..self.operands()).all(|i| self.is_exact(i)) => {
                let error = self.error_tensor(0);
                let indices = (1..self.operands()).map(|i| self.operand(i).0);
                self.moved(&[&error].into_iter().chain(indices).collect::<Vec<_>>())
            }
            Op::ScatterAdd(scatter) if (1..self.operands() - 1).all(|i| self.is_exact(i)) => {
                let last = self.operands() - 1;
                let indices: Vec<&Tensor> = (1..last).map(|i| self.operand(i).0).collect();
                let with = |x: &Tensor, updates: &Tensor| {
                    let ends = [&[x][..], &indices, &[updates]].concat();
                    self.moved(&ends)
                };
                let sizes = with(&self.sizes(0), &self.sizes(last));
                let errors = with(&self.error_tensor(0), &self.error_tensor(last));
                let terms = 1 + indices[0].shape()[scatter.batch..].iter().product::<usize>();
                self.sum(terms, &sizes, &errors)
            }
            Op::Gather(_) | Op::ScatterAdd(_) => unknown(),
            Op::Reduce(reduce) => self.reduce(reduce.combine),
            Op::ArgReduce(arg) => self.arg_reduce(arg.axis, arg.extremum == bespoke_graph::op::Extremum::Max),
            Op::Dot(dot) => {
                let terms = dot.contract.0.iter().map(|&d| self.operand(0).0.shape()[d]).product();
                self.dot(terms)
            }
            Op::Convolution(_) => self.convolution(),
            Op::Scan(_) => unreachable!("scans were unrolled"),
            Op::DynamicSlice(_) if (1..self.operands()).all(|i| self.is_exact(i)) => {
                let error = self.error_tensor(0);
                let starts = (1..self.operands()).map(|i| self.operand(i).0);
                self.moved(&[&error].into_iter().chain(starts).collect::<Vec<_>>())
            }
            Op::DynamicUpdate(_) if (2..self.operands()).all(|i| self.is_exact(i)) => {
                let errors = [self.error_tensor(0), self.error_tensor(1)];
                let starts = (2..self.operands()).map(|i| self.operand(i).0);
                self.moved(&errors.iter().chain(starts).collect::<Vec<_>>())
            }
            Op::DynamicSlice(_) | Op::DynamicUpdate(_) => unknown(),
            Op::ArgSort(_) if self.is_exact(0) => vec![0.0; count],
            Op::ArgSort(_) => unknown(),
            Op::Cumulative(c) => self.cumulative(c),
            Op::WindowReduce(reduce) => self.window_reduce(reduce),
            Op::WindowArg(_) if self.is_exact(0) => vec![0.0; count],
            Op::WindowArg(_) => unknown(),
            Op::Select(_) => self.select(),
            Op::Unary(_) | Op::Binary(_) | Op::Convert(_) => self.elementwise(),
        }
    }

    /// Of a sum of `terms` elements with these sizes and errors in total.
    fn sum(&self, terms: usize, sizes: &[f64], errors: &[f64]) -> Vec<f64> {
        let dtype = self.value().dtype();
        let each = |i: usize| {
            if !dtype.is_float() {
                return if errors[i] == 0.0 { 0.0 } else { f64::INFINITY };
            }
            let (size, error) = (sizes[i], settled(errors[i]));
            if size + error > 0.99 * largest(dtype) {
                return f64::INFINITY; // it may overflow on the way
            }
            // The sign of a zero depends on the order.
            error * 1.01 + terms as f64 * (unit(dtype) * size) + ulp(dtype, 0.0)
        };
        (0..sizes.len()).map(each).collect()
    }

    fn reduce(&self, combine: Combine) -> Vec<f64> {
        let (x, error) = self.operand(0);
        let dtype = x.dtype();
        let terms = x.elements() / self.value().elements().max(1);
        let op = |combine: Combine, values: &[f64]| {
            let Op::Reduce(own) = &self.graph.node(self.id).op else { unreachable!("the caller looked") };
            let reduce = bespoke_graph::op::Reduce { combine, axes: own.axes.clone() };
            floats(&reduce.eval(&[&tensor(x, values)], Type::new(DType::F64, self.value().shape())))
        };
        match combine {
            Combine::Sum => self.sum(terms, &op(combine, &floats(&self.sizes(0))), &op(combine, error)),
            Combine::Product if dtype.is_float() => {
                let sizes: Vec<f64> = floats(&self.sizes(0));
                let mapped = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
                    op(Combine::Product, &sizes.iter().zip(error).map(|(&s, &e)| f(s, e)).collect::<Vec<_>>())
                };
                let (most, exact) = (mapped(&|s, e| s + e), mapped(&|s, _| s));
                let large = mapped(&|s, e| (s + e).max(1.0));
                let small = mapped(&|s, _| if s == 0.0 { 1.0 } else { s.min(1.0) });
                let least =
                    if dtype == DType::F32 { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
                (0..most.len())
                    .map(|i| {
                        let risky = !(large[i] < 0.99 * largest(dtype) && small[i] > 2.0 * least);
                        let error = 1.01 * (most[i] - exact[i]) + 2.0 * terms as f64 * unit(dtype) * most[i];
                        if risky { f64::INFINITY } else { settled(error) + ulp(dtype, 0.0) }
                    })
                    .collect()
            }
            Combine::Max | Combine::Min => {
                let worst = op(Combine::Max, error);
                // Which of two zeros comes out depends on the order.
                let zero = |i: usize| dtype.is_float() && self.value().get(i).to_f64() == 0.0;
                (0..worst.len())
                    .map(|i| worst[i].max(0.0) + if zero(i) { ulp(dtype, 0.0) } else { 0.0 })
                    .collect()
            }
            _ => op(Combine::Max, error)
                .into_iter()
                .map(|e| if e > 0.0 { f64::INFINITY } else { 0.0 })
                .collect(),
        }
    }

    /// As the reduction of all elements so far.
    fn cumulative(&self, c: &Cumulative) -> Vec<f64> {
        let (x, error) = self.operand(0);
        let shape = x.shape();
        let (stride, extent) = (shape.strides()[c.axis], shape[c.axis]);
        let mut bounds = vec![0.0; x.elements()];
        for count in 1..=extent {
            let mut dims = shape.to_vec();
            dims[c.axis] = count;
            let part = Type::new(x.dtype(), Shape::new(&dims).expect("less than the whole"));
            // Where an element of the first `count`, in running order, lies in the operand.
            let at = |i: usize| {
                let (before, k, after) = (i / stride / count, i / stride % count, i % stride);
                let k = if c.reverse { extent - count + k } else { k };
                (before * extent + k) * stride + after
            };
            let mut graph = Graph::new();
            let operand = graph.input("x", part).expect("it is the first");
            let id = graph.reduce(c.combine, operand, &[c.axis]);
            let values = Tensor::from_fn(part, |i| x.get(at(i)));
            let errors: Vec<f64> = (0..part.elements()).map(|i| error[at(i)]).collect();
            let last = if c.reverse { extent - count } else { count - 1 };
            let whole = |i: usize| (i / stride * extent + last) * stride + i % stride;
            let reduced = Tensor::from_fn(graph.ty(id), |i| self.value().get(whole(i)));
            let (values, errors) = ([values, reduced], [errors]);
            let part = Bounds { graph: &graph, id, values: &values, errors: &errors, signs: self.signs };
            part.of_operator().into_iter().enumerate().for_each(|(i, bound)| bounds[whole(i)] = bound);
        }
        bounds
    }

    fn window_reduce(&self, reduce: &WindowReduce) -> Vec<f64> {
        let op = |combine: Combine, values: &Tensor| {
            let ty = Type::new(DType::F64, self.value().shape());
            floats(&WindowReduce { combine, ..reduce.clone() }.eval(&[values], ty))
        };
        let errors = self.error_tensor(0);
        if reduce.combine == Combine::Sum {
            let sizes = op(Combine::Sum, &self.sizes(0));
            return self.sum(reduce.windows.elements(), &sizes, &op(Combine::Sum, &errors));
        }
        // Which of two zeros comes out depends on the order.
        let zero = |i: usize| self.value().dtype().is_float() && self.value().get(i).to_f64() == 0.0;
        let worst = op(Combine::Max, &errors);
        (0..worst.len())
            .map(|i| worst[i].max(0.0) + if zero(i) { ulp(self.value().dtype(), 0.0) } else { 0.0 })
            .collect()
    }

    /// Exact where no other element may come to lie beyond the winner.
    fn arg_reduce(&self, axis: usize, greatest: bool) -> Vec<f64> {
        let (x, error) = self.operand(0);
        let stride = x.shape().strides()[axis];
        let extent = x.shape()[axis];
        (0..self.value().elements())
            .map(|i| {
                let start = i / stride * stride * extent + i % stride;
                let at = |k: usize| (x.get(start + k * stride).to_f64(), error[start + k * stride]);
                let winner = self.value().get(i).to_i64().expect("a position") as usize;
                let (best, own) = at(winner);
                let safe = |k: usize| {
                    let (other, e) = at(k);
                    let ahead = if greatest { best - other } else { other - best };
                    k == winner
                        || own == 0.0 && e == 0.0
                        || best.is_nan() && (own + e).is_finite()
                        || ahead > own + e
                };
                if (0..extent).all(safe) { 0.0 } else { f64::INFINITY }
            })
            .collect()
    }

    fn dot(&self, terms: usize) -> Vec<f64> {
        let dtype = self.value().dtype();
        if !dtype.is_float() {
            let exact = self.is_exact(0) && self.is_exact(1);
            return vec![if exact { 0.0 } else { f64::INFINITY }; self.value().elements()];
        }
        let finite = |i: usize| self.operand(i).0.scalars().all(|s| s.to_f64().is_finite());
        let (l, r) = (self.sizes(0), self.sizes(1));
        let (le, re) = (self.error_tensor(0), self.error_tensor(1));
        let with_error = |x: &Tensor, e: &Tensor| -> Vec<f64> {
            floats(x).iter().zip(floats(e)).map(|(x, e)| x + e).collect()
        };
        let sizes = self.moved(&[&l, &r]);
        let from_left = self.moved(&[&le, &tensor(&r, &with_error(&r, &re))]);
        let from_right = self.moved(&[&l, &re]);
        let errors: Vec<f64> = from_left.iter().zip(&from_right).map(|(a, b)| a + b).collect();
        let mut bounds = self.sum(terms + 1, &sizes, &errors);
        // Products may vanish below the least float.
        bounds.iter_mut().for_each(|b| *b += terms as f64 * ulp(dtype, 0.0));
        let doubtful = (!finite(0) && !self.is_exact(1)) || (!finite(1) && !self.is_exact(0));
        for (i, b) in bounds.iter_mut().enumerate() {
            if doubtful && !self.value().get(i).to_f64().is_finite() {
                *b = f64::INFINITY; // infinity times what may be zero
            }
        }
        bounds
    }

    /// Zeros around the operand may be multiplied or not, which matters where the kernel is not finite.
    fn convolution(&self) -> Vec<f64> {
        let kernel = self.operand(1).0;
        let mut bounds = self.dot(kernel.shape()[1..].iter().product());
        if self.value().dtype().is_float() && !kernel.scalars().all(|s| s.to_f64().is_finite()) {
            let doubtful = self.value().scalars().map(|s| !s.to_f64().is_finite());
            bounds.iter_mut().zip(doubtful).filter(|b| b.1).for_each(|b| *b.0 = f64::INFINITY);
        }
        bounds
    }

    fn select(&self) -> Vec<f64> {
        let [(c, ce), (x, xe), (y, ye)] = [0, 1, 2].map(|i| self.operand(i));
        (0..c.elements())
            .map(|i| match () {
                () if ce[i] > 0.0 && x.get(i) == y.get(i) => xe[i].max(ye[i]),
                () if ce[i] > 0.0 => f64::INFINITY,
                () if c.get(i) == Scalar::Bool(true) => xe[i],
                () => ye[i],
            })
            .collect()
    }

    fn elementwise(&self) -> Vec<f64> {
        let node = self.graph.node(self.id);
        let operands: Vec<(&Tensor, &[f64])> = (0..self.operands()).map(|i| self.operand(i)).collect();
        (0..self.value().elements())
            .map(|i| {
                let inputs: Vec<Element> =
                    operands.iter().map(|(v, e)| Element { value: v.get(i), error: e[i] }).collect();
                operators::bound(&node.op, &inputs, self.value().get(i), self.signs)
            })
            .collect()
    }
}

fn floats(t: &Tensor) -> Vec<f64> {
    t.scalars().map(Scalar::to_f64).collect()
}

/// Numbers in the shape of a tensor.
fn tensor(like: &Tensor, values: &[f64]) -> Tensor {
    Tensor::from_fn(Type::new(DType::F64, like.shape()), |i| Scalar::F64(values[i]))
}
