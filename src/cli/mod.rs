//! The parts of the command line: what was asked, how it is shown, how it fails.

pub mod args;
pub mod decision;
pub mod explain;
pub mod failure;
pub mod html;
pub mod plain;
pub mod render;
pub mod svg;
pub mod terminal;
pub mod words;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
