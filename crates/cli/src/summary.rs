//! `bespoke summary`.

use crate::{error::Failure, model};

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model's name (see `bespoke models`)
    model: String,
    /// Rows in a batch
    #[arg(long)]
    batch: Option<usize>,
}

/// The model's layers, shapes and parameters; the last line is `parameters: 535,818`.
pub fn summary(arguments: &Arguments) -> Result<String, Failure> {
    let architecture = model::architecture(&arguments.model)?;
    let model = architecture.model(model::batch(architecture, arguments.batch)?)?;
    Ok(format!("{}: {}\n\n{}\n", architecture.name, architecture.about, model.summary))
}
