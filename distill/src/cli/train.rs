//! `distill train`.

use std::path::PathBuf;

use clap::Args;
use distill::error::Result;
use distill::train::How;

/// Trains a student by a recipe; writes the bundles OUT/fp32 and OUT/int8, measures them and reports in OUT/report.html.
#[derive(Args)]
pub struct Train {
    /// The recipe (TOML).
    #[arg(long)]
    pub(super) recipe: PathBuf,
    /// Folder for checkpoints and bundles.
    #[arg(long)]
    out: PathBuf,
    /// Go on from the newest checkpoint in OUT.
    #[arg(long)]
    resume: bool,
    /// With --resume: a key of the recipe that may have changed since, such as training.encoder_rate, or training for all of its table; can be repeated.
    #[arg(long, value_name = "KEY", requires = "resume")]
    allow_changed: Vec<String>,
    /// The most memory that the process may take, such as 4GiB: steps are split into parts that fit, with the same result up to rounding.
    #[arg(long, value_name = "AMOUNT", value_parser = distill::memory::parse)]
    memory: Option<u64>,
}

impl Train {
    pub fn run(self) -> Result<()> {
        let how = How {
            resume: self.resume,
            allow_changed: self.allow_changed,
            memory: self.memory,
        };
        distill::finish::train(&self.recipe, &self.out, &how)
    }
}
