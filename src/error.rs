//! What can go wrong, for people: what, where, what to do. No message ever holds a byte of the document.

/// Result with the library's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Stable status numbers of the C ABI. Never renumbered, never reused.
///
/// 0 ok; 1-99 the caller; 100-199 the bundle; 200-299 the runtime and the machine; 900+ a defect of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// A required pointer is NULL.
    Null = 1,
    /// An argument or an option's value is out of its range.
    InvalidArgument = 2,
    /// No option has this key.
    UnknownOption = 3,
    /// The text is not UTF-8.
    InvalidUtf8 = 4,
    /// The text is longer than the option `max_text_bytes`.
    TextTooLong = 5,
    /// The call was cancelled.
    Cancelled = 6,
    /// A file of the bundle cannot be read.
    Io = 100,
    /// A file of the bundle is not what it should be.
    BundleFormat = 101,
    /// The bundle was written for another version of the library.
    BundleVersion = 102,
    /// A file of the bundle is truncated or altered: its SHA-256 differs.
    Checksum = 103,
    /// A graph's inputs or outputs are not those that the manifest implies.
    ModelShape = 104,
    /// The tokenizer cannot be built.
    Tokenizer = 105,
    /// This processor lacks what the runtime needs.
    Cpu = 200,
    /// ONNX Runtime cannot be found, opened or used, or has the wrong version.
    Runtime = 201,
    /// ONNX Runtime reported that memory ran out.
    OutOfMemory = 202,
    /// A defect: a panic was caught at the boundary.
    Panic = 900,
    /// A defect: an earlier panic left this engine unusable.
    Poisoned = 901,
}

/// Every failure of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A required pointer is NULL.
    #[error("argument `{0}` is NULL; pass a valid pointer")]
    Null(&'static str),
    /// An argument or an option's value is out of range.
    #[error("{0}")]
    InvalidArgument(String),
    /// No option has this key.
    #[error("unknown option `{key}`; known options: {known}")]
    UnknownOption {
        /// The key as given (never document text).
        key: String,
        /// All keys, comma separated.
        known: String,
    },
    /// The text is not UTF-8.
    #[error(
        "text is not valid UTF-8 at byte {at}; convert it to UTF-8 (surrogates are not allowed) and try again"
    )]
    InvalidUtf8 {
        /// First offending byte.
        at: usize,
    },
    /// The text is too long.
    #[error(
        "text has {len} bytes, more than the limit of {limit}; split the document or raise the option `max_text_bytes`"
    )]
    TextTooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The call was cancelled from another thread.
    #[error("the call was cancelled; nothing was returned")]
    Cancelled,
    /// A file cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file.
        path: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A bundle file is malformed.
    #[error(
        "bundle file {file}: {why}; the bundle is damaged or not a bie bundle, restore it from its source"
    )]
    BundleFormat {
        /// File name inside the bundle.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The bundle belongs to another version.
    #[error(
        "bundle has schema version {found}, this library reads version {supported}; use a matching bundle or library"
    )]
    BundleVersion {
        /// Version found.
        found: u32,
        /// Version this build reads.
        supported: u32,
    },
    /// A bundle file was altered or truncated.
    #[error(
        "bundle file {file} is truncated or altered (SHA-256 differs from the manifest); restore the bundle from its source"
    )]
    Checksum {
        /// File name inside the bundle.
        file: String,
    },
    /// A graph has other inputs or outputs than the manifest implies.
    #[error(
        "bundle file {file}: {why}; the graph does not fit the manifest, restore the bundle from its source"
    )]
    ModelShape {
        /// File name inside the bundle.
        file: String,
        /// What differs.
        why: String,
    },
    /// The tokenizer cannot be built or failed.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The processor lacks a feature.
    #[error("this processor lacks {0}, which the runtime needs")]
    Cpu(&'static str),
    /// ONNX Runtime is missing, of the wrong version, or failed.
    #[error("{0}")]
    Runtime(String),
    /// ONNX Runtime ran out of memory.
    #[error("ONNX Runtime ran out of memory; free memory or lower the option `sessions`")]
    OutOfMemory,
    /// A panic was caught.
    #[error(
        "internal defect: a panic was caught at the boundary; please report it (no document text is contained in this message)"
    )]
    Panic,
    /// The engine was left unusable by an earlier panic.
    #[error("this engine is unusable after an internal defect; free it and open a new one")]
    Poisoned,
}

impl Error {
    /// The stable number of this error.
    pub fn status(&self) -> Status {
        match self {
            Error::Null(_) => Status::Null,
            Error::InvalidArgument(_) => Status::InvalidArgument,
            Error::UnknownOption { .. } => Status::UnknownOption,
            Error::InvalidUtf8 { .. } => Status::InvalidUtf8,
            Error::TextTooLong { .. } => Status::TextTooLong,
            Error::Cancelled => Status::Cancelled,
            Error::Io { .. } => Status::Io,
            Error::BundleFormat { .. } => Status::BundleFormat,
            Error::BundleVersion { .. } => Status::BundleVersion,
            Error::Checksum { .. } => Status::Checksum,
            Error::ModelShape { .. } => Status::ModelShape,
            Error::Tokenizer(_) => Status::Tokenizer,
            Error::Cpu(_) => Status::Cpu,
            Error::Runtime(_) => Status::Runtime,
            Error::OutOfMemory => Status::OutOfMemory,
            Error::Panic => Status::Panic,
            Error::Poisoned => Status::Poisoned,
        }
    }
}
