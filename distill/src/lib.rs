//! Makes the model bundle that libbie loads: a teacher's labels and a corpus's gold become a small student.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod checkpoint;
pub mod corpus;
pub mod dataset;
pub mod error;
pub mod optimizer;
pub mod progress;
pub mod recipe;
pub mod schedule;
pub mod teacher;

pub use error::{Error, Result};
