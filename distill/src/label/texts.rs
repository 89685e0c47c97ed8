//! The texts of a task, whatever format they came in.

use std::collections::HashMap;

use crate::corpus::{self, Document};
use crate::error::Result;

use super::settings::Task;

/// A text to label, and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// The text with what the corpus marks.
    pub document: Document,
    /// Index into [`Task::texts`].
    pub of: usize,
}

/// All texts of a task in the order of its files, each once, and how many were left out because they came before.
///
/// # Errors
/// A file cannot be read, a line is malformed, or an id stands for two texts.
pub fn read(task: &Task) -> Result<(Vec<Text>, usize)> {
    let mut texts: Vec<Text> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut repeated = 0;
    for (of, source) in task.texts.iter().enumerate() {
        let path = task.resolve(&source.path);
        let mut corpus = corpus::read(&path, source.format, &source.options)?;
        corpus.group(|label| source.map.get(label).cloned().unwrap_or(label.to_owned()));
        repeated += corpus.duplicates;
        for document in corpus.documents {
            let earlier = seen.get(&document.id).and_then(|at| texts.get(*at));
            match earlier {
                Some(earlier) if earlier.document.text == document.text => repeated += 1,
                Some(earlier) => {
                    return Err(document.source.error(format!(
                        "document {} stands already at {} with another text; give each document its own id",
                        document.id, earlier.document.source
                    )));
                }
                None => {
                    seen.insert(document.id.clone(), texts.len());
                    texts.push(Text { document, of });
                }
            }
        }
    }
    Ok((texts, repeated))
}
