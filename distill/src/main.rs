//! `distill`: makes the model bundles that libbie loads, and measures them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use bie::{Engine, Options};
use clap::{Parser, Subcommand, ValueEnum};
use distill::error::{Error, Result};
use distill::eval::{self, Job};
use distill::recipe::Format;

/// Makes and measures the model bundles that libbie loads, on a plain CPU.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum CorpusFormat {
    Pubtator,
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
    /// Measures a bundle on an annotated corpus, through libbie.
    Eval {
        /// The bundle's folder.
        #[arg(long)]
        bundle: PathBuf,
        /// Format of the corpus.
        #[arg(long, value_enum, default_value_t = CorpusFormat::Pubtator)]
        format: CorpusFormat,
        /// The corpus (.gz is read as it is).
        #[arg(long)]
        corpus: PathBuf,
        /// Teacher's labels (JSON lines) that stand in for gold for relation types that the corpus lacks.
        #[arg(long)]
        relations_from: Option<PathBuf>,
        /// A label of the corpus and what the bundle calls it; can be repeated.
        #[arg(long, value_name = "CORPUS=BUNDLE", value_parser = pair)]
        map: Vec<(String, String)>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
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

fn pair(argument: &str) -> std::result::Result<(String, String), String> {
    let (from, to) = argument
        .split_once('=')
        .ok_or("expected CORPUS=BUNDLE, such as CID=causes")?;
    Ok((from.to_owned(), to.to_owned()))
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("distill: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Train {
            recipe,
            out,
            resume,
        } => distill::finish::train(&recipe, &out, resume),
        Command::Eval {
            bundle,
            format: CorpusFormat::Pubtator,
            corpus,
            relations_from,
            map,
            json,
        } => {
            let engine = Engine::open(&bundle, &Options::default())?;
            let map: BTreeMap<String, String> = map.into_iter().collect();
            let job = Job {
                corpus,
                format: Format::PubTator,
                map,
                relations_from,
            };
            let progress = distill::progress::count("documents");
            let report = eval::run(&engine, &job, progress)?;
            print(&if json {
                format!("{}\n", report.json())
            } else {
                report.to_string()
            })
        }
        Command::BenchTrain {
            batch,
            tokens,
            threads,
            steps,
        } => {
            let speed = distill::train::bench::minilm(batch, tokens, threads, steps)?;
            print(&format!(
                "{}\n",
                serde_json::json!({ "tokens_per_second": speed })
            ))
        }
    }
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
