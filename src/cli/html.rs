//! One self-contained page that needs no script: what was found, why, and whether the reasons hold.
//!
//! Equal input gives equal bytes: no date, no file name, no random identifier.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use bie::explain::{Faithfulness, Heads};

use super::decision::{Decision, Document, Finding, Role, Strength};
use super::plain::markup;
use super::words;

const HEAD: &str = include_str!("page.head.html");
const STYLE: &str = include_str!("page.css");
/// Words in the table of attention heads.
const HEAD_WORDS: usize = 12;

/// The page.
pub fn page(document: &Document<'_>, decisions: &[Decision<'_>]) -> String {
    let mut out = String::with_capacity(16 * 1024 + 4 * document.text.len());
    // Writing to a String cannot fail: the results of `write!` hold nothing.
    let _ = write!(
        out,
        "{HEAD}<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>What was found, and why</h1>\n"
    );
    let _ = writeln!(out, "<p>{}</p>\n</header>\n<main>", introduction(decisions));
    if !decisions.is_empty() {
        overview(&mut out, decisions);
        legend(&mut out);
        for (at, decision) in decisions.iter().enumerate() {
            article(&mut out, document, decision, at);
        }
    }
    whole_text(&mut out, document, decisions);
    out.push_str("</main>\n");
    let extraction = document.extraction;
    let _ = write!(
        out,
        "<footer>\n<p>Model {}, bundle <code>{}</code>, bie {}. Made by a program from the text above; it says why the program decided, not what is true.</p>\n</footer>\n</body>\n</html>\n",
        markup(&extraction.model_id),
        markup(&extraction.bundle_hash),
        markup(bie::VERSION)
    );
    out
}

fn introduction(decisions: &[Decision<'_>]) -> String {
    let doubtful = decisions
        .iter()
        .filter(|decision| !words::verdict(decision).holds)
        .count();
    let explained = match decisions.len() {
        0 => return "Nothing was found in this text, so there is nothing to explain.".into(),
        1 => "One finding is explained".to_owned(),
        many => format!("{many} findings are explained"),
    };
    let doubt = match doubtful {
        0 => "; the words given as reasons were checked by taking them away".to_owned(),
        1 => "; for one of them <strong>the reasons do not hold</strong>".to_owned(),
        many => format!("; for {many} of them <strong>the reasons do not hold</strong>"),
    };
    format!("{explained}{doubt}. Every quoted word stands in the text; none was made up.")
}

/// One line for each decision.
fn overview(out: &mut String, decisions: &[Decision<'_>]) {
    out.push_str(
        "<section aria-labelledby=\"overview\">\n<h2 id=\"overview\">At a glance</h2>\n<table class=\"overview\">\n<thead><tr><th scope=\"col\">Finding</th><th scope=\"col\">Score, and without its reasons</th><th scope=\"col\">Reasons</th></tr></thead>\n<tbody>\n",
    );
    for (at, decision) in decisions.iter().enumerate() {
        let verdict = words::verdict(decision);
        let lead = match &decision.rival {
            Some(_) => format!(" ({})", words::value_name(decision)),
            None => String::new(),
        };
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><span class=\"name\">{}</span> <a href=\"#d{at}\">{}</a></th><td><span class=\"number\">{} → {}</span>{}</td><td>{}</td></tr>",
            name(decision),
            finding(decision),
            words::number(decision.value()),
            words::number(decision.explanation.without_evidence),
            markup(&lead),
            badge(&verdict, "")
        );
    }
    out.push_str("</tbody>\n</table>\n</section>\n");
}

fn legend(out: &mut String) {
    out.push_str("<section class=\"legend\" aria-labelledby=\"legend\">\n<h2 id=\"legend\">How to read the text</h2>\n<ul>\n");
    for (against, what) in [
        (false, "speaks for the finding"),
        (true, "speaks against it"),
    ] {
        out.push_str("<li>");
        for level in 1..=3 {
            let strength = Strength { level, against };
            let _ = write!(
                out,
                "<mark class=\"{}\">{}</mark> ",
                class(strength),
                words::strength(strength)
            );
        }
        let _ = writeln!(
            out,
            "{what}{}</li>",
            if against {
                ": hatched, dashed line"
            } else {
                ": plain, solid line"
            }
        );
    }
    out.push_str("<li><span class=\"mention\">framed</span> what the finding is about</li>\n</ul>\n</section>\n");
}

fn article(out: &mut String, document: &Document<'_>, decision: &Decision<'_>, at: usize) {
    let explanation = decision.explanation;
    let verdict = words::verdict(decision);
    let _ = writeln!(
        out,
        "<article id=\"d{at}\" aria-labelledby=\"d{at}-title\">\n<h2 id=\"d{at}-title\"><span class=\"name\">{}</span> {}</h2>",
        name(decision),
        finding(decision)
    );
    if let Finding::Relation { head, kind, tail } = &decision.finding {
        arc(out, head, kind, tail);
    }
    if decision.name.is_none() {
        out.push_str("<p>The program did not report this finding.</p>\n");
    }
    let _ = writeln!(
        out,
        "<div class=\"verdict {}\"><p>{} {}</p></div>",
        if verdict.holds { "holds" } else { "fails" },
        badge(&verdict, "."),
        markup(&verdict.why)
    );
    scores(out, decision);

    out.push_str("<div class=\"reasons\">\n");
    evidence(out, decision, false);
    evidence(out, decision, true);
    out.push_str("</div>\n<h3>In the text</h3>\n<div class=\"text\" dir=\"auto\">");
    for (at, passage) in decision.passages.iter().enumerate() {
        if at > 0 {
            out.push_str("<span class=\"gap\"> […] </span>");
        }
        excerpt(out, document, decision, passage);
    }
    out.push_str("</div>\n");

    out.push_str("<details>\n<summary>How this was measured</summary>\n");
    let _ = writeln!(
        out,
        "<p>{} The method is called {}.</p>\n<ul>",
        words::method_sentence(explanation.method),
        words::method_name(explanation.method)
    );
    for fact in words::measurement(explanation) {
        let _ = writeln!(out, "<li>{}</li>", markup(&fact));
    }
    let _ = writeln!(
        out,
        "<li>With every word taken away the {} is {}.</li>\n</ul>\n</details>",
        markup(&words::value_name(decision)),
        words::number(explanation.baseline_score)
    );
    if let Some(measured) = &explanation.faithfulness {
        faithfulness(out, measured);
    }
    if let Some(view) = &explanation.heads {
        heads(out, document, decision, view, at);
    }
    out.push_str("</article>\n");
}

/// Head, arc and tail as a drawing; the title above says the same to those who do not see it.
fn arc(out: &mut String, head: &(String, String), kind: &str, tail: &(String, String)) {
    let _ = writeln!(
        out,
        "<div class=\"relation\" aria-hidden=\"true\"><span class=\"rise\"></span><span class=\"over\"><span>{}</span></span><span class=\"fall\"></span>\
         <span class=\"end\"><b>{}</b><small>{}</small></span><span class=\"end tail\"><b>{}</b><small>{}</small></span></div>",
        markup(kind),
        markup(&head.0),
        markup(&head.1),
        markup(&tail.0),
        markup(&tail.1)
    );
}

/// The score with and without the evidence, as numbers and bars.
fn scores(out: &mut String, decision: &Decision<'_>) {
    let explanation = decision.explanation;
    let name = words::value_name(decision);
    let _ = writeln!(
        out,
        "<table class=\"bars\">\n<caption class=\"hidden\">The {} with and without the reasons</caption>\n<tbody>",
        markup(&name)
    );
    let mut rows: Vec<(String, f32)> = Vec::new();
    if let (Some(rival), Some(rival_score)) = (&decision.rival, explanation.rival_score) {
        rows.push(("Score".into(), explanation.score));
        rows.push((format!("Score of “{rival}” instead"), rival_score));
    }
    let mut title = name.clone();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    rows.push((title, decision.value()));
    if !explanation.evidence_for.is_empty() {
        rows.push((
            "Without the words for it".into(),
            explanation.without_evidence,
        ));
    }
    for (what, value) in rows {
        row(out, &what, value, "plain");
    }
    out.push_str("</tbody>\n</table>\n");
}

/// A named value, as number and bar.
fn row(out: &mut String, what: &str, value: f32, class: &str) {
    let _ = writeln!(
        out,
        "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td>{}</td></tr>",
        markup(what),
        words::number(value),
        bar(value, class)
    );
}

/// A bar of `part`, 0 to 1; the number stands beside it.
fn bar(part: f32, class: &str) -> String {
    let width = if part.is_finite() {
        100.0 * part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    format!(
        "<svg class=\"bar {class}\" viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\" focusable=\"false\">\
         <rect class=\"track\" width=\"100\" height=\"10\"/><rect class=\"fill\" width=\"{width:.1}\" height=\"10\"/></svg>"
    )
}

fn evidence(out: &mut String, decision: &Decision<'_>, against: bool) {
    let (title, pieces) = match against {
        false => (
            "Words that speak for it",
            &decision.explanation.evidence_for,
        ),
        true => (
            "Words that speak against it",
            &decision.explanation.evidence_against,
        ),
    };
    let _ = writeln!(out, "<div>\n<h3>{title}</h3>");
    if pieces.is_empty() {
        out.push_str("<p class=\"none\">None.</p>\n</div>\n");
        return;
    }
    out.push_str("<ol>\n");
    for piece in pieces {
        let strength = Strength {
            against,
            ..decision.strength(piece.weight)
        };
        let _ = writeln!(
            out,
            "<li><q dir=\"auto\" class=\"{}\">{}</q> <span class=\"how\">{}, {}</span></li>",
            class(strength),
            markup(&piece.text),
            words::strength(strength),
            words::signed(piece.weight)
        );
    }
    out.push_str("</ol>\n</div>\n");
}

/// A passage with its evidence marked and what the finding is about framed.
fn excerpt(
    out: &mut String,
    document: &Document<'_>,
    decision: &Decision<'_>,
    passage: &Range<usize>,
) {
    let parts = decision.parts(document, passage);
    let mut open: Option<usize> = None;
    for part in &parts {
        if part.mention != open {
            close(out, decision, open);
            open = part.mention;
            if open.is_some() {
                out.push_str("<span class=\"mention\">");
            }
        }
        let text = markup(document.slice(&part.range));
        if part.strength.level == 0 {
            out.push_str(&text);
            continue;
        }
        let side = if part.strength.against {
            "against"
        } else {
            "for"
        };
        let _ = write!(
            out,
            "<mark class=\"{}\">{text}<span class=\"hidden\"> ({} {side}) </span></mark>",
            class(part.strength),
            words::strength(part.strength)
        );
    }
    close(out, decision, open);
}

/// Ends a mention with its type.
fn close(out: &mut String, decision: &Decision<'_>, open: Option<usize>) {
    let Some(mention) = open.and_then(|at| decision.mentions.get(at)) else {
        return;
    };
    let role = match mention.role {
        Role::Head => "from",
        Role::Tail => "to",
        Role::Entity => "found",
    };
    let _ = write!(
        out,
        "<span class=\"tag\"><span class=\"hidden\"> ({role}: </span>{}<span class=\"hidden\">) </span></span></span>",
        markup(decision.kind(mention.role))
    );
}

/// ERASER's two questions, as numbers and bars, against random words.
fn faithfulness(out: &mut String, measured: &Faithfulness) {
    out.push_str(
        "<details>\n<summary>Test against random words</summary>\n<p>If these words are the reason, the score is lost without them and kept with them alone. \
         As many random words show what would be lost by chance.</p>\n<table class=\"bars\">\n\
         <thead><tr><th scope=\"col\">What was done</th><th scope=\"col\" colspan=\"2\">Score lost</th></tr></thead>\n<tbody>\n",
    );
    for (what, lost, class) in [
        (
            "Heaviest words taken away",
            measured.comprehensiveness,
            "plain",
        ),
        (
            "Random words taken away",
            measured.random_comprehensiveness,
            "random",
        ),
        ("Heaviest words kept alone", measured.sufficiency, "plain"),
        (
            "Random words kept alone",
            measured.random_sufficiency,
            "random",
        ),
    ] {
        row(out, what, lost, class);
    }
    out.push_str(
        "</tbody>\n</table>\n<p>The first is called comprehensiveness (more than random is better), the third sufficiency (less than random is better); \
         each is the mean over the heaviest 1, 5, 10, 20 and 50 % of the words.</p>\n</details>\n",
    );
}

/// The words that some head looks at most, head by head.
fn heads(
    out: &mut String,
    document: &Document<'_>,
    decision: &Decision<'_>,
    view: &Heads,
    at: usize,
) {
    let explained = &decision.explanation.words;
    let count = view.heads as usize;
    let rows: Vec<&[f32]> = view
        .weights
        .chunks_exact(explained.len().max(1))
        .take(count)
        .collect();
    let most = |word: usize| {
        rows.iter()
            .filter_map(|row| row.get(word))
            .copied()
            .fold(0.0, f32::max)
    };
    let mut chosen: Vec<usize> = (0..explained.len()).collect();
    chosen.sort_by(|a, b| most(*b).total_cmp(&most(*a)));
    chosen.truncate(HEAD_WORDS);
    chosen.sort_unstable();
    let _ = write!(
        out,
        "<details class=\"view\">\n<summary>Attention heads: a view, not evidence</summary>\n<p>How much each of the model's {count} attention heads looked at a word, in percent. Looking is not a reason. Shown are the {} words that were looked at most.</p>\n\
         <div class=\"wide\" role=\"region\" aria-label=\"Attention heads\" tabindex=\"0\">\n<table class=\"heads\" id=\"d{at}-heads\">\n<thead><tr><th scope=\"col\">Word</th>",
        chosen.len()
    );
    for head in 1..=rows.len() {
        let _ = write!(
            out,
            "<th scope=\"col\"><span class=\"hidden\">Head </span>{head}</th>"
        );
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for word in chosen {
        let text = explained
            .get(word)
            .map(|word| document.slice(&(word.start as usize..word.end as usize)));
        let _ = write!(
            out,
            "<tr><th scope=\"row\"><bdi>{}</bdi></th>",
            markup(text.unwrap_or_default())
        );
        for row in &rows {
            let weight = row.get(word).copied().unwrap_or_default();
            let level = match weight {
                _ if weight >= 0.4 => " class=\"h3\"",
                _ if weight >= 0.2 => " class=\"h2\"",
                _ if weight >= 0.1 => " class=\"h1\"",
                _ => "",
            };
            let _ = write!(out, "<td{level}>{:.0}</td>", 100.0 * weight);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n</details>\n");
}

/// The document with every entity that was found underlined and named.
fn whole_text(out: &mut String, document: &Document<'_>, decisions: &[Decision<'_>]) {
    let entities = &document.extraction.entities;
    out.push_str("<section aria-labelledby=\"text\">\n<h2 id=\"text\">The whole text, with everything that was found</h2>\n<div class=\"text document\" dir=\"auto\">");
    let mut edges: Vec<usize> = entities
        .iter()
        .flat_map(|entity| [entity.start as usize, entity.end as usize])
        .filter(|edge| document.text.is_char_boundary(*edge))
        .chain([0, document.text.len()])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let explained: BTreeMap<&str, usize> = decisions
        .iter()
        .enumerate()
        .filter_map(|(at, decision)| Some((decision.name.as_deref()?, at)))
        .collect();
    let mut next = entities.iter().enumerate().peekable(); // sorted by start
    let mut covering: Vec<usize> = Vec::new();
    for (&start, &end) in edges.iter().zip(edges.iter().skip(1)) {
        while let Some((at, _)) = next.next_if(|(_, entity)| entity.start as usize <= start) {
            covering.push(at);
        }
        covering.retain(|at| {
            entities
                .get(*at)
                .is_some_and(|entity| entity.end as usize > start)
        });
        let text = markup(document.slice(&(start..end)));
        if covering.is_empty() {
            out.push_str(&text);
            continue;
        }
        let _ = write!(
            out,
            "<span class=\"entity{}\">{text}</span>",
            if covering.len() > 1 { " several" } else { "" }
        );
        for (at, entity) in covering
            .iter()
            .filter_map(|at| entities.get(*at).map(|entity| (*at, entity)))
        {
            if entity.end as usize != end {
                continue;
            }
            let kind = document
                .extraction
                .entity_types
                .get(entity.label as usize)
                .map_or("?", String::as_str);
            let label = format!(
                "<span class=\"hidden\"> (</span>{} e{at}<span class=\"hidden\">) </span>",
                markup(kind)
            );
            match explained.get(format!("e{at}").as_str()) {
                Some(decision) => {
                    let _ = write!(out, "<a class=\"tag\" href=\"#d{decision}\">{label}</a>");
                }
                None => {
                    let _ = write!(out, "<span class=\"tag\">{label}</span>");
                }
            }
        }
    }
    out.push_str("</div>\n");
    let unread = document.extraction.coverage.unread.len();
    if unread > 0 {
        let _ = writeln!(
            out,
            "<p class=\"verdict fails\"><strong>Not all of the text was read:</strong> {unread} stretches could not be; see `bie extract`.</p>"
        );
    }
    out.push_str("</section>\n");
}

fn name<'a>(decision: &'a Decision<'_>) -> &'a str {
    decision.name.as_deref().unwrap_or("–")
}

/// The title of a decision, with directions of its parts kept apart.
fn finding(decision: &Decision<'_>) -> String {
    match &decision.finding {
        Finding::Entity { text, kind } => format!("<bdi>{}</bdi>: {}", markup(text), markup(kind)),
        Finding::Relation { head, kind, tail } => format!(
            "<bdi>{}</bdi> {} <bdi>{}</bdi>",
            markup(&head.0),
            markup(kind),
            markup(&tail.0)
        ),
    }
}

fn badge(verdict: &words::Verdict, stop: &str) -> String {
    let (class, sign) = if verdict.holds {
        ("holds", "✓")
    } else {
        ("fails", "⚠")
    };
    format!(
        "<strong class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {}{stop}</strong>",
        verdict.title
    )
}

fn class(strength: Strength) -> String {
    format!(
        "{}{}",
        if strength.against { "against" } else { "for" },
        strength.level
    )
}
