//! The text form of programs.

use std::fmt;

use crate::{Place, Program, Work};

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
            writeln!(f, "  @{i} {} {} {:?}", buffer.ty, buffer.place, buffer.name)?;
        }
        for launch in &self.launches {
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
                        "[{}x{}] . [{}x{}], tile {mr}x{nr}, panels @{}, @{}",
                        e.m, e.k, e.k, e.n, c.a, c.b
                    )?;
                    if let Some(out) = c.out {
                        writeln!(f, "  into @{out}")?;
                    }
                    if let Some(epilogue) = &c.epilogue {
                        writeln!(f, "epilogue (product, {})", args.join(", "))?;
                        write!(f, "{epilogue}")?;
                    }
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
