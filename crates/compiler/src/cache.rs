//! Compiled programs by graph, so that a second compilation of the same graph costs nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bespoke_graph::Graph;
use bespoke_runtime::Compiled;

use crate::Config;

/// The number of programs kept; the one not used for longest goes first.
const CAPACITY: usize = 64;

struct Entry {
    graph: Graph,
    config: Config,
    compiled: Arc<Compiled>,
}

/// Most recently used last.
static ENTRIES: Mutex<VecDeque<Entry>> = Mutex::new(VecDeque::new());

fn entries() -> std::sync::MutexGuard<'static, VecDeque<Entry>> {
    // Entries are whole at any time, whoever panicked.
    ENTRIES.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What decides about the code: the number of threads does not.
fn key(config: &Config) -> Config {
    Config { threads: 0, ..config.clone() }
}

/// The program compiled from an equal graph with an equal configuration.
pub fn get(graph: &Graph, config: &Config) -> Option<Arc<Compiled>> {
    let mut entries = entries();
    let config = key(config);
    let at = entries.iter().position(|e| e.config == config && e.graph == *graph)?;
    let entry = entries.remove(at)?;
    let compiled = entry.compiled.clone();
    entries.push_back(entry);
    Some(compiled)
}

/// Keeps a program.
pub fn insert(graph: &Graph, config: &Config, compiled: Arc<Compiled>) {
    let mut entries = entries();
    if entries.len() >= CAPACITY {
        entries.pop_front();
    }
    entries.push_back(Entry { graph: graph.clone(), config: key(config), compiled });
}

/// Forgets all compiled programs; executables that use them keep them alive.
pub fn clear() {
    entries().clear();
}
