//! Metrics against figures of other origin, over batches that are not all full.

use bespoke_data::TensorDataset;
use bespoke_nn::{F32, F64, Graph, I32, Init, Measured, Metric, Objective, Sgd, Trainer, Value};
use bespoke_tensor::{Element, Tensor};

fn tensor<T: Element>(rows: usize, values: &[T]) -> Tensor {
    let each = values.len() / rows;
    match each {
        1 => Tensor::from_slice([rows], values).unwrap(),
        _ => Tensor::from_slice([rows, each], values).unwrap(),
    }
}

/// What a metric of two fields is, measured in batches of 3 by one program that fills the last, and by a program for each size.
fn measured(
    a: &Tensor,
    b: &Tensor,
    metric: impl Fn(Value<'_>, Value<'_>) -> Metric + Copy + 'static,
) -> Measured {
    let (types, rows) = ([a.ty(), b.ty()], a.shape()[0]);
    let model = move |g: &Graph, batch: usize| {
        let [a, b] = [("a", types[0]), ("b", types[1])].map(|(name, ty)| {
            let mut shape = ty.shape.to_vec();
            shape[0] = batch;
            g.input(name, ty.dtype, &shape[..])
        });
        let w = g.parameter("w", F32, [], Init::Constant(0.0));
        Objective::new((a.convert(F32) * w).mean()).measure(metric(a, b))
    };
    let g = Graph::new();
    let mut one = Trainer::new(model(&g, 3), Sgd::new(0.1)).compile().unwrap();
    let mut each = Trainer::of(3, model, Sgd::new(0.1)).compile().unwrap();
    let data = TensorDataset::new("data", [("a", a.clone()), ("b", b.clone())]).unwrap();
    assert_ne!(rows % 3, 0, "the last batch is to be a part");
    let measured = each.evaluate(&data).unwrap();
    assert_eq!(
        (&one.evaluate(&data).unwrap().metrics, &measured.tables),
        (&measured.metrics, &measured.tables)
    );
    measured
}

fn near(measured: Measured, expected: f64, tolerance: f64) {
    let got = measured.metrics[0].1;
    assert!((got - expected).abs() <= tolerance, "{got}, expected {expected}");
}

fn bits(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

/// Five rows of four logits, and where the label is by its logit: 1st, 2nd, 3rd, 4th, 1st.
fn logits() -> (Tensor, Tensor) {
    let logits = [
        0.1, 0.9, 0.2, 0.3, //
        0.5, 0.4, 0.1, 0.2, //
        0.7, 0.1, 0.5, 0.6, //
        -1.0, 2.0, 3.0, 4.0, //
        9.0, -8.0, -9.0, 8.0,
    ];
    (tensor(5, &bits(&logits)), tensor(5, &[1, 1, 2, 0, 0]))
}

#[test]
fn the_label_is_among_the_highest() {
    let (logits, labels) = logits();
    for (k, expected) in [(1, 0.4), (2, 0.6), (3, 0.8), (4, 1.0)] {
        near(measured(&logits, &labels, move |x, y| Metric::top_k("top", x, y, k)), expected, 1e-12);
    }
    // Other classes that are excluded, equal logits, and what is no number.
    let logits =
        [f64::NEG_INFINITY, 1.0, 2.0, 3.0, 3.0, 0.0, f64::NAN, 1.0, 0.0, 5.0, f64::NEG_INFINITY, 1.0];
    let labels = tensor(4, &[1, 0, 1, 1]);
    let top = |k| measured(&tensor(4, &bits(&logits)), &labels, move |x, y| Metric::top_k("top", x, y, k));
    near(top(1), 0.0, 0.0);
    near(top(2), 0.75, 0.0);
    near(top(3), 1.0, 0.0);
}

#[test]
fn classes_that_are_taken_for_others_are_counted() {
    let (logits, labels) = logits();
    let measured = measured(&logits, &labels, |x, y| Metric::confusion("confusion", x, y));
    let table = measured.table("confusion").unwrap();
    assert_eq!(table.ty().to_string(), "f64[4,4]");
    let expected = [
        1.0, 0.0, 0.0, 1.0, // of class 0, one was taken for itself and one for class 3
        1.0, 1.0, 0.0, 0.0, //
        1.0, 0.0, 0.0, 0.0, //
        0.0, 0.0, 0.0, 0.0,
    ];
    assert_eq!(table.to_vec::<f64>().unwrap(), expected);
}

/// The example of scikit-learn's documentation of `r2_score` and `mean_absolute_error`.
#[test]
fn errors_of_regression() {
    let predicted = tensor(4, &bits(&[2.5, 0.0, 2.0, 8.0]));
    let target = tensor(4, &bits(&[3.0, -0.5, 2.0, 7.0]));
    near(measured(&predicted, &target, |x, y| Metric::mean_absolute_error("mae", x, y)), 0.5, 1e-12);
    near(measured(&predicted, &target, |x, y| Metric::r2("r2", x, y)), 0.9486081370449679, 1e-12);
    // Of several numbers a row, and far from 0: 1 − Σ(x − y)² / Σ(y − ȳ)² = 1 − 2.5 / 10.
    let target: Vec<f64> = (0..8).map(|i| 1e5 + [-1.0, 1.0, -1.5, 0.5, 1.5, -0.5, 1.0, -1.0][i]).collect();
    let target = tensor(4, &bits(&target));
    let predicted: Vec<f32> = target.scalars().map(|y| y.to_f64() as f32 + 0.5).collect();
    let spread = 1.0 + 1.0 + 2.25 + 0.25 + 2.25 + 0.25 + 1.0 + 1.0;
    near(measured(&tensor(4, &predicted), &target, |x, y| Metric::r2("r2", x, y)), 1.0 - 2.0 / spread, 1e-6);
}

#[test]
fn perplexity_of_a_fair_choice_is_the_number_of_tokens() {
    let (steps, tokens) = (2, 7);
    let logits = tensor(4, &vec![0.25f32; 4 * steps * tokens]);
    let labels = tensor(4, &[0, 1, 2, 3, 4, 5, 6, 0]);
    let metric = move |x: Value<'_>, y: Value<'_>| {
        let rows = x.shape()[0];
        let loss = x.reshape([rows * steps, tokens]).cross_entropy(y.reshape([rows * steps]));
        Metric::perplexity("perplexity", loss.reshape([rows, steps]))
    };
    near(measured(&logits, &labels, metric), 7.0, 1e-5);
    // e^mean of given cross-entropies, over all rows together.
    let nats = tensor(4, &bits(&[0.0, 1.0, 2.0, 3.0]));
    near(measured(&nats, &nats, |x, _| Metric::perplexity("perplexity", x)), 1.5f64.exp(), 1e-6);
}

/// Tokens of words; 0 is padding.
fn tokens(sentences: &[&str], length: usize) -> Tensor {
    let mut words: Vec<String> = vec![];
    let mut tokens = vec![];
    for sentence in sentences {
        for word in sentence.split(' ') {
            if !words.iter().any(|w| w == word) {
                words.push(word.to_owned());
            }
            tokens.push(1 + words.iter().position(|w| w == word).unwrap() as i32);
        }
        tokens.resize(tokens.len().next_multiple_of(length), 0);
    }
    Tensor::from_slice([sentences.len(), length], &tokens).unwrap()
}

/// Sentences beside each other, so that equal words get equal tokens: candidates and references.
fn pairs(sentences: &[(&str, &str)], length: usize) -> [Tensor; 2] {
    let all: Vec<&str> = sentences.iter().map(|s| s.0).chain(sentences.iter().map(|s| s.1)).collect();
    let (all, rows) = (tokens(&all, length).to_vec::<i32>().unwrap(), sentences.len());
    let half = rows * length;
    [&all[..half], &all[half..]].map(|t| Tensor::from_slice([rows, length], t).unwrap())
}

fn bleu(sentences: &[(&str, &str)]) -> f64 {
    let [candidate, reference] = pairs(sentences, 20);
    measured(&candidate, &reference, |x, y| Metric::bleu("bleu", x, y, 0)).metrics[0].1
}

#[test]
fn bleu_is_that_of_papineni_et_al() {
    let close =
        |got: f64, expected: f64| assert!((got - expected).abs() < 1e-6, "{got}, expected {expected}");
    let same = "the cat sat on the mat again";
    close(bleu(&[(same, same)]), 1.0);
    // The first example of the paper, against its first reference.
    let candidate =
        "it is a guide to action which ensures that the military always obeys the commands of the party";
    let reference = "it is a guide to action that ensures that the military will forever heed party commands";
    // 1-grams: it is a guide to action ensures that the military commands party = 12 of 18; 2-grams: it-is is-a a-guide guide-to
    // to-action ensures-that that-the the-military = 8 of 17; 3: it-is-a is-a-guide a-guide-to guide-to-action
    // ensures-that-the that-the-military = 6 of 16; 4: it-is-a-guide is-a-guide-to a-guide-to-action
    // ensures-that-the-military = 4 of 15. The candidate is longer: no penalty.
    let product: f64 = (12.0 / 18.0) * (8.0 / 17.0) * (6.0 / 16.0) * (4.0 / 15.0);
    close(bleu(&[(candidate, reference)]), product.powf(0.25));
    // Counts are clipped: "the the the the the the the" has 2 of 7 words of a reference with two, and no pair.
    close(bleu(&[("the the the the the the the", "the cat is on the mat")]), 0.0);
    // Short candidates pay: all n-grams are right, 6 words of 9.
    let (short, long) = ("the cat sat on the mat", "the cat sat on the mat in the sun");
    close(bleu(&[(short, long)]), (1.0f64 - 9.0 / 6.0).exp());
    // Over rows together, not a mean of rows: n-grams and lengths add up. Four rows: the last batch is not full.
    let rows = [(candidate, reference), (short, long), (short, short), ("a b", "c d e")];
    let (matches, all): ([f64; 4], [f64; 4]) = ([24.0, 18.0, 14.0, 10.0], [32.0, 28.0, 24.0, 21.0]);
    let precisions: f64 = (0..4).map(|n| (matches[n] / all[n]).ln()).sum::<f64>() / 4.0;
    let brevity: f64 = (1.0f64 - (16.0 + 9.0 + 6.0 + 3.0) / (18.0 + 6.0 + 6.0 + 2.0)).min(0.0);
    close(bleu(&rows), (precisions + brevity).exp());
}

#[test]
fn a_metric_of_ones_own_is_a_graph() {
    let x = tensor(5, &bits(&[3.0, 4.0, 0.0, 1.0, 2.0]));
    let y = tensor(5, &bits(&[0.0; 5]));
    let metric = |x: Value<'_>, y: Value<'_>| {
        let error = x - y;
        Metric::of_sums("rms", error * error, |sums, rows| (sums[0] / rows as f64).sqrt())
    };
    near(measured(&x, &y, metric), 6.0f64.sqrt(), 1e-12);
    // Sums of tables, and means of rows of several numbers.
    let table = measured(&x, &y, |x, y| Metric::table("sums", x.expand_dims(1) + y.expand_dims(1)));
    assert_eq!(table.tables[0].1.to_vec::<f64>().unwrap(), [10.0]);
    near(measured(&x, &y, |x, _| Metric::mean("mean", x.gt(2.0).convert(F32))), 0.4, 0.0);
}

#[test]
fn terms_are_weighed_in_the_loss_and_reported_as_they_are() {
    let g = Graph::new();
    let x = g.input("x", F32, [2]);
    let w = g.parameter("w", F32, [], Init::Constant(3.0));
    let objective = Objective::new((x * w).mean()).term("square", w * w, 0.5).term("negative", -w, 2.0);
    let mut training = Trainer::new(objective, Sgd::new(0.25)).compile().unwrap();
    let data = TensorDataset::new("data", [("x", Tensor::full([4], 1.0f32))]).unwrap();
    let measured = training.evaluate(&data).unwrap();
    assert_eq!(measured.loss, 3.0 + 4.5 - 6.0);
    assert_eq!(measured.metrics, [("square".to_owned(), 9.0), ("negative".to_owned(), -3.0)]);
    // The slope is 1 + w − 2.
    training.step(&[("x", &Tensor::full([2], 1.0f32))]).unwrap();
    assert_eq!(training.parameters()[0].1.get(0).to_f64(), 2.5);
}

/// In f32 the small ones would be lost beside the sum.
#[test]
fn sums_over_rows_are_exact() {
    let values: Vec<f32> = (0..4001).map(|i| if i % 2 == 0 { 4096.0 } else { 1.0 / 4096.0 }).collect();
    let x = tensor(4001, &values);
    let expected = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 4001.0;
    near(measured(&x, &x, |x, _| Metric::mean("mean", x)), expected, 0.0);
    let labels = Tensor::zeros(bespoke_tensor::Type::new(I32, [4001]));
    near(measured(&x, &labels, |x, _| Metric::mean("mean", x.convert(F64))), expected, 0.0);
}
