//! Kernels: buffers, accumulators and statements around an expression arena.

use std::fmt;

use bespoke_tensor::{DType, Scalar};

use crate::{ExprId, Exprs, expr::named};

macro_rules! entity {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(pub u32);

        impl $name {
            /// Its position among its kind.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

entity!(
    /// A loop variable; prints as `i0`.
    VarId, "i"
);
entity!(
    /// A buffer of a kernel; prints as `b0`.
    BufferId, "b"
);
entity!(
    /// An accumulator of a kernel; prints as `a0`.
    AccId, "a"
);

/// How a kernel uses a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Only loads.
    Read,
    /// Only stores.
    Write,
    /// Loads and stores: an update in place.
    ReadWrite,
}

named!(Access { Read => "read", Write => "write", ReadWrite => "readwrite" });

/// A flat piece of memory that is handed to a kernel.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Buffer {
    /// The element type.
    pub dtype: DType,
    /// The number of elements; storage is padded to whole 64-byte lines.
    pub elements: usize,
    /// How it is used.
    pub access: Access,
}

/// How an accumulator takes in a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Combine {
    /// Adds it.
    Sum,
    /// Multiplies by it.
    Product,
    /// [`BinaryFn::Max`](crate::BinaryFn::Max).
    Max,
    /// [`BinaryFn::Min`](crate::BinaryFn::Min).
    Min,
    /// Logical or.
    Any,
    /// Logical and.
    All,
    /// Holds the new value instead; a loop that does this is not vectorised along itself.
    Set,
}

named!(Combine { Sum => "sum", Product => "product", Max => "max", Min => "min", Any => "any", All => "all",
    Set => "set" });

impl Combine {
    /// The value that changes nothing, from which a reduction starts (0 for [`Combine::Set`]).
    pub fn identity(self, dtype: DType) -> Scalar {
        let limit = |sign: f64| match dtype {
            DType::I64 => Scalar::I64(if sign < 0.0 { i64::MIN } else { i64::MAX }),
            DType::Bool => Scalar::Bool(sign > 0.0),
            _ => Scalar::from_f64(dtype, sign * f64::INFINITY),
        };
        match self {
            Combine::Sum | Combine::Set => Scalar::from_f64(dtype, 0.0),
            Combine::Product => Scalar::from_f64(dtype, 1.0),
            Combine::Max => limit(-1.0),
            Combine::Min => limit(1.0),
            Combine::Any => Scalar::Bool(false),
            Combine::All => Scalar::Bool(true),
        }
    }
}

/// A register that survives the iterations of inner loops.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Acc {
    /// The type of what it holds.
    pub dtype: DType,
    /// How [`Stmt::Update`] changes it.
    pub combine: Combine,
}

/// How the iterations of a loop are run; they mean the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoopKind {
    /// One after the other.
    Serial,
    /// This many iterations (4, 8, 16 or 32) at once, the rest one by one. The iterations must be independent but
    /// for accumulators that combine (not [`Combine::Set`]) and were initialised outside.
    Vector(u8),
}

/// One element written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Store {
    /// The buffer.
    pub buffer: BufferId,
    /// The element number, inside the buffer.
    pub index: ExprId,
    /// The value, of the buffer's type.
    pub value: ExprId,
}

/// What a kernel does, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Stmt {
    /// Runs the body for each value of a variable.
    For {
        /// The variable, which no other loop around or beside may reuse.
        var: VarId,
        /// How.
        kind: LoopKind,
        /// What.
        body: Vec<Stmt>,
    },
    /// Sets an accumulator.
    Init {
        /// The accumulator.
        acc: AccId,
        /// Its new value.
        value: ExprId,
    },
    /// Combines a value into an accumulator.
    Update {
        /// The accumulator.
        acc: AccId,
        /// The value.
        value: ExprId,
    },
    /// Evaluates all values, then writes all of them: a load sees what was there before this statement.
    Store(Vec<Store>),
    /// Adds a value to an element of a buffer, in the order of the iterations.
    Add(Store),
}

/// One launch: `body` is one loop, the range of which workers share.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// A name for people; unique within a program.
    pub name: String,
    /// The buffers, in the order of the arguments.
    pub buffers: Vec<Buffer>,
    /// The accumulators.
    pub accs: Vec<Acc>,
    /// The expressions and loop variables.
    pub exprs: Exprs,
    /// The outermost loop: always a [`Stmt::For`].
    pub body: Stmt,
}

impl Kernel {
    /// The extent of the outermost loop.
    pub fn range(&self) -> i64 {
        match &self.body {
            Stmt::For { var, .. } => self.exprs.extent(*var),
            _ => panic!("{}: the body of a kernel must be a loop", self.name),
        }
    }
}
