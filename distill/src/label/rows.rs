//! From the answers about a document to its row of the label file.
//!
//! A document's k answers give each outcome k values: its probability by log-probabilities, or as stated, or 1. Where an answer leaves the
//! outcome out, the value is that of leaving out. Log-probabilities and stated ones are averaged; votes are counted, with
//! `smoothing` added to each possible outcome. The first rule that all answers of a document allow is used for all of it, and named in the row.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::teacher::{
    Distribution, Labels, NONE, PairLabels, Rule, SoftEntity, SoftRelation, TeacherPair,
};

use super::align::{Aligner, How, Quote};
use super::answer::{self, Answer, Pair};
use super::logprobs;
use super::prompt::{Concept, Sides};
use super::reply::Record;
use super::settings::{Alignment, Mode, Repeats, Task};
use super::texts::Text;

/// What of a document's answers could not be used, and how quotes were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often, by what.
    pub defects: BTreeMap<&'static str, usize>,
    /// How often, by how.
    pub quotes: BTreeMap<How, usize>,
}

impl Tally {
    fn defect(&mut self, what: &'static str) {
        *self.defects.entry(what).or_default() += 1;
    }

    /// Where a quote stands; if nowhere, that is a defect.
    fn find(&mut self, aligner: &Aligner, quote: &Quote) -> Option<Vec<Range<usize>>> {
        match aligner.find(quote) {
            Ok(found) => {
                *self.quotes.entry(found.how).or_default() += 1;
                Some(found.spans)
            }
            Err(why) => {
                self.defect(why.reason());
                None
            }
        }
    }

    fn answers<'r>(&mut self, mode: Mode, records: &[&'r Record]) -> Vec<(Answer, &'r Record)> {
        let mut answers = Vec::new();
        for record in records {
            // Only answers that can be read were kept.
            let answer = answer::read(mode, &record.content).unwrap_or_default();
            for _ in 0..answer.malformed {
                self.defect("an element is not what was asked for");
            }
            answers.push((answer, *record));
        }
        answers
    }
}

/// A row without labels.
fn blank(task: &Task, text: &Text) -> Labels {
    let of = task.texts.get(text.of);
    Labels {
        id: text.document.id.clone(),
        corpus: of.and_then(|t| t.corpus.clone()),
        split: of.and_then(|t| t.split.clone()),
        text: text.document.text.clone(),
        pairs: None,
        entities: Vec::new(),
        relations: Vec::new(),
        rule: None,
        source: text.document.source.clone(),
    }
}

/// Four digits: a model's probabilities are not known better.
fn round(p: f64) -> f64 {
    (p * 1e4).round() / 1e4
}

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
    let share = |values: &[f64], ways: f64| {
        let (sum, k) = (values.iter().sum::<f64>(), placed.len().max(1) as f64);
        let smoothing = task.probabilities.smoothing;
        let p = if rule == Rule::Samples {
            (sum + smoothing) / (k + ways * smoothing)
        } else {
            sum / k
        };
        round(p) as f32
    };
    let mut row = blank(task, text);
    row.rule = Some(rule);
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
            probability: share(&values, 2.0),
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
            probability: share(&values, 2.0),
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

const NO_LOGPROBS: &str = "the log-probabilities do not tell the labels apart";

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

/// A pair in one answer.
struct Statement {
    label: usize,
    evidence: Option<(usize, usize)>,
    pair: Pair,
}

/// What one answer says of pairs, by the numbers of head and tail.
type Said = BTreeMap<(usize, usize), Statement>;

/// The row of mode `pairs` for concepts of two types; `tails` are the heads again if pairs are unordered.
///
/// # Errors
/// The answers do not give the probabilities that the task wants.
pub fn pairs(
    task: &Task,
    text: &Text,
    sides: &Sides,
    heads: &[Concept],
    tails: &[Concept],
    records: &[&Record],
) -> Result<(Labels, Tally), &'static str> {
    let mut tally = Tally::default();
    let labels = sides.labels(task);
    // Evidence is one place, whatever mentions are.
    let alignment = Alignment {
        repeats: Repeats::Context,
        ..task.alignment.clone()
    };
    let aligner = Aligner::new(&text.document.text, &alignment);
    let mut asked: Vec<(Said, &Record)> = Vec::new();
    for (answer, record) in tally.answers(Mode::Pairs, records) {
        let mut said = Said::new();
        for pair in answer.pairs {
            let Some(at) = numbers(sides, heads.len(), tails.len(), &pair) else {
                tally.defect("a pair is none of the question's");
                continue;
            };
            let Some(label) = labels.iter().position(|l| *l == pair.label.name) else {
                continue;
            };
            if said.contains_key(&at) {
                tally.defect("a pair is listed twice");
                continue;
            }
            let quote = pair
                .evidence
                .as_deref()
                .filter(|_| label != 0)
                .map(|text| Quote {
                    text,
                    ..Quote::default()
                });
            let spans = quote.and_then(|q| tally.find(&aligner, &q));
            let evidence = spans.and_then(|s| s.first().map(|s| (s.start, s.end)));
            said.insert(
                at,
                Statement {
                    label,
                    evidence,
                    pair,
                },
            );
        }
        asked.push((said, record));
    }
    let mut row = blank(task, text);
    let found = task
        .rules()
        .into_iter()
        .find_map(|rule| Some((rule, distributions(task, &labels, &asked, rule)?)));
    let (rule, (listed, default)) = found.ok_or(NO_LOGPROBS)?;
    // Without a question there is no answer to have been read by a rule.
    row.rule = (!records.is_empty()).then_some(rule);
    let pairs = listed.into_iter().filter_map(|(at, p)| {
        let best = (0..p.len()).rev().max_by(|a, b| {
            p.get(*a)
                .partial_cmp(&p.get(*b))
                .unwrap_or(std::cmp::Ordering::Equal)
        })?;
        Some(TeacherPair {
            head: heads.get(at.0)?.id.clone(),
            tail: tails.get(at.1)?.id.clone(),
            probabilities: named(&labels, &p),
            evidence: evidence(
                asked
                    .iter()
                    .filter_map(|(said, _)| said.get(&at))
                    .filter(|s| s.label == best),
            ),
        })
    });
    row.pairs = Some(PairLabels {
        head_type: sides.head_type.clone(),
        tail_type: sides.tail_type.clone(),
        default: named(&labels, &default),
        pairs: pairs.collect(),
    });
    Ok((row, tally))
}

/// The numbers among heads and tails of a pair of the question. Which is the head follows from the types, or from the order.
fn numbers(sides: &Sides, heads: usize, tails: usize, pair: &Pair) -> Option<(usize, usize)> {
    let number = |id: &str| {
        id.strip_prefix(['C', 'c'])?
            .parse::<usize>()
            .ok()?
            .checked_sub(1)
    };
    let (a, b) = (number(&pair.head)?, number(&pair.tail)?);
    let (head, tail) = (a.min(b), a.max(b));
    if sides.unordered() {
        return (head != tail && tail < heads).then_some((head, tail));
    }
    let tail = tail.checked_sub(heads)?;
    (head < heads && tail < tails).then_some((head, tail))
}

/// What an answer states of a pair, in the order of the labels; none if that is no distribution.
pub(super) fn stated(pair: &Pair, labels: &[&str]) -> Option<Vec<f64>> {
    let stated = pair.probabilities.as_ref()?;
    let known = |label: &String| labels.contains(&label.as_str());
    if !stated.keys().all(known) || !stated.values().all(|p| (0.0..=1.0).contains(p)) {
        return None;
    }
    let sum: f64 = stated.values().sum();
    // "none" may go without saying.
    let rest = if stated.contains_key(NONE) {
        0.0
    } else {
        (1.0 - sum).max(0.0)
    };
    let total = sum + rest;
    let share = |label: &&str| {
        stated
            .get(*label)
            .copied()
            .unwrap_or(if *label == NONE { rest } else { 0.0 })
            / total
    };
    (0.9..=1.1)
        .contains(&total)
        .then(|| labels.iter().map(share).collect())
}

/// Distributions of the listed pairs, and of every other.
type Distributions = (BTreeMap<(usize, usize), Vec<f64>>, Vec<f64>);

fn distributions(
    task: &Task,
    labels: &[&str],
    asked: &[(Said, &Record)],
    rule: Rule,
) -> Option<Distributions> {
    let others = labels.len().saturating_sub(1).max(1) as f64;
    let only = |at: usize| {
        (0..labels.len())
            .map(|n| f64::from(u8::from(n == at)))
            .collect::<Vec<_>>()
    };
    let unlisted = match rule {
        Rule::Samples => only(0),
        _ => {
            let none = task.probabilities.unlisted_none;
            (0..labels.len())
                .map(|n| if n == 0 { none } else { (1.0 - none) / others })
                .collect()
        }
    };
    let k = asked.len() as f64;
    let smoothing = task.probabilities.smoothing;
    // Votes of k answers, or the mean of k distributions.
    let settle = |sums: Vec<f64>| -> Vec<f64> {
        let settled = |s: &f64| match rule {
            Rule::Samples => (s + smoothing) / (k + smoothing * labels.len() as f64),
            _ => s / k,
        };
        sums.iter().map(settled).collect()
    };
    let mut sums: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for at in asked.iter().flat_map(|(said, _)| said.keys()) {
        if sums.contains_key(at) {
            continue;
        }
        let mut sum = vec![0.0; labels.len()];
        for (said, record) in asked {
            let p = match said.get(at) {
                None => unlisted.clone(),
                Some(s) => match rule {
                    Rule::Samples => only(s.label),
                    Rule::Stated => stated(&s.pair, labels)?,
                    Rule::Logprobs => {
                        logprobs::at(record.tokens.as_deref()?, s.pair.label.at?, labels)?
                    }
                },
            };
            sum.iter_mut().zip(p).for_each(|(s, p)| *s += p);
        }
        sums.insert(*at, sum);
    }
    if rule == Rule::Logprobs && asked.iter().any(|(_, record)| record.tokens.is_none()) {
        return None;
    }
    let default = if asked.is_empty() || rule != Rule::Samples {
        unlisted
    } else {
        settle(unlisted.iter().map(|p| p * k).collect())
    };
    Some((
        sums.into_iter()
            .map(|(at, sum)| (at, settle(sum)))
            .collect(),
        default,
    ))
}

/// Rounded, with "none" (the first) as what is left.
fn named(labels: &[&str], p: &[f64]) -> Distribution {
    let mut named = Distribution::new();
    let mut left = 1.0;
    for (label, p) in labels.iter().zip(p).skip(1) {
        left -= round(*p);
        named.insert((*label).to_owned(), round(*p) as f32);
    }
    named.insert(NONE.to_owned(), round(left.max(0.0)) as f32);
    named
}

/// The place that most answers quote; among equals the shortest, then the first.
fn evidence<'s>(statements: impl Iterator<Item = &'s Statement>) -> Option<Range<usize>> {
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for place in statements.filter_map(|s| s.evidence) {
        *counts.entry(place).or_default() += 1;
    }
    let best = counts
        .into_iter()
        .min_by_key(|((start, end), count)| (std::cmp::Reverse(*count), end - start, *start));
    best.map(|((start, end), _)| start..end)
}

#[cfg(test)]
mod tests;
