//! From log-probabilities of tokens to a distribution over labels.
//!
//! Servers of the OpenAI kind give, for every token of an answer, the alternatives with the highest log-probabilities. At the place where a
//! label stands, each alternative is the beginning of a label, or of none. An alternative that begins one label gives it its
//! probability; one that begins several gives each an equal share, except the token that was taken: there the next token decides.
//! What leads to no label is left out, and the rest is scaled to 1.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Probability that must fall upon labels for the rest to be called a distribution.
const LEAST: f64 = 0.5;

/// For a label that no alternative leads to.
const UNSEEN: f64 = 1e-4;

/// One token of an answer with its alternatives, itself among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its first byte in the answer.
    pub at: usize,
    /// Its text.
    pub text: String,
    /// Its log-probability.
    pub logprob: f64,
    /// Texts and log-probabilities of what could have stood here.
    pub top: Vec<(String, f64)>,
}

#[derive(Deserialize)]
struct Given {
    content: Option<Vec<GivenToken>>,
}

#[derive(Deserialize)]
struct GivenToken {
    token: String,
    bytes: Option<Vec<u8>>,
    logprob: f64,
    #[serde(default)]
    top_logprobs: Vec<GivenToken>,
}

impl GivenToken {
    /// The bytes tell what a token is; its text may be a rendering.
    fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or(self.token.as_bytes())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// The tokens within `places` (bytes of the answer: labels with their closing quotation marks), as the `logprobs` field of a choice gives
/// them; none if the field is missing, or if its tokens are not those of the answer.
pub fn tokens(
    field: &serde_json::Value,
    content: &str,
    places: &[Range<usize>],
) -> Option<Vec<Token>> {
    let given = Given::deserialize(field).ok()?.content?;
    let all: Vec<u8> = given.iter().flat_map(|t| t.bytes()).copied().collect();
    // Tokens of a reasoning part, which the server has cut off the answer, come first; a token that ends the answer may come last.
    let mut windows = all.windows(content.len().max(1));
    let shift = windows.rposition(|window| window == content.as_bytes())?;
    let mut tokens = Vec::new();
    let mut end = 0;
    for token in &given {
        let start = end;
        end += token.bytes().len();
        let within = |place: &Range<usize>| start < place.end + shift && end > place.start + shift;
        if !places.iter().any(within) {
            continue;
        }
        // What of the token precedes the answer is not looked at.
        let before = shift.saturating_sub(start);
        tokens.push(Token {
            at: (start + before).saturating_sub(shift),
            text: token.text().get(before..)?.to_owned(),
            logprob: token.logprob,
            top: token
                .top_logprobs
                .iter()
                .map(|t| (t.text(), t.logprob))
                .collect(),
        });
    }
    Some(tokens)
}

/// The probabilities of the labels at a byte of the answer, in their order; none if the tokens do not tell.
pub fn at(tokens: &[Token], place: usize, labels: &[&str]) -> Option<Vec<f64>> {
    let closed: Vec<String> = labels.iter().map(|l| format!("{l}\"")).collect();
    // Labels that go on as written, or end within it.
    let open = |written: &str| -> Vec<usize> {
        let fits =
            |label: &String| label.starts_with(written) || written.starts_with(label.as_str());
        (0..closed.len())
            .filter(|n| closed.get(*n).is_some_and(fits))
            .collect()
    };
    let mut mass = vec![0.0; labels.len()];
    let mut give = |to: &[usize], p: f64| {
        for n in to {
            if let Some(m) = mass.get_mut(*n) {
                *m += p / to.len() as f64;
            }
        }
    };
    let mut reach = 1.0;
    let mut done = String::new();
    let mut position = place;
    loop {
        let token = tokens
            .iter()
            .find(|t| t.at <= position && position < t.at + t.text.len())?;
        let (lead, rest) = token.text.split_at_checked(position - token.at)?;
        for (text, logprob) in token.top.iter().filter(|(text, _)| *text != token.text) {
            if let Some(rest) = text.strip_prefix(lead).filter(|rest| !rest.is_empty()) {
                give(&open(&format!("{done}{rest}")), reach * logprob.exp());
            }
        }
        reach *= token.logprob.exp();
        done.push_str(rest);
        position += rest.len();
        match open(&done).as_slice() {
            [] => return None,
            [only] => {
                give(&[*only], reach);
                break;
            }
            _ => {}
        }
    }
    let total: f64 = mass.iter().sum();
    // Written so that a sum that is no number fails, too.
    if !(LEAST..=1.5).contains(&total) {
        return None;
    }
    let scale = total + UNSEEN * mass.len() as f64;
    Some(mass.iter().map(|m| (m + UNSEEN) / scale).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token(at: usize, text: &str, p: f64, top: &[(&str, f64)]) -> Token {
        Token {
            at,
            text: text.to_owned(),
            logprob: p.ln(),
            top: std::iter::once((text, p))
                .chain(top.iter().copied())
                .map(|(t, p)| (t.to_owned(), p.ln()))
                .collect(),
        }
    }

    fn close(found: Option<Vec<f64>>, expected: &[f64]) {
        let found = found.unwrap();
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-3),
            "{found:?} {expected:?}"
        );
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_first_token_that_tells_labels_apart_gives_the_distribution() {
        // `"label":"causes"`: the label begins at 9.
        let labels = ["none", "causes", "treats"];
        let tokens = [
            token(0, "\"label\":", 1.0, &[]),
            token(8, "\"", 1.0, &[]),
            token(
                9,
                "ca",
                0.6,
                &[("none", 0.2), ("tre", 0.1), ("no", 0.05), ("xyz", 0.05)],
            ),
            token(11, "uses", 1.0, &[]),
        ];
        close(
            at(&tokens, 9, &labels),
            &[0.25 / 0.95, 0.6 / 0.95, 0.1 / 0.95],
        );
        // The opening quotation mark may be part of the token.
        let tokens = [token(
            7,
            ":\"causes",
            0.7,
            &[(":\"none", 0.3), ("none", 0.9)],
        )];
        close(at(&tokens, 9, &labels), &[0.3, 0.7, 0.0]);
    }

    #[test]
    fn labels_with_a_common_beginning_are_told_apart_further_on() {
        let labels = ["increases", "interacts", "in"];
        let tokens = [
            token(0, "in", 0.9, &[("incr", 0.1)]),
            token(2, "creases", 0.5, &[("teracts", 0.25), ("\"", 0.25)]),
        ];
        close(at(&tokens, 0, &labels), &[0.1 + 0.45, 0.225, 0.225]);
        // A label that is the beginning of another ends with the quotation mark.
        let tokens = [
            token(0, "in", 1.0, &[]),
            token(2, "\"}", 0.5, &[("creases", 0.25), ("t", 0.25)]),
        ];
        close(at(&tokens, 0, &labels), &[0.25, 0.25, 0.5]);
        // An alternative that begins two labels is shared.
        let tokens = [token(0, "increases", 0.6, &[("int", 0.1), ("in", 0.3)])];
        close(at(&tokens, 0, &labels), &[0.7, 0.2, 0.1]);
    }

    #[test]
    fn what_does_not_tell_is_none() {
        let labels = ["none", "causes"];
        assert_eq!(at(&[], 0, &labels), None);
        assert_eq!(at(&[token(0, "maybe", 1.0, &[])], 0, &labels), None);
        // Less than half of the probability lies on labels.
        assert_eq!(
            at(&[token(0, "none", 0.3, &[("xyz", 0.7)])], 0, &labels),
            None
        );
        assert_eq!(
            at(&[token(0, "no", 1.0, &[])], 1, &["none", "nothing"]),
            None
        );
        assert_eq!(
            at(&[token(0, "no", 1.0, &[])], 0, &["none", "nothing"]),
            None
        );
        assert_eq!(at(&[token(0, "none", f64::NAN, &[])], 0, &labels), None);
    }

    fn given(pieces: &[(&str, Option<&[u8]>)]) -> serde_json::Value {
        let content: Vec<_> = pieces.iter().map(|(t, b)| json!({"token": t, "bytes": b, "logprob": -0.5, "top_logprobs": [{"token": t, "logprob": -0.5}]})).collect();
        json!({ "content": content })
    }

    #[test]
    fn only_tokens_at_labels_are_kept_and_only_if_they_are_the_answers() {
        let content = format!("{{\"é\": \"none\"}}{}", " ".repeat(100));
        let place = content.find("none").unwrap();
        let blanks = " ".repeat(100);
        let pieces: &[(&str, Option<&[u8]>)] = &[
            ("<think>none</think>", None),
            ("{\"", None),
            ("\u{fffd}", Some(&[0xc3])),
            ("\u{fffd}", Some(&[0xa9])),
            ("\": ", None),
            ("\"no", None),
            ("ne\"}", None),
            (&blanks, None),
            ("<eos>", None),
        ];
        let label = place..place + 5;
        let places = std::slice::from_ref(&label);
        let found = tokens(&given(pieces), &content, places).unwrap();
        assert_eq!(
            found
                .iter()
                .map(|t| (t.at, t.text.as_str()))
                .collect::<Vec<_>>(),
            [(place - 1, "\"no"), (place + 2, "ne\"}")]
        );
        assert_eq!(tokens(&given(pieces), &content, &[]), Some(vec![]));
        assert_eq!(tokens(&given(&pieces[1..3]), &content, places), None);
        assert_eq!(tokens(&json!(null), &content, places), None);
        assert_eq!(tokens(&json!({"content": null}), &content, places), None);
        assert_eq!(
            tokens(&json!({"tokens": ["old format"]}), &content, places),
            None
        );
    }

    proptest! {
        #[test]
        fn a_distribution_or_nothing(pieces in prop::collection::vec(("[abc\"]{1,3}", 0.0f64..1.0, prop::collection::vec(("[abc\"]{0,3}", 0.0f64..0.3), 0..4)), 1..5), place in 0usize..6) {
            let mut at_byte = 0;
            let tokens: Vec<Token> = pieces.iter().map(|(text, p, top)| {
                let top: Vec<(&str, f64)> = top.iter().map(|(t, p)| (t.as_str(), *p)).collect();
                let token = token(at_byte, text, *p, &top);
                at_byte += text.len();
                token
            }).collect();
            if let Some(found) = at(&tokens, place, &["a", "ab", "b", "cab"]) {
                prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                prop_assert!(found.iter().all(|p| (0.0..=1.0).contains(p)));
            }
        }
    }
}
