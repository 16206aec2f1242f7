//! Functions in executable memory. The only place that knows Cranelift's JIT.

use std::{collections::HashMap, fmt};

use bespoke_loops::{FunctionCode, Kernel};
use bespoke_lower::Tile;
use cranelift_codegen::{
    Context, FinalizedMachReloc, FinalizedRelocTarget,
    control::ControlPlane,
    ir::{
        AbiParam, ExtFuncData, ExternalName, FuncRef, Function, Signature, UserExternalName, UserFuncName,
        types,
    },
    isa::{CallConv, OwnedTargetIsa},
    settings::{self, Configurable},
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module as _, ModuleReloc, default_libcall_names};
use rayon::prelude::*;

use crate::{CodegenError, disassemble, tile, translate};

/// A loop kernel's code: the addresses of its buffers, and the piece of its range to run.
pub type KernelFn = unsafe extern "C" fn(args: *const *mut u8, begin: i64, end: i64);

/// A register tile's code: panels a and b, steps k, the result and its row's length in elements.
pub type TileFn = unsafe extern "C" fn(a: *const u8, b: *const u8, k: i64, c: *mut u8, ldc: i64);

/// Pieces of an outermost vector loop must begin at multiples of this many iterations.
pub const RANGE_ALIGNMENT: i64 = 64;

/// A function of a [`Module`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionId(usize);

/// What a function is made from.
enum Source<'a> {
    Kernel(&'a Kernel),
    Tile(Tile),
}

/// Collects functions. Equal kernels and equal tiles become one function.
#[derive(Default)]
pub struct ModuleBuilder<'a> {
    sources: Vec<(String, Source<'a>)>,
    texts: HashMap<String, FunctionId>,
    tiles: HashMap<Tile, FunctionId>,
}

impl<'a> ModuleBuilder<'a> {
    /// Without functions.
    pub fn new() -> ModuleBuilder<'a> {
        ModuleBuilder::default()
    }

    /// Adds a loop kernel.
    pub fn add_kernel(&mut self, kernel: &'a Kernel) -> FunctionId {
        // The text without the name says all that the code depends on.
        let text = kernel.to_string();
        let content = text.split_once('(').map_or(text.as_str(), |t| t.1).to_owned();
        let next = FunctionId(self.sources.len());
        let id = *self.texts.entry(content).or_insert(next);
        if id == next {
            self.sources.push((kernel.name.clone(), Source::Kernel(kernel)));
        }
        id
    }

    /// Adds a register tile.
    pub fn add_tile(&mut self, tile: Tile) -> FunctionId {
        let next = FunctionId(self.sources.len());
        let id = *self.tiles.entry(tile).or_insert(next);
        if id == next {
            self.sources.push((format!("tile_{}_{}x{}", tile.dtype, tile.mr, tile.nr), Source::Tile(tile)));
        }
        id
    }

    /// Compiles all functions, several at a time. `keep_text` keeps the intermediate code for [`Module::clif`].
    ///
    /// # Errors
    /// [`CodegenError`] if this machine is not supported or a function is refused.
    pub fn finish(self, keep_text: bool) -> Result<Module, CodegenError> {
        let (optimised, plain) = (isa("speed")?, isa("none")?);
        let compiled: Vec<Compiled> = self
            .sources
            .par_iter()
            .map_init(
                || (Context::new(), FunctionBuilderContext::new()),
                |(context, builder), (name, source)| {
                    let isa = if matches!(source, Source::Tile(_)) { &plain } else { &optimised };
                    compile(name, source, isa, context, builder, keep_text)
                },
            )
            .collect::<Result<_, _>>()?;
        link(&optimised, compiled)
    }
}

/// The machine that we run on, with what it can do.
fn isa(opt_level: &str) -> Result<OwnedTargetIsa, CodegenError> {
    let machine = |e: &dyn fmt::Display| CodegenError::Machine(e.to_string());
    let mut flags = settings::builder();
    let verify = if cfg!(debug_assertions) { "true" } else { "false" };
    let options = [
        ("opt_level", opt_level),
        ("enable_verifier", verify),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
    ];
    for (name, value) in options {
        flags.set(name, value).map_err(|e| machine(&e))?;
    }
    let builder = cranelift_native::builder().map_err(|e| machine(&e))?;
    builder.finish(settings::Flags::new(flags)).map_err(|e| machine(&e))
}

/// One function's code before it has an address.
struct Compiled {
    name: String,
    bytes: Vec<u8>,
    alignment: u64,
    relocations: Vec<FinalizedMachReloc>,
    /// The functions that it calls, by their number in the relocations.
    calls: Vec<(&'static str, FunctionCode)>,
    clif: Option<String>,
}

fn compile(
    name: &str,
    source: &Source<'_>,
    isa: &OwnedTargetIsa,
    context: &mut Context,
    builder_context: &mut FunctionBuilderContext,
    keep_text: bool,
) -> Result<Compiled, CodegenError> {
    context.clear();
    let arguments = match source {
        Source::Kernel(_) => 3,
        Source::Tile(_) => 5,
    };
    let mut signature = Signature::new(CallConv::triple_default(isa.triple()));
    signature.params = vec![AbiParam::new(types::I64); arguments];
    context.func = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut calls: Vec<(&'static str, FunctionCode)> = vec![];
    let mut references: Vec<FuncRef> = vec![];
    let mut builder = FunctionBuilder::new(&mut context.func, builder_context);
    match source {
        Source::Kernel(kernel) => translate::translate(kernel, &mut builder, &mut |b, name, code| {
            if let Some(i) = calls.iter().position(|c| c.0 == name) {
                return references[i];
            }
            let count = match code {
                FunctionCode::One(_) => 1,
                FunctionCode::Two(_) => 2,
            };
            let mut signature = Signature::new(CallConv::triple_default(isa.triple()));
            signature.params = vec![AbiParam::new(types::F64); count];
            signature.returns = vec![AbiParam::new(types::F64)];
            let signature = b.import_signature(signature);
            let index = calls.len() as u32;
            let user = b.func.declare_imported_user_function(UserExternalName { namespace: 1, index });
            let reference = b.import_function(ExtFuncData {
                name: ExternalName::user(user),
                signature,
                colocated: false,
                patchable: false,
            });
            calls.push((name, code));
            references.push(reference);
            reference
        }),
        Source::Tile(tile) => tile::emit(*tile, &mut builder),
    }
    builder.finalize(isa.frontend_config());
    let clif = keep_text.then(|| context.func.display().to_string());
    let refused = |reason: String| CodegenError::Function { function: name.to_owned(), reason };
    let code = context
        .compile(isa.as_ref(), &mut ControlPlane::default())
        .map_err(|e| refused(format!("{:?}", e.inner)))?;
    Ok(Compiled {
        name: name.to_owned(),
        bytes: code.code_buffer().to_vec(),
        alignment: u64::from(code.buffer.alignment).max(16),
        relocations: code.buffer.relocs().to_vec(),
        calls,
        clif,
    })
}

/// Puts compiled functions into executable memory.
fn link(isa: &OwnedTargetIsa, compiled: Vec<Compiled>) -> Result<Module, CodegenError> {
    let memory = |e: &dyn fmt::Display| CodegenError::Memory(e.to_string());
    let isa = isa.clone();
    let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
    let size: usize = compiled.iter().map(|c| c.bytes.len() + 64).sum();
    let arena = ArenaMemoryProvider::new_with_size(size.next_multiple_of(4096) + (64 << 10))
        .map_err(|e| memory(&e))?;
    builder.memory_provider(Box::new(arena));
    for (name, code) in compiled.iter().flat_map(|c| &c.calls) {
        builder.symbol(
            *name,
            match code {
                FunctionCode::One(f) => *f as *const u8,
                FunctionCode::Two(f) => *f as *const u8,
            },
        );
    }
    let mut jit = JITModule::new(builder);
    let mut functions = vec![];
    for (i, c) in compiled.into_iter().enumerate() {
        let refused =
            |e: &dyn fmt::Display| CodegenError::Function { function: c.name.clone(), reason: e.to_string() };
        let mut signature = jit.make_signature();
        signature.params.clear();
        let id =
            jit.declare_function(&format!("f{i}"), Linkage::Local, &signature).map_err(|e| refused(&e))?;
        let mut callees: Vec<FuncId> = vec![];
        for (name, _) in &c.calls {
            callees.push(jit.declare_function(name, Linkage::Import, &signature).map_err(|e| refused(&e))?);
        }
        let relocations: Vec<ModuleReloc> =
            c.relocations.iter().map(|r| relocation(r, id, &callees)).collect();
        jit.define_function_bytes(id, c.alignment, &c.bytes, &relocations).map_err(|e| refused(&e))?;
        functions.push((id, c));
    }
    jit.finalize_definitions().map_err(|e| memory(&e))?;
    let functions = functions
        .into_iter()
        .map(|(id, c)| Linked {
            address: jit.get_finalized_function(id),
            name: c.name,
            bytes: c.bytes,
            clif: c.clif,
        })
        .collect();
    Ok(Module { jit: Some(jit), functions })
}

/// A relocation in the module's terms.
fn relocation(r: &FinalizedMachReloc, own: FuncId, callees: &[FuncId]) -> ModuleReloc {
    use cranelift_module::ModuleRelocTarget;
    let name = match &r.target {
        // Compiled functions name their callees by the order in which they imported them.
        FinalizedRelocTarget::ExternalName(ExternalName::User(reference)) => {
            callees[reference.as_u32() as usize].into()
        }
        FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) => ModuleRelocTarget::LibCall(*call),
        FinalizedRelocTarget::ExternalName(ExternalName::KnownSymbol(symbol)) => {
            ModuleRelocTarget::KnownSymbol(*symbol)
        }
        FinalizedRelocTarget::ExternalName(ExternalName::TestCase(_)) => unreachable!("never made"),
        FinalizedRelocTarget::Func(offset) => ModuleRelocTarget::FunctionOffset(own, *offset),
    };
    ModuleReloc { kind: r.kind, offset: r.offset, name, addend: r.addend }
}

struct Linked {
    address: *const u8,
    name: String,
    bytes: Vec<u8>,
    clif: Option<String>,
}

/// Compiled functions in executable memory, which lives as long as the module.
pub struct Module {
    /// Taken on drop only.
    jit: Option<JITModule>,
    functions: Vec<Linked>,
}

// SAFETY: after finalisation nothing in the module changes, and the addresses point to memory that it owns.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    /// The code of a loop kernel. It may be called while the module lives, with buffers of the kernel's types.
    pub fn kernel(&self, id: FunctionId) -> KernelFn {
        // SAFETY: the address is that of a function with this signature (`compile`).
        unsafe { std::mem::transmute::<*const u8, KernelFn>(self.functions[id.0].address) }
    }

    /// The code of a register tile. It may be called while the module lives, with whole panels.
    pub fn tile(&self, id: FunctionId) -> TileFn {
        // SAFETY: the address is that of a function with this signature (`compile`).
        unsafe { std::mem::transmute::<*const u8, TileFn>(self.functions[id.0].address) }
    }

    /// The bytes of all functions.
    pub fn code_bytes(&self) -> usize {
        self.functions.iter().map(|f| f.bytes.len()).sum()
    }

    /// All functions, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = FunctionId> + use<> {
        (0..self.functions.len()).map(FunctionId)
    }

    /// The function's name: that of the first kernel it was made from.
    pub fn name(&self, id: FunctionId) -> &str {
        &self.functions[id.0].name
    }

    /// Cranelift's intermediate code, if it was kept.
    pub fn clif(&self, id: FunctionId) -> Option<&str> {
        self.functions[id.0].clif.as_deref()
    }

    /// The function's machine code.
    pub fn bytes(&self, id: FunctionId) -> &[u8] {
        &self.functions[id.0].bytes
    }

    /// The function disassembled.
    pub fn asm(&self, id: FunctionId) -> String {
        disassemble::disassemble(self.bytes(id))
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({} functions, {} bytes)", self.functions.len(), self.code_bytes())
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Some(jit) = self.jit.take() {
            // SAFETY: whoever calls code of the module keeps it alive.
            unsafe { jit.free_memory() };
        }
    }
}
