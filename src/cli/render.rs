//! Results and bundles as text for people.

use std::io::{self, Write};
use std::ops::Range;

use bie::Extraction;
use bie::bundle::OperatingPoint;
use bie::engine::Engine;
use bie::result::Entity;
use bie::text::OffsetUnit;
use bie::text::offsets::Offsets;

use super::plain::printable;

/// Characters of context on each side of an entity.
const CONTEXT: usize = 32;
/// Colours of entity types, in turn: red, green, yellow, blue, magenta, cyan.
const COLOURS: [u8; 6] = [31, 32, 33, 34, 35, 36];

/// The unit of this name.
pub fn unit(name: &str) -> Option<OffsetUnit> {
    [OffsetUnit::Utf8, OffsetUnit::Utf16, OffsetUnit::Utf32]
        .into_iter()
        .find(|unit| unit.as_str() == name)
}

/// Entities in their context, then relations, then what was not read.
///
/// `extraction` has offsets in bytes of `text`; they are shown in `unit`.
pub fn text(
    out: &mut dyn Write,
    text: &str,
    extraction: &Extraction,
    unit: OffsetUnit,
    colour: bool,
) -> io::Result<()> {
    let unread = &extraction.coverage.unread;
    let edges = extraction
        .entities
        .iter()
        .flat_map(|entity| [entity.start, entity.end]);
    let edges = edges.chain(unread.iter().flat_map(|&(start, end)| [start, end]));
    let offsets = Offsets::new(text, unit, edges.map(|edge| edge as usize));
    let range = |start: u32, end: u32| {
        format!(
            "{}-{}",
            offsets.get(start as usize),
            offsets.get(end as usize)
        )
    };

    let names: Vec<&str> = extraction
        .entities
        .iter()
        .map(|entity| name(&extraction.entity_types, entity.label))
        .collect();
    let ranges: Vec<String> = extraction
        .entities
        .iter()
        .map(|entity| range(entity.start, entity.end))
        .collect();
    let name_width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let range_width = ranges.iter().map(String::len).max().unwrap_or(0);

    writeln!(
        out,
        "{}",
        count(extraction.entities.len(), "entity", "entities")
    )?;
    // The names that `bie explain --target` takes.
    let number_width = |count: usize| count.saturating_sub(1).to_string().len();
    let width = number_width(extraction.entities.len());
    let entities = extraction.entities.iter().zip(names).zip(ranges);
    for (at, ((entity, name), range)) in entities.enumerate() {
        let (before, words, after) = context(text, entity);
        let words = mark(&words, entity.label, colour);
        writeln!(
            out,
            "  e{at:<width$}  {name:name_width$}  {:.2}  {range:>range_width$}  {before}{words}{after}",
            entity.score
        )?;
    }

    writeln!(
        out,
        "\n{}",
        count(extraction.relations.len(), "relation", "relations")
    )?;
    let width = number_width(extraction.relations.len());
    for (at, relation) in extraction.relations.iter().enumerate() {
        let words = |index: u32| {
            extraction
                .entities
                .get(index as usize)
                .map(|entity| printable(&entity.text))
                .unwrap_or_default()
        };
        let kind = name(&extraction.relation_types, relation.label);
        writeln!(
            out,
            "  r{at:<width$}  {} → {kind} → {}  {:.2}",
            words(relation.head),
            words(relation.tail),
            relation.score
        )?;
    }

    if !unread.is_empty() {
        let ranges: Vec<String> = unread
            .iter()
            .map(|&(start, end)| range(start, end))
            .collect();
        writeln!(out, "\nnot read: {}", ranges.join(", "))?;
    }
    Ok(())
}

/// What a bundle is and what it knows.
pub fn info(out: &mut dyn Write, engine: &Engine) -> io::Result<()> {
    let manifest = engine.manifest();
    writeln!(out, "model        {}", printable(&manifest.model_id))?;
    writeln!(out, "bundle hash  {}", engine.bundle_hash())?;
    writeln!(out, "precision    {}", printable(&manifest.precision))?;
    writeln!(out, "window       {} tokens", manifest.max_tokens)?;
    writeln!(out, "library      {}", bie::VERSION)?;

    writeln!(
        out,
        "\n{}",
        count(manifest.entities.len(), "entity type", "entity types")
    )?;
    for entity in &manifest.entities {
        writeln!(
            out,
            "  {}  reported from {:.2}",
            printable(&entity.name),
            entity.threshold
        )?;
        out.write_all(trade_off(&entity.operating_points).as_bytes())?;
    }
    writeln!(
        out,
        "\n{}",
        count(manifest.relations.len(), "relation type", "relation types")
    )?;
    for relation in &manifest.relations {
        let (head, tail) = (
            printable(&relation.head.join("|")),
            printable(&relation.tail.join("|")),
        );
        let arrow = if relation.symmetric { "↔" } else { "→" };
        writeln!(
            out,
            "  {head} {arrow} {} {arrow} {tail}  reported from {:.2}",
            printable(&relation.name),
            relation.threshold
        )?;
        out.write_all(trade_off(&relation.operating_points).as_bytes())?;
    }
    Ok(())
}

/// A line of what some thresholds did where the bundle was calibrated; nothing if it was not.
fn trade_off(points: &[OperatingPoint]) -> String {
    let at_least = |score: f32| points.iter().find(|p| p.score > score - 0.01);
    let shown = [0.1, 0.3, 0.5, 0.7, 0.9].into_iter().filter_map(at_least);
    let each = |p: &OperatingPoint| {
        let (precision, recall) = (100.0 * p.precision, 100.0 * p.recall);
        format!("   {:.2}: {precision:.0}/{recall:.0}", p.score)
    };
    let each: String = shown.map(each).collect();
    match each.as_str() {
        "" => each,
        _ => format!("    threshold: precision/recall %{each}\n"),
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}

fn name(names: &[String], label: u32) -> &str {
    names.get(label as usize).map_or("?", String::as_str)
}

/// An entity stands out by colour, or in brackets where there is none.
fn mark(words: &str, label: u32, colour: bool) -> String {
    match COLOURS.get(label as usize % COLOURS.len()) {
        Some(code) if colour => format!("\x1b[1;{code}m{words}\x1b[0m"),
        _ => format!("[{words}]"),
    }
}

/// What stands before an entity, the entity, and what stands after it, in one line.
fn context(text: &str, entity: &Entity) -> (String, String, String) {
    let Range { start, end } = entity.start as usize..entity.end as usize;
    let (before, words, after) = (text.get(..start), text.get(start..end), text.get(end..));
    let (before, words, after) = (
        before.unwrap_or_default(),
        words.unwrap_or_default(),
        after.unwrap_or_default(),
    );
    let from = before
        .char_indices()
        .rev()
        .nth(CONTEXT - 1)
        .map_or(0, |(at, _)| at);
    let to = after
        .char_indices()
        .nth(CONTEXT)
        .map_or(after.len(), |(at, _)| at);
    // Cut at a word's edge, and show that it is cut.
    let mut left = before.get(from..).unwrap_or_default();
    if from > 0 {
        left = left
            .split_once(char::is_whitespace)
            .map_or(left, |(_, rest)| rest);
    }
    let mut right = after.get(..to).unwrap_or_default();
    if to < after.len() {
        right = right
            .rsplit_once(char::is_whitespace)
            .map_or(right, |(rest, _)| rest);
    }
    let left = format!("{}{}", if from > 0 { "… " } else { "" }, printable(left));
    let right = format!(
        "{}{}",
        printable(right.trim_end()),
        if to < after.len() { " …" } else { "" }
    );
    (left, printable(words), right)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bie::result::{Coverage, Relation};

    fn extraction(text: &str) -> Extraction {
        let entity = |words: &str, label| {
            let start = text.find(words).unwrap();
            Entity {
                start: start as u32,
                end: (start + words.len()) as u32,
                label,
                score: 0.987,
                group: label,
                text: words.into(),
            }
        };
        Extraction {
            model_id: "m".into(),
            bundle_hash: "h".into(),
            offset_unit: OffsetUnit::Utf8,
            entities: vec![entity("cisplatin", 0), entity("renal\nfailure", 1)],
            relations: vec![Relation {
                head: 0,
                tail: 1,
                label: 0,
                score: 0.93,
            }],
            coverage: Coverage {
                length: text.len() as u32,
                windows: 1,
                unread: vec![(0, 2)],
            },
            entity_types: ["Chemical".into(), "Disease".into()].into(),
            relation_types: ["causes".into()].into(),
            origin: Default::default(),
        }
    }

    fn shown(document: &str, unit: OffsetUnit, colour: bool) -> String {
        let mut out = Vec::new();
        text(&mut out, document, &extraction(document), unit, colour).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn entities_stand_in_their_context_and_relations_below() {
        let document = "β In this report of two patients with long histories cisplatin caused renal\nfailure\x1b[2J.";
        let bytes = shown(document, OffsetUnit::Utf8, false);
        let lines: Vec<&str> = bytes.lines().collect();
        assert_eq!(lines.len(), 8, "{bytes}");
        assert!(lines[1].contains("e0  Chemical  0.99  54-63"), "{bytes}");
        assert!(
            lines[1]
                .ends_with("patients with long histories [cisplatin] caused renal failure [2J."),
            "{bytes}"
        );
        assert!(lines[2].contains("e1  Disease   0.99  71-84"), "{bytes}");
        assert_eq!(lines[5], "  r0  cisplatin → causes → renal failure  0.93");
        assert_eq!(lines[7], "not read: 0-2");
        let points = shown(document, OffsetUnit::Utf32, false);
        assert!(
            points.contains("53-62") && points.contains("not read: 0-1"),
            "{points}"
        );
    }

    #[test]
    fn colour_replaces_brackets() {
        let text = shown("cisplatin renal\nfailure", OffsetUnit::Utf8, true);
        assert!(
            text.contains("\x1b[1;31mcisplatin\x1b[0m") && !text.contains("[cisplatin]"),
            "{text}"
        );
    }

    #[test]
    fn units_by_name() {
        assert_eq!(unit("utf16"), Some(OffsetUnit::Utf16));
        assert_eq!(unit("UTF8"), None);
    }

    #[test]
    fn what_thresholds_do_is_one_line_or_none() {
        let point = |twentieth: u8| OperatingPoint {
            score: f32::from(twentieth) / 20.0,
            precision: 0.5 + f32::from(twentieth) / 40.0,
            recall: 1.0 - f32::from(twentieth) / 20.0,
            reported: 10,
            right: 8,
            gold: 20,
        };
        let points: Vec<OperatingPoint> = (1..20).map(point).collect();
        assert_eq!(
            trade_off(&points),
            "    threshold: precision/recall %   0.10: 55/90   0.30: 65/70   0.50: 75/50   0.70: 85/30   0.90: 95/10\n"
        );
        assert_eq!(trade_off(&[]), "");
    }
}
