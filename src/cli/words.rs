//! What an explanation says, in plain words: the same ones in the terminal, on the page and in the picture.

use bie::explain::{Explanation, Method};

use super::decision::{Decision, Finding, Strength};

/// Two decimals, never "-0.00", and a minus that is not a hyphen.
pub fn number(value: f32) -> String {
    let text = format!("{value:.2}");
    match text.strip_prefix('-') {
        Some("0.00") => "0.00".into(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text,
    }
}

/// The same with its sign.
pub fn signed(value: f32) -> String {
    let text = number(value);
    if text.starts_with('\u{2212}') || text == "0.00" || value.is_nan() {
        text
    } else {
        format!("+{text}")
    }
}

/// `0.4 %`, `67 %`.
pub fn percent(part: f32) -> String {
    let hundredths = 100.0 * part;
    if hundredths.abs() < 1.0 {
        format!("{hundredths:.1} %")
    } else {
        format!("{hundredths:.0} %")
    }
}

/// "Amiodarone causes tremor", "tremor is a Disease": the document's own characters, not yet fit for a terminal or a page.
pub fn finding(finding: &Finding) -> String {
    match finding {
        Finding::Entity { text, kind } => format!("{text}: {kind}"),
        Finding::Relation { head, kind, tail } => format!("{} → {kind} → {}", head.0, tail.0),
    }
}

/// What the values of this decision are called: the score, or its lead over a rival.
pub fn value_name(decision: &Decision<'_>) -> String {
    match &decision.rival {
        Some(rival) if decision.explanation.rival_score.is_some() => format!("lead over “{rival}”"),
        _ => "score".into(),
    }
}

/// "score 0.94", or with a rival "score 0.94, “treats” 0.05".
pub fn score(decision: &Decision<'_>) -> String {
    let score = number(decision.explanation.score);
    match (&decision.rival, decision.explanation.rival_score) {
        (Some(rival), Some(other)) => format!("score {score}, “{rival}” {}", number(other)),
        _ => format!("score {score}"),
    }
}

/// What happens to the value without the evidence.
pub fn effect(decision: &Decision<'_>) -> String {
    let (name, before, after) = (
        value_name(decision),
        decision.value(),
        decision.explanation.without_evidence,
    );
    if decision.explanation.evidence_for.is_empty() {
        return "No words were found that speak for it.".to_owned();
    }
    let (from, to) = (number(before), number(after));
    match () {
        () if from == to => format!("Without these words the {name} stays at {from}."),
        () if after < before => {
            format!("Without these words the {name} falls from {from} to {to}.")
        }
        () => format!("Without these words the {name} rises from {from} to {to}."),
    }
}

/// Whether the evidence may be taken as the reason, and why.
pub struct Verdict {
    /// The evidence may be shown as the reason.
    pub holds: bool,
    /// A few words.
    pub title: &'static str,
    /// A sentence or two.
    pub why: String,
}

/// Whether the evidence may be taken as the reason: what its deletion did decides.
pub fn verdict(decision: &Decision<'_>) -> Verdict {
    let explanation = decision.explanation;
    let no_better = explanation
        .faithfulness
        .filter(|measured| measured.comprehensiveness <= measured.random_comprehensiveness);
    let (holds, title, caution) = if explanation.evidence_for.is_empty() {
        let caution = "Judge the finding by the text.".to_owned();
        (false, "No reason found", caution)
    } else if explanation.unreliable {
        let caution = "That is less than a tenth of it: do not take these words as the reason.";
        (false, "Not reliable", caution.to_owned())
    } else if explanation.without_evidence >= decision.value() {
        let caution = "So they are not what it rests on: do not take them as the reason.";
        (false, "Not reliable", caution.to_owned())
    } else if let Some(measured) = no_better {
        let caution = format!(
            "But taking away random words costs as much ({} against {}): do not take these words as the reason.",
            number(measured.random_comprehensiveness),
            number(measured.comprehensiveness)
        );
        (false, "Not reliable", caution)
    } else if explanation.method == Method::AttentionRollout {
        let caution = "This method shows where the model looked, which is known to explain little.";
        (false, "A view, not evidence", caution.to_owned())
    } else {
        (true, "Checked", String::new())
    };
    let mut why = format!("{} {caution}", effect(decision))
        .trim_end()
        .to_owned();
    if explanation.cut_short {
        why.push_str(" The time budget ended the measurement early: another run may weigh the words differently.");
    }
    Verdict { holds, title, why }
}

/// A method's name for people.
pub fn method_name(method: Method) -> &'static str {
    match method {
        Method::Auto => "automatic",
        Method::Attention => "attention",
        Method::AttentionRollout => "attention rollout",
        Method::InputXGradient => "input × gradient",
        Method::AttentionXGradient => "attention × gradient",
        Method::IntegratedGradients => "integrated gradients",
        Method::Occlusion => "occlusion",
        Method::Shap => "SHAP (Shapley values)",
        Method::Lime => "LIME",
        Method::GuidedOcclusion => "guided occlusion",
    }
}

/// What the method does, in one sentence without mathematics.
pub fn method_sentence(method: Method) -> &'static str {
    match method {
        Method::Auto => "The method was chosen by the program.",
        Method::Attention => {
            "A word's weight is how much the model looked at it when it made this decision; looking is not yet a reason."
        }
        Method::AttentionRollout => {
            "A word's weight is how much the model looked at it, through all its layers: a view, not evidence."
        }
        Method::InputXGradient => {
            "A word's weight is how strongly the score reacts when that word begins to fade out."
        }
        Method::AttentionXGradient => {
            "A word's weight is how much the model looked at it, times how strongly the score reacts when it begins to fade out."
        }
        Method::IntegratedGradients => {
            "The text was faded in from blank, step by step; a word's weight is its share of the score that this built up."
        }
        Method::Occlusion => {
            "Each piece of the text was taken away once, alone; its weight is the score that was lost."
        }
        Method::Shap => {
            "Pieces of the text were taken away in many combinations; a piece's weight is its fair share of the score over all of them."
        }
        Method::Lime => {
            "Pieces of the text were taken away in many random combinations; a piece's weight is its part in a simple formula fitted to the scores."
        }
        Method::GuidedOcclusion => {
            "All words were faded out half way, to see how strongly each moves the score; the most promising were then taken away one by one. A word's weight is the sum of both."
        }
    }
}

/// How exact the method says it was; and what it cost.
pub fn measurement(explanation: &Explanation) -> Vec<String> {
    let mut facts = Vec::new();
    if explanation.chosen {
        facts.push("The program chose this method (auto).".to_owned());
    }
    if let Some(error) = explanation.completeness_error {
        facts.push(format!(
            "The weights add up to what the words contribute, with an error of {}.",
            percent(error)
        ));
    }
    if let Some(fit) = explanation.fit {
        facts.push(format!(
            "The formula explains {} of how the score varied.",
            percent(fit)
        ));
    }
    let error = explanation
        .words
        .iter()
        .map(|word| word.standard_error)
        .fold(0.0, f32::max);
    if error > 0.0 {
        facts.push(format!("A weight's standard error is at most {error:.3}."));
    }
    let runs = explanation.evaluations;
    facts.push(format!(
        "It cost {runs} {} of the model.",
        if runs == 1 { "run" } else { "runs" }
    ));
    facts
}

/// "strongly", "moderately", "weakly", "hardly".
pub fn strength(strength: Strength) -> &'static str {
    match strength.level {
        0 => "hardly",
        1 => "weakly",
        2 => "moderately",
        _ => "strongly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(0.945), "0.94");
        assert_eq!(number(-0.001), "0.00");
        assert_eq!(number(-0.31), "\u{2212}0.31");
        assert_eq!(signed(0.31), "+0.31");
        assert_eq!(signed(0.001), "0.00");
        assert_eq!(signed(-0.31), "\u{2212}0.31");
        assert_eq!(signed(f32::NAN), "NaN");
        assert_eq!(
            (percent(0.004), percent(0.67)),
            ("0.4 %".into(), "67 %".into())
        );
    }

    #[test]
    fn every_method_has_words() {
        for method in Method::ALL {
            assert!(!method_name(method).is_empty());
            assert!(method_sentence(method).ends_with('.'), "{method:?}");
        }
    }
}
