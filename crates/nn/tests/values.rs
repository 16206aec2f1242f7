//! Operations on values mean what numpy's of the same name mean.

use bespoke_graph::eval;
use bespoke_nn::{Bool, Conv, F32, F64, Graph, I32, I64, Init, U8, Value};
use bespoke_tensor::{Scalar, Shape, Tensor, Type};

/// What a graph's value is, as type and numbers, by the reference evaluator.
fn evaluate(g: &Graph, value: Value<'_>) -> (String, Vec<f64>) {
    g.output("value", value);
    let starts = g.start_values();
    let graph = g.finish().unwrap_or_else(|e| panic!("{e}"));
    let values = eval(&graph, &|name| starts.iter().find(|s| s.0 == name).map(|s| s.1.clone())).unwrap();
    let value = &values.outputs["value"];
    (value.ty().to_string(), value.scalars().map(|s| s.to_f64()).collect())
}

/// 0, 1, 2 … of a shape.
fn counting<'g>(g: &'g Graph, shape: &[usize]) -> Value<'g> {
    let ty = Type { dtype: F64, shape: shape.try_into().unwrap() };
    g.tensor(&Tensor::from_fn(ty, |i| Scalar::F64(i as f64)))
}

#[track_caller]
fn check(make: impl for<'g> Fn(&'g Graph) -> Value<'g>, ty: &str, numbers: &[f64]) {
    let g = Graph::new();
    let got = evaluate(&g, make(&g));
    assert_eq!((got.0.as_str(), &got.1[..]), (ty, numbers));
}

#[test]
fn operators_take_values_and_numbers_on_both_sides() {
    check(|g| (2.0 - counting(g, &[3])) / 4.0, "f64[3]", &[0.5, 0.25, 0.0]);
    check(|g| -(counting(g, &[2]) * 3.0f32 + 1.0), "f64[2]", &[-1.0, -4.0]);
    check(|g| 7 - counting(g, &[2]).convert(I32) * 2, "i32[2]", &[7.0, 5.0]);
    check(|g| (counting(g, &[5]) - 2.0) % 2.0, "f64[5]", &[0.0, -1.0, 0.0, 1.0, 0.0]);
    check(|g| counting(g, &[4]).clamp(1.0, 2.0), "f64[4]", &[1.0, 1.0, 2.0, 2.0]);
    check(|g| counting(g, &[3]).ge(1.0).select(counting(g, &[3]), -1.0), "f64[3]", &[-1.0, 1.0, 2.0]);
    check(|g| counting(g, &[3]).pow(2.0).maximum(2.0), "f64[3]", &[2.0, 2.0, 4.0]);
    check(|g| counting(g, &[2]).eq(1.0).logical_not(), "bool[2]", &[1.0, 0.0]);
}

#[test]
fn shapes_broadcast_as_numpys() {
    check(|g| counting(g, &[2, 1]) + counting(g, &[3]) * 10.0, "f64[2,3]", &[0., 10., 20., 1., 11., 21.]);
    check(|g| counting(g, &[1, 1, 2]) + counting(g, &[2, 1]), "f64[1,2,2]", &[0., 1., 1., 2.]);
    check(|g| counting(g, &[]) + counting(g, &[2]), "f64[2]", &[0., 1.]);
    check(|g| counting(g, &[1]) + counting(g, &[0]), "f64[0]", &[]);
    check(|g| counting(g, &[2]).broadcast_to([2, 2]), "f64[2,2]", &[0., 1., 0., 1.]);
    check(|g| g.full(U8, [2], 7.0), "u8[2]", &[7., 7.]);
    check(|g| g.iota(I64, [2, 2], 0), "i64[2,2]", &[0., 0., 1., 1.]);
}

#[test]
fn reductions_drop_or_keep_axes() {
    check(|g| counting(g, &[2, 3]).sum(), "f64[]", &[15.]);
    check(|g| counting(g, &[2, 3]).sum_axes(&[-1]), "f64[2]", &[3., 12.]);
    check(|g| counting(g, &[2, 3]).sum_keep(&[0]), "f64[1,3]", &[3., 5., 7.]);
    check(|g| counting(g, &[2, 3]).mean(), "f64[]", &[2.5]);
    check(|g| counting(g, &[2, 3]).mean_keep(&[1]), "f64[2,1]", &[1., 4.]);
    check(|g| counting(g, &[2, 3]).max_axes(&[0, -1]), "f64[]", &[5.]);
    check(|g| counting(g, &[2, 2]).product_keep(&[-1]), "f64[2,1]", &[0., 6.]);
    check(|g| counting(g, &[2, 3]).min(), "f64[]", &[0.]);
    check(|g| counting(g, &[2, 3]).gt(4.0).any_axes(&[1]), "bool[2]", &[0., 1.]);
    check(|g| counting(g, &[2, 3]).gt(2.0).all_keep(&[1]), "bool[2,1]", &[0., 1.]);
    check(|g| counting(g, &[2, 3]).argmax(-1), "i32[2]", &[2., 2.]);
    check(|g| counting(g, &[2, 3]).argmin(0), "i32[3]", &[0., 0., 0.]);
    let g = Graph::new();
    let (ty, mean) = evaluate(&g, counting(&g, &[0, 2]).mean_axes(&[0]));
    assert!(ty == "f64[2]" && mean.iter().all(|m| m.is_nan()), "the mean of nothing is NaN, got {mean:?}");
}

#[test]
fn products_are_numpys() {
    check(|g| counting(g, &[2, 2]).matmul(counting(g, &[2, 2])), "f64[2,2]", &[2., 3., 6., 11.]);
    check(|g| counting(g, &[3]).matmul(counting(g, &[3])), "f64[]", &[5.]);
    check(|g| counting(g, &[2, 3]).matmul(counting(g, &[3])), "f64[2]", &[5., 14.]);
    check(|g| counting(g, &[2]).matmul(counting(g, &[2, 2])), "f64[2]", &[2., 3.]);
    // Batches: numpy's `arange(8).reshape(2,2,2) @ …`.
    let eight = [2, 2, 2];
    check(|g| counting(g, &eight).matmul(counting(g, &[2, 1])), "f64[2,2,1]", &[1., 3., 5., 7.]);
    check(|g| counting(g, &[2]).matmul(counting(g, &eight)), "f64[2,2]", &[2., 3., 6., 7.]);
    check(|g| counting(g, &[1, 2]).matmul(counting(g, &eight)), "f64[2,1,2]", &[2., 3., 6., 7.]);
    check(|g| counting(g, &[1, 1, 2]).matmul(counting(g, &eight)), "f64[2,1,2]", &[2., 3., 6., 7.]);
    check(|g| counting(g, &[2, 3]).dot(counting(g, &[3])), "f64[2]", &[5., 14.]);
}

#[test]
fn elements_move_as_numpys() {
    let six = [2, 3];
    check(|g| counting(g, &six).t(), "f64[3,2]", &[0., 3., 1., 4., 2., 5.]);
    check(|g| counting(g, &[2, 1, 3]).transpose(&[2, 0, 1]).flatten(), "f64[3,2]", &[0., 3., 1., 4., 2., 5.]);
    check(|g| counting(g, &six).slice(-1, 1..3), "f64[2,2]", &[1., 2., 4., 5.]);
    check(|g| counting(g, &[5]).slice_step(0, 0..5, 2), "f64[3]", &[0., 2., 4.]);
    check(|g| counting(g, &[2]).pad(&[1], &[2], 9.0), "f64[5]", &[9., 0., 1., 9., 9.]);
    check(|g| counting(g, &six).reverse(&[-1]), "f64[2,3]", &[2., 1., 0., 5., 4., 3.]);
    check(|g| counting(g, &[1, 2]).concatenate(&[counting(g, &[1, 1])], -1), "f64[1,3]", &[0., 1., 0.]);
    check(|g| counting(g, &six).expand_dims(-1), "f64[2,3,1]", &[0., 1., 2., 3., 4., 5.]);
    check(|g| counting(g, &[1, 2]).expand_dims(0).squeeze(1), "f64[1,2]", &[0., 1.]);
    check(|g| counting(g, &six).pick(pair(g)), "f64[2]", &[2., 3.]);
    check(|g| counting(g, &[3, 2]).lookup(pair(g)), "f64[2,2]", &[4., 5., 0., 1.]);
    check(|g| counting(g, &six).gather(pair(g), 1), "f64[2,2]", &[2., 0., 5., 3.]);
    check(|g| pair(g).one_hot(3, F32), "f32[2,3]", &[0., 0., 1., 1., 0., 0.]);
}

/// The labels 2 and 0.
fn pair(g: &Graph) -> Value<'_> {
    g.tensor(&Tensor::from_slice([2], &[2i32, 0]).unwrap())
}

#[test]
fn mistakes_are_errors_at_this_file() {
    type Mistake = (fn(&Graph), &'static str);
    let cases: &[Mistake] = &[
        (|g| _ = g.input("a", F32, [usize::MAX, 2]), "input: the shape"),
        (|g| _ = g.input("a", F32, [1; 9]), "input: a shape of rank 9"),
        (
            |g| _ = g.input("a", F32, [2, 2]).lookup(pair(g)),
            "gather(f32[2,2], i32[2]): index 2 is out of range, expected 0 to 1",
        ),
        (|g| _ = g.input("a", I32, [3]) * 0.5, "0.5 is not a value of i32, which i32[3] holds"),
        (|g| _ = 300 - g.input("a", U8, [3]), "300 is not a value of u8"),
        (|g| _ = g.input("a", I32, [3]).mean(), "mean: expected floats, got i32[3]"),
        (|g| _ = g.input("a", F32, [3]).slice(1, 0..1), "slice: axis 1 is out of range for f32[3]"),
        (|g| _ = g.input("a", F32, [3]).slice(0, 2..5), "slice(f32[3])"),
        (|g| _ = g.input("a", F32, [3]).sum_axes(&[0, 0]), "sum(f32[3])"),
        (|g| _ = g.input("a", F32, [3]).argmax(-2), "argmax: axis -2 is out of range"),
        (|g| _ = g.input("a", F32, [3]).squeeze(0), "squeeze: axis 0 of f32[3] is not of extent 1"),
        (|g| _ = g.input("a", F32, [3]).expand_dims(5), "no place 5 for an axis in f32[3]"),
        (|g| _ = g.input("a", F32, [3]).one_hot(3, F32), "one_hot: expected integer labels, got f32[3]"),
        (|g| _ = g.input("a", F32, [3]).maxout(2, 0), "maxout: expected 1 to 1000 pieces, got 0"),
        (|g| _ = g.input("a", Bool, [3]).select(g.input("b", F32, [2]), 0.0), "do not broadcast"),
        (|g| g.freeze("encoder/"), "no parameter's name starts with `encoder/`"),
        (|g| g.output("y", other()), "a value of another graph"),
        (|g| _ = g.input("a", F32, []) + other(), "a value of another graph"),
    ];
    for (make, message) in cases {
        let g = Graph::new();
        make(&g);
        let error = g.finish().unwrap_err().to_string();
        assert!(
            error.contains("tests/values.rs:") && error.contains(message),
            "expected `{message}`: {error}"
        );
    }
}

/// A value of a graph that lives for ever.
fn other() -> Value<'static> {
    Box::leak(Box::new(Graph::new())).input("foreign", F32, [])
}

#[test]
fn binary_cross_entropy_is_exact_far_out_and_has_its_slope_at_zero() {
    let g = Graph::new();
    let x = g.tensor(&Tensor::from_slice([5], &[30.0f32, -30.0, 0.0, 1e4, -1e4]).unwrap());
    let t = g.tensor(&Tensor::from_slice([5], &[1.0f32, 0.0, 1.0, 0.0, 1.0]).unwrap());
    let loss = x.binary_cross_entropy(t);
    g.output("slope", g.grad(loss.sum(), &[x])[0]);
    let (_, values) = evaluate(&g, loss);
    let tiny = (-30f64).exp().ln_1p();
    for (got, expected) in values.iter().zip([tiny, tiny, 2f64.ln(), 1e4, 1e4]) {
        assert!((got - expected).abs() <= 1e-6 * expected, "{got}, expected {expected}");
    }
    let graph = g.finish().unwrap();
    let slopes = eval(&graph, &|_| None).unwrap().outputs["slope"].to_vec::<f32>().unwrap();
    for (got, expected) in slopes.iter().zip([-tiny as f32, tiny as f32, -0.5, 1.0, -1.0]) {
        assert!((got - expected).abs() <= 1e-6 * expected.abs(), "{got}, expected {expected}");
    }
}

#[test]
fn names_follow_scopes_and_starts_do_not_depend_on_order() {
    let build = |swap: bool| {
        let g = Graph::with_seed(3);
        let x = g.input("x", F32, [2, 4]);
        let (encode, decode) =
            (|| g.scope("encoder", || x.dense(3).dense(2)), || g.scope("decoder", || x.dense(5)));
        if swap {
            (decode(), encode())
        } else {
            (encode(), decode())
        };
        let mut starts = g.start_values();
        starts.sort_by(|a, b| a.0.cmp(&b.0));
        starts
    };
    let starts = build(false);
    assert_eq!(starts, build(true));
    let names: Vec<&str> = starts.iter().map(|s| s.0.as_str()).collect();
    assert_eq!(
        names,
        [
            "decoder/dense0/bias",
            "decoder/dense0/weight",
            "encoder/dense0/bias",
            "encoder/dense0/weight",
            "encoder/dense1/bias",
            "encoder/dense1/weight"
        ]
    );
}

#[test]
fn initialisers_have_their_spread() {
    let ty = Type::new(F64, [400, 100]);
    // Variance, and the bound of a uniform distribution: √3 standard deviations.
    for (init, variance, bounded) in [
        (Init::Uniform(0.01), 0.01f64.powi(2) / 3.0, true),
        (Init::Normal(0.3), 0.09, false),
        (Init::TruncatedNormal(0.3), 0.09 * 0.7737, false),
        (Init::GlorotUniform, 2.0 / 500.0, true),
        (Init::GlorotNormal, 2.0 / 500.0, false),
        (Init::HeUniform, 2.0 / 400.0, true),
        (Init::HeNormal, 2.0 / 400.0, false),
        (Init::LecunUniform, 1.0 / 400.0, true),
        (Init::LecunNormal, 1.0 / 400.0, false),
    ] {
        let values = init.tensor(ty, "w", 1).to_vec::<f64>().unwrap();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let got = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let greatest = values.iter().fold(0.0f64, |a, v| a.max(v.abs())) / variance.sqrt();
        assert!(mean.abs() < 4.0 * (variance / n).sqrt(), "{init:?}: mean {mean}");
        assert!((got / variance - 1.0).abs() < 0.03, "{init:?}: variance {got}, expected {variance}");
        assert_eq!(greatest <= 3f64.sqrt(), bounded, "{init:?}: the greatest is {greatest} deviations");
        assert_ne!(
            values,
            init.tensor(ty, "w", 2).to_vec::<f64>().unwrap(),
            "{init:?}: the seed does not matter"
        );
        assert_ne!(
            values,
            init.tensor(ty, "v", 1).to_vec::<f64>().unwrap(),
            "{init:?}: the name does not matter"
        );
    }
}

#[test]
fn truncated_normal_numbers_end_at_two_deviations() {
    let values =
        Init::TruncatedNormal(0.5).tensor(Type::new(F64, [300, 100]), "w", 1).to_vec::<f64>().unwrap();
    let greatest = values.iter().fold(0.0f64, |a, v| a.max(v.abs()));
    assert!((0.99..=1.0).contains(&greatest), "{greatest}");
}

#[test]
fn orthogonal_weights_keep_lengths() {
    for shape in [
        vec![5, 17],
        vec![17, 5],
        vec![70, 70],
        vec![100, 33],
        vec![8, 2, 3, 2],
        vec![1, 1],
        vec![7, 7],
        vec![0, 3],
        vec![4],
    ] {
        let ty = Type::new(F64, Shape::new(&shape).unwrap());
        let values = Init::Orthogonal(2.0).tensor(ty, "w", 3).to_vec::<f64>().unwrap();
        let (rows, columns) = (shape[0], values.len() / shape[0].max(1));
        let (short, long) = (rows.min(columns), rows.max(columns));
        let at = |v: usize, i: usize| {
            if rows <= columns { values[v * columns + i] } else { values[i * columns + v] }
        };
        for (a, b) in (0..short).flat_map(|a| (0..short).map(move |b| (a, b))) {
            let product: f64 = (0..long).map(|i| at(a, i) * at(b, i)).sum();
            let expected = if a == b { 4.0 } else { 0.0 };
            assert!((product - expected).abs() < 1e-13, "{shape:?}: {product} of {a} and {b}");
        }
    }
}

#[test]
fn fans_are_those_of_the_layer() {
    let spread = |g: &Graph| {
        let (_, start) = &g.start_values()[0];
        let values = start.to_vec::<f32>().unwrap();
        values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64
    };
    let g = Graph::new();
    g.input("x", F32, [1, 32, 8, 8]).conv2d(64, 3, Conv::new().init(Init::HeNormal).groups(2));
    assert!(
        (spread(&g) * 16.0 * 9.0 / 2.0 - 1.0).abs() < 0.05,
        "16 channels of 3×3 enter a feature: {}",
        spread(&g)
    );
    let g = Graph::new();
    g.input("x", F32, [1, 200]).dense_with(50, Init::HeNormal, false);
    assert!((spread(&g) * 100.0 - 1.0).abs() < 0.05);
}
