//! Sentences from sentences (L38): an encoder reads, a decoder writes and attends to what was read (Bahdanau, Cho & Bengio, *Neural
//! machine translation by jointly learning to align and translate*, 2015).
//!
//! Words are numbers from 1; 0 stands behind the end of a sentence, and is what the decoder is given before its first word and
//! gives behind its last. Data may have marks of their own where sentences begin and end: they are learned as words are.

use bespoke_nn::{Adam, Attention, Graph, I32, Init, Recurrent, Value};

use crate::{Architecture, Options, Parts, Task, sequence::dense_over_last};

/// GRUs of 128 units over vectors of 64 numbers: `source` and `target` i32 `[batch,size]`, below `classes`, 0 behind their ends.
/// `channels` does not matter. The output is the translation, i32 `[batch,size]`, each word the likeliest behind those before; it
/// needs `source` alone. The loss is the mean over all words of the targets and one 0 behind each that ends.
pub const SEQ2SEQ: Architecture = Architecture {
    name: "seq2seq",
    about: "encoder and decoder GRU of 128 with additive attention, 20 of 1000 words each; Adam",
    task: Task::Translation,
    defaults: Options { batch: 32, size: 20, channels: 1, classes: 1000, width: 1.0 },
    small: Options { batch: 12, size: 6, channels: 1, classes: 8, width: 0.125 },
    build,
    optimizer: || Box::new(Adam::new(2e-3)),
};

/// The model. Attention is that of Bahdanau et al. by its scores, and that of Luong, Pham & Manning (2015) by its place: behind the
/// decoder's recurrent step, so that all words of a known target are decoded at once.
///
/// Parameters: `encoder/tokens/…`, `encoder/gru/…` of both directions, `encoder/start/…`; `decoder/tokens/…`, `decoder/gru/…`,
/// `decoder/attention/…`, `decoder/combine/…`, `decoder/head/…`.
///
/// ```
/// use bespoke_nn::{Graph, I32};
/// use bespoke_zoo::seq2seq::{Seq2Seq, shifted};
///
/// let g = Graph::new();
/// let source = g.input("source", I32, [4, 9]);
/// let target = g.input("target", I32, [4, 12]);
/// let model = Seq2Seq { source_words: 50, target_words: 60, embedding: 8, hidden: 16 };
/// let memory = model.encode(source);
/// let (logits, _) = model.decode(&memory, shifted(target), memory.start);
/// assert_eq!(logits.ty().to_string(), "f32[4,12,60]");
/// assert_eq!(model.translate(&memory, 15).ty().to_string(), "i32[4,15]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Seq2Seq {
    /// Words of the source, with 0.
    pub source_words: usize,
    /// Words of the target, with 0.
    pub target_words: usize,
    /// Numbers of a word's vector.
    pub embedding: usize,
    /// Units of the recurrent layers in one direction, of attention, and of the layer before the words.
    pub hidden: usize,
}

/// What was read of the source.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'g> {
    /// Both directions' states at each word, `[batch,length,2·hidden]`.
    pub states: Value<'g>,
    /// Is there a word? `[batch,1,length]` of bool.
    pub present: Value<'g>,
    /// The state that the decoder starts from, `[1,batch,hidden]`.
    pub start: Value<'g>,
}

impl Seq2Seq {
    /// Reads sentences `[batch,length]`.
    #[track_caller]
    pub fn encode<'g>(&self, source: Value<'g>) -> Memory<'g> {
        let g = source.graph();
        g.scope("encoder", || {
            let embedded = self.embedded(source, self.source_words);
            let present = source.ne(0);
            let options =
                Recurrent::new().batch_first().bidirectional().lengths(present.convert(I32).sum_axes(&[1]));
            let (states, last) = g.named("gru", || embedded.gru(self.hidden, options));
            let ends = last.slice(0, 0..1).concatenate(&[last.slice(0, 1..2)], 2);
            let start = g.named("start", || dense_over_last(ends, self.hidden, Init::GlorotUniform)).tanh();
            Memory { states, present: present.expand_dims(1), start }
        })
    }

    /// The logits `[batch,length,words]` of the words behind given ones, `[batch,length]`, from a state `[1,batch,hidden]`, and the
    /// state behind the last.
    #[track_caller]
    pub fn decode<'g>(
        &self,
        memory: &Memory<'g>,
        words: Value<'g>,
        state: Value<'g>,
    ) -> (Value<'g>, Value<'g>) {
        let g = words.graph();
        g.shared("decoder", || {
            let embedded = self.embedded(words, self.target_words);
            let options = Recurrent::new().batch_first().initial(state);
            let options = if words.shape().last() == Some(&1) { options.unrolled() } else { options };
            let (given, last) = g.named("gru", || embedded.gru(self.hidden, options));
            let attention = Attention::new().mask(memory.present);
            let read = g.named("attention", || {
                given.additive_attention(memory.states, memory.states, self.hidden, attention)
            });
            let both = given.concatenate(&[read], 2);
            let combined =
                g.named("combine", || dense_over_last(both, self.hidden, Init::GlorotUniform)).tanh();
            let logits =
                g.named("head", || dense_over_last(combined, self.target_words, Init::GlorotUniform));
            (logits, last)
        })
    }

    /// The translation i32 `[batch,length]`, word by word the likeliest, 0 behind its end.
    #[track_caller]
    pub fn translate<'g>(&self, memory: &Memory<'g>, length: usize) -> Value<'g> {
        let g = memory.start.graph();
        let rows = memory.start.shape().get(1).copied().unwrap_or_default();
        let (nothing, ended) = (g.full(I32, [rows, 1], 0.0), g.full(bespoke_nn::Bool, [rows, 1], 0.0));
        let written = g.scan(&[nothing, ended, memory.start], &[]).length(length).run(|carry, _| {
            let [word, ended, state] = [carry[0], carry[1], carry[2]];
            let (logits, state) = self.decode(memory, word, state);
            let word = ended.select(nothing, logits.argmax(-1));
            (vec![word, ended.logical_or(word.eq(0)), state], vec![word.squeeze(1)])
        });
        written.steps[0].t()
    }

    /// The vectors of words; that of 0 is zero.
    #[track_caller]
    fn embedded<'g>(&self, words: Value<'g>, count: usize) -> Value<'g> {
        let init = Init::Normal(1.0);
        words.graph().named("tokens", || words.embedding_with(count, self.embedding, init, Some(0)))
    }
}

/// What the decoder is given where a target `[batch,length]` is known (teacher forcing): 0, then each word but the last.
#[track_caller]
pub fn shifted(target: Value<'_>) -> Value<'_> {
    let Some(&length) = target.shape().get(1) else { return target };
    target.pad(&[0, 1], &[0, 0], 0.0).slice(1, 0..length)
}

/// 1 where there is something to learn of a target, its words and the first 0 behind them, else 0: f32 `[batch,length]`.
#[track_caller]
pub fn counted(target: Value<'_>) -> Value<'_> {
    let at_start = target.graph().iota(I32, target.shape(), 1).eq(0);
    at_start.logical_or(shifted(target).ne(0)).convert(bespoke_nn::F32)
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, classes, .. } = *options;
    let [source, target] = ["source", "target"].map(|name| g.input(name, I32, [batch, size]));
    let model = Seq2Seq {
        source_words: classes,
        target_words: classes,
        embedding: options.features(64),
        hidden: options.features(128),
    };
    let memory = model.encode(source);
    let (logits, _) = model.decode(&memory, shifted(target), memory.start);
    let rows = target.shape().iter().product();
    let (logits, labels) = (logits.reshape([rows, classes]), target.reshape([rows]));
    let weight = counted(target).reshape([rows]);
    let mean = |of_words: Value<'g>| (of_words * weight).sum() / weight.sum();
    Parts::new(model.translate(&memory, size), mean(logits.cross_entropy(labels)))
        .metric("accuracy", mean(logits.accuracy(labels)))
}
