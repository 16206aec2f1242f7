//! Dropout in training and in queries.

use bespoke_nn::{F32, Graph, Init, Query, Value};
use bespoke_tensor::Tensor;

type Drop = for<'g> fn(Value<'g>) -> Value<'g>;

/// A program that drops parts of ones `[40,50]` and gives the slopes by them; a training step has a parameter to learn.
fn program(drop: Drop, training: bool) -> Query {
    let g = Graph::new();
    let x = g.input("x", F32, [40, 50]);
    let y = drop(x);
    g.output("y", y);
    g.output("slopes", g.grad(y.sum(), &[x])[0]);
    if training {
        let scale = g.parameter("scale", F32, [], Init::Constant(1.0));
        g.set_next(scale, scale * 0.5);
    }
    g.compile().unwrap()
}

fn run(program: &mut Query) -> [Vec<f32>; 2] {
    let outputs = program.run(&[("x", &Tensor::full([40, 50], 1.0f32))]).unwrap();
    ["y", "slopes"].map(|name| outputs.get(name).unwrap().to_vec::<f32>().unwrap())
}

#[test]
fn training_drops_the_same_in_both_passes_and_something_else_each_time() {
    // The function, what is kept, and what it is then.
    let cases: [(Drop, f32, f32); 4] = [
        (|x| x.dropout(0.5), 0.5, 2.0),
        (|x| x.dropout(0.2), 0.8, 1.25),
        (|x| x.dropout_classic(0.2), 0.8, 1.0),
        (|x| x.drop_path(0.5), 0.5, 2.0),
    ];
    for (drop, kept, value) in cases {
        let mut program = program(drop, true);
        let [first, slopes] = run(&mut program);
        assert!(first.iter().all(|&y| y == 0.0 || y == value), "{first:?}");
        assert_eq!(first, slopes, "of ones, values are slopes");
        assert_ne!(run(&mut program)[0], first, "drawn anew");
        let mean =
            (0..20).map(|_| run(&mut program)[0].iter().sum::<f32>()).sum::<f32>() / (20.0 * 2000.0 * value);
        assert!((mean - kept).abs() < 0.05, "{mean} are kept, expected {kept}");
    }
}

#[test]
fn whole_examples_leave_a_path() {
    let [y, _] = run(&mut program(|x| x.drop_path(0.5), true));
    assert!(y.chunks(50).all(|row| row.iter().all(|&v| v == row[0])));
    assert!(y.contains(&0.0) && y.contains(&2.0));
}

#[test]
fn queries_keep_all() {
    let cases: [(Drop, f32); 3] =
        [(|x| x.dropout(0.5), 1.0), (|x| x.drop_path(0.5), 1.0), (|x| x.dropout_classic(0.2), 0.8)];
    for (drop, value) in cases {
        let mut program = program(drop, false);
        assert_eq!(run(&mut program), [vec![value; 2000], vec![value; 2000]]);
        let g = Graph::new();
        g.output("y", drop(g.input("x", F32, [40, 50])));
        let text = g.compile().unwrap().executable().program().to_string();
        assert!(!text.contains("random") && !text.contains("mulhigh"), "{text}");
    }
}

#[test]
fn all_or_nothing_may_be_dropped() {
    let cases: [(Drop, f32); 4] = [
        (|x| x.dropout(0.0), 1.0),
        (|x| x.dropout(1.0), 0.0),
        (|x| x.dropout_classic(1.0), 0.0),
        (|x| x.drop_path(1.0), 0.0),
    ];
    for (drop, value) in cases {
        assert_eq!(run(&mut program(drop, true)), [vec![value; 2000], vec![value; 2000]]);
    }
}

#[test]
fn what_layers_drop_inside_is_kept_in_queries() {
    let model = |probability: f64| {
        let g = Graph::new();
        let x = g.input("x", F32, [5, 2, 4]);
        let (y, _) = x.rnn(3, bespoke_nn::Recurrent::new().layers(2).dropout(probability));
        g.output(
            "y",
            y.scaled_dot_product_attention(y, y, bespoke_nn::Attention::new().dropout(probability)),
        );
        let outputs = g.compile().unwrap().run(&[("x", &Tensor::full([5, 2, 4], 0.5f32))]).unwrap();
        outputs.get("y").unwrap().to_vec::<f32>().unwrap()
    };
    assert_eq!(model(0.0), model(0.9));
}
