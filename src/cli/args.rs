//! The command line's words: small enough to be read by hand.

use std::ffi::OsString;
use std::path::PathBuf;

use super::failure::{Failure, Result};

/// What `bie --help` prints.
pub const HELP: &str = "\
bie finds entities and their relations in biomedical text.

usage: bie extract [options] FILE    read FILE (UTF-8 text; - is standard input)
       bie info [--bundle DIR]       show what a bundle knows
       bie --version | --help

options of extract:
  --bundle DIR        the model bundle (default: the environment variable BIE_BUNDLE, else
                      models/default beside the program, its parent folders, or here)
  --format FORMAT     text (default) or json: the library's canonical JSON
  --offset-unit UNIT  utf8 (bytes, default), utf16 (Java, .NET) or utf32 (code points, Python)
  --min-score X       report what scores at least X, 0 to 1 (default: the bundle's thresholds)
  --threads N         windows of a long text read at once, 1 to 64 (default: 1)

exit codes: 0 done, 1 the text or the bundle is bad, 2 usage, 3 ONNX Runtime is missing or wrong
environment: BIE_BUNDLE, BIE_RUNTIME (the ONNX Runtime file), NO_COLOR
";

/// What was asked.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// `--help`, or nothing at all after which help is due.
    Help,
    /// `--version`.
    Version,
    /// `info`.
    Info {
        /// `--bundle`.
        bundle: Option<PathBuf>,
    },
    /// `extract`.
    Extract(Extract),
}

/// The arguments of `extract`.
#[derive(Debug, Default, PartialEq)]
pub struct Extract {
    /// `--bundle`.
    pub bundle: Option<PathBuf>,
    /// `--format`.
    pub format: Format,
    /// `--offset-unit`.
    pub offset_unit: Option<String>,
    /// `--min-score`.
    pub min_score: Option<f64>,
    /// `--threads`.
    pub threads: Option<i64>,
    /// `FILE`, or `-`.
    pub file: PathBuf,
}

/// How a result is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// Canonical JSON.
    Json,
}

/// Reads the words after the program's name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut words = words.into_iter();
    let Some(first) = words.next() else {
        return Err(Failure::usage("no command; give `extract FILE` or `info`"));
    };
    match first.to_str() {
        Some("--help" | "-h" | "help") => Ok(Command::Help),
        Some("--version" | "-V") => Ok(Command::Version),
        Some("extract") => extract(words),
        Some("info") => info(words),
        _ => Err(Failure::usage(format!(
            "unknown command `{}`; give `extract FILE` or `info`",
            first.display()
        ))),
    }
}

fn info(words: impl Iterator<Item = OsString>) -> Result<Command> {
    let mut bundle = None;
    let mut words = Words::new(words);
    while let Some(word) = words.next() {
        match word {
            Word::Option(name) if name == "--help" => return Ok(Command::Help),
            Word::Option(name) if name == "--bundle" => bundle = Some(words.value(&name)?.into()),
            Word::Option(name) => return Err(unknown(&name, "info")),
            Word::Plain(file) => {
                return Err(Failure::usage(format!(
                    "`info` takes no file, but got `{}`; name a bundle with --bundle",
                    file.display()
                )));
            }
        }
    }
    Ok(Command::Info { bundle })
}

fn extract(words: impl Iterator<Item = OsString>) -> Result<Command> {
    let mut command = Extract::default();
    let mut file = None;
    let mut words = Words::new(words);
    while let Some(word) = words.next() {
        match word {
            Word::Plain(name) if file.is_none() => file = Some(name),
            Word::Plain(name) => {
                return Err(Failure::usage(format!(
                    "`extract` reads one file, but got a second one, `{}`",
                    name.display()
                )));
            }
            Word::Option(name) => match name.as_str() {
                "--help" | "-h" => return Ok(Command::Help),
                "--bundle" => command.bundle = Some(words.value(&name)?.into()),
                "--format" => {
                    command.format = match words.text(&name)?.as_str() {
                        "text" => Format::Text,
                        "json" => Format::Json,
                        other => {
                            return Err(Failure::usage(format!(
                                "--format must be text or json, not `{other}`"
                            )));
                        }
                    }
                }
                "--offset-unit" => command.offset_unit = Some(words.text(&name)?),
                "--min-score" => command.min_score = Some(words.number(&name)?),
                "--threads" => command.threads = Some(words.number(&name)?),
                _ => return Err(unknown(&name, "extract")),
            },
        }
    }
    let file =
        file.ok_or_else(|| Failure::usage("`extract` needs a FILE, or - for standard input"))?;
    Ok(Command::Extract(Extract {
        file: file.into(),
        ..command
    }))
}

fn unknown(name: &str, command: &str) -> Failure {
    Failure::usage(format!("`{command}` has no option `{name}`"))
}

enum Word {
    Option(String),
    Plain(OsString),
}

/// Words with options taken apart: `--name value`, `--name=value`, and `--` before a file whose name begins with `-`.
struct Words<I> {
    words: I,
    /// The value of `--name=value`.
    value: Option<String>,
    plain_only: bool,
}

impl<I: Iterator<Item = OsString>> Words<I> {
    fn new(words: I) -> Self {
        Words {
            words,
            value: None,
            plain_only: false,
        }
    }

    fn next(&mut self) -> Option<Word> {
        // `--help=x`: a value that nobody asked for.
        if let Some(value) = self.value.take() {
            return Some(Word::Option(format!("={value}")));
        }
        let word = self.words.next()?;
        match word.to_str() {
            Some("--") if !self.plain_only => {
                self.plain_only = true;
                self.next()
            }
            Some(name) if name.starts_with('-') && name != "-" && !self.plain_only => {
                let (name, value) = match name.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (name, None),
                };
                self.value = value;
                Some(Word::Option(name.to_owned()))
            }
            _ => Some(Word::Plain(word)),
        }
    }

    fn value(&mut self, name: &str) -> Result<OsString> {
        let value = self
            .value
            .take()
            .map(OsString::from)
            .or_else(|| self.words.next());
        value.ok_or_else(|| Failure::usage(format!("{name} needs a value")))
    }

    fn text(&mut self, name: &str) -> Result<String> {
        let value = self.value(name)?;
        value.into_string().map_err(|value| {
            Failure::usage(format!("{name} is not valid text: `{}`", value.display()))
        })
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T> {
        let value = self.text(name)?;
        value
            .parse()
            .map_err(|_| Failure::usage(format!("{name} needs a number, not `{value}`")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn extract_reads_its_options_in_any_order_and_both_forms() {
        let expected = Command::Extract(Extract {
            bundle: Some("dir".into()),
            format: Format::Json,
            offset_unit: Some("utf16".into()),
            min_score: Some(0.25),
            threads: Some(4),
            file: "file".into(),
        });
        let lines = [
            "extract --bundle dir --format json --offset-unit utf16 --min-score 0.25 --threads 4 file",
            "extract file --threads=4 --min-score=0.25 --offset-unit=utf16 --format=json --bundle=dir",
        ];
        for line in lines {
            assert_eq!(parsed(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn files_may_look_like_options() {
        for (line, name) in [
            ("extract -", "-"),
            ("extract -- --odd", "--odd"),
            ("extract -- --", "--"),
        ] {
            let Command::Extract(command) = parsed(line).unwrap() else {
                panic!()
            };
            assert_eq!(command.file, PathBuf::from(name));
        }
    }

    #[test]
    fn wrong_usage_says_what_is_wrong() {
        let lines = [
            ("", "no command"),
            ("extrakt file", "`extrakt`"),
            ("extract", "FILE"),
            ("extract a b", "`b`"),
            ("extract a --nope", "`--nope`"),
            ("extract a -x", "`-x`"),
            ("extract a --bundle", "--bundle needs a value"),
            ("extract a --format xml", "`xml`"),
            ("extract a --threads many", "`many`"),
            ("extract a --min-score=", "number"),
            ("info file", "`file`"),
            ("info --format json", "`--format`"),
        ];
        for (line, word) in lines {
            let failure = parsed(line).unwrap_err();
            assert_eq!(failure.exit, 2);
            assert!(
                failure.message.contains(word) && failure.message.contains("bie --help"),
                "{line}: {}",
                failure.message
            );
        }
    }

    #[test]
    fn help_and_version() {
        for line in [
            "--help",
            "-h",
            "extract --help",
            "info --help",
            "extract file --help",
        ] {
            assert_eq!(parsed(line).unwrap(), Command::Help);
        }
        assert_eq!(parsed("--version").unwrap(), Command::Version);
    }
}
