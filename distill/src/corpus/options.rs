//! How a corpus is to be read, where its format leaves that open.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Format, Unit};

/// Settings of a corpus: `options` of a recipe's corpus, flags of the command line. What does not fit the format is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// So many defects are left out; one more, and the corpus is refused.
    #[arg(long, default_value_t = 0)]
    pub max_defects: usize,
    /// What offsets count, if not the format's own unit (code points); pubtator, bioc, brat, phee, drugprot, ddi.
    #[arg(long, value_enum)]
    pub offsets: Option<Unit>,
    /// A relation whose head and tail change places; can be repeated.
    #[arg(long, value_name = "LABEL")]
    pub reversed: Vec<String>,
    /// bioc: the role of the node, or the key of the infon, that is a relation's head; else the first is.
    #[arg(long, value_name = "ROLE")]
    pub head_role: Option<String>,
    /// conll: how tags are written (bio).
    #[arg(long, value_enum)]
    pub tags: Option<Scheme>,
    /// conll: the tag of a token outside of mentions (O).
    #[arg(long, value_name = "TAG")]
    pub outside: Option<String>,
    /// conll: how a line begins that begins a document (-DOCSTART-); without such a line each sentence is a document.
    #[arg(long, value_name = "TEXT")]
    pub document_marker: Option<String>,
    /// conll, ddi: each sentence is a document.
    #[arg(long)]
    pub sentences: bool,
    /// text: each line is a document, not each file.
    #[arg(long)]
    pub one_per_line: bool,
    /// csv: the column of the text.
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// csv: the column of the document's id; without it the row's number is the id.
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
    /// csv: what parts columns, if not a comma; one ASCII character, such as a tabulator.
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<String>,
}

/// How the tags of CoNLL files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// B-X begins a mention, I-X goes on.
    #[default]
    Bio,
    /// Also E-X (or L-X) ends one and S-X (or U-X) is one.
    Bioes,
    /// Neighbours of one label are one mention, with or without I- before it.
    Io,
}

impl Options {
    /// Whether nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Options::default()
    }

    /// What a CSV file's columns are parted by, if it is one ASCII character.
    pub(super) fn delimiter(&self) -> Option<u8> {
        match self.delimiter.as_deref().unwrap_or(",").as_bytes() {
            [one] if *one != b'"' && *one != b'\n' => Some(*one),
            _ => None,
        }
    }

    /// The first key that does not fit the format, and why.
    pub fn misfit(&self, format: Format) -> Option<(&'static str, String)> {
        use Format::*;
        let relations = [Pubtator, BiocXml, BiocJson, Brat, Phee, Drugprot, Ddi];
        let given: [(&str, bool, &[Format]); 11] = [
            ("offsets", self.offsets.is_some(), &relations),
            ("reversed", !self.reversed.is_empty(), &relations),
            ("head_role", self.head_role.is_some(), &[BiocXml, BiocJson]),
            ("tags", self.tags.is_some(), &[Conll]),
            ("outside", self.outside.is_some(), &[Conll]),
            ("document_marker", self.document_marker.is_some(), &[Conll]),
            ("sentences", self.sentences, &[Conll, Ddi]),
            ("one_per_line", self.one_per_line, &[Text]),
            ("text_column", self.text_column.is_some(), &[Csv]),
            ("id_column", self.id_column.is_some(), &[Csv]),
            ("delimiter", self.delimiter.is_some(), &[Csv]),
        ];
        let stray = given
            .iter()
            .find(|(_, set, of)| *set && !of.contains(&format));
        if let Some((key, _, of)) = stray {
            let of: Vec<String> = of.iter().map(Format::to_string).collect();
            let why = format!("a setting of {}, not of {format}", of.join(", "));
            return Some((key, why));
        }
        if self.document_marker.as_deref() == Some("") {
            return Some((
                "document_marker",
                "it is empty: every line would begin a document".to_owned(),
            ));
        }
        if format == Csv && self.text_column.is_none() {
            return Some((
                "text_column",
                "name the column that holds the text".to_owned(),
            ));
        }
        if self.delimiter().is_none() {
            return Some(("delimiter", "it must be one ASCII character".to_owned()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_other_formats_are_refused() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options
        };
        for (options, format, key) in [
            (
                with(|o| o.one_per_line = true),
                Format::Csv,
                Some("one_per_line"),
            ),
            (with(|o| o.one_per_line = true), Format::Text, None),
            (with(|_| ()), Format::Csv, Some("text_column")),
            (
                with(|o| o.offsets = Some(Unit::Bytes)),
                Format::Conll,
                Some("offsets"),
            ),
            (with(|o| o.sentences = true), Format::Ddi, None),
            (
                with(|o| o.document_marker = Some(String::new())),
                Format::Conll,
                Some("document_marker"),
            ),
            (
                with(|o| {
                    o.text_column = Some("note".into());
                    o.delimiter = Some("::".into());
                }),
                Format::Csv,
                Some("delimiter"),
            ),
        ] {
            assert_eq!(options.misfit(format).map(|m| m.0), key, "{options:?}");
        }
    }
}
