//! Patterns: s-expressions over operator names, and the matcher for them.
//!
//! `(add (mul ?a ?b) (mul ?a ?c))`: `?a` stands for a value, the same everywhere. `(reduce_sum:r ?x)` names the matched
//! operator with its attributes `r`. `(unary:f ?x)`, `(binary:f ?x ?y)` and `(reduce:r ?x)` match every function of that
//! arity, `product` a dot or convolution, `scale` a product or quotient, `shift` a sum or difference. A number matches a value all of whose elements are known to be that number; `0` matches −0 too, `-0` only −0.
//! On the right-hand side a number has the type of the rewritten value, `1:x` that of `?x`. The operands of `add`, `mul` and
//! other commutative operators match in both orders.

use bespoke_graph::{Op, op, op::Binary};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Type};

use crate::view::{self, Class, Term, View, is_commutative, kind};

const DOT: u16 = 159;
const CONVOLUTION: u16 = 163;

/// The operator of a pattern's node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// One name.
    Kind(u16),
    /// Every function of one value.
    Unary,
    /// Every function of two values.
    Binary,
    /// Every reduction.
    Reduce,
    /// A dot or convolution.
    Product,
    /// A product or quotient.
    Scale,
    /// A sum or difference.
    Shift,
}

impl Head {
    /// Is an operator of this kind one of them?
    pub fn accepts(self, kind: u16) -> bool {
        const MUL: u16 = view::BINARY + Binary::Mul as u16;
        const DIV: u16 = view::BINARY + Binary::Div as u16;
        const ADD: u16 = view::BINARY + Binary::Add as u16;
        const SUB: u16 = view::BINARY + Binary::Sub as u16;
        match self {
            Head::Kind(k) => kind == k,
            Head::Unary => kind < view::BINARY,
            Head::Binary => (view::BINARY..view::REDUCE).contains(&kind),
            Head::Reduce => (view::REDUCE..view::INPUT).contains(&kind),
            Head::Product => matches!(kind, DOT | CONVOLUTION),
            Head::Scale => matches!(kind, MUL | DIV),
            Head::Shift => matches!(kind, ADD | SUB),
        }
    }

    /// The kinds that it accepts.
    pub fn kinds(self) -> Vec<u16> {
        let reductions =
            [Combine::Sum, Combine::Product, Combine::Max, Combine::Min, Combine::Any, Combine::All];
        match self {
            Head::Kind(k) => vec![k],
            Head::Product => vec![DOT, CONVOLUTION],
            Head::Scale => vec![kind(&Binary::Mul.into()), kind(&Binary::Div.into())],
            Head::Shift => vec![kind(&Binary::Add.into()), kind(&Binary::Sub.into())],
            Head::Unary => op::Unary::ALL.iter().map(|&f| kind(&f.into())).collect(),
            Head::Binary => op::Binary::ALL.iter().map(|&f| kind(&f.into())).collect(),
            Head::Reduce => {
                reductions.iter().map(|&combine| kind(&op::Reduce { combine, axes: vec![] }.into())).collect()
            }
        }
    }
}

/// A pattern, or a template of a right-hand side.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Any value.
    Var(u8),
    /// A value whose elements are all this number; on the right, of the type of a variable or of the root.
    Number(f64, Option<u8>),
    /// An operator, by a label if it has attributes or is a wildcard.
    Node {
        /// Which operators.
        head: Head,
        /// What to build on the right if there is no label.
        op: Option<Op>,
        /// The name of the matched operator.
        label: Option<u8>,
        /// Patterns of the operands.
        children: Vec<Pattern>,
    },
}

/// The names of variables and labels of a rule.
#[derive(Clone, Debug, Default)]
pub struct Names {
    vars: Vec<&'static str>,
    labels: Vec<&'static str>,
}

const MAX_VARS: usize = 8;
const MAX_LABELS: usize = 6;
const UNBOUND: Class = Class::MAX;

impl Names {
    fn intern(list: &mut Vec<&'static str>, name: &'static str, max: usize) -> u8 {
        let i = list.iter().position(|n| *n == name).unwrap_or_else(|| {
            list.push(name);
            assert!(list.len() <= max, "too many names in a pattern: {list:?}");
            list.len() - 1
        });
        i as u8
    }

    /// The names of labels.
    pub fn label(&self, i: u8) -> &'static str {
        self.labels[i as usize]
    }
}

/// Reads a pattern. The texts are those of the rules of this crate.
///
/// # Panics
/// If it is none.
pub fn parse(text: &'static str, names: &mut Names) -> Pattern {
    let mut rest = text;
    let pattern = parse_one(&mut rest, names, text);
    assert!(rest.trim().is_empty(), "pattern `{text}`: unexpected `{rest}`");
    pattern
}

fn token(rest: &mut &'static str) -> &'static str {
    *rest = rest.trim_start();
    let end = match rest.as_bytes().first() {
        Some(b'(' | b')') => 1,
        _ => rest.find([' ', '(', ')']).unwrap_or(rest.len()),
    };
    let (token, after) = rest.split_at(end);
    *rest = after;
    token
}

fn parse_one(rest: &mut &'static str, names: &mut Names, text: &str) -> Pattern {
    let first = token(rest);
    if let Some(name) = first.strip_prefix('?') {
        return Pattern::Var(Names::intern(&mut names.vars, name, MAX_VARS));
    }
    if first != "(" {
        let (number, like) = first.split_once(':').map_or((first, None), |(n, l)| (n, Some(l)));
        let value = number.parse().unwrap_or_else(|_| panic!("pattern `{text}`: `{first}` is no number"));
        return Pattern::Number(value, like.map(|l| Names::intern(&mut names.vars, l, MAX_VARS)));
    }
    let word = token(rest);
    let (name, label) = match word.split_once(':') {
        Some((name, label)) => (name, Some(Names::intern(&mut names.labels, label, MAX_LABELS))),
        None => (word, None),
    };
    let (head, op) = head(name).unwrap_or_else(|| panic!("pattern `{text}`: there is no operator `{name}`"));
    let mut children = vec![];
    loop {
        let mut ahead = *rest;
        match token(&mut ahead) {
            ")" => {
                *rest = ahead;
                return Pattern::Node { head, op, label, children };
            }
            "" => panic!("pattern `{text}`: a parenthesis is missing"),
            _ => children.push(parse_one(rest, names, text)),
        }
    }
}

/// The operator of this name, with itself if it has no attributes.
pub fn head(name: &str) -> Option<(Head, Option<Op>)> {
    let of = |op: Op| Some((Head::Kind(kind(&op)), Some(op)));
    if let Some(&f) = op::Unary::ALL.iter().find(|f| f.text() == name) {
        return of(f.into());
    }
    if let Some(&f) = op::Binary::ALL.iter().find(|f| f.text() == name) {
        return of(f.into());
    }
    let reduction = |combine| Some((Head::Kind(kind(&op::Reduce { combine, axes: vec![] }.into())), None));
    match name {
        "unary" => Some((Head::Unary, None)),
        "binary" => Some((Head::Binary, None)),
        "reduce" => Some((Head::Reduce, None)),
        "product" => Some((Head::Product, None)),
        "scale" => Some((Head::Scale, None)),
        "shift" => Some((Head::Shift, None)),
        "reduce_sum" => reduction(Combine::Sum),
        "reduce_product" => reduction(Combine::Product),
        "reduce_max" => reduction(Combine::Max),
        "reduce_min" => reduction(Combine::Min),
        "reduce_any" => reduction(Combine::Any),
        "reduce_all" => reduction(Combine::All),
        "select" => of(op::Select.into()),
        "stop_gradient" => of(op::StopGradient.into()),
        "iota" => Some((Head::Kind(147), None)),
        "convert" => Some((Head::Kind(150), None)),
        "reshape" => Some((Head::Kind(151), None)),
        "transpose" => Some((Head::Kind(152), None)),
        "broadcast" => Some((Head::Kind(153), None)),
        "slice" => Some((Head::Kind(154), None)),
        "pad" => Some((Head::Kind(155), None)),
        "concatenate" => Some((Head::Kind(156), None)),
        "reverse" => Some((Head::Kind(157), None)),
        "dot" => Some((Head::Kind(DOT), None)),
        "gather" => Some((Head::Kind(160), None)),
        "convolution" => Some((Head::Kind(CONVOLUTION), None)),
        "window_sum" => Some((Head::Kind(192 + Combine::Sum as u16), None)),
        "window_max" => Some((Head::Kind(192 + Combine::Max as u16), None)),
        _ => None,
    }
}

/// What variables and labels stand for.
#[derive(Clone, Copy)]
struct Bound<'a> {
    vars: [Class; MAX_VARS],
    ops: [Option<&'a Op>; MAX_LABELS],
}

/// A place where a pattern fits.
pub struct Match<'a> {
    /// Where.
    pub view: &'a dyn View,
    /// The class that is rewritten.
    pub root: Class,
    bound: Bound<'a>,
    names: &'a Names,
}

macro_rules! op_of {
    ($($name:ident: $variant:ident),*) => {$(
        /// The matched operator of this label, with its attributes.
        pub fn $name(&self, label: &str) -> &'a op::$variant {
            match self.op(label) {
                Op::$variant(op) => op,
                other => panic!("`{label}` is {other:?}"),
            }
        }
    )*};
}

impl<'a> Match<'a> {
    /// The class of a variable.
    pub fn class(&self, var: &str) -> Class {
        let i =
            self.names.vars.iter().position(|v| *v == var).unwrap_or_else(|| panic!("there is no `?{var}`"));
        self.bound.vars[i]
    }

    /// The type of a variable.
    pub fn ty(&self, var: &str) -> Type {
        self.view.ty(self.class(var))
    }

    /// The value of all elements of a variable, if known.
    pub fn splat(&self, var: &str) -> Option<Scalar> {
        self.view.splat(self.class(var))
    }

    /// The type of what is rewritten.
    pub fn root_ty(&self) -> Type {
        self.view.ty(self.root)
    }

    /// Is what is rewritten of a float type?
    pub fn is_float(&self) -> bool {
        self.root_ty().dtype.is_float()
    }

    /// The matched operator of this label.
    pub fn op(&self, label: &str) -> &'a Op {
        let i = self.names.labels.iter().position(|v| *v == label);
        i.and_then(|i| self.bound.ops[i]).unwrap_or_else(|| panic!("there is no label `{label}`"))
    }

    op_of!(
        dot: Dot, reduction: Reduce, transpose: Transpose, broadcast: Broadcast, slice: Slice,
        convolution: Convolution, windows: WindowReduce, pad: Pad
    );

    /// The right-hand side, with the operators that `compute` gives for labels; `None` if it gives none.
    pub fn instantiate(
        &self,
        rhs: &Pattern,
        compute: &dyn Fn(&Match<'_>, &str) -> Option<Option<Op>>,
    ) -> Option<Term> {
        Some(match rhs {
            Pattern::Var(v) => Term::Class(self.bound.vars[*v as usize]),
            Pattern::Number(value, like) => {
                let ty = like.map_or_else(|| self.root_ty(), |v| self.view.ty(self.bound.vars[v as usize]));
                Term::fill(ty, Scalar::from_f64(ty.dtype, *value))
            }
            Pattern::Node { op, label, children, .. } => {
                let op = match label {
                    None => op.clone().expect("an operator with attributes has a label"),
                    Some(l) => match compute(self, self.names.label(*l)) {
                        Some(computed) => computed?,
                        None => self.bound.ops[*l as usize].expect("a label of the left-hand side").clone(),
                    },
                };
                let children =
                    children.iter().map(|c| self.instantiate(c, compute)).collect::<Option<Vec<_>>>()?;
                Term::Node(op, children)
            }
        })
    }
}

/// Patterns that have still to fit.
struct Rest<'r> {
    patterns: &'r [Pattern],
    classes: &'r [Class],
    next: Option<&'r Rest<'r>>,
}

/// Nodes that a search at one class looks at, at most: where classes are large, deep patterns fit in too many ways.
const LOOKS: usize = 4000;

struct Search<'a, 'f> {
    view: &'a dyn View,
    /// How many nodes it may still look at.
    looks: usize,
    found: &'f mut dyn FnMut(Bound<'a>) -> bool,
}

/// Calls `found` with every match at `root`, until it returns false.
pub fn search<'a>(
    view: &'a dyn View,
    pattern: &Pattern,
    names: &'a Names,
    root: Class,
    found: &mut dyn FnMut(Match<'a>) -> bool,
) {
    let bound = Bound { vars: [UNBOUND; MAX_VARS], ops: [None; MAX_LABELS] };
    let found = &mut |bound| found(Match { view, root, bound, names });
    Search { view, looks: LOOKS, found }.fit(pattern, root, None, bound);
}

impl<'a> Search<'a, '_> {
    /// False to stop.
    fn fit(
        &mut self,
        pattern: &Pattern,
        class: Class,
        rest: Option<&Rest<'_>>,
        mut bound: Bound<'a>,
    ) -> bool {
        match pattern {
            Pattern::Var(v) => {
                let slot = &mut bound.vars[*v as usize];
                if *slot != UNBOUND && *slot != class {
                    return true;
                }
                *slot = class;
                self.next(rest, bound)
            }
            Pattern::Number(value, _) => {
                let fits = self.view.splat(class).is_some_and(|s| {
                    let s = s.to_f64();
                    s == *value && (*value != 0.0 || value.is_sign_positive() || s.is_sign_negative())
                });
                !fits || self.next(rest, bound)
            }
            Pattern::Node { head, label, children, .. } => {
                for i in 0..self.view.count(class) {
                    if self.looks == 0 {
                        return false;
                    }
                    self.looks -= 1;
                    if !head.accepts(self.view.kind(class, i)) {
                        continue;
                    }
                    let (op, mut classes) = self.view.node(class, i);
                    if classes.len() != children.len() {
                        continue;
                    }
                    let mut bound = bound;
                    if let Some(l) = label {
                        let slot = &mut bound.ops[*l as usize];
                        if slot.is_some_and(|o| o != op) {
                            continue;
                        }
                        *slot = Some(op);
                    }
                    if !self.next(Some(&Rest { patterns: children, classes: &classes, next: rest }), bound) {
                        return false;
                    }
                    if is_commutative(op) && classes[0] != classes[1] {
                        classes.swap(0, 1);
                        if !self
                            .next(Some(&Rest { patterns: children, classes: &classes, next: rest }), bound)
                        {
                            return false;
                        }
                    }
                }
                true
            }
        }
    }

    fn next(&mut self, rest: Option<&Rest<'_>>, bound: Bound<'a>) -> bool {
        match rest {
            None => (self.found)(bound),
            Some(Rest { patterns: [], next, .. }) => self.next(*next, bound),
            Some(Rest { patterns: [first, patterns @ ..], classes, next }) => self.fit(
                first,
                classes[0],
                Some(&Rest { patterns, classes: &classes[1..], next: *next }),
                bound,
            ),
        }
    }
}
