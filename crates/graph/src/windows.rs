//! How windows lie over the last axes of an operand.

use bespoke_loops::{BinaryFn, ExprId, Exprs};
use bespoke_tensor::{Shape, Type};

use crate::{Attribute, Attributes, attributes::Reader};

/// Windows over the last axes of an operand: window p begins at `p·stride − low` and reaches over `extent` elements that
/// are `dilation` apart. As many as fit between `low` places before the operand and `high` after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// Elements of a window, along each axis.
    pub extent: Vec<usize>,
    /// Steps between neighbouring windows.
    pub stride: Vec<usize>,
    /// Places before the first element and after the last.
    pub padding: Vec<(usize, usize)>,
    /// Steps between neighbouring elements of a window.
    pub dilation: Vec<usize>,
}

impl Windows {
    /// Without padding and dilation.
    pub fn new(extent: &[usize], stride: &[usize]) -> Windows {
        let axes = extent.len();
        Windows {
            extent: extent.to_vec(),
            stride: stride.to_vec(),
            padding: vec![(0, 0); axes],
            dilation: vec![1; axes],
        }
    }

    /// The number of axes.
    pub fn axes(&self) -> usize {
        self.extent.len()
    }

    /// The number of elements of a window.
    pub fn elements(&self) -> usize {
        self.extent.iter().product()
    }

    /// From the first element of a window to the last, both counted.
    pub fn span(&self, axis: usize) -> usize {
        (self.extent[axis] - 1) * self.dilation[axis] + 1
    }

    /// Is there any padding?
    pub fn is_padded(&self) -> bool {
        self.padding.iter().any(|&p| p != (0, 0))
    }

    pub(crate) fn read(attributes: &mut Reader) -> Result<Windows, String> {
        let (low, high) = attributes.pair("padding")?;
        if low.len() != high.len() {
            return Err(format!("`padding`: {} numbers before, {} after", low.len(), high.len()));
        }
        Ok(Windows {
            extent: attributes.sizes("window")?,
            stride: attributes.sizes("stride")?,
            padding: low.into_iter().zip(high).collect(),
            dilation: attributes.sizes("dilation")?,
        })
    }

    pub(crate) fn attributes(&self) -> Attributes {
        let of = |side: fn(&(usize, usize)) -> usize| self.padding.iter().map(|p| side(p) as i64).collect();
        Attributes::default()
            .with_dims("window", &self.extent)
            .with_dims("stride", &self.stride)
            .with("padding", Attribute::Pair(of(|p| p.0), of(|p| p.1)))
            .with_dims("dilation", &self.dilation)
    }

    /// The shape of what is computed for each window of an operand.
    pub(crate) fn infer(&self, x: Type) -> Result<Shape, String> {
        let axes = self.axes();
        if axes == 0 || axes > x.rank() {
            return Err(format!("expected windows over 1 to {} axes, got {axes} for {x}", x.rank()));
        }
        for (what, count) in [
            ("stride", self.stride.len()),
            ("padding", self.padding.len()),
            ("dilation", self.dilation.len()),
        ] {
            if count != axes {
                return Err(format!("expected a {what} for each of {axes} axes, got {count}"));
            }
        }
        for (what, steps) in
            [("window", &self.extent), ("stride", &self.stride), ("dilation", &self.dilation)]
        {
            if let Some(a) = steps.iter().position(|&s| s == 0) {
                return Err(format!("the {what} of axis {a} is 0, expected at least 1"));
            }
        }
        let lead = x.rank() - axes;
        let mut dims = x.shape[..lead].to_vec();
        for a in 0..axes {
            let large = || format!("windows along axis {a} are too large to count");
            let span = (self.extent[a] - 1).checked_mul(self.dilation[a]).and_then(|s| s.checked_add(1));
            let span = span.filter(|&s| s < 1 << 40).ok_or_else(large)?;
            let (low, high) = self.padding[a];
            if low >= span || high >= span {
                return Err(format!(
                    "expected less padding than the {span} places of a window, got {low} and {high} along axis {a}"
                ));
            }
            let padded = x.shape[lead + a].checked_add(low + high).ok_or_else(large)?;
            dims.push(padded.checked_sub(span).map_or(0, |rest| rest / self.stride[a] + 1));
        }
        Shape::new(&dims).map_err(|e| e.to_string())
    }

    /// The first window of axis `axis` that meets no element of an operand of that extent, if there is one.
    pub(crate) fn empty_window(&self, axis: usize, extent: usize, windows: usize) -> Option<usize> {
        let (low, _) = self.padding[axis];
        (0..windows)
            .take_while(|p| p * self.stride[axis] < low)
            .chain(windows.checked_sub(1))
            .find(|&p| (0..self.extent[axis]).all(|k| self.source(axis, extent, p, k).is_none()))
    }

    /// The position that element `k` of window `p` lies on; `None` in the padding.
    pub(crate) fn source(&self, axis: usize, extent: usize, p: usize, k: usize) -> Option<usize> {
        let at = p * self.stride[axis] + k * self.dilation[axis];
        at.checked_sub(self.padding[axis].0).filter(|&position| position < extent)
    }

    /// The index that element `position` of the window at `index` lies on, made legal, and whether it was.
    pub(crate) fn place(
        &self,
        e: &mut Exprs,
        x: Shape,
        index: &[ExprId],
        position: &[ExprId],
    ) -> (Vec<ExprId>, ExprId) {
        let lead = index.len() - self.axes();
        let mut from = index[..lead].to_vec();
        let mut inside = e.literal(true);
        for a in 0..self.axes() {
            let extent = x[lead + a] as i64;
            let start = e.index_mul(index[lead + a], self.stride[a] as i64);
            let along = e.index_mul(position[a], self.dilation[a] as i64);
            let low = e.index_const(-(self.padding[a].0 as i64));
            let at = e.index_add(start, along);
            let at = e.index_add(at, low);
            let (first, last) = (e.index_const(0), e.index_const(extent - 1));
            let (above, below) = (e.binary(BinaryFn::Ge, at, first), e.binary(BinaryFn::Le, at, last));
            inside = e.binary(BinaryFn::And, inside, above);
            inside = e.binary(BinaryFn::And, inside, below);
            from.push(e.index_clamp(at, extent - 1));
        }
        (from, inside)
    }
}
