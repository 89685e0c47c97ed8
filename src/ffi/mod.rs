//! The C boundary: `include/bie.h` is generated from the files of this folder, and their doc comments are its text.
//!
//! This is the only place with `unsafe`. Every entry point has the same shape: outputs are set to NULL, then `guard`
//! runs a closure that checks each pointer, borrows it and calls safe code; what the closure returns, or that it
//! panicked, becomes a status and an error object. So nothing unwinds into the host and nothing is printed.
//!
//! The comments speak to the C programmer; they are also the safety contract of the functions, which is why there is
//! no `# Safety` section: a pointer argument must be NULL or point to what its type says for as long as the header says.
#![allow(unsafe_code, non_camel_case_types, clippy::missing_safety_doc)]

mod args;
pub mod cancel;
pub mod engine;
pub mod error;
pub mod explain;
pub mod explanation;
mod guard;
pub mod options;
pub mod probe;
pub mod result;
pub mod version;
