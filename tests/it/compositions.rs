//! Layers and other compositions of operators, under laws that all of them obey: machine code gives what the evaluator
//! does, for values and derivatives of two orders; gradients are those of differences.

use std::collections::BTreeMap;

use bespoke::{
    nn::CellWeights,
    prelude::{Attention, Conv, F64, Graph, I32, MultiHead, Norm, Padding, Pool, Recurrent, Tensor, Value},
};
use bespoke_testkit::{gradient_check, random_inputs};

use crate::columns::{agree, no_failures, optimized_agrees, passes};

/// A composition of operators.
pub struct Composition {
    /// Its name.
    pub name: &'static str,
    /// Has it derivatives everywhere?
    pub smooth: bool,
    /// Names and shapes of its inputs, of f64.
    pub inputs: &'static [(&'static str, &'static [usize])],
    /// Its value, of any shape.
    pub build: for<'g> fn(&'g Graph, &[Value<'g>]) -> Value<'g>,
}

/// All that there are.
pub const COMPOSITIONS: &[&[Composition]] =
    &[CONVOLUTIONS, POOLING, ATTENTION, RECURRENT, NORMALIZATION, LOSSES, LINES];

const NORMALIZATION: &[Composition] = &[
    Composition {
        name: "layer_norm",
        smooth: true,
        inputs: &[("x", &[2, 3, 4])],
        build: |_, i| i[0].layer_norm(2, Norm::new()),
    },
    Composition {
        name: "group_norm",
        smooth: true,
        inputs: &[("x", &[2, 4, 3])],
        build: |_, i| i[0].group_norm(2, Norm::new()),
    },
    Composition {
        name: "instance_norm",
        smooth: true,
        inputs: &[("x", &[2, 3, 5])],
        build: |_, i| i[0].instance_norm(Norm::new().eps(0.1)),
    },
    Composition {
        name: "local_response_norm",
        smooth: true,
        inputs: &[("x", &[2, 5, 3])],
        build: |_, i| i[0].local_response_norm(3, 0.3, 0.75, 2.0),
    },
    Composition {
        name: "variance",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].variance(&[0]),
    },
    Composition {
        name: "standardized",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].standardized(&[-1], 0.1),
    },
];

const LOSSES: &[Composition] = &[
    Composition {
        name: "softmax, entropy",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].softmax(-1).entropy(),
    },
    Composition {
        name: "soft_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].soft_cross_entropy(i[1].softmax(-1)),
    },
    Composition {
        name: "categorical_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].softmax(0).categorical_cross_entropy(i[1].softmax(0)),
    },
    Composition {
        name: "bernoulli_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].sigmoid().bernoulli_cross_entropy(i[1].sigmoid()),
    },
    Composition {
        name: "kl_divergence",
        smooth: true,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].softmax(-1).kl_divergence(i[1].softmax(-1)),
    },
    Composition {
        name: "huber",
        smooth: false,
        inputs: &[("x", &[3, 4]), ("t", &[3, 4])],
        build: |_, i| i[0].huber(i[1], 0.7),
    },
    Composition {
        name: "hinge",
        smooth: false,
        inputs: &[("x", &[3, 4])],
        build: |g, i| i[0].hinge(g.iota(F64, [3, 4], 1) - 1.5),
    },
    Composition {
        name: "focal",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |g, i| i[0].focal(g.iota(F64, [3, 4], 1).gt(1.0).convert(F64), 0.25, 2.0),
    },
    Composition {
        name: "log_softmax, logsumexp",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].log_softmax(0) * i[0].logsumexp(-1).expand_dims(-1),
    },
    Composition {
        name: "binary_cross_entropy",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |g, i| i[0].binary_cross_entropy(g.full(F64, [3, 4], 0.25)),
    },
];

const LINES: &[Composition] = &[
    Composition {
        name: "cumsum, cumprod",
        smooth: true,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].cumsum(0) * i[0].cumprod(-1),
    },
    Composition {
        name: "cummax, cummin",
        smooth: false,
        inputs: &[("x", &[3, 4])],
        build: |_, i| i[0].cummax(0) * i[0].cummin(1),
    },
    Composition {
        name: "sort",
        smooth: false,
        inputs: &[("x", &[3, 9])],
        build: |_, i| i[0].sort(-1, true) * i[0].sort(0, false),
    },
    Composition { name: "top_k", smooth: false, inputs: &[("x", &[3, 5])], build: |_, i| i[0].top_k(2, 1).0 },
];

const CONVOLUTIONS: &[Composition] = &[
    Composition {
        name: "conv1d, groups",
        smooth: true,
        inputs: &[("x", &[2, 4, 6])],
        build: |_, i| i[0].conv1d(2, 3, Conv::new().padding([(2, 0)]).dilation(2).groups(2)),
    },
    Composition {
        name: "conv2d, same",
        smooth: true,
        inputs: &[("x", &[1, 2, 4, 3])],
        build: |_, i| i[0].conv2d(3, [2, 3], Conv::new().stride(2).padding(Padding::Same)).tanh(),
    },
    Composition {
        name: "conv_transpose2d",
        smooth: true,
        inputs: &[("x", &[1, 2, 2, 3])],
        build: |_, i| i[0].conv_transpose2d(2, 3, Conv::new().stride(2).padding(1).output_padding(1)).tanh(),
    },
    Composition {
        name: "separable_conv",
        smooth: true,
        inputs: &[("x", &[1, 2, 3, 3])],
        build: |_, i| i[0].separable_conv(3, 3, Conv::new().padding(1)).sigmoid(),
    },
    Composition {
        name: "convolve",
        smooth: true,
        inputs: &[("x", &[2, 2, 5]), ("weight", &[3, 2, 2])],
        build: |_, i| i[0].convolve(i[1], &Conv::new().stride(2)),
    },
];

const POOLING: &[Composition] = &[
    Composition {
        name: "max_pool2d",
        smooth: false,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| i[0].max_pool2d(3, Pool::new().stride(2).padding(1)),
    },
    Composition {
        name: "max_pool1d, wide",
        smooth: false,
        inputs: &[("x", &[1, 2, 24])],
        build: |_, i| i[0].max_pool1d(18, Pool::new().stride(3)),
    },
    Composition {
        name: "avg_pool2d",
        smooth: true,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| {
            i[0].avg_pool2d(3, Pool::new().stride(2).padding(1).count_include_pad(false).ceil_mode()).pow(2.0)
        },
    },
    Composition {
        name: "lp_pool1d",
        smooth: true,
        inputs: &[("x", &[1, 2, 6])],
        build: |_, i| (i[0] * i[0] + 0.5).lp_pool1d(3.0, 2, Pool::new()),
    },
    Composition {
        name: "adaptive_avg_pool2d",
        smooth: true,
        inputs: &[("x", &[1, 2, 5, 4])],
        build: |_, i| i[0].adaptive_avg_pool2d([3, 2]).tanh(),
    },
    Composition {
        name: "adaptive_max_pool1d",
        smooth: false,
        inputs: &[("x", &[2, 1, 7])],
        build: |_, i| i[0].adaptive_max_pool1d(3),
    },
    Composition {
        name: "global_avg_pool",
        smooth: true,
        inputs: &[("x", &[2, 2, 3, 2])],
        build: |_, i| i[0].global_avg_pool().tanh(),
    },
];

const ATTENTION: &[Composition] = &[
    Composition {
        name: "scaled_dot_product_attention, causal",
        smooth: true,
        inputs: &[("q", &[2, 3, 2]), ("k", &[2, 4, 2]), ("v", &[2, 4, 3])],
        build: |_, i| i[0].scaled_dot_product_attention(i[1], i[2], Attention::new().causal()),
    },
    Composition {
        name: "scaled_dot_product_attention, mask",
        smooth: true,
        inputs: &[("q", &[3, 2]), ("k", &[4, 2])],
        build: |g, i| {
            // The first query sees nothing.
            let mask = g.iota(I32, [3, 4], 0).gt(g.iota(I32, [3, 4], 1));
            i[0].scaled_dot_product_attention(i[1], i[1], Attention::new().mask(mask))
        },
    },
    Composition {
        name: "additive_attention",
        smooth: true,
        inputs: &[("q", &[2, 1, 2]), ("k", &[2, 3, 3])],
        build: |_, i| i[0].additive_attention(i[1], i[1], 4, Attention::new()),
    },
    Composition {
        name: "multi_head_attention, self",
        smooth: true,
        inputs: &[("x", &[2, 3, 4])],
        build: |_, i| i[0].multi_head_attention(i[0], i[0], 2, MultiHead::new().causal()).output,
    },
    Composition {
        name: "multi_head_attention, cross",
        smooth: true,
        inputs: &[("q", &[1, 2, 4]), ("k", &[1, 3, 2])],
        build: |g, i| {
            let there = g.iota(I32, [1, 3], 1).lt(2i32);
            i[0].multi_head_attention(i[1], i[1], 2, MultiHead::new().key_mask(there)).output
        },
    },
];

const RECURRENT: &[Composition] = &[
    Composition {
        name: "rnn",
        smooth: true,
        inputs: &[("x", &[4, 2, 3])],
        build: |_, i| i[0].rnn(2, Recurrent::new().bidirectional()).0,
    },
    Composition {
        name: "lstm, deep",
        smooth: true,
        inputs: &[("x", &[2, 4, 2]), ("h", &[2, 2, 3]), ("c", &[2, 2, 3])],
        build: |_, i| {
            let options = Recurrent::new().layers(2).batch_first().initial(i[1]).initial_cell(i[2]);
            let (y, (_, c)) = i[0].lstm(3, options);
            y.sum() * c.sum()
        },
    },
    Composition {
        name: "gru, lengths",
        smooth: true,
        inputs: &[("x", &[4, 2, 2])],
        build: |g, i| {
            let lengths = g.iota(I32, [2], 0) * 2 + 1;
            let (y, h) = i[0].gru(2, Recurrent::new().bidirectional().lengths(lengths));
            y.sum_axes(&[0]).concatenate(&[h.reshape([2, 4])], 1)
        },
    },
    Composition {
        name: "lstm, segments",
        smooth: true,
        inputs: &[("x", &[5, 1, 2])],
        build: |_, i| i[0].lstm(2, Recurrent::new().segments(2)).0,
    },
    Composition {
        name: "lstm_cell",
        smooth: true,
        inputs: &[("x", &[2, 3]), ("h", &[2, 2]), ("c", &[2, 2])],
        build: |g, i| {
            let weights = CellWeights::lstm(g, F64, 3, 2);
            let (h, c) = i[0].lstm_cell(i[1], i[2], &weights);
            let (h, c) = i[0].lstm_cell(h, c, &weights);
            h + c
        },
    },
];

/// A composition's graph: the value, a scalar that depends on all of it, and its gradients by inputs and parameters.
pub fn with_graph<T>(
    composition: &Composition,
    then: impl for<'g> FnOnce(&'g Graph, Value<'g>, Value<'g>, &[Value<'g>]) -> T,
) -> T {
    let g = Graph::with_seed(5);
    let inputs: Vec<Value<'_>> =
        composition.inputs.iter().map(|(name, shape)| g.input(name, F64, *shape)).collect();
    let value = (composition.build)(&g, &inputs);
    let numbers = value.shape().elements();
    let weights = (g.iota(F64, [numbers], 0) * 0.7 + 0.3).sin().reshape(value.shape());
    let loss = (value * weights).sum();
    then(&g, value, loss, &inputs)
}

/// Values for inputs, and the parameters as they start.
pub fn sources(g: &Graph) -> BTreeMap<String, Tensor> {
    let mut sources = random_inputs(&g.finish().unwrap(), 7, false);
    sources.extend(g.start_values());
    sources
}

#[test]
fn compiled_compositions_give_what_evaluated_ones_do() {
    let mut failures = vec![];
    for composition in COMPOSITIONS.iter().copied().flatten() {
        with_graph(composition, |g, value, loss, inputs| {
            g.output("value", value);
            for (i, gradient) in g.grad(loss, inputs).into_iter().enumerate() {
                g.output(&format!("gradient{i}"), gradient);
            }
            let directions: Vec<Value<'_>> = inputs.iter().map(|x| x.cos()).collect();
            g.output("tangent", g.jvp(value, inputs, &directions));
            for (i, product) in g.hvp(loss, inputs, &directions).into_iter().enumerate() {
                g.output(&format!("hvp{i}"), product);
            }
            let (graph, sources) = (g.finish().unwrap(), sources(g));
            for check in [agree, optimized_agrees] {
                failures.extend(
                    passes(check, &graph, &sources).err().map(|e| format!("{}: {e}", composition.name)),
                );
            }
        });
    }
    no_failures(&failures);
}

#[test]
fn gradients_of_compositions_are_those_of_differences() {
    let mut failures = vec![];
    for composition in COMPOSITIONS.iter().copied().flatten().filter(|c| c.smooth) {
        with_graph(composition, |g, _, loss, inputs| {
            let (graph, sources) = (g.finish().unwrap(), sources(g));
            let mut wrt: Vec<_> = inputs.iter().map(|v| v.node().unwrap()).collect();
            wrt.extend(g.parameters().iter().map(|p| p.node));
            let checked =
                gradient_check(&graph, loss.node().unwrap(), &wrt, &|name| sources.get(name).cloned());
            failures.extend(checked.err().map(|e| format!("{}: {e}", composition.name)));
        });
    }
    no_failures(&failures);
}
