//! Finds in a text what a model quoted from it.
//!
//! Verbatim; else up to case, blanks, accents, dashes, quotation marks and Unicode's compatible forms; else word by word with slips of the
//! pen. A quote that cannot be placed is reported, never guessed: the second and third way must lead to one place like the first.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::settings::{Alignment, Repeats};

/// What a model quoted, and what it said of the place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quote<'a> {
    /// The quote.
    pub text: &'a str,
    /// A longer quote around it.
    pub context: Option<&'a str>,
    /// Which one of several it is, from 1.
    pub occurrence: Option<usize>,
}

/// How alike quote and text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Byte by byte.
    Exact,
    /// Up to case, blanks and Unicode forms.
    Normalised,
    /// Up to a slip of the pen in some words.
    Fuzzy,
}

/// Where a quote stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the text, never empty; several only with [`Repeats::Every`].
    pub spans: Vec<Range<usize>>,
    /// How alike they are.
    pub how: How,
}

/// Why a quote could not be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unaligned {
    /// It is blank.
    Empty,
    /// The text does not hold it.
    NotFound,
    /// It stands in the text more than once, and what the model said does not tell which one is meant.
    Ambiguous,
}

impl Unaligned {
    /// For lists of defects.
    pub fn reason(self) -> &'static str {
        match self {
            Unaligned::Empty => "the quote is empty",
            Unaligned::NotFound => "the quote does not stand in the text",
            Unaligned::Ambiguous => "the quote stands in the text more than once",
        }
    }
}

/// One text in which quotes are looked for.
pub struct Aligner<'a> {
    text: &'a str,
    settings: &'a Alignment,
    normal: OnceCell<Normal>,
}

impl<'a> Aligner<'a> {
    /// Nothing is computed before it is needed.
    pub fn new(text: &'a str, settings: &'a Alignment) -> Aligner<'a> {
        Aligner {
            text,
            settings,
            normal: OnceCell::new(),
        }
    }

    /// Where the quote stands.
    ///
    /// # Errors
    /// It stands nowhere, or in several places that cannot be told apart.
    pub fn find(&self, quote: &Quote) -> Result<Found, Unaligned> {
        let (spans, how) = self.everywhere(quote.text)?;
        let one = |span: &Range<usize>| Found {
            spans: vec![span.clone()],
            how,
        };
        match spans.as_slice() {
            [] => Err(Unaligned::NotFound),
            [only] => Ok(one(only)),
            _ if how == How::Fuzzy => Err(Unaligned::Ambiguous),
            _ if self.settings.repeats == Repeats::Every => Ok(Found { spans, how }),
            _ => self
                .told_apart(quote, &spans)
                .map(one)
                .ok_or(Unaligned::Ambiguous),
        }
    }

    /// The one of several places that the context holds, or that has the number.
    fn told_apart<'s>(&self, quote: &Quote, spans: &'s [Range<usize>]) -> Option<&'s Range<usize>> {
        if let Some(context) = quote.context
            && let Ok((around, _)) = self.everywhere(context)
            && let [around] = around.as_slice()
        {
            let mut inside = spans
                .iter()
                .filter(|s| around.start <= s.start && s.end <= around.end);
            if let (Some(only), None) = (inside.next(), inside.next()) {
                return Some(only);
            }
        }
        spans.get(quote.occurrence?.checked_sub(1)?)
    }

    /// All places, by the strictest way that finds any.
    fn everywhere(&self, quote: &str) -> Result<(Vec<Range<usize>>, How), Unaligned> {
        let quote = quote.trim();
        if quote.is_empty() {
            return Err(Unaligned::Empty);
        }
        let spans = self.exact(quote);
        if !spans.is_empty() {
            return Ok((spans, How::Exact));
        }
        let text = self.normal.get_or_init(|| Normal::new(self.text));
        let quote = Normal::new(quote);
        let spans: Vec<_> = text
            .find(&quote)
            .into_iter()
            .filter(|span| bounded(self.text, span))
            .collect();
        if !spans.is_empty() {
            return Ok((spans, How::Normalised));
        }
        Ok((text.find_words(&quote, self.settings.max_edits), How::Fuzzy))
    }

    /// Also overlapping ones: "x x" stands in "x x x" twice.
    fn exact(&self, quote: &str) -> Vec<Range<usize>> {
        let step = quote.chars().next().map_or(1, char::len_utf8);
        let mut spans = Vec::new();
        let mut from = 0;
        while let Some(at) = self.text.get(from..).and_then(|rest| rest.find(quote)) {
            let start = from + at;
            let span = start..start + quote.len();
            if bounded(self.text, &span) {
                spans.push(span);
            }
            from = start + step;
        }
        spans
    }
}

/// Whether the span neither begins nor ends inside of a word.
fn bounded(text: &str, span: &Range<usize>) -> bool {
    let cut = |at: usize| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at..).and_then(|t| t.chars().next());
        before.zip(after).is_some_and(|(a, b)| joins(a, b))
    };
    !cut(span.start) && !cut(span.end)
}

/// Whether two neighbours belong to one word. Scripts without blanks have no words to cut.
fn joins(a: char, b: char) -> bool {
    let spaced = |c: char| {
        c.is_alphanumeric()
            && !matches!(c, '\u{2e80}'..='\u{a4cf}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
            && !matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
    };
    spaced(a) && spaced(b)
}

/// A text without what people and models write differently, and where each character came from.
struct Normal {
    characters: Vec<char>,
    /// Bytes of the source, by character. What was dropped belongs to the character before it.
    sources: Vec<Range<usize>>,
    words: Vec<Word>,
}

/// A run of letters and digits, a number, or a sign that means something.
struct Word {
    characters: Vec<char>,
    source: Range<usize>,
}

impl Normal {
    fn new(text: &str) -> Normal {
        let mut normal = Normal {
            characters: Vec::with_capacity(text.len()),
            sources: Vec::with_capacity(text.len()),
            words: Vec::new(),
        };
        for (at, c) in text.char_indices() {
            normal.push(c, at..at + c.len_utf8());
        }
        normal.words = normal.split();
        normal
    }

    fn push(&mut self, c: char, source: Range<usize>) {
        let mut any = false;
        for c in std::iter::once(c).nfkd().flat_map(char::to_lowercase) {
            let c = match c {
                c if is_combining_mark(c) || invisible(c) => continue,
                c if c.is_whitespace() => ' ',
                '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
                '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{02b9}' | '\u{02bc}' | '`' => '\'',
                '\u{201c}'..='\u{201f}' | '\u{2033}' => '"',
                'ς' => 'σ',
                c => c,
            };
            if c == ' ' && self.characters.last() == Some(&' ') {
                continue;
            }
            any = true;
            self.characters.push(c);
            self.sources.push(source.clone());
        }
        if !any && let Some(last) = self.sources.last_mut() {
            last.end = source.end;
        }
    }

    /// Source bytes of the characters `from..to`; none if they begin or end inside of a character of the source.
    fn source(&self, from: usize, to: usize) -> Option<Range<usize>> {
        let start = |at: usize| self.sources.get(at).map(|s| s.start);
        let first = start(from)?;
        let last = self.sources.get(to.checked_sub(1)?)?;
        let cut = (from > 0 && start(from - 1) == Some(first)) || start(to) == Some(last.start);
        (!cut).then_some(first..last.end)
    }

    /// All places of another normal text.
    fn find(&self, quote: &Normal) -> Vec<Range<usize>> {
        let wanted = quote.characters.as_slice();
        if wanted.is_empty() {
            return Vec::new();
        }
        self.characters
            .windows(wanted.len())
            .enumerate()
            .filter(|(_, window)| *window == wanted)
            .filter_map(|(at, _)| self.source(at, at + wanted.len()))
            .collect()
    }

    fn split(&self) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        let mut open = false;
        let mut before = None;
        let mut characters = self
            .characters
            .iter()
            .copied()
            .zip(&self.sources)
            .peekable();
        while let Some((c, source)) = characters.next() {
            let after = characters.peek().map(|(c, _)| *c);
            let digit = |c: Option<char>| c.is_some_and(char::is_numeric);
            let inside =
                c.is_alphanumeric() || (matches!(c, '.' | ',') && digit(before) && digit(after));
            match words.last_mut().filter(|_| open && inside) {
                Some(word) => {
                    word.characters.push(c);
                    word.source.end = source.end;
                }
                None if inside || !free(c) => words.push(Word {
                    characters: vec![c],
                    source: source.clone(),
                }),
                None => {}
            }
            open = inside;
            before = Some(c);
        }
        words
    }

    /// Places with the same words up to slips, at most `share` of the quote's characters.
    fn find_words(&self, quote: &Normal, share: f64) -> Vec<Range<usize>> {
        let wanted = quote.words.as_slice();
        let allowed = (share * quote.characters.len() as f64) as usize;
        if wanted.is_empty() || allowed == 0 {
            return Vec::new();
        }
        let span = |window: &[Word]| {
            let mut slips = 0;
            for (word, wanted) in window.iter().zip(wanted) {
                if word.characters != wanted.characters {
                    slips += 1;
                    if slips > allowed || !slip(&word.characters, &wanted.characters) {
                        return None;
                    }
                }
            }
            Some(window.first()?.source.start..window.last()?.source.end)
        };
        // Two words of one source character (a ligature of words, which hardly exists) would give the same span twice.
        let spans: BTreeSet<(usize, usize)> = self
            .words
            .windows(wanted.len())
            .filter_map(span)
            .map(|s| (s.start, s.end))
            .collect();
        spans.into_iter().map(|(start, end)| start..end).collect()
    }
}

/// Letters that take no room.
fn invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
    )
}

/// Signs between words that a model may drop or add without changing what is quoted; `<`, `+`, `%` do.
fn free(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | ',' | '.' | ';' | ':' | '\'' | '"' | '(' | ')' | '[' | ']' | '/' | '*' | '_'
    )
}

/// Letters of the shortest word that may hold a slip: "no" and "now" are two words.
const LONG: usize = 5;

/// Whether two words are one but for a letter too many, missing, wrong or swapped with its neighbour. The first letter must be right
/// ("typical", "atypical"), and whatever holds a digit is exact.
fn slip(a: &[char], b: &[char]) -> bool {
    let long = |w: &[char]| w.len() >= LONG && w.iter().all(|c| c.is_alphabetic());
    if !long(a) || !long(b) || a.first() != b.first() {
        return false;
    }
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(head..).unwrap_or(&[]), b.get(head..).unwrap_or(&[]));
    let tail = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    let rest = |w: &[char]| w.get(..w.len() - tail).unwrap_or(&[]).to_vec();
    match (rest(a).as_slice(), rest(b).as_slice()) {
        ([] | [_], [] | [_]) => true,
        ([x, y], [z, w]) => x == w && y == z,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
