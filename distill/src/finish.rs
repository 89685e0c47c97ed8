//! From a finished run to bundles that are measured.

use std::path::Path;

use serde_json::json;

use crate::error::Result;
use crate::export::{Precision, write_bundle};
use crate::train;

/// `distill train`.
///
/// # Errors
/// As [`train::train`]; a bundle cannot be written or read back.
pub fn train(recipe: &Path, out: &Path, resume: bool) -> Result<()> {
    let Some(run) = train::train(recipe, out, resume)? else { return Ok(()) };
    for precision in [Precision::Float, Precision::Int8] {
        let dir = out.join(precision.as_str());
        let hash = write_bundle(&run, precision, &dir, "", json!({}))?;
        eprintln!("distill: wrote {} ({hash})", dir.display());
    }
    Ok(())
}
