//! ONNX Runtime: the only place of the library that names `ort`.
//!
//! `env` opens it once per process, `session` has the two extract graphs of a bundle, `gradients` the explain graph, `run` runs one, `pool` bounds how many
//! runs go on at once.

mod env;
mod gradients;
mod pool;
mod run;
mod session;

pub use env::environment;
pub(crate) use gradients::{Differentiated, Gradient, Gradients, PairValue, Point, SpanValue};
pub(crate) use pool::Pool;
pub use session::session;
pub(crate) use session::{Graphs, Lane, MentionTokens, Reading, Sizes};
