//! `distill calibrate`.

use std::path::PathBuf;

use clap::Args;
use distill::calibration::thresholds::Goal;
use distill::calibration::{self, Job, Relations};
use distill::error::{Error, Result};
use distill::eval;
use distill::progress;

use super::{Reading, pair, print};

/// Fits the scores and thresholds of a bundle to an annotated corpus: what is reported with 0.8 is then right 8 times in 10 on texts like these.
#[derive(Args)]
pub struct Calibrate {
    /// The bundle's folder.
    #[arg(long)]
    bundle: PathBuf,
    /// The corpus: a file (.gz is read as it is), a folder or a zip; not one that the bundle was trained on.
    #[arg(long)]
    corpus: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// A label of the corpus and what the bundle calls it; can be repeated.
    #[arg(long, value_name = "CORPUS=BUNDLE", value_parser = pair)]
    map: Vec<(String, String)>,
    /// Teacher's labels (JSON lines) that stand in for gold for relation types that the corpus lacks; can be repeated.
    #[arg(long)]
    relations_from: Vec<PathBuf>,
    /// What thresholds are chosen for: f1, precision=X, recall=X; of one type: TYPE:precision=X. Can be repeated.
    #[arg(long, value_name = "[TYPE:]GOAL", value_parser = goal)]
    goal: Vec<(Option<String>, Goal)>,
    /// A threshold that is not to be chosen; can be repeated.
    #[arg(long, value_name = "TYPE=X", value_parser = threshold)]
    threshold: Vec<(String, f32)>,
    /// Fit the scores of relations given right entities, not those of whole extractions.
    #[arg(long)]
    gold_entities: bool,
    /// Write the calibrated bundle to this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write the calibrated bundle in the place of the old one.
    #[arg(long, conflicts_with = "out")]
    write: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Calibrate {
    pub fn run(self) -> Result<()> {
        self.reading.check()?;
        let mut job = Job {
            relations_from: self.relations_from,
            thresholds: self.threshold.into_iter().collect(),
            relations: match self.gold_entities {
                true => Relations::GoldEntities,
                false => Relations::EndToEnd,
            },
            ..Job::default()
        };
        for (name, goal) in self.goal {
            match name {
                Some(name) => drop(job.goals.insert(name, goal)),
                None => job.goal = goal,
            }
        }
        let out = if self.write {
            Some(&self.bundle)
        } else {
            self.out.as_ref()
        };
        if let Some(taken) = self.out.as_ref().filter(|out| out.exists()) {
            return Err(Error::file(
                taken,
                "there is something already; name a new folder, or use --write to replace the bundle itself",
            ));
        }
        let source = eval::Job {
            corpus: self.corpus,
            format: self.reading.format,
            options: self.reading.options,
            map: self.map.into_iter().collect(),
            relations_from: None,
        };
        let (report, hash) =
            calibration::calibrate(&self.bundle, out.map(PathBuf::as_path), |engine| {
                let tick = progress::count("readings");
                calibration::run(engine, &source, &job, tick)
            })?;
        if let (Some(out), Some(hash)) = (out, hash) {
            eprintln!("distill: wrote {} ({hash})", out.display());
        }
        print(&if self.json {
            String::from_utf8_lossy(&report.to_json()?).into_owned()
        } else {
            report.to_string()
        })
    }
}

fn goal(argument: &str) -> std::result::Result<(Option<String>, Goal), String> {
    match argument.rsplit_once(':') {
        Some((name, goal)) => Ok((Some(name.to_owned()), Goal::parse(goal)?)),
        None => Ok((None, Goal::parse(argument)?)),
    }
}

fn threshold(argument: &str) -> std::result::Result<(String, f32), String> {
    argument
        .rsplit_once('=')
        .and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .filter(|(_, value)| (0.0..=1.0).contains(value))
        .ok_or_else(|| "expected TYPE=X with X from 0 to 1, such as causes=0.4".to_owned())
}
