//! Matrix products: `out[b, m, n] = Σ_k A(b, m, k) · B(b, k, n)` around a register tile.
//!
//! A and B are definitions: loop kernels pack them into panels, whatever they are fused with. What follows the product
//! (its epilogue) is a loop kernel over rows of the result.

use std::{fmt, ops::Range};

use crate::{
    BufferIndex, Isa, convolution,
    tile::{self, Access, CopyCode, Lines, Tile, TileCode},
};
use bespoke_graph::{Graph, NodeId, Op, op::Dot};
use bespoke_loops::Kernel;

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

/// Where B comes from.
#[derive(Clone, Debug)]
pub enum Panels {
    /// In a buffer.
    Buffer(BufferIndex),
    /// Panels that are packed into the thread's scratch memory, product by product: its range is that of the products, its first buffer the
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

/// How an operand lies. All in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// In panels: of A `[a_batch][⌈m / mr⌉][k][mr]`, the last padded with any values; of B `[batch][panels of B][k][nr]`.
    Panels,
    /// As a tensor: see [`Access::Steps`].
    Strided {
        /// Where the operand of each product begins.
        starts: Vec<i64>,
        /// From row to row of A, from column to column of B.
        line: i64,
        /// From term to term.
        term: i64,
        /// Are panels of some terms copied from there by whoever multiplies them, just before?
        copied: bool,
    },
    /// As a tensor from which lines are gathered.
    Gathered(Gathered),
}

/// An operand that is read where it lies: the element of a row (or column) and term is `starts + terms` from where that of the
/// product begins, the other columns of a panel after it. All in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered {
    /// From one product's operand to the next one's.
    pub batch: i64,
    /// Of each row; or of the first column of each panel.
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
    /// A.
    pub a: BufferIndex,
    /// How it lies.
    pub left: Reading,
    /// How many products have an A of their own: product b uses A number b mod `a_batch`.
    pub a_batch: usize,
    /// B: see [`Contraction::columns`].
    pub b: Panels,
    /// How it lies.
    pub right: Reading,
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
    pub fn columns(&self, panel: usize) -> usize {
        columns(self.run, self.tile, panel)
    }
}

/// The code of a contraction.
#[derive(Clone, Copy, Debug)]
pub struct Codes {
    /// The tile, and what copies its rows if they are copied.
    pub rows: (TileCode, Option<CopyCode>),
    /// The same for the last rows, if they are fewer.
    pub last_rows: Option<(TileCode, Option<CopyCode>)>,
    /// What copies columns, if they are copied.
    pub columns: Option<CopyCode>,
}

impl Contraction {
    /// What code it needs.
    pub fn codes(&self) -> Codes {
        let size = self.tile.dtype.size() as i64;
        let access = |reading: &Reading, width: usize| match reading {
            Reading::Panels => Access::Steps { line: size, term: width as i64 * size },
            Reading::Strided { copied: true, .. } => Access::Steps { line: size, term: width as i64 * size },
            Reading::Strided { line, term, copied: false, .. } => Access::Steps { line: *line, term: *term },
            Reading::Gathered(_) => Access::Table,
        };
        let copy = |reading: &Reading, count: usize| match *reading {
            Reading::Strided { copied: true, line, term, .. } => {
                let lines = if line == size { Lines::SideBySide { term } } else { Lines::Apart { line } };
                Some(CopyCode { dtype: self.tile.dtype, bytes: self.tile.vectors.bytes(), count, lines })
            }
            _ => None,
        };
        let tile = |rows: usize| {
            // Panels that were packed before have as many rows in the end, copied ones have not.
            let width = if self.left == Reading::Panels { self.tile.mr } else { rows };
            TileCode {
                tile: Tile { mr: rows, ..self.tile },
                left: access(&self.left, width),
                right: access(&self.right, self.tile.nr),
            }
        };
        let rest = self.extents.m % self.tile.mr;
        let of = |rows: usize| (tile(rows), copy(&self.left, rows));
        Codes {
            rows: of(self.tile.mr),
            last_rows: (rest > 0).then(|| of(rest)),
            columns: copy(&self.right, self.tile.nr),
        }
    }

    /// The number of panels of B of one product.
    pub fn column_panels(&self) -> usize {
        column_panels(&self.extents, self.run, self.tile)
    }

    /// The first column of a panel of B. The last panel of a run overlaps the one before.
    pub fn columns(&self, panel: usize) -> usize {
        columns(self.run, self.tile, panel)
    }

    /// Does the panel of B overlap the one before?
    pub fn overlaps(&self, panel: usize) -> bool {
        let blocks = self.run.div_ceil(self.tile.nr);
        !self.run.is_multiple_of(self.tile.nr) && panel % blocks == blocks - 1
    }
}

fn column_panels(extents: &Extents, run: usize, tile: Tile) -> usize {
    extents.n / run * run.div_ceil(tile.nr)
}

fn columns(run: usize, tile: Tile, panel: usize) -> usize {
    let blocks = run.div_ceil(tile.nr);
    panel / blocks * run + (panel % blocks * tile.nr).min(run - tile.nr)
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

/// How each node becomes a contraction, if it is one that is worth it.
pub struct Forms(Vec<Option<Form>>);

impl Forms {
    /// Of all nodes of a graph.
    pub fn new(graph: &Graph, isa: Isa) -> Forms {
        let of = |id| match &graph.node(id).op {
            Op::Dot(dot) => dot_form(graph, id, dot, isa),
            Op::Convolution(convolution) => convolution::form_of(graph, id, convolution, isa),
            _ => None,
        };
        Forms(graph.ids().map(of).collect())
    }

    /// Of a node.
    pub fn of(&self, id: NodeId) -> Option<&Form> {
        self.0[id.index()].as_ref()
    }

    /// Is the node a contraction?
    pub fn has(&self, id: NodeId) -> bool {
        self.of(id).is_some()
    }
}

fn dot_form(graph: &Graph, id: NodeId, dot: &Dot, isa: Isa) -> Option<Form> {
    let node = graph.node(id);
    let (lhs, rhs) = (graph.ty(node.inputs[0]), graph.ty(node.inputs[1]));
    let product = |dims: &[usize], shape: &[usize]| dims.iter().map(|&d| shape[d]).product::<usize>();
    let extents = Extents {
        batch: product(&dot.batch.0, &lhs.shape),
        m: product(&dot.lhs_free(lhs.rank()), &lhs.shape),
        n: product(&dot.rhs_free(rhs.rank()), &rhs.shape),
        k: product(&dot.contract.0, &lhs.shape),
    };
    let Extents { batch, m, n, k } = extents;
    let worth = node.ty.dtype.is_float() && m >= 4 && n >= 4 && k >= 2 && batch > 0 && m * n * k >= SMALL;
    let (tile, _) = worth.then(|| tile::best(isa, node.ty.dtype, batch, m, n, usize::MAX))??;
    Some(Form { extents, tile, run: n, a_batch: batch, gather: None, layout: Layout::Same })
}
