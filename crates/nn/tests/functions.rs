//! Activations and losses have PyTorch's values and slopes (`functions.py` wrote `functions.txt`), at ties too.

use bespoke_graph::eval;
use bespoke_nn::{Graph, Value};
use bespoke_tensor::Tensor;

const POINTS: [f64; 11] = [-100.0, -30.0, -3.1, -0.7, -1e-3, 0.0, 1e-3, 0.9, 4.2, 30.0, 100.0];
const LOGITS: [f64; 12] = [1.0, -2.0, 0.5, 0.0, 0.0, 0.0, 50.0, -50.0, 0.0, 1e3, 1e3, -1e3];

fn elementwise<'g>(name: &str, x: Value<'g>) -> Option<Value<'g>> {
    Some(match name {
        "relu" => x.relu(),
        "leaky_relu" => x.leaky_relu(0.1),
        "elu" => x.elu(1.5),
        "gelu" => x.gelu(),
        "gelu_tanh" => x.gelu_tanh(),
        "silu" => x.silu(),
        "softplus" => x.softplus(),
        "tanh" => x.tanh(),
        "sigmoid" => x.sigmoid(),
        "sigmoid_slope" => x.sigmoid_slope(2.0),
        "binary_cross_entropy" => x.binary_cross_entropy(x.graph().constant(0.25)),
        _ => return None,
    })
}

fn by_row<'g>(name: &str, x: Value<'g>, labels: Value<'g>) -> Value<'g> {
    match name {
        "cross_entropy" => x.cross_entropy(labels),
        "logsumexp" => x.logsumexp(-1),
        "softmax" => x.softmax(-1).slice(1, 1..2).squeeze(1),
        "log_softmax" => x.log_softmax(-1).slice(1, 1..2).squeeze(1),
        other => panic!("the table has a function `{other}` that this test does not know"),
    }
}

#[test]
fn values_and_slopes_are_pytorchs() {
    let mut failures = vec![];
    let lines: Vec<Vec<&str>> =
        include_str!("functions.txt").lines().map(|l| l.split(' ').collect()).collect();
    assert_eq!(lines.len(), 30);
    for line in lines {
        let name = line[0];
        let g = Graph::new();
        let points = g.tensor(&Tensor::from_slice([11], &POINTS).unwrap());
        let (x, y, weights) = match elementwise(name, points) {
            Some(y) => (points, y, g.constant(1.0)),
            None => {
                let logits = g.tensor(&Tensor::from_slice([4, 3], &LOGITS).unwrap());
                let labels = g.tensor(&Tensor::from_slice([4], &[2i32, 0, 1, 0]).unwrap());
                let weights = g.tensor(&Tensor::from_slice([4], &[0.1, 0.2, 0.3, 0.4]).unwrap());
                (logits, by_row(name, logits, labels), weights)
            }
        };
        g.output("value", y);
        g.output("slope", g.grad((y * weights).sum(), &[x])[0]);
        let values = eval(&g.finish().unwrap(), &|_| None).unwrap();
        let got = values.outputs[line[1]].to_vec::<f64>().unwrap();
        assert_eq!(got.len(), line.len() - 2, "{name} {}", line[1]);
        for (i, (got, expected)) in got.iter().zip(&line[2..]).enumerate() {
            let expected: f64 = expected.parse().unwrap();
            if (got - expected).abs() > 1e-12 * expected.abs().max(1e-3) {
                failures.push(format!("{name} {} {i}: {got}, expected {expected}", line[1]));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
