//! One explained decision, ready to be shown: which sentences, which words how strongly, which mentions. Terminal, page and picture draw this.

use std::cmp::Reverse;
use std::ops::Range;

use bie::explain::{Explanation, Target, Word};
use bie::text::sentence::sentences;
use bie::{Extraction, result::Entity};

/// A text, what was found in it, and where its sentences are.
pub struct Document<'a> {
    /// The text.
    pub text: &'a str,
    /// What was found, with offsets in bytes.
    pub extraction: &'a Extraction,
    sentences: Vec<Range<usize>>,
}

/// What a shown stretch of text is for the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The entity that is explained.
    Entity,
    /// A mention of the relation's head.
    Head,
    /// A mention of the relation's tail.
    Tail,
}

/// How strongly a stretch of text speaks: level 0 not at all, 1 weakly, 2 moderately, 3 strongly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strength {
    /// 0 to 3.
    pub level: u8,
    /// It speaks against the decision.
    pub against: bool,
}

/// A mention with its role.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What it is for the decision.
    pub role: Role,
}

/// A stretch of one strength, inside or outside of one mention.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// How strongly it speaks.
    pub strength: Strength,
    /// The mention it belongs to: index into [`Decision::mentions`].
    pub mention: Option<usize>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// A span has a type.
    Entity {
        /// The document's own characters.
        text: String,
        /// The type.
        kind: String,
    },
    /// Two entities have a relation.
    Relation {
        /// Characters and type of the head.
        head: (String, String),
        /// The relation.
        kind: String,
        /// Characters and type of the tail.
        tail: (String, String),
    },
}

/// A decision and what is to be shown of it.
pub struct Decision<'a> {
    /// Why it was made.
    pub explanation: &'a Explanation,
    /// `e3` or `r0`; none if it was not reported.
    pub name: Option<String>,
    /// What was decided.
    pub finding: Finding,
    /// "rather than this".
    pub rival: Option<String>,
    /// Mentions of what was decided on, in the order of the text.
    pub mentions: Vec<Mention>,
    /// Stretches of whole sentences: those of the evidence and of the mentions, in the order of the text.
    pub passages: Vec<Range<usize>>,
    /// The closest shown mentions of head and tail: indices into `mentions`.
    pub arc: Option<(usize, usize)>,
    /// The greatest weight, up or down.
    scale: f32,
}

impl<'a> Document<'a> {
    /// `extraction` has offsets in bytes of `text`.
    pub fn new(text: &'a str, extraction: &'a Extraction) -> Self {
        Document {
            text,
            extraction,
            sentences: sentences(text).collect(),
        }
    }

    /// The bytes of `range`, if they are there.
    pub fn slice(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// What to show of `explanation`, which has offsets in bytes of this text.
    pub fn decision(&self, explanation: &'a Explanation) -> Decision<'a> {
        let extraction = self.extraction;
        let (entity_types, relation_types) = (&extraction.entity_types, &extraction.relation_types);
        let (name, finding, rival, mut mentions) = match explanation.target {
            Target::Entity {
                start,
                end,
                label,
                rival,
            } => {
                let found = extraction.entities.iter().position(|entity| {
                    (entity.start, entity.end, entity.label) == (start, end, label)
                });
                let range = start as usize..end as usize;
                let finding = Finding::Entity {
                    text: self.slice(&range).to_owned(),
                    kind: type_name(entity_types, label),
                };
                let mention = Mention {
                    range,
                    role: Role::Entity,
                };
                let rival = rival.map(|rival| type_name(entity_types, rival));
                (
                    found.map(|at| format!("e{at}")),
                    finding,
                    rival,
                    vec![mention],
                )
            }
            Target::Relation {
                head,
                tail,
                label,
                rival,
            } => {
                let entity = |at: u32| extraction.entities.get(at as usize);
                let group = |at: u32| entity(at).map(|entity| entity.group);
                let found = extraction.relations.iter().position(|relation| {
                    relation.label == label
                        && group(relation.head) == group(head)
                        && group(relation.tail) == group(tail)
                });
                let end = |at: u32| {
                    entity(at)
                        .map(|entity| (entity.text.clone(), type_name(entity_types, entity.label)))
                        .unwrap_or_default()
                };
                let finding = Finding::Relation {
                    head: end(head),
                    kind: type_name(relation_types, label),
                    tail: end(tail),
                };
                let role = |entity: &Entity| match Some(entity.group) {
                    of if of == group(head) => Some(Role::Head),
                    of if of == group(tail) => Some(Role::Tail),
                    _ => None,
                };
                let mentions = extraction
                    .entities
                    .iter()
                    .filter_map(|entity| {
                        role(entity).map(|role| Mention {
                            range: range(entity),
                            role,
                        })
                    })
                    .collect();
                let rival = rival.map(|rival| type_name(relation_types, rival));
                (found.map(|at| format!("r{at}")), finding, rival, mentions)
            }
        };
        // Only what the explained window holds; without words there is no window to tell.
        if let (Some(first), Some(last)) = (explanation.words.first(), explanation.words.last()) {
            mentions.retain(|mention| {
                mention.range.end > first.start as usize && mention.range.start < last.end as usize
            });
        }
        mentions.retain(|mention| !self.slice(&mention.range).is_empty());
        let (passages, arc) = self.passages(explanation, &mentions);
        let scale = explanation
            .words
            .iter()
            .map(|word| word.weight.abs())
            .filter(|weight| weight.is_finite())
            .fold(0.0, f32::max);
        Decision {
            explanation,
            name,
            finding,
            rival,
            mentions,
            passages,
            arc,
            scale,
        }
    }

    fn passages(
        &self,
        explanation: &Explanation,
        mentions: &[Mention],
    ) -> (Vec<Range<usize>>, Option<(usize, usize)>) {
        let mut shown: Vec<bool> = vec![false; self.sentences.len()];
        let evidence = explanation
            .evidence_for
            .iter()
            .chain(&explanation.evidence_against);
        for piece in evidence {
            self.show(&mut shown, piece.start as usize..piece.end as usize);
        }
        for mention in mentions
            .iter()
            .filter(|mention| mention.role == Role::Entity)
        {
            self.show(&mut shown, mention.range.clone());
        }
        // The closest head and tail, of those that the evidence shows if it shows both.
        let is_shown = |mention: &Mention| {
            let first = self
                .sentences
                .partition_point(|sentence| sentence.end <= mention.range.start);
            shown.get(first) == Some(&true)
        };
        let pairs = mentions
            .iter()
            .enumerate()
            .filter(|(_, head)| head.role == Role::Head)
            .flat_map(|(at, head)| {
                let tails = mentions
                    .iter()
                    .enumerate()
                    .filter(|(_, tail)| tail.role == Role::Tail);
                tails.map(move |(other, tail)| (at, head, other, tail))
            });
        let arc = pairs
            .min_by_key(|(_, head, _, tail)| {
                let distance = if head.range.start <= tail.range.start {
                    tail.range.start.saturating_sub(head.range.end)
                } else {
                    head.range.start.saturating_sub(tail.range.end)
                };
                (Reverse(is_shown(head) && is_shown(tail)), distance)
            })
            .map(|(head, _, tail, _)| (head, tail));
        if let Some((head, tail)) = arc {
            for mention in [head, tail].iter().filter_map(|at| mentions.get(*at)) {
                self.show(&mut shown, mention.range.clone());
            }
        }
        let mut passages: Vec<Range<usize>> = Vec::new();
        for (sentence, _) in self
            .sentences
            .iter()
            .zip(&shown)
            .filter(|(_, shown)| **shown)
        {
            match passages.last_mut() {
                Some(last) if self.slice(&(last.end..sentence.start)).trim().is_empty() => {
                    last.end = sentence.end
                }
                _ => passages.push(sentence.clone()),
            }
        }
        for passage in &mut passages {
            let text = self.slice(passage);
            passage.start += text.len() - text.trim_start().len();
            passage.end -= text.len() - text.trim_end().len();
        }
        passages.retain(|passage| passage.start < passage.end);
        (passages, arc)
    }

    /// Marks the sentences that overlap `range`.
    fn show(&self, shown: &mut [bool], range: Range<usize>) {
        let first = self
            .sentences
            .partition_point(|sentence| sentence.end <= range.start);
        let past = self
            .sentences
            .partition_point(|sentence| sentence.start < range.end);
        for mark in shown.get_mut(first..past.max(first)).unwrap_or_default() {
            *mark = true;
        }
    }
}

impl Decision<'_> {
    /// The value that the weights explain: the score, or its lead over the rival's.
    pub fn value(&self) -> f32 {
        self.explanation.score - self.explanation.rival_score.unwrap_or(0.0)
    }

    /// How strong a weight is among the weights of this decision.
    pub fn strength(&self, weight: f32) -> Strength {
        let part = weight.abs() / self.scale;
        let level = match part {
            _ if !part.is_finite() || part < 0.1 => 0,
            _ if part < 1.0 / 3.0 => 1,
            _ if part < 2.0 / 3.0 => 2,
            _ => 3,
        };
        Strength {
            level,
            against: level > 0 && weight < 0.0,
        }
    }

    /// `passage` cut where strength or mention changes; together the parts are the passage.
    pub fn parts(&self, document: &Document<'_>, passage: &Range<usize>) -> Vec<Part> {
        let words = &self.explanation.words;
        let first = words.partition_point(|word| word.end as usize <= passage.start);
        let words: Vec<&Word> = words
            .iter()
            .skip(first)
            .take_while(|word| (word.start as usize) < passage.end)
            .collect();
        let mut edges: Vec<usize> = words
            .iter()
            .flat_map(|word| [word.start as usize, word.end as usize])
            .chain(
                self.mentions
                    .iter()
                    .flat_map(|mention| [mention.range.start, mention.range.end]),
            )
            .filter(|edge| passage.contains(edge) && document.text.is_char_boundary(*edge))
            .chain([passage.start, passage.end])
            .collect();
        edges.sort_unstable();
        edges.dedup();

        let mut next_word = words.iter().peekable();
        let mut parts: Vec<(Part, bool)> = Vec::new(); // and whether a word covers it
        for (&start, &end) in edges.iter().zip(edges.iter().skip(1)) {
            while next_word
                .next_if(|word| word.end as usize <= start)
                .is_some()
            {}
            let word = next_word.peek().filter(|word| word.start as usize <= start);
            let mention = self
                .mentions
                .iter()
                .position(|mention| mention.range.start <= start && end <= mention.range.end);
            let strength = word.map_or(Strength::default(), |word| self.strength(word.weight));
            // A weak comma is noise to a reader; its weight is in the JSON.
            let speaks = strength.level > 1
                || document
                    .slice(&(start..end))
                    .contains(char::is_alphanumeric);
            let strength = if speaks {
                strength
            } else {
                Strength::default()
            };
            parts.push((
                Part {
                    range: start..end,
                    strength,
                    mention,
                },
                word.is_some(),
            ));
        }
        // The space between two words of one strength is theirs: one stroke, not two.
        for at in 1..parts.len().saturating_sub(1) {
            let (Some((before, _)), Some((after, _))) =
                (parts.get(at - 1).cloned(), parts.get(at + 1).cloned())
            else {
                continue;
            };
            if let Some((part, false)) = parts.get_mut(at)
                && before.strength == after.strength
                && before.mention == part.mention
                && part.mention == after.mention
                && document.slice(&part.range).chars().all(|c| c == ' ')
            {
                part.strength = before.strength;
            }
        }
        let mut merged: Vec<Part> = Vec::new();
        for (part, _) in parts {
            match merged.last_mut() {
                Some(last) if (last.strength, last.mention) == (part.strength, part.mention) => {
                    last.range.end = part.range.end
                }
                _ => merged.push(part),
            }
        }
        merged
    }

    /// The role of a part.
    pub fn role(&self, part: &Part) -> Option<Role> {
        part.mention
            .and_then(|at| self.mentions.get(at))
            .map(|mention| mention.role)
    }

    /// The type of what has this role.
    pub fn kind(&self, role: Role) -> &str {
        match (&self.finding, role) {
            (Finding::Entity { kind, .. }, _) => kind,
            (Finding::Relation { head, .. }, Role::Head) => &head.1,
            (Finding::Relation { tail, .. }, _) => &tail.1,
        }
    }
}

fn range(entity: &Entity) -> Range<usize> {
    entity.start as usize..entity.end as usize
}

fn type_name(names: &[String], label: u32) -> String {
    names
        .get(label as usize)
        .map_or("?", String::as_str)
        .to_owned()
}
