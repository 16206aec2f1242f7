//! The cheapest order in which to multiply and sum the factors of a product: each sum is moved inwards over the factors that do
//! not depend on its index, and pairs of factors are contracted in the best order, found by dynamic programming over sets of
//! factors.

use bespoke_graph::{op, op::Binary, op::Dot, op::Unary};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Scalar, Shape, Type};
use smallvec::SmallVec;

use super::product::{Factor, Index, ONE, Product};
use crate::{Machine, cost, view::Term};

/// A normal form is the same for every machine.
const MACHINE: Machine = Machine::fixed();

/// A set of indices.
type Set = u64;

fn set(indices: impl IntoIterator<Item = Index>) -> Set {
    indices.into_iter().filter(|&i| i != ONE).fold(0, |set, i| set | 1 << i)
}

fn without_ones(indices: &[Index]) -> Vec<Index> {
    indices.iter().copied().filter(|&i| i != ONE).collect()
}

/// A part of a product, computed.
struct Part {
    term: Term,
    /// The index of each axis.
    indices: Vec<Index>,
    /// Is it to be divided by?
    inverted: bool,
}

/// How a set of factors is computed best.
#[derive(Clone, Copy)]
struct Best {
    cost: f64,
    /// One of the two sets that are computed first; 0 for one factor.
    first: usize,
    /// The indices that are left.
    indices: Set,
    inverted: bool,
}

/// What sets are made of.
struct Leaf<'a> {
    indices: Set,
    content: Content<'a>,
}

enum Content<'a> {
    /// Factors of one power and the same indices, which are multiplied first: (a·b)².
    Factors(SmallVec<[&'a Factor; 2]>),
    Delta([Index; 2]),
}

impl Leaf<'_> {
    fn power(&self) -> i8 {
        match &self.content {
            Content::Factors(factors) => factors[0].power,
            Content::Delta(_) => 1,
        }
    }
}

/// Factors to a power of more than one are put together.
fn leaves(product: &Product) -> SmallVec<[Leaf<'_>; 8]> {
    let mut leaves: SmallVec<[Leaf<'_>; 8]> = SmallVec::new();
    for factor in &product.factors {
        let indices = set(factor.indices.iter().copied());
        let fits = |l: &&mut Leaf<'_>| {
            l.indices == indices && l.power() == factor.power && factor.power.unsigned_abs() > 1
        };
        match leaves.iter_mut().find(fits) {
            Some(Leaf { content: Content::Factors(factors), .. }) => factors.push(factor),
            _ => leaves.push(Leaf { indices, content: Content::Factors([factor].into_iter().collect()) }),
        }
    }
    let deltas = product.deltas.iter().map(|&d| Leaf { indices: set(d), content: Content::Delta(d) });
    leaves.extend(deltas);
    leaves
}

/// Everything that is known while a product is planned.
struct Plan<'a> {
    product: &'a Product,
    dtype: DType,
    leaves: SmallVec<[Leaf<'a>; 8]>,
    best: Vec<Best>,
    /// With what repeated indices give.
    coefficient: f64,
    /// The leaf that the coefficient is multiplied with, if not the whole.
    scaled: Option<usize>,
}

/// A term for a product: its value has axes as `product.result`. `None` where it has none, since a shape would be too large.
pub fn contract(product: &Product, dtype: DType) -> Option<Term> {
    let plan = Plan::new(product, dtype);
    plan.term()
}

impl<'a> Plan<'a> {
    fn new(product: &'a Product, dtype: DType) -> Plan<'a> {
        let leaves = leaves(product);
        // What is summed over, but nothing depends on.
        let used = leaves.iter().fold(0, |set, leaf| set | leaf.indices);
        let repeated = product.bound.iter().filter(|i| used >> **i & 1 == 0);
        let repeats = repeated.map(|&i| product.extents[i as usize] as f64).product::<f64>();
        let coefficient = product.coefficient * repeats;
        let mut plan = Plan { product, dtype, leaves, best: vec![], coefficient, scaled: None };
        plan.scaled = plan.smallest();
        let nothing = Best { cost: 0.0, first: 0, indices: 0, inverted: false };
        plan.best.push(nothing);
        for all in 1..1usize << plan.leaves.len() {
            plan.best.push(if all.is_power_of_two() { plan.leaf(all) } else { plan.cheapest(all) });
        }
        plan
    }

    /// The smallest factor, if it is smaller than the result: the coefficient goes there.
    fn smallest(&self) -> Option<usize> {
        let plain = (0..self.leaves.len()).filter(|&k| self.leaves[k].power() == 1);
        let elements = |leaf: usize| self.elements(self.leaves[leaf].indices);
        let smallest = plain.min_by(|&a, &b| elements(a).total_cmp(&elements(b)))?;
        let result = self.elements(set(self.product.result.iter().copied()));
        let worth = self.coefficient != 1.0 && self.coefficient != -1.0;
        (worth && elements(smallest) < result).then_some(smallest)
    }

    /// The indices that a set of leaves must leave, since something else has them.
    fn needed(&self, all: usize) -> Set {
        let others = self.leaves.iter().enumerate().filter(|(k, _)| all >> k & 1 == 0);
        others.fold(set(self.product.result.iter().copied()), |set, leaf| set | leaf.1.indices)
    }

    fn dims(&self, indices: Set) -> SmallVec<[usize; 8]> {
        let extents = self.product.extents.iter().enumerate();
        extents.filter(|(i, _)| indices >> i & 1 == 1).map(|(_, &d)| d).collect()
    }

    fn elements(&self, indices: Set) -> f64 {
        self.dims(indices).iter().map(|&d| d as f64).product()
    }

    /// Nanoseconds of elementwise work.
    fn elementwise(&self, flops: f64, indices: Set) -> f64 {
        cost::elementwise(&MACHINE, flops * self.elements(indices), self.dtype)
    }

    fn leaf(&self, all: usize) -> Best {
        let leaf = &self.leaves[all.trailing_zeros() as usize];
        let (power, indices) = (leaf.power(), leaf.indices);
        let left = indices & self.needed(all);
        let count = match &leaf.content {
            Content::Factors(factors) => factors.len() as f64,
            Content::Delta(_) => 2.0,
        };
        let mut cost = self.elementwise(count - 1.0 + f64::from(power.unsigned_abs()) - 1.0, indices);
        let mut inverted = power < 0;
        if left != indices {
            if inverted {
                cost += self.elementwise(cost::DIVISION, indices);
                inverted = false;
            }
            cost += cost::reduction(&MACHINE, self.elements(indices), self.dtype);
        }
        Best { cost, first: 0, indices: left, inverted }
    }

    fn cheapest(&self, all: usize) -> Best {
        let needed = self.needed(all);
        let mut best: Option<Best> = None;
        let mut first = (all - 1) & all;
        while first > 0 {
            let second = all & !first;
            // Each pair of sets once.
            if first > second {
                let found = self.pair(first, second, needed);
                if best.is_none_or(|b| found.cost < b.cost) {
                    best = Some(found);
                }
            }
            first = (first - 1) & all;
        }
        best.expect("a set of two leaves has two parts")
    }

    fn pair(&self, first: usize, second: usize, needed: Set) -> Best {
        let (a, b) = (&self.best[first], &self.best[second]);
        let union = a.indices | b.indices;
        let left = union & needed;
        let mut cost = a.cost + b.cost;
        let mut inverted = a.inverted && b.inverted;
        if left == union {
            let division = a.inverted != b.inverted;
            cost += self.elementwise(if division { cost::DIVISION } else { 1.0 }, union);
        } else {
            for part in [a, b].into_iter().filter(|p| p.inverted) {
                cost += self.elementwise(cost::DIVISION, part.indices);
            }
            inverted = false;
            cost += self.contraction(a.indices, b.indices, left);
        }
        Best { cost, first, indices: left, inverted }
    }

    /// Nanoseconds of Σ a·b.
    fn contraction(&self, a: Set, b: Set, left: Set) -> f64 {
        let union = self.elements(a | b);
        if a == b {
            return cost::reduction(&MACHINE, 2.0 * union, self.dtype);
        }
        let size = self.dtype.size() as f64;
        let bytes = [self.elements(a) + self.elements(b), self.elements(left)].map(|n| n * size);
        cost::dot(&MACHINE, 2.0 * union, bytes, self.dtype)
    }

    /// The indices of a set in the order of the result, then what is summed over.
    fn order(&self, indices: Set) -> Vec<Index> {
        let result = self.product.result.iter().copied().filter(|&i| i != ONE && indices >> i & 1 == 1);
        let mut order: Vec<Index> = result.collect();
        let rest = (0..self.product.extents.len() as Index).filter(|i| indices >> i & 1 == 1);
        let rest: Vec<Index> = rest.filter(|i| !order.contains(i)).collect();
        order.extend(rest);
        order
    }

    fn shape(&self, order: &[Index]) -> Option<Shape> {
        let dims: SmallVec<[usize; 8]> = order.iter().map(|&i| self.product.extents[i as usize]).collect();
        Shape::new(&dims).ok()
    }

    fn scalar(&self, value: f64) -> Term {
        Term::fill(Type::scalar(self.dtype), Scalar::from_f64(self.dtype, value))
    }

    /// A part with its axes in this order, repeated along those that it has not.
    fn align(&self, part: Part, order: &[Index]) -> Option<Term> {
        let place = |i: &Index| order.iter().position(|o| o == i);
        let mut permutation: Vec<usize> = (0..part.indices.len()).collect();
        permutation.sort_by_key(|&k| place(&part.indices[k]));
        let axes: Vec<usize> = permutation.iter().map(|&k| place(&part.indices[k])).collect::<Option<_>>()?;
        Some(part.term.transpose(permutation).broadcast(self.shape(order)?, axes))
    }

    fn build(&self, all: usize) -> Option<Part> {
        let best = &self.best[all];
        let indices = self.order(best.indices);
        if all.is_power_of_two() {
            return self.build_leaf(all.trailing_zeros() as usize, best);
        }
        let (a, b) = (self.build(best.first)?, self.build(all & !best.first)?);
        let (sa, sb) = (set(a.indices.iter().copied()), set(b.indices.iter().copied()));
        let union = match sa | sb {
            all if all & !set(self.product.result.iter().copied()) == 0 => self.order(all),
            all if all == sa => a.indices.clone(),
            all if all == sb => b.indices.clone(),
            all => self.order(all),
        };
        if best.indices == sa | sb {
            let (function, [a, b]) = match (a.inverted, b.inverted) {
                (false, true) => (Binary::Div, [a, b]),
                (true, false) => (Binary::Div, [b, a]),
                _ => (Binary::Mul, [a, b]),
            };
            let term = Term::new(function, [self.align(a, &union)?, self.align(b, &union)?]);
            return Some(Part { term, indices: union, inverted: best.inverted });
        }
        let (a, b) = (self.upright(a)?, self.upright(b)?);
        if sa == sb {
            let product = Term::new(Binary::Mul, [self.align(a, &union)?, self.align(b, &union)?]);
            let part = Part { term: product, indices: union, inverted: false };
            return Some(self.summed(part, best.indices));
        }
        // The operand whose own indices come first in the result is the left one.
        let own = |part: &Part, other: Set| {
            indices.iter().position(|i| part.indices.contains(i) && other >> i & 1 == 0)
        };
        let swapped = own(&a, sb) > own(&b, sa);
        let (a, b, sa, sb) = if swapped { (b, a, sb, sa) } else { (a, b, sa, sb) };
        let at = |part: &Part, chosen: &[Index]| {
            let place = |i: &Index| part.indices.iter().position(|p| p == i);
            chosen.iter().map(place).collect::<Option<Vec<usize>>>()
        };
        let shared = self.order(sa & sb);
        let (batch, contract): (Vec<Index>, Vec<Index>) =
            shared.into_iter().partition(|i| best.indices >> i & 1 == 1);
        let dot = Dot {
            batch: (at(&a, &batch)?, at(&b, &batch)?),
            contract: (at(&a, &contract)?, at(&b, &contract)?),
        };
        let free = |part: &Part, other: Set| {
            part.indices.iter().copied().filter(|i| other >> i & 1 == 0).collect::<Vec<_>>()
        };
        let indices = [batch, free(&a, sb), free(&b, sa)].concat();
        Some(Part { term: Term::new(dot, [a.term, b.term]), indices, inverted: false })
    }

    fn build_leaf(&self, leaf: usize, best: &Best) -> Option<Part> {
        let content = &self.leaves[leaf].content;
        let indices = match content {
            Content::Factors(factors) => without_ones(&factors[0].indices),
            Content::Delta(delta) => delta.to_vec(),
        };
        let shape = self.shape(&indices)?;
        let term = match content {
            Content::Delta(_) => {
                let counter = |axis| Term::new(op::Iota { ty: Type { dtype: DType::I32, shape }, axis }, []);
                let equal = Term::new(Binary::Eq, [counter(0), counter(1)]);
                Term::new(op::Convert { dtype: self.dtype }, [equal])
            }
            Content::Factors(factors) => {
                let mut term: Option<Term> = None;
                for factor in factors {
                    let value = self.align(self.value(factor)?, &indices)?;
                    term = Some(match term {
                        None => value,
                        Some(term) => Term::new(Binary::Mul, [term, value]),
                    });
                }
                let base = term?;
                let again = std::iter::repeat_n(&base, usize::from(factors[0].power.unsigned_abs()) - 1);
                again.fold(base.clone(), |term, base| Term::new(Binary::Mul, [term, base.clone()]))
            }
        };
        let mut part = Part { term, indices, inverted: self.leaves[leaf].power() < 0 };
        if self.scaled == Some(leaf) {
            part = self.scaled(part, self.coefficient)?;
        }
        if self.leaves[leaf].indices == best.indices {
            return Some(part);
        }
        Some(self.summed(self.upright(part)?, best.indices))
    }

    /// A factor's value without axes of extent 1.
    fn value(&self, factor: &Factor) -> Option<Part> {
        let indices = without_ones(&factor.indices);
        let term = Term::Class(factor.value.0).reshape(self.shape(&indices)?);
        Some(Part { term, indices, inverted: false })
    }

    /// 1/x of what is to be divided by.
    fn upright(&self, part: Part) -> Option<Part> {
        if !part.inverted {
            return Some(part);
        }
        let one = self.scalar(1.0).broadcast(self.shape(&part.indices)?, vec![]);
        Some(Part { term: Term::new(Binary::Div, [one, part.term]), inverted: false, ..part })
    }

    fn summed(&self, part: Part, left: Set) -> Part {
        let axes = (0..part.indices.len()).filter(|&k| left >> part.indices[k] & 1 == 0).collect();
        let indices = part.indices.iter().copied().filter(|i| left >> i & 1 == 1).collect();
        Part { term: part.term.reduce(Combine::Sum, axes), indices, inverted: part.inverted }
    }

    fn scaled(&self, part: Part, coefficient: f64) -> Option<Part> {
        let term = match coefficient {
            1.0 => part.term,
            -1.0 => Term::new(Unary::Neg, [part.term]),
            c => {
                let wide = self.scalar(c).broadcast(self.shape(&part.indices)?, vec![]);
                Term::new(Binary::Mul, [part.term, wide])
            }
        };
        Some(Part { term, ..part })
    }

    fn term(&self) -> Option<Term> {
        let product = self.product;
        let all = self.best.len() - 1;
        let part = if all == 0 {
            Part { term: self.scalar(self.coefficient), indices: vec![], inverted: false }
        } else {
            let part = self.upright(self.build(all)?)?;
            self.scaled(part, if self.scaled.is_some() { 1.0 } else { self.coefficient })?
        };
        let aligned = self.align(part, &without_ones(&product.result))?;
        let dims: Vec<usize> =
            product.result.iter().map(|&i| if i == ONE { 1 } else { product.extents[i as usize] }).collect();
        Some(aligned.reshape(Shape::new(&dims).ok()?))
    }
}
