//! Tests of what people look at.

use super::decision::{Decision, Document};
use super::fixture::{self, Story};
use super::{html, svg, terminal};

fn shown<T>(story: &Story, show: impl FnOnce(&Document<'_>, &[Decision<'_>]) -> T) -> T {
    let document = Document::new(story.text, &story.extraction);
    let decisions: Vec<Decision<'_>> = story
        .explanations
        .iter()
        .map(|explanation| document.decision(explanation))
        .collect();
    show(&document, &decisions)
}

/// `BIE_LOOK=DIR`: the pages and pictures of the hand-made explanations, to be looked at.
#[test]
fn written_for_looking() {
    let Some(dir) = std::env::var_os("BIE_LOOK").map(std::path::PathBuf::from) else {
        return;
    };
    for (name, story) in [
        ("note", fixture::note()),
        ("hostile", fixture::hostile()),
        ("empty", fixture::empty()),
    ] {
        shown(&story, |document, decisions| {
            std::fs::write(
                dir.join(format!("{name}.html")),
                html::page(document, decisions),
            )
            .unwrap();
            for (at, decision) in decisions.iter().enumerate() {
                std::fs::write(
                    dir.join(format!("{name}-{at}.svg")),
                    svg::picture(document, decision),
                )
                .unwrap();
            }
            for (kind, colours) in [
                ("plain", terminal::Colours::None),
                ("true", terminal::Colours::True),
                ("indexed", terminal::Colours::Indexed),
            ] {
                let mut out = Vec::new();
                terminal::explanations(&mut out, document, decisions, colours).unwrap();
                std::fs::write(dir.join(format!("{name}-{kind}.txt")), out).unwrap();
            }
        });
    }
}
