//! How a matrix product is cut into blocks.

use bespoke_lower::{Contraction, Launch, Panels, Work};

/// Panels of A that are multiplied with all of B before their rows are handed to the epilogue: enough for B to be read
/// seldom, few enough for the rows to stay in the second-level cache.
pub fn block_panels(c: &Contraction) -> usize {
    const BLOCK_BYTES: usize = 256 << 10;
    let row = c.extents.n * c.tile.dtype.size();
    (BLOCK_BYTES / (c.tile.mr * row).max(1)).clamp(1, 16)
}

/// Bytes of scratch memory that a thread needs for the launch: the panels of B that it packs, and the rows of a block.
pub fn scratch_bytes(launch: &Launch) -> usize {
    let c = match &launch.work {
        Work::Loops(_) | Work::Sort(_) => return 0,
        Work::Contraction(c) => c,
        Work::Loop(scan) => return scan.body.launches.iter().map(scratch_bytes).max().unwrap_or(0),
    };
    let size = c.tile.dtype.size();
    let rows = if c.epilogue.is_some() { block_panels(c) * c.tile.mr * c.extents.n * size } else { 0 };
    rows.next_multiple_of(64) + panel_bytes(c)
}

/// Bytes of the panels of B of one product, if they are packed into scratch memory.
pub fn panel_bytes(c: &Contraction) -> usize {
    match c.b {
        Panels::Buffer(_) => 0,
        Panels::Packed(..) => {
            (c.column_panels() * c.extents.k * c.tile.nr * c.tile.dtype.size()).next_multiple_of(64)
        }
    }
}
