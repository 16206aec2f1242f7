//! Functions in executable memory. The only place that knows Cranelift's JIT.

use std::{collections::HashMap, fmt};

use bespoke_loops::{FunctionCode, Kernel, verify};
use bespoke_lower::{CopyCode, Isa, TileCode, Vectors};
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

use crate::{CodegenError, assembled, disassemble, tile, translate};

/// A loop kernel's code: the addresses of its buffers, and the piece of its range to run.
pub type KernelFn = unsafe extern "C" fn(args: *const *mut u8, begin: i64, end: i64);

/// A register tile's code: the operands a and b, terms k, the result and its row's length in elements; of an operand that is
/// gathered, the byte offsets of the terms and (for rows) of the rows; and whether to add to what is in the result.
pub type TileFn = unsafe extern "C" fn(
    a: *const u8,
    b: *const u8,
    k: i64,
    c: *mut u8,
    ldc: i64,
    terms: *const i64,
    rows: *const i64,
    add: i64,
);

/// Code that copies k terms of lines from a to a panel b, terms at offsets from a table where they are gathered.
pub type CopyFn = unsafe extern "C" fn(a: *const u8, b: *mut u8, k: i64, terms: *const i64);

/// Pieces of an outermost vector loop must begin at multiples of this many iterations.
pub const RANGE_ALIGNMENT: i64 = 64;

/// A function of a [`Module`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionId(usize);

/// What a function is made from.
enum Source<'a> {
    /// A loop kernel, and whether all its buffers are padded.
    Kernel(&'a Kernel, bool),
    Tile(TileCode),
    Copy(CopyCode),
}

/// Collects functions. Equal kernels and equal tiles become one function.
#[derive(Default)]
pub struct ModuleBuilder<'a> {
    isa: Isa,
    sources: Vec<(String, Source<'a>)>,
    texts: HashMap<(String, bool), FunctionId>,
    tiles: HashMap<TileCode, FunctionId>,
    copies: HashMap<CopyCode, FunctionId>,
    invalid: Vec<String>,
}

impl<'a> ModuleBuilder<'a> {
    /// Without functions. Loop kernels may use these instructions, which the machine must have.
    pub fn new(isa: Isa) -> ModuleBuilder<'a> {
        ModuleBuilder { isa, ..ModuleBuilder::default() }
    }

    /// Adds a loop kernel on buffers that are padded to whole 64-byte lines. That it is invalid is told by
    /// [`ModuleBuilder::finish`].
    pub fn add_kernel(&mut self, kernel: &'a Kernel) -> FunctionId {
        self.add(kernel, true)
    }

    /// Adds a loop kernel on buffers that may be pieces of larger ones: it keeps inside them.
    pub fn add_sliced_kernel(&mut self, kernel: &'a Kernel) -> FunctionId {
        self.add(kernel, false)
    }

    fn add(&mut self, kernel: &'a Kernel, padded: bool) -> FunctionId {
        let invalid = verify(kernel);
        if !invalid.is_empty() {
            self.invalid.extend(invalid);
            return FunctionId(self.sources.len());
        }
        // The text without the name says all that the code depends on. Its first line ends with the buffers.
        let text = kernel.to_string();
        let line = text.split('\n').next().unwrap_or_default();
        let content = (text[line.rfind('(').unwrap_or(0)..].to_owned(), padded);
        let next = FunctionId(self.sources.len());
        let id = *self.texts.entry(content).or_insert(next);
        if id == next {
            self.sources.push((kernel.name.clone(), Source::Kernel(kernel, padded)));
        }
        id
    }

    /// Adds a register tile.
    pub fn add_tile(&mut self, code: TileCode) -> FunctionId {
        let next = FunctionId(self.sources.len());
        let id = *self.tiles.entry(code).or_insert(next);
        if id == next {
            self.sources.push((code.to_string(), Source::Tile(code)));
        }
        id
    }

    /// Adds the code that copies lines into a panel. It needs AVX2, and as wide vectors as it says.
    pub fn add_copy(&mut self, code: CopyCode) -> FunctionId {
        let next = FunctionId(self.sources.len());
        let id = *self.copies.entry(code).or_insert(next);
        if id == next {
            self.sources.push((code.to_string(), Source::Copy(code)));
        }
        id
    }

    /// Compiles all functions, several at a time. `keep_text` keeps the intermediate code for [`Module::clif`].
    ///
    /// # Errors
    /// [`CodegenError`] if a kernel is invalid, this machine is not supported or a function is refused.
    pub fn finish(self, keep_text: bool) -> Result<Module, CodegenError> {
        self.finish_without(&[], keep_text)
    }

    /// The same for a machine that lacks some features of this one.
    fn finish_without(self, features: &[&str], keep_text: bool) -> Result<Module, CodegenError> {
        if !self.invalid.is_empty() {
            return Err(CodegenError::Invalid(self.invalid.join("; ")));
        }
        let (optimised, plain) = (isa("speed", features)?, isa("none", features)?);
        let compiled: Vec<Compiled> = self
            .sources
            .par_iter()
            // A task each: one may take ten times as long as another.
            .with_max_len(1)
            .map_init(
                || (Context::new(), FunctionBuilderContext::new()),
                |(context, builder), (name, source)| {
                    let isa = if matches!(source, Source::Tile(_)) { &plain } else { &optimised };
                    compile(name, source, self.isa, isa, context, builder, keep_text)
                },
            )
            .collect::<Result<_, _>>()?;
        link(&optimised, compiled)
    }
}

/// The machine that we run on, with what it can do but for some features.
fn isa(opt_level: &str, without: &[&str]) -> Result<OwnedTargetIsa, CodegenError> {
    let machine = |e: &dyn fmt::Display| CodegenError::Machine(e.to_string());
    // Cranelift would call helpers for shuffles and rounding, which nobody provides.
    #[cfg(target_arch = "x86_64")]
    if !is_x86_feature_detected!("sse4.1") || !is_x86_feature_detected!("ssse3") {
        return Err(machine(&"SSE4.1 and SSSE3 are needed"));
    }
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
    let mut builder = cranelift_native::builder().map_err(|e| machine(&e))?;
    for feature in without {
        builder.set(feature, "false").map_err(|e| machine(&e))?;
    }
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
    wide: Isa,
    isa: &OwnedTargetIsa,
    context: &mut Context,
    builder_context: &mut FunctionBuilderContext,
    keep_text: bool,
) -> Result<Compiled, CodegenError> {
    let refused = |reason: String| CodegenError::Function { function: name.to_owned(), reason };
    let assembled = match source {
        Source::Tile(code) if code.tile.vectors != Vectors::Portable => {
            Some(assembled::tile::assemble(*code))
        }
        Source::Copy(code) => Some(assembled::copy::assemble(*code)),
        Source::Kernel(kernel, _) => assembled::kernel::assemble(kernel, wide),
        _ => None,
    };
    if let Some(bytes) = assembled {
        return Ok(Compiled {
            name: name.to_owned(),
            bytes: bytes.map_err(refused)?,
            alignment: 64,
            relocations: vec![],
            calls: vec![],
            clif: None,
        });
    }
    context.clear();
    let arguments = match source {
        Source::Kernel(..) => 3,
        _ => 8,
    };
    let mut signature = Signature::new(CallConv::triple_default(isa.triple()));
    signature.params = vec![AbiParam::new(types::I64); arguments];
    context.func = Function::with_name_signature(UserFuncName::user(0, 0), signature);
    let mut calls: Vec<(&'static str, FunctionCode)> = vec![];
    let mut references: Vec<FuncRef> = vec![];
    let mut builder = FunctionBuilder::new(&mut context.func, builder_context);
    match source {
        Source::Kernel(kernel, padded) => {
            translate::translate(kernel, *padded, &mut builder, &mut |b, name, code| {
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
            })
        }
        Source::Tile(code) => tile::emit(*code, &mut builder),
        Source::Copy(_) => unreachable!("it is assembled"),
    }
    builder.finalize(isa.frontend_config());
    let clif = keep_text.then(|| context.func.display().to_string());
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

extern "C" fn fmaf(x: f32, y: f32, z: f32) -> f32 {
    x.mul_add(y, z)
}

extern "C" fn fma(x: f64, y: f64, z: f64) -> f64 {
    x.mul_add(y, z)
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
    // What machines without such an instruction call.
    builder.symbol("fmaf", fmaf as extern "C" fn(f32, f32, f32) -> f32 as *const u8);
    builder.symbol("fma", fma as extern "C" fn(f64, f64, f64) -> f64 as *const u8);
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
        let id = jit
            .declare_function(&format!("f{i}_{}", c.name), Linkage::Local, &signature)
            .map_err(|e| refused(&e))?;
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

    /// The code of a register tile. It may be called while the module lives, with operands that hold all that it reads.
    pub fn tile(&self, id: FunctionId) -> TileFn {
        // SAFETY: the address is that of a function with this signature (`compile`).
        unsafe { std::mem::transmute::<*const u8, TileFn>(self.functions[id.0].address) }
    }

    /// The code that copies lines into a panel. It may be called while the module lives, with lines and a panel of its sizes.
    pub fn copy(&self, id: FunctionId) -> CopyFn {
        // SAFETY: the address is that of a function with this signature (`assembled::copy`).
        unsafe { std::mem::transmute::<*const u8, CopyFn>(self.functions[id.0].address) }
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

#[cfg(test)]
mod tests {
    use bespoke_loops::{interpret, parse_kernel};
    use bespoke_lower::{Access, Tile};
    use bespoke_tensor::{DType, Scalar, Tensor, Type};

    use super::*;

    const FUSED: &str = "
kernel fused(b0: f32[23] read, b1: f64[23] read, b2: f32[23] write, b3: f64[23] write) {
  parallel vector(8) i0 < 23 {
    e0 = load b0[i0]
    e1 = fma e0, e0, f32 -1
    e2 = load b1[i0]
    e3 = fma e2, e2, f64 -1
    store b2[i0], e1; b3[i0], e3
  }
}
";

    fn tile(dtype: DType, mr: usize, nr: usize) -> TileCode {
        let size = dtype.size() as i64;
        TileCode {
            tile: Tile { dtype, mr, nr, vectors: Vectors::Portable },
            left: Access::Steps { line: size, term: mr as i64 * size },
            right: Access::Steps { line: size, term: nr as i64 * size },
        }
    }

    fn fused() -> Kernel {
        parse_kernel(FUSED, &[]).unwrap()
    }

    #[test]
    fn machines_without_fused_products_give_the_same_bits() {
        let kernel = fused();
        let numbers = |dtype| {
            Tensor::from_fn(Type::new(dtype, [23]), |i| Scalar::F64(1.0 + (i as f64 * 0.37).sin() * 1e-4))
        };
        let zeros = |dtype| Tensor::zeros(Type::new(dtype, [23]));
        let buffers = [numbers(DType::F32), numbers(DType::F64), zeros(DType::F32), zeros(DType::F64)];
        let mut expected = buffers.to_vec();
        interpret(&kernel, &mut expected, 0..23).unwrap();
        let lesser: &[&str] =
            if cfg!(target_arch = "x86_64") { &["has_fma", "has_avx", "has_avx2"] } else { &[] };
        for without in [&[], lesser] {
            let mut builder = ModuleBuilder::new(Isa::Portable);
            let id = builder.add_kernel(&kernel);
            let tile = builder.add_tile(tile(DType::F32, 2, 4));
            let module = builder.finish_without(without, false).unwrap();
            let mut got = buffers.to_vec();
            let args: Vec<*mut u8> = got.iter_mut().map(Tensor::as_mut_ptr).collect();
            // SAFETY: the buffers have the kernel's types and sizes.
            unsafe { module.kernel(id)(args.as_ptr(), 0, 23) };
            assert_eq!(got, expected, "without {without:?}");
            let (a, b, mut c) = ([3f32, 5.0], [1f32, 2.0, 3.0, 4.0], [0f32; 8]);
            let result = c.as_mut_ptr().cast();
            // SAFETY: one step of two rows by four columns.
            unsafe {
                let none = std::ptr::null();
                module.tile(tile)(a.as_ptr().cast(), b.as_ptr().cast(), 1, result, 4, none, none, 0);
            }
            assert_eq!(c, [3.0, 6.0, 9.0, 12.0, 5.0, 10.0, 15.0, 20.0], "without {without:?}");
        }
    }

    #[test]
    fn invalid_kernels_are_refused_by_name() {
        let mut kernel = fused();
        kernel.buffers[0].elements = 22;
        let mut builder = ModuleBuilder::new(Isa::Portable);
        builder.add_kernel(&kernel);
        let error = builder.finish(false).unwrap_err().to_string();
        assert!(error.contains("kernel fused") && error.contains("22 elements"), "{error}");
        let mut kernel = fused();
        kernel.body = bespoke_loops::Stmt::Store(vec![]);
        let mut builder = ModuleBuilder::new(Isa::Portable);
        builder.add_kernel(&kernel);
        let error = builder.finish(false).unwrap_err().to_string();
        assert!(error.contains("the body is not a loop"), "{error}");
        let mut kernel = fused();
        for _ in 0..64 {
            kernel.exprs.declare_var(2);
        }
        let mut builder = ModuleBuilder::new(Isa::Portable);
        builder.add_kernel(&kernel);
        let error = builder.finish(false).unwrap_err().to_string();
        assert!(error.contains("at most 64"), "{error}");
    }

    #[test]
    fn equal_functions_are_compiled_once() {
        let (first, mut second) = (fused(), fused());
        second.name = "another (name)".to_owned();
        let mut other = fused();
        other.buffers[3].elements = 24;
        let mut builder = ModuleBuilder::new(Isa::Portable);
        let ids = [&first, &second, &other].map(|k| builder.add_kernel(k));
        assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
        let tiles = [DType::F32, DType::F32, DType::F64].map(|d| builder.add_tile(tile(d, 2, 4)));
        assert!(tiles[0] == tiles[1] && tiles[1] != tiles[2], "{tiles:?}");
        let module = builder.finish(true).unwrap();
        assert_eq!(module.ids().count(), 4);
        assert_eq!(module.name(ids[1]), "fused");
        assert!(module.clif(ids[0]).unwrap().contains("fma"), "{:?}", module.clif(ids[0]));
        if cfg!(target_arch = "x86_64") {
            assert!(module.asm(ids[0]).contains("vfmadd"), "{}", module.asm(ids[0]));
        }
    }
}
