//! Training: batches, the step as a graph, and the loop around them.

pub mod batch;
pub mod bench;
mod dropout;
pub mod run;
pub mod step;

pub use run::{Run, train};
