//! Models by name and graphs by file.

use std::path::Path;

use bespoke_graph::Graph;
use bespoke_zoo::{Architecture, Options};

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

/// How large the model is to be.
#[derive(clap::Args)]
pub struct Sizes {
    /// Rows in a batch
    #[arg(long)]
    pub batch: Option<usize>,
    /// Height and width of images (pixels of them all where they are a row), or length of sequences
    #[arg(long)]
    pub size: Option<usize>,
    /// Channels of images, or features
    #[arg(long)]
    pub channels: Option<usize>,
    /// Classes, or words of a vocabulary
    #[arg(long)]
    pub classes: Option<usize>,
    /// A factor of the number of features of each layer but the last
    #[arg(long, allow_negative_numbers = true)]
    pub width: Option<f64>,
    /// Small sizes to try the model out in, where no others are given
    #[arg(long)]
    pub small: bool,
}

impl Sizes {
    /// Is any given?
    pub fn any(&self) -> bool {
        let Sizes { batch, size, channels, classes, width, small } = self;
        [batch, size, channels, classes].iter().any(|s| s.is_some()) || width.is_some() || *small
    }

    /// Those given, and else the usual or small ones.
    pub fn options(&self, architecture: &Architecture) -> Result<Options, Failure> {
        let usual = if self.small { architecture.small } else { architecture.defaults };
        self.options_from(usual)
    }

    /// Those given, and else these.
    pub fn options_from(&self, usual: Options) -> Result<Options, Failure> {
        if self.batch == Some(0) {
            return Err(Failure("the batch must be at least 1".to_owned()));
        }
        Ok(Options {
            batch: self.batch.unwrap_or(usual.batch),
            size: self.size.unwrap_or(usual.size),
            channels: self.channels.unwrap_or(usual.channels),
            classes: self.classes.unwrap_or(usual.classes),
            width: self.width.unwrap_or(usual.width),
        })
    }
}
