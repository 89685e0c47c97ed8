//! `distill adapt`.

use std::path::PathBuf;

use clap::Args;
use distill::error::Result;

/// Adapts a base to a field: exchanges its vocabulary, and trains it on, on plain text. Writes a Hugging Face folder.
#[derive(Args)]
pub struct Adapt {
    /// The recipe (TOML).
    #[arg(long)]
    recipe: PathBuf,
    /// Folder for checkpoints and the result, which a recipe of `distill train` takes as `student.base`.
    #[arg(long)]
    out: PathBuf,
    /// Go on from the newest checkpoint in OUT.
    #[arg(long)]
    resume: bool,
}

impl Adapt {
    pub fn run(self) -> Result<()> {
        distill::adapt::adapt(&self.recipe, &self.out, self.resume)
    }
}
