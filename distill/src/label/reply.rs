//! What a server answers, down to what is kept of it.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::teacher::Rule;

use super::answer::{self, Answer, Label, Pair};
use super::client::Failure;
use super::concepts::Sides;
use super::logprobs::{self, Token};
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::{ENDPOINT, task};
    use super::*;

    fn read_entities(body: &Value) -> (Result<Record, Failure>, Usage) {
        let task = task("entities", "", ENDPOINT).unwrap();
        read(&task, None, "k", body.to_string().as_bytes())
    }

    #[test]
    fn what_is_paid_for_is_counted_whether_it_can_be_used_or_not() {
        let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
        let paid = Usage {
            prompt: 7,
            completion: 3,
        };
        for (choice, usable) in [
            (
                json!({"message": {"content": "{\"entities\": []}"}, "finish_reason": "stop"}),
                true,
            ),
            (json!({"message": {"content": "{\"entities\": []}"}}), true),
            (
                json!({"message": {"content": "{\"entities\": []}"}, "finish_reason": "length"}),
                false,
            ),
            (
                json!({"message": {"content": null}, "finish_reason": "content_filter"}),
                false,
            ),
            (json!({"message": {"content": null}}), false),
        ] {
            let (record, used) = read_entities(&json!({"choices": [choice], "usage": usage}));
            assert_eq!((record.is_ok(), used), (usable, paid), "{choice}");
        }
        let (record, used) = read_entities(
            &json!({"choices": [{"message": {"content": "{\"entities\": []}"}}], "usage": null}),
        );
        assert_eq!((record.unwrap().usage, used), (None, Usage::default()));
    }

    #[test]
    fn a_pair_without_a_distribution_makes_the_answer_none() {
        let pairs = |rule: &str, pair: Value| {
            let task = task("pairs", "", &format!("{ENDPOINT}{rule}")).unwrap();
            let sides = Sides::of(&task).remove(0);
            let content = json!({ "pairs": [pair] }).to_string();
            let body = json!({"choices": [{"message": {"content": content}}]}).to_string();
            read(&task, Some(&sides), "k", body.as_bytes()).0
        };
        let sampled = "samples = 2\ntemperature = 1.0\n";
        let good = json!({"head": "C1", "tail": "C2", "label": "causes", "probabilities": {"causes": 0.9}});
        let odd =
            json!({"head": "C1", "tail": "C2", "label": "cures", "probabilities": {"causes": 0.9}});
        let bare = json!({"head": "C1", "tail": "C2", "label": "causes"});
        assert!(pairs("", good).is_ok());
        assert!(pairs("", odd.clone()).is_err() && pairs(sampled, odd).is_err());
        assert!(pairs("", bare.clone()).is_err() && pairs(sampled, bare.clone()).is_ok());
        let only = pairs("[probabilities]\nrule = \"logprobs\"\n", bare).unwrap_err();
        assert!(matches!(only, Failure::Everything(_)), "{only:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), content in "\\PC{0,40}", token in "\\PC{0,8}", raw in prop::collection::vec(any::<u8>(), 0..4), logprob in any::<f64>()) {
            let task = task("entities", "", ENDPOINT).unwrap();
            let _ = read(&task, None, "k", &bytes);
            let content = format!("{content}{{\"entities\": [{{\"quote\": \"x\", \"type\": \"{token}\"}}]}}");
            let tokens = json!([{"token": token, "bytes": raw, "logprob": logprob, "top_logprobs": []}, {"token": content, "logprob": logprob}]);
            let _ = read_entities(&json!({"choices": [{"message": {"content": content}, "logprobs": {"content": tokens}}]}));
        }
    }
}
