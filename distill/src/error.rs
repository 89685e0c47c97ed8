//! errors (placeholder until the data branch lands)
/// Result.
pub type Result<T> = std::result::Result<T, Error>;
/// Error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Runtime.
    #[error("{0}")]
    Runtime(String),
    /// Weights.
    #[error("{0}")]
    Data(String),
}
