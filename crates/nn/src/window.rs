//! How windows lie: numbers for each spatial axis, and padding.

/// Numbers beyond this are mistakes, and sums of those below can be counted.
const MOST: usize = 1 << 40;

/// A number for each spatial axis, or one for all of them: from a number, an array, a slice or a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerAxis(Vec<usize>);

impl PerAxis {
    /// The numbers of `axes` axes; an error says what was expected.
    pub(crate) fn over(&self, what: &str, axes: usize, least: usize) -> Result<Vec<usize>, String> {
        let numbers = match self.0[..] {
            [one] => vec![one; axes],
            _ => self.0.clone(),
        };
        if numbers.len() != axes || numbers.iter().any(|&n| n < least || n > MOST) {
            return Err(format!(
                "{what}: expected a number or {axes} of them, at least {least} and at most 2⁴⁰, got {:?}",
                self.0
            ));
        }
        Ok(numbers)
    }
}

impl From<usize> for PerAxis {
    fn from(number: usize) -> PerAxis {
        PerAxis(vec![number])
    }
}

impl<const N: usize> From<[usize; N]> for PerAxis {
    fn from(numbers: [usize; N]) -> PerAxis {
        PerAxis(numbers.to_vec())
    }
}

impl From<&[usize]> for PerAxis {
    fn from(numbers: &[usize]) -> PerAxis {
        PerAxis(numbers.to_vec())
    }
}

impl From<Vec<usize>> for PerAxis {
    fn from(numbers: Vec<usize>) -> PerAxis {
        PerAxis(numbers)
    }
}

/// What lies around an operand of windows: from a number, one for each spatial axis, or pairs of before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As many on both sides.
    Even(PerAxis),
    /// These many before and after, along each spatial axis.
    Pairs(Vec<(usize, usize)>),
    /// So many that the result has ⌈extent / stride⌉ positions; of an odd number, the greater part lies behind. With stride
    /// 1 that is PyTorch's "same", with others TensorFlow's.
    Same,
}

impl<T: Into<PerAxis>> From<T> for Padding {
    fn from(numbers: T) -> Padding {
        Padding::Even(numbers.into())
    }
}

impl<const N: usize> From<[(usize, usize); N]> for Padding {
    fn from(pairs: [(usize, usize); N]) -> Padding {
        Padding::Pairs(pairs.to_vec())
    }
}

impl Padding {
    /// Before and after, along each axis of extents `x`, for windows of `spans` elements.
    pub(crate) fn over(
        &self,
        x: &[usize],
        spans: &[usize],
        stride: &[usize],
    ) -> Result<Vec<(usize, usize)>, String> {
        match self {
            Padding::Even(numbers) => {
                Ok(numbers.over("padding", x.len(), 0)?.into_iter().map(|p| (p, p)).collect())
            }
            Padding::Pairs(pairs) if pairs.len() == x.len() && pairs.iter().all(|p| p.0.max(p.1) <= MOST) => {
                Ok(pairs.clone())
            }
            Padding::Pairs(pairs) => {
                Err(format!("padding: expected {} pairs of before and after, got {pairs:?}", x.len()))
            }
            Padding::Same => Ok((0..x.len())
                .map(|a| {
                    let windows = x[a].div_ceil(stride[a]);
                    let total = (windows.saturating_sub(1) * stride[a] + spans[a]).saturating_sub(x[a]);
                    (total / 2, total - total / 2)
                })
                .collect()),
        }
    }
}

/// How many elements windows reach over.
pub(crate) fn spans(window: &[usize], dilation: &[usize]) -> Result<Vec<usize>, String> {
    let span = |(&k, &d): (&usize, &usize)| (k - 1).checked_mul(d)?.checked_add(1);
    let spans: Option<Vec<usize>> = window.iter().zip(dilation).map(span).collect();
    spans.filter(|s| s.iter().all(|&s| s <= MOST)).ok_or_else(|| "a window too wide to count".to_owned())
}
