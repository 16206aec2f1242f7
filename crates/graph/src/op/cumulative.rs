//! `cumulative_sum`, `cumulative_product`, `cumulative_max`, `cumulative_min`: what has come together so far along an axis.

use bespoke_loops::{BinaryFn, Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use super::{
    Binary, Define, Gather, Iota, Operator, Pad, Reduce, Scan, ScatterAdd, Slice, Unary, flat,
    for_each_index, operands,
};
use crate::{Attribute, Attributes, Body, Graph, NodeId, attributes::Reader};

/// Combines each element along `axis` with all before it: `out[i] = x[0] ∘ x[1] ∘ … ∘ x[i]`, or from the other end with
/// `reverse=1`. Maximum and minimum are NaN from the first NaN on.
///
/// Constraints: one operand of numbers; `axis` is below its rank.
///
/// Derivatives: of a maximum or minimum, each cotangent goes to the latest element that attains it, as in PyTorch. Those of
/// a product are right where factors are zero: they are linear recurrences, run by a scan.
///
/// Example: `%1 = cumulative_sum %0 {axis=1} : f32[128,10]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cumulative {
    /// How: sum, product, maximum or minimum.
    pub combine: Combine,
    /// Along which axis.
    pub axis: usize,
    /// From the last element to the first?
    pub reverse: bool,
}

const NAMES: [(&str, Combine); 4] = [
    ("cumulative_sum", Combine::Sum),
    ("cumulative_product", Combine::Product),
    ("cumulative_max", Combine::Max),
    ("cumulative_min", Combine::Min),
];

/// Parts of derivatives.
impl Cumulative {
    pub(super) fn names() -> Vec<&'static str> {
        NAMES.iter().map(|n| n.0).collect()
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Cumulative, String>> {
        let combine = NAMES.iter().find(|n| n.0 == name)?.1;
        let mut read = || {
            let (axis, reverse) = (attributes.size("axis")?, attributes.size_or_zero("reverse")? != 0);
            Ok(Cumulative { combine, axis, reverse })
        };
        Some(read())
    }

    /// For each position, the position along the axis of the latest element that attains the extremum `node`.
    fn latest(&self, graph: &mut Graph, x: NodeId, node: NodeId) -> NodeId {
        let ty = graph.ty(x);
        let (equal, nan) = (graph.binary(Binary::Eq, x, node), graph.unary(Unary::IsNan, x));
        let attained = graph.binary(Binary::Or, equal, nan);
        let positions = Type::new(DType::I32, ty.shape);
        let here = graph.must(Iota { ty: positions, axis: self.axis }, &[]);
        let (combine, none) =
            if self.reverse { (Combine::Min, ty.shape[self.axis] as f64 - 1.0) } else { (Combine::Max, 0.0) };
        let none = graph.fill(positions, none);
        let attained = graph.select(attained, here, none);
        graph.must(Cumulative { combine, ..self.clone() }, &[attained])
    }

    /// The axes with `axis` last, and the shape of as many lines as there are, one a row.
    fn lines(&self, shape: Shape) -> (Vec<usize>, Shape) {
        let mut order: Vec<usize> = (0..shape.rank()).filter(|&a| a != self.axis).collect();
        order.push(self.axis);
        let extent = shape[self.axis];
        (order, Shape::from([shape.elements() / extent.max(1), extent]))
    }

    fn as_lines(&self, graph: &mut Graph, x: NodeId) -> NodeId {
        let (order, lines) = self.lines(graph.ty(x).shape);
        let turned = graph.transpose(x, &order);
        graph.reshape(turned, lines)
    }

    fn of_lines(&self, graph: &mut Graph, lines: NodeId, shape: Shape) -> NodeId {
        let (order, _) = self.lines(shape);
        let dims: Vec<usize> = order.iter().map(|&a| shape[a]).collect();
        let turned = graph.reshape(lines, Shape::new(&dims).expect("as many axes as before"));
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, &a)| back[a] = i);
        graph.transpose(turned, &back)
    }

    /// The elements one step later (`by` 1) or earlier (−1) in running order, and `edge` where there is none.
    pub(super) fn shifted(&self, graph: &mut Graph, x: NodeId, by: i64, edge: f64) -> NodeId {
        let ty = graph.ty(x);
        let forward = (by > 0) != self.reverse;
        let extent = ty.shape[self.axis];
        let mut slice =
            Slice { start: vec![0; ty.rank()], limit: ty.shape.to_vec(), step: vec![1; ty.rank()] };
        let mut pad = Pad { low: vec![0; ty.rank()], high: vec![0; ty.rank()], inner: vec![0; ty.rank()] };
        if forward {
            slice.limit[self.axis] = extent - 1;
            pad.low[self.axis] = 1;
        } else {
            slice.start[self.axis] = 1;
            pad.high[self.axis] = 1;
        }
        let part = graph.must(slice, &[x]);
        let edge = graph.scalar(Scalar::from_f64(ty.dtype, edge));
        graph.must(pad, &[part, edge])
    }

    /// `s[i] = a[i] + b[i]·s[i − 1]` in running order, or against it.
    fn recurrence(&self, graph: &mut Graph, a: NodeId, b: NodeId, against: bool) -> NodeId {
        let shape = graph.ty(a).shape;
        let dtype = graph.ty(a).dtype;
        let mut order: Vec<usize> = vec![self.axis];
        order.extend((0..shape.rank()).filter(|&axis| axis != self.axis));
        let (a, b) = (graph.transpose(a, &order), graph.transpose(b, &order));
        let line = Shape::new(&graph.ty(a).shape[1..]).expect("less than the whole");
        let line = Type::new(dtype, line);
        let mut body = Graph::new();
        let mut input = |name: &str| body.input(name, line).expect("names differ");
        let (s, of_a, of_b) = (input("s"), input("a"), input("b"));
        let product = body.times(of_b, s);
        let next = body.plus(of_a, product);
        body.set_output("next", next).expect("it is the first");
        body.set_output("s", next).expect("the other is named otherwise");
        let scan = Scan {
            body: Body::new(body),
            length: shape[self.axis],
            carried: 1,
            stepped: 2,
            reverse: self.reverse != against,
            recompute: false,
            result: 1,
        };
        let start = graph.fill(line, 0.0);
        let all = graph.must(scan, &[start, a, b]);
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
        graph.transpose(all, &back)
    }
}

impl Operator for Cumulative {
    fn name(&self) -> &'static str {
        NAMES.iter().find(|n| n.1 == self.combine).expect("numbers are combined").0
    }

    fn attributes(&self) -> Attributes {
        let attributes = Attributes::default().with("axis", Attribute::Int(self.axis as i64));
        if self.reverse { attributes.with("reverse", Attribute::Int(1)) } else { attributes }
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        if x.dtype == DType::Bool {
            return Err(format!("expected numbers, got {x}"));
        }
        if self.axis >= x.rank() {
            return Err(format!("axis {} is out of range for {x}", self.axis));
        }
        Ok(x)
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let x = inputs[0];
        // Floats are combined in f64, so that the meaning does not depend on an order.
        let wide = if ty.dtype == DType::F32 { DType::F64 } else { ty.dtype };
        let (strides, extent) = (ty.shape.strides(), ty.shape[self.axis]);
        let mut values = vec![self.combine.identity(wide); ty.elements()];
        let mut lines = ty.shape.to_vec();
        lines[self.axis] = extent.min(1);
        for_each_index(&lines, |index| {
            let start = flat(&strides, index);
            let mut value = self.combine.identity(wide);
            for i in 0..extent {
                let i = if self.reverse { extent - 1 - i } else { i };
                let at = start + i * strides[self.axis];
                value = Reduce::combine(self.combine, value, x.get(at).convert(wide));
                values[at] = value;
            }
        });
        Tensor::from_fn(ty, |i| values[i])
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let x = graph.node(node).inputs[0];
        let ty = graph.ty(x);
        if ty.elements() == 0 {
            return vec![Some(graph.fill(ty, 0.0))];
        }
        let gradient = match self.combine {
            Combine::Sum => graph.must(Cumulative { reverse: !self.reverse, ..self.clone() }, &[cotangent]),
            Combine::Product => {
                // ∂L/∂x[k] = (x[0]·…·x[k − 1]) · s[k] with s[k] = c[k] + x[k + 1]·s[k + 1].
                let before = self.shifted(graph, node, 1, 1.0);
                let after = self.shifted(graph, x, -1, 0.0);
                let sums = self.recurrence(graph, cotangent, after, true);
                graph.times(before, sums)
            }
            _ => {
                let positions = self.latest(graph, x, node);
                let (positions, cotangent) = (self.as_lines(graph, positions), self.as_lines(graph, cotangent));
                let zeros = graph.fill_like(cotangent, 0.0);
                let sums = graph.must(ScatterAdd { axis: 1, batch: 1 }, &[zeros, positions, cotangent]);
                self.of_lines(graph, sums, ty.shape)
            }
        };
        vec![Some(gradient)]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let (x, t) = (graph.node(node).inputs[0], tangents[0]?);
        let ty = graph.ty(x);
        Some(match self.combine {
            _ if ty.elements() == 0 => t,
            Combine::Sum => graph.must(self.clone(), &[t]),
            Combine::Product => {
                // y′[i] = x′[i]·y[i − 1] + x[i]·y′[i − 1].
                let before = self.shifted(graph, node, 1, 1.0);
                let own = graph.times(t, before);
                self.recurrence(graph, own, x, false)
            }
            _ => {
                let positions = self.latest(graph, x, node);
                let (positions, t) = (self.as_lines(graph, positions), self.as_lines(graph, t));
                let picked = graph.must(Gather { axis: 1, batch: 1 }, &[t, positions]);
                self.of_lines(graph, picked, ty.shape)
            }
        })
    }

    /// Pulled: an element asks all before it. Lowering runs along long axes once.
    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let ty = definer.operand_type(0);
        let identity = definer.exprs().literal(self.combine.identity(ty.dtype));
        definer.reduce(self.combine, ty.dtype, &[ty.shape[self.axis]], &mut |definer, position| {
            let mut from = index.to_vec();
            from[self.axis] = position[0];
            let value = definer.operand(0, &from);
            let e = definer.exprs();
            let comes = if self.reverse { BinaryFn::Ge } else { BinaryFn::Le };
            let taken = e.binary(comes, position[0], index[self.axis]);
            e.select(taken, value, identity)
        })
    }
}
