//! `distill`: makes the model bundle that libbie loads.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use distill::error::Result;

/// Makes and measures the model bundles that libbie loads, on a plain CPU.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a student by a recipe; writes the bundles OUT/fp32 and OUT/int8 and measures them.
    Train {
        /// The recipe (TOML).
        #[arg(long)]
        recipe: PathBuf,
        /// Folder for checkpoints and bundles.
        #[arg(long)]
        out: PathBuf,
        /// Go on from the newest checkpoint in OUT.
        #[arg(long)]
        resume: bool,
    },
    /// Measures training speed on random data: prints {"tokens_per_second": x}.
    BenchTrain {
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
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Train { recipe, out, resume } => distill::finish::train(&recipe, &out, resume),
        Command::BenchTrain { batch, tokens, threads, steps } => bench(batch, tokens, threads, steps),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("distill: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn bench(batch: usize, tokens: usize, threads: usize, steps: usize) -> Result<()> {
    let speed = distill::train::bench::minilm(batch, tokens, threads, steps)?;
    println!("{}", serde_json::json!({ "tokens_per_second": speed }));
    Ok(())
}
