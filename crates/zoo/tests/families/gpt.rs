use bespoke_nn::{Graph, I32};
use bespoke_tensor::Tensor;
use bespoke_zoo::gpt::Gpt;

use crate::{integers, parameters, parameters_of, small, sound_and_learns};

/// A sequence of which the next token follows from the last two.
fn token(i: usize) -> usize {
    [1, 3, 0, 3, 2, 3][i % 6]
}

#[test]
fn it_learns() {
    let tokens = integers([4, 12], |i| token(i / 12 + i % 12));
    let targets = integers([4, 12], |i| token(i / 12 + i % 12 + 1));
    let inputs = [("tokens", &tokens), ("targets", &targets)];
    sound_and_learns("gpt", &small("gpt"), &inputs, &["tokens"], (150, 0.4));
}

#[test]
fn parameters_are_those_of_the_published_sizes() {
    let count = |model: Gpt| {
        parameters(|g| {
            g.input("tokens", I32, [1, model.context]).apply(&model);
        })
    };
    assert_eq!(count(Gpt::GPT2_SMALL), 124_439_808);
    let medium = Gpt { width: 1024, depth: 24, heads: 16, ..Gpt::GPT2_SMALL };
    assert_eq!(count(medium), 354_823_168);
    let head = 768 * 50257 + 50257;
    assert_eq!(count(Gpt { tied: false, ..Gpt::GPT2_SMALL }), 124_439_808 + head);
    // Norms, attention, hidden layer.
    let block = 4 * 256 + (4 * 256 * 256 + 4 * 256) + (8 * 256 * 256 + 5 * 256);
    assert_eq!(parameters_of("gpt"), 256 * 256 + 128 * 256 + 4 * block + 2 * 256 + 256 * 256 + 256);
}

const TINY: Gpt = Gpt { vocabulary: 7, context: 10, width: 16, depth: 2, heads: 2, tied: true, dropout: 0.5 };

/// The logits of ten tokens or fewer, as bits.
fn logits(model: &Gpt, tokens: &[i32]) -> Vec<u32> {
    let g = Graph::new();
    g.output("logits", g.input("tokens", I32, [1, tokens.len()]).apply(model));
    let tokens = Tensor::from_slice([1, tokens.len()], tokens).unwrap();
    let outputs = g.compile().unwrap().run(&[("tokens", &tokens)]).unwrap();
    outputs.get("logits").unwrap().view::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_future_is_not_seen() {
    for model in [TINY, Gpt { tied: false, ..TINY }] {
        let tokens = [3, 1, 4, 1, 5, 2, 6, 5, 3, 5];
        let whole = logits(&model, &tokens);
        for changed in 0..10 {
            let mut others = tokens;
            others[changed] = (others[changed] + 1) % 7;
            let found = logits(&model, &others);
            let before = changed * 7;
            assert_eq!(found[..before], whole[..before], "token {changed} is seen before it is there");
            for at in changed..10 {
                let row = at * 7..(at + 1) * 7;
                assert_ne!(found[row.clone()], whole[row], "token {changed} is not seen at {at}");
            }
        }
    }
}

#[test]
fn a_query_drops_nothing() {
    let g = Graph::new();
    let logits = g.input("tokens", I32, [1, 10]).apply(&TINY);
    assert!(g.finish().unwrap().to_string().contains("random"));
    assert!(!g.query_graph(&[("logits", logits)]).unwrap().to_string().contains("random"));
}

#[test]
fn parts_are_named() {
    let g = Graph::new();
    g.input("tokens", I32, [1, 4]).apply(&Gpt { tied: false, ..TINY });
    let names: Vec<String> = g.parameters().into_iter().map(|p| p.name).collect();
    for name in [
        "tokens/weight",
        "positions/weight",
        "block0/norm1/weight",
        "block0/attention/in_proj_weight",
        "block0/attention/out_proj/bias",
        "block1/norm2/bias",
        "block1/up/weight",
        "block1/down/bias",
        "norm/weight",
        "head/weight",
    ] {
        assert!(names.iter().any(|n| n == name), "{name} is none of {names:?}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let mistake = |model: &Gpt, length: usize| {
        let g = Graph::new();
        g.input("tokens", I32, [1, length]).apply(model);
        g.finish().unwrap_err().to_string()
    };
    let long = mistake(&TINY, 11);
    // At the line that calls the model.
    assert!(
        long.contains("families/gpt.rs:") && long.ends_with(": gpt: 11 tokens in a context of 10"),
        "{long}"
    );
    assert!(mistake(&Gpt { heads: 3, ..TINY }, 4).contains("3 heads do not divide a width of 16"));
}
