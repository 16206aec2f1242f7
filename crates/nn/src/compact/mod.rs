//! Graphs without the units that pruning made useless.

mod axes;
mod constants;
mod rebuild;

use std::{collections::BTreeMap, fmt};

use bespoke_graph::{Graph as Ir, NodeId, Op, inline_customs, op::Binary};
use bespoke_tensor::{Scalar, Shape, Tensor, Type};

use self::{
    axes::{Axis, Families, Family, Place},
    constants::{Constants, is_zero},
};
use crate::{TrainError, flop, flop_text, live_part, thousands};

/// A smaller graph that computes the same.
#[derive(Clone, Debug)]
pub struct Compact {
    /// The graph.
    pub graph: Ir,
    /// The values of its states, of those that were given.
    pub values: Vec<(String, Tensor)>,
    /// What became smaller.
    pub report: Compaction,
}

/// What [`compact`] made smaller, of each before and after; prints as lines such as `dense0: 256 → 131 units`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compaction {
    /// Layers that lost units: the name of the parameter that makes them, without `/weight`.
    pub layers: Vec<(String, usize, usize)>,
    /// Elements of the states whose values were given.
    pub parameters: (usize, usize),
    /// Floating-point operations of a run, see [`flop`].
    pub flop: (f64, f64),
}

impl fmt::Display for Compaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, before, after) in &self.layers {
            writeln!(f, "{name}: {before} → {after} units")?;
        }
        let (before, after) = self.parameters;
        writeln!(f, "parameters: {} → {}", thousands(before), thousands(after))?;
        write!(f, "work: {} → {}", flop_text(self.flop.0), flop_text(self.flop.1))
    }
}

/// Takes units away from a query's graph that make no difference with these values of its parameters: those whose outgoing
/// weights are all zero, and those that are constant, such as units without incoming weights, whose constant goes into the
/// biases behind them. Units of dense layers and convolutions are followed through functions of elements, normalisation,
/// pooling, reshapes and further layers; where something else depends on them, or it cannot be proven that a unit makes no
/// difference, it stays. Each layer keeps one unit at least. What is multiplied by a weight of zero is taken to be finite.
///
/// Outputs are the same up to rounding. States that change, and those without a value, stay as they are. See
/// [`Query::compact`](crate::Query::compact) for a compiled query.
///
/// # Errors
/// [`TrainError::Data`] if a value is of another type than its state, or not finite.
pub fn compact(graph: &Ir, values: &[(String, Tensor)]) -> Result<Compact, TrainError> {
    let mut graph = live_part(&inline_customs(graph));
    let mut values = checked(&graph, values)?;
    let elements = |values: &BTreeMap<NodeId, Tensor>| values.values().map(Tensor::elements).sum::<usize>();
    let (parameters, work) = (elements(&values), flop(&graph));
    let mut layers: Vec<(String, usize, usize)> = vec![];
    while let Some(pass) = pass(&graph, &values) {
        for (name, before, after) in pass.layers {
            match layers.iter_mut().find(|l| l.0 == name) {
                Some(layer) => layer.2 = after,
                None => layers.push((name, before, after)),
            }
        }
        (graph, values) = (pass.graph, pass.values);
    }
    let report =
        Compaction { layers, parameters: (parameters, elements(&values)), flop: (work, flop(&graph)) };
    let named = graph.states().iter().filter_map(|s| Some((s.name.clone(), values.remove(&s.node)?)));
    Ok(Compact { values: named.collect(), graph, report })
}

/// The values of states that do not change.
fn checked(graph: &Ir, values: &[(String, Tensor)]) -> Result<BTreeMap<NodeId, Tensor>, TrainError> {
    let mut known = BTreeMap::new();
    for state in graph.states().iter().filter(|s| s.next.is_none()) {
        let Some((name, value)) = values.iter().find(|v| v.0 == state.name) else { continue };
        let (expected, got) = (graph.ty(state.node), value.ty());
        if expected != got {
            return Err(TrainError::Data(format!("compact: `{name}`: expected {expected}, got {got}")));
        }
        if let Some(number) = value.scalars().find(|s| !s.to_f64().is_finite()) {
            return Err(TrainError::Data(format!(
                "compact: `{name}` holds {number}, with which nothing is known to be zero"
            )));
        }
        known.insert(state.node, value.clone());
    }
    Ok(known)
}

/// What becomes smaller at once.
struct Pass {
    graph: Ir,
    values: BTreeMap<NodeId, Tensor>,
    layers: Vec<(String, usize, usize)>,
}

/// What the units that were taken away added to a sum of products, along one axis of it.
struct Fold {
    axis: usize,
    sums: Vec<f64>,
}

/// Takes away what can be seen to make no difference. None if there is nothing.
fn pass(graph: &Ir, values: &BTreeMap<NodeId, Tensor>) -> Option<Pass> {
    let families = Families::of(graph, &|state| values.contains_key(&state));
    let constants = Constants::of(graph, values);
    let mut kept: Vec<Option<Vec<bool>>> = vec![];
    let mut folds: BTreeMap<NodeId, Fold> = BTreeMap::new();
    let mut layers = vec![];
    for family in &families.families {
        let units = useful(graph, &families, family, &constants);
        if let Some(units) = &units {
            for (node, axes) in &family.sums {
                fold(graph, &families, &constants, units, *node, axes, &mut folds);
            }
            let after = units.iter().filter(|u| **u).count();
            layers.push((layer_name(graph, family), family.units, after));
        }
        kept.push(units);
    }
    if layers.is_empty() {
        return None;
    }
    let mut values = values.clone();
    folds.retain(|&sum, fold| !absorbed(graph, &families, sum, fold, &mut values));
    let kept = |axis: Axis| {
        let Place { family, inner, .. } = families.place(axis);
        let units = kept[family].as_ref()?;
        let extent = graph.ty(axis.0).shape[axis.1];
        Some((0..extent).filter(|i| units[i / inner % units.len()]).collect())
    };
    let (graph, values) = rebuild::rebuild(graph, &kept, &values, &folds);
    Some(Pass { graph, values, layers })
}

/// The name of the parameter that makes the units, without `/weight`.
fn layer_name(graph: &Ir, family: &Family) -> String {
    match &graph.node(family.states[0]).op {
        Op::StateRead(state) => state.name.strip_suffix("/weight").unwrap_or(&state.name).to_owned(),
        _ => unreachable!("it is a state"),
    }
}

/// Which units of a family make a difference. None if all do.
fn useful(graph: &Ir, families: &Families, family: &Family, constants: &Constants<'_>) -> Option<Vec<bool>> {
    if family.fixed || family.states.is_empty() || family.units < 2 {
        return None;
    }
    let mut useful = vec![false; family.units];
    for (node, axes) in &family.sums {
        let inner = families.place(axes[0]).inner;
        for position in 0..graph.ty(axes[0].0).shape[axes[0].1] {
            if !is_dispensable(graph, constants, *node, axes, position) {
                useful[position / inner % family.units] = true;
            }
        }
    }
    if !useful.contains(&true) {
        useful[0] = true; // no axis is to be empty
    }
    useful.contains(&false).then_some(useful)
}

/// Is what a position of an axis adds to a sum zero or known?
fn is_dispensable(
    graph: &Ir,
    constants: &Constants<'_>,
    node: NodeId,
    axes: &[Axis],
    position: usize,
) -> bool {
    let factors: Vec<Option<Scalar>> = axes.iter().map(|&axis| constants.at(axis, position)).collect();
    factors.iter().flatten().any(|f| is_zero(*f))
        || folding_side(graph, constants, node, axes).is_some_and(|side| factors[side].is_some())
}

/// Which operand of a sum of products may be constant along the axis summed over, because the sum of the other's elements at
/// a position can be added behind: 0 or 1.
fn folding_side(graph: &Ir, constants: &Constants<'_>, node: NodeId, axes: &[Axis]) -> Option<usize> {
    let side = match &graph.node(node).op {
        Op::Dot(dot) if dot.batch.0.is_empty() && dot.contract.0.len() == 1 => {
            let free = |side: usize| graph.ty(axes[side].0).rank() == 2 && constants.is_static(axes[side].0);
            (0..2).find(|side| free(1 - side))?
        }
        // Where it meets padding, a constant is not constant.
        Op::Convolution(c)
            if c.padding.iter().all(|p| *p == (0, 0)) && c.input_dilation.iter().all(|d| *d == 1) =>
        {
            constants.is_static(axes[1].0).then_some(0)?
        }
        _ => return None,
    };
    graph.ty(node).dtype.is_float().then_some(side)
}

/// Notes what the constants of units that are taken away add to a sum of products.
fn fold(
    graph: &Ir,
    families: &Families,
    constants: &Constants<'_>,
    units: &[bool],
    node: NodeId,
    axes: &[Axis],
    folds: &mut BTreeMap<NodeId, Fold>,
) {
    let Some(side) = folding_side(graph, constants, node, axes) else { return };
    let (constant, weight) = (axes[side], axes[1 - side]);
    let inner = families.place(constant).inner;
    let taken = |i: usize| !units[i / inner % units.len()];
    let factor = |i: usize| constants.at(constant, i).filter(|f| taken(i) && !is_zero(*f));
    let extent = graph.ty(constant.0).shape[constant.1];
    if (0..extent).all(|i| factor(i).is_none()) {
        return;
    }
    let values = constants.tensor(weight.0).expect("the side was chosen so");
    // The results' axis of a matrix is its other, of a kernel the first; of the sum it is the first or the last, or the second.
    let (of, axis) = match &graph.node(node).op {
        Op::Convolution(_) => (0, 1),
        _ if side == 0 => (1 - weight.1, graph.ty(node).rank() - 1),
        _ => (1 - weight.1, 0),
    };
    let (shape, strides) = (values.shape(), values.shape().strides());
    let mut sums = vec![0.0; shape[of]];
    for (i, w) in values.scalars().enumerate() {
        let at = |axis: usize| i / strides[axis] % shape[axis];
        if let Some(factor) = factor(at(weight.1)) {
            sums[at(of)] += factor.to_f64() * w.to_f64();
        }
    }
    folds.insert(node, Fold { axis, sums });
}

/// Adds what was folded to the bias behind, if there is one that serves nothing else.
fn absorbed(
    graph: &Ir,
    families: &Families,
    sum: NodeId,
    fold: &Fold,
    values: &mut BTreeMap<NodeId, Tensor>,
) -> bool {
    let users = graph.users();
    let only_user = |id: NodeId| match users[id.index()][..] {
        [user] if graph.roots().all(|r| r != id) => Some(user),
        _ => None,
    };
    let Some(add) = only_user(sum).filter(|&u| matches!(graph.node(u).op, Op::Binary(Binary::Add))) else {
        return false;
    };
    let mut other =
        graph.node(add).inputs.iter().copied().find(|&x| x != sum).expect("the sum is added once");
    loop {
        if only_user(other).is_none() {
            return false;
        }
        match &graph.node(other).op {
            Op::Broadcast(_) | Op::Reshape(_) => other = graph.node(other).inputs[0],
            _ => break,
        }
    }
    let Some(bias) = values.get_mut(&other).filter(|b| b.ty().rank() == 1) else { return false };
    // It must lie along that axis of the sum, and no other.
    let place = families.place((other, 0));
    let along: Vec<usize> =
        (0..graph.ty(sum).rank()).filter(|&a| families.place((sum, a)) == place).collect();
    if along != [fold.axis] {
        return false;
    }
    *bias = Tensor::from_fn(bias.ty(), |i| Scalar::F64(bias.get(i).to_f64() + fold.sums[i]));
    true
}

/// A tensor of the positions that are kept along each axis; `None` keeps all.
fn kept_part(tensor: &Tensor, kept: &[Option<Vec<usize>>]) -> Tensor {
    let shape = tensor.shape();
    let dims: Vec<usize> =
        kept.iter().zip(shape.iter()).map(|(k, &n)| k.as_ref().map_or(n, Vec::len)).collect();
    let ty = Type { shape: Shape::new(&dims).expect("it is no larger"), ..tensor.ty() };
    let (old, new) = (shape.strides(), ty.shape.strides());
    Tensor::from_fn(ty, |i| {
        let from = (0..dims.len()).map(|a| {
            let at = i / new[a] % dims[a];
            old[a] * kept[a].as_ref().map_or(at, |k| k[at])
        });
        tensor.get(from.sum())
    })
}
