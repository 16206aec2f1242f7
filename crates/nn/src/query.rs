//! Compiled graphs without a trainer.

use std::path::Path;

use bespoke_compiler::{Config, compile};
use bespoke_graph::Graph as Ir;
use bespoke_runtime::{Executable, Outputs};
use bespoke_tensor::{Tensor, Type};

use crate::{Compact, Compaction, Graph, TrainError, checkpoint, compact, live_part, mode};

/// A compiled graph with its states: what a trained model is asked with, or a training step of the user's own.
///
/// ```
/// use bespoke_nn::{F32, Graph};
/// use bespoke_tensor::Tensor;
///
/// let g = Graph::new();
/// let image = g.input("image", F32, [1, 4]);
/// g.output("class", image.dense(3).argmax(-1));
/// let mut query = g.compile()?;
/// // query.load("digits.safetensors")?;
/// let outputs = query.run(&[("image", &Tensor::full([1, 4], 0.5f32))])?;
/// assert!(outputs.get("class").unwrap().view::<i32>()?[0] < 3);
/// # Ok::<(), bespoke_nn::TrainError>(())
/// ```
pub struct Query {
    pub(crate) executable: Executable,
    pub(crate) parameters: Vec<(String, Type)>,
    /// The parameters that PyTorch keeps transposed.
    pub(crate) transposed: Vec<String>,
    graph: Ir,
    config: Config,
}

impl Graph {
    /// Compiles what the outputs and next states need, with all parameters and states at their start.
    ///
    /// # Errors
    /// [`TrainError`] with the first mistake made in building the graph, or the stage that failed.
    pub fn compile(&self) -> Result<Query, TrainError> {
        self.compile_with(&Config::default())
    }

    /// [`Graph::compile`] with other choices for the compiler.
    ///
    /// # Errors
    /// Those of [`Graph::compile`].
    pub fn compile_with(&self, config: &Config) -> Result<Query, TrainError> {
        let whole = self.finish()?;
        let trains = |node| whole.states().iter().any(|s| s.node == node && s.next.is_some());
        let training = self.parameters().iter().any(|p| p.trainable && trains(p.node));
        let marker = self.inner.borrow().training;
        let graph = live_part(&mode::resolve(&whole, marker, training));
        let mut executable = compile(&graph, config, &mut |_| ())?;
        let known = |name: &str| graph.states().iter().any(|s| s.name == name);
        for (name, value) in self.start_values().iter().filter(|v| known(&v.0)) {
            executable.set_state(name, value)?;
        }
        let parameters: Vec<_> = self.parameters().into_iter().filter(|p| known(&p.name)).collect();
        let transposed = parameters.iter().filter(|p| p.transposed).map(|p| p.name.clone()).collect();
        let parameters = parameters.into_iter().map(|p| (p.name, p.ty)).collect();
        Ok(Query { executable, parameters, transposed, graph, config: config.clone() })
    }
}

impl Query {
    /// Runs it: computes the outputs, advances the states that have a next value.
    ///
    /// # Errors
    /// [`TrainError::Run`] if an input is missing, unknown, of another type, or an index out of range.
    pub fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Outputs, TrainError> {
        Ok(self.executable.run(inputs)?)
    }

    /// Loads the parameters that it needs from a safetensors file, such as
    /// [`Training::save`](crate::Training::save) writes. Nothing changes if one is missing or of another type.
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read, is damaged, or does not fit the model.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        for (name, value) in checkpoint::load(path.as_ref(), &self.parameters)? {
            self.executable.set_state(&name, &value)?;
        }
        Ok(())
    }

    /// Saves its parameters as safetensors, beside the file first: it is whole or as it was.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TrainError> {
        checkpoint::save(path.as_ref(), &self.parameters())
    }

    /// The parameters by name.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let value = |name: &str| self.executable.state(name).expect("every parameter is a state");
        self.parameters.iter().map(|(name, _)| (name.clone(), value(name))).collect()
    }

    /// A smaller query that computes the same, without the units that make no difference with these parameters, and what became
    /// smaller: see [`compact`].
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [1, 8]);
    /// g.output("y", x.dense(64).relu().dense(3));
    /// let mut query = g.compile()?;
    /// // Half of the units lose their incoming weights.
    /// let (name, weight) = query.parameters()[0].clone();
    /// let kept = weight.view::<f32>()?.iter().enumerate().map(|(i, w)| if i % 2 == 0 { *w } else { 0.0 });
    /// let pruned = Tensor::from_vec([8, 64], kept.collect::<Vec<f32>>())?;
    /// query.executable().set_state(&name, &pruned)?;
    /// let (small, report) = query.compact()?;
    /// assert_eq!(report.layers, [("dense0".to_owned(), 64, 32)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError`] if a parameter is not finite, or the stage of compiling that failed.
    pub fn compact(&self) -> Result<(Query, Compaction), TrainError> {
        let names = self.executable.states().map(|s| s.0.to_owned());
        let states: Vec<(String, Tensor)> =
            names.filter_map(|n| self.executable.state(&n).map(|v| (n, v))).collect();
        let Compact { graph, values, report } = compact(&self.graph, &states)?;
        let mut executable = compile(&graph, &self.config, &mut |_| ())?;
        let kept: Vec<(String, Type)> = executable.states().map(|s| (s.0.to_owned(), s.1)).collect();
        for (name, _) in &kept {
            if let Some((_, value)) = values.iter().chain(&states).find(|v| v.0 == *name) {
                executable.set_state(name, value)?;
            }
        }
        let is_parameter = |name: &str| self.parameters.iter().any(|p| p.0 == name);
        let parameters = kept.into_iter().filter(|p| is_parameter(&p.0)).collect();
        let (transposed, config) = (self.transposed.clone(), self.config.clone());
        Ok((Query { executable, parameters, transposed, graph, config }, report))
    }

    /// The same query compiled with its parameters, and other states that stay, as constants: the optimiser computes in advance
    /// what depends on them alone, such as batch norm's scale within the weights before it. They are no parameters any more and
    /// can neither be loaded nor set.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph};
    /// use bespoke_tensor::Tensor;
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2, 8]);
    /// g.output("y", x.dense(64).dense(3));
    /// let query = g.compile()?;
    /// let mut frozen = query.freeze()?;
    /// assert!(frozen.parameters().is_empty());
    /// // Two linear maps have become one.
    /// assert_eq!(frozen.executable().kernels(), 1);
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// The stage of compiling that failed.
    pub fn freeze(&self) -> Result<Query, TrainError> {
        let stays = self.graph.states().iter().filter(|s| s.next.is_none());
        let value = |name: &str| self.executable.state(name).expect("it is a state of the graph");
        let values: Vec<(&str, Tensor)> = stays.map(|s| (s.name.as_str(), value(&s.name))).collect();
        let values: Vec<(&str, &Tensor)> = values.iter().map(|(name, value)| (*name, value)).collect();
        let graph = self.graph.freeze(&values).expect("the values are those of these states");
        let mut executable = compile(&graph, &self.config, &mut |_| ())?;
        for state in graph.states() {
            executable.set_state(&state.name, &value(&state.name))?;
        }
        let is_left = |name: &str| graph.states().iter().any(|s| s.name == name);
        let parameters = self.parameters.iter().filter(|p| is_left(&p.0)).cloned().collect();
        let transposed = self.transposed.iter().filter(|name| is_left(name)).cloned().collect();
        Ok(Query { executable, parameters, transposed, graph, config: self.config.clone() })
    }

    /// The graph that it was compiled of: what its outputs and next states need.
    pub fn graph(&self) -> &Ir {
        &self.graph
    }

    /// The program, to look into, and to read and set its states.
    pub fn executable(&mut self) -> &mut Executable {
        &mut self.executable
    }
}
