//! `bespoke train`.

use std::path::{Path, PathBuf};

use bespoke_compiler::Config;
use bespoke_data::Dataset;
use bespoke_nn::{
    Adadelta, Adagrad, Adam, AdamW, Checkpoints, CsvLog, EarlyStopping, Epochs, Lamb, Lion, Optimizer,
    ReduceOnPlateau, RmsProp, Schedule, Sgd, TensorBoard, Training,
};
use bespoke_zoo::Task;
use clap::ValueEnum;

use crate::{error::Failure, model, source};

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The model's name (see `bespoke models`)
    model: String,
    /// `bundled` (digits, a text, pairs of sentences; rows for linear, perceptron and xor), or a path: MNIST (IDX) or CIFAR
    /// (binary) files' folder; folders of PNG or JPEG images, one for each class, or such folders `train` and `test`; a table
    /// .csv with a header line, whose last column is the class, a whole number from 0 or a name; a text; pairs of sentences
    /// .tsv, whose first line is a header; a folder of .npy arrays, one for each input. Columns of tables are standardised,
    /// images resized to --size
    #[arg(long, default_value = "bundled")]
    data: PathBuf,
    /// Passes over the training data
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// How parameters change; without, as is usual for the model
    #[arg(long, value_enum)]
    optimizer: Option<Choice>,
    /// In place of the optimiser's usual one, or with --resume that of the checkpoint
    #[arg(long, allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// How the learning rate changes
    #[arg(long, value_enum, default_value = "constant")]
    schedule: Rates,
    /// Start values, order of examples and random draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads, at most 64; 0: all
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Where checkpoints are kept; without, a folder of the model's name. One that has some is only taken with --resume
    #[arg(long)]
    checkpoints: Option<PathBuf>,
    /// Go on from the newest checkpoint
    #[arg(long)]
    resume: bool,
    /// End when the held-out loss has not fallen for so many epochs, with the best weights
    #[arg(long)]
    patience: Option<usize>,
    /// A table of loss and metrics
    #[arg(long)]
    csv: Option<PathBuf>,
    /// A folder for TensorBoard
    #[arg(long)]
    tensorboard: Option<PathBuf>,
    #[command(flatten)]
    sizes: model::Sizes,
}

/// An optimiser.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    Sgd,
    Momentum,
    Nesterov,
    Adagrad,
    Rmsprop,
    Adadelta,
    Adam,
    Adamw,
    Amsgrad,
    Lion,
    Lamb,
}

impl Choice {
    /// The optimiser with its usual learning rate.
    fn optimizer(self) -> Box<dyn Optimizer> {
        match self {
            Choice::Sgd => Box::new(Sgd::new(0.1)),
            Choice::Momentum => Box::new(Sgd::new(0.05).momentum(0.9)),
            Choice::Nesterov => Box::new(Sgd::new(0.05).momentum(0.9).nesterov()),
            Choice::Adagrad => Box::new(Adagrad::new(0.01)),
            Choice::Rmsprop => Box::new(RmsProp::new(1e-3)),
            Choice::Adadelta => Box::new(Adadelta::new(1.0)),
            Choice::Adam => Box::new(Adam::new(1e-3)),
            Choice::Adamw => Box::new(AdamW::new(1e-3)),
            Choice::Amsgrad => Box::new(Adam::new(1e-3).amsgrad()),
            Choice::Lion => Box::new(Lion::new(1e-4)),
            Choice::Lamb => Box::new(Lamb::new(2e-3)),
        }
    }
}

/// A schedule of learning rates.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rates {
    /// Always the same
    Constant,
    /// Down to 0 along half a cosine
    Cosine,
    /// Up for 30 % of the steps, then down
    OneCycle,
    /// A tenth whenever the held-out loss has not fallen for two epochs
    Plateau,
}

/// Trains a model; the last line is `held-out accuracy: … %` or `held-out loss: …`.
pub fn train(arguments: &Arguments) -> Result<String, Failure> {
    let architecture = model::architecture(&arguments.model)?;
    if let Some(rate) = arguments.learning_rate.filter(|rate| !(*rate > 0.0 && rate.is_finite())) {
        return Err(Failure(format!("expected a learning rate above 0, got {rate}")));
    }
    let folder = arguments.checkpoints.clone().unwrap_or_else(|| PathBuf::from(architecture.name));
    if !arguments.resume && has_checkpoints(&folder) {
        let ways = "--resume goes on from them, --checkpoints takes another folder";
        return Err(Failure(format!("{}: there are checkpoints already: {ways}", folder.display())));
    }
    let path = (arguments.data.as_os_str() != "bundled").then_some(&*arguments.data);
    let data = source::open(architecture, path, &arguments.sizes, arguments.seed)?;
    let optimizer = || arguments.optimizer.map_or_else(|| architecture.optimizer(), Choice::optimizer);
    let mut training = architecture
        .trainer(&data.options, optimizer)
        .config(Config { threads: arguments.threads, ..Config::calibrated() })
        .seed(arguments.seed)
        .callback(Checkpoints::new(&folder))
        .compile()?;
    if let Some(rate) = arguments.learning_rate {
        training.set_learning_rate(rate)?;
    }
    observe(&mut training, arguments, data.train.len().div_ceil(data.options.batch));
    println!("{}\n", training.summary());
    if arguments.resume {
        let file = if folder.is_dir() { training.resume(&folder)? } else { None };
        match file {
            Some(file) => println!("going on from {}", file.display()),
            None => return Err(Failure(format!("{}: there are no checkpoints", folder.display()))),
        }
        // The checkpoint has a rate of its own.
        if let Some(rate) = arguments.learning_rate {
            training.set_learning_rate(rate)?;
        }
    }
    std::fs::create_dir_all(&folder).map_err(|e| Failure(format!("{}: {e}", folder.display())))?;
    if let Some(kept) = &data.kept {
        kept.save(&folder)?;
    }
    let history = training.fit(&*data.train, &*data.held_out, Epochs(arguments.epochs as usize))?;
    let weights = folder.join("weights.safetensors");
    training.save(&weights)?;
    println!("saved {}", weights.display());
    if history.interrupted {
        println!("--resume goes on from here");
        std::process::exit(130);
    }
    let measured = training.evaluate(&*data.held_out)?;
    // Of texts people compare nats.
    let is_text = matches!(architecture.task, Task::Text | Task::Translation);
    Ok(match measured.metric("accuracy").filter(|_| !is_text) {
        Some(accuracy) => format!("held-out accuracy: {:.2} %\n", 100.0 * accuracy),
        None => format!("held-out loss: {:.4}\n", measured.loss),
    })
}

/// Has a folder checkpoints that training could go on from?
fn has_checkpoints(folder: &Path) -> bool {
    let is_step = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("step-"));
    source::files(folder, "safetensors").iter().any(is_step)
}

/// Adds the schedule and whoever else looks on.
fn observe(training: &mut Training, arguments: &Arguments, per_epoch: usize) {
    let (rate, steps) = (training.learning_rate(), per_epoch * arguments.epochs as usize);
    match arguments.schedule {
        Rates::Constant => {}
        Rates::Cosine => training.callback(Schedule::cosine(rate, steps)),
        Rates::OneCycle => training.callback(Schedule::one_cycle(rate, steps)),
        Rates::Plateau => training.callback(ReduceOnPlateau::new(0.1, 2)),
    }
    if let Some(patience) = arguments.patience {
        training.callback(EarlyStopping::new(patience));
    }
    if let Some(path) = &arguments.csv {
        training.callback(CsvLog::new(path));
    }
    if let Some(folder) = &arguments.tensorboard {
        training.callback(TensorBoard::new(folder));
    }
}
