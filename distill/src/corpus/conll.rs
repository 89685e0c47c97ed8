//! CoNLL: a token a line, its tag in the last column, columns parted by tabulators (or blanks if there is none), sentences by empty lines.
//!
//! There are no offsets: the text is the tokens with single spaces, each sentence a line. So a model learns `( p < 0.05 )` where the paper
//! has `(p < 0.05)`. A line that begins with `-DOCSTART-` begins a document, with its id in parentheses if it has one; in a file without
//! such a line each sentence is a document. Ids are those, or the file's name and the line.

use super::files::File;
use super::{Document, Mention, Reading, Scheme, Source};

/// Reads CoNLL files.
pub(super) fn read(files: &[File], out: &mut Reading) {
    let marker = out
        .options
        .document_marker
        .clone()
        .unwrap_or_else(|| "-DOCSTART-".to_owned());
    let outside = out
        .options
        .outside
        .clone()
        .unwrap_or_else(|| "O".to_owned());
    let scheme = out.options.tags.unwrap_or_default();
    for file in files {
        let parted =
            !out.options.sentences && file.text.lines().any(|line| line.starts_with(&marker));
        let mut building = Building::default();
        let mut id: Option<String> = None;
        for (at, line) in file.text.lines().enumerate() {
            let source = file.at(at + 1);
            if line.starts_with(&marker) {
                building.finish(id.take(), file, out);
                id = line
                    .split_once('(')
                    .and_then(|(_, rest)| rest.split_once(')'))
                    .map(|(id, _)| id.trim().to_owned())
                    .filter(|_| parted);
                continue;
            }
            if line.trim().is_empty() {
                building.end_sentence();
                if !parted {
                    building.finish(None, file, out);
                }
                continue;
            }
            match columns(line) {
                Some((token, tag)) => {
                    building.token(token, source.clone());
                    if let Err(why) = building.tag(tag, scheme, &outside) {
                        out.defect(source, why);
                    }
                }
                None => out.defect(source, "expected a token and, in the last column, its tag"),
            }
        }
        building.finish(id, file, out);
    }
}

/// The first and the last column.
fn columns(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_end();
    let (token, tag) = if line.contains('\t') {
        (line.split('\t').next()?, line.rsplit('\t').next()?)
    } else {
        (line.split(' ').next()?, line.rsplit(' ').next()?)
    };
    let several = line.trim().contains(['\t', ' ']);
    (several && !token.trim().is_empty()).then_some((token.trim(), tag.trim()))
}

/// A document being put together.
#[derive(Default)]
struct Building {
    text: String,
    mentions: Vec<Mention>,
    source: Option<Source>,
    /// Label of the mention that the next token may go on.
    open: Option<String>,
    new_line: bool,
    /// First byte of the last token.
    token: usize,
}

impl Building {
    fn token(&mut self, token: &str, source: Source) {
        if !self.text.is_empty() {
            self.text.push(if self.new_line { '\n' } else { ' ' });
        }
        self.new_line = false;
        self.source.get_or_insert(source);
        self.token = self.text.len();
        self.text.push_str(token);
    }

    fn end_sentence(&mut self) {
        self.new_line = true;
        self.open = None;
    }

    /// Applies a tag to the last token. A tag that is none, or goes on what has not begun, leaves the token outside.
    fn tag(&mut self, tag: &str, scheme: Scheme, outside: &str) -> Result<(), String> {
        let open = self.open.take();
        if tag == outside {
            return Ok(());
        }
        let (prefix, label) = match tag.split_once('-') {
            Some((prefix @ ("B" | "I" | "E" | "L" | "S" | "U"), label)) if !label.is_empty() => {
                (prefix, label)
            }
            _ if scheme == Scheme::Io => ("I", tag),
            _ => {
                return Err(format!(
                    "the tag is neither {outside} nor B-LABEL or I-LABEL; see the options `tags` and `outside`"
                ));
            }
        };
        let goes_on = open.as_deref() == Some(label);
        let (begins, ends) = match (scheme, prefix) {
            (Scheme::Io, "B") => (true, false),
            (Scheme::Io, _) => (!goes_on, false),
            (_, "B") => (true, false),
            (Scheme::Bioes, "S" | "U") => (true, true),
            (Scheme::Bioes, "E" | "L") if goes_on => (false, true),
            (_, "I") if goes_on => (false, false),
            (_, "I") | (Scheme::Bioes, _) => {
                return Err("the tag goes on a mention that has not begun: B-LABEL must come first (or set the option `tags` to io)".to_owned());
            }
            _ => {
                return Err("tags with E, L, S or U need the option `tags` set to bioes".to_owned());
            }
        };
        let end = self.text.len();
        if begins {
            self.mentions.push(Mention {
                start: self.token,
                end,
                label: label.to_owned(),
                concepts: Vec::new(),
            });
        } else if let Some(mention) = self.mentions.last_mut() {
            mention.end = end;
        }
        self.open = (!ends).then(|| label.to_owned());
        Ok(())
    }

    /// Hands the document on, if it has a token.
    fn finish(&mut self, id: Option<String>, file: &File, out: &mut Reading) {
        let done = std::mem::take(self);
        if let Some(source) = done.source {
            out.add(Document {
                id: id.unwrap_or_else(|| format!("{}:{}", file.id, source.line)),
                text: done.text,
                mentions: done.mentions,
                relations: Vec::new(),
                source,
            });
        }
    }
}
