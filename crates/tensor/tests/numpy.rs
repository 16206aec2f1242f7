//! Files that numpy wrote are read, and those it cannot mean here are refused.

use std::path::PathBuf;

use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type, npy};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/numpy").join(name)
}

fn grid(dtype: DType) -> Tensor {
    Tensor::from_fn(Type::new(dtype, [2, 3, 4]), |i| Scalar::I64(i as i64))
}

#[test]
fn every_element_type() {
    for dtype in DType::ALL {
        let expected = match dtype {
            DType::Bool => Tensor::from_fn(Type::new(dtype, [2, 3, 4]), |i| Scalar::Bool(i % 3 == 0)),
            _ => grid(dtype),
        };
        assert_eq!(npy::read_npy(path(&format!("{dtype}.npy"))).unwrap(), expected, "{dtype}");
    }
}

#[test]
fn we_write_the_same_elements_as_numpy() {
    let directory = tempfile::tempdir().unwrap();
    for dtype in DType::ALL {
        let theirs = path(&format!("{dtype}.npy"));
        let tensor = npy::read_npy(&theirs).unwrap();
        let ours = directory.path().join("ours.npy");
        npy::write_npy(&ours, &tensor).unwrap();
        let (ours, theirs) = (std::fs::read(ours).unwrap(), std::fs::read(theirs).unwrap());
        // The texts of the headers differ in blanks only.
        let squeeze = |bytes: &[u8]| {
            let end = bytes.iter().position(|&b| b == b'\n').unwrap();
            let text: String = String::from_utf8_lossy(&bytes[10..end]).split_whitespace().collect();
            (text.replace(",)", ")"), bytes[end + 1..].to_vec())
        };
        assert_eq!(squeeze(&ours), squeeze(&theirs), "{dtype}");
    }
}

#[test]
fn column_major_and_big_endian() {
    assert_eq!(npy::read_npy(path("column_major.npy")).unwrap(), grid(DType::F32));
    assert_eq!(npy::read_npy(path("big_endian.npy")).unwrap(), grid(DType::F64));
}

#[test]
fn rank_zero_and_no_elements() {
    assert_eq!(npy::read_npy(path("rank0.npy")).unwrap(), Tensor::scalar(-0.0f32));
    let empty = npy::read_npy(path("empty.npy")).unwrap();
    assert_eq!((empty.dtype(), empty.shape()), (DType::I32, Shape::from([3, 0, 2])));
}

#[test]
fn archives_stored_and_deflated() {
    let expected = [
        ("w/x".to_owned(), Tensor::from_fn(Type::new(DType::F32, [2, 3]), |i| Scalar::F32(i as f32))),
        ("b".to_owned(), Tensor::from_vec([2], vec![true, false]).unwrap()),
    ];
    for name in ["stored.npz", "deflated.npz"] {
        assert_eq!(npy::read_npz(path(name)).unwrap(), expected, "{name}");
    }
}

#[test]
fn foreign_element_types_are_named() {
    for (name, got) in [("f16.npy", "'<f2'"), ("record.npy", "[('a', '<f4')"), ("object.npy", "'|O'")] {
        let error = npy::read_npy(path(name)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(got) && error.contains("expected f32"), "{error}");
    }
}

#[test]
fn broken_archives_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.npz");
    for name in ["stored.npz", "deflated.npz"] {
        let whole = std::fs::read(path(name)).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&broken, &whole[..length]).unwrap();
            let error = npy::read_npz(&broken).expect_err("a truncated archive was read").to_string();
            assert!(error.contains("broken.npz"), "{error}");
        }
        for position in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[position] ^= 0x55;
            // Time stamps and attributes may change without harm; none may panic.
            let _ = npy::read_npz_from(std::io::Cursor::new(flipped));
        }
    }
}
