//! Annotated documents, whatever format they came in: every reader yields [`Document`]s with UTF-8 byte offsets.
//!
//! Readers are strict, because a shifted offset would silently teach nonsense: what cannot be placed is a [`Defect`] with file and line, and
//! exactly that (a mention, a relation, a document) is left out. [`read`] refuses a corpus with more defects than its options allow, none
//! by default; [`examine`] lists them all. What a format holds and we do not use is counted in [`Corpus::notes`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

mod bioc;
mod brat;
mod conll;
mod corrected;
mod csv;
mod ddi;
mod draft;
mod drugprot;
mod files;
mod group;
mod json;
mod lines;
mod offsets;
mod options;
mod phee;
pub mod pubtator;
mod text;
mod xml;

pub(crate) use files::read_text;
pub(crate) use offsets::Offsets as CodePoints;
pub use offsets::Unit;
pub use options::{Options, Scheme};

/// File formats of corpora. The names are those of recipes and of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// PubTator: BC5CDR, NCBI-disease, BioRED
    Pubtator,
    /// BioC in XML
    BiocXml,
    /// BioC in JSON
    BiocJson,
    /// brat: .txt and .ann files
    Brat,
    /// CoNLL: a token a line, its tag in the last column
    Conll,
    /// PHEE: pharmacovigilance events, JSON lines
    Phee,
    /// DrugProt as JSON with character spans
    Drugprot,
    /// DDI 2013: XML
    Ddi,
    /// Plain text: a file or a line is a document
    Text,
    /// CSV with a column of text
    Csv,
    /// Texts as JSON lines: {"id", "text"}
    Jsonl,
    /// Results of bie, corrected by people: .json and .txt files
    Corrected,
}

impl Format {
    /// Extensions of the files that are read from a folder or a zip.
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Format::Pubtator => &["pubtator", "txt"],
            Format::BiocXml | Format::Ddi => &["xml"],
            Format::BiocJson | Format::Phee | Format::Drugprot => &["json", "jsonl"],
            Format::Brat => &["txt", "ann"],
            Format::Conll => &["tsv", "conll", "bio", "txt"],
            Format::Text => &["txt"],
            Format::Csv => &["csv", "tsv"],
            Format::Jsonl => &["jsonl", "json"],
            Format::Corrected => &["json", "txt"],
        }
    }

    /// Whether the format can hold mentions.
    pub fn is_annotated(self) -> bool {
        !matches!(self, Format::Text | Format::Csv | Format::Jsonl)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |v| v.get_name()))
    }
}

/// Where something was read: for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user named it; inside an archive its path goes on.
    pub file: Arc<Path>,
    /// Line, counted from 1.
    pub line: usize,
}

impl Source {
    /// An error at this place.
    pub fn error(&self, why: impl Into<String>) -> Error {
        Error::line(&self.file, self.line, why)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One document with its annotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The corpus's own id (a PMID).
    pub id: String,
    /// The whole text; every offset refers to it.
    pub text: String,
    /// Mentions in the order of the file.
    pub mentions: Vec<Mention>,
    /// Document-level relations in the order of the file.
    pub relations: Vec<GoldRelation>,
    /// Where the document begins.
    pub source: Source,
}

/// One annotated mention.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The corpus's own label.
    pub label: String,
    /// Ids of what is mentioned; empty if the annotators found none, several for a composite mention.
    pub concepts: Vec<String>,
}

/// A relation between two concepts, stated somewhere in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldRelation {
    /// Concept id.
    pub head: String,
    /// Concept id.
    pub tail: String,
    /// The corpus's own label.
    pub label: String,
}

/// Something in a corpus that cannot be used as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Where.
    pub source: Source,
    /// What is wrong and what to do; never a byte of a document's text.
    pub why: String,
}

/// What a corpus holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Corpus {
    /// Documents in the order of the files, each once.
    pub documents: Vec<Document>,
    /// Documents left out because the same id with the same text came before.
    pub duplicates: usize,
    /// The annotators marked mentions and named no concepts: concept ids are ids of mentions until [`Corpus::group`] joins them.
    pub mention_level: bool,
    /// What was left out or changed although nothing is wrong with it, and how often.
    pub notes: BTreeMap<&'static str, usize>,
    /// Everything that is wrong, in the order of the files.
    pub defects: Vec<Defect>,
}

/// Reads a corpus: a file (plain or gzip), a folder or a zip of files.
///
/// # Errors
/// It cannot be read, or has more defects than `options.max_defects`; the message names file and line of the first.
pub fn read(path: &Path, format: Format, options: &Options) -> Result<Corpus> {
    let corpus = examine(path, format, options)?;
    let count = corpus.defects.len();
    match corpus.defects.first() {
        Some(first) if count > options.max_defects => {
            let others = match count {
                1 => String::new(),
                _ => format!(" (and {} more: `distill data check` lists them)", count - 1),
            };
            Err(first.source.error(format!("{}{others}", first.why)))
        }
        _ => Ok(corpus),
    }
}

/// Reads a corpus whatever is wrong in it: what is defective is left out and listed.
///
/// # Errors
/// It cannot be read at all: a file is missing, a zip damaged.
pub fn examine(path: &Path, format: Format, options: &Options) -> Result<Corpus> {
    let mut reading = Reading {
        options,
        corpus: Corpus::default(),
        seen: HashMap::new(),
    };
    let files = files::files(path, format.extensions(), &mut reading.corpus.defects)?;
    let out = &mut reading;
    match format {
        Format::Pubtator => pubtator::read(&files, out),
        Format::BiocXml => bioc::read_xml(&files, out),
        Format::BiocJson => bioc::read_json(&files, out),
        Format::Brat => brat::read(&files, out),
        Format::Conll => conll::read(&files, out),
        Format::Phee => phee::read(&files, out),
        Format::Drugprot => drugprot::read(&files, out),
        Format::Ddi => ddi::read(&files, out),
        Format::Text => text::read(&files, out),
        Format::Csv => csv::read(&files, out),
        Format::Jsonl => text::read_json_lines(&files, out),
        Format::Corrected => corrected::read(&files, out),
    }
    let mut corpus = reading.corpus;
    for relation in corpus.documents.iter_mut().flat_map(|d| &mut d.relations) {
        if options.reversed.contains(&relation.label) {
            std::mem::swap(&mut relation.head, &mut relation.tail);
        }
    }
    Ok(corpus)
}

/// A corpus being read.
struct Reading<'o> {
    options: &'o Options,
    corpus: Corpus,
    /// Positions of documents by id.
    seen: HashMap<String, usize>,
}

impl Reading<'_> {
    fn defect(&mut self, source: Source, why: impl Into<String>) {
        let why = why.into();
        self.corpus.defects.push(Defect { source, why });
    }

    fn note(&mut self, what: &'static str) {
        *self.corpus.notes.entry(what).or_default() += 1;
    }

    /// Appends a document unless it is the repetition of an earlier one.
    fn add(&mut self, document: Document) {
        let earlier = self.seen.get(&document.id);
        match earlier.and_then(|at| self.corpus.documents.get(*at)) {
            Some(earlier) if earlier.text == document.text => self.corpus.duplicates += 1,
            Some(earlier) => {
                let why = format!(
                    "document {} stands already at {} with another text; give each document its own id",
                    document.id, earlier.source
                );
                self.defect(document.source, why);
            }
            None => {
                self.seen
                    .insert(document.id.clone(), self.corpus.documents.len());
                self.corpus.documents.push(document);
            }
        }
    }
}

/// A number of a corpus's file.
fn number(field: &str) -> Option<usize> {
    let digits = !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| field.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
