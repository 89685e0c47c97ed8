//! What is asked in mode `entities`.

use std::fmt::Write;

use serde_json::{Value, json};

use super::super::settings::{Example, Repeats, Task};
use super::{choice, examples, object, object_schema, preamble, relation_rules};

pub(super) fn rules(task: &Task) -> String {
    let schema = &task.schema;
    let mut rules = preamble(task);
    rules.push_str("\nTypes of mentions:\n");
    for entity in &schema.entities {
        let _ = writeln!(
            rules,
            "- {}: {}{}",
            entity.name,
            entity.definition.trim(),
            examples(&entity.examples)
        );
    }
    let asserted: Vec<&str> = schema
        .entities
        .iter()
        .filter(|e| e.asserted)
        .map(|e| e.name.as_str())
        .collect();
    if !asserted.is_empty() {
        let _ = writeln!(
            rules,
            "\nA mention of type {} has one assertion:",
            asserted.join(" or ")
        );
        for assertion in &schema.assertions {
            let _ = writeln!(
                rules,
                "- {}: {}",
                assertion.name,
                assertion.definition.trim()
            );
        }
    }
    if !schema.relations.is_empty() {
        rules.push_str("\nTypes of relations between mentions:\n");
        rules.push_str(&relation_rules(schema.relations.iter()));
    }
    let mut fields = vec!["\"id\": \"e1\"", "\"quote\": \"...\""];
    fields.extend(match task.alignment.repeats {
        Repeats::Context => Some("\"context\": \"...\""),
        Repeats::Occurrence => Some("\"occurrence\": 1"),
        Repeats::Every => None,
    });
    fields.push("\"type\": \"...\"");
    fields.extend((!asserted.is_empty()).then_some("\"assertion\": \"...\""));
    let p = task.asks_stated().then_some("\"p\": 0.9");
    fields.extend(p);
    let mut relation = vec!["\"head\": \"e1\"", "\"tail\": \"e2\"", "\"type\": \"...\""];
    relation.extend(p);
    let _ = write!(
        rules,
        "\nAnswer with one JSON object and nothing else:\n{{\"entities\": [{{{}}}, ...], \"relations\": [{{{}}}, ...]}}\n\
        - `quote` is the mention, copied from the document letter by letter and as short as its meaning allows.\n",
        fields.join(", "),
        relation.join(", ")
    );
    rules.push_str(match task.alignment.repeats {
        Repeats::Context => "- List every mention, repeated ones each time. If the document holds the quote more than once, `context` is a longer quote around this one that the document holds only once; otherwise it is \"\".\n",
        Repeats::Occurrence => "- List every mention, repeated ones each time. `occurrence` counts, from 1, the places of the document that hold exactly this quote: 1 for the first.\n",
        Repeats::Every => "- List each different mention once: it is looked for in the whole document.\n",
    });
    rules.push_str("- `id` is e1, e2 and so on; `head` and `tail` of a relation are ids.\n");
    if p.is_some() {
        rules.push_str("- `p` is the probability, from 0 to 1, that careful annotators who follow these definitions agree with you. Say what you believe: not every p is high.\n");
    }
    rules.push_str("- If there is nothing to list, a list is [].\n");
    rules
}

/// The answer to an example as the model should have written it.
pub(super) fn example(task: &Task, example: &Example) -> Value {
    let stated = |p: f64| task.asks_stated().then_some(("p", json!(p)));
    let id = |n: usize| json!(format!("e{n}"));
    let entities: Vec<Value> = example
        .entities
        .iter()
        .enumerate()
        .map(|(n, e)| {
            let place = match task.alignment.repeats {
                Repeats::Context => {
                    Some(("context", json!(e.context.as_deref().unwrap_or_default())))
                }
                Repeats::Occurrence => Some(("occurrence", json!(e.occurrence.unwrap_or(1)))),
                Repeats::Every => None,
            };
            let mut fields = vec![("id", id(n + 1)), ("quote", json!(e.quote))];
            fields.extend(place);
            fields.push(("type", json!(e.label)));
            if task.schema.entities.iter().any(|e| e.asserted) {
                fields.push(("assertion", json!(e.assertion)));
            }
            fields.extend(stated(e.p));
            object(fields)
        })
        .collect();
    let relations: Vec<Value> = example
        .relations
        .iter()
        .map(|r| {
            let fields = [
                ("head", id(r.head)),
                ("tail", id(r.tail)),
                ("type", json!(r.label)),
            ];
            object(fields.into_iter().chain(stated(r.p)))
        })
        .collect();
    json!({"entities": entities, "relations": relations})
}

pub(super) fn schema(task: &Task) -> Value {
    let schema = &task.schema;
    let string = json!({"type": "string"});
    let number = json!({"type": "number"});
    let p = task.asks_stated().then_some(("p", number));
    let mut entity = vec![("id", string.clone()), ("quote", string.clone())];
    entity.extend(match task.alignment.repeats {
        Repeats::Context => Some(("context", string.clone())),
        Repeats::Occurrence => Some(("occurrence", json!({"type": "integer"}))),
        Repeats::Every => None,
    });
    entity.push((
        "type",
        choice(schema.entities.iter().map(|e| e.name.as_str()).collect()),
    ));
    if schema.entities.iter().any(|e| e.asserted) {
        let names = schema.assertions.iter().map(|a| a.name.as_str()).collect();
        entity.push((
            "assertion",
            json!({"anyOf": [choice(names), {"type": "null"}]}),
        ));
    }
    entity.extend(p.clone());
    let mut lists = vec![(
        "entities",
        json!({"type": "array", "items": object_schema(entity)}),
    )];
    if !schema.relations.is_empty() {
        let names = schema.relations.iter().map(|r| r.name.as_str()).collect();
        let mut relation = vec![
            ("head", string.clone()),
            ("tail", string),
            ("type", choice(names)),
        ];
        relation.extend(p);
        lists.push((
            "relations",
            json!({"type": "array", "items": object_schema(relation)}),
        ));
    }
    object_schema(lists)
}
