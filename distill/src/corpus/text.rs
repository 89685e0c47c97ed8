//! Plain text, unlabelled: a file is a document, or a line is.

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
