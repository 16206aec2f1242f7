//! Examples of rules: small graphs of random shape.

use bespoke_graph::{Graph, NodeId};
use bespoke_tensor::{DType, Shape, Type};

/// A graph under construction, and a source of shapes.
pub struct Example {
    /// The graph.
    pub graph: Graph,
    state: u64,
    inputs: usize,
}

impl Example {
    /// Equal seeds give equal examples.
    pub fn new(seed: u64) -> Example {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Example { graph: Graph::new(), state, inputs: 0 }
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        // xorshift64* (Vigna 2016)
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    /// An extent from 2 to 5.
    pub fn dim(&mut self) -> usize {
        2 + self.below(4)
    }

    /// A matrix's extents.
    pub fn dims(&mut self) -> [usize; 2] {
        [self.dim(), self.dim()]
    }

    /// A new input of f64.
    pub fn input(&mut self, shape: impl Into<Shape>) -> NodeId {
        self.typed(Type::new(DType::F64, shape))
    }

    /// A new input of f64 that is given positive values.
    pub fn positive(&mut self, shape: impl Into<Shape>) -> NodeId {
        self.named("positive", Type::new(DType::F64, shape))
    }

    /// A new input of any type.
    pub fn typed(&mut self, ty: Type) -> NodeId {
        self.named("x", ty)
    }

    fn named(&mut self, name: &str, ty: Type) -> NodeId {
        self.inputs += 1;
        self.graph.input(&format!("{name}{}", self.inputs), ty).expect("names are numbered")
    }

    /// A new input that is a matrix.
    pub fn matrix(&mut self) -> NodeId {
        let dims = self.dims();
        self.input(dims)
    }

    /// New inputs of f64 of one shape.
    pub fn inputs<const N: usize>(&mut self) -> [NodeId; N] {
        let dims = self.dims();
        std::array::from_fn(|_| self.input(dims))
    }

    /// A new input that is a matrix of integers.
    pub fn integers(&mut self) -> NodeId {
        let dims = self.dims();
        self.typed(Type::new(DType::I32, dims))
    }

    /// A new input of the type of another value.
    pub fn like(&mut self, x: NodeId) -> NodeId {
        let ty = self.graph.ty(x);
        self.typed(ty)
    }

    /// A value of the type of another, all of it the same.
    pub fn fill(&mut self, like: NodeId, value: f64) -> NodeId {
        self.graph.fill_like(like, value)
    }
}
