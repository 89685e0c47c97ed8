//! Checkpoints: what `kill -9` leaves behind, and what a resumed run goes on from.
//!
//! A checkpoint is one safetensors file (state as JSON in its metadata) with a trailer: a mark and the SHA-256 of all bytes before
//! it. It is written beside, flushed to the disk and renamed, so a file under a checkpoint's name is whole unless the disk damaged it;
//! the trailer finds that. The two newest are kept: if the newest is damaged, the one before it serves.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;

mod format;
mod pace;
mod saver;

pub use saver::{Habit, Saver};

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

    /// One that holds its numbers.
    fn into_owned(self) -> Tensor<'static> {
        let numbers = match self.numbers {
            Numbers::F32(values) => Numbers::F32(values.into_owned().into()),
            Numbers::U32(values) => Numbers::U32(values.into_owned().into()),
        };
        let shape = self.shape;
        Tensor { shape, numbers }
    }
}

impl Numbers<'_> {
    fn len(&self) -> usize {
        match self {
            Numbers::F32(values) => values.len(),
            Numbers::U32(values) => values.len(),
        }
    }

    /// The name of safetensors.
    fn dtype(&self) -> &'static str {
        match self {
            Numbers::F32(_) => "F32",
            Numbers::U32(_) => "U32",
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
    /// Where the recipe differs from the one that it was saved by.
    pub changes: Vec<Change>,
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
        files::clear_partial(path)?;
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

    /// Removes the checkpoint of a step, if there is one.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn discard(&self, step: u64) -> Result<()> {
        for path in self.list()? {
            if step_of(&path) == Some(step) {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a checkpoint and removes all but the newest two. After this the run survives `kill -9` and power loss up to here.
    ///
    /// # Errors
    /// The operating system refuses (a full disk); checkpoints written before stay.
    pub fn save(&self, state: &State, tensors: &BTreeMap<String, Tensor>) -> Result<PathBuf> {
        let path = self.path.join(format!("step-{:09}.checkpoint", state.step));
        files::replace(&path, |file| format::write(file, state, tensors))?;
        for old in self.list()?.into_iter().skip(KEPT) {
            if let Err(e) = fs::remove_file(&old) {
                eprintln!("distill: cannot remove {}: {e}", old.display());
            }
        }
        Ok(path)
    }

    /// The newest checkpoint that is whole; none if the folder has no checkpoint.
    ///
    /// # Errors
    /// There are checkpoints but none is whole, or the newest whole one is of another recipe (the message says what differs).
    pub fn load(&self, recipe: &Value) -> Result<Option<Checkpoint>> {
        self.load_changed(recipe, &[])
    }

    /// As [`Folder::load`], where the keys of `allowed` (`training.encoder_rate`, or `training` for all of its table) may have changed since.
    ///
    /// # Errors
    /// As [`Folder::load`].
    pub fn load_changed(&self, recipe: &Value, allowed: &[String]) -> Result<Option<Checkpoint>> {
        let mut warnings = Vec::new();
        for path in self.list()? {
            match format::read(&path) {
                Ok((state, tensors)) => {
                    let mut changes = Vec::new();
                    compare("", &state.recipe, recipe, &mut changes);
                    let refused: Vec<String> = changes
                        .iter()
                        .filter(|change| !allowed.iter().any(|key| change.is_of(key)))
                        .map(Change::to_string)
                        .collect();
                    if !refused.is_empty() {
                        let what = refused.join(", ");
                        return Err(Error::file(
                            &path,
                            format!(
                                "the checkpoint is of another recipe or other files ({what}); restore them, allow a change of the recipe (--allow-changed KEY), or give another --out"
                            ),
                        ));
                    }
                    return Ok(Some(Checkpoint {
                        state,
                        tensors,
                        warnings,
                        changes,
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

/// A key of the recipe that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The key, as `training.encoder_rate`.
    pub key: String,
    /// Its value when the checkpoint was saved.
    pub from: Value,
    /// Its value now.
    pub to: Value,
}

impl Change {
    /// Whether it is of `key` or of something in it.
    fn is_of(&self, key: &str) -> bool {
        self.key
            .strip_prefix(key)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { key, from, to } = self;
        write!(f, "{key}: {from} there, {to} here")
    }
}

/// Lists where two JSON values differ.
fn compare(key: &str, then: &Value, now: &Value, changes: &mut Vec<Change>) {
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in keys {
                let inner = match key {
                    "" => name.clone(),
                    _ => format!("{key}.{name}"),
                };
                let value = |of: &Value| of.get(name).cloned().unwrap_or_default();
                compare(&inner, &value(then), &value(now), changes);
            }
        }
        _ if then != now => changes.push(Change {
            key: key.to_owned(),
            from: then.clone(),
            to: now.clone(),
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
