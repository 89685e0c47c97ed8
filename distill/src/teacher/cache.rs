//! What an encoder teacher answered, kept on the disk: one file an answer, named by a hash of all that the answer depends on.
//!
//! Values are 16-bit floats (IEEE 754 binary16), and training reads them as such whether they were computed now or before: a run with a full
//! cache, an empty one or none at all has the same bits. A file is written beside, then renamed, and carries a checksum: what a killed run or a
//! failing disk leaves half-written is not found, or computed anew.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use half::slice::HalfFloatSliceExt;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The name of an answer: a hash of what it depends on.
#[derive(Clone)]
pub struct Key(Sha256);

impl Key {
    /// A key of answers of one kind.
    pub fn new(kind: &str) -> Key {
        Key(Sha256::new()).text(kind)
    }

    /// Adds a text.
    pub fn text(self, text: &str) -> Key {
        self.numbers(text.bytes().map(u64::from))
    }

    /// Adds a list of numbers; where it ends is part of the key.
    pub fn numbers(mut self, numbers: impl IntoIterator<Item = u64>) -> Key {
        let mut count = 0u64;
        for n in numbers {
            self.0.update(n.to_le_bytes());
            count += 1;
        }
        self.0.update(count.to_le_bytes());
        self
    }
}

/// A folder of answers.
pub struct Cache {
    folder: PathBuf,
    /// Bytes in it, and how many there may be.
    size: u64,
    most: u64,
    /// Whether a failure to write was told.
    told: bool,
}

/// Bytes of a checksum.
const CHECKSUM: usize = 32;

/// Begins the names of files that are being written.
const TEMPORARY: &str = ".tmp";

impl Cache {
    /// Opens (or makes) a folder that may grow to `most` bytes, and removes what a killed run left half-written.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn open(folder: &Path, most: u64) -> Result<Cache> {
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let mut size = 0;
        let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                fs::remove_file(entry.path()).map_err(Error::io("remove", &entry.path()))?;
            } else {
                size += entry.metadata().map_or(0, |m| m.len());
            }
        }
        Ok(Cache {
            folder: folder.to_owned(),
            size,
            most,
            told: false,
        })
    }

    /// Whether an answer is there, sound or not.
    pub fn holds(&self, key: &Key) -> bool {
        self.path(key).exists()
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(hex(&key.0.clone().finalize()))
    }

    /// The answer of `length` values under `key`: from the disk if it is there and sound, else computed and kept.
    ///
    /// # Errors
    /// As `compute`. A disk that cannot be written costs time, not the training: that is said once.
    pub fn get(
        &mut self,
        key: &Key,
        length: usize,
        compute: impl FnOnce() -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let path = self.path(key);
        if let Some(values) = read(&path, length) {
            return Ok(values);
        }
        let halves: Vec<f16> = compute()?.into_iter().map(f16::from_f32).collect();
        let size = (2 * halves.len() + CHECKSUM) as u64;
        if self.size + size <= self.most {
            match write(&path, &halves) {
                Ok(()) => self.size += size,
                Err(source) if !self.told => {
                    self.told = true;
                    eprintln!(
                        "distill: {}; its answers are computed anew every time",
                        Error::io("write the teacher's answer to", &path)(source)
                    );
                }
                Err(_) => {}
            }
        }
        Ok(floats(&halves))
    }
}

fn floats(halves: &[f16]) -> Vec<f32> {
    let mut floats = vec![0.0; halves.len()];
    halves.convert_to_f32_slice(&mut floats);
    floats
}

fn read(path: &Path, length: usize) -> Option<Vec<f32>> {
    let bytes = fs::read(path).ok()?;
    let (values, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    let sound = values.len() == 2 * length && Sha256::digest(values).as_slice() == checksum;
    let halves = values.as_chunks::<2>().0.iter();
    let halves: Vec<f16> = halves.map(|b| f16::from_le_bytes(*b)).collect();
    sound.then(|| floats(&halves))
}

fn write(path: &Path, halves: &[f16]) -> std::io::Result<()> {
    let mut bytes: Vec<u8> = halves.iter().flat_map(|h| h.to_le_bytes()).collect();
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!("{TEMPORARY}-{}-{name}", std::process::id()));
    let written = fs::write(&beside, &bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside); // what failed is reported; this is only tidying
    }
    written
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        Key::new("test").numbers([n])
    }

    /// What `get` gives for key `n`, and whether it had to compute.
    fn ask(cache: &mut Cache, n: u64, values: &[f32]) -> (Vec<f32>, bool) {
        let mut computed = false;
        let found = cache.get(&key(n), values.len(), || {
            computed = true;
            Ok(values.to_vec())
        });
        (found.unwrap(), computed)
    }

    #[test]
    fn an_answer_is_computed_once_and_is_the_same_bits_fresh_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let values = [0.1, -3.7e-6, 65504.0, 1.0 / 3.0];
        let mut cache = Cache::open(folder.path(), 1 << 20).unwrap();
        let (fresh, computed) = ask(&mut cache, 1, &values);
        assert!(computed && fresh != values && (fresh[0] - 0.1).abs() < 1e-4);
        let mut again = Cache::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(ask(&mut again, 1, &values), (fresh.clone(), false));
        assert_eq!(again.size, cache.size);
        assert!(ask(&mut again, 2, &values).1, "another key");
        let none = tempfile::tempdir().unwrap();
        let mut full = Cache::open(none.path(), 39).unwrap();
        assert_eq!(ask(&mut full, 1, &values), (fresh, true));
        assert!(ask(&mut full, 1, &values).1, "there was no room to keep it");
    }

    #[test]
    fn what_is_damaged_or_half_written_is_computed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(folder.path(), 1 << 20).unwrap();
        ask(&mut cache, 1, &[1.0, 2.0]);
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap();
        let file = file.unwrap().path();
        let sound = fs::read(&file).unwrap();
        for damaged in [
            &sound[..sound.len() - 1],
            &[],
            &[&[9u8][..], &sound[1..]].concat(),
        ] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(ask(&mut cache, 1, &[1.0, 2.0]), (vec![1.0, 2.0], true));
            assert_eq!(fs::read(&file).unwrap(), sound);
        }
        fs::write(folder.path().join(".tmp-1-ab"), "half").unwrap();
        Cache::open(folder.path(), 0).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn keys_depend_on_where_lists_end() {
        let of = |key: Key| hex(&key.0.finalize());
        let (a, b) = (Key::new("k").numbers([1, 2]).numbers([3]), Key::new("k"));
        assert_ne!(of(a), of(b.numbers([1]).numbers([2, 3])));
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_no_training() {
        let folder = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(&folder.path().join("cache"), 1 << 20).unwrap();
        fs::remove_dir(folder.path().join("cache")).unwrap();
        assert_eq!(ask(&mut cache, 1, &[1.0]), (vec![1.0], true));
        assert!(cache.told);
    }
}
