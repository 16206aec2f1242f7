//! Patterns: s-expressions over operator names, and the matcher for them.
//!
//! `(add (mul ?a ?b) (mul ?a ?c))`: `?a` stands for a value, the same everywhere; `#a` for one all of whose elements are known
//! to be the same number. `(reduce_sum:r ?x)` names the matched
//! operator with its attributes `r`. `(unary:f ?x)`, `(binary:f ?x ?y)` and `(reduce:r ?x)` match every function of that
//! arity, `product` a dot or convolution, `scale` a product or quotient, `shift` a sum or difference. A number matches a value all of whose elements are known to be that number; `0` matches −0 too, `-0` only −0.
//! On the right-hand side a number has the type of the rewritten value, `1:x` that of `?x`. The operands of `add`, `mul` and
//! other commutative operators match in both orders.

use bespoke_graph::{Op, op, op::Binary};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Type};

use crate::view::{self, Class, Kinds, Term, View, is_commutative, kind};

const DOT: u16 = 159;
const CONVOLUTION: u16 = 163;

/// A pattern, or a template of a right-hand side.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Any value.
    Var(u8),
    /// A value whose elements are all known to be one number.
    Constant(u8),
    /// A value whose elements are all this number; on the right, of the type of a variable or of the root.
    Number(f64, Option<u8>),
    /// An operator, by a label if it has attributes or is a wildcard.
    Node {
        /// Which operators.
        kinds: Kinds,
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
    if let Some(name) = first.strip_prefix('#') {
        return Pattern::Constant(Names::intern(&mut names.vars, name, MAX_VARS));
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
    let (kinds, op) = head(name).unwrap_or_else(|| panic!("pattern `{text}`: there is no operator `{name}`"));
    let mut children = vec![];
    loop {
        let mut ahead = *rest;
        match token(&mut ahead) {
            ")" => {
                *rest = ahead;
                return Pattern::Node { kinds, op, label, children };
            }
            "" => panic!("pattern `{text}`: a parenthesis is missing"),
            _ => children.push(parse_one(rest, names, text)),
        }
    }
}

/// The kinds of operators of this name, with the operator if it has no attributes.
pub fn head(name: &str) -> Option<(Kinds, Option<Op>)> {
    let of = |op: Op| Some((Kinds::from_iter([kind(&op)]), Some(op)));
    if let Some(&f) = op::Unary::ALL.iter().find(|f| f.text() == name) {
        return of(f.into());
    }
    if let Some(&f) = op::Binary::ALL.iter().find(|f| f.text() == name) {
        return of(f.into());
    }
    let binary = |f: &Binary| kind(&(*f).into());
    let kinds = match name {
        "unary" => op::Unary::ALL.iter().map(|&f| kind(&f.into())).collect(),
        "binary" => op::Binary::ALL.iter().map(binary).collect(),
        "reduce" => (view::REDUCE..view::INPUT).collect(),
        "product" => Kinds::from_iter([DOT, CONVOLUTION]),
        "scale" => [Binary::Mul, Binary::Div].iter().map(binary).collect(),
        "shift" => [Binary::Add, Binary::Sub].iter().map(binary).collect(),
        "select" => return of(op::Select.into()),
        "stop_gradient" => return of(op::StopGradient.into()),
        _ => Kinds::from_iter([match name {
            "reduce_sum" => view::REDUCE + Combine::Sum as u16,
            "reduce_product" => view::REDUCE + Combine::Product as u16,
            "reduce_max" => view::REDUCE + Combine::Max as u16,
            "reduce_min" => view::REDUCE + Combine::Min as u16,
            "reduce_any" => view::REDUCE + Combine::Any as u16,
            "reduce_all" => view::REDUCE + Combine::All as u16,
            "iota" => 147,
            "convert" => 150,
            "reshape" => 151,
            "transpose" => 152,
            "broadcast" => 153,
            "slice" => 154,
            "pad" => 155,
            "concatenate" => 156,
            "reverse" => 157,
            "dot" => DOT,
            "gather" => 160,
            "convolution" => CONVOLUTION,
            "window_sum" => 192 + Combine::Sum as u16,
            "window_max" => 192 + Combine::Max as u16,
            _ => return None,
        }]),
    };
    Some((kinds, None))
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
            Pattern::Var(v) | Pattern::Constant(v) => Term::Class(self.bound.vars[*v as usize]),
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
    bound: Bound<'a>,
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
    let mut search = Search { view, looks: LOOKS, bound, found };
    if search.may_fit(pattern, root) {
        search.fit(pattern, root, None);
    }
}

impl<'a> Search<'a, '_> {
    /// What can be said at once, before anything else is matched. Of what is no node this is all, but that a variable may be
    /// bound on the way there.
    fn may_fit(&self, pattern: &Pattern, class: Class) -> bool {
        let is_free = |v: &u8| [UNBOUND, class].contains(&self.bound.vars[*v as usize]);
        match pattern {
            Pattern::Var(v) => is_free(v),
            Pattern::Constant(v) => is_free(v) && self.view.splat(class).is_some(),
            Pattern::Number(value, _) => self.view.splat(class).is_some_and(|s| {
                let s = s.to_f64();
                s == *value && (*value != 0.0 || value.is_sign_positive() || s.is_sign_negative())
            }),
            Pattern::Node { kinds, .. } => self.view.has(class, kinds),
        }
    }

    /// Matches a class that [may fit](Search::may_fit), and what follows. False to stop.
    fn fit(&mut self, pattern: &Pattern, class: Class, rest: Option<&Rest<'_>>) -> bool {
        match pattern {
            Pattern::Var(v) | Pattern::Constant(v) => {
                let v = *v as usize;
                let was = self.bound.vars[v];
                if was != UNBOUND && was != class {
                    return true;
                }
                self.bound.vars[v] = class;
                let go_on = self.next(rest);
                self.bound.vars[v] = was;
                go_on
            }
            Pattern::Number(..) => self.next(rest),
            Pattern::Node { kinds, label, children, .. } => {
                for i in 0..self.view.count(class) {
                    if self.looks == 0 {
                        return false;
                    }
                    self.looks -= 1;
                    if !kinds.contains(self.view.kind(class, i)) {
                        continue;
                    }
                    let (op, mut classes) = self.view.node(class, i);
                    if classes.len() != children.len() {
                        continue;
                    }
                    let was = label.map(|l| self.bound.ops[l as usize]);
                    if let (Some(l), Some(was)) = (label, was) {
                        if was.is_some_and(|o| o != op) {
                            continue;
                        }
                        self.bound.ops[*l as usize] = Some(op);
                    }
                    let mut go_on = self.fit_operands(children, &classes, rest);
                    if go_on && is_commutative(op) && classes[0] != classes[1] {
                        classes.swap(0, 1);
                        go_on = self.fit_operands(children, &classes, rest);
                    }
                    if let (Some(l), Some(was)) = (label, was) {
                        self.bound.ops[*l as usize] = was;
                    }
                    if !go_on {
                        return false;
                    }
                }
                true
            }
        }
    }

    fn fit_operands(&mut self, patterns: &[Pattern], classes: &[Class], rest: Option<&Rest<'_>>) -> bool {
        let may_fit = patterns.iter().zip(classes).all(|(pattern, &class)| self.may_fit(pattern, class));
        !may_fit || self.next(Some(&Rest { patterns, classes, next: rest }))
    }

    fn next(&mut self, rest: Option<&Rest<'_>>) -> bool {
        match rest {
            None => (self.found)(self.bound),
            Some(Rest { patterns: [], next, .. }) => self.next(*next),
            Some(Rest { patterns: [first, patterns @ ..], classes, next }) => {
                self.fit(first, classes[0], Some(&Rest { patterns, classes: &classes[1..], next: *next }))
            }
        }
    }
}
