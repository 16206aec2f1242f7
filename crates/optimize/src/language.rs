//! Graphs as an e-graph: the language, and what is known of each class.

use std::{cmp::Ordering, hash};

use bespoke_graph::{Op, Operator, op};
use bespoke_tensor::{Scalar, Tensor, Type};
use egg::{Analysis, DidMerge, Id, Language};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::{
    trace::FOLDED,
    view::{self, Children, Class, Kinds, Term, View},
};

/// The e-graph.
pub type EGraph = egg::EGraph<ENode, Knowledge>;

/// An operator, by its number in [`Knowledge`], and its operands.
#[derive(Clone, Debug)]
pub struct ENode {
    /// The operator's kind.
    pub kind: u16,
    /// The operator.
    pub op: u32,
    /// The operands.
    pub children: SmallVec<[Id; 3]>,
    /// The application of a rule that made it, from 1; 0 if it was given. It does not count for equality.
    pub origin: u32,
}

impl ENode {
    fn key(&self) -> (u16, u32, &[Id]) {
        (self.kind, self.op, &self.children)
    }
}

impl PartialEq for ENode {
    fn eq(&self, other: &ENode) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ENode {}

impl PartialOrd for ENode {
    fn partial_cmp(&self, other: &ENode) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ENode {
    fn cmp(&self, other: &ENode) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl hash::Hash for ENode {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Language for ENode {
    type Discriminant = u16;

    fn discriminant(&self) -> u16 {
        self.kind
    }

    fn matches(&self, other: &ENode) -> bool {
        self.op == other.op && self.children.len() == other.children.len()
    }

    fn children(&self) -> &[Id] {
        &self.children
    }

    fn children_mut(&mut self) -> &mut [Id] {
        &mut self.children
    }
}

/// The operators, and notes on what happens in the e-graph.
#[derive(Default)]
pub struct Knowledge {
    ops: Vec<Op>,
    numbers: FxHashMap<Op, u32>,
    /// Classes that are new or have got new nodes; not canonical.
    pub touched: Vec<Id>,
    /// The application of a rule that is under way.
    pub origin: u32,
    /// What a rule did wrong.
    error: Option<String>,
}

impl Knowledge {
    /// The operator of a node.
    pub fn op(&self, node: &ENode) -> &Op {
        self.number(node.op)
    }

    /// The operator of this number.
    pub fn number(&self, op: u32) -> &Op {
        &self.ops[op as usize]
    }

    /// The number of an operator, which may be new.
    pub fn intern(&mut self, op: Op) -> u32 {
        if let Some(&n) = self.numbers.get(&op) {
            return n;
        }
        self.ops.push(op.clone());
        let n = self.ops.len() as u32 - 1;
        self.numbers.insert(op, n);
        n
    }
}

/// What is known of the values of a class.
#[derive(Clone, Debug)]
pub struct Data {
    /// Their type.
    pub ty: Type,
    /// The value of all elements, if known.
    pub splat: Option<Scalar>,
    /// Is that constant a node of the class?
    filled: bool,
}

impl Analysis<ENode> for Knowledge {
    type Data = Data;

    fn make(egraph: &mut EGraph, node: &ENode, _: Id) -> Data {
        let types: SmallVec<[Type; 3]> = node.children.iter().map(|&c| egraph[c].data.ty).collect();
        let splats: SmallVec<[Option<Scalar>; 3]> =
            node.children.iter().map(|&c| egraph[c].data.splat).collect();
        let op = egraph.analysis.op(node);
        match op.infer(&types) {
            Ok(ty) => Data { ty, splat: view::splat(op, &types, &splats, &ty), filled: false },
            Err(rule) => {
                let message = format!("{}({types:?}): {rule}", op.name());
                egraph.analysis.error = Some(message);
                Data { ty: Type::scalar(bespoke_tensor::DType::Bool), splat: None, filled: true }
            }
        }
    }

    fn merge(&mut self, a: &mut Data, b: Data) -> DidMerge {
        assert_eq!(a.ty, b.ty, "equal values have equal types");
        let learned = a.splat.is_none() && b.splat.is_some();
        let taught = b.splat.is_none() && a.splat.is_some();
        a.splat = a.splat.or(b.splat);
        a.filled |= b.filled;
        DidMerge(learned, taught)
    }

    fn modify(egraph: &mut EGraph, id: Id) {
        egraph.analysis.touched.push(id);
        let data = &mut egraph[id].data;
        if let (Some(value), false) = (data.splat, data.filled) {
            data.filled = true;
            let shape = data.ty.shape;
            let scalar =
                insert(egraph, op::Constant { value: Tensor::scalar(value) }.into(), SmallVec::new());
            let constant = if shape.rank() == 0 {
                scalar
            } else {
                insert(egraph, op::Broadcast { shape, axes: vec![] }.into(), SmallVec::from_slice(&[scalar]))
            };
            egraph.union_trusted(id, constant, FOLDED);
        }
    }
}

fn insert(egraph: &mut EGraph, op: Op, children: SmallVec<[Id; 3]>) -> Id {
    let kind = view::kind(&op);
    let (op, origin) = (egraph.analysis.intern(op), egraph.analysis.origin);
    egraph.add(ENode { kind, op, children, origin })
}

/// Adds a node; the operands of commutative operators are sorted.
///
/// # Errors
/// If the operator does not take these operands.
pub fn add(egraph: &mut EGraph, op: Op, mut children: SmallVec<[Id; 3]>) -> Result<Id, String> {
    children.iter_mut().for_each(|c| *c = egraph.find(*c));
    if let Some(&x) = children.first()
        && view::is_identity(&op, &egraph[x].data.ty)
    {
        return Ok(x);
    }
    if view::is_commutative(&op) {
        children.sort_unstable();
    }
    let id = insert(egraph, op, children);
    match egraph.analysis.error.take() {
        Some(error) => Err(error),
        None => Ok(id),
    }
}

/// Adds a term.
///
/// # Errors
/// If it is ill-typed.
pub fn add_term(egraph: &mut EGraph, term: &Term) -> Result<Id, String> {
    match term {
        Term::Class(class) => Ok(egraph.find(Id::from(*class as usize))),
        Term::Node(op, operands) => {
            let children = operands.iter().map(|t| add_term(egraph, t)).collect::<Result<_, _>>()?;
            add(egraph, op.clone(), children)
        }
    }
}

/// The class of a term, if it is there.
pub fn find_term(egraph: &EGraph, term: &Term) -> Option<Id> {
    match term {
        Term::Class(class) => Some(egraph.find(Id::from(*class as usize))),
        Term::Node(op, operands) => {
            let children: SmallVec<[Id; 3]> =
                operands.iter().map(|t| find_term(egraph, t)).collect::<Option<_>>()?;
            match children.first() {
                Some(&x) if view::is_identity(op, &egraph[x].data.ty) => Some(x),
                _ => find(egraph, op, children),
            }
        }
    }
}

fn find(egraph: &EGraph, op: &Op, mut children: SmallVec<[Id; 3]>) -> Option<Id> {
    let number = *egraph.analysis.numbers.get(op)?;
    if view::is_commutative(op) {
        children.sort_unstable();
    }
    egraph.lookup(ENode { kind: view::kind(op), op: number, children, origin: 0 })
}

/// The e-graph as rules see it.
pub struct Seen<'a> {
    egraph: &'a EGraph,
    /// By id; none where a class has another name.
    classes: Vec<Option<&'a egg::EClass<ENode, Data>>>,
    /// The kinds of each class's nodes, likewise.
    kinds: Vec<Kinds>,
}

impl<'a> Seen<'a> {
    /// Of an e-graph that is rebuilt.
    pub fn new(egraph: &'a EGraph) -> Seen<'a> {
        let count = egraph.classes().map(|c| usize::from(c.id) + 1).max().unwrap_or(0);
        let (mut classes, mut kinds) = (vec![None; count], vec![Kinds::default(); count]);
        for class in egraph.classes() {
            classes[usize::from(class.id)] = Some(class);
            kinds[usize::from(class.id)] = class.nodes.iter().map(|n| n.kind).collect();
        }
        Seen { egraph, classes, kinds }
    }

    fn class(&self, class: Class) -> &'a egg::EClass<ENode, Data> {
        self.classes[class as usize].unwrap_or_else(|| &self.egraph[Id::from(class as usize)])
    }
}

/// The class of an id.
pub fn class(id: Id) -> Class {
    usize::from(id) as Class
}

impl View for Seen<'_> {
    fn ty(&self, class: Class) -> Type {
        self.class(class).data.ty
    }

    fn splat(&self, class: Class) -> Option<Scalar> {
        self.class(class).data.splat
    }

    fn count(&self, class: Class) -> usize {
        let class = self.class(class);
        // Of a number it does not matter how else it may be computed.
        if class.data.splat.is_some() && class.data.ty.rank() == 0 { 0 } else { class.nodes.len() }
    }

    fn has(&self, class: Class, kinds: &Kinds) -> bool {
        self.kinds[usize::from(self.class(class).id)].meets(kinds)
    }

    fn kind(&self, class: Class, i: usize) -> u16 {
        self.class(class).nodes[i].kind
    }

    fn node(&self, class: Class, i: usize) -> (&Op, Children) {
        let node = &self.class(class).nodes[i];
        (self.egraph.analysis.op(node), node.children.iter().map(|&c| self::class(c)).collect())
    }

    fn find(&self, op: &Op, children: &[Class]) -> Option<Class> {
        find(self.egraph, op, children.iter().map(|&c| Id::from(c as usize)).collect()).map(class)
    }

    fn is_shared(&self, _: Class) -> bool {
        false
    }
}
