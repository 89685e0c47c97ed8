//! What a killed run leaves behind: one line of JSON for each piece of work that is done.
//!
//! The first line says what the run is; another run does not go on with it. A last line without its end is what `kill -9` cut off: it is
//! done again. Only the user who runs `distill` can read the file: it may say what texts hold.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// Between two flushes to the disk: what a power cut may cost. (`kill -9` costs the line under way.)
const SYNC: Duration = Duration::from_secs(10);

/// The open file; nobody else writes to it meanwhile.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    synced: Instant,
}

impl Journal {
    /// Opens or begins the journal of the run that `identity` describes, and reads what was done before.
    ///
    /// # Errors
    /// It is another run's, another process writes to it, a line is damaged, or the operating system refuses.
    pub fn open<T: DeserializeOwned>(path: &Path, identity: &Value) -> Result<(Journal, Vec<T>)> {
        let mut file = private()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(Error::io("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::file(
                    path,
                    "another distill is writing here; wait for it, or give another --out",
                ));
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", path)(source)),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .map_err(Error::io("read", path))?;
        let whole = text
            .iter()
            .rposition(|c| *c == b'\n')
            .map_or(0, |at| at + 1);
        file.set_len(whole as u64)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(Error::io("write", path))?;
        let mut journal = Journal {
            path: path.to_owned(),
            file,
            synced: Instant::now(),
        };
        text.truncate(whole);
        let mut lines = text.split(|c| *c == b'\n').enumerate();
        let damaged = |line: usize| {
            Error::line(
                path,
                line + 1,
                "the line is damaged; remove the file to begin anew",
            )
        };
        match lines.next().filter(|(_, line)| !line.is_empty()) {
            None => journal.append(identity)?,
            Some((number, line)) => {
                let found: Value = serde_json::from_slice(line).map_err(|_| damaged(number))?;
                if found != *identity {
                    return Err(Error::file(
                        path,
                        format!(
                            "it holds another run ({}); give another --out, or remove it",
                            difference(&found, identity)
                        ),
                    ));
                }
            }
        }
        let mut records = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            records.push(serde_json::from_slice(line).map_err(|_| damaged(number))?);
        }
        Ok((journal, records))
    }

    /// Adds a line. It is in the operating system's hands afterwards, and on the disk within seconds of further lines.
    ///
    /// # Errors
    /// The operating system refuses (a full disk).
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record)
            .map_err(|why| Error::Training(format!("a record cannot be written: {why}")))?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(Error::io("write", &self.path))?;
        if self.synced.elapsed() >= SYNC {
            self.sync()?;
        }
        Ok(())
    }

    /// Puts everything on the disk.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn sync(&mut self) -> Result<()> {
        self.synced = Instant::now();
        self.file
            .sync_data()
            .map_err(Error::io("write", &self.path))
    }
}

/// Options that open files which only their owner may read.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The first key in which two identities differ.
fn difference(found: &Value, wanted: &Value) -> String {
    let keys = wanted.as_object().into_iter().flatten();
    keys.filter(|(key, value)| found.get(key) != Some(value))
        .map(|(key, value)| match found.get(key) {
            Some(other) => format!("{key} is {other} there, {value} here"),
            None => format!("{key} is not stated there"),
        })
        .next()
        .unwrap_or_else(|| "it states more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_appended_is_read_back_and_a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let identity = json!({"model": "a", "seed": 1});
        let (mut journal, records) = Journal::open::<u32>(&path, &identity).unwrap();
        assert!(records.is_empty());
        journal.append(&7).unwrap();
        journal.append(&8).unwrap();
        let busy = Journal::open::<u32>(&path, &identity).unwrap_err();
        assert!(busy.to_string().contains("another distill"), "{busy}");
        drop(journal);

        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, records) = Journal::open::<u32>(&path, &identity).unwrap();
            let ends = whole[..cut].iter().filter(|c| **c == b'\n').count();
            assert_eq!(records, [7, 8][..ends.saturating_sub(1)], "cut at {cut}");
            journal.append(&9).unwrap();
            drop(journal);
            let (_, records) = Journal::open::<u32>(&path, &identity).unwrap();
            assert_eq!(records.last(), Some(&9));
        }
    }

    #[test]
    fn another_run_and_a_damaged_line_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let (mut journal, _) = Journal::open::<u32>(&path, &json!({"seed": 1})).unwrap();
        journal.append(&7).unwrap();
        drop(journal);
        let other = Journal::open::<u32>(&path, &json!({"seed": 2})).unwrap_err();
        assert!(
            other.to_string().contains("seed is 1 there, 2 here"),
            "{other}"
        );
        std::fs::write(&path, "{\"seed\":1}\n7\nx\n8\n").unwrap();
        let damaged = Journal::open::<u32>(&path, &json!({"seed": 1})).unwrap_err();
        assert!(
            damaged.to_string().contains("journal.jsonl:3:"),
            "{damaged}"
        );
    }
}
