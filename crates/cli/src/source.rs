//! Data for a model, by what the model learns from.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bespoke_data::{
    self as data, BytePair, CharTokenizer, Corpus, Dataset, ImageFolder, Pairs, SPECIAL, Scaler,
    TensorDataset, Tokenizer, cifar, mnist, partition, stratified_partition,
};
use bespoke_nn::Graph;
use bespoke_tensor::npy::{read_npy, write_npy};
use bespoke_zoo::{Architecture, Options, Task};

use crate::{error::Failure, made::made, model::Sizes, table::table};

/// Tokens that byte pairs begin with.
const BYTES: usize = 256;

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
    /// What data were turned into numbers by, if they were none that the model takes.
    pub kept: Option<Kept>,
}

/// What is saved beside the model, for it takes other data only as these were turned into numbers.
pub enum Kept {
    /// A tokeniser of characters.
    Characters(CharTokenizer),
    /// A tokeniser of pieces of words.
    Pieces(BytePair),
    /// The scale of a table's columns, and the names of its classes, if they have some.
    Table(Box<Scaler>, Vec<String>),
}

impl Kept {
    /// Writes `characters.txt`, `pieces.txt`, or `shift.npy`, `scale.npy` and `classes.txt` into a folder.
    pub fn save(&self, folder: &Path) -> Result<(), Failure> {
        match self {
            Kept::Characters(characters) => characters.save(folder.join("characters.txt"))?,
            Kept::Pieces(pieces) => pieces.save(folder.join("pieces.txt"))?,
            Kept::Table(scaler, classes) => {
                write_npy(folder.join("shift.npy"), scaler.shift())?;
                write_npy(folder.join("scale.npy"), scaler.scale())?;
                if !classes.is_empty() {
                    std::fs::write(folder.join("classes.txt"), classes.join("\n") + "\n")?;
                }
            }
        }
        Ok(())
    }
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
        return Ok(Source { train, held_out, options: sizes.options_from(usual)?, kept: None });
    }
    match architecture.task {
        Task::Images | Task::Reconstruction | Task::Sequences => {
            images(architecture, path, sizes, usual, seed)
        }
        Task::Text => text(path, sizes, usual),
        Task::Translation => translation(architecture, path, sizes, usual),
        Task::Other => {
            let options = sizes.options_from(usual)?;
            let bundled = path.is_none().then(|| made(architecture, options.channels, seed)).flatten();
            if let Some(parts) = bundled {
                let (train, held_out) = parts?;
                return Ok(Source { train, held_out, options, kept: None });
            }
            let graph = Graph::new();
            architecture.build(&graph, &options);
            let ir = graph.finish()?;
            // What has no rows is whether the model is in training.
            let inputs = ir.inputs().filter(|(_, id)| ir.ty(*id).rank() > 0);
            let inputs = inputs.map(|(name, id)| format!("{name}.npy {}", ir.ty(id)));
            Err(Failure(format!(
                "`{}` learns from data of its own: give --data a folder with {} (with any number of rows)",
                architecture.name,
                inputs.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

/// The files of a folder that end so, in order; none if it is no folder.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
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

/// What to learn from and what to measure on.
pub type Parts = (Arc<dyn Dataset>, Arc<dyn Dataset>);

/// Nine parts to learn from and one to measure on, with as much of each class.
pub fn split(all: Arc<dyn Dataset>, seed: u64) -> Result<Parts, Failure> {
    let name = all.name().to_owned();
    let fractions = [1.0 - HELD_OUT, HELD_OUT];
    let mut parts = match all.classes() {
        Some(_) => stratified_partition(all, &fractions, seed)?,
        None => partition(all, &fractions, seed)?,
    };
    let held_out = parts.remove(1);
    if parts[0].is_empty() || held_out.is_empty() {
        return Err(too_few(&name, "rows", parts[0].len(), held_out.len()));
    }
    Ok((Arc::new(parts.remove(0)), Arc::new(held_out)))
}

/// Says that data cannot be cut into what is learned from and a tenth that is held out.
fn too_few(name: &str, what: &str, train: usize, held_out: usize) -> Failure {
    let all = train + held_out;
    Failure(format!("{name}: {all} {what} are too few: {train} to learn from and {held_out} held out"))
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
    let mut kept = None;
    let (train, held_out): Parts = match path {
        None => {
            let digits = data::mnist_bundled();
            (Arc::new(digits.train), Arc::new(digits.test))
        }
        Some(file) if file.extension().is_some_and(|e| e == "csv") => {
            let (parts, scaler) = table(file, seed)?;
            kept = Some(scaler);
            parts
        }
        Some(path) if has("data_batch_1.bin") => {
            let cifar = cifar::read_10(path)?;
            (Arc::new(cifar.train), Arc::new(cifar.test))
        }
        Some(path) if has("train.bin") => {
            let cifar = cifar::read_100(path)?;
            (Arc::new(cifar.train), Arc::new(cifar.test))
        }
        Some(path) if mnist::is_directory(path) => {
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
    let options = sizes.options_from(fitted(architecture, &*train, sizes, usual)?)?;
    let to = [options.size; 2];
    if is_picture(architecture, &*train)? && !train.fields()[0].ty.shape.ends_with(&to) {
        let (train, held_out) = (Arc::new(data::resized(train, to)?), Arc::new(data::resized(held_out, to)?));
        return Ok(Source { train, held_out, options, kept });
    }
    Ok(Source { train, held_out, options, kept })
}

/// Are data images that the model takes as such?
fn is_picture(architecture: &Architecture, data: &dyn Dataset) -> Result<bool, Failure> {
    let is_image = [2, 3].contains(&data.fields()[0].ty.rank());
    Ok(architecture.task != Task::Sequences && is_image && !takes_rows(architecture)?)
}

/// The usual sizes, but what data say as they say it. Where the model has no images as small (or of such sides) as the data's,
/// their size is the usual one.
fn fitted(
    architecture: &Architecture,
    data: &dyn Dataset,
    sizes: &Sizes,
    usual: Options,
) -> Result<Options, Failure> {
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
    let fitted = Options { size, channels, classes, ..usual };
    let other = Options { size: usual.size, ..fitted };
    let builds = |options: Options| -> Result<bool, Failure> {
        Ok(architecture.summary(&sizes.options_from(options)?).is_ok())
    };
    let is_other = is_picture(architecture, data)? && !builds(fitted)? && builds(other)?;
    Ok(if is_other { other } else { fitted })
}

/// Does the model take images as rows of pixels?
fn takes_rows(architecture: &Architecture) -> Result<bool, Failure> {
    let graph = Graph::new();
    architecture.build(&graph, &architecture.small);
    let ir = graph.finish()?;
    Ok(ir.inputs().next().is_some_and(|(_, id)| ir.ty(id).rank() == 2))
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
    if options.size > 0 && train.len().min(held_out.len()) <= options.size {
        let Failure(few) = too_few(&name, "characters", train.len(), held_out.len());
        let need = options.size + 1;
        return Err(Failure(format!("{few}, but a sequence of --size {} needs {need}", options.size)));
    }
    let windows = |tokens: &[i32]| Corpus::of_tokens(name.as_str(), tokens.to_vec(), options.size);
    Ok(Source {
        train: Arc::new(windows(train)?),
        held_out: Arc::new(windows(held_out)?),
        options,
        kept: Some(Kept::Characters(tokenizer)),
    })
}

/// Sentences in pairs, each tenth held out.
fn translation(
    architecture: &Architecture,
    path: Option<&Path>,
    sizes: &Sizes,
    usual: Options,
) -> Result<Source, Failure> {
    let (name, pairs) = match path {
        None => ("pairs".to_owned(), data::pairs_bundled()),
        Some(path) => (path.display().to_string(), data::read_pairs(path)?),
    };
    // A small model has no smaller sentences and words, of which hardly any would be left.
    let Options { size, classes, .. } = architecture.defaults;
    let options = sizes.options_from(Options { size, classes, ..usual })?;
    if options.size < 3 {
        return Err(Failure(format!("expected sentences of at least 3 tokens, got {}", options.size)));
    }
    let least = BYTES + SPECIAL;
    if options.classes < least {
        let reason = format!("the {BYTES} bytes and {SPECIAL} marks");
        return Err(Failure(format!("expected at least {least} classes, {reason}, got {}", options.classes)));
    }
    let (mut train, mut held_out) = (vec![], vec![]);
    for (i, pair) in pairs.into_iter().enumerate() {
        if i % 10 == 9 { held_out.push(pair) } else { train.push(pair) }
    }
    if held_out.is_empty() {
        return Err(too_few(&name, "pairs", train.len(), 0));
    }
    let all: String = train.iter().map(|(source, target)| format!("{source}\n{target}\n")).collect();
    let pieces = BytePair::train(&all, options.classes - SPECIAL)?;
    // A target has marks where it begins and ends.
    let longest = [options.size, options.size - 2];
    let tokens = |pairs: &[(String, String)]| Pairs::new(name.as_str(), pairs, &pieces, &pieces, longest);
    Ok(Source {
        train: Arc::new(tokens(&train)?.data),
        held_out: Arc::new(tokens(&held_out)?.data),
        options,
        kept: Some(Kept::Pieces(pieces)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Sizes =
        Sizes { batch: None, size: None, channels: None, classes: None, width: None, small: true };

    fn bundled(architecture: &Architecture) -> Source {
        open(architecture, None, &SMALL, 0).unwrap_or_else(|e| panic!("{}: {e}", architecture.name))
    }

    #[test]
    fn every_model_of_bundled_data_builds_with_what_they_are() {
        for architecture in bespoke_zoo::ARCHITECTURES {
            if matches!(architecture.task, Task::Other) {
                continue;
            }
            let Source { train, held_out, options, .. } = bundled(architecture);
            architecture.summary(&options).unwrap_or_else(|e| panic!("{}: {e}", architecture.name));
            assert!(train.len() > 100 && held_out.len() > 10, "{}: {}", architecture.name, train.len());
            // The first input has as many elements as the first field.
            let graph = Graph::new();
            architecture.build(&graph, &options);
            let ir = graph.finish().unwrap();
            let (_, input) = ir.inputs().next().unwrap();
            let each = ir.ty(input).elements() / options.batch;
            assert_eq!(train.fields()[0].ty.elements(), each, "{}", architecture.name);
            assert_eq!(held_out.fields()[0].ty, train.fields()[0].ty, "{}", architecture.name);
        }
    }

    #[test]
    fn digits_are_resized_where_a_model_takes_none_so_small() {
        let image = |name: &str| {
            let source = bundled(bespoke_zoo::find(name).unwrap());
            (source.options.size, source.train.sample(0).unwrap()[0].shape().to_vec())
        };
        assert_eq!(image("vgg16"), (32, vec![32, 32]));
        assert_eq!(image("inception-v3"), (75, vec![75, 75]));
        assert_eq!(image("nin"), (28, vec![28, 28]));
        // A size that is asked for is the model's, whatever the data's.
        let sizes = Sizes { size: Some(40), ..SMALL };
        let source = open(bespoke_zoo::find("nin").unwrap(), None, &sizes, 0).unwrap();
        assert_eq!(source.train.fields()[0].ty.to_string(), "f32[40,40]");
    }
}
