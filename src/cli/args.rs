//! The command line's words: small enough to be read by hand.

use std::ffi::OsString;
use std::path::PathBuf;

use super::failure::{Failure, Result};

/// What `bie --help` prints.
pub const HELP: &str = "\
bie finds entities and their relations in biomedical text.

usage: bie extract [options] FILE    read FILE (UTF-8 text; - is standard input)
       bie explain [options] FILE    say why: the words that speak for and against each finding
       bie info [--bundle DIR]       show what a bundle knows
       bie --version | --help

options of extract and explain:
  --bundle DIR        the model bundle (default: the environment variable BIE_BUNDLE, else
                      models/default beside the program, its parent folders, or here)
  --format FORMAT     text (default) or json: the library's canonical JSON
  --min-score X       report what scores at least X, 0 to 1 (default: the bundle's thresholds)
  --threads N         windows of a long text read at once, 1 to 64 (default: 1)

options of extract:
  --offset-unit UNIT  utf8 (bytes, default), utf16 (Java, .NET) or utf32 (code points, Python)

options of explain (offsets are in bytes):
  --target NAME,...   e3 or r0 as `bie extract` names them, e3:TYPE (why would this span be TYPE),
                      e0:RELATION:e4 (also if it was not reported), or all
                      (default: every relation; every entity if there is no relation)
  --rival TYPE        why not TYPE: explain the target's lead over it; needs --target
  --html FILE         also write a page for people, which needs no script and no network
  --svg FILE          also write a picture for a record; needs one --target
  --method METHOD     auto (default), attention, attention_rollout, input_x_gradient, occlusion,
                      attention_x_gradient, integrated_gradients, shap, lime or guided_occlusion
  --players KIND      what occlusion, shap and lime take away: words (default) or units
                      (whole entities, and the clauses between them)
  --faithfulness      also test the explanation against random words
  --heads             also show where the model's attention heads look (a view, not evidence)
  --evaluations N     at most N runs of the model for methods that sample
  --time-budget-ms N  sample no longer than this; without it equal calls give equal bytes
  --seed N            of the sampling (default: 0)

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
    /// `explain`.
    Explain(Explain),
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

/// The arguments of `explain`. What only the library can judge is kept as it was given.
#[derive(Debug, Default, PartialEq)]
pub struct Explain {
    /// `--bundle`.
    pub bundle: Option<PathBuf>,
    /// `--format`.
    pub format: Format,
    /// `--min-score`.
    pub min_score: Option<f64>,
    /// `--threads`.
    pub threads: Option<i64>,
    /// `--target`, taken apart at commas.
    pub targets: Vec<String>,
    /// `--rival`.
    pub rival: Option<String>,
    /// `--html`.
    pub html: Option<PathBuf>,
    /// `--svg`.
    pub svg: Option<PathBuf>,
    /// `--method`.
    pub method: Option<String>,
    /// `--players`.
    pub players: Option<String>,
    /// `--faithfulness`.
    pub faithfulness: bool,
    /// `--heads`.
    pub heads: bool,
    /// `--evaluations`.
    pub evaluations: Option<i64>,
    /// `--time-budget-ms`.
    pub time_budget_ms: Option<i64>,
    /// `--seed`.
    pub seed: Option<i64>,
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
        return Err(Failure::usage(
            "no command; give `extract FILE`, `explain FILE` or `info`",
        ));
    };
    match first.to_str() {
        Some("--help" | "-h" | "help") => Ok(Command::Help),
        Some("--version" | "-V") => Ok(Command::Version),
        Some("extract") => extract(words),
        Some("explain") => explain(words),
        Some("info") => info(words),
        _ => Err(Failure::usage(format!(
            "unknown command `{}`; give `extract FILE`, `explain FILE` or `info`",
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
            Word::Plain(name) => only(&mut file, name, "extract")?,
            Word::Option(name) => match name.as_str() {
                "--help" | "-h" => return Ok(Command::Help),
                "--bundle" => command.bundle = Some(words.value(&name)?.into()),
                "--format" => command.format = words.format(&name)?,
                "--offset-unit" => command.offset_unit = Some(words.text(&name)?),
                "--min-score" => command.min_score = Some(words.number(&name)?),
                "--threads" => command.threads = Some(words.number(&name)?),
                _ => return Err(unknown(&name, "extract")),
            },
        }
    }
    command.file = needed(file, "extract")?;
    Ok(Command::Extract(command))
}

fn explain(words: impl Iterator<Item = OsString>) -> Result<Command> {
    let mut command = Explain::default();
    let mut file = None;
    let mut words = Words::new(words);
    while let Some(word) = words.next() {
        match word {
            Word::Plain(name) => only(&mut file, name, "explain")?,
            Word::Option(name) => match name.as_str() {
                "--help" | "-h" => return Ok(Command::Help),
                "--bundle" => command.bundle = Some(words.value(&name)?.into()),
                "--format" => command.format = words.format(&name)?,
                "--min-score" => command.min_score = Some(words.number(&name)?),
                "--threads" => command.threads = Some(words.number(&name)?),
                "--target" => {
                    let names = words.text(&name)?;
                    command
                        .targets
                        .extend(names.split(',').map(|name| name.trim().to_owned()));
                }
                "--rival" => command.rival = Some(words.text(&name)?),
                "--html" => command.html = Some(words.output(&name)?),
                "--svg" => command.svg = Some(words.output(&name)?),
                "--method" => command.method = Some(words.text(&name)?),
                "--players" => command.players = Some(words.text(&name)?),
                "--faithfulness" => command.faithfulness = true,
                "--heads" => command.heads = true,
                "--evaluations" => command.evaluations = Some(words.number(&name)?),
                "--time-budget-ms" => command.time_budget_ms = Some(words.number(&name)?),
                "--seed" => command.seed = Some(words.number(&name)?),
                _ => return Err(unknown(&name, "explain")),
            },
        }
    }
    command.file = needed(file, "explain")?;
    if command.rival.is_some() && command.targets.is_empty() {
        return Err(Failure::usage(
            "--rival asks about certain decisions: name them with --target",
        ));
    }
    if command.svg.is_some() && !matches!(command.targets.as_slice(), [one] if one != "all") {
        return Err(Failure::usage(
            "--svg shows one decision: name it with --target",
        ));
    }
    Ok(Command::Explain(command))
}

/// Keeps the one file that a command reads.
fn only(file: &mut Option<OsString>, name: OsString, command: &str) -> Result<()> {
    if file.is_some() {
        return Err(Failure::usage(format!(
            "`{command}` reads one file, but got a second one, `{}`",
            name.display()
        )));
    }
    *file = Some(name);
    Ok(())
}

fn needed(file: Option<OsString>, command: &str) -> Result<PathBuf> {
    file.map(PathBuf::from)
        .ok_or_else(|| Failure::usage(format!("`{command}` needs a FILE, or - for standard input")))
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

    fn format(&mut self, name: &str) -> Result<Format> {
        match self.text(name)?.as_str() {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            other => Err(Failure::usage(format!(
                "{name} must be text or json, not `{other}`"
            ))),
        }
    }

    /// A file to write. Standard output has its own use.
    fn output(&mut self, name: &str) -> Result<PathBuf> {
        let value = self.value(name)?;
        if value.is_empty() || value == "-" {
            return Err(Failure::usage(format!(
                "{name} needs a file's name: standard output shows the text or the JSON"
            )));
        }
        Ok(value.into())
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
        for method in bie::explain::Method::ALL {
            assert!(HELP.contains(method.as_str()), "{method:?}");
        }
    }
}
