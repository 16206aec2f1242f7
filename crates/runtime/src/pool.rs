//! Thread pools, one a size, shared by all executables.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// More threads than this are not made: they would only wait for each other.
const MOST: usize = 64;

/// The number of threads to use: 0 stands for those of the machine.
pub fn resolve(threads: usize) -> usize {
    let asked =
        if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
    asked.min(MOST)
}

/// The pool of this many threads; none for one thread, or if the system gives no more.
pub fn get(threads: usize) -> Option<Arc<ThreadPool>> {
    static POOLS: OnceLock<Mutex<BTreeMap<usize, Arc<ThreadPool>>>> = OnceLock::new();
    if threads <= 1 {
        return None;
    }
    let mut pools = POOLS.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(pool) = pools.get(&threads) {
        return Some(pool.clone());
    }
    let builder = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("bespoke-{i}"));
    let pool = Arc::new(builder.build().ok()?);
    pools.insert(threads, pool.clone());
    Some(pool)
}
