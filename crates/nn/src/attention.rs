//! Attention: each query takes a mean of values, weighted by how its key matches.

use crate::{Init, Value, value::common_shape};

/// Choices for attention: by default every query sees every key.
///
/// ```
/// use bespoke_nn::{Attention, F32, Graph};
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [2, 5, 8]);
/// let y = x.scaled_dot_product_attention(x, x, Attention::new().causal());
/// assert_eq!(y.ty().to_string(), "f32[2,5,8]");
/// assert!(g.compile().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention<'g> {
    mask: Option<Value<'g>>,
    causal: bool,
    scale: Option<f64>,
    dropout: f64,
}

impl<'g> Attention<'g> {
    /// Every query sees every key, with the usual scale.
    pub fn new() -> Attention<'g> {
        Attention::default()
    }

    /// With a mask that broadcasts to the scores `[…,queries,keys]`: of bool, true where a query sees a key; of floats, it
    /// is added to the scores. A query that sees no key gets zeros.
    pub fn mask(self, mask: Value<'g>) -> Attention<'g> {
        Attention { mask: Some(mask), ..self }
    }

    /// Query i sees the keys up to the i-th only.
    pub fn causal(self) -> Attention<'g> {
        Attention { causal: true, ..self }
    }

    /// Scores times this, instead of one over the square root of their terms.
    pub fn scale(self, scale: f64) -> Attention<'g> {
        Attention { scale: Some(scale), ..self }
    }

    /// In training, each weight is zero with this probability, at each step anew, and the others are larger by as much; a query
    /// keeps all. See [`Value::dropout`].
    pub fn dropout(self, probability: f64) -> Attention<'g> {
        Attention { dropout: probability, ..self }
    }

    /// The weights of masked scores.
    #[track_caller]
    fn weights(self, what: &str, scores: Value<'g>) -> Value<'g> {
        let (graph, shape) = (scores.graph, scores.shape());
        let mut scores = scores;
        if let Some(mask) = self.mask {
            if scores.id.is_some() && mask.id.is_some() && common_shape(shape, mask.shape()) != Some(shape) {
                return graph.refuse(format!(
                    "{what}: the mask {} does not broadcast to the scores {}",
                    mask.ty(),
                    scores.ty()
                ));
            }
            scores = match mask.ty().dtype {
                crate::Bool => mask.select(scores, f64::NEG_INFINITY),
                _ => scores + mask,
            };
        }
        if scores.id.is_none() {
            return scores;
        }
        if self.causal {
            let rank = shape.rank();
            let square = [shape[rank - 2], shape[rank - 1]];
            let seen = graph.iota(crate::I32, square, 0).ge(graph.iota(crate::I32, square, 1));
            scores = seen.select(scores, f64::NEG_INFINITY);
        }
        let weights = match self.mask {
            Some(_) => scores.softmax_or_zeros(),
            None => scores.softmax(-1),
        };
        weights.drop_some(what, self.dropout, weights.shape().rank())
    }
}

impl<'g> Value<'g> {
    /// The softmax along the last axis; zeros where all elements are −∞.
    #[track_caller]
    fn softmax_or_zeros(self) -> Value<'g> {
        let highest = self.max_axes(&[-1]).stop_gradient();
        let highest = highest.eq(f64::NEG_INFINITY).select(self.number(0.0.into()), highest);
        let powers = (self - highest.expand_like(self, &[-1])).exp();
        let sum = powers.sum_axes(&[-1]);
        let sum = sum.eq(0.0).select(self.number(1.0.into()), sum);
        powers / sum.expand_like(self, &[-1])
    }

    /// softmax(Q·Kᵀ / √width)·V (Vaswani et al. 2017): queries `[…,queries,width]`, keys `[…,keys,width]` and values
    /// `[…,keys,out]` give `[…,queries,out]`; axes before are batches, which broadcast.
    #[track_caller]
    pub fn scaled_dot_product_attention(
        self,
        keys: Value<'g>,
        values: Value<'g>,
        attention: Attention<'g>,
    ) -> Value<'g> {
        self.attend("scaled_dot_product_attention", keys, values, attention).output
    }

    #[track_caller]
    fn attend(
        self,
        what: &str,
        keys: Value<'g>,
        values: Value<'g>,
        attention: Attention<'g>,
    ) -> Attended<'g> {
        let spoiled = Attended { output: self.spoiled(), weights: self.spoiled() };
        if !self.matches(what, keys, values) {
            return spoiled;
        }
        let (q, k) = (self.shape(), keys.shape());
        if q.last() != k.last() {
            let (q, k) = (self.ty(), keys.ty());
            self.graph.refuse(format!("{what}: expected queries and keys of one width, got {q} and {k}"));
            return spoiled;
        }
        let width = q.last().copied().unwrap_or(1).max(1) as f64;
        let scores = self.matmul(keys.t()) * attention.scale.unwrap_or(1.0 / width.sqrt());
        let weights = attention.weights(what, scores);
        Attended { output: weights.matmul(values), weights }
    }

    /// Are these queries, keys and values, each key with its value? If not, that is kept as an error.
    #[track_caller]
    fn matches(self, what: &str, keys: Value<'g>, values: Value<'g>) -> bool {
        if !self.floats(what) || keys.id.is_none() || values.id.is_none() {
            return false;
        }
        let ranks = [self, keys, values].map(|v| v.shape().rank());
        let rows = |v: Value<'g>| v.shape().len().checked_sub(2).map(|axis| v.shape()[axis]);
        let fits = ranks.iter().all(|&r| r >= 2) && rows(keys) == rows(values);
        if !fits {
            self.graph.refuse(format!(
                "{what}: expected queries […,queries,width], keys […,keys,width] and values […,keys,out], got {}, {} and {}",
                self.ty(),
                keys.ty(),
                values.ty()
            ));
        }
        fits
    }

    /// Additive attention (Bahdanau et al. 2015): the score of a query q and a key k is vᵀ·tanh(W·q + U·k), and the result
    /// softmax(scores)·V. Queries `[batch,queries,a]`, keys `[batch,keys,b]` and values `[batch,keys,out]` give
    /// `[batch,queries,out]`. Parameters: `additive_attention0/query_weight` W `[units,a]`, `…/key_weight` U `[units,b]`,
    /// `…/score_weight` v `[units]`. Scores are not scaled unless [`Attention::scale`] says so.
    ///
    /// ```
    /// use bespoke_nn::{Attention, F32, Graph};
    ///
    /// let g = Graph::new();
    /// let (q, k) = (g.input("q", F32, [2, 1, 8]), g.input("k", F32, [2, 5, 6]));
    /// let y = q.additive_attention(k, k, 16, Attention::new());
    /// assert_eq!(y.ty().to_string(), "f32[2,1,6]");
    /// ```
    #[track_caller]
    pub fn additive_attention(
        self,
        keys: Value<'g>,
        values: Value<'g>,
        units: usize,
        attention: Attention<'g>,
    ) -> Value<'g> {
        let what = "additive_attention";
        if !self.matches(what, keys, values) {
            return self.spoiled();
        }
        let (g, dtype, q, k) = (self.graph, self.ty().dtype, self.shape(), keys.shape());
        if q.rank() != 3 || k.rank() != 3 {
            let (q, k) = (self.ty(), keys.ty());
            return g.refuse(format!("{what}: expected [batch,…,width], got {q} and {k}"));
        }
        let name = g.push_scope(what, true);
        let weight = |name, inputs| g.parameter(name, dtype, [units, inputs], Init::GlorotUniform);
        let queries = self.linear(weight("query_weight", q[2]), None);
        let matched = keys.linear(weight("key_weight", k[2]), None);
        let score = g.parameter("score_weight", dtype, [units], Init::LecunNormal.with_fans(units, 1));
        let met = (queries.expand_dims(2) + matched.expand_dims(1)).tanh();
        let scores = met.matmul(score);
        let scores = attention.scale.map_or(scores, |scale| scores * scale);
        let output = attention.weights(what, scores).matmul(values);
        g.end_layer(name, output)
    }
}

/// What [`Value::multi_head_attention`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Attended<'g> {
    /// What the queries took: `[batch,queries,width]`.
    pub output: Value<'g>,
    /// By what weights: `[batch,heads,queries,keys]`.
    pub weights: Value<'g>,
}

/// Choices for [`Value::multi_head_attention`].
#[derive(Clone, Copy, Debug)]
pub struct MultiHead<'g> {
    attention: Attention<'g>,
    key_mask: Option<Value<'g>>,
    bias: bool,
}

impl Default for MultiHead<'_> {
    fn default() -> Self {
        MultiHead { attention: Attention::new(), key_mask: None, bias: true }
    }
}

impl<'g> MultiHead<'g> {
    /// With biases, every query seeing every key.
    pub fn new() -> MultiHead<'g> {
        MultiHead::default()
    }

    /// With a mask that broadcasts to `[batch,heads,queries,keys]`, as [`Attention::mask`] takes it. PyTorch's module takes
    /// bool masks the other way round.
    pub fn mask(self, mask: Value<'g>) -> MultiHead<'g> {
        MultiHead { attention: self.attention.mask(mask), ..self }
    }

    /// With a mask of bool `[batch,keys]`, true for the keys that are there: PyTorch's `key_padding_mask`, negated.
    pub fn key_mask(self, mask: Value<'g>) -> MultiHead<'g> {
        MultiHead { key_mask: Some(mask), ..self }
    }

    /// Query i sees the keys up to the i-th only.
    pub fn causal(self) -> MultiHead<'g> {
        MultiHead { attention: self.attention.causal(), ..self }
    }

    /// See [`Attention::dropout`].
    pub fn dropout(self, probability: f64) -> MultiHead<'g> {
        MultiHead { attention: self.attention.dropout(probability), ..self }
    }

    /// With or without biases.
    pub fn bias(self, bias: bool) -> MultiHead<'g> {
        MultiHead { bias, ..self }
    }
}

impl<'g> Value<'g> {
    /// Attention with several heads (Vaswani et al. 2017): queries `[batch,queries,width]`, keys `[batch,keys,a]` and values
    /// `[batch,keys,b]` are projected to `width`, split into heads of width/heads each, attend, and are joined and projected:
    /// `[batch,queries,width]`. For self-attention, give `self` as keys and values: `x.multi_head_attention(x, x, 8, …)`.
    ///
    /// Parameters are named and laid out as those of PyTorch's `nn.MultiheadAttention`: `attention0/in_proj_weight`
    /// `[3·width,width]` (or `q_proj_weight` `[width,width]`, `k_proj_weight` `[width,a]` and `v_proj_weight` `[width,b]` where
    /// widths differ), `in_proj_bias` `[3·width]`, `out_proj/weight` `[width,width]` and `out_proj/bias`. Weights start as
    /// [`Init::GlorotUniform`], biases at zero.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, MultiHead};
    ///
    /// let g = Graph::new();
    /// let (x, memory) = (g.input("x", F32, [2, 5, 8]), g.input("memory", F32, [2, 7, 6]));
    /// let own = x.multi_head_attention(x, x, 4, MultiHead::new().causal());
    /// let cross = own.output.multi_head_attention(memory, memory, 2, MultiHead::new());
    /// assert_eq!(cross.output.ty().to_string(), "f32[2,5,8]");
    /// assert_eq!(cross.weights.ty().to_string(), "f32[2,2,5,7]");
    /// ```
    #[track_caller]
    pub fn multi_head_attention(
        self,
        keys: Value<'g>,
        values: Value<'g>,
        heads: usize,
        options: MultiHead<'g>,
    ) -> Attended<'g> {
        let what = "multi_head_attention";
        let spoiled = Attended { output: self.spoiled(), weights: self.spoiled() };
        if !self.matches(what, keys, values) {
            return spoiled;
        }
        let (g, shapes) = (self.graph, [self, keys, values].map(|v| v.shape()));
        if shapes.iter().any(|s| s.rank() != 3 || s[0] != shapes[0][0]) {
            let [q, k, v] = [self, keys, values].map(|v| v.ty());
            g.refuse(format!("{what}: expected three of [batch,…,width], got {q}, {k} and {v}"));
            return spoiled;
        }
        let [batch, queries, width] = [0, 1, 2].map(|axis| shapes[0][axis]);
        if heads == 0 || !width.is_multiple_of(heads) {
            g.refuse(format!("{what}: {heads} heads do not divide a width of {width}, of {}", self.ty()));
            return spoiled;
        }
        let name = g.push_scope("attention", true);
        let parts = self.in_projections(keys, values, options.bias);
        let split =
            |v: Value<'g>, rows| v.reshape([batch, rows, heads, width / heads]).transpose(&[0, 2, 1, 3]);
        let attention = options.attention_of(heads, shapes[1][1], self);
        let rows = [queries, shapes[1][1], shapes[1][1]];
        let [q, k, v] = [0, 1, 2].map(|i| split(parts[i], rows[i]));
        let Attended { output, weights } = q.attend(what, k, v, attention);
        let joined = output.transpose(&[0, 2, 1, 3]).reshape([batch, queries, width]);
        g.push_scope("out_proj", false);
        let weight = g.parameter("weight", self.ty().dtype, [width, width], Init::GlorotUniform);
        let bias = options.bias.then(|| g.parameter("bias", self.ty().dtype, [width], Init::Constant(0.0)));
        g.pop_scope();
        let output = g.end_layer(name, joined.linear(weight, bias));
        Attended { output, weights }
    }

    /// Queries, keys and values projected to the width of the queries.
    #[track_caller]
    fn in_projections(self, keys: Value<'g>, values: Value<'g>, bias: bool) -> [Value<'g>; 3] {
        let (g, dtype, sources) = (self.graph, self.ty().dtype, [self, keys, values]);
        let widths = sources.map(|v| v.shape()[2]);
        let width = widths[0];
        let rows = |v: Value<'g>, i: usize| v.slice(0, i * width..(i + 1) * width);
        let whole = widths == [width; 3];
        let weights = if whole {
            let all = g.parameter("in_proj_weight", dtype, [3 * width, width], Init::GlorotUniform);
            [all; 3]
        } else {
            let names = ["q_proj_weight", "k_proj_weight", "v_proj_weight"];
            let weight = |i: usize| g.parameter(names[i], dtype, [width, widths[i]], Init::GlorotUniform);
            [0, 1, 2].map(weight)
        };
        let bias = bias.then(|| g.parameter("in_proj_bias", dtype, [3 * width], Init::Constant(0.0)));
        if whole && sources.iter().all(|v| v.id == self.id) {
            // One product instead of three.
            let all = self.linear(weights[0], bias);
            return [0, 1, 2].map(|i| all.slice(2, i * width..(i + 1) * width));
        }
        [0, 1, 2].map(|i| {
            let weight = if whole { rows(weights[i], i) } else { weights[i] };
            sources[i].linear(weight, bias.map(|b| rows(b, i)))
        })
    }
}

impl<'g> MultiHead<'g> {
    /// The attention of the heads, with all masks as one of `[batch,heads,queries,keys]`.
    #[track_caller]
    fn attention_of(self, heads: usize, keys: usize, query: Value<'g>) -> Attention<'g> {
        let (Some(seen), g) = (self.key_mask, query.graph) else { return self.attention };
        let [batch, queries] = [0, 1].map(|axis| query.shape()[axis]);
        if seen.id.is_some() && (seen.ty().dtype != crate::Bool || seen.shape()[..] != [batch, keys]) {
            let none = g.refuse(format!(
                "multi_head_attention: expected a key mask bool[{batch},{keys}], got {}",
                seen.ty()
            ));
            return self.attention.mask(none);
        }
        let seen = seen.reshape([batch, 1, 1, keys]);
        let Some(mask) = self.attention.mask else { return self.attention.mask(seen) };
        let whole = [batch, heads, queries, keys];
        let mask = match mask.ty().dtype {
            crate::Bool => mask.broadcast_to(whole).logical_and(seen.broadcast_to(whole)),
            _ => seen.select(mask.broadcast_to(whole), f64::NEG_INFINITY),
        };
        self.attention.mask(mask)
    }
}
