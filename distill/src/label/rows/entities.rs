//! The row of mode `entities`.

use std::collections::{BTreeMap, HashMap};

use crate::teacher::{Labels, Rule, SoftEntity, SoftRelation};

use super::super::align::{Aligner, Quote};
use super::super::answer::Answer;
use super::super::logprobs;
use super::super::reply::Record;
use super::super::settings::{Mode, Task};
use super::super::texts::Text;
use super::{NO_LOGPROBS, Tally, blank, round};

/// A mention by its place and type; types are numbered as in the schema.
type Key = (usize, usize, usize);

/// A mention in one answer.
struct Mention {
    key: Key,
    assertion: Option<usize>,
    label_at: Option<usize>,
    assertion_at: Option<usize>,
    p: Option<f64>,
}

/// A relation in one answer.
struct Link {
    head: Key,
    tail: Key,
    label: usize,
    label_at: Option<usize>,
    p: Option<f64>,
}

/// What one answer says, placed in the text.
struct Placed<'r> {
    mentions: Vec<Mention>,
    links: Vec<Link>,
    record: &'r Record,
}

/// The row of mode `entities`.
///
/// # Errors
/// The answers do not give the probabilities that the task wants.
pub fn entities(
    task: &Task,
    text: &Text,
    records: &[&Record],
) -> Result<(Labels, Tally), &'static str> {
    let mut tally = Tally::default();
    let aligner = Aligner::new(&text.document.text, &task.alignment);
    let answers = tally.answers(Mode::Entities, records);
    let placed: Vec<Placed> = answers
        .into_iter()
        .map(|(answer, record)| place(task, &aligner, answer, record, &mut tally))
        .collect();
    let valued = task
        .rules()
        .into_iter()
        .find_map(|rule| Some((rule, values(task, &placed, rule)?)));
    let (rule, (mentions, links)) = valued.ok_or(NO_LOGPROBS)?;
    // It holds, or it does not: two outcomes.
    let share = |values: &[f64]| {
        let (sum, k) = (values.iter().sum::<f64>(), placed.len().max(1) as f64);
        let smoothing = task.probabilities.smoothing;
        let p = if rule == Rule::Samples {
            (sum + smoothing) / (k + 2.0 * smoothing)
        } else {
            sum / k
        };
        round(p) as f32
    };
    let mut row = blank(task, text);
    // Without a question there is no answer to have been read by a rule.
    row.rule = (!records.is_empty()).then_some(rule);
    let mut numbers: HashMap<Key, usize> = HashMap::new();
    for (key, values) in mentions {
        // What most answers assert; among equals, what the schema names first.
        let Some((assertion, values)) = values.into_iter().reduce(|best, next| {
            let sum = |v: &(Option<usize>, Vec<f64>)| v.1.iter().sum::<f64>();
            if sum(&next) > sum(&best) { next } else { best }
        }) else {
            continue;
        };
        let Some(label) = task.schema.entities.get(key.2) else {
            continue;
        };
        let name = |n: usize| task.schema.assertions.get(n).map(|a| a.name.clone());
        numbers.insert(key, row.entities.len());
        row.entities.push(SoftEntity {
            span: key.0..key.1,
            label: label.name.clone(),
            probability: share(&values),
            assertion: assertion.and_then(name),
        });
    }
    for ((head, tail, label), values) in links {
        let numbers = numbers.get(&head).zip(numbers.get(&tail));
        let (Some((head, tail)), Some(label)) = (numbers, task.schema.relations.get(label)) else {
            tally.defect("a relation's mention has no probability");
            continue;
        };
        row.relations.push(SoftRelation {
            head: *head,
            tail: *tail,
            label: label.name.clone(),
            probability: share(&values),
        });
    }
    let unvalued = |p: Option<f64>| rule == Rule::Stated && likely(p).is_none();
    for placed in &placed {
        let ps = placed
            .mentions
            .iter()
            .map(|m| m.p)
            .chain(placed.links.iter().map(|l| l.p));
        ps.filter(|p| unvalued(*p))
            .for_each(|_| tally.defect("`p` is missing or no probability"));
    }
    Ok((row, tally))
}

/// A stated probability.
fn likely(p: Option<f64>) -> Option<f64> {
    p.filter(|p| (0.0..=1.0).contains(p))
}

fn place<'r>(
    task: &Task,
    aligner: &Aligner,
    answer: Answer,
    record: &'r Record,
    tally: &mut Tally,
) -> Placed<'r> {
    let schema = &task.schema;
    let mut placed = Placed {
        mentions: Vec::new(),
        links: Vec::new(),
        record,
    };
    let mut known: HashMap<String, Vec<Key>> = HashMap::new();
    for entity in answer.entities {
        let Some((number, label)) = schema
            .entities
            .iter()
            .enumerate()
            .find(|(_, e)| e.name == entity.label.name)
        else {
            tally.defect("a mention's type is none of the schema's");
            continue;
        };
        let stated = entity.assertion.as_ref().filter(|_| label.asserted);
        let assertion =
            stated.and_then(|s| schema.assertions.iter().position(|a| a.name == s.name));
        if label.asserted && assertion.is_none() {
            tally.defect("an assertion is missing or none of the schema's");
        }
        let quote = Quote {
            text: &entity.quote,
            context: entity.context.as_deref(),
            occurrence: entity.occurrence,
        };
        let Some(spans) = tally.find(aligner, &quote) else {
            continue;
        };
        let keys: Vec<Key> = spans.iter().map(|s| (s.start, s.end, number)).collect();
        for key in &keys {
            if placed.mentions.iter().any(|m| m.key == *key) {
                tally.defect("a mention is listed twice");
                continue;
            }
            placed.mentions.push(Mention {
                key: *key,
                assertion,
                label_at: entity.label.at,
                assertion_at: stated.and_then(|s| s.at),
                p: entity.p,
            });
        }
        if known.insert(entity.id, keys).is_some() {
            tally.defect("an id stands for two mentions");
        }
    }
    for relation in answer.relations {
        let Some((number, label)) = schema
            .relations
            .iter()
            .enumerate()
            .find(|(_, r)| r.name == relation.label.name)
        else {
            tally.defect("a relation's type is none of the schema's");
            continue;
        };
        let ends = known.get(&relation.head).zip(known.get(&relation.tail));
        let Some((mut head, mut tail)) = ends.and_then(|(heads, tails)| nearest(heads, tails))
        else {
            tally.defect("a relation's mention is not in the list, or not in the text");
            continue;
        };
        let name = |key: Key| schema.entities.get(key.2).map_or("", |e| e.name.as_str());
        if !label.admits(name(head), name(tail)) || head == tail {
            tally.defect("a relation's mentions are not of its types");
            continue;
        }
        if label.symmetric && tail < head {
            (head, tail) = (tail, head);
        }
        if placed
            .links
            .iter()
            .any(|l| (l.head, l.tail, l.label) == (head, tail, number))
        {
            tally.defect("a relation is listed twice");
            continue;
        }
        placed.links.push(Link {
            head,
            tail,
            label: number,
            label_at: relation.label.at,
            p: relation.p,
        });
    }
    placed
}

/// Of all places of two mentions, the two that are least far apart: only mentions that label every place have several.
fn nearest(heads: &[Key], tails: &[Key]) -> Option<(Key, Key)> {
    let apart = |(head, tail): &(Key, Key)| head.0.max(tail.0).saturating_sub(head.1.min(tail.1));
    let pairs = heads
        .iter()
        .flat_map(|head| tails.iter().map(|tail| (*head, *tail)));
    pairs.min_by_key(apart)
}

/// Values of mentions, by assertion.
type Mentions = BTreeMap<Key, BTreeMap<Option<usize>, Vec<f64>>>;

/// Values of relations.
type Links = BTreeMap<(Key, Key, usize), Vec<f64>>;

/// The values of everything under a rule; none if the rule does not do. What states no probability has no value.
fn values(task: &Task, placed: &[Placed], rule: Rule) -> Option<(Mentions, Links)> {
    let types: Vec<&str> = task
        .schema
        .entities
        .iter()
        .map(|e| e.name.as_str())
        .collect();
    let assertions: Vec<&str> = task
        .schema
        .assertions
        .iter()
        .map(|a| a.name.as_str())
        .collect();
    let relations: Vec<&str> = task
        .schema
        .relations
        .iter()
        .map(|r| r.name.as_str())
        .collect();
    let (mut mentions, mut links) = (Mentions::new(), Links::new());
    for placed in placed {
        // The probability of a label at its place, if the rule is log-probabilities.
        let read = |at: Option<usize>, labels: &[&str], chosen: usize| {
            let tokens = placed.record.tokens.as_deref()?;
            logprobs::at(tokens, at?, labels)?.get(chosen).copied()
        };
        if rule == Rule::Logprobs {
            placed.record.tokens.as_ref()?;
        }
        for mention in &placed.mentions {
            let value = match rule {
                Rule::Samples => Some(1.0),
                Rule::Stated => likely(mention.p),
                Rule::Logprobs => {
                    let label = read(mention.label_at, &types, mention.key.2)?;
                    let asserted = match mention.assertion {
                        Some(chosen) => read(mention.assertion_at, &assertions, chosen)?,
                        None => 1.0,
                    };
                    Some(label * asserted)
                }
            };
            if let Some(value) = value {
                let by_assertion = mentions.entry(mention.key).or_default();
                by_assertion
                    .entry(mention.assertion)
                    .or_default()
                    .push(value);
            }
        }
        for link in &placed.links {
            let value = match rule {
                Rule::Samples => Some(1.0),
                Rule::Stated => likely(link.p),
                Rule::Logprobs => Some(read(link.label_at, &relations, link.label)?),
            };
            if let Some(value) = value {
                links
                    .entry((link.head, link.tail, link.label))
                    .or_default()
                    .push(value);
            }
        }
    }
    Some((mentions, links))
}
