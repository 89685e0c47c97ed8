//! `distill report`.

use std::path::PathBuf;

use clap::Args;
use distill::error::Result;

/// Measures the bundles of a finished run again and writes its report.html and report.json.
#[derive(Args)]
pub struct Report {
    /// The run's folder: the --out of `distill train`.
    #[arg(long)]
    out: PathBuf,
    /// The recipe that made it; by default the one that the run remembers.
    #[arg(long)]
    recipe: Option<PathBuf>,
    /// Show the text around the worst errors. The report then holds the documents' words.
    #[arg(long)]
    with_text: bool,
    /// Show this ablation in the report, too (ablation.json of `distill ablate`).
    #[arg(long, value_name = "FILE")]
    ablation: Option<PathBuf>,
}

impl Report {
    pub fn run(self) -> Result<()> {
        let (recipe, ablation) = (self.recipe.as_deref(), self.ablation.as_deref());
        distill::report::again(&self.out, recipe, self.with_text, ablation)
    }
}
