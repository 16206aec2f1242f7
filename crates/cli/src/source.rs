//! Data for a model, by what the model learns from.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bespoke_data::{
    self as data, BytePair, CharTokenizer, Corpus, Csv, Dataset, ImageFolder, Pairs, SPECIAL, TensorDataset,
    Tokenizer, cifar, mnist, partition, stratified_partition,
};
use bespoke_nn::Graph;
use bespoke_tensor::npy::read_npy;
use bespoke_zoo::{Architecture, Options, Task};

use crate::{error::Failure, model::Sizes};

/// What is held out where data have no such part of their own.
const HELD_OUT: f64 = 0.1;

/// Data, and what fits them.
pub struct Source {
    /// What to learn from.
    pub train: Arc<dyn Dataset>,
    /// What to measure on.
    pub held_out: Arc<dyn Dataset>,
    /// The model's sizes.
    pub options: Options,
    /// What texts were turned into numbers by.
    pub tokenizer: Option<Texts>,
}

/// A tokeniser that is saved beside the model.
pub enum Texts {
    /// Of characters.
    Characters(CharTokenizer),
    /// Of pieces of words.
    Pieces(BytePair),
}

/// Opens the data at a path, or the bundled ones for the model's task.
pub fn open(
    architecture: &Architecture,
    path: Option<&Path>,
    sizes: &Sizes,
    seed: u64,
) -> Result<Source, Failure> {
    let usual = if sizes.small { architecture.small } else { architecture.defaults };
    if let Some(folder) = path.filter(|p| !files(p, "npy").is_empty()) {
        let (train, held_out) = split(Arc::new(tensors(folder)?), seed)?;
        return Ok(Source { train, held_out, options: sizes.options_from(usual)?, tokenizer: None });
    }
    match architecture.task {
        Task::Images | Task::Reconstruction | Task::Sequences => {
            images(architecture, path, sizes, usual, seed)
        }
        Task::Text => text(path, sizes, usual),
        Task::Translation => translation(path, sizes, usual),
        Task::Other => {
            let graph = Graph::new();
            architecture.build(&graph, &sizes.options_from(usual)?);
            let ir = graph.finish()?;
            let inputs = ir.inputs().map(|(name, id)| format!("{name}.npy {}", ir.ty(id)));
            Err(Failure(format!(
                "`{}` learns from data of its own: give --data a folder with {} (with any number of rows)",
                architecture.name,
                inputs.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

/// The files of a folder that end so, in order; none if it is no folder.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut files: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// The arrays of a folder, a field each.
fn tensors(folder: &Path) -> Result<TensorDataset, Failure> {
    let mut fields = vec![];
    for file in files(folder, "npy") {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        fields.push((name, read_npy(&file)?));
    }
    Ok(TensorDataset::new(folder.display().to_string(), fields)?)
}

type Parts = (Arc<dyn Dataset>, Arc<dyn Dataset>);

/// Nine parts to learn from and one to measure on, with as much of each class.
fn split(all: Arc<dyn Dataset>, seed: u64) -> Result<Parts, Failure> {
    let fractions = [1.0 - HELD_OUT, HELD_OUT];
    let mut parts = match all.classes() {
        Some(_) => stratified_partition(all, &fractions, seed)?,
        None => partition(all, &fractions, seed)?,
    };
    let held_out = parts.remove(1);
    Ok((Arc::new(parts.remove(0)), Arc::new(held_out)))
}

/// Images with labels, for models of images, of their rows, and of their pixels in a row.
fn images(
    architecture: &Architecture,
    path: Option<&Path>,
    sizes: &Sizes,
    usual: Options,
    seed: u64,
) -> Result<Source, Failure> {
    let has = |name: &str| path.is_some_and(|p| p.join(name).exists());
    let (train, held_out): Parts = match path {
        None => {
            let digits = data::mnist_bundled();
            (Arc::new(digits.train), Arc::new(digits.test))
        }
        Some(file) if file.extension().is_some_and(|e| e == "csv") => split(Arc::new(table(file)?), seed)?,
        Some(path) if has("data_batch_1.bin") => {
            let cifar = cifar::read_10(path)?;
            (Arc::new(cifar.train), Arc::new(cifar.test))
        }
        Some(path) if has("train.bin") => {
            let cifar = cifar::read_100(path)?;
            (Arc::new(cifar.train), Arc::new(cifar.test))
        }
        Some(path) if has("train-images-idx3-ubyte") || has("train-images-idx3-ubyte.gz") => {
            let digits = mnist::from_directory(path)?;
            (Arc::new(digits.train), Arc::new(digits.test))
        }
        Some(path) => {
            let Options { channels, size, .. } = sizes.options_from(usual)?;
            let open = |path: PathBuf| ImageFolder::open(path, [channels, size, size]);
            match has("train") && has("test") {
                true => (Arc::new(open(path.join("train"))?), Arc::new(open(path.join("test"))?)),
                false => split(Arc::new(open(path.to_owned())?), seed)?,
            }
        }
    };
    let usual = fitted(architecture, &*train, usual)?;
    let options = sizes.options_from(usual)?;
    let is_image = [2, 3].contains(&train.fields()[0].ty.rank());
    if architecture.task != Task::Sequences && is_image && !takes_rows(architecture)? {
        let extent = train.fields()[0].ty.shape.last().copied();
        if extent != Some(options.size) {
            let to = [options.size; 2];
            let (train, held_out) =
                (Arc::new(data::resized(train, to)?), Arc::new(data::resized(held_out, to)?));
            return Ok(Source { train, held_out, options, tokenizer: None });
        }
    }
    Ok(Source { train, held_out, options, tokenizer: None })
}

/// The usual sizes, but what data say as they say it.
fn fitted(architecture: &Architecture, data: &dyn Dataset, usual: Options) -> Result<Options, Failure> {
    let ty = data.fields()[0].ty;
    let classes = match architecture.task {
        Task::Reconstruction => usual.classes,
        _ => data.classes().unwrap_or(usual.classes),
    };
    let [channels, size] = match ty.shape[..] {
        _ if architecture.task != Task::Sequences && takes_rows(architecture)? => {
            [usual.channels, ty.elements()]
        }
        [length, features] if architecture.task == Task::Sequences => [features, length],
        [height, _] => [1, height],
        [channels, height, _] => [channels, height],
        _ => [usual.channels, usual.size],
    };
    Ok(Options { size, channels, classes, ..usual })
}

/// Does the model take images as rows of pixels?
fn takes_rows(architecture: &Architecture) -> Result<bool, Failure> {
    let graph = Graph::new();
    architecture.build(&graph, &architecture.small);
    let ir = graph.finish()?;
    Ok(ir.inputs().next().is_some_and(|(_, id)| ir.ty(id).rank() == 2))
}

/// A table with a header line, whose last column is the class.
fn table(file: &Path) -> Result<TensorDataset, Failure> {
    let text = data::read_text(file)?;
    let header = text.lines().next().unwrap_or_default();
    let last = header.rsplit(',').next().unwrap_or_default().trim().trim_matches('"');
    Ok(Csv::new().label(last).read(file)?.data)
}

/// Characters of a text, the last tenth held out.
fn text(path: Option<&Path>, sizes: &Sizes, usual: Options) -> Result<Source, Failure> {
    let (name, text) = match path {
        None => ("shakespeare".to_owned(), data::shakespeare_bundled().to_owned()),
        Some(path) => (path.display().to_string(), data::read_text(path)?),
    };
    let tokenizer = CharTokenizer::of(&text);
    let options = sizes.options_from(Options { classes: tokenizer.tokens(), ..usual })?;
    let tokens = tokenizer.encode(&text)?;
    let (train, held_out) = tokens.split_at(tokens.len() - (tokens.len() as f64 * HELD_OUT) as usize);
    let windows = |tokens: &[i32]| Corpus::of_tokens(name.as_str(), tokens.to_vec(), options.size);
    Ok(Source {
        train: Arc::new(windows(train)?),
        held_out: Arc::new(windows(held_out)?),
        options,
        tokenizer: Some(Texts::Characters(tokenizer)),
    })
}

/// Sentences in pairs, each tenth held out.
fn translation(path: Option<&Path>, sizes: &Sizes, usual: Options) -> Result<Source, Failure> {
    let (name, pairs) = match path {
        None => ("pairs".to_owned(), data::pairs_bundled()),
        Some(path) => (path.display().to_string(), data::read_pairs(path)?),
    };
    let options = sizes.options_from(usual)?;
    if options.size < 3 {
        return Err(Failure(format!("expected sentences of at least 3 tokens, got {}", options.size)));
    }
    let (mut train, mut held_out) = (vec![], vec![]);
    for (i, pair) in pairs.into_iter().enumerate() {
        if i % 10 == 9 { held_out.push(pair) } else { train.push(pair) }
    }
    let all: String = train.iter().map(|(source, target)| format!("{source}\n{target}\n")).collect();
    let pieces = BytePair::train(&all, options.classes.saturating_sub(SPECIAL))?;
    // A target has marks where it begins and ends.
    let longest = [options.size, options.size - 2];
    let tokens = |pairs: &[(String, String)]| Pairs::new(name.as_str(), pairs, &pieces, &pieces, longest);
    Ok(Source {
        train: Arc::new(tokens(&train)?.data),
        held_out: Arc::new(tokens(&held_out)?.data),
        options,
        tokenizer: Some(Texts::Pieces(pieces)),
    })
}
