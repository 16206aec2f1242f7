//! Launches whose results do not change: constant weights in panels, what all steps of a loop have in common.

use crate::{BufferIndex, Place, Program, Work};

/// Moves the launches that read only constants and `unchanged` buffers before all others, and counts them: they run once. Their
/// buffers then belong to nobody else.
pub fn move_to_front(program: &mut Program, unchanged: &[BufferIndex]) {
    let count = program.launches.len();
    let mut writers: Vec<Vec<usize>> = vec![vec![]; program.buffers.len()];
    for (i, launch) in program.launches.iter().enumerate() {
        launch.written().iter().for_each(|&b| writers[b].push(i));
    }
    // A launch that changes makes those change that share its results: until no more do.
    let mut once = vec![true; count];
    loop {
        let before = once.clone();
        for (i, launch) in program.launches.iter().enumerate() {
            if !once[i] {
                continue;
            }
            let stays = |b: BufferIndex| match program.buffers[b].place {
                Place::Constant(_) => true,
                Place::Arena(_) => writers[b].iter().all(|&w| once[w]),
                _ => unchanged.contains(&b),
            };
            let written = launch.written();
            let is_simple = matches!(launch.work, Work::Loops(_) | Work::Contraction(_));
            let in_arena = |&b: &BufferIndex| matches!(program.buffers[b].place, Place::Arena(_));
            // What reads nothing is as quick to write again as it would be to keep.
            let reads = launch.buffers().any(|b| !written.contains(&b));
            once[i] = is_simple && reads && written.iter().all(in_arena) && launch.buffers().all(stays);
        }
        if once == before {
            break;
        }
    }
    program.setup = once.iter().filter(|&&o| o).count();
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&i| !once[i]);
    let mut launches: Vec<Option<_>> = std::mem::take(&mut program.launches).into_iter().map(Some).collect();
    program.launches = order.into_iter().filter_map(|i| launches[i].take()).collect();
}
