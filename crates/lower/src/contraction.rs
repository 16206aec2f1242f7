//! Matrix products: `out[b, m, n] = Σ_k A(b, m, k) · B(b, k, n)` around a register tile.
//!
//! A and B are definitions: loop kernels pack them into panels, whatever they are fused with. What follows the product
//! (its epilogue) is a loop kernel over rows of the result.

use bespoke_graph::{Graph, NodeId, Op};
use bespoke_loops::Kernel;
use bespoke_tensor::DType;

use crate::BufferIndex;

/// The register tile: `mr` rows by `nr` columns of the result at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// f32 or f64.
    pub dtype: DType,
    /// Rows.
    pub mr: usize,
    /// Columns, a multiple of the lanes of a vector.
    pub nr: usize,
}

impl Tile {
    /// The tile for an element type: as many accumulators as leave registers for two vectors of B and the element of A (six
    /// rows spill, and are an eighth slower).
    pub fn of(dtype: DType) -> Tile {
        Tile { dtype, mr: 5, nr: if dtype == DType::F64 { 4 } else { 8 } }
    }
}

/// The extents of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Independent products.
    pub batch: usize,
    /// Rows of A and the result.
    pub m: usize,
    /// Columns of B and the result.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
}

/// One launch: the tile over all panels, then the epilogue over the rows.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// A name for people; unique within a program.
    pub name: String,
    /// The extents.
    pub extents: Extents,
    /// The tile.
    pub tile: Tile,
    /// A in panels `[batch][⌈m / mr⌉][k][mr]`, the last padded with any values.
    pub a: BufferIndex,
    /// B in panels `[batch][⌈n / nr⌉][k][nr]`, the last padded with any values.
    pub b: BufferIndex,
    /// Where the product goes if there is no epilogue.
    pub out: Option<BufferIndex>,
    /// Runs over rows `b·m + i` of the product, which is its first buffer.
    pub epilogue: Option<Kernel>,
}

/// Below this many multiply-adds packing does not pay.
const SMALL: usize = 2048;

/// The extents of the product if the node is one that is worth a contraction.
pub fn shape_of(graph: &Graph, id: NodeId) -> Option<Extents> {
    let node = graph.node(id);
    let Op::Dot(dot) = &node.op else { return None };
    let (lhs, rhs) = (graph.ty(node.inputs[0]), graph.ty(node.inputs[1]));
    let product = |dims: &[usize], shape: &[usize]| dims.iter().map(|&d| shape[d]).product::<usize>();
    let extents = Extents {
        batch: product(&dot.batch.0, &lhs.shape),
        m: product(&dot.lhs_free(lhs.rank()), &lhs.shape),
        n: product(&dot.rhs_free(rhs.rank()), &rhs.shape),
        k: product(&dot.contract.0, &lhs.shape),
    };
    let Extents { batch, m, n, k } = extents;
    (node.ty.dtype.is_float() && m >= 4 && n >= 4 && k >= 2 && batch > 0 && m * n * k >= SMALL)
        .then_some(extents)
}
