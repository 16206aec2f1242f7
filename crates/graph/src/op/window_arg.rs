//! `window_arg_max`, `window_arg_min`: where the extremum of each window lies.

use bespoke_loops::{BinaryFn, Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Extremum, Operator, arg_reduce::is_beyond, flat, for_each_index, operands};
use crate::{Attributes, Graph, NodeId, Windows, attributes::Reader};

/// The position of the first maximum or minimum of each window over the last axes, as i32: its row-major number among the
/// positions of those axes of the operand. A NaN is more extreme than all else. What lies in the padding takes no part.
///
/// Constraints: those of `window_max`; the last axes have at most 2³¹ − 1 positions.
///
/// Example: `%1 = window_arg_max %0 {window=[2,2], stride=[2,2], padding=[0,0]x[0,0], dilation=[1,1]} : i32[128,6,14,14]` of
/// `f32[128,6,28,28]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowArg {
    /// Maximum or minimum.
    pub extremum: Extremum,
    /// Where.
    pub windows: Windows,
}

impl WindowArg {
    pub(super) fn names() -> Vec<&'static str> {
        vec!["window_arg_max", "window_arg_min"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<WindowArg, String>> {
        let extremum = match name {
            "window_arg_max" => Extremum::Max,
            "window_arg_min" => Extremum::Min,
            _ => return None,
        };
        Some(Windows::read(attributes).map(|windows| WindowArg { extremum, windows }))
    }
}

impl Operator for WindowArg {
    fn name(&self) -> &'static str {
        match self.extremum {
            Extremum::Max => "window_arg_max",
            Extremum::Min => "window_arg_min",
        }
    }

    fn attributes(&self) -> Attributes {
        self.windows.attributes()
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let combine = if self.extremum == Extremum::Max { Combine::Max } else { Combine::Min };
        let reduce = super::WindowReduce { combine, windows: self.windows.clone() };
        let ty = reduce.infer(inputs)?;
        let [x] = operands(inputs)?;
        let positions: usize = x.shape[x.rank() - self.windows.axes()..].iter().product();
        if i32::try_from(positions).is_err() {
            return Err(format!("the last {} axes of {x} have too many positions", self.windows.axes()));
        }
        Ok(Type::new(DType::I32, ty.shape))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let x = inputs[0];
        let (shape, strides) = (x.shape(), x.shape().strides());
        let lead = shape.rank() - self.windows.axes();
        let mut positions = Vec::with_capacity(ty.elements());
        for_each_index(&ty.shape, |index| {
            let mut best: Option<(Scalar, usize)> = None;
            for_each_index(&self.windows.extent, |k| {
                let from: Vec<usize> = (0..k.len())
                    .map_while(|a| self.windows.source(a, shape[lead + a], index[lead + a], k[a]))
                    .collect();
                if from.len() < k.len() {
                    return;
                }
                let position = flat(&strides[lead..], &from);
                let value = x.get(flat(&strides[..lead], &index[..lead]) + position);
                if best.is_none_or(|(other, _)| is_beyond(self.extremum, value, other)) {
                    best = Some((value, position));
                }
            });
            positions.push(best.expect("a window meets an element").1);
        });
        Tensor::from_fn(ty, |i| Scalar::I64(positions[i] as i64))
    }

    fn vjp(&self, _: &mut Graph, _: NodeId, _: NodeId) -> Vec<Option<NodeId>> {
        vec![None]
    }

    fn jvp(&self, _: &mut Graph, _: NodeId, _: &[Option<NodeId>]) -> Option<NodeId> {
        None
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let ty = definer.operand_type(0);
        let lead = ty.rank() - self.windows.axes();
        let combine = if self.extremum == Extremum::Max { Combine::Max } else { Combine::Min };
        let start = definer.exprs().literal(combine.identity(ty.dtype));
        // Before the first element nothing is best: position −1 makes it win even where it equals the identity.
        let nowhere = definer.exprs().literal(-1i32);
        let found = definer.fold(&[start, nowhere], &self.windows.extent, &mut |definer, position, before| {
            let (from, inside) = self.windows.place(definer.exprs(), ty.shape, index, position);
            let x = definer.operand(0, &from);
            let e = definer.exprs();
            let (best, at) = (before[0], before[1]);
            let beyond = if self.extremum == Extremum::Max { BinaryFn::Gt } else { BinaryFn::Lt };
            let zero = e.literal(0i32);
            let first = e.binary(BinaryFn::Lt, at, zero);
            let mut better = e.binary(beyond, x, best);
            if ty.dtype.is_float() {
                let (x_nan, best_number) = (e.binary(BinaryFn::Ne, x, x), e.binary(BinaryFn::Eq, best, best));
                let newly = e.binary(BinaryFn::And, x_nan, best_number);
                better = e.binary(BinaryFn::Or, better, newly);
            }
            let better = e.binary(BinaryFn::Or, better, first);
            let better = e.binary(BinaryFn::And, better, inside);
            let here = e.flatten(&ty.shape[lead..], &from[lead..]);
            let here = e.convert(DType::I32, here);
            vec![e.select(better, x, best), e.select(better, here, at)]
        });
        found[1]
    }
}
