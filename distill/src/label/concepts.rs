//! Mode `pairs`: the concepts that a corpus marks, and whose relations are asked for.

use crate::teacher::NONE;

use super::settings::{RelationType, Task};
use super::texts::Text;

/// A concept of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concept {
    /// Its id in the corpus.
    pub id: String,
    /// What the text calls it, each name once.
    pub names: Vec<String>,
}

/// Names of one concept that are sent at most.
const NAMES: usize = 6;

/// The concepts of one type of a document, in the order in which the text names them.
pub fn concepts(task: &Task, text: &Text, label: &str) -> Vec<Concept> {
    let map = task.texts.get(text.of).map(|t| &t.map);
    let document = &text.document;
    let mut found: Vec<Concept> = Vec::new();
    let mut mentions: Vec<_> = document.mentions.iter().collect();
    mentions.sort_by_key(|m| m.start);
    for mention in mentions {
        let mapped = map
            .and_then(|m| m.get(&mention.label))
            .unwrap_or(&mention.label);
        let Some(name) = document
            .text
            .get(mention.start..mention.end)
            .filter(|_| mapped == label)
        else {
            continue;
        };
        for id in &mention.concepts {
            let at = found
                .iter()
                .position(|c| c.id == *id)
                .unwrap_or(found.len());
            if at == found.len() {
                found.push(Concept {
                    id: id.clone(),
                    names: Vec::new(),
                });
            }
            let Some(concept) = found.get_mut(at) else {
                continue;
            };
            if concept.names.len() < NAMES
                && !concept
                    .names
                    .iter()
                    .any(|n| n.to_lowercase() == name.to_lowercase())
            {
                concept.names.push(name.to_owned());
            }
        }
    }
    found
}

/// Concepts of two types whose relations are asked for; of one type, unordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Entity type of the heads.
    pub head_type: String,
    /// Entity type of the tails.
    pub tail_type: String,
}

impl Sides {
    /// Every two types that a relation of the schema joins, in the schema's order.
    pub fn of(task: &Task) -> Vec<Sides> {
        let mut all: Vec<Sides> = Vec::new();
        for relation in &task.schema.relations {
            for head_type in &relation.head {
                for tail_type in &relation.tail {
                    let sides = Sides {
                        head_type: head_type.clone(),
                        tail_type: tail_type.clone(),
                    };
                    if !all.contains(&sides) {
                        all.push(sides);
                    }
                }
            }
        }
        all
    }

    /// Heads and tails are the same concepts.
    pub fn unordered(&self) -> bool {
        self.head_type == self.tail_type
    }

    /// The relation types that may hold between the two.
    pub fn relations<'t>(&self, task: &'t Task) -> impl Iterator<Item = &'t RelationType> {
        let relations = task.schema.relations.iter();
        relations.filter(|r| r.admits(&self.head_type, &self.tail_type))
    }

    /// "none", then the relation types that may hold between the two.
    pub fn labels<'t>(&self, task: &'t Task) -> Vec<&'t str> {
        std::iter::once(NONE)
            .chain(self.relations(task).map(|r| r.name.as_str()))
            .collect()
    }
}

/// What the model calls the concepts of a question: "C1", "C2", ... over heads and tails.
pub fn concept_id(number: usize) -> String {
    format!("C{}", number + 1)
}
