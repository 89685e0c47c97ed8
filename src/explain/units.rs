//! Players that are larger than words: entities, and the clauses between them.

use std::collections::HashMap;
use std::ops::Range;

use super::evidence::is_mark;

/// Marks that end a clause; an opening bracket begins one.
const ENDS: [&str; 10] = [",", ";", ":", ".", "!", "?", ")", "]", "}", "—"];
const OPENS: [&str; 3] = ["(", "[", "{"];

/// Words that begin a clause. Prepositions do not: "after" and "with" may be all that says how two entities relate, but then they stay
/// whole with the words next to them.
const BEGINS: [&str; 28] = [
    "although",
    "and",
    "as",
    "because",
    "but",
    "hence",
    "however",
    "if",
    "nor",
    "or",
    "so",
    "since",
    "that",
    "then",
    "therefore",
    "though",
    "thus",
    "unless",
    "until",
    "when",
    "where",
    "whereas",
    "whether",
    "which",
    "while",
    "who",
    "whom",
    "whose",
];

/// Groups words into players, `[players]` → their words in order; every word belongs to one player. Players stand in the order of their
/// first words.
///
/// `words`: the words' texts, punctuation as words of its own; `entities`: for each entity the word ranges of its mentions. An entity is
/// one player with all its mentions; a word of several entities belongs to the first. The words between are split after
/// `, ; : . ! ? ) ] —`, before `( [` and before conjunctions and relative pronouns. Marks without a word of their clause go with the word
/// before them, or at the start of the text with what follows.
pub fn units(words: &[&str], entities: &[Vec<Range<usize>>]) -> Vec<Vec<usize>> {
    let mut owner: Vec<Option<usize>> = vec![None; words.len()];
    for (entity, mentions) in entities.iter().enumerate() {
        for word in mentions.iter().cloned().flatten() {
            if let Some(owner @ None) = owner.get_mut(word) {
                *owner = Some(entity);
            }
        }
    }
    let is_word = |index: usize| {
        let free = owner.get(index).is_some_and(Option::is_none);
        free && words.get(index).is_some_and(|word| !is_mark(word))
    };
    let mut players: Vec<Vec<usize>> = Vec::new();
    let mut of_entity: HashMap<usize, usize> = HashMap::new();
    let mut before = None; // the player of the word before
    let mut open = false; // that player is a clause that goes on
    let mut waiting: Vec<usize> = Vec::new(); // marks before the first player
    for (index, (word, owner)) in words.iter().zip(&owner).enumerate() {
        let opens = OPENS.contains(word) && is_word(index + 1);
        let player = if let Some(entity) = owner {
            open = false;
            *of_entity.entry(*entity).or_insert(players.len())
        } else if is_mark(word) && !opens {
            open &= !ENDS.contains(word);
            let Some(before) = before else {
                waiting.push(index);
                continue;
            };
            before
        } else {
            let goes_on = open && !opens && !begins(word);
            open = true;
            before.filter(|_| goes_on).unwrap_or(players.len())
        };
        if player == players.len() {
            players.push(std::mem::take(&mut waiting));
        }
        if let Some(members) = players.get_mut(player) {
            members.push(index);
        }
        before = Some(player);
    }
    if !waiting.is_empty() {
        players.push(waiting);
    }
    players
}

/// Whether a clause begins with this word.
fn begins(word: &str) -> bool {
    BEGINS.iter().any(|begin| begin.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[allow(clippy::single_range_in_vec_init)] // an entity of one mention
    fn once(words: Range<usize>) -> Vec<Range<usize>> {
        vec![words]
    }

    fn show(text: &str, entities: &[Vec<Range<usize>>]) -> Vec<String> {
        let words: Vec<&str> = text.split(' ').collect();
        units(&words, entities)
            .iter()
            .map(|unit| unit.iter().map(|&w| words[w]).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn entities_and_clauses() {
        // Isoniazid is one entity with two mentions.
        let text = "After starting isoniazid , which was well tolerated at first , hepatitis developed and isoniazid was stopped .";
        assert_eq!(
            show(text, &[vec![2..3, 14..15], once(11..12)]),
            [
                "After starting",
                "isoniazid , isoniazid",
                "which was well tolerated at first ,",
                "hepatitis",
                "developed",
                "and",
                "was stopped ."
            ]
        );
    }

    #[test]
    fn brackets_and_conjunctions() {
        assert_eq!(
            show(
                "Patients ( n = 12 ) improved While others - few - did not",
                &[]
            ),
            [
                "Patients",
                "( n = 12 )",
                "improved",
                "While others - few - did not"
            ]
        );
    }

    #[test]
    fn marks_go_with_their_neighbour() {
        assert_eq!(
            show(". , aspirin ; - ulcer", &[once(2..3), once(5..6)]),
            [". , aspirin ; -", "ulcer"]
        );
        assert_eq!(show(". ,", &[]), [". ,"]);
        assert_eq!(show("a . . b", &[]), ["a . .", "b"]);
        assert_eq!(
            show("drugs ( aspirin ) ( see", &[once(2..3)]),
            ["drugs (", "aspirin )", "( see"]
        );
        assert!(units(&[], &[once(0..3)]).is_empty());
    }

    #[test]
    fn a_word_of_two_entities_belongs_to_the_first() {
        assert_eq!(
            show("breast cancer patients", &[once(0..2), once(0..3)]),
            ["breast cancer", "patients"]
        );
        assert_eq!(
            show("breast cancer", &[once(0..2), once(0..2)]),
            ["breast cancer"]
        );
    }

    proptest! {
        #[test]
        fn every_word_has_one_player(
            words in proptest::collection::vec(
                proptest::sample::select(vec!["a", "and", ",", "(", ")", ".", "-", "drug", "which"]), 0..25),
            spans in proptest::collection::vec(proptest::collection::vec((0usize..27, 0usize..4), 1..3), 0..4),
        ) {
            let entities: Vec<Vec<Range<usize>>> = spans
                .into_iter()
                .map(|mentions| mentions.into_iter().map(|(start, len)| start..start + len).collect())
                .collect();
            let players = units(&words, &entities);
            let mut all: Vec<usize> = players.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..words.len()));
            prop_assert!(players.iter().all(|p| !p.is_empty() && p.is_sorted()));
            prop_assert!(players.iter().map(|p| p[0]).is_sorted());
        }
    }
}
