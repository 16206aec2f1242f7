//! Weights that are zero and stay so: masks, which weights they take, and how many are zero.

use std::{collections::BTreeMap, fmt};

use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use crate::{Graph, Init, Parameter, States, TrainError, Value, constraint::incoming_axes, thousands};

/// What the names of masks start with.
const MASK: &str = "mask/";

impl Graph {
    /// Lets weights be pruned: gives each that [`Graph::weights`] names a buffer `mask/<parameter>` of bool, at first all true.
    /// [`Prune`] sets them. Where a mask is false, an [`Update`](crate::Update) that is made after gives the weight no gradient and
    /// the value 0. A prefix that no weight has is a mistake.
    #[track_caller]
    pub fn prunable(&self, prefix: &str) {
        if self.parent.is_some() {
            self.refuse("prunable: inside of a body; weights belong to the whole graph".to_owned());
            return;
        }
        let weights = self.weights(prefix);
        if weights.is_empty() {
            self.refuse(format!("prunable: no weight's name starts with `{prefix}`"));
        }
        for weight in weights {
            self.without_scope(|| {
                self.buffer(&mask_name(&weight.name), DType::Bool, weight.ty.shape, Init::Constant(1.0))
            });
        }
    }
}

fn mask_name(parameter: &str) -> String {
    format!("{MASK}{parameter}")
}

/// A value of a parameter's type, 0 where the parameter is pruned.
pub(crate) fn masked<'g>(graph: &'g Graph, parameter: &Parameter, value: Value<'g>) -> Value<'g> {
    let name = mask_name(&parameter.name);
    let mask = graph.inner.borrow().parameters.iter().find(|p| p.name == name).map(|p| p.node);
    match mask {
        Some(mask) => Value { graph, id: Some(mask) }.select(value, 0.0),
        None => value,
    }
}

/// Which weights to prune: those of the least magnitude (Han et al. 2015), a share of each parameter or all below a threshold.
///
/// ```
/// use bespoke_nn::{F32, Graph, Prune, Sgd};
/// use bespoke_tensor::Tensor;
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [16, 8]);
/// let loss = x.dense(32).relu().dense(1).squared_norm();
/// g.prunable("dense0/");
/// g.minimize(loss, Sgd::new(0.001));
/// let mut step = g.compile()?;
/// let sparsity = Prune::share(0.75).apply(step.executable())?;
/// assert_eq!(sparsity.to_string(), "dense0/weight: 192 of 256 are zero (75.0%)");
/// step.run(&[("x", &Tensor::full([16, 8], 1.0f32))])?;
/// let zeros = step.parameters()[0].1.view::<f32>()?.iter().filter(|w| **w == 0.0).count();
/// assert_eq!(zeros, 192); // still
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prune {
    least: Least,
    global: bool,
    units: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Least {
    Share(f64),
    Below(f64),
}

impl Prune {
    /// This share of each parameter, within [0, 1], rounded to whole weights. What is zero already counts.
    pub fn share(share: f64) -> Prune {
        Prune { least: Least::Share(share), global: false, units: false }
    }

    /// All with a magnitude below a threshold: those that a penalty eroded, see [`Graph::l1_penalty`].
    pub fn below(threshold: f64) -> Prune {
        Prune { least: Least::Below(threshold), global: false, units: false }
    }

    /// The share is of all parameters together, so that some lose more than others.
    pub fn global(self) -> Prune {
        Prune { global: true, ..self }
    }

    /// Whole units: all weights that come into one, which lie as [`Constraint`](crate::Constraint) says. Their magnitude is the
    /// root of the mean of their squares. A unit without incoming weights is constant, and compacting takes it away: see
    /// [`compact`](crate::compact). An output layer is not to be pruned so.
    pub fn units(self) -> Prune {
        Prune { units: true, ..self }
    }

    /// A mask of bool for each weight: false for those to be pruned.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the share or the threshold is out of range.
    pub fn masks(&self, weights: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, TrainError> {
        match self.least {
            Least::Share(share) if !(0.0..=1.0).contains(&share) => {
                return Err(TrainError::Data(format!("prune: expected a share within [0, 1], got {share}")));
            }
            Least::Below(threshold) if !(threshold >= 0.0 && threshold.is_finite()) => {
                return Err(TrainError::Data(format!(
                    "prune: expected a threshold of 0 or above, got {threshold}"
                )));
            }
            _ => {}
        }
        let scores: Vec<Vec<f64>> = weights.iter().map(|(_, w)| self.scores(w)).collect();
        let mut kept: Vec<Vec<bool>> = scores.iter().map(|s| vec![true; s.len()]).collect();
        let of = |w: usize| (0..scores[w].len()).map(move |i| (w, i));
        let together: Vec<Vec<(usize, usize)>> = match self.global {
            true => vec![(0..scores.len()).flat_map(of).collect()],
            false => (0..scores.len()).map(|w| of(w).collect()).collect(),
        };
        for mut places in together {
            let score = |&(w, i): &(usize, usize)| scores[w][i];
            places.sort_by(|a, b| score(a).total_cmp(&score(b)));
            let count = match self.least {
                Least::Share(share) => (share * places.len() as f64).round() as usize,
                Least::Below(threshold) => places.iter().filter(|p| score(p) < threshold).count(),
            };
            places[..count].iter().for_each(|&(w, i)| kept[w][i] = false);
        }
        let mask = |((name, w), kept): (&(String, Tensor), &Vec<bool>)| {
            let ty = Type { dtype: DType::Bool, shape: w.shape() };
            (name.clone(), Tensor::from_fn(ty, |i| Scalar::Bool(kept[self.part(w.shape(), i)])))
        };
        Ok(weights.iter().zip(&kept).map(mask).collect())
    }

    /// Prunes the weights of a training step's program that [`Graph::prunable`] gave masks: sets masks and weights. Says how many
    /// weights are zero then.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the share or the threshold is out of range, or if the program has no masks.
    pub fn apply(&self, program: &mut impl States) -> Result<Sparsity, TrainError> {
        let names = program.state_names();
        let names: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(MASK)).collect();
        if names.is_empty() {
            return Err(TrainError::Data(
                "prune: the program has no masks; say which weights are prunable before the update"
                    .to_owned(),
            ));
        }
        let weights = names.into_iter().filter_map(|n| program.state(n).map(|w| (n.to_owned(), w)));
        let mut weights: Vec<(String, Tensor)> = weights.collect();
        let masks = self.masks(&weights)?;
        for ((name, weight), (_, mask)) in weights.iter_mut().zip(&masks) {
            let kept = |i: usize| mask.get(i).bits() != 0;
            let pruned =
                Tensor::from_fn(weight.ty(), |i| if kept(i) { weight.get(i) } else { Scalar::F64(0.0) });
            program.set_state(&mask_name(name), mask)?;
            program.set_state(name, &pruned)?;
            *weight = pruned;
        }
        Ok(Sparsity::of(&weights))
    }

    /// The magnitude of each weight or unit.
    fn scores(&self, weight: &Tensor) -> Vec<f64> {
        let mut sums: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for (i, w) in weight.scalars().enumerate() {
            let (sum, count) = sums.entry(self.part(weight.shape(), i)).or_default();
            *sum += w.to_f64() * w.to_f64();
            *count += 1;
        }
        sums.values().map(|(sum, count)| (sum / *count as f64).sqrt()).collect()
    }

    /// Which weight or unit the i-th element is of.
    fn part(&self, shape: Shape, i: usize) -> usize {
        let Some(incoming) = incoming_axes(shape.rank()).filter(|_| self.units) else { return i };
        let strides = shape.strides();
        let own = (0..shape.rank()).filter(|&a| !incoming.contains(&(a as isize)));
        own.fold(0, |unit, a| unit * shape[a] + i / strides[a] % shape[a])
    }
}

/// How many elements of parameters are zero; prints as a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sparsity {
    /// Name, zeros, elements.
    pub parameters: Vec<(String, usize, usize)>,
}

impl Sparsity {
    /// Of tensors by name, such as [`Query::parameters`](crate::Query::parameters) gives.
    pub fn of(parameters: &[(String, Tensor)]) -> Sparsity {
        let zeros = |t: &Tensor| t.scalars().filter(|s| s.to_f64() == 0.0).count();
        let count = |(name, t): &(String, Tensor)| (name.clone(), zeros(t), t.elements());
        Sparsity { parameters: parameters.iter().map(count).collect() }
    }

    /// The share of all elements that are zero, within [0, 1]; 0 if there are none.
    pub fn total(&self) -> f64 {
        let sum =
            |part: fn(&(String, usize, usize)) -> usize| self.parameters.iter().map(part).sum::<usize>();
        sum(|p| p.1) as f64 / sum(|p| p.2).max(1) as f64
    }
}

impl fmt::Display for Sparsity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, zeros, elements)) in self.parameters.iter().enumerate() {
            let line = if i > 0 { "\n" } else { "" };
            let percent = 100.0 * *zeros as f64 / (*elements).max(1) as f64;
            let (zeros, elements) = (thousands(*zeros), thousands(*elements));
            write!(f, "{line}{name}: {zeros} of {elements} are zero ({percent:.1}%)")?;
        }
        Ok(())
    }
}
