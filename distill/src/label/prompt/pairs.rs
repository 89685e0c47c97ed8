//! What is asked in mode `pairs`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use serde_json::{Value, json};

use crate::teacher::NONE;

use super::super::concepts::{Sides, concept_id};
use super::super::settings::{Example, Task};
use super::{choice, document, object, object_schema, preamble, relation_rules, rounded};

pub(super) fn rules(task: &Task, sides: &Sides) -> String {
    let mut rules = preamble(task);
    let Sides {
        head_type,
        tail_type,
    } = sides;
    let defined = |name: &str| task.schema.entity(name).map_or("", |e| e.definition.trim());
    let _ = writeln!(
        rules,
        "\nYou are given a document and the concepts that it names.\n- {head_type}: {}",
        defined(head_type)
    );
    if !sides.unordered() {
        let _ = writeln!(rules, "- {tail_type}: {}", defined(tail_type));
    }
    let pair = if sides.unordered() {
        format!("two different concepts of type {head_type}, in either order")
    } else {
        format!("a {head_type} (head) and a {tail_type} (tail)")
    };
    let _ = write!(
        rules,
        "For {pair}, say what the document as a whole states of their relation:\n{}- {NONE}: none of these is stated.\n",
        relation_rules(sides.relations(task))
    );
    let stated = task.asks_stated();
    let shares: Vec<String> = sides
        .labels(task)
        .iter()
        .map(|l| format!("\"{l}\": ..."))
        .collect();
    let probabilities = if stated {
        format!(", \"probabilities\": {{{}}}", shares.join(", "))
    } else {
        String::new()
    };
    let _ = write!(
        rules,
        "\nAnswer with one JSON object and nothing else:\n{{\"pairs\": [{{\"head\": \"C1\", \"tail\": \"C2\", \"evidence\": \"...\", \"label\": \"...\"{probabilities}}}, ...]}}\n\
        - Leave out the pairs of whose label \"{NONE}\" you are at least {:.0} % sure; list all others, each once.\n\
        - `evidence` is the shortest piece of the document that states the relation, copied letter by letter; \"\" if the label is \"{NONE}\".\n\
        - `label` is the most probable one.\n",
        100.0 * task.probabilities.unlisted_none
    );
    if stated {
        rules.push_str("- `probabilities` are the probabilities, from 0 to 1 and 1 in sum, that careful annotators who follow these definitions choose each label. Say what you believe: not every label is certain.\n");
    }
    rules.push_str("- If there is nothing to list, the list is [].\n");
    rules
}

pub(super) fn question(
    sides: &Sides,
    text: &str,
    heads: &[Vec<String>],
    tails: &[Vec<String>],
) -> String {
    let mut question = document(text);
    let mut number = 0;
    let mut list = |label: &str, concepts: &[Vec<String>]| {
        let _ = write!(question, "\n\n{label}:");
        for names in concepts {
            // As JSON strings: a name is text of the document, too.
            let names: Vec<String> = names.iter().map(|n| json!(n).to_string()).collect();
            let _ = write!(question, "\n{}: {}", concept_id(number), names.join(", "));
            number += 1;
        }
    };
    list(&sides.head_type, heads);
    if !sides.unordered() {
        list(&sides.tail_type, tails);
    }
    question
}

/// Question and answer, if the example has concepts of both types.
pub(super) fn example(task: &Task, sides: &Sides, example: &Example) -> Option<(String, Value)> {
    // Numbers of the example's concepts to numbers in the question.
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    let mut of_type = |label: &str| -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (n, concept) in example.concepts.iter().enumerate() {
            if concept.label == label {
                let number = numbers.len();
                numbers.insert(n + 1, number);
                found.push(concept.names.clone());
            }
        }
        found
    };
    let heads = of_type(&sides.head_type);
    let tails = if sides.unordered() {
        Vec::new()
    } else {
        of_type(&sides.tail_type)
    };
    let (few, rest) = if sides.unordered() {
        (heads.len() < 2, true)
    } else {
        (heads.is_empty(), !tails.is_empty())
    };
    if few || !rest {
        return None;
    }
    let labels = sides.labels(task);
    let pairs: Vec<Value> = example
        .pairs
        .iter()
        .filter_map(|pair| {
            let (head, tail) = (numbers.get(&pair.head)?, numbers.get(&pair.tail)?);
            labels.contains(&pair.label.as_str()).then_some(())?;
            let mut fields = vec![
                ("head", json!(concept_id(*head))),
                ("tail", json!(concept_id(*tail))),
                ("evidence", json!(pair.evidence)),
                ("label", json!(pair.label)),
            ];
            if task.asks_stated() {
                let others = (1.0 - pair.p) / (labels.len() - 1).max(1) as f64;
                let share = |label: &&str| {
                    json!(rounded(if **label == pair.label {
                        pair.p
                    } else {
                        others
                    }))
                };
                fields.push((
                    "probabilities",
                    object(labels.iter().map(|l| (*l, share(l)))),
                ));
            }
            Some(object(fields))
        })
        .collect();
    Some((
        question(sides, &example.text, &heads, &tails),
        json!({ "pairs": pairs }),
    ))
}

/// The schema of the answer to a question about so many concepts: a server that holds a model to it lets it name no others.
pub(super) fn schema(task: &Task, sides: &Sides, heads: usize, tails: usize) -> Value {
    let ids = |numbers: Range<usize>| {
        let ids: Vec<String> = numbers.map(concept_id).collect();
        choice(ids.iter().map(String::as_str).collect())
    };
    let tails = if sides.unordered() {
        0..heads
    } else {
        heads..heads + tails
    };
    let labels = sides.labels(task);
    let mut pair = vec![
        ("head", ids(0..heads)),
        ("tail", ids(tails)),
        ("evidence", json!({"type": "string"})),
        ("label", choice(labels.clone())),
    ];
    if task.asks_stated() {
        let shares = labels
            .iter()
            .map(|l| (*l, json!({"type": "number"})))
            .collect();
        pair.push(("probabilities", object_schema(shares)));
    }
    object_schema(vec![(
        "pairs",
        json!({"type": "array", "items": object_schema(pair)}),
    )])
}
