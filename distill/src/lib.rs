//! Makes the model bundle that libbie loads: one graph definition, its derivatives, training, export, evaluation.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod error;
pub mod graph;
pub mod session;
pub mod student;
pub mod train;
