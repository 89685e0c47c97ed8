//! The model bundle: what `distill` writes and libbie loads. Layout and graphs: ARCHITECTURE.md.
//!
//! Every file is read once into memory and its hash checked before anything parses it: ONNX Runtime takes corrupted weights without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::decode::calibration::Calibration;
use crate::error::{Error, Result};

mod explain;

pub use explain::is_parameter;

/// Version of the bundle layout that this build reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name and version of the model, for records: "bie-default-0.1".
    pub model_id: String,
    /// "fp32" or "int8".
    pub precision: String,
    /// Longest window in tokens, `[CLS]` and `[SEP]` included.
    pub max_tokens: usize,
    /// Width of `hidden`.
    pub hidden_size: usize,
    /// Heads of `attention`.
    pub attention_heads: usize,
    /// Entity types, in the order of `entity_logits`.
    pub entities: Vec<EntityType>,
    /// Relation types, in the order of `relation_logits` (after "none").
    pub relations: Vec<RelationType>,
    /// SHA-256 (lower-case hex) of every file but the manifest and its own hash.
    pub files: BTreeMap<String, String>,
    /// Free record of how the model was made: teacher, data, licences, evaluation.
    pub provenance: serde_json::Value,
}

/// One entity type of the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityType {
    /// "Chemical".
    pub name: String,
    /// Mentions scored below are not reported.
    pub threshold: f32,
    /// The score is `sigmoid(logit(p) / temperature + bias)`; 1 and 0 leave it as it is.
    pub temperature: f32,
    /// See `temperature`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bias: f32,
    /// What other thresholds would do, ascending; empty if that was not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operating_points: Vec<OperatingPoint>,
}

impl EntityType {
    /// Scores as they are, reported from one half on.
    pub fn new(name: impl Into<String>) -> Self {
        EntityType {
            name: name.into(),
            threshold: 0.5,
            temperature: 1.0,
            bias: 0.0,
            operating_points: Vec::new(),
        }
    }

    /// What a mention's score goes through last.
    pub fn calibration(&self) -> Calibration {
        Calibration {
            temperature: self.temperature,
            bias: self.bias,
        }
    }
}

/// One relation type of the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationType {
    /// "causes".
    pub name: String,
    /// Entity types that may be the head.
    pub head: Vec<String>,
    /// Entity types that may be the tail.
    pub tail: Vec<String>,
    /// Head and tail are interchangeable.
    pub symmetric: bool,
    /// Relations scored below are not reported.
    pub threshold: f32,
    /// The score is `sigmoid(logit(p) / temperature + bias)`, p being the relation's share of the softmax; 1 and 0 leave it as it is.
    pub temperature: f32,
    /// See `temperature`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bias: f32,
    /// What other thresholds would do, ascending; empty if that was not measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operating_points: Vec<OperatingPoint>,
}

impl RelationType {
    /// Of any of the types `head` to any of `tail`; directed, scores as they are, reported from one half on.
    pub fn new<T: ToString>(name: impl Into<String>, head: &[T], tail: &[T]) -> Self {
        RelationType {
            name: name.into(),
            head: head.iter().map(T::to_string).collect(),
            tail: tail.iter().map(T::to_string).collect(),
            symmetric: false,
            threshold: 0.5,
            temperature: 1.0,
            bias: 0.0,
            operating_points: Vec::new(),
        }
    }

    /// What a relation's score goes through last.
    pub fn calibration(&self) -> Calibration {
        Calibration {
            temperature: self.temperature,
            bias: self.bias,
        }
    }
}

/// What one threshold did on an annotated corpus: a record, which decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// The threshold, a calibrated score.
    pub score: f32,
    /// `right / reported`; 1 where nothing is reported.
    pub precision: f32,
    /// `right / gold`.
    pub recall: f32,
    /// Decisions scored at least so high.
    pub reported: u32,
    /// Those of them that are gold.
    pub right: u32,
    /// Gold of the corpus, found or not.
    pub gold: u32,
}

fn is_zero(x: &f32) -> bool {
    *x == 0.0
}

/// Name of the manifest in the bundle's folder.
pub const MANIFEST: &str = "manifest.json";
/// Name of the file with the manifest's hash.
pub const MANIFEST_HASH: &str = "manifest.json.sha256";
/// Name of the tokenizer's file.
pub const TOKENIZER: &str = "tokenizer.json";
/// Name of the encoder graph's file.
pub const ENCODER: &str = "encoder.onnx";
/// Name of the relation graph's file.
pub const RELATIONS: &str = "relations.onnx";

/// Name of the explain graph's file.
pub const EXPLAIN: &str = "explain.onnx";
/// Name of the explain graph without rounded activations, which is smooth; where the bundle is not 8-bit, [`EXPLAIN`] is that.
pub const EXPLAIN_FLOAT: &str = "explain-float.onnx";

/// The longest window that a manifest may ask for.
const MOST_TOKENS: usize = 8192;

/// A bundle in memory, every hash checked.
#[derive(Debug)]
pub struct Bundle {
    /// What the bundle says of itself.
    pub manifest: Manifest,
    /// SHA-256 (lower-case hex) of `manifest.json`: it stands for the whole bundle.
    pub hash: String,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// `encoder.onnx`.
    pub encoder: Vec<u8>,
    /// `relations.onnx`, if the schema has relations.
    pub relations: Option<Vec<u8>>,
}

impl Bundle {
    /// Reads and checks the bundle in the folder `dir`.
    pub fn open(dir: &Path) -> Result<Bundle> {
        let manifest_bytes = read(dir, MANIFEST)?;
        let hash = hex_digest(&manifest_bytes);
        check_manifest_hash(&read(dir, MANIFEST_HASH)?, &hash)?;
        let manifest = parse(&manifest_bytes)?;
        manifest.validate()?;
        for (name, needed) in [
            (TOKENIZER, true),
            (ENCODER, true),
            (RELATIONS, !manifest.relations.is_empty()),
        ] {
            if needed && !manifest.files.contains_key(name) {
                return Err(malformed(MANIFEST, format!("`files` does not list {name}")));
            }
        }
        let mut files = BTreeMap::new();
        for (name, wanted) in &manifest.files {
            let bytes = read(dir, name)?;
            if hex_digest(&bytes) != *wanted {
                return Err(Error::Checksum { file: name.clone() });
            }
            if [TOKENIZER, ENCODER, RELATIONS].contains(&name.as_str()) {
                files.insert(name.clone(), bytes);
            }
        }
        let encoder = files.remove(ENCODER).unwrap_or_default();
        let relations = files
            .remove(RELATIONS)
            .filter(|_| !manifest.relations.is_empty());
        refuse_external_data(ENCODER, &encoder)?;
        refuse_external_data(RELATIONS, relations.as_deref().unwrap_or_default())?;
        Ok(Bundle {
            hash,
            tokenizer: files.remove(TOKENIZER).unwrap_or_default(),
            encoder,
            relations,
            manifest,
        })
    }

    /// Writes a bundle of `files` (name and content) to the folder `dir` and returns its hash. `manifest.files` is filled in here.
    ///
    /// The folder appears complete or not at all: everything is written and synced beside it, then renamed. A folder that is there is replaced.
    pub fn write(
        dir: &Path,
        manifest: &Manifest,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<String> {
        let mut manifest = manifest.clone();
        manifest.files = files
            .iter()
            .map(|(name, bytes)| (name.clone(), hex_digest(bytes)))
            .collect();
        manifest.validate()?;
        let mut json = serde_json::to_vec_pretty(&manifest)
            .map_err(|why| malformed(MANIFEST, why.to_string()))?;
        json.push(b'\n');
        let hash = hex_digest(&json);

        let staging = beside(dir, "tmp");
        if staging.exists() {
            fs::remove_dir_all(&staging).map_err(io("remove", &staging))?;
        }
        let hash_line = format!("{hash}  {MANIFEST}\n");
        let own = [
            (MANIFEST, json.as_slice()),
            (MANIFEST_HASH, hash_line.as_bytes()),
        ];
        let files = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        if let Err(error) = stage(&staging, files.chain(own)) {
            // It may be the room that is missing.
            let _ = fs::remove_dir_all(&staging);
            return Err(error);
        }

        if let Err(error) = Bundle::replace(&staging, dir) {
            let _ = fs::remove_dir_all(&staging);
            return Err(error);
        }
        Ok(hash)
    }

    /// Moves the folder `from`, which is on the disk, to `dir`, on the same file system. What was at `dir` is put aside until the other one
    /// stands there, and comes back if that fails; what a kill leaves, [`Bundle::tidy`] puts right.
    pub fn replace(from: &Path, dir: &Path) -> Result<()> {
        let replaced = beside(dir, "old");
        if dir.exists() {
            fs::rename(dir, &replaced).map_err(io("rename", dir))?;
        }
        if let Err(source) = fs::rename(from, dir) {
            if replaced.exists() && !dir.exists() {
                let _ = fs::rename(&replaced, dir); // put back what was there; the first failure is the one to report
            }
            return Err(io("write", dir)(source));
        }
        let parent = parent_of(dir);
        sync(parent).map_err(io("write", parent))?;
        if replaced.exists() {
            fs::remove_dir_all(&replaced).map_err(io("remove", &replaced))?;
        }
        Ok(())
    }

    /// Puts right what a killed [`Bundle::write`] to `dir` has left beside it: a bundle that was put aside comes back if none is in its place, the
    /// rest is removed. Only for one who knows that nobody writes there.
    pub fn tidy(dir: &Path) -> Result<()> {
        let folder = parent_of(dir);
        let entries = match fs::read_dir(folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io("read", folder))?,
        };
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        for entry in entries.flatten() {
            let (rest, path) = (entry.file_name(), entry.path());
            let rest = rest.to_string_lossy();
            let is = |role: &str| {
                rest.strip_prefix(&format!("{name}.{role}-"))
                    .is_some_and(|process| process.parse::<u32>().is_ok())
            };
            if is("old") && !dir.exists() {
                fs::rename(&path, dir).map_err(io("rename", &path))?;
            } else if is("old") || is("tmp") {
                fs::remove_dir_all(&path).map_err(io("remove", &path))?;
            }
        }
        Ok(())
    }
}

impl Manifest {
    /// Checks everything that can be checked without the files.
    pub fn validate(&self) -> Result<()> {
        let fault = |why: String| Err(malformed(MANIFEST, why));
        if self.schema_version != SCHEMA_VERSION {
            return Err(Error::BundleVersion {
                found: self.schema_version,
                supported: SCHEMA_VERSION,
            });
        }
        if !is_name(&self.model_id) {
            return fault("`model_id` must be 1 to 128 printable characters".into());
        }
        if !["fp32", "int8"].contains(&self.precision.as_str()) {
            return fault("`precision` must be fp32 or int8".into());
        }
        if !(3..=MOST_TOKENS).contains(&self.max_tokens) {
            return fault(format!("`max_tokens` must be from 3 to {MOST_TOKENS}"));
        }
        if self.hidden_size == 0 || self.attention_heads == 0 {
            return fault("`hidden_size` and `attention_heads` must be at least 1".into());
        }
        if self.entities.is_empty() {
            return fault("`entities` lists no type".into());
        }
        let kinds = [
            (
                "entities",
                self.entities
                    .iter()
                    .map(|kind| (&kind.name, kind.threshold, kind.calibration()))
                    .collect::<Vec<_>>(),
            ),
            (
                "relations",
                self.relations
                    .iter()
                    .map(|kind| (&kind.name, kind.threshold, kind.calibration()))
                    .collect(),
            ),
        ];
        for (list, kinds) in &kinds {
            let mut seen = BTreeSet::new();
            for (name, threshold, calibration) in kinds {
                if !is_name(name) || !seen.insert(name) {
                    return fault(format!(
                        "`{list}` holds an empty, unprintable or repeated name"
                    ));
                }
                if !(0.0..=1.0).contains(threshold) {
                    return fault(format!("`threshold` of {name} must be from 0 to 1"));
                }
                let Calibration { temperature, bias } = calibration;
                if !(temperature.is_finite() && *temperature > 0.0) {
                    return fault(format!("`temperature` of {name} must be above 0"));
                }
                if !bias.is_finite() {
                    return fault(format!("`bias` of {name} must be a number"));
                }
            }
        }
        for relation in &self.relations {
            for (side, types) in [("head", &relation.head), ("tail", &relation.tail)] {
                let known = types
                    .iter()
                    .all(|name| self.entities.iter().any(|entity| entity.name == *name));
                if types.is_empty() || !known {
                    return fault(format!(
                        "`{side}` of relation {} must list types of `entities`",
                        relation.name
                    ));
                }
            }
            let (head, tail): (BTreeSet<_>, BTreeSet<_>) = (
                relation.head.iter().collect(),
                relation.tail.iter().collect(),
            );
            if relation.symmetric && head != tail {
                return fault(format!(
                    "relation {} is symmetric, so `head` and `tail` must list the same types",
                    relation.name
                ));
            }
        }
        for (name, hash) in &self.files {
            if !is_plain_file_name(name) {
                return fault("`files` holds a name that is not a plain file name".into());
            }
            if hash.len() != 64 || !hash.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
                return fault(format!(
                    "`files` gives no SHA-256 in lower-case hex for {name}"
                ));
            }
        }
        Ok(())
    }
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>> {
    let path = dir.join(name);
    let is_file = |about: fs::Metadata| match about.is_file() {
        true => Ok(()),
        // A pipe or a device: reading might never end.
        false => Err(std::io::Error::other("it is not a file")),
    };
    fs::metadata(&path)
        .and_then(is_file)
        .and_then(|()| fs::read(&path))
        .map_err(|source| Error::Io {
            action: "read",
            path: path.display().to_string(),
            source,
        })
}

/// The version comes first: a bundle of another version may have other fields.
fn parse(manifest: &[u8]) -> Result<Manifest> {
    #[derive(Deserialize)]
    struct Version {
        schema_version: u32,
    }
    let fault = |why: serde_json::Error| malformed(MANIFEST, why.to_string());
    let version: Version = serde_json::from_slice(manifest).map_err(fault)?;
    if version.schema_version != SCHEMA_VERSION {
        return Err(Error::BundleVersion {
            found: version.schema_version,
            supported: SCHEMA_VERSION,
        });
    }
    serde_json::from_slice(manifest).map_err(fault)
}

fn check_manifest_hash(line: &[u8], hash: &str) -> Result<()> {
    let wanted = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_suffix(&format!("  {MANIFEST}\n")));
    let Some(wanted) = wanted.filter(|wanted| wanted.len() == hash.len()) else {
        return Err(malformed(
            MANIFEST_HASH,
            format!("must be one line `<SHA-256>  {MANIFEST}`"),
        ));
    };
    if wanted != hash {
        return Err(Error::Checksum {
            file: MANIFEST.into(),
        });
    }
    Ok(())
}

/// A graph must hold its weights itself: external data would be read from a path of the graph's choice.
///
/// In the protobuf encoding such a tensor has an entry whose first field (tag 0x0A) is the 8 characters `location`.
fn refuse_external_data(file: &str, graph: &[u8]) -> Result<()> {
    const ENTRY: &[u8] = b"\x0a\x08location";
    if graph.windows(ENTRY.len()).any(|window| window == ENTRY) {
        return Err(malformed(
            file,
            "refers to external data, which is not allowed".into(),
        ));
    }
    Ok(())
}

fn malformed(file: &str, why: String) -> Error {
    Error::BundleFormat {
        file: file.into(),
        why,
    }
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= 128 && !name.chars().any(char::is_control)
}

fn is_plain_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name);
    plain
        && is_name(name)
        && !name.contains(['/', '\\', ':'])
        && ![MANIFEST, MANIFEST_HASH].contains(&name)
}

/// SHA-256 in lower-case hex.
fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A sibling of `dir` that no bundle is named like.
fn beside(dir: &Path, role: &str) -> PathBuf {
    let mut name = dir
        .file_name()
        .unwrap_or(std::ffi::OsStr::new("bundle"))
        .to_os_string();
    name.push(format!(".{role}-{}", std::process::id()));
    dir.with_file_name(name)
}

fn parent_of(dir: &Path) -> &Path {
    dir.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Writes a folder of files, all of it on the disk.
fn stage<'a>(dir: &Path, files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<()> {
    fs::create_dir_all(dir).map_err(io("create", dir))?;
    for (name, bytes) in files {
        let path = dir.join(name);
        write_synced(&path, bytes).map_err(io("write", &path))?;
    }
    sync(dir).map_err(io("write", dir))
}

/// For `map_err`.
fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the entries of a folder durable.
fn sync(dir: &Path) -> std::io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            schema_version: SCHEMA_VERSION,
            model_id: "test-0".into(),
            precision: "fp32".into(),
            max_tokens: 16,
            hidden_size: 8,
            attention_heads: 2,
            entities: vec![EntityType::new("Chemical"), EntityType::new("Disease")],
            relations: vec![
                RelationType::new("causes", &["Chemical"], &["Disease"]),
                RelationType {
                    symmetric: true,
                    ..RelationType::new("interacts", &["Chemical"], &["Chemical"])
                },
            ],
            files: BTreeMap::new(),
            provenance: serde_json::json!({"seed": 1}),
        }
    }

    fn files() -> BTreeMap<String, Vec<u8>> {
        [TOKENIZER, ENCODER, RELATIONS, "README.md"]
            .iter()
            .map(|name| (name.to_string(), format!("content of {name}").into_bytes()))
            .collect()
    }

    fn written() -> (tempfile::TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("model.bundle");
        let hash = Bundle::write(&dir, &manifest(), &files()).unwrap();
        (folder, dir, hash)
    }

    /// Rewrites the manifest and its hash, as someone who forges a bundle would.
    fn forge(dir: &Path, change: impl FnOnce(&mut serde_json::Value)) {
        let mut value: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.join(MANIFEST)).unwrap()).unwrap();
        change(&mut value);
        let bytes = serde_json::to_vec(&value).unwrap();
        fs::write(
            dir.join(MANIFEST_HASH),
            format!("{}  {MANIFEST}\n", hex_digest(&bytes)),
        )
        .unwrap();
        fs::write(dir.join(MANIFEST), bytes).unwrap();
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (folder, dir, hash) = written();
        let bundle = Bundle::open(&dir).unwrap();
        assert_eq!(bundle.hash, hash);
        assert_eq!(bundle.encoder, files()[ENCODER]);
        assert_eq!(bundle.relations.as_ref(), files().get(RELATIONS));
        assert_eq!(bundle.tokenizer, files()[TOKENIZER]);
        assert_eq!(
            Manifest {
                files: BTreeMap::new(),
                ..bundle.manifest
            },
            manifest()
        );
        assert_eq!(
            Bundle::write(&dir, &manifest(), &files()).unwrap(),
            hash,
            "writing again replaces the folder"
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        let line = fs::read_to_string(dir.join(MANIFEST_HASH)).unwrap();
        assert_eq!(line, format!("{hash}  manifest.json\n"));
    }

    #[test]
    fn what_a_killed_writer_left_is_put_right() {
        let (folder, dir, hash) = written();
        let beside = |name: &str| folder.path().join(name);
        fs::rename(&dir, beside("model.bundle.old-7")).unwrap();
        for other in ["model.bundle.tmp-7", "model.bundle.tmp-mine"] {
            fs::create_dir(beside(other)).unwrap();
        }
        Bundle::tidy(&dir).unwrap();
        assert_eq!(Bundle::open(&dir).unwrap().hash, hash);
        assert!(!beside("model.bundle.tmp-7").exists());
        assert!(beside("model.bundle.tmp-mine").exists(), "not ours");
        fs::create_dir(beside("model.bundle.old-8")).unwrap();
        Bundle::tidy(&dir).unwrap();
        assert!(!beside("model.bundle.old-8").exists());
        Bundle::tidy(Path::new("no such folder/bundle")).unwrap();
    }

    #[test]
    fn every_missing_truncated_or_altered_file_is_named() {
        let names: Vec<String> = files()
            .into_keys()
            .chain([MANIFEST.into(), MANIFEST_HASH.into()])
            .collect();
        for name in names {
            let (_folder, dir, _) = written();
            let path = dir.join(&name);
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            let error = Bundle::open(&dir).unwrap_err();
            assert!(
                matches!(error, Error::Io { .. }) && error.to_string().contains(&name),
                "{error}"
            );
            for length in [0, bytes.len() / 2, bytes.len() - 1] {
                fs::write(&path, &bytes[..length]).unwrap();
                let error = Bundle::open(&dir).unwrap_err();
                assert!(
                    matches!(error, Error::Checksum { .. } | Error::BundleFormat { .. })
                        && error.to_string().contains(&name),
                    "{error}"
                );
            }
            for at in 0..bytes.len() {
                let mut altered = bytes.clone();
                altered[at] ^= 1;
                fs::write(&path, &altered).unwrap();
                match Bundle::open(&dir) {
                    Err(Error::Checksum { .. } | Error::BundleFormat { .. }) => {}
                    other => panic!("{name} byte {at}: {:?}", other.map(|bundle| bundle.hash)),
                }
            }
        }
    }

    #[test]
    fn a_forged_manifest_is_refused() {
        type Change = fn(&mut serde_json::Value);
        let changes: &[Change] = &[
            |m| m["extra"] = 1.into(),
            |m| m["model_id"] = "".into(),
            |m| m["model_id"] = "a\nb".into(),
            |m| m["precision"] = "int4".into(),
            |m| m["max_tokens"] = 2.into(),
            |m| m["max_tokens"] = 1_000_000.into(),
            |m| m["hidden_size"] = 0.into(),
            |m| m["attention_heads"] = 0.into(),
            |m| m["entities"] = serde_json::json!([]),
            |m| m["entities"][1]["name"] = "Chemical".into(),
            |m| m["entities"][0]["threshold"] = 1.5.into(),
            |m| m["entities"][0]["temperature"] = 0.into(),
            |m| m["entities"][0]["temperature"] = 1e40.into(),
            |m| m["entities"][0]["bias"] = 1e40.into(),
            |m| m["relations"][0]["bias"] = "0".into(),
            |m| m["relations"][0]["operating_points"] = serde_json::json!([{"score": 0.5}]),
            |m| m["relations"][0]["head"] = serde_json::json!(["Gene"]),
            |m| m["relations"][0]["tail"] = serde_json::json!([]),
            |m| m["relations"][0]["symmetric"] = true.into(),
            |m| m["relations"][1]["name"] = "causes".into(),
            |m| m["files"]["../evil"] = m["files"][ENCODER].clone(),
            |m| m["files"]["/etc/hostname"] = m["files"][ENCODER].clone(),
            |m| m["files"][".."] = m["files"][ENCODER].clone(),
            |m| m["files"]["a/b"] = m["files"][ENCODER].clone(),
            |m| m["files"][MANIFEST] = m["files"][ENCODER].clone(),
            |m| m["files"][ENCODER] = "00".into(),
            |m| drop(m["files"].as_object_mut().unwrap().remove(ENCODER)),
            |m| drop(m["files"].as_object_mut().unwrap().remove(RELATIONS)),
            |m| drop(m["files"].as_object_mut().unwrap().remove(TOKENIZER)),
            |m| *m = serde_json::json!([]),
        ];
        for (i, change) in changes.iter().enumerate() {
            let (_folder, dir, _) = written();
            forge(&dir, change);
            let error = Bundle::open(&dir).unwrap_err();
            assert!(
                matches!(&error, Error::BundleFormat { file, .. } if file == MANIFEST),
                "change {i}: {error}"
            );
        }
    }

    #[test]
    fn another_version_is_told_before_its_fields_are_read() {
        let (_folder, dir, _) = written();
        forge(&dir, |m| {
            *m = serde_json::json!({"schema_version": 2, "anything": "else"})
        });
        assert!(matches!(
            Bundle::open(&dir),
            Err(Error::BundleVersion {
                found: 2,
                supported: 1
            })
        ));
    }

    #[test]
    fn external_data_is_refused() {
        let (_folder, dir, _) = written();
        let mut files = files();
        files.insert(
            ENCODER.into(),
            b"\x6a\x14\x0a\x08location\x12\x08data.bin".to_vec(),
        );
        Bundle::write(&dir, &manifest(), &files).unwrap();
        assert!(
            matches!(Bundle::open(&dir), Err(Error::BundleFormat { file, .. }) if file == ENCODER)
        );
    }

    #[test]
    fn a_bad_manifest_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("b");
        let bad = Manifest {
            max_tokens: 0,
            ..manifest()
        };
        assert!(Bundle::write(&dir, &bad, &files()).is_err());
        assert!(!dir.exists());
    }
}
