//! The contractive autoencoder (Rifai et al., *Contractive auto-encoders*, 2011): a loss with the derivative of the code in it,
//! whose gradient is a derivative of a derivative, against JAX (`tests/goldens/contractive.py`).

use std::collections::BTreeMap;

use bespoke::{
    prelude::{Config, DType, F32, F64, Graph, Init, Scalar, Shape, Tensor, Type, compile},
    tensor::npy::read_npz,
};

const EXAMPLES: usize = 8;
const PIXELS: usize = 784;
const CODE: usize = 256;

/// Integers from 0 to 1008, in no obvious order, mapped to an interval: the formula of the script.
fn formula(dtype: DType, shape: Shape, which: usize, low: f64, high: f64) -> Tensor {
    Tensor::from_fn(Type { dtype, shape }, |i| {
        let number = (i * (7919 + 2 * which) + 104_729 * which + i / 1009 * 31) % 1009;
        Scalar::F64(low + (high - low) * (number as f64 / 1009.0))
    })
}

fn check(dtype: DType, tolerance: f64) {
    let g = Graph::new();
    let x = g.input("x", dtype, [EXAMPLES, PIXELS]);
    let parameter = |name: &str, shape: &[usize]| g.parameter(name, dtype, shape, Init::Constant(0.0));
    let parameters = [
        ("encoder", parameter("encoder", &[PIXELS, CODE])),
        ("encoder_bias", parameter("encoder_bias", &[CODE])),
        ("decoder", parameter("decoder", &[CODE, PIXELS])),
        ("decoder_bias", parameter("decoder_bias", &[PIXELS])),
    ];
    let [w, b, v, c] = parameters.map(|p| p.1);
    let code = (x.matmul(w) + b).sigmoid();
    let y = (code.matmul(v) + c).sigmoid();
    let jacobians = g.batch_jacobian(code, x);
    let penalty = (jacobians * jacobians).sum() / EXAMPLES as f64;
    let loss = (x - y).pow(2.0).mean() + penalty * 0.1;
    g.output("loss", loss);
    g.output("penalty", penalty);
    for ((name, _), gradient) in parameters.iter().zip(g.grad(loss, &[w, b, v, c])) {
        g.output(name, gradient);
    }
    let graph = g.finish().unwrap();
    let mut program = compile(&graph, &Config::default(), &mut |_| ()).unwrap();
    for (which, (name, value)) in parameters.iter().enumerate() {
        let start = formula(dtype, value.ty().shape, which + 1, -0.1, 0.1);
        program.set_state(name, &start).unwrap();
    }
    let outputs = program.run(&[("x", &formula(dtype, x.ty().shape, 0, 0.0, 1.0))]).unwrap();

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/contractive.npz");
    let golden: BTreeMap<String, Tensor> = read_npz(path).unwrap().into_iter().collect();
    let numbers = |t: &Tensor| t.scalars().map(|s| s.to_f64()).collect::<Vec<f64>>();
    let close = |what: &str, got: f64, expected: f64, scale: f64| {
        let error = (got - expected).abs() / scale;
        assert!(error <= tolerance, "{dtype} {what}: expected {expected}, got {got}: {error:.1e}");
    };
    for name in ["loss", "penalty"] {
        let expected = golden[name].get(0).to_f64();
        close(name, outputs.get(name).unwrap().get(0).to_f64(), expected, expected);
    }
    for (name, _) in &parameters {
        let got = numbers(outputs.get(name).unwrap());
        let [norm, largest] =
            ["norm", "largest"].map(|what| golden[&format!("{name}_{what}")].get(0).to_f64());
        let sum: f64 = got.iter().map(|v| v * v).sum();
        close(&format!("norm of {name}"), sum.sqrt(), norm, norm);
        let sample = numbers(&golden[&format!("{name}_sample")]);
        let stride = (got.len() / 97).max(1);
        assert_eq!(sample.len(), 97);
        for (i, &expected) in sample.iter().enumerate() {
            close(&format!("{name}[{}]", i * stride), got[i * stride], expected, largest);
        }
    }
}

#[test]
fn gradients_equal_those_of_jax() {
    check(F32, 1e-5);
    check(F64, 1e-11);
}
