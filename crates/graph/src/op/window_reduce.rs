//! `window_sum`, `window_max`, `window_min`.

use bespoke_loops::{Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use super::{
    Binary, Define, Extremum, Gather, Iota, Operator, Pad, Reduce, ScatterAdd, WindowArg, flat, for_each_index, operands,
};
use crate::{Attributes, Graph, NodeId, Windows, attributes::Reader};

/// Combines the elements of each window over the last axes. What lies in the padding takes no part. Maximum and minimum
/// are NaN if an element is.
///
/// Constraints: one operand of numbers; a window, stride, padding and dilation for each of its last axes, at least 1 (padding
/// may be 0); padding is less than a window reaches over; each window of a maximum or minimum meets an element.
///
/// Derivatives: of a maximum or minimum, its cotangent goes to the first element that attains it, as in PyTorch.
///
/// Example: `%1 = window_max %0 {window=[2,2], stride=[2,2], padding=[0,0]x[0,0], dilation=[1,1]} : f32[128,6,14,14]` of
/// `f32[128,6,28,28]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowReduce {
    /// How: [`Combine::Sum`], [`Combine::Max`] or [`Combine::Min`].
    pub combine: Combine,
    /// Where.
    pub windows: Windows,
}

const NAMES: [(&str, Combine); 3] =
    [("window_sum", Combine::Sum), ("window_max", Combine::Max), ("window_min", Combine::Min)];

/// How many positions the last `axes` axes have, and how many the others.
fn planes(shape: Shape, axes: usize) -> [usize; 2] {
    let lead = shape.rank() - axes;
    [shape[..lead].iter().product(), shape[lead..].iter().product()]
}

impl WindowReduce {
    pub(super) fn names() -> Vec<&'static str> {
        NAMES.iter().map(|n| n.0).collect()
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<WindowReduce, String>> {
        let combine = NAMES.iter().find(|n| n.0 == name)?.1;
        Some(Windows::read(attributes).map(|windows| WindowReduce { combine, windows }))
    }

    /// For each window, the flat position of its extremum, and operand and result as planes, one a row.
    fn positions(&self, graph: &mut Graph, node: NodeId) -> (NodeId, [Shape; 2]) {
        let x = graph.node(node).inputs[0];
        let extremum = if self.combine == Combine::Max { Extremum::Max } else { Extremum::Min };
        let arg = graph.must(WindowArg { extremum, windows: self.windows.clone() }, &[x]);
        let axes = self.windows.axes();
        let shapes = [graph.ty(x).shape, graph.ty(node).shape].map(|s| Shape::from(planes(s, axes)));
        (graph.reshape(arg, shapes[1]), shapes)
    }

    /// Is each element in one window, and one only? (And is there room for the tiles' own axes?)
    fn is_tiling(&self, x: Shape) -> bool {
        let (w, lead) = (&self.windows, x.rank() - self.windows.axes());
        let whole = |a: usize| w.stride[a] == w.extent[a] && w.dilation[a] == 1 && x[lead + a].is_multiple_of(w.extent[a]);
        (0..w.axes()).all(|a| whole(a) && w.padding[a] == (0, 0)) && 2 * w.axes() < bespoke_tensor::MAX_RANK
    }

    /// Of windows that tile the operand: each element asks whether it is its window's extremum, which is faster than adding
    /// the cotangents to where the extrema lie.
    fn choose(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> NodeId {
        let from = graph.ty(graph.node(node).inputs[0]);
        let (positions, [of_x, of_windows]) = self.positions(graph, node);
        let (axes, lead) = (self.windows.axes(), from.rank() - self.windows.axes());
        let out = graph.ty(node).shape;
        let counts = [&[of_windows[0]], &out[lead..]].concat();
        let mut tiles = vec![of_windows[0]];
        (0..axes).for_each(|a| tiles.extend([out[lead + a], self.windows.extent[a]]));
        let kept: Vec<usize> = [0].into_iter().chain((0..axes).map(|a| 1 + 2 * a)).collect();
        let dims = |d: &[usize]| Shape::new(d).expect("the caller asked whether there is room");
        let spread = |graph: &mut Graph, x: NodeId| {
            let x = graph.reshape(x, dims(&counts));
            let x = graph.broadcast(x, dims(&tiles), &kept);
            graph.reshape(x, from.shape)
        };
        let (extrema, cotangent) = (spread(graph, positions), spread(graph, cotangent));
        let ty = Type::new(graph.ty(extrema).dtype, of_x);
        let own = graph.must(Iota { ty, axis: 1 }, &[]);
        let own = graph.reshape(own, from.shape);
        let is_extremum = graph.binary(Binary::Eq, own, extrema);
        let zero = graph.fill(from, 0.0);
        graph.select(is_extremum, cotangent, zero)
    }

    /// Each element's share of the sums of the windows that it lies in.
    fn spread(&self, graph: &mut Graph, x: NodeId, cotangent: NodeId) -> NodeId {
        let (w, from, out) = (&self.windows, graph.ty(x), graph.ty(cotangent).shape);
        let lead = from.rank() - w.axes();
        let mut pad =
            Pad { low: vec![0; from.rank()], high: vec![0; from.rank()], inner: vec![0; from.rank()] };
        for a in 0..w.axes() {
            // The windows' starts, a stride apart, are met by the window turned round.
            let starts = (out[lead + a] - 1) * w.stride[a] + 1;
            pad.inner[lead + a] = w.stride[a] - 1;
            pad.low[lead + a] = w.span(a) - 1 - w.padding[a].0;
            pad.high[lead + a] = from.shape[lead + a] + w.padding[a].0 - starts;
        }
        let zero = graph.scalar(Scalar::from_f64(from.dtype, 0.0));
        let padded = graph.must(pad, &[cotangent, zero]);
        let ones = vec![1; w.axes()];
        let windows = Windows { dilation: w.dilation.clone(), ..Windows::new(&w.extent, &ones) };
        graph.must(WindowReduce { combine: Combine::Sum, windows }, &[padded])
    }
}

impl Operator for WindowReduce {
    fn name(&self) -> &'static str {
        NAMES.iter().find(|n| n.1 == self.combine).expect("a window is summed, or its extremum taken").0
    }

    fn attributes(&self) -> Attributes {
        self.windows.attributes()
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        if x.dtype == DType::Bool {
            return Err(format!("expected numbers, got {x}"));
        }
        let shape = self.windows.infer(x)?;
        let lead = x.rank() - self.windows.axes();
        for a in 0..self.windows.axes() {
            let empty = self.windows.empty_window(a, x.shape[lead + a], shape[lead + a]);
            if let Some(p) = empty.filter(|_| self.combine != Combine::Sum && shape.elements() > 0) {
                return Err(format!("window {p} along axis {} of {x} meets no element", lead + a));
            }
        }
        Ok(Type::new(x.dtype, shape))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let x = inputs[0];
        // Floats are summed in f64, so that the meaning does not depend on an order.
        let wide = if ty.dtype == DType::F32 { DType::F64 } else { ty.dtype };
        let (shape, strides) = (x.shape(), x.shape().strides());
        let lead = shape.rank() - self.windows.axes();
        let mut values = Vec::with_capacity(ty.elements());
        for_each_index(&ty.shape, |index| {
            let mut value = self.combine.identity(wide);
            for_each_index(&self.windows.extent, |k| {
                let mut from = index[..lead].to_vec();
                from.extend((0..k.len()).map_while(|a| {
                    self.windows.source(a, shape[lead + a], index[lead + a], k[a])
                }));
                if from.len() == shape.rank() {
                    let element = x.get(flat(&strides, &from)).convert(wide);
                    // One element is its own reduction: −0 stays what it is.
                    let is_one = self.windows.elements() == 1;
                    value = if is_one { element } else { Reduce::combine(self.combine, value, element) };
                }
            });
            values.push(value);
        });
        Tensor::from_fn(ty, |i| values[i])
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let x = graph.node(node).inputs[0];
        let from = graph.ty(x);
        if from.elements() == 0 || graph.ty(node).elements() == 0 {
            return vec![Some(graph.fill(from, 0.0))];
        }
        if self.combine == Combine::Sum {
            return vec![Some(self.spread(graph, x, cotangent))];
        }
        if self.is_tiling(from.shape) {
            return vec![Some(self.choose(graph, node, cotangent))];
        }
        let (positions, [of_x, of_windows]) = self.positions(graph, node);
        let zeros = graph.fill(Type::new(from.dtype, of_x), 0.0);
        let cotangent = graph.reshape(cotangent, of_windows);
        let sums = graph.must(ScatterAdd { axis: 1, batch: 1 }, &[zeros, positions, cotangent]);
        vec![Some(graph.reshape(sums, from.shape))]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let tangent = tangents[0]?;
        if self.combine == Combine::Sum || graph.ty(node).elements() == 0 {
            return Some(graph.must(WindowReduce { combine: Combine::Sum, ..self.clone() }, &[tangent]));
        }
        let (positions, [of_x, _]) = self.positions(graph, node);
        let planes = graph.reshape(tangent, of_x);
        let picked = graph.must(Gather { axis: 1, batch: 1 }, &[planes, positions]);
        Some(graph.reshape(picked, graph.ty(node).shape))
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let x = definer.operand_type(0);
        let identity = definer.exprs().literal(self.combine.identity(x.dtype));
        if x.elements() == 0 {
            return identity;
        }
        definer.reduce(self.combine, x.dtype, &self.windows.extent, &mut |definer, position| {
            let (from, inside) = self.windows.place(definer.exprs(), x.shape, index, position);
            let value = definer.operand(0, &from);
            definer.exprs().select(inside, value, identity)
        })
    }
}
