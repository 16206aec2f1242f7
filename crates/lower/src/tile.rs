//! Register tiles: which there are, and which suits a product.

use std::{fmt, str::FromStr};

use bespoke_tensor::DType;

/// The vector instructions that products of matrices are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Isa {
    /// Vectors of 128 bits, on any machine.
    #[default]
    Portable,
    /// Sixteen registers of 256 bits and fused multiply-add.
    Avx2,
    /// Thirty-two registers of 512 bits.
    Avx512,
}

impl Isa {
    /// The widest that this machine has. The environment variable `BESPOKE_ISA` (`portable`, `avx2` or `avx512`) asks for a
    /// narrower one; any other value is as none.
    pub fn detect() -> Isa {
        let asked = std::env::var("BESPOKE_ISA").ok().and_then(|name| name.parse().ok());
        asked.unwrap_or(Isa::Avx512).min(Isa::of_machine())
    }

    /// Does this machine have it?
    pub fn is_available(self) -> bool {
        self <= Isa::of_machine()
    }

    /// The calling convention of the tiles is that of Unix.
    #[cfg(all(target_arch = "x86_64", unix))]
    fn of_machine() -> Isa {
        match (is_x86_feature_detected!("avx2"), is_x86_feature_detected!("fma")) {
            (true, true) if is_x86_feature_detected!("avx512f") => Isa::Avx512,
            (true, true) => Isa::Avx2,
            _ => Isa::Portable,
        }
    }

    #[cfg(not(all(target_arch = "x86_64", unix)))]
    fn of_machine() -> Isa {
        Isa::Portable
    }

    /// The tiles to choose from.
    fn shapes(self) -> impl Iterator<Item = &'static Shape> {
        let (portable, wide) = match self {
            Isa::Portable => (PORTABLE, &[][..]),
            Isa::Avx2 => (&[][..], &WIDE[AVX512_SHAPES..]),
            Isa::Avx512 => (&[][..], WIDE),
        };
        portable.iter().chain(wide)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Isa, String> {
        [Isa::Portable, Isa::Avx2, Isa::Avx512]
            .into_iter()
            .find(|isa| isa.to_string() == name)
            .ok_or_else(|| format!("`{name}` is none of portable, avx2 and avx512"))
    }
}

/// What makes the code of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vectors {
    /// Cranelift, with vectors of 128 bits.
    Portable,
    /// Our assembler, with vectors of so many bytes: 16, 32 or 64.
    Bytes(usize),
}

impl Vectors {
    /// The least that has such vectors.
    pub fn isa(self) -> Isa {
        match self {
            Vectors::Portable => Isa::Portable,
            Vectors::Bytes(64) => Isa::Avx512,
            Vectors::Bytes(_) => Isa::Avx2,
        }
    }

    /// The bytes of a vector.
    pub fn bytes(self) -> usize {
        match self {
            Vectors::Portable => 16,
            Vectors::Bytes(bytes) => bytes,
        }
    }
}

/// The register tile: `mr` rows by `nr` columns of the result at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// f32 or f64.
    pub dtype: DType,
    /// Rows.
    pub mr: usize,
    /// Columns, a multiple of the lanes of a vector.
    pub nr: usize,
    /// The vectors.
    pub vectors: Vectors,
}

/// A tile before it is cut to a product: all accumulators live in registers, with the vectors of B and an element of A.
struct Shape {
    vectors: Vectors,
    /// Vectors of a row.
    columns: usize,
    /// The most rows.
    rows: usize,
    /// How much of the peak of such vectors it reaches.
    reach: f64,
}

const fn shape(vectors: Vectors, columns: usize, rows: usize, reach: f64) -> Shape {
    Shape { vectors, columns, rows, reach }
}

// `cargo test --release -p bespoke-codegen --test speed -- --ignored --nocapture` measures what they reach.
const PORTABLE: &[Shape] = &[
    shape(Vectors::Portable, 2, 5, 1.0),
    shape(Vectors::Portable, 3, 3, 0.95),
    shape(Vectors::Portable, 4, 2, 0.9),
    shape(Vectors::Portable, 1, 8, 0.8),
];

/// So many of the first need AVX-512.
const AVX512_SHAPES: usize = 4;
const WIDE: &[Shape] = &[
    shape(Vectors::Bytes(64), 2, 14, 1.0),
    shape(Vectors::Bytes(64), 3, 9, 1.0),
    shape(Vectors::Bytes(64), 4, 6, 0.95),
    shape(Vectors::Bytes(64), 1, 28, 0.54),
    shape(Vectors::Bytes(32), 2, 6, 1.0),
    shape(Vectors::Bytes(32), 3, 4, 1.0),
    shape(Vectors::Bytes(32), 1, 12, 0.9),
    shape(Vectors::Bytes(16), 2, 6, 1.0),
    shape(Vectors::Bytes(16), 1, 12, 0.9),
];

/// Accumulators that hide the latency of a multiply-add.
const CHAINS: usize = 8;

/// Nanoseconds of a multiply-add per byte of a vector (16: 0.05 ns an element of f32).
const MULTIPLY_ADD: f64 = 0.8;

/// The fastest tile for so many products of `rows` rows (at most `most` at once) whose columns come in runs of `run`, and the
/// nanoseconds that a term takes for all rows of one run; none if runs are too short.
pub fn best(
    isa: Isa,
    dtype: DType,
    products: usize,
    rows: usize,
    run: usize,
    most: usize,
) -> Option<(Tile, f64)> {
    let time = |shape: &Shape, mr: usize| {
        let lanes = shape.vectors.bytes() / dtype.size();
        let nr = shape.columns * lanes;
        let height = |rows: usize| if rows == 0 { 0 } else { rows.max(CHAINS.div_ceil(shape.columns)) };
        let heights = rows / mr * height(mr) + height(rows % mr);
        let macs = heights * run.next_multiple_of(nr);
        let work = macs as f64 * MULTIPLY_ADD * (dtype.size() as f64 / 4.0)
            / (shape.vectors.bytes() as f64 * shape.reach);
        // Threads share panels: with an odd one some of them wait.
        let panels = products * rows.div_ceil(mr);
        (nr <= run).then_some((
            Tile { dtype, mr, nr, vectors: shape.vectors },
            work * panels.next_multiple_of(2) as f64 / panels as f64,
        ))
    };
    let candidates = isa.shapes().flat_map(|shape| {
        let panels = rows.div_ceil(shape.rows.min(most));
        // Panels of equal height rather than full ones and a low one.
        [panels, panels + 1].map(|panels| time(shape, rows.div_ceil(panels)))
    });
    candidates.flatten().min_by(|a, b| a.1.total_cmp(&b.1))
}

/// How a tile finds an operand's elements. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Lines (rows of A, columns of B) and terms are each a step apart; columns lie side by side.
    Steps {
        /// From line to line.
        line: i64,
        /// From term to term.
        term: i64,
    },
    /// At the sum of an offset of the row (of the first column) and one of the term, from tables.
    Table,
}

/// What a tile's code depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileCode {
    /// The tile; of the last rows of a product it has fewer rows.
    pub tile: Tile,
    /// Of A.
    pub left: Access,
    /// Of B. At most one of both is a table.
    pub right: Access,
}

impl fmt::Display for TileCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tile { dtype, mr, nr, vectors } = self.tile;
        write!(f, "tile_{dtype}_{mr}x{nr}")?;
        if let Vectors::Bytes(bytes) = vectors {
            write!(f, "_{}", bytes * 8)?;
        }
        for (side, access) in [("a", self.left), ("b", self.right)] {
            match access {
                Access::Table => write!(f, "_{side}_table")?,
                Access::Steps { line, term } => write!(f, "_{side}_{line}_{term}")?,
            }
        }
        Ok(())
    }
}

/// How the lines that are copied into a panel lie. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lines {
    /// Those of a term side by side.
    SideBySide {
        /// From term to term.
        term: i64,
    },
    /// The terms of each side by side.
    Apart {
        /// From line to line.
        line: i64,
    },
    /// Those of a term side by side, terms at offsets from a table.
    Gathered,
}

/// What the code depends on that copies lines into a panel `[k][count]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyCode {
    /// f32 or f64.
    pub dtype: DType,
    /// Of the widest vector to use: 16, 32 or 64.
    pub bytes: usize,
    /// Lines in the panel.
    pub count: usize,
    /// How they lie.
    pub lines: Lines,
}

impl fmt::Display for CopyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CopyCode { dtype, bytes, count, lines } = self;
        write!(f, "copy_{dtype}_{count}_{}", bytes * 8)?;
        match lines {
            Lines::SideBySide { term } => write!(f, "_terms_{term}"),
            Lines::Apart { line } => write!(f, "_lines_{line}"),
            Lines::Gathered => f.write_str("_table"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_suit_their_products() {
        let of = |isa, rows, run| best(isa, DType::F32, 1, rows, run, usize::MAX).map(|(t, _)| (t.mr, t.nr));
        assert_eq!(of(Isa::Portable, 100, 64), Some((5, 8)));
        assert_eq!(of(Isa::Avx2, 96, 64), Some((6, 16)));
        assert_eq!(of(Isa::Avx512, 128, 512), Some((13, 32)), "ten panels of equal height");
        assert_eq!(of(Isa::Avx512, 128, 10), Some((11, 8)), "no column of a tile is in vain");
        assert_eq!(of(Isa::Avx512, 32, 1024), Some((8, 32)), "four panels rather than three");
        assert_eq!(of(Isa::Avx512, 128, 3), None);
        let f64s = best(Isa::Avx512, DType::F64, 1, 28, 64, 11).map(|(t, _)| (t.mr, t.nr));
        assert_eq!(f64s, Some((7, 16)), "at most eleven rows");
    }

    #[test]
    fn names_parse_back() {
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512] {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert!("sse".parse::<Isa>().is_err());
    }
}
