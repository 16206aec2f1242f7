//! The verifier finds each violation, and all of them.

use bespoke_loops::{Access, Buffer, Exprs, Kernel, LoopKind, Stmt, Store, verify};
use bespoke_tensor::DType;

fn violations(buffers: &str, body: &str) -> Vec<String> {
    let text = format!("kernel k({buffers}) {{ parallel i0 < 4 {{ {body} }} }}");
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    verify(&kernel)
}

#[test]
fn each_violation_is_found() {
    let rw = "b0: f32[4] readwrite";
    let cases = [
        (rw, "e0 = load b0[i0 + 1] store b0[i0], e0", "load: b0 has 4 elements, the index"),
        (rw, "store b0[i0 - 1], f32 0", "in -1..=2"),
        (rw, "store b0[i0], i32 0", "b0 holds f32, got i32"),
        (rw, "e0 = load b0[i0] e1 = load b0[e0] store b0[i0], e1", "is f32, not i64"),
        (rw, "e0 = load b0[i0] store b0[e0 + 1], e0", "the atom"),
        (rw, "e0 = add f32 0, f64 0 store b0[i0], e0", "`add` is not defined for f32, f64"),
        (rw, "e0 = sqrt i32 4 e1 = convert e0 to f32 store b0[i0], e1", "`sqrt` is not defined for i32"),
        (
            rw,
            "e0 = fma 1, 2, 3 e1 = convert e0 to f32 store b0[i0], e1",
            "`fma` is not defined for i64, i64, i64",
        ),
        (
            rw,
            "e0 = mulhigh 1, 2 e1 = convert e0 to f32 store b0[i0], e1",
            "`mulhigh` is not defined for i64, i64",
        ),
        (rw, "e0 = select f32 1, f32 1, f32 1 store b0[i0], e0", "`select` is not defined for f32, f32, f32"),
        (rw, "e0 = bitcast 1 to f32 store b0[i0], e0", "no `bitcast` from i64 to f32"),
        (rw, "store b0[i0], f32 1; b0[i0], f32 2", "stores twice"),
        (rw, "a0 = any f32 0 store b0[i0], a0", "`any` is not defined for f32"),
        (rw, "a0 = sum f32 0 update a0, i32 1", "a0 holds f32, got i32"),
        (rw, "for i1 < 2 { a0 = sum f32 0 } update a0, f32 1", "a0 is updated before it is initialised"),
        (rw, "for i1 < 2 { a0 = sum f32 0 } store b0[i0], a0", "a0 is read before it is initialised"),
        (rw, "vector(5) i1 < 2 { }", "a vector loop of 5 lanes"),
        (rw, "a0 = set f32 0 vector(4) i1 < 2 { update a0, f32 1 }", "a vector loop sets a0"),
        (
            rw,
            "a0 = sum f32 0 vector(4) i1 < 2 { update a0, f32 1 store b0[i1], a0 }",
            "a vector loop reads a0",
        ),
        ("b0: f32[4] read", "store b0[i0], f32 0", "b0 is stored to but declared `read`"),
        ("b0: f32[4] write", "e0 = load b0[i0] store b0[i0], e0", "b0 is loaded from but declared `write`"),
        ("b0: f32[4] write", "add b0[i0], f32 0", "b0 is added to but declared `write`"),
        ("b0: bool[4] readwrite", "add b0[i0], bool true", "b0 is added to but holds bool"),
    ];
    for (buffers, body, expected) in cases {
        let found = violations(buffers, body);
        assert!(found.iter().any(|v| v.contains(expected)), "{body}: expected {expected:?}, got {found:?}");
        assert!(found.iter().all(|v| v.starts_with("kernel k: ")), "{found:?}");
    }
    let both = violations(rw, "store b0[4], f32 0 store b0[5], f32 0");
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn what_is_allowed_passes() {
    let rw = "b0: f32[4] readwrite";
    for body in [
        "a0 = set f32 0 for i1 < 2 { e0 = add a0, f32 1 update a0, e0 } store b0[i0], a0",
        "vector(8) i1 < 4 { a0 = sum f32 0 for i2 < 3 { update a0, f32 1 } store b0[i1], a0 }",
        "for i1 < 0 { e0 = load b0[9] store b0[i0], e0 }",
    ] {
        assert_eq!(violations(rw, body), [] as [&str; 0], "{body}");
    }
}

#[test]
fn loops_own_their_variables() {
    let mut x = Exprs::new();
    let b = x.declare_buffer(DType::I64);
    let (i, j) = (x.declare_var(4), x.declare_var(4));
    let (vi, vj) = (x.var(i), x.var(j));
    let kernel = |body| Kernel {
        name: "k".into(),
        buffers: vec![Buffer { dtype: DType::I64, elements: 4, access: Access::Write }],
        accs: vec![],
        exprs: x.clone(),
        body,
    };
    let serial = |var, body| Stmt::For { var, kind: LoopKind::Serial, body };
    let store = |value| Stmt::Store(vec![Store { buffer: b, index: vi, value }]);
    let after = serial(i, vec![serial(j, vec![]), store(vj)]);
    assert_eq!(verify(&kernel(after)), ["kernel k: i1 is used outside its loop"]);
    let twice = serial(i, vec![serial(j, vec![]), serial(j, vec![store(vj)])]);
    assert_eq!(verify(&kernel(twice)), ["kernel k: i1 belongs to two loops"]);
    assert_eq!(verify(&kernel(store(vi))), ["kernel k: the body is not a loop"]);
    let mut many = x.clone();
    for _ in 0..65 {
        many.declare_var(1);
    }
    let kernel = Kernel { exprs: many, ..kernel(serial(i, vec![store(vi)])) };
    assert_eq!(verify(&kernel), ["kernel k: 67 loop variables; at most 64 are supported"]);
}
