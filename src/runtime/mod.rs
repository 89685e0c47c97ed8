//! ONNX Runtime: the only place of the library that names `ort`.
//!
//! `env` opens it once per process, `session` runs the two graphs of a bundle, `pool` bounds how many runs go on at once.

mod env;
mod pool;
mod session;

pub use env::environment;
pub(crate) use pool::Pool;
pub use session::session;
pub(crate) use session::{Graphs, Lane, MentionTokens, Reading};
