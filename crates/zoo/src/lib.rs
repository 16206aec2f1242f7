//! Ready-made architectures, one file each.

pub mod alexnet;
pub mod autoencoder;
pub mod charmodel;
pub mod conv_autoencoder;
pub mod dcgan;
pub mod densenet;
pub mod fractalnet;
pub mod googlenet;
pub mod gpt;
pub mod gqn;
pub mod hopfield;
pub mod inception3;
pub mod lenet;
pub mod linear;
pub mod logic;
pub mod mlp;
pub mod mobilenet;
pub mod neocognitron;
pub mod nin;
pub mod preact;
pub mod recurrent;
pub mod resnet;
pub mod seq2seq;
mod sequence;
pub mod squeezenet;
pub mod transformer;
pub mod unet;
pub mod vae;
pub mod vgg;
mod vision;
pub mod vit;
pub mod wideresnet;

use bespoke_graph::{Graph as Ir, NodeId};
use bespoke_nn::{Graph, Objective, Optimizer, Summary, TrainError, Trainer, Update, Value};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

/// How large a model is, and what it is for. What a number means for an architecture that has no images is said where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Rows in a batch.
    pub batch: usize,
    /// The height and width of images; the length of sequences.
    pub size: usize,
    /// The channels of images; the features of other examples.
    pub channels: usize,
    /// Classes to tell apart; the words of a vocabulary.
    pub classes: usize,
    /// A factor of the number of features of each layer but the last; 1 as published.
    pub width: f64,
}

impl Options {
    /// What no model has: a size, channels or classes of 0, numbers larger than any (products of what is within these bounds can be
    /// counted), or a width that is no factor. Says what was expected, and what came.
    fn refusal(&self) -> Option<String> {
        let numbers = [
            ("a batch", 0..=1 << 20, self.batch),
            ("a size", 1..=1 << 20, self.size),
            ("channels", 1..=1 << 16, self.channels),
            ("classes", 1..=1 << 24, self.classes),
        ];
        let mut wrong = numbers.into_iter().filter(|(_, range, got)| !range.contains(got));
        let number = wrong.next().map(|(what, range, got)| match got {
            0 => format!("expected {what} of at least 1, got 0"),
            _ => format!("expected {what} of at most {}, got {got}", range.end()),
        });
        let width = self.width;
        number.or_else(|| match width {
            _ if !(width > 0.0 && width.is_finite()) => {
                Some(format!("expected a width that is a finite number above 0, got {width}"))
            }
            _ if width > 1000.0 => Some(format!("expected a width of at most 1000, got {width}")),
            _ => None,
        })
    }

    /// A number of features, times the width: at least 1, and a multiple of 4 where the number is one.
    pub fn features(&self, published: usize) -> usize {
        features(published, self.width)
    }
}

/// See [`Options::features`].
fn features(published: usize, width: f64) -> usize {
    let scaled = published as f64 * width;
    let unit = if published.is_multiple_of(4) { 4.0 } else { 1.0 };
    ((scaled / unit).round() * unit).max(unit) as usize
}

/// What a model learns from: the names and shapes of its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Classes of images: `image` f32 `[batch,channels,size,size]`, or `[batch,size]` of pixels in a row, and `label`
    /// i32 `[batch]`.
    Images,
    /// Images again from themselves: `image` alone.
    Reconstruction,
    /// The next of a row of tokens: `tokens` and `targets`, i32 `[batch,size]`.
    Text,
    /// Classes of sequences: `sequence` f32 `[batch,size,channels]` and `label` i32 `[batch]`.
    Sequences,
    /// Sentences from sentences: `source` and `target`, i32 `[batch,size]`, 0 behind their ends.
    Translation,
    /// Inputs of its own, which its documentation says.
    Other,
}

/// An architecture that can be built for any batch.
#[derive(Clone, Copy)]
pub struct Architecture {
    /// The name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What it learns from.
    pub task: Task,
    /// The sizes that it was published with.
    pub defaults: Options,
    /// Sizes that it can be tried out in: compiled in seconds, a step within one.
    pub small: Options,
    build: for<'g> fn(&'g Graph, &Options) -> Parts<'g>,
    optimizer: fn() -> Box<dyn Optimizer>,
}

/// The values of a model that others need.
pub struct Parts<'g> {
    /// What the model gives for a batch: predictions or logits.
    pub output: Value<'g>,
    /// The loss to train on, a scalar.
    pub loss: Value<'g>,
    /// What else to report, by name.
    pub metrics: Vec<(&'static str, Value<'g>)>,
    /// Who learns in alternation, if not all parameters minimise the one loss: the prefix of its parameters and its loss.
    pub players: Vec<(&'static str, Value<'g>)>,
}

impl<'g> Parts<'g> {
    /// Of a model that is trained on a loss.
    pub fn new(output: Value<'g>, loss: Value<'g>) -> Parts<'g> {
        Parts { output, loss, metrics: vec![], players: vec![] }
    }

    /// Of a model that gives logits for the classes of labels, under their cross-entropy.
    pub fn classifier(logits: Value<'g>, labels: Value<'g>) -> Parts<'g> {
        let loss = logits.cross_entropy(labels).mean();
        Parts::new(logits, loss).metric("accuracy", logits.accuracy(labels))
    }

    /// Reports something else too.
    pub fn metric(mut self, name: &'static str, value: Value<'g>) -> Parts<'g> {
        self.metrics.push((name, value));
        self
    }

    /// What training minimises and reports: the loss, or the players' losses in turn.
    #[track_caller]
    pub fn objective(&self) -> Objective {
        let (first, others) = match &self.players[..] {
            [] => (self.loss, &[][..]),
            [first, others @ ..] => (first.1, others),
        };
        let others = others.iter().map(|(prefix, loss)| (prefix.trim_end_matches('/'), loss));
        let is_player = |name: &str| others.clone().any(|o| o.0 == name);
        let metrics = self.metrics.iter().filter(|(name, _)| !is_player(name));
        let objective = metrics.fold(Objective::new(first), |o, (name, value)| o.metric(name, *value));
        others.clone().fold(objective, |o, (name, loss)| o.player(name, *loss))
    }
}

/// A model's graphs for one batch.
pub struct Model {
    /// The architecture's name.
    pub name: &'static str,
    /// Rows in a batch.
    pub batch: usize,
    /// Prediction only.
    pub query: Ir,
    /// Prediction and loss.
    pub forward: Ir,
    /// Prediction, loss and the gradients of all parameters as outputs `d_<parameter>`.
    pub backward: Ir,
    /// Forward, backward and update: one step.
    pub training: Ir,
    /// The start values of the states, by name.
    pub start: Vec<(String, Tensor)>,
    /// Layers, shapes, parameters.
    pub summary: Summary,
}

/// All architectures.
pub const ARCHITECTURES: &[Architecture] = &[
    linear::LINEAR,
    mlp::MLP,
    lenet::LENET5,
    mlp::DEEP,
    autoencoder::AUTOENCODER,
    autoencoder::LINEAR,
    autoencoder::OVERCOMPLETE,
    autoencoder::SPARSE,
    autoencoder::CONTRACTIVE,
    autoencoder::DENOISING,
    autoencoder::STOCHASTIC,
    vae::VAE,
    gpt::GPT,
    recurrent::ELMAN,
    recurrent::LSTM,
    recurrent::GRU,
    charmodel::CHAR_LSTM,
    dcgan::DCGAN,
    seq2seq::SEQ2SEQ,
    vit::VIT,
    logic::PERCEPTRON,
    logic::XOR,
    conv_autoencoder::CONV_AUTOENCODER,
    conv_autoencoder::CONV_AUTOENCODER_3D,
    gqn::GQN,
    alexnet::ALEXNET,
    alexnet::ALEXNET_GROUPED,
    densenet::DENSENET121,
    fractalnet::FRACTALNET,
    googlenet::GOOGLENET,
    inception3::INCEPTION_V3,
    mobilenet::MOBILENET_V1,
    neocognitron::NEOCOGNITRON,
    nin::NIN,
    preact::PREACT_RESNET18,
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    resnet::RESNET101,
    resnet::RESNET152,
    squeezenet::SQUEEZENET1_0,
    squeezenet::SQUEEZENET1_1,
    unet::UNET,
    vgg::VGG16,
    wideresnet::WIDE_RESNET_16_4,
    wideresnet::WIDE_RESNET_28_10,
];

/// The architecture of this name.
pub fn find(name: &str) -> Option<&'static Architecture> {
    ARCHITECTURES.iter().find(|a| a.name == name)
}

impl Architecture {
    /// Builds the model in a graph: its inputs, parameters and loss. Sizes that it cannot have are a mistake of the graph.
    pub fn build<'g>(&self, graph: &'g Graph, options: &Options) -> Parts<'g> {
        if let Some(refusal) = options.refusal() {
            let spoiled = graph.mistake(format!("{}: {refusal}", self.name));
            return Parts::new(spoiled, spoiled);
        }
        (self.build)(graph, options)
    }

    /// The optimiser that it is usually trained with.
    pub fn optimizer(&self) -> Box<dyn Optimizer> {
        (self.optimizer)()
    }

    /// A trainer in these sizes, which compiles a last batch that is not full as well. Players learn in turn, each by an
    /// optimiser of its own.
    ///
    /// ```
    /// use bespoke_nn::{Adam, Epochs};
    /// use bespoke_data::mnist_bundled;
    ///
    /// let lenet = bespoke_zoo::find("lenet5").expect("one of them");
    /// let mut training = lenet.trainer(&lenet.defaults, || Box::new(Adam::new(2e-3))).compile()?;
    /// # if false {
    /// let digits = mnist_bundled();
    /// training.fit(&digits.train, &digits.test, Epochs(10))?;
    /// # }
    /// # Ok::<(), bespoke_nn::TrainError>(())
    /// ```
    pub fn trainer(&self, options: &Options, optimizer: impl Fn() -> Box<dyn Optimizer>) -> Trainer {
        let players: Vec<&str> =
            self.build(&Graph::new(), options).players.iter().map(|player| player.0).collect();
        let (architecture, options) = (*self, *options);
        let model =
            move |g: &Graph, batch: usize| architecture.build(g, &Options { batch, ..options }).objective();
        let update = |prefix: &&str| {
            let name = prefix.trim_end_matches('/');
            (name.to_owned(), Update::new(optimizer()).only(prefix).named(name))
        };
        let mut updates = players.iter().map(update);
        let first = updates.next().map_or_else(|| Update::new(optimizer()), |(_, update)| update);
        let trainer = Trainer::of(options.batch, model, first);
        updates.fold(trainer, |trainer, (name, update)| trainer.player(&name, update))
    }

    /// Layers, shapes and parameters, without the graphs that training needs, which take longer to make.
    ///
    /// # Errors
    /// [`TrainError::Build`] if there is no model of these sizes.
    pub fn summary(&self, options: &Options) -> Result<Summary, TrainError> {
        let graph = Graph::new();
        self.build(&graph, options);
        graph.finish()?;
        Ok(Summary::of(&graph))
    }

    /// The model's graphs in its usual sizes, for a batch.
    ///
    /// # Errors
    /// [`TrainError::Build`] if there is none for this batch.
    pub fn model(&self, batch: usize) -> Result<Model, TrainError> {
        self.model_with(&Options { batch, ..self.defaults })
    }

    /// The model's graphs.
    ///
    /// # Errors
    /// [`TrainError::Build`] if there is none of these sizes.
    pub fn model_with(&self, options: &Options) -> Result<Model, TrainError> {
        let graph = Graph::new();
        let parts = self.build(&graph, options);
        let forward = with_outputs(&graph.finish()?, &[("output", parts.output), ("loss", parts.loss)]);
        let query = graph.query_graph(&[("output", parts.output)])?;
        let mut backward = forward.clone();
        let parameters = graph.parameters().into_iter().filter(|p| p.trainable).collect::<Vec<_>>();
        let wrt: Vec<NodeId> = parameters.iter().map(|p| p.node).collect();
        if let Some(loss) = parts.loss.node() {
            let gradients = bespoke_autodiff::grad(&mut backward, loss, &wrt)?;
            for (p, d) in parameters.iter().zip(gradients) {
                backward.set_output(&format!("d_{}", p.name), d)?;
            }
        }
        let summary = Summary::of(&graph);
        let mut trainer = Trainer::new(parts.loss, self.optimizer());
        for (name, value) in &parts.metrics {
            trainer = trainer.metric(name, *value);
        }
        let (training, _) = trainer.graphs()?;
        let start = trainer.start_values()?;
        Ok(Model {
            name: self.name,
            batch: options.batch,
            query,
            forward,
            backward,
            training,
            start,
            summary,
        })
    }
}

/// The graph with these outputs.
fn with_outputs(graph: &Ir, outputs: &[(&str, Value<'_>)]) -> Ir {
    let mut graph = graph.clone();
    graph.clear_outputs();
    for (name, value) in outputs {
        if let Some(node) = value.node() {
            graph.set_output(name, node).expect("names differ");
        }
    }
    graph
}

/// Reproducible values for the inputs of a graph: noise of ±1, and 0 or 1 for labels,
/// which every model has.
pub fn sample_inputs(graph: &Ir) -> Vec<(String, Tensor)> {
    let value = |ty: Type, salt: u32| {
        Tensor::from_fn(ty, |i| {
            let word = bespoke_graph::philox::block([i as u32, 0, 0, salt], [17, 0])[0];
            match ty.dtype {
                DType::F32 | DType::F64 => Scalar::F64(f64::from(word) / f64::from(u32::MAX) * 2.0 - 1.0),
                DType::Bool => Scalar::Bool(word & 1 == 1),
                _ => Scalar::I64(i64::from(word % 2)),
            }
        })
    };
    graph
        .inputs()
        .enumerate()
        .map(|(i, (name, id))| (name.to_owned(), value(graph.ty(id), i as u32)))
        .collect()
}
