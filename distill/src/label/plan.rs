//! What a task comes to: the rows of its label file, and what has to be asked for each.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;

use crate::error::{Error, Result};

use super::client::Address;
use super::concepts::{Concept, Sides, concepts};
use super::prompt::Question;
use super::settings::{Mode, Task};
use super::texts::{self, Text};

/// Bytes of a token, for estimates before anything is counted: English and its JSON have about four.
const BYTES_PER_TOKEN: usize = 4;

/// Concepts whose relations a row tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Their types.
    pub sides: Sides,
    /// Heads.
    pub heads: Vec<Concept>,
    /// Tails; the heads again if pairs are unordered.
    pub tails: Vec<Concept>,
}

impl Asked {
    /// There are pairs to ask about.
    fn any(&self) -> bool {
        let least = if self.sides.unordered() { 2 } else { 1 };
        self.heads.len() >= least && !self.tails.is_empty()
    }
}

/// One row of the label file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index into [`Plan::texts`].
    pub text: usize,
    /// The concepts (mode `pairs`).
    pub asked: Option<Asked>,
    /// What its answers are kept under, one a sample; none if there is nothing to ask.
    pub keys: Vec<String>,
}

/// A task with its texts.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The task.
    pub task: Task,
    /// Where the model is.
    pub address: Address,
    /// The texts, each once.
    pub texts: Vec<Text>,
    /// Texts left out because they came before.
    pub repeated: usize,
    /// The rows, in the order of the texts.
    pub rows: Vec<Row>,
}

impl Plan {
    /// Reads a task and its texts, of which the first `limit` are taken.
    ///
    /// # Errors
    /// The task or a text cannot be read; the message names file and line.
    pub fn read(file: &Path, limit: Option<usize>) -> Result<Plan> {
        let task = Task::read(file)?;
        let address =
            Address::parse(&task.endpoint.base_url).map_err(|why| Error::file(file, why))?;
        let (mut texts, repeated) = texts::read(&task)?;
        texts.truncate(limit.unwrap_or(usize::MAX));
        let mut plan = Plan {
            task,
            address,
            texts,
            repeated,
            rows: Vec::new(),
        };
        for (number, text) in plan.texts.iter().enumerate() {
            let asked: Vec<Option<Asked>> = match plan.task.mode {
                Mode::Entities => vec![None],
                Mode::Pairs => Sides::of(&plan.task)
                    .into_iter()
                    .map(|sides| Some(asked(&plan.task, text, sides)))
                    .collect(),
            };
            for asked in asked {
                let mut row = Row {
                    text: number,
                    asked,
                    keys: Vec::new(),
                };
                if let Some(question) = plan.question(&row) {
                    row.keys = (0..plan.task.endpoint.samples)
                        .map(|sample| question.key(&plan.task, sample))
                        .collect();
                }
                plan.rows.push(row);
            }
        }
        Ok(plan)
    }

    /// What is asked for a row; none if there is nothing to ask: a blank text, or no pair.
    pub fn question(&self, row: &Row) -> Option<Question> {
        let text = &self.texts.get(row.text)?.document.text;
        if text.trim().is_empty() {
            return None;
        }
        match &row.asked {
            None => Some(Question::entities(&self.task, text)),
            Some(asked) if !asked.any() => None,
            Some(Asked {
                sides,
                heads,
                tails,
            }) => Some(Question::pairs(&self.task, sides, text, heads, tails)),
        }
    }

    /// Row and sample of every answer that is not `kept`, each question once.
    pub fn missing(&self, kept: impl Fn(&str) -> bool) -> Vec<(usize, u32)> {
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            for (sample, key) in (0..).zip(&row.keys) {
                if !kept(key) && seen.insert(key) {
                    missing.push((number, sample));
                }
            }
        }
        missing
    }

    /// What sending what is missing means, for people: how much goes where.
    pub fn announcement(&self, missing: &[(usize, u32)], proxy: Option<&str>) -> String {
        let Address {
            host,
            secure,
            loopback,
            ..
        } = &self.address;
        let texts: HashSet<usize> = missing
            .iter()
            .filter_map(|(row, _)| self.rows.get(*row))
            .map(|r| r.text)
            .collect();
        let of_text = |number: &usize| self.texts.get(*number).map_or(0, |t| t.document.text.len());
        let text: usize = texts.iter().map(of_text).sum();
        let of_question = |(row, _): &(usize, u32)| {
            self.rows
                .get(*row)
                .and_then(|row| self.question(row))
                .map_or(0, |q| q.bytes())
        };
        let sent: usize = missing.iter().map(of_question).sum();
        let (prompt, completion) = (
            sent.div_ceil(BYTES_PER_TOKEN) as u64,
            missing.len() as u64 * u64::from(self.task.endpoint.max_tokens),
        );
        let (documents, text) = (texts.len(), size(text));
        let mut said = String::new();
        if *loopback {
            let _ = write!(
                said,
                "{documents} documents ({text} of text) go to {host}, which is this machine"
            );
        } else {
            let how = if *secure {
                "encrypted"
            } else {
                "NOT ENCRYPTED"
            };
            let _ = write!(
                said,
                "THE TEXT OF {documents} DOCUMENTS LEAVES THIS MACHINE: {text} to {host}, {how}"
            );
            if let Some(proxy) = proxy {
                let _ = write!(said, ", through the proxy {proxy}");
            }
        }
        let _ = write!(
            said,
            "; model {}; {} requests of {} in all, about {} tokens, at most {} tokens back",
            self.task.endpoint.model,
            missing.len(),
            size(sent),
            count(prompt),
            count(completion)
        );
        if let Some(prices) = &self.task.prices {
            let _ = write!(
                said,
                " (about {:.2} to {:.2} {})",
                prices.of(prompt, 0),
                prices.of(prompt, completion),
                prices.currency
            );
        }
        said
    }
}

fn asked(task: &Task, text: &Text, sides: Sides) -> Asked {
    let heads = concepts(task, text, &sides.head_type);
    let tails = if sides.unordered() {
        heads.clone()
    } else {
        concepts(task, text, &sides.tail_type)
    };
    Asked {
        sides,
        heads,
        tails,
    }
}

/// Bytes for people.
fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A number for people.
pub(super) fn count(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.0}k", n as f64 / 1e3),
        _ => format!("{:.1}M", n as f64 / 1e6),
    }
}
