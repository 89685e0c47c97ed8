use proptest::prelude::*;

use super::*;

fn settings(repeats: Repeats) -> Alignment {
    Alignment {
        repeats,
        max_edits: 0.15,
    }
}

fn find<'t>(text: &'t str, quote: &Quote) -> Result<(Vec<&'t str>, How), Unaligned> {
    let settings = settings(Repeats::Context);
    let found = Aligner::new(text, &settings).find(quote)?;
    Ok((
        found.spans.into_iter().map(|s| &text[s]).collect(),
        found.how,
    ))
}

fn quote(text: &str) -> Quote<'_> {
    Quote {
        text,
        ..Quote::default()
    }
}

#[test]
fn each_way_finds_what_it_is_for() {
    let text = "Naïve β\u{2011}blockers  caused “gastric ul\u{ad}cers” (p < 0.05) in 12 of 50 patients; the ﬁrst was afebrile.";
    for (wanted, found, how) in [
        ("caused", "caused", How::Exact),
        (" caused ", "caused", How::Exact),
        (
            "naive Β-blockers caused",
            "Naïve β\u{2011}blockers  caused",
            How::Normalised,
        ),
        (
            "\"Gastric ulcers\"",
            "“gastric ul\u{ad}cers”",
            How::Normalised,
        ),
        ("first", "ﬁrst", How::Normalised),
        ("Gastric ulcres", "gastric ul\u{ad}cers", How::Fuzzy),
        (
            "blockers caused gastric ulcer",
            "blockers  caused “gastric ul\u{ad}cers",
            How::Fuzzy,
        ),
        ("12 of 50 patents", "12 of 50 patients", How::Fuzzy),
        (
            "gastric ulcers, p < 0.05",
            "gastric ul\u{ad}cers” (p < 0.05",
            How::Fuzzy,
        ),
    ] {
        assert_eq!(
            find(text, &quote(wanted)),
            Ok((vec![found], how)),
            "{wanted}"
        );
    }
    for wanted in [
        "blo",                                       // inside of a word
        "febrile in",                                // not there
        "febrile",                                   // the end of "afebrile"
        "rst",                                       // the second half of a ligature's word
        "13 of 50 patients",                         // a digit is never a slip
        "12 of 50 patientz; the fjrst was abefrile", // two slips in one word
        "gastric ulcers p > 0.05",                   // a sign that means something
        "gastric ulcers p < 0.5",                    // a number is one word
        "caused by the gastric ulcers",              // words that are not there
    ] {
        assert_eq!(
            find(text, &quote(wanted)),
            Err(Unaligned::NotFound),
            "{wanted}"
        );
    }
    assert_eq!(find(text, &quote(" \n")), Err(Unaligned::Empty));
}

#[test]
fn opposites_are_not_slips() {
    for (text, wanted) in [
        ("She has hypothyroidism.", "hyperthyroidism"),
        ("an asymptomatic carrier", "symptomatic carrier"),
        ("there was no fever at all", "there was now fever at all"),
        ("decreased blood pressure", "increased blood pressure"),
    ] {
        assert_eq!(
            find(text, &quote(wanted)),
            Err(Unaligned::NotFound),
            "{wanted}"
        );
    }
}

#[test]
fn repeated_quotes_need_a_context_or_a_number() {
    let text = "Aspirin helps. Aspirin harms. We gave aspirin, more aspirin.";
    let at = |repeats, quote: &Quote| {
        let settings = settings(repeats);
        let found = Aligner::new(text, &settings).find(quote);
        found.map(|f| f.spans.iter().map(|s| s.start).collect::<Vec<_>>())
    };
    let with = |text, context, occurrence| Quote {
        text,
        context,
        occurrence,
    };
    assert_eq!(
        at(Repeats::Context, &quote("Aspirin")),
        Err(Unaligned::Ambiguous)
    );
    assert_eq!(
        at(
            Repeats::Context,
            &with("Aspirin", Some("aspirin harms"), None)
        ),
        Ok(vec![15])
    );
    assert_eq!(
        at(
            Repeats::Context,
            &with("aspirin", Some("gave aspirin, more"), Some(2))
        ),
        Ok(vec![38])
    );
    // A context that holds two of them, or stands nowhere, tells nothing.
    assert_eq!(
        at(
            Repeats::Context,
            &with("aspirin", Some("gave aspirin, more aspirin"), None)
        ),
        Err(Unaligned::Ambiguous)
    );
    assert_eq!(
        at(
            Repeats::Context,
            &with("aspirin", Some("took aspirin"), None)
        ),
        Err(Unaligned::Ambiguous)
    );
    assert_eq!(
        at(Repeats::Occurrence, &with("Aspirin", None, Some(2))),
        Ok(vec![15])
    );
    assert_eq!(
        at(Repeats::Occurrence, &with("Aspirin", None, Some(3))),
        Err(Unaligned::Ambiguous)
    );
    assert_eq!(
        at(Repeats::Occurrence, &with("Aspirin", None, Some(0))),
        Err(Unaligned::Ambiguous)
    );
    assert_eq!(at(Repeats::Every, &quote("Aspirin")), Ok(vec![0, 15]));
    // Overlapping places are two places.
    assert_eq!(
        find("ache, ache, ache", &quote("ache, ache")),
        Err(Unaligned::Ambiguous)
    );
    // Slips lead to one place or to none.
    assert_eq!(
        find("ulcers heal, ulcers bleed", &quote("ulcrs")),
        Err(Unaligned::NotFound)
    );
    assert_eq!(
        find("gastric ulcers, gastric ulcers", &quote("gastric ulcrs")),
        Err(Unaligned::Ambiguous)
    );
}

#[test]
fn scripts_without_blanks_have_no_words_to_cut() {
    let text = "患者は頭痛を訴えた";
    assert_eq!(find(text, &quote("頭痛")), Ok((vec!["頭痛"], How::Exact)));
}

/// Edit distance with swapped neighbours, the plain way.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            d[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let mut best = (d[i - 1][j] + 1).min(d[i][j - 1] + 1);
                best = best.min(d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(d[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    d[a.len()][b.len()]
}

proptest! {
    #[test]
    fn a_verbatim_piece_is_found_where_it_was_taken(words in prop::collection::vec("[a-zA-Zéβ0-9]{1,6}[,.)-]?", 1..30), from in 0usize..30, count in 1usize..6) {
        let from = from % words.len();
        let count = count.min(words.len() - from);
        let text = words.join(" ");
        let start = words[..from].iter().map(|w| w.len() + 1).sum::<usize>();
        let piece = words[from..from + count].join(" ");
        let span = start..start + piece.len();
        let settings = settings(Repeats::Every);
        let found = Aligner::new(&text, &settings).find(&quote(&piece)).unwrap();
        prop_assert_eq!(found.how, How::Exact);
        prop_assert!(found.spans.contains(&span));
        prop_assert!(found.spans.iter().all(|s| text[s.clone()] == piece));
    }

    #[test]
    fn case_and_blanks_do_not_move_a_piece(words in prop::collection::vec("[a-zéß]{2,6}", 2..20), from in 0usize..20, count in 1usize..4) {
        let from = from % words.len();
        let count = count.min(words.len() - from);
        let text = words.join(" ");
        let piece = words[from..from + count].join(" ");
        let settings = settings(Repeats::Every);
        let aligner = Aligner::new(&text, &settings);
        let exact = aligner.find(&quote(&piece)).unwrap().spans;
        let disguised = format!("  {} ", piece.replace('é', "É").replace(' ', " \u{a0}\n"));
        // Normalised search knows every exact place; it may know more ("e" is "é" to it).
        let normal = aligner.find(&quote(&disguised)).unwrap().spans;
        prop_assert!(exact.iter().all(|s| normal.contains(s)), "{exact:?} {normal:?}");
    }

    #[test]
    fn whatever_is_found_is_a_piece_of_the_text_and_alike(text in "[a-cé 0-9.<\u{301}ﬁA-B-]{0,40}", wanted in "[a-cé 0-9.<ﬁA-B-]{0,12}", occurrence in prop::option::of(0usize..4)) {
        let settings = settings(Repeats::Occurrence);
        let quote = Quote { text: &wanted, context: None, occurrence };
        if let Ok(found) = Aligner::new(&text, &settings).find(&quote) {
            prop_assert_eq!(found.spans.len(), 1);
            let span = found.spans[0].clone();
            prop_assert!(bounded(&text, &span));
            let (place, wanted) = (Normal::new(&text[span]), Normal::new(wanted.trim()));
            if found.how == How::Fuzzy {
                prop_assert_eq!(place.words.len(), wanted.words.len());
            } else {
                prop_assert_eq!(place.characters, wanted.characters);
            }
        }
    }

    #[test]
    fn a_slip_is_one_edit_after_the_first_letter(a in "[ab]{0,8}", b in "[ab]{0,8}") {
        let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
        let expected = a.len() >= LONG && b.len() >= LONG && a[0] == b[0] && distance(&a, &b) <= 1;
        prop_assert_eq!(slip(&a, &b), expected);
    }

    #[test]
    fn anything_is_found_or_refused_never_a_panic(text in "\\PC{0,60}", wanted in "\\PC{0,20}", context in prop::option::of("\\PC{0,30}")) {
        let settings = settings(Repeats::Context);
        let quote = Quote { text: &wanted, context: context.as_deref(), occurrence: None };
        if let Ok(found) = Aligner::new(&text, &settings).find(&quote) {
            prop_assert!(found.spans.iter().all(|s| text.get(s.clone()).is_some_and(|t| !t.is_empty())));
        }
    }
}
