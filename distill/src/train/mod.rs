//! Training: the step as a graph, batches, the loop around them.

pub mod step;
