use bespoke_nn::{F32, Graph};
use bespoke_zoo::vit::Vit;

use crate::{integers, parameters, parameters_of, small, sound_and_learns, waves};

#[test]
fn it_learns() {
    let image = waves([12, 2, 8, 8], 8);
    let label = integers([12], |row| row * 5 % 3);
    sound_and_learns("vit", &small("vit"), &[("image", &image), ("label", &label)], &["image"], (60, 0.5));
}

#[test]
fn parameters_are_those_of_the_published_sizes() {
    let count = |model: Vit| {
        parameters(|g| {
            g.input("image", F32, [1, 3, 224, 224]).apply(&model);
        })
    };
    // torchvision's vit_b_16, vit_b_32 and vit_l_16.
    assert_eq!(count(Vit::B16), 86_567_656);
    assert_eq!(count(Vit { patch: 32, ..Vit::B16 }), 88_224_232);
    assert_eq!(count(Vit { width: 1024, depth: 24, heads: 16, hidden: 4096, ..Vit::B16 }), 304_326_632);
    let block = 4 * 64 + (4 * 64 * 64 + 4 * 64) + (8 * 64 * 64 + 5 * 64);
    assert_eq!(parameters_of("vit"), 17 * 64 + 64 + 50 * 64 + 4 * block + 2 * 64 + 65 * 10);
}

const TINY: Vit = Vit { patch: 2, width: 8, depth: 1, heads: 2, hidden: 16, dropout: 0.3, classes: 3 };

#[test]
fn every_patch_is_seen_and_a_query_drops_nothing() {
    let g = Graph::new();
    let image = g.input("image", F32, [1, 1, 6, 4]);
    let logits = image.apply(&TINY);
    g.output("slope", g.grad(logits.slice(1, 0..1).sum(), &[image])[0]);
    assert!(g.finish().unwrap().to_string().contains("random"));
    assert!(!g.query_graph(&[("logits", logits)]).unwrap().to_string().contains("random"));
    let outputs = g.compile().unwrap().run(&[("image", &waves([1, 1, 6, 4], 4))]).unwrap();
    let slopes = outputs.get("slope").unwrap().to_vec::<f32>().unwrap();
    assert!(slopes.iter().all(|&s| s != 0.0), "{slopes:?}");
}

#[test]
fn parts_are_named() {
    let g = Graph::new();
    let image = g.input("image", F32, [1, 1, 4, 4]);
    image.apply(&Vit { width: 4, depth: 0, dropout: 0.0, ..TINY });
    let names: Vec<String> = g.parameters().into_iter().map(|p| format!("{} {}", p.name, p.ty)).collect();
    assert_eq!(
        names,
        [
            "patches/weight f32[4,1,2,2]",
            "patches/bias f32[4]",
            "class_token f32[1,1,4]",
            "positions/weight f32[5,4]",
            "norm/weight f32[4]",
            "norm/bias f32[4]",
            "head/weight f32[4,3]",
            "head/bias f32[3]",
        ]
    );
}

#[test]
fn sizes_that_patches_do_not_tile_are_told() {
    let g = Graph::new();
    g.input("image", F32, [1, 1, 7, 8]).apply(&TINY);
    let mistake = g.finish().unwrap_err().to_string();
    assert!(mistake.ends_with("vit: patches of 2 do not tile f32[1,1,7,8]"), "{mistake}");
}
