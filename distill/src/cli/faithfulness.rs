//! `distill faithfulness`.

use std::path::{Path, PathBuf};

use bie::explain::Deletion;
use bie::{Engine, Options};
use clap::{Args, ValueEnum};
use distill::error::Result;
use distill::faithfulness;
use distill::faithfulness::arms::Arm;
use distill::faithfulness::measure::Setting;
use distill::faithfulness::model::Opened;

use super::{Reading, print};

#[derive(Clone, Copy, ValueEnum)]
pub enum TextSetting {
    Short,
    Window,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Deleted {
    Mask,
    Pad,
}

/// Measures how faithful a bundle's explanations are: every method on the decisions that it makes on a corpus.
#[derive(Args)]
pub struct Faithfulness {
    /// The bundle's folder.
    #[arg(long)]
    bundle: PathBuf,
    /// The corpus: a file (.gz is read as it is), a folder or a zip.
    #[arg(long)]
    corpus: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// How texts are read: short sentences alone, where the limits are exact; whole documents.
    #[arg(long, value_delimiter = ',', default_value = "short,window")]
    settings: Vec<TextSetting>,
    /// At most so many entities, and so many relations, in each setting.
    #[arg(long, default_value_t = 1000)]
    decisions: usize,
    /// At most so many entities, and so many relations, of one text: its decisions are alike.
    #[arg(long, default_value_t = 4)]
    per_text: usize,
    /// What is compared: methods, with a budget of forward passes (shap_500) or passes a word (lime_3n) if wanted; random.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "auto,attention,attention_rollout,input_x_gradient,attention_x_gradient,integrated_gradients,occlusion,shap,lime,lime_3n,random"
    )]
    methods: Vec<String>,
    /// What stands in for deleted tokens; what is deleted is also the gradients' baseline.
    #[arg(long, value_delimiter = ',', default_value = "mask,pad")]
    deletions: Vec<Deleted>,
    /// Words of the longest short text, punctuation counted: it is read 2^n times.
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Measure whole documents by the protocol of explainable medical coding, too (100 more forward passes a decision and method).
    #[arg(long)]
    coding: bool,
    /// Of the order of texts, of chance, sampling and intervals.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Deletions that are computed at once; times are best measured with 1.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Also: how well the weights point at marked evidence. A teacher's labels, or PHEE's events (JSON lines); can be repeated.
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
    /// Also: how alike the weights are to those for a copy of the model whose weights are shuffled.
    #[arg(long)]
    randomised_check: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Folder for the journal and the report (JSON, text, HTML). A run that was broken off goes on there.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Write the table into the bundle's card.
    #[arg(long)]
    write_card: bool,
}

impl Faithfulness {
    pub fn run(self) -> Result<()> {
        let Faithfulness {
            bundle,
            corpus,
            reading,
            settings,
            decisions,
            per_text,
            methods,
            deletions,
            limit,
            coding,
            seed,
            threads,
            evidence,
            randomised_check,
            json,
            out,
            write_card,
        } = self;
        reading.check()?;
        let setting = |setting: &TextSetting| match setting {
            TextSetting::Short => Setting::Short,
            TextSetting::Window => Setting::Window,
        };
        let deletion = |deleted: &Deleted| match deleted {
            Deleted::Mask => Deletion::Mask,
            Deleted::Pad => Deletion::Pad,
        };
        let job = faithfulness::Job {
            corpus,
            format: reading.format,
            options: reading.options,
            settings: settings.iter().map(setting).collect(),
            decisions,
            per_text,
            arms: Arm::list(&methods)?,
            deletions: deletions.iter().map(deletion).collect(),
            limit,
            coding,
            seed,
            threads,
            out,
            evidence,
            shuffle: randomised_check.then(|| bundle.clone()),
        };
        let mut options = Options::new();
        options.set_i64("sessions", i64::try_from(threads).unwrap_or(i64::MAX))?;
        let open = |bundle: &Path| Ok(Opened::new(Engine::open(bundle, &options)?));
        let report = faithfulness::run(&open(&bundle)?, &job, open)?;
        if write_card {
            let hash = faithfulness::card::write(&bundle, &report)?;
            eprintln!(
                "distill: wrote the table into {} ({hash})",
                bundle.display()
            );
        }
        print(&if json {
            format!("{}\n", report.json())
        } else {
            report.to_string()
        })
    }
}
