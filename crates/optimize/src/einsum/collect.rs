//! What each value is as a product: multiplications, divisions, broadcasts, transposes, sums and dots put together.

use bespoke_graph::{
    Graph, NodeId, Op,
    op::{Binary, Unary},
};
use bespoke_loops::Combine;

use super::product::{Index, Indices, ONE, Product};
use crate::view::View;

/// The values of a graph as products.
pub struct Products<'a> {
    graph: &'a Graph,
    view: &'a dyn View,
    users: Vec<u32>,
    /// Of values that multiplication and its like make.
    pub of: Vec<Option<Product>>,
    /// The terms of sums and differences, of which no two are multiples of each other.
    pub sums: Vec<Option<Sum>>,
    /// Is the value part of the product of each of its users?
    pub inlined: Vec<bool>,
}

/// A sum of products.
pub struct Sum {
    /// The terms; they are canonical.
    pub terms: Vec<Product>,
    /// Have terms been put together?
    pub merged: bool,
}

/// Sums of more terms are not looked at.
const MAX_TERMS: usize = 8;

impl<'a> Products<'a> {
    /// Looks at all live values.
    pub fn collect(graph: &'a Graph, view: &'a dyn View) -> Products<'a> {
        let live = graph.live();
        let mut users = vec![0; graph.len()];
        let mut inlined = vec![true; graph.len()];
        for id in graph.ids().filter(|id| live[id.index()]) {
            graph.node(id).inputs.iter().for_each(|i| users[i.index()] += 1);
        }
        for root in graph.roots() {
            users[root.index()] += 1;
            inlined[root.index()] = false;
        }
        let mut all = Products { graph, view, users, of: vec![None; graph.len()], sums: vec![], inlined };
        all.sums.resize_with(graph.len(), || None);
        for id in graph.ids().filter(|id| live[id.index()]) {
            let ty = graph.ty(id);
            let looked_at = ty.dtype.is_float() && ty.elements() > 0;
            let product = if looked_at { all.product(id) } else { None };
            if product.is_none() && all.sums[id.index()].is_none() {
                graph.node(id).inputs.iter().for_each(|i| all.inlined[i.index()] = false);
            }
            all.of[id.index()] = product;
        }
        all
    }

    /// An operand as a product. A sum that others need as well is left alone, unless it sums nothing.
    fn operand(&mut self, id: NodeId) -> Product {
        let dims = self.graph.ty(id).shape;
        if let Some(value) = self.view.splat(id.0).map(|v| v.to_f64())
            && (1e-12..=1e12).contains(&value.abs())
        {
            return Product::number(value, &dims);
        }
        match &self.of[id.index()] {
            Some(product) if product.bound.is_empty() || self.users[id.index()] == 1 => product.clone(),
            _ => self.opaque(id),
        }
    }

    fn opaque(&mut self, id: NodeId) -> Product {
        self.inlined[id.index()] = false;
        Product::factor(id, &self.graph.ty(id).shape)
    }

    /// Multiplies by an operand; one that makes it too large, or that may not be taken apart, is one factor.
    fn multiply(&mut self, product: &mut Product, operand: NodeId, indices: &[Index]) -> Option<()> {
        let value = self.operand(operand);
        if product.multiply(value, indices) {
            return Some(());
        }
        let value = self.opaque(operand);
        product.multiply(value, indices).then_some(())
    }

    /// `None` if it is no product, or of itself only.
    fn product(&mut self, id: NodeId) -> Option<Product> {
        let node = self.graph.node(id);
        let inputs = &node.inputs;
        let dims = node.ty.shape;
        let mut product = match &node.op {
            Op::Binary(Binary::Mul) => {
                let mut product = Product::number(1.0, &dims);
                let result = product.result.clone();
                self.multiply(&mut product, inputs[0], &result)?;
                self.multiply(&mut product, inputs[1], &result)?;
                product
            }
            Op::Binary(Binary::Div) => {
                let mut product = Product::number(1.0, &dims);
                let result = product.result.clone();
                self.multiply(&mut product, inputs[0], &result)?;
                let divisor = self.divisor(inputs[1]);
                if !product.multiply(divisor, &result) {
                    let mut divisor = self.opaque(inputs[1]);
                    divisor.factors[0].power = -1;
                    product.multiply(divisor, &result).then_some(())?;
                }
                product
            }
            Op::Unary(Unary::Neg) => {
                let mut product = self.operand(inputs[0]);
                product.coefficient = -product.coefficient;
                product
            }
            Op::Broadcast(b) => {
                let mut product = Product::number(1.0, &dims);
                let indices: Indices = b.axes.iter().map(|&a| product.result[a]).collect();
                self.multiply(&mut product, inputs[0], &indices)?;
                product
            }
            Op::Transpose(t) => {
                let mut product = self.operand(inputs[0]);
                product.result = t.permutation.iter().map(|&p| product.result[p]).collect();
                product
            }
            Op::Reshape(_) => {
                let longer = |dims: &[usize]| dims.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
                if longer(&dims) != longer(&self.graph.ty(inputs[0]).shape) {
                    return None;
                }
                let mut product = self.operand(inputs[0]);
                let mut indices = product.result.clone().into_iter().filter(|&i| i != ONE);
                product.result = dims
                    .iter()
                    .map(|&d| if d == 1 { Some(ONE) } else { indices.next() })
                    .collect::<Option<_>>()?;
                product
            }
            Op::Reduce(r) if r.combine == Combine::Sum => {
                let mut product = self.operand(inputs[0]);
                let (summed, kept): (Vec<_>, Vec<_>) =
                    product.result.iter().copied().enumerate().partition(|(axis, _)| r.axes.contains(axis));
                product.bound.extend(summed.into_iter().map(|s| s.1).filter(|&i| i != ONE));
                product.result = kept.into_iter().map(|k| k.1).collect();
                product
            }
            Op::Dot(d) => {
                let (x, y) = (self.graph.ty(inputs[0]).shape, self.graph.ty(inputs[1]).shape);
                let mut product = Product::number(1.0, &dims);
                let mut indices = [vec![ONE; x.rank()], vec![ONE; y.rank()]];
                let (left, right) = (d.lhs_free(x.rank()), d.rhs_free(y.rank()));
                for (k, &i) in product.result.clone().iter().enumerate() {
                    let batches = d.batch.0.len();
                    match k.checked_sub(batches) {
                        None => (indices[0][d.batch.0[k]], indices[1][d.batch.1[k]]) = (i, i),
                        Some(k) if k < left.len() => indices[0][left[k]] = i,
                        Some(k) => indices[1][right[k - left.len()]] = i,
                    }
                }
                for (&k, &l) in d.contract.0.iter().zip(&d.contract.1) {
                    let i = product.index(x[k]);
                    (indices[0][k], indices[1][l]) = (i, i);
                    if i != ONE {
                        product.bound.push(i);
                    }
                }
                self.multiply(&mut product, inputs[0], &indices[0])?;
                self.multiply(&mut product, inputs[1], &indices[1])?;
                product
            }
            Op::Binary(Binary::Add | Binary::Sub) => self.sum(id)?,
            Op::Convert(_) | Op::Select(_) => return self.delta(id),
            _ => return None,
        };
        product.operators += 1;
        let view = self.view;
        product.simplify(&|value| crate::rules::is_positive(view, value.0));
        Some(product)
    }

    /// The terms of a sum or difference. If they come together as one, it is a product.
    fn sum(&mut self, id: NodeId) -> Option<Product> {
        let node = self.graph.node(id);
        let mut sum = Sum { terms: vec![], merged: false };
        for (k, &input) in node.inputs.iter().enumerate() {
            let inner = self.sums[input.index()].as_ref().filter(|_| self.users[input.index()] == 1);
            let mut terms = match inner {
                Some(inner) => {
                    sum.merged |= inner.merged;
                    inner.terms.clone()
                }
                None => vec![self.operand(input).canonical()],
            };
            if k == 1 && node.op == Op::Binary(Binary::Sub) {
                terms.iter_mut().for_each(|t| t.coefficient = -t.coefficient);
            }
            for term in terms {
                match sum.terms.iter_mut().find(|t| t.is_multiple_of(&term)) {
                    Some(same) => {
                        same.coefficient += term.coefficient;
                        same.operators += term.operators + 1;
                        sum.merged = true;
                        // x − x is NaN for infinite x.
                        if same.coefficient == 0.0 {
                            return None;
                        }
                    }
                    None => sum.terms.push(term),
                }
            }
        }
        if sum.terms.len() > MAX_TERMS {
            return None;
        }
        if sum.terms.len() == 1 {
            return sum.terms.pop();
        }
        // Each term has a normal form of its own.
        node.inputs.iter().for_each(|i| self.inlined[i.index()] = false);
        self.sums[id.index()] = Some(sum);
        None
    }

    /// 1/x; a sum stays in one piece.
    fn divisor(&mut self, id: NodeId) -> Product {
        let mut product = self.operand(id);
        if !product.bound.is_empty() || !product.deltas.is_empty() {
            product = self.opaque(id);
        }
        product.coefficient = 1.0 / product.coefficient;
        product.factors.iter_mut().for_each(|f| f.power = -f.power);
        product
    }

    /// 1 or a value where two counters are equal, 0 elsewhere.
    fn delta(&mut self, id: NodeId) -> Option<Product> {
        let node = self.graph.node(id);
        let equal = self.graph.node(node.inputs[0]);
        let (Op::Binary(Binary::Eq), [a, b]) = (&equal.op, &equal.inputs[..]) else { return None };
        let axes = [self.counter(*a)?, self.counter(*b)?];
        let mut product = Product::number(1.0, &node.ty.shape);
        let result = product.result.clone();
        if let Op::Select(_) = node.op {
            let zero = self.view.splat(node.inputs[2].0)?.to_f64();
            if zero != 0.0 {
                return None;
            }
            self.multiply(&mut product, node.inputs[1], &result)?;
        }
        let delta = axes.map(|axis| result[axis]);
        let known = delta[0] == delta[1] || !delta.contains(&ONE);
        known.then_some(())?;
        product.operators += 1;
        if delta[0] != delta[1] {
            product.deltas.push(delta);
        }
        Some(product)
    }

    /// The axis along which a value counts 0, 1, 2, …
    fn counter(&self, id: NodeId) -> Option<usize> {
        let node = self.graph.node(id);
        let axis = |i: usize| self.counter(node.inputs[i]);
        match &node.op {
            Op::Iota(iota) => Some(iota.axis),
            Op::Broadcast(b) => Some(b.axes[axis(0)?]),
            Op::Transpose(t) => {
                let axis = axis(0)?;
                t.permutation.iter().position(|&p| p == axis)
            }
            _ => None,
        }
    }
}
