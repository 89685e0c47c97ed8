//! `distill data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use distill::data;
use distill::error::{Error, Result};

use super::{Reading, print};

/// Looks at corpora.
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(Box<Check>),
}

/// Counts what corpora hold, lists every defect with file and line, and tells what a recipe makes of them. Exit code 1 if there are more
/// defects than allowed.
#[derive(Args)]
struct Check {
    /// The recipe whose corpora are meant.
    #[arg(long, conflicts_with = "corpus")]
    recipe: Option<PathBuf>,
    /// The corpus: a file (.gz is read as it is), a folder or a zip.
    #[arg(long, required_unless_present = "recipe")]
    corpus: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Data {
    pub fn run(self) -> Result<()> {
        let Command::Check(check) = self.command;
        check.run()
    }
}

impl Check {
    fn run(self) -> Result<()> {
        let report = match (&self.recipe, &self.corpus) {
            (Some(recipe), _) => data::check_recipe(recipe)?,
            (None, Some(corpus)) => {
                self.reading.check()?;
                data::check(corpus, self.reading.format, &self.reading.options)?
            }
            // The parser has seen to it that there is one.
            (None, None) => return Err(Error::Usage("give --recipe or --corpus".to_owned())),
        };
        print(&if self.json {
            format!("{}\n", report.json())
        } else {
            report.to_string()
        })?;
        match report.refused().next() {
            Some(corpus) => {
                let why = format!("{} defects", corpus.defects.len());
                Err(Error::file(&corpus.path, why))
            }
            None => Ok(()),
        }
    }
}
