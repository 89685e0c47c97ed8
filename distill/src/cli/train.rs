//! `distill train`.

use std::path::PathBuf;

use clap::Args;
use distill::error::Result;

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
}

impl Train {
    pub fn run(self) -> Result<()> {
        distill::finish::train(&self.recipe, &self.out, self.resume).map(drop)
    }
}
