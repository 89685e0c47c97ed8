//! `distill label`.

use std::path::PathBuf;

use clap::Args;
use distill::error::Result;
use distill::label::{Plan, run};

use super::print;

/// Asks a chat model at an OpenAI-compatible endpoint for soft labels; writes OUT/labels.jsonl, which `distill train` reads.
#[derive(Args)]
pub struct Label {
    /// The task (TOML): schema, texts, endpoint.
    #[arg(long)]
    task: PathBuf,
    /// Folder for answers, labels and report. A run that was broken off goes on there.
    #[arg(long)]
    out: PathBuf,
    /// Send the texts to a host that is not this machine, if the task names one.
    #[arg(long)]
    allow_remote: bool,
    /// Take only the first N documents.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Say what would be sent where, and how much, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the first prompt, text and all.
    #[arg(long, requires = "dry_run")]
    show_prompt: bool,
}

impl Label {
    pub fn run(self) -> Result<()> {
        let plan = Plan::read(&self.task, self.limit)?;
        if !self.dry_run {
            return run::run(plan, &self.out, self.allow_remote);
        }
        run::rehearse(&plan, &self.out)?;
        match plan.rows.iter().find_map(|row| plan.question(row)) {
            Some(question) if self.show_prompt => print(&question.shown()),
            _ => Ok(()),
        }
    }
}
