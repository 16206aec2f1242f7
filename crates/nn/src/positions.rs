//! Positional encodings: where in a sequence a vector stands.

use bespoke_tensor::DType;

use crate::{Graph, Init, Value};

/// Which elements of a vector [`Value::rotary`] turns together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// 2i and 2i + 1, as in the paper (Su et al. 2021).
    Neighbours,
    /// i and i + width/2, as in GPT-NeoX and LLaMA.
    Halves,
}

impl Graph {
    /// The sinusoidal encoding `[length,width]` of Vaswani et al. 2017: sin(p / 10000^(2i/width)) at position p, element 2i, and
    /// the cosine of the same at element 2i + 1.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, I32};
    ///
    /// let g = Graph::new();
    /// let words = g.input("words", I32, [8, 64]);
    /// let x = words.embedding(1000, 32) + g.sinusoidal_positions(F32, 64, 32);
    /// assert_eq!(x.ty().to_string(), "f32[8,64,32]");
    /// ```
    #[track_caller]
    pub fn sinusoidal_positions(&self, dtype: DType, length: usize, width: usize) -> Value<'_> {
        let angles = self.angles(length, width.div_ceil(2), width, 10000.0);
        let both = angles.sin().expand_dims(-1).concatenate(&[angles.cos().expand_dims(-1)], -1);
        if both.id.is_none() {
            return both;
        }
        both.reshape([length, 2 * width.div_ceil(2)]).slice(1, 0..width).convert(dtype)
    }

    /// p·base^(−2i/width) at `[p,i]`, in f64: angles are large, and their sines need all digits.
    #[track_caller]
    fn angles(&self, length: usize, pairs: usize, width: usize, base: f64) -> Value<'_> {
        let position = self.iota(DType::F64, [length, pairs], 0);
        let pair = self.iota(DType::F64, [pairs], 0);
        position * (pair * (-2.0 * base.ln() / width.max(1) as f64)).exp()
    }
}

impl<'g> Value<'g> {
    /// Itself, `[…,length,width]`, plus a learned vector for each position: parameter `positions<n>/weight` `[length,width]`, which
    /// starts normal with standard deviation 0.02 (as GPT-2's).
    #[track_caller]
    pub fn learned_positions(self) -> Value<'g> {
        let Some([length, width]) = self.sequence("learned_positions") else { return self.spoiled() };
        let g = self.graph;
        let name = g.push_scope("positions", true);
        let weight = g.parameter("weight", self.ty().dtype, [length, width], Init::Normal(0.02));
        g.end_layer(name, self + weight)
    }

    /// Rotary positions (Su et al. 2021) of queries or keys `[…,length,width]` of even width: the i-th pair of the vector at
    /// position p is turned by the angle p·base^(−2i/width), so that products of two depend on their distance. The usual base is
    /// 10000.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, Pairs};
    ///
    /// let g = Graph::new();
    /// let queries = g.input("queries", F32, [8, 4, 64, 32]);
    /// assert_eq!(queries.rotary(Pairs::Halves, 10000.0).shape(), queries.shape());
    /// ```
    #[track_caller]
    pub fn rotary(self, pairs: Pairs, base: f64) -> Value<'g> {
        let Some([length, width]) = self.sequence("rotary") else { return self.spoiled() };
        if !(width.is_multiple_of(2) && base > 0.0 && base.is_finite()) {
            let message = format!(
                "rotary: expected an even width and a finite base above 0, got {} and {base}",
                self.ty()
            );
            return self.graph.refuse(message);
        }
        let angles = self.graph.angles(length, width / 2, width, base);
        let [cos, sin] = [angles.cos(), angles.sin()].map(|x| x.convert(self.ty().dtype).expand_dims(-1));
        let outer = &self.shape()[..self.shape().rank() - 1];
        // […,pairs,2], whichever they are.
        let split = match pairs {
            Pairs::Neighbours => self.reshape([outer, &[width / 2, 2]].concat()),
            Pairs::Halves => self.reshape([outer, &[2, width / 2]].concat()).t(),
        };
        let [x, y] = [0, 1].map(|i| split.slice(-1, i..i + 1));
        let turned = (x * cos - y * sin).concatenate(&[y * cos + x * sin], -1);
        let turned = if pairs == Pairs::Halves { turned.t() } else { turned };
        turned.reshape(self.shape())
    }

    /// The extents of the last two axes of floats; an error is kept.
    #[track_caller]
    fn sequence(self, what: &str) -> Option<[usize; 2]> {
        if !self.floats(what) {
            return None;
        }
        let shape = self.shape();
        let last = shape.len().checked_sub(2).map(|at| [shape[at], shape[at + 1]]);
        if last.is_none() {
            self.graph.refuse(format!("{what}: expected […,length,width], got {}", self.ty()));
        }
        last
    }
}
