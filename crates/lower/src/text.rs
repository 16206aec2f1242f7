//! The text form of programs.

use std::fmt;

use crate::{Loop, Panels, Place, Program, Reading, Side, Slot, Work};

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Input => f.write_str("input"),
            Place::State => f.write_str("state"),
            Place::Output => f.write_str("output"),
            Place::Constant(_) => f.write_str("constant"),
            Place::Arena(offset) => write!(f, "arena+{offset}"),
        }
    }
}

/// The launches with their buffers, each followed by its kernel.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program: {} launches, arena of {} bytes", self.launches.len(), self.arena_bytes)?;
        for (i, buffer) in self.buffers.iter().enumerate() {
            let sliced = if buffer.sliced { " sliced" } else { "" };
            writeln!(f, "  @{i} {} {}{sliced} {:?}", buffer.ty, buffer.place, buffer.name)?;
        }
        for (i, launch) in self.launches.iter().enumerate() {
            if i == self.setup && i > 0 {
                writeln!(f, "\nonce until here")?;
            }
            let args: Vec<String> = launch.args.iter().map(|a| format!("@{a}")).collect();
            writeln!(f)?;
            match &launch.work {
                Work::Loops(kernel) => {
                    writeln!(f, "launch ({})", args.join(", "))?;
                    write!(f, "{kernel}")?;
                }
                Work::Contraction(c) => {
                    let e = c.extents;
                    write!(f, "contract {} ", c.name)?;
                    if e.batch != 1 {
                        write!(f, "{} x ", e.batch)?;
                    }
                    let (mr, nr) = (c.tile.mr, c.tile.nr);
                    writeln!(
                        f,
                        "[{}x{}] . [{}x{}], tile {mr}x{nr}, operands @{}, {}",
                        e.m,
                        e.k,
                        e.k,
                        e.n,
                        c.a,
                        match &c.b {
                            Panels::Buffer(b) => format!("@{b}"),
                            Panels::Packed(..) => format!("packed, runs of {}", c.run),
                        }
                    )?;
                    for (side, reading) in [(Side::Rows, &c.left), (Side::Columns, &c.right)] {
                        match reading {
                            Reading::Panels => {}
                            Reading::Strided { copied, .. } => {
                                let how = if *copied { "copied from" } else { "read" };
                                writeln!(f, "  {side} are {how} where they lie")?;
                            }
                            Reading::Gathered(_) => writeln!(f, "  {side} are gathered")?,
                        }
                    }
                    if let Panels::Packed(pack, args) = &c.b {
                        let args: Vec<String> = args.iter().map(|a| format!("@{a}")).collect();
                        writeln!(f, "pack (panels, {})", args.join(", "))?;
                        write!(f, "{pack}")?;
                    }
                    if let Some(out) = c.out {
                        writeln!(f, "  into @{out}")?;
                    }
                    if let Some(epilogue) = &c.epilogue {
                        writeln!(f, "epilogue (product, {})", args.join(", "))?;
                        write!(f, "{epilogue}")?;
                    }
                }
                Work::Loop(scan) => write_loop(f, scan)?,
                Work::Sort(s) => {
                    let ([outer, extent, inner], order) =
                        (s.extents, if s.descending { "descending" } else { "ascending" });
                    writeln!(
                        f,
                        "sort {} @{} [{outer}x{extent}x{inner}] {order} into @{}",
                        s.name, s.from, s.to
                    )?;
                }
            }
        }
        for state in &self.states {
            if let Some(from) = state.copy_from {
                writeln!(f, "\ncopy @{from} to @{}", state.buffer)?;
            }
        }
        Ok(())
    }
}

/// What the body's buffers are, then the body, indented.
fn write_loop(f: &mut fmt::Formatter<'_>, scan: &Loop) -> fmt::Result {
    let order = if scan.reverse { ", last to first" } else { "" };
    writeln!(f, "loop {}: {} steps{order}", scan.name, scan.length)?;
    let slot = |slot: &Slot| match slot.stride_bytes {
        0 => format!("@{}", slot.buffer),
        stride => format!("@{} + {stride}·step", slot.buffer),
    };
    for ((name, _), from) in scan.body.inputs.iter().zip(&scan.inputs) {
        writeln!(f, "  input {name:?} is {}", slot(from))?;
    }
    for (state, carry) in scan.body.states.iter().zip(&scan.carries) {
        writeln!(f, "  {:?} is carried in @{} from @{}", state.name, carry.buffer, carry.start)?;
    }
    for ((name, _), to) in scan.body.outputs.iter().zip(&scan.outputs) {
        writeln!(f, "  output {name:?} is {}", slot(to))?;
    }
    if let Some(arena) = scan.arena {
        writeln!(f, "  arena is @{arena}")?;
    }
    for line in scan.body.to_string().lines() {
        writeln!(f, "{}{line}", if line.is_empty() { "" } else { "  | " })?;
    }
    Ok(())
}
