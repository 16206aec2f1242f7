//! The register tile of a matrix product.

use bespoke_lower::Tile;
use bespoke_tensor::DType;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, condcodes::IntCC, types};
use cranelift_frontend::FunctionBuilder;

use crate::vector::chunk_type;

/// Steps of k in one iteration: hides the loop's own work.
const UNROLL: i64 = 4;

/// Emits the body of the tile's function `(a, b, k, c, ldc)`: `c[i·ldc + j] = Σₖ a[k·mr + i] · b[k·nr + j]`.
///
/// All accumulators live in registers. It is compiled without optimisation of the intermediate code, which would move
/// loads together and spill them.
pub fn emit(tile: Tile, b: &mut FunctionBuilder<'_>) {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let params = b.block_params(entry).to_vec();
    let (a, panel, k, c, ldc) = (params[0], params[1], params[2], params[3], params[4]);
    let ty = chunk_type(tile.dtype);
    let zero = match tile.dtype {
        DType::F64 => b.ins().f64const(0.0),
        _ => b.ins().f32const(0.0),
    };
    let zero = b.ins().splat(ty, zero);
    let chunks = tile.nr * tile.dtype.size() / 16;
    let start = vec![zero; tile.mr * chunks];
    let whole = b.ins().band_imm_s(k, -UNROLL);
    let rest = b.ins().isub(k, whole);
    let (a, panel, sums) = steps(tile, b, a, panel, whole, UNROLL, &start);
    let (_, _, sums) = steps(tile, b, a, panel, rest, 1, &sums);
    let row_bytes = b.ins().imul_imm_s(ldc, tile.dtype.size() as i64);
    let mut at = c;
    for row in sums.chunks(chunks) {
        for (i, &sum) in row.iter().enumerate() {
            b.ins().store(MemFlagsData::new().with_notrap(), sum, at, i as i32 * 16);
        }
        at = b.ins().iadd(at, row_bytes);
    }
    b.ins().return_(&[]);
}

/// `count` steps of k, `unroll` at a time; gives the addresses and sums after them.
fn steps(
    tile: Tile,
    b: &mut FunctionBuilder<'_>,
    a: Value,
    panel: Value,
    count: Value,
    unroll: i64,
    sums: &[Value],
) -> (Value, Value, Vec<Value>) {
    let (head, body, after) = (b.create_block(), b.create_block(), b.create_block());
    let start: Vec<_> = [a, panel, count].iter().chain(sums).map(|&v| v.into()).collect();
    for block in [head, body, after] {
        for &v in [a, panel, count].iter().chain(sums) {
            let ty = b.func.dfg.value_type(v);
            b.append_block_param(block, ty);
        }
    }
    b.ins().jump(head, &start);
    b.switch_to_block(head);
    let params = b.block_params(head).to_vec();
    let args: Vec<_> = params.iter().map(|&v| v.into()).collect();
    let more = b.ins().icmp_imm_s(IntCC::SignedGreaterThan, params[2], 0);
    b.ins().brif(more, body, &args, after, &args);
    b.switch_to_block(body);
    b.seal_block(body);
    let params = b.block_params(body).to_vec();
    let (a, panel, left) = (params[0], params[1], params[2]);
    let mut sums = params[3..].to_vec();
    let (size, ty) = (tile.dtype.size(), chunk_type(tile.dtype));
    let chunks = tile.nr * size / 16;
    let scalar = if tile.dtype == DType::F64 { types::F64 } else { types::F32 };
    let flags = MemFlagsData::new().with_notrap().with_readonly().with_can_move();
    for step in 0..unroll as usize {
        let columns: Vec<Value> =
            (0..chunks).map(|i| b.ins().load(ty, flags, panel, ((step * chunks + i) * 16) as i32)).collect();
        for row in 0..tile.mr {
            let x = b.ins().load(scalar, flags, a, ((step * tile.mr + row) * size) as i32);
            let x = b.ins().splat(ty, x);
            for (i, &column) in columns.iter().enumerate() {
                let sum = &mut sums[row * chunks + i];
                *sum = b.ins().fma(x, column, *sum);
            }
        }
    }
    let a = b.ins().iadd_imm_s(a, unroll * (tile.mr * size) as i64);
    let panel = b.ins().iadd_imm_s(panel, unroll * (tile.nr * size) as i64);
    let left = b.ins().iadd_imm_s(left, -unroll);
    let next: Vec<_> = [a, panel, left].iter().chain(&sums).map(|&v| v.into()).collect();
    b.ins().jump(head, &next);
    b.seal_block(head);
    b.switch_to_block(after);
    b.seal_block(after);
    let params = b.block_params(after).to_vec();
    (params[0], params[1], params[3..].to_vec())
}
