//! Embeddings: vectors that are learned for each of a few things.

use crate::{Init, Value};

impl<'g> Value<'g> {
    /// The learned vectors of indices: integers `[n…]` below `rows` give `[n…,width]`, of a parameter
    /// `embedding0/weight` f32 `[rows,width]`, which starts normal with standard deviation 1 as PyTorch's does.
    ///
    /// ```
    /// use bespoke_nn::{Graph, I32};
    ///
    /// let g = Graph::new();
    /// let words = g.input("words", I32, [2, 7]);
    /// assert_eq!(words.embedding(1000, 16).ty().to_string(), "f32[2,7,16]");
    /// ```
    #[track_caller]
    pub fn embedding(self, rows: usize, width: usize) -> Value<'g> {
        self.embedding_with(rows, width, Init::Normal(1.0), None)
    }

    /// [`Value::embedding`] with a choice of start and, if wanted, an index of padding: where it stands, the result is zero
    /// and nothing is learned.
    #[track_caller]
    pub fn embedding_with(self, rows: usize, width: usize, init: Init, padding: Option<usize>) -> Value<'g> {
        let (g, ty) = (self.graph, self.ty());
        if self.id.is_none() {
            return self;
        }
        if !ty.dtype.is_int() {
            return g.refuse(format!("embedding: expected integer indices, got {ty}"));
        }
        if let Some(index) = padding.filter(|&index| index >= rows) {
            return g.refuse(format!("embedding: the index of padding is {index}, of {rows} rows"));
        }
        let name = g.push_scope("embedding", true);
        let weight = g.parameter("weight", crate::F32, [rows, width], init);
        let found = weight.lookup(self);
        let found = match padding {
            Some(index) => self.ne(index as i64).expand_dims(-1).select(found, 0.0),
            None => found,
        };
        g.end_layer(name, found)
    }
}
