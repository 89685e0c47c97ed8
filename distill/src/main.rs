//! `distill`: makes the model bundles that libbie loads, and measures them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bie::explain::Deletion;
use bie::{Engine, Options};
use clap::{Parser, Subcommand, ValueEnum};
use distill::error::{Error, Result};
use distill::eval::{self, Job};
use distill::faithfulness;
use distill::faithfulness::arms::Arm;
use distill::faithfulness::measure::Setting;
use distill::faithfulness::model::Opened;
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

#[derive(Clone, Copy, ValueEnum)]
enum TextSetting {
    Short,
    Window,
}

#[derive(Clone, Copy, ValueEnum)]
enum Deleted {
    Mask,
    Pad,
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
    /// Measures how faithful a bundle's explanations are: every method on the decisions that it makes on a corpus.
    Faithfulness {
        /// The bundle's folder.
        #[arg(long)]
        bundle: PathBuf,
        /// Format of the corpus.
        #[arg(long, value_enum, default_value_t = CorpusFormat::Pubtator)]
        format: CorpusFormat,
        /// The corpus (.gz is read as it is).
        #[arg(long)]
        corpus: PathBuf,
        /// How texts are read: short sentences alone, where the limits are exact; whole documents.
        #[arg(long, value_delimiter = ',', default_value = "short,window")]
        settings: Vec<TextSetting>,
        /// At most so many entities, and so many relations, in each setting.
        #[arg(long, default_value_t = 1000)]
        decisions: usize,
        /// At most so many entities, and so many relations, of one text: its decisions are alike.
        #[arg(long, default_value_t = 4)]
        per_text: usize,
        /// What is compared: methods, with a budget of forward passes (shap_500) or passes a word (lime_3n) if wanted; random.
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "auto,attention,attention_rollout,input_x_gradient,attention_x_gradient,integrated_gradients,occlusion,shap,lime,lime_3n,random"
        )]
        methods: Vec<String>,
        /// What stands in for deleted tokens; what is deleted is also the gradients' baseline.
        #[arg(long, value_delimiter = ',', default_value = "mask,pad")]
        deletions: Vec<Deleted>,
        /// Words of the longest short text, punctuation counted: it is read 2^n times.
        #[arg(long, default_value_t = 10)]
        limit: usize,
        /// Measure whole documents by the protocol of explainable medical coding, too (100 more forward passes a decision and method).
        #[arg(long)]
        coding: bool,
        /// Of the order of texts, of chance, sampling and intervals.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Deletions that are computed at once; times are best measured with 1.
        #[arg(long, default_value_t = 1)]
        threads: usize,
        /// Also: how well the weights point at marked evidence. A teacher's labels, or PHEE's events (JSON lines); can be repeated.
        #[arg(long, value_name = "FILE")]
        evidence: Vec<PathBuf>,
        /// Also: how alike the weights are to those for a copy of the model whose weights are shuffled.
        #[arg(long)]
        randomised_check: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        /// Folder for the journal and the report (JSON, text, HTML). A run that was broken off goes on there.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Write the table into the bundle's card.
        #[arg(long)]
        write_card: bool,
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
        Command::Faithfulness {
            bundle,
            format: CorpusFormat::Pubtator,
            corpus,
            settings,
            decisions,
            per_text,
            methods,
            deletions,
            limit,
            coding,
            seed,
            threads,
            evidence,
            randomised_check,
            json,
            out,
            write_card,
        } => {
            let setting = |setting: &TextSetting| match setting {
                TextSetting::Short => Setting::Short,
                TextSetting::Window => Setting::Window,
            };
            let deletion = |deleted: &Deleted| match deleted {
                Deleted::Mask => Deletion::Mask,
                Deleted::Pad => Deletion::Pad,
            };
            let job = faithfulness::Job {
                corpus,
                format: Format::PubTator,
                settings: settings.iter().map(setting).collect(),
                decisions,
                per_text,
                arms: Arm::list(&methods)?,
                deletions: deletions.iter().map(deletion).collect(),
                limit,
                coding,
                seed,
                threads,
                out,
                evidence,
                shuffle: randomised_check.then(|| bundle.clone()),
            };
            let mut options = Options::new();
            options.set_i64("sessions", i64::try_from(threads).unwrap_or(i64::MAX))?;
            let open = |bundle: &Path| Ok(Opened::new(Engine::open(bundle, &options)?));
            let report = faithfulness::run(&open(&bundle)?, &job, open)?;
            if write_card {
                let hash = faithfulness::card::write(&bundle, &report)?;
                eprintln!(
                    "distill: wrote the table into {} ({hash})",
                    bundle.display()
                );
            }
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
