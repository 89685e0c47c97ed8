//! Reports for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use super::{CorpusReport, Counts, Found, Mapping, Report};
use crate::corpus::Defect;

/// `Chemical 12, Disease 3`.
fn listed(counts: &Counts) -> String {
    let mut counts: Vec<(&String, &usize)> = counts.iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let parts: Vec<String> = counts
        .iter()
        .map(|(label, n)| format!("{label} {n}"))
        .collect();
    parts.join(", ")
}

fn total(counts: &Counts) -> usize {
    counts.values().sum()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, corpus) in self.corpora.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{corpus}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CorpusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = self
            .role
            .map(|role| format!(", {role}"))
            .unwrap_or_default();
        writeln!(f, "{} ({}{role})", self.path.display(), self.format)?;
        writeln!(
            f,
            "  documents    {}; repetitions left out {}; texts that stand under another id, too: {}",
            self.documents, self.duplicates, self.repeated_texts
        )?;
        for (name, counts) in [("mentions", &self.mentions), ("relations", &self.relations)] {
            if !counts.is_empty() {
                writeln!(f, "  {name:<13}{}: {}", total(counts), listed(counts))?;
            }
        }
        let o = self.overlaps;
        if o.nested + o.crossing > 0 {
            writeln!(
                f,
                "  overlaps     {} within another mention ({} of the same type), {} crossing another ({})",
                o.nested, o.nested_same, o.crossing, o.crossing_same
            )?;
        }
        for (note, count) in &self.notes {
            writeln!(f, "  note         {note}: {count}")?;
        }
        for (what, found) in [
            ("documents with control characters", &self.control),
            ("documents with U+FFFD, where text was lost", &self.replaced),
            ("documents that are not NFC", &self.not_nfc),
        ] {
            places(f, what, found)?;
        }
        if let Some(mapping) = &self.mapping {
            write!(f, "{mapping}")?;
        }
        let allowed = match self.max_defects {
            0 => String::new(),
            most => format!(" ({most} are allowed)"),
        };
        writeln!(f, "  defects      {}{allowed}", self.defects.len())?;
        for Defect { source, why } in &self.defects {
            writeln!(f, "    {source}: {why}")?;
        }
        Ok(())
    }
}

fn places(f: &mut fmt::Formatter<'_>, what: &str, found: &Found) -> fmt::Result {
    if found.count == 0 {
        return Ok(());
    }
    let first: Vec<String> = found.first.iter().map(ToString::to_string).collect();
    writeln!(
        f,
        "  warning      {what}: {}; first in {}",
        found.count,
        first.join(", ")
    )
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, counts) in [
            ("as mentions", &self.mentions),
            ("as relations", &self.relations),
            ("masked", &self.masked),
            ("dropped", &self.dropped),
        ] {
            if !counts.is_empty() {
                writeln!(f, "  {name:<13}{}: {}", total(counts), listed(counts))?;
            }
        }
        for (what, count) in [
            (
                "documents with an id of the evaluation",
                self.held_out_by_id,
            ),
            (
                "documents with a text of the evaluation under another id",
                self.held_out_by_text,
            ),
        ] {
            if count > 0 {
                writeln!(f, "  warning      {what}, left out of training: {count}")?;
            }
        }
        if self.in_earlier > 0 {
            writeln!(
                f,
                "  warning      documents whose text stands in an earlier corpus of the recipe: {}",
                self.in_earlier
            )?;
        }
        if !self.unmapped.is_empty() {
            writeln!(
                f,
                "  warning      neither mapped nor in the schema (map a label to \"\" to leave it out on purpose): {}",
                listed(&self.unmapped)
            )?;
        }
        if !self.misfits.is_empty() {
            writeln!(
                f,
                "  warning      relations whose ends have types that the schema does not admit: {}",
                listed(&self.misfits)
            )?;
        }
        if !self.absent.is_empty() {
            writeln!(
                f,
                "  warning      said to be annotated, but there is no example: {}",
                self.absent.join(", ")
            )?;
        }
        places(
            f,
            "mentions that begin or end inside a token",
            &self.inside_tokens,
        )
    }
}

impl Report {
    /// The report as `distill data check --json` prints it.
    pub fn json(&self) -> Value {
        let corpora: Vec<Value> = self.corpora.iter().map(corpus).collect();
        json!({ "corpora": corpora })
    }
}

fn found(found: &Found) -> Value {
    let first: Vec<String> = found.first.iter().map(ToString::to_string).collect();
    json!({ "count": found.count, "first": first })
}

fn corpus(c: &CorpusReport) -> Value {
    let defects: Vec<Value> = c
        .defects
        .iter()
        .map(|d| json!({ "file": d.source.file.display().to_string(), "line": d.source.line, "why": d.why }))
        .collect();
    json!({
        "path": c.path.display().to_string(),
        "format": c.format,
        "role": c.role,
        "documents": c.documents,
        "duplicates": c.duplicates,
        "repeated_texts": c.repeated_texts,
        "mentions": c.mentions,
        "relations": c.relations,
        "overlaps": {
            "nested": c.overlaps.nested,
            "nested_same_type": c.overlaps.nested_same,
            "crossing": c.overlaps.crossing,
            "crossing_same_type": c.overlaps.crossing_same,
        },
        "notes": c.notes,
        "control_characters": found(&c.control),
        "replacement_characters": found(&c.replaced),
        "not_nfc": found(&c.not_nfc),
        "mapping": c.mapping.as_ref().map(|m| json!({
            "mentions": m.mentions,
            "relations": m.relations,
            "masked": m.masked,
            "dropped": m.dropped,
            "unmapped": m.unmapped,
            "misfits": m.misfits,
            "absent": m.absent,
            "inside_tokens": found(&m.inside_tokens),
            "held_out_by_id": m.held_out_by_id,
            "held_out_by_text": m.held_out_by_text,
            "in_earlier_corpus": m.in_earlier,
        })),
        "max_defects": c.max_defects,
        "defects": defects,
    })
}
