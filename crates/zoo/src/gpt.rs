//! A causal transformer over tokens (L42; Radford et al., *Language models are unsupervised multitask learners*, 2019).

use bespoke_nn::{Adam, Graph, I32, Init, Module, Norm, Value};

use crate::{
    Architecture, Options, Parts, Task,
    sequence::{dense_over_last, next_tokens},
    transformer::Block,
};

/// Four blocks of width 256 with 4 heads: `tokens` and `targets` i32 `[batch,size]`, below `classes`, the vocabulary; `size` 128
/// is the longest context. `channels` does not matter.
pub const GPT: Architecture = Architecture {
    name: "gpt",
    about: "GPT-like: 4 pre-norm blocks of width 256, 4 heads, 128 tokens of 256, cross-entropy, Adam",
    task: Task::Text,
    defaults: Options { batch: 8, size: 128, channels: 1, classes: 256, width: 1.0 },
    small: Options { batch: 4, size: 12, channels: 1, classes: 5, width: 0.0625 },
    build,
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// The model: logits `[batch,length,vocabulary]` for the token behind each of `[batch,length]`, of which it sees that token and
/// those before.
///
/// Parameters: `tokens/weight` `[vocabulary,width]`, `positions/weight` `[context,width]`, `block<n>/…` as [`Block`] has them,
/// `norm/…`, and `head/…` `[width,vocabulary]` if it is not tied.
///
/// ```
/// use bespoke_nn::{Graph, I32};
/// use bespoke_zoo::gpt::Gpt;
///
/// let g = Graph::new();
/// let tokens = g.input("tokens", I32, [1, 1024]);
/// let logits = tokens.apply(&Gpt::GPT2_SMALL);
/// assert_eq!(logits.ty().to_string(), "f32[1,1024,50257]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gpt {
    /// The number of different tokens.
    pub vocabulary: usize,
    /// The longest sequence of tokens.
    pub context: usize,
    /// Numbers of a token's vector.
    pub width: usize,
    /// The number of blocks.
    pub depth: usize,
    /// Heads of attention, which divide the width.
    pub heads: usize,
    /// Are the vectors of tokens the head's weights too (Press & Wolf 2017)?
    pub tied: bool,
    /// The share, from 0 to 1, that is dropped of each part's result in training.
    pub dropout: f64,
}

impl Gpt {
    /// The smallest GPT-2, of 124,439,808 parameters.
    pub const GPT2_SMALL: Gpt =
        Gpt { vocabulary: 50257, context: 1024, width: 768, depth: 12, heads: 12, tied: true, dropout: 0.1 };
}

/// The published deviation of weights at the start.
const START: Init = Init::Normal(0.02);

impl Module for Gpt {
    #[track_caller]
    fn forward<'g>(&self, tokens: Value<'g>) -> Value<'g> {
        let (g, shape) = (tokens.graph(), tokens.shape());
        let &[_, length] = &shape[..] else {
            return g.mistake(format!("gpt: expected tokens [batch,length], got {}", tokens.ty()));
        };
        if length > self.context {
            return g.mistake(format!("gpt: {length} tokens in a context of {}", self.context));
        }
        let embedded = g.named("tokens", || tokens.embedding_with(self.vocabulary, self.width, START, None));
        let dtype = embedded.ty().dtype;
        let positions =
            g.scope("positions", || g.parameter("weight", dtype, [self.context, self.width], START));
        let mut x = (embedded + positions.slice(0, 0..length)).dropout(self.dropout);
        // What blocks add is of one size together, however many there are.
        let added = Init::Normal(0.02 / (2.0 * self.depth.max(1) as f64).sqrt());
        let block = Block {
            heads: self.heads,
            hidden: self.width.saturating_mul(4),
            causal: true,
            activation: |h| h.gelu_tanh(),
            eps: 1e-5,
            dropout: self.dropout,
            init: [START, added],
        };
        for i in 0..self.depth {
            x = g.scope(&format!("block{i}"), || x.apply(&block));
        }
        let x = g.named("norm", || x.layer_norm(1, Norm::new()));
        if self.tied {
            let weight =
                g.shared("tokens", || g.parameter("weight", dtype, [self.vocabulary, self.width], START));
            return x.linear(weight, None);
        }
        g.named("head", || dense_over_last(x, self.vocabulary, START))
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, classes, .. } = *options;
    let [tokens, targets] = ["tokens", "targets"].map(|name| g.input(name, I32, [batch, size]));
    let width = options.features(256);
    let model =
        Gpt { vocabulary: classes, context: size, width, depth: 4, heads: 4, tied: false, dropout: 0.0 };
    next_tokens(tokens.apply(&model), targets)
}
