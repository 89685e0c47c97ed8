//! Training: batches, the step as a graph, and the loop around them.

pub mod batch;
pub mod bench;
pub mod budget;
pub(crate) mod dropout;
pub mod features;
pub mod losses;
pub mod run;
pub mod step;
pub mod supervised;
pub mod trainer;
pub mod watch;

pub use losses::Epoch;
pub use run::{How, Run, train};
