//! Loops written with layers.

use bespoke_nn::{F32, Graph, Value};
use bespoke_tensor::{Tensor, Type};

const STEPS: usize = 7;

fn input(ty: Type) -> Tensor {
    Tensor::from_fn(ty, |i| ((i as f64 * 0.37).sin() as f32).into())
}

/// A loss of a recurrent net with parameters made inside of the body, and its gradients.
fn net(make: impl for<'g> Fn(&'g Graph, Value<'g>) -> Vec<Value<'g>>) -> Vec<Tensor> {
    let g = Graph::with_seed(3);
    let xs = g.input("xs", F32, [STEPS, 2, 3]);
    for (i, value) in make(&g, xs).into_iter().enumerate() {
        g.output(&format!("y{i}"), value);
    }
    let mut query = g.compile().unwrap();
    let outputs = query.run(&[("xs", &input(xs.ty()))]).unwrap();
    let values: Vec<Tensor> = outputs.iter().map(|o| o.1.clone()).collect();
    values
}

fn cell<'g>(h: Value<'g>, x: Value<'g>, weights: [Value<'g>; 2]) -> Value<'g> {
    (x.matmul(weights[0]) + h.matmul(weights[1])).tanh()
}

fn weights(g: &Graph) -> [Value<'_>; 2] {
    let weight = |name: &str, rows: usize| g.parameter(name, F32, [rows, 4], bespoke_nn::Init::GlorotUniform);
    [weight("wx", 3), weight("wh", 4)]
}

fn with_gradients<'g>(g: &'g Graph, out: Value<'g>, wrt: &[Value<'g>]) -> Vec<Value<'g>> {
    let loss = (out * out).sum();
    [vec![out], g.grad(loss, wrt)].concat()
}

fn unrolled<'g>(g: &'g Graph, xs: Value<'g>) -> Vec<Value<'g>> {
    let w = weights(g);
    let mut h = g.full(F32, [2, 4], 0.0);
    let mut sum = g.full(F32, [2, 4], 0.0);
    for t in 0..STEPS {
        h = cell(h, xs.slice(0, t..t + 1).reshape([2, 3]), w);
        sum = sum + h;
    }
    with_gradients(g, sum, &[w[0], w[1], xs])
}

#[test]
fn loops_equal_unrolled_graphs() {
    let expected = net(unrolled);
    let looped = |segment: Option<usize>, checkpoints: bool| {
        net(|g, xs| {
            let w = weights(g);
            let start = g.full(F32, [2, 4], 0.0);
            let mut scan = g.scan(&[start], &[xs]);
            scan = segment.map_or(scan.clone(), |s| scan.segments(s));
            scan = if checkpoints { scan.checkpoints() } else { scan };
            let done = scan.run(|h, x| {
                let next = cell(h[0], x[0], w);
                (vec![next], vec![next])
            });
            with_gradients(g, done.steps[0].sum_axes(&[0]), &[w[0], w[1], xs])
        })
    };
    let cases = [
        (None, false),
        (None, true),
        (Some(1), false),
        (Some(3), false),
        (Some(7), false),
        (Some(100), false),
    ];
    for (segment, checkpoints) in cases {
        let got = looped(segment, checkpoints);
        for (a, b) in got.iter().zip(&expected) {
            assert_eq!(a.ty(), b.ty());
            for i in 0..a.elements() {
                let (a, b) = (a.get(i).to_f64(), b.get(i).to_f64());
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{segment:?} {checkpoints}: {a} and {b}");
            }
        }
    }
}

#[test]
fn layers_inside_of_a_body_have_parameters_outside() {
    let g = Graph::new();
    let xs = g.input("xs", F32, [STEPS, 2, 4]);
    let start = g.full(F32, [2, 4], 0.0);
    let done = g.scan(&[start], &[xs]).reverse().run(|h, x| {
        let next = g.scope("cell", || (x[0] + h[0].dense(4)).tanh());
        (vec![next], vec![])
    });
    g.output("last", done.carry[0].dense(1));
    let names: Vec<String> = g.parameters().into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["cell/dense0/weight", "cell/dense0/bias", "dense0/weight", "dense0/bias"]);
    assert!(g.compile().is_ok());
}

fn message(build: impl Fn(&Graph, Value<'_>)) -> String {
    let g = Graph::new();
    let xs = g.input("xs", F32, [STEPS, 2]);
    build(&g, xs);
    g.finish().unwrap_err().to_string()
}

#[test]
fn mistakes_are_told() {
    let has = |text: &str, build: &dyn Fn(&Graph, Value<'_>)| {
        let message = message(build);
        assert!(message.contains(text) && message.contains("tests/scan.rs"), "{message}");
    };
    has("nothing says how many steps", &|g, _| _ = g.scan(&[], &[]).run(|_, _| (vec![], vec![])));
    has("1 values are carried, the body returns 0", &|g, xs| {
        let done = g.scan(&[xs], &[xs]).run(|_, _| (vec![], vec![]));
        g.output("y", done.carry[0]);
    });
    has("carried value 0 is f32[7,2], its next value f32[2]", &|g, xs| {
        _ = g.scan(&[xs], &[xs]).run(|_, x| (vec![x[0]], vec![]));
    });
    has("expected 7 steps, got f32[3]", &|g, xs| {
        let other = g.full(F32, [3], 0.0);
        _ = g.scan(&[], &[xs, other]).run(|_, x| (vec![], vec![x[1]]));
    });
    has("expected a first axis of steps, got f32[]", &|g, _| {
        let scalar = g.constant(1.0f32);
        _ = g.scan(&[], &[scalar]).run(|_, x| (vec![], vec![x[0]]));
    });
    has("a value of a body is used outside of it", &|g, xs| {
        let mut leaked = None;
        _ = g.scan(&[], &[xs]).run(|_, x| {
            leaked = Some(x[0]);
            (vec![], vec![x[0]])
        });
        g.output("y", leaked.unwrap() * 2.0);
    });
    has("a state does not change inside of a body", &|g, xs| {
        let counter = g.state("counter", &Tensor::scalar(0.0f32));
        _ = g.scan(&[], &[xs]).run(|_, x| {
            g.set_next(counter, x[0].sum());
            (vec![], vec![x[0]])
        });
    });
    // Layers with states that advance, of random numbers or running statistics.
    has("a state does not change inside of a body", &|g, xs| {
        _ = g.scan(&[], &[xs]).run(|_, x| (vec![], vec![x[0].dropout(0.5)]));
    });
    has("a state does not change inside of a body", &|g, xs| {
        _ = g.scan(&[], &[xs]).run(|_, x| (vec![], vec![x[0].dropout_classic(0.5)]));
    });
    has("a state does not change inside of a body", &|g, xs| {
        let norm = bespoke_nn::Norm::new();
        _ = g.scan(&[], &[xs]).run(|_, x| (vec![], vec![x[0].expand_dims(0).batch_norm(norm)]));
    });
    has("dropout: expected a probability of 0 to 1, got 2", &|g, xs| {
        _ = g.scan(&[], &[xs]).run(|_, x| (vec![], vec![x[0].dropout(2.0)]));
    });
    has("batch_norm: expected [N,C,…], got f32[2]", &|g, xs| {
        _ = g.scan(&[], &[xs]).run(|_, x| (vec![], vec![x[0].batch_norm(bespoke_nn::Norm::new())]));
    });
    has("matmul", &|g, xs| {
        _ = g.scan(&[], &[xs]).run(|_, x| (vec![], vec![x[0].matmul(xs)]));
    });
}
