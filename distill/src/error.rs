//! What can go wrong while a bundle is made, for people: which file, which line, what to do.
//!
//! Training data may be clinical notes, so no message holds a byte of a document's text.

use std::path::Path;

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Every failure of `distill`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// One line of a recipe, corpus or label file is wrong.
    #[error("{file}:{line}: {why}")]
    Line {
        /// The file, as the user named it.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong and what to do.
        why: String,
    },
    /// A file is wrong as a whole.
    #[error("{file}: {why}")]
    File {
        /// The file, as the user named it.
        file: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The machine lacks what training needs.
    #[error("{0}")]
    Environment(String),
    /// Training went wrong although its input was well-formed (a loss that is not a number, a graph that does not fit).
    #[error("{0}")]
    Training(String),
    /// The training itself broke down: a loss or gradient that is no number, or far beyond what it was. The last sound state is kept.
    #[error("{0}")]
    Diverged(String),
    /// SIGINT or SIGTERM came (its number), and what was done is saved.
    #[error("stopped by {}; what was done is saved, and the same command goes on (a training: with --resume)", if *.0 == 2 { "SIGINT" } else { "SIGTERM" })]
    Stopped(i32),
    /// A teacher's endpoint cannot be used, or left documents without an answer.
    #[error("{0}")]
    Endpoint(String),
    /// The library under `distill` failed.
    #[error(transparent)]
    Library(#[from] bie::Error),
}

impl Error {
    /// An [`Error::Line`].
    pub fn line(file: &Path, line: usize, why: impl Into<String>) -> Error {
        Error::Line {
            file: file.display().to_string(),
            line,
            why: why.into(),
        }
    }

    /// An [`Error::File`].
    pub fn file(file: &Path, why: impl Into<String>) -> Error {
        Error::File {
            file: file.display().to_string(),
            why: why.into(),
        }
    }

    /// An [`Error::Io`]; made for `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.display().to_string();
        move |source| Error::Io {
            action,
            path,
            source,
        }
    }

    /// The process's exit code: 1 the input or the data is bad, 2 usage, 3 environment, 4 the training diverged, 130 and 143 SIGINT and SIGTERM
    /// (what a shell reports of a program that they ended).
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Diverged(_) => 4,
            Error::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(1),
            Error::Usage(_) => 2,
            Error::Environment(_) => 3,
            Error::Library(error) if (200..300).contains(&(error.status() as i32)) => 3,
            Error::Line { .. }
            | Error::File { .. }
            | Error::Io { .. }
            | Error::Training(_)
            | Error::Endpoint(_)
            | Error::Library(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        assert_eq!(Error::Usage("".into()).exit_code(), 2);
        assert_eq!(Error::line(Path::new("a"), 3, "bad").exit_code(), 1);
        assert_eq!(Error::Diverged("".into()).exit_code(), 4);
        assert_eq!(Error::Stopped(15).exit_code(), 143);
        assert!(
            Error::Stopped(2)
                .to_string()
                .starts_with("stopped by SIGINT; ")
        );
        assert_eq!(Error::Environment("no runtime".into()).exit_code(), 3);
        assert_eq!(
            Error::from(bie::Error::Runtime("no runtime".into())).exit_code(),
            3
        );
        assert_eq!(
            Error::from(bie::Error::Checksum { file: "x".into() }).exit_code(),
            1
        );
    }

    #[test]
    fn a_line_error_reads_like_a_compiler_message() {
        assert_eq!(
            Error::line(Path::new("r.toml"), 3, "bad").to_string(),
            "r.toml:3: bad"
        );
    }
}
