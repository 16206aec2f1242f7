//! Ready-made callbacks.

mod checkpoints;
mod csv_log;
mod early_stopping;
mod plateau;
mod schedule;
mod tensorboard;
mod watch;

pub use checkpoints::Checkpoints;
pub use csv_log::CsvLog;
pub use early_stopping::EarlyStopping;
pub use plateau::ReduceOnPlateau;
pub use schedule::Schedule;
pub use tensorboard::TensorBoard;
