//! `distill eval`.

use std::path::PathBuf;

use bie::{Engine, Options};
use clap::Args;
use distill::error::Result;
use distill::eval::{self, Job};

use super::{Reading, pair, print};

/// Measures a bundle on an annotated corpus, through libbie.
#[derive(Args)]
pub struct Eval {
    /// The bundle's folder.
    #[arg(long)]
    bundle: PathBuf,
    /// The corpus: a file (.gz is read as it is), a folder or a zip.
    #[arg(long)]
    corpus: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Teacher's labels (JSON lines) that stand in for gold for relation types that the corpus lacks.
    #[arg(long)]
    relations_from: Option<PathBuf>,
    /// A label of the corpus and what the bundle calls it; can be repeated.
    #[arg(long, value_name = "CORPUS=BUNDLE", value_parser = pair)]
    map: Vec<(String, String)>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        let engine = Engine::open(&self.bundle, &Options::default())?;
        self.reading.check()?;
        let job = Job {
            corpus: self.corpus,
            format: self.reading.format,
            options: self.reading.options,
            map: self.map.into_iter().collect(),
            relations_from: self.relations_from,
        };
        let report = eval::run(&engine, &job, distill::progress::count("documents"))?;
        print(&if self.json {
            format!("{}\n", report.json())
        } else {
            report.to_string()
        })
    }
}
