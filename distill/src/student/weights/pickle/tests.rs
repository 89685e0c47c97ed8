//! Pickles by hand and by chance; those of PyTorch itself are in `torch/tests.rs`.

use proptest::prelude::*;

use super::*;

/// A state dict of protocol 2 with one tensor `t` `[2, 3]` of 6 floats, and `insert` before its end.
fn pickle(insert: &[u8]) -> Vec<u8> {
    let mut p = b"\x80\x02}(X\x01\0\0\0tctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x06tQK\0K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtRu".to_vec();
    p.extend(insert);
    p.push(b'.');
    p
}

fn error(pickle: &[u8]) -> String {
    state_dict(pickle).unwrap_err()
}

#[test]
fn a_state_dict_is_read() {
    let found = state_dict(&pickle(b"")).unwrap();
    let storage = Storage {
        key: "0".into(),
        dtype: Dtype::F32,
        len: 6,
    };
    let tensor = Tensor {
        storage,
        offset: 0,
        shape: vec![2, 3],
        strides: vec![3, 1],
    };
    assert_eq!(found, BTreeMap::from([("t".to_owned(), tensor)]));
    // What an OrderedDict carries besides its items is passed over.
    assert_eq!(state_dict(&pickle(b"}X\x01\0\0\0aNsb")).unwrap(), found);
}

/// The usual ways in which a pickle runs code, and stranger ones.
#[test]
fn every_other_global_is_refused_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch.storage", "_load_from_bytes"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_tensor"),
        ("collections", "namedtuple"),
    ] {
        let why = error(&pickle(
            format!("c{module}\n{name}\nX\x02\0\0\0ls\u{85}R").as_bytes(),
        ));
        assert!(
            why.contains(&format!("{module}.{name}")) && why.contains("nothing was executed"),
            "{why}"
        );
        let by_stack = [
            b"\x8c".as_slice(),
            &[module.len() as u8],
            module.as_bytes(),
            b"\x8c",
            &[name.len() as u8],
            name.as_bytes(),
            b"\x93",
        ]
        .concat();
        assert!(error(&pickle(&by_stack)).contains(&format!("{module}.{name}")));
    }
    let why = error(b"\x80\x02c\x1b[2Jos\nx\n.");
    assert!(!why.contains('\x1b'), "no control characters: {why:?}");
    // INST, OBJ, NEWOBJ, EXT1 and REDUCE of what is no global.
    for code in [b"(ios\nsystem\n".as_slice(), b"(o", b"))\x81", b"\x82\x01"] {
        assert!(error(&pickle(code)).contains("which no state dict needs"));
    }
    assert!(error(&pickle(b"K\x01)R")).contains("damaged"));
}

#[test]
fn what_is_no_state_dict_is_said_to_be_none() {
    for other in [b"\x80\x02}.".as_slice(), b"\x80\x02K\x01.", b"\x80\x02]."] {
        assert!(error(other).contains("no dict of tensors"), "{other:?}");
    }
    let whole = pickle(b"");
    for end in 0..whole.len() {
        assert!(error(&whole[..end]).contains("damaged"), "cut at {end}");
    }
}

/// A list and a dict that hold themselves, and nesting without end, are no recursion for a machine that does not walk.
#[test]
fn pickles_that_hold_themselves_end() {
    assert!(error(b"\x80\x02]q\0h\0a.").contains("no dict of tensors"));
    assert!(error(b"\x80\x02}q\0X\x05\0\0\0modelh\0s.").contains("no dict of tensors"));
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(vec![b']'; 500_000]);
    deep.extend(vec![b'a'; 499_999]);
    deep.push(b'.');
    assert!(error(&deep).contains("no dict of tensors"));
}

/// A name of a kilobyte costs three bytes each time that it is used again.
#[test]
fn what_could_multiply_is_bounded() {
    let mut p = b"\x80\x02(".to_vec();
    p.extend([b'K', 1].repeat(100));
    p.extend(b"tq\x01");
    let axes = [p, pickle(b"")[2..].to_vec()].concat();
    assert!(state_dict(&axes).is_ok());
    let many = pickle(b"").iter().map(|b| *b as char).collect::<String>();
    let many = many.replacen(
        "K\u{2}K\u{3}\u{86}",
        "(K\u{1}K\u{1}K\u{1}K\u{1}K\u{1}K\u{1}K\u{1}K\u{1}K\u{1}t",
        1,
    );
    let many: Vec<u8> = many.chars().map(|c| c as u8).collect();
    assert!(error(&many).contains("9 axes"));
    let long = vec![b'n'; LONGEST_NAME + 1];
    let named = [
        b"\x80\x02}(X".as_slice(),
        &(long.len() as u32).to_le_bytes(),
        &long,
        &pickle(b"")[10..],
    ]
    .concat();
    assert!(error(&named).contains("name has 513 bytes"));
    assert!(error(&pickle(b"\x8a\x09aaaaaaaaa")).contains("64 bits"));
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(state_dict(&bytes).is_err());
    }

    /// Instructions in random order are worse than random bytes.
    #[test]
    fn random_programs_end(codes in proptest::collection::vec(
        prop_oneof![
            Just(b"(".to_vec()), Just(b")".to_vec()), Just(b"]".to_vec()), Just(b"}".to_vec()), Just(b"t".to_vec()),
            Just(b"a".to_vec()), Just(b"e".to_vec()), Just(b"s".to_vec()), Just(b"u".to_vec()), Just(b"b".to_vec()),
            Just(b"Q".to_vec()), Just(b"R".to_vec()), Just(b"N".to_vec()), Just(b"\x86".to_vec()), Just(b"\x93".to_vec()),
            Just(b"\x94".to_vec()), Just(b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec()),
            Just(b"ctorch\nHalfStorage\n".to_vec()), Just(b"X\x07\0\0\0storage".to_vec()),
            any::<u8>().prop_map(|n| vec![b'K', n]), (0u8..9).prop_map(|n| vec![b'h', n]), (0u8..9).prop_map(|n| vec![b'q', n]),
        ], 0..200)) {
        let mut program = codes.concat();
        program.push(b'.');
        let _ = state_dict(&program);
    }

    #[test]
    fn mutated_pickles_never_panic(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let mut bytes = pickle(b"");
        let n = bytes.len();
        bytes[at % n] = byte;
        let _ = state_dict(&bytes);
        bytes.remove(cut % n);
        let _ = state_dict(&bytes);
    }
}
