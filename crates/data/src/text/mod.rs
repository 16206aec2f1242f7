//! Texts as numbers: tokenisers, windows of a corpus, sentence pairs.

mod byte_pair;
mod characters;
mod corpus;
mod pairs;

pub use byte_pair::BytePair;
pub use characters::CharTokenizer;
pub use corpus::{Corpus, read_text};
pub(crate) use pairs::parse as parse_pairs;
pub use pairs::{BEGIN, END, PADDING, Pairs, SPECIAL, read_pairs};

use crate::DataError;

/// Texts to numbers and back.
pub trait Tokenizer: Send + Sync {
    /// The number of tokens: they are numbered from 0.
    fn tokens(&self) -> usize;

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`DataError::Argument`] if the text has a character that no token stands for.
    fn encode(&self, text: &str) -> Result<Vec<i32>, DataError>;

    /// The text of tokens: what [`encode`](Tokenizer::encode) made them of.
    ///
    /// # Errors
    /// [`DataError::Argument`] if there is no such token.
    fn decode(&self, tokens: &[i32]) -> Result<String, DataError>;
}

fn no_token(token: i32, count: usize) -> DataError {
    DataError::argument("decode", format!("expected tokens below {count}, got {token}"))
}
