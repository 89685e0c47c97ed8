//! Which decisions are meant, and what becomes of their explanations.

use std::io::{self, Write};
use std::path::Path;

use bie::engine::Engine;
use bie::explain::{Explanation, Target};
use bie::{Cancel, Extraction, Options};

use super::args::{Explain, Format};
use super::decision::{Decision, Document};
use super::failure::{Failure, Result};
use super::terminal::Colours;
use super::{html, svg, terminal};

/// The options of the library that the command sets.
pub fn set(options: &mut Options, command: &Explain) -> Result<()> {
    let usage = |result: bie::Result<()>| result.map_err(Failure::usage);
    for (key, value) in [("method", &command.method), ("players", &command.players)] {
        if let Some(value) = value {
            usage(options.set_str(key, value))?;
        }
    }
    for (key, on) in [
        ("faithfulness", command.faithfulness),
        ("attention_heads", command.heads),
    ] {
        if on {
            usage(options.set_str(key, "on"))?;
        }
    }
    for (key, value) in [
        ("evaluations", command.evaluations),
        ("time_budget_ms", command.time_budget_ms),
        ("seed", command.seed),
    ] {
        if let Some(value) = value {
            usage(options.set_i64(key, value))?;
        }
    }
    Ok(())
}

/// Extracts, explains, writes the files that were asked for; the inner result is the output's.
pub fn run(
    out: &mut dyn Write,
    engine: &Engine,
    text: &str,
    command: &Explain,
    options: &Options,
    colours: Colours,
) -> Result<io::Result<()>> {
    let extraction = engine.extract(text, options)?;
    let targets = targets(&command.targets, command.rival.as_deref(), &extraction)?;
    let explanations = if targets.is_empty() {
        Vec::new()
    } else {
        engine.explain(text, &extraction, &targets, options, &Cancel::new())?
    };
    let document = Document::new(text, &extraction);
    let decisions: Vec<Decision<'_>> = explanations
        .iter()
        .map(|explanation| document.decision(explanation))
        .collect();
    if let Some(file) = &command.html {
        write(file, &html::page(&document, &decisions))?;
    }
    if let (Some(file), Some(decision)) = (&command.svg, decisions.first()) {
        write(file, &svg::picture(&document, decision))?;
    }
    Ok(match command.format {
        Format::Json => {
            let list: Vec<String> = explanations.iter().map(Explanation::to_json).collect();
            let (extraction, list) = (extraction.to_json(), list.join(","));
            writeln!(
                out,
                "{{\"extraction\":{extraction},\"explanations\":[{list}]}}"
            )
        }
        Format::Text => terminal::explanations(out, &document, &decisions, colours),
    })
}

fn write(file: &Path, contents: &str) -> Result<()> {
    std::fs::write(file, contents)
        .map_err(|error| Failure::data(format!("cannot write {}: {error}", file.display())))
}

/// The targets of these names; without names all relations, or all entities if there is no relation.
fn targets(names: &[String], rival: Option<&str>, extraction: &Extraction) -> Result<Vec<Target>> {
    let entities = || (0..extraction.entities.len()).map(|at| format!("e{at}"));
    let relations = || (0..extraction.relations.len()).map(|at| format!("r{at}"));
    let mut wanted: Vec<String> = Vec::new();
    for name in names {
        match name.as_str() {
            "all" => wanted.extend(relations().chain(entities())),
            name => wanted.push(name.to_owned()),
        }
    }
    if names.is_empty() {
        wanted.extend(relations());
        if wanted.is_empty() {
            wanted.extend(entities());
        }
    }
    let mut targets: Vec<Target> = Vec::new();
    for name in wanted {
        let target = target(&name, rival, extraction)?;
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// `e3`, `r0`, `e3:TYPE` (that span as this type), `e0:RELATION:e4` (that relation, reported or not).
fn target(name: &str, rival: Option<&str>, extraction: &Extraction) -> Result<Target> {
    let entity = |at: u32| extraction.entities.get(at as usize);
    let missing = |what: &str, known: usize, letter: char| {
        let known = match known {
            0 => "none was found".to_owned(),
            1 => format!("only {letter}0 was found"),
            many => format!("found were {letter}0 to {letter}{}", many - 1),
        };
        Failure::usage(format!(
            "the text has no {what} `{name}`: {known}, as `bie extract` with the same options shows"
        ))
    };
    let no_entity = || missing("entity", extraction.entities.len(), 'e');
    let entity_type = |kind: &str| label(&extraction.entity_types, kind, "entity type");
    let relation_type = |kind: &str| label(&extraction.relation_types, kind, "relation");
    let target = match name.split_once(':') {
        None => match (number(name, 'e'), number(name, 'r')) {
            (Some(at), _) => {
                let entity = entity(at).ok_or_else(no_entity)?;
                Target::Entity {
                    start: entity.start,
                    end: entity.end,
                    label: entity.label,
                    rival: rival.map(entity_type).transpose()?,
                }
            }
            (_, Some(at)) => {
                let relation = extraction
                    .relations
                    .get(at as usize)
                    .ok_or_else(|| missing("relation", extraction.relations.len(), 'r'))?;
                Target::Relation {
                    head: relation.head,
                    tail: relation.tail,
                    label: relation.label,
                    rival: rival.map(relation_type).transpose()?,
                }
            }
            _ => return Err(unnamed(name)),
        },
        Some((first, rest)) => {
            let first = number(first, 'e').ok_or_else(|| unnamed(name))?;
            let (start, end) = entity(first)
                .map(|entity| (entity.start, entity.end))
                .ok_or_else(no_entity)?;
            let second = rest
                .rsplit_once(':')
                .and_then(|(kind, second)| Some((kind, number(second, 'e')?)));
            match second {
                Some((kind, second)) => {
                    entity(second).ok_or_else(no_entity)?;
                    Target::Relation {
                        head: first,
                        tail: second,
                        label: relation_type(kind)?,
                        rival: rival.map(relation_type).transpose()?,
                    }
                }
                None => Target::Entity {
                    start,
                    end,
                    label: entity_type(rest)?,
                    rival: rival.map(entity_type).transpose()?,
                },
            }
        }
    };
    match target {
        Target::Entity {
            label,
            rival: Some(rival),
            ..
        }
        | Target::Relation {
            label,
            rival: Some(rival),
            ..
        } if label == rival => Err(Failure::usage(format!(
            "--rival names the type that {name} has; name another one"
        ))),
        target => Ok(target),
    }
}

fn unnamed(name: &str) -> Failure {
    Failure::usage(format!(
        "--target must be e3 (an entity), r0 (a relation), e3:TYPE, e0:RELATION:e4 or all, not `{name}`"
    ))
}

/// The number in `e3`, if the letter is `letter`.
fn number(name: &str, letter: char) -> Option<u32> {
    let digits = name.strip_prefix(letter)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

fn label(names: &[String], kind: &str, what: &str) -> Result<u32> {
    let at = names
        .iter()
        .position(|name| name == kind)
        .and_then(|at| u32::try_from(at).ok());
    at.ok_or_else(|| {
        let known = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        Failure::usage(format!(
            "the bundle has no {what} `{kind}`; it has: {known}"
        ))
    })
}
