//! `include/bie.h` and `include/bie.symbols` are what the sources say, complete and documented.
//!
//! `BIE_BLESS=1 cargo test --test header` rewrites both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bie::options::KEYS;

/// The files of the C boundary, in the order of the header.
const SOURCES: [&str; 8] = [
    "version",
    "error",
    "options",
    "engine",
    "result",
    "cancel",
    "explain",
    "explanation",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// The key table as lines of the header's opening comment.
fn options() -> String {
    let mut lines = String::new();
    for key in KEYS {
        writeln!(
            lines,
            " * - {} ({}; {}). Default: {}.",
            key.name,
            key.kind,
            key.call.as_str(),
            key.default
        )
        .unwrap();
        writeln!(lines, " *   {}", key.help).unwrap();
    }
    lines.trim_end().to_owned()
}

fn header() -> String {
    let mut config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    config.header = config
        .header
        .map(|header| header.replace("@OPTIONS@", &options()));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root().join("src/ffi").join(source).with_extension("rs"));
    }
    let mut bytes = Vec::new();
    builder.generate().unwrap().write(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

/// Names of the functions that a header declares, sorted.
fn functions(header: &str) -> Vec<String> {
    let (_, code) = header
        .split_once("#ifndef BIE_H")
        .expect("the include guard");
    let code: String = code
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, " "])
        .collect();
    let mut names: Vec<String> = code
        .split([';', '{'])
        .filter(|item| item.contains("BIE_API") && item.contains('('))
        .filter_map(|item| {
            item.split('(')
                .next()?
                .rsplit(|c: char| c.is_whitespace() || c == '*')
                .next()
        })
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

fn compare(file: &str, made: &str) {
    let path = root().join("include").join(file);
    if std::env::var_os("BIE_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept != made {
        let line = kept
            .lines()
            .zip(made.lines())
            .take_while(|(a, b)| a == b)
            .count()
            + 1;
        panic!(
            "include/{file} differs from src/ffi at line {line}; run `BIE_BLESS=1 cargo test --test header`"
        );
    }
}

#[test]
fn header_is_what_the_sources_say() {
    compare("bie.h", &header());
}

#[test]
fn symbol_list_is_what_the_header_declares() {
    let names = functions(&header());
    assert!(
        names.len() > 35 && names.iter().all(|name| name.starts_with("bie_")),
        "{names:?}"
    );
    compare("bie.symbols", &(names.join("\n") + "\n"));
}

/// Every function says on which threads it may run, which errors it gives and since when it is there; every record,
/// field, constant and status number has a comment.
#[test]
fn every_item_is_documented() {
    let header = header();
    let (_, code) = header
        .split_once("#ifndef BIE_H")
        .expect("the include guard");
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let mut inside = false;
    let mut checked = 0;
    for (number, line) in lines.iter().enumerate() {
        let opens = line.ends_with('{') && !line.starts_with("extern");
        let constant = line.starts_with("#define BIE_")
            && line.split(' ').count() == 3
            && !line.contains("BIE_API");
        let function = line.starts_with("BIE_API");
        let member =
            inside && (line.ends_with(';') || line.ends_with(',')) && !line.starts_with('}');
        let kind = line.starts_with("typedef struct") || line.starts_with("enum bie_");
        if constant || function || member || kind {
            let above = lines[..number]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("///"));
            let comment: Vec<&str> = above.copied().collect();
            assert!(!comment.is_empty(), "no comment: {line}");
            for word in ["Threads:", "Since 0."] {
                let found = comment.iter().any(|line| line.contains(word));
                assert!(found || !function, "the comment lacks `{word}`: {line}");
            }
            checked += 1;
        }
        inside = opens || inside && !line.starts_with('}');
    }
    assert!(checked > 130, "only {checked} items were seen");
}

#[test]
fn version_macros_are_those_of_the_package() {
    let header = header();
    let value = |name: &str| {
        let line = header
            .lines()
            .find(|line| line.starts_with(&format!("#define {name} ")))
            .expect(name);
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let version = ["MAJOR", "MINOR", "PATCH"]
        .map(|part| value(&format!("BIE_VERSION_{part}")))
        .join(".");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    // Before 1.0 the binary interface moves with the package's minor version.
    assert_eq!(value("BIE_ABI_MAJOR"), env!("CARGO_PKG_VERSION_MAJOR"));
    assert_eq!(value("BIE_ABI_MINOR"), env!("CARGO_PKG_VERSION_MINOR"));
}
