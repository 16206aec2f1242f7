//! What was measured of this machine, kept between runs of programs.
//!
//! A file of the user's cache directory: `bespoke/machine.json` there, or `machine.json` in the directory that the variable
//! `BESPOKE_CACHE` names.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use bespoke_optimize::Machine;
use bespoke_tensor::{TensorError, write_aside};
use etcetera::BaseStrategy;
use serde_json::{Value, json};

use crate::Config;

/// What the file is for: a table of another version or another kind of processor does not count.
fn tag() -> String {
    format!("bespoke {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)
}

/// Where the table of this machine is kept; none if the user has no home.
pub fn machine_file() -> Option<PathBuf> {
    let directory = match std::env::var_os("BESPOKE_CACHE") {
        Some(directory) => PathBuf::from(directory),
        None => etcetera::choose_base_strategy().ok()?.cache_dir().join("bespoke"),
    };
    Some(directory.join("machine.json"))
}

/// The table of this machine that `bespoke calibrate` left; none if there is none, or if it is damaged, of another version or
/// of another kind of processor.
pub fn load_machine() -> Option<Machine> {
    parse(&fs::read(machine_file()?).ok()?)
}

/// Keeps the table of this machine for [`load_machine`], and says where. The file is whole or as it was.
///
/// # Errors
/// [`TensorError::File`] if the user has no home, or the file cannot be written.
pub fn save_machine(machine: &Machine) -> Result<PathBuf, TensorError> {
    let Some(path) = machine_file() else {
        let reason = "the user has no home; BESPOKE_CACHE can name a directory";
        return Err(TensorError::file(Path::new("machine.json"), reason));
    };
    if let Some(directory) = path.parent() {
        let made = fs::create_dir_all(directory);
        made.map_err(|e| TensorError::file(&path, format!("cannot be written: {}", e.kind())))?;
    }
    write_aside(&path, |file| Ok(file.write_all(text(machine).as_bytes())?))?;
    Ok(path)
}

fn text(machine: &Machine) -> String {
    let speed = |&(name, ..): &(&str, &str, &str)| (name.to_owned(), json!(machine.speed(name)));
    let speeds: serde_json::Map<String, Value> = Machine::SPEEDS.iter().map(speed).collect();
    format!("{:#}\n", json!({ "for": tag(), "speeds": speeds }))
}

fn parse(text: &[u8]) -> Option<Machine> {
    let table: Value = serde_json::from_slice(text).ok()?;
    if table.get("for")?.as_str()? != tag() {
        return None;
    }
    let speeds = table.get("speeds")?;
    Machine::from_speeds(|name| u32::try_from(speeds.get(name)?.as_u64()?).ok())
}

impl Config {
    /// The default for this machine as it was measured ([`load_machine`]), if it was. What is decided then, and the last bits
    /// of results, may differ from machine to machine; with the default they do not.
    pub fn calibrated() -> Config {
        let machine = load_machine().unwrap_or_default();
        let optimize = bespoke_optimize::Config { machine, ..bespoke_optimize::Config::default() };
        Config { optimize: Some(optimize), ..Config::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let machine = Machine { dot_f32: 41_000, launch: 1, ..Machine::fixed() };
        assert_eq!(parse(text(&machine).as_bytes()), Some(machine));
    }

    #[test]
    fn a_table_that_is_damaged_or_of_another_version_does_not_count() {
        let whole = text(&Machine::fixed());
        let changed = |from: &str, to: &str| {
            assert!(whole.contains(from), "{whole}");
            parse(whole.replace(from, to).as_bytes())
        };
        assert_eq!(changed(env!("CARGO_PKG_VERSION"), "0.0.0"), None);
        assert_eq!(changed("\"launch\": 100", "\"launch\": 0"), None);
        assert_eq!(changed("\"launch\": 100", "\"launch\": -100"), None);
        assert_eq!(changed("\"launch\": 100", "\"launch\": 5000000000"), None);
        assert_eq!(changed("\"launch\"", "\"start\""), None);
        assert_eq!(changed("\"speeds\"", "\"velocities\""), None);
        assert_eq!(parse(&whole.as_bytes()[..whole.len() / 2]), None);
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&[0xff, 0xfe]), None);
    }
}
