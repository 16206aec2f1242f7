//! How fast register tiles are, in release builds and on demand:
//! `cargo test --release -p bespoke-codegen --test speed -- --ignored --nocapture`.
#![allow(unsafe_code)] // calls machine code on panels of the tile's sizes

use std::time::Instant;

use bespoke_codegen::ModuleBuilder;
use bespoke_lower::{Access, Isa, Tile, TileCode, Vectors};
use bespoke_tensor::{DType, Tensor, Type};

/// Billions of operations a second on panels that stay in the nearest cache; the best of several runs.
fn speed(tile: Tile, k: usize) -> f64 {
    let mut builder = ModuleBuilder::new(Isa::detect());
    let step = tile.dtype.size() as i64;
    let panel = |width: usize| Access::Steps { line: step, term: width as i64 * step };
    let id = builder.add_tile(TileCode { tile, left: panel(tile.mr), right: panel(tile.nr) });
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
                unsafe {
                    let none = std::ptr::null();
                    code(a.as_ptr(), b.as_ptr(), k as i64, c.as_mut_ptr(), tile.nr as i64, none, none, 0);
                }
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
    let portable =
        [(4, 2), (5, 2), (6, 2), (3, 3), (2, 4), (8, 1)].map(|t| (Isa::Portable, Vectors::Portable, t));
    let narrow = [(6, 2), (5, 2), (4, 3), (12, 1)].map(|t| (Isa::Avx2, Vectors::Bytes(32), t));
    let wide = [(14, 2), (13, 2), (11, 2), (4, 2), (9, 3), (6, 4), (28, 1)]
        .map(|t| (Isa::Avx512, Vectors::Bytes(64), t));
    for (isa, vectors, (mr, columns)) in portable.into_iter().chain(narrow).chain(wide) {
        if isa > Isa::detect() {
            continue;
        }
        for dtype in [DType::F32, DType::F64] {
            let nr = columns * vectors.bytes() / dtype.size();
            let [short, long] = [16, 256].map(|k| speed(Tile { dtype, mr, nr, vectors }, k));
            println!("{isa} {dtype} {mr}x{nr}: {short:5.1} GFLOP/s at k = 16, {long:5.1} at k = 256");
        }
    }
}
