//! Every f32 through the machine code of every elementary function. Minutes of work, so it runs on demand:
//! `cargo test --release -p bespoke-codegen --test exhaustive -- --ignored --nocapture`; its table is in `docs/math.md`.
//! `BESPOKE_FUNCTION=exp` runs one function.
#![allow(unsafe_code)] // calls machine code on tensors of the kernel's types

use std::sync::Mutex;

use bespoke_codegen::{KernelFn, ModuleBuilder};
use bespoke_loops::{Access, Buffer, Exprs, Kernel, LoopKind, Stmt, Store, math};
use bespoke_lower::Isa;
use bespoke_tensor::{DType, Tensor, Type};

/// Inputs of one call.
const CHUNK: usize = 1 << 16;

fn kernel(f: math::Builder) -> Kernel {
    let mut exprs = Exprs::new();
    let buffers =
        [Access::Read, Access::Write].map(|access| Buffer { dtype: DType::F32, elements: CHUNK, access });
    let ids = buffers.each_ref().map(|b| exprs.declare_buffer(b.dtype));
    let var = exprs.declare_var(CHUNK as i64);
    let index = exprs.var(var);
    let x = exprs.load(ids[0], index);
    let value = f(&mut exprs, x);
    let store = Store { buffer: ids[1], index, value };
    let body = Stmt::For { var, kind: LoopKind::Vector(8), body: vec![Stmt::Store(vec![store])] };
    Kernel { name: "exhaustive".to_owned(), buffers: buffers.to_vec(), accs: vec![], exprs, body }
}

/// The greatest distance in ULP over the chunks `first, first + step, …`, and its input.
fn worst(code: KernelFn, reference: fn(f64) -> f64, first: u64, step: u64) -> (f64, f32) {
    let ty = Type::new(DType::F32, [CHUNK]);
    let (mut x, mut y) = (Tensor::zeros(ty), Tensor::zeros(ty));
    let mut worst = (0.0, 0.0);
    for chunk in (first..(1 << 32) / CHUNK as u64).step_by(step as usize) {
        for (i, x) in x.view_mut::<f32>().unwrap().iter_mut().enumerate() {
            *x = f32::from_bits((chunk * CHUNK as u64) as u32 + i as u32);
        }
        let args = [x.as_mut_ptr(), y.as_mut_ptr()];
        // SAFETY: both tensors have the kernel's type.
        unsafe { code(args.as_ptr(), 0, CHUNK as i64) };
        for (&x, &y) in x.view::<f32>().unwrap().iter().zip(y.view::<f32>().unwrap()) {
            let ulp = math::ulp::ulp_f32(y, reference(f64::from(x)));
            if ulp > worst.0 {
                worst = (ulp, x);
            }
        }
    }
    worst
}

#[test]
#[ignore = "runs for minutes"]
fn every_f32() {
    let mut failures = vec![];
    println!("| function | greatest error, ULP | at |\n|---|---:|---|");
    let only = std::env::var("BESPOKE_FUNCTION").ok();
    for &(name, f, reference) in math::UNARY.iter().filter(|f| only.as_deref().is_none_or(|o| o == f.0)) {
        let kernel = kernel(f);
        let mut builder = ModuleBuilder::new(Isa::detect());
        let id = builder.add_kernel(&kernel);
        let module = builder.finish(false).unwrap();
        let code = module.kernel(id);
        let found = Mutex::new(vec![]);
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        std::thread::scope(|scope| {
            for t in 0..threads {
                let found = &found;
                scope.spawn(move || {
                    let result = worst(code, reference, t, threads);
                    found.lock().unwrap().push(result);
                });
            }
        });
        let (ulp, at) = found.into_inner().unwrap().into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("| {name} | {ulp:.3} | {at:e} ({:#010x}) |", at.to_bits());
        if ulp > 2.0 {
            failures.push(name);
        }
    }
    assert!(failures.is_empty(), "more than 2 ULP: {failures:?}");
}

/// Every f32 through the code of both translators: the same bits, but for which NaN it is.
#[test]
#[ignore = "runs for minutes"]
fn translators_agree() {
    let only = std::env::var("BESPOKE_FUNCTION").ok();
    for &(name, f, _) in math::UNARY.iter().filter(|f| only.as_deref().is_none_or(|o| o == f.0)) {
        let kernel = kernel(f);
        let modules = [Isa::Portable, Isa::Avx2, Isa::Avx512].map(|isa| {
            let mut builder = ModuleBuilder::new(isa.min(Isa::detect()));
            let id = builder.add_kernel(&kernel);
            (builder.finish(true).unwrap(), id)
        });
        let ty = Type::new(DType::F32, [CHUNK]);
        let mut x = Tensor::zeros(ty);
        for chunk in 0..(1 << 32) / CHUNK as u64 {
            for (i, x) in x.view_mut::<f32>().unwrap().iter_mut().enumerate() {
                *x = f32::from_bits((chunk * CHUNK as u64) as u32 + i as u32);
            }
            let [first, others @ ..] = modules.each_ref().map(|(module, id)| {
                let mut y = Tensor::zeros(ty);
                let args = [x.as_mut_ptr(), y.as_mut_ptr()];
                // SAFETY: both tensors have the kernel's type.
                unsafe { module.kernel(*id)(args.as_ptr(), 0, CHUNK as i64) };
                y
            });
            for other in others {
                let pairs = first.view::<f32>().unwrap().iter().zip(other.view::<f32>().unwrap());
                let differs =
                    |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
                assert_eq!(pairs.clone().position(differs), None, "{name}: chunk {chunk}");
            }
        }
        let wide = modules.iter().filter(|(module, id)| module.clif(*id).is_none()).count();
        println!("{name}: the same bits, {wide} of 3 assembled");
    }
}
