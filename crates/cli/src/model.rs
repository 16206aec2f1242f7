//! Models by name and graphs by file.

use std::path::Path;

use bespoke_graph::Graph;
use bespoke_zoo::Architecture;

use crate::error::Failure;

/// The architecture of this name.
pub fn architecture(name: &str) -> Result<&'static Architecture, Failure> {
    bespoke_zoo::find(name).ok_or_else(|| {
        let known: Vec<&str> = bespoke_zoo::ARCHITECTURES.iter().map(|a| a.name).collect();
        Failure(format!("there is no model `{name}`; the models are {}", known.join(", ")))
    })
}

/// The graph in a file.
pub fn read(path: &Path) -> Result<Graph, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure(format!("{}: {e}", path.display())))?;
    bespoke_graph::parse(&text).map_err(|e| Failure(format!("{}: {e}", path.display())))
}

/// The architecture's batch, or the one asked for.
pub fn batch(architecture: &Architecture, asked: Option<usize>) -> Result<usize, Failure> {
    match asked.unwrap_or(architecture.defaults.batch) {
        0 => Err(Failure("the batch must be at least 1".to_owned())),
        batch if batch > 1 << 20 => {
            Err(Failure(format!("a batch of {batch} is too large; at most {}", 1 << 20)))
        }
        batch => Ok(batch),
    }
}
