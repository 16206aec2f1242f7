//! The memory of a program: where every buffer lies, and while what.

use std::fmt::Write;

use bespoke_lower::{Place, Program};

/// A table of all buffers and a picture of the arena: a row a buffer, a column a launch.
///
/// ```text
/// arena: 1,024 bytes, lower bound 1,024
/// ```
pub fn memory(program: &Program) -> String {
    let mut text = String::new();
    let launches = program.launches.len();
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    for (i, launch) in program.launches.iter().enumerate() {
        for b in launch.buffers() {
            let span = spans[b].get_or_insert((i, i));
            span.1 = span.1.max(i);
        }
        if i < program.setup {
            launch.written().iter().for_each(|&b| spans[b] = Some((0, launches - 1)));
        }
    }
    for state in &program.states {
        if let Some(span) = state.copy_from.and_then(|b| spans[b].as_mut()) {
            span.1 = launches.saturating_sub(1);
        }
    }
    let size = |b: usize| program.buffers[b].ty.bytes().div_ceil(64).max(1) * 64;
    let in_arena = |b: &usize| matches!(program.buffers[*b].place, Place::Arena(_)) && spans[*b].is_some();
    let alive = |at: usize| {
        let live = (0..program.buffers.len())
            .filter(in_arena)
            .filter(|&b| spans[b].is_some_and(|s| s.0 <= at && at <= s.1));
        live.map(size).sum::<usize>()
    };
    let bound = (0..launches).map(alive).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "arena: {} bytes, lower bound {bound} (the most that is alive at once)",
        program.arena_bytes
    );
    for (what, place) in [("states", Place::State), ("inputs", Place::Input), ("outputs", Place::Output)] {
        let of = program.buffers.iter().filter(|b| b.place == place);
        let _ = writeln!(text, "{what}: {} bytes", of.map(|b| b.ty.bytes()).sum::<usize>());
    }
    let constants = program.buffers.iter().filter(|b| matches!(b.place, Place::Constant(_)));
    let bytes: usize = constants.map(|b| b.ty.bytes()).sum();
    let _ = writeln!(text, "constants: {bytes} bytes\n");

    let mut rows: Vec<usize> = (0..program.buffers.len()).filter(in_arena).collect();
    rows.sort_by_key(|&b| match program.buffers[b].place {
        Place::Arena(offset) => (offset, spans[b]),
        _ => unreachable!("filtered above"),
    });
    let _ = writeln!(text, "{:>10} {:>10}  {:<launches$}  buffer", "offset", "bytes", "launches");
    for b in rows {
        let Place::Arena(offset) = program.buffers[b].place else { continue };
        let Some((first, last)) = spans[b] else { continue };
        let picture: String =
            (0..launches).map(|i| if first <= i && i <= last { '#' } else { '.' }).collect();
        let buffer = &program.buffers[b];
        let _ = writeln!(text, "{offset:>10} {:>10}  {picture:<8}  {} {}", size(b), buffer.ty, buffer.name);
    }
    text
}
