//! The parts of the command line: what was asked, how it is shown, how it fails.

pub mod args;
pub mod failure;
pub mod render;
