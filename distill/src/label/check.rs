//! What a task must fulfil before anything is sent.

use std::collections::{BTreeSet, HashSet};

use crate::error::Result;
use crate::recipe::places::Places;
use crate::teacher::{NONE, Rule};

use super::align::{Aligner, Quote};
use super::client::Address;
use super::prompt::SENT;
use super::settings::{Example, Mode, RelationType, Task};

pub(super) fn task(task: &Task, at: &Places) -> Result<()> {
    schema(task, at)?;
    texts(task, at)?;
    endpoint(task, at)?;
    probabilities(task, at)?;
    at.range(
        &["alignment", "max_edits"],
        task.alignment.max_edits,
        0.0,
        0.5,
    )?;
    if let Some(prices) = &task.prices {
        for (name, price) in [
            ("prompt_per_million", prices.prompt_per_million),
            ("completion_per_million", prices.completion_per_million),
        ] {
            at.range(&["prices", name], price, 0.0, 1e9)?;
        }
    }
    for (n, example) in task.examples.iter().enumerate() {
        self::example(task, at, &n.to_string(), example)?;
    }
    Ok(())
}

fn schema(task: &Task, at: &Places) -> Result<()> {
    let schema = &task.schema;
    at.need(&["schema", "entities"], !schema.entities.is_empty(), || {
        "give at least one [[schema.entities]]".to_owned()
    })?;
    let mut names = HashSet::new();
    let mut named = |kind: &str, n: usize, name: &str, definition: &str| {
        let n = n.to_string();
        let key = |last| ["schema", kind, n.as_str(), last];
        // A quotation mark or a backslash would be escaped in an answer, whose tokens are compared with the name.
        let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
        at.need(
            &key("name"),
            !name.is_empty() && name.chars().all(plain) && name != NONE && names.insert(name.to_owned()),
            || format!("the name \"{name}\" is empty, \"{NONE}\", holds a quotation mark, or is another's"),
        )?;
        at.need(&key("definition"), !definition.trim().is_empty(), || {
            "the model reads nothing of the type but this; say what belongs to it".to_owned()
        })
    };
    for (n, entity) in schema.entities.iter().enumerate() {
        named("entities", n, &entity.name, &entity.definition)?;
    }
    for (n, relation) in schema.relations.iter().enumerate() {
        named("relations", n, &relation.name, &relation.definition)?;
    }
    for (n, assertion) in schema.assertions.iter().enumerate() {
        named("assertions", n, &assertion.name, &assertion.definition)?;
    }
    for (n, entity) in schema.entities.iter().enumerate() {
        at.need(
            &["schema", "entities", &n.to_string(), "asserted"],
            !entity.asserted || (!schema.assertions.is_empty() && task.mode == Mode::Entities),
            || "give [[schema.assertions]]; they belong to mode \"entities\"".to_owned(),
        )?;
    }
    for (n, relation) in schema.relations.iter().enumerate() {
        self::relation(task, at, &n.to_string(), relation)?;
    }
    at.need(
        &["schema", "relations"],
        task.mode == Mode::Entities || !schema.relations.is_empty(),
        || "mode \"pairs\" asks for relations; give at least one [[schema.relations]]".to_owned(),
    )
}

fn relation(task: &Task, at: &Places, n: &str, relation: &RelationType) -> Result<()> {
    let key = |last| ["schema", "relations", n, last];
    for (name, types) in [("head", &relation.head), ("tail", &relation.tail)] {
        at.need(&key(name), !types.is_empty(), || {
            "give at least one entity type".to_owned()
        })?;
        for label in types {
            at.need(&key(name), task.schema.entity(label).is_some(), || {
                format!("\"{label}\" is no entity type of the schema")
            })?;
        }
    }
    let sorted = |types: &[String]| types.iter().cloned().collect::<BTreeSet<_>>();
    at.need(
        &key("symmetric"),
        !relation.symmetric || sorted(&relation.head) == sorted(&relation.tail),
        || "a symmetric relation must have the same types as head and as tail".to_owned(),
    )?;
    if task.mode == Mode::Pairs {
        at.need(
            &key("symmetric"),
            !relation.symmetric || relation.head.len() == 1,
            || "in mode \"pairs\" a symmetric relation has one type: the pairs of a file are unordered only within a type".to_owned(),
        )?;
        at.need(
            &key("symmetric"),
            relation.symmetric || relation.head.iter().all(|t| !relation.tail.contains(t)),
            || "pairs of one type are unordered in a file of labels; make the relation symmetric, or use mode \"entities\"".to_owned(),
        )?;
    }
    Ok(())
}

fn texts(task: &Task, at: &Places) -> Result<()> {
    at.need(&["texts"], !task.texts.is_empty(), || {
        "give at least one [[texts]]".to_owned()
    })?;
    for (n, texts) in task.texts.iter().enumerate() {
        let n = n.to_string();
        let key = |last| ["texts", n.as_str(), last];
        let path = task.resolve(&texts.path);
        at.need(&key("path"), path.exists(), || {
            format!(
                "there is no file {}; paths are relative to the task's folder",
                path.display()
            )
        })?;
        at.need(
            &key("format"),
            task.mode == Mode::Entities || texts.format.is_annotated(),
            || {
                "mode \"pairs\" needs a corpus that marks concepts; plain texts have none"
                    .to_owned()
            },
        )?;
        if let Some((name, why)) = texts.options.misfit(texts.format) {
            at.need(&["texts", n.as_str(), "options", name], false, || why)?;
        }
        for (from, to) in &texts.map {
            at.need(
                &["texts", &n, "map", from],
                task.schema.entity(to).is_some(),
                || {
                    format!(
                        "\"{from}\" is mapped to \"{to}\", which is no entity type of the schema"
                    )
                },
            )?;
        }
    }
    Ok(())
}

fn endpoint(task: &Task, at: &Places) -> Result<()> {
    let endpoint = &task.endpoint;
    let key = |name| ["endpoint", name];
    if let Err(why) = Address::parse(&endpoint.base_url) {
        at.need(&key("base_url"), false, || why)?;
    }
    at.need(&key("model"), !endpoint.model.is_empty(), || {
        "name the model as the server does".to_owned()
    })?;
    at.range(&key("temperature"), endpoint.temperature, 0.0, 5.0)?;
    at.range(&key("samples"), endpoint.samples, 1, 1000)?;
    at.need(
        &key("temperature"),
        endpoint.samples == 1 || endpoint.temperature > 0.0,
        || format!("{} samples at temperature 0 are one answer again and again; give a temperature such as 0.7", endpoint.samples),
    )?;
    at.range(&key("max_tokens"), endpoint.max_tokens, 16, 10_000_000)?;
    at.range(
        &key("requests_per_minute"),
        endpoint.requests_per_minute.unwrap_or(1.0),
        0.01,
        1e6,
    )?;
    at.range(&key("parallel"), endpoint.parallel, 1, 256)?;
    at.range(
        &key("connect_seconds"),
        endpoint.connect_seconds,
        0.01,
        3600.0,
    )?;
    at.range(
        &key("timeout_seconds"),
        endpoint.timeout_seconds,
        0.01,
        86_400.0,
    )?;
    at.range(&key("tries"), endpoint.tries, 1, 100)?;
    at.range(
        &key("backoff_seconds"),
        endpoint.backoff_seconds,
        0.0,
        600.0,
    )?;
    for name in endpoint.extra.keys() {
        at.need(
            &["endpoint", "extra", name],
            !SENT.contains(&name.as_str()),
            || "distill sets this field itself".to_owned(),
        )?;
    }
    Ok(())
}

fn probabilities(task: &Task, at: &Places) -> Result<()> {
    let chosen = &task.probabilities;
    let key = |name| ["probabilities", name];
    at.range(&key("smoothing"), chosen.smoothing, 1e-6, 10.0)?;
    at.range(&key("top_logprobs"), chosen.top_logprobs, 2, 100)?;
    at.range(&key("unlisted_none"), chosen.unlisted_none, 0.5, 1.0)?;
    at.need(
        &key("rule"),
        chosen.rule != Some(Rule::Samples) || task.endpoint.samples > 1,
        || "shares of one answer say nothing; set endpoint.samples to 5 or more".to_owned(),
    )
}

/// An example must be what the model is asked for: quotes that are found, types that fit.
fn example(task: &Task, at: &Places, n: &str, example: &Example) -> Result<()> {
    let schema = &task.schema;
    let aligner = Aligner::new(&example.text, &task.alignment);
    let other_mode = match task.mode {
        Mode::Entities => !example.concepts.is_empty() || !example.pairs.is_empty(),
        Mode::Pairs => !example.entities.is_empty() || !example.relations.is_empty(),
    };
    at.need(&["examples", n], !other_mode, || {
        "mode \"entities\" has entities and relations, mode \"pairs\" has concepts and pairs"
            .to_owned()
    })?;
    for (m, entity) in example.entities.iter().enumerate() {
        let m = m.to_string();
        let key = |last| ["examples", n, "entities", m.as_str(), last];
        let asserted = schema.entity(&entity.label).map(|e| e.asserted);
        at.need(&key("type"), asserted.is_some(), || {
            format!("\"{}\" is no entity type of the schema", entity.label)
        })?;
        let known = |name: &String| schema.assertions.iter().any(|a| a.name == *name);
        at.need(
            &key("assertion"),
            entity
                .assertion
                .as_ref()
                .map_or(asserted == Some(false), |name| {
                    asserted == Some(true) && known(name)
                }),
            || {
                "types that are `asserted` have one of the schema's assertions, other types none"
                    .to_owned()
            },
        )?;
        let quote = Quote {
            text: &entity.quote,
            context: entity.context.as_deref(),
            occurrence: entity.occurrence,
        };
        if let Err(why) = aligner.find(&quote) {
            at.need(&key("quote"), false, || {
                format!("in the example's text: {}", why.reason())
            })?;
        }
        at.range(&key("p"), entity.p, 0.0, 1.0)?;
    }
    let type_of = |number: usize| -> Option<&str> {
        let at = number.checked_sub(1)?;
        match task.mode {
            Mode::Entities => example.entities.get(at).map(|e| e.label.as_str()),
            Mode::Pairs => example.concepts.get(at).map(|c| c.label.as_str()),
        }
    };
    for (m, concept) in example.concepts.iter().enumerate() {
        let m = m.to_string();
        let key = |last| ["examples", n, "concepts", m.as_str(), last];
        at.need(
            &key("type"),
            schema.entity(&concept.label).is_some(),
            || format!("\"{}\" is no entity type of the schema", concept.label),
        )?;
        at.need(&key("names"), !concept.names.is_empty(), || {
            "say what the text calls it".to_owned()
        })?;
    }
    let related = example
        .relations
        .iter()
        .map(|r| ("relations", "type", r.head, r.tail, &r.label, r.p))
        .chain(
            example
                .pairs
                .iter()
                .map(|p| ("pairs", "label", p.head, p.tail, &p.label, p.p)),
        );
    for (m, (list, name, head, tail, label, p)) in related.enumerate() {
        let m = (m - if list == "pairs" {
            example.relations.len()
        } else {
            0
        })
        .to_string();
        let key = |last| ["examples", n, list, m.as_str(), last];
        let types = type_of(head).zip(type_of(tail)).filter(|_| head != tail);
        at.need(&key("head"), types.is_some(), || {
            "head and tail are numbers of elements of the example, counted from 1".to_owned()
        })?;
        let fits = schema
            .relation(label)
            .zip(types)
            .is_some_and(|(relation, (head, tail))| relation.admits(head, tail));
        at.need(
            &key(name),
            fits || (list == "pairs" && label == NONE),
            || format!("\"{label}\" is no relation type between these types"),
        )?;
        at.range(&key("p"), p, 0.0, 1.0)?;
    }
    for (m, pair) in example.pairs.iter().enumerate() {
        let quote = Quote {
            text: &pair.evidence,
            context: None,
            occurrence: None,
        };
        if !pair.evidence.is_empty()
            && let Err(why) = aligner.find(&quote)
        {
            at.need(
                &["examples", n, "pairs", &m.to_string(), "evidence"],
                false,
                || format!("in the example's text: {}", why.reason()),
            )?;
        }
    }
    Ok(())
}
