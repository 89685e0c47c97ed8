//! How faithful explanations are: every method, measured on the decisions that a bundle makes on a corpus.
//!
//! The data flows one way: [`texts`] → [`measure`] (a record a text, kept in the [`journal`](crate::journal)) → [`report`] → [`picture`], the bundle's card.
//!
//! A word's weight is judged by what deleting does: [`steps`]. In short texts all coalitions are tried ([`table`]), so the best and the worst order are
//! known, and figures can be compared between models: NAOPC (Edin et al. 2024).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bie::Options;
use bie::explain::Deletion;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::corpus::{self, Document, Format};
use crate::error::{Error, Result};
use crate::files;
use crate::journal::Journal;
use crate::progress::{self, Share};

pub mod arms;
pub mod card;
pub mod evidence;
pub mod measure;
pub mod model;
pub mod picture;
pub mod randomised;
pub mod report;
pub mod stats;
pub mod steps;
pub mod table;
pub mod texts;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use arms::Arm;
use measure::{Record, Setting, Study};
use model::Model;
use report::Report;

/// Texts of a setting on which single explanations are timed.
const TIMED: usize = 6;

/// Texts that are explained for the models with shuffled weights, too.
const SHUFFLED: usize = 30;

/// Models with shuffled weights.
const SHUFFLED_MODELS: u64 = 3;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Job {
    /// The corpus.
    pub corpus: PathBuf,
    /// Its format.
    pub format: Format,
    /// How it is read.
    pub options: corpus::Options,
    /// How texts are read.
    pub settings: Vec<Setting>,
    /// At most so many entities, and so many relations, in each setting.
    pub decisions: usize,
    /// At most so many entities, and so many relations, of one text, drawn by the seed.
    pub per_text: usize,
    /// What is compared.
    pub arms: Vec<Arm>,
    /// What stands in for deleted tokens.
    pub deletions: Vec<Deletion>,
    /// Words of the longest short text.
    pub limit: usize,
    /// Measure whole documents by the protocol of explainable medical coding, too.
    pub coding: bool,
    /// Of the order of texts, chance, sampling and intervals.
    pub seed: u64,
    /// Deletions that are computed at once. The result does not depend on it.
    pub threads: usize,
    /// Folder for the journal and the report; a run that was broken off goes on there.
    pub out: Option<PathBuf>,
    /// Files with evidence: PHEE's events, a teacher's labels.
    pub evidence: Vec<PathBuf>,
    /// The bundle's folder, if its explanations shall be compared with those of a copy with shuffled weights.
    pub shuffle: Option<PathBuf>,
}

/// Measures a model; writes `report.json`, `report.txt` and `report.html` into the folder, if there is one. `open` opens copies with shuffled weights.
///
/// # Errors
/// The corpus is bad or holds nothing to measure, the folder holds another run, or the model fails.
pub fn run<M: Model>(model: &M, job: &Job, open: impl Fn(&Path) -> Result<M>) -> Result<Report> {
    if job.limit > table::MOST_PLAYERS {
        return Err(Error::Usage(format!(
            "--limit must be at most {}: a text of n words is read 2^n times",
            table::MOST_PLAYERS
        )));
    }
    let documents = corpus::read(&job.corpus, job.format, &job.options)?.documents;
    let (mut journal, records) = match &job.out {
        None => (None, Vec::new()),
        Some(out) => {
            fs::create_dir_all(out).map_err(Error::io("create", out))?;
            let identity = identity(model, job, &documents);
            let (journal, records) = Journal::open(&out.join("journal.jsonl"), &identity)?;
            (Some(journal), records)
        }
    };
    let study = study(model, job)?;
    let records = records_of(&study, job, &documents, records, |record| {
        journal.as_mut().map_or(Ok(()), |j| j.append(record))
    })?;
    if let Some(journal) = &mut journal {
        journal.sync()?;
    }
    let mut report = Report::new(
        (
            &model.manifest().model_id,
            model.hash(),
            &file_name(&job.corpus),
        ),
        &records,
        &job.arms.iter().map(|a| a.name.clone()).collect::<Vec<_>>(),
        &job.deletions.iter().map(|d| d.as_str()).collect::<Vec<_>>(),
        job.seed,
    );
    if report.sections.is_empty() {
        return Err(Error::file(
            &job.corpus,
            "the bundle reports nothing on it, so there is nothing to explain",
        ));
    }
    let deletion = job.deletions.first().copied().unwrap_or_default();
    for file in &job.evidence {
        let marked = evidence::read(file, &documents)?;
        let tick = progress::count("texts with evidence");
        let found = evidence::check(&study, &marked, deletion, tick)?;
        if found.is_empty() {
            // The types of the file may simply not be those of the bundle.
            eprintln!(
                "distill: skipped {}: the bundle reports none of the relations whose evidence it marks",
                file.display()
            );
        } else {
            report.evidence.insert(file_name(file), found);
        }
    }
    if let Some(bundle) = &job.shuffle {
        let copies = std::env::temp_dir().join(format!("distill-shuffled-{}", std::process::id()));
        let found = against_shuffled(&study, job, &documents, (bundle, &copies), open);
        // Kept until here: an engine reads its explain graph when it first needs it.
        let _ = fs::remove_dir_all(&copies);
        report.randomised = found?;
    }
    if let Some(out) = &job.out {
        let write = |name: &str, text: String| {
            let path = out.join(name);
            files::write(&path, text.as_bytes())
        };
        write("report.json", format!("{:#}\n", report.json()))?;
        write("report.txt", report.to_string())?;
        write("report.html", picture::html(&report))?;
    }
    Ok(report)
}

/// Compares the explanations of the job's last setting with those of copies of the bundle with shuffled weights, written into the folder `copies`.
fn against_shuffled<M: Model>(
    study: &Study<'_, M>,
    job: &Job,
    documents: &[Document],
    (bundle, copies): (&Path, &Path),
    open: impl Fn(&Path) -> Result<M>,
) -> Result<Vec<report::Agreement>> {
    let setting = job.settings.last().copied().unwrap_or(Setting::Window);
    let mut texts = texts::texts(
        study.model,
        &job.corpus,
        documents,
        setting,
        job.limit,
        job.seed,
    )?;
    texts.truncate(SHUFFLED);
    let forgetful = (1..=SHUFFLED_MODELS).map(|n| {
        let copy = copies.join(n.to_string());
        fs::create_dir_all(copies).map_err(Error::io("create", copies))?;
        randomised::write(bundle, &copy, job.seed.wrapping_add(n))?;
        open(&copy)
    });
    let forgetful = forgetful.collect::<Result<Vec<M>>>()?;
    let others = (1..).zip(&forgetful).map(|(n, model)| {
        Ok(Study {
            seed: job.seed.wrapping_add(n), // chance must not agree with itself
            ..self::study(model, job)?
        })
    });
    let others = others.collect::<Result<Vec<_>>>()?;
    let deletion = job.deletions.first().copied().unwrap_or_default();
    randomised::check(study, &others, &texts, deletion)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn study<'m, M: Model>(model: &'m M, job: &Job) -> Result<Study<'m, M>> {
    let mut options = Options::new();
    options.set_i64("threads", i64::try_from(job.threads).unwrap_or(i64::MAX))?;
    options.set_i64("seed", i64::try_from(job.seed).unwrap_or(i64::MAX))?;
    Ok(Study {
        model,
        arms: job.arms.clone(),
        deletions: job.deletions.clone(),
        limit: job.limit,
        coding: job.coding,
        seed: job.seed,
        options,
    })
}

/// The records of a run, of which `records` were made before this process; `done` is told each new one. A signal ends it after the text under
/// way: the report is then of what there is, and the same command goes on.
fn records_of(
    study: &Study<'_, impl Model>,
    job: &Job,
    documents: &[Document],
    mut records: Vec<Record>,
    mut done: impl FnMut(&Record) -> Result<()>,
) -> Result<Vec<Record>> {
    let stop = progress::stop_signal()?;
    for setting in job.settings.iter().copied() {
        let texts = texts::texts(
            study.model,
            &job.corpus,
            documents,
            setting,
            job.limit,
            job.seed,
        )?;
        let before: Vec<&Record> = records.iter().filter(|r| r.setting == setting).collect();
        let begin = before.len();
        let mut found = [0; 2];
        before.iter().for_each(|record| count(&mut found, record));
        let mut timed = before.iter().filter(|r| !r.decisions.is_empty()).count();
        let share = |found: &[usize; 2], read: usize| {
            let of_quota = |n: &usize| *n as f64 / job.decisions.max(1) as f64;
            let least = found.iter().map(of_quota).fold(1.0, f64::min);
            least.max(read as f64 / texts.len().max(1) as f64)
        };
        let mut progress = Share::new(setting.as_str(), share(&found, begin));
        for (number, text) in texts.iter().enumerate().skip(begin) {
            let quota = found.map(|n: usize| job.decisions.saturating_sub(n).min(job.per_text));
            if quota == [0; 2] || stop.load(Ordering::Relaxed) {
                break;
            }
            let record = study.text(setting, number, text, quota, timed < TIMED)?;
            timed += usize::from(!record.decisions.is_empty());
            count(&mut found, &record);
            done(&record)?;
            records.push(record);
            let [entities, relations] = found;
            progress.at(
                share(&found, number + 1),
                &format!(
                    "{} texts, {entities} entities, {relations} relations",
                    number + 1
                ),
            );
        }
        progress.finish();
    }
    Ok(records)
}

fn count(found: &mut [usize; 2], record: &Record) {
    for decision in &record.decisions {
        for n in found.iter_mut().skip(decision.kind as usize).take(1) {
            *n += 1;
        }
    }
}

/// What must be equal for a run to go on with another's records: everything that decides them.
fn identity(model: &impl Model, job: &Job, documents: &[Document]) -> Value {
    let texts: Vec<&str> = documents.iter().map(|d| d.text.as_str()).collect();
    json!({
        "made_by": concat!("distill ", env!("CARGO_PKG_VERSION")),
        "bundle": card::model_hash(model.manifest()),
        "corpus": hex(texts.join("\0").as_bytes()),
        "settings": job.settings,
        "decisions": job.decisions,
        "per_text": job.per_text,
        "methods": job.arms.iter().map(|arm| arm.name.as_str()).collect::<Vec<_>>(),
        "deletions": job.deletions.iter().map(|d| d.as_str()).collect::<Vec<_>>(),
        "limit": job.limit,
        "coding": job.coding,
        "seed": job.seed,
    })
}

/// SHA-256 in lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
