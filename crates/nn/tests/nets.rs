//! Nets of layers learn.

use bespoke_data::TensorDataset;
use bespoke_nn::{Adam, Attention, Conv, Epochs, F32, Graph, I32, Pool, Recurrent, Trainer, Value};
use bespoke_tensor::{Scalar, Tensor, Type};

/// Numbers from 0 to 1 in no obvious order.
fn number(i: usize) -> f64 {
    (i * 7919 % 1009) as f64 / 1009.0
}

/// The last accuracy of a net that is told 96 examples of this shape apart.
fn accuracy<const N: usize>(
    shape: [usize; N],
    label: fn(usize) -> usize,
    element: fn(usize, usize) -> f64,
    net: for<'g> fn(Value<'g>) -> Value<'g>,
) -> f64 {
    const EXAMPLES: usize = 96;
    let size: usize = shape.iter().product();
    let ty = |n: usize| Type { dtype: F32, shape: [&[n], &shape[..]].concat()[..].try_into().unwrap() };
    let inputs =
        Tensor::from_fn(ty(EXAMPLES), |i| Scalar::F64(element(label(i / size), i % size) + 0.5 * number(i)));
    let labels = Tensor::from_fn(Type::new(I32, [EXAMPLES]), |i| Scalar::I64(label(i) as i64));
    let data = TensorDataset::new("rows", [("x", inputs), ("label", labels)]).unwrap();
    let g = Graph::new();
    let (x, y) = (g.input("x", F32, ty(16).shape), g.input("y", I32, [16]));
    let logits = net(x);
    let trainer = Trainer::new(logits.cross_entropy(y).mean(), Adam::new(0.02));
    let mut training = trainer.metric("accuracy", logits.accuracy(y)).compile().unwrap();
    let history = training.fit(&data, &data, Epochs(12)).unwrap();
    history.held_out.last().unwrap().metric("accuracy").unwrap()
}

fn convolutional<'g>(x: Value<'g>) -> Value<'g> {
    let x = x.conv2d(4, 3, Conv::new().padding(1)).relu().max_pool2d(2, Pool::new());
    x.separable_conv(4, 3, Conv::new()).relu().adaptive_avg_pool2d(1).flatten().dense(2)
}

fn lstm<'g>(x: Value<'g>) -> Value<'g> {
    let (_, (h, _)) = x.lstm(6, Recurrent::new().batch_first().checkpoints());
    h.squeeze(0).dense(2)
}

fn gru<'g>(x: Value<'g>) -> Value<'g> {
    let (y, _) = x.gru(4, Recurrent::new().batch_first().bidirectional().layers(2).dropout(0.1));
    y.scaled_dot_product_attention(y, y, Attention::new()).flatten().dense(2)
}

#[test]
fn a_convolutional_net_tells_stripes() {
    // Stripes down or across.
    let element = |label, i| f64::from(u8::from([i / 8, i % 8][label] % 2 == 0));
    assert!(accuracy([1, 8, 8], |i| i % 3 % 2, element, convolutional) > 0.95);
}

#[test]
fn recurrent_nets_tell_what_came_first() {
    let element = |label, i| f64::from(u8::from((i < 6) == (label == 0)));
    assert!(accuracy([6, 2], |i| i % 3 % 2, element, lstm) > 0.95);
    assert!(accuracy([6, 2], |i| i % 3 % 2, element, gru) > 0.95);
}
