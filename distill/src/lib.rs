//! Makes the model bundle that libbie loads: one graph definition, its derivatives, training, export, evaluation.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod ablate;
pub mod adapt;
pub mod calibration;
pub mod card;
pub mod checkpoint;
pub mod corpus;
pub mod data;
pub mod dataset;
pub mod error;
pub mod eval;
pub mod export;
pub mod faithfulness;
pub mod files;
pub mod finish;
pub mod graph;
pub mod journal;
pub mod label;
pub mod memory;
pub mod metrics;
pub mod optimizer;
pub mod progress;
pub mod recipe;
pub mod report;
pub mod schedule;
pub mod session;
pub mod student;
pub mod teacher;
pub mod train;
pub mod update;

pub use error::{Error, Result};
