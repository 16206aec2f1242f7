//! The program verifier.

use bespoke_tensor::DType;

use bespoke_loops::Kernel;

use crate::{Contraction, Loop, Panels, Place, Program, Reading, Side, Work};

/// All violations of a program's invariants; empty for every program that lowering makes.
pub fn verify(program: &Program) -> Vec<String> {
    let mut violations = vec![];
    let mut written: Vec<bool> = program
        .buffers
        .iter()
        .map(|b| matches!(b.place, Place::Input | Place::State | Place::Constant(_)) || b.ty.elements() == 0)
        .collect();
    for launch in &program.launches {
        let kernels: Vec<(&Kernel, usize, &[usize])> = match &launch.work {
            Work::Loops(kernel) => vec![(kernel, 0, &launch.args)],
            Work::Contraction(c) => {
                let epilogue = c.epilogue.iter().map(|e| (&**e, 1, &launch.args[..]));
                let pack = match &c.b {
                    Panels::Packed(pack, args) => Some((&**pack, 1, &args[..])),
                    Panels::Buffer(_) => None,
                };
                epilogue.chain(pack).collect()
            }
            Work::Loop(_) | Work::Sort(_) => vec![],
        };
        for (kernel, skip, args) in kernels {
            violations
                .extend(bespoke_loops::verify(kernel).into_iter().map(|v| format!("{}: {v}", kernel.name)));
            if kernel.buffers.len() != args.len() + skip {
                violations.push(format!(
                    "{}: {} buffers, {} arguments",
                    kernel.name,
                    kernel.buffers.len(),
                    args.len()
                ));
            }
            for (buffer, &arg) in kernel.buffers[skip..].iter().zip(args) {
                let ty = program.buffers[arg].ty;
                if buffer.dtype != ty.dtype || buffer.elements != ty.elements() {
                    violations.push(format!(
                        "{}: @{arg} is {ty}, the kernel expects {}[{}]",
                        kernel.name, buffer.dtype, buffer.elements
                    ));
                }
                if buffer.access == bespoke_loops::Access::Read && !written[arg] {
                    violations.push(format!("{}: reads @{arg} before it is written", kernel.name));
                }
            }
        }
        if let Work::Contraction(c) = &launch.work {
            let b = match &c.b {
                Panels::Buffer(b) => Some(*b),
                Panels::Packed(..) => None,
            };
            violations.extend(verify_operand(program, c, Side::Rows));
            violations.extend(verify_operand(program, c, Side::Columns));
            for panel in [c.a].into_iter().chain(b).filter(|&p| !written[p]) {
                violations.push(format!("{}: operand @{panel} is not written", c.name));
            }
        }
        if let Work::Sort(sort) = &launch.work {
            let elements: usize = sort.extents.iter().product();
            let fits = |b: usize, dtype| {
                program.buffers[b].ty.dtype == dtype && program.buffers[b].ty.elements() == elements
            };
            if !fits(sort.from, sort.dtype) || !fits(sort.to, DType::I32) || !written[sort.from] {
                violations.push(format!("{}: its buffers do not fit or are not written", sort.name));
            }
        }
        if let Work::Loop(scan) = &launch.work {
            verify_loop(program, scan, &written, &mut violations);
        }
        for b in launch.written() {
            written[b] = true;
            if matches!(program.buffers[b].place, Place::Input | Place::Constant(_)) {
                violations.push(format!(
                    "{}: writes to the {} @{b}",
                    launch.name(),
                    program.buffers[b].place
                ));
            }
        }
    }
    for (name, b) in program.outputs.iter().filter(|o| !written[o.1]) {
        violations.push(format!("output {name:?} (@{b}) is never written"));
    }
    violations
}

/// Do the elements of an operand lie in its buffer?
fn verify_operand(program: &Program, c: &Contraction, side: Side) -> Vec<String> {
    let (e, size) = (c.extents, c.tile.dtype.size() as i64);
    let (reading, buffer) = match (side, &c.b) {
        (Side::Rows, _) => (&c.left, c.a),
        (Side::Columns, Panels::Buffer(b)) => (&c.right, *b),
        (Side::Columns, Panels::Packed(..)) if c.right == Reading::Panels => return vec![],
        (Side::Columns, Panels::Packed(..)) => return vec![format!("{}: gathers what it packs", c.name)],
    };
    let bytes = program.buffers[buffer].ty.bytes() as i64;
    let ends = |v: &[i64]| (v.iter().min().copied().unwrap_or(0), v.iter().max().copied().unwrap_or(0));
    let mut violations = vec![];
    let (first, last) = match reading {
        Reading::Panels => {
            let panels = match side {
                Side::Rows => c.a_batch * e.m.div_ceil(c.tile.mr) * c.tile.mr,
                Side::Columns => e.batch * c.column_panels() * c.tile.nr,
            };
            (0, (panels * e.k) as i64 * size)
        }
        Reading::Strided { starts, line, term, copied } => {
            let lines = if side == Side::Rows { e.m } else { e.n } as i64;
            let reads = *copied || side == Side::Rows || *line == size;
            if starts.len() != e.batch || !reads || *copied && *line != size && *term != size {
                violations.push(format!("{}: the {side} cannot be read where they lie", c.name));
            }
            let starts = ends(starts);
            let steps = (lines - 1) * line + (e.k as i64 - 1) * term;
            (starts.0.min(*line).min(*term), starts.1 + steps + size)
        }
        Reading::Gathered(g) => {
            let (count, vector, ranges) = match side {
                Side::Rows => (e.m, 1, 0),
                Side::Columns => (c.column_panels(), c.tile.nr, c.column_panels()),
            };
            if g.terms.len() != e.k || g.starts.len() != count {
                let (terms, starts) = (g.terms.len(), g.starts.len());
                violations.push(format!("{}: {terms} terms and {starts} starts are gathered", c.name));
            }
            if g.ranges.len() != ranges || g.ranges.iter().any(|r| r.start > r.end || r.end > g.terms.len()) {
                violations.push(format!("{}: not a range of terms a panel", c.name));
            }
            let (terms, starts) = (ends(&g.terms), ends(&g.starts));
            let last = g.batch * (e.batch as i64 - 1) + vector as i64 * size;
            ((terms.0 + starts.0).min(g.batch), terms.1 + starts.1 + last)
        }
    };
    if first < 0 || last > bytes {
        violations.push(format!("{}: the {side} are read beyond @{buffer}", c.name));
    }
    violations
}

/// Do the buffers of a loop fit its body?
fn verify_loop(program: &Program, scan: &Loop, written: &[bool], violations: &mut Vec<String>) {
    let name = &scan.name;
    let body = &scan.body;
    violations.extend(verify(body).into_iter().map(|v| format!("{name}: {v}")));
    let counts = [body.inputs.len(), body.states.len(), body.outputs.len()];
    if counts != [scan.inputs.len(), scan.carries.len(), scan.outputs.len()] {
        violations
            .push(format!("{name}: the body has {counts:?} inputs, states and outputs, the loop others"));
        return;
    }
    let slots = body.inputs.iter().zip(&scan.inputs).chain(body.outputs.iter().zip(&scan.outputs));
    for ((what, inner), slot) in slots {
        let (inner, outer) = (&body.buffers[*inner], program.buffers[slot.buffer].ty);
        let pieces = if slot.stride_bytes == 0 { 1 } else { scan.length };
        let fits = slot.stride_bytes == 0 || slot.stride_bytes == inner.ty.bytes();
        if !fits || outer.dtype != inner.ty.dtype || outer.elements() != inner.ty.elements() * pieces {
            violations.push(format!("{name}: {what:?} is {}, its buffer {outer}", inner.ty));
        }
        if slot.stride_bytes % 64 != 0 && !inner.sliced {
            violations.push(format!("{name}: {what:?} is a piece, but not marked so"));
        }
    }
    for (state, carry) in body.states.iter().zip(&scan.carries) {
        let inner = body.buffers[state.buffer].ty;
        for buffer in [carry.start, carry.buffer] {
            let outer = program.buffers[buffer].ty;
            if outer.dtype != inner.dtype || outer.elements() != inner.elements() {
                violations.push(format!("{name}: {:?} is {inner}, @{buffer} is not", state.name));
            }
        }
    }
    for (inner, outer) in scan.buffers() {
        if program.buffers[outer].sliced && !body.buffers[inner].sliced {
            violations.push(format!("{name}: @{outer} is a piece, but not marked so inside"));
        }
    }
    for buffer in scan.inputs.iter().map(|i| i.buffer).chain(scan.carries.iter().map(|c| c.start)) {
        if !written[buffer] {
            violations.push(format!("{name}: reads @{buffer} before it is written"));
        }
    }
    let arena = scan.arena.map_or(0, |a| program.buffers[a].ty.bytes());
    if arena < body.arena_bytes {
        violations.push(format!("{name}: an arena of {arena} bytes, the body needs {}", body.arena_bytes));
    }
}
