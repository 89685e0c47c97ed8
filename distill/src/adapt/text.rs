//! Plain text in windows of whole sentences.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use bie::encode::Encoder;
use bie::text::window::windows;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::recipe::adapt::{Documents, Text};

/// Longest text of one file; a gzip file could hold any.
const LONGEST_FILE: u64 = 4 << 30;

/// A piece of a text in 4 bytes: the corpus stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece(u32);

impl Piece {
    const WORD: u32 = 1 << 31;

    /// `word`: whether it begins a word.
    pub fn new(id: u32, word: bool) -> Piece {
        Piece(id | if word { Piece::WORD } else { 0 })
    }
    /// Index into the vocabulary.
    pub fn id(self) -> u32 {
        self.0 & !Piece::WORD
    }
    /// Whether it begins a word.
    pub fn word(self) -> bool {
        self.0 & Piece::WORD != 0
    }
}

/// What was read.
#[derive(Debug, Default, PartialEq)]
pub struct Corpus {
    /// Windows to train on, without special tokens.
    pub training: Vec<Vec<Piece>>,
    /// Windows to measure on.
    pub held_out: Vec<Vec<Piece>>,
    /// Documents in each.
    pub documents: [usize; 2],
}

impl Corpus {
    /// Reads what the recipe names; `resolve` makes its paths ones that can be opened.
    ///
    /// # Errors
    /// A file cannot be read or is no UTF-8; there are too few documents; no text is in them.
    pub fn read(
        text: &Text,
        resolve: impl Fn(&Path) -> PathBuf,
        seed: u64,
        encoder: &Encoder,
        progress: impl Fn(usize, usize),
    ) -> Result<Corpus> {
        let mut files = Vec::new();
        for path in &text.paths {
            let path = resolve(path);
            let before = files.len();
            find(&path, true, &mut files)?;
            if files.len() == before {
                return Err(Error::file(&path, "no .txt or .gz file is in it"));
            }
        }
        let mut sources: Vec<Source> = Vec::new();
        for file in files {
            match text.documents {
                Documents::Files => sources.push(Source::File(file)),
                Documents::Lines => sources.extend(lines(&read(&file)?)),
            }
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        sources.shuffle(&mut random);
        if sources.len() <= text.held_out {
            return Err(Error::Usage(format!(
                "the text has {} documents, of which text.held_out = {} are not trained on; give more text, hold out fewer, or say documents = \"lines\" if each line is one",
                sources.len(),
                text.held_out
            )));
        }
        let wanted = text
            .at_most
            .map_or(sources.len(), |n| n.saturating_add(text.held_out));
        sources.truncate(wanted);
        let mut corpus = Corpus {
            documents: [sources.len() - text.held_out, text.held_out],
            ..Corpus::default()
        };
        let (all, unknown) = (sources.len(), encoder.special("[UNK]"));
        for (n, source) in sources.into_iter().enumerate() {
            let document = match source {
                Source::File(file) => read(&file)?,
                Source::Text(text) => text,
            };
            // A window of nothing but unknown words has nothing to hide.
            let mut read = windows(encoder.encode(&document)?, text.max_tokens);
            read.retain(|window| window.tokens.iter().any(|t| Some(t.id) != unknown));
            let pieces = read.into_iter().map(|window| {
                let tokens = window.tokens.iter();
                tokens.map(|t| Piece::new(t.id, t.word)).collect()
            });
            if n < text.held_out {
                corpus.held_out.extend(pieces);
            } else {
                corpus.training.extend(pieces);
            }
            progress(n + 1, all);
        }
        if corpus.training.is_empty() || corpus.held_out.is_empty() {
            return Err(Error::Usage("the documents hold no text".to_owned()));
        }
        let kept = corpus.held_out.len().min(text.held_out_windows);
        let every = |i: usize| i * corpus.held_out.len() / kept;
        corpus.held_out = (0..kept)
            .filter_map(|i| corpus.held_out.get(every(i)).cloned())
            .collect();
        Ok(corpus)
    }
}

enum Source {
    File(PathBuf),
    Text(String),
}

fn lines(text: &str) -> impl Iterator<Item = Source> {
    let kept = text.lines().filter(|line| !line.trim().is_empty());
    kept.map(|line| Source::Text(line.to_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The text files at a path, in the order of their names; a file that the user `named` must be one.
fn find(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(Error::io("read", path))?;
        let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        inside.sort();
        return inside.iter().try_for_each(|path| find(path, false, files));
    }
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let archive = name.contains(".tar") || name.ends_with(".tgz");
    if (name.ends_with(".txt") || name.ends_with(".gz")) && !archive {
        files.push(path.to_owned());
    } else if named {
        return Err(Error::file(
            path,
            "only .txt and .gz files and folders of them are read; unpack an archive first",
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let file = fs::File::open(path).map_err(Error::io("read", path))?;
    let mut text = String::new();
    let read = if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gz"))
    {
        let unpacked = flate2::read::MultiGzDecoder::new(file);
        unpacked.take(LONGEST_FILE).read_to_string(&mut text)
    } else {
        file.take(LONGEST_FILE).read_to_string(&mut text)
    };
    match read {
        Ok(_) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Err(Error::file(
            path,
            "not UTF-8; convert it, for instance with iconv",
        )),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn encoder() -> Encoder {
        Encoder::from_vocab("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\nc\n.", true).unwrap()
    }

    fn text(paths: &[&Path]) -> Text {
        Text {
            paths: paths.iter().map(|p| p.to_path_buf()).collect(),
            documents: Documents::Files,
            held_out: 1,
            held_out_windows: 512,
            at_most: None,
            max_tokens: 8,
        }
    }

    fn corpus(text: &Text) -> std::result::Result<Corpus, String> {
        Corpus::read(text, Path::to_path_buf, 1, &encoder(), |_, _| {}).map_err(|e| e.to_string())
    }

    #[test]
    fn folders_files_and_lines_become_windows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("in")).unwrap();
        fs::write(at("in/1.txt"), "ab. c.\n\nab ab ab ab c").unwrap();
        fs::write(at("in/notes.md"), "not read").unwrap();
        let mut gz = flate2::write::GzEncoder::new(
            fs::File::create(at("2.txt.gz")).unwrap(),
            Default::default(),
        );
        gz.write_all(b"c. a.").unwrap();
        gz.finish().unwrap();
        let read = corpus(&text(&[folder.path()])).unwrap();
        assert_eq!(read.documents, [1, 1]);
        let all: Vec<Vec<(u32, bool)>> = read
            .training
            .iter()
            .chain(&read.held_out)
            .map(|w| w.iter().map(|p| (p.id(), p.word())).collect())
            .collect();
        let (ab, c, dot) = ([(4, true), (5, false)], (6, true), (7, true));
        assert_eq!(all.len(), 4);
        assert!(all.contains(&vec![c, dot, (4, true), dot]));
        assert!(all.contains(&vec![ab[0], ab[1], dot, c, dot]));
        assert!(
            all.contains(&[ab, ab, ab].concat()),
            "cut before a word: {all:?}"
        );

        let lines = Text {
            documents: Documents::Lines,
            ..text(&[&at("in/1.txt")])
        };
        assert_eq!(corpus(&lines).unwrap().documents, [1, 1]);
        let few = Text {
            held_out_windows: 1,
            at_most: Some(1),
            ..lines
        };
        assert_eq!(corpus(&few).unwrap().held_out.len(), 1);
        assert_eq!(corpus(&few).unwrap(), corpus(&few).unwrap());
    }

    #[test]
    fn what_is_wrong_with_texts_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(
            corpus(&text(&[folder.path()]))
                .unwrap_err()
                .contains("no .txt or .gz")
        );
        fs::write(at("a.tar.xz"), "").unwrap();
        assert!(
            corpus(&text(&[&at("a.tar.xz")]))
                .unwrap_err()
                .contains("unpack an archive")
        );
        fs::write(at("1.txt"), "a").unwrap();
        assert!(
            corpus(&text(&[folder.path()]))
                .unwrap_err()
                .contains("has 1 documents")
        );
        fs::write(at("2.txt"), [0xff, 0xfe]).unwrap();
        let why = corpus(&text(&[folder.path()])).unwrap_err();
        assert!(why.contains("2.txt: not UTF-8"), "{why}");
        fs::write(at("2.txt"), "漢 \n").unwrap();
        assert!(
            corpus(&text(&[folder.path()]))
                .unwrap_err()
                .contains("no text")
        );
    }
}
