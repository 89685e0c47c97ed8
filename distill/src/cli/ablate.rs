//! `distill ablate`.

use std::path::PathBuf;

use clap::Args;
use distill::error::Result;

/// Trains a recipe with and without what is to be judged, several times, and compares document by document.
#[derive(Args)]
pub struct Ablate {
    /// The plan (TOML): a base recipe, seeds, and what each arm changes. See docs/report.md.
    #[arg(long)]
    plan: PathBuf,
    /// Folder for the runs and the report (ablation.json, .html, .txt). What is finished there is not done again.
    #[arg(long)]
    out: PathBuf,
    /// Train nothing: compare the runs that are there.
    #[arg(long)]
    collect: bool,
}

impl Ablate {
    pub fn run(self) -> Result<()> {
        distill::ablate::run(&self.plan, &self.out, self.collect)?;
        let [_, page, text] = distill::ablate::files(&self.out);
        eprintln!("distill: wrote {} and {}", page.display(), text.display());
        Ok(())
    }
}
