//! `bespoke summary`.

use crate::{error::Failure, model};

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model's name (see `bespoke models`)
    model: String,
    #[command(flatten)]
    sizes: model::Sizes,
}

/// The model's layers, shapes and parameters; the last line is `parameters: 535,818`.
pub fn summary(arguments: &Arguments) -> Result<String, Failure> {
    let architecture = model::architecture(&arguments.model)?;
    let summary = architecture.summary(&arguments.sizes.options(architecture)?)?;
    Ok(format!("{}: {}\n\n{summary}\n", architecture.name, architecture.about))
}
