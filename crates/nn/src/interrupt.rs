//! ^C during training: the step is finished, then training stops.

use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static HANDLER: Once = Once::new();

/// Listens from now on. A second interrupt ends the process at once.
pub fn listen() {
    HANDLER.call_once(|| {
        // Where the program has a handler of its own, that one decides.
        let _ = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
        });
    });
    INTERRUPTED.store(false, Ordering::SeqCst);
}

/// Was there an interrupt since [`listen`]?
pub fn requested() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
