//! A net with feedback that remembers patterns (L08; Hopfield, *Neural networks and physical systems with emergent collective
//! computational abilities*, 1982).
//!
//! Each unit is −1 or 1 and connected to all others. Nothing is trained by gradients: the weights are said by the patterns directly,
//! and a state falls into one of them, unit by unit. What is computed over all units is compiled.

use bespoke_data::permutation;
use bespoke_nn::{F32, Graph, I32, Query, TrainError};
use bespoke_tensor::{Scalar, Tensor, Type};

/// Weights, and the programs that use them.
///
/// ```
/// use bespoke_tensor::Tensor;
/// use bespoke_zoo::hopfield::Hopfield;
///
/// let patterns = Tensor::from_vec([1, 4], vec![1.0f32, -1.0, 1.0, 1.0])?;
/// let mut net = Hopfield::learn(&patterns)?;
/// let corrupted = Tensor::from_vec([4], vec![1.0f32, 1.0, 1.0, 1.0])?;
/// let recalled = net.recall(&corrupted, 0, 10)?;
/// assert_eq!(recalled.state.view::<f32>()?, [1.0, -1.0, 1.0, 1.0]);
/// assert!(recalled.settled && recalled.energies[1] < recalled.energies[0]);
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
pub struct Hopfield {
    weights: Tensor,
    field: Query,
    sweep: Query,
}

/// What [`Hopfield::recall`] gives.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// The last state, f32 `[units]` of −1 and 1.
    pub state: Tensor,
    /// The energy of the first state, and of that after each sweep: it never rises.
    pub energies: Vec<f64>,
    /// Does no unit change any more?
    pub settled: bool,
}

impl Hopfield {
    /// Learns patterns f32 `[patterns,units]` of −1 and 1 by Hebb's rule: wᵢⱼ = Σ ξᵢξⱼ / units over all patterns ξ, and wᵢᵢ = 0. About
    /// 0.14 patterns a unit can be recalled if they are random (Amit, Gutfreund & Sompolinsky 1985), fewer if they are alike.
    ///
    /// # Errors
    /// [`TrainError::Data`] if they are of another type, or a number is neither −1 nor 1.
    pub fn learn(patterns: &Tensor) -> Result<Hopfield, TrainError> {
        let &[count, units] = &patterns.shape()[..] else {
            return Err(TrainError::Data(format!(
                "hopfield: expected patterns f32[patterns,units], got {}",
                patterns.ty()
            )));
        };
        check("patterns", patterns, patterns.ty())?;
        let g = Graph::new();
        let xi = g.input("patterns", F32, [count, units]);
        let others = g.iota(I32, [units, units], 0).ne(g.iota(I32, [units, units], 1)).convert(F32);
        g.output("weights", xi.t().matmul(xi) * others / units.max(1) as f64);
        let outputs = g.compile()?.run(&[("patterns", patterns)])?;
        let weights = outputs.get("weights").expect("named above").clone();
        Ok(Hopfield { weights, field: field(units)?, sweep: sweep(units)? })
    }

    /// The weights f32 `[units,units]`.
    pub fn weights(&self) -> &Tensor {
        &self.weights
    }

    /// What each unit feels of the others in a state f32 `[units]`, Σⱼ wᵢⱼsⱼ: `[units]`.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the state is of another type, or a number is neither −1 nor 1.
    pub fn field(&mut self, state: &Tensor) -> Result<Tensor, TrainError> {
        Ok(self.look(state)?.0)
    }

    /// The energy −½ Σᵢⱼ wᵢⱼsᵢsⱼ of a state f32 `[units]`.
    ///
    /// # Errors
    /// As [`Hopfield::field`].
    pub fn energy(&mut self, state: &Tensor) -> Result<f64, TrainError> {
        Ok(self.look(state)?.1)
    }

    /// Recalls from a state f32 `[units]`: in sweeps over all units, in an order drawn by `seed`, each takes the sign of its field (and
    /// stays as it is where that is 0), until none changes or so many sweeps are done.
    ///
    /// # Errors
    /// As [`Hopfield::field`].
    pub fn recall(&mut self, state: &Tensor, seed: u64, sweeps: usize) -> Result<Recalled, TrainError> {
        let mut energies = vec![self.energy(state)?];
        let (mut state, mut settled) = (state.clone(), false);
        let units = state.elements();
        for done in 0..sweeps {
            let order = permutation(units, seed, done as u64);
            let order = Tensor::from_fn(Type::new(I32, [units]), |i| Scalar::I64(order[i] as i64));
            let inputs = [("weights", &self.weights), ("state", &state), ("order", &order)];
            let next = self.sweep.run(&inputs)?.get("state").expect("named in sweep").clone();
            settled = next == state;
            state = next;
            energies.push(self.energy(&state)?);
            if settled {
                break;
            }
        }
        Ok(Recalled { state, energies, settled })
    }

    /// Field and energy.
    fn look(&mut self, state: &Tensor) -> Result<(Tensor, f64), TrainError> {
        check("state", state, Type::new(F32, [self.weights.shape()[0]]))?;
        let outputs = self.field.run(&[("weights", &self.weights), ("state", state)])?;
        let output = |name: &str| outputs.get(name).expect("named in field");
        Ok((output("field").clone(), output("energy").get(0).to_f64()))
    }
}

/// Field and energy of a state.
fn field(units: usize) -> Result<Query, TrainError> {
    let g = Graph::new();
    let (weights, state) = (g.input("weights", F32, [units, units]), g.input("state", F32, [units]));
    let field = weights.matmul(state);
    g.output("field", field);
    g.output("energy", field.dot(state) * -0.5);
    g.compile()
}

/// One unit after the other, in the order given: each knows what those before it have become.
fn sweep(units: usize) -> Result<Query, TrainError> {
    let g = Graph::new();
    let (weights, state) = (g.input("weights", F32, [units, units]), g.input("state", F32, [units]));
    let order = g.input("order", I32, [units]);
    let swept = g.scan(&[state], &[order]).run(|carry, unit| {
        let (state, unit) = (carry[0], unit[0]);
        let field = weights.lookup(unit).dot(state);
        let next = field.eq(0.0).select(state.lookup(unit), field.sign());
        (vec![state.dynamic_update(next.reshape([1]), &[unit])], vec![])
    });
    g.output("state", swept.carry[0]);
    g.compile()
}

/// Is it of this type, and all −1 or 1?
fn check(what: &str, value: &Tensor, ty: Type) -> Result<(), TrainError> {
    if value.ty() != ty || ty.dtype != F32 {
        let expected = Type { dtype: F32, ..ty };
        return Err(TrainError::Data(format!("hopfield: {what}: expected {expected}, got {}", value.ty())));
    }
    match value.view::<f32>()?.iter().position(|x| x.abs() != 1.0) {
        Some(at) => Err(TrainError::Data(format!(
            "hopfield: {what}: expected −1 or 1, got {} at index {at}",
            value.get(at)
        ))),
        None => Ok(()),
    }
}
