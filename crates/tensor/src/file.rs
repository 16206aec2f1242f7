//! Writing files so that they are never half-written.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::TensorError;

/// Writes a file aside, syncs it to disk and renames it to `path`, so that `path` holds the old or the new content,
/// whole, whatever happens in between. A symbolic link is followed. `write` gets the buffered file, at its start.
///
/// # Errors
/// What `write` returns (a [`TensorError::Stream`] gets the path added), and [`TensorError::File`] if the directory
/// does not exist, may not be written to, or `path` is something else than a regular file. `path` is then untouched
/// and nothing is left beside it.
///
/// ```
/// use std::io::Write;
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("greeting.txt");
/// bespoke_tensor::write_aside(&path, |file| Ok(file.write_all(b"hello")?))?;
/// assert_eq!(std::fs::read(&path)?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_aside(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<(), TensorError>,
) -> Result<(), TensorError> {
    let path = path.as_ref();
    let error = |reason: &str| TensorError::file(path, format!("cannot be written: {reason}"));
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.exists() && !target.is_file() {
        return Err(error("it exists and is not a regular file"));
    }
    let directory = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if target.file_name().is_none() {
        return Err(error("it does not name a file"));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".partial");
    #[cfg(unix)]
    {
        // Temporary files are private by default; what takes a user's file's place should be as readable as one.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    if !directory.is_dir() {
        return Err(error(&format!("there is no directory {}", directory.display())));
    }
    // The error's own text names the file aside, of which users know nothing.
    let aside = builder
        .tempfile_in(&directory)
        .map_err(|e| error(&format!("no file can be made in {}: {}", directory.display(), e.kind())))?;
    let mut file = BufWriter::new(aside.as_file());
    write(&mut file).map_err(|e| match e {
        TensorError::Stream(reason) => error(&reason),
        other => other,
    })?;
    file.flush().map_err(|e| error(&e.to_string()))?;
    drop(file);
    aside.as_file().sync_all().map_err(|e| error(&e.to_string()))?;
    aside.persist(&target).map_err(|e| error(&e.error.to_string()))?;
    // The rename itself lasts only once the directory is on disk; where it cannot be synced, the content still is.
    if let Ok(directory) = File::open(&directory) {
        let _ = directory.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        write_aside(&path, |f| Ok(f.write_all(b"old")?)).unwrap();
        let failed = write_aside(&path, |f| {
            f.write_all(b"half of the ne")?;
            f.flush()?;
            Err(TensorError::Stream("the pen broke".into()))
        });
        assert_eq!(
            failed.unwrap_err().to_string(),
            format!("{}: cannot be written: the pen broke", path.display())
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was left beside the file");
        write_aside(&path, |f| Ok(f.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn refuses_what_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            directory.path().to_owned(),
            directory.path().join("missing/f"),
            PathBuf::from("/"),
            PathBuf::new(),
        ] {
            let error = write_aside(&path, |_| Ok(())).unwrap_err().to_string();
            assert!(error.contains("cannot be written") && !error.contains(".partial"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn follows_links_and_respects_the_umask() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&real, b"old").unwrap();
        symlink(&real, &link).unwrap();
        write_aside(&link, |f| Ok(f.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let plain = directory.path().join("plain");
        fs::write(&plain, b"").unwrap();
        assert_eq!(fs::metadata(&real).unwrap().mode(), fs::metadata(&plain).unwrap().mode());
    }
}
