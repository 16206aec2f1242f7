//! Models with weights from PyTorch give PyTorch's logits, loss, gradients and running statistics (`tests/goldens/models.py`), and
//! give the weights back.

use std::{collections::BTreeMap, path::PathBuf};

use bespoke::{
    nn::{Graph, I32, Module, Sgd, Trainer, Value, pytorch_name},
    prelude::{Tensor, Type},
    tensor::npy::read_npz,
    zoo::{
        googlenet::GoogLeNet,
        gpt::Gpt,
        lenet::LeNet5,
        recurrent::{Kind, SequenceClassifier},
        resnet::{Block, ResNet},
    },
};

/// Logits and loss of inputs and labels.
type Build = for<'g> fn(Value<'g>, Value<'g>) -> (Value<'g>, Value<'g>);

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens"))
}

/// What PyTorch says of a model, by name.
fn goldens(model: &str) -> BTreeMap<String, Tensor> {
    let prefix = format!("{model}/");
    let all = read_npz(folder().join("models.npz")).unwrap().into_iter();
    all.filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value))).collect()
}

/// Each element within 10⁻⁴ of itself, but for what is near 0.
fn close(what: &str, got: &Tensor, expected: &Tensor) {
    assert_eq!(got.shape(), expected.shape(), "{what}");
    for (got, expected) in got.scalars().zip(expected.scalars()) {
        let (got, expected) = (got.to_f64(), expected.to_f64());
        assert!((got - expected).abs() <= 1e-4 * expected.abs() + 1e-5, "{what}: {got}, expected {expected}");
    }
}

/// The norm of the difference by that of what is expected, which may be the transpose.
fn off(got: &Tensor, expected: &Tensor) -> f64 {
    let got = match got.shape()[..] {
        [rows, columns] if got.shape() != expected.shape() => {
            let ty = Type::new(got.dtype(), [columns, rows]);
            Tensor::from_fn(ty, |i| got.get(i % rows * columns + i / rows))
        }
        _ => got.clone(),
    };
    assert_eq!(got.shape(), expected.shape());
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|n| n * n).sum::<f64>().sqrt();
    let expected = |i: usize| expected.get(i).to_f64();
    let difference = norm(&mut (0..got.elements()).map(|i| got.get(i).to_f64() - expected(i)));
    difference / norm(&mut (0..got.elements()).map(expected)).max(1e-12)
}

fn check(model: &str, build: Build) {
    let goldens = goldens(model);
    let file = folder().join("models").join(format!("{model}.safetensors"));
    let (x, label) = (&goldens["x"], &goldens["label"]);
    let made = |g: &Graph, f: &mut dyn FnMut(Value<'_>, Value<'_>)| {
        let (logits, loss) = build(g.input("x", x.dtype(), x.shape()), g.input("label", I32, label.shape()));
        f(logits, loss);
    };

    let g = Graph::new();
    made(&g, &mut |logits, _| g.output("logits", logits));
    let mut query = g.compile().unwrap();
    query.load_pytorch(&file, pytorch_name).unwrap();
    let outputs = query.run(&[("x", x)]).unwrap();
    close(&format!("{model}, query"), outputs.get("logits").unwrap(), &goldens["query"]);

    let g = Graph::new();
    let mut trainer = None;
    made(&g, &mut |logits, loss| {
        trainer = Some(Trainer::new(loss, Sgd::new(0.1).momentum(0.9)).metric("logits", logits));
    });
    let mut training = trainer.unwrap().compile().unwrap();
    training.load_pytorch(&file, pytorch_name).unwrap();
    let loaded = training.parameters();
    let back = tempfile::tempdir().unwrap();
    let written = back.path().join("written.safetensors");
    training.save_pytorch(&written, pytorch_name).unwrap();

    let outputs = training.step(&[("x", x), ("label", label)]).unwrap();
    close(&format!("{model}, logits"), outputs.get("logits").unwrap(), &goldens["logits"]);
    close(&format!("{model}, loss"), outputs.get("loss").unwrap(), &goldens["loss"]);
    for (name, value) in training.parameters() {
        let theirs = pytorch_name(&name);
        if let Some(expected) = goldens.get(&format!("after/{theirs}")) {
            close(&format!("{model}, {name} afterwards"), &value, expected);
            continue;
        }
        // Momentum is at first the gradient.
        let gradient = training.state(&format!("sgd/{name}/momentum")).unwrap();
        let off = off(&gradient, &goldens[&format!("gradient/{theirs}")]);
        assert!(off < 1e-3, "{model}: the gradient of {name} is off by {off:.1e}");
    }
    let of_parameters = goldens.keys().filter(|k| k.contains('/')).count();
    assert_eq!(training.parameters().len(), of_parameters, "{model}");

    training.load_pytorch(&written, pytorch_name).unwrap();
    assert!(training.parameters() == loaded, "{model}: written and read again");
}

/// Under the mean cross-entropy.
fn classified<'g>(logits: Value<'g>, label: Value<'g>) -> (Value<'g>, Value<'g>) {
    let (rows, classes) = (label.ty().elements(), logits.shape()[logits.ty().rank() - 1]);
    (logits, logits.reshape([rows, classes]).cross_entropy(label.reshape([rows])).mean())
}

#[test]
fn lenet5_is_pytorchs() {
    check("lenet5", |x, label| {
        classified(x.apply(&LeNet5 { features: [6, 16, 120, 84], classes: 10 }), label)
    });
}

#[test]
fn resnet18_is_pytorchs() {
    check("resnet18", |x, label| {
        let net = ResNet {
            block: Block::Basic,
            blocks: [2; 4],
            features: [4, 8, 16, 32],
            small_images: false,
            classes: 10,
        };
        classified(x.apply(&net), label)
    });
}

#[test]
fn googlenet_is_pytorchs() {
    check("googlenet", |x, label| {
        let net = GoogLeNet { dropout: [0.0; 2], ..GoogLeNet::new(1.0 / 16.0, 7) };
        let (logits, heads) = net.with_heads(x);
        let [main, first, second] = [logits, heads[0], heads[1]].map(|l| l.cross_entropy(label).mean());
        (logits, main + (first + second) * 0.3)
    });
}

#[test]
fn lstm_is_pytorchs() {
    check("lstm", |x, label| classified(x.apply(&SequenceClassifier::new(Kind::Lstm, 8, 3)), label));
}

#[test]
fn gpt_is_pytorchs() {
    check("gpt", |x, label| {
        let model =
            Gpt { vocabulary: 11, context: 9, width: 16, depth: 2, heads: 4, tied: false, dropout: 0.0 };
        classified(model.forward(x), label)
    });
}
