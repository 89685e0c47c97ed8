//! Thresholds by what they cost: precision against recall.

use std::fmt;

use bie::bundle::OperatingPoint;
use bie::decode::calibration::Calibration;
use serde::{Deserialize, Serialize};

use super::collect::Decision;

/// What a threshold is chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The highest F1.
    #[default]
    F1,
    /// As much recall as this precision leaves.
    Precision(f32),
    /// As much precision as this recall leaves.
    Recall(f32),
}

impl Goal {
    /// Of "f1", "precision=0.9", "recall=0.9".
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Goal, String> {
        let share = |value: &str| value.parse().ok().filter(|share| in_range(*share));
        let goal = match text.split_once('=') {
            None => (text == "f1").then_some(Goal::F1),
            Some(("precision", value)) => share(value).map(Goal::Precision),
            Some(("recall", value)) => share(value).map(Goal::Recall),
            Some(_) => None,
        };
        goal.ok_or_else(|| {
            format!("\"{text}\" is no goal; expected f1, precision=X or recall=X with X above 0 and at most 1")
        })
    }

    /// Whether its figure is a share above 0.
    pub fn is_valid(self) -> bool {
        match self {
            Goal::F1 => true,
            Goal::Precision(share) | Goal::Recall(share) => in_range(share),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::F1 => f.write_str("the highest F1"),
            Goal::Precision(share) => write!(f, "precision {share}"),
            Goal::Recall(share) => write!(f, "recall {share}"),
        }
    }
}

fn in_range(share: f32) -> bool {
    share > 0.0 && share <= 1.0
}

/// Thresholds are hundredths: finer ones would follow chance.
const STEPS: u8 = 100;

/// What each hundredth, from 0.01 to 0.99, does to the decisions of one type, by their calibrated scores.
pub fn points<'a>(
    decisions: impl Iterator<Item = &'a Decision>,
    map: Calibration,
    gold: usize,
) -> Vec<OperatingPoint> {
    let scored: Vec<(f32, bool)> = decisions.map(|d| (map.apply(d.score), d.gold)).collect();
    let point = |hundredths: u8| {
        let score = f32::from(hundredths) / f32::from(STEPS);
        let reported = scored.iter().filter(|(p, _)| *p >= score);
        let (mut count, mut right) = (0u32, 0u32);
        for (_, gold) in reported {
            count += 1;
            right += u32::from(*gold);
        }
        OperatingPoint {
            score,
            precision: if count == 0 {
                1.0
            } else {
                right as f32 / count as f32
            },
            recall: if gold == 0 {
                0.0
            } else {
                right as f32 / gold as f32
            },
            reported: count,
            right,
            gold: gold as u32,
        }
    };
    (1..STEPS).map(point).collect()
}

/// The table for the manifest: every twentieth from 0.05 to 0.95, and the chosen threshold.
pub fn table(points: &[OperatingPoint], threshold: f32) -> Vec<OperatingPoint> {
    let shown =
        |at: usize, point: &OperatingPoint| (at + 1).is_multiple_of(5) || point.score == threshold;
    points
        .iter()
        .enumerate()
        .filter(|(at, point)| shown(*at, point))
        .map(|(_, point)| *point)
        .collect()
}

/// The point that serves the goal best, and whether the goal is reached; of equals the highest threshold. Nothing if nothing right is ever reported.
pub fn choose(points: &[OperatingPoint], goal: Goal) -> Option<(OperatingPoint, bool)> {
    let useful = || points.iter().filter(|point| point.right > 0);
    let best = |of: &dyn Fn(&OperatingPoint) -> f32, among: &dyn Fn(&OperatingPoint) -> bool| {
        let candidates = useful().filter(|point| among(point));
        candidates
            .max_by(|a, b| of(a).total_cmp(&of(b)).then(a.score.total_cmp(&b.score)))
            .copied()
    };
    let f1 = |p: &OperatingPoint| 2.0 * p.right as f32 / (p.reported + p.gold) as f32;
    let (precision, recall) = (
        |p: &OperatingPoint| p.precision,
        |p: &OperatingPoint| p.recall,
    );
    let (reached, nearest) = match goal {
        Goal::F1 => (best(&f1, &|_| true), None),
        Goal::Precision(least) => (
            best(&recall, &|p| p.precision >= least),
            best(&precision, &|_| true),
        ),
        Goal::Recall(least) => (
            best(&precision, &|p| p.recall >= least),
            best(&recall, &|_| true),
        ),
    };
    reached
        .map(|point| (point, true))
        .or(nearest.map(|point| (point, false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores 0.9 right, 0.8 wrong, 0.6 right, 0.3 right, 0.2 wrong; one more is never found.
    fn example() -> Vec<OperatingPoint> {
        let decision = |(score, gold): (f32, bool)| Decision {
            document: 0,
            label: 0,
            score,
            right: f32::from(u8::from(gold)),
            gold,
        };
        let list = [
            (0.905, true),
            (0.805, false),
            (0.605, true),
            (0.305, true),
            (0.205, false),
        ]
        .map(decision);
        points(list.iter(), Calibration::NONE, 4)
    }

    fn chosen(goal: Goal) -> (f32, u32, u32, bool) {
        let (point, reached) = choose(&example(), goal).unwrap();
        (point.score, point.reported, point.right, reached)
    }

    #[test]
    fn points_count_what_is_reported() {
        let points = example();
        assert_eq!(points.len(), 99);
        let at = |hundredths: usize| {
            (
                points[hundredths - 1].reported,
                points[hundredths - 1].right,
            )
        };
        assert_eq!(
            [at(1), at(20), at(21), at(50), at(81), at(95)],
            [(5, 3), (5, 3), (4, 3), (3, 2), (1, 1), (0, 0)]
        );
        assert_eq!((points[49].precision, points[49].recall), (2.0 / 3.0, 0.5));
        assert_eq!((points[98].precision, points[98].recall), (1.0, 0.0));
    }

    #[test]
    fn goals_choose_their_thresholds() {
        // F1: 3 of 4 reported and 3 of 4 gold from 0.21 to 0.30; the highest of these.
        assert_eq!(chosen(Goal::F1), (0.3, 4, 3, true));
        assert_eq!(chosen(Goal::Precision(0.75)), (0.3, 4, 3, true));
        assert_eq!(chosen(Goal::Precision(0.9)), (0.9, 1, 1, true));
        assert_eq!(chosen(Goal::Recall(0.5)), (0.3, 4, 3, true));
        assert_eq!(chosen(Goal::Recall(0.9)), (0.3, 4, 3, false));
        assert_eq!(
            choose(&points([].iter(), Calibration::NONE, 3), Goal::F1),
            None
        );
    }

    #[test]
    fn the_table_holds_twentieths_and_the_chosen_one() {
        let scores: Vec<f32> = table(&example(), 0.42)
            .iter()
            .map(|point| point.score)
            .collect();
        assert_eq!(scores.len(), 20);
        assert_eq!(scores[..3], [0.05, 0.1, 0.15]);
        assert!(scores.contains(&0.42) && scores.is_sorted());
    }

    #[test]
    fn goals_are_read_as_they_are_written() {
        assert_eq!(Goal::parse("f1"), Ok(Goal::F1));
        assert_eq!(Goal::parse("precision=0.9"), Ok(Goal::Precision(0.9)));
        for bad in [
            "F1",
            "precision",
            "recall=0",
            "recall=1.1",
            "recall=x",
            "accuracy=0.9",
            "recall=NaN",
        ] {
            assert!(Goal::parse(bad).unwrap_err().contains(bad));
        }
        let of = |text: &str| {
            toml::from_str::<std::collections::BTreeMap<String, Goal>>(text).unwrap()["g"]
        };
        assert_eq!(of("g = \"f1\""), Goal::F1);
        assert_eq!(of("g = { recall = 0.8 }"), Goal::Recall(0.8));
    }
}
