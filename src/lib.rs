//! Biomedical information extraction, in the host's process: text in; entities, relations and the evidence for them out.
//!
//! The C header `include/bie.h` is the product's contract; this crate is its implementation and the path on which
//! `distill` builds. See ARCHITECTURE.md for the data path.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod bundle;
pub mod decode;
pub mod encode;
pub mod engine;
pub mod error;
pub mod explain;
pub mod ffi;
pub mod options;
pub mod result;
pub mod runtime;
pub mod text;

/// The package's version and that of the ONNX Runtime it needs.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (onnxruntime 1.28.0)");

pub use engine::{Engine, GivenMention, ScoredPair};
pub use error::{Error, Result, Status};
pub use explain::{Cancel, Explanation, Target};
pub use options::Options;
pub use result::Extraction;
