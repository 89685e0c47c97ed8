//! A model whose answers are kept on the disk: measuring a large model takes long, and goes on where a killed process left it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bie::bundle::Manifest;
use bie::engine::{GivenMention, ScoredPair};
use bie::result::{Coverage, Entity, Origin, Relation};
use bie::text::OffsetUnit;
use bie::{Error as LibraryError, Extraction};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::Model;
use crate::error::{Error, Result};
use crate::journal::Journal;

/// Begins the names of the files.
const PREFIX: &str = "evaluation-";

/// A model that is asked once: what it said is read back by the next process that measures it.
pub struct Remembered<'m, M> {
    model: &'m M,
    before: BTreeMap<String, Said>,
    journal: RefCell<Journal>,
    reused: Cell<bool>,
}

/// A line of the journal: a hash of what was asked, and the answer. No text is kept.
#[derive(Serialize, Deserialize)]
struct Line {
    asked: String,
    said: Said,
}

#[derive(Clone, Serialize, Deserialize)]
enum Said {
    Found {
        /// Start, end, type, score, group.
        entities: Vec<(u32, u32, u32, f32, u32)>,
        /// Head, tail, type, score.
        relations: Vec<(u32, u32, u32, f32)>,
        /// Length, windows, unread.
        coverage: (u32, u32, Vec<(u32, u32)>),
    },
    /// Head, tail, probabilities.
    Pairs(Vec<(usize, usize, Vec<f32>)>),
}

impl<'m, M: Model> Remembered<'m, M> {
    /// Keeps the answers of `model` in a file of `folder`; a damaged file is begun anew.
    ///
    /// # Errors
    /// Another process measures there, or the operating system refuses.
    pub fn new(model: &'m M, folder: &Path) -> Result<Self> {
        let (manifest, version) = (model.manifest(), env!("CARGO_PKG_VERSION"));
        // Thresholds decide what is reported.
        let identity = json!({
            "made_by": version, "bundle": model.hash(), "entities": manifest.entities, "relations": manifest.relations,
        });
        let path = folder.join(format!("{PREFIX}{:.16}.jsonl", hash(&identity.to_string())));
        let (journal, lines) = match Journal::open::<Line>(&path, &identity) {
            Err(Error::Line { .. } | Error::File { .. }) if path.is_file() => {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                Journal::open(&path, &identity)?
            }
            opened => opened?,
        };
        Ok(Remembered {
            model,
            before: lines
                .into_iter()
                .map(|line| (line.asked, line.said))
                .collect(),
            journal: RefCell::new(journal),
            reused: Cell::new(false),
        })
    }

    /// Whether an answer was given by an earlier process: the time it took is not known here.
    pub fn reused(&self) -> bool {
        self.reused.get()
    }

    /// What was asked before, else what `ask` says, which is kept.
    fn once(&self, asked: String, ask: impl FnOnce() -> Result<Said>) -> Result<Said> {
        let asked = hash(&asked);
        if let Some(said) = self.before.get(&asked) {
            self.reused.set(true);
            return Ok(said.clone());
        }
        let said = ask()?;
        let line = Line { asked, said };
        self.journal.borrow_mut().append(&line)?;
        Ok(line.said)
    }
}

/// Removes all files of answers in a folder: the measuring is over.
///
/// # Errors
/// The operating system refuses.
pub fn forget(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let ours = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    };
    for path in entries.flatten().map(|entry| entry.path()).filter(ours) {
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

impl<M: Model> Model for Remembered<'_, M> {
    fn manifest(&self) -> &Manifest {
        self.model.manifest()
    }

    fn hash(&self) -> &str {
        self.model.hash()
    }

    fn tokens(&self, text: &str) -> Result<usize> {
        self.model.tokens(text)
    }

    fn extract(&self, text: &str) -> Result<Extraction> {
        let said = self.once(format!("extract\0{text}"), || {
            Ok(found(&self.model.extract(text)?))
        })?;
        let Said::Found {
            entities,
            relations,
            coverage: (length, windows, unread),
        } = said
        else {
            return Err(misplaced());
        };
        let manifest = self.manifest();
        let entity = |(start, end, label, score, group): (u32, u32, u32, f32, u32)| Entity {
            start,
            end,
            label,
            score,
            group,
            text: text
                .get(start as usize..end as usize)
                .unwrap_or_default()
                .to_owned(),
        };
        let relation = |(head, tail, label, score)| Relation {
            head,
            tail,
            label,
            score,
        };
        Ok(Extraction {
            model_id: manifest.model_id.clone(),
            bundle_hash: self.hash().to_owned(),
            offset_unit: OffsetUnit::Utf8,
            entities: entities.into_iter().map(entity).collect(),
            relations: relations.into_iter().map(relation).collect(),
            coverage: Coverage {
                length,
                windows,
                unread,
            },
            entity_types: manifest.entities.iter().map(|e| e.name.clone()).collect(),
            relation_types: manifest.relations.iter().map(|r| r.name.clone()).collect(),
            origin: Origin::default(),
        })
    }

    fn relate(&self, text: &str, mentions: &[GivenMention]) -> Result<Vec<ScoredPair>> {
        let said = self.once(format!("relate\0{mentions:?}\0{text}"), || {
            let pairs = self.model.relate(text, mentions)?.into_iter();
            Ok(Said::Pairs(
                pairs.map(|p| (p.head, p.tail, p.probabilities)).collect(),
            ))
        })?;
        let Said::Pairs(pairs) = said else {
            return Err(misplaced());
        };
        let pair = |(head, tail, probabilities)| ScoredPair {
            head,
            tail,
            probabilities,
        };
        Ok(pairs.into_iter().map(pair).collect())
    }
}

fn found(extraction: &Extraction) -> Said {
    let entities = extraction.entities.iter();
    let relations = extraction.relations.iter();
    let coverage = &extraction.coverage;
    Said::Found {
        entities: entities
            .map(|e| (e.start, e.end, e.label, e.score, e.group))
            .collect(),
        relations: relations
            .map(|r| (r.head, r.tail, r.label, r.score))
            .collect(),
        coverage: (coverage.length, coverage.windows, coverage.unread.clone()),
    }
}

fn misplaced() -> Error {
    LibraryError::InvalidArgument("a kept answer is of another question".into()).into()
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
