//! Pooling: what windows hold, in any number of spatial dimensions.

use bespoke_graph::{Windows, op};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Tensor, Type};

use crate::{
    Padding, PerAxis, Value,
    bins::{Bins, Fold},
    window::spans,
};

/// Choices for pooling: by default windows lie side by side, without padding, and those that do not fit are left out.
///
/// ```
/// use bespoke_nn::{F32, Graph, Pool};
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [2, 3, 28, 28]);
/// assert_eq!(x.max_pool2d(2, Pool::new()).ty().to_string(), "f32[2,3,14,14]");
/// assert_eq!(x.avg_pool2d(3, Pool::new().stride(2).padding(1)).ty().to_string(), "f32[2,3,14,14]");
/// assert_eq!(x.adaptive_avg_pool2d([7, 5]).ty().to_string(), "f32[2,3,7,5]");
/// assert_eq!(x.global_avg_pool().ty().to_string(), "f32[2,3]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Pool {
    stride: Option<PerAxis>,
    padding: Padding,
    dilation: PerAxis,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Option<f64>,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool {
            stride: None,
            padding: 0.into(),
            dilation: 1.into(),
            ceil_mode: false,
            count_include_pad: true,
            divisor: None,
        }
    }
}

impl Pool {
    /// Windows side by side, without padding.
    pub fn new() -> Pool {
        Pool::default()
    }

    /// Steps between windows, the windows' extents if not said: a number, or one for each spatial axis.
    pub fn stride(self, stride: impl Into<PerAxis>) -> Pool {
        Pool { stride: Some(stride.into()), ..self }
    }

    /// Padding, at most half a window on each side. A maximum does not see it; in sums it is zero.
    pub fn padding(self, padding: impl Into<Padding>) -> Pool {
        Pool { padding: padding.into(), ..self }
    }

    /// Steps between neighbours of a window.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> Pool {
        Pool { dilation: dilation.into(), ..self }
    }

    /// Also a last window that reaches over the end, if it begins before it.
    pub fn ceil_mode(self) -> Pool {
        Pool { ceil_mode: true, ..self }
    }

    /// Do averages count the padding? They do if not said. Other pools have no such choice.
    pub fn count_include_pad(self, count: bool) -> Pool {
        Pool { count_include_pad: count, ..self }
    }

    /// Averages divide by this, which is not 0, instead of the number of elements. Other pools have no divisor.
    pub fn divisor(self, divisor: f64) -> Pool {
        Pool { divisor: Some(divisor), ..self }
    }

    /// The windows over spatial extents, and what means divide by along each axis.
    fn windows(&self, x: &[usize], kernel: &PerAxis) -> Result<(Windows, Vec<Vec<usize>>), String> {
        let extent = kernel.over("kernel", x.len(), 1)?;
        let stride = match &self.stride {
            Some(stride) => stride.over("stride", x.len(), 1)?,
            None => extent.clone(),
        };
        let dilation = self.dilation.over("dilation", x.len(), 1)?;
        let spans = spans(&extent, &dilation)?;
        let mut padding = self.padding.over(x, &spans, &stride)?;
        let mut counts = vec![];
        for a in 0..x.len() {
            let ((low, high), span, step) = (padding[a], spans[a], stride[a]);
            if low.max(high) > span / 2 {
                return Err(format!("a padding of {low} and {high} is more than half a window of {span}"));
            }
            let padded = x[a] + low + high;
            let Some(rest) = padded.checked_sub(span) else {
                return Err(format!("a window over {span} does not fit into {padded} along axis {}", a + 2));
            };
            let mut windows = rest / step + 1;
            // One more begins within the operand or before it.
            if self.ceil_mode && !rest.is_multiple_of(step) && windows * step < x[a] + low {
                padding[a].1 += windows * step + span - padded;
                windows += 1;
            }
            let count = |i: usize| {
                let (start, end) = (i * step, (i * step + extent[a]).min(padded));
                match self.count_include_pad {
                    true => end - start,
                    false => end.min(low + x[a]).saturating_sub(start.max(low)),
                }
            };
            counts.push((0..windows).map(count).collect());
        }
        Ok((Windows { extent, stride, padding, dilation }, counts))
    }
}

macro_rules! pools {
    ($($max:ident $indices:ident $avg:ident $lp:ident $adaptive_avg:ident $adaptive_max:ident $rank:literal $axes:literal;)*) => {
        /// Pooling by the number of spatial dimensions.
        impl<'g> Value<'g> {$(
            #[doc = concat!("The maxima of windows over `[N,C,", $axes, "]`: see [`Value::max_pool`].")]
            #[track_caller]
            pub fn $max(self, kernel: impl Into<PerAxis>, pool: Pool) -> Value<'g> {
                self.max_pool_as(stringify!($max), Some($rank), &kernel.into(), &pool)
            }

            #[doc = concat!("The maxima of windows over `[N,C,", $axes, "]` and where they are: see [`Value::max_pool_with_indices`].")]
            #[track_caller]
            pub fn $indices(self, kernel: impl Into<PerAxis>, pool: Pool) -> (Value<'g>, Value<'g>) {
                self.indices_as(stringify!($indices), Some($rank), &kernel.into(), &pool)
            }

            #[doc = concat!("The means of windows over `[N,C,", $axes, "]`: see [`Value::avg_pool`].")]
            #[track_caller]
            pub fn $avg(self, kernel: impl Into<PerAxis>, pool: Pool) -> Value<'g> {
                self.avg_pool_as(stringify!($avg), Some($rank), &kernel.into(), &pool)
            }

            #[doc = concat!("The p-norms of windows over `[N,C,", $axes, "]`: see [`Value::lp_pool`].")]
            #[track_caller]
            pub fn $lp(self, p: f64, kernel: impl Into<PerAxis>, pool: Pool) -> Value<'g> {
                self.lp_pool_as(stringify!($lp), Some($rank), p, &kernel.into(), pool)
            }

            #[doc = concat!("Means of `[N,C,", $axes, "]` in a given number of windows: see [`Value::adaptive_avg_pool`].")]
            #[track_caller]
            pub fn $adaptive_avg(self, output: impl Into<PerAxis>) -> Value<'g> {
                self.adaptive_as(stringify!($adaptive_avg), Some($rank), Fold::Sum, &output.into())
            }

            #[doc = concat!("Maxima of `[N,C,", $axes, "]` in a given number of windows: see [`Value::adaptive_max_pool`].")]
            #[track_caller]
            pub fn $adaptive_max(self, output: impl Into<PerAxis>) -> Value<'g> {
                self.adaptive_as(stringify!($adaptive_max), Some($rank), Fold::Max, &output.into())
            }
        )*}
    };
}

pools! {
    max_pool1d max_pool1d_with_indices avg_pool1d lp_pool1d adaptive_avg_pool1d adaptive_max_pool1d 1 "L";
    max_pool2d max_pool2d_with_indices avg_pool2d lp_pool2d adaptive_avg_pool2d adaptive_max_pool2d 2 "H,W";
    max_pool3d max_pool3d_with_indices avg_pool3d lp_pool3d adaptive_avg_pool3d adaptive_max_pool3d 3 "D,H,W";
}

impl<'g> Value<'g> {
    /// The maxima of windows over the axes behind the second: `[N,C,spatial…]` gives ⌊(extent + padding − dilation·(kernel −
    /// 1) − 1)/stride⌋ + 1 positions along an axis. The cotangent goes to the first maximum of a window; NaN is greatest.
    #[track_caller]
    pub fn max_pool(self, kernel: impl Into<PerAxis>, pool: Pool) -> Value<'g> {
        self.max_pool_as("max_pool", None, &kernel.into(), &pool)
    }

    /// The maxima of windows and where they are: i32 positions in row-major order among the spatial axes of `self`.
    #[track_caller]
    pub fn max_pool_with_indices(self, kernel: impl Into<PerAxis>, pool: Pool) -> (Value<'g>, Value<'g>) {
        self.indices_as("max_pool_with_indices", None, &kernel.into(), &pool)
    }

    /// The means of windows over the axes behind the second, which have as many positions as those of [`Value::max_pool`].
    /// See [`Pool::count_include_pad`] and [`Pool::divisor`] for what the sums are divided by.
    #[track_caller]
    pub fn avg_pool(self, kernel: impl Into<PerAxis>, pool: Pool) -> Value<'g> {
        self.avg_pool_as("avg_pool", None, &kernel.into(), &pool)
    }

    /// (Σ xᵖ)^(1/p) of windows over the axes behind the second, as PyTorch has it: give absolute values for a norm if p is
    /// odd. Where the sum is 0, the result and its derivative are 0. The power is at least 1: below, there is no norm, and the
    /// slope at 0 is infinite.
    #[track_caller]
    pub fn lp_pool(self, p: f64, kernel: impl Into<PerAxis>, pool: Pool) -> Value<'g> {
        self.lp_pool_as("lp_pool", None, p, &kernel.into(), pool)
    }

    /// The means of `output` windows along each axis behind the second: of n elements, window i holds ⌊i·n/output⌋ to below
    /// ⌈(i + 1)·n/output⌉.
    #[track_caller]
    pub fn adaptive_avg_pool(self, output: impl Into<PerAxis>) -> Value<'g> {
        self.adaptive_as("adaptive_avg_pool", None, Fold::Sum, &output.into())
    }

    /// The maxima of the windows of [`Value::adaptive_avg_pool`].
    #[track_caller]
    pub fn adaptive_max_pool(self, output: impl Into<PerAxis>) -> Value<'g> {
        self.adaptive_as("adaptive_max_pool", None, Fold::Max, &output.into())
    }

    /// The mean over all axes behind the second: `[N,C,spatial…]` gives `[N,C]`.
    #[track_caller]
    pub fn global_avg_pool(self) -> Value<'g> {
        match self.spatial("global_avg_pool", None) {
            Some(axes) => self.mean_axes(&axes.map(|a| a as isize).collect::<Vec<_>>()),
            None => self.spoiled(),
        }
    }

    /// The maximum over all axes behind the second: `[N,C,spatial…]` gives `[N,C]`.
    #[track_caller]
    pub fn global_max_pool(self) -> Value<'g> {
        match self.spatial("global_max_pool", None) {
            Some(axes) => self.max_axes(&axes.map(|a| a as isize).collect::<Vec<_>>()),
            None => self.spoiled(),
        }
    }

    /// The axes behind the second, if there are as many as expected.
    #[track_caller]
    fn spatial(self, what: &str, rank: Option<usize>) -> Option<std::ops::Range<usize>> {
        if !self.floats(what) {
            return None;
        }
        let ty = self.ty();
        let spatial = ty.rank().saturating_sub(2);
        if spatial == 0 || rank.is_some_and(|r| r != spatial) {
            let expected =
                rank.map_or("at least one spatial axis".to_owned(), |r| format!("{r} spatial axes"));
            self.graph.refuse(format!("{what}: expected [N,C,spatial…] with {expected}, got {ty}"));
            return None;
        }
        Some(2..ty.rank())
    }

    #[track_caller]
    fn windows(
        self,
        what: &str,
        rank: Option<usize>,
        kernel: &PerAxis,
        pool: &Pool,
        averages: bool,
    ) -> Option<(Windows, Vec<Vec<usize>>)> {
        self.spatial(what, rank)?;
        if !averages && (pool.divisor.is_some() || !pool.count_include_pad) {
            self.graph.refuse(format!("{what}: only averages have a divisor or a choice of what they count"));
            return None;
        }
        match pool.windows(&self.shape()[2..], kernel) {
            Ok(windows) => Some(windows),
            Err(why) => {
                self.graph.refuse(format!("{what}: {why} of {}", self.ty()));
                None
            }
        }
    }

    /// What windows over the spatial axes hold.
    #[track_caller]
    fn combined(self, what: &str, combine: Combine, windows: Windows) -> Value<'g> {
        self.graph.apply(what, op::WindowReduce { combine, windows }.into(), &[self])
    }

    #[track_caller]
    fn max_pool_as(self, what: &str, rank: Option<usize>, kernel: &PerAxis, pool: &Pool) -> Value<'g> {
        match self.windows(what, rank, kernel, pool, false) {
            Some((windows, _)) => self.combined(what, Combine::Max, windows),
            None => self.spoiled(),
        }
    }

    /// The maxima and where they are.
    #[track_caller]
    fn indices_as(
        self,
        what: &str,
        rank: Option<usize>,
        kernel: &PerAxis,
        pool: &Pool,
    ) -> (Value<'g>, Value<'g>) {
        let Some((windows, _)) = self.windows(what, rank, kernel, pool, false) else {
            return (self.spoiled(), self.spoiled());
        };
        let arg = op::WindowArg { extremum: op::Extremum::Max, windows: windows.clone() };
        (self.combined(what, Combine::Max, windows), self.graph.apply(what, arg.into(), &[self]))
    }

    /// Divided by the numbers of elements of windows along the spatial axes.
    #[track_caller]
    fn over_counts(self, counts: &[Vec<usize>]) -> Value<'g> {
        if self.id.is_none() {
            return self;
        }
        if counts.iter().all(|c| c.windows(2).all(|pair| pair[0] == pair[1])) {
            let count: usize = counts.iter().map(|c| c.first().copied().unwrap_or(1)).product();
            return self * (1.0 / count as f64);
        }
        let ty = Type { dtype: self.ty().dtype, shape: self.shape() };
        let Some(shape) = self.graph.shape("pool", &ty.shape[2..]) else { return self.spoiled() };
        let divisors = Tensor::from_fn(Type { shape, ..ty }, |mut i| {
            let mut count = 1;
            for c in counts.iter().rev() {
                count *= c[i % c.len()];
                i /= c.len();
            }
            Scalar::F64(count as f64)
        });
        self / self.graph.tensor(&divisors)
    }

    #[track_caller]
    fn avg_pool_as(self, what: &str, rank: Option<usize>, kernel: &PerAxis, pool: &Pool) -> Value<'g> {
        let Some((windows, counts)) = self.windows(what, rank, kernel, pool, true) else {
            return self.spoiled();
        };
        if let Some(divisor) = pool.divisor.filter(|d| *d == 0.0 || !d.is_finite()) {
            return self
                .graph
                .refuse(format!("{what}: expected a finite divisor that is not 0, got {divisor}"));
        }
        if pool.dilation != 1.into() {
            return self.graph.refuse(format!("{what}: averages have no dilation"));
        }
        let sums = self.combined(what, Combine::Sum, windows);
        match pool.divisor {
            Some(divisor) => sums * (1.0 / divisor),
            None => sums.over_counts(&counts),
        }
    }

    #[track_caller]
    fn lp_pool_as(self, what: &str, rank: Option<usize>, p: f64, kernel: &PerAxis, pool: Pool) -> Value<'g> {
        if !(1.0..f64::INFINITY).contains(&p) {
            return self.graph.refuse(format!("{what}: expected a power of at least 1, got {p}"));
        }
        let Some((windows, _)) = self.windows(what, rank, kernel, &pool, false) else {
            return self.spoiled();
        };
        let sums = self.pow(p).combined(what, Combine::Sum, windows);
        let none = sums.eq(0.0);
        // The root's slope at 0 is infinite.
        let root = none.select(sums.number(1.0.into()), sums).pow(1.0 / p);
        none.select(sums.number(0.0.into()), root)
    }

    #[track_caller]
    fn adaptive_as(self, what: &str, rank: Option<usize>, fold: Fold, output: &PerAxis) -> Value<'g> {
        let Some(axes) = self.spatial(what, rank) else { return self.spoiled() };
        let output = match output.over("output", axes.len(), 1) {
            Ok(output) => output,
            Err(why) => return self.graph.refuse(format!("{what}: {why}")),
        };
        let extents = self.shape()[2..].to_vec();
        let most = |n: &usize| *n > i32::MAX as usize;
        if extents.contains(&0) || extents.iter().chain(&output).any(most) {
            return self.graph.refuse(format!("{what}: {output:?} windows over {}", self.ty()));
        }
        let bins: Vec<Bins> = extents.iter().zip(&output).map(|(&n, &out)| Bins::new(n, out)).collect();
        let even: Option<Vec<usize>> = bins.iter().map(Bins::even).collect();
        let folded = match (even, fold) {
            (Some(even), Fold::Sum) => self.combined(what, Combine::Sum, Windows::new(&even, &even)),
            (Some(even), Fold::Max) => self.combined(what, Combine::Max, Windows::new(&even, &even)),
            (None, _) => axes.rev().fold(self, |x, axis| bins[axis - 2].fold(fold, axis, x)),
        };
        match fold {
            Fold::Sum => folded.over_counts(&bins.iter().map(Bins::counts).collect::<Vec<_>>()),
            Fold::Max => folded,
        }
    }
}
