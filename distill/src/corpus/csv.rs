//! CSV: one document a row, its text in one column; unlabelled.

use std::collections::HashSet;

use super::files::File;
use super::{Document, Reading};

/// Reads CSV files with a header.
pub(super) fn read(files: &[File], out: &mut Reading) {
    for file in files {
        table(file, out);
    }
}

fn table(file: &File, out: &mut Reading) {
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(out.options.delimiter().unwrap_or(b','))
        .flexible(true)
        .from_reader(file.text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(_) => return out.defect(file.at(1), "the header cannot be read"),
    };
    let twice: HashSet<&str> = header.iter().collect();
    if twice.len() < header.len() {
        return out.defect(file.at(1), "two columns have the same name");
    }
    let names: Vec<&str> = header.iter().map(str::trim).collect();
    let column = |name: &str| names.iter().position(|n| *n == name);
    let text_name = out.options.text_column.clone().unwrap_or_default();
    let id_name = out.options.id_column.clone();
    // The header is not quoted: without one, it would be the first row's text.
    let missing = |name: &str| {
        format!(
            "there is no column \"{name}\" in the first line; give its name there, or the option `delimiter`"
        )
    };
    let Some(text_column) = column(&text_name) else {
        return out.defect(file.at(1), missing(&text_name));
    };
    let id_column = match &id_name {
        Some(name) => match column(name) {
            Some(column) => Some(column),
            None => return out.defect(file.at(1), missing(name)),
        },
        None => None,
    };
    for (row, record) in reader.records().enumerate() {
        // Only reading text that is not UTF-8 can fail, and this is.
        let Ok(record) = record else { continue };
        let line = record.position().map_or(1, |p| p.line());
        let source = file.at(usize::try_from(line).unwrap_or(usize::MAX));
        if record.len() != names.len() {
            let why = format!(
                "{} columns where the header has {}; is a quote missing?",
                record.len(),
                names.len()
            );
            out.defect(source, why);
            continue;
        }
        let id = id_column.map(|c| record.get(c).unwrap_or_default().trim().to_owned());
        if id.as_deref() == Some("") {
            out.defect(source, "the id is empty");
            continue;
        }
        let text = record.get(text_column).unwrap_or_default();
        if text.trim().is_empty() {
            out.note("documents without text, left out");
            continue;
        }
        out.add(Document {
            id: id.unwrap_or_else(|| format!("{}:{}", file.id, row + 1)),
            text: text.to_owned(),
            mentions: Vec::new(),
            relations: Vec::new(),
            source,
        });
    }
}
