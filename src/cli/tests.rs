//! Tests of what people look at: the words that must stand there, and pages and pictures in a real browser.

use std::time::{Duration, Instant};

use super::decision::{Decision, Document, Role};
use super::terminal::Colours;
use super::{html, svg, terminal};
use browser::looked_at;
use fixture::Story;

mod browser;
mod fixture;

fn shown<T>(story: &Story, show: impl FnOnce(&Document<'_>, &[Decision<'_>]) -> T) -> T {
    let document = Document::new(story.text, &story.extraction);
    let explanations = story.explanations.iter();
    let decisions: Vec<Decision<'_>> = explanations
        .map(|explanation| document.decision(explanation))
        .collect();
    show(&document, &decisions)
}

fn page(story: &Story) -> String {
    shown(story, html::page)
}

fn pictures(story: &Story) -> Vec<String> {
    shown(story, |document, decisions| {
        decisions
            .iter()
            .map(|decision| svg::picture(document, decision))
            .collect()
    })
}

fn in_terminal(story: &Story, colours: Colours) -> String {
    shown(story, |document, decisions| {
        let mut out = Vec::new();
        terminal::explanations(&mut out, document, decisions, colours).unwrap();
        String::from_utf8(out).unwrap()
    })
}

fn stories() -> [(&'static str, Story); 3] {
    [
        ("note", fixture::note()),
        ("hostile", fixture::hostile()),
        ("empty", fixture::empty()),
    ]
}

#[test]
fn a_decision_shows_the_sentences_of_its_evidence_and_its_closest_mentions() {
    shown(&fixture::note(), |document, decisions| {
        let text = |at: usize| {
            decisions[at]
                .passages
                .iter()
                .map(|passage| document.slice(passage))
                .collect::<Vec<_>>()
        };
        assert_eq!(text(0).len(), 2, "{:?}", text(0));
        assert!(text(0)[0].ends_with("recurrent VT.") && text(0)[1].starts_with("ASSESSMENT:"));
        assert_eq!(text(3), ["No history of goiter."]);
        let (head, tail) = decisions[0].arc.unwrap();
        let mention = |at: usize| document.slice(&decisions[0].mentions[at].range);
        assert_eq!(
            (mention(head), mention(tail)),
            ("amiodarone", "Thyrotoxicosis")
        );
        assert!(
            decisions[0].mentions[head].range.start > decisions[0].mentions[tail].range.start,
            "the closest one, not the first"
        );
        assert_eq!(
            decisions
                .iter()
                .map(|decision| decision.name.as_deref())
                .collect::<Vec<_>>(),
            [Some("r2"), Some("r0"), Some("r1"), Some("e10")]
        );
    });
}

#[test]
fn parts_are_the_passage_and_lie_on_characters() {
    for (name, story) in stories() {
        shown(&story, |document, decisions| {
            for decision in decisions {
                for passage in &decision.passages {
                    let parts = decision.parts(document, passage);
                    let joined: String = parts
                        .iter()
                        .map(|part| document.slice(&part.range))
                        .collect();
                    assert_eq!(joined, document.slice(passage), "{name}");
                    for part in parts
                        .iter()
                        .filter(|part| decision.role(part) == Some(Role::Tail))
                    {
                        assert!(!document.slice(&part.range).is_empty());
                    }
                }
            }
        });
    }
}

#[test]
fn the_terminal_says_it_with_and_without_colours_and_is_never_commanded() {
    let plain = in_terminal(&fixture::note(), Colours::None);
    for words in [
        "r2    amiodarone → causes → Thyrotoxicosis  score 0.94",
        "[--given] «amiodarone»",
        "«[++Thyrotoxicosis]» [+++was caused by] «[++amiodarone]»",
        "for      “was caused by” (+0.41)  “the drug was withdrawn” (+0.26)",
        "reliable Checked. Without these words the score falls from 0.94 to 0.31.",
        "reliable !! Not reliable. Without these words the score falls from 0.91 to 0.88.",
        "lead over “treats” falls from 0.57 to 0.21",
        "[+++strongly] for it",
    ] {
        assert!(plain.contains(words), "`{words}` is not in:\n{plain}");
    }
    assert!(
        plain.lines().all(|line| line.chars().count() <= 110),
        "{plain}"
    );
    let true_colour = in_terminal(&fixture::note(), Colours::True);
    assert!(
        true_colour.contains("48;2;94;164;227mwas caused by\x1b[0m"),
        "{true_colour}"
    );
    assert!(in_terminal(&fixture::note(), Colours::Indexed).contains("48;5;75m"));
    for colours in [Colours::None, Colours::Indexed, Colours::True] {
        let text = in_terminal(&fixture::hostile(), colours);
        for (at, _) in text.match_indices('\x1b') {
            let code: String = text[at + 1..].chars().take_while(|c| *c != 'm').collect();
            assert!(
                code.starts_with('[')
                    && code[1..]
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || byte == b';'),
                "{code:?}"
            );
        }
        assert!(
            !text
                .chars()
                .any(|c| c.is_control() && c != '\n' && c != '\x1b')
                && !text.contains('\u{202E}')
        );
    }
    assert_eq!(
        in_terminal(&fixture::empty(), Colours::None),
        "nothing was found, so there is nothing to explain\n"
    );
}

#[test]
fn the_page_says_it_in_words() {
    let note = page(&fixture::note());
    assert_eq!(note, page(&fixture::note()), "equal input, equal bytes");
    for words in [
        "4 findings are explained; for one of them <strong>the reasons do not hold</strong>",
        "<mark class=\"for3\">was caused by<span class=\"hidden\"> (strongly for) </span></mark>",
        "<mark class=\"against2\">given<span class=\"hidden\"> (moderately against) </span></mark>",
        "⚠</span> Not reliable.</strong> Without these words the score falls from 0.91 to 0.88. That is less than a tenth of it: do not take these words as the reason.",
        "✓</span> Checked.</strong> Without these words the score falls from 0.94 to 0.31.",
        "Attention heads: a view, not evidence",
        "Random words taken away</th><td class=\"number\">0.07",
        "Lead over “treats”</th><td class=\"number\">0.57",
        "The time budget ended the measurement early",
    ] {
        assert!(note.contains(words), "`{words}` is not in:\n{note}");
    }
    let hostile = page(&fixture::hostile());
    assert!(
        hostile.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;")
            || hostile.contains("&lt;script&gt;")
    );
    assert!(!hostile.contains("<script") && !hostile.contains("<b>aspirin"));
    assert!(hostile.contains("The program did not report this finding"));
    assert!(page(&fixture::empty()).contains("nothing to explain"));
}

#[test]
fn the_whole_text_names_every_entity_once_and_takes_linear_time() {
    let hostile = page(&fixture::hostile());
    for label in ["Chemical", "Disease"]
        .iter()
        .zip([0, 1])
        .map(|(kind, at)| format!("</span>{kind} e{at}<"))
        .chain(["e2<".into(), "Disease e3<".into()])
    {
        assert_eq!(hostile.matches(&label).count(), 1, "{label}");
    }
    let mut story = fixture::empty();
    story.text = Box::leak("aspirin ".repeat(40_000).into_boxed_str());
    let one = fixture::note().extraction.entities.swap_remove(0);
    story.extraction.entities = (0..40_000)
        .map(|at| bie::result::Entity {
            start: 8 * at,
            end: 8 * at + 7,
            ..one.clone()
        })
        .collect();
    let begin = Instant::now();
    assert_eq!(page(&story).matches("class=\"entity\"").count(), 40_000);
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_paragraph_from_right_to_left_is_mirrored() {
    let x = |picture: &str, word: &str| {
        let line = picture
            .lines()
            .find(|line| line.ends_with(&format!(">{word}</text>")))
            .unwrap_or_else(|| panic!("{word}: {picture}"));
        line.split('"').nth(1).unwrap().parse::<f32>().unwrap()
    };
    let picture = &pictures(&fixture::hostile())[0];
    let (first, second, last) = (
        "\u{5D4}\u{5D7}\u{5D5}\u{5DC}\u{5D4}",
        "\u{5E7}\u{5D9}\u{5D1}\u{5DC}",
        "\u{5DE}\u{5D1}\u{5D7}\u{5D9}\u{5DC}\u{5D4}.",
    );
    assert!(
        x(picture, first) > x(picture, second) && x(picture, second) > x(picture, last),
        "{picture}"
    );
    assert!(x(picture, "&lt;b&gt;aspirin") < x(picture, "failure"));
}

/// `BIE_LOOK=DIR`: writes the pages and pictures of the hand-made explanations, to be looked at.
#[test]
fn written_for_looking() {
    let Some(folder) = std::env::var_os("BIE_LOOK").map(std::path::PathBuf::from) else {
        return;
    };
    for (name, story) in stories() {
        std::fs::write(folder.join(format!("{name}.html")), page(&story)).unwrap();
        for (at, picture) in pictures(&story).iter().enumerate() {
            std::fs::write(folder.join(format!("{name}-{at}.svg")), picture).unwrap();
        }
        for (kind, colours) in [
            ("plain", Colours::None),
            ("indexed", Colours::Indexed),
            ("true", Colours::True),
        ] {
            std::fs::write(
                folder.join(format!("{name}-{kind}.txt")),
                in_terminal(&story, colours),
            )
            .unwrap();
        }
    }
}

#[test]
fn pages_and_pictures_in_a_browser() {
    let mut pages = Vec::new();
    let mut drawn = Vec::new();
    for (name, story) in stories() {
        for width in [320, 360, 700, 1100] {
            pages.push(serde_json::json!({"name": name, "width": width, "html": page(&story)}));
        }
        for (at, svg) in pictures(&story).iter().enumerate() {
            drawn.push(serde_json::json!({"name": format!("{name}-{at}.svg"), "svg": svg}));
        }
    }
    for dark in [false, true] {
        let wrong = looked_at(&pages, &drawn, dark);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// The look is worth something only if it sees what is wrong.
#[test]
fn the_browser_notices_what_is_wrong() {
    let good = page(&fixture::note());
    let bad = [
        (
            "an element that has no place",
            good.replacen("<main>", "<main><img alt=\"\">", 1),
        ),
        (
            "attribute onclick",
            good.replacen("<main>", "<main onclick=\"\">", 1),
        ),
        (
            "a link that leads nowhere",
            good.replacen("href=\"#d1\"", "href=\"#d99\"", 1),
        ),
        (
            "a style that loads something",
            good.replacen("<style>", "<style>@import 'x.css';", 1),
        ),
        ("no language", good.replacen(" lang=\"en\"", "", 1)),
        (
            "no title",
            good.replacen("<title>What was found, and why – bie</title>", "", 1),
        ),
        (
            "a heading that skips a level",
            good.replacen("<h2", "<h4>x</h4><h2", 1),
        ),
        (
            "an id twice",
            good.replacen("<main>", "<main id=\"d0\">", 1),
        ),
        (
            "a table header without scope",
            good.replacen(" scope=\"row\"", "", 1),
        ),
        (
            "a mark without words",
            good.replacen(" (strongly for) ", "", 1),
        ),
        (
            "a mark by colour only",
            good.replacen("</style>", ".for3 { text-decoration: none; }</style>", 1),
        ),
        (
            "too wide",
            good.replacen("</style>", "h1 { width: 400px; }</style>", 1),
        ),
        (
            "contrast",
            good.replacen("</style>", "h1 { color: #888888; }</style>", 1),
        ),
    ];
    let pages: Vec<serde_json::Value> = bad
        .iter()
        .map(|(what, html)| serde_json::json!({"name": what, "width": 360, "html": html}))
        .collect();
    let picture = &pictures(&fixture::note())[0];
    let drawn = [
        serde_json::json!({"name": "broken", "svg": picture.replacen("</title>", "", 1)}),
        serde_json::json!({"name": "wide", "svg": picture.replacen("viewBox=\"0 0 760", "viewBox=\"0 0 400", 1)}),
    ];
    let wrong = looked_at(&pages, &drawn, false);
    for (what, _) in &bad {
        let noticed = wrong.iter().any(|line| {
            line.strip_prefix(&format!("{what} at 360: "))
                .is_some_and(|line| line.contains(what))
        });
        assert!(
            noticed,
            "`{what}` was not noticed in:\n{}",
            wrong.join("\n")
        );
    }
    for name in ["broken: ", "wide: sticks out"] {
        assert!(
            wrong.iter().any(|line| line.starts_with(name)),
            "{name}: {wrong:?}"
        );
    }
}
