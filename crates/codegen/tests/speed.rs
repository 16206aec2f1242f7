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

/// How long the code of a chain of elementary functions takes to make and to run, and how long it is.
#[test]
#[ignore = "measures"]
fn chains() {
    use bespoke_loops::{Access as Use, BinaryFn, Buffer, Exprs, Kernel, LoopKind, Stmt, Store, math};
    const N: usize = 4096;
    let mut exprs = Exprs::new();
    let buffers =
        [Use::Read, Use::Write].map(|access| Buffer { dtype: DType::F32, elements: N, access }).to_vec();
    let ids: Vec<_> = buffers.iter().map(|b| exprs.declare_buffer(b.dtype)).collect();
    let var = exprs.declare_var(N as i64);
    let index = exprs.var(var);
    let x = exprs.load(ids[0], index);
    let (left, right) = (math::tanh(&mut exprs, x), math::sigmoid(&mut exprs, x));
    let value = exprs.binary(BinaryFn::Mul, left, right);
    let body = vec![Stmt::Store(vec![Store { buffer: ids[1], index, value }])];
    let body = Stmt::For { var, kind: LoopKind::Vector(4), body };
    let kernel = Kernel { name: "chain".to_owned(), buffers, accs: vec![], exprs, body };
    for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| isa <= Isa::detect()) {
        let compile = || {
            let start = Instant::now();
            let mut builder = ModuleBuilder::new(isa);
            let id = builder.add_kernel(&kernel);
            let module = builder.finish(false).unwrap();
            (start.elapsed().as_secs_f64(), module, id)
        };
        let compile_time = (0..50).map(|_| compile().0).fold(f64::INFINITY, f64::min);
        let (_, module, id) = compile();
        let mut tensors = [0, 1].map(|_| Tensor::full([N], bespoke_tensor::Scalar::F32(0.5)));
        let args = tensors.each_mut().map(Tensor::as_mut_ptr);
        let run = || {
            let start = Instant::now();
            // SAFETY: both tensors have the kernel's type.
            unsafe { module.kernel(id)(args.as_ptr(), 0, N as i64) };
            start.elapsed().as_secs_f64()
        };
        let least = (0..2000).map(|_| run()).fold(f64::INFINITY, f64::min);
        println!(
            "{isa}: compiled in {:.0} us, {} bytes, {:.2} ns an element",
            compile_time * 1e6,
            module.code_bytes(),
            least * 1e9 / N as f64
        );
    }
}
