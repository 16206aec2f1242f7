//! Byte-pair encoding.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use bespoke_tensor::write_aside;

use super::{Tokenizer, no_token, read_text};
use crate::DataError;

/// The first line of a file of merges.
const HEADER: &str = "byte-pair merges, version 1";
const BYTES: usize = 256;

/// Byte-pair encoding (Sennrich, Haddow & Birch 2016): the pair of tokens that is most frequent in a text becomes a token, again
/// and again. It begins with the 256 bytes rather than characters (Radford et al. 2019), so that it encodes every text and
/// decodes to exactly that. Pairs do not reach over the ends of words; a space belongs to the word after it.
///
/// ```
/// use bespoke_data::{BytePair, Tokenizer};
///
/// let text = "low lower lowest low low";
/// let tokenizer = BytePair::train(text, 259)?; // the bytes and three merges: "lo", "low", " low"
/// assert_eq!(tokenizer.tokens(), 259);
/// let tokens = tokenizer.encode("low lower")?;
/// assert_eq!(tokens, [257, 258, i32::from(b'e'), i32::from(b'r')]);
/// assert_eq!(tokenizer.decode(&tokens)?, "low lower");
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytePair {
    /// The bytes of each token.
    tokens: Vec<Vec<u8>>,
    /// The token that a pair becomes.
    merges: HashMap<(u32, u32), u32>,
}

impl BytePair {
    /// Learns merges from a text until there are so many tokens, bytes included, or no pair comes twice. Of pairs as frequent, the
    /// one with the smaller tokens is first.
    ///
    /// # Errors
    /// [`DataError::Argument`] if `tokens` is below 256.
    pub fn train(text: &str, tokens: usize) -> Result<BytePair, DataError> {
        if tokens < BYTES {
            let reason = format!("expected at least the {BYTES} bytes as tokens, got {tokens}");
            return Err(DataError::argument("byte-pair encoding", reason));
        }
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        words(text).for_each(|word| *counts.entry(word).or_default() += 1);
        let mut words: Vec<(Vec<u32>, i64)> =
            counts.into_iter().map(|(word, count)| (word.bytes().map(u32::from).collect(), count)).collect();
        let mut pairs: HashMap<(u32, u32), i64> = HashMap::new();
        let mut places: HashMap<(u32, u32), HashSet<usize>> = HashMap::new();
        for (w, (word, count)) in words.iter().enumerate() {
            for pair in word.windows(2).map(|p| (p[0], p[1])) {
                *pairs.entry(pair).or_default() += count;
                places.entry(pair).or_default().insert(w);
            }
        }
        let mut learned = BytePair::new(vec![])?;
        while learned.tokens.len() < tokens {
            let best = pairs.iter().max_by_key(|&(pair, count)| (count, Reverse(pair)));
            let Some(pair) = best.filter(|b| *b.1 >= 2).map(|b| *b.0) else { break };
            let new = learned.push(pair);
            for w in places.remove(&pair).unwrap_or_default() {
                let (word, count) = &mut words[w];
                for old in word.windows(2).map(|p| (p[0], p[1])) {
                    *pairs.entry(old).or_default() -= *count;
                }
                merge(word, pair, new);
                for now in word.windows(2).map(|p| (p[0], p[1])) {
                    *pairs.entry(now).or_default() += *count;
                    places.entry(now).or_default().insert(w);
                }
            }
            pairs.remove(&pair);
        }
        Ok(learned)
    }

    /// Of merges in the order in which they were learned: merge i makes token 256 + i of two before.
    fn new(merges: Vec<(u32, u32)>) -> Result<BytePair, DataError> {
        let mut made =
            BytePair { tokens: (0..=u8::MAX).map(|byte| vec![byte]).collect(), merges: HashMap::new() };
        for (left, right) in merges {
            let next = made.tokens.len();
            if left.max(right) as usize >= next || made.merges.contains_key(&(left, right)) {
                let reason = format!(
                    "expected merge {} of tokens below {next}, not merged before, got {left} {right}",
                    next - BYTES + 1
                );
                return Err(DataError::argument("byte-pair encoding", reason));
            }
            made.push((left, right));
        }
        Ok(made)
    }

    fn push(&mut self, pair: (u32, u32)) -> u32 {
        let token = self.tokens.len() as u32;
        let bytes = [&self.tokens[pair.0 as usize][..], &self.tokens[pair.1 as usize]].concat();
        self.tokens.push(bytes);
        self.merges.insert(pair, token);
        token
    }

    /// The bytes that a token stands for.
    pub fn bytes(&self, token: i32) -> Option<&[u8]> {
        usize::try_from(token).ok().and_then(|t| self.tokens.get(t)).map(|t| &t[..])
    }

    /// Writes the merges as text, a line each: the two tokens. The file is whole or as it was.
    ///
    /// # Errors
    /// [`DataError::Tensor`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), DataError> {
        use std::io::Write;
        let mut merges: Vec<_> = self.merges.iter().collect();
        merges.sort_by_key(|merge| merge.1);
        Ok(write_aside(path, |file| {
            writeln!(file, "{HEADER}")?;
            merges.iter().try_for_each(|((left, right), _)| Ok(writeln!(file, "{left} {right}")?))
        })?)
    }

    /// Reads what [`save`](BytePair::save) wrote.
    ///
    /// # Errors
    /// [`DataError::File`] with the line if it cannot be read or is something else.
    pub fn load(path: impl AsRef<Path>) -> Result<BytePair, DataError> {
        let path = path.as_ref();
        let text = read_text(path)?;
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if first != HEADER {
            return Err(DataError::file(path, format!("line 1: expected `{HEADER}`, got `{first}`")));
        }
        let merge = |(i, line): (usize, &str)| {
            let pair = line.split_once(' ').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            pair.ok_or_else(|| {
                DataError::file(path, format!("line {}: expected two tokens, got `{line}`", i + 2))
            })
        };
        let merges = lines.enumerate().map(merge).collect::<Result<_, _>>()?;
        BytePair::new(merges).map_err(|e| DataError::file(path, e))
    }

    /// The tokens of one word: merges are made in the order in which they were learned.
    fn word(&self, word: &str) -> Vec<u32> {
        let mut tokens: Vec<u32> = word.bytes().map(u32::from).collect();
        loop {
            let known =
                tokens.windows(2).filter_map(|p| Some((self.merges.get(&(p[0], p[1]))?, (p[0], p[1]))));
            let Some((&new, pair)) = known.min() else { return tokens };
            merge(&mut tokens, pair, new);
        }
    }
}

/// Puts `new` in the place of each `pair`, from left to right.
fn merge(word: &mut Vec<u32>, pair: (u32, u32), new: u32) {
    let (mut read, mut write) = (0, 0);
    while read < word.len() {
        let here = word[read] == pair.0 && word.get(read + 1) == Some(&pair.1);
        word[write] = if here { new } else { word[read] };
        read += if here { 2 } else { 1 };
        write += 1;
    }
    word.truncate(write);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Space,
    Other,
}

fn kind(c: char) -> Kind {
    match c {
        c if c.is_alphanumeric() => Kind::Letter,
        c if c.is_whitespace() => Kind::Space,
        _ => Kind::Other,
    }
}

/// The pieces that no pair reaches over: runs of letters and digits, of other marks, each with one space before if there is one, and
/// of white space. Together they are the text.
fn words(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let mut characters = text.char_indices().peekable();
        let (_, first) = characters.next()?;
        // One space belongs to what comes after it.
        let run = match characters.peek() {
            Some(&(_, second)) if first == ' ' => kind(second),
            _ => kind(first),
        };
        let mut end = text.len();
        while let Some((at, c)) = characters.next() {
            let next = characters.peek().map(|n| n.1);
            let leaves = c == ' ' && run == Kind::Space && next.is_some_and(|n| kind(n) != Kind::Space);
            if kind(c) != run || leaves {
                end = at;
                break;
            }
        }
        let (word, rest) = text.split_at(end);
        text = rest;
        Some(word)
    })
}

impl Tokenizer for BytePair {
    fn tokens(&self) -> usize {
        self.tokens.len()
    }

    fn encode(&self, text: &str) -> Result<Vec<i32>, DataError> {
        let mut known: HashMap<&str, Vec<u32>> = HashMap::new();
        let mut tokens = vec![];
        for word in words(text) {
            let word = known.entry(word).or_insert_with(|| self.word(word));
            tokens.extend(word.iter().map(|&t| t as i32));
        }
        Ok(tokens)
    }

    /// Bytes that are no UTF-8, which come of a piece of an encoded text only, become `�`.
    fn decode(&self, tokens: &[i32]) -> Result<String, DataError> {
        let mut bytes = vec![];
        for &token in tokens {
            bytes.extend(self.bytes(token).ok_or_else(|| no_token(token, self.tokens.len()))?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_text() {
        let split = |text| words(text).collect::<Vec<_>>();
        assert_eq!(
            split("Who's there?\n\n  Nay, 12"),
            ["Who", "'", "s", " there", "?", "\n\n ", " Nay", ",", " 12"]
        );
        assert_eq!(split(" a "), [" a", " "]);
        assert_eq!(split("  "), ["  "]);
        assert_eq!(split(" \n x"), [" \n", " x"]);
        assert!(split("").is_empty());
        for text in ["Zażółć, gęślą  jaźń!\t→ ", " ", "\n \n", "a  b", "漢字 🌍"] {
            assert_eq!(split(text).concat(), text);
        }
    }

    /// The merges by counting all pairs anew each time.
    fn naive(text: &str, tokens: usize) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<Vec<u8>>> = words(text).map(|w| w.bytes().map(|b| vec![b]).collect()).collect();
        let mut made: Vec<Vec<u8>> = (0..=255).map(|b| vec![b]).collect();
        while made.len() < tokens {
            let number = |t: &Vec<u8>| made.iter().position(|m| m == t).unwrap();
            let mut counts = HashMap::new();
            for pair in all.iter().flat_map(|w| w.windows(2)) {
                *counts.entry((number(&pair[0]), number(&pair[1]))).or_insert(0) += 1;
            }
            let Some((&(a, b), &count)) = counts.iter().max_by_key(|&(p, c)| (*c, Reverse(*p))) else {
                break;
            };
            if count < 2 {
                break;
            }
            let (a, b) = (made[a].clone(), made[b].clone());
            let new = [&a[..], &b].concat();
            for word in &mut all {
                let mut i = 0;
                while i + 1 < word.len() {
                    if word[i] == a && word[i + 1] == b {
                        word[i] = new.clone();
                        word.remove(i + 1);
                    }
                    i += 1;
                }
            }
            made.push(new);
        }
        made
    }

    #[test]
    fn merges_are_those_of_counting_anew_and_texts_come_back() {
        let text = &include_str!("../../assets/shakespeare/shakespeare.txt")[2000..6000];
        for text in [text, "aaaa aaa aaaaa", "low lower lowest low low", "", "ąą ąą óó"] {
            for tokens in [256, 260, 330] {
                let learned = BytePair::train(text, tokens).unwrap();
                assert_eq!(learned.tokens, naive(text, tokens));
                for text in [text, "another; aaaaaaa \n text → 漢字 lower\r\n", " "] {
                    assert_eq!(learned.decode(&learned.encode(text).unwrap()).unwrap(), text);
                }
            }
        }
        let learned = BytePair::train(text, 600).unwrap();
        let count = learned.encode(text).unwrap().len();
        assert!(count * 2 < text.len(), "{count} tokens for {} characters", text.len());
    }

    #[test]
    fn files_come_back_and_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("merges.txt");
        let learned = BytePair::train("to be or not to be, that is the question: to be", 280).unwrap();
        learned.save(&path).unwrap();
        assert_eq!(BytePair::load(&path).unwrap(), learned);
        for (text, reason) in [
            ("", "line 1: expected `byte-pair merges, version 1`, got ``"),
            ("byte-pair merges, version 1\n97 98\n97\n", "line 3: expected two tokens, got `97`"),
            (
                "byte-pair merges, version 1\n97 98\n256 257\n",
                "merge 2 of tokens below 257, not merged before, got 256 257",
            ),
            ("byte-pair merges, version 1\n97 98\n97 98\n", "not merged before, got 97 98"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = BytePair::load(&path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(reason), "{error}");
        }
        assert!(BytePair::train("a", 255).is_err());
        assert!(learned.decode(&[-1]).is_err() && learned.decode(&[100_000]).is_err());
    }
}
