//! What the model wrote, read leniently: JSON by itself, in a code fence or with words around it.
//!
//! A label remembers where it stands in the answer: there its tokens say how sure the model was.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::settings::Mode;

/// Characters of the longest answer that is looked through for JSON.
const LONGEST: usize = 4 << 20;

/// Opening braces that are tried before an answer counts as one without JSON.
const ATTEMPTS: usize = 1000;

/// One answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Mentions (mode `entities`).
    pub entities: Vec<Entity>,
    /// Relations between them (mode `entities`).
    pub relations: Vec<Relation>,
    /// Pairs of concepts (mode `pairs`).
    pub pairs: Vec<Pair>,
    /// Elements that are not what was asked for.
    pub malformed: usize,
}

/// A label and where it begins in the answer, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label.
    pub name: String,
    /// Its first byte; none if the answer writes it with escapes.
    pub at: Option<usize>,
}

/// A mention.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// What relations call it.
    pub id: String,
    /// The mention, as quoted.
    pub quote: String,
    /// A longer quote around it.
    pub context: Option<String>,
    /// Its number among equal quotes, from 1.
    pub occurrence: Option<usize>,
    /// Entity type.
    pub label: Label,
    /// Assertion.
    pub assertion: Option<Label>,
    /// Stated probability.
    pub p: Option<f64>,
}

/// A relation between mentions.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// [`Entity::id`].
    pub head: String,
    /// [`Entity::id`].
    pub tail: String,
    /// Relation type.
    pub label: Label,
    /// Stated probability.
    pub p: Option<f64>,
}

/// How two concepts relate.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// A concept's id in the question.
    pub head: String,
    /// A concept's id in the question.
    pub tail: String,
    /// Relation type or "none".
    pub label: Label,
    /// The quote that states it.
    pub evidence: Option<String>,
    /// Stated probabilities.
    pub probabilities: Option<BTreeMap<String, f64>>,
}

/// Ids and numbers, however they are written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(f64),
    Text(String),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Scalar::Number(n) => n.to_string(),
            Scalar::Text(text) => text.trim().to_owned(),
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Scalar::Number(n) => Some(n),
            Scalar::Text(text) => text.trim().parse().ok(),
        }
        .filter(|n| n.is_finite())
    }
}

#[derive(Deserialize)]
struct RawAnswer<'a> {
    #[serde(borrow)]
    entities: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    relations: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pairs: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct RawEntity<'a> {
    id: Option<Scalar>,
    quote: String,
    context: Option<String>,
    occurrence: Option<Scalar>,
    #[serde(borrow, rename = "type")]
    label: &'a RawValue,
    #[serde(borrow)]
    assertion: Option<&'a RawValue>,
    p: Option<Scalar>,
}

#[derive(Deserialize)]
struct RawRelation<'a> {
    head: Scalar,
    tail: Scalar,
    #[serde(borrow, rename = "type")]
    label: &'a RawValue,
    p: Option<Scalar>,
}

#[derive(Deserialize)]
struct RawPair<'a> {
    head: Scalar,
    tail: Scalar,
    #[serde(borrow)]
    label: &'a RawValue,
    evidence: Option<String>,
    probabilities: Option<BTreeMap<String, Scalar>>,
}

/// Reads an answer.
///
/// # Errors
/// Why there is nothing in it to use.
pub fn read(mode: Mode, content: &str) -> Result<Answer, &'static str> {
    if content.len() > LONGEST {
        return Err("the answer is too long");
    }
    let object =
        object(mode, content).ok_or("the answer holds no JSON object as it was asked for")?;
    let mut answer = Answer::default();
    let mut malformed = 0;
    let at = |raw: &RawValue| raw.get().as_ptr() as usize - content.as_ptr() as usize;
    for raw in object.entities.unwrap_or_default() {
        match entity(raw, at) {
            Some(entity) => answer.entities.push(entity),
            None => malformed += 1,
        }
    }
    for raw in object.relations.unwrap_or_default() {
        match relation(raw, at) {
            Some(relation) => answer.relations.push(relation),
            None => malformed += 1,
        }
    }
    for raw in object.pairs.unwrap_or_default() {
        match pair(raw, at) {
            Some(pair) => answer.pairs.push(pair),
            None => malformed += 1,
        }
    }
    answer.malformed = malformed;
    Ok(answer)
}

/// The last object with the list that was asked for: drafts come first.
fn object(mode: Mode, content: &str) -> Option<RawAnswer<'_>> {
    let mut last = None;
    let mut from = 0;
    for _ in 0..ATTEMPTS {
        let Some(rest) = content.get(from..) else {
            break;
        };
        let Some(open) = rest.find('{') else { break };
        let rest = rest.get(open..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        let length = match values.next() {
            Some(Ok(_)) => values.byte_offset(),
            _ => {
                from += open + 1;
                continue;
            }
        };
        let found: Option<RawAnswer> = rest
            .get(..length)
            .and_then(|json| serde_json::from_str(json).ok());
        let wanted = |answer: &RawAnswer| match mode {
            Mode::Entities => answer.entities.is_some(),
            Mode::Pairs => answer.pairs.is_some(),
        };
        last = found.filter(wanted).or(last);
        from += open + length;
    }
    last
}

fn entity(raw: &RawValue, at: impl Fn(&RawValue) -> usize) -> Option<Entity> {
    let raw: RawEntity = serde_json::from_str(raw.get()).ok()?;
    let assertion = raw.assertion.filter(|a| a.get() != "null");
    Some(Entity {
        id: raw.id.map(Scalar::text).unwrap_or_default(),
        quote: raw.quote,
        context: raw.context.filter(|c| !c.trim().is_empty()),
        occurrence: raw.occurrence.and_then(Scalar::number).map(|n| n as usize),
        label: label(raw.label, &at)?,
        assertion: assertion.and_then(|a| label(a, &at)),
        p: raw.p.and_then(Scalar::number),
    })
}

fn relation(raw: &RawValue, at: impl Fn(&RawValue) -> usize) -> Option<Relation> {
    let raw: RawRelation = serde_json::from_str(raw.get()).ok()?;
    Some(Relation {
        head: raw.head.text(),
        tail: raw.tail.text(),
        label: label(raw.label, &at)?,
        p: raw.p.and_then(Scalar::number),
    })
}

fn pair(raw: &RawValue, at: impl Fn(&RawValue) -> usize) -> Option<Pair> {
    let raw: RawPair = serde_json::from_str(raw.get()).ok()?;
    let numbers = |all: BTreeMap<String, Scalar>| {
        all.into_iter()
            .map(|(label, p)| Some((label, p.number()?)))
            .collect::<Option<BTreeMap<_, _>>>()
    };
    Some(Pair {
        head: raw.head.text(),
        tail: raw.tail.text(),
        label: label(raw.label, &at)?,
        evidence: raw.evidence.filter(|e| !e.trim().is_empty()),
        probabilities: raw.probabilities.and_then(numbers),
    })
}

/// A string of the answer; every piece of raw JSON is a piece of the answer's own bytes.
fn label(raw: &RawValue, at: &impl Fn(&RawValue) -> usize) -> Option<Label> {
    let name: Cow<str> = serde_json::from_str::<String>(raw.get()).ok()?.into();
    let verbatim = raw.get().get(1..).and_then(|r| r.strip_suffix('"')) == Some(&name);
    Some(Label {
        at: verbatim.then(|| at(raw) + 1),
        name: name.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"entities": [{"id": "e1", "quote": "Aspirin", "type": "Chemical", "p": 0.9, "assertion": null},
        {"id": 2, "quote": "ulcer", "type": "Disease", "p": "0.8", "assertion": "present", "context": " ", "occurrence": "2", "why": []}],
        "relations": [{"head": "e1", "tail": 2, "type": "causes", "p": 0.7}]}"#;

    #[test]
    fn an_answer_is_read_whatever_stands_around_it() {
        let plain = read(Mode::Entities, GOOD).unwrap();
        assert_eq!(plain.entities.len(), 2);
        assert_eq!(plain.entities[1].id, "2");
        assert_eq!(plain.entities[1].p, Some(0.8));
        assert_eq!(plain.entities[1].occurrence, Some(2));
        assert_eq!(plain.entities[1].context, None);
        assert_eq!(plain.entities[0].assertion, None);
        assert_eq!(
            (
                plain.relations[0].head.as_str(),
                plain.relations[0].tail.as_str()
            ),
            ("e1", "2")
        );
        for around in [
            format!("```json\n{GOOD}\n```"),
            format!("Here it is {{as wanted}}:\n{GOOD}\nAnything else?"),
            format!("<think>perhaps {{\"entities\": []}} or {{\"pairs\": []}}</think>{GOOD}"),
            format!("{GOOD} {{\"note\": 1}} {{"),
        ] {
            let found = read(Mode::Entities, &around).unwrap();
            assert_eq!(found.entities.len(), 2, "{around}");
            for entity in &found.entities {
                let at = entity.label.at.unwrap();
                assert_eq!(&around[at..at + entity.label.name.len()], entity.label.name);
            }
        }
    }

    #[test]
    fn pairs_are_read() {
        let text = r#"{"pairs": [{"head": "C1", "tail": "C2", "evidence": "so", "label": "causes", "probabilities": {"none": 0.1, "causes": "0.9"}},
            {"head": "C1", "tail": "C3", "label": "n\u006fne", "evidence": ""}]}"#;
        let answer = read(Mode::Pairs, text).unwrap();
        assert_eq!(
            answer.pairs[0].probabilities.as_ref().unwrap()["causes"],
            0.9
        );
        assert_eq!(
            answer.pairs[1].label,
            Label {
                name: "none".into(),
                at: None
            }
        );
        assert_eq!(answer.pairs[1].evidence, None);
    }

    #[test]
    fn broken_elements_are_counted_and_broken_answers_refused() {
        let answer = read(Mode::Entities, r#"{"entities": [{"quote": "x"}, 7, {"quote": 3, "type": "A"}, {"quote": "x", "type": "A"}], "relations": ["?"]}"#).unwrap();
        assert_eq!((answer.entities.len(), answer.malformed), (1, 4));
        for bad in [
            "",
            "I cannot do that.",
            "{\"entities\": [{\"quote\": \"x\"",
            "[1, 2]",
            "{\"pairs\": []}",
            "{\"entities\": 3}",
            "{\"entities\": null}",
        ] {
            assert!(read(Mode::Entities, bad).is_err(), "{bad}");
        }
        let hostile = "{\"a\":".repeat(100_000);
        assert!(read(Mode::Entities, &hostile).is_err());
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused_never_a_panic(text in "[{}\\[\\]\":,a-z0-9\\\\ é]{0,80}") {
            let _ = read(Mode::Entities, &text);
            let _ = read(Mode::Pairs, &text);
        }

        #[test]
        fn a_label_stands_where_it_is_said_to(before in "[^{}]{0,20}", name in "[A-Za-zé_ ]{1,12}") {
            let text = format!("{before}{{\"pairs\":[{{\"head\":1,\"tail\":2,\"label\":  \"{name}\"}}]}}");
            let answer = read(Mode::Pairs, &text).unwrap();
            let label = &answer.pairs[0].label;
            prop_assert_eq!(&text[label.at.unwrap()..][..name.len()], name.as_str());
        }
    }
}
