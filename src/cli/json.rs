//! Explanations as JSON: one line, keys in a fixed order, equal bytes for equal explanations.

use bie::Extraction;
use bie::explain::{Evidence, Explanation, Target, Word};
use serde_json::{Value, json};

/// The explanations of one extraction.
pub fn explanations(
    extraction: &Extraction,
    explanations: &[Explanation],
    names: &[Option<String>],
) -> String {
    let list: Vec<Value> = explanations
        .iter()
        .zip(names)
        .map(|(explanation, name)| one(extraction, explanation, name.as_deref()))
        .collect();
    json!({
        "model_id": extraction.model_id,
        "bundle_hash": extraction.bundle_hash,
        "offset_unit": extraction.offset_unit.as_str(),
        "explanations": list,
    })
    .to_string()
}

fn one(extraction: &Extraction, explanation: &Explanation, name: Option<&str>) -> Value {
    json!({
        "target": target(extraction, &explanation.target, name),
        "method": explanation.method.as_str(),
        "chosen": explanation.chosen,
        "score": number(explanation.score),
        "rival_score": explanation.rival_score.map(number),
        "baseline_score": number(explanation.baseline_score),
        "without_evidence": number(explanation.without_evidence),
        "unreliable": explanation.unreliable,
        "cut_short": explanation.cut_short,
        "evidence_for": explanation.evidence_for.iter().map(evidence).collect::<Vec<_>>(),
        "evidence_against": explanation.evidence_against.iter().map(evidence).collect::<Vec<_>>(),
        "completeness_error": explanation.completeness_error.map(number),
        "fit": explanation.fit.map(number),
        "faithfulness": explanation.faithfulness.map(|measured| json!({
            "comprehensiveness": number(measured.comprehensiveness),
            "sufficiency": number(measured.sufficiency),
            "random_comprehensiveness": number(measured.random_comprehensiveness),
            "random_sufficiency": number(measured.random_sufficiency),
        })),
        "evaluations": explanation.evaluations,
        "words": explanation.words.iter().map(word).collect::<Vec<_>>(),
        "heads": explanation.heads.as_ref().map(|heads| {
            let rows = heads.weights.chunks(explanation.words.len().max(1)).take(heads.heads as usize);
            rows.map(|row| row.iter().copied().map(number).collect::<Vec<_>>()).collect::<Vec<_>>()
        }),
    })
}

fn target(extraction: &Extraction, target: &Target, name: Option<&str>) -> Value {
    let entity_type = |label: u32| extraction.entity_types.get(label as usize);
    let relation_type = |label: u32| extraction.relation_types.get(label as usize);
    match *target {
        Target::Entity {
            start,
            end,
            label,
            rival,
        } => json!({
            "name": name, "start": start, "end": end, "type": entity_type(label), "rival": rival.and_then(entity_type),
        }),
        Target::Relation {
            head,
            tail,
            label,
            rival,
        } => json!({
            "name": name, "head": head, "tail": tail, "type": relation_type(label), "rival": rival.and_then(relation_type),
        }),
    }
}

fn evidence(piece: &Evidence) -> Value {
    json!({ "start": piece.start, "end": piece.end, "text": piece.text, "weight": number(piece.weight) })
}

fn word(word: &Word) -> Value {
    json!({
        "start": word.start, "end": word.end, "weight": number(word.weight),
        "standard_error": number(word.standard_error), "in_target": word.in_target,
    })
}

/// Six decimals at most; what is no number is null.
fn number(value: f32) -> Value {
    let rounded = (f64::from(value) * 1e6).round() / 1e6;
    // JSON has no minus zero that anybody expects.
    Value::from(rounded + 0.0)
}
