//! The stage: program to machine code.

use bespoke_loops::Kernel;
use bespoke_lower::{CopyCode, Isa, Panels, Program, TileCode, Work};

use crate::{CodegenError, FunctionId, Module, ModuleBuilder};

/// The functions of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchCode {
    /// A loop kernel.
    Loops(FunctionId),
    /// A matrix product.
    Contraction {
        /// The register tile, and what copies its rows if they are copied.
        rows: (FunctionId, Option<FunctionId>),
        /// The same for the last rows, if they are fewer.
        last_rows: Option<(FunctionId, Option<FunctionId>)>,
        /// What copies columns, if they are copied.
        columns: Option<FunctionId>,
        /// What packs the panels of B, if this launch does.
        pack: Option<FunctionId>,
        /// What runs over finished rows.
        epilogue: Option<FunctionId>,
    },
    /// A loop: the functions of its body's launches.
    Loop(Vec<LaunchCode>),
    /// The runtime does it itself.
    Sort,
}

/// The machine code of a program.
#[derive(Debug)]
pub struct ProgramCode {
    /// All functions.
    pub module: Module,
    /// The functions of each launch, in order.
    pub launches: Vec<LaunchCode>,
}

/// Generates code for every launch, with instructions that the machine must have. `keep_text` keeps the intermediate code for
/// inspection.
///
/// # Errors
/// [`CodegenError`] if this machine is not supported or a function is refused.
pub fn generate(program: &Program, isa: Isa, keep_text: bool) -> Result<ProgramCode, CodegenError> {
    let mut builder = ModuleBuilder::new(isa);
    let launches = launches(program, &mut builder);
    Ok(ProgramCode { module: builder.finish(keep_text)?, launches })
}

fn launches<'a>(program: &'a Program, builder: &mut ModuleBuilder<'a>) -> Vec<LaunchCode> {
    let mut code = vec![];
    for launch in &program.launches {
        let sliced = launch.args.iter().any(|&a| program.buffers[a].sliced);
        code.push(match &launch.work {
            Work::Loops(k) => LaunchCode::Loops(add(builder, k, sliced)),
            Work::Contraction(c) => {
                let codes = c.codes();
                let mut rows = |(tile, copy): (TileCode, Option<CopyCode>)| {
                    (builder.add_tile(tile), copy.map(|c| builder.add_copy(c)))
                };
                LaunchCode::Contraction {
                    rows: rows(codes.rows),
                    last_rows: codes.last_rows.map(rows),
                    columns: codes.columns.map(|c| builder.add_copy(c)),
                    pack: match &c.b {
                        Panels::Packed(pack, args) => {
                            Some(add(builder, pack, args.iter().any(|&a| program.buffers[a].sliced)))
                        }
                        Panels::Buffer(_) => None,
                    },
                    epilogue: c.epilogue.as_ref().map(|k| add(builder, k, sliced)),
                }
            }
            Work::Loop(scan) => LaunchCode::Loop(launches(&scan.body, builder)),
            Work::Sort(_) => LaunchCode::Sort,
        });
    }
    code
}

fn add<'a>(builder: &mut ModuleBuilder<'a>, kernel: &'a Kernel, sliced: bool) -> FunctionId {
    if sliced { builder.add_sliced_kernel(kernel) } else { builder.add_kernel(kernel) }
}
