//! The rules, a file a topic.
//!
//! Law for rules: a rule is directed towards what is cheaper or more regular; one that makes graphs larger, or that moves
//! divisions both ways, has a condition that bounds it. Shapes are read from types, never written in patterns. A rule
//! says honestly how its result may differ ([`Rounding`](crate::Rounding)).

mod algebra;
mod angles;
mod cancel;
mod choices;
mod convolution;
mod formulas;
mod functions;
mod layout;
mod linear;
mod merge;
mod movement;
mod normal;
mod normalisation;
mod parts;
mod powers;
mod reduction;
mod scale;
mod stable;
mod terms;

use bespoke_graph::{Op, op::Binary, op::Unary};
use bespoke_loops::Combine;

use crate::{
    pattern::Match,
    rule::Rule,
    view::{Class, View, nodes},
};

/// All topics.
pub fn topics() -> [&'static [Rule]; 19] {
    [
        algebra::RULES,
        terms::RULES,
        cancel::RULES,
        powers::RULES,
        functions::RULES,
        angles::RULES,
        choices::RULES,
        stable::RULES,
        normalisation::RULES,
        movement::RULES,
        parts::RULES,
        reduction::RULES,
        linear::RULES,
        normal::RULES,
        scale::RULES,
        merge::RULES,
        convolution::RULES,
        layout::RULES,
        formulas::RULES,
    ]
}

/// Is the rewritten value of a float type?
fn is_float(m: &Match<'_>) -> bool {
    m.is_float()
}

/// Is it a value of floats above zero for all finite operands? (Integers wrap, and their quotients are not exact.)
pub fn is_positive(view: &dyn View, class: Class) -> bool {
    view.ty(class).dtype.is_float() && positive(view, class, 5, &mut LOOKS.clone())
}

/// Nodes that a proof that something is positive looks at, at most: classes may be large.
const LOOKS: usize = 200;

fn positive(view: &dyn View, class: Class, depth: usize, looks: &mut usize) -> bool {
    if let Some(value) = view.splat(class) {
        return value.to_f64() > 0.0;
    }
    depth > 0
        && nodes(view, class).any(|(op, x)| {
            *looks = looks.saturating_sub(1);
            let mut all = || *looks > 0 && x.iter().all(|&x| positive(view, x, depth - 1, looks));
            match op {
                Op::Unary(Unary::Exp | Unary::Sigmoid | Unary::Softplus | Unary::Cosh) => true,
                Op::Unary(Unary::Sqrt | Unary::Rsqrt) => all(),
                Op::Binary(Binary::Add | Binary::Mul | Binary::Div) => all(),
                // 1 − σ(y) is σ(−y).
                Op::Binary(Binary::Sub) => {
                    view.splat(x[0]).is_some_and(|one| one.to_f64() >= 1.0)
                        && nodes(view, x[1]).any(|(op, _)| *op == Op::Unary(Unary::Sigmoid))
                }
                Op::Broadcast(_) | Op::Reshape(_) | Op::Transpose(_) => all(),
                Op::Reduce(r) => match r.combine {
                    Combine::Sum | Combine::Product | Combine::Max | Combine::Min => {
                        r.axes.iter().all(|&a| view.ty(x[0]).shape[a] > 0) && all()
                    }
                    _ => false,
                },
                _ => false,
            }
        })
}
