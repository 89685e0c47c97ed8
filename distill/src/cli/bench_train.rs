//! `distill bench-train`.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::PossibleValuesParser;
use distill::error::{Error, Result};
use distill::memory;
use distill::recipe::{Adapters, Freeze};
use distill::student::trainable::Trainable;
use distill::train::bench::{self, Job, Report};

use super::print;

/// Measures training speed and memory on random data.
#[derive(Args)]
pub struct BenchTrain {
    /// Sizes of the encoder.
    #[arg(long, default_value = "minilm-l6", value_parser = PossibleValuesParser::new(["minilm-l6", "bert-6x768", "bert-base"]))]
    model: String,
    /// Windows in a batch.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Batches in a step.
    #[arg(long, default_value_t = 1)]
    accumulate: usize,
    /// Tokens in a window.
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// Windows of these lengths instead, a number a line: a whole epoch, batched as a training batches them.
    #[arg(long, conflicts_with = "tokens")]
    lengths: Option<PathBuf>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Steps that are timed (two more warm up): 10, or an epoch of --lengths.
    #[arg(long)]
    steps: Option<usize>,
    /// Leave the embedding layer alone.
    #[arg(long)]
    freeze_embeddings: bool,
    /// Leave so many layers alone, from the lowest.
    #[arg(long, default_value_t = 0)]
    freeze_layers: usize,
    /// Train adapters of this rank instead of the encoder.
    #[arg(long)]
    adapters: Option<usize>,
    /// Take the thread's own time instead of the clock on the wall: with one thread, for a busy machine.
    #[arg(long)]
    cpu: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl BenchTrain {
    pub fn run(self) -> Result<()> {
        if self.cpu && self.threads != 1 {
            let why = "--cpu takes one thread's time: give --threads 1";
            return Err(Error::Usage(why.to_owned()));
        }
        let encoder = bench::model(&self.model)
            .ok_or_else(|| Error::Usage(format!("there is no model {}", self.model)))?;
        let (batch, accumulate) = (self.batch.max(1), self.accumulate.max(1));
        let step = batch * accumulate;
        let (lengths, usual) = match &self.lengths {
            Some(path) => {
                let lengths = read(path)?;
                let epoch = lengths.len().div_ceil(step);
                (lengths, epoch)
            }
            None => (vec![self.tokens.max(1); step], 10),
        };
        let job = Job {
            encoder,
            trainable: Trainable {
                freeze: Freeze {
                    embeddings: self.freeze_embeddings,
                    layers: self.freeze_layers,
                },
                adapters: self.adapters.map(|rank| Adapters { rank, scale: 16.0 }),
            },
            batch,
            accumulate,
            lengths,
            threads: self.threads,
            steps: self.steps.unwrap_or(usual).max(1),
            cpu: self.cpu,
        };
        let report = bench::run(&job)?;
        print(&if self.json {
            format!("{}\n", serde_json::json!(report))
        } else {
            text(&report)
        })
    }
}

/// The lengths in a file, a number a line.
fn read(path: &Path) -> Result<Vec<usize>> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let number = |(n, line): (usize, &str)| match line.trim().parse() {
        Ok(length @ 1..=8192) => Ok(length),
        _ => Err(Error::line(path, n + 1, "is no number from 1 to 8192")),
    };
    text.lines().enumerate().map(number).collect()
}

fn text(r: &Report) -> String {
    let total = r.seconds.batch + r.seconds.masks + r.seconds.graph + r.seconds.optimizer;
    let mut out = format!(
        "{:.0} tokens/s, {} of {} parameters trained, {} at most\n",
        r.tokens_per_second,
        r.trained,
        r.parameters,
        r.peak_bytes.map_or("?".to_owned(), memory::show)
    );
    for (phase, seconds) in [
        ("batch", r.seconds.batch),
        ("dropout masks", r.seconds.masks),
        ("forward and backward", r.seconds.graph),
        ("optimizer", r.seconds.optimizer),
    ] {
        let share = 100.0 * seconds / total;
        out += &format!("{phase:>20}  {:8.1} ms  {share:5.1} %\n", 1e3 * seconds);
    }
    out
}
