//! Mentions to entities: the same thing, named again.
//!
//! Two mentions of one type belong together if their surfaces are equal after case folding and white-space normalisation, or if one is
//! defined as the other's abbreviation in parentheses. Then all mentions with either surface belong together.

use std::collections::HashMap;

/// A mention as grouping sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mention {
    /// First byte in the text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Index of the entity type.
    pub label: usize,
}

/// The group of each mention, numbered from 0 in the order of the groups' first mentions.
pub fn groups(text: &str, mentions: &[Mention]) -> Vec<usize> {
    let mut sets = UnionFind::new(mentions.len());
    let mut by_surface: HashMap<(usize, String), usize> = HashMap::new();
    let mut by_end: HashMap<(usize, usize), usize> = HashMap::new();
    for (at, mention) in mentions.iter().enumerate() {
        let twin = *by_surface
            .entry((mention.label, normalised(surface(text, mention))))
            .or_insert(at);
        sets.join(twin, at);
        by_end.insert((mention.label, mention.end), at);
    }
    for (at, inner) in mentions.iter().enumerate() {
        let outer = parenthesis(text, inner)
            .and_then(|end| by_end.get(&(inner.label, end)))
            .and_then(|&outer| Some((outer, mentions.get(outer)?)));
        if let Some((outer_at, outer)) = outer {
            let (outer, inner) = (surface(text, outer), surface(text, inner));
            if abbreviates(inner, outer) || abbreviates(outer, inner) {
                sets.join(outer_at, at);
            }
        }
    }
    let mut numbers = HashMap::new();
    (0..mentions.len())
        .map(|at| {
            let next = numbers.len();
            *numbers.entry(sets.root(at)).or_insert(next)
        })
        .collect()
}

fn surface<'a>(text: &'a str, mention: &Mention) -> &'a str {
    text.get(mention.start..mention.end).unwrap_or_default()
}

/// The key under which surfaces are equal.
fn normalised(surface: &str) -> String {
    surface
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

/// If the mention stands first in parentheses: where the text before them ends.
fn parenthesis(text: &str, inner: &Mention) -> Option<usize> {
    let before = text
        .get(..inner.start)?
        .trim_end()
        .strip_suffix(['(', '['])?;
    let after = text.get(inner.end..)?.trim_start();
    after
        .starts_with([')', ']', ',', ';'])
        .then_some(before.trim_end().len())
}

/// Whether `short` is an abbreviation of `long`: A. S. Schwartz and M. A. Hearst, "A simple algorithm for identifying abbreviation
/// definitions in biomedical text", Pacific Symposium on Biocomputing 2003.
///
/// Read from the right, every letter and digit of the short form occurs in the long form in order, and the first one starts a word there.
fn abbreviates(short: &str, long: &str) -> bool {
    let short: Vec<char> = short.trim().chars().collect();
    let length = short.len();
    let words = short.split(|c| c.is_whitespace()).count();
    let plausible = (2..=10).contains(&length)
        && words <= 2
        && short.iter().any(|c| c.is_alphabetic())
        && short.first().is_some_and(|c| c.is_alphanumeric());
    let long: Vec<char> = long.trim().chars().collect();
    if !plausible
        || long.len() <= length
        || long.split(|c| c.is_whitespace()).count() > (length + 5).min(length * 2)
    {
        return false;
    }
    let mut rest = long.as_slice();
    for (at, &wanted) in short
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, c)| c.is_alphanumeric())
    {
        loop {
            let Some((&found, before)) = rest.split_last() else {
                return false;
            };
            rest = before;
            let fits = found.to_lowercase().eq(wanted.to_lowercase());
            let starts_word = before.last().is_none_or(|c| !c.is_alphanumeric());
            if fits && (at > 0 || starts_word) {
                break;
            }
        }
    }
    true
}

/// Disjoint sets; the root of a set is its least member.
struct UnionFind(Vec<usize>);

impl UnionFind {
    fn new(size: usize) -> Self {
        UnionFind((0..size).collect())
    }

    fn root(&mut self, mut at: usize) -> usize {
        while let Some(parent) = self.0.get(at).copied().filter(|&parent| parent != at) {
            let grandparent = self.0.get(parent).copied().unwrap_or(parent);
            if let Some(slot) = self.0.get_mut(at) {
                *slot = grandparent;
            }
            at = grandparent;
        }
        at
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.0.get_mut(a.max(b)) {
            *slot = a.min(b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of the given surfaces, found from left to right, all of one type.
    fn of(text: &str, surfaces: &[&str]) -> Vec<usize> {
        let mut from = 0;
        let mentions: Vec<Mention> = surfaces
            .iter()
            .map(|surface| {
                let start = from + text[from..].find(surface).unwrap();
                from = start + surface.len();
                Mention {
                    start,
                    end: from,
                    label: 0,
                }
            })
            .collect();
        groups(text, &mentions)
    }

    #[test]
    fn equal_surfaces_are_one_entity() {
        assert_eq!(
            of(
                "Aspirin, ASPIRIN; lactic\n  acid, lactic acid, acid",
                &[
                    "Aspirin",
                    "ASPIRIN",
                    "lactic\n  acid",
                    "lactic acid",
                    "acid"
                ]
            ),
            [0, 0, 1, 1, 2]
        );
    }

    #[test]
    fn types_keep_apart() {
        let text = "cold cold";
        let mention = |start, end, label| Mention { start, end, label };
        assert_eq!(groups(text, &[mention(0, 4, 0), mention(5, 9, 1)]), [0, 1]);
        assert!(groups(text, &[]).is_empty());
    }

    #[test]
    fn an_abbreviation_joins_its_long_form_and_all_twins() {
        let text = "COPD is bad. Chronic obstructive pulmonary disease (COPD) is chronic obstructive pulmonary disease; COPD, MI";
        let surfaces = [
            "COPD",
            "Chronic obstructive pulmonary disease",
            "COPD",
            "chronic obstructive pulmonary disease",
            "COPD",
            "MI",
        ];
        assert_eq!(of(text, &surfaces), [0, 0, 0, 0, 0, 1]);
        assert_eq!(
            of(
                "MI (myocardial infarction) and MI",
                &["MI", "myocardial infarction", "MI"]
            ),
            [0, 0, 0]
        );
        assert_eq!(
            of(
                "severe heart failure [HF; n=3], HF",
                &["severe heart failure", "HF", "HF"]
            ),
            [0, 0, 0]
        );
    }

    #[test]
    fn other_parentheses_join_nothing() {
        assert_eq!(of("aspirin (ibuprofen)", &["aspirin", "ibuprofen"]), [0, 1]);
        assert_eq!(of("heart failure HF", &["heart failure", "HF"]), [0, 1]);
        assert_eq!(
            of("heart failure (see HF)", &["heart failure", "HF"]),
            [0, 1]
        );
        assert_eq!(
            of("heart failure (HF was", &["heart failure", "HF"]),
            [0, 1]
        );
    }

    #[test]
    fn the_rule_of_schwartz_and_hearst() {
        for (short, long) in [
            ("HSF", "heat shock transcription factor"),
            ("5-HT", "5-hydroxytryptamine"),
            ("TNF-α", "tumour necrosis factor α"),
            ("ALL", "acute lymphoblastic leukaemia"),
        ] {
            assert!(abbreviates(short, long), "{short}");
            assert!(!abbreviates(long, short), "{short}");
        }
        for (short, long) in [
            ("H", "heart"),
            ("12", "1 and 2"),
            ("XY", "heart failure"),
            ("EF", "heart failure"),
            ("-a", "a-a-a"),
            ("", "heart"),
            ("HF", "h a b c d f"),
        ] {
            assert!(!abbreviates(short, long), "{short}");
        }
    }
}
