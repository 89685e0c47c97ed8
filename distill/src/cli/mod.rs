//! The command line: one file a subcommand, each the arguments and what is called with them.

use clap::{Parser, Subcommand, ValueEnum};
use distill::error::{Error, Result};

mod bench_train;
mod eval;
mod faithfulness;
mod label;
mod train;

/// Makes and measures the model bundles that libbie loads, on a plain CPU.
#[derive(Parser)]
#[command(version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Label(label::Label),
    Train(train::Train),
    Eval(eval::Eval),
    Faithfulness(Box<faithfulness::Faithfulness>),
    BenchTrain(bench_train::BenchTrain),
}

impl Arguments {
    /// Does what was asked for.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Label(command) => command.run(),
            Command::Train(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Faithfulness(command) => command.run(),
            Command::BenchTrain(command) => command.run(),
        }
    }
}

/// Formats of corpora.
#[derive(Clone, Copy, ValueEnum)]
enum CorpusFormat {
    Pubtator,
}

fn pair(argument: &str) -> std::result::Result<(String, String), String> {
    let (from, to) = argument
        .split_once('=')
        .ok_or("expected CORPUS=BUNDLE, such as CID=causes")?;
    Ok((from.to_owned(), to.to_owned()))
}

/// Prints to stdout; a reader that has gone away is no defect.
fn print(text: &str) -> Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Io {
            action: "write",
            path: "standard output".into(),
            source: e,
        }),
        _ => Ok(()),
    }
}
