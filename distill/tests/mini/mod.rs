//! A folder with the mini recipe and all that it reads, which a test may spoil, and the real `distill` on it.
#![allow(dead_code)] // each test program uses its part

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// `tests/data`.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The program (or another one that `BIE_DISTILL` names), with nothing on its standard input.
pub fn distill() -> Command {
    let program = std::env::var_os("BIE_DISTILL");
    let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_distill").into()));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What it said on stderr, after checking its exit code.
pub fn stderr(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}: {text}",
        output.status
    );
    text
}

/// A copy of the mini recipe with its data.
pub struct Mini(tempfile::TempDir);

impl Mini {
    pub fn new() -> Mini {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tiny-bert")).unwrap();
        for file in [
            "mini.toml",
            "mini.pubtator",
            "mini-odd.pubtator",
            "mini-eval.pubtator",
            "mini-teacher.jsonl",
            "tiny-bert/config.json",
            "tiny-bert/vocab.txt",
            "tiny-bert/model.safetensors",
        ] {
            std::fs::copy(data().join(file), folder.path().join(file)).unwrap();
        }
        Mini(folder)
    }

    /// A file or folder of the copy.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces the first `from` in a text file; the line where it stands, counted from 1.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> usize {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        let at = text
            .find(from)
            .unwrap_or_else(|| panic!("{file} does not hold {from:?}"));
        std::fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
        1 + text[..at].matches('\n').count()
    }

    /// `distill train` into the folder `out` of the copy.
    pub fn train(&self, out: &str, more: &[&str]) -> Command {
        let mut command = distill();
        command
            .arg("train")
            .arg("--recipe")
            .arg(self.path("mini.toml"))
            .arg("--out")
            .arg(self.path(out))
            .args(more);
        command
    }
}
