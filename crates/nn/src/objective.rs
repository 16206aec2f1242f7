//! What training minimises, and what it reports.

use bespoke_graph::NodeId;

use crate::{Graph, Metric, Value};

/// The loss of a model, of several terms if wanted, its metrics, and the losses of players that learn in turn.
///
/// ```
/// use bespoke_nn::{F32, Graph, I32, Metric, Objective};
///
/// let g = Graph::new();
/// let (x, label) = (g.input("x", F32, [8, 4]), g.input("label", I32, [8]));
/// let hidden = x.dense(16).relu();
/// let (logits, early) = (hidden.dense(3), hidden.dense(3));
/// let objective = Objective::new(logits.cross_entropy(label).mean())
///     .term("early", early.cross_entropy(label).mean(), 0.3) // also reported
///     .metric("accuracy", logits.accuracy(label))
///     .measure(Metric::confusion("confusion", logits, label));
/// ```
pub struct Objective {
    pub(crate) graph: Graph,
    pub(crate) loss: Option<NodeId>,
    pub(crate) metrics: Vec<Metric>,
    /// Those who learn after the first, in turn: name and loss.
    pub(crate) players: Vec<(String, Option<NodeId>)>,
}

impl Objective {
    /// A scalar loss to minimise.
    #[track_caller]
    pub fn new(loss: Value<'_>) -> Objective {
        Objective { graph: loss.graph.handle(), loss: loss.id, metrics: vec![], players: vec![] }
    }

    /// Adds a scalar to the loss, times a weight, and reports it by its name.
    #[track_caller]
    pub fn term(mut self, name: &str, value: Value<'_>, weight: f64) -> Objective {
        let sum =
            Value { graph: &self.graph, id: self.loss } + Value { graph: &self.graph, id: value.id } * weight;
        self.loss = sum.id;
        self.metric(name, value)
    }

    /// Also reports a value: one a row of the batch (its mean over all rows is reported), or a scalar.
    #[track_caller]
    pub fn metric(self, name: &str, value: Value<'_>) -> Objective {
        self.measure(Metric::mean(name, value))
    }

    /// Also reports a metric.
    #[track_caller]
    pub fn measure(mut self, metric: Metric) -> Objective {
        if self.knows(&metric.name) {
            self.graph.refuse(format!("metric: there is a metric `{}` already", metric.name));
        } else if !metric.graph.is(&self.graph) {
            self.graph.refuse(format!("metric: `{}` is a value of another graph than the loss", metric.name));
        } else {
            self.metrics.push(metric);
        }
        self
    }

    /// Another who learns at each step, after those before: its scalar loss, which is reported by its name. What it changes is
    /// said by [`Trainer::player`](crate::Trainer::player).
    #[track_caller]
    pub fn player(mut self, name: &str, loss: Value<'_>) -> Objective {
        if self.knows(name) {
            self.graph.refuse(format!("player: there is a metric or player `{name}` already"));
        } else if !loss.graph.is(&self.graph) {
            self.graph.refuse(format!("player: the loss of `{name}` is a value of another graph"));
        }
        self.players.push((name.to_owned(), loss.id));
        self
    }

    fn knows(&self, name: &str) -> bool {
        let mut names = self.metrics.iter().map(|m| &m.name).chain(self.players.iter().map(|p| &p.0));
        name == "loss" || names.any(|n| n == name)
    }
}

impl From<Value<'_>> for Objective {
    #[track_caller]
    fn from(loss: Value<'_>) -> Objective {
        Objective::new(loss)
    }
}
