//! Sample graphs of every operator: attributes, element types and sizes, 0, 1 and primes among them.

mod bodies;

use bespoke_graph::{
    Graph, NodeId, Op, Operator, Windows,
    op::{
        ArgReduce, ArgSort, Barrier, Binary, Broadcast, Concatenate, Constant, Convert, Convolution,
        Cumulative, Dot, DynamicSlice, DynamicUpdate, Extremum, Gather, Iota, Pad, RandomBits, Reduce,
        Reshape, Reverse, ScatterAdd, Select, Slice, StopGradient, Transpose, Unary, WindowArg, WindowReduce,
    },
};
use bespoke_loops::Combine;
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

/// A graph with one operator of interest, whose value is the output `y`.
pub struct Sample {
    /// The operator's name.
    pub operator: &'static str,
    /// The graph.
    pub graph: Graph,
    /// Where its inputs lie when its derivative is checked.
    pub range: (f64, f64),
}

const NUMBERS: [DType; 6] = [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::U32];
const SHAPES: [&[usize]; 9] = [&[], &[0], &[1], &[3], &[17], &[4, 5], &[3, 0, 2], &[2, 3, 7], &[1, 1, 13]];

/// Samples of all operators.
pub fn samples() -> Vec<Sample> {
    let mut s = Samples(vec![]);
    s.sources();
    s.elementwise();
    s.movement();
    s.padding();
    s.reductions();
    s.products();
    s.convolutions();
    s.picks();
    s.several_indices();
    s.pieces();
    s.lines();
    s.windows();
    s.scans();
    s.narrow_scans();
    s.nested_scan();
    s.customs();
    s.0
}

struct Samples(Vec<Sample>);

fn ty(dtype: DType, dims: &[usize]) -> Type {
    Type::new(dtype, Shape::new(dims).expect("samples are small"))
}

impl Samples {
    /// Applies the operator to inputs of these types.
    fn add(&mut self, op: impl Into<Op>, types: &[Type]) {
        self.within((-2.0, 2.0), op, types);
    }

    fn within(&mut self, range: (f64, f64), op: impl Into<Op>, types: &[Type]) {
        let mut graph = Graph::new();
        let inputs: Vec<NodeId> = types
            .iter()
            .enumerate()
            .map(|(i, &ty)| graph.input(&format!("x{i}"), ty).expect("names are numbered"))
            .collect();
        self.graph(range, graph, op, &inputs);
    }

    fn graph(&mut self, range: (f64, f64), mut graph: Graph, op: impl Into<Op>, inputs: &[NodeId]) {
        let op = op.into();
        let operator = op.name();
        let y = graph.must(op, inputs);
        graph.set_output("y", y).expect("it is the first");
        self.0.push(Sample { operator, graph, range });
    }

    fn windows(&mut self) {
        // Extents of the operand, then window, stride, low and high padding, dilation of the last axes.
        let cases: [(&[usize], [&[usize]; 5]); 11] = [
            (&[2, 3, 8, 8], [&[2, 2], &[2, 2], &[0, 0], &[0, 0], &[1, 1]]),
            (&[2, 7, 9], [&[3, 3], &[2, 2], &[1, 1], &[1, 1], &[1, 1]]),
            (&[1, 5, 17], [&[2, 3], &[1, 1], &[0, 2], &[1, 0], &[1, 1]]),
            (&[3, 13], [&[3], &[1], &[2], &[3], &[2]]),
            (&[11], [&[4], &[3], &[0], &[1], &[1]]),
            (&[2, 4, 5, 3], [&[2, 3, 2], &[2, 1, 1], &[1, 1, 0], &[0, 1, 1], &[1, 1, 2]]),
            (&[2, 3], [&[1], &[2], &[0], &[0], &[1]]),
            (&[4, 2], [&[3], &[1], &[0], &[0], &[1]]),
            (&[0, 5], [&[2], &[1], &[1], &[0], &[1]]),
            (&[2, 16, 31], [&[2, 2], &[2, 2], &[0, 0], &[0, 1], &[1, 1]]),
            (&[1], [&[1], &[1], &[0], &[0], &[1]]),
        ];
        for dtype in [DType::F64, DType::F32, DType::I32] {
            for (dims, [extent, stride, low, high, dilation]) in cases {
                let windows = Windows {
                    extent: extent.to_vec(),
                    stride: stride.to_vec(),
                    padding: low.iter().copied().zip(high.iter().copied()).collect(),
                    dilation: dilation.to_vec(),
                };
                for combine in [Combine::Sum, Combine::Max, Combine::Min] {
                    self.add(WindowReduce { combine, windows: windows.clone() }, &[ty(dtype, dims)]);
                }
                for extremum in [Extremum::Max, Extremum::Min] {
                    self.add(WindowArg { extremum, windows: windows.clone() }, &[ty(dtype, dims)]);
                }
            }
        }
    }

    fn sources(&mut self) {
        for dtype in DType::ALL {
            for dims in SHAPES {
                let ty = ty(dtype, dims);
                let mut g = Graph::new();
                let x = g.input("an \"odd\"\n/näme", ty).expect("it is the first");
                g.set_output("y", x).expect("it is the first");
                self.0.push(Sample { operator: "input", graph: g, range: (-2.0, 2.0) });
                let mut g = Graph::new();
                let (s, t) = (g.state("a/s", ty).expect("first"), g.state("a/t", ty).expect("second"));
                g.set_output("y", s).expect("it is the first");
                g.set_next(s, t).expect("of one type");
                g.set_next(t, s).expect("of one type");
                self.0.push(Sample { operator: "state", graph: g, range: (-2.0, 2.0) });
                let value = Tensor::from_fn(ty, |i| match i % 7 {
                    3 if dtype.is_float() => Scalar::F64(f64::NAN),
                    4 if dtype.is_float() => Scalar::F64(-0.0),
                    5 if dtype.is_float() => Scalar::F64(f64::NEG_INFINITY),
                    6 => Scalar::F64(1e-3 + i as f64),
                    k => Scalar::I64(k as i64 - 2),
                });
                self.add(Constant { value }, &[]);
                for axis in (0..dims.len()).filter(|_| dtype != DType::Bool) {
                    self.add(Iota { ty, axis }, &[]);
                }
            }
        }
        for dims in SHAPES {
            let pair = ty(DType::U32, &[2]);
            self.add(RandomBits { shape: ty(DType::U32, dims).shape }, &[pair, pair]);
        }
    }

    fn elementwise(&mut self) {
        for dtype in DType::ALL {
            for dims in SHAPES {
                let x = ty(dtype, dims);
                for &function in Unary::ALL.iter().filter(|f| f.takes(dtype)) {
                    let range = match function {
                        Unary::Log | Unary::Sqrt | Unary::Rsqrt => (0.3, 3.0),
                        Unary::Log1p => (-0.5, 2.0),
                        Unary::Asin | Unary::Acos => (-0.8, 0.8),
                        Unary::Tan => (-1.0, 1.0),
                        _ => (-2.0, 2.0),
                    };
                    self.within(range, function, &[x]);
                }
                for &function in Binary::ALL.iter().filter(|f| f.takes(dtype)) {
                    let range = match function {
                        Binary::Pow | Binary::Div => (0.4, 2.3),
                        Binary::Rem => (1.05, 1.95), // it jumps where x = y only
                        _ => (-2.0, 2.0),
                    };
                    self.within(range, function, &[x, x]);
                }
                self.add(Select, &[ty(DType::Bool, dims), x, x]);
                self.add(StopGradient, &[x]);
                self.add(Barrier, &[x]);
                self.add(Barrier, &[x, ty(DType::I32, &[2])]);
                for dtype in DType::ALL {
                    self.add(Convert { dtype }, &[x]);
                }
            }
        }
    }

    fn movement(&mut self) {
        for dtype in DType::ALL {
            let x = |dims: &[usize]| ty(dtype, dims);
            for (from, to) in [
                (&[][..], &[1, 1][..]),
                (&[6], &[2, 3]),
                (&[2, 3, 5], &[5, 6]),
                (&[4, 9], &[6, 2, 3]),
                (&[0, 3], &[5, 0]),
                (&[13, 1], &[13]),
            ] {
                self.add(Reshape { shape: x(to).shape }, &[x(from)]);
            }
            for (dims, permutation) in [
                (&[][..], &[][..]),
                (&[5], &[0]),
                (&[3, 7], &[1, 0]),
                (&[2, 3, 5], &[2, 0, 1]),
                (&[2, 3, 5], &[0, 2, 1]),
                (&[0, 4], &[1, 0]),
                (&[2, 1, 3, 4], &[3, 1, 0, 2]),
            ] {
                self.add(Transpose { permutation: permutation.to_vec() }, &[x(dims)]);
            }
            for (from, to, axes) in [
                (&[][..], &[3, 4][..], &[][..]),
                (&[4], &[3, 4], &[1]),
                (&[3], &[3, 4], &[0]),
                (&[2, 5], &[2, 3, 5, 2], &[0, 2]),
                (&[7], &[7], &[0]),
                (&[3], &[0, 3], &[1]),
                (&[0], &[4, 0], &[1]),
            ] {
                self.add(Broadcast { shape: x(to).shape, axes: axes.to_vec() }, &[x(from)]);
            }
            for axes in [&[][..], &[0], &[1], &[0, 2], &[2, 1, 0]] {
                self.add(Reverse { axes: axes.to_vec() }, &[x(&[3, 4, 5])]);
            }
            self.add(Reverse { axes: vec![0] }, &[x(&[0])]);
            self.add(Reverse { axes: vec![0] }, &[x(&[17])]);
            for (dims, start, limit, step) in [
                (&[][..], &[][..], &[][..], &[][..]),
                (&[7], &[2], &[6], &[1]),
                (&[7], &[0], &[7], &[3]),
                (&[7], &[1], &[7], &[2]),
                (&[7], &[3], &[3], &[1]),
                (&[0], &[0], &[0], &[2]),
                (&[4, 6, 5], &[1, 0, 2], &[3, 6, 5], &[1, 5, 2]),
                (&[17, 3], &[0, 1], &[17, 2], &[16, 1]),
            ] {
                let slice = Slice { start: start.to_vec(), limit: limit.to_vec(), step: step.to_vec() };
                self.add(slice, &[x(dims)]);
            }
        }
    }

    fn padding(&mut self) {
        for dtype in DType::ALL {
            let x = |dims: &[usize]| ty(dtype, dims);
            for (dims, low, high, inner) in [
                (&[][..], &[][..], &[][..], &[][..]),
                (&[5], &[1], &[2], &[0]),
                (&[5], &[0], &[0], &[2]),
                (&[1], &[0], &[3], &[4]),
                (&[0], &[2], &[1], &[3]),
                (&[3, 4], &[1, 0], &[0, 2], &[1, 3]),
                (&[2, 3, 2], &[0, 0, 0], &[0, 0, 0], &[0, 0, 0]),
                (&[2, 0], &[1, 0], &[1, 2], &[0, 0]),
            ] {
                let pad = Pad { low: low.to_vec(), high: high.to_vec(), inner: inner.to_vec() };
                self.add(pad, &[x(dims), x(&[])]);
            }
            for (axis, parts) in [
                (0, &[&[3][..]][..]),
                (0, &[&[3], &[1], &[4]]),
                (0, &[&[0], &[2]]),
                (0, &[&[2], &[0]]),
                (0, &[&[2], &[0], &[3]]),
                (0, &[&[0], &[0]]),
                (1, &[&[3, 2], &[3, 5]]),
                (1, &[&[2, 3, 2], &[2, 1, 2], &[2, 0, 2], &[2, 2, 2]]),
            ] {
                let types: Vec<Type> = parts.iter().map(|p| x(p)).collect();
                self.add(Concatenate { axis }, &types);
            }
            let mut g = Graph::new();
            let twice = g.input("x0", x(&[3])).expect("it is the first");
            self.graph((-2.0, 2.0), g, Concatenate { axis: 0 }, &[twice, twice]);
        }
    }

    fn reductions(&mut self) {
        let combines =
            [Combine::Sum, Combine::Product, Combine::Max, Combine::Min, Combine::Any, Combine::All];
        for dtype in DType::ALL {
            for combine in combines {
                if matches!(combine, Combine::Any | Combine::All) != (dtype == DType::Bool) {
                    continue;
                }
                for (dims, axes) in [
                    (&[][..], &[][..]),
                    (&[1], &[0]),
                    (&[0], &[0]),
                    (&[37], &[0]),
                    (&[5, 7], &[0]),
                    (&[5, 7], &[1]),
                    (&[5, 7], &[0, 1]),
                    (&[5, 7], &[]),
                    (&[3, 4, 5], &[1]),
                    (&[3, 4, 5], &[0, 2]),
                    (&[3, 0, 2], &[1]),
                    (&[3, 0, 2], &[0]),
                    (&[2, 1, 3], &[1]),
                    (&[40, 40], &[0]),
                ] {
                    if dims == [40, 40] && combine == Combine::Product {
                        continue;
                    }
                    self.within((0.5, 1.5), Reduce { combine, axes: axes.to_vec() }, &[ty(dtype, dims)]);
                }
            }
            for combine in [Combine::Sum, Combine::Max] {
                // Long ones are split; 16,411 is prime.
                for (dims, axes) in [
                    (&[16_384][..], &[0][..]),
                    (&[3, 70, 240], &[1, 2]),
                    (&[2, 3, 16_400], &[2]),
                    (&[16_411], &[0]),
                ] {
                    if matches!(dtype, DType::F32 | DType::I32) {
                        self.add(Reduce { combine, axes: axes.to_vec() }, &[ty(dtype, dims)]);
                    }
                }
            }
            for extremum in [Extremum::Max, Extremum::Min] {
                for (dims, axis) in
                    [(&[1][..], 0), (&[17], 0), (&[5, 7], 0), (&[5, 7], 1), (&[3, 4, 5], 1), (&[0, 3], 1)]
                {
                    if dtype != DType::Bool {
                        self.add(ArgReduce { extremum, axis }, &[ty(dtype, dims)]);
                    }
                }
            }
        }
    }

    fn products(&mut self) {
        type Dims = &'static [usize];
        let cases: [(Dims, Dims, [Dims; 2], [Dims; 2]); 18] = [
            (&[2, 3], &[3, 4], [&[], &[]], [&[1], &[0]]),
            (&[3, 2], &[4, 3], [&[], &[]], [&[0], &[1]]),
            (&[1, 1], &[1, 1], [&[], &[]], [&[1], &[0]]),
            (&[5], &[5], [&[], &[]], [&[0], &[0]]),
            (&[3], &[4], [&[], &[]], [&[], &[]]),
            (&[], &[], [&[], &[]], [&[], &[]]),
            (&[], &[2, 3], [&[], &[]], [&[], &[]]),
            (&[2, 0], &[0, 3], [&[], &[]], [&[1], &[0]]),
            (&[0, 2], &[2, 3], [&[], &[]], [&[1], &[0]]),
            (&[2, 3, 4], &[2, 4, 5], [&[0], &[0]], [&[2], &[1]]),
            (&[3, 4, 2], &[5, 2, 4], [&[2], &[1]], [&[1], &[2]]),
            (&[2, 3, 5], &[3, 5, 2], [&[1, 0], &[0, 2]], [&[2], &[1]]),
            (&[2, 3, 4, 5], &[5, 7, 3], [&[], &[]], [&[3, 1], &[0, 2]]),
            (&[4, 2], &[4, 2], [&[0, 1], &[0, 1]], [&[], &[]]),
            (&[17, 13], &[13, 19], [&[], &[]], [&[1], &[0]]),
            (&[13, 17], &[11, 13], [&[], &[]], [&[0], &[1]]),
            (&[2, 11, 17], &[13, 17, 2], [&[0], &[2]], [&[2], &[1]]),
            (&[7, 4, 5], &[5, 3, 4, 6], [&[], &[]], [&[1, 2], &[2, 0]]),
        ];
        for dtype in NUMBERS {
            for (l, r, batch, contract) in &cases {
                let pair = |p: &[Dims; 2]| (p[0].to_vec(), p[1].to_vec());
                let dot = Dot { batch: pair(batch), contract: pair(contract) };
                self.within((-1.0, 1.0), dot, &[ty(dtype, l), ty(dtype, r)]);
            }
        }
        // The same operand twice.
        let mut g = Graph::new();
        let x = g.input("x0", ty(DType::F64, &[5, 3])).expect("it is the first");
        let gram = Dot { batch: (vec![], vec![]), contract: (vec![0], vec![0]) };
        self.graph((-1.0, 1.0), g, gram, &[x, x]);
    }

    fn convolutions(&mut self) {
        type Dims = &'static [usize];
        // Operand, kernel, stride, padding, dilations of operand and kernel, groups.
        type Case = (Dims, Dims, Dims, &'static [(i64, i64)], [Dims; 2], usize);
        let cases: [Case; 21] = [
            (&[1, 1, 3], &[1, 1, 2], &[1], &[(0, 0)], [&[1], &[1]], 1),
            (&[2, 3, 5], &[2, 3, 3], &[1], &[(1, 1)], [&[1], &[1]], 1),
            (&[2, 3, 7], &[4, 3, 3], &[2], &[(2, 0)], [&[1], &[2]], 1),
            (&[2, 2, 5], &[3, 2, 2], &[3], &[(-1, 2)], [&[2], &[1]], 1),
            (&[1, 2, 6], &[1, 2, 2], &[1], &[(-2, -1)], [&[1], &[1]], 1),
            (&[2, 4, 5], &[6, 2, 2], &[2], &[(1, 0)], [&[1], &[1]], 2),
            (&[2, 3, 4], &[3, 1, 3], &[1], &[(1, 1)], [&[1], &[1]], 3),
            (&[1, 2, 4], &[4, 1, 2], &[2], &[(0, 1)], [&[3], &[2]], 2),
            (&[0, 2, 5], &[3, 2, 3], &[1], &[(0, 0)], [&[1], &[1]], 1),
            (&[2, 2, 2], &[3, 2, 3], &[1], &[(0, 0)], [&[1], &[1]], 1),
            (&[2, 0, 4], &[3, 0, 3], &[1], &[(0, 0)], [&[1], &[1]], 1),
            (&[2, 2, 0], &[3, 2, 2], &[1], &[(1, 2)], [&[1], &[1]], 1),
            (&[2, 2, 4], &[0, 2, 2], &[1], &[(0, 0)], [&[1], &[1]], 1),
            (&[2, 2, 4, 5], &[3, 2, 2, 3], &[1, 1], &[(0, 0), (1, 1)], [&[1, 1], &[1, 1]], 1),
            (&[1, 3, 5, 4], &[2, 3, 3, 1], &[2, 1], &[(1, 1), (0, 0)], [&[1, 2], &[1, 1]], 1),
            (&[1, 2, 7, 7], &[5, 2, 3, 3], &[1, 1], &[(1, 1), (1, 1)], [&[1, 1], &[1, 1]], 1),
            (&[3, 4, 2, 3], &[5, 4, 1, 1], &[1, 1], &[(0, 0), (0, 0)], [&[1, 1], &[1, 1]], 1),
            (&[3, 2, 3, 3], &[5, 2, 3, 3], &[1, 1], &[(0, 0), (0, 0)], [&[1, 1], &[1, 1]], 1),
            (&[1, 4, 6, 5], &[4, 1, 3, 2], &[2, 2], &[(1, 1), (0, 1)], [&[1, 1], &[1, 1]], 4),
            (
                &[1, 2, 3, 2, 3],
                &[2, 2, 2, 2, 2],
                &[1, 1, 2],
                &[(0, 1), (1, 0), (1, 1)],
                [&[1, 1, 1], &[2, 1, 1]],
                1,
            ),
            (
                &[1, 2, 2, 1, 2, 1, 2, 2],
                &[2, 1, 2, 1, 1, 1, 2, 1],
                &[1; 6],
                &[(0, 0); 6],
                [&[1; 6], &[1; 6]],
                2,
            ),
        ];
        for dtype in NUMBERS {
            for (x, kernel, stride, padding, dilations, groups) in &cases {
                let convolution = Convolution {
                    stride: stride.to_vec(),
                    padding: padding.to_vec(),
                    input_dilation: dilations[0].to_vec(),
                    kernel_dilation: dilations[1].to_vec(),
                    groups: *groups,
                };
                self.within((-1.0, 1.0), convolution, &[ty(dtype, x), ty(dtype, kernel)]);
            }
        }
        // Large enough to be products of matrices.
        let large: [Case; 9] = [
            (&[2, 3, 8, 17], &[4, 3, 3, 3], &[1, 1], &[(1, 1), (1, 1)], [&[1, 1], &[1, 1]], 1),
            (&[5, 1, 12, 13], &[6, 1, 5, 5], &[1, 1], &[(2, 2), (2, 2)], [&[1, 1], &[1, 1]], 1),
            (&[4, 6, 14, 9], &[16, 6, 5, 5], &[1, 1], &[(0, 0), (0, 0)], [&[1, 1], &[1, 1]], 1),
            (&[2, 8, 19, 11], &[12, 4, 3, 3], &[2, 2], &[(1, 0), (1, 1)], [&[1, 1], &[1, 1]], 2),
            (&[3, 7, 5, 7], &[9, 7, 1, 1], &[1, 1], &[(0, 0), (0, 0)], [&[1, 1], &[1, 1]], 1),
            (&[1, 5, 4, 3], &[11, 5, 2, 2], &[1, 1], &[(1, 1), (0, 1)], [&[2, 3], &[1, 2]], 1),
            (&[7, 3, 41], &[13, 3, 4], &[1], &[(3, -2)], [&[1], &[3]], 1),
            (&[6, 12, 5, 5], &[5, 12, 5, 5], &[1, 1], &[(0, 0), (0, 0)], [&[1, 1], &[1, 1]], 1),
            (
                &[2, 4, 5, 6, 7],
                &[7, 4, 3, 3, 3],
                &[1, 1, 2],
                &[(1, 1), (1, 1), (0, 1)],
                [&[1, 1, 1], &[1, 2, 1]],
                1,
            ),
        ];
        for dtype in [DType::F32, DType::F64] {
            for (x, kernel, stride, padding, dilations, groups) in &large {
                let convolution = Convolution {
                    stride: stride.to_vec(),
                    padding: padding.to_vec(),
                    input_dilation: dilations[0].to_vec(),
                    kernel_dilation: dilations[1].to_vec(),
                    groups: *groups,
                };
                self.within((-1.0, 1.0), convolution, &[ty(dtype, x), ty(dtype, kernel)]);
            }
        }
    }

    /// Pieces whose place is known at run time, in range and beyond.
    fn pieces(&mut self) {
        let cases: [(&[usize], &[usize]); 7] = [
            (&[], &[]),
            (&[5], &[3]),
            (&[5], &[5]),
            (&[7, 3], &[2, 3]),
            (&[2, 3, 5], &[1, 2, 4]),
            (&[4, 17], &[3, 0]),
            (&[0, 3], &[0, 2]),
        ];
        for dtype in [DType::F64, DType::F32, DType::I32, DType::Bool] {
            for index in [DType::I32, DType::I64, DType::U8] {
                for (x, piece) in cases {
                    let starts = vec![ty(index, &[]); x.len()];
                    let (x, piece) = (ty(dtype, x), ty(dtype, piece));
                    let slice = DynamicSlice { sizes: piece.shape.to_vec() };
                    self.add(slice, &[&[x][..], &starts].concat());
                    self.add(DynamicUpdate, &[&[x, piece][..], &starts].concat());
                }
            }
        }
    }

    /// Operators along an axis, shorter and longer than what is pulled.
    fn lines(&mut self) {
        let cases: [(&[usize], usize); 11] = [
            (&[1], 0),
            (&[3], 0),
            (&[0], 0),
            (&[19], 0),
            (&[5, 7], 1),
            (&[5, 13], 1),
            (&[11, 5], 0),
            (&[2, 17, 3], 1),
            (&[9, 4, 1], 0),
            (&[3, 0, 12], 2),
            (&[2, 3, 33], 2),
        ];
        for dtype in [DType::F64, DType::F32, DType::I32, DType::U8] {
            for (dims, axis) in cases {
                for reverse in [false, true] {
                    for combine in [Combine::Sum, Combine::Product, Combine::Max, Combine::Min] {
                        self.add(Cumulative { combine, axis, reverse }, &[ty(dtype, dims)]);
                    }
                    self.add(ArgSort { axis, descending: reverse }, &[ty(dtype, dims)]);
                }
            }
        }
    }

    /// Positions of several axes at once.
    fn several_indices(&mut self) {
        type Dims = &'static [usize];
        let cases: [(Dims, Dims, usize, usize, usize); 6] = [
            (&[5, 3], &[4], 0, 0, 2),
            (&[5, 3, 7], &[], 1, 0, 2),
            (&[4, 3, 5], &[4, 2], 1, 1, 2),
            (&[2, 3, 2, 4], &[7], 0, 0, 3),
            (&[2, 5, 3, 4], &[2, 3], 1, 1, 2),
            (&[3, 3], &[0], 0, 0, 2),
        ];
        for dtype in [DType::F64, DType::F32, DType::I32] {
            for (x, picks, axis, batch, count) in cases {
                let x = ty(dtype, x);
                let mut types = vec![x];
                types.extend(vec![ty(DType::I32, picks); count]);
                let gather = Gather { axis, batch };
                let updates = gather.infer(&types).expect("the cases are well typed");
                self.add(gather, &types);
                types.push(updates);
                self.add(ScatterAdd { axis, batch }, &types);
            }
        }
    }

    fn picks(&mut self) {
        type Dims = &'static [usize];
        let cases: [(Dims, Dims, usize, usize); 13] = [
            (&[5], &[], 0, 0),
            (&[5], &[3], 0, 0),
            (&[5], &[0], 0, 0),
            (&[1], &[4], 0, 0),
            (&[7, 3], &[4], 0, 0),
            (&[7, 3], &[2, 5], 0, 0),
            (&[4, 6], &[3], 1, 0),
            (&[4, 6], &[4], 1, 1),
            (&[4, 6], &[4, 3], 1, 1),
            (&[2, 3, 5], &[2, 4], 2, 1),
            (&[2, 3, 5], &[2, 3], 2, 2),
            (&[2, 5, 3], &[2, 2, 2], 1, 1),
            (&[0, 5], &[0, 2], 1, 1),
        ];
        for dtype in DType::ALL {
            for index in [DType::I32, DType::I64, DType::U8, DType::U32] {
                for (x, picks, axis, batch) in cases {
                    let (x, picks) = (ty(dtype, x), ty(index, picks));
                    let gather = Gather { axis, batch };
                    let updates = gather.infer(&[x, picks]).expect("the cases are well typed");
                    self.add(gather.clone(), &[x, picks]);
                    let scatter = ScatterAdd { axis, batch };
                    if dtype != DType::Bool {
                        self.add(scatter, &[x, picks, updates]);
                    }
                    // Out of range on both sides: not inputs or constants, which are refused.
                    let mut g = Graph::new();
                    let x = g.input("x0", x).expect("it is the first");
                    let value = Tensor::from_fn(picks, |i| Scalar::I64([0, 300, -3, 1][i % 4]));
                    let constant = g.must(Constant { value }, &[]);
                    let computed = g.binary(Binary::Max, constant, constant);
                    self.graph((-2.0, 2.0), g, gather, &[x, computed]);
                }
            }
        }
    }
}
