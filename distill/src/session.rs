//! Runs a graph in ONNX Runtime: the only file of `distill` that names `ort`.

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session as OrtSession, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use crate::error::{Error, Result};

/// A tensor that goes in: borrowed, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Feed<'a> {
    /// Floats.
    F32(&'a [usize], &'a [f32]),
    /// Integers.
    I64(&'a [usize], &'a [i64]),
}

/// A tensor that came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents.
    pub shape: Vec<usize>,
    /// Row-major values.
    pub data: Vec<f32>,
}

/// A graph, ready to run.
pub struct Session(OrtSession);

impl Session {
    /// Loads a serialised model; `threads` work inside each operator.
    ///
    /// # Errors
    /// [`Error::Environment`]: the runtime is missing or refuses the graph.
    pub fn new(model: &[u8], threads: usize) -> Result<Self> {
        let environment = bie::runtime::environment(None)?;
        let build = || -> ort::Result<OrtSession> {
            let mut builder = OrtSession::builder(&environment)?
                .with_intra_threads(threads)?
                .with_inter_threads(1)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_op_spinning(true)?
                // A plan for each shape that was seen, beside the arena: nearly twice the memory, for no time (docs/cost.md).
                .with_memory_pattern(false)?;
            // For developers: ONNX Runtime's own record of where the time goes.
            if let Ok(path) = std::env::var("BIE_PROFILE") {
                builder = builder.with_profiling(path)?;
            }
            builder.commit_from_memory(model)
        };
        build().map(Session).map_err(runtime)
    }

    /// Runs once.
    ///
    /// # Errors
    /// [`Error::Environment`]: the runtime refuses the inputs or fails.
    pub fn run(&mut self, feeds: &[(&str, Feed<'_>)]) -> Result<Outputs<'_>> {
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(feeds.len());
        for (name, feed) in feeds {
            let value = match feed {
                Feed::F32(shape, data) => TensorRef::from_array_view((shape.to_vec(), *data))
                    .map_err(runtime)?
                    .into(),
                Feed::I64(shape, data) => TensorRef::from_array_view((shape.to_vec(), *data))
                    .map_err(runtime)?
                    .into(),
            };
            inputs.push((name, value));
        }
        self.0.run(inputs).map(Outputs).map_err(runtime)
    }

    /// Runs once and copies the outputs.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_to_arrays(
        &mut self,
        feeds: &[(&str, Feed<'_>)],
        outputs: &[&str],
    ) -> Result<Vec<Array>> {
        let results = self.run(feeds)?;
        let copy = |name: &&str| {
            results.get(name).map(|(shape, data)| Array {
                shape,
                data: data.to_vec(),
            })
        };
        outputs.iter().map(copy).collect()
    }
}

/// What a run computed; freed when dropped.
pub struct Outputs<'s>(SessionOutputs<'s>);

impl Outputs<'_> {
    /// Shape and row-major values of an output.
    ///
    /// # Errors
    /// [`Error::Environment`]: the graph has no such float output.
    pub fn get(&self, name: &str) -> Result<(Vec<usize>, &[f32])> {
        let value = self
            .0
            .get(name)
            .ok_or_else(|| Error::Environment(format!("the graph has no output `{name}`")))?;
        let (shape, data) = value.try_extract_tensor::<f32>().map_err(runtime)?;
        Ok((
            shape
                .iter()
                .map(|&d| usize::try_from(d).unwrap_or(0))
                .collect(),
            data,
        ))
    }
}

fn runtime(e: impl std::fmt::Display) -> Error {
    Error::Environment(format!("ONNX Runtime: {e}"))
}
