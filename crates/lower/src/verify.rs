//! The program verifier.

use crate::{Place, Program, Work};

/// All violations of a program's invariants; empty for every program that lowering makes.
pub fn verify(program: &Program) -> Vec<String> {
    let mut violations = vec![];
    let mut written: Vec<bool> = program
        .buffers
        .iter()
        .map(|b| matches!(b.place, Place::Input | Place::State | Place::Constant(_)) || b.ty.elements() == 0)
        .collect();
    for launch in &program.launches {
        let kernels = match &launch.work {
            Work::Loops(kernel) => Some((kernel, 0)),
            Work::Contraction(c) => c.epilogue.as_ref().map(|e| (e, 1)),
        };
        if let Some((kernel, skip)) = kernels {
            violations
                .extend(bespoke_loops::verify(kernel).into_iter().map(|v| format!("{}: {v}", kernel.name)));
            if kernel.buffers.len() != launch.args.len() + skip {
                violations.push(format!(
                    "{}: {} buffers, {} arguments",
                    kernel.name,
                    kernel.buffers.len(),
                    launch.args.len()
                ));
            }
            for (buffer, &arg) in kernel.buffers[skip..].iter().zip(&launch.args) {
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
            for panel in [c.a, c.b].into_iter().filter(|&p| !written[p]) {
                violations.push(format!("{}: panel @{panel} is not packed", c.name));
            }
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
