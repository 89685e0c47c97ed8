//! The canonical JSON of an explanation.

use std::fmt::Write;

use super::{Evidence, Explanation, Target};
use crate::result::{list, name, quoted};

/// Decimals of scores, which lie between -1 and 1.
const SCORE: usize = 4;
/// Decimals of weights: a score shared out among hundreds of words.
const WEIGHT: usize = 6;

impl Explanation {
    /// The canonical JSON: one line, keys in a fixed order, scores with four decimals, weights with six, `null` for what was not
    /// measured. Equal explanations give equal bytes.
    ///
    /// `head` and `tail` of a relation are indices into the extraction's `entities`; `heads` has one list a head, each with a weight for
    /// each of `words`.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(1024 + 112 * self.words.len());
        out.push('{');
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\"model_id\":{},\"bundle_hash\":{},\"offset_unit\":{},\"target\":{},\"method\":{},\"chosen\":{},",
            quoted(&self.model_id),
            quoted(&self.bundle_hash),
            quoted(self.offset_unit.as_str()),
            self.target_json(),
            quoted(self.method.as_str()),
            self.chosen,
        );
        let _ = write!(
            out,
            "\"score\":{},\"rival_score\":{},\"baseline_score\":{},\"without_evidence\":{},\"unreliable\":{},\"cut_short\":{},\"completeness_error\":{},\"fit\":{},\"evaluations\":{},",
            fixed(self.score, SCORE),
            fixed(self.rival_score, SCORE),
            fixed(self.baseline_score, SCORE),
            fixed(self.without_evidence, SCORE),
            self.unreliable,
            self.cut_short,
            fixed(self.completeness_error, WEIGHT),
            fixed(self.fit, SCORE),
            self.evaluations,
        );
        let evidence = |evidence: &Evidence, out: &mut String| {
            let _ = write!(
                out,
                "{{\"start\":{},\"end\":{},\"text\":{},\"weight\":{}}}",
                evidence.start,
                evidence.end,
                quoted(&evidence.text),
                fixed(evidence.weight, WEIGHT),
            );
        };
        list(&mut out, "evidence_for", &self.evidence_for, evidence);
        out.push(',');
        list(
            &mut out,
            "evidence_against",
            &self.evidence_against,
            evidence,
        );
        out.push_str(",\"faithfulness\":");
        match &self.faithfulness {
            None => out.push_str("null"),
            Some(measured) => {
                let _ = write!(
                    out,
                    "{{\"comprehensiveness\":{},\"sufficiency\":{},\"random_comprehensiveness\":{},\"random_sufficiency\":{}}}",
                    fixed(measured.comprehensiveness, SCORE),
                    fixed(measured.sufficiency, SCORE),
                    fixed(measured.random_comprehensiveness, SCORE),
                    fixed(measured.random_sufficiency, SCORE),
                );
            }
        }
        out.push(',');
        list(&mut out, "words", &self.words, |word, out| {
            let _ = write!(
                out,
                "{{\"start\":{},\"end\":{},\"weight\":{},\"standard_error\":{},\"in_target\":{}}}",
                word.start,
                word.end,
                fixed(word.weight, WEIGHT),
                fixed(word.standard_error, WEIGHT),
                word.in_target,
            );
        });
        out.push(',');
        match &self.heads {
            None => out.push_str("\"heads\":null"),
            Some(heads) => {
                let rows: Vec<&[f32]> = heads.weights.chunks(self.words.len().max(1)).collect();
                list(&mut out, "heads", &rows, |row, out| {
                    let row: Vec<String> =
                        row.iter().map(|weight| fixed(*weight, WEIGHT)).collect();
                    let _ = write!(out, "[{}]", row.join(","));
                });
            }
        }
        out.push('}');
        out
    }

    fn target_json(&self) -> String {
        let (kind, [(from, first), (to, second)], names, label, rival) = match self.target {
            Target::Entity {
                start,
                end,
                label,
                rival,
            } => (
                "entity",
                [("start", start), ("end", end)],
                &self.entity_types,
                label,
                rival,
            ),
            Target::Relation {
                head,
                tail,
                label,
                rival,
            } => (
                "relation",
                [("head", head), ("tail", tail)],
                &self.relation_types,
                label,
                rival,
            ),
        };
        let rival = rival.map_or("null".into(), |rival| quoted(name(names, rival)));
        format!(
            "{{\"kind\":\"{kind}\",\"{from}\":{first},\"{to}\":{second},\"type\":{},\"rival\":{rival}}}",
            quoted(name(names, label)),
        )
    }
}

/// A number with so many decimals; `null` for one that is not there or not finite. What rounds to 0 has no sign.
fn fixed(value: impl Into<Option<f32>>, decimals: usize) -> String {
    let Some(value) = value.into().filter(|value| value.is_finite()) else {
        return "null".into();
    };
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.into(),
        _ => text,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{Faithfulness, Heads, Method, Word};
    use super::*;
    use crate::text::OffsetUnit;

    /// An explanation with everything in it.
    pub(crate) fn full() -> Explanation {
        let word = |start, end, weight, in_target| Word {
            start,
            end,
            weight,
            standard_error: 0.001,
            in_target,
        };
        let evidence = |start, end, weight, text: &str| Evidence {
            start,
            end,
            weight,
            text: text.into(),
        };
        Explanation {
            target: Target::Relation {
                head: 0,
                tail: 2,
                label: 1,
                rival: Some(0),
            },
            method: Method::Shap,
            chosen: true,
            offset_unit: OffsetUnit::Utf16,
            model_id: "m \"1\"".into(),
            bundle_hash: "ab".into(),
            score: 0.93751,
            rival_score: Some(0.05),
            baseline_score: -0.000_01,
            without_evidence: 0.25,
            words: vec![
                word(0, 7, 0.5, true),
                word(8, 14, -0.000_000_4, false),
                word(15, 18, -0.125, true),
            ],
            evidence_for: vec![evidence(0, 7, 0.5, "aspirin")],
            evidence_against: vec![evidence(15, 18, -0.125, "a\u{0}\u{1F600}")],
            completeness_error: Some(0.000_25),
            fit: Some(0.75),
            faithfulness: Some(Faithfulness {
                comprehensiveness: 0.8,
                sufficiency: 0.1,
                random_comprehensiveness: 0.2,
                random_sufficiency: 0.7,
            }),
            heads: Some(Heads {
                heads: 2,
                weights: vec![0.5, 0.25, 0.25, 0.0, 1.0, 0.0],
            }),
            evaluations: 640,
            cut_short: true,
            unreliable: false,
            entity_types: vec!["Chemical".to_string(), "Disease".to_string()].into(),
            relation_types: vec!["causes".to_string(), "treats".to_string()].into(),
        }
    }

    /// One with nothing in it that may be left out.
    pub(crate) fn bare() -> Explanation {
        Explanation {
            target: Target::Entity {
                start: 3,
                end: 5,
                label: 1,
                rival: None,
            },
            method: Method::Occlusion,
            chosen: false,
            rival_score: None,
            words: Vec::new(),
            evidence_for: Vec::new(),
            evidence_against: Vec::new(),
            completeness_error: None,
            fit: None,
            faithfulness: None,
            heads: None,
            cut_short: false,
            unreliable: true,
            ..full()
        }
    }

    #[test]
    fn json_is_canonical_and_valid() {
        let json = full().to_json();
        assert_eq!(
            json,
            concat!(
                r#"{"model_id":"m \"1\"","bundle_hash":"ab","offset_unit":"utf16","#,
                r#""target":{"kind":"relation","head":0,"tail":2,"type":"treats","rival":"causes"},"method":"shap","chosen":true,"#,
                r#""score":0.9375,"rival_score":0.0500,"baseline_score":0.0000,"without_evidence":0.2500,"#,
                r#""unreliable":false,"cut_short":true,"completeness_error":0.000250,"fit":0.7500,"evaluations":640,"#,
                r#""evidence_for":[{"start":0,"end":7,"text":"aspirin","weight":0.500000}],"#,
                r#""evidence_against":[{"start":15,"end":18,"text":"a\u0000😀","weight":-0.125000}],"#,
                r#""faithfulness":{"comprehensiveness":0.8000,"sufficiency":0.1000,"random_comprehensiveness":0.2000,"random_sufficiency":0.7000},"#,
                r#""words":[{"start":0,"end":7,"weight":0.500000,"standard_error":0.001000,"in_target":true},"#,
                r#"{"start":8,"end":14,"weight":0.000000,"standard_error":0.001000,"in_target":false},"#,
                r#"{"start":15,"end":18,"weight":-0.125000,"standard_error":0.001000,"in_target":true}],"#,
                r#""heads":[[0.500000,0.250000,0.250000],[0.000000,1.000000,0.000000]]}"#
            )
        );
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            value["evidence_against"][0]["text"],
            full().evidence_against[0].text
        );
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let mut explanation = bare();
        explanation.baseline_score = f32::NAN;
        let value: serde_json::Value = serde_json::from_str(&explanation.to_json()).unwrap();
        let mut keys: Vec<&str> = value
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, value)| value.is_null())
            .map(|(key, _)| key.as_str())
            .collect();
        let mut expected = vec![
            "rival_score",
            "baseline_score",
            "completeness_error",
            "fit",
            "faithfulness",
            "heads",
        ];
        expected.sort_unstable();
        keys.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(
            value["target"],
            serde_json::json!({"kind": "entity", "start": 3, "end": 5, "type": "Disease", "rival": null})
        );
    }

    #[test]
    fn heads_of_no_words_are_no_list() {
        let mut explanation = bare();
        explanation.heads = Some(Heads::default());
        assert!(explanation.to_json().ends_with("\"heads\":[]}"));
    }
}
