//! `dot`: sums of products over contracted dimensions.

use bespoke_loops::{BinaryFn, Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{Define, Operator, check_axes, flat, for_each_index, operands, shape, sum_of};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// `out[b…, i…, j…] = Σ_k lhs[b…, i…, k…] · rhs[b…, j…, k…]`: batch dimensions are shared, contracted ones are summed
/// over; the result has the batch dimensions (in the order of the attribute), the other dimensions of the left operand,
/// then those of the right.
///
/// Constraints: two operands of one number type; batch and contracted dimensions are distinct, in range, pairwise of
/// equal extent.
///
/// Example: `%2 = dot %0, %1 {contract=[1]x[0]} : f32[128,10]` is the matrix product
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Dot {
    /// Batch dimensions of the left and right operand.
    pub batch: (Vec<usize>, Vec<usize>),
    /// Contracted dimensions of the left and right operand.
    pub contract: (Vec<usize>, Vec<usize>),
}

impl Dot {
    /// The product of two matrices.
    pub fn matmul() -> Dot {
        Dot { batch: (vec![], vec![]), contract: (vec![1], vec![0]) }
    }

    /// The dimensions of the left operand that are neither batch nor contracted.
    pub fn lhs_free(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|d| !self.batch.0.contains(d) && !self.contract.0.contains(d)).collect()
    }

    /// The dimensions of the right operand that are neither batch nor contracted.
    pub fn rhs_free(&self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|d| !self.batch.1.contains(d) && !self.contract.1.contains(d)).collect()
    }

    pub(super) fn names() -> Vec<&'static str> {
        vec!["dot"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Dot, String>> {
        (name == "dot").then(|| Ok(Dot { batch: attributes.pair("batch")?, contract: attributes.pair("contract")? }))
    }

    /// The positions in both operands of an element of the result and a contracted position.
    fn sources<T: Copy>(&self, index: &[T], position: &[T], ranks: [usize; 2], filler: T) -> [Vec<T>; 2] {
        let batches = self.batch.0.len();
        let lhs_free = self.lhs_free(ranks[0]);
        let rhs_free = self.rhs_free(ranks[1]);
        let (batch, free) = index.split_at(batches);
        let (lhs_index, rhs_index) = free.split_at(lhs_free.len());
        let place = |rank: usize, parts: [(&[usize], &[T]); 3]| {
            let mut full = vec![filler; rank];
            for (dims, values) in parts {
                dims.iter().zip(values).for_each(|(&d, &v)| full[d] = v);
            }
            full
        };
        [
            place(ranks[0], [(&self.batch.0, batch), (&lhs_free, lhs_index), (&self.contract.0, position)]),
            place(ranks[1], [(&self.batch.1, batch), (&rhs_free, rhs_index), (&self.contract.1, position)]),
        ]
    }

    /// The gradient of one operand: the cotangent contracted with the other operand over the other's free dimensions. The
    /// factors are ordered as the operand's dimensions most likely are (those of a matrix exactly), and transposed if not.
    fn gradient(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId, left: bool) -> NodeId {
        let inputs = graph.node(node).inputs.clone();
        let ranks = [graph.ty(inputs[0]).rank(), graph.ty(inputs[1]).rank()];
        let batches = self.batch.0.len();
        let (lhs_free, rhs_free) = (self.lhs_free(ranks[0]), self.rhs_free(ranks[1]));
        let batch: Vec<usize> = (0..batches).collect();
        let lhs_out: Vec<usize> = (batches..batches + lhs_free.len()).collect();
        let rhs_out: Vec<usize> = (batches + lhs_free.len()..batches + lhs_free.len() + rhs_free.len()).collect();
        // After its batch dimensions, the product has: for the left operand its free dimensions, then its contracted ones
        // in the order of the right operand; for the right operand the other way round.
        let (product, own_contract, other_contract, own_free, own_batch) = if left {
            let dot = Dot { batch: (batch, self.batch.1.clone()), contract: (rhs_out, rhs_free) };
            (graph.must(dot, &[cotangent, inputs[1]]), &self.contract.0, &self.contract.1, &lhs_free, &self.batch.0)
        } else {
            let dot = Dot { batch: (self.batch.0.clone(), batch), contract: (lhs_free, lhs_out) };
            (graph.must(dot, &[inputs[0], cotangent]), &self.contract.1, &self.contract.0, &rhs_free, &self.batch.1)
        };
        let (free_at, contract_at) =
            if left { (batches, batches + own_free.len()) } else { (batches + own_contract.len(), batches) };
        let mut order: Vec<usize> = (0..other_contract.len()).collect();
        order.sort_by_key(|&k| other_contract[k]);
        let mut permutation = vec![0; ranks[usize::from(!left)]];
        own_batch.iter().enumerate().for_each(|(i, &d)| permutation[d] = i);
        own_free.iter().enumerate().for_each(|(i, &d)| permutation[d] = free_at + i);
        order.iter().enumerate().for_each(|(i, &k)| permutation[own_contract[k]] = contract_at + i);
        graph.transpose(product, &permutation)
    }
}

impl Operator for Dot {
    fn name(&self) -> &'static str {
        "dot"
    }

    fn attributes(&self) -> Attributes {
        let dims = |v: &[usize]| v.iter().map(|&d| d as i64).collect::<Vec<_>>();
        let pair = |p: &(Vec<usize>, Vec<usize>)| Attribute::Pair(dims(&p.0), dims(&p.1));
        let mut attributes = Attributes::default();
        if !self.batch.0.is_empty() {
            attributes = attributes.with("batch", pair(&self.batch));
        }
        attributes.with("contract", pair(&self.contract))
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [lhs, rhs] = operands(inputs)?;
        if lhs.dtype != rhs.dtype || lhs.dtype == DType::Bool {
            return Err(format!("expected two operands of one number type, got {} and {}", lhs.dtype, rhs.dtype));
        }
        for (what, (l, r)) in [("batch", &self.batch), ("contracted", &self.contract)] {
            if l.len() != r.len() {
                return Err(format!("{} {what} dimensions on the left, {} on the right", l.len(), r.len()));
            }
            for (&l, &r) in l.iter().zip(r) {
                if l < lhs.rank() && r < rhs.rank() && lhs.shape[l] != rhs.shape[r] {
                    return Err(format!(
                        "{what} dimensions differ: dimension {l} of the left operand is {}, dimension {r} of the right is {}",
                        lhs.shape[l], rhs.shape[r]
                    ));
                }
            }
        }
        check_axes("dimension", &[&self.batch.0[..], &self.contract.0].concat(), lhs.rank())?;
        check_axes("dimension", &[&self.batch.1[..], &self.contract.1].concat(), rhs.rank())?;
        let mut dims: Vec<usize> = self.batch.0.iter().map(|&d| lhs.shape[d]).collect();
        dims.extend(self.lhs_free(lhs.rank()).iter().map(|&d| lhs.shape[d]));
        dims.extend(self.rhs_free(rhs.rank()).iter().map(|&d| rhs.shape[d]));
        Ok(Type::new(lhs.dtype, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let (lhs, rhs) = (inputs[0], inputs[1]);
        let (ls, rs) = (lhs.shape().strides(), rhs.shape().strides());
        let ranks = [lhs.ty().rank(), rhs.ty().rank()];
        let extents: Vec<usize> = self.contract.0.iter().map(|&d| lhs.shape()[d]).collect();
        // Where each contracted position lies, relative to the element's own.
        let mut offsets = vec![];
        for_each_index(&extents, |position| {
            let dot = |dims: &[usize], strides: &[usize]| dims.iter().zip(position).map(|(&d, p)| strides[d] * p).sum();
            let pair: (usize, usize) = (dot(&self.contract.0, &ls), dot(&self.contract.1, &rs));
            offsets.push(pair);
        });
        let mut starts = Vec::with_capacity(ty.elements());
        let zero = vec![0; extents.len()];
        for_each_index(&ty.shape, |index| {
            let [l, r] = self.sources(index, &zero, ranks, 0);
            starts.push((flat(&ls, &l), flat(&rs, &r)));
        });
        if ty.dtype.is_float() {
            let (l, r): (Vec<f64>, Vec<f64>) =
                (lhs.scalars().map(Scalar::to_f64).collect(), rhs.scalars().map(Scalar::to_f64).collect());
            // From +0, for an empty sum is not −0; but one term is its own sum, and may be −0.
            let start = if offsets.len() == 1 { -0.0 } else { 0.0 };
            Tensor::from_fn(ty, |i| {
                let (ls, rs) = starts[i];
                Scalar::F64(offsets.iter().fold(start, |sum, &(lo, ro)| sum + l[ls + lo] * r[rs + ro]))
            })
        } else {
            let ints = |t: &Tensor| t.scalars().map(|s| s.to_i64().expect("not a float")).collect::<Vec<_>>();
            let (l, r) = (ints(lhs), ints(rhs));
            Tensor::from_fn(ty, |i| {
                let (ls, rs) = starts[i];
                let products = offsets.iter().map(|&(lo, ro)| l[ls + lo].wrapping_mul(r[rs + ro]));
                Scalar::I64(products.fold(0i64, i64::wrapping_add))
            })
        }
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        vec![
            Some(self.gradient(graph, node, cotangent, true)),
            Some(self.gradient(graph, node, cotangent, false)),
        ]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let inputs = graph.node(node).inputs.clone();
        let left = tangents[0].map(|t| graph.must(self.clone(), &[t, inputs[1]]));
        let right = tangents[1].map(|t| graph.must(self.clone(), &[inputs[0], t]));
        sum_of(graph, left, right)
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let (lhs, rhs) = (definer.operand_type(0), definer.operand_type(1));
        let extents: Vec<usize> = self.contract.0.iter().map(|&d| lhs.shape[d]).collect();
        let filler = definer.exprs().index_const(0);
        definer.reduce(Combine::Sum, lhs.dtype, &extents, &mut |definer, position| {
            let [l, r] = self.sources(index, position, [lhs.rank(), rhs.rank()], filler);
            let (l, r) = (definer.operand(0, &l), definer.operand(1, &r));
            definer.exprs().binary(BinaryFn::Mul, l, r)
        })
    }
}
