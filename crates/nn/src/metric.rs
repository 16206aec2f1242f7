//! What is measured of a model besides its loss.

use std::{fmt, rc::Rc};

use bespoke_graph::NodeId;

use crate::{F32, F64, Graph, Value};

/// A figure, or a table of figures, over all rows of a partition. What it is made of is computed in the graph, for each row;
/// sums over rows are kept in f64.
pub struct Metric {
    pub(crate) name: String,
    pub(crate) graph: Graph,
    pub(crate) value: Option<NodeId>,
    pub(crate) finish: Finish,
}

/// A figure from the sums over rows and the number of rows.
type OfSums = dyn Fn(&[f64], usize) -> f64;

/// From the sums over rows to the figure.
#[derive(Clone)]
pub(crate) enum Finish {
    /// The mean over all elements of all rows.
    Mean,
    /// A function of the sums and the number of rows.
    Sums(Rc<OfSums>),
    /// The sums themselves.
    Table,
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finish::Mean => "Mean",
            Finish::Sums(_) => "Sums",
            Finish::Table => "Table",
        })
    }
}

impl Metric {
    fn new(name: &str, value: Value<'_>, finish: Finish) -> Metric {
        Metric { name: name.to_owned(), graph: value.graph.handle(), value: value.id, finish }
    }

    /// The mean of a value `[batch,…]`, or of a scalar over the batches.
    pub fn mean(name: &str, value: Value<'_>) -> Metric {
        Metric::new(name, value, Finish::Mean)
    }

    /// A function of the sums over all rows of a value `[batch,…]`, one for each element of a row, and of the number of rows.
    ///
    /// ```
    /// use bespoke_nn::{F32, Graph, Metric};
    ///
    /// let g = Graph::new();
    /// let error = g.input("x", F32, [8]) - g.input("y", F32, [8]);
    /// let rmse = Metric::of_sums("rmse", error * error, |sums, rows| (sums[0] / rows as f64).sqrt());
    /// ```
    pub fn of_sums(name: &str, value: Value<'_>, finish: impl Fn(&[f64], usize) -> f64 + 'static) -> Metric {
        Metric::new(name, value, Finish::Sums(Rc::new(finish)))
    }

    /// The sums over all rows of a value `[batch,…]`, as a table of the shape of a row.
    pub fn table(name: &str, value: Value<'_>) -> Metric {
        Metric::new(name, value, Finish::Table)
    }

    /// How often class i (the row of the table) was taken for class j (the column), of logits `[batch,classes]` and integer
    /// labels `[batch]`.
    #[track_caller]
    pub fn confusion<'g>(name: &str, logits: Value<'g>, labels: Value<'g>) -> Metric {
        let classes = logits.shape().last().copied().unwrap_or(0);
        let given = labels.one_hot(classes, F32).expand_dims(-1);
        let taken = logits.argmax(-1).one_hot(classes, F32).expand_dims(1);
        Metric::table(name, given * taken)
    }

    /// How often the label is among the `k` highest logits, of logits `[batch,classes]` and integer labels `[batch]`. Logits equal
    /// to the label's count as higher, as do those that are no numbers.
    #[track_caller]
    pub fn top_k<'g>(name: &str, logits: Value<'g>, labels: Value<'g>, k: usize) -> Metric {
        let classes = logits.shape().last().copied().unwrap_or(0);
        // Others are left out, not multiplied by 0: they may be infinite.
        let own = labels.one_hot(classes, F32).gt(0.0).select(logits, 0.0).sum_axes(&[-1]).expand_dims(-1);
        let rank = logits.lt(own).logical_not().convert(F32).sum_axes(&[-1]);
        Metric::mean(name, rank.le(k as f64).convert(F32))
    }

    /// The mean of |x − y|.
    #[track_caller]
    pub fn mean_absolute_error<'g>(name: &str, prediction: Value<'g>, target: Value<'g>) -> Metric {
        Metric::mean(name, (prediction - target).abs())
    }

    /// The coefficient of determination, R² = 1 − Σ(x − y)² / Σ(y − ȳ)², of predictions x and targets y `[batch,…]`.
    #[track_caller]
    pub fn r2<'g>(name: &str, prediction: Value<'g>, target: Value<'g>) -> Metric {
        // In f64, for the variance is a small difference where the mean is large.
        let [prediction, target] = [prediction, target].map(|v| v.convert(F64));
        let error = prediction - target;
        let width = row_elements(target);
        let sums = rows_of_sums(&[error * error, target, target * target]);
        Metric::of_sums(name, sums, move |sums, rows| {
            1.0 - sums[0] / (sums[2] - sums[1] * sums[1] / (rows * width) as f64)
        })
    }

    /// e to the power of the mean cross-entropy in nats, `[batch,…]`: between how many equally likely tokens the model wavers.
    pub fn perplexity(name: &str, cross_entropy: Value<'_>) -> Metric {
        let width = row_elements(cross_entropy);
        Metric::of_sums(name, cross_entropy, move |sums, rows| {
            (sums.iter().sum::<f64>() / (rows * width) as f64).exp()
        })
    }

    /// The overlap of n-grams of 1 to 4 tokens with one reference a row (BLEU, Papineni et al. 2002): of predicted and reference
    /// tokens, integers `[batch,steps]`, where `padding` stands behind the end. From 0 to 1, over all rows together; 0 if no
    /// row has 4 tokens that are right in a row.
    #[track_caller]
    pub fn bleu<'g>(name: &str, predicted: Value<'g>, reference: Value<'g>, padding: i64) -> Metric {
        let lengths = [predicted, reference].map(|tokens| tokens.ne(padding).convert(F32));
        let mut counts = lengths.to_vec();
        for n in 1..=4 {
            let (matches, all) = clipped_matches(predicted, reference, padding, n);
            counts.extend([matches, all]);
        }
        Metric::of_sums(name, rows_of_sums(&counts), |sums, _| {
            let (candidate, reference) = (sums[0], sums[1]);
            let precisions = sums[2..].chunks(2).map(|pair| (pair[0] / pair[1].max(1.0)).ln());
            let brevity = (1.0 - reference / candidate).min(0.0);
            (brevity + precisions.sum::<f64>() / 4.0).exp()
        })
    }
}

/// The number of elements in a row.
fn row_elements(value: Value<'_>) -> usize {
    value.shape().iter().skip(1).product()
}

/// The sums over each row `[batch,…]` of values, beside each other: `[batch,values]`.
#[track_caller]
fn rows_of_sums<'g>(values: &[Value<'g>]) -> Value<'g> {
    let mut sums = vec![];
    for value in values {
        let batch = value.shape().first().copied().unwrap_or(0);
        sums.push(value.reshape([batch, row_elements(*value)]).sum_axes(&[1]).expand_dims(-1));
    }
    sums[0].concatenate(&sums[1..], 1)
}

/// For each place where an n-gram of the prediction starts: its share of the matches with n-grams of the reference, none of
/// which counts twice; and whether there is one. Both `[batch,places]`.
#[track_caller]
fn clipped_matches<'g>(
    predicted: Value<'g>,
    reference: Value<'g>,
    padding: i64,
    n: usize,
) -> (Value<'g>, Value<'g>) {
    let Some(&steps) = predicted.shape().get(1).filter(|_| predicted.shape().rank() == 2) else {
        let expected = format!("bleu: expected tokens [batch,steps], got {}", predicted.ty());
        let spoiled = predicted.graph.refuse(expected);
        return (spoiled, spoiled);
    };
    if steps < n {
        let none = predicted.convert(F32) * 0.0;
        return (none, none);
    }
    let from = |tokens: Value<'g>, t: usize| tokens.slice(1, t..t + steps - n + 1);
    let whole = |tokens: Value<'g>| {
        let there = (0..n).map(|t| from(tokens, t).ne(padding));
        there.reduce(Value::logical_and).expect("n is at least 1").convert(F32)
    };
    let equal = |a: Value<'g>, b: Value<'g>| {
        let each = (0..n).map(|t| from(a, t).expand_dims(2).eq(from(b, t).expand_dims(1)));
        each.reduce(Value::logical_and).expect("n is at least 1").convert(F32)
    };
    let [here, there] = [predicted, reference].map(whole);
    let in_prediction = (equal(predicted, predicted) * here.expand_dims(1)).sum_axes(&[2]);
    let in_reference = (equal(predicted, reference) * there.expand_dims(1)).sum_axes(&[2]);
    let share = in_reference.minimum(in_prediction) / in_prediction.maximum(1.0);
    (share * here, here)
}
