//! One text: its decisions, explained by every arm and measured.

use std::time::Instant;

use bie::explain::faithfulness::order;
use bie::explain::random::Random;
use bie::explain::{Deletion, Game, Word};
use bie::{Explanation, Extraction, Options, Target};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

use super::arms::{Arm, chance};
use super::model::Model;
use super::stats;
use super::steps::{Measured, Memo, Steps, left_out, measure};
use super::table::{Limits, Table};

/// Decisions of a short text must be scored above this, as in Edin et al. (2024).
const SURE: f32 = 0.5;

/// How texts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Setting {
    /// Short sentences alone: every coalition is tried, the limits are exact.
    Short,
    /// Whole documents, decisions in their real windows.
    Window,
}

impl Setting {
    /// Both.
    pub const ALL: [Setting; 2] = [Setting::Short, Setting::Window];

    /// The name on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Setting::Short => "short",
            Setting::Window => "window",
        }
    }
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A span has a type.
    Entity,
    /// Two entities stand in a relation.
    Relation,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::Entity, Kind::Relation];

    /// The plural, for people.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Entity => "entities",
            Kind::Relation => "relations",
        }
    }
}

/// Everything measured on one text. It holds no byte of the text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How it was read.
    pub setting: Setting,
    /// Its place in the order of the run.
    pub text: usize,
    /// Its decisions; none if nothing was reported, or the text is not short.
    pub decisions: Vec<DecisionRecord>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// What was decided.
    pub kind: Kind,
    /// Index of the type.
    pub label: u32,
    /// The score that was reported.
    pub score: f64,
    /// Words of its window.
    pub words: usize,
    /// One for each way of deleting.
    pub deletions: Vec<DeletionRecord>,
}

/// One decision, words deleted in one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeletionRecord {
    /// What stands in for a deleted token.
    pub deletion: String,
    /// The score with every word present.
    pub present: f64,
    /// The score without any.
    pub deleted: f64,
    /// Over ERASER's steps; of short texts.
    pub eraser_limits: Option<Limits>,
    /// Over every word; of short texts.
    pub every_limits: Option<Limits>,
    /// In the order of the run's arms.
    pub arms: Vec<ArmRecord>,
}

/// What one arm's explanation is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmRecord {
    /// Over ERASER's steps.
    pub eraser: Measured,
    /// Over every word; of short texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Measured>,
    /// By the protocol of explainable medical coding, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coding: Option<Measured>,
    /// Kendall's tau with the losses of leaving one word out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// What the explanation says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Said>,
}

/// An explanation's account of itself, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The method that was used.
    pub method: String,
    /// Its completeness error, if it claims completeness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<f64>,
    /// It calls itself unreliable.
    pub unreliable: bool,
    /// Forward passes that it states, explained together with the window's other decisions.
    pub passes: u32,
    /// Milliseconds of the call that explained the window's decisions, by their number.
    pub ms: f64,
    /// Forward passes and milliseconds of a call for this decision alone, of the run's first texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<(u32, f64)>,
}

/// What is measured, and how.
#[derive(Debug)]
pub struct Study<'m, M> {
    /// The bundle.
    pub model: &'m M,
    /// What is compared.
    pub arms: Vec<Arm>,
    /// What stands in for deleted tokens.
    pub deletions: Vec<Deletion>,
    /// Words of the longest short text.
    pub limit: usize,
    /// Measure windows by the protocol of explainable medical coding, too.
    pub coding: bool,
    /// Of chance and of sampling.
    pub seed: u64,
    /// Threads, seed.
    pub options: Options,
}

/// A decision to be explained.
#[derive(Clone, Debug)]
struct Decision {
    kind: Kind,
    label: u32,
    score: f32,
    target: Target,
    /// Its number among those that were asked for.
    place: usize,
}

/// The weights that every arm gives the words of one target's window.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The words, with the weights of a cheap explanation.
    pub words: Vec<Word>,
    /// `[arms][words]`.
    pub weights: Vec<Vec<f64>>,
}

impl<M: Model> Study<'_, M> {
    /// Explains and measures the decisions of one text, at most `quota` entities and relations, drawn by the seed. `time` says to explain one decision of each kind by itself, for its cost.
    ///
    /// # Errors
    /// The model fails.
    pub fn text(
        &self,
        setting: Setting,
        number: usize,
        text: &str,
        quota: [usize; 2],
        time: bool,
    ) -> Result<Record> {
        let extraction = self.model.extract(text)?;
        let mut decisions = decisions(&extraction);
        if setting == Setting::Short {
            decisions.retain(|decision| decision.score > SURE);
        }
        let mut order: Vec<usize> = (0..decisions.len()).collect();
        Random::new(self.seed ^ number as u64).shuffle(&mut order);
        let mut left = quota;
        let kinds: Vec<usize> = decisions
            .iter()
            .map(|decision| decision.kind as usize)
            .collect();
        let mut drawn = vec![false; decisions.len()];
        for at in order {
            let left = kinds.get(at).and_then(|&kind| left.get_mut(kind));
            if let (Some(left), Some(drawn)) = (left.filter(|left| **left > 0), drawn.get_mut(at)) {
                *left -= 1;
                *drawn = true;
            }
        }
        let mut drawn = drawn.into_iter();
        decisions.retain(|_| drawn.next() == Some(true));
        let mut record = Record {
            setting,
            text: number,
            decisions: Vec::new(),
        };
        for group in self.windows(text, &extraction, decisions)? {
            let group = Group {
                first: record.decisions.len(),
                number,
                setting,
                time: time && record.decisions.is_empty(),
                text,
                extraction: &extraction,
                ..group
            };
            if setting == Setting::Window || group.words.len() <= self.limit {
                record.decisions.extend(self.group(&group)?);
            }
        }
        Ok(record)
    }

    /// Explains targets by every arm, without measuring. In the order of the targets.
    ///
    /// # Errors
    /// The model fails, or a target does not exist.
    pub fn explained(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        deletion: Deletion,
    ) -> Result<Vec<Explained>> {
        let asked = targets.iter().enumerate();
        let decisions = asked.map(|(place, target)| decision(*target, 1.0, place));
        let mut explained = Vec::new();
        for group in self.windows(text, extraction, decisions.collect())? {
            let group = Group {
                number: own_number(text),
                ..group
            };
            let targets: Vec<Target> = group.decisions.iter().map(|d| d.target).collect();
            let mut of_group: Vec<Explained> = targets
                .iter()
                .map(|_| Explained {
                    words: group.words.clone(),
                    weights: Vec::new(),
                })
                .collect();
            for arm in &self.arms {
                let weighed = self.weigh(arm, &group, &targets, deletion, false)?;
                for (explained, (weights, _)) in of_group.iter_mut().zip(weighed) {
                    explained.weights.push(weights);
                }
            }
            explained.extend(group.decisions.iter().map(|d| d.place).zip(of_group));
        }
        explained.sort_by_key(|(place, _)| *place);
        Ok(explained
            .into_iter()
            .map(|(_, explained)| explained)
            .collect())
    }

    /// The decisions by the windows that they were made in. A cheap explanation tells the window.
    fn windows<'a>(
        &self,
        text: &'a str,
        extraction: &'a Extraction,
        decisions: Vec<Decision>,
    ) -> Result<Vec<Group<'a>>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        if decisions.is_empty() {
            return Ok(groups);
        }
        let mut options = self.options.clone();
        options.set_str("method", "attention")?;
        let targets: Vec<Target> = decisions.iter().map(|d| d.target).collect();
        let explanations = self.model.explain(text, extraction, &targets, &options)?;
        for (decision, explanation) in decisions.into_iter().zip(explanations) {
            let place = |words: &[Word]| Some((words.first()?.start, words.last()?.end));
            let words = explanation.words;
            match groups.iter_mut().find(|g| place(&g.words) == place(&words)) {
                Some(group) => group.decisions.push(decision),
                None => groups.push(Group {
                    words,
                    decisions: vec![decision],
                    first: 0,
                    number: 0,
                    setting: Setting::Short,
                    time: false,
                    text,
                    extraction,
                }),
            }
        }
        Ok(groups)
    }

    fn group(&self, group: &Group) -> Result<Vec<DecisionRecord>> {
        let mut records: Vec<DecisionRecord> = group
            .decisions
            .iter()
            .map(|decision| DecisionRecord {
                kind: decision.kind,
                label: decision.label,
                score: decision.score.into(),
                words: group.words.len(),
                deletions: Vec::new(),
            })
            .collect();
        for (n, deletion) in self.deletions.iter().enumerate() {
            let measured = self.deletion(group, *deletion, group.time && n == 0)?;
            for (record, measured) in records.iter_mut().zip(measured) {
                record.deletions.push(measured);
            }
        }
        Ok(records)
    }

    /// One window's decisions, words deleted in one way.
    fn deletion(
        &self,
        group: &Group,
        deletion: Deletion,
        time: bool,
    ) -> Result<Vec<DeletionRecord>> {
        let targets: Vec<Target> = group.decisions.iter().map(|d| d.target).collect();
        let mut options = self.options.clone();
        options.set_str("deletion", deletion.as_str())?;
        let (text, extraction) = (group.text, group.extraction);
        let mut records = Vec::new();
        self.model
            .play(text, extraction, &targets, &options, &mut |game| {
                records = self.played(game, group, &targets, deletion, time)?;
                Ok(())
            })?;
        Ok(records)
    }

    /// [`Study::deletion`], with the game of the decisions.
    fn played(
        &self,
        game: &mut dyn Game,
        group: &Group,
        targets: &[Target],
        deletion: Deletion,
        time: bool,
    ) -> Result<Vec<DeletionRecord>> {
        let words = group.words.len();
        if game.players() != words || game.decisions() != targets.len() {
            return Err(Error::Training(format!(
                "the game of {} words and {} decisions has {} players and {} decisions; this is a defect of libbie",
                words,
                targets.len(),
                game.players(),
                game.decisions()
            )));
        }
        let mut memo = Memo::new(game);
        let mut table = match group.setting {
            Setting::Short => Some(Table::of(&mut memo)?),
            Setting::Window => None,
        };
        let (eraser, every) = (Steps::eraser(words), Steps::every(words));
        let limits = |steps: &Steps, decision| table.as_ref().map(|t| t.limits(decision, steps));
        let limits: Vec<_> = (0..targets.len())
            .map(|d| (limits(&eraser, d), limits(&every, d)))
            .collect();
        let game: &mut dyn Game = match &mut table {
            Some(table) => table,
            None => &mut memo,
        };
        let losses = left_out(game)?;
        let ends = game.values(&[vec![true; words], vec![false; words]])?;
        let (present, deleted) = ends.split_at(targets.len().min(ends.len()));
        let mut records: Vec<DeletionRecord> = limits
            .into_iter()
            .zip(present.iter().zip(deleted))
            .map(
                |((eraser_limits, every_limits), (present, deleted))| DeletionRecord {
                    deletion: deletion.as_str().to_owned(),
                    present: *present,
                    deleted: *deleted,
                    eraser_limits,
                    every_limits,
                    arms: Vec::new(),
                },
            )
            .collect();
        for arm in &self.arms {
            let weighed = self.weigh(arm, group, targets, deletion, time)?;
            for (decision, ((weights, said), record)) in
                weighed.into_iter().zip(&mut records).enumerate()
            {
                let order = order(&weights);
                let every = (group.setting == Setting::Short).then_some(&every);
                let coding =
                    (group.setting == Setting::Window && self.coding).then(|| Steps::coding(words));
                let losses = losses.get(decision).map(Vec::as_slice).unwrap_or_default();
                let mut over = |steps: &Steps| measure(game, decision, &order, steps);
                record.arms.push(ArmRecord {
                    eraser: over(&eraser)?,
                    every: every.map(&mut over).transpose()?,
                    coding: coding.as_ref().map(&mut over).transpose()?,
                    tau: stats::kendall(&weights, losses),
                    said,
                });
            }
        }
        Ok(records)
    }

    /// The weights that an arm gives the words for each target, and what its explanations say of themselves.
    fn weigh(
        &self,
        arm: &Arm,
        group: &Group,
        targets: &[Target],
        deletion: Deletion,
        time: bool,
    ) -> Result<Vec<(Vec<f64>, Option<Said>)>> {
        let words = group.words.len();
        let Some(options) = arm.options(words, deletion, &self.options)? else {
            let stream = |decision| {
                ((group.number as u64) << 17) + 2 * decision as u64 + group.setting as u64
            };
            return Ok((0..targets.len())
                .map(|d| (chance(words, self.seed, stream(group.first + d)), None))
                .collect());
        };
        let timed = |targets: &[Target]| -> Result<(Vec<Explanation>, f64)> {
            let start = Instant::now();
            let explanations =
                self.model
                    .explain(group.text, group.extraction, targets, &options)?;
            Ok((explanations, 1e3 * start.elapsed().as_secs_f64()))
        };
        let (explanations, ms) = timed(targets)?;
        if explanations.len() != targets.len()
            || explanations.iter().any(|e| e.words.len() != words)
        {
            return Err(Error::Training(format!(
                "{} explains another window than its game; this is a defect of libbie",
                arm.name
            )));
        }
        let mut weighed: Vec<(Vec<f64>, Option<Said>)> = explanations
            .iter()
            .map(|e| (weights(e), Some(said(e, ms / targets.len() as f64))))
            .collect();
        // The first decision of each kind by itself: what a host pays that asks for one.
        for kind in Kind::ALL.into_iter().filter(|_| time) {
            let Some(first) = group.decisions.iter().position(|d| d.kind == kind) else {
                continue;
            };
            let (Some(target), Some((_, Some(said)))) =
                (targets.get(first), weighed.get_mut(first))
            else {
                continue;
            };
            said.alone = if targets.len() == 1 {
                Some((said.passes, ms))
            } else {
                let (explanations, ms) = timed(&[*target])?;
                explanations.first().map(|e| (e.evaluations, ms))
            };
        }
        Ok(weighed)
    }
}

/// A number of a text's own, so that chance draws anew for each.
fn own_number(text: &str) -> usize {
    let digest = Sha256::digest(text.as_bytes());
    let digits = digest.iter().take(5);
    digits.fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// One window of a text.
struct Group<'a> {
    text: &'a str,
    extraction: &'a Extraction,
    setting: Setting,
    /// The text's place in the order of the run.
    number: usize,
    /// Decisions of the text before this window's.
    first: usize,
    /// Whether to explain one decision of each kind by itself, for its cost.
    time: bool,
    words: Vec<Word>,
    decisions: Vec<Decision>,
}

/// The reported entities and relations.
fn decisions(extraction: &Extraction) -> Vec<Decision> {
    let entities = extraction.entities.iter().map(|e| {
        let target = Target::Entity {
            start: e.start,
            end: e.end,
            label: e.label,
            rival: None,
        };
        (target, e.score)
    });
    let relations = (0..)
        .zip(&extraction.relations)
        .map(|(n, r)| (relation(extraction, n), r.score))
        .filter_map(|(target, score)| Some((target?, score)));
    entities
        .chain(relations)
        .enumerate()
        .map(|(place, (target, score))| decision(target, score, place))
        .collect()
}

/// The target of a reported relation.
pub fn relation(extraction: &Extraction, index: usize) -> Option<Target> {
    let r = extraction.relations.get(index)?;
    Some(Target::Relation {
        head: r.head,
        tail: r.tail,
        label: r.label,
        rival: None,
    })
}

fn decision(target: Target, score: f32, place: usize) -> Decision {
    let (kind, label) = match target {
        Target::Entity { label, .. } => (Kind::Entity, label),
        Target::Relation { label, .. } => (Kind::Relation, label),
    };
    Decision {
        kind,
        label,
        score,
        target,
        place,
    }
}

/// The words' weights.
pub fn weights(explanation: &Explanation) -> Vec<f64> {
    let weight = |word: &Word| f64::from(word.weight);
    explanation.words.iter().map(weight).collect()
}

fn said(explanation: &Explanation, ms: f64) -> Said {
    Said {
        method: explanation.method.as_str().to_owned(),
        completeness: explanation.completeness_error.map(f64::from),
        unreliable: explanation.unreliable,
        passes: explanation.evaluations,
        ms,
        alone: None,
    }
}
