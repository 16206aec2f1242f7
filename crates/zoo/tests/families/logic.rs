use bespoke_nn::{F32, Graph, Value};
use bespoke_tensor::Tensor;
use bespoke_zoo::{
    Options,
    logic::{LogicUnit, exclusive_or},
};

use crate::{architecture, parameters_of, small, sound_and_learns, steps};

/// All points of two bits.
fn points() -> Tensor {
    Tensor::from_vec([4, 2], vec![0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]).unwrap()
}

/// The targets of all points.
const TABLES: [(&str, [f32; 4]); 6] = [
    ("and", [0.0, 0.0, 0.0, 1.0]),
    ("or", [0.0, 1.0, 1.0, 1.0]),
    ("nor", [1.0, 0.0, 0.0, 0.0]),
    ("nand", [1.0, 1.0, 1.0, 0.0]),
    ("implies", [1.0, 1.0, 0.0, 1.0]),
    ("first", [0.0, 0.0, 1.0, 1.0]),
];

const XOR: [f32; 4] = [0.0, 1.0, 1.0, 0.0];

fn targets(table: [f32; 4]) -> Tensor {
    Tensor::from_slice([4], &table).unwrap()
}

#[test]
fn units_by_hand_are_logic() {
    let made = |unit: &dyn Fn(Value<'_>, &Graph)| {
        let g = Graph::new();
        unit(g.input("x", F32, [4, 2]), &g);
        let outputs = g.compile().unwrap().run(&[("x", &points())]).unwrap();
        outputs.get("y").unwrap().to_vec::<f32>().unwrap()
    };
    for (unit, table) in
        [(LogicUnit::and(2), TABLES[0].1), (LogicUnit::or(2), TABLES[1].1), (LogicUnit::nor(2), TABLES[2].1)]
    {
        assert_eq!(made(&|x, g| g.output("y", x.apply(&unit))), table, "{unit:?}");
    }
    assert_eq!(made(&|x, g| g.output("y", exclusive_or(x))), XOR);
    // Three inputs: all of the eight points.
    let g = Graph::new();
    let x = g.input("x", F32, [8, 3]);
    for (name, unit) in [("and", LogicUnit::and(3)), ("or", LogicUnit::or(3)), ("nor", LogicUnit::nor(3))] {
        g.output(name, x.apply(&unit).sum());
    }
    let all = Tensor::from_vec([8, 3], (0..24).map(|i| ((i / 3) >> (i % 3) & 1) as f32).collect()).unwrap();
    let outputs = g.compile().unwrap().run(&[("x", &all)]).unwrap();
    let count = |name: &str| outputs.get(name).unwrap().get(0).to_f64();
    assert_eq!([count("and"), count("or"), count("nor")], [1.0, 7.0, 1.0]);

    let g = Graph::new();
    g.input("x", F32, [4, 3]).apply(&LogicUnit::and(2));
    let mistake = g.finish().unwrap_err().to_string();
    assert!(mistake.ends_with("logic unit: expected [rows,2], got f32[4,3]"), "{mistake}");
}

#[test]
fn the_rule_learns_what_a_line_can_tell_apart() {
    let x = points();
    for (name, table) in TABLES {
        let t = targets(table);
        let accuracy: Vec<f64> = steps("perceptron", &small("perceptron"), &[("x", &x), ("t", &t)], 60)
            .iter()
            .map(|s| s["accuracy"])
            .collect();
        assert_eq!(accuracy[59], 1.0, "{name}: {accuracy:?}");
    }
    let inputs = [("x", &x), ("t", &targets(TABLES[0].1))];
    let losses: Vec<f64> =
        steps("perceptron", &small("perceptron"), &inputs, 60).iter().map(|s| s["loss"]).collect();
    assert!(losses[0] > 0.0 && losses[59] == 0.0, "{losses:?}");
}

#[test]
fn steps_are_those_of_the_rule() {
    // One example at a time, η = 1: w ← w + (t − y)x.
    let one = Options { batch: 1, ..small("perceptron") };
    let model = architecture("perceptron").model_with(&one).unwrap();
    let mut states: std::collections::BTreeMap<String, Tensor> = model.start.iter().cloned().collect();
    let first = states["weight"].to_vec::<f32>().unwrap();
    let (mut w, mut b) = ([first[0], first[1]], states["bias"].get(0).to_f64() as f32);
    for step in 0..20 {
        let (x, t) = ([(step / 2 % 2) as f32, (step % 2) as f32], TABLES[0].1[step % 4]);
        let y = f32::from(u8::from(w[0] * x[0] + w[1] * x[1] + b >= 0.0));
        (0..2).for_each(|i| w[i] += (t - y) * x[i]);
        b += t - y;
        let value = |name: &str| match name {
            "x" => Some(Tensor::from_slice([1, 2], &x).unwrap()),
            "t" => Some(Tensor::from_slice([1], &[t]).unwrap()),
            name => states.get(name).cloned(),
        };
        states = bespoke_graph::eval(&model.training, &value).unwrap().states;
        assert_eq!(states["weight"].to_vec::<f32>().unwrap(), w, "step {step}");
        assert_eq!(states["bias"].get(0).to_f64() as f32, b, "step {step}");
    }
    assert_ne!(w, first[..]);
}

#[test]
fn exclusive_or_takes_two_layers() {
    let (x, t) = (points(), targets(XOR));
    let inputs = [("x", &x), ("t", &t)];
    let one = steps("perceptron", &small("perceptron"), &inputs, 300);
    assert!(one.iter().all(|s| s["accuracy"] <= 0.75), "a line told them apart");
    let two = steps("xor", &small("perceptron"), &inputs, 300);
    assert_eq!(two[299]["accuracy"], 1.0);
    sound_and_learns("xor", &small("perceptron"), &inputs, &["x"], (300, 0.1));
    assert_eq!(parameters_of("perceptron"), 3);
    assert_eq!(parameters_of("xor"), 3 * 4 + 5);
}
