//! `distill bench-train`.

use clap::Args;
use distill::error::Result;

use super::print;

/// Measures training speed on random data: prints {"tokens_per_second": x}.
#[derive(Args)]
pub struct BenchTrain {
    /// Windows in a batch.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Tokens in a window.
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Steps that are timed (two more warm up).
    #[arg(long, default_value_t = 10)]
    steps: usize,
}

impl BenchTrain {
    pub fn run(self) -> Result<()> {
        let BenchTrain {
            batch,
            tokens,
            threads,
            steps,
        } = self;
        let speed = distill::train::bench::minilm(batch, tokens, threads, steps)?;
        print(&format!(
            "{}\n",
            serde_json::json!({ "tokens_per_second": speed })
        ))
    }
}
