//! Text, unlabelled: a file is a document, or a line is, plain or as JSON.

use serde::Deserialize;

use super::files::File;
use super::{Document, Reading, Source};

/// Reads text files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    for file in files {
        if out.options.one_per_line {
            for (at, line) in file.text.lines().enumerate() {
                let id = format!("{}:{}", file.id, at + 1);
                document(id, line, file.at(at + 1), out);
            }
        } else {
            document(file.id.clone(), &file.text, file.at(1), out);
        }
    }
}

/// One document a line: `{"id", "text"}`; further fields are not looked at.
pub(super) fn read_json_lines(files: &[File], out: &mut Reading) {
    #[derive(Deserialize)]
    struct Line {
        id: String,
        text: String,
    }
    for file in files {
        let lines = file.text.lines().enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(Line { id, text }) => document(id, &text, file.at(at + 1), out),
                // serde's own message may quote the line.
                Err(e) => out.defect(
                    file.at(at + 1),
                    format!(
                        "expected {{\"id\": \"...\", \"text\": \"...\"}}, both strings (column {})",
                        e.column()
                    ),
                ),
            }
        }
    }
}

fn document(id: String, text: &str, source: Source, out: &mut Reading) {
    if text.trim().is_empty() {
        return out.note("documents without text, left out");
    }
    out.add(Document {
        id,
        text: text.to_owned(),
        mentions: Vec::new(),
        relations: Vec::new(),
        source,
    });
}

#[cfg(test)]
mod tests {
    use crate::corpus::{Format, Options, examine};

    #[test]
    fn json_lines_are_read_and_a_bad_line_is_named_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.jsonl");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            examine(&path, Format::Jsonl, &Options::default()).unwrap()
        };
        let corpus =
            read("{\"id\":\"1\",\"text\":\"β\",\"more\":2}\n\n{\"id\":\"2\",\"text\":\"x\"}\n");
        assert_eq!((corpus.documents.len(), corpus.defects.len()), (2, 0));
        assert_eq!(corpus.documents[1].source.line, 3);
        for bad in [
            "{\"id\":1,\"text\":\"secret\"}",
            "{\"id\":\"secret\"}",
            "secret",
            "[\"secret\"]",
        ] {
            let defect = read(&format!("\n{bad}\n")).defects.remove(0);
            assert_eq!(defect.source.line, 2);
            assert!(defect.why.starts_with("expected"), "{}", defect.why);
            assert!(!defect.why.contains("secret"), "{}", defect.why);
        }
    }
}
