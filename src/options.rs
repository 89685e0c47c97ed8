//! Options: one table of keys feeds the setters, the documentation and the header's text.
//!
//! One [`Options`] serves all calls: each key belongs to `open`, `extract` or `explain`, and a key of another call is ignored there.
//! A wrong key or value is refused when it is set, never later.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::explain::{Baseline, Deletion, Method, Players};
use crate::text::OffsetUnit;

/// The call that reads a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `Engine::open`.
    Open,
    /// `Engine::extract`.
    Extract,
    /// `Engine::explain`.
    Explain,
}

impl Call {
    /// The name used in documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Call::Open => "open",
            Call::Extract => "extract",
            Call::Explain => "explain",
        }
    }
}

/// Type and range of a key's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text but the empty one.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An integer in `min..=max`.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A number in `min..=max`.
    Number {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
    },
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Text => f.write_str("text"),
            Kind::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Kind::Integer { min, max } => write!(f, "an integer from {min} to {max}"),
            Kind::Number { min, max } => write!(f, "a number from {min} to {max}"),
        }
    }
}

/// One key of the table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key, as the host writes it.
    pub name: &'static str,
    /// Type and range of its value.
    pub kind: Kind,
    /// What holds when it is not set, in words.
    pub default: &'static str,
    /// The call that reads it.
    pub call: Call,
    /// What it does, in one line.
    pub help: &'static str,
    /// Stores a value that `kind` has admitted.
    store: fn(&mut Options, Value<'_>),
}

/// Every key, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key {
        name: "runtime_path",
        kind: Kind::Text,
        default: "libbie_onnxruntime.so beside the library, else the environment variable BIE_RUNTIME",
        call: Call::Open,
        help: "The ONNX Runtime file (1.28). A process uses one: the first engine decides.",
        store: |options, value| {
            if let Value::Text(path) = value {
                options.runtime_path = Some(PathBuf::from(path));
            }
        },
    },
    Key {
        name: "sessions",
        kind: Kind::Integer { min: 1, max: 64 },
        default: "the number of available cores, at most 4",
        call: Call::Open,
        help: "At most so many windows run at once; other callers wait. Sessions are made when first needed, each costs memory.",
        store: |options, value| {
            if let Value::Integer(n) = value {
                options.sessions = usize::try_from(n).ok();
            }
        },
    },
    Key {
        name: "offset_unit",
        kind: Kind::Choice(&["utf8", "utf16", "utf32"]),
        default: "utf8",
        call: Call::Extract,
        help: "Unit of every offset: bytes of UTF-8, code units of UTF-16 (Java, .NET), code points (Python).",
        store: |options, value| {
            if let Value::Text(name) = value {
                options.offset_unit = [OffsetUnit::Utf16, OffsetUnit::Utf32]
                    .into_iter()
                    .find(|unit| unit.as_str() == name)
                    .unwrap_or_default();
            }
        },
    },
    Key {
        name: "max_text_bytes",
        kind: Kind::Integer {
            min: 0,
            max: i32::MAX as i64,
        },
        default: "16777216",
        call: Call::Extract,
        help: "A longer text is refused, not cut.",
        store: |options, value| {
            if let Value::Integer(n) = value
                && let Ok(n) = usize::try_from(n)
            {
                options.max_text_bytes = n;
            }
        },
    },
    Key {
        name: "min_score",
        kind: Kind::Number { min: 0.0, max: 1.0 },
        default: "the thresholds of the bundle, one for each type",
        call: Call::Extract,
        help: "Entities and relations scored below are not reported; replaces the bundle's thresholds.",
        store: |options, value| {
            if let Value::Number(p) = value {
                options.min_score = Some(p as f32);
            }
        },
    },
    Key {
        name: "threads",
        kind: Kind::Integer { min: 1, max: 64 },
        default: "1",
        call: Call::Extract,
        help: "So many windows of this text run at once, within `sessions`; in `explain`, so many deletions. The result does not depend on it.",
        store: |options, value| {
            if let Value::Integer(n) = value
                && let Ok(n) = usize::try_from(n)
            {
                options.threads = n;
            }
        },
    },
    Key {
        name: "method",
        kind: Kind::Choice(&[
            "auto",
            "attention",
            "attention_rollout",
            "input_x_gradient",
            "attention_x_gradient",
            "integrated_gradients",
            "occlusion",
            "shap",
            "lime",
            "guided_occlusion",
        ]),
        default: "auto",
        call: Call::Explain,
        help: "How words are weighed. `auto`: the most faithful method that the budget admits. `attention_rollout` is a view, not evidence.",
        store: |options, value| {
            if let Value::Text(name) = value {
                options.explain.method = named(&Method::ALL, Method::as_str, name);
            }
        },
    },
    Key {
        name: "players",
        kind: Kind::Choice(&["words", "units"]),
        default: "words",
        call: Call::Explain,
        help: "What occlusion, shap and lime delete: single words, or whole entities and the clauses between them.",
        store: |options, value| {
            if let Value::Text(name) = value {
                options.explain.players = named(&Players::ALL, Players::as_str, name);
            }
        },
    },
    Key {
        name: "deletion",
        kind: Kind::Choice(&["pad", "mask"]),
        default: "pad",
        call: Call::Explain,
        help: "What stands in for a deleted token: [PAD] or [MASK].",
        store: |options, value| {
            if let Value::Text(name) = value {
                options.explain.deletion = named(&Deletion::ALL, Deletion::as_str, name);
            }
        },
    },
    Key {
        name: "baseline",
        kind: Kind::Choice(&["pad", "mask", "mean"]),
        default: "pad",
        call: Call::Explain,
        help: "Where integrated gradients start from: every token [PAD], every token [MASK], or the mean of the window's embeddings.",
        store: |options, value| {
            if let Value::Text(name) = value {
                options.explain.baseline = named(&Baseline::ALL, Baseline::as_str, name);
            }
        },
    },
    Key {
        name: "evaluations",
        kind: Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        default: "what the method needs: see docs/explain.md",
        call: Call::Explain,
        help: "At most so many forward passes for methods that sample (shap, lime, auto); integrated gradients: at most so many steps.",
        store: |options, value| {
            if let Value::Integer(n) = value {
                options.explain.evaluations = usize::try_from(n).ok();
            }
        },
    },
    Key {
        name: "time_budget_ms",
        kind: Kind::Integer {
            min: 1,
            max: 86_400_000,
        },
        default: "none",
        call: Call::Explain,
        help: "After this time sampling ends with what it has, and the explanation says so (`cut_short`). Without it equal calls give equal bytes.",
        store: |options, value| {
            if let Value::Integer(n) = value {
                options.explain.time_budget =
                    u64::try_from(n).ok().map(std::time::Duration::from_millis);
            }
        },
    },
    Key {
        name: "seed",
        kind: Kind::Integer {
            min: 0,
            max: i64::MAX,
        },
        default: "0",
        call: Call::Explain,
        help: "Of the sampling in shap, lime and the random deletions of `faithfulness`.",
        store: |options, value| {
            if let Value::Integer(n) = value {
                options.explain.seed = n.unsigned_abs();
            }
        },
    },
    Key {
        name: "faithfulness",
        kind: Kind::Choice(&["off", "on"]),
        default: "off",
        call: Call::Explain,
        help: "Measure comprehensiveness and sufficiency of the explanation, against random words: about 40 more forward passes.",
        store: |options, value| {
            options.explain.faithfulness = matches!(value, Value::Text("on"));
        },
    },
    Key {
        name: "attention_heads",
        kind: Kind::Choice(&["off", "on"]),
        default: "off",
        call: Call::Explain,
        help: "Add the last layer's attention, head by head, as a view.",
        store: |options, value| {
            options.explain.attention_heads = matches!(value, Value::Text("on"));
        },
    },
];

/// The one of `all` that has this name; a name that [`Kind::Choice`] admits is one of them.
fn named<T: Copy + Default>(all: &[T], name_of: fn(T) -> &'static str, name: &str) -> T {
    all.iter()
        .copied()
        .find(|one| name_of(*one) == name)
        .unwrap_or_default()
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Number(f64),
}

/// Settings of one engine or one extraction. Opaque: set by key, so that a new key needs no new symbol.
///
/// One writer, or any number of readers, at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub(crate) runtime_path: Option<PathBuf>,
    pub(crate) sessions: Option<usize>,
    pub(crate) offset_unit: OffsetUnit,
    pub(crate) max_text_bytes: usize,
    pub(crate) min_score: Option<f32>,
    pub(crate) threads: usize,
    pub(crate) explain: Explain,
}

/// The keys of [`Call::Explain`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Explain {
    pub(crate) method: Method,
    pub(crate) players: Players,
    pub(crate) deletion: Deletion,
    pub(crate) baseline: Baseline,
    pub(crate) evaluations: Option<usize>,
    pub(crate) time_budget: Option<std::time::Duration>,
    pub(crate) seed: u64,
    pub(crate) faithfulness: bool,
    pub(crate) attention_heads: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            runtime_path: None,
            sessions: None,
            offset_unit: OffsetUnit::default(),
            max_text_bytes: 16 << 20,
            min_score: None,
            threads: 1,
            explain: Explain::default(),
        }
    }
}

impl Options {
    /// Every key at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a text or choice key.
    pub fn set_str(&mut self, key: &str, value: &str) -> Result<()> {
        self.set(key, Value::Text(value))
    }

    /// Sets an integer key.
    pub fn set_i64(&mut self, key: &str, value: i64) -> Result<()> {
        self.set(key, Value::Integer(value))
    }

    /// Sets a number key.
    pub fn set_f64(&mut self, key: &str, value: f64) -> Result<()> {
        self.set(key, Value::Number(value))
    }

    fn set(&mut self, name: &str, value: Value<'_>) -> Result<()> {
        let key = KEYS
            .iter()
            .find(|key| key.name == name)
            .ok_or_else(|| unknown(name))?;
        let admitted = match (key.kind, value) {
            (Kind::Text, Value::Text(text)) => !text.is_empty() && !text.contains('\0'),
            (Kind::Choice(words), Value::Text(text)) => words.contains(&text),
            (Kind::Integer { min, max }, Value::Integer(n)) => (min..=max).contains(&n),
            (Kind::Number { min, max }, Value::Number(p)) => (min..=max).contains(&p), // NaN lies in no range
            _ => false,
        };
        if !admitted {
            return Err(Error::InvalidArgument(format!(
                "option `{}` must be {}; its default is {}",
                key.name, key.kind, key.default
            )));
        }
        (key.store)(self, value);
        Ok(())
    }
}

/// The key as given, printable and short: hosts may pass anything.
fn unknown(name: &str) -> Error {
    Error::UnknownOption {
        key: name.chars().take(64).flat_map(char::escape_debug).collect(),
        known: KEYS
            .iter()
            .map(|key| key.name)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_set_and_changes_the_options() {
        for key in KEYS {
            let mut options = Options::new();
            match key.kind {
                Kind::Text => options.set_str(key.name, "/x").unwrap(),
                Kind::Choice(words) => options.set_str(key.name, words.last().unwrap()).unwrap(),
                Kind::Integer { max, .. } => options.set_i64(key.name, max).unwrap(),
                Kind::Number { max, .. } => options.set_f64(key.name, max).unwrap(),
            }
            assert_ne!(options, Options::new(), "{} stores nothing", key.name);
        }
    }

    #[test]
    fn a_bad_value_is_refused_and_changes_nothing() {
        let mut options = Options::new();
        let bad = [
            options.set_i64("sessions", 0),
            options.set_i64("sessions", 65),
            options.set_i64("threads", i64::MIN),
            options.set_i64("max_text_bytes", 1 << 31),
            options.set_i64("max_text_bytes", -1),
            options.set_str("sessions", "4"),
            options.set_f64("sessions", 4.0),
            options.set_str("offset_unit", "UTF8"),
            options.set_str("runtime_path", ""),
            options.set_str("runtime_path", "a\0b"),
            options.set_f64("min_score", f64::NAN),
            options.set_f64("min_score", 1.0000001),
            options.set_f64("min_score", f64::NEG_INFINITY),
        ];
        for result in bad {
            assert!(matches!(result, Err(Error::InvalidArgument(_))));
        }
        assert_eq!(options, Options::new());
    }

    #[test]
    fn an_unknown_key_is_named_in_one_line() {
        let error = Options::new().set_i64("sess\nions", 1).unwrap_err();
        assert!(matches!(error, Error::UnknownOption { .. }));
        let message = error.to_string();
        assert!(
            message.contains("sess\\nions")
                && message.contains("offset_unit")
                && !message.contains('\n'),
            "{message}"
        );
    }

    #[test]
    fn units_are_stored_by_name() {
        for unit in [OffsetUnit::Utf16, OffsetUnit::Utf32, OffsetUnit::Utf8] {
            let mut options = Options::new();
            options.set_str("offset_unit", unit.as_str()).unwrap();
            assert_eq!(options.offset_unit, unit);
        }
    }
}
