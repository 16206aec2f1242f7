//! A recurrent model of text, character by character: many to many (L38; Graves, *Generating sequences with recurrent neural
//! networks*, 2013).

use bespoke_nn::{Adam, F32, Graph, I32, Init, Module, Recurrent, Value};
use bespoke_tensor::Tensor;

use crate::{
    Architecture, Options, Parts, Task,
    sequence::{dense_over_last, next_tokens},
};

/// Two LSTM layers of 256 units over vectors of 64 numbers: `tokens` and `targets` i32 `[batch,size]`, below `classes`, the
/// vocabulary. `channels` does not matter.
pub const CHAR_LSTM: Architecture = Architecture {
    name: "char-lstm",
    about: "characters of 256 to vectors of 64, two LSTM layers of 256, logits of the next; Adam",
    task: Task::Text,
    defaults: Options { batch: 32, size: 64, channels: 1, classes: 256, width: 1.0 },
    small: Options { batch: 4, size: 12, channels: 1, classes: 5, width: 0.0625 },
    build,
    optimizer: || Box::new(Adam::new(2e-3)),
};

/// Vectors of characters, LSTM layers, and logits `[batch,length,vocabulary]` for the character behind each. Parameters:
/// `tokens/weight` `[vocabulary,embedding]`, `lstm/weight_ih_l0` and so on, `head/…`.
#[derive(Clone, Copy, Debug)]
pub struct CharModel {
    /// The number of different characters.
    pub vocabulary: usize,
    /// Numbers of a character's vector.
    pub embedding: usize,
    /// Units of each layer.
    pub hidden: usize,
    /// The number of layers.
    pub layers: usize,
    /// The share, from 0 to below 1, that is dropped in training of what a layer gives.
    pub dropout: f64,
}

/// The states of LSTM layers, hidden and cell: `[layers,batch,hidden]` each.
pub type States<'g> = [Value<'g>; 2];

impl CharModel {
    /// The logits of characters i32 `[batch,length]`, from states or from zeros, and the states behind the last character: to
    /// write text, one character is given at a time.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, I32};
    /// use bespoke_zoo::charmodel::CharModel;
    ///
    /// let g = Graph::new();
    /// let model = CharModel { vocabulary: 65, embedding: 16, hidden: 32, layers: 2, dropout: 0.0 };
    /// let states = ["hidden", "cell"].map(|name| g.input(name, F32, [2, 1, 32]));
    /// let (logits, next) = model.run(g.input("tokens", I32, [1, 1]), Some(states));
    /// assert_eq!(logits.ty().to_string(), "f32[1,1,65]");
    /// assert_eq!(next[1].ty(), states[1].ty());
    /// assert!(g.finish().is_ok());
    /// ```
    #[track_caller]
    pub fn run<'g>(&self, tokens: Value<'g>, states: Option<States<'g>>) -> (Value<'g>, States<'g>) {
        let g = tokens.graph();
        let embedded = g.named("tokens", || {
            tokens.embedding_with(self.vocabulary, self.embedding, Init::Normal(1.0), None)
        });
        let mut options = Recurrent::new().batch_first().layers(self.layers).dropout(self.dropout);
        if let Some([hidden, cell]) = states {
            options = options.initial(hidden).initial_cell(cell);
        }
        let (given, (hidden, cell)) = g.named("lstm", || embedded.lstm(self.hidden, options));
        let given = given.dropout(self.dropout);
        let logits = g.named("head", || dense_over_last(given, self.vocabulary, Init::GlorotUniform));
        (logits, [hidden, cell])
    }

    /// The logits of characters where, in training, each row goes on where the row of the batch before ended, so that text of any
    /// length is learned in pieces: truncated backpropagation through time (Williams & Peng 1990). Gradients end where the batch
    /// begins. The states `carried/hidden` and `carried/cell` are set to zero where another text begins; a query starts from
    /// zeros.
    #[track_caller]
    pub fn carry_on<'g>(&self, tokens: Value<'g>) -> Value<'g> {
        let g = tokens.graph();
        let zeros =
            g.full(F32, [self.layers, tokens.shape().first().copied().unwrap_or(0), self.hidden], 0.0);
        let start = match Tensor::try_zeros(zeros.ty()) {
            Ok(start) => start,
            Err(why) => return g.mistake(format!("carry_on: {why}")),
        };
        let carried = g.scope("carried", || ["hidden", "cell"].map(|name| g.state(name, &start)));
        let training = g.training();
        let (logits, last) = self.run(tokens, Some(carried.map(|state| training.select(state, zeros))));
        for (state, last) in carried.into_iter().zip(last) {
            g.set_next(state, training.select(last, state));
        }
        logits
    }
}

impl Module for CharModel {
    #[track_caller]
    fn forward<'g>(&self, tokens: Value<'g>) -> Value<'g> {
        self.run(tokens, None).0
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, classes, .. } = *options;
    let [tokens, targets] = ["tokens", "targets"].map(|name| g.input(name, I32, [batch, size]));
    let model = CharModel {
        vocabulary: classes,
        embedding: options.features(64),
        hidden: options.features(256),
        layers: 2,
        dropout: 0.0,
    };
    next_tokens(tokens.apply(&model), targets)
}
