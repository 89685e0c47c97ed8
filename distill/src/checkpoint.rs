//! Checkpoints: what `kill -9` leaves behind, and what a resumed run goes on from.
//!
//! A checkpoint is one safetensors file (state as JSON in its metadata) with a trailer: a mark and the SHA-256 of all bytes before
//! it. It is written beside, flushed to the disk and renamed, so a file under a checkpoint's name is whole unless the disk damaged it;
//! the trailer finds that. The two newest are kept: if the newest is damaged, the one before it serves.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Version of the format; another one is refused.
const VERSION: u32 = 1;

/// Begins the trailer.
const MAGIC: &[u8; 8] = b"bieckpt1";

/// Bytes of the trailer.
const TRAILER: usize = MAGIC.len() + 32;

/// How many checkpoints are kept.
const KEPT: usize = 2;

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// The epoch under way, from 0.
    pub epoch: u64,
    /// Batches of that epoch done.
    pub batch: u64,
    /// Position in the stream of random numbers, for consumers that do not derive theirs from seed and step.
    pub random: u64,
    /// [`crate::recipe::Recipe::identity`] of the run.
    pub recipe: Value,
    /// Whatever else the run wants back (the curve of the loss).
    pub extra: Value,
}

/// A tensor's numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers<'a> {
    /// 32-bit floats.
    F32(Cow<'a, [f32]>),
    /// 32-bit counts.
    U32(Cow<'a, [u32]>),
}

/// One tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// Shape, row-major.
    pub shape: Vec<usize>,
    /// Values.
    pub numbers: Numbers<'a>,
}

impl<'a> Tensor<'a> {
    /// Floats that stay with the caller.
    pub fn floats(shape: &[usize], values: &'a [f32]) -> Tensor<'a> {
        Tensor {
            shape: shape.to_vec(),
            numbers: Numbers::F32(Cow::Borrowed(values)),
        }
    }

    /// Counts that stay with the caller, as a vector.
    pub fn counts(values: &'a [u32]) -> Tensor<'a> {
        Tensor {
            shape: vec![values.len()],
            numbers: Numbers::U32(Cow::Borrowed(values)),
        }
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.numbers {
            Numbers::F32(_) => Dtype::F32,
            Numbers::U32(_) => Dtype::U32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match &self.numbers {
            Numbers::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Numbers::U32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        4 * match &self.numbers {
            Numbers::F32(values) => values.len(),
            Numbers::U32(values) => values.len(),
        }
    }
}

/// A checkpoint that was read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run stood.
    pub state: State,
    /// Its tensors by name.
    pub tensors: BTreeMap<String, Tensor<'static>>,
    /// What was wrong with newer checkpoints, if any was passed over.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// Takes a tensor of floats out.
    ///
    /// # Errors
    /// There is none of this name and length.
    pub fn floats(&mut self, name: &str, len: usize) -> Result<Vec<f32>> {
        match self.tensors.remove(name) {
            Some(Tensor {
                numbers: Numbers::F32(values),
                ..
            }) if values.len() == len => Ok(values.into_owned()),
            _ => Err(misfit(name)),
        }
    }

    /// Takes a tensor of counts out.
    ///
    /// # Errors
    /// There is none of this name and length.
    pub fn counts(&mut self, name: &str, len: usize) -> Result<Vec<u32>> {
        match self.tensors.remove(name) {
            Some(Tensor {
                numbers: Numbers::U32(values),
                ..
            }) if values.len() == len => Ok(values.into_owned()),
            _ => Err(misfit(name)),
        }
    }
}

fn misfit(name: &str) -> Error {
    Error::Training(format!(
        "the checkpoint's tensor {name} does not fit the student; the base model changed since, start afresh"
    ))
}

/// A folder of checkpoints that belongs to this process while it lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Holds the lock; the operating system lets go of it however the process ends.
    _lock: File,
}

impl Folder {
    /// Opens (or makes) the folder and locks it.
    ///
    /// # Errors
    /// Another process holds it, or the operating system refuses.
    pub fn open(path: &Path) -> Result<Folder> {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock_path)
            .map_err(Error::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::file(
                    path,
                    "another distill is training into this folder; wait for it, or give another --out",
                ));
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &lock_path)(source)),
        }
        // What a killed run left half-written.
        for entry in fs::read_dir(path)
            .map_err(Error::io("read", path))?
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(".tmp") {
                fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
            }
        }
        Ok(Folder {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The checkpoints' files, newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.path).map_err(Error::io("read", &self.path))?;
        let mut files: Vec<(u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| Some((step_of(&entry.path())?, entry.path())))
            .collect();
        files.sort();
        Ok(files.into_iter().rev().map(|(_, path)| path).collect())
    }

    /// Writes a checkpoint and removes all but the newest two. After this the run survives `kill -9` and power loss up to here.
    ///
    /// # Errors
    /// The operating system refuses (a full disk); checkpoints written before stay.
    pub fn save(&self, state: &State, tensors: &BTreeMap<String, Tensor>) -> Result<PathBuf> {
        let path = self.path.join(format!("step-{:09}.checkpoint", state.step));
        let partial = self.path.join(".tmp-checkpoint");
        let metadata = HashMap::from([
            ("version".to_owned(), VERSION.to_string()),
            ("state".to_owned(), serde_json::json!(state).to_string()),
        ]);
        safetensors::serialize_to_file(tensors, Some(metadata), &partial).map_err(|e| {
            Error::file(
                &path,
                format!("cannot write the checkpoint: {e}; is the disk full?"),
            )
        })?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&partial)
            .map_err(Error::io("open", &partial))?;
        let hash = hash_of(&mut file).map_err(Error::io("read", &partial))?;
        file.write_all(MAGIC)
            .and_then(|()| file.write_all(&hash))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", &partial))?;
        fs::rename(&partial, &path).map_err(Error::io("rename", &partial))?;
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(Error::io("flush", &self.path))?;
        for old in self.list()?.into_iter().skip(KEPT) {
            fs::remove_file(&old).map_err(Error::io("remove", &old))?;
        }
        Ok(path)
    }

    /// The newest checkpoint that is whole; none if the folder has no checkpoint.
    ///
    /// # Errors
    /// There are checkpoints but none is whole, or the newest whole one is of another recipe (the message says what differs).
    pub fn load(&self, recipe: &Value) -> Result<Option<Checkpoint>> {
        let mut warnings = Vec::new();
        for path in self.list()? {
            match read(&path) {
                Ok((state, tensors)) => {
                    let mut differences = Vec::new();
                    compare("", &state.recipe, recipe, &mut differences);
                    if !differences.is_empty() {
                        let what = differences.join(", ");
                        return Err(Error::file(
                            &path,
                            format!(
                                "the checkpoint is of another recipe ({what}); restore the recipe, or give another --out"
                            ),
                        ));
                    }
                    return Ok(Some(Checkpoint {
                        state,
                        tensors,
                        warnings,
                    }));
                }
                Err(error) => warnings.push(format!("{error}; trying the one before it")),
            }
        }
        match warnings.is_empty() {
            true => Ok(None),
            false => Err(Error::file(
                &self.path,
                "no checkpoint is whole; remove the folder and start afresh",
            )),
        }
    }
}

fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?
        .to_str()?
        .strip_prefix("step-")?
        .strip_suffix(".checkpoint")?
        .parse()
        .ok()
}

fn hash_of(file: &mut File) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

fn read(path: &Path) -> Result<(State, BTreeMap<String, Tensor<'static>>)> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let whole = bytes
        .split_last_chunk::<TRAILER>()
        .and_then(|(body, trailer)| Some((body, trailer.strip_prefix(MAGIC.as_slice())?)));
    let Some((body, hash)) = whole else {
        return Err(Error::file(path, "the checkpoint is truncated"));
    };
    if Sha256::digest(body).as_slice() != hash {
        return Err(Error::file(
            path,
            "the checkpoint is altered: its SHA-256 differs",
        ));
    }
    parse(body).map_err(|why| Error::file(path, why))
}

fn parse(body: &[u8]) -> std::result::Result<(State, BTreeMap<String, Tensor<'static>>), String> {
    let (_, header) = SafeTensors::read_metadata(body)
        .map_err(|e| format!("the checkpoint's header is malformed ({e})"))?;
    let field = |name: &str| {
        header
            .metadata()
            .as_ref()
            .and_then(|m| m.get(name))
            .map(String::as_str)
    };
    if field("version") != Some(VERSION.to_string().as_str()) {
        return Err(format!(
            "the checkpoint was written by another version of distill (format {})",
            field("version").unwrap_or("unknown")
        ));
    }
    let state = serde_json::from_str(field("state").unwrap_or_default())
        .map_err(|e| format!("the checkpoint's state is malformed ({e})"))?;
    let contents = SafeTensors::deserialize(body)
        .map_err(|e| format!("the checkpoint's tensors are malformed ({e})"))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in contents.iter() {
        let words = || view.data().as_chunks::<4>().0.iter().copied();
        let numbers = match view.dtype() {
            Dtype::F32 => Numbers::F32(words().map(f32::from_le_bytes).collect()),
            Dtype::U32 => Numbers::U32(words().map(u32::from_le_bytes).collect()),
            other => {
                return Err(format!(
                    "the checkpoint's tensor {name} has the unknown type {other:?}"
                ));
            }
        };
        tensors.insert(
            name.to_owned(),
            Tensor {
                shape: view.shape().to_vec(),
                numbers,
            },
        );
    }
    Ok((state, tensors))
}

/// Lists where two JSON values differ: `key: then -> now`.
fn compare(key: &str, then: &Value, now: &Value, differences: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in keys {
                let inner = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                compare(
                    &inner,
                    a.get(name).unwrap_or(&Value::Null),
                    b.get(name).unwrap_or(&Value::Null),
                    differences,
                );
            }
        }
        _ if then != now => differences.push(format!("{key}: {then} there, {now} here")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(step: u64) -> State {
        State {
            step,
            epoch: 1,
            batch: 3,
            random: 0,
            recipe: json!({"seed": 1, "training": {"epochs": 2}}),
            extra: json!({"losses": [0.5, 0.25]}),
        }
    }

    fn tensors(first: f32) -> BTreeMap<String, Tensor<'static>> {
        let values = vec![first, -0.0, f32::MIN_POSITIVE, 3.25e38f32, 1.0, 2.0];
        BTreeMap::from([
            (
                "w".to_owned(),
                Tensor {
                    shape: vec![2, 3],
                    numbers: Numbers::F32(values.into()),
                },
            ),
            (
                "steps.w".to_owned(),
                Tensor {
                    shape: vec![2],
                    numbers: Numbers::U32(vec![7, u32::MAX].into()),
                },
            ),
        ])
    }

    #[test]
    fn what_was_saved_comes_back_and_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Folder::open(folder.path()).unwrap();
        assert_eq!(checkpoints.load(&state(0).recipe).unwrap(), None);
        for step in [5, 10, 1_000_000_000, 20] {
            checkpoints
                .save(&state(step), &tensors(step as f32))
                .unwrap();
        }
        let mut found = checkpoints.load(&state(0).recipe).unwrap().unwrap();
        assert_eq!(found.state, state(1_000_000_000));
        assert_eq!(found.tensors, tensors(1e9));
        assert_eq!(found.floats("w", 6).unwrap()[5], 2.0);
        assert!(found.floats("w", 6).is_err(), "taken out");
        assert!(found.counts("steps.w", 3).is_err());
        assert_eq!(checkpoints.list().unwrap().len(), 2);
    }

    #[test]
    fn a_damaged_newest_is_passed_over_with_a_message() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Folder::open(folder.path()).unwrap();
        checkpoints.save(&state(1), &tensors(1.0)).unwrap();
        let newest = checkpoints.save(&state(2), &tensors(2.0)).unwrap();
        let whole = fs::read(&newest).unwrap();
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&newest, &whole[..cut]).unwrap();
            let found = checkpoints.load(&state(0).recipe).unwrap().unwrap();
            assert_eq!(
                (found.state.step, found.warnings.len()),
                (1, 1),
                "cut at {cut}"
            );
            assert!(
                found.warnings[0]
                    .contains("step-000000002.checkpoint: the checkpoint is truncated"),
                "{:?}",
                found.warnings
            );
        }
        for at in (0..whole.len()).step_by(7) {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            fs::write(&newest, &altered).unwrap();
            assert_eq!(
                checkpoints
                    .load(&state(0).recipe)
                    .unwrap()
                    .unwrap()
                    .state
                    .step,
                1,
                "altered at {at}"
            );
        }
        fs::write(folder.path().join("step-000000001.checkpoint"), b"").unwrap();
        assert!(
            checkpoints
                .load(&state(0).recipe)
                .unwrap_err()
                .to_string()
                .contains("no checkpoint is whole")
        );
    }

    #[test]
    fn another_recipe_is_refused_with_what_differs() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Folder::open(folder.path()).unwrap();
        checkpoints.save(&state(1), &tensors(1.0)).unwrap();
        let error = checkpoints
            .load(&json!({"seed": 1, "training": {"epochs": 3}}))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("step-000000001.checkpoint")
                && error.contains("training.epochs: 2 there, 3 here"),
            "{error}"
        );
    }

    #[test]
    fn a_second_trainer_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path()).unwrap();
        assert!(
            Folder::open(folder.path())
                .unwrap_err()
                .to_string()
                .contains("another distill is training")
        );
        drop(first);
        Folder::open(folder.path()).unwrap();
    }

    #[test]
    fn leftovers_of_a_killed_run_are_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".tmpXYZ"), b"half").unwrap();
        fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
        let checkpoints = Folder::open(folder.path()).unwrap();
        assert!(
            !folder.path().join(".tmpXYZ").exists() && folder.path().join("notes.txt").exists()
        );
        assert_eq!(checkpoints.list().unwrap(), Vec::<PathBuf>::new());
    }
}
