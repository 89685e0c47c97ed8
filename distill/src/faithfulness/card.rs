//! The table's place in a bundle: its card. The model's own files stay as they are, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bie::bundle::{Bundle, Manifest};

use crate::error::{Error, Result};

use super::hex;
use super::report::Report;

/// Name of the card's file.
const CARD: &str = "README.md";

/// The section's heading.
const HEADING: &str = "## Explanations";

/// The section that it is put before.
const BEFORE: &str = "## Limits";

/// Writes the report's table into the bundle's card, section "Explanations", replacing an earlier one. The manifest, which every host reads at open,
/// changes only by the card's hash. Returns the new bundle's hash.
///
/// # Errors
/// The bundle is damaged, its card is not UTF-8, or the operating system refuses; then it stays as it was.
pub fn write(bundle: &Path, report: &Report) -> Result<String> {
    let manifest = Bundle::open(bundle)?.manifest;
    let mut files = files(bundle, &manifest)?;
    let card = String::from_utf8(files.remove(CARD).unwrap_or_default())
        .map_err(|_| Error::file(&bundle.join(CARD), "the card is not UTF-8"))?;
    files.insert(
        CARD.to_owned(),
        with_section(&card, HEADING, &section(report)).into_bytes(),
    );
    Ok(Bundle::write(bundle, &manifest, &files)?)
}

/// All files of a bundle that its manifest lists.
///
/// # Errors
/// One cannot be read.
pub fn files(bundle: &Path, manifest: &Manifest) -> Result<BTreeMap<String, Vec<u8>>> {
    let read = |name: &String| {
        let path = bundle.join(name);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        Ok((name.clone(), bytes))
    };
    manifest.files.keys().map(read).collect()
}

/// What stays the same when a bundle gets its figures written in: the hash of its manifest without card and provenance.
pub fn model_hash(manifest: &Manifest) -> String {
    let mut manifest = manifest.clone();
    manifest.files.remove(CARD);
    manifest.provenance = serde_json::Value::Null;
    hex(serde_json::json!(manifest).to_string().as_bytes())
}

fn section(report: &Report) -> String {
    format!(
        "{HEADING}\n\nHow faithful the explanations of its decisions on {} are, measured by `distill faithfulness` (docs/explain.md says what the columns mean); 95 % intervals over texts. Milliseconds are of the machine that measured.\n\n```\n{}```\n",
        report.corpus,
        report.tables()
    )
}

/// The card with the section in the place of an earlier one under the same heading, else before the limits, else at the end.
pub(crate) fn with_section(card: &str, heading: &str, section: &str) -> String {
    let is = |line: &str, heading: &str| line.trim_end() == heading;
    let mut parts: Vec<String> = vec![String::new()];
    let mut fenced = false;
    for line in card.split_inclusive('\n') {
        fenced ^= line.starts_with("```");
        if !fenced && line.starts_with("## ") {
            parts.push(String::new());
        }
        parts
            .last_mut()
            .into_iter()
            .for_each(|part| part.push_str(line));
    }
    let of = |name: &str| {
        let first = |part: &String| part.lines().next().is_some_and(|line| is(line, name));
        parts.iter().position(first)
    };
    let section = format!("{section}\n");
    match (of(heading), of(BEFORE)) {
        (Some(own), _) => parts.splice(own..=own, [section]),
        (None, Some(before)) => parts.splice(before..before, [section]),
        (None, None) => parts.splice(parts.len().., [format!("\n{section}")]),
    };
    let mut card = parts.concat();
    card.truncate(card.trim_end().len());
    card.push('\n');
    card
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "# m\n\n## How well it does\n\n```\n## Limits\n```\n\n## Limits\n\n- none\n";

    #[test]
    fn the_section_goes_before_the_limits_and_is_replaced_the_next_time() {
        let once = with_section(CARD, HEADING, "## Explanations\n\nfirst\n");
        assert_eq!(
            once,
            "# m\n\n## How well it does\n\n```\n## Limits\n```\n\n## Explanations\n\nfirst\n\n## Limits\n\n- none\n"
        );
        let twice = with_section(&once, HEADING, "## Explanations\n\nsecond\n");
        assert_eq!(twice, once.replace("first", "second"));
    }

    #[test]
    fn a_card_without_limits_gets_it_at_the_end() {
        let once = with_section("# m\n", HEADING, "## Explanations\n\nx\n");
        assert_eq!(once, "# m\n\n## Explanations\n\nx\n");
        assert_eq!(with_section(&once, HEADING, "## Explanations\n\nx\n"), once);
        assert_eq!(
            with_section("", HEADING, "## Explanations\n"),
            "\n## Explanations\n"
        );
    }
}
