//! Event files, read by a reader that shares nothing with the writer.

use bespoke_nn::{Epochs, TensorBoard};

use crate::common::{ones, scripted};

/// CRC-32C of Castagnoli's polynomial, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// The next bytes, that many.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (first, rest) = bytes.split_at(count);
    *bytes = rest;
    first
}

fn checked<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let data = take(bytes, count);
    let crc = crc32c(data);
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(take(bytes, 4), masked.to_le_bytes());
    data
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The fields of a protocol buffer's message, by number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = vec![];
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length))
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()))),
            kind => panic!("there is no wire type {kind}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// Step, tag and value of each scalar of a file, in order.
fn scalars(mut file: &[u8]) -> Vec<(u64, String, f32)> {
    let mut scalars = vec![];
    let mut first = true;
    while !file.is_empty() {
        let length = u64::from_le_bytes(checked(&mut file, 8).try_into().unwrap());
        let event = fields(checked(&mut file, length as usize));
        let number = |of: u64| {
            event.iter().find_map(|f| match f {
                (n, Field::Number(v)) if *n == of => Some(*v),
                _ => None,
            })
        };
        let bytes = |of: u64, all: &[(u64, Field<'_>)]| {
            all.iter().find_map(|f| match f {
                (n, Field::Bytes(v)) if *n == of => Some(v.to_vec()),
                _ => None,
            })
        };
        let time = f64::from_bits(number(1).unwrap());
        assert!(time > 1.7e9 && time < 1e11, "{time} seconds since 1970");
        if std::mem::take(&mut first) {
            assert_eq!(bytes(3, &event).unwrap(), b"brain.Event:2");
            continue;
        }
        let summary = bytes(5, &event).unwrap();
        let value = bytes(1, &fields(&summary)).unwrap();
        let value = fields(&value);
        let tag = String::from_utf8(bytes(1, &value).unwrap()).unwrap();
        let Some((_, Field::Number(bits))) = value.iter().find(|f| f.0 == 2) else {
            panic!("no simple_value")
        };
        scalars.push((number(2).unwrap(), tag, f32::from_bits(*bits as u32)));
    }
    scalars
}

#[test]
fn the_polynomial_is_castagnolis() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn event_files_hold_what_was_measured() {
    let directory = tempfile::tempdir().unwrap();
    // Where a file can be looked at with other programs.
    let folder = std::env::var_os("BESPOKE_EVENTS").map_or(directory.path().join("logs/run"), Into::into);
    let trainer = scripted(&[0.5, 0.25, 2.0]).callback(TensorBoard::new(&folder));
    let mut training = trainer.compile().unwrap();
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    };
    training.fit(&ones(), &ones(), Epochs(2)).unwrap();
    let first = files();
    assert_eq!(first.len(), 1);
    assert!(first[0].file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    let expected = |epoch: u64, figure: f32| {
        let w = epoch as f32;
        let values = [
            ("step/loss", 1.0 - w),
            ("learning_rate", 1.0),
            ("train/loss", 1.0 - w),
            ("train/figure", figure),
            ("held_out/loss", -w),
            ("held_out/figure", figure),
        ];
        values.map(|(tag, value)| (epoch, tag.to_owned(), value))
    };
    let read = |path| scalars(&std::fs::read(path).unwrap());
    assert_eq!(read(&first[0]), [expected(1, 0.5), expected(2, 0.25)].concat());
    // Another call is another file; the first stays.
    training.fit(&ones(), &ones(), Epochs(1)).unwrap();
    let both = files();
    assert_eq!(both.len(), 2);
    assert_eq!(read(&both[0]), [expected(1, 0.5), expected(2, 0.25)].concat());
    assert_eq!(read(&both[1]), expected(3, 2.0));
}
