//! One decision as a picture for a record: its sentences with the evidence, the arc from head to tail, what happens without the evidence.
//!
//! Widths are estimated and then imposed (`textLength`), so that shades, frames and arcs fit the words in whatever font is there.

use std::fmt::Write;

use super::decision::{Decision, Document, Finding, Strength};
use super::plain::{markup, printable, right_to_left};
use super::words;

const WIDTH: f32 = 760.0;
const MARGIN: f32 = 24.0;
/// Font size of the text, and the distance of its lines; a line with an arc over it stands lower by `LANE`, the line after one with names under it by `TAG`.
const SIZE: f32 = 17.0;
const LINE: f32 = 31.0;
const LANE: f32 = 32.0;
const TAG: f32 = 13.0;
const SPACE: f32 = 0.28 * SIZE;
/// Room inside a frame, left and right.
const FRAME: f32 = 3.0;
const BACKGROUND: [[&str; 3]; 2] = [
    ["#dcebfa", "#abd0f3", "#6fb2ea"],
    ["#fdebd8", "#fad0a3", "#f3a55c"],
];
const STROKE: [&str; 2] = ["#0b4f8a", "#8a4200"];
const QUIET: &str = "#4d5a68";
const INK: &str = "#17202a";
const WARNING: &str = "#8a1c00";

/// A run of text in one part, as placed.
struct Run {
    text: String,
    line: usize,
    x: f32,
    width: f32,
    /// Number of the part, counted over all passages; none for the mark of a gap.
    part: Option<usize>,
    strength: Strength,
    mention: Option<usize>,
}

/// The picture.
pub fn picture(document: &Document<'_>, decision: &Decision<'_>) -> String {
    let (runs, lines) = layout(document, decision);
    let first_box = |mention: usize| {
        boxes(&runs, |run| run.mention == Some(mention))
            .into_iter()
            .next()
    };
    let ends = decision
        .arc
        .and_then(|(head, tail)| first_box(head).zip(first_box(tail)));
    let has_lane =
        |line: usize| ends.is_some_and(|(head, tail)| line == head.line || line == tail.line);

    let verdict = words::verdict(decision);
    let sign = if verdict.holds { "✓" } else { "⚠" };
    let finding = printable(&words::finding(&decision.finding));
    let name = decision
        .name
        .as_deref()
        .map_or(String::new(), |name| format!("{name}  "));
    let mut heading = Lines::default();
    heading.add(&format!("{name}{finding}"), 20.0, "bold", INK);
    let score = upper(&printable(&words::score(decision)));
    heading.add(&format!("{score}."), 15.0, "normal", INK);
    let colour = if verdict.holds { STROKE[0] } else { WARNING };
    heading.add(
        &printable(&format!("{sign} {}. {}", verdict.title, verdict.why)),
        15.0,
        "bold",
        colour,
    );

    let has_tag = |line: usize| {
        runs.iter()
            .any(|run| run.line == line && run.mention.is_some())
    };
    let mut y = heading.y + 6.0;
    let mut baselines = Vec::with_capacity(lines);
    for line in 0..lines {
        y += LINE + if has_lane(line) { LANE } else { 0.0 };
        baselines.push(y);
        y += if has_tag(line) { TAG } else { 0.0 };
    }
    let mut foot = Lines {
        y: y + 40.0,
        ..Lines::default()
    };
    let explanation = decision.explanation;
    let foot_y = foot.y;
    foot.y += 18.0;
    foot.add(
        &printable(&format!(
            "Method: {}. Model {}, bundle {}, bie {}.",
            words::method_name(explanation.method),
            explanation.model_id,
            explanation
                .bundle_hash
                .get(..12)
                .unwrap_or(&explanation.bundle_hash),
            bie::VERSION
        )),
        12.0,
        "normal",
        QUIET,
    );
    let height = foot.y + 12.0;

    let mut out = String::with_capacity(8192);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-labelledby=\"bie-title bie-desc\" \
         font-family=\"Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif\">\n<title id=\"bie-title\">{}</title>\n<desc id=\"bie-desc\">{}</desc>\n\
         <defs><pattern id=\"bie-hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path d=\"M0 0V6\" stroke=\"{}\" stroke-opacity=\"0.35\" stroke-width=\"2\"/></pattern></defs>\n\
         <rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n",
        markup(&format!("{finding} ({})", words::score(decision))),
        markup(&description(document, decision, &verdict)),
        STROKE[1]
    );
    out.push_str(&heading.svg);
    draw_text(&mut out, decision, &runs, &baselines);
    if let (Some((head, tail)), Finding::Relation { kind, .. }) = (ends, &decision.finding) {
        draw_arc(&mut out, &head, &tail, &baselines, &printable(kind));
    }
    legend(&mut out, foot_y);
    out.push_str(&foot.svg);
    out.push_str("</svg>\n");
    out
}

/// The picture in words, for those who do not see it.
fn description(
    document: &Document<'_>,
    decision: &Decision<'_>,
    verdict: &words::Verdict,
) -> String {
    let explanation = decision.explanation;
    let list = |pieces: &[bie::explain::Evidence]| match pieces {
        [] => "none".to_owned(),
        pieces => pieces
            .iter()
            .map(|piece| format!("“{}”", piece.text))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let text: Vec<&str> = decision
        .passages
        .iter()
        .map(|passage| document.slice(passage))
        .collect();
    printable(&format!(
        "{}. {} Words that speak for it: {}. Words that speak against it: {}. The text: {}",
        verdict.title,
        verdict.why,
        list(&explanation.evidence_for),
        list(&explanation.evidence_against),
        text.join(" […] ")
    ))
}

/// Places every run of every passage; also the number of lines.
fn layout(document: &Document<'_>, decision: &Decision<'_>) -> (Vec<Run>, usize) {
    let mut runs: Vec<Run> = Vec::new();
    let mut line = 0;
    let mut x = MARGIN;
    let mut part_number = 0;
    for (at, passage) in decision.passages.iter().enumerate() {
        if at > 0 {
            line += 1;
            let text = "[…]".to_owned();
            let width = width(&text, SIZE);
            runs.push(Run {
                text,
                line,
                x: MARGIN,
                width,
                part: None,
                strength: Strength::default(),
                mention: None,
            });
            (line, x) = (line + 1, MARGIN);
        }
        let mut paragraph = runs.len(); // its first run
        let mut word: Vec<Run> = Vec::new(); // runs without a space between them
        let parts = decision.parts(document, passage);
        for (number, part) in parts.iter().enumerate() {
            let edge = |other: Option<&super::decision::Part>| {
                if part.mention.is_some() && other.is_none_or(|other| other.mention != part.mention)
                {
                    FRAME
                } else {
                    0.0
                }
            };
            let (open, close) = (
                edge(number.checked_sub(1).and_then(|before| parts.get(before))),
                edge(parts.get(number + 1)),
            );
            let text = document.slice(&part.range);
            let mut pieces = text.split_inclusive(char::is_whitespace).peekable();
            let mut first_piece = true;
            while let Some(piece) = pieces.next() {
                let shown = printable(piece.trim_end());
                for shown in cut(&shown) {
                    let before = if std::mem::take(&mut first_piece) {
                        open
                    } else {
                        0.0
                    };
                    let after = if pieces.peek().is_none() { close } else { 0.0 };
                    word.push(Run {
                        width: width(&shown, SIZE) + before + after,
                        text: shown,
                        line: 0,
                        x: before,
                        part: Some(part_number + number),
                        strength: part.strength,
                        mention: part.mention,
                    });
                }
                if piece.ends_with(char::is_whitespace) {
                    place(&mut runs, &mut word, &mut line, &mut x);
                    match () {
                        () if x <= MARGIN => {} // no space begins a line
                        () if piece.ends_with('\n') => {
                            turn(&mut runs, &mut paragraph);
                            (line, x) = (line + 1, MARGIN);
                        }
                        () => x += SPACE,
                    }
                }
            }
        }
        place(&mut runs, &mut word, &mut line, &mut x);
        part_number += parts.len();
        turn(&mut runs, &mut paragraph);
    }
    (
        runs,
        if decision.passages.is_empty() {
            0
        } else {
            line + 1
        },
    )
}

/// Ends a paragraph: one that is written from right to left is mirrored.
fn turn(runs: &mut [Run], paragraph: &mut usize) {
    let count = runs.len();
    let ours = runs.get_mut(*paragraph..).unwrap_or_default();
    let text: Vec<&str> = ours.iter().map(|run| run.text.as_str()).collect();
    if right_to_left(&text.concat()) {
        for run in ours {
            run.x = WIDTH - run.x - run.width;
        }
    }
    *paragraph = count;
}

/// Puts a word on the line, or on the next one if it does not fit.
fn place(runs: &mut Vec<Run>, word: &mut Vec<Run>, line: &mut usize, x: &mut f32) {
    let total: f32 = word.iter().map(|run| run.width).sum();
    if *x > MARGIN && *x + total > WIDTH - MARGIN {
        (*line, *x) = (*line + 1, MARGIN);
    }
    for mut run in word.drain(..) {
        if *x > MARGIN && *x + run.width > WIDTH - MARGIN {
            (*line, *x) = (*line + 1, MARGIN);
        }
        run.line = *line;
        let width = run.width;
        run.x = *x;
        *x += width;
        runs.push(run);
    }
}

/// `text` in pieces that fit a line.
fn cut(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut total = 0.0;
    for c in text.chars() {
        let advance = SIZE * advance(c);
        if total + advance > WIDTH - 2.0 * MARGIN - 2.0 * FRAME {
            pieces.push(std::mem::take(&mut piece));
            total = 0.0;
        }
        piece.push(c);
        total += advance;
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// Neighbouring runs on one line, as one.
#[derive(Clone, Copy)]
struct Place {
    line: usize,
    x: f32,
    width: f32,
}

fn boxes(runs: &[Run], chosen: impl Fn(&Run) -> bool) -> Vec<Place> {
    let mut boxes: Vec<Place> = Vec::new();
    for run in runs.iter().filter(|run| chosen(run)) {
        match boxes.last_mut() {
            Some(last) if last.line == run.line => {
                let (from, to) = (
                    last.x.min(run.x),
                    (last.x + last.width).max(run.x + run.width),
                );
                (last.x, last.width) = (from, to - from);
            }
            _ => boxes.push(Place {
                line: run.line,
                x: run.x,
                width: run.width,
            }),
        }
    }
    boxes
}

fn draw_text(out: &mut String, decision: &Decision<'_>, runs: &[Run], baselines: &[f32]) {
    let baseline = |line: usize| baselines.get(line).copied().unwrap_or_default();
    let parts = runs
        .iter()
        .filter_map(|run| run.part)
        .max()
        .map_or(0, |last| last + 1);
    for part in 0..parts {
        let Some(strength) = runs
            .iter()
            .find(|run| run.part == Some(part))
            .map(|run| run.strength)
        else {
            continue;
        };
        for place in boxes(runs, |run| run.part == Some(part)) {
            shade(out, strength, place.x, baseline(place.line), place.width);
        }
    }
    for (at, mention) in decision.mentions.iter().enumerate() {
        let places = boxes(runs, |run| run.mention == Some(at));
        for place in &places {
            let _ = writeln!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"25\" rx=\"4\" fill=\"none\" stroke=\"#17202a\" stroke-width=\"1.4\"/>",
                place.x,
                baseline(place.line) - 17.5,
                place.width
            );
        }
        if let Some(place) = places.first() {
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10.5\" fill=\"{QUIET}\">{}</text>",
                place.x + 1.0,
                baseline(place.line) + 18.5,
                markup(&printable(decision.kind(mention.role)))
            );
        }
    }
    for run in runs.iter().filter(|run| !run.text.is_empty()) {
        let text = width(&run.text, SIZE);
        // A frame's room is shared by both sides where the run is a whole mention, else it is on the outer one: the middle is near enough.
        let x = run.x + (run.width - text) / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"{SIZE}\" {} fill=\"{}\">{}</text>",
            baseline(run.line),
            imposed(text),
            if run.part.is_some() { INK } else { QUIET },
            markup(&run.text)
        );
    }
}

/// The shade, hatching and line of a strength.
fn shade(out: &mut String, strength: Strength, x: f32, baseline: f32, width: f32) {
    let Some(level) = usize::from(strength.level).checked_sub(1) else {
        return;
    };
    let (fills, stroke) = if strength.against {
        (BACKGROUND[1], STROKE[1])
    } else {
        (BACKGROUND[0], STROKE[0])
    };
    let fill = fills.get(level).copied().unwrap_or_default();
    let top = baseline - 16.0;
    let _ = write!(
        out,
        "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"22\" fill=\"{fill}\"/>"
    );
    if strength.against {
        let _ = write!(
            out,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"22\" fill=\"url(#bie-hatch)\"/>"
        );
    }
    let thickness = [1.0, 2.0, 3.5].get(level).copied().unwrap_or(1.0);
    let dashes = if strength.against {
        " stroke-dasharray=\"5 3\""
    } else {
        ""
    };
    let _ = writeln!(
        out,
        "<path d=\"M{x:.1} {y:.1}h{width:.1}\" stroke=\"{stroke}\" stroke-width=\"{thickness}\"{dashes}/>",
        y = baseline + 4.0
    );
}

/// From head to tail over the words; over two lines it leaves the one at its end and enters the other at its start.
fn draw_arc(out: &mut String, head: &Place, tail: &Place, baselines: &[f32], kind: &str) {
    let top = |place: &Place| baselines.get(place.line).copied().unwrap_or_default() - 18.0;
    let lane = |place: &Place| top(place) - 20.0;
    let centre = |place: &Place| place.x + place.width / 2.0;
    let (from, to) = (centre(head), centre(tail));
    let mut labels: Vec<(f32, f32)> = Vec::new();
    let mut path = String::new();
    const BEND: f32 = 8.0;
    if head.line == tail.line {
        let bend = if to > from { BEND } else { -BEND };
        let _ = write!(
            path,
            "M{from:.1} {:.1}V{:.1}Q{from:.1} {:.1} {:.1} {:.1}H{:.1}Q{to:.1} {:.1} {to:.1} {:.1}V{:.1}",
            top(head),
            lane(head) + BEND,
            lane(head),
            from + bend,
            lane(head),
            to - bend,
            lane(head),
            lane(head) + BEND,
            top(tail) - 7.0
        );
        labels.push(((from + to) / 2.0, lane(head)));
    } else {
        // Forward it leaves to the right and comes from the left; backward the other way.
        let (exit, entry, bend) = if tail.line > head.line {
            (WIDTH - MARGIN / 2.0, MARGIN / 2.0, BEND)
        } else {
            (MARGIN / 2.0, WIDTH - MARGIN / 2.0, -BEND)
        };
        let _ = write!(
            path,
            "M{from:.1} {:.1}V{:.1}Q{from:.1} {:.1} {:.1} {:.1}H{exit:.1}M{entry:.1} {:.1}H{:.1}Q{to:.1} {:.1} {to:.1} {:.1}V{:.1}",
            top(head),
            lane(head) + BEND,
            lane(head),
            from + bend,
            lane(head),
            lane(tail),
            to - bend,
            lane(tail),
            lane(tail) + BEND,
            top(tail) - 7.0
        );
        labels.push(((from + exit) / 2.0, lane(head)));
        labels.push(((entry + to) / 2.0, lane(tail)));
    }
    let tip = top(tail) - 0.5;
    let _ = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{QUIET}\" stroke-width=\"1.8\"/><path d=\"M{:.1} {:.1}h10l-5 8z\" fill=\"{QUIET}\"/>",
        to - 5.0,
        tip - 8.0
    );
    let half = width(kind, 13.0) / 2.0;
    for (x, y) in labels {
        let x = x.clamp(MARGIN + half, (WIDTH - MARGIN - half).max(MARGIN + half));
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"13\" font-weight=\"bold\" text-anchor=\"middle\" fill=\"#17202a\">{}</text>",
            y - 5.0,
            markup(kind)
        );
    }
}

fn legend(out: &mut String, y: f32) {
    let mut x = MARGIN;
    for against in [false, true] {
        for level in 1..=3 {
            let strength = Strength { level, against };
            let text = words::strength(strength);
            let length = width(text, 12.0) + 6.0;
            shade(out, strength, x, y, length);
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{y:.1}\" font-size=\"12\" {} fill=\"#17202a\">{text}</text>",
                x + 3.0,
                imposed(length - 6.0)
            );
            x += length + 6.0;
        }
        let text = if against { "against it" } else { "for it" };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{y:.1}\" font-size=\"12\" fill=\"#17202a\">{text}</text>",
            x + 2.0
        );
        x += width(text, 12.0) + 28.0;
    }
}

/// Lines of prose, one under the other.
struct Lines {
    svg: String,
    y: f32,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            svg: String::new(),
            y: 14.0,
        }
    }
}

impl Lines {
    /// Adds `text`, wrapped.
    fn add(&mut self, text: &str, size: f32, weight: &str, colour: &str) {
        let factor = if weight == "bold" { 1.08 } else { 1.0 };
        let mut line = String::new();
        let mut flush = |line: &mut String| {
            self.y += 1.35 * size;
            let shown = line.trim();
            let _ = writeln!(
                self.svg,
                "<text x=\"{MARGIN}\" y=\"{:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" {} fill=\"{colour}\">{}</text>",
                self.y,
                imposed(factor * width(shown, size)),
                markup(shown)
            );
            line.clear();
        };
        for word in text.split_inclusive(' ').flat_map(cut) {
            if !line.is_empty()
                && factor * width(&format!("{line}{word}"), size) > WIDTH - 2.0 * MARGIN
            {
                flush(&mut line);
            }
            line.push_str(&word);
        }
        flush(&mut line);
        self.y += 4.0;
    }
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// The attributes that make a font keep an estimated width.
fn imposed(width: f32) -> String {
    format!("textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\"")
}

fn width(text: &str, size: f32) -> f32 {
    size * text.chars().map(advance).sum::<f32>()
}

/// The advance of a character in a common sans-serif font, in ems; close enough, for the width is imposed.
fn advance(c: char) -> f32 {
    match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.25,
        'f' | 't' | 'I' | ' ' | '.' | ',' | ':' | ';' | '!' | '/' | '\\' | '[' | ']' => 0.3,
        'r' | '(' | ')' | '-' | '`' | '"' | '{' | '}' => 0.37,
        's' | 'c' | 'k' | 'v' | 'x' | 'y' | 'z' | 'J' => 0.53,
        'm' | 'M' => 0.83,
        'w' | 'C' | 'D' | 'H' | 'N' | 'R' | 'U' => 0.72,
        'W' | '@' | '%' | '…' => 0.95,
        'G' | 'O' | 'Q' => 0.78,
        'A' | 'B' | 'E' | 'K' | 'P' | 'S' | 'V' | 'X' | 'Y' => 0.67,
        'F' | 'T' | 'Z' | '+' | '=' | '<' | '>' | '~' => 0.6,
        '\u{200B}'..='\u{200F}' | '\u{300}'..='\u{36F}' => 0.0,
        // East Asian characters and pictures take a full square.
        '\u{1100}'..='\u{115F}'
        | '\u{2E80}'..='\u{A4CF}'
        | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF00}'..='\u{FF60}'
        | '\u{1F300}'..='\u{1FAFF}' => 1.0,
        _ => 0.58,
    }
}
