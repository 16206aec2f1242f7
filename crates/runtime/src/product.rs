//! One matrix product, block after block.

use std::ops::Range;

use bespoke_codegen::{CopyFn, FunctionId, KernelFn, LaunchCode, Module, TileFn};
use bespoke_lower::{Contraction, Launch, Panels, Reading};

use crate::{
    contraction::{Scratch, TERMS, block_panels},
    dispatch::{Address, call},
};

/// The panels of B.
enum Right {
    /// Of all products.
    At(Address),
    /// Packed into scratch memory before each product, by this kernel from these buffers.
    Packed(KernelFn, Vec<Address>),
}

/// One matrix product with its buffers.
pub struct Product<'a> {
    c: &'a Contraction,
    /// The tile, and what copies its rows if they are copied; and the same for the last rows.
    rows_code: [(TileFn, Option<CopyFn>); 2],
    /// What copies columns, if they are copied.
    columns_code: Option<CopyFn>,
    places: Scratch,
    epilogue: Option<KernelFn>,
    a: Address,
    b: Right,
    out: Option<Address>,
    args: Vec<Address>,
}

impl<'a> Product<'a> {
    /// The product of a launch on these buffers.
    pub fn new(
        c: &'a Contraction,
        code: &LaunchCode,
        module: &Module,
        launch: &Launch,
        buffers: &[Address],
    ) -> Product<'a> {
        let LaunchCode::Contraction { rows, last_rows, columns, pack, epilogue } = code else {
            unreachable!("code is generated for each launch in order")
        };
        let of = |args: &[usize]| args.iter().map(|&a| buffers[a]).collect::<Vec<_>>();
        let rows_code = |(tile, copy): (FunctionId, Option<FunctionId>)| {
            (module.tile(tile), copy.map(|c| module.copy(c)))
        };
        Product {
            c,
            rows_code: [rows_code(*rows), rows_code(last_rows.unwrap_or(*rows))],
            columns_code: columns.map(|c| module.copy(c)),
            places: Scratch::of(c),
            epilogue: epilogue.map(|e| module.kernel(e)),
            a: buffers[c.a],
            b: match &c.b {
                Panels::Buffer(b) => Right::At(buffers[*b]),
                Panels::Packed(_, args) => {
                    Right::Packed(module.kernel(pack.expect("code is generated for it")), of(args))
                }
            },
            out: c.out.map(|o| buffers[o]),
            args: of(&launch.args),
        }
    }

    /// Computes the panels of rows `begin..end` of all products; or those products, if B is packed for each.
    pub fn run(&self, begin: usize, end: usize, scratch: Address) {
        match self.b {
            Right::At(_) => self.panels(begin, end, scratch),
            Right::Packed(..) => {
                let panels = self.c.extents.m.div_ceil(self.c.tile.mr);
                for batch in begin..end {
                    self.pack(batch, scratch);
                    self.panels(batch * panels, (batch + 1) * panels, scratch);
                }
            }
        }
    }

    /// Packs the panels of B of one product into scratch memory.
    fn pack(&self, batch: usize, scratch: Address) {
        if let Right::Packed(function, args) = &self.b {
            let args: Vec<Address> =
                [self.packed(batch, scratch)].into_iter().chain(args.iter().copied()).collect();
            call(*function, &args, batch as i64, batch as i64 + 1);
        }
    }

    /// Where the panels of all products would begin if those of this one, which are in scratch memory, were among them.
    fn packed(&self, batch: usize, scratch: Address) -> Address {
        let c = self.c;
        let bytes = c.column_panels() * c.extents.k * c.tile.nr * c.tile.dtype.size();
        Address(scratch.0.wrapping_sub(batch * bytes))
    }

    /// Computes the rows of the panels `begin..end` of A (over all batches), and runs the epilogue on them.
    fn panels(&self, begin: usize, end: usize, scratch: Address) {
        let e = self.c.extents;
        let per_batch = e.m.div_ceil(self.c.tile.mr);
        let block = block_panels(self.c);
        let mut at = begin;
        while at < end {
            // A block lies within one batch.
            let stop = (at + block).min(end).min((at / per_batch + 1) * per_batch);
            self.block(at / per_batch, at % per_batch, stop - at, scratch);
            at = stop;
        }
    }

    /// `count` panels from `first` of one batch.
    fn block(&self, batch: usize, first: usize, count: usize, scratch: Address) {
        let (e, tile) = (self.c.extents, self.c.tile);
        let size = tile.dtype.size();
        let rows = first * tile.mr..((first + count) * tile.mr).min(e.m);
        let start = batch * e.m + rows.start;
        // Addressed like the whole product, whether it is the whole or only the rows of this block.
        let product = match self.out {
            Some(out) => out,
            None => Address(scratch.add(self.places.product).wrapping_sub(start * e.n * size)),
        };
        // Sums that go on must not meet those of an overlapping panel: such panels begin anew when all others are done.
        let (over, apart): (Vec<usize>, Vec<usize>) =
            (0..self.c.column_panels()).partition(|&panel| self.c.overlaps(panel));
        for columns in [apart, over] {
            self.multiply(batch, first, count, &columns, product, scratch);
        }
        if let Some(epilogue) = self.epilogue {
            let args: Vec<Address> = [product].into_iter().chain(self.args.iter().copied()).collect();
            call(epilogue, &args, start as i64, (batch * e.m + rows.end) as i64);
        }
    }

    /// The tiles of these panels of rows and columns.
    fn multiply(
        &self,
        batch: usize,
        first: usize,
        count: usize,
        column_panels: &[usize],
        product: Address,
        scratch: Address,
    ) {
        let (e, tile) = (self.c.extents, self.c.tile);
        if column_panels.is_empty() {
            return;
        }
        for from in (0..e.k).step_by(TERMS) {
            for panel in first..first + count {
                self.copy_rows(batch, panel, panel - first, from..(from + TERMS).min(e.k), scratch);
            }
            for &column_panel in column_panels {
                // Terms that count are multiplied, and where none does zeros are written.
                let all = match &self.c.right {
                    Reading::Gathered(how) => how.ranges[column_panel].clone(),
                    _ => 0..e.k,
                };
                let terms = all.start + from..(all.start + from + TERMS).min(all.end);
                if terms.is_empty() && from > 0 {
                    continue;
                }
                let columns = self.columns(batch, column_panel, &terms, scratch);
                for panel in first..first + count {
                    let row = batch * e.m + panel * tile.mr;
                    let to = product.add((row * e.n + self.c.columns(column_panel)) * tile.dtype.size());
                    let rows = self.rows(batch, panel, panel - first, &terms, scratch);
                    let (code, none) = (self.code_of(panel).0, std::ptr::null());
                    let offsets = rows.terms.or(columns.terms).unwrap_or(none);
                    let starts = rows.starts.unwrap_or(none);
                    let (k, add) = (terms.len() as i64, i64::from(from > 0));
                    // SAFETY: what is read lies in the operands' buffers, which the program's verifier checks, or in scratch
                    // memory; there are as many offsets as the code reads, and the product has room for the tile.
                    unsafe { code(rows.at, columns.at, k, to, e.n as i64, offsets, starts, add) }
                }
            }
        }
    }

    /// The tile of a panel of rows, and what copies them.
    fn code_of(&self, panel: usize) -> (TileFn, Option<CopyFn>) {
        self.rows_code[usize::from((panel + 1) * self.c.tile.mr > self.c.extents.m)]
    }

    /// Copies some terms of a panel of rows to its place in a block, if they are copied.
    fn copy_rows(&self, batch: usize, panel: usize, place: usize, terms: Range<usize>, scratch: Address) {
        let Reading::Strided { starts, line, term, .. } = &self.c.left else { return };
        if let Some(copy) = self.code_of(panel).1 {
            let mr = self.c.tile.mr;
            let from = starts[batch] + (panel * mr) as i64 * line + terms.start as i64 * term;
            let from = self.a.0.wrapping_offset(from as isize);
            // SAFETY: the lines lie in their buffer, which the program's verifier checks, and scratch memory has room.
            unsafe { copy(from, self.copied_rows(place, scratch), terms.len() as i64, std::ptr::null()) }
        }
    }

    fn copied_rows(&self, place: usize, scratch: Address) -> *mut u8 {
        let (tile, terms) = (self.c.tile, self.c.extents.k.min(TERMS));
        scratch.add(self.places.rows + place * tile.mr * terms * tile.dtype.size())
    }

    /// Where a panel of rows is, which is at `place` of a block.
    fn rows(
        &self,
        batch: usize,
        panel: usize,
        place: usize,
        terms: &Range<usize>,
        scratch: Address,
    ) -> Operand {
        let (c, e, tile) = (self.c, self.c.extents, self.c.tile);
        match &c.left {
            Reading::Panels => {
                let panel = batch % c.a_batch * e.m.div_ceil(tile.mr) + panel;
                let elements = (panel * e.k + terms.start) * tile.mr;
                Operand::at(self.a, (elements * tile.dtype.size()) as i64)
            }
            Reading::Strided { copied: true, .. } => {
                Operand { at: self.copied_rows(place, scratch), terms: None, starts: None }
            }
            Reading::Strided { starts, line, term, copied: false } => Operand::at(
                self.a,
                starts[batch] + (panel * tile.mr) as i64 * line + terms.start as i64 * term,
            ),
            Reading::Gathered(how) => Operand {
                terms: Some(how.terms[terms.clone()].as_ptr()),
                starts: Some(how.starts[panel * tile.mr..].as_ptr()),
                ..Operand::at(self.a, batch as i64 * how.batch)
            },
        }
    }

    /// Where some terms of a panel of columns are: in scratch memory once they are copied there, if they are.
    fn columns(&self, batch: usize, panel: usize, terms: &Range<usize>, scratch: Address) -> Operand {
        let (c, tile) = (self.c, self.c.tile);
        let size = tile.dtype.size();
        let b = match self.b {
            Right::At(b) => b,
            Right::Packed(..) => self.packed(batch, scratch),
        };
        match &c.right {
            Reading::Panels => {
                let elements = ((batch * c.column_panels() + panel) * c.extents.k + terms.start) * tile.nr;
                Operand::at(b, (elements * size) as i64)
            }
            Reading::Strided { starts, line, term, .. } => {
                let start = starts[batch] + c.columns(panel) as i64 * line + terms.start as i64 * term;
                let there = Operand::at(b, start);
                let Some(copy) = self.columns_code else { return there };
                let to = scratch.add(self.places.columns);
                // SAFETY: as with rows.
                unsafe { copy(there.at, to, terms.len() as i64, std::ptr::null()) };
                Operand { at: to, ..there }
            }
            Reading::Gathered(how) => Operand {
                terms: Some(how.terms[terms.clone()].as_ptr()),
                ..Operand::at(b, batch as i64 * how.batch + how.starts[panel])
            },
        }
    }
}

/// Where a tile finds some terms of an operand.
struct Operand {
    at: *const u8,
    /// Offsets of the terms, if they are gathered.
    terms: Option<*const i64>,
    /// Offsets of the rows, if they are gathered.
    starts: Option<*const i64>,
}

impl Operand {
    fn at(buffer: Address, bytes: i64) -> Operand {
        Operand { at: buffer.0.wrapping_offset(bytes as isize), terms: None, starts: None }
    }
}
