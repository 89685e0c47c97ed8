//! The command line: one file a subcommand, each the arguments and what is called with them.

use clap::{Args, Parser, Subcommand};
use distill::corpus::{Format, Options};
use distill::error::{Error, Result};

mod ablate;
mod adapt;
mod bench_train;
mod calibrate;
mod data;
mod eval;
mod faithfulness;
mod label;
mod report;
mod train;
mod update;

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
    Update(update::Update),
    Adapt(adapt::Adapt),
    Report(report::Report),
    Ablate(ablate::Ablate),
    Eval(Box<eval::Eval>),
    Data(data::Data),
    Calibrate(Box<calibrate::Calibrate>),
    Faithfulness(Box<faithfulness::Faithfulness>),
    BenchTrain(bench_train::BenchTrain),
}

impl Arguments {
    /// Does what was asked for.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Label(command) => command.run(),
            Command::Train(command) => command.run(),
            Command::Update(command) => command.run(),
            Command::Adapt(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Ablate(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Data(command) => command.run(),
            Command::Calibrate(command) => command.run(),
            Command::Faithfulness(command) => command.run(),
            Command::BenchTrain(command) => command.run(),
        }
    }
}

/// How a corpus is read.
#[derive(Args)]
struct Reading {
    /// Format of the corpus.
    #[arg(long, value_enum, default_value_t = Format::Pubtator)]
    format: Format,
    #[command(flatten)]
    options: Options,
}

impl Reading {
    /// Refuses flags that do not fit the format.
    fn check(&self) -> Result<()> {
        match self.options.misfit(self.format) {
            Some((key, why)) => Err(Error::Usage(format!("--{}: {why}", key.replace('_', "-")))),
            None => Ok(()),
        }
    }
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
