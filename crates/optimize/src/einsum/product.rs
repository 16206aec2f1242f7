//! Products as coefficient × factors over named indices, summed over some of them.

use bespoke_graph::NodeId;
use smallvec::SmallVec;

/// The name of an index within a product.
pub type Index = u8;
/// The name of every axis of extent 1, which counts nothing.
pub const ONE: Index = u8::MAX;
/// More indices than this in one product are not looked at.
pub const MAX_INDICES: usize = 32;
/// More factors than this in one product are not looked at.
pub const MAX_FACTORS: usize = 7;

/// The indices of a value's axes.
pub type Indices = SmallVec<[Index; 4]>;

/// A value to a power.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Factor {
    /// The value.
    pub value: NodeId,
    /// The index of each of its axes.
    pub indices: Indices,
    /// Not 0.
    pub power: i8,
}

/// coefficient · Σ over `bound` of Π δ · Π factors, an element for each combination of the indices of `result`.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// A number.
    pub coefficient: f64,
    /// What is multiplied.
    pub factors: Vec<Factor>,
    /// Pairs of indices that must be equal: 1 where they are, else 0.
    pub deltas: Vec<[Index; 2]>,
    /// By index.
    pub extents: SmallVec<[usize; 8]>,
    /// The index of each axis of the value.
    pub result: Indices,
    /// What is summed over.
    pub bound: Indices,
    /// How many operators have been put together.
    pub operators: u32,
}

impl Product {
    /// One factor: a value of these extents.
    pub fn factor(value: NodeId, dims: &[usize]) -> Product {
        let mut product = Product::number(1.0, dims);
        let indices = product.result.clone();
        product.factors.push(Factor { value, indices, power: 1 });
        product
    }

    /// The same number in all elements.
    pub fn number(coefficient: f64, dims: &[usize]) -> Product {
        let mut product = Product {
            coefficient,
            factors: vec![],
            deltas: vec![],
            extents: SmallVec::new(),
            result: SmallVec::new(),
            bound: SmallVec::new(),
            operators: 0,
        };
        product.result = dims.iter().map(|&d| product.index(d)).collect();
        product
    }

    /// A new index.
    pub fn index(&mut self, extent: usize) -> Index {
        if extent == 1 {
            return ONE;
        }
        self.extents.push(extent);
        self.extents.len() as Index - 1
    }

    /// Multiplies by `other`, whose axes have these indices here; others are new. False if the product would be too large.
    pub fn multiply(&mut self, mut other: Product, indices: &[Index]) -> bool {
        let size = self.extents.len() + other.extents.len() - other.result.len().min(other.extents.len());
        if self.factors.len() + other.factors.len() + self.deltas.len() + other.deltas.len() > MAX_FACTORS
            || size > MAX_INDICES
        {
            return false;
        }
        let mut names: SmallVec<[Index; 8]> = SmallVec::from_elem(ONE, other.extents.len());
        for (&theirs, &ours) in other.result.iter().zip(indices) {
            if theirs != ONE {
                names[theirs as usize] = ours;
            }
        }
        for &b in &other.bound {
            names[b as usize] = self.index(other.extents[b as usize]);
            self.bound.push(names[b as usize]);
        }
        let rename = |i: &mut Index| {
            if *i != ONE {
                *i = names[*i as usize];
            }
        };
        other.factors.iter_mut().for_each(|f| f.indices.iter_mut().for_each(rename));
        other.deltas.iter_mut().flatten().for_each(rename);
        self.coefficient *= other.coefficient;
        self.factors.append(&mut other.factors);
        self.deltas.append(&mut other.deltas);
        self.operators += other.operators;
        true
    }

    /// The same with indices named in the order in which the result and the factors have them, so that equal products of one
    /// shape compare as equal.
    pub fn canonical(mut self) -> Product {
        let mut names: SmallVec<[Index; 8]> = SmallVec::from_elem(ONE, self.extents.len());
        let mut extents: SmallVec<[usize; 8]> = SmallVec::new();
        let factors = self.factors.iter().flat_map(|f| f.indices.iter());
        let all = self.result.iter().chain(factors).chain(self.deltas.iter().flatten()).chain(&self.bound);
        for &i in all.filter(|&&i| i != ONE) {
            if names[i as usize] == ONE {
                names[i as usize] = extents.len() as Index;
                extents.push(self.extents[i as usize]);
            }
        }
        let rename = |i: &mut Index| {
            if *i != ONE {
                *i = names[*i as usize];
            }
        };
        self.factors.iter_mut().for_each(|f| f.indices.iter_mut().for_each(rename));
        self.deltas.iter_mut().for_each(|d| {
            d.iter_mut().for_each(rename);
            d.sort_unstable();
        });
        self.result.iter_mut().chain(&mut self.bound).for_each(rename);
        self.factors.sort_unstable();
        self.deltas.sort_unstable();
        self.bound.sort_unstable();
        self.extents = extents;
        self
    }

    /// Are they equal but for the coefficient? Both must be canonical.
    pub fn is_multiple_of(&self, other: &Product) -> bool {
        self.factors == other.factors
            && self.deltas == other.deltas
            && self.result == other.result
            && self.bound == other.bound
            && self.extents == other.extents
    }

    /// Gives `index` another name, or none if some value then had one index twice.
    fn rename(&self, index: Index, to: Index) -> Option<Product> {
        let mut renamed = self.clone();
        for factor in &mut renamed.factors {
            if factor.indices.contains(&index) && factor.indices.contains(&to) {
                return None;
            }
            factor.indices.iter_mut().filter(|i| **i == index).for_each(|i| *i = to);
        }
        renamed.deltas.iter_mut().flatten().filter(|i| **i == index).for_each(|i| *i = to);
        renamed.bound.retain(|i| *i != index);
        Some(renamed)
    }

    /// Sums over what a δ allows one value of only; equal factors become powers. `never_zero` says of which values x/x is 1.
    pub fn simplify(&mut self, never_zero: &dyn Fn(NodeId) -> bool) {
        while let Some(renamed) = self.deltas.iter().enumerate().find_map(|(k, &[a, b])| {
            let substituted = |from: Index, to: Index| {
                let equal = self.extents[from as usize] == self.extents[to as usize];
                (equal && self.bound.contains(&from)).then(|| self.rename(from, to)).flatten()
            };
            let mut product = if a == b { Some(self.clone()) } else { None }
                .or_else(|| substituted(a, b))
                .or_else(|| substituted(b, a))?;
            product.deltas.remove(k);
            Some(product)
        }) {
            *self = renamed;
        }
        self.factors.sort_unstable();
        let mut merged: Vec<Factor> = vec![];
        for factor in self.factors.drain(..) {
            let same = |f: &&mut Factor| {
                let cancels = (f.power > 0) != (factor.power > 0);
                f.value == factor.value
                    && f.indices == factor.indices
                    && (!cancels || never_zero(factor.value))
            };
            match merged.iter_mut().find(same) {
                Some(f) => f.power = f.power.saturating_add(factor.power),
                None => merged.push(factor),
            }
        }
        merged.retain(|f| f.power != 0);
        self.factors = merged;
    }
}
