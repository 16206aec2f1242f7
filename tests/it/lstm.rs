//! A recurrent layer whose code does not depend on the number of steps.

use bespoke::nn::{F32, Graph, Value};
use bespoke_compiler::{Config, compile};
use bespoke_runtime::Executable;
use bespoke_tensor::Tensor;

const INPUTS: usize = 128;
const UNITS: usize = 256;

/// Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.
fn cell<'g>(h: Value<'g>, c: Value<'g>, x: Value<'g>, weights: [Value<'g>; 3]) -> (Value<'g>, Value<'g>) {
    let [wx, wh, b] = weights;
    let gates = x.matmul(wx) + h.matmul(wh) + b;
    let gate = |i: usize| gates.slice(1, i * UNITS..(i + 1) * UNITS);
    let (i, f, o) = (gate(0).sigmoid(), gate(1).sigmoid(), gate(3).sigmoid());
    let c = f * c + i * gate(2).tanh();
    (o * c.tanh(), c)
}

/// How the loop is written.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Scan,
    Checkpoints,
    Unrolled,
}

/// The gradient of the mean square of the last output with respect to weights and inputs.
fn step(steps: usize, form: Form) -> Executable {
    let g = Graph::new();
    let xs = g.input("xs", F32, [steps, 1, INPUTS]);
    let weight = |name: &str, rows: usize| g.input(name, F32, [rows, 4 * UNITS]);
    let weights = [weight("wx", INPUTS), weight("wh", UNITS), weight("b", 1)];
    let zero = g.full(F32, [1, UNITS], 0.0);
    let last = if form == Form::Unrolled {
        let mut carry = (zero, zero);
        for t in 0..steps {
            carry = cell(carry.0, carry.1, xs.slice(0, t..t + 1).reshape([1, INPUTS]), weights);
        }
        carry.0
    } else {
        let mut scan = g.scan(&[zero, zero], &[xs]);
        if form == Form::Checkpoints {
            scan = scan.checkpoints();
        }
        let done = scan.run(|carry, x| {
            let (h, c) = cell(carry[0], carry[1], x[0], weights);
            (vec![h, c], vec![])
        });
        done.carry[0]
    };
    let loss = (last * last).mean();
    g.output("loss", loss);
    let wrt = [weights[0], weights[1], weights[2], xs];
    for (i, d) in g.grad(loss, &wrt).into_iter().enumerate() {
        g.output(&format!("d{i}"), d);
    }
    let config = Config { threads: 1, ..Config::default() };
    compile(&g.finish().unwrap(), &config, &mut |_| ()).unwrap()
}

/// Loss and gradients at fixed weights.
fn run(mut executable: Executable) -> Vec<Tensor> {
    let program = executable.program();
    let inputs: Vec<(String, Tensor)> = program
        .inputs
        .iter()
        .enumerate()
        .map(|(n, (name, buffer))| {
            let value = |i: usize| (((i * 7 + n) as f64 * 0.61).sin() * 0.1) as f32;
            (name.clone(), Tensor::from_fn(program.buffers[*buffer].ty, |i| value(i).into()))
        })
        .collect();
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, t)| (name.as_str(), t)).collect();
    executable.run(&inputs).unwrap().iter().map(|o| o.1.clone()).collect()
}

#[test]
fn gradients_equal_those_of_the_unrolled_graph() {
    let expected = run(step(16, Form::Unrolled));
    for form in [Form::Scan, Form::Checkpoints] {
        for (got, expected) in run(step(16, form)).iter().zip(&expected) {
            assert_eq!(got.ty().elements(), expected.ty().elements());
            let size = expected.scalars().map(|s| s.to_f64().abs()).fold(0.0, f64::max);
            for i in 0..got.elements() {
                let (x, y) = (got.get(i).to_f64(), expected.get(i).to_f64());
                assert!((x - y).abs() <= 1e-5 * size, "{form:?}: {x} and {y} of at most {size}");
            }
        }
    }
}

#[test]
fn checkpoints_change_no_gradient() {
    let [plain, again] = [Form::Scan, Form::Checkpoints].map(|form| run(step(256, form)));
    assert_eq!(plain.len(), 5);
    for (plain, again) in plain.iter().zip(&again) {
        let size = plain.scalars().map(|s| s.to_f64().abs()).fold(0.0, f64::max);
        assert!(size > 0.0);
        for (x, y) in plain.scalars().zip(again.scalars()) {
            assert!((x.to_f64() - y.to_f64()).abs() <= 1e-5 * size, "{x} and {y} of at most {size}");
        }
    }
}

#[test]
fn code_does_not_grow_with_the_steps_and_checkpoints_save_memory() {
    let steps = [16, 256, 4096];
    for form in [Form::Scan, Form::Checkpoints] {
        let measured = steps.map(|steps| {
            let executable = step(steps, form);
            let module = &executable.code().module;
            let bytes: usize = module.ids().map(|id| module.bytes(id).len()).sum();
            let program = executable.program();
            (program.kernels(), bytes, program.arena_bytes)
        });
        println!("{form:?}: kernels, code bytes, arena bytes: {measured:?}");
        assert!(measured.iter().all(|m| (m.0, m.1) == (measured[0].0, measured[0].1)), "{measured:?}");
        // Memory that does not depend on the steps: the weights' gradients.
        let growth = |i: usize| (measured[i].2 - measured[0].2) as f64;
        let expected = if form == Form::Checkpoints {
            (64.0 - 4.0) / (16.0 - 4.0)
        } else {
            (4096.0 - 16.0) / (256.0 - 16.0)
        };
        let ratio = growth(2) / growth(1);
        assert!((ratio / expected - 1.0).abs() < 0.1, "{ratio} instead of {expected}: {measured:?}");
    }
}
