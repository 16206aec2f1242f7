//! What rules see: classes of equal values, each with the operators that compute it. In a graph, a class has one.

use bespoke_graph::{Op, op};
use bespoke_loops::Combine;
use bespoke_tensor::{Scalar, Shape, Tensor, Type};
use smallvec::SmallVec;

/// A class of equal values.
pub type Class = u32;
/// The operands of a node.
pub type Children = SmallVec<[Class; 3]>;

/// A graph or an e-graph, as rules see it.
pub trait View {
    /// The type of the class's values.
    fn ty(&self, class: Class) -> Type;
    /// The value that all elements have, if that is known.
    fn splat(&self, class: Class) -> Option<Scalar>;
    /// The number of nodes in the class.
    fn count(&self, class: Class) -> usize;
    /// A node of the class.
    fn node(&self, class: Class, i: usize) -> (&Op, Children);
    /// The kind of a node's operator: what most attempts to match look at only.
    fn kind(&self, class: Class, i: usize) -> u16;
    /// Has the class a node of one of these kinds? It may say yes where it has none.
    fn has(&self, class: Class, kinds: &Kinds) -> bool;
    /// The class of a node, if it exists.
    fn find(&self, op: &Op, children: &[Class]) -> Option<Class>;
    /// Has the class more than one user for certain, so that a copy of its computation would be work done twice? An
    /// e-graph says no: there, cost decides.
    fn is_shared(&self, class: Class) -> bool;
}

/// All nodes of a class.
pub fn nodes(view: &dyn View, class: Class) -> impl Iterator<Item = (&Op, Children)> {
    (0..view.count(class)).map(move |i| view.node(class, i))
}

/// An expression over classes: the right-hand side of a rewrite.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// What exists.
    Class(Class),
    /// An operator applied to terms. Operators that change nothing, such as a reshape to the same shape, vanish.
    Node(Op, Vec<Term>),
}

impl Term {
    /// An operator applied to terms.
    pub fn new(op: impl Into<Op>, operands: impl Into<Vec<Term>>) -> Term {
        Term::Node(op.into(), operands.into())
    }

    /// `value` in every element.
    pub fn fill(ty: Type, value: Scalar) -> Term {
        let value = value.convert(ty.dtype);
        let scalar = Term::new(op::Constant { value: Tensor::scalar(value) }, []);
        scalar.broadcast(ty.shape, vec![])
    }

    /// With other numbers for classes.
    pub fn map(&self, to: &dyn Fn(Class) -> Class) -> Term {
        match self {
            Term::Class(class) => Term::Class(to(*class)),
            Term::Node(op, operands) => Term::Node(op.clone(), operands.iter().map(|t| t.map(to)).collect()),
        }
    }

    /// Broadcast to a shape.
    pub fn broadcast(self, shape: Shape, axes: Vec<usize>) -> Term {
        Term::new(op::Broadcast { shape, axes }, [self])
    }

    /// Under another shape.
    pub fn reshape(self, shape: Shape) -> Term {
        Term::new(op::Reshape { shape }, [self])
    }

    /// With the axes in another order.
    pub fn transpose(self, permutation: Vec<usize>) -> Term {
        Term::new(op::Transpose { permutation }, [self])
    }

    /// One after the other along an axis.
    pub fn concatenate(parts: Vec<Term>, axis: usize) -> Term {
        Term::Node(op::Concatenate { axis }.into(), parts)
    }

    /// Of a value of this shape, `extent` positions from `start` along an axis.
    pub fn part(self, shape: Shape, axis: usize, start: usize, extent: usize) -> Term {
        let (mut from, mut limit) = (vec![0; shape.rank()], shape.to_vec());
        (from[axis], limit[axis]) = (start, start + extent);
        Term::new(op::Slice { start: from, limit, step: vec![1; shape.rank()] }, [self])
    }

    /// Reduced over axes, in any order.
    pub fn reduce(self, combine: Combine, mut axes: Vec<usize>) -> Term {
        axes.sort_unstable();
        Term::new(op::Reduce { combine, axes }, [self])
    }
}

/// Does the operator give its first operand, of type `x`, as it is?
pub fn is_identity(op: &Op, x: &Type) -> bool {
    match op {
        Op::Reshape(r) => r.shape == x.shape,
        Op::Broadcast(b) => b.shape == x.shape,
        Op::Transpose(t) => t.permutation.iter().enumerate().all(|(i, &p)| i == p),
        Op::Convert(c) => c.dtype == x.dtype,
        Op::Reduce(r) => r.axes.is_empty(),
        Op::Reverse(r) => r.axes.iter().all(|&a| x.shape[a] <= 1),
        Op::Slice(s) => (0..x.rank()).all(|a| s.start[a] == 0 && s.limit[a] == x.shape[a] && s.step[a] == 1),
        Op::Pad(p) => p.low.iter().chain(&p.high).chain(&p.inner).all(|&n| n == 0),
        Op::StopGradient(_) => true,
        _ => false,
    }
}

/// May the two operands change places?
pub fn is_commutative(op: &Op) -> bool {
    use op::Binary::{Add, And, Eq, Mul, MulHigh, Ne, Or, Xor};
    matches!(op, Op::Binary(Add | Mul | Eq | Ne | And | Or | Xor | MulHigh))
}

/// The first kind of a binary operator; unary ones come before.
pub const BINARY: u16 = 64;
/// The first kind of a reduction.
pub const REDUCE: u16 = 128;
/// The kind of an input: the first after the reductions.
pub const INPUT: u16 = 144;

/// The number of an operator's name; attributes do not count.
pub fn kind(op: &Op) -> u16 {
    match op {
        Op::Unary(f) => *f as u16,
        Op::Binary(f) => BINARY + *f as u16,
        Op::Reduce(r) => REDUCE + r.combine as u16,
        Op::Input(_) => INPUT,
        Op::StateRead(_) => 145,
        Op::Constant(_) => 146,
        Op::Iota(_) => 147,
        Op::RandomBits(_) => 148,
        Op::Select(_) => 149,
        Op::Convert(_) => 150,
        Op::Reshape(_) => 151,
        Op::Transpose(_) => 152,
        Op::Broadcast(_) => 153,
        Op::Slice(_) => 154,
        Op::Pad(_) => 155,
        Op::Concatenate(_) => 156,
        Op::Reverse(_) => 157,
        Op::ArgReduce(_) => 158,
        Op::Dot(_) => 159,
        Op::Gather(_) => 160,
        Op::ScatterAdd(_) => 161,
        Op::StopGradient(_) => 162,
        Op::Convolution(_) => 163,
        Op::WindowReduce(r) => 192 + r.combine as u16,
        Op::WindowArg(_) => 199,
        Op::DynamicSlice(_) => 200,
        Op::DynamicUpdate(_) => 201,
        Op::ArgSort(_) => 202,
        Op::Cumulative(c) => 203 + c.combine as u16,
        Op::Scan(_) => 164,
        Op::Barrier(_) => 180,
        Op::Custom(_) => 181,
    }
}

/// Kinds are below this.
pub const KINDS: usize = 211;

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Kinds([u64; KINDS.div_ceil(64)]);

impl Kinds {
    /// Adds one.
    pub fn insert(&mut self, kind: u16) {
        self.0[usize::from(kind / 64)] |= 1 << (kind % 64);
    }

    /// Is it one of them?
    pub fn contains(&self, kind: u16) -> bool {
        self.0[usize::from(kind / 64)] >> (kind % 64) & 1 == 1
    }

    /// Have both sets one in common?
    pub fn meets(&self, other: &Kinds) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0..KINDS as u16).filter(|&kind| self.contains(kind))
    }
}

impl FromIterator<u16> for Kinds {
    fn from_iter<I: IntoIterator<Item = u16>>(kinds: I) -> Kinds {
        let mut all = Kinds::default();
        kinds.into_iter().for_each(|kind| all.insert(kind));
        all
    }
}

/// The value of all elements of an operator's result, if it follows from those of its operands.
pub fn splat(op: &Op, operands: &[Type], splats: &[Option<Scalar>], ty: &Type) -> Option<Scalar> {
    use bespoke_graph::Operator;
    let known = |i: usize| splats.get(i).copied().flatten();
    let scalar = Type::scalar(ty.dtype);
    match op {
        Op::Constant(c) => {
            let first = (c.value.elements() > 0 && c.value.elements() <= 1024).then(|| c.value.get(0))?;
            c.value.scalars().all(|s| s == first).then_some(first)
        }
        Op::Unary(_) | Op::Binary(_) | Op::Convert(_) => {
            let values: Option<Vec<Tensor>> = splats.iter().map(|s| s.map(Tensor::scalar)).collect();
            Some(op.eval(&values?.iter().collect::<Vec<_>>(), scalar).get(0))
        }
        Op::Select(_) => match known(0)?.to_i64()? {
            0 => known(2),
            _ => known(1),
        },
        Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Broadcast(_)
        | Op::Slice(_)
        | Op::Reverse(_)
        | Op::StopGradient(_) => known(0),
        Op::Gather(_) => known(0),
        Op::Pad(_) => known(0).filter(|&v| known(1) == Some(v)),
        Op::Concatenate(_) => known(0).filter(|v| splats.iter().all(|s| s.as_ref() == Some(v))),
        Op::Reduce(r) => {
            let extent: usize = r.axes.iter().map(|&a| operands[0].shape[a]).product();
            let value = known(0)?;
            match r.combine {
                _ if extent == 0 => Some(r.combine.identity(ty.dtype)),
                Combine::Max | Combine::Min | Combine::Any | Combine::All => Some(value),
                Combine::Sum if ty.dtype.is_float() => {
                    Some(Scalar::from_f64(ty.dtype, value.to_f64() * extent as f64))
                }
                _ => None,
            }
        }
        Op::Dot(d) if ty.dtype.is_float() => {
            let extent: usize = d.contract.0.iter().map(|&a| operands[0].shape[a]).product();
            let product = known(0)?.to_f64() * known(1)?.to_f64();
            Some(Scalar::from_f64(ty.dtype, if extent == 0 { 0.0 } else { extent as f64 * product }))
        }
        _ => None,
    }
}
