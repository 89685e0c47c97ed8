//! The row of mode `pairs`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::teacher::{Distribution, Labels, NONE, PairLabels, Rule, TeacherPair};

use super::super::align::{Aligner, Quote};
use super::super::answer::Pair;
use super::super::concepts::{Concept, Sides};
use super::super::logprobs;
use super::super::reply::Record;
use super::super::settings::{Alignment, Mode, Repeats, Task};
use super::super::texts::Text;
use super::{NO_LOGPROBS, Tally, blank, round};

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
pub(in super::super) fn stated(pair: &Pair, labels: &[&str]) -> Option<Vec<f64>> {
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
