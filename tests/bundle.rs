//! What a damaged or ill-fitting bundle does to `Engine::open`: its documented error, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bie::bundle::{Bundle, ENCODER, EntityType, Manifest, RELATIONS, TOKENIZER};
use bie::{Engine, Error, Options};

/// A copy of the tiny bundle that a test may spoil.
struct Copy {
    dir: PathBuf,
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
    _folder: tempfile::TempDir,
}

impl Copy {
    fn new() -> Self {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny.bundle");
        let bundle = Bundle::open(&tiny).unwrap();
        let files = bundle
            .manifest
            .files
            .keys()
            .map(|name| (name.clone(), std::fs::read(tiny.join(name)).unwrap()))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        Copy {
            dir: folder.path().join("copy.bundle"),
            manifest: bundle.manifest,
            files,
            _folder: folder,
        }
    }

    /// Writes it with honest hashes and opens it.
    fn open(&self) -> Result<Engine, Error> {
        Bundle::write(&self.dir, &self.manifest, &self.files).unwrap();
        Engine::open(&self.dir, &Options::new())
    }
}

#[test]
fn an_honest_copy_opens_and_reads() {
    let engine = Copy::new().open().unwrap();
    assert_eq!(
        engine
            .extract("aspirin", &Options::new())
            .unwrap()
            .entities
            .len(),
        1
    );
    assert_eq!(engine.bundle_hash().len(), 64);
    assert_eq!(engine.manifest().model_id, "mini");
}

#[test]
fn a_missing_or_altered_file_is_named() {
    let copy = Copy::new();
    copy.open().unwrap();
    let names: Vec<String> = copy
        .files
        .keys()
        .cloned()
        .chain(["manifest.json".into(), "manifest.json.sha256".into()])
        .collect();
    for name in names {
        let path = copy.dir.join(&name);
        let good = std::fs::read(&path).unwrap();
        for bad in [&good[..good.len() / 2], &[&good[..], b"x"].concat(), b""] {
            std::fs::write(&path, bad).unwrap();
            let error = Engine::open(&copy.dir, &Options::new()).unwrap_err();
            assert!(
                matches!(error, Error::Checksum { .. } | Error::BundleFormat { .. })
                    && error.to_string().contains(&name),
                "{error}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        let error = Engine::open(&copy.dir, &Options::new()).unwrap_err();
        assert!(
            matches!(error, Error::Io { .. }) && error.to_string().contains(&name),
            "{error}"
        );
        std::fs::write(&path, good).unwrap();
    }
    let error = Engine::open(Path::new("/nonexistent/bundle"), &Options::new()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_graph_that_does_not_fit_the_manifest_is_refused() {
    type Change = fn(&mut Copy);
    let changes: &[(&str, Change)] = &[
        (ENCODER, |copy| {
            copy.manifest.entities.push(EntityType::new("Gene"))
        }),
        (ENCODER, |copy| copy.manifest.hidden_size = 9),
        (ENCODER, |copy| copy.manifest.attention_heads = 3),
        (ENCODER, |copy| copy.manifest.max_tokens = 129), // more than there are positions
        (RELATIONS, |copy| drop(copy.manifest.relations.pop())),
        (ENCODER, |copy| {
            drop(
                copy.files
                    .insert(ENCODER.into(), copy.files[RELATIONS].clone()),
            )
        }),
        (RELATIONS, |copy| {
            drop(
                copy.files
                    .insert(RELATIONS.into(), copy.files[ENCODER].clone()),
            )
        }),
        (ENCODER, |copy| {
            // A word that the embeddings do not know.
            let mut tokenizer: serde_json::Value =
                serde_json::from_slice(&copy.files[TOKENIZER]).unwrap();
            let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
            vocab.insert("zebra".into(), vocab.len().into());
            copy.files
                .insert(TOKENIZER.into(), serde_json::to_vec(&tokenizer).unwrap());
        }),
    ];
    for (i, (file, change)) in changes.iter().enumerate() {
        let mut copy = Copy::new();
        change(&mut copy);
        let error = copy.open().unwrap_err();
        assert!(
            matches!(&error, Error::ModelShape { file: named, .. } if named == file),
            "change {i}: {error}"
        );
    }
}

#[test]
fn a_file_of_the_wrong_kind_is_refused() {
    for name in [ENCODER, RELATIONS] {
        for junk in [&b""[..], b"not a graph", &[0x08; 100]] {
            let mut copy = Copy::new();
            copy.files.insert(name.into(), junk.to_vec());
            let error = copy.open().unwrap_err();
            assert!(
                matches!(&error, Error::BundleFormat { file, .. } if file == name),
                "{error}"
            );
        }
    }
    let mut copy = Copy::new();
    copy.files.insert(TOKENIZER.into(), b"{}".to_vec());
    assert!(matches!(copy.open().unwrap_err(), Error::Tokenizer(_)));
}

#[test]
fn a_schema_without_relations_needs_no_relation_graph() {
    let mut copy = Copy::new();
    copy.manifest.relations.clear();
    copy.files.remove(RELATIONS);
    let result = copy
        .open()
        .unwrap()
        .extract("aspirin causes nausea", &Options::new())
        .unwrap();
    assert_eq!((result.entities.len(), result.relations.len()), (2, 0));
}
