//! What models of sequences have in common.

use bespoke_nn::{Init, Value};

use crate::Parts;

/// A dense layer over the last axis of `[…,inputs]`.
#[track_caller]
pub(crate) fn dense_over_last(x: Value<'_>, units: usize, init: Init) -> Value<'_> {
    let shape = x.shape();
    // A value of no axes came of a mistake.
    let Some((&inputs, rows)) = shape.split_last() else { return x };
    let y = x.reshape([rows.iter().product(), inputs]).dense_with(units, init, true);
    y.reshape([rows, &[units]].concat())
}

/// A model that gives logits `[batch,length,vocabulary]` for the tokens that come next, `targets` `[batch,length]`.
#[track_caller]
pub(crate) fn next_tokens<'g>(logits: Value<'g>, targets: Value<'g>) -> Parts<'g> {
    let (shape, of_tokens) = (logits.shape(), targets.shape());
    let rows = of_tokens.iter().product();
    let flat = logits.reshape([rows, shape.last().copied().unwrap_or_default()]);
    let labels = targets.reshape([rows]);
    // By row and token, so that rows that fill a last batch can be told from the others.
    let loss = flat.cross_entropy(labels).reshape(of_tokens);
    Parts::new(logits, loss.mean()).metric("accuracy", flat.accuracy(labels).reshape(of_tokens))
}
