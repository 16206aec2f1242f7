//! The stage: program to machine code.

use bespoke_lower::{Program, Work};

use crate::{CodegenError, FunctionId, Module, ModuleBuilder};

/// The functions of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchCode {
    /// A loop kernel.
    Loops(FunctionId),
    /// A matrix product.
    Contraction {
        /// The register tile.
        tile: FunctionId,
        /// What runs over finished rows.
        epilogue: Option<FunctionId>,
    },
}

/// The machine code of a program.
#[derive(Debug)]
pub struct ProgramCode {
    /// All functions.
    pub module: Module,
    /// The functions of each launch, in order.
    pub launches: Vec<LaunchCode>,
}

/// Generates code for every launch. `keep_text` keeps the intermediate code for inspection.
///
/// # Errors
/// [`CodegenError`] if this machine is not supported or a function is refused.
pub fn generate(program: &Program, keep_text: bool) -> Result<ProgramCode, CodegenError> {
    let mut builder = ModuleBuilder::new();
    let launches = program
        .launches
        .iter()
        .map(|launch| match &launch.work {
            Work::Loops(kernel) => LaunchCode::Loops(builder.add_kernel(kernel)),
            Work::Contraction(c) => LaunchCode::Contraction {
                tile: builder.add_tile(c.tile),
                epilogue: c.epilogue.as_ref().map(|e| builder.add_kernel(e)),
            },
        })
        .collect();
    Ok(ProgramCode { module: builder.finish(keep_text)?, launches })
}
