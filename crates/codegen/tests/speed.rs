//! How fast register tiles are, in release builds and on demand:
//! `cargo test --release -p bespoke-codegen --test speed -- --ignored --nocapture`.
#![allow(unsafe_code)] // calls machine code on panels of the tile's sizes

use std::time::Instant;

use bespoke_codegen::ModuleBuilder;
use bespoke_lower::Tile;
use bespoke_tensor::{DType, Tensor, Type};

/// Billions of operations a second on panels that stay in the nearest cache; the best of several runs.
fn speed(tile: Tile, k: usize) -> f64 {
    let mut builder = ModuleBuilder::new();
    let id = builder.add_tile(tile);
    let module = builder.finish(false).unwrap();
    let code = module.tile(id);
    let ones = |n| Tensor::from_fn(Type::new(tile.dtype, [n]), |_| bespoke_tensor::Scalar::I64(1));
    let (a, b, mut c) = (ones(k * tile.mr), ones(k * tile.nr), ones(tile.mr * tile.nr));
    let calls = 2_000;
    let best = (0..15)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                // SAFETY: the panels have k steps, and c has room for the tile.
                unsafe { code(a.as_ptr(), b.as_ptr(), k as i64, c.as_mut_ptr(), tile.nr as i64) };
            }
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    assert_eq!(c.get(0).to_f64(), k as f64);
    2.0 * (tile.mr * tile.nr * k * calls) as f64 / best / 1e9
}

#[test]
#[ignore = "measures"]
fn register_tiles() {
    let sizes = [
        (DType::F32, [(4, 8), (5, 8), (6, 8), (3, 12), (4, 12), (3, 16)]),
        (DType::F64, [(4, 4), (5, 4), (6, 4), (3, 6), (4, 6), (3, 8)]),
    ];
    for (dtype, sizes) in sizes {
        for (mr, nr) in sizes {
            let tile = Tile { dtype, mr, nr };
            let [short, long] = [16, 256].map(|k| speed(tile, k));
            let default = if tile == Tile::of(dtype) { "  (default)" } else { "" };
            println!("{dtype} {mr}x{nr}: {short:5.1} GFLOP/s at k = 16, {long:5.1} at k = 256{default}");
        }
    }
}
