//! Reading and writing numpy's `.npy` and `.npz` files.
//!
//! All seven element types are read (in either byte order, row- or column-major) and written (little-endian,
//! row-major): `<f4 <f8 <i4 <i8 |u1 <u4 |b1`. A file is never trusted: what its header claims is compared with what
//! it has before memory is taken.
//!
//! ```
//! use bespoke_tensor::{Tensor, npy};
//!
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("x.npy");
//! let x = Tensor::from_vec([2, 2], vec![1.0f32, 2.0, 3.0, 4.0])?;
//! npy::write_npy(&path, &x)?;
//! assert_eq!(npy::read_npy(&path)?, x);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    fs::File,
    io::{BufReader, Read, Write},
    path::Path,
};

use npyz::{Endianness, NpyHeader, Order, TypeChar, WriterBuilder};

pub use crate::npz::{read_npz, read_npz_from, write_npz, write_npz_to};
use crate::{DType, Shape, Tensor, TensorError, Type, write_aside};

/// The longest header accepted, in bytes; numpy has the same bound.
const MAX_HEADER: usize = 10_000;

/// Reads a `.npy` file.
///
/// # Errors
/// [`TensorError::File`] if it cannot be read, is not a `.npy` file, has an element type or rank without a
/// counterpart here, ends early, or goes on after the array.
pub fn read_npy(path: impl AsRef<Path>) -> Result<Tensor, TensorError> {
    let path = path.as_ref();
    let read = || {
        let file = File::open(path)?;
        let size = file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
        let mut file = BufReader::new(file);
        let tensor = read_limited(&mut file, size)?;
        expect_end(&mut file, tensor.ty())?;
        Ok(tensor)
    };
    read().map_err(|e: TensorError| TensorError::file(path, e))
}

/// Reads an array in `.npy` format from a stream and leaves the stream after it.
///
/// # Errors
/// [`TensorError::Stream`], for the reasons of [`read_npy`].
///
/// ```
/// use bespoke_tensor::{Tensor, npy};
///
/// let mut bytes = vec![];
/// npy::write_npy_to(&mut bytes, &Tensor::scalar(7i64))?;
/// assert_eq!(npy::read_npy_from(&bytes[..])?, Tensor::scalar(7i64));
/// assert!(npy::read_npy_from(&bytes[..bytes.len() - 1]).is_err());
/// # Ok::<(), bespoke_tensor::TensorError>(())
/// ```
pub fn read_npy_from(reader: impl Read) -> Result<Tensor, TensorError> {
    read_limited(reader, None)
}

/// Writes a `.npy` file. It is written aside and renamed, so never half-written.
///
/// # Errors
/// [`TensorError::File`] if it cannot be written.
pub fn write_npy(path: impl AsRef<Path>, tensor: &Tensor) -> Result<(), TensorError> {
    write_aside(path, |file| write_npy_to(file, tensor))
}

/// Writes an array in `.npy` format to a stream.
///
/// # Errors
/// [`TensorError::Stream`] if the stream refuses.
pub fn write_npy_to(mut writer: impl Write, tensor: &Tensor) -> Result<(), TensorError> {
    let name = match tensor.dtype() {
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U32 => "<u4",
        DType::Bool => "|b1",
    };
    let dtype = npyz::DType::new_scalar(name.parse().expect("a type string of numpy"));
    let shape: Vec<u64> = tensor.shape().iter().map(|&d| d as u64).collect();
    npyz::WriteOptions::new_header_only()
        .dtype(dtype)
        .shape(&shape)
        .writer(&mut writer)
        .write_header_only()?;
    writer.write_all(tensor.bytes())?;
    writer.flush()?;
    Ok(())
}

/// Refuses anything that follows an array of type `ty`.
pub(crate) fn expect_end(reader: &mut impl Read, ty: Type) -> Result<(), TensorError> {
    match std::io::copy(&mut reader.take(1 << 16), &mut std::io::sink())? {
        0 => Ok(()),
        more => Err(TensorError::Stream(format!(
            "expected the end after the {} bytes of {ty}, got {} more bytes",
            ty.bytes(),
            if more == 1 << 16 { "65536 or".to_owned() } else { more.to_string() }
        ))),
    }
}

/// Reads header and elements. If the `size` of the whole stream is known, too little is noticed before memory is taken
/// for the elements; else memory grows with what comes.
fn read_limited(mut reader: impl Read, size: Option<u64>) -> Result<Tensor, TensorError> {
    let (header, header_bytes) = read_header(&mut reader)?;
    let (dtype, swap) = element_type(&header)?;
    let dims: Vec<usize> = header.shape().iter().map(|&d| d as usize).collect(); // bounded by `screen`
    let ty = Type { dtype, shape: Shape::new(&dims)? };
    let truncated = |got: u64| {
        TensorError::Stream(format!("truncated: {ty} needs {} bytes after the header, got {got}", ty.bytes()))
    };
    let mut tensor;
    if let Some(size) = size {
        let available = size.saturating_sub(header_bytes as u64);
        if available < ty.bytes() as u64 {
            return Err(truncated(available));
        }
        tensor = Tensor::zeros(ty);
        reader.read_exact(tensor.bytes_mut())?;
    } else {
        let mut bytes = vec![];
        reader.take(ty.bytes() as u64).read_to_end(&mut bytes)?;
        if bytes.len() < ty.bytes() {
            return Err(truncated(bytes.len() as u64));
        }
        tensor = Tensor::zeros(ty);
        tensor.bytes_mut().copy_from_slice(&bytes);
    }
    if swap {
        tensor.bytes_mut().chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    if dtype == DType::Bool
        && let Some(i) = tensor.bytes().iter().position(|&b| b > 1)
    {
        return Err(TensorError::Stream(format!(
            "element {i} of {ty} is the byte {}; a bool is 0 or 1",
            tensor.bytes()[i]
        )));
    }
    Ok(if header.order() == Order::Fortran { from_column_major(&tensor) } else { tensor })
}

/// The element type, and whether its bytes are in the other order than ours.
fn element_type(header: &NpyHeader) -> Result<(DType, bool), TensorError> {
    let refuse = |got: String| {
        TensorError::Stream(format!("elements of type {got}; expected f32, f64, i32, i64, u8, u32 or bool"))
    };
    let npyz::DType::Plain(plain) = header.dtype() else {
        return Err(refuse(header.dtype().descr()));
    };
    let dtype = match (plain.type_char(), plain.size_field()) {
        (TypeChar::Float, 4) => DType::F32,
        (TypeChar::Float, 8) => DType::F64,
        (TypeChar::Int, 4) => DType::I32,
        (TypeChar::Int, 8) => DType::I64,
        (TypeChar::Uint, 1) => DType::U8,
        (TypeChar::Uint, 4) => DType::U32,
        (TypeChar::Bool, 1) => DType::Bool,
        _ => return Err(refuse(format!("'{plain}'"))),
    };
    Ok((dtype, plain.endianness() == Endianness::Big && dtype.size() > 1))
}

/// Reads the header, and says how many bytes it has.
fn read_header(reader: &mut impl Read) -> Result<(NpyHeader, usize), TensorError> {
    let bad = |reason: String| TensorError::Stream(format!("not a .npy array: {reason}"));
    let mut bytes = vec![0; 8];
    read_whole(reader, &mut bytes).map_err(|e| bad(format!("no magic string: {e}")))?;
    if bytes[..6] != *b"\x93NUMPY" {
        return Err(bad(format!(
            "expected it to begin with \"\\x93NUMPY\", got \"{}\"",
            bytes[..6].escape_ascii()
        )));
    }
    let width = match (bytes[6], bytes[7]) {
        (1, 0) => 2,
        (2 | 3, 0) => 4,
        (major, minor) => {
            return Err(bad(format!("expected format version 1.0, 2.0 or 3.0, got {major}.{minor}")));
        }
    };
    let mut length = [0; 4];
    read_whole(reader, &mut length[..width]).map_err(|e| bad(format!("no header: {e}")))?;
    bytes.extend_from_slice(&length[..width]);
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER {
        return Err(bad(format!("a header of {length} bytes; at most {MAX_HEADER} are accepted")));
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    read_whole(reader, &mut bytes[start..]).map_err(|e| bad(format!("no whole header: {e}")))?;
    screen(&bytes[start..]).map_err(|e| bad(format!("{e} in the header `{}`", excerpt(&bytes[start..]))))?;
    let header = NpyHeader::from_reader(&bytes[..]).map_err(|e| {
        bad(format!("{} in the header `{}`", one_line(&e.to_string()), excerpt(&bytes[start..])))
    })?;
    Ok((header, bytes.len()))
}

/// As `read_exact`, but says how much there was.
fn read_whole(reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), String> {
    let mut got = 0;
    while got < bytes.len() {
        match reader.read(&mut bytes[got..]) {
            Ok(0) => return Err(format!("truncated: expected {} bytes, got {got}", bytes.len())),
            Ok(n) => got += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(())
}

/// Lets through only what numpy writes for plain arrays and records. The parser behind takes all Python literals,
/// recurses over their nesting and multiplies the shape unchecked, so none but harmless headers may reach it.
fn screen(header: &[u8]) -> Result<(), String> {
    let (mut depth, mut elements, mut quote, mut i) = (0usize, 1usize, None, 0);
    while i < header.len() {
        let c = header[i];
        i += 1;
        match c {
            _ if !c.is_ascii() || c == b'\\' => return Err(format!("unexpected byte {c:#04x}")),
            _ if quote.is_some() => quote = quote.filter(|&q| q != c),
            b'\'' | b'"' => quote = Some(c),
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > 4 {
                    return Err("more than four nested brackets".to_owned());
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' | b' ' | b'\n' => {}
            _ => {
                let start = i - 1;
                while i < header.len() && (header[i].is_ascii_alphanumeric() || header[i] == b'_') {
                    i += 1;
                }
                let word = std::str::from_utf8(&header[start..i]).expect("ASCII");
                if word.bytes().all(|b| b.is_ascii_digit()) {
                    elements = word
                        .parse::<usize>()
                        .ok()
                        .and_then(|d| elements.checked_mul(d.max(1)))
                        .filter(|&e| e <= isize::MAX as usize / 16)
                        .ok_or("too many elements")?;
                } else if word != "True" && word != "False" {
                    return Err(format!("unexpected `{word}`"));
                }
            }
        }
    }
    if quote.is_some() { Err("a string that does not end".to_owned()) } else { Ok(()) }
}

fn excerpt(header: &[u8]) -> String {
    let text = header.trim_ascii();
    format!("{}{}", text[..text.len().min(120)].escape_ascii(), if text.len() > 120 { "…" } else { "" })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The row-major tensor of a column-major one's storage.
fn from_column_major(stored: &Tensor) -> Tensor {
    let ty = stored.ty();
    let (rank, size) = (ty.rank(), ty.dtype.size());
    let mut stride = vec![size; rank];
    for axis in 1..rank {
        stride[axis] = stride[axis - 1] * ty.shape[axis - 1];
    }
    let mut tensor = Tensor::zeros(ty);
    let (mut index, mut at) = (vec![0; rank], 0);
    for element in tensor.bytes_mut().chunks_exact_mut(size) {
        element.copy_from_slice(&stored.bytes()[at..at + size]);
        for axis in (0..rank).rev() {
            index[axis] += 1;
            at += stride[axis];
            if index[axis] < ty.shape[axis] {
                break;
            }
            at -= stride[axis] * ty.shape[axis];
            index[axis] = 0;
        }
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scalar;

    fn bytes_of(tensor: &Tensor) -> Vec<u8> {
        let mut bytes = vec![];
        write_npy_to(&mut bytes, tensor).unwrap();
        bytes
    }

    /// A version 1.0 file of this header and body.
    fn file(header: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(body);
        bytes
    }

    fn plain(descr: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
    }

    fn error_of(bytes: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broken.npy");
        std::fs::write(&path, bytes).unwrap();
        let from_path = read_npy(&path).expect_err("a broken file was read").to_string();
        assert!(from_path.contains("broken.npy: "), "the path is missing in: {from_path}");
        from_path
    }

    #[test]
    fn all_types_and_ranks_round_trip() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.npy");
        for dtype in DType::ALL {
            for dims in [&[][..], &[0], &[1], &[5], &[2, 0, 3], &[3, 4], &[1, 2, 1, 2, 1, 2, 1, 2]] {
                let ty = Type { dtype, shape: Shape::new(dims).unwrap() };
                let tensor = Tensor::from_fn(ty, |i| {
                    Scalar::from_bits(dtype, (i as u64).wrapping_mul(0x9e3779b97f4a7c15))
                });
                write_npy(&path, &tensor).unwrap();
                assert_eq!(read_npy(&path).unwrap(), tensor, "{ty}");
                assert_eq!(read_npy_from(&bytes_of(&tensor)[..]).unwrap(), tensor, "{ty}");
            }
        }
    }

    #[test]
    fn elements_are_aligned_as_the_format_wants() {
        assert_eq!((bytes_of(&Tensor::full([3], 1u8)).len() - 3) % 64, 0);
    }

    #[test]
    fn arrays_in_one_stream() {
        let (a, b) = (Tensor::full([3], 1u8), Tensor::scalar(2.5f64));
        let stream = [bytes_of(&a), bytes_of(&b)].concat();
        let mut reader = &stream[..];
        assert_eq!(read_npy_from(&mut reader).unwrap(), a);
        assert_eq!(read_npy_from(&mut reader).unwrap(), b);
        assert!(
            error_of(&stream).contains("expected the end after the 3 bytes of u8[3]"),
            "{}",
            error_of(&stream)
        );
    }

    #[test]
    fn every_truncation_is_an_error() {
        let whole = bytes_of(&Tensor::full([2, 3], 1.5f32));
        for length in 0..whole.len() {
            let error = error_of(&whole[..length]);
            assert!(error.contains("truncated"), "{length} of {} bytes: {error}", whole.len());
            read_npy_from(&whole[..length]).expect_err("a truncated stream was read");
        }
    }

    #[test]
    fn no_flipped_byte_panics() {
        let whole = bytes_of(&Tensor::full([2, 3], 1.5f32));
        for position in 0..whole.len() {
            for value in 0..=255u8 {
                let mut flipped = whole.clone();
                flipped[position] = value;
                let _ = read_npy_from(&flipped[..]);
            }
        }
    }

    #[test]
    fn immense_claims_are_errors_before_memory_is_taken() {
        for shape in ["(1000000000000000000,)", "(4000000000,)", "(100000, 100000, 10)"] {
            let error = error_of(&file(&plain("<f4", shape), b"1234"));
            assert!(error.contains("truncated") || error.contains("too many elements"), "{shape}: {error}");
            read_npy_from(&file(&plain("<f4", shape), b"1234")[..]).expect_err(shape);
        }
        for shape in
            ["(18446744073709551615, 2)", "(0, 9223372036854775807, 4)", "(99999999999999999999999,)"]
        {
            let error = error_of(&file(&plain("<f4", shape), b""));
            assert!(error.contains("too many elements"), "{shape}: {error}");
        }
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert!(error_of(&long).contains("a header of 4294967295 bytes"), "{}", error_of(&long));
    }

    #[test]
    fn garbage_is_named() {
        let cases: [(Vec<u8>, &str); 14] = [
            (b"hello, world".to_vec(), "expected it to begin with"),
            (b"\x93NUMPY\x09\x00  ".to_vec(), "got 9.0"),
            (file("", b""), "not a .npy array"),
            (file("nonsense", b""), "unexpected `nonsense`"),
            (file("{'descr': '<f4'}\n", b""), "missing key 'fortran_order'"),
            (file(&plain("<f4", "(2, -3)"), b""), "unexpected `"),
            (file(&plain("<f4", "(0x2,)"), b""), "unexpected `0x2`"),
            (file(&plain("<f4", "7"), b""), "shape must be list or tuple"),
            (file(&plain("<f4", &format!("{}1,{}", "(".repeat(900), ")".repeat(900))), b""), "nested"),
            (file(&plain("\\777", "(1,)"), b""), "unexpected byte 0x5c"),
            (file(&plain("<f4", "(1,1,1,1,1,1,1,1,1)"), &[0; 4]), "rank 9"),
            (file(&plain("|b1", "(3,)"), &[1, 0, 2]), "element 2 of bool[3] is the byte 2"),
            (file(&plain("<c8", "(1,)"), &[0; 8]), "'<c8'"),
            (file(&plain("|S3", "(1,)"), &[0; 3]), "'|S3'"),
        ];
        for (bytes, reason) in cases {
            let error = error_of(&bytes);
            assert!(error.contains(reason), "expected `{reason}` in: {error}");
            assert!(!error.contains('\n'), "more than one line: {error}");
        }
    }

    #[test]
    fn missing_files_are_named() {
        for error in [read_npy("no/such.npy").unwrap_err(), read_npz("no/such.npy").unwrap_err()] {
            assert!(error.to_string().starts_with("no/such.npy: No such file"), "{error}");
        }
        assert!(read_npy("/").is_err());
    }

    #[test]
    fn archives_round_trip() {
        let tensors =
            [Tensor::scalar(1i64), Tensor::full([2, 2], true), Tensor::zeros(Type::new(DType::F32, [0, 4]))];
        let named = [("a", &tensors[0]), ("dense0/weight", &tensors[1]), ("ünïcode", &tensors[2])];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.npz");
        write_npz(&path, &named).unwrap();
        let read = read_npz(&path).unwrap();
        assert_eq!(read.iter().map(|(n, t)| (n.as_str(), t)).collect::<Vec<_>>(), named);
        let first = std::fs::read(&path).unwrap();
        write_npz(&path, &named).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first, "equal arrays gave different archives");
        write_npz(&path, &[]).unwrap();
        assert_eq!(read_npz(&path).unwrap(), []);
        let twice = write_npz(&path, &[named[0], named[0]]).unwrap_err().to_string();
        assert!(twice.contains("x.npz") && twice.contains("array `a`"), "{twice}");
        assert_eq!(read_npz(&path).unwrap(), [], "a failed write changed the file");
    }
}
