//! Recurrent nets that give a class to a whole sequence: many to one (L38).

use bespoke_nn::{Adam, F32, Graph, I32, Module, Recurrent, Value};

use crate::{Architecture, Options, Parts, Task};

const DEFAULTS: Options = Options { batch: 32, size: 64, channels: 128, classes: 10, width: 1.0 };

/// A plain recurrent net (Elman, *Finding structure in time*, 1990) of 256 units for `sequence` f32 `[batch,size,channels]` of
/// `size` 64 steps of 128 numbers.
pub const ELMAN: Architecture = Architecture {
    name: "elman",
    about: "Elman's recurrent net 128-256 over 64 steps, its last state to 10 classes, Adam",
    task: Task::Sequences,
    defaults: DEFAULTS,
    small: Options { batch: 24, size: 10, channels: 3, classes: 2, width: 0.0625 },
    build: |g, options| build(g, Kind::Elman, options),
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// The same of an LSTM (Hochreiter & Schmidhuber, *Long short-term memory*, 1997).
pub const LSTM: Architecture = Architecture {
    name: "lstm",
    about: "LSTM 128-256 over 64 steps, its last state to 10 classes, Adam",
    build: |g, options| build(g, Kind::Lstm, options),
    ..ELMAN
};

/// The same of a GRU (Cho et al., *Learning phrase representations using RNN encoder–decoder*, 2014).
pub const GRU: Architecture = Architecture {
    name: "gru",
    about: "GRU 128-256 over 64 steps, its last state to 10 classes, Adam",
    build: |g, options| build(g, Kind::Gru, options),
    ..ELMAN
};

/// The kinds of recurrent layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One gate, tanh.
    Elman,
    /// Four gates and a cell.
    Lstm,
    /// Three gates.
    Gru,
}

/// A stack of recurrent layers over `[batch,steps,inputs]`, whose last states (of both directions, if there are two) go to the
/// logits `[batch,classes]`. Parameters: `recurrent/weight_ih_l0` and so on, as PyTorch names them, and `head/…`.
///
/// ```
/// use bespoke_nn::{F32, Graph};
/// use bespoke_zoo::recurrent::{Kind, SequenceClassifier};
///
/// let g = Graph::new();
/// let x = g.input("sequence", F32, [4, 30, 6]);
/// let model = SequenceClassifier { bidirectional: true, layers: 2, ..SequenceClassifier::new(Kind::Gru, 16, 3) };
/// assert_eq!(x.apply(&model).ty().to_string(), "f32[4,3]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SequenceClassifier {
    /// The kind of layers.
    pub kind: Kind,
    /// Units of a layer in one direction.
    pub hidden: usize,
    /// The number of layers.
    pub layers: usize,
    /// Does each layer also run from the last step to the first (Schuster & Paliwal 1997)?
    pub bidirectional: bool,
    /// The share, from 0 to below 1, that is dropped in training of what a layer gives to the next.
    pub dropout: f64,
    /// Classes to tell apart.
    pub classes: usize,
}

impl SequenceClassifier {
    /// One layer, forward in time.
    pub fn new(kind: Kind, hidden: usize, classes: usize) -> SequenceClassifier {
        SequenceClassifier { kind, hidden, layers: 1, bidirectional: false, dropout: 0.0, classes }
    }
}

impl Module for SequenceClassifier {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let options = Recurrent::new().batch_first().layers(self.layers).dropout(self.dropout);
        let options = if self.bidirectional { options.bidirectional() } else { options };
        let last = g.named("recurrent", || match self.kind {
            Kind::Elman => x.rnn(self.hidden, options).1,
            Kind::Lstm => x.lstm(self.hidden, options).1.0,
            Kind::Gru => x.gru(self.hidden, options).1,
        });
        let &[states, batch, hidden] = &last.shape()[..] else { return last };
        let sides = if self.bidirectional { 2 } else { 1 };
        let of_top = last.slice(0, states - sides..states).transpose(&[1, 0, 2]);
        let joined = of_top.reshape([batch, sides * hidden]);
        g.named("head", || joined.dense(self.classes))
    }
}

fn build<'g>(g: &'g Graph, kind: Kind, options: &Options) -> Parts<'g> {
    let Options { batch, size, channels, classes, .. } = *options;
    let sequence = g.input("sequence", F32, [batch, size, channels]);
    let label = g.input("label", I32, [batch]);
    Parts::classifier(sequence.apply(&SequenceClassifier::new(kind, options.features(256), classes)), label)
}
