//! What the compiler made of a model, for people to read.

mod derivation;
mod expression;
mod formula;
mod memory;
mod profile;

use bespoke_codegen::ProgramCode;

pub use derivation::{Derivation, DerivationError, derive, simplify};
pub use expression::{ExpressionError, parse_expression};
pub use formula::{formula, formulas, latex};
pub use memory::memory;
pub use profile::profile;

/// The intermediate code of all functions, if it was kept.
pub fn clif(code: &ProgramCode) -> String {
    let text = |id| {
        format!(
            "; {}\n{}\n",
            code.module.name(id),
            code.module.clif(id).unwrap_or("; none: assembled, or not kept\n")
        )
    };
    code.module.ids().map(text).collect()
}

/// All functions disassembled.
pub fn asm(code: &ProgramCode) -> String {
    let text = |id| {
        format!(
            "; {}, {} bytes\n{}\n",
            code.module.name(id),
            code.module.bytes(id).len(),
            code.module.asm(id)
        )
    };
    code.module.ids().map(text).collect()
}
