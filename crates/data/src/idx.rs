//! The IDX format of MNIST and its relatives.
//!
//! Two zero bytes, the element type, the rank, one big-endian `u32` a dimension, then the elements in row-major order,
//! big-endian. Files may be gzip-compressed; their first bytes tell.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use bespoke_tensor::{DType, MAX_RANK, Shape, Tensor, Type};
use flate2::read::MultiGzDecoder;

use crate::DataError;

/// Reads an IDX file, plain or gzip-compressed, of `u8` (0x08), `i32` (0x0c), `f32` (0x0d) or `f64` (0x0e).
///
/// # Errors
/// [`DataError::File`] if it cannot be read, is not an IDX file of these types, ends early, or goes on after the array.
///
/// ```
/// use bespoke_data::idx;
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("labels-idx1-ubyte");
/// std::fs::write(&path, [0, 0, 0x08, 1, 0, 0, 0, 3, 7, 2, 1])?;
/// assert_eq!(idx::read(&path)?.view::<u8>()?, [7, 2, 1]);
///
/// std::fs::write(&path, [0, 0, 0x08, 1, 0, 0, 0, 3, 7])?;
/// let error = idx::read(&path).unwrap_err().to_string();
/// assert!(error.ends_with("truncated: u8[3] needs 3 bytes after the header, got 1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Tensor, DataError> {
    let path = path.as_ref();
    File::open(path)
        .map_err(|e| DataError::Stream(e.to_string()))
        .and_then(|file| read_from(BufReader::new(file)))
        .map_err(|e| DataError::file(path, e))
}

/// Reads a whole stream, plain or gzip-compressed, as one IDX array.
///
/// # Errors
/// [`DataError::Stream`], for the reasons of [`read`].
pub fn read_from(mut reader: impl Read) -> Result<Tensor, DataError> {
    let start = take(&mut reader, 2)?;
    let reader = start.as_slice().chain(reader);
    if start == [0x1f, 0x8b] { read_plain(MultiGzDecoder::new(reader)) } else { read_plain(reader) }
}

fn read_plain(mut reader: impl Read) -> Result<Tensor, DataError> {
    let bad = |reason: String| DataError::Stream(format!("not an IDX file: {reason}"));
    let magic = take(&mut reader, 4)?;
    let &[zero0, zero1, code, rank] = &magic[..] else {
        return Err(bad(format!("expected a magic number of 4 bytes, got {}", magic.len())));
    };
    if (zero0, zero1) != (0, 0) {
        return Err(bad(format!(
            "expected a magic number that begins with two zero bytes, got {:#010x}",
            u32::from_be_bytes([zero0, zero1, code, rank])
        )));
    }
    let dtype = match code {
        0x08 => DType::U8,
        0x0c => DType::I32,
        0x0d => DType::F32,
        0x0e => DType::F64,
        _ => {
            let known = match code {
                0x09 => " (i8)",
                0x0b => " (i16)",
                _ => "",
            };
            return Err(bad(format!(
                "expected element type 0x08 (u8), 0x0c (i32), 0x0d (f32) or 0x0e (f64), got {code:#04x}{known}"
            )));
        }
    };
    let rank = rank as usize;
    if rank > MAX_RANK {
        return Err(bad(format!("expected at most {MAX_RANK} dimensions, got {rank}")));
    }
    let header = take(&mut reader, 4 * rank)?;
    if header.len() < 4 * rank {
        return Err(bad(format!(
            "truncated: {rank} dimensions need {} bytes, got {}",
            4 * rank,
            header.len()
        )));
    }
    let dims: Vec<usize> =
        header.chunks_exact(4).map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize).collect();
    let ty = Type { dtype, shape: Shape::new(&dims).map_err(|e| bad(e.to_string()))? };

    // Memory grows with what comes, not with what the header claims; one byte more tells of trailing ones, and lets
    // the decompressor reach its checksum.
    let bytes = take(&mut reader, ty.bytes() + 1)?;
    if bytes.len() < ty.bytes() {
        return Err(DataError::Stream(format!(
            "truncated: {ty} needs {} bytes after the header, got {}",
            ty.bytes(),
            bytes.len()
        )));
    }
    if bytes.len() > ty.bytes() {
        return Err(DataError::Stream(format!(
            "expected the end after the {} bytes of {ty}, got more",
            ty.bytes()
        )));
    }
    let mut tensor = Tensor::zeros(ty);
    tensor.bytes_mut().copy_from_slice(&bytes);
    if dtype.size() > 1 {
        tensor.bytes_mut().chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    Ok(tensor)
}

/// Up to `limit` bytes.
fn take(reader: &mut impl Read, limit: usize) -> Result<Vec<u8>, DataError> {
    let mut bytes = vec![];
    reader.take(limit as u64).read_to_end(&mut bytes).map_err(|e| {
        let what = match e.kind() {
            std::io::ErrorKind::UnexpectedEof => "truncated: ",
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => "damaged: ",
            _ => "",
        };
        DataError::Stream(format!("{what}{e}"))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn idx(code: u8, dims: &[u32], body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, code, dims.len() as u8];
        dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes.extend(body);
        bytes
    }

    /// Both plain and compressed must be refused alike.
    fn error_of(bytes: &[u8]) -> String {
        let plain = read_from(bytes).expect_err("a broken file was read").to_string();
        assert_eq!(
            plain,
            read_from(&gzip(bytes)[..]).expect_err("a broken compressed file was read").to_string()
        );
        plain
    }

    #[test]
    fn all_types_plain_and_compressed() {
        let be =
            |values: [f64; 2], f: fn(f64) -> Vec<u8>| values.into_iter().flat_map(f).collect::<Vec<u8>>();
        let cases = [
            (idx(0x08, &[2, 1], &[3, 255]), Tensor::from_vec([2, 1], vec![3u8, 255])),
            (
                idx(0x0c, &[2], &be([-2.0, 70000.0], |v| (v as i32).to_be_bytes().to_vec())),
                Tensor::from_vec([2], vec![-2i32, 70000]),
            ),
            (
                idx(0x0d, &[1, 2], &be([0.1, -1e9], |v| (v as f32).to_be_bytes().to_vec())),
                Tensor::from_vec([1, 2], vec![0.1f32, -1e9]),
            ),
            (
                idx(0x0e, &[2], &be([0.1, -1e99], |v| v.to_be_bytes().to_vec())),
                Tensor::from_vec([2], vec![0.1f64, -1e99]),
            ),
            (idx(0x08, &[], &[9]), Tensor::from_vec([], vec![9u8])),
            (idx(0x0d, &[4, 0], &[]), Tensor::from_vec::<f32>([4, 0], vec![])),
        ];
        for (bytes, expected) in cases {
            let expected = expected.unwrap();
            assert_eq!(read_from(&bytes[..]).unwrap(), expected);
            assert_eq!(read_from(&gzip(&bytes)[..]).unwrap(), expected);
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        let plain = idx(0x08, &[3, 5, 7], &(0..105).collect::<Vec<u8>>());
        for whole in [gzip(&plain), plain] {
            read_from(&whole[..]).unwrap();
            for length in 0..whole.len() {
                let error = read_from(&whole[..length]).expect_err("a truncated file was read").to_string();
                assert!(!error.is_empty());
            }
            for position in 0..whole.len() {
                let mut flipped = whole.clone();
                flipped[position] ^= 0x2a;
                let _ = read_from(&flipped[..]); // no panic
            }
        }
    }

    #[test]
    fn damage_in_compressed_pixels_is_noticed() {
        let mut bytes = gzip(&idx(0x08, &[3], &[1, 2, 3]));
        let checksum = bytes.len() - 8;
        bytes[checksum] ^= 1;
        let error = read_from(&bytes[..]).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }

    #[test]
    fn errors_say_what_was_expected_and_what_came() {
        let cases: [(Vec<u8>, &str); 9] = [
            (vec![], "expected a magic number of 4 bytes, got 0"),
            (vec![0, 0, 8], "expected a magic number of 4 bytes, got 3"),
            (b"hello".to_vec(), "two zero bytes, got 0x68656c6c"),
            (idx(0x0b, &[1], &[0, 1]), "got 0x0b (i16)"),
            (idx(0x07, &[1], &[0]), "got 0x07"),
            (idx(0x08, &[1; 9], &[0]), "expected at most 8 dimensions, got 9"),
            (idx(0x08, &[u32::MAX; 8], &[0]), "too many elements"),
            (idx(0x0d, &[u32::MAX, 1000], &[0; 5]), "needs 17179869180000 bytes after the header, got 5"),
            (idx(0x08, &[2], &[1, 2, 3]), "expected the end after the 2 bytes of u8[2], got more"),
        ];
        for (bytes, reason) in cases {
            let error = error_of(&bytes);
            assert!(error.contains(reason), "expected `{reason}` in: {error}");
        }
        let missing = read("no/such-idx3-ubyte").unwrap_err().to_string();
        assert!(missing.starts_with("no/such-idx3-ubyte: No such file"), "{missing}");
    }
}
