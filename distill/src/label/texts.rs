//! The texts of a task, whatever format they came in.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::corpus::{Corpus, Document, Source, pubtator, read_text};
use crate::error::Result;

use super::settings::{Format, Task};

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
        let corpus = read_file(source.format, &task.resolve(&source.path))?;
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

/// The one place that knows formats.
fn read_file(format: Format, path: &Path) -> Result<Corpus> {
    match format {
        Format::PubTator => pubtator::read(path),
        Format::Jsonl => json_lines(path, &read_text(path)?),
    }
}

#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
}

/// `{"id", "text"}`, one a line; further fields are not looked at.
fn json_lines(path: &Path, text: &str) -> Result<Corpus> {
    let file: Arc<Path> = Arc::from(path);
    let mut documents = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let source = Source {
            file: file.clone(),
            line: at + 1,
        };
        // serde's own message may quote the line.
        let line: Line = serde_json::from_str(line).map_err(|e| {
            source.error(format!(
                "expected {{\"id\": \"...\", \"text\": \"...\"}}, both strings (column {})",
                e.column()
            ))
        })?;
        documents.push(Document {
            id: line.id,
            text: line.text,
            mentions: Vec::new(),
            relations: Vec::new(),
            source,
        });
    }
    Ok(Corpus {
        documents,
        duplicates: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_are_read_and_a_bad_line_is_named_without_its_text() {
        let read = |text: &str| json_lines(Path::new("t.jsonl"), text);
        let corpus =
            read("{\"id\":\"1\",\"text\":\"β\",\"more\":2}\n\n{\"id\":\"2\",\"text\":\"x\"}\n")
                .unwrap();
        assert_eq!(corpus.documents.len(), 2);
        assert_eq!(corpus.documents[1].source.line, 3);
        for bad in [
            "{\"id\":1,\"text\":\"secret\"}",
            "{\"id\":\"secret\"}",
            "secret",
            "[\"secret\"]",
        ] {
            let error = read(&format!("\n{bad}\n")).unwrap_err().to_string();
            assert!(error.starts_with("t.jsonl:2: expected"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
