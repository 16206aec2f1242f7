//! A token for each character.

use std::{collections::BTreeSet, path::Path};

use bespoke_tensor::write_aside;

use super::{Tokenizer, no_token, read_text};
use crate::DataError;

/// A token for each character of the text that it was made for, in the order of code points.
///
/// ```
/// use bespoke_data::{CharTokenizer, Tokenizer};
///
/// let characters = CharTokenizer::of("hello");
/// assert_eq!(characters.tokens(), 4); // e h l o
/// assert_eq!(characters.encode("hole")?, [1, 3, 2, 0]);
/// assert_eq!(characters.decode(&[1, 0])?, "he");
/// let error = characters.encode("help").unwrap_err().to_string();
/// assert_eq!(error, "encode: there is no token for 'p', character 4; the tokeniser was made for a text without it");
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharTokenizer {
    /// Sorted.
    characters: Vec<char>,
}

impl CharTokenizer {
    /// Tokens for the characters of a text.
    pub fn of(text: &str) -> CharTokenizer {
        let distinct: BTreeSet<char> = text.chars().collect();
        CharTokenizer { characters: distinct.into_iter().collect() }
    }

    /// Writes all characters, in order, as a file in UTF-8: it is whole or as it was.
    ///
    /// # Errors
    /// [`DataError::Tensor`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), DataError> {
        use std::io::Write;
        let text: String = self.characters.iter().collect();
        Ok(write_aside(path, |file| Ok(file.write_all(text.as_bytes())?))?)
    }

    /// Reads what [`save`](CharTokenizer::save) wrote.
    ///
    /// # Errors
    /// [`DataError::File`] if it cannot be read or is not in UTF-8.
    pub fn load(path: impl AsRef<Path>) -> Result<CharTokenizer, DataError> {
        Ok(CharTokenizer::of(&read_text(path)?))
    }
}

impl Tokenizer for CharTokenizer {
    fn tokens(&self) -> usize {
        self.characters.len()
    }

    fn encode(&self, text: &str) -> Result<Vec<i32>, DataError> {
        let token = |(i, c): (usize, char)| {
            self.characters.binary_search(&c).map(|token| token as i32).map_err(|_| {
                let reason = format!("there is no token for {c:?}, character {}", i + 1);
                DataError::argument("encode", reason + "; the tokeniser was made for a text without it")
            })
        };
        text.chars().enumerate().map(token).collect()
    }

    fn decode(&self, tokens: &[i32]) -> Result<String, DataError> {
        let character = |&token: &i32| {
            let known = usize::try_from(token).ok().and_then(|t| self.characters.get(t));
            known.ok_or_else(|| no_token(token, self.characters.len()))
        };
        tokens.iter().map(character).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_files_too() {
        let text = "Zażółć gęślą jaźń,\n\tÆ → 漢字 🌍 zz";
        let tokenizer = CharTokenizer::of(text);
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&tokens).unwrap(), text);
        assert!(tokens.iter().all(|&t| (0..tokenizer.tokens() as i32).contains(&t)));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("characters.txt");
        tokenizer.save(&path).unwrap();
        assert_eq!(CharTokenizer::load(&path).unwrap(), tokenizer);
        for token in [-1, tokenizer.tokens() as i32] {
            assert!(tokenizer.decode(&[token]).is_err());
        }
        assert_eq!((CharTokenizer::of("").tokens(), tokenizer.encode("").unwrap().len()), (0, 0));
    }
}
