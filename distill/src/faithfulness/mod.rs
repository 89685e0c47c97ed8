//! How faithful explanations are: every method, measured on a corpus.
pub mod stats;
pub mod steps;
pub mod table;
#[cfg(test)]
mod testing;
