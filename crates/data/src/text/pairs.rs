//! Sentence pairs.

use std::path::Path;

use bespoke_tensor::Tensor;

use super::{Tokenizer, read_text};
use crate::{DataError, TensorDataset};

/// What fills sentences up to the longest.
pub const PADDING: i32 = 0;
/// What comes before a target's first token.
pub const BEGIN: i32 = 1;
/// What comes after a target's last token.
pub const END: i32 = 2;
/// The number of special tokens: a tokeniser's token t is t + 3.
pub const SPECIAL: usize = 3;

/// Sentence pairs as numbers, padded, with their lengths.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Fields `source`, `i32[longest]`, and `source_length`, `i32`; `target`, `i32[longest]`, which begins with [`BEGIN`] and ends with
    /// [`END`], and `target_length`, `i32`, with both. After that is [`PADDING`].
    pub data: TensorDataset,
    /// How many pairs were longer than asked for.
    pub left_out: usize,
}

/// Reads pairs from the first two columns of a tab-separated file in UTF-8. The first line is a header.
///
/// # Errors
/// [`DataError::File`] with the line if it cannot be read, or a line has no second column or an empty one.
pub fn read_pairs(path: impl AsRef<Path>) -> Result<Vec<(String, String)>, DataError> {
    let path = path.as_ref();
    parse(&read_text(path)?).map_err(|reason| DataError::file(path, reason))
}

pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |(i, line): (usize, &str)| {
        let mut columns = line.split('\t').map(str::trim);
        match (columns.next(), columns.next()) {
            (Some(a), Some(b)) if !a.is_empty() && !b.is_empty() => Ok((a.to_owned(), b.to_owned())),
            _ => Err(format!("line {}: expected two texts with a tab between, got `{line}`", i + 1)),
        }
    };
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
    let pairs: Vec<(String, String)> = lines.map(pair).collect::<Result<_, _>>()?;
    if pairs.is_empty() { Err("there are no pairs".to_owned()) } else { Ok(pairs) }
}

impl Pairs {
    /// The pairs whose sentences have at most so many tokens each, [`BEGIN`] and [`END`] not counted. Fields are as long as
    /// `longest` lets them be, so that sets made apart have one type.
    ///
    /// ```
    /// use bespoke_data::{BEGIN, CharTokenizer, END, Pairs};
    ///
    /// let texts = [("ab".to_owned(), "ba".to_owned())];
    /// let letters = CharTokenizer::of("ab");
    /// let pairs = Pairs::new("letters", &texts, &letters, &letters, [3, 3])?;
    /// assert_eq!(pairs.data.field("source").unwrap().view::<i32>()?, [3, 4, 0]);
    /// assert_eq!(pairs.data.field("target").unwrap().view::<i32>()?, [BEGIN, 4, 3, END, 0]);
    /// # Ok::<(), bespoke_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// Those of encoding, with the pair's number, and [`DataError::Argument`] if no pair is left.
    pub fn new(
        name: impl Into<String>,
        pairs: &[(String, String)],
        source: &(impl Tokenizer + ?Sized),
        target: &(impl Tokenizer + ?Sized),
        longest: [usize; 2],
    ) -> Result<Pairs, DataError> {
        let name = name.into();
        let (mut sources, mut targets, mut lengths) = (vec![], vec![], [vec![], vec![]]);
        for (i, (a, b)) in pairs.iter().enumerate() {
            let numbered = |e: DataError| DataError::argument(format!("{name}: pair {i}"), e);
            let a = source.encode(a).map_err(numbered)?;
            let b = target.encode(b).map_err(numbered)?;
            if a.len() > longest[0] || b.len() > longest[1] {
                continue;
            }
            let special = SPECIAL as i32;
            lengths[0].push(a.len() as i32);
            lengths[1].push(b.len() as i32 + 2);
            let padding = |count| std::iter::repeat_n(PADDING, count);
            sources.extend(a.iter().map(|t| t + special).chain(padding(longest[0] - a.len())));
            let whole = [BEGIN].into_iter().chain(b.iter().map(|t| t + special)).chain([END]);
            targets.extend(whole.chain(padding(longest[1] - b.len())));
        }
        let count = lengths[0].len();
        if count == 0 {
            let reason = format!("none of {} pairs has at most {longest:?} tokens", pairs.len());
            return Err(DataError::argument(name, reason));
        }
        let [source_lengths, target_lengths] = lengths;
        let data = TensorDataset::new(
            name,
            [
                ("source", Tensor::from_vec([count, longest[0]], sources)?),
                ("source_length", Tensor::from_vec([count], source_lengths)?),
                ("target", Tensor::from_vec([count, longest[1] + 2], targets)?),
                ("target_length", Tensor::from_vec([count], target_lengths)?),
            ],
        )?;
        Ok(Pairs { data, left_out: pairs.len() - count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CharTokenizer, Dataset};

    #[test]
    fn pairs_are_padded_and_come_back() {
        let texts = parse("en\tpl\tsource\nyes\ttak\tx\n\nno\tnie\nperhaps\tmoże\n").unwrap();
        let (en, pl) = (CharTokenizer::of("yesnoprhap"), CharTokenizer::of("taknieżmo"));
        let pairs = Pairs::new("answers", &texts, &en, &pl, [3, 4]).unwrap();
        assert_eq!((pairs.data.len(), pairs.left_out), (2, 1));
        let values = |name: &str| pairs.data.field(name).unwrap().to_vec::<i32>().unwrap();
        assert_eq!((values("source_length"), values("target_length")), (vec![3, 2], vec![5, 5]));
        let target = values("target");
        assert_eq!((target[0], target[4], target[5]), (BEGIN, END, PADDING));
        let tokens: Vec<i32> = target[7..10].iter().map(|t| t - SPECIAL as i32).collect();
        assert_eq!(pl.decode(&tokens).unwrap(), "nie");
        assert_eq!(values("source")[5], PADDING);
    }

    #[test]
    fn what_is_no_pair_is_named() {
        for (text, reason) in [
            ("", "there are no pairs"),
            ("en\tpl\n", "there are no pairs"),
            ("en\tpl\na\tb\nc d\n", "line 3: expected two texts with a tab between, got `c d`"),
            ("en\tpl\na\t \n", "line 2: expected two texts"),
        ] {
            assert!(parse(text).unwrap_err().starts_with(reason));
        }
        let texts = parse("en\tpl\nyes\ttak\n").unwrap();
        let (yes, no) = (CharTokenizer::of("yestak"), CharTokenizer::of("no"));
        let error = Pairs::new("p", &texts, &yes, &no, [3, 3]).unwrap_err().to_string();
        assert!(error.starts_with("p: pair 0: encode: there is no token for 't'"), "{error}");
        let error = Pairs::new("p", &texts, &yes, &yes, [2, 3]).unwrap_err().to_string();
        assert_eq!(error, "p: none of 1 pairs has at most [2, 3] tokens");
        assert!(read_pairs("no/such.tsv").is_err());
    }
}
