//! A teacher's soft labels: JSON lines, one document each. docs/teacher-format.md is the format for those who write such files.
//!
//! Two shapes share one reader with optional fields. Relations: every pair of concepts of two types has a distribution over
//! labels; pairs that are not listed have `default`. Entities: spans with a probability, and relations between them. Offsets in
//! the file are code points into `text`; here they are bytes. [`line()`] writes what [`parse`] reads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::corpus::{CodePoints, Source, read_text};
use crate::error::Result;

pub mod cache;
pub mod calibrate;
pub mod encoder;

/// The label of "no relation".
pub const NONE: &str = "none";

/// Probabilities by label; they sum to 1 and name [`NONE`].
pub type Distribution = BTreeMap<String, f32>;

/// What the teacher says about one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// The document's id.
    pub id: String,
    /// The corpus that the document is from, if stated.
    pub corpus: Option<String>,
    /// The part of the corpus ("train", "dev") that the document is from, if stated.
    pub split: Option<String>,
    /// The text that the teacher read.
    pub text: String,
    /// Relations between concepts, if the teacher was asked for them.
    pub pairs: Option<PairLabels>,
    /// Entities; every mention is listed, what is not listed is none.
    pub entities: Vec<SoftEntity>,
    /// Relations between entities.
    pub relations: Vec<SoftRelation>,
    /// What the probabilities are, if stated.
    pub rule: Option<Rule>,
    /// Where this stands.
    pub source: Source,
}

/// What a teacher's probabilities are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Read off the log-probabilities of its tokens.
    Logprobs,
    /// Shares of its sampled answers.
    Samples,
    /// What it said.
    Stated,
}

impl Rule {
    /// Its name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Logprobs => "logprobs",
            Rule::Samples => "samples",
            Rule::Stated => "stated",
        }
    }
}

/// How each concept of one type relates to each of another (or the same) type.
#[derive(Clone, Debug, PartialEq)]
pub struct PairLabels {
    /// Entity type of every head.
    pub head_type: String,
    /// Entity type of every tail; the same as the head's if pairs are unordered.
    pub tail_type: String,
    /// The distribution of every pair that is not listed.
    pub default: Distribution,
    /// Listed pairs.
    pub pairs: Vec<TeacherPair>,
}

/// One listed pair of concepts.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherPair {
    /// Concept id.
    pub head: String,
    /// Concept id.
    pub tail: String,
    /// The teacher's stated probabilities.
    pub probabilities: Distribution,
    /// Bytes of the shortest span that states the relation.
    pub evidence: Option<Range<usize>>,
}

/// One entity.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftEntity {
    /// Bytes of the mention.
    pub span: Range<usize>,
    /// Entity type.
    pub label: String,
    /// Probability that careful annotators would agree.
    pub probability: f32,
    /// "present", "negated", ..., if stated.
    pub assertion: Option<String>,
}

/// One relation between entities.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftRelation {
    /// Index into [`Labels::entities`].
    pub head: usize,
    /// Index into [`Labels::entities`].
    pub tail: usize,
    /// Relation type.
    pub label: String,
    /// Probability that careful annotators would agree.
    pub probability: f32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    corpus: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<String>,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    head_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tail_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Distribution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<Vec<RowPair>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    entities: Vec<RowEntity>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    relations: Vec<RowRelation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<Rule>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowPair {
    head: String,
    tail: String,
    probs: Distribution,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<(usize, usize)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowEntity {
    start: usize,
    end: usize,
    #[serde(rename = "type")]
    label: String,
    p: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    assertion: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowRelation {
    head: usize,
    tail: usize,
    #[serde(rename = "type")]
    label: String,
    p: f32,
}

/// Reads a label file, plain or gzip.
///
/// # Errors
/// The file cannot be read, or a line is malformed; the message names file and line.
pub fn read(path: &Path) -> Result<Vec<Labels>> {
    parse(path, &read_text(path)?)
}

/// Reads label lines; `path` is only named in messages and sources.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: &str) -> Result<Vec<Labels>> {
    let file: Arc<Path> = Arc::from(path);
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let source = Source {
                file: file.clone(),
                line: at + 1,
            };
            let row =
                serde_json::from_str::<Row>(line).map_err(|e| source.error(json_reason(&e)))?;
            labels(row, source)
        })
        .collect()
}

/// serde_json's reason without its line number, which counts inside the one line, and without the value, which may be text.
fn json_reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(reason, _)| reason);
    let message = match (message.split_once("string \""), message.rsplit_once("\", ")) {
        (Some((before, _)), Some((_, after))) => format!("{before}string, {after}"),
        _ => message.to_owned(),
    };
    format!("{message} (column {})", error.column())
}

fn labels(row: Row, source: Source) -> Result<Labels> {
    let points = CodePoints::new(&row.text);
    let span = |start, end, what: &str| {
        points
            .range(start, end)
            .map_err(|why| source.error(format!("{what}: {why}")))
    };
    let pairs = match (row.head_type, row.tail_type, row.default, row.pairs) {
        (None, None, None, None) => None,
        (Some(head_type), Some(tail_type), Some(default), Some(pairs)) => {
            let default = distribution(default, "`default`").map_err(|why| source.error(why))?;
            let pairs = pairs
                .into_iter()
                .enumerate()
                .map(|(n, pair)| {
                    let what = format!("pairs[{n}]");
                    Ok(TeacherPair {
                        probabilities: distribution(pair.probs, &what).map_err(|why| source.error(why))?,
                        evidence: pair.evidence.map(|(start, end)| span(start, end, &what)).transpose()?,
                        head: pair.head,
                        tail: pair.tail,
                    })
                })
                .collect::<Result<Vec<_>>>()?;
            Some(PairLabels { head_type, tail_type, default, pairs })
        }
        _ => return Err(source.error("`head_type`, `tail_type`, `default` and `pairs` belong together; give all four or none")),
    };
    let entities = row
        .entities
        .into_iter()
        .enumerate()
        .map(|(n, entity)| {
            let what = format!("entities[{n}]");
            Ok(SoftEntity {
                span: span(entity.start, entity.end, &what)?,
                label: entity.label,
                probability: probability(entity.p, &what).map_err(|why| source.error(why))?,
                assertion: entity.assertion,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let relations = row
        .relations
        .into_iter()
        .enumerate()
        .map(|(n, relation)| {
            let what = format!("relations[{n}]");
            if relation.head.max(relation.tail) >= entities.len() {
                let count = entities.len();
                return Err(source.error(format!(
                    "{what}: head and tail index `entities`, which has {count} elements"
                )));
            }
            let probability = probability(relation.p, &what).map_err(|why| source.error(why))?;
            Ok(SoftRelation {
                head: relation.head,
                tail: relation.tail,
                label: relation.label,
                probability,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Labels {
        id: row.id,
        corpus: row.corpus,
        split: row.split,
        text: row.text,
        pairs,
        entities,
        relations,
        rule: row.probabilities,
        source,
    })
}

/// The line of a file, with its end, that reads as these labels (up to what scaling a distribution to 1 changes); [`Labels::source`] is not
/// written.
///
/// # Errors
/// A span is not one of the text's.
pub fn line(labels: &Labels) -> Result<String> {
    let wrong = |what: &str| {
        labels.source.error(format!(
            "{what} of document {} is no span of its text",
            labels.id
        ))
    };
    let mut starts = labels
        .text
        .char_indices()
        .map(|(at, _)| at)
        .collect::<Vec<_>>();
    starts.push(labels.text.len());
    let points = |span: &Range<usize>, what: &str| -> Result<(usize, usize)> {
        let point = |at: usize| starts.binary_search(&at).map_err(|_| wrong(what));
        Ok((point(span.start)?, point(span.end)?))
    };
    let mut row = Row {
        id: labels.id.clone(),
        corpus: labels.corpus.clone(),
        split: labels.split.clone(),
        text: labels.text.clone(),
        head_type: None,
        tail_type: None,
        default: None,
        pairs: None,
        entities: Vec::new(),
        relations: Vec::new(),
        probabilities: labels.rule,
    };
    if let Some(pairs) = &labels.pairs {
        row.head_type = Some(pairs.head_type.clone());
        row.tail_type = Some(pairs.tail_type.clone());
        row.default = Some(pairs.default.clone());
        let listed = pairs.pairs.iter().map(|pair| {
            Ok(RowPair {
                head: pair.head.clone(),
                tail: pair.tail.clone(),
                probs: pair.probabilities.clone(),
                evidence: pair
                    .evidence
                    .as_ref()
                    .map(|e| points(e, "an evidence"))
                    .transpose()?,
            })
        });
        row.pairs = Some(listed.collect::<Result<_>>()?);
    }
    for entity in &labels.entities {
        let (start, end) = points(&entity.span, "an entity")?;
        row.entities.push(RowEntity {
            start,
            end,
            label: entity.label.clone(),
            p: entity.probability,
            assertion: entity.assertion.clone(),
        });
    }
    row.relations = labels
        .relations
        .iter()
        .map(|r| RowRelation {
            head: r.head,
            tail: r.tail,
            label: r.label.clone(),
            p: r.probability,
        })
        .collect();
    let mut line = serde_json::to_string(&row).map_err(|e| labels.source.error(json_reason(&e)))?;
    line.push('\n');
    Ok(line)
}

fn probability(p: f32, what: &str) -> std::result::Result<f32, String> {
    if (0.0..=1.0).contains(&p) {
        Ok(p)
    } else {
        Err(format!("{what}: {p} is not a probability (0 to 1)"))
    }
}

/// Checks that this is a distribution and scales away what rounding left over.
fn distribution(mut stated: Distribution, what: &str) -> std::result::Result<Distribution, String> {
    for p in stated.values() {
        probability(*p, what)?;
    }
    if !stated.contains_key(NONE) {
        return Err(format!("{what}: the probabilities must name `{NONE}`"));
    }
    let sum: f32 = stated.values().sum();
    if (sum - 1.0).abs() > 0.01 {
        return Err(format!("{what}: the probabilities sum to {sum}, not to 1"));
    }
    stated.values_mut().for_each(|p| *p /= sum);
    Ok(stated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse_text(text: &str) -> Result<Vec<Labels>> {
        parse(Path::new("t.jsonl"), text)
    }

    #[test]
    fn both_shapes_are_read_and_offsets_become_bytes() {
        let rows = parse_text(concat!(
            r#"{"id":"1","corpus":"c","split":"train","text":"β kills ache","head_type":"Chemical","tail_type":"Disease","#,
            r#""default":{"none":0.98,"causes":0.02},"pairs":[{"head":"D1","tail":"D2","probs":{"none":0.1,"causes":0.9},"evidence":[0,7]}]}"#,
            "\n\n",
            r#"{"id":"2","text":"β kills ache","entities":[{"start":0,"end":1,"type":"Chemical","p":0.9},"#,
            r#"{"start":8,"end":12,"type":"Disease","p":0.8,"assertion":"present"}],"relations":[{"head":0,"tail":1,"type":"causes","p":0.7}]}"#,
        ))
        .unwrap();
        let pairs = rows[0].pairs.as_ref().unwrap();
        assert_eq!(
            rows[0].text[pairs.pairs[0].evidence.clone().unwrap()],
            *"β kills"
        );
        assert_eq!(pairs.pairs[0].probabilities["causes"], 0.9);
        assert_eq!(rows[1].source.line, 3);
        assert_eq!(rows[1].text[rows[1].entities[1].span.clone()], *"ache");
        assert_eq!(rows[1].relations[0].tail, 1);
    }

    #[test]
    fn the_documented_lines_are_read() {
        let page = include_str!("../../docs/teacher-format.md");
        let lines: Vec<&str> = page.lines().filter(|l| l.starts_with('{')).collect();
        let rows = parse_text(&lines.join("\n")).unwrap();
        assert_eq!(rows.len(), 2);
        let pair = &rows[0].pairs.as_ref().unwrap().pairs[0];
        assert_eq!(
            rows[0].text[pair.evidence.clone().unwrap()],
            *"Aspirin caused an ulcer"
        );
        assert_eq!(rows[1].text[rows[1].entities[1].span.clone()], *"ulcer");
    }

    #[test]
    fn every_bad_line_is_named() {
        let relations = |middle: &str| {
            format!(r#"{{"id":"1","text":"secret","head_type":"A","tail_type":"B",{middle}}}"#)
        };
        for (bad, why) in [
            ("{".to_owned(), "EOF"),
            (r#"{"id":"1","text":"secret","pears":[]}"#.to_owned(), "unknown field `pears`"),
            (relations(r#""pairs":[]"#), "belong together"),
            (relations(r#""pairs":[],"default":{"none":0.5}"#), "sum to 0.5"),
            (relations(r#""pairs":[],"default":{"causes":1.0}"#), "must name `none`"),
            (relations(r#""pairs":[],"default":{"none":2.0,"causes":-1.0}"#), "is not a probability"),
            (relations(r#""default":{"none":1.0},"pairs":[{"head":"a","tail":"b","probs":{"none":1.0},"evidence":[0,9]}]"#), "pairs[0]: the span 0-9"),
            (r#"{"id":"1","text":"secret","entities":[{"start":3,"end":3,"type":"A","p":0.5}]}"#.to_owned(), "entities[0]: the span 3-3 is empty"),
            (
                r#"{"id":"1","text":"x","entities":"secret"}"#.to_owned(),
                "invalid type: string, expected a sequence",
            ),
            (r#"{"id":"1","text":"x","probabilities":"guessed"}"#.to_owned(), "unknown variant"),
            (r#"{"id":"1","text":"secret","relations":[{"head":0,"tail":1,"type":"A","p":0.5}]}"#.to_owned(), "relations[0]"),
        ] {
            let error = parse_text(&format!("\n{bad}\n")).unwrap_err().to_string();
            assert!(error.starts_with("t.jsonl:2: ") && error.contains(why), "{error}");
            assert!(!error.contains("secret"), "a message must not quote the document: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "[aβ\n\"]{1,8}", p in 0.0f32..1.0, from in 0usize..8, rule in prop::option::of(prop::sample::select(vec![Rule::Logprobs, Rule::Samples, Rule::Stated])), shape in 0..3) {
            let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let span = starts[from % starts.len()]..text.len();
            let distribution = Distribution::from([(NONE.to_owned(), 1.0 - p), ("causes".to_owned(), p)]);
            let entity = SoftEntity { span: span.clone(), label: "A".into(), probability: p, assertion: (shape == 2).then(|| "present".into()) };
            let labels = Labels {
                id: "1".into(),
                corpus: (shape == 1).then(|| "c".into()),
                split: None,
                text: text.clone(),
                pairs: (shape == 0).then(|| PairLabels {
                    head_type: "A".into(),
                    tail_type: "B".into(),
                    default: distribution.clone(),
                    pairs: vec![TeacherPair { head: "x".into(), tail: "y".into(), probabilities: distribution.clone(), evidence: (from % 2 == 0).then(|| span.clone()) }],
                }),
                entities: if shape == 0 { Vec::new() } else { vec![entity.clone(), entity] },
                relations: if shape == 1 { vec![SoftRelation { head: 0, tail: 1, label: "r".into(), probability: p }] } else { Vec::new() },
                rule,
                source: Source { file: Arc::from(Path::new("t.jsonl")), line: 1 },
            };
            let mut read = parse_text(&line(&labels).unwrap()).unwrap();
            // Scaling to 1 may change a last digit.
            if let Some(pairs) = &mut read[0].pairs {
                for found in pairs.pairs.iter_mut().map(|p| &mut p.probabilities).chain([&mut pairs.default]) {
                    prop_assert!(found.iter().all(|(label, p)| (p - distribution[label]).abs() < 1e-6));
                    found.clone_from(&distribution);
                }
            }
            prop_assert_eq!(read, vec![labels]);
        }

        #[test]
        fn arbitrary_lines_are_read_or_refused_never_a_panic(text in "[{}\\[\\]\":,a-z0-9\n]{0,60}") {
            let _ = parse_text(&text);
        }
    }

    /// Counts stated with the files; skipped where they are not there.
    #[test]
    fn the_shared_labels_are_read_whole() {
        for (file, documents, pairs, evidence, entities) in [
            ("cdr-relations.jsonl.gz", 1000, 6045, 4054, 0),
            ("chemical-chemical.jsonl.gz", 724, 2382, 1885, 0),
            ("clinical-notes.jsonl.gz", 487, 0, 0, 6877),
            ("trial-abstracts.jsonl.gz", 196, 0, 0, 8330),
        ] {
            let path = Path::new("../../shared/teacher").join(file);
            if !path.exists() {
                println!("skipped: {} is not there", path.display());
                continue;
            }
            let rows = read(&path).unwrap();
            let listed = || {
                rows.iter()
                    .filter_map(|r| r.pairs.as_ref())
                    .flat_map(|p| &p.pairs)
            };
            let found = (
                rows.len(),
                listed().count(),
                listed().filter(|p| p.evidence.is_some()).count(),
                rows.iter().map(|r| r.entities.len()).sum(),
            );
            assert_eq!(found, (documents, pairs, evidence, entities), "{file}");
        }
    }
}
