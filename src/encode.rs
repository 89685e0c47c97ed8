//! Tokenizing: ids and byte spans, sentence by sentence. The same code reads texts for training and for extraction.

use std::ops::Range;

use serde_json::Value;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, Model, NormalizerWrapper, Tokenizer};

use crate::error::{Error, Result};
use crate::text::sentence::sentences;

/// A longer sentence is tokenized in pieces: the tokenizer's cost grows faster than its input.
const PIECE_BYTES: usize = 2000;

/// A longer run of one and the same token is cut and its rest reported as unread: rulers of dashes, a file of one character.
const LONGEST_RUN: usize = 256;

/// Of a longer stretch (bytes; see [`rests`]) only the beginning is read, the rest reported as unread: it is no language but an embedded
/// file or a sequence, and would cost as much as all the text around it, many times over.
const LONGEST_STRETCH: usize = 4000;

/// The special tokens of BERT, in the order in which vocabularies list them.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// One token of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Index into the vocabulary.
    pub id: u32,
    /// First byte in the document, on a character boundary.
    pub start: usize,
    /// One past the last byte, on a character boundary.
    pub end: usize,
    /// Starts a word; false for the continuation of one.
    pub word: bool,
}

/// The tokens of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// One list for each sentence that has a token, without special tokens.
    pub sentences: Vec<Vec<Token>>,
    /// Byte ranges that were left out, ascending.
    pub unread: Vec<(usize, usize)>,
}

/// A BERT WordPiece tokenizer. Shared freely between threads.
///
/// No padding, no truncation, no special tokens; `[SEP]` in a document is text like any other.
pub struct Encoder {
    tokenizer: Tokenizer,
    cls: u32,
    sep: u32,
    /// Whether ASCII goes to the model directly, and then whether in lower case.
    ascii: Option<bool>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("vocabulary", &self.vocabulary_size())
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Reads a `tokenizer.json` whose parts are those of BERT: BertNormalizer, BertPreTokenizer, WordPiece.
    ///
    /// Anything else in it (padding, truncation, post-processor, decoder) is left out before it is built.
    pub fn from_bytes(json: &[u8]) -> Result<Self> {
        let mut value: Value = serde_json::from_slice(json)
            .map_err(|why| Error::Tokenizer(format!("tokenizer.json is not JSON: {why}")))?;
        for (part, wanted) in [
            ("normalizer", "BertNormalizer"),
            ("pre_tokenizer", "BertPreTokenizer"),
            ("model", "WordPiece"),
        ] {
            let found = value
                .get(part)
                .and_then(|part| part.get("type"))
                .and_then(Value::as_str);
            if found != Some(wanted) {
                let found = found.unwrap_or("nothing");
                return Err(Error::Tokenizer(format!(
                    "tokenizer.json: {part} must be {wanted}, found {found}; only BERT tokenizers are supported"
                )));
            }
        }
        for part in ["padding", "truncation", "post_processor", "decoder"] {
            if let Some(slot) = value.get_mut(part) {
                *slot = Value::Null;
            }
        }
        Self::new(
            serde_json::from_value(value)
                .map_err(|why| Error::Tokenizer(format!("tokenizer.json: {why}")))?,
        )
    }

    /// Builds the tokenizer from a `vocab.txt`: one token a line, its id is the line's number from 0.
    pub fn from_vocab(vocab_txt: &str, lowercase: bool) -> Result<Self> {
        let mut vocab = WordPiece::read_bytes(vocab_txt.as_bytes())
            .map_err(|why| Error::Tokenizer(format!("vocab.txt: {why}")))?;
        vocab.remove("");
        let special: Vec<AddedToken> = SPECIAL
            .iter()
            .filter(|token| vocab.contains_key(**token))
            .map(|token| AddedToken::from(*token, true))
            .collect();
        let model = WordPiece::builder()
            .vocab(vocab)
            .unk_token("[UNK]".into())
            .continuing_subword_prefix("##".into())
            .max_input_chars_per_word(100)
            .build()
            .map_err(|why| Error::Tokenizer(format!("vocab.txt: {why}")))?;
        let mut tokenizer = Tokenizer::new(model);
        tokenizer
            .with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase)))
            .map_err(|why| Error::Tokenizer(why.to_string()))?
            .with_pre_tokenizer(Some(BertPreTokenizer));
        tokenizer
            .add_special_tokens(special)
            .map_err(|why| Error::Tokenizer(why.to_string()))?;
        Self::new(tokenizer)
    }

    fn new(mut tokenizer: Tokenizer) -> Result<Self> {
        tokenizer.set_encode_special_tokens(true);
        let special = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| {
                Error::Tokenizer(format!(
                    "the vocabulary lacks {token}; a BERT vocabulary is needed"
                ))
            })
        };
        let (cls, sep) = (special("[CLS]")?, special("[SEP]")?);
        special("[UNK]")?; // without it a word outside the vocabulary is an error instead of a token
        let added = tokenizer.get_added_tokens_decoder();
        let ascii = match tokenizer.get_normalizer() {
            // Added tokens that are not special are looked for in the text before all else.
            Some(NormalizerWrapper::BertNormalizer(bert)) if added.values().all(|t| t.special) => {
                Some(bert.lowercase)
            }
            _ => None,
        };
        Ok(Encoder {
            tokenizer,
            cls,
            sep,
            ascii,
        })
    }

    /// The tokenizer in the `tokenizer.json` format; [`Encoder::from_bytes`] reads it back.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let json = self.tokenizer.to_string(false);
        json.map(String::into_bytes)
            .map_err(|why| Error::Tokenizer(why.to_string()))
    }

    /// Id of `[CLS]`.
    pub fn cls(&self) -> u32 {
        self.cls
    }

    /// Id of `[SEP]`.
    pub fn sep(&self) -> u32 {
        self.sep
    }

    /// Id of another special token, such as `[MASK]`, if the vocabulary has it.
    pub fn special(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The piece of an id, `##` before it if it continues a word.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// Number of ids: every id is below it.
    pub fn vocabulary_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Tokenizes a text. Cost grows linearly with its length.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        self.encode_until(text, || Ok(()))
    }

    /// [`Encoder::encode`], which asks before each piece whether to go on and ends with what `go_on` fails with.
    pub(crate) fn encode_until(
        &self,
        text: &str,
        mut go_on: impl FnMut() -> Result<()>,
    ) -> Result<Encoded> {
        let mut encoded = Encoded::default();
        let mut run = Run::default();
        let mut rests = rests(text).into_iter().peekable();
        for sentence in sentences(text) {
            let mut tokens = Vec::new();
            let mut start = sentence.start;
            while start < sentence.end {
                go_on()?;
                while rests.next_if(|rest| rest.end <= start).is_some() {}
                let rest = rests.peek().filter(|rest| rest.start < sentence.end);
                if let Some(rest) = rest.filter(|rest| rest.start <= start) {
                    let end = rest.end.min(sentence.end);
                    leave_out(&mut encoded.unread, start, end, false);
                    start = end;
                    continue;
                }
                let limit = rest.map_or(sentence.end, |rest| rest.start);
                let end = start + piece(text.get(start..limit).unwrap_or_default());
                self.encode_piece(text, start, end, |token| {
                    if run.admits(token.id) {
                        tokens.push(token);
                    } else {
                        let goes_on = run.length > LONGEST_RUN + 1;
                        leave_out(&mut encoded.unread, token.start, token.end, goes_on);
                    }
                })?;
                start = end;
            }
            if !tokens.is_empty() {
                encoded.sentences.push(tokens);
            }
        }
        Ok(encoded)
    }

    fn encode_piece(
        &self,
        text: &str,
        start: usize,
        end: usize,
        mut take: impl FnMut(Token),
    ) -> Result<()> {
        let piece = text.get(start..end).unwrap_or_default();
        if piece.trim_start().is_empty() {
            return Ok(()); // most lines of some notes
        }
        // The tokenizer's own message may quote the text, so it is not passed on.
        let failed = |_| Error::Tokenizer(format!("failed on bytes {start} to {end} of the text"));
        if let Some(lowercase) = self.ascii.filter(|_| piece.bytes().all(is_plain)) {
            let lower = lowercase.then(|| piece.to_ascii_lowercase());
            for (first, word) in words(lower.as_deref().unwrap_or(piece)) {
                let parts = self.tokenizer.get_model().tokenize(word).map_err(failed)?;
                for (number, part) in parts.iter().enumerate() {
                    take(Token {
                        id: part.id,
                        start: start + first + part.offsets.0,
                        end: start + first + part.offsets.1,
                        word: number == 0,
                    });
                }
            }
            return Ok(());
        }
        let encoding = self.tokenizer.encode(piece, false).map_err(failed)?;
        let mut previous = None;
        for ((&id, &(first, last)), &word) in encoding
            .get_ids()
            .iter()
            .zip(encoding.get_offsets())
            .zip(encoding.get_word_ids())
        {
            take(Token {
                id,
                start: start + piece.floor_char_boundary(first),
                end: start + piece.ceil_char_boundary(last),
                word: word.is_none() || word != previous,
            });
            previous = word;
        }
        Ok(())
    }
}

/// Whether nothing of the tokenizer's cleaning, accents and tables concerns this byte. A text of such bytes needs only lower case and
/// [`words`] before the model sees it, which takes a tenth of the time.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')
}

/// The words of ASCII as BERT parts them, with their first bytes: at white space, every punctuation mark being a word by itself.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let parts = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_punctuation();
        let length = rest.bytes().position(parts).unwrap_or(rest.len());
        let first = text.len() - rest.len();
        let (word, after) = rest.split_at_checked(length.max(1))?;
        rest = after;
        Some((first, word))
    })
}

/// Length of the first piece of `rest`: all of it if it is short, else up to and with the last white space that fits, else as much as fits.
fn piece(rest: &str) -> usize {
    if rest.len() <= PIECE_BYTES {
        return rest.len();
    }
    let fits = rest.floor_char_boundary(PIECE_BYTES);
    let head = rest.get(..fits).unwrap_or(rest);
    match head
        .char_indices()
        .rev()
        .find(|(_, c)| c.is_whitespace() && *c != '\u{85}')
    {
        Some((at, c)) => at + c.len_utf8(),
        None => head.len(),
    }
}

/// What is left out of stretches that are longer than [`LONGEST_STRETCH`], ascending. A stretch goes on to the next white space or mark
/// outside ASCII: scripts that write no spaces have those.
fn rests(text: &str) -> Vec<Range<usize>> {
    let mut rests = Vec::new();
    let mut start = 0; // of the stretch
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if c.is_whitespace() || !(c.is_ascii() || c.is_alphanumeric()) {
            if at - start > LONGEST_STRETCH {
                rests.push(text.floor_char_boundary(start + LONGEST_STRETCH)..at);
            }
            start = at + c.len_utf8();
        }
    }
    rests
}

/// Adds a range to those that are left out; to the last one if they touch or that one `goes_on`.
fn leave_out(unread: &mut Vec<(usize, usize)>, start: usize, end: usize, goes_on: bool) {
    match unread.last_mut().filter(|last| goes_on || last.1 == start) {
        Some(last) => last.1 = end,
        None => unread.push((start, end)),
    }
}

/// The run of equal tokens that the last token belongs to.
#[derive(Default)]
struct Run {
    id: Option<u32>,
    length: usize,
}

impl Run {
    fn admits(&mut self, id: u32) -> bool {
        if self.id != Some(id) {
            *self = Run {
                id: Some(id),
                length: 0,
            };
        }
        self.length += 1;
        self.length <= LONGEST_RUN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\naspirin\n##s\ncauses\nna\n##use\n##a\n.\n-\na\n[\n]\nsep\ncafe\n漢\n";

    fn encoder() -> Encoder {
        Encoder::from_vocab(VOCAB, true).unwrap()
    }

    fn flat(encoded: &Encoded) -> Vec<Token> {
        encoded.sentences.concat()
    }

    #[test]
    fn words_pieces_and_spans() {
        let text = "Aspirins cause\n nausea. Café";
        let encoded = encoder().encode(text).unwrap();
        let tokens: Vec<(u32, &str, bool)> = flat(&encoded)
            .iter()
            .map(|token| (token.id, &text[token.start..token.end], token.word))
            .collect();
        assert_eq!(
            tokens,
            [
                (5, "Aspirin", true),
                (6, "s", false),
                (1, "cause", true),
                (8, "na", true),
                (9, "use", false),
                (10, "a", false),
                (11, ".", true),
                (17, "Café", true)
            ]
        );
        assert_eq!(encoded.sentences.len(), 3);
        assert!(encoded.unread.is_empty());
    }

    #[test]
    fn special_tokens_of_the_document_are_text() {
        let ids: Vec<u32> = flat(&encoder().encode("[SEP]").unwrap())
            .iter()
            .map(|token| token.id)
            .collect();
        assert_eq!(ids, [14, 16, 15]);
        assert_eq!((encoder().cls(), encoder().sep()), (2, 3));
    }

    #[test]
    fn json_round_trip_gives_the_same_tokens() {
        let json = encoder().to_json().unwrap();
        let again = Encoder::from_bytes(&json).unwrap();
        let text = "aspirins [CLS] 漢a. \u{0}na\u{301}usea";
        assert_eq!(again.encode(text).unwrap(), encoder().encode(text).unwrap());
        assert_eq!(again.to_json().unwrap(), json);
    }

    #[test]
    fn other_tokenizers_and_vocabularies_are_refused() {
        let json = String::from_utf8(encoder().to_json().unwrap()).unwrap();
        for (from, to) in [
            ("BertPreTokenizer", "Whitespace"),
            ("[CLS]", "[cls]"),
            ("\"WordPiece\"", "\"BPE\""),
            ("{", "["),
        ] {
            let altered = json.replace(from, to);
            assert_ne!(altered, json);
            assert!(
                matches!(
                    Encoder::from_bytes(altered.as_bytes()),
                    Err(Error::Tokenizer(_))
                ),
                "{to}"
            );
        }
        assert!(matches!(
            Encoder::from_vocab("[CLS]\n[SEP]\na\n", true),
            Err(Error::Tokenizer(_))
        ));
    }

    #[test]
    fn a_long_run_is_cut_and_reported() {
        let text = format!("a {} a {}", "- ".repeat(1000), "-".repeat(300));
        let encoded = encoder().encode(&text).unwrap();
        assert_eq!(flat(&encoded).len(), 2 + 2 * LONGEST_RUN);
        let (first, second) = (encoded.unread[0], encoded.unread[1]);
        assert_eq!(first, (2 + 2 * LONGEST_RUN, 2 + 2 * 999 + 1));
        assert_eq!(second, (text.len() - 300 + LONGEST_RUN, text.len()));
    }

    #[test]
    fn a_megabyte_without_space_is_read_in_linear_time() {
        let text = "😀".repeat(1 << 18);
        let encoded = encoder().encode(&text).unwrap();
        let tokens = flat(&encoded);
        assert_eq!(tokens.len(), LONGEST_RUN);
        assert_eq!(encoded.unread, [(tokens.last().unwrap().end, text.len())]);
    }

    #[test]
    fn of_an_embedded_file_the_beginning_is_read() {
        // Sentences end within it, and language goes on behind it.
        let file = "a.A-5?Na/".repeat(100_000);
        let text = format!(
            "aspirin {file}\ncauses {}。 nausea",
            "-a".repeat(LONGEST_STRETCH / 2)
        );
        let encoded = encoder().encode(&text).unwrap();
        assert_eq!(encoded.unread, [(8 + LONGEST_STRETCH, 8 + file.len())]);
        let tokens = flat(&encoded);
        assert!(
            (LONGEST_STRETCH..2 * LONGEST_STRETCH + 6).contains(&tokens.len()),
            "{}",
            tokens.len()
        );
        let words = |token: &Token| &text[token.start..token.end] == "causes";
        assert!(
            tokens.iter().any(words) && tokens.windows(2).all(|pair| pair[0].end <= pair[1].start)
        );
        assert_eq!(tokens.last().unwrap().end, text.len());
    }

    #[test]
    fn a_stretch_ends_at_white_space_and_foreign_marks() {
        let a = |n: usize| "a".repeat(n);
        let two = |between: &str| a(LONGEST_STRETCH) + between + &a(LONGEST_STRETCH);
        for between in [" ", "\n", "\u{a0}", "。", "，", "😀"] {
            assert!(rests(&two(between)).is_empty());
        }
        assert!(rests("").is_empty() && rests(&a(LONGEST_STRETCH)).is_empty());
        let only = |text: &str| match rests(text).as_slice() {
            [rest] => (rest.start, rest.end),
            other => panic!("{other:?}"),
        };
        assert_eq!(only(&two("-")), (LONGEST_STRETCH, 2 * LONGEST_STRETCH + 1));
        let text = "漢".repeat(LONGEST_STRETCH);
        assert_eq!(only(&text), (LONGEST_STRETCH / 3 * 3, text.len()));
    }

    /// Sentences and pieces must not change what the tokenizer says of the whole text.
    #[test]
    fn pieces_agree_with_the_whole() {
        let text = "aspirins cause nausea - café ".repeat(200);
        let encoder = encoder();
        let whole = encoder.tokenizer.encode(text.as_str(), false).unwrap();
        let tokens = flat(&encoder.encode(&text).unwrap());
        assert_eq!(
            tokens
                .iter()
                .map(|token| (token.start, token.end))
                .collect::<Vec<_>>(),
            whole.get_offsets()
        );
        assert_eq!(
            tokens.iter().map(|token| token.id).collect::<Vec<_>>(),
            whole.get_ids()
        );
    }

    proptest! {
        #[test]
        fn agrees_with_the_tokenizer_on_any_text(text in "(\\PC|[ .?!\n\r\t\u{0}\u{85}\u{a0}\u{2028}\u{301}\u{275B}\u{200d}a한漢é😀\u{1abe}。”-]|na|\\[SEP\\]){0,60}") {
            let encoder = encoder();
            let whole = encoder.tokenizer.encode(text.as_str(), false).unwrap();
            let tokens = flat(&encoder.encode(&text).unwrap());
            prop_assert_eq!(tokens.iter().map(|token| token.id).collect::<Vec<_>>(), whole.get_ids());
            for (token, &(start, end)) in tokens.iter().zip(whole.get_offsets()) {
                prop_assert!(token.start <= start && end <= token.end && text.get(token.start..token.end).is_some());
            }
        }
    }

    proptest! {
        /// ASCII takes a shorter way to the same tokens.
        #[test]
        fn agrees_with_the_tokenizer_on_ascii(text in "([ -~]|[ .?!\n\r\t-]|[a-cA-C]|na|NAuse|a\\.|aspirins|\\[SEP\\]){0,60}", lowercase: bool) {
            let encoder = Encoder::from_vocab(VOCAB, lowercase).unwrap();
            let whole = encoder.tokenizer.encode(text.as_str(), false).unwrap();
            let tokens = flat(&encoder.encode(&text).unwrap());
            prop_assert_eq!(tokens.iter().map(|token| token.id).collect::<Vec<_>>(), whole.get_ids());
            prop_assert_eq!(tokens.iter().map(|token| (token.start, token.end)).collect::<Vec<_>>(), whole.get_offsets());
            let words = whole.get_word_ids();
            let starts = (0..words.len()).map(|at| at == 0 || words[at] != words[at - 1]);
            prop_assert_eq!(tokens.iter().map(|token| token.word).collect::<Vec<_>>(), starts.collect::<Vec<_>>());
        }
    }

    #[test]
    fn added_tokens_are_found_in_ascii() {
        let mut tokenizer = encoder().tokenizer;
        tokenizer
            .add_tokens([AddedToken::from("na-a", false)])
            .unwrap();
        let encoder = Encoder::new(tokenizer).unwrap();
        let ids: Vec<u32> = flat(&encoder.encode("a na-a").unwrap())
            .iter()
            .map(|token| token.id)
            .collect();
        assert_eq!(ids, [13, 19]);
    }

    /// Ids and spans as Python's `tokenizers` gives them, `[CLS]` and `[SEP]` included, offsets in code points.
    #[test]
    fn agrees_with_the_reference_of_the_base_model() {
        let base =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/base/minilm-l6");
        let read = |name: &str| std::fs::read_to_string(base.join(name)).ok();
        let (Some(tokenizer), Some(vocab), Some(reference)) = (
            read("tokenizer.json"),
            read("vocab.txt"),
            read("reference.json"),
        ) else {
            eprintln!("skipped: no ../shared/base/minilm-l6");
            return;
        };
        let reference: Value = serde_json::from_str(&reference).unwrap();
        for encoder in [
            Encoder::from_bytes(tokenizer.as_bytes()).unwrap(),
            Encoder::from_vocab(&vocab, true).unwrap(),
        ] {
            for (i, text) in reference["texts"].as_array().unwrap().iter().enumerate() {
                let text = text.as_str().unwrap();
                let tokens = flat(&encoder.encode(text).unwrap());
                let mut ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
                ids.insert(0, encoder.cls());
                ids.push(encoder.sep());
                assert_eq!(json!(ids), reference["ids"][i]);
                let points = |byte: usize| text[..byte].chars().count();
                let mut spans: Vec<[usize; 2]> = tokens
                    .iter()
                    .map(|token| [points(token.start), points(token.end)])
                    .collect();
                spans.insert(0, [0, 0]);
                spans.push([0, 0]);
                assert_eq!(json!(spans), reference["offsets"][i]);
            }
        }
    }
}
