//! Handles of values: matrix products.

use bespoke_graph::op::Dot;
use bespoke_tensor::Shape;

use crate::{Value, value::common_shape};

impl<'g> Value<'g> {
    /// The matrix product of the last two axes; axes before are batches, broadcast as numpy does. A vector on the right
    /// is a column, on the left a row.
    #[track_caller]
    pub fn matmul(self, other: Value<'g>) -> Value<'g> {
        let (a, b) = (self.shape(), other.shape());
        if self.id.is_none() || other.id.is_none() {
            return self.spoiled();
        }
        if a.rank() == 0 || b.rank() == 0 {
            return self.graph.refuse(format!(
                "matmul: expected matrices, got {} and {}",
                self.ty(),
                other.ty()
            ));
        }
        let (inner, rows) = (a.rank() - 1, b.rank().saturating_sub(2));
        if a[inner] != b[rows] {
            let (x, y) = (self.ty(), other.ty());
            return self
                .graph
                .refuse(format!("matmul: {x} and {y}: {} columns do not meet {} rows", a[inner], b[rows]));
        }
        // Where one side has no batch, the other's batch is just more rows or columns.
        if b.rank() <= 2 || a.rank() == 1 {
            let dot = Dot { batch: (vec![], vec![]), contract: (vec![inner], vec![rows]) };
            return self.graph.apply("matmul", dot.into(), &[self, other]);
        }
        let split = |s: Shape| Shape::new(&s[..s.rank() - 2]).ok();
        let Some(batch) = split(a).zip(split(b)).and_then(|(x, y)| common_shape(x, y)) else {
            let message = format!("matmul: the batches of {} and {} do not broadcast", self.ty(), other.ty());
            return self.graph.refuse(message);
        };
        let whole = |s: Shape| [&batch[..], &s[s.rank() - 2..]].concat();
        let n = batch.rank();
        let dims: Vec<usize> = (0..n).collect();
        let dot = Dot { batch: (dims.clone(), dims), contract: (vec![n + 1], vec![n]) };
        let (x, y) = (self.broadcast_to(whole(a)), other.broadcast_to(whole(b)));
        self.graph.apply("matmul", dot.into(), &[x, y])
    }

    /// The sum of products over the last axis of both, which vanishes; axes before are broadcast.
    #[track_caller]
    pub fn dot(self, other: Value<'g>) -> Value<'g> {
        (self * other).sum_axes(&[-1])
    }
}
