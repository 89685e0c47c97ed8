//! ONNX Runtime: the only place of the library that names `ort`.
//!
//! `env` opens it once per process, `session` has the graphs of a bundle, `run` runs one, `pool` bounds how many runs go on at once.

mod env;
mod pool;
mod run;
mod session;

pub use env::environment;
pub(crate) use pool::Pool;
pub use session::session;
pub(crate) use session::{Graphs, Lane, MentionTokens, Reading};
