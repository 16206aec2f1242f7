//! What is public of `nn` is held to the laws of compositions and to the numbers of PyTorch and JAX.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{columns::no_failures, compositions::compositions, goldens::cases};

/// Not made of values' elements: sources, derivatives, loops, modules, and rules that are no derivatives.
const NOT_FUNCTIONS: &[&str] = &[
    "input",
    "state",
    "parameter",
    "buffer",
    "constant",
    "tensor",
    "full",
    "iota",
    "training",
    "random_uniform",
    "random_normal",
    "random_bernoulli",
    "grad",
    "jvp",
    "vjp",
    "jet",
    "hvp",
    "jacobian",
    "batch_jacobian",
    "hessian",
    "run",
    "apply",
    "then",
    "named",
    "custom",
    "with_vjp",
    "with_jvp",
    "finish",
    "mistake",
    "straight_through",
    "clip_gradient",
    "clip_gradient_norm",
];

/// Private, in spite of its signature.
const PRIVATE: &[&str] = &["fold", "step"];

/// Values are positions, counts or bools; tables of embeddings are of f32, whose lookup is under laws; and what stops
/// a gradient is meant to break them.
const WITHOUT_LAWS: &[&str] = &[
    "arg_sort",
    "argmax",
    "argmin",
    "bincount",
    "one_hot",
    "accuracy",
    "zero_one",
    "any",
    "any_axes",
    "any_keep",
    "all",
    "all_axes",
    "all_keep",
    "logical_not",
    "logical_and",
    "logical_or",
    "logical_xor",
    "is_nan",
    "is_finite",
    "embedding",
    "embedding_with",
    "stop_gradient",
];

/// Random.
const WITHOUT_GOLDEN: &[&str] = &["dropout", "dropout_classic", "drop_path"];

/// The public functions of a source that give values and are called by a method's name, also those that macros make.
fn methods(source: &str) -> Vec<String> {
    let mut found = vec![];
    for item in source.split("pub fn ").skip(1) {
        let signature = &item[..item.find(['{', ';']).unwrap_or(item.len())];
        let Some((name, rest)) = signature.split_once('(') else { continue };
        let gives_values = signature.rsplit_once("->").is_some_and(|(_, to)| to.contains("Value<"));
        let (first, _) = rest.trim_start().split_once([',', ')']).unwrap_or((rest, ""));
        if gives_values && first.ends_with("self") {
            found.push(name.split('<').next().unwrap_or(name).to_owned());
        }
    }
    let made = found.iter().filter_map(|name| name.strip_prefix('$')).flat_map(|name| made(source, name));
    let made: Vec<String> = made.collect();
    found.retain(|name| !name.starts_with('$'));
    found.extend(made);
    found
}

/// What a source's macros are told to make by this variable: macros of one rule that repeats words and literals, each
/// repetition with `;` behind.
fn made(source: &str, variable: &str) -> Vec<String> {
    let mut names = vec![];
    for rules in source.split("macro_rules! ").skip(1) {
        let (name, rest) = rules.split_once(' ').expect("a macro's name");
        let (pattern, body) = rest.split_once("=>").expect("a rule");
        if !body[..body.find("\n}\n").expect("an end")].contains(&format!("pub fn ${variable}(")) {
            continue;
        }
        let variables = pattern.split('$').filter_map(|part| part.split_once(':'));
        let variables =
            variables.filter(|(_, kind)| kind.starts_with("ident") || kind.starts_with("literal"));
        let at = variables.map(|(name, _)| name).position(|name| name == variable).expect("it is matched");
        for call in source.split(&format!("\n{name}! {{")).skip(1) {
            let call = &call[..call.find("\n}").expect("an end")];
            let call: String = call.lines().filter(|line| !line.trim_start().starts_with("///")).collect();
            for repetition in call.split(';').filter(|r| !r.trim().is_empty()) {
                // A literal is one word, whatever it says.
                let words = repetition
                    .split('"')
                    .enumerate()
                    .map(|(i, part)| if i % 2 == 1 { "literal" } else { part });
                let words = words.collect::<Vec<_>>().join(" ").replace(':', " ");
                names.push(words.split_whitespace().nth(at).expect("as many as variables").to_owned());
            }
        }
    }
    names
}

/// The methods that are called in a text.
fn calls(text: &str) -> impl Iterator<Item = String> {
    let word = |part: &str| part.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
    let is_call =
        |part: &&str| part.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').starts_with('(');
    text.split('.').skip(1).filter(is_call).filter_map(word).collect::<Vec<_>>().into_iter()
}

/// The texts of the files of a folder.
fn texts(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    // Folders of `nn` hold optimisers.
    paths.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The methods that are called in compositions which are checked.
fn under_laws() -> BTreeSet<String> {
    let checked: BTreeSet<&str> = compositions().map(|c| c.name).collect();
    let mut called = BTreeSet::new();
    for text in texts("tests/it/compositions") {
        for entry in text.split("Composition {").skip(1) {
            let name = entry.split('"').nth(1).expect("a name");
            if checked.contains(name) {
                called.extend(calls(entry));
            }
        }
    }
    called
}

/// The methods that are called in functions of cases which have numbers.
fn with_golden() -> BTreeSet<String> {
    let cases = cases();
    let mut called = BTreeSet::new();
    for text in texts("tests/it/goldens") {
        let (mut known, mut arm) = (false, String::new());
        for line in text.lines().chain(["_ =>"]) {
            let names = line.trim_start();
            if names.starts_with('"') && names.contains("=>") || names.starts_with("_ =>") {
                called.extend(calls(&arm).filter(|_| known));
                arm.clear();
                let (names, _) = names.split_once("=>").expect("an arm");
                known = names.split('"').skip(1).step_by(2).any(|name| cases.contains_key(name));
            }
            arm += line;
            arm += "\n";
        }
    }
    called
}

#[test]
fn every_function_of_values_has_laws_and_goldens() {
    let (laws, goldens) = (under_laws(), with_golden());
    let (mut missing, mut seen) = (vec![], BTreeSet::new());
    for text in texts("crates/nn/src") {
        for name in
            methods(&text).into_iter().filter(|n| ![NOT_FUNCTIONS, PRIVATE].concat().contains(&&n[..]))
        {
            if !laws.contains(&name) && !WITHOUT_LAWS.contains(&&name[..]) {
                missing.push(format!("{name} has no laws"));
            }
            if !goldens.contains(&name) && !WITHOUT_GOLDEN.contains(&&name[..]) {
                missing.push(format!("{name} has no golden"));
            }
            seen.insert(name);
        }
    }
    missing.sort();
    no_failures(&missing);
    // Of each kind: written out, made by macros with and without documentation, called on a graph.
    for name in
        ["dense", "tanh", "sum_axes", "cumsum", "max_pool3d", "conv2d", "sinusoidal_positions", "select"]
    {
        assert!(seen.contains(name), "{name} was not seen");
    }
    let idle = [WITHOUT_LAWS, WITHOUT_GOLDEN].concat().into_iter().filter(|name| !seen.contains(*name));
    assert_eq!(idle.collect::<Vec<_>>(), [""; 0], "there is nothing of these names");
}
