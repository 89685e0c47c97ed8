//! `bie`: the library on the command line, to try it, to script it, to look at a bundle.

mod cli;

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bie::engine::Engine;
use bie::{Error, Options};
use cli::args::{self, Command, Explain, Extract, Format};
use cli::failure::{Failure, Result};
use cli::terminal::Colours;
use cli::{explain, render};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where stderr is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "bie: {}", failure.message);
            ExitCode::from(failure.exit)
        }
    }
}

fn run() -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match args::parse(std::env::args_os().skip(1))? {
        Command::Help => out.write_all(args::HELP.as_bytes()),
        Command::Version => writeln!(out, "bie {}", bie::VERSION),
        Command::Info { bundle } => render::info(&mut out, &open(bundle, &Options::new())?),
        Command::Extract(command) => extract(&mut out, command)?,
        Command::Explain(command) => explain(&mut out, command)?,
    };
    match written.and_then(|()| out.flush()) {
        // `bie … | head` is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::data(format!("cannot write the output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// The outer result is the extraction's, the inner one the output's.
fn extract(out: &mut dyn Write, command: Extract) -> Result<io::Result<()>> {
    let mut options = options(command.min_score, command.threads)?;
    let mut unit = bie::text::OffsetUnit::default();
    if let Some(name) = &command.offset_unit {
        unit = render::unit(name).ok_or_else(|| {
            Failure::usage(format!(
                "--offset-unit must be utf8, utf16 or utf32, not `{name}`"
            ))
        })?;
    }
    if command.format == Format::Json {
        options.set_str("offset_unit", unit.as_str())?;
    }
    let text = text(&command.file)?;
    let extraction = open(command.bundle, &options)?.extract(&text, &options)?;
    Ok(match command.format {
        Format::Json => writeln!(out, "{}", extraction.to_json()),
        Format::Text => render::text(out, &text, &extraction, unit, colour()),
    })
}

/// The outer result is the explanation's, the inner one the output's.
fn explain(out: &mut dyn Write, mut command: Explain) -> Result<io::Result<()>> {
    let mut options = options(command.min_score, command.threads)?;
    explain::set(&mut options, &command)?;
    let text = text(&command.file)?;
    let engine = open(command.bundle.take(), &options)?;
    explain::run(out, &engine, &text, &command, &options, colours())
}

/// What every command that reads a text sets.
fn options(min_score: Option<f64>, threads: Option<i64>) -> Result<Options> {
    let mut options = Options::new();
    // Whoever names a file on the command line wants it read, whatever its length.
    options.set_i64("max_text_bytes", i32::MAX.into())?;
    if let Some(score) = min_score {
        options
            .set_f64("min_score", score)
            .map_err(Failure::usage)?;
    }
    if let Some(threads) = threads {
        options
            .set_i64("threads", threads)
            .map_err(Failure::usage)?;
        options
            .set_i64("sessions", threads)
            .map_err(Failure::usage)?;
    }
    Ok(options)
}

/// The text of a file. It is read before a model is loaded: a wrong file name should not wait.
fn text(file: &Path) -> Result<String> {
    let name = file.display();
    let bytes =
        read(file).map_err(|error| Failure::data(format!("cannot read {name}: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::data(format!("{name}: {}", Error::InvalidUtf8 { at }))
    })
}

/// `-` is standard input.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file)
}

fn colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// 24 bits where the terminal says that it has them.
fn colours() -> Colours {
    let deep = std::env::var("COLORTERM").is_ok_and(|kind| kind == "truecolor" || kind == "24bit");
    match (colour(), deep) {
        (false, _) => Colours::None,
        (true, false) => Colours::Indexed,
        (true, true) => Colours::True,
    }
}

fn open(bundle: Option<PathBuf>, options: &Options) -> Result<Engine> {
    let bundle = match bundle.or_else(|| std::env::var_os("BIE_BUNDLE").filter(|value| !value.is_empty()).map(PathBuf::from)) {
        Some(bundle) => bundle,
        None => default_bundle().ok_or_else(|| {
            Failure::data("no bundle found; give one with --bundle DIR or BIE_BUNDLE, or put one into models/default beside the program")
        })?,
    };
    Ok(Engine::open(&bundle, options)?)
}

/// `models/default` beside the program, beside its folder (an SDK's `bin`) or that one's (a build's `target/release`),
/// or in the current directory.
fn default_bundle() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    let beside = program
        .iter()
        .flat_map(|program| program.ancestors().skip(1).take(3));
    beside
        .chain([Path::new("")])
        .map(|folder| folder.join("models/default"))
        .find(|folder| folder.is_dir())
}
