//! Bounds that weights are kept within, by projection after each step.

use crate::Value;

/// What holds of a parameter after each step of an [`Update`](crate::Update): the new value is replaced by the nearest one
/// that fulfils it.
///
/// A norm is over the weights that come into one unit: over the first axis of a matrix, which [`Value::dense`] has as
/// `[inputs,units]`, and over all axes but the first of more, as [`Value::conv`] has them; another layout is said by
/// [`Constraint::over`]. Vectors and scalars, such as biases, are left as they are by norms.
///
/// ```
/// use bespoke_nn::{Constraint, F64, Graph, Init, Sgd, Update};
///
/// let g = Graph::new();
/// let w = g.parameter("w", F64, [2, 1], Init::Constant(3.0));
/// g.minimize(-w.sum(), Update::new(Sgd::new(1.0)).constrain("w", Constraint::max_norm(1.0)));
/// let mut step = g.compile()?;
/// step.run(&[])?;
/// let half = step.parameters()[0].1.get(0).to_f64();
/// assert!((half - 0.5f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    kind: Kind,
    over: Option<Vec<isize>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    MaxNorm(f64),
    UnitNorm,
    Within(f64, f64),
}

impl Constraint {
    /// ‖w‖₂ ≤ c for each unit: what is longer is scaled to c (Srivastava et al. 2014, § 5.1). The limit is above 0.
    pub fn max_norm(limit: f64) -> Constraint {
        Constraint { kind: Kind::MaxNorm(limit), over: None }
    }

    /// ‖w‖₂ = 1 for each unit; one whose weights are all 0 stays so.
    pub fn unit_norm() -> Constraint {
        Constraint { kind: Kind::UnitNorm, over: None }
    }

    /// w ≥ 0.
    pub fn non_negative() -> Constraint {
        Constraint::within(0.0, f64::INFINITY)
    }

    /// low ≤ w ≤ high, as the critic's weights of a WGAN are kept (Arjovsky, Chintala & Bottou 2017).
    pub fn within(low: f64, high: f64) -> Constraint {
        Constraint { kind: Kind::Within(low, high), over: None }
    }

    /// With norms over these axes; negative ones count from the end.
    pub fn over(self, axes: &[isize]) -> Constraint {
        Constraint { over: Some(axes.to_vec()), ..self }
    }

    /// What is wrong with its numbers.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.kind {
            Kind::MaxNorm(limit) if !(limit > 0.0 && limit.is_finite()) => {
                Err(format!("constrain: expected a limit above 0 of the norm, got {limit}"))
            }
            Kind::Within(low, high) if low.is_nan() || high.is_nan() || low > high => {
                Err(format!("constrain: expected bounds low ≤ high, got {low} and {high}"))
            }
            _ => Ok(()),
        }
    }

    /// Does it say anything of a parameter of so many axes?
    pub(crate) fn concerns(&self, rank: usize) -> bool {
        matches!(self.kind, Kind::Within(..)) || self.over.is_some() || incoming_axes(rank).is_some()
    }

    /// The nearest value that fulfils it.
    #[track_caller]
    pub(crate) fn project<'g>(&self, w: Value<'g>) -> Value<'g> {
        let axes = self.over.clone().or_else(|| incoming_axes(w.shape().rank()));
        match (self.kind, axes) {
            (Kind::Within(low, high), _) => {
                let w = if low == f64::NEG_INFINITY { w } else { w.maximum(low) };
                if high == f64::INFINITY { w } else { w.minimum(high) }
            }
            (_, None) => w,
            (Kind::MaxNorm(limit), Some(axes)) => w * (limit / w.norm_keep(&axes).maximum(limit)),
            (Kind::UnitNorm, Some(axes)) => {
                let norm = w.norm_keep(&axes);
                w / norm.gt(0.0).select(norm, 1.0)
            }
        }
    }
}

/// The axes of a weight along which lie those that come into one unit, by its number of axes: of a dense layer's
/// `[inputs,units]` and of a convolution's `[features,C,kernel…]`.
pub(crate) fn incoming_axes(rank: usize) -> Option<Vec<isize>> {
    match rank {
        0 | 1 => None,
        2 => Some(vec![0]),
        _ => Some((1..rank as isize).collect()),
    }
}
