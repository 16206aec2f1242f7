//! How a matrix product is cut into blocks, and the memory of a block.

use bespoke_lower::{Contraction, Launch, Panels, Reading, Work};

/// Terms that are multiplied at a time: so many of a panel of rows stay in the first-level cache.
pub const TERMS: usize = 256;

/// Panels of A that are multiplied with all of B before their rows are handed to the epilogue: enough for B to be read
/// seldom, few enough for them to stay in the second-level cache, and for the finished rows too.
pub fn block_panels(c: &Contraction) -> usize {
    const ROW_BYTES: usize = 512 << 10;
    let row = c.extents.n * c.tile.dtype.size();
    let most = if c.epilogue.is_some() { ROW_BYTES / (c.tile.mr * row).max(1) } else { usize::MAX };
    most.clamp(1, 16)
}

/// Where a thread's scratch memory holds what, in bytes from its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scratch {
    /// Columns of some terms that are copied; before them, the panels of B of one product if those are packed.
    pub columns: usize,
    /// Rows of some terms that are copied.
    pub rows: usize,
    /// The rows of the product for the epilogue.
    pub product: usize,
    /// All bytes.
    pub end: usize,
}

impl Scratch {
    /// Of a contraction.
    pub fn of(c: &Contraction) -> Scratch {
        let size = c.tile.dtype.size();
        let copied = |reading: &Reading| matches!(reading, Reading::Strided { copied: true, .. });
        let after = |start: usize, is_there: bool, elements: usize| {
            (start + if is_there { elements * size } else { 0 }).next_multiple_of(64)
        };
        let terms = c.extents.k.min(TERMS);
        let (is_packed, rows) = (matches!(c.b, Panels::Packed(..)), block_panels(c) * c.tile.mr);
        let columns = after(0, is_packed, c.column_panels() * c.extents.k * c.tile.nr);
        let copied_rows = after(columns, copied(&c.right), c.tile.nr * terms);
        let product = after(copied_rows, copied(&c.left), rows * terms);
        let end = after(product, c.epilogue.is_some(), rows * c.extents.n);
        Scratch { columns, rows: copied_rows, product, end }
    }
}

/// Bytes of scratch memory that a thread needs for the launch.
pub fn scratch_bytes(launch: &Launch) -> usize {
    match &launch.work {
        Work::Loops(_) | Work::Sort(_) => 0,
        Work::Contraction(c) => Scratch::of(c).end,
        Work::Loop(scan) => scan.body.launches.iter().map(scratch_bytes).max().unwrap_or(0),
    }
}
