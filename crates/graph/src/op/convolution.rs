//! `convolution`: a kernel slides over the spatial dimensions.

use bespoke_loops::{BinaryFn, Combine, ExprId};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

use super::{Define, Operator, flat, for_each_index, operands, shape, sum_of};
use crate::{Attribute, Attributes, Graph, NodeId, attributes::Reader};

/// `out[n, o, p…] = Σ_{c, k…} x[n, i·C/groups + c, (p·stride + k·kernel_dilation − low)…] · kernel[o, c, k…]`, where i is the
/// group of the feature o: a cross-correlation in any number of spatial dimensions. With `input_dilation` d, zeros lie
/// between the elements of `x`, which are then d apart. Around it lie zeros, `padding` of them before the first and after
/// the last; a negative number takes elements away. Where not even one kernel fits, the extent of the result is 0.
/// Whether such zeros meet the kernel is left open: where it is infinite, they may make NaN of the result or not.
///
/// Inputs: `x`: `[N, C, spatial…]`; `kernel`: `[O, C / groups, spatial…]`, numbers of one type.
/// Constraints: at least one spatial dimension; a stride, padding and two dilations for each; strides, dilations, `groups` and
/// the kernel's spatial extents are at least 1; `groups` divides C and O.
///
/// The derivatives by both operands are convolutions, so it can be differentiated to any order.
///
/// Example: `%2 = convolution %0, %1 {stride=[1,1], padding=[2,2]x[2,2], input_dilation=[1,1], kernel_dilation=[1,1], groups=1} :
/// f32[128,6,28,28]` of `f32[128,1,28,28]` and `f32[6,1,5,5]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Steps between positions of the kernel, along each spatial dimension.
    pub stride: Vec<usize>,
    /// Zeros before the first element and after the last; negative numbers crop.
    pub padding: Vec<(i64, i64)>,
    /// Steps between neighbours of the operand.
    pub input_dilation: Vec<usize>,
    /// Steps between neighbours of the kernel.
    pub kernel_dilation: Vec<usize>,
    /// Groups of features: each group of results sees its own group of operands only.
    pub groups: usize,
}

/// The extent of `count` elements that are `dilation` apart.
fn dilated(count: usize, dilation: usize) -> Option<i64> {
    let gaps = count.saturating_sub(1).checked_mul(dilation)?;
    i64::try_from(gaps.checked_add(usize::from(count > 0))?).ok()
}

impl Convolution {
    /// Without dilation and groups, with equal padding on both sides.
    pub fn new(stride: &[usize], padding: &[usize]) -> Convolution {
        let ones = vec![1; stride.len()];
        Convolution {
            stride: stride.to_vec(),
            padding: padding.iter().map(|&p| (p as i64, p as i64)).collect(),
            input_dilation: ones.clone(),
            kernel_dilation: ones,
            groups: 1,
        }
    }

    pub(super) fn names() -> Vec<&'static str> {
        vec!["convolution"]
    }

    pub(super) fn read(name: &str, attributes: &mut Reader, _: Type) -> Option<Result<Convolution, String>> {
        (name == "convolution").then(|| {
            let (low, high) = attributes.signed_pair("padding")?;
            if low.len() != high.len() {
                return Err(format!("`padding`: {} numbers before, {} after", low.len(), high.len()));
            }
            Ok(Convolution {
                stride: attributes.sizes("stride")?,
                padding: low.into_iter().zip(high).collect(),
                input_dilation: attributes.sizes("input_dilation")?,
                kernel_dilation: attributes.sizes("kernel_dilation")?,
                groups: attributes.size("groups")?,
            })
        })
    }

    /// The number of spatial dimensions.
    pub fn spatial(&self) -> usize {
        self.stride.len()
    }

    /// The extent of the result along a spatial dimension; `None` if it is too large to count.
    fn extent(&self, a: usize, x: usize, kernel: usize) -> Option<usize> {
        let (low, high) = self.padding[a];
        let padded = dilated(x, self.input_dilation[a])?.checked_add(low)?.checked_add(high)?;
        let rest = padded.checked_sub(dilated(kernel, self.kernel_dilation[a])?)?;
        usize::try_from(if rest < 0 { 0 } else { rest / i64::try_from(self.stride[a]).ok()? + 1 }).ok()
    }

    /// The position in the operand that a position of the result and one of the kernel meet at; `None` for a zero.
    fn source(&self, a: usize, extent: usize, out: usize, kernel: usize) -> Option<usize> {
        let at = (out * self.stride[a] + kernel * self.kernel_dilation[a]) as i64 - self.padding[a].0;
        let step = self.input_dilation[a] as i64;
        let position = usize::try_from(at.div_euclid(step)).ok()?;
        (at.rem_euclid(step) == 0 && position < extent).then_some(position)
    }

    /// For each spatial position of the result, the spatial offsets in operand and kernel of all terms.
    fn terms(&self, x: Shape, kernel: Shape, out: Shape) -> Vec<Vec<(Option<usize>, usize)>> {
        let (strides, extents) = (x.strides(), &kernel[2..]);
        let mut positions = vec![];
        for_each_index(&out[2..], |p| {
            let mut terms = vec![];
            for_each_index(extents, |k| {
                let sources: Option<Vec<usize>> =
                    (0..p.len()).map(|a| self.source(a, x[a + 2], p[a], k[a])).collect();
                terms.push((sources.map(|s| flat(&strides[2..], &s)), terms.len()));
            });
            positions.push(terms);
        });
        positions
    }

    /// All elements of the result, in row-major order, each from `start`; what lies beyond the operand is `zero`.
    fn sums<T: Copy>(
        &self,
        [x, kernel]: [&[T]; 2],
        [xs, ks, out]: [Shape; 3],
        [zero, start]: [T; 2],
        add: impl Fn(T, T, T) -> T,
    ) -> Vec<T> {
        let positions = self.terms(xs, ks, out);
        let size = |s: &Shape| s[2..].iter().product::<usize>();
        let (x_size, k_size) = (size(&xs), size(&ks));
        let per_group = (ks[1], out[1] / self.groups);
        let mut sums = Vec::with_capacity(out.elements());
        for_each_index(&out[..2], |index| {
            let (n, o) = (index[0], index[1]);
            let first = o / per_group.1 * per_group.0;
            for terms in &positions {
                let mut sum = start;
                for c in 0..per_group.0 {
                    let (x, k) = (&x[(n * xs[1] + first + c) * x_size..], &kernel[(o * ks[1] + c) * k_size..]);
                    sum = terms.iter().fold(sum, |sum, &(from, at)| add(sum, from.map_or(zero, |i| x[i]), k[at]));
                }
                sums.push(sum);
            }
        });
        sums
    }

    /// `[groups·p, q, …]` as `[groups·q, p, …]`: within each group, the first two dimensions change places.
    fn swap_in_groups(&self, graph: &mut Graph, x: NodeId) -> NodeId {
        let from = graph.ty(x).shape;
        let mut permutation: Vec<usize> = (0..from.rank()).collect();
        permutation.swap(0, 1);
        if self.groups == 1 {
            return graph.transpose(x, &permutation);
        }
        let (p, q, rest) = (from[0] / self.groups, from[1], from[2..].iter().product());
        let split = graph.reshape(x, Shape::from([self.groups, p, q, rest]));
        let swapped = graph.transpose(split, &[0, 2, 1, 3]);
        let mut to = from.to_vec();
        (to[0], to[1]) = (self.groups * q, p);
        graph.reshape(swapped, Shape::new(&to).expect("as many dimensions as before"))
    }

    /// The cotangent spread by the stride, met by the reversed kernel.
    fn gradient_of_operand(&self, graph: &mut Graph, x: NodeId, kernel: NodeId, cotangent: NodeId) -> NodeId {
        let (xs, ks, out) = (graph.ty(x).shape, graph.ty(kernel).shape, graph.ty(cotangent).shape);
        let padding = (0..self.spatial()).map(|a| {
            let [x, k, out] = [
                (xs[a + 2] - 1) * self.input_dilation[a],
                (ks[a + 2] - 1) * self.kernel_dilation[a],
                (out[a + 2] - 1) * self.stride[a],
            ]
            .map(|span| span as i64);
            let low = k - self.padding[a].0;
            (low, x + k - out - low)
        });
        let back = Convolution {
            padding: padding.collect(),
            stride: self.input_dilation.clone(),
            input_dilation: self.stride.clone(),
            ..self.clone()
        };
        let axes: Vec<usize> = (2..ks.rank()).filter(|&a| ks[a] > 1).collect();
        let kernel = self.swap_in_groups(graph, kernel);
        let kernel = if axes.is_empty() { kernel } else { graph.must(super::Reverse { axes }, &[kernel]) };
        graph.must(back, &[cotangent, kernel])
    }

    /// The operand met by the cotangent, spread by the stride, as kernel: batch and features have changed places.
    fn gradient_of_kernel(&self, graph: &mut Graph, x: NodeId, kernel: NodeId, cotangent: NodeId) -> NodeId {
        let (xs, ks, out) = (graph.ty(x).shape, graph.ty(kernel).shape, graph.ty(cotangent).shape);
        let padding = (0..self.spatial()).map(|a| {
            let [x, k, out] = [
                (xs[a + 2] - 1) * self.input_dilation[a],
                (ks[a + 2] - 1) * self.kernel_dilation[a],
                (out[a + 2] - 1) * self.stride[a],
            ]
            .map(|span| span as i64);
            let low = self.padding[a].0;
            // As many positions as the kernel has elements, and not one more.
            (low, k + out - x - low)
        });
        let across = Convolution {
            padding: padding.collect(),
            stride: self.kernel_dilation.clone(),
            kernel_dilation: self.stride.clone(),
            ..self.clone()
        };
        let mut swap: Vec<usize> = (0..xs.rank()).collect();
        swap.swap(0, 1);
        let x = if self.groups == 1 {
            graph.transpose(x, &swap)
        } else {
            let (n, c, rest) = (xs[0], ks[1], xs[2..].iter().product());
            let split = graph.reshape(x, Shape::from([n, self.groups, c, rest]));
            let turned = graph.transpose(split, &[2, 1, 0, 3]);
            let mut to = xs.to_vec();
            (to[0], to[1]) = (c, self.groups * n);
            graph.reshape(turned, Shape::new(&to).expect("as many dimensions as before"))
        };
        let cotangent = graph.transpose(cotangent, &swap);
        let gradient = graph.must(across, &[x, cotangent]);
        graph.transpose(gradient, &swap)
    }
}

impl Operator for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }

    fn attributes(&self) -> Attributes {
        let (low, high) = self.padding.iter().copied().unzip();
        Attributes::default()
            .with_dims("stride", &self.stride)
            .with("padding", Attribute::Pair(low, high))
            .with_dims("input_dilation", &self.input_dilation)
            .with_dims("kernel_dilation", &self.kernel_dilation)
            .with("groups", Attribute::Int(self.groups as i64))
    }

    fn infer(&self, inputs: &[Type]) -> Result<Type, String> {
        let [x, kernel] = operands(inputs)?;
        if x.dtype != kernel.dtype || x.dtype == DType::Bool {
            return Err(format!("expected two operands of one number type, got {} and {}", x.dtype, kernel.dtype));
        }
        let spatial = self.spatial();
        if spatial == 0 || x.rank() != spatial + 2 || kernel.rank() != spatial + 2 {
            return Err(format!(
                "a stride for each of {spatial} spatial dimensions takes [N, C, …] and [O, C / groups, …] of rank {}, got {x} and \
                 {kernel}",
                spatial.max(1) + 2
            ));
        }
        for (what, count) in [
            ("padding", self.padding.len()),
            ("input_dilation", self.input_dilation.len()),
            ("kernel_dilation", self.kernel_dilation.len()),
        ] {
            if count != spatial {
                return Err(format!("expected a {what} for each of {spatial} spatial dimensions, got {count}"));
            }
        }
        for (what, steps) in [
            ("stride", &self.stride),
            ("input_dilation", &self.input_dilation),
            ("kernel_dilation", &self.kernel_dilation),
            ("kernel extent", &kernel.shape[2..].to_vec()),
        ] {
            if let Some(a) = steps.iter().position(|&s| s == 0) {
                return Err(format!("the {what} of spatial dimension {a} is 0, expected at least 1"));
            }
        }
        let (groups, c, o) = (self.groups, x.shape[1], kernel.shape[0]);
        if groups == 0 || !c.is_multiple_of(groups) || !o.is_multiple_of(groups) {
            return Err(format!("expected groups that divide {c} features into {o}, got {groups}"));
        }
        if kernel.shape[1] != c / groups {
            return Err(format!(
                "expected a kernel for {c} / {groups} = {} features, got one for {}",
                c / groups,
                kernel.shape[1]
            ));
        }
        let mut dims = vec![x.shape[0], o];
        for a in 0..spatial {
            let extent = self.extent(a, x.shape[a + 2], kernel.shape[a + 2]);
            dims.push(extent.ok_or_else(|| format!("spatial dimension {a} becomes too large"))?);
        }
        Ok(Type::new(x.dtype, shape(&dims)?))
    }

    fn eval(&self, inputs: &[&Tensor], ty: Type) -> Tensor {
        let [x, kernel] = [inputs[0], inputs[1]];
        let shapes = [x.shape(), kernel.shape(), ty.shape];
        // Floats are summed in f64, so that the meaning does not depend on an order. What is not there is a zero that is
        // multiplied: it makes NaN of an infinity.
        if ty.dtype.is_float() {
            let floats = |t: &Tensor| t.scalars().map(Scalar::to_f64).collect::<Vec<_>>();
            // One term is its own sum, and may be −0.
            let start = if kernel.shape()[1..].iter().product::<usize>() == 1 { -0.0 } else { 0.0 };
            let sums = self.sums([&floats(x), &floats(kernel)], shapes, [0.0, start], |sum, a, b| sum + a * b);
            Tensor::from_fn(ty, |i| Scalar::F64(sums[i]))
        } else {
            let ints = |t: &Tensor| t.scalars().map(|s| s.to_i64().expect("not a float")).collect::<Vec<_>>();
            let add = |sum: i64, a: i64, b: i64| sum.wrapping_add(a.wrapping_mul(b));
            let sums = self.sums([&ints(x), &ints(kernel)], shapes, [0, 0], add);
            Tensor::from_fn(ty, |i| Scalar::I64(sums[i]))
        }
    }

    fn vjp(&self, graph: &mut Graph, node: NodeId, cotangent: NodeId) -> Vec<Option<NodeId>> {
        let [x, kernel] = [graph.node(node).inputs[0], graph.node(node).inputs[1]];
        if [x, kernel, node].iter().any(|&id| graph.ty(id).elements() == 0) {
            return [x, kernel].map(|id| Some(graph.fill_like(id, 0.0))).to_vec();
        }
        vec![
            Some(self.gradient_of_operand(graph, x, kernel, cotangent)),
            Some(self.gradient_of_kernel(graph, x, kernel, cotangent)),
        ]
    }

    fn jvp(&self, graph: &mut Graph, node: NodeId, tangents: &[Option<NodeId>]) -> Option<NodeId> {
        let inputs = graph.node(node).inputs.clone();
        let left = tangents[0].map(|t| graph.must(self.clone(), &[t, inputs[1]]));
        let right = tangents[1].map(|t| graph.must(self.clone(), &[inputs[0], t]));
        sum_of(graph, left, right)
    }

    fn define(&self, definer: &mut dyn Define, index: &[ExprId]) -> ExprId {
        let (x, kernel) = (definer.operand_type(0), definer.operand_type(1));
        let zero = definer.exprs().constant(x.dtype, 0.0);
        let per_group = kernel.shape[0] / self.groups;
        definer.reduce(Combine::Sum, x.dtype, &kernel.shape[1..], &mut |definer, position| {
            let e = definer.exprs();
            let group = e.index_div(index[1], per_group as i64);
            let first = e.index_mul(group, kernel.shape[1] as i64);
            let mut from = vec![index[0], e.index_add(first, position[0])];
            let mut inside = e.literal(true);
            for a in 0..self.spatial() {
                let out = e.index_mul(index[a + 2], self.stride[a] as i64);
                let along = e.index_mul(position[a + 1], self.kernel_dilation[a] as i64);
                let low = e.index_const(-self.padding[a].0);
                let offset = e.index_add(out, along);
                let offset = e.index_add(offset, low);
                let step = self.input_dilation[a] as i64;
                let covered = (x.shape[a + 2] as i64 - 1) * step;
                let (start, end) = (e.index_const(0), e.index_const(covered));
                let (above, below) = (e.binary(BinaryFn::Ge, offset, start), e.binary(BinaryFn::Le, offset, end));
                inside = e.binary(BinaryFn::And, inside, above);
                inside = e.binary(BinaryFn::And, inside, below);
                let legal = e.index_clamp(offset, covered);
                let gap = e.index_rem(legal, step);
                let on_element = e.binary(BinaryFn::Eq, gap, start);
                inside = e.binary(BinaryFn::And, inside, on_element);
                from.push(e.index_div(legal, step));
            }
            let of_kernel: Vec<ExprId> = [index[1]].into_iter().chain(position.iter().copied()).collect();
            let kernel = definer.operand(1, &of_kernel);
            // Of an empty operand there is nothing to load.
            let value = if x.elements() == 0 { zero } else { definer.operand(0, &from) };
            let e = definer.exprs();
            let x = e.select(inside, value, zero);
            e.binary(BinaryFn::Mul, x, kernel)
        })
    }
}
