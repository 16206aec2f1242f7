//! A text as windows of tokens.

use std::{fs, path::Path};

use bespoke_tensor::{DType, Tensor, Type};

use super::Tokenizer;
use crate::{DataError, Dataset, Field, dataset::check_batch};

/// A text as windows of so many tokens: the field `tokens`, `i32[length]`, and `next`, `i32[length]`, the same one token later,
/// which is to be learned. Windows begin `length` tokens apart unless [`stride`](Corpus::stride) says otherwise.
///
/// ```
/// use bespoke_data::{CharTokenizer, Corpus, Dataset};
///
/// let text = "to be or not";
/// let corpus = Corpus::new("hamlet", text, &CharTokenizer::of(text), 5)?.stride(2)?;
/// assert_eq!(corpus.len(), 4);
/// let example = corpus.sample(1)?;
/// assert_eq!(example[0].view::<i32>()?[1..], example[1].view::<i32>()?[..4]);
/// # Ok::<(), bespoke_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Corpus {
    name: String,
    tokens: Vec<i32>,
    length: usize,
    stride: usize,
    fields: [Field; 2],
}

/// Reads a file in UTF-8.
///
/// # Errors
/// [`DataError::File`] if it cannot be read, or with the line where it is not UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> Result<String, DataError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(|e| DataError::file(path, e))?;
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|&&b| b == b'\n').count() + 1;
        DataError::file(path, format!("line {line}: not UTF-8, from byte {valid} of the file"))
    })
}

impl Corpus {
    /// The windows of a text. For held-out data, cut the text first.
    ///
    /// # Errors
    /// Those of encoding, and [`DataError::Argument`] if `length` is 0 or the text has not as many tokens and one more.
    pub fn new(
        name: impl Into<String>,
        text: &str,
        tokenizer: &(impl Tokenizer + ?Sized),
        length: usize,
    ) -> Result<Corpus, DataError> {
        Corpus::of_tokens(name, tokenizer.encode(text)?, length)
    }

    /// The windows of tokens.
    ///
    /// # Errors
    /// Those of [`Corpus::new`].
    pub fn of_tokens(name: impl Into<String>, tokens: Vec<i32>, length: usize) -> Result<Corpus, DataError> {
        let name = name.into();
        if length == 0 || tokens.len() <= length {
            let reason = match tokens.len() {
                few @ 0..=1 => format!("expected at least 2 tokens, got {few}"),
                n => format!("expected windows of 1 to {} tokens, got {length}", n - 1),
            };
            return Err(DataError::argument(name, reason));
        }
        let fields = ["tokens", "next"].map(|field| Field::new(field, Type::new(DType::I32, [length])));
        Ok(Corpus { name, tokens, length, stride: length, fields })
    }

    /// With windows that begin so many tokens apart.
    ///
    /// # Errors
    /// [`DataError::Argument`] if it is 0.
    pub fn stride(self, stride: usize) -> Result<Corpus, DataError> {
        if stride == 0 {
            return Err(DataError::argument(self.name, "a stride of 0; expected at least 1"));
        }
        Ok(Corpus { stride, ..self })
    }

    /// All tokens.
    pub fn tokens(&self) -> &[i32] {
        &self.tokens
    }
}

impl Dataset for Corpus {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        (self.tokens.len() - self.length - 1) / self.stride + 1
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn sample(&self, index: usize) -> Result<Vec<Tensor>, DataError> {
        self.check_index(index)?;
        let start = index * self.stride;
        let window =
            |start: usize| Tensor::from_slice([self.length], &self.tokens[start..start + self.length]);
        Ok(vec![window(start)?, window(start + 1)?])
    }

    fn gather(&self, rows: &[usize], into: &mut [Tensor]) -> Result<(), DataError> {
        check_batch(&self.name, &self.fields, rows.len(), into)?;
        rows.iter().try_for_each(|&row| self.check_index(row))?;
        for (later, tensor) in into.iter_mut().enumerate() {
            for (&row, to) in rows.iter().zip(tensor.view_mut::<i32>()?.chunks_exact_mut(self.length)) {
                to.copy_from_slice(&self.tokens[row * self.stride + later..][..self.length]);
            }
        }
        Ok(())
    }

    fn in_memory(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_each_other() {
        for (n, length, stride, expected) in
            [(10, 3, 3, 3), (11, 3, 3, 3), (9, 3, 3, 2), (4, 3, 3, 1), (10, 3, 1, 7), (10, 2, 5, 2)]
        {
            let corpus = Corpus::of_tokens("c", (0..n).collect(), length).unwrap().stride(stride).unwrap();
            assert_eq!(corpus.len(), expected, "{n} tokens, windows of {length} by {stride}");
            let rows: Vec<usize> = (0..corpus.len()).rev().collect();
            let mut batch = corpus.allocate(rows.len()).unwrap();
            corpus.gather(&rows, &mut batch).unwrap();
            for (row, &index) in rows.iter().enumerate() {
                let sample = corpus.sample(index).unwrap();
                for (field, sample) in sample.iter().enumerate() {
                    let first = (index * stride + field) as i32;
                    let expected: Vec<i32> = (first..first + length as i32).collect();
                    assert_eq!(sample.view::<i32>().unwrap(), expected);
                    assert_eq!(batch[field].view::<i32>().unwrap()[row * length..][..length], expected);
                }
            }
            assert!(corpus.sample(corpus.len()).is_err());
        }
        let error = |n, length| Corpus::of_tokens("c", vec![0; n], length).unwrap_err().to_string();
        assert_eq!(error(3, 3), "c: expected windows of 1 to 2 tokens, got 3");
        assert_eq!(error(0, 3), "c: expected at least 2 tokens, got 0");
        assert!(error(3, 0).contains("got 0") && error(1, 1).contains("got 1"));
        assert!(Corpus::of_tokens("c", vec![0; 3], 1).unwrap().stride(0).is_err());
    }

    #[test]
    fn files_that_are_no_text_are_named_by_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"good\nbad \xc3\x28").unwrap();
        let error = read_text(file.path()).unwrap_err().to_string();
        assert_eq!(error, format!("{}: line 2: not UTF-8, from byte 9 of the file", file.path().display()));
        assert!(read_text("no/such/file").is_err());
    }
}
