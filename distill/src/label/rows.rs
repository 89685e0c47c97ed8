//! From the answers about a document to its row of the label file.
//!
//! A document's k answers give each outcome k values: its probability by log-probabilities, or as stated, or 1. Where an answer leaves the
//! outcome out, the value is that of leaving out. Log-probabilities and stated ones are averaged; votes are counted, with
//! `smoothing` added to each possible outcome. The first rule that all answers of a document allow is used for all of it, and named in the row.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::teacher::Labels;

use super::align::{Aligner, How, Quote};
use super::answer::{self, Answer};
use super::reply::Record;
use super::settings::{Mode, Task};
use super::texts::Text;

mod entities;
mod pairs;

pub use entities::entities;
pub use pairs::pairs;
pub(super) use pairs::stated;

/// Why a document has no row although it has answers.
const NO_LOGPROBS: &str = "the log-probabilities do not tell the labels apart";

/// What of a document's answers could not be used, and how quotes were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often, by what.
    pub defects: BTreeMap<&'static str, usize>,
    /// How often, by how.
    pub quotes: BTreeMap<How, usize>,
}

impl Tally {
    fn defect(&mut self, what: &'static str) {
        *self.defects.entry(what).or_default() += 1;
    }

    /// Where a quote stands; if nowhere, that is a defect.
    fn find(&mut self, aligner: &Aligner, quote: &Quote) -> Option<Vec<Range<usize>>> {
        match aligner.find(quote) {
            Ok(found) => {
                *self.quotes.entry(found.how).or_default() += 1;
                Some(found.spans)
            }
            Err(why) => {
                self.defect(why.reason());
                None
            }
        }
    }

    fn answers<'r>(&mut self, mode: Mode, records: &[&'r Record]) -> Vec<(Answer, &'r Record)> {
        let mut answers = Vec::new();
        for record in records {
            // Only answers that can be read were kept.
            let answer = answer::read(mode, &record.content).unwrap_or_default();
            for _ in 0..answer.malformed {
                self.defect("an element is not what was asked for");
            }
            answers.push((answer, *record));
        }
        answers
    }
}

/// A row without labels.
fn blank(task: &Task, text: &Text) -> Labels {
    let of = task.texts.get(text.of);
    Labels {
        id: text.document.id.clone(),
        corpus: of.and_then(|t| t.corpus.clone()),
        split: of.and_then(|t| t.split.clone()),
        text: text.document.text.clone(),
        pairs: None,
        entities: Vec::new(),
        relations: Vec::new(),
        rule: None,
        source: text.document.source.clone(),
    }
}

/// Four digits: a model's probabilities are not known better.
fn round(p: f64) -> f64 {
    (p * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests;
