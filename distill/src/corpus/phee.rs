//! PHEE: Sun et al., "PHEE: a dataset for pharmacovigilance event extraction from text", EMNLP 2022; JSON lines, one sentence each.
//!
//! A mention's label is its path in the event: `Trigger`, `Effect`, `Treatment`, `Treatment.Drug`, `Subject.Age`, ...; `Speculated`, `Negated`
//! and `Severity` are cues. An event becomes relations: from each drug to each effect, called like the event (`Adverse_event`,
//! `Potential_therapeutic_event`); from each drug to what it was given for, called `Treatment.Disorder`; and, if there is one drug, from this
//! to what is said of its use, called like the label (`Treatment.Dosage`). A negated event states none of that. `Combination` is not used:
//! it repeats drugs.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::draft::{Draft, Stated};
use super::files::File;
use super::json::Json;
use super::offsets::Unit;
use super::{Reading, Source};

#[derive(Deserialize)]
struct Sentence<'a> {
    id: String,
    context: String,
    #[serde(borrow)]
    annotations: Vec<Annotation<'a>>,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// What may have an effect, what the effect is, what it was given for, and what is said of how it was used.
const DRUG: &str = "Treatment.Drug";
const EFFECT: &str = "Effect";
const DISORDER: &str = "Treatment.Disorder";
const USE: [&str; 5] = [
    "Treatment.Dosage",
    "Treatment.Route",
    "Treatment.Freq",
    "Treatment.Duration",
    "Treatment.Time_elapsed",
];
/// Levels of arguments: an event's argument, and its own.
const DEEPEST: usize = 2;

/// Reads PHEE files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    out.corpus.mention_level = true;
    for file in files {
        let json = Json::new(file);
        for line in json.documents() {
            sentence(&json, line, out);
        }
    }
}

fn sentence<'a>(json: &Json<'a>, line: &'a str, out: &mut Reading) {
    let read: Sentence = match json.read(line, "a sentence of PHEE") {
        Ok(read) => read,
        Err(defect) => return out.corpus.defects.push(defect),
    };
    let unit = out.options.offsets.unwrap_or_default();
    let source = json.at(line);
    let mut draft = Draft::new(out, source.clone(), &read.id, read.context);
    for (n, raw) in read.annotations.iter().flat_map(|a| &a.events).enumerate() {
        match json.read::<Map<String, Value>>(raw.get(), "an event of PHEE") {
            Ok(event) => {
                let mut reader = Event {
                    source: json.at(raw.get()),
                    prefix: format!("E{}", n + 1),
                    unit,
                    mentions: Vec::new(),
                };
                reader.arguments(&mut draft, "", &event, DEEPEST);
                reader.relations(&mut draft, &event);
            }
            Err(defect) => draft.defect(defect.source, defect.why),
        }
    }
    draft.finish();
}

struct Event {
    source: Source,
    prefix: String,
    unit: Unit,
    /// Label and id.
    mentions: Vec<(String, String)>,
}

impl Event {
    fn arguments(
        &mut self,
        draft: &mut Draft,
        path: &str,
        object: &Map<String, Value>,
        deep: usize,
    ) {
        for (role, value) in object {
            let Value::Object(argument) = value else {
                continue;
            };
            let label = if path.is_empty() {
                role.clone()
            } else {
                format!("{path}.{role}")
            };
            self.spans(draft, &label, argument);
            if deep > 1 {
                self.arguments(draft, &label, argument, deep - 1);
            }
        }
    }

    /// The mentions of one argument: each a list of fragments and a list of their starts.
    fn spans(&mut self, draft: &mut Draft, label: &str, argument: &Map<String, Value>) {
        let list = |key| {
            argument
                .get(key)
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let (texts, starts) = (list("text"), list("start"));
        if texts.len() != starts.len() {
            return draft.defect(
                self.source.clone(),
                format!("{label}: `text` and `start` differ in length"),
            );
        }
        for (texts, starts) in texts.iter().zip(starts) {
            let id = format!("{}.{}", self.prefix, self.mentions.len());
            self.mentions.push((label.to_owned(), id.clone()));
            let texts: Option<Vec<&str>> = texts
                .as_array()
                .and_then(|t| t.iter().map(Value::as_str).collect());
            let starts: Option<Vec<usize>> = starts.as_array().and_then(|s| {
                s.iter()
                    .map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()))
                    .collect()
            });
            let (Some(texts), Some(starts)) = (texts, starts) else {
                draft.lost(&id);
                draft.defect(
                    self.source.clone(),
                    format!(
                        "{label}: `text` must be lists of strings, `start` lists of whole numbers"
                    ),
                );
                continue;
            };
            if texts.len() != starts.len() {
                draft.lost(&id);
                draft.defect(
                    self.source.clone(),
                    format!("{label}: a fragment has no start, or a start no fragment"),
                );
                continue;
            }
            let end = |(text, start): (&&str, &usize)| {
                (*start, start.saturating_add(self.unit.count(text)))
            };
            let fragments: Vec<(usize, usize)> = texts.iter().zip(&starts).map(end).collect();
            let stated = Stated {
                id: &id,
                label,
                fragments: &fragments,
                surface: Some(&texts.join(" ")),
                concepts: Vec::new(),
            };
            draft.mention(self.source.clone(), stated);
        }
    }

    fn relations(&self, draft: &mut Draft, event: &Map<String, Value>) {
        let Some(name) = event.get("event_type").and_then(Value::as_str) else {
            return draft.defect(self.source.clone(), "the event has no `event_type`");
        };
        if event.contains_key("Negated") {
            return draft.note("negated events, which state no relation");
        }
        if event.contains_key("Speculated") {
            draft.note("speculated events, read like others");
        }
        let of = |labels: &[&str]| -> Vec<&(String, String)> {
            self.mentions
                .iter()
                .filter(|(label, _)| labels.contains(&label.as_str()))
                .collect()
        };
        let drugs = of(&[DRUG]);
        for (_, drug) in &drugs {
            for (label, id) in of(&[EFFECT, DISORDER]) {
                let name = if label == EFFECT { name } else { DISORDER };
                draft.relation(self.source.clone(), name, drug, id);
            }
        }
        match drugs.as_slice() {
            [(_, drug)] => {
                for (label, id) in of(&USE) {
                    draft.relation(self.source.clone(), label, drug, id);
                }
            }
            _ if !of(&USE).is_empty() => draft.note(
                "events of several drugs or none, whose doses and routes are related to none",
            ),
            _ => {}
        }
    }
}
