//! Explanations in a terminal: one decision after the other.

use std::io::{self, Write};
use std::ops::Range;

use super::decision::{Decision, Document, Role, Strength};
use super::plain::printable;
use super::words;
use bie::explain::Evidence;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Marks instead of colours.
    None,
    /// The 256 colours of xterm.
    Indexed,
    /// 24 bits.
    True,
}

/// Shades of the evidence, weak to strong: text colour, 24-bit background, background of the 256.
const FOR: [((u8, u8, u8), u8); 3] = [
    ((222, 235, 250), 189),
    ((158, 202, 241), 153),
    ((94, 164, 227), 75),
];
const AGAINST: [((u8, u8, u8), u8); 3] = [
    ((253, 231, 208), 223),
    ((250, 196, 140), 216),
    ((240, 150, 70), 208),
];
/// Columns of the text.
const WIDTH: usize = 88;
const INDENT: &str = "      ";

/// The decisions in their order.
pub fn explanations(
    out: &mut dyn Write,
    document: &Document<'_>,
    decisions: &[Decision<'_>],
    colours: Colours,
) -> io::Result<()> {
    for (at, decision) in decisions.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        one(out, document, decision, colours)?;
    }
    if decisions.is_empty() {
        return writeln!(out, "nothing was found, so there is nothing to explain");
    }
    if colours == Colours::None {
        writeln!(
            out,
            "\n«found»   [+weakly] [++moderately] [+++strongly] for it   [-weakly] [--moderately] [---strongly] against it"
        )?;
    }
    Ok(())
}

fn one(
    out: &mut dyn Write,
    document: &Document<'_>,
    decision: &Decision<'_>,
    colours: Colours,
) -> io::Result<()> {
    let explanation = decision.explanation;
    let title = printable(&words::finding(&decision.finding));
    let title = if colours == Colours::None {
        title
    } else {
        format!("\x1b[1m{title}\x1b[0m")
    };
    let name = decision.name.as_deref().unwrap_or("-");
    writeln!(
        out,
        "{name:<4}  {title}  {}",
        printable(&words::score(decision))
    )?;
    if decision.name.is_none() {
        writeln!(out, "{INDENT}was not reported")?;
    }
    writeln!(out)?;
    for (at, passage) in decision.passages.iter().enumerate() {
        if at > 0 {
            writeln!(out, "{INDENT}…")?;
        }
        for line in wrapped(document, decision, passage, colours) {
            writeln!(out, "{INDENT}{line}")?;
        }
    }
    writeln!(out)?;
    evidence(out, "for", &explanation.evidence_for)?;
    evidence(out, "against", &explanation.evidence_against)?;
    let verdict = words::verdict(decision);
    let sign = if verdict.holds { "" } else { "!! " };
    prose(
        out,
        "reliable",
        &printable(&format!("{sign}{}. {}", verdict.title, verdict.why)),
    )?;
    let method = format!(
        "{}. {}",
        words::method_name(explanation.method),
        words::method_sentence(explanation.method)
    );
    prose(
        out,
        "method",
        &format!("{method} {}", words::measurement(explanation).join(" ")),
    )?;
    if let Some(measured) = explanation.faithfulness {
        let text = format!(
            "score lost without the heaviest words {} (random words {}), with only them {} (random words {})",
            words::number(measured.comprehensiveness),
            words::number(measured.random_comprehensiveness),
            words::number(measured.sufficiency),
            words::number(measured.random_sufficiency)
        );
        prose(out, "test", &text)?;
    }
    if let Some(heads) = &explanation.heads {
        prose(
            out,
            "heads",
            &format!(
                "{} attention heads were read; --html and --format json show them",
                heads.heads
            ),
        )?;
    }
    Ok(())
}

fn evidence(out: &mut dyn Write, name: &str, pieces: &[Evidence]) -> io::Result<()> {
    if pieces.is_empty() {
        return prose(out, name, "no words");
    }
    let pieces: Vec<String> = pieces
        .iter()
        .map(|piece| {
            format!(
                "“{}” ({})",
                printable(&piece.text),
                words::signed(piece.weight)
            )
        })
        .collect();
    prose(out, name, &pieces.join("  "))
}

/// A named line, wrapped.
fn prose(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    let mut line = String::new();
    let mut first = true;
    let mut flush = |line: &mut String| {
        let name = if std::mem::take(&mut first) { name } else { "" };
        let done = writeln!(out, "{INDENT}{name:<8} {}", line.trim_end());
        line.clear();
        done
    };
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + word.chars().count() > WIDTH - 9 {
            flush(&mut line)?;
        }
        line.push_str(word);
        line.push(' ');
    }
    flush(&mut line)
}

/// The passage in lines of at most [`WIDTH`] columns, cut between words.
fn wrapped(
    document: &Document<'_>,
    decision: &Decision<'_>,
    passage: &Range<usize>,
    colours: Colours,
) -> Vec<String> {
    let parts = decision.parts(document, passage);
    let mut lines = Vec::new();
    let mut line = Line::default();
    for (at, part) in parts.iter().enumerate() {
        let role = decision.role(part);
        let opens = role.is_some()
            && at
                .checked_sub(1)
                .and_then(|before| parts.get(before))
                .is_none_or(|before| before.mention != part.mention);
        let closes = role.is_some()
            && parts
                .get(at + 1)
                .is_none_or(|after| after.mention != part.mention);
        let text = document.slice(&part.range);
        let text = match colours {
            Colours::None => marked(&printable(text), part.strength, opens, closes),
            _ => printable(text),
        };
        let style = style(part.strength, role, colours);
        for piece in text.split_inclusive(' ') {
            let columns = piece.chars().count();
            if line.ends_word && line.columns + columns > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            line.push(piece, columns, &style);
        }
    }
    lines.push(line);
    lines.iter().map(Line::shown).collect()
}

#[derive(Default)]
struct Line {
    /// Stretches of one style.
    runs: Vec<(String, String)>,
    columns: usize,
    ends_word: bool,
}

impl Line {
    fn push(&mut self, text: &str, columns: usize, style: &str) {
        match self.runs.last_mut() {
            Some((last, run)) if last == style => run.push_str(text),
            _ => self.runs.push((style.to_owned(), text.to_owned())),
        }
        self.columns += columns;
        self.ends_word = text.ends_with(' ');
    }

    fn shown(&self) -> String {
        let mut line = String::new();
        for (at, (style, run)) in self.runs.iter().enumerate() {
            // The space at the end of a line, and of a shade, is not shaded.
            let last = at + 1 == self.runs.len();
            let (run, space) = run
                .strip_suffix(' ')
                .map_or((run.as_str(), ""), |run| (run, " "));
            match style.as_str() {
                "" => line.push_str(run),
                style => {
                    line.push_str(&format!("\x1b[{style}m{run}\x1b[0m"));
                }
            }
            line.push_str(if last { "" } else { space });
        }
        line
    }
}

/// Strength and mention as marks: `«` and `»` around the mention, brackets with signs around the evidence.
fn marked(text: &str, strength: Strength, opens: bool, closes: bool) -> String {
    let signs = if strength.against { "-" } else { "+" }.repeat(strength.level.into());
    // Spaces stay outside of the brackets.
    let inner = text.trim();
    let (before, after) = (
        text.len() - text.trim_start().len(),
        text.len() - text.trim_end().len(),
    );
    let shown = if strength.level == 0 || inner.is_empty() {
        inner.to_owned()
    } else {
        format!("[{signs}{inner}]")
    };
    format!(
        "{}{}{shown}{}{}",
        " ".repeat(if inner.is_empty() {
            text.chars().count()
        } else {
            before
        }),
        if opens { "«" } else { "" },
        if closes { "»" } else { "" },
        " ".repeat(if inner.is_empty() { 0 } else { after })
    )
}

/// Black on a shade of blue (for) or, slanted, of orange (against); mentions are bold and underlined. Empty where the text is as it is.
fn style(strength: Strength, role: Option<Role>, colours: Colours) -> String {
    if colours == Colours::None {
        return String::new();
    }
    let mut codes: Vec<String> = Vec::new();
    if role.is_some() {
        codes.push("1;4".into());
    }
    let shades = if strength.against { AGAINST } else { FOR };
    let level = usize::from(strength.level).checked_sub(1);
    if let Some(((red, green, blue), index)) = level.and_then(|level| shades.get(level)) {
        codes.push(match colours {
            Colours::True => format!("38;2;0;0;0;48;2;{red};{green};{blue}"),
            _ => format!("38;5;16;48;5;{index}"),
        });
        if strength.against {
            codes.push("3".into());
        }
    }
    codes.join(";")
}
