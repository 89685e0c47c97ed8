//! From bytes to windows: sentences, windows, and the units that hosts count in.

pub mod offsets;
pub mod sentence;
pub mod window;

/// The unit in which offsets are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OffsetUnit {
    /// Bytes of UTF-8 (C, C++, Rust).
    #[default]
    Utf8,
    /// Code units of UTF-16 (Java, .NET, JavaScript).
    Utf16,
    /// Unicode scalar values (Python).
    Utf32,
}

impl OffsetUnit {
    /// The name used in options and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            OffsetUnit::Utf8 => "utf8",
            OffsetUnit::Utf16 => "utf16",
            OffsetUnit::Utf32 => "utf32",
        }
    }
}
