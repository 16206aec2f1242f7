//! Reading and writing `.npz` archives: zip files of `.npy` files.

use std::{
    fs::File,
    io::{BufReader, Read, Seek, Write},
    path::Path,
};

use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::{
    Tensor, TensorError,
    npy::{expect_end, read_npy_from, write_npy_to},
    write_aside,
};

/// Reads all arrays of a `.npz` file, stored or deflated, with their names in the archive's order.
///
/// # Errors
/// [`TensorError::File`] if it cannot be read, is not a zip archive, or a member is not a whole array.
///
/// ```
/// use bespoke_tensor::{Tensor, npy};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("model.npz");
/// let (w, b) = (Tensor::full([2, 3], 0.5f32), Tensor::scalar(1i32));
/// npy::write_npz(&path, &[("dense0/weight", &w), ("bias", &b)])?;
/// assert_eq!(npy::read_npz(&path)?, [("dense0/weight".to_owned(), w), ("bias".to_owned(), b)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_npz(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor)>, TensorError> {
    let path = path.as_ref();
    File::open(path)
        .map_err(TensorError::from)
        .and_then(|file| read_npz_from(BufReader::new(file)))
        .map_err(|e| TensorError::file(path, e))
}

/// Reads all arrays of an archive in `.npz` format.
///
/// # Errors
/// [`TensorError::Stream`], for the reasons of [`read_npz`].
pub fn read_npz_from(reader: impl Read + Seek) -> Result<Vec<(String, Tensor)>, TensorError> {
    let mut archive =
        ZipArchive::new(reader).map_err(|e| TensorError::Stream(format!("not a .npz archive: {e}")))?;
    let mut tensors = vec![];
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).map_err(|e| TensorError::Stream(format!("member {i}: {e}")))?;
        let member_name =
            member.name().map_err(|e| TensorError::Stream(format!("member {i}: {e}")))?.into_owned();
        let Some(name) = member_name.strip_suffix(".npy") else {
            return Err(TensorError::Stream(format!(
                "member `{member_name}`: expected a name that ends in .npy"
            )));
        };
        let tensor = read_npy_from(&mut member).and_then(|t| {
            expect_end(&mut member, t.ty())?; // reading to the end also verifies the checksum
            Ok(t)
        });
        tensors.push((
            name.to_owned(),
            tensor.map_err(|e| TensorError::Stream(format!("member `{member_name}`: {e}")))?,
        ));
    }
    Ok(tensors)
}

/// Writes a `.npz` file of the named arrays, uncompressed and with fixed time stamps, so that equal arrays give equal
/// files. It is written aside and renamed, so never half-written.
///
/// # Errors
/// [`TensorError::File`] if it cannot be written or a name occurs twice.
pub fn write_npz(path: impl AsRef<Path>, tensors: &[(&str, &Tensor)]) -> Result<(), TensorError> {
    write_aside(path, |file| write_npz_to(file, tensors))
}

/// Writes the named arrays in `.npz` format to a stream.
///
/// # Errors
/// [`TensorError::Stream`] if the stream refuses or a name occurs twice.
pub fn write_npz_to(writer: impl Write + Seek, tensors: &[(&str, &Tensor)]) -> Result<(), TensorError> {
    let mut archive = ZipWriter::new(writer);
    for (name, tensor) in tensors {
        let error = |e: &dyn std::fmt::Display| TensorError::Stream(format!("array `{name}`: {e}"));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(zip::DateTime::default())
            .large_file(tensor.ty().bytes() >= u32::MAX as usize - (1 << 16)); // the header counts too
        archive.start_file(format!("{name}.npy"), options).map_err(|e| error(&e))?;
        write_npy_to(&mut archive, tensor).map_err(|e| error(&e))?;
    }
    archive.finish().map_err(|e| TensorError::Stream(e.to_string()))?.flush()?;
    Ok(())
}
