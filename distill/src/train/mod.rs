//! Training: the step as a graph, batches, the loop around them.

pub mod batch;
pub mod step;
