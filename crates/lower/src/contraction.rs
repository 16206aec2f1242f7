//! Matrix products: `out[b, m, n] = Σ_k A(b, m, k) · B(b, k, n)` around a register tile.
//!
//! A and B are definitions: loop kernels pack them into panels, whatever they are fused with. What follows the product
//! (its epilogue) is a loop kernel over rows of the result.

use std::{fmt, ops::Range};

use bespoke_graph::{Graph, NodeId, Op};
use bespoke_loops::Kernel;
use bespoke_tensor::DType;

use crate::{BufferIndex, convolution};

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

/// Where the panels of B come from.
#[derive(Clone, Debug)]
pub enum Panels {
    /// A kernel before this launch has packed all of them.
    Buffer(BufferIndex),
    /// Packed into the thread's scratch memory, product by product: its range is that of the products, its first buffer the
    /// panels of all of them (of which only the current ones exist), then these.
    Packed(Box<Kernel>, Vec<BufferIndex>),
}

/// The rows or columns of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Of A.
    Rows,
    /// Of B.
    Columns,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Side::Rows { "rows" } else { "columns" })
    }
}

/// An operand that is not packed, but read where it lies: the element of a row (or column) and term is `starts + terms` from
/// where that of the product begins, the other columns of a panel after it. All in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// A or B.
    pub side: Side,
    /// From one product's operand to the next one's.
    pub batch: i64,
    /// Of each row, a whole number of panels; or of the first column of each panel.
    pub starts: Vec<i64>,
    /// Of each of the k terms.
    pub terms: Vec<i64>,
    /// Of each panel of columns, the terms that are not zero for all of them; of rows, none: all terms count.
    pub ranges: Vec<Range<usize>>,
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
    /// The columns are runs of so many: no panel of B reaches from one run into the next.
    pub run: usize,
    /// A in panels `[a_batch][⌈m / mr⌉][k][mr]`, the last padded with any values.
    pub a: BufferIndex,
    /// How many products have an A of their own: product b uses A number b mod `a_batch`.
    pub a_batch: usize,
    /// B in panels `[batch][panels of B][k][nr]`: see [`Contraction::columns`].
    pub b: Panels,
    /// If A or B is no panels but a tensor from which they are gathered: how.
    pub gathered: Option<Gathered>,
    /// Where the product goes if there is no epilogue.
    pub out: Option<BufferIndex>,
    /// Runs over rows `b·m + i` of the product, which is its first buffer.
    pub epilogue: Option<Box<Kernel>>,
}

/// How a node becomes a contraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The extents.
    pub extents: Extents,
    /// The tile.
    pub tile: Tile,
    /// See [`Contraction::run`].
    pub run: usize,
    /// See [`Contraction::a_batch`].
    pub a_batch: usize,
    /// What is gathered rather than packed.
    pub gather: Option<Side>,
    /// How the product lies.
    pub layout: Layout,
}

impl Form {
    /// The number of panels of B of one product.
    pub fn column_panels(&self) -> usize {
        column_panels(&self.extents, self.run, self.tile)
    }

    /// See [`Contraction::columns`].
    pub fn columns(&self, panel: usize) -> (usize, usize) {
        columns(self.run, self.tile, panel)
    }
}

impl Contraction {
    /// The number of panels of B of one product.
    pub fn column_panels(&self) -> usize {
        column_panels(&self.extents, self.run, self.tile)
    }

    /// The first column of a panel of B, and how many it holds that exist. The last panel of a run overlaps the one before,
    /// or is padded with any values if it is the only one.
    pub fn columns(&self, panel: usize) -> (usize, usize) {
        columns(self.run, self.tile, panel)
    }
}

fn column_panels(extents: &Extents, run: usize, tile: Tile) -> usize {
    extents.n / run * run.div_ceil(tile.nr)
}

fn columns(run: usize, tile: Tile, panel: usize) -> (usize, usize) {
    let blocks = run.div_ceil(tile.nr);
    (panel / blocks * run + (panel % blocks * tile.nr).min(run.saturating_sub(tile.nr)), tile.nr.min(run))
}

/// The order of the value's dimensions in the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Its own: the product can be the value.
    Same,
    /// The first two exchanged: images are columns.
    FeaturesFirst,
    /// The second behind all others: features are columns.
    FeaturesLast,
}

impl Layout {
    /// The value's dimensions in the product's order.
    pub fn order(self, rank: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..rank).collect();
        match self {
            Layout::Same => {}
            Layout::FeaturesFirst => order.swap(0, 1),
            Layout::FeaturesLast => order[1..].rotate_left(1),
        }
        order
    }
}

/// Below this many multiply-adds packing does not pay.
const SMALL: usize = 2048;

/// How the node becomes a contraction, if it is one that is worth it.
pub fn form_of(graph: &Graph, id: NodeId) -> Option<Form> {
    let node = graph.node(id);
    let dot = match &node.op {
        Op::Dot(dot) => dot,
        Op::Convolution(convolution) => return convolution::form_of(graph, id, convolution),
        _ => return None,
    };
    let (lhs, rhs) = (graph.ty(node.inputs[0]), graph.ty(node.inputs[1]));
    let product = |dims: &[usize], shape: &[usize]| dims.iter().map(|&d| shape[d]).product::<usize>();
    let extents = Extents {
        batch: product(&dot.batch.0, &lhs.shape),
        m: product(&dot.lhs_free(lhs.rank()), &lhs.shape),
        n: product(&dot.rhs_free(rhs.rank()), &rhs.shape),
        k: product(&dot.contract.0, &lhs.shape),
    };
    let Extents { batch, m, n, k } = extents;
    let tile = Tile::of(node.ty.dtype);
    (node.ty.dtype.is_float() && m >= 4 && n >= 4 && k >= 2 && batch > 0 && m * n * k >= SMALL)
        .then_some(Form { extents, tile, run: n, a_batch: batch, gather: None, layout: Layout::Same })
}
