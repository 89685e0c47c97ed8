//! From a target to its place: the window it was decided in, and what there has to be computed again.

use std::ops::Range;

use super::{Cancel, Target};
use crate::bundle::EntityType;
use crate::decode::calibration::Calibration;
use crate::decode::group::{self, groups};
use crate::decode::spans::{path, path_score};
use crate::encode::Token;
use crate::engine::{Engine, first_members};
use crate::error::{Error, Result};
use crate::result::Extraction;
use crate::runtime::{Lane, MentionTokens, Reading};
use crate::text::OffsetUnit;
use crate::text::window::{Window, windows};

/// A window with what extraction found in it.
pub(crate) struct Scene {
    /// Without `[CLS]` and `[SEP]`.
    pub(crate) window: Window,
    /// Token ranges of the words.
    pub(crate) words: Vec<Range<usize>>,
    /// The window's mentions and the entities they belong to, as extraction formed them.
    pub(crate) mentions: Vec<MentionTokens>,
    /// Type of each entity, and its group in the document.
    entities: Vec<(usize, u32)>,
}

/// A decision in terms of its scene.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    /// A span, and perhaps the same span with another type.
    Span {
        tokens: Range<usize>,
        label: usize,
        path: Vec<(usize, usize)>,
        rival: Option<(usize, Vec<(usize, usize)>)>,
    },
    /// A pair of the scene's entities.
    Pair {
        head: usize,
        tail: usize,
        admitted: Vec<usize>,
        label: usize,
        rival: Option<usize>,
    },
}

/// Score and rival's score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    pub(crate) score: f32,
    pub(crate) rival: Option<f32>,
}

impl Scores {
    /// What is explained: the score, or by how much it exceeds the rival's.
    pub(crate) fn value(self) -> f64 {
        f64::from(self.score) - f64::from(self.rival.unwrap_or_default())
    }
}

impl Scene {
    fn new(text: &str, extraction: &Extraction, window: Window) -> Scene {
        let tokens = &window.tokens;
        let mut words: Vec<Range<usize>> = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            match words.last_mut() {
                Some(word) if !token.word => word.end = at + 1,
                _ => words.push(at..at + 1),
            }
        }
        // Mentions are sorted by their first bytes, and each lies in one window: this one's follow each other.
        let spans = &extraction.origin.spans;
        let edges = tokens.first().zip(tokens.last());
        let (from, past) = edges.map_or((0, 0), |(first, last)| {
            (
                spans.partition_point(|span| span.0 < first.start),
                spans.partition_point(|span| span.0 < last.end),
            )
        });
        let found: Vec<(group::Mention, Range<usize>, u32)> = extraction
            .entities
            .iter()
            .zip(spans)
            .take(past)
            .skip(from)
            .filter_map(|(entity, &(start, end))| {
                let mention = group::Mention {
                    start,
                    end,
                    label: entity.label as usize,
                };
                Some((mention, covered(tokens, start, end)?, entity.group))
            })
            .collect();
        let mentions: Vec<group::Mention> = found.iter().map(|(mention, ..)| *mention).collect();
        let group_of = groups(text, &mentions);
        let firsts = first_members(&group_of);
        let entities: Vec<(usize, u32)> = firsts
            .iter()
            .filter_map(|&at| found.get(at))
            .map(|(mention, _, group)| (mention.label, *group))
            .collect();
        Scene {
            words,
            mentions: found
                .iter()
                .zip(&group_of)
                .map(|((_, tokens, _), &entity)| MentionTokens {
                    first: tokens.start,
                    last: tokens.end - 1,
                    entity,
                })
                .collect(),
            entities,
            window,
        }
    }

    /// Number of entities.
    pub(crate) fn entities(&self) -> usize {
        self.entities.len()
    }

    /// The mentions of an entity, as token ranges.
    pub(crate) fn mentions_of(&self, entity: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let own = move |mention: &&MentionTokens| mention.entity == entity;
        self.mentions
            .iter()
            .filter(own)
            .map(|mention| mention.first..mention.last + 1)
    }

    /// The pairs of this scene that the document's relation may stem from.
    fn pairs(
        &self,
        engine: &Engine,
        head: u32,
        tail: u32,
        label: usize,
        rival: Option<usize>,
    ) -> Vec<Decision> {
        let group = |entity: usize| self.entities.get(entity).map(|entity| entity.1);
        let fits = |a: usize, b: usize| group(a) == Some(head) && group(b) == Some(tail);
        let turns = engine.schema.is_symmetric(label);
        let types: Vec<usize> = self.entities.iter().map(|entity| entity.0).collect();
        engine
            .schema
            .pairs(&types)
            .into_iter()
            .filter(|pair| fits(pair.head, pair.tail) || (turns && fits(pair.tail, pair.head)))
            .filter(|pair| {
                pair.admitted.contains(&label)
                    && rival.is_none_or(|rival| pair.admitted.contains(&rival))
            })
            .map(|pair| Decision::Pair {
                head: pair.head,
                tail: pair.tail,
                admitted: pair.admitted,
                label,
                rival,
            })
            .collect()
    }

    /// The scores of decisions of this scene from one reading of it, whatever its ids were.
    pub(crate) fn scores(
        &self,
        engine: &Engine,
        lane: &mut Lane,
        reading: &Reading,
        decisions: &[Decision],
    ) -> Result<Vec<Scores>> {
        let ends: Vec<(usize, usize)> = decisions
            .iter()
            .filter_map(|decision| match decision {
                Decision::Pair { head, tail, .. } => Some((*head, *tail)),
                Decision::Span { .. } => None,
            })
            .collect();
        let logits = match ends.is_empty() {
            true => Vec::new(),
            false => lane.relate(reading, &self.mentions, self.entities(), &ends)?,
        };
        let mut rows = logits.chunks_exact(engine.relation_types.len() + 1);
        let types = engine.manifest.entities.len();
        Ok(decisions
            .iter()
            .map(|decision| match decision {
                Decision::Span {
                    label, path, rival, ..
                } => {
                    let score = |label: usize, path: &[(usize, usize)]| {
                        let kind = engine.manifest.entities.get(label);
                        kind.map_or(Calibration::NONE, EntityType::calibration)
                            .apply(path_score(&reading.entity_logits, types, label, path))
                    };
                    Scores {
                        score: score(*label, path),
                        rival: rival.as_ref().map(|(label, path)| score(*label, path)),
                    }
                }
                Decision::Pair {
                    admitted,
                    label,
                    rival,
                    ..
                } => {
                    let probabilities = engine
                        .schema
                        .probabilities(rows.next().unwrap_or_default(), admitted);
                    let of =
                        |label: usize| probabilities.get(label + 1).copied().unwrap_or_default();
                    Scores {
                        score: of(*label),
                        rival: rival.map(of),
                    }
                }
            })
            .collect())
    }
}

/// The tokens that bytes `start..end` touch.
fn covered(tokens: &[Token], start: usize, end: usize) -> Option<Range<usize>> {
    let first = tokens.partition_point(|token| token.end <= start);
    let past = tokens.partition_point(|token| token.start < end);
    (first < past).then_some(first..past)
}

/// A target where it was decided.
pub(crate) struct Placed {
    /// Index into [`Stage::scenes`].
    pub(crate) scene: usize,
    pub(crate) decision: Decision,
    /// As extraction reports them.
    pub(crate) scores: Scores,
}

/// The windows of a text that targets lie in, and where.
pub(crate) struct Stage {
    pub(crate) scenes: Vec<Scene>,
    /// One for each target.
    pub(crate) placed: Vec<Placed>,
    /// Forward passes that it took.
    pub(crate) passes: usize,
}

impl Stage {
    /// Finds every target.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]: the text or the bundle is not the extraction's, or a target does not exist; [`Error::Cancelled`].
    pub(crate) fn set(
        engine: &Engine,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        cancel: &Cancel,
    ) -> Result<Stage> {
        let refuse = |why: &str| Err(Error::InvalidArgument(why.into()));
        if extraction.bundle_hash != engine.bundle_hash {
            return refuse(
                "the result was made with another bundle than this engine's; extract the text with this engine and explain that result",
            );
        }
        if !extraction.origin.is_of(text) {
            return refuse(
                "the text is not the one that the result was made from; pass exactly the same bytes",
            );
        }
        let encoded = engine.encoder.encode_until(text, || cancel.check())?;
        let all = windows(encoded, engine.manifest.max_tokens);
        let scenes: Vec<Scene> = all
            .into_iter()
            .map(|window| {
                cancel.check()?;
                Ok(Scene::new(text, extraction, window))
            })
            .collect::<Result<_>>()?;
        let mut readings: Vec<Option<Reading>> = scenes.iter().map(|_| None).collect();
        let mut passes = 0;
        let mut placed = Vec::with_capacity(targets.len());
        for (number, target) in targets.iter().enumerate() {
            let blame = |error| match error {
                Error::InvalidArgument(why) => {
                    Error::InvalidArgument(format!("target {number}: {why}"))
                }
                other => other,
            };
            let sought = Sought::new(engine, text, extraction, *target).map_err(blame)?;
            let holds = |scene: &&Scene| sought.may_be_in(engine, scene);
            if matches!(sought, Sought::Span { .. }) && scenes.iter().filter(holds).count() > 1 {
                return Err(blame(Error::InvalidArgument(
                    "the span reaches over two windows of the text, so the model never sees it as a whole; pass a span within a sentence".into(),
                )));
            }
            let mut best: Option<Placed> = None;
            for (at, (scene, slot)) in scenes.iter().zip(&mut readings).enumerate() {
                if !sought.may_be_in(engine, scene) {
                    continue;
                }
                let found = engine.pool.with_until(cancel, |lane| {
                    let reading = match slot {
                        Some(reading) => reading,
                        None => {
                            passes += 1;
                            slot.insert(lane.read(&engine.ids(&scene.window))?)
                        }
                    };
                    let decisions = sought.decisions(engine, scene, reading);
                    let scores = scene.scores(engine, lane, reading, &decisions)?;
                    Ok(decisions.into_iter().zip(scores).collect::<Vec<_>>())
                })?;
                for (decision, scores) in found {
                    if best
                        .as_ref()
                        .is_none_or(|best| scores.score > best.scores.score)
                    {
                        best = Some(Placed {
                            scene: at,
                            decision,
                            scores,
                        });
                    }
                }
            }
            placed.push(best.ok_or_else(|| blame(sought.nowhere()))?);
        }
        Ok(Stage {
            scenes,
            placed,
            passes,
        })
    }
}

/// A target that was checked against the schema and the result.
enum Sought {
    Span {
        bytes: (usize, usize),
        label: usize,
        rival: Option<usize>,
    },
    Pair {
        head: u32,
        tail: u32,
        label: usize,
        rival: Option<usize>,
    },
}

impl Sought {
    fn new(engine: &Engine, text: &str, extraction: &Extraction, target: Target) -> Result<Sought> {
        let refuse = Error::InvalidArgument;
        let kinds = |what: &str, label: u32, rival: Option<u32>, count: usize| {
            if let Some(bad) = [Some(label), rival]
                .into_iter()
                .flatten()
                .find(|&label| label as usize >= count)
            {
                return Err(refuse(format!(
                    "{what} type {bad} does not exist; the bundle has {count}"
                )));
            }
            if rival == Some(label) {
                return Err(refuse(format!(
                    "rival is the same {what} type as label; name another one, or none"
                )));
            }
            Ok((label as usize, rival.map(|rival| rival as usize)))
        };
        match target {
            Target::Entity {
                start,
                end,
                label,
                rival,
            } => {
                let (label, rival) = kinds("entity", label, rival, engine.entity_types.len())?;
                let (from, to) = (
                    byte_at(text, extraction.offset_unit, start),
                    byte_at(text, extraction.offset_unit, end),
                );
                match (from, to) {
                    (Some(from), Some(to)) if from < to => Ok(Sought::Span {
                        bytes: (from, to),
                        label,
                        rival,
                    }),
                    _ => Err(refuse(format!(
                        "the span {start} to {end} does not lie in the text, is empty, or cuts a character; offsets count in {}",
                        extraction.offset_unit.as_str()
                    ))),
                }
            }
            Target::Relation {
                head,
                tail,
                label,
                rival,
            } => {
                let (label, rival) = kinds("relation", label, rival, engine.relation_types.len())?;
                let count = extraction.entities.len();
                let group =
                    |side: &str, mention: u32| match extraction.entities.get(mention as usize) {
                        Some(entity) => Ok(entity.group),
                        None => Err(Error::InvalidArgument(format!(
                            "{side} is mention {mention}, but the result has {count} mentions"
                        ))),
                    };
                let (head, tail) = (group("head", head)?, group("tail", tail)?);
                if head == tail {
                    return Err(refuse(
                        "head and tail are mentions of the same entity".into(),
                    ));
                }
                Ok(Sought::Pair {
                    head,
                    tail,
                    label,
                    rival,
                })
            }
        }
    }

    fn may_be_in(&self, engine: &Engine, scene: &Scene) -> bool {
        match self {
            Sought::Span { bytes, .. } => covered(&scene.window.tokens, bytes.0, bytes.1).is_some(),
            Sought::Pair {
                head,
                tail,
                label,
                rival,
            } => !scene.pairs(engine, *head, *tail, *label, *rival).is_empty(),
        }
    }

    fn decisions(&self, engine: &Engine, scene: &Scene, reading: &Reading) -> Vec<Decision> {
        match self {
            Sought::Span {
                bytes,
                label,
                rival,
            } => {
                let Some(tokens) = covered(&scene.window.tokens, bytes.0, bytes.1) else {
                    return Vec::new();
                };
                let path = |label: usize| {
                    let types = engine.manifest.entities.len();
                    path(
                        &reading.entity_logits,
                        &scene.window.tokens,
                        types,
                        label,
                        tokens.start,
                        tokens.end - 1,
                    )
                };
                vec![Decision::Span {
                    label: *label,
                    path: path(*label),
                    rival: rival.map(|rival| (rival, path(rival))),
                    tokens,
                }]
            }
            Sought::Pair {
                head,
                tail,
                label,
                rival,
            } => scene.pairs(engine, *head, *tail, *label, *rival),
        }
    }

    fn nowhere(&self) -> Error {
        Error::InvalidArgument(match self {
            Sought::Span { .. } => "no token of the model lies in the span; it is white space, or in a part of the text that was not read".into(),
            Sought::Pair { .. } => "the pair has no such relation to be scored: its types do not admit label or rival in this direction, or no window mentions both".into(),
        })
    }
}

/// The byte at which a position in `unit` lies, if it lies on a character boundary of the text.
fn byte_at(text: &str, unit: OffsetUnit, position: u32) -> Option<usize> {
    let position = position as usize;
    if unit == OffsetUnit::Utf8 {
        return text.is_char_boundary(position).then_some(position);
    }
    let mut units = 0;
    for (byte, character) in text.char_indices() {
        if units >= position {
            return (units == position).then_some(byte);
        }
        units += match unit {
            OffsetUnit::Utf16 => character.len_utf16(),
            _ => 1,
        };
    }
    (units == position).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_bytes() {
        let text = "aβ😀c"; // 1, 2, 4 and 1 bytes
        let all = |unit| {
            (0..10)
                .map(|at| byte_at(text, unit, at))
                .collect::<Vec<_>>()
        };
        let (some, none) = (Some, None);
        assert_eq!(
            all(OffsetUnit::Utf8),
            [
                some(0),
                some(1),
                none,
                some(3),
                none,
                none,
                none,
                some(7),
                some(8),
                none
            ]
        );
        assert_eq!(
            all(OffsetUnit::Utf16),
            [
                some(0),
                some(1),
                some(3),
                none,
                some(7),
                some(8),
                none,
                none,
                none,
                none
            ]
        );
        assert_eq!(
            all(OffsetUnit::Utf32),
            [
                some(0),
                some(1),
                some(3),
                some(7),
                some(8),
                none,
                none,
                none,
                none,
                none
            ]
        );
    }
}
