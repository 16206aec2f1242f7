//! Index arithmetic agrees with plain integers for all values of the variables.

use bespoke_loops::{Access, Buffer, ExprId, Exprs, Kernel, LoopKind, Stmt, Store, VarId, interpret};
use bespoke_tensor::{DType, Tensor};

struct Random(u64);

impl Random {
    fn below(&mut self, n: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as i64
    }
}

/// The values of the expressions for all values of the variables, the last running fastest.
fn values(exprs: &Exprs, vars: &[VarId], es: &[ExprId]) -> Vec<Vec<i64>> {
    let mut exprs = exprs.clone();
    let extents: Vec<usize> = vars.iter().map(|&v| exprs.extent(v) as usize).collect();
    let count: usize = extents.iter().product();
    let all: Vec<ExprId> = vars.iter().map(|&v| exprs.var(v)).collect();
    let position = exprs.flatten(&extents, &all);
    let stores =
        es.iter().map(|&value| Store { buffer: exprs.declare_buffer(DType::I64), index: position, value });
    let mut body = vec![Stmt::Store(stores.collect())];
    for &var in vars.iter().rev() {
        body = vec![Stmt::For { var, kind: LoopKind::Serial, body }];
    }
    let buffer = Buffer { dtype: DType::I64, elements: count, access: Access::Write };
    let kernel = Kernel {
        name: "values".into(),
        buffers: vec![buffer; es.len()],
        accs: vec![],
        exprs,
        body: body.remove(0),
    };
    let mut buffers = vec![Tensor::full([count], 0i64); es.len()];
    interpret(&kernel, &mut buffers, 0..kernel.range()).unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    buffers.iter().map(|b| b.to_vec().unwrap()).collect()
}

fn check(exprs: &Exprs, vars: &[VarId], e: ExprId, expected: &[i64], what: &str) {
    let got = values(exprs, vars, &[e]).remove(0);
    assert_eq!(got, expected, "{what}: {:?}", exprs.get(e));
    if let Some((lo, hi)) = exprs.range(e) {
        assert!(got.iter().all(|v| (lo..=hi).contains(v)), "{what}: {got:?} is not in {lo}..={hi}");
    }
}

#[test]
fn division_and_remainder_agree_with_integers() {
    let mut random = Random(7);
    for round in 0..300 {
        let mut x = Exprs::new();
        let vars: Vec<VarId> =
            (0..3).map(|_| x.declare_var([1, 2, 3, 5, 7][random.below(5) as usize])).collect();
        let mut e = x.index_const(random.below(20));
        for &var in &vars {
            let v = x.var(var);
            let term = x.index_mul(v, [0, 1, 2, 3, 4, 6, 12, 35][random.below(8) as usize]);
            e = x.index_add(e, term);
        }
        let mut expected = values(&x, &vars, &[e]).remove(0);
        // A few divisions and remainders of one another, put together again as a reshape does.
        for step in 0..3 {
            let c = 1 + random.below(9);
            let (div, rem) = (x.index_div(e, c), x.index_rem(e, c));
            let what = format!("round {round}, step {step}, by {c}");
            let divided: Vec<i64> = expected.iter().map(|v| v.div_euclid(c)).collect();
            let left: Vec<i64> = expected.iter().map(|v| v.rem_euclid(c)).collect();
            check(&x, &vars, div, &divided, &format!("{what}: div"));
            check(&x, &vars, rem, &left, &format!("{what}: rem"));
            let scaled = x.index_mul(div, c);
            let whole = x.index_add(scaled, rem);
            check(&x, &vars, whole, &expected, &format!("{what}: whole"));
            (e, expected) = match random.below(3) {
                0 => (div, divided),
                1 => (rem, left),
                _ => {
                    let sum = x.index_mul(div, 2);
                    let sum = x.index_add(sum, rem);
                    (sum, divided.iter().zip(&left).map(|(d, r)| 2 * d + r).collect())
                }
            };
        }
        let last = random.below(12);
        let clamped = x.index_clamp(e, last);
        let expected: Vec<i64> = expected.iter().map(|v| (*v).clamp(0, last)).collect();
        check(&x, &vars, clamped, &expected, &format!("round {round}: clamp to {last}"));
    }
}

#[test]
fn unflatten_undoes_flatten() {
    for dims in [vec![2usize, 3, 5], vec![1, 4, 1, 3], vec![7], vec![3, 1], vec![2, 2, 2, 2]] {
        let mut x = Exprs::new();
        let vars: Vec<VarId> = dims.iter().map(|&d| x.declare_var(d as i64)).collect();
        let index: Vec<ExprId> = vars.iter().map(|&v| x.var(v)).collect();
        let flat = x.flatten(&dims, &index);
        let count: usize = dims.iter().product();
        let expected: Vec<i64> = (0..count as i64).collect();
        check(&x, &vars, flat, &expected, &format!("{dims:?}"));
        assert_eq!(x.unflatten(&dims, flat), index, "{dims:?}: a round trip leaves nothing behind");
    }
}

/// A reshape, transpose and reshape again: from the flat index of the last to that of the first.
#[test]
fn reshapes_and_transposes_agree_with_integers() {
    let shapes: [(&[usize], &[usize], &[usize]); 4] = [
        (&[6, 4], &[2, 3, 4], &[12, 2]),
        (&[5, 6], &[3, 10], &[2, 15]),
        (&[4, 9], &[6, 6], &[36]),
        (&[1, 7, 3], &[21], &[3, 7]),
    ];
    for (first, middle, last) in shapes {
        let mut x = Exprs::new();
        let vars: Vec<VarId> = last.iter().map(|&d| x.declare_var(d as i64)).collect();
        let index: Vec<ExprId> = vars.iter().map(|&v| x.var(v)).collect();
        let flat = x.flatten(last, &index);
        let reversed: Vec<usize> = middle.iter().rev().copied().collect();
        let mut at = x.unflatten(&reversed, flat);
        at.reverse();
        let flat = x.flatten(middle, &at);
        let at = x.unflatten(first, flat);
        let source = x.flatten(first, &at);
        let count: usize = first.iter().product();
        let expected: Vec<i64> = (0..count)
            .map(|position| {
                let mut rest = position;
                let mut digits: Vec<usize> = reversed
                    .iter()
                    .rev()
                    .map(|d| {
                        let digit = rest % d;
                        rest /= d;
                        digit
                    })
                    .collect();
                // `digits` is the last axis of the reversed first, so it is in the order of `middle` already.
                digits.truncate(middle.len());
                middle.iter().zip(&digits).fold(0, |flat, (d, i)| flat * d + i) as i64
            })
            .collect();
        check(&x, &vars, source, &expected, &format!("{first:?} {middle:?} {last:?}"));
    }
}

#[test]
fn substitution_agrees_with_integers() {
    let mut random = Random(11);
    for round in 0..200 {
        let mut x = Exprs::new();
        let (i, j, k) = (x.declare_var(6), x.declare_var(4), x.declare_var(3));
        let (vi, vj, vk) = (x.var(i), x.var(j), x.var(k));
        // f(i, j) = (a i + b j + c) with some division, remainder and sum
        let (a, b, c) = (random.below(5), random.below(5), random.below(7));
        let (d, r) = (1 + random.below(6), 1 + random.below(6));
        let (ai, bj) = (x.index_mul(vi, a), x.index_mul(vj, b));
        let sum = x.index_add(ai, bj);
        let constant = x.index_const(c);
        let sum = x.index_add(sum, constant);
        let (div, rem) = (x.index_div(sum, d), x.index_rem(sum, r));
        let div = x.index_mul(div, 3);
        let f = x.index_add(div, rem);
        // i := 2 k + 1, j stays
        let twice = x.index_mul(vk, 2);
        let one = x.index_const(1);
        let new = x.index_add(twice, one);
        let g = x.substitute(f, &mut |_, var| (var == i).then_some(new));
        let expected: Vec<i64> = (0..3)
            .flat_map(|k| (0..4).map(move |j| (2 * k + 1, j)))
            .map(|(i, j)| a * i + b * j + c)
            .map(|s| s / d * 3 + s % r)
            .collect();
        check(&x, &[k, j], g, &expected, &format!("round {round}: a {a}, b {b}, c {c}, d {d}, r {r}"));
        assert!(!x.depends_on_var(g, i), "round {round}");
    }
}

#[test]
fn strides_are_differences() {
    let mut x = Exprs::new();
    let (i, j) = (x.declare_var(5), x.declare_var(6));
    let (vi, vj) = (x.var(i), x.var(j));
    let flat = x.flatten(&[5, 6], &[vi, vj]);
    assert_eq!((x.stride(flat, i), x.stride(flat, j)), (Some(6), Some(1)));
    let folded = x.index_rem(flat, 4);
    assert_eq!(x.stride(folded, j), None);
    assert_eq!(x.stride(vi, j), Some(0));
}

#[test]
fn guards_are_decided_only_where_they_are_certain() {
    use bespoke_loops::{BinaryFn, Expr};
    use bespoke_tensor::Scalar;
    let mut x = Exprs::new();
    let b = x.declare_buffer(DType::I64);
    let (i, j) = (x.declare_var(5), x.declare_var(7));
    let (vi, vj) = (x.var(i), x.var(j));
    for (f, plain) in [
        (BinaryFn::Lt, i64::lt as fn(&i64, &i64) -> bool),
        (BinaryFn::Le, i64::le),
        (BinaryFn::Gt, i64::gt),
        (BinaryFn::Ge, i64::ge),
        (BinaryFn::Eq, i64::eq),
        (BinaryFn::Ne, i64::ne),
    ] {
        for shift in -9..=9 {
            let constant = x.index_const(shift);
            let left = x.index_add(vi, constant);
            let e = x.binary(f, left, vj);
            let truths: Vec<bool> = (0..35).map(|p| plain(&(p / 7 + shift), &(p % 7))).collect();
            let decided = truths.iter().all(|&t| t == truths[0]);
            match x.get(e) {
                Expr::Literal(Scalar::Bool(v)) => assert!(decided && *v == truths[0], "{f:?} {shift}"),
                // Equality of ranges that overlap is beyond what ranges tell.
                _ => assert!(!decided, "{f:?} {shift} holds always or never"),
            }
        }
    }
    // Data of unknown size: the sum may wrap.
    let data = x.load(b, vi);
    let one = x.index_const(1);
    let more = x.index_add(data, one);
    let guard = x.binary(BinaryFn::Gt, more, data);
    assert!(matches!(x.get(guard), Expr::Binary(..)));
    let clamped = x.index_clamp(data, 9);
    let ten = x.index_const(10);
    let guard = x.binary(BinaryFn::Lt, clamped, ten);
    assert_eq!(*x.get(guard), Expr::Literal(Scalar::Bool(true)));
    // Bounds too large to add up are unknown, not wrong.
    let huge = x.index_mul(vj, i64::MAX / 3);
    assert_eq!(x.range(huge), None);
}
