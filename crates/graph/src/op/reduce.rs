//! `reduce_sum`, `reduce_product`, `reduce_max`, `reduce_min`, `reduce_any`, `reduce_all`.

use bespoke_loops::{Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use super::{Binary, Cumulative, Define, Operator, check_axes, flat, for_each_index, operands, shape};
use crate::{Attributes, Graph, NodeId, attributes::Reader};

/// Combines all elements along `axes`, which vanish from the shape. An empty reduction gives the identity: 0, 1, −∞ or
/// the least integer, +∞ or the greatest, false, true. Maximum and minimum are NaN if an element is.
///
/// Constraints: one operand; `axes` ascend and are below its rank; `any` and `all` take bool, the others numbers.
///
/// Derivatives: of a maximum, its cotangent is shared equally by all elements that attain it. Those of a product are right
/// where factors are zero, to any order.
///
/// Example: `%1 = reduce_sum %0 {axes=[0]} : f32[10]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reduce {
    /// How (not [`Combine::Set`]).
    pub combine: Combine,
    /// Over what.
    pub axes: Vec<usize>,
}

const NAMES: [(&str, Combine); 6] = [
    ("reduce_sum", Combine::Sum),
    ("reduce_product", Combine::Product),
    ("reduce_max", Combine::Max),
    ("reduce_min", Combine::Min),
    ("reduce_any", Combine::Any),
    ("reduce_all", Combine::All),
];

impl Reduce {
    pub(super) fn names() -> Vec<&'static str> {
        NAMES.iter().map(|n| n.0).collect()
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Reduce, String>> {
        let combine = NAMES.iter().find(|n| n.0 == name)?.1;
        Some(attributes.sizes("axes").map(|axes| Reduce { combine, axes }))
    }

    /// a combined with b.
    pub fn combine(combine: Combine, a: Scalar, b: Scalar) -> Scalar {
        match combine {
            Combine::Sum => Binary::Add.apply(a, b),
            Combine::Product => Binary::Mul.apply(a, b),
            Combine::Max => Binary::Max.apply(a, b),
            Combine::Min => Binary::Min.apply(a, b),
            Combine::Any => Binary::Or.apply(a, b),
            Combine::All => Binary::And.apply(a, b),
            Combine::Set => b,
        }
    }
}

/// Parts of derivatives.
impl Reduce {
    /// Which elements attain the extremum `node`, and how many of each reduction do.
    fn attained(&self, graph: &mut Graph, node: NodeId) -> (NodeId, NodeId) {
        let x = graph.node(node).inputs[0];
        let ty = graph.ty(x);
        let extremum = graph.unreduce(node, ty.shape, &self.axes);
        let attained = graph.binary(Binary::Eq, x, extremum);
        let ones = graph.convert(attained, ty.dtype);
        (attained, graph.sum(ones, &self.axes))
    }

    /// For each element, the product of all others of its reduction: of those before it and those after it, without a
    /// division, so that zeros do no harm, to any order.
    fn product_of_others(&self, graph: &mut Graph, x: NodeId) -> NodeId {
        let shape = graph.ty(x).shape;
        let kept = kept_axes(shape.rank(), &self.axes);
        let order = [&kept[..], &self.axes].concat();
        let terms: usize = self.axes.iter().map(|&a| shape[a]).product();
        let rows = Shape::from([kept.iter().map(|&a| shape[a]).product(), terms]);
        let turned = graph.transpose(x, &order);
        let turned_shape = graph.ty(turned).shape;
        let lines = graph.reshape(turned, rows);
        let mut of_others = None;
        for reverse in [false, true] {
            let running = Cumulative { combine: Combine::Product, axis: 1, reverse };
            let products = graph.must(running.clone(), &[lines]);
            let beside = running.shifted(graph, products, 1, 1.0);
            of_others = Some(of_others.map_or(beside, |other| graph.times(other, beside)));
        }
        let of_others = graph.reshape(of_others.expect("two sides"), turned_shape);
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, &a)| back[a] = i);
        graph.transpose(of_others, &back)
    }
}

/// The position that an element of a tensor takes part in after reduction: the axes that stay.
fn kept_axes(rank: usize, axes: &[usize]) -> Vec<usize> {
    (0..rank).filter(|a| !axes.contains(a)).collect()
}

impl Operator for Reduce {
    fn name(&self) -> &'static str {
        NAMES.iter().find(|n| n.1 == self.combine).expect("a reduction never sets").0
    }

    fn attributes(&self) -> Attributes {
        Attributes::default().with_dims("axes", &self.axes)
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x] = operands(inputs)?;
        check_axes("axis", &self.axes, x.rank())?;
        if self.axes.windows(2).any(|w| w[0] > w[1]) {
            return Err(format!("expected ascending axes, got {:?}", self.axes));
        }
        let logical = matches!(self.combine, Combine::Any | Combine::All);
        if logical != (x.dtype == DType::Bool) {
            return Err(format!("expected {}, got {x}", if logical { "bool" } else { "numbers" }));
        }
        let dims: Vec<usize> = kept_axes(x.rank(), &self.axes).iter().map(|&a| x.shape[a]).collect();
        Ok(Type::new(x.dtype, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let x = inputs[0];
        // Floats are summed in f64, so that the meaning does not depend on an order.
        let wide = if ty.dtype == DType::F32 { DType::F64 } else { ty.dtype };
        let mut result = vec![self.combine.identity(wide); ty.elements()];
        let (kept, strides) = (kept_axes(x.ty().rank(), &self.axes), ty.shape.strides());
        // One element is its own reduction: −0 stays what it is.
        let is_one = x.elements() == ty.elements();
        let mut i = 0;
        for_each_index(&x.shape(), |index| {
            let to: Vec<usize> = kept.iter().map(|&a| index[a]).collect();
            let slot = &mut result[flat(&strides, &to)];
            let element = x.get(i).convert(wide);
            *slot = if is_one { element } else { Reduce::combine(self.combine, *slot, element) };
            i += 1;
        });
        Tensor::from_fn(ty, |i| result[i])
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let x = graph.node(node).inputs[0];
        let ty = graph.ty(x);
        if ty.elements() == 0 {
            return vec![Some(graph.fill(ty, 0.0))];
        }
        let spread = |graph: &mut Graph, v| graph.unreduce(v, ty.shape, &self.axes);
        let gradient = match self.combine {
            Combine::Sum => spread(graph, cotangent),
            Combine::Max | Combine::Min => {
                let (attained, count) = self.attained(graph, node);
                let share = graph.over(cotangent, count);
                let (share, zero) = (spread(graph, share), graph.fill(ty, 0.0));
                graph.select(attained, share, zero)
            }
            Combine::Product => {
                let (cotangent, others) = (spread(graph, cotangent), self.product_of_others(graph, x));
                graph.times(cotangent, others)
            }
            Combine::Any | Combine::All | Combine::Set => return vec![None],
        };
        vec![Some(gradient)]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let (x, t) = (graph.node(node).inputs[0], tangents[0]?);
        match self.combine {
            Combine::Sum => Some(graph.sum(t, &self.axes)),
            _ if graph.ty(x).elements() == 0 => Some(graph.fill_like(node, 0.0)),
            Combine::Max | Combine::Min => {
                let (attained, count) = self.attained(graph, node);
                let zero = graph.fill_like(x, 0.0);
                let shares = graph.select(attained, t, zero);
                let total = graph.sum(shares, &self.axes);
                Some(graph.over(total, count))
            }
            Combine::Product => {
                let others = self.product_of_others(graph, x);
                let terms = graph.times(t, others);
                Some(graph.sum(terms, &self.axes))
            }
            Combine::Any | Combine::All | Combine::Set => None,
        }
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let ty = definer.operand_type(0);
        let extents: Vec<usize> = self.axes.iter().map(|&a| ty.shape[a]).collect();
        definer.reduce(self.combine, ty.dtype, &extents, &mut |definer, position| {
            let (mut kept, mut reduced) = (index.iter(), position.iter());
            let full: Vec<ExprId> = (0..ty.rank())
                .map(|a| *if self.axes.contains(&a) { reduced.next() } else { kept.next() }.expect("one a dimension"))
                .collect();
            definer.operand(0, &full)
        })
    }
}
