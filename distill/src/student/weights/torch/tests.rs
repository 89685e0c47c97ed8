//! Archives that PyTorch wrote (`tests/data/make_torch.py`), and such as it would not write.

use std::io::{Cursor, Write};
use std::path::Path;

use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn data(name: &str) -> Vec<u8> {
    std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/torch")
            .join(name),
    )
    .unwrap()
}

fn open(bytes: Vec<u8>) -> Result<File<Cursor<Vec<u8>>>, String> {
    File::open(Cursor::new(bytes))
}

fn values(file: &mut File<Cursor<Vec<u8>>>, name: &str) -> Vec<f32> {
    let (dtype, bytes) = file.bytes(name).unwrap();
    super::super::to_f32(dtype, &bytes).unwrap()
}

/// `data.pkl` with one tensor `t` of `shape` and `strides` (below 256) and `len` floats in storage 0.
fn pickled(shape: &[u8], strides: &[u8], len: u32) -> Vec<u8> {
    let tuple = |of: &[u8]| {
        let items = of.iter().flat_map(|n| [b'K', *n]);
        [b'(']
            .into_iter()
            .chain(items)
            .chain([b't'])
            .collect::<Vec<u8>>()
    };
    [
        b"\x80\x02}X\x01\0\0\0tctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ".as_slice(),
        &len.to_le_bytes(),
        b"tQK\0",
        &tuple(shape),
        &tuple(strides),
        b"\x89NtRs.",
    ]
    .concat()
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files {
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn error(bytes: Vec<u8>) -> String {
    open(bytes).err().expect("is refused")
}

#[test]
fn views_of_storages_are_what_pytorch_means() {
    for name in ["views.bin", "nested.bin"] {
        let mut file = open(data(name)).unwrap();
        let up_to = |n: u8| (0..n).map(f32::from).collect::<Vec<f32>>();
        for (name, shape, expected) in [
            ("whole", vec![4, 6], up_to(24)),
            (
                "transposed",
                vec![6, 4],
                (0..24).map(|i| (i % 4 * 6 + i / 4) as f32).collect(),
            ),
            ("rows", vec![2, 6], up_to(18)[6..].to_vec()),
            (
                "columns",
                vec![4, 3],
                (0..12)
                    .map(|i| (i / 3 * 6 + 1 + i % 3 * 2) as f32)
                    .collect(),
            ),
            (
                "permuted",
                vec![4, 2, 3],
                (0..24)
                    .map(|i| (i / 6 + i / 3 % 2 * 12 + i % 3 * 4) as f32)
                    .collect(),
            ),
            ("scalar", vec![], vec![7.0]),
            ("empty", vec![0, 3], vec![]),
            ("half", vec![3], vec![1.0, -2.5, 65504.0]),
            ("bfloat", vec![3], vec![1.0, -2.5, 2f32.powi(100)]),
            ("double", vec![2], vec![1.0, -2.5]),
            ("parameter", vec![1, 1], vec![3.0]),
        ] {
            assert_eq!(file.shape(name), Some(shape.as_slice()), "{name}");
            assert_eq!(values(&mut file, name), expected, "{name}");
        }
        let (dtype, bytes) = file.bytes("long").unwrap();
        assert_eq!((dtype, bytes.len()), (Dtype::I64, 32));
        assert_eq!(file.names().count(), 12);
    }
}

#[test]
fn other_formats_are_refused_with_what_to_do() {
    let why = error(data("legacy.bin"));
    assert!(
        why.contains("before 1.6") && why.contains("torch.save(torch.load("),
        "{why}"
    );
    assert!(error(b"version https\n".to_vec()).contains("git lfs pull"));
    assert!(error(Vec::new()).contains("not a zip archive"));
    assert!(error(b"PK\x03\x04".to_vec()).contains("whole zip"));
    assert!(error(archive(&[("model.json", b"{}")])).contains("no data.pkl"));
    let pickle = pickled(&[2], &[1], 2);
    let big = archive(&[
        ("data.pkl", &pickle),
        ("byteorder", b"big"),
        ("data/0", &[0; 8]),
    ]);
    assert!(error(big).contains("big-endian"));
}

#[test]
fn storages_must_hold_what_tensors_claim() {
    let small = |shape: &[u8], strides: &[u8], len, bytes: usize| {
        open(archive(&[
            ("data.pkl", &pickled(shape, strides, len)),
            ("data/0", &vec![0; bytes]),
        ]))
        .and_then(|mut file| file.bytes("t"))
    };
    assert_eq!(small(&[2, 3], &[3, 1], 6, 24).unwrap().1.len(), 24);
    for (shape, strides) in [
        (&[2, 4][..], &[3, 1][..]),
        (&[7], &[1]),
        (&[2, 3], &[4, 1]),
        (&[200, 200], &[0, 0]),
        (&[255; 8], &[0; 8]),
        (&[255; 8], &[255; 8]),
    ] {
        let why = small(shape, strides, 6, 24).unwrap_err();
        assert!(why.contains("storage of 6"), "{why}");
    }
    assert!(small(&[0], &[1], 0, 0).unwrap().1.is_empty());
    for bytes in [0, 23, 25] {
        assert!(
            small(&[6], &[1], 6, bytes)
                .unwrap_err()
                .contains("not 6 x F32")
        );
    }
    // Nothing is allocated for what is only claimed.
    let huge = small(&[6], &[1], i32::MAX as u32, 24).unwrap_err();
    assert!(huge.contains("not 2147483647 x F32"), "{huge}");
    let lost = open(archive(&[("data.pkl", &pickled(&[1], &[1], 1))]))
        .unwrap()
        .bytes("t");
    assert!(lost.unwrap_err().contains("lacks the storage data/0"));
}

/// What no writer of ours makes: fields of an entry's two headers changed.
#[test]
fn bombs_and_damage_are_refused() {
    let good = archive(&[("data.pkl", &pickled(&[2], &[1], 2)), ("data/0", &[7; 8])]);
    let heads = |bytes: &[u8]| {
        let name = b"archive/data/0";
        let found: Vec<usize> = (0..bytes.len() - name.len())
            .filter(|&at| bytes[at..].starts_with(name))
            .collect();
        (found[0] - 30, found[1] - 46)
    };
    let (local, central) = heads(&good);
    let changed = |offset: usize, value: &[u8]| {
        let mut bytes = good.clone();
        bytes[local + offset..][..value.len()].copy_from_slice(value);
        bytes[central + offset + 2..][..value.len()].copy_from_slice(value);
        open(bytes).and_then(|mut file| file.bytes("t"))
    };
    assert!(changed(8, &[8, 0]).unwrap_err().contains("is compressed"));
    let claims = u32::MAX - 1;
    let sizes = [claims.to_le_bytes(), claims.to_le_bytes()].concat();
    let why = changed(18, &sizes).unwrap_err();
    assert!(why.contains("more than it may have"), "{why}");
    assert!(changed(14, &[1, 2, 3, 4]).is_err(), "the CRC is checked");
    for end in 0..good.len() {
        assert!(
            error(good[..end].to_vec()).contains("zip archive"),
            "cut at {end}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn mutated_archives_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), directory: bool) {
        let mut bytes = data("views.bin");
        // Half of the time what says how to read the rest: the pickle or the directory at the end.
        let from = if directory { bytes.len() - 1200 } else { 0 };
        for (at, byte) in changes {
            let n = bytes.len() - from;
            bytes[from + at.index(n)] = byte;
        }
        if let Ok(mut file) = open(bytes) {
            let names: Vec<String> = file.names().map(str::to_owned).collect();
            for name in names {
                if let Ok((_, bytes)) = file.bytes(&name) {
                    prop_assert!(bytes.len() < 4096);
                }
            }
        }
    }
}
