//! The worst errors: what the bundle is surest of and wrong, and what it was furthest from finding.
//!
//! By document and offsets. The text around them is told only if asked for: a report must not carry patients' words by accident.

use std::collections::BTreeSet;

use bie::bundle::Manifest;
use bie::explain::Game;
use bie::{Cancel, Engine, Options, Target};
use serde::Serialize;

use super::html::{self, Cell, Table};
use crate::eval::{Measured, Observed, canonical};
use crate::metrics::{Span, Triple};

/// Errors of each kind.
const SHOWN: usize = 15;

/// Bytes of text on each side, about.
const AROUND: usize = 60;

/// One error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wrong {
    /// The document's id.
    pub document: String,
    /// The type.
    pub label: String,
    /// Bytes of the mention; of a relation, of the first mentions of head and tail.
    pub spans: Vec<(usize, usize)>,
    /// The bundle's score of the type here; none where it has none, because no window holds both entities.
    pub score: Option<f32>,
    /// What is there instead.
    pub instead: String,
    /// The text around each span: before, inside, after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<[String; 3]>,
}

/// The worst of each kind, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// Mentions that are none.
    pub entities_wrong: Vec<Wrong>,
    /// Mentions that were not found.
    pub entities_missed: Vec<Wrong>,
    /// Relations between gold entities that do not hold.
    pub relations_wrong: Vec<Wrong>,
    /// Relations between gold entities that were not found.
    pub relations_missed: Vec<Wrong>,
}

/// The scores that a model gives to spans that it did not report.
pub trait Scores {
    /// One a span, none where no token was read there.
    fn scores(&self, document: &Observed, spans: &[Span]) -> Vec<Option<f32>>;
}

impl Scores for Engine {
    fn scores(&self, document: &Observed, spans: &[Span]) -> Vec<Option<f32>> {
        let targets: Vec<Target> = spans
            .iter()
            .map(|span| Target::Entity {
                start: span.start as u32,
                end: span.end as u32,
                label: span.label as u32,
                rival: None,
            })
            .collect();
        // The value of a decision with every word in place is its score: one forward pass for all of a window.
        let play = |targets: &[Target]| {
            let (text, extraction) = (&document.document.text, &document.extraction);
            let options = Options::default();
            self.play(
                text,
                extraction,
                targets,
                &options,
                &Cancel::new(),
                |game| game.values(&[vec![true; game.players()]]),
            )
        };
        let each = |target: &Target| {
            let value = play(&[*target])
                .ok()
                .and_then(|values| values.first().copied());
            value.map(|v| v as f32)
        };
        match play(&targets) {
            Ok(values) if values.len() == spans.len() => {
                values.into_iter().map(|v| Some(v as f32)).collect()
            }
            // Spans in several windows, or without a token.
            _ => targets.iter().map(each).collect(),
        }
    }
}

/// Finds the worst errors.
pub fn worst(
    manifest: &Manifest,
    measured: &Measured,
    model: &impl Scores,
    with_text: bool,
) -> Errors {
    let mut errors = Errors::default();
    for document in &measured.documents {
        entities(&mut errors, manifest, document, model);
        relations(&mut errors, manifest, document);
        // Kept short while documents go by.
        errors.sort_and_cut(4 * SHOWN);
    }
    errors.sort_and_cut(SHOWN);
    if with_text {
        errors.quote(measured);
    }
    errors
}

fn entities(errors: &mut Errors, manifest: &Manifest, document: &Observed, model: &impl Scores) {
    let gold: BTreeSet<Span> = document.gold.mentions.keys().copied().collect();
    let found: Vec<(Span, f32)> = document
        .extraction
        .entities
        .iter()
        .map(|e| {
            let (start, end, label) = (e.start as usize, e.end as usize, e.label as usize);
            (Span { start, end, label }, e.score)
        })
        .collect();
    let spans: Vec<Span> = found.iter().map(|f| f.0).collect();
    let name = |label: usize| {
        let kind = manifest.entities.get(label);
        kind.map(|e| e.name.clone()).unwrap_or_default()
    };
    let wrong = |span: &Span, score, others: &[Span]| Wrong {
        document: document.document.id.clone(),
        label: name(span.label),
        spans: vec![(span.start, span.end)],
        score,
        instead: instead(span, others, &name),
        text: Vec::new(),
    };
    let all_gold: Vec<Span> = gold.iter().copied().collect();
    for (span, score) in found.iter().filter(|(span, _)| !gold.contains(span)) {
        errors
            .entities_wrong
            .push(wrong(span, Some(*score), &all_gold));
    }
    let missed: Vec<Span> = all_gold
        .iter()
        .filter(|span| !spans.contains(span))
        .copied()
        .collect();
    if !missed.is_empty() {
        for (span, score) in missed.iter().zip(model.scores(document, &missed)) {
            errors.entities_missed.push(wrong(span, score, &spans));
        }
    }
}

/// What of `others` overlaps a span.
fn instead(span: &Span, others: &[Span], name: &impl Fn(usize) -> String) -> String {
    let mut overlapping = others
        .iter()
        .filter(|o| o.start < span.end && span.start < o.end);
    match overlapping.next() {
        None => "nothing".to_owned(),
        Some(o) => format!("{} {}–{}", name(o.label), o.start, o.end),
    }
}

fn relations(errors: &mut Errors, manifest: &Manifest, document: &Observed) {
    let types = manifest.entities.len().max(1);
    let score = |triple: &Triple| {
        let both = document.pairs.iter().filter(|pair| {
            let (head, tail, label) = (pair.head / types, pair.tail / types, triple.label);
            canonical(manifest, Triple { head, tail, label }) == *triple
        });
        both.filter_map(|pair| pair.probabilities.get(triple.label + 1).copied())
            .reduce(f32::max)
    };
    let first = |concept: usize| {
        let mut mentions = document.gold.mentions.iter();
        let found = mentions.find(|(_, concepts)| concepts.contains(&concept));
        found.map(|(span, _)| (span.start, span.end))
    };
    let name = |label: usize| {
        let kind = manifest.relations.get(label);
        kind.map(|r| r.name.clone()).unwrap_or_default()
    };
    let other = |triple: &Triple, triples: &BTreeSet<Triple>| {
        let label = triples
            .iter()
            .find(|t| (t.head, t.tail) == (triple.head, triple.tail));
        label.map_or("nothing".to_owned(), |t| name(t.label))
    };
    let wrong = |triple: &Triple, instead: String| Wrong {
        document: document.document.id.clone(),
        label: name(triple.label),
        spans: first(triple.head)
            .into_iter()
            .chain(first(triple.tail))
            .collect(),
        score: score(triple),
        instead,
        text: Vec::new(),
    };
    let (gold, said) = (&document.gold.relations, &document.related);
    errors
        .relations_wrong
        .extend(said.difference(gold).map(|t| wrong(t, other(t, gold))));
    errors
        .relations_missed
        .extend(gold.difference(said).map(|t| wrong(t, other(t, said))));
}

impl Errors {
    fn sort_and_cut(&mut self, most: usize) {
        let place = |w: &Wrong| (w.document.clone(), w.spans.clone(), w.label.clone());
        for list in [&mut self.entities_wrong, &mut self.relations_wrong] {
            list.sort_by(|a, b| {
                let scores = b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0));
                scores.then_with(|| place(a).cmp(&place(b)))
            });
            list.truncate(most);
        }
        for list in [&mut self.entities_missed, &mut self.relations_missed] {
            list.sort_by(|a, b| {
                let scores = a.score.unwrap_or(0.0).total_cmp(&b.score.unwrap_or(0.0));
                scores.then_with(|| place(a).cmp(&place(b)))
            });
            list.truncate(most);
        }
    }

    fn lists(&self) -> [(&'static str, &Vec<Wrong>); 4] {
        [
            (
                "Mentions that are none: the surest first",
                &self.entities_wrong,
            ),
            (
                "Mentions that were not found: the furthest from it first",
                &self.entities_missed,
            ),
            (
                "Relations that do not hold: the surest first",
                &self.relations_wrong,
            ),
            (
                "Relations that were not found: the furthest from it first",
                &self.relations_missed,
            ),
        ]
    }

    fn quote(&mut self, measured: &Measured) {
        let lists = [
            &mut self.entities_wrong,
            &mut self.entities_missed,
            &mut self.relations_wrong,
            &mut self.relations_missed,
        ];
        for wrong in lists.into_iter().flatten() {
            let document = measured
                .documents
                .iter()
                .find(|d| d.document.id == wrong.document);
            let text = document.map_or("", |d| d.document.text.as_str());
            wrong.text = wrong.spans.iter().map(|span| around(text, *span)).collect();
        }
    }

    /// The section's body.
    pub fn html(&self, with_text: bool) -> String {
        let mut out = html::note(if with_text {
            "With the documents' own words, as was asked for: handle this page like the documents."
        } else {
            "By document and bytes (start–end, UTF-8), without any of the documents' words; `distill report --with-text` adds them."
        });
        for (title, list) in self
            .lists()
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
        {
            let row = |w: &Wrong| {
                let span =
                    |(a, b): &(usize, usize)| format!("<span class=\"nowrap\">{a}–{b}</span>");
                let spans: Vec<String> = w.spans.iter().map(span).collect();
                let mut cells = vec![
                    Cell::Text(w.label.clone()),
                    Cell::Html(spans.join(", ")),
                    Cell::Number(w.score.map_or("–".to_owned(), |s| format!("{s:.3}"))),
                    Cell::Text(w.instead.clone()),
                ];
                if with_text {
                    cells.push(Cell::Html(excerpts(&w.text)));
                }
                (w.document.clone(), cells)
            };
            let mut head = vec!["document", "type", "bytes", "score", "there instead"];
            head.extend(with_text.then_some("text"));
            let table = Table {
                caption: title.to_owned(),
                head: head.into_iter().map(str::to_owned).collect(),
                rows: list.iter().map(row).collect(),
                ..Table::default()
            };
            out.push_str(&table.html());
        }
        out
    }
}

fn excerpts(text: &[[String; 3]]) -> String {
    let excerpt = |[before, inside, after]: &[String; 3]| {
        format!(
            "<span class=\"excerpt\" dir=\"auto\">{}<strong>{}</strong>{}</span>",
            html::escaped(before),
            html::escaped(inside),
            html::escaped(after)
        )
    };
    text.iter().map(excerpt).collect::<Vec<_>>().join(" … ")
}

/// What stands before, in and after a span.
fn around(text: &str, (start, end): (usize, usize)) -> [String; 3] {
    let from = text.floor_char_boundary(start.saturating_sub(AROUND));
    let to = text.ceil_char_boundary((end + AROUND).min(text.len()));
    let part = |a: usize, b: usize| text.get(a..b).unwrap_or_default().replace('\n', " ");
    [part(from, start), part(start, end), part(end, to)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_lie_on_characters() {
        let text = format!("{}ache{}", "β".repeat(40), "é".repeat(40));
        let [before, inside, after] = around(&text, (80, 84));
        assert_eq!(inside, "ache");
        assert!(before.chars().all(|c| c == 'β') && before.len() <= 62);
        assert!(after.chars().all(|c| c == 'é') && after.len() <= 62);
        assert_eq!(around("ab", (5, 9)), ["", "", ""]);
        let html = excerpts(&[["<".into(), "b".into(), "".into()]]);
        assert!(html.contains("&lt;<strong>b</strong>"), "{html}");
    }
}
