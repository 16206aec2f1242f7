//! Index arithmetic: affine normal form, simplified with the ranges of the loop variables.

use bespoke_tensor::Scalar;

use crate::{Affine, BinaryFn, Expr, ExprId, Exprs, VarId};

/// The range of which nothing is known.
const ANY: (i64, i64) = (i64::MIN, i64::MAX);

impl Exprs {
    /// A constant index.
    pub fn index_const(&mut self, value: i64) -> ExprId {
        self.literal(value)
    }

    /// The affine form of an `i64` expression; an expression that is not affine is its own atom.
    pub fn affine(&self, e: ExprId) -> Affine {
        match self.get(e) {
            Expr::Affine(a) => a.clone(),
            Expr::Literal(Scalar::I64(v)) => Affine { terms: vec![], constant: *v },
            _ => Affine { terms: vec![(e, 1)], constant: 0 },
        }
    }

    /// a + b.
    pub fn index_add(&mut self, a: ExprId, b: ExprId) -> ExprId {
        let (mut sum, other) = (self.affine(a), self.affine(b));
        sum.terms.extend(other.terms);
        sum.constant = sum.constant.wrapping_add(other.constant);
        self.normalise(sum)
    }

    /// a · c.
    pub fn index_mul(&mut self, a: ExprId, c: i64) -> ExprId {
        let mut product = self.affine(a);
        product.terms.iter_mut().for_each(|t| t.1 = t.1.wrapping_mul(c));
        product.constant = product.constant.wrapping_mul(c);
        self.normalise(product)
    }

    /// ⌊a / c⌋ of a non-negative `a` and a positive `c`.
    pub fn index_div(&mut self, a: ExprId, c: i64) -> ExprId {
        if c == 1 {
            return a;
        }
        let (multiple, rest) = self.split(a, c);
        let rest = self.normalise(rest);
        match self.range(rest) {
            Some((lo, hi)) if lo >= 0 && hi < c => {
                let quotient = Affine {
                    terms: multiple.terms.iter().map(|t| (t.0, t.1 / c)).collect(),
                    constant: multiple.constant / c,
                };
                self.normalise(quotient)
            }
            _ => {
                let c = self.index_const(c);
                self.add(Expr::Binary(BinaryFn::Div, a, c))
            }
        }
    }

    /// a mod c of a non-negative `a` and a positive `c`.
    pub fn index_rem(&mut self, a: ExprId, c: i64) -> ExprId {
        let (_, rest) = self.split(a, c);
        let rest = self.normalise(rest);
        match self.range(rest) {
            Some((lo, hi)) if lo >= 0 && hi < c => rest,
            _ => {
                let c = self.index_const(c);
                self.add(Expr::Binary(BinaryFn::Rem, a, c))
            }
        }
    }

    /// `a` limited to `0..=last`; nothing if its range lies inside already. Loads are always executed, so an index
    /// that a guard rules out must still be a legal one.
    pub fn index_clamp(&mut self, a: ExprId, last: i64) -> ExprId {
        let range = self.range(a);
        let mut legal = a;
        if range.is_none_or(|r| r.0 < 0) {
            let zero = self.index_const(0);
            legal = self.add(Expr::Binary(BinaryFn::Max, legal, zero));
        }
        if range.is_none_or(|r| r.1 > last) {
            let last = self.index_const(last);
            legal = self.add(Expr::Binary(BinaryFn::Min, legal, last));
        }
        legal
    }

    /// The flat row-major index of a position in a tensor of `dims`.
    pub fn flatten(&mut self, dims: &[usize], index: &[ExprId]) -> ExprId {
        let mut flat = self.index_const(0);
        let mut stride = 1;
        for (&d, &i) in dims.iter().zip(index).rev() {
            let term = self.index_mul(i, stride);
            flat = self.index_add(flat, term);
            stride *= d as i64;
        }
        flat
    }

    /// The position in a tensor of `dims` with this flat row-major index.
    pub fn unflatten(&mut self, dims: &[usize], flat: ExprId) -> Vec<ExprId> {
        let mut index = vec![flat; dims.len()];
        let mut rest = flat;
        for axis in (0..dims.len()).rev() {
            let d = dims[axis].max(1) as i64;
            index[axis] = if axis == 0 { rest } else { self.index_rem(rest, d) };
            rest = if axis == 0 { rest } else { self.index_div(rest, d) };
        }
        index
    }

    /// The range of an `i64` expression whose operands are in the arena; `None` also where it overflows.
    pub(crate) fn range_of(&self, expr: &Expr) -> Option<(i64, i64)> {
        match expr {
            Expr::Literal(Scalar::I64(v)) => Some((*v, *v)),
            Expr::Var(var) => Some((0, (self.extent(*var) - 1).max(0))),
            Expr::Affine(a) => {
                let mut sum = (a.constant, a.constant);
                for &(atom, c) in &a.terms {
                    let (lo, hi) = self.range(atom)?;
                    let (lo, hi) = (c.checked_mul(lo)?, c.checked_mul(hi)?);
                    sum = (sum.0.checked_add(lo.min(hi))?, sum.1.checked_add(lo.max(hi))?);
                }
                Some(sum)
            }
            Expr::Binary(f, a, b) => match (f, self.range(*a), self.range(*b)) {
                (BinaryFn::Div, Some((lo, hi)), Some((c, d))) if c == d && c > 0 && lo >= 0 => {
                    Some((lo / c, hi / c))
                }
                (BinaryFn::Rem, Some((lo, hi)), Some((c, d))) if c == d && c > 0 && lo >= 0 => {
                    Some((0, hi.min(c - 1)))
                }
                // A clamp bounds whatever it is given: min(max(x, 0), last).
                (BinaryFn::Min | BinaryFn::Max, None, None) => None,
                (BinaryFn::Min, a, b) => {
                    let (a, b) = (a.unwrap_or(ANY), b.unwrap_or(ANY));
                    Some((a.0.min(b.0), a.1.min(b.1)))
                }
                (BinaryFn::Max, a, b) => {
                    let (a, b) = (a.unwrap_or(ANY), b.unwrap_or(ANY));
                    Some((a.0.max(b.0), a.1.max(b.1)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The change of an index per step of a loop variable: `None` if it is not a constant.
    pub fn stride(&self, e: ExprId, var: VarId) -> Option<i64> {
        let mut stride = 0;
        for (atom, c) in self.affine(e).terms {
            if matches!(self.get(atom), Expr::Var(v) if *v == var) {
                stride += c;
            } else if self.depends_on_var(atom, var) {
                return None;
            }
        }
        Some(stride)
    }

    /// Does the value change with the loop variable?
    pub fn depends_on_var(&self, e: ExprId, var: VarId) -> bool {
        if let Expr::Var(v) = self.get(e) {
            return *v == var;
        }
        // Each expression once: a shared operand may be reached by very many ways.
        let mut seen = rustc_hash::FxHashSet::default();
        let mut stack = vec![e];
        while let Some(e) = stack.pop() {
            match self.get(e) {
                Expr::Var(v) if *v == var => return true,
                other => other.operands(|o| {
                    if seen.insert(o) {
                        stack.push(o);
                    }
                }),
            }
        }
        false
    }

    /// The terms whose coefficients `c` divides, and the others; constants alike.
    fn split(&self, a: ExprId, c: i64) -> (Affine, Affine) {
        let a = self.affine(a);
        let (multiple, rest) = a.terms.into_iter().partition(|t| t.1 % c == 0);
        let remainder = a.constant.rem_euclid(c);
        (
            Affine { terms: multiple, constant: a.constant.wrapping_sub(remainder) },
            Affine { terms: rest, constant: remainder },
        )
    }

    /// What the ranges say of a comparison of two indices.
    pub(crate) fn decide(&mut self, function: BinaryFn, a: ExprId, b: ExprId) -> Option<bool> {
        // Sums wrap; a difference tells the order only where neither side can be so large that it does.
        let small = |r: Option<(i64, i64)>| r.is_some_and(|(lo, hi)| lo > i64::MIN / 2 && hi < i64::MAX / 2);
        if a != b && !(small(self.range(a)) && small(self.range(b))) {
            return None;
        }
        let negative = self.index_mul(b, -1);
        let difference = self.index_add(a, negative);
        let (lo, hi) = self.range(difference)?;
        match function {
            BinaryFn::Lt if hi < 0 => Some(true),
            BinaryFn::Lt if lo >= 0 => Some(false),
            BinaryFn::Le if hi <= 0 => Some(true),
            BinaryFn::Le if lo > 0 => Some(false),
            BinaryFn::Gt if lo > 0 => Some(true),
            BinaryFn::Gt if hi <= 0 => Some(false),
            BinaryFn::Ge if lo >= 0 => Some(true),
            BinaryFn::Ge if hi < 0 => Some(false),
            BinaryFn::Eq if lo == 0 && hi == 0 => Some(true),
            BinaryFn::Eq if lo > 0 || hi < 0 => Some(false),
            BinaryFn::Ne if lo == 0 && hi == 0 => Some(false),
            BinaryFn::Ne if lo > 0 || hi < 0 => Some(true),
            _ => None,
        }
    }

    /// Sorts and merges terms, puts `(x / c)·c·s + (x mod c)·s` back together, and adds the result.
    fn normalise(&mut self, mut a: Affine) -> ExprId {
        loop {
            a.terms.sort_unstable();
            let mut merged: Vec<(ExprId, i64)> = Vec::with_capacity(a.terms.len());
            for (atom, c) in a.terms {
                match merged.last_mut() {
                    Some(last) if last.0 == atom => last.1 = last.1.wrapping_add(c),
                    _ => merged.push((atom, c)),
                }
            }
            merged.retain(|t| t.1 != 0);
            a.terms = merged;
            let Some((rem, div, whole, scale)) = self.find_split_pair(&a) else { break };
            a.terms.retain(|t| t.0 != rem && t.0 != div);
            let whole = self.affine(whole);
            a.terms.extend(whole.terms.iter().map(|t| (t.0, t.1.wrapping_mul(scale))));
            a.constant = a.constant.wrapping_add(whole.constant.wrapping_mul(scale));
        }
        match a.terms[..] {
            [] => self.index_const(a.constant),
            [(atom, 1)] if a.constant == 0 => atom,
            _ => self.add(Expr::Affine(a)),
        }
    }

    /// A term `(x mod c)·s` whose partner `(x / c)·c·s` is there too: both atoms, x and s.
    fn find_split_pair(&self, a: &Affine) -> Option<(ExprId, ExprId, ExprId, i64)> {
        for &(atom, scale) in &a.terms {
            let &Expr::Binary(BinaryFn::Rem, x, c) = self.get(atom) else { continue };
            let &Expr::Literal(Scalar::I64(c_value)) = self.get(c) else { continue };
            for &(other, coefficient) in &a.terms {
                if coefficient == scale.wrapping_mul(c_value)
                    && *self.get(other) == Expr::Binary(BinaryFn::Div, x, c)
                {
                    return Some((atom, other, x, scale));
                }
            }
        }
        None
    }

    /// The expression with loop variables replaced: `replace` gives the new value of a variable.
    pub fn substitute(
        &mut self,
        e: ExprId,
        replace: &mut dyn FnMut(&mut Exprs, VarId) -> Option<ExprId>,
    ) -> ExprId {
        let mut memo = rustc_hash::FxHashMap::default();
        self.substitute_memo(e, replace, &mut memo)
    }

    fn substitute_memo(
        &mut self,
        e: ExprId,
        replace: &mut dyn FnMut(&mut Exprs, VarId) -> Option<ExprId>,
        memo: &mut rustc_hash::FxHashMap<ExprId, ExprId>,
    ) -> ExprId {
        if let Some(&done) = memo.get(&e) {
            return done;
        }
        let mut go = |exprs: &mut Exprs, e| exprs.substitute_memo(e, replace, memo);
        let new = match self.get(e).clone() {
            Expr::Literal(_) | Expr::Acc(_) => e,
            Expr::Var(var) => replace(self, var).unwrap_or(e),
            Expr::Affine(a) => {
                let mut sum = self.index_const(a.constant);
                for (atom, c) in a.terms {
                    let atom = go(self, atom);
                    let term = self.index_mul(atom, c);
                    sum = self.index_add(sum, term);
                }
                sum
            }
            Expr::Load { buffer, index } => {
                let index = go(self, index);
                self.load(buffer, index)
            }
            Expr::Unary(f, a) => {
                let a = go(self, a);
                self.unary(f, a)
            }
            Expr::Binary(f, a, b) => {
                let (a, b) = (go(self, a), go(self, b));
                match (f, self.get(b)) {
                    // Only index arithmetic divides an i64 of known non-negative range by a positive literal.
                    (BinaryFn::Div, &Expr::Literal(Scalar::I64(c))) if c > 0 && self.non_negative(a) => {
                        self.index_div(a, c)
                    }
                    (BinaryFn::Rem, &Expr::Literal(Scalar::I64(c))) if c > 0 && self.non_negative(a) => {
                        self.index_rem(a, c)
                    }
                    _ => self.binary(f, a, b),
                }
            }
            Expr::MulAdd(a, b, c) => {
                let (a, b, c) = (go(self, a), go(self, b), go(self, c));
                self.mul_add(a, b, c)
            }
            Expr::Select(c, a, b) => {
                let (c, a, b) = (go(self, c), go(self, a), go(self, b));
                self.select(c, a, b)
            }
            Expr::Convert(d, a) => {
                let a = go(self, a);
                self.convert(d, a)
            }
            Expr::Bitcast(d, a) => {
                let a = go(self, a);
                self.bitcast(d, a)
            }
            Expr::Call(f, args) => {
                let args = args.into_iter().map(|a| go(self, a)).collect();
                self.add(Expr::Call(f, args))
            }
        };
        memo.insert(e, new);
        new
    }

    fn non_negative(&self, e: ExprId) -> bool {
        self.range(e).is_some_and(|r| r.0 >= 0)
    }
}
