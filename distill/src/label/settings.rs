//! The task: one TOML file that says which texts a model labels, with what, and how it is asked; checked before anything is sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::DeTable;

use crate::corpus::{Format, Options};
use crate::error::{Error, Result};
use crate::recipe::places::{Places, line_of};
use crate::teacher::Rule;

use super::check;

/// A checked task.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What the model is asked for.
    pub mode: Mode,
    /// What the model must know beyond the definitions, in the user's words.
    #[serde(default)]
    pub guideline: String,
    /// What there is to find.
    pub schema: Schema,
    /// The texts.
    pub texts: Vec<Texts>,
    /// Texts with the answers that the user would give.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// Who is asked, and how.
    pub endpoint: Endpoint,
    /// How answers become probabilities.
    #[serde(default)]
    pub probabilities: Probabilities,
    /// How quotes are found in the text.
    #[serde(default)]
    pub alignment: Alignment,
    /// What tokens cost, to show it.
    pub prices: Option<Prices>,
    /// The task's file; paths are relative to its folder.
    #[serde(skip)]
    file: PathBuf,
}

/// What the model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Mentions and relations between them.
    Entities,
    /// How the concepts that the corpus marks relate to each other.
    Pairs,
}

/// What there is to find.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Entity types.
    pub entities: Vec<EntityType>,
    /// Relation types.
    #[serde(default)]
    pub relations: Vec<RelationType>,
    /// What a mention may be said to be: present, negated, ...
    #[serde(default)]
    pub assertions: Vec<Assertion>,
}

/// One entity type.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityType {
    /// Its name in the labels.
    pub name: String,
    /// What belongs to it, for the model.
    pub definition: String,
    /// Mentions of this type.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Mentions of this type get one of [`Schema::assertions`].
    #[serde(default)]
    pub asserted: bool,
}

/// One relation type.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationType {
    /// Its name in the labels.
    pub name: String,
    /// When it holds, for the model.
    pub definition: String,
    /// Entity types that may be the head.
    pub head: Vec<String>,
    /// Entity types that may be the tail.
    pub tail: Vec<String>,
    /// Head and tail are interchangeable (and of one type).
    #[serde(default)]
    pub symmetric: bool,
    /// Sentences that state it.
    #[serde(default)]
    pub examples: Vec<String>,
}

/// What a mention may be said to be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// Its name in the labels.
    pub name: String,
    /// When it holds, for the model.
    pub definition: String,
}

/// One file of texts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// The file.
    pub path: PathBuf,
    /// Its format.
    pub format: Format,
    /// How that format is read.
    #[serde(default)]
    pub options: Options,
    /// The corpus's labels of mentions to the schema's entity types; a label that is not listed stands for itself.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// Name of the corpus, for the labels.
    pub corpus: Option<String>,
    /// The part of the corpus ("train"), for the labels.
    pub split: Option<String>,
}

/// A text with the answer that the user would give.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The text.
    pub text: String,
    /// Its mentions (mode `entities`).
    #[serde(default)]
    pub entities: Vec<ExampleEntity>,
    /// The relations between them (mode `entities`).
    #[serde(default)]
    pub relations: Vec<ExampleRelation>,
    /// Its concepts (mode `pairs`).
    #[serde(default)]
    pub concepts: Vec<ExampleConcept>,
    /// Pairs of them that are related (mode `pairs`).
    #[serde(default)]
    pub pairs: Vec<ExamplePair>,
}

/// A mention of an example.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleEntity {
    /// The mention, verbatim.
    pub quote: String,
    /// Entity type.
    #[serde(rename = "type")]
    pub label: String,
    /// A longer quote around it, if it stands in the text more than once.
    pub context: Option<String>,
    /// Which one it is, from 1, if it stands in the text more than once.
    pub occurrence: Option<usize>,
    /// One of [`Schema::assertions`].
    pub assertion: Option<String>,
    /// Probability.
    #[serde(default = "example_probability")]
    pub p: f64,
}

/// A relation of an example.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleRelation {
    /// Which mention, from 1.
    pub head: usize,
    /// Which mention, from 1.
    pub tail: usize,
    /// Relation type.
    #[serde(rename = "type")]
    pub label: String,
    /// Probability.
    #[serde(default = "example_probability")]
    pub p: f64,
}

/// A concept of an example.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleConcept {
    /// Entity type.
    #[serde(rename = "type")]
    pub label: String,
    /// What the text calls it.
    pub names: Vec<String>,
}

/// A related pair of an example.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExamplePair {
    /// Which concept, from 1.
    pub head: usize,
    /// Which concept, from 1.
    pub tail: usize,
    /// Relation type, or "none".
    pub label: String,
    /// The shortest quote that states it.
    #[serde(default)]
    pub evidence: String,
    /// Probability of the label.
    #[serde(default = "example_probability")]
    pub p: f64,
}

fn example_probability() -> f64 {
    0.95
}

/// Whether the server holds answers to a JSON schema, or to JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// It is not asked to.
    #[default]
    None,
    /// Any JSON object.
    JsonObject,
    /// The schema of the answer.
    JsonSchema,
}

/// Who is asked, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Everything before `/chat/completions`.
    pub base_url: String,
    /// Name of the model.
    pub model: String,
    /// Name of the environment variable that holds the API key, if the server wants one.
    pub api_key_env: Option<String>,
    /// Sampling temperature.
    #[serde(default)]
    pub temperature: f32,
    /// Answers to each question.
    #[serde(default = "Endpoint::samples")]
    pub samples: u32,
    /// Tokens of the longest answer.
    #[serde(default = "Endpoint::max_tokens")]
    pub max_tokens: u32,
    /// Seed that is sent (plus the number of the sample).
    pub seed: Option<u64>,
    /// Whether the server holds answers to a schema.
    #[serde(default)]
    pub response_format: ResponseFormat,
    /// More fields of every request.
    #[serde(default)]
    pub extra: BTreeMap<String, serde_json::Value>,
    /// Requests in a minute at most; no limit if absent.
    pub requests_per_minute: Option<f64>,
    /// Requests under way at once.
    #[serde(default = "Endpoint::parallel")]
    pub parallel: usize,
    /// Seconds until a connection must stand.
    #[serde(default = "Endpoint::connect_seconds")]
    pub connect_seconds: f64,
    /// Seconds until an answer must be there, whole.
    #[serde(default = "Endpoint::timeout_seconds")]
    pub timeout_seconds: f64,
    /// How often a question is put before its document is given up.
    #[serde(default = "Endpoint::tries")]
    pub tries: u32,
    /// Seconds between the first try and the second; each further wait is twice as long.
    #[serde(default = "Endpoint::backoff_seconds")]
    pub backoff_seconds: f64,
}

impl Endpoint {
    fn samples() -> u32 {
        1
    }
    fn max_tokens() -> u32 {
        4096
    }
    fn parallel() -> usize {
        4
    }
    fn connect_seconds() -> f64 {
        10.0
    }
    fn timeout_seconds() -> f64 {
        300.0
    }
    fn tries() -> u32 {
        5
    }
    fn backoff_seconds() -> f64 {
        1.0
    }
}

/// How answers become probabilities.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probabilities {
    /// The only rule; if absent, the first that a document's answers allow: log-probabilities, shares of several samples, stated ones.
    pub rule: Option<Rule>,
    /// Rule `samples`: added to the votes of every outcome.
    pub smoothing: f64,
    /// Rule `logprobs`: alternatives that are asked for at every token.
    pub top_logprobs: u32,
    /// Mode `pairs`: probability of "none" for a pair that an answer leaves out.
    pub unlisted_none: f64,
}

impl Default for Probabilities {
    fn default() -> Self {
        Probabilities {
            rule: None,
            smoothing: 0.1,
            top_logprobs: 20,
            unlisted_none: 0.97,
        }
    }
}

/// What tells apart the places of a quote that stands in the text more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeats {
    /// The model gives a longer quote around it.
    #[default]
    Context,
    /// The model gives its number.
    Occurrence,
    /// Nothing: every place is labelled.
    Every,
}

/// How quotes are found in the text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alignment {
    /// What a quote that stands in the text more than once means.
    pub repeats: Repeats,
    /// Edits that a quote may differ by, as a share of its characters; 0 takes verbatim quotes only (but for case, blanks and Unicode forms).
    pub max_edits: f64,
}

impl Default for Alignment {
    fn default() -> Self {
        Alignment {
            repeats: Repeats::Context,
            max_edits: 0.15,
        }
    }
}

/// What tokens cost.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// For a million tokens sent.
    pub prompt_per_million: f64,
    /// For a million tokens received.
    pub completion_per_million: f64,
    /// What the prices are in.
    pub currency: String,
}

impl Prices {
    /// What so many tokens cost.
    pub fn of(&self, prompt: u64, completion: u64) -> f64 {
        (prompt as f64 * self.prompt_per_million + completion as f64 * self.completion_per_million)
            / 1e6
    }
}

impl Task {
    /// Reads and checks a task.
    ///
    /// # Errors
    /// The file cannot be read, is no TOML, has an unknown key, a value out of range, a label that the schema lacks, or names a file that
    /// is missing; the message names file and line.
    pub fn read(file: &Path) -> Result<Task> {
        let text = fs::read_to_string(file).map_err(Error::io("read", file))?;
        Task::parse(file, &text)
    }

    pub(super) fn parse(file: &Path, text: &str) -> Result<Task> {
        let fail = |e: toml::de::Error| {
            let line = e.span().map_or(1, |span| line_of(text, span.start));
            Error::line(file, line, e.message().replace('\n', "; "))
        };
        let mut task: Task = toml::from_str(text).map_err(fail)?;
        task.file = file.to_owned();
        let table = DeTable::parse(text).map_err(fail)?;
        check::task(
            &task,
            &Places {
                file,
                text,
                table: table.get_ref(),
            },
        )?;
        Ok(task)
    }

    /// A path of the task as one that can be opened.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Whether answers state probabilities: where no other rule is certain to give them.
    pub fn asks_stated(&self) -> bool {
        self.rules().contains(&Rule::Stated)
    }

    /// The rules that a document's answers may be read by, best first.
    pub fn rules(&self) -> Vec<Rule> {
        let otherwise = if self.endpoint.samples > 1 {
            Rule::Samples
        } else {
            Rule::Stated
        };
        match self.probabilities.rule {
            Some(rule) => vec![rule],
            None => vec![Rule::Logprobs, otherwise],
        }
    }

    /// Whether log-probabilities are asked for.
    pub fn asks_logprobs(&self) -> bool {
        self.rules().contains(&Rule::Logprobs)
    }
}

impl Schema {
    /// The entity type of a name.
    pub fn entity(&self, name: &str) -> Option<&EntityType> {
        self.entities.iter().find(|e| e.name == name)
    }

    /// The relation type of a name.
    pub fn relation(&self, name: &str) -> Option<&RelationType> {
        self.relations.iter().find(|r| r.name == name)
    }
}

impl RelationType {
    /// Whether the types fit, in this direction.
    pub fn admits(&self, head: &str, tail: &str) -> bool {
        self.head.iter().any(|t| t == head) && self.tail.iter().any(|t| t == tail)
    }
}

#[cfg(test)]
mod tests;
