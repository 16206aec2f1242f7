//! Machine code gives the bits that the interpreter gives: every function on every type it takes, at all special values,
//! in vectors and in what is left over, however the range is split.
#![allow(unsafe_code)] // calls machine code on tensors of the kernel's types

use bespoke_codegen::{FunctionId, Module, ModuleBuilder, RANGE_ALIGNMENT};
use bespoke_loops::{
    Acc, Access, BinaryFn, Buffer, Combine, Expr, ExprId, Exprs, Kernel, LoopKind, Stmt, Store, UnaryFn,
    interpret, math, verify,
};
use bespoke_lower::Isa;
use bespoke_tensor::{DType, Scalar, Tensor, Type};

const SIZES: [usize; 9] = [0, 1, 3, 4, 5, 7, 17, 64, 131];

/// Values that are likely to go wrong, then noise.
fn values(dtype: DType, n: usize, salt: u64) -> Tensor {
    let special: Vec<f64> = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.5,
        -2.5,
        0.5,
        -0.5,
        1.5,
        3.0,
        7.0,
        255.0,
        256.0,
        -128.0,
        2147483647.0,
        2147483648.0,
        -2147483648.0,
        -2147483649.0,
        4294967295.0,
        4294967296.0,
        9.2e18,
        -9.3e18,
        1e-40,
        -1e-40,
        5e-324,
        1e30,
        -1e30,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MAX,
        f64::MIN_POSITIVE,
        16777217.0,
        0.1,
        -88.5,
        104.0,
    ];
    Tensor::from_fn(Type::new(dtype, [n]), |i| {
        let mut h =
            (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        h ^= h >> 29;
        h = h.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h ^= h >> 32;
        let limits = [i64::MIN, i64::MAX, -1, 0, 1, i64::from(i32::MIN), i64::from(i32::MAX), 31, 32, 33];
        match dtype {
            DType::Bool => Scalar::Bool(h & 1 == 1),
            _ if dtype.is_float() && h.is_multiple_of(3) => {
                Scalar::from_f64(dtype, special[(h >> 8) as usize % special.len()])
            }
            _ if dtype.is_float() => Scalar::from_f64(dtype, (h % 2000) as f64 / 100.0 - 10.0),
            _ if h.is_multiple_of(3) => Scalar::I64(limits[(h >> 8) as usize % limits.len()]).convert(dtype),
            _ => Scalar::I64((h % 41) as i64 - 20).convert(dtype),
        }
    })
}

/// A kernel `out[i] = f(inputs[i]…)` over one loop of this kind; the last buffer is the result.
fn elementwise(
    types: &[DType],
    out: DType,
    n: usize,
    kind: LoopKind,
    f: &dyn Fn(&mut Exprs, &[ExprId]) -> ExprId,
) -> Kernel {
    let mut exprs = Exprs::new();
    let mut buffers: Vec<Buffer> =
        types.iter().map(|&dtype| Buffer { dtype, elements: n, access: Access::Read }).collect();
    buffers.push(Buffer { dtype: out, elements: n, access: Access::Write });
    let ids: Vec<_> = buffers.iter().map(|b| exprs.declare_buffer(b.dtype)).collect();
    let var = exprs.declare_var(n as i64);
    // Also of extent 1: the loop is there.
    let i = exprs.add(Expr::Var(var));
    let x: Vec<ExprId> = ids[..types.len()].iter().map(|&b| exprs.load(b, i)).collect();
    let value = f(&mut exprs, &x);
    let store = Store { buffer: ids[types.len()], index: i, value };
    let body = Stmt::For { var, kind, body: vec![Stmt::Store(vec![store])] };
    Kernel { name: "test".to_owned(), buffers, accs: vec![], exprs, body }
}

/// Runs machine code and interpreter on the same buffers and compares all bits (of NaN only that it is one), with each kind of
/// instructions that the machine has.
fn check(kernel: &Kernel, buffers: &[Tensor], exact: bool) {
    assert_eq!(verify(kernel), Vec::<String>::new(), "{kernel}");
    for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| isa <= Isa::detect()) {
        check_with(isa, kernel, buffers, exact);
    }
}

fn compile(isa: Isa, kernel: &Kernel) -> (Module, FunctionId) {
    let mut builder = ModuleBuilder::new(isa);
    let id = builder.add_kernel(kernel);
    (builder.finish(true).unwrap_or_else(|e| panic!("{e}\n{kernel}")), id)
}

fn check_with(isa: Isa, kernel: &Kernel, buffers: &[Tensor], exact: bool) {
    let (module, id) = compile(isa, kernel);
    let mut expected = buffers.to_vec();
    interpret(kernel, &mut expected, 0..kernel.range()).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    for cut in [0, RANGE_ALIGNMENT] {
        let mut got: Vec<Tensor> = buffers.iter().map(|b| Tensor::from_fn(b.ty(), |i| b.get(i))).collect();
        let args: Vec<*mut u8> = got.iter_mut().map(Tensor::as_mut_ptr).collect();
        let cut = cut.min(kernel.range());
        for (begin, end) in [(0, cut), (cut, kernel.range())] {
            if begin < end {
                // SAFETY: the buffers have the kernel's types and sizes.
                unsafe { module.kernel(id)(args.as_ptr(), begin, end) };
            }
        }
        for (b, (got, expected)) in got.iter().zip(&expected).enumerate() {
            for i in 0..got.elements() {
                let (x, y) = (got.get(i), expected.get(i));
                let nan = x.to_f64().is_nan() && y.to_f64().is_nan();
                let near = !exact && (x.to_f64() - y.to_f64()).abs() <= 1e-5 * (1.0 + y.to_f64().abs());
                assert!(
                    x == y || nan || near,
                    "b{b}[{i}]: {isa} machine code gives {x}, the interpreter {y}\n{kernel}\n{}",
                    module.clif(id).map_or_else(|| module.asm(id), str::to_owned)
                );
            }
        }
    }
}

fn kinds() -> [LoopKind; 4] {
    [LoopKind::Serial, LoopKind::Vector(4), LoopKind::Vector(8), LoopKind::Vector(16)]
}

fn run(types: &[DType], out: DType, f: &dyn Fn(&mut Exprs, &[ExprId]) -> ExprId) {
    for n in SIZES {
        for kind in kinds() {
            let kernel = elementwise(types, out, n, kind, f);
            let mut buffers: Vec<Tensor> =
                types.iter().enumerate().map(|(i, &d)| values(d, n, i as u64)).collect();
            buffers.push(Tensor::zeros(Type::new(out, [n])));
            check(&kernel, &buffers, true);
        }
    }
}

#[test]
fn unary_functions() {
    for &f in UnaryFn::ALL {
        for d in DType::ALL {
            let takes = match f {
                UnaryFn::Neg | UnaryFn::Abs => d != DType::Bool,
                UnaryFn::Not => !d.is_float(),
                _ => d.is_float(),
            };
            if takes {
                run(&[d], d, &|e, x| e.unary(f, x[0]));
            }
        }
    }
}

#[test]
fn binary_functions() {
    for &f in BinaryFn::ALL {
        for d in DType::ALL {
            let takes = match f {
                BinaryFn::And | BinaryFn::Or | BinaryFn::Xor => !d.is_float(),
                BinaryFn::Shl | BinaryFn::Shr => d.is_int(),
                BinaryFn::MulHigh => d == DType::U32,
                _ => d != DType::Bool,
            };
            if takes {
                let out = if f.is_comparison() { DType::Bool } else { d };
                run(&[d, d], out, &|e, x| e.binary(f, x[0], x[1]));
                // A literal operand takes shorter forms.
                run(&[d], out, &|e, x| {
                    let c = e.constant(d, 3.0);
                    e.binary(f, x[0], c)
                });
            }
        }
    }
}

#[test]
fn selections_and_fused_products() {
    for d in DType::ALL {
        run(&[DType::Bool, d, d], d, &|e, x| e.select(x[0], x[1], x[2]));
    }
    for d in [DType::F32, DType::F64] {
        run(&[d, d, d], d, &|e, x| e.mul_add(x[0], x[1], x[2]));
    }
}

#[test]
fn conversions() {
    for from in DType::ALL {
        for to in DType::ALL {
            run(&[from], to, &|e, x| e.convert(to, x[0]));
            if from.size() == to.size() && from != DType::Bool && to != DType::Bool {
                run(&[from], to, &|e, x| e.bitcast(to, x[0]));
            }
        }
    }
}

#[test]
fn elementary_functions() {
    for (_, f, _) in math::UNARY {
        for d in [DType::F32, DType::F64] {
            let n = 131;
            for kind in kinds() {
                let kernel = elementwise(&[d], d, n, kind, &|e, x| f(e, x[0]));
                check(&kernel, &[values(d, n, 5), Tensor::zeros(Type::new(d, [n]))], true);
            }
        }
    }
    for f in [math::pow, math::atan2] {
        for d in [DType::F32, DType::F64] {
            let n = 131;
            for kind in kinds() {
                let kernel = elementwise(&[d, d], d, n, kind, &|e, x| f(e, x[0], x[1]));
                check(&kernel, &[values(d, n, 5), values(d, n, 6), Tensor::zeros(Type::new(d, [n]))], true);
            }
        }
    }
}

/// Loads and stores with all kinds of steps, in an inner loop.
#[test]
fn strides() {
    for d in DType::ALL {
        for n in [1usize, 3, 4, 7, 18] {
            for kind in kinds() {
                for case in 0..5 {
                    let rows = 3;
                    let mut exprs = Exprs::new();
                    let buffers = [Access::Read, Access::Write]
                        .map(|access| Buffer { dtype: d, elements: rows * n, access })
                        .to_vec();
                    let ids: Vec<_> = buffers.iter().map(|b| exprs.declare_buffer(b.dtype)).collect();
                    let (r, c) = (exprs.declare_var(rows as i64), exprs.declare_var(n as i64));
                    let (ri, ci) = (exprs.add(Expr::Var(r)), exprs.add(Expr::Var(c)));
                    let e = &mut exprs;
                    let row = e.index_mul(ri, n as i64);
                    let straight = e.index_add(row, ci);
                    let column = e.index_mul(ci, rows as i64);
                    let across = e.index_add(column, ri);
                    let (last, back) = (e.index_const(n as i64 - 1), e.index_mul(ci, -1));
                    let back = e.index_add(last, back);
                    let backwards = e.index_add(row, back);
                    let halved = e.index_div(ci, 2);
                    let halved = e.index_add(row, halved);
                    let (from, to) = match case {
                        0 => (straight, across),
                        1 => (across, straight),
                        2 => (backwards, straight),
                        3 => (halved, straight),
                        _ => (row, backwards),
                    };
                    let value = exprs.load(ids[0], from);
                    let inner = Stmt::For {
                        var: c,
                        kind,
                        body: vec![Stmt::Store(vec![Store { buffer: ids[1], index: to, value }])],
                    };
                    let body = Stmt::For { var: r, kind: LoopKind::Serial, body: vec![inner] };
                    let kernel = Kernel { name: "strides".to_owned(), buffers, accs: vec![], exprs, body };
                    check(&kernel, &[values(d, rows * n, 3), Tensor::zeros(Type::new(d, [rows * n]))], true);
                }
            }
        }
    }
}

/// Reductions along rows (vectors combine) and down columns (vectors of accumulators), all of them in place of what the
/// result held before.
#[test]
fn reductions() {
    for d in DType::ALL {
        let combines: &[Combine] = match d {
            DType::Bool => &[Combine::Any, Combine::All],
            _ => &[Combine::Sum, Combine::Product, Combine::Max, Combine::Min],
        };
        for &combine in combines {
            for (rows, columns) in [(1usize, 1usize), (2, 3), (3, 4), (5, 17), (4, 64), (18, 5)] {
                for kind in kinds() {
                    for along_rows in [true, false] {
                        let mut exprs = Exprs::new();
                        let out = if along_rows { rows } else { columns };
                        let buffers = vec![
                            Buffer { dtype: d, elements: rows * columns, access: Access::Read },
                            Buffer { dtype: d, elements: out, access: Access::ReadWrite },
                        ];
                        let ids: Vec<_> = buffers.iter().map(|b| exprs.declare_buffer(b.dtype)).collect();
                        let (r, c) = (exprs.declare_var(rows as i64), exprs.declare_var(columns as i64));
                        let (ri, ci) = (exprs.add(Expr::Var(r)), exprs.add(Expr::Var(c)));
                        let acc = exprs.declare_acc(d);
                        let row = exprs.index_mul(ri, columns as i64);
                        let at = exprs.index_add(row, ci);
                        let x = exprs.load(ids[0], at);
                        let index = if along_rows { ri } else { ci };
                        let init = exprs.load(ids[1], index);
                        let total = exprs.acc(acc);
                        let (outer, inner) = if along_rows { (r, c) } else { (c, r) };
                        let (outer_kind, inner_kind) =
                            if along_rows { (LoopKind::Serial, kind) } else { (kind, LoopKind::Serial) };
                        let body = Stmt::For {
                            var: outer,
                            kind: outer_kind,
                            body: vec![
                                Stmt::Init { acc, value: init },
                                Stmt::For {
                                    var: inner,
                                    kind: inner_kind,
                                    body: vec![Stmt::Update { acc, value: x }],
                                },
                                Stmt::Store(vec![Store { buffer: ids[1], index, value: total }]),
                            ],
                        };
                        let accs = vec![Acc { dtype: d, combine }];
                        let kernel = Kernel { name: "reduce".to_owned(), buffers, accs, exprs, body };
                        // Numbers whose sums and products are exact in any order.
                        let small = Tensor::from_fn(Type::new(d, [rows * columns]), |i| {
                            Scalar::I64([1, -1, 2, 1, -1, 1, 1][i % 7]).convert(DType::F64)
                        });
                        let start = Tensor::from_fn(Type::new(d, [out]), |_| Scalar::I64(1));
                        check(&kernel, &[small, start], true);
                        if matches!(combine, Combine::Max | Combine::Min) && d.is_float() {
                            check(&kernel, &[values(d, rows * columns, 9), values(d, out, 10)], true);
                        }
                    }
                }
            }
        }
    }
}

/// Sums that are rounded: wider vectors add in the same order as those of 128 bits.
#[test]
fn sums_in_the_same_order() {
    let wider = [(Isa::Avx2, 8), (Isa::Avx512, 16)].into_iter().filter(|w| w.0 <= Isa::detect());
    for (isa, width) in wider {
        for d in [DType::F32, DType::F64] {
            let text = format!(
                "
kernel rows(b0: {d}[469] read, b1: {d}[7] write) {{
  parallel i0 < 7 {{
    a0 = sum {d} 0
    a1 = max {d} -inf
    vector({width}) i1 < 67 {{
      e0 = load b0[i0*67 + i1]
      update a0, e0
      e1 = mul e0, e0
      update a1, e1
    }}
    e2 = div a0, a1
    store b1[i0], e2
  }}
}}
"
            );
            let kernel = bespoke_loops::parse_kernel(&text, &[]).unwrap_or_else(|e| panic!("{e}"));
            let numbers = Tensor::from_fn(Type::new(d, [469]), |i| Scalar::F64((i as f64 * 0.37).sin()));
            let results = [Isa::Portable, isa].map(|isa| {
                let (module, id) = compile(isa, &kernel);
                assert_eq!(module.clif(id).is_none(), isa != Isa::Portable, "{kernel}");
                let (mut from, mut to) = (numbers.clone(), Tensor::zeros(Type::new(d, [7])));
                let args = [from.as_mut_ptr(), to.as_mut_ptr()];
                // SAFETY: the buffers have the kernel's types and sizes.
                unsafe { module.kernel(id)(args.as_ptr(), 0, 7) };
                to
            });
            assert_eq!(results[0], results[1], "{isa} {d}");
        }
    }
}

/// Several updates of one element, in order.
#[test]
fn scattered_additions() {
    for kind in [LoopKind::Serial, LoopKind::Vector(4)] {
        let mut exprs = Exprs::new();
        let buffers = vec![
            Buffer { dtype: DType::I32, elements: 21, access: Access::Read },
            Buffer { dtype: DType::F32, elements: 21, access: Access::Read },
            Buffer { dtype: DType::F32, elements: 5, access: Access::ReadWrite },
        ];
        let ids: Vec<_> = buffers.iter().map(|b| exprs.declare_buffer(b.dtype)).collect();
        let (once, var) = (exprs.declare_var(1), exprs.declare_var(21));
        let i = exprs.var(var);
        let position = exprs.load(ids[0], i);
        let position = exprs.convert(DType::I64, position);
        let index = exprs.index_clamp(position, 4);
        let value = exprs.load(ids[1], i);
        let add = Stmt::Add(Store { buffer: ids[2], index, value });
        let body = Stmt::For {
            var: once,
            kind: LoopKind::Serial,
            body: vec![Stmt::For { var, kind, body: vec![add] }],
        };
        let kernel = Kernel { name: "scatter".to_owned(), buffers, accs: vec![], exprs, body };
        let zeros = Tensor::zeros(Type::new(DType::F32, [5]));
        let updates = Tensor::from_fn(Type::new(DType::F32, [21]), |i| Scalar::F64(i as f64 * 0.37));
        check(&kernel, &[values(DType::I32, 21, 1), updates, zeros], true);
    }
}

/// An index that is a loop variable plus what an accumulator holds, which differs from lane to lane.
#[test]
fn accumulators_as_indices() {
    let text = "
kernel by_sum(b0: i64[32] read, b1: i32[16] read, b2: i32[32] write) {
  parallel vector(8) i0 < 16 {
    a0 = sum i64 0
    for i1 < 2 {
      e0 = load b0[i0*2 + i1]
      update a0, e0
    }
    e1 = load b1[a0]
    store b2[i0 + a0], e1
  }
}
";
    let kernel = bespoke_loops::parse_kernel(text, &[]).unwrap_or_else(|e| panic!("{e}"));
    // Every other lane goes 12 further: all lanes store apart, and loads stay inside.
    let sums = Tensor::from_fn(Type::new(DType::I64, [32]), |i| Scalar::I64([0, 0, 7, 5][i % 4]));
    let zeros = Tensor::zeros(Type::new(DType::I32, [32]));
    check(&kernel, &[sums, values(DType::I32, 16, 1), zeros], true);
}

/// Every tile, with operands in panels, where they lie and gathered, against plain sums, from the start and going on.
#[test]
fn tiles() {
    use bespoke_lower::{Access, Isa, Tile, TileCode, Vectors};
    let portable =
        [(5, 2), (3, 3), (2, 4), (8, 1), (1, 1)].map(|(rows, columns)| (16, rows, columns, Isa::Portable));
    let narrow = [16, 32].into_iter().flat_map(|bytes| {
        [(6, 2), (4, 3), (12, 1), (11, 1), (1, 2)].map(|(rows, columns)| (bytes, rows, columns, Isa::Avx2))
    });
    let wide = [(14, 2), (9, 3), (6, 4), (28, 1), (11, 2), (1, 1)]
        .map(|(rows, columns)| (64, rows, columns, Isa::Avx512));
    for (bytes, mr, columns, isa) in portable.into_iter().chain(narrow).chain(wide) {
        if isa > Isa::detect() {
            continue;
        }
        for dtype in [DType::F32, DType::F64] {
            let size = dtype.size() as i64;
            let vectors = if isa == Isa::Portable { Vectors::Portable } else { Vectors::Bytes(bytes) };
            let tile = Tile { dtype, mr, nr: columns * bytes / dtype.size(), vectors };
            let nr = tile.nr;
            let panels = (
                Access::Steps { line: size, term: mr as i64 * size },
                Access::Steps { line: size, term: nr as i64 * size },
            );
            let lying = (
                Access::Steps { line: 53 * size, term: size },
                Access::Steps { line: size, term: 101 * size },
            );
            let mut kinds = vec![panels, lying, (panels.0, Access::Table)];
            if mr <= 11 {
                kinds.push((Access::Table, panels.1));
            }
            for (left, right) in kinds {
                check_tile(TileCode { tile, left, right });
            }
        }
    }
}

fn check_tile(code: bespoke_lower::TileCode) {
    use bespoke_lower::{Access, Tile};
    let Tile { dtype, mr, nr, .. } = code.tile;
    let size = dtype.size();
    let mut builder = ModuleBuilder::new(Isa::detect());
    let id = builder.add_tile(code);
    let module = builder.finish(false).unwrap();
    for (k, add) in [(0usize, false), (1, true), (3, false), (4, false), (7, true), (31, false)] {
        let whole = |n, m: i64| Tensor::from_fn(Type::new(dtype, [n]), |i| Scalar::I64(i as i64 * m % 7 - 3));
        let (a, b, ldc) = (whole(4000, 5), whole(4000, 3), nr + 3);
        let (terms, rows): (Vec<usize>, Vec<usize>) =
            ((0..k).map(|k| k * 37 % 200).collect(), (0..mr).map(|i| i * 23).collect());
        let bytes = |v: &[usize]| v.iter().map(|&o| (o * size) as i64).collect::<Vec<_>>();
        let mut c = Tensor::full([mr * ldc], Scalar::from_f64(dtype, 9.0));
        let (t, r) = (bytes(&terms), bytes(&rows));
        // SAFETY: operands and offsets are as large as what is read, and c has room for mr rows.
        unsafe {
            module.tile(id)(
                a.as_ptr(),
                b.as_ptr(),
                k as i64,
                c.as_mut_ptr(),
                ldc as i64,
                t.as_ptr(),
                r.as_ptr(),
                i64::from(add),
            );
        }
        let place = |access: Access, line: usize, term: usize, start: usize| match access {
            Access::Steps { line: step, term: along } => {
                (line as i64 * step + term as i64 * along) as usize / size
            }
            Access::Table => start + terms[term],
        };
        for (i, j) in (0..mr).flat_map(|i| (0..ldc).map(move |j| (i, j))) {
            let term = |k: usize| {
                a.get(place(code.left, i, k, rows[i])).to_f64() * b.get(place(code.right, j, k, j)).to_f64()
            };
            let sum = || (0..k).map(term).sum::<f64>() + if add { 9.0 } else { 0.0 };
            let expected = if j < nr { sum() } else { 9.0 };
            assert_eq!(c.get(i * ldc + j).to_f64(), expected, "{code} k={k} [{i},{j}]");
        }
    }
}

/// Copies of lines into panels, element by element.
#[test]
fn copies() {
    use bespoke_lower::{CopyCode, Isa, Lines};
    for (bytes, isa) in [(32, Isa::Avx2), (64, Isa::Avx512)] {
        if isa > Isa::detect() {
            continue;
        }
        for (dtype, count) in
            [DType::F32, DType::F64].into_iter().flat_map(|d| [1, 5, 8, 13, 14, 28, 32, 48].map(|c| (d, c)))
        {
            let size = dtype.size() as i64;
            for lines in
                [Lines::SideBySide { term: 53 * size }, Lines::Apart { line: 67 * size }, Lines::Gathered]
            {
                let code = CopyCode { dtype, bytes, count, lines };
                let mut builder = ModuleBuilder::new(Isa::detect());
                let id = builder.add_copy(code);
                let module = builder.finish(false).unwrap();
                for k in [0usize, 1, 3, 7, 8, 9, 31] {
                    let from = Tensor::from_fn(Type::new(dtype, [4000]), |i| Scalar::I64(i as i64));
                    let mut to = Tensor::full([count * k + 3], Scalar::from_f64(dtype, -1.0));
                    let terms: Vec<i64> = (0..k as i64).map(|p| p * 37 % 200 * size).collect();
                    // SAFETY: there are as many lines and terms, and the panel has room for them.
                    unsafe { module.copy(id)(from.as_ptr(), to.as_mut_ptr(), k as i64, terms.as_ptr()) };
                    for i in 0..to.elements() {
                        let (line, term) = ((i % count) as i64, i / count);
                        let place = |term: usize| match lines {
                            Lines::SideBySide { term: step } => line * size + term as i64 * step,
                            Lines::Apart { line: step } => line * step + term as i64 * size,
                            Lines::Gathered => line * size + terms[term],
                        };
                        let expected = if term < k { (place(term) / size) as f64 } else { -1.0 };
                        assert_eq!(to.get(i).to_f64(), expected, "{code} k={k} {i}");
                    }
                }
            }
        }
    }
}
