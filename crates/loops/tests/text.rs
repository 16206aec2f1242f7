//! Text and parser: round trips, and no input that makes the parser panic.

use bespoke_loops::{
    Acc, Access, BinaryFn, Buffer, Combine, Expr, Exprs, Function, FunctionCode, Kernel, LoopKind, Stmt,
    Store, UnaryFn, parse_kernel, verify,
};
use bespoke_tensor::{DType, Scalar};

extern "C" fn tanh(x: f64) -> f64 {
    x.tanh()
}
extern "C" fn pow(x: f64, y: f64) -> f64 {
    x.powf(y)
}
const FUNCTIONS: &[Function] = &[
    Function { name: "tanh", code: FunctionCode::One(tanh) },
    Function { name: "pow", code: FunctionCode::Two(pow) },
];

const TEXTS: &[&str] = &[
    "\
kernel dense0_relu(b0: f32[65536] read, b1: f32[512] read, b2: f32[65536] write) {
  parallel i0 < 128 {
    vector(16) i1 < 512 {
      e0 = load b0[i0*512 + i1]
      e1 = load b1[i1]
      e2 = add e0, e1
      e3 = max e2, f32 0
      store b2[i0*512 + i1], e3
    }
  }
}
",
    "\
kernel softmax(b0: f32[40] read, b1: f32[40] write) {
  parallel i0 < 8 {
    a0 = max f32 -inf
    for i1 < 5 {
      e0 = load b0[i0*5 + i1]
      update a0, e0
    }
    a1 = sum f32 0
    e1 = neg a0
    vector(4) i2 < 5 {
      e2 = load b0[i0*5 + i2]
      e3 = add e2, e1
      e4 = convert e3 to f64
      e5 = call tanh(e4)
      e6 = call pow(e5, f64 0.5)
      e7 = convert e6 to f32
      update a1, e7
      store b1[i0*5 + i2], e7
    }
    store b1[i0*5], a1
  }
}
",
    "\
kernel gather(b0: i64[7] read, b1: f32[70] read, b2: f32[21] readwrite, b3: bool[3] write) {
  e0 = load b1[69]
  parallel vector(4) i0 < 7 {
    e1 = load b2[i0*3]
    e2 = load b0[i0]
    e3 = max e2, 0
    e4 = min e3, 6
    e5 = load b1[-i0 + e4*10 + 9]
    e6 = fma e5, e0, f32 nan
    e7 = lt e1, e6
    e8 = select e7, e6, f32 1e-30
    e9 = bitcast e8 to u32
    e10 = shr e9, u32 3
    e11 = bitcast e10 to f32
    e12 = rem e4, 3
    e13 = convert (i0*3 + e12 - 2) to f32
    e14 = add e11, e13
    store b2[i0*3], e14; b2[i0*3 + 1], e1
    e15 = load b2[i0*3]
    e16 = fma e5, e15, f32 nan:0x7fc00001
    add b2[i0*3 + 2], e16
  }
}
",
    "kernel \"odd \\\"name\\\" \\u{feff}\"() {\n  parallel i0 < 0 {\n    for i1 < 3 {\n    }\n    store\n  }\n}\n",
];

#[test]
fn texts_round_trip() {
    for text in TEXTS {
        let kernel = parse_kernel(text, FUNCTIONS).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(&kernel.to_string(), text);
    }
    for text in &TEXTS[..3] {
        let kernel = parse_kernel(text, FUNCTIONS).unwrap();
        assert_eq!(verify(&kernel), [] as [&str; 0], "{text}");
    }
}

#[test]
fn numbers_are_canonical() {
    let odd = "
        kernel k ( b0 : f32 [ 4 ] read , b1:f32[4] write ){ // a comment
          e9 = load b0[0] // hoisted
          parallel i7<4 { a3=sum f32 0  e4 = load b0[1*0 + i7 - 0]
            e2 = add e4, e9  e1 = sqrt e2 update a3, e2 store b1[i7], a3 }
        }";
    let odd = odd.replace("1*0 + ", "");
    let printed = odd.parse::<Kernel>().unwrap_or_else(|e| panic!("{e}")).to_string();
    assert_eq!(
        printed,
        "kernel k(b0: f32[4] read, b1: f32[4] write) {\n  e0 = load b0[0]\n  parallel i0 < 4 {\n    a0 = sum f32 0\n    \
         e1 = load b0[i0]\n    e2 = add e1, e0\n    update a0, e2\n    store b1[i0], a0\n  }\n}\n"
    );
}

#[test]
fn literals_keep_their_bits() {
    let nan = f32::from_bits(0xffc0_1234);
    let values = [
        Scalar::F32(-0.0),
        Scalar::F32(f32::from_bits(1)),
        Scalar::F32(f32::MAX),
        Scalar::F32(nan),
        Scalar::F64(f64::NEG_INFINITY),
        Scalar::F64(f64::from_bits(1)),
        Scalar::F64(0.1),
        Scalar::I32(i32::MIN),
        Scalar::I64(i64::MIN),
        Scalar::I64(i64::MAX),
        Scalar::U8(255),
        Scalar::U32(u32::MAX),
        Scalar::Bool(true),
    ];
    for value in values {
        let mut x = Exprs::new();
        let b = x.declare_buffer(value.dtype());
        let i = x.declare_var(3);
        let (index, literal) = (x.var(i), x.literal(value));
        let body = vec![Stmt::Store(vec![Store { buffer: b, index, value: literal }])];
        let kernel = Kernel {
            name: "literal".into(),
            buffers: vec![Buffer { dtype: value.dtype(), elements: 3, access: Access::Write }],
            accs: vec![],
            exprs: x,
            body: Stmt::For { var: i, kind: LoopKind::Serial, body },
        };
        let text = kernel.to_string();
        let back: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        let found = back.exprs.ids().any(|e| *back.exprs.get(e) == Expr::Literal(value));
        assert!(found, "{value:?} is not in\n{text}");
        assert_eq!(back.to_string(), text);
    }
}

#[test]
fn mistakes_are_explained() {
    let body =
        |body: &str| format!("kernel k(b0: f32[4] readwrite) {{\n  parallel i0 < 4 {{\n{body}\n  }}\n}}\n");
    let cases = [
        ("", "1:1: expected `kernel`, got the end of the text"),
        (
            &body("e0 = lod b0[i0]"),
            "3:6: expected an operation such as load, add, select or convert, got `lod`",
        ),
        (&body("e0 = load b1[i0]"), "3:11: expected one of the 1 buffers of the kernel, got `b1`"),
        (&body("e0 = load b0[i1]"), "3:14: expected the variable of a loop around this, got `i1`"),
        (&body("store b0[i0], f32 x"), "3:19: expected a value of type f32, got `x`"),
        (&body("update a0, f32 0"), "3:8: expected an accumulator that was initialised before, got `a0`"),
        (
            &body("e0 = load b0[i0]\nstore b0[i0], f32 1\nstore b0[i0], e0"),
            "5:15: expected a value that no statement since has changed; evaluate it again, got `e0`",
        ),
        (
            &body("e0 = load b0[0]\nfor i1 < 2 {\nadd b0[i1], e0\n}"),
            "5:13: expected a value that the loop around it does not change; evaluate it inside, got `e0`",
        ),
        (
            &body("for i1 < 2 {\ne0 = neg f32 1\n}\nstore b0[0], e0"),
            "6:14: expected a value that was defined before, in this loop or around it, got `e0`",
        ),
        (
            &body("store b0[i0*9223372036854775808], f32 1"),
            "3:13: expected a number that fits an i64, got `9223372036854775808`",
        ),
        (&body("}"), "5:1: expected the end of the text, got `}`"),
    ];
    for (text, expected) in cases {
        let error = text.parse::<Kernel>().expect_err(text).to_string();
        assert_eq!(error, expected, "{text}");
    }
}

#[test]
fn damaged_texts_do_not_panic() {
    let mut random = 1u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let pieces = [
        "",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        "-",
        "*",
        "9223372036854775807",
        "99999999999999999999",
        "é",
        "\"",
        "e0",
        "e1",
        "a0",
        "i0",
        "i1",
        "b0",
        "b9",
        "f32",
        "\n",
        "//",
        "= ",
        "0",
        "vector(0)",
        "for i2 < 3 {",
        "\\u{",
        "store ",
        "a0 = sum ",
        "\u{0}",
    ];
    let (mut good, mut bad) = (0, 0);
    for text in TEXTS {
        for end in (0..text.len()).filter(|&i| text.is_char_boundary(i)) {
            let _ = parse_kernel(&text[..end], FUNCTIONS);
        }
        for _ in 0..6000 {
            let mut damaged: Vec<char> = text.chars().collect();
            for _ in 0..=next(3) {
                let (from, to) = (next(damaged.len()), next(damaged.len()));
                match next(3) {
                    0 => drop(damaged.splice(from..from, pieces[next(pieces.len())].chars())),
                    1 => damaged[from] = damaged[to],
                    _ => drop(damaged.drain(from..(from + next(4)).min(damaged.len()))),
                }
            }
            let damaged: String = damaged.into_iter().collect();
            match parse_kernel(&damaged, FUNCTIONS) {
                Err(e) => {
                    bad += 1;
                    assert!(e.line >= 1 && e.column >= 1, "{e}");
                }
                Ok(kernel) => {
                    good += 1;
                    verify(&kernel);
                    let printed = kernel.to_string();
                    let again =
                        parse_kernel(&printed, FUNCTIONS).unwrap_or_else(|e| panic!("{e}\n{printed}"));
                    assert_eq!(again.to_string(), printed, "from\n{damaged}");
                }
            }
        }
    }
    assert!(good > 500 && bad > 5000, "{good} good, {bad} bad: the damage should be milder or harder");
}

#[test]
fn deep_texts_do_not_overflow_the_stack() {
    let loops: String = (0..100_000).map(|i| format!("for i{} < 2 {{", i + 1)).collect();
    let error = format!("kernel k() {{ parallel i0 < 2 {{ {loops}").parse::<Kernel>().unwrap_err();
    assert!(error.expected.contains("at most 64 loops"), "{error}");

    let mut chain = "kernel k(b0: f32[1] write) { parallel i0 < 1 {\ne0 = neg f32 1\n".to_owned();
    for i in 1..100_000 {
        chain += &format!("e{i} = add e{}, e{}\n", i - 1, i - 1);
    }
    chain += "store b0[0], e99999\n}}";
    let kernel: Kernel = chain.parse().unwrap();
    assert_eq!(verify(&kernel), [] as [&str; 0]);
    assert_eq!(kernel.to_string().lines().count(), 100_005);
}

#[test]
fn an_invalid_kernel_prints() {
    let mut x = Exprs::new();
    let acc = x.declare_acc(DType::F32);
    let i = x.declare_var(3);
    let j = x.declare_var(3);
    let (vj, held) = (x.var(j), x.acc(acc));
    let sum = x.binary(BinaryFn::Add, vj, held);
    let root = x.unary(UnaryFn::Sqrt, sum);
    let kernel = Kernel {
        name: "broken".into(),
        buffers: vec![],
        accs: vec![Acc { dtype: DType::F32, combine: Combine::Sum }],
        exprs: x,
        body: Stmt::For { var: i, kind: LoopKind::Serial, body: vec![Stmt::Update { acc, value: root }] },
    };
    assert!(kernel.to_string().contains("a0?"), "{kernel}");
    assert!(verify(&kernel).len() >= 3, "{:?}", verify(&kernel));
}
