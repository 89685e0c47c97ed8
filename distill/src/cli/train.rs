//! `distill train`.

use std::path::PathBuf;

use clap::Args;
use distill::error::Result;

/// Trains a student by a recipe; writes the bundles OUT/fp32 and OUT/int8 and measures them.
#[derive(Args)]
pub struct Train {
    /// The recipe (TOML).
    #[arg(long)]
    recipe: PathBuf,
    /// Folder for checkpoints and bundles.
    #[arg(long)]
    out: PathBuf,
    /// Go on from the newest checkpoint in OUT.
    #[arg(long)]
    resume: bool,
    /// The most memory that the process may take, such as 4GiB: steps are split into parts that fit, with the same result up to rounding.
    #[arg(long, value_name = "AMOUNT", value_parser = distill::memory::parse)]
    memory: Option<u64>,
}

impl Train {
    pub fn run(self) -> Result<()> {
        distill::finish::train(&self.recipe, &self.out, self.resume, self.memory)
    }
}
