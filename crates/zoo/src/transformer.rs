//! The block that transformers are stacked of (L42).

use bespoke_nn::{Init, Module, MultiHead, Norm, Value};

use crate::sequence::dense_over_last;

/// A block with normalisation before its parts (Xiong et al., *On layer normalization in the transformer architecture*, 2020):
/// x + attention(norm(x)), then x + mlp(norm(x)), for `[batch,length,width]`. Parameters: `norm1/…`, `attention/…` as those of
/// [`multi_head_attention`](Value::multi_head_attention), `norm2/…`, `up/…` `[width,hidden]`, `down/…` `[hidden,width]`.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Heads of attention, which divide the width.
    pub heads: usize,
    /// Units of the hidden layer.
    pub hidden: usize,
    /// Does a position see only itself and those before?
    pub causal: bool,
    /// The function of the hidden layer.
    pub activation: for<'g> fn(Value<'g>) -> Value<'g>,
    /// What is added to variances.
    pub eps: f64,
    /// The share, from 0 to 1, of attention weights and of what each part adds that is dropped in training.
    pub dropout: f64,
    /// How the weights of the hidden layer start.
    pub init: [Init; 2],
}

impl Module for Block {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let norm = |name: &str, x: Value<'g>| g.named(name, || x.layer_norm(1, Norm::new().eps(self.eps)));
        let options = MultiHead::new().dropout(self.dropout);
        let options = if self.causal { options.causal() } else { options };
        let h = norm("norm1", x);
        let attended = g.named("attention", || h.multi_head_attention(h, h, self.heads, options)).output;
        let x = x + attended.dropout(self.dropout);
        let h = norm("norm2", x);
        let h = (self.activation)(g.named("up", || dense_over_last(h, self.hidden, self.init[0])));
        let width = x.shape().last().copied().unwrap_or_default();
        x + g.named("down", || dense_over_last(h, width, self.init[1])).dropout(self.dropout)
    }
}
