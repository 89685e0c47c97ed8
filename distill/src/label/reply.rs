//! What a server answers, down to what is kept of it.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::teacher::Rule;

use super::answer::{self, Answer, Label, Pair};
use super::client::Failure;
use super::logprobs::{self, Token};
use super::prompt::Sides;
use super::rows;
use super::settings::Task;

/// An answer that can be used, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`super::prompt::Question::key`].
    pub key: String,
    /// What the model wrote.
    pub content: String,
    /// Its tokens where labels stand; none if the server gave none.
    pub tokens: Option<Vec<Token>>,
    /// Tokens sent and received, if the server counted them.
    pub usage: Option<Usage>,
}

/// Tokens that were paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Sent.
    #[serde(rename = "prompt_tokens", default)]
    pub prompt: u64,
    /// Received.
    #[serde(rename = "completion_tokens", default)]
    pub completion: u64,
}

impl Usage {
    /// Adds another's.
    pub fn add(&mut self, other: Usage) {
        self.prompt += other.prompt;
        self.completion += other.completion;
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Value,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

/// Reads the body of a response to a question about `sides` (mode `pairs`) under `key`; also what was paid for it, usable or not.
pub fn read(
    task: &Task,
    sides: Option<&Sides>,
    key: &str,
    body: &[u8],
) -> (Result<Record, Failure>, Usage) {
    let later = |why: &str| Failure::Later(why.to_owned(), None);
    let Ok(completion) = serde_json::from_slice::<Completion>(body) else {
        return (
            Err(later("the response is no chat completion")),
            Usage::default(),
        );
    };
    let usage = completion.usage.unwrap_or_default();
    let Some(choice) = completion.choices.into_iter().next() else {
        return (Err(later("the response holds no answer")), usage);
    };
    let record = choice.content().map_err(later).and_then(|content| {
        let answer = answer::read(task.mode, &content).map_err(later)?;
        let tokens = logprobs::tokens(&choice.logprobs, &content, &places(&answer));
        usable(task, sides, &answer, tokens.is_some())?;
        Ok(Record {
            key: key.to_owned(),
            content,
            tokens,
            usage: completion.usage,
        })
    });
    (record, usage)
}

impl Choice {
    fn content(&self) -> Result<String, &'static str> {
        match self.finish_reason.as_deref() {
            Some("length") => {
                Err("the answer was cut off at its greatest length; see endpoint.max_tokens")
            }
            Some("content_filter") => Err("the server's filter cut the answer off"),
            _ => {
                let content = self
                    .message
                    .content
                    .clone()
                    .filter(|c| !c.trim().is_empty());
                content.ok_or("the answer is empty")
            }
        }
    }
}

/// A pair that is named without a distribution could only be left out, and whatever is left out counts as "none": such an answer is no
/// answer. A mention without a place is a defect of that mention alone.
fn usable(
    task: &Task,
    sides: Option<&Sides>,
    answer: &Answer,
    tokens: bool,
) -> Result<(), Failure> {
    let later = |why: &str| Err(Failure::Later(why.to_owned(), None));
    let rules = task.rules();
    if rules == [Rule::Logprobs] && !tokens {
        let why = "the server gives no log-probabilities with its answers; set probabilities.rule to \"stated\", or to \"samples\"";
        return Err(Failure::Everything(why.to_owned()));
    }
    let Some(sides) = sides else { return Ok(()) };
    let labels = sides.labels(task);
    if !answer
        .pairs
        .iter()
        .all(|p| labels.contains(&p.label.name.as_str()))
    {
        return later("the answer gives a pair a label that the schema lacks");
    }
    let states = |p: &Pair| rows::stated(p, &labels).is_some();
    let needed =
        rules.last() == Some(&Rule::Stated) && !(tokens && rules.contains(&Rule::Logprobs));
    if needed && !answer.pairs.iter().all(states) {
        return later(
            "the answer gives a pair probabilities that are no distribution over its labels",
        );
    }
    Ok(())
}

/// Where labels stand in an answer, with their closing quotation marks.
fn places(answer: &Answer) -> Vec<Range<usize>> {
    let entities = answer.entities.iter();
    let labels = entities
        .flat_map(|e| std::iter::once(&e.label).chain(&e.assertion))
        .chain(answer.relations.iter().map(|r| &r.label))
        .chain(answer.pairs.iter().map(|p| &p.label));
    let place = |label: &Label| label.at.map(|at| at..at + label.name.len() + 1);
    labels.filter_map(place).collect()
}
