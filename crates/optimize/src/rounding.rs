//! What a rewrite may change.

/// How far the two sides of a rewrite may differ; each class includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Rounding {
    /// Not at all: the same bits (of NaN, that it is one) for every input.
    Exact,
    /// As sums do in another order, and in the sign of zero; infinities and NaN may arise or vanish where an intermediate
    /// result overflows.
    #[default]
    Reassociates,
    /// Only equal for finite inputs within the domain of every function.
    AssumesFinite,
}
