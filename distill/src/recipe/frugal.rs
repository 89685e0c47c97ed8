//! Keys for those with little: what of the student is left alone, so that it costs neither gradients nor moments.

use serde::{Deserialize, Serialize};

use super::places::Places;
use crate::error::Result;

/// Parameters that stay as the base has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// The embedding layer: its tables and its normalisation.
    #[serde(default)]
    pub embeddings: bool,
    /// So many layers of the encoder, from the lowest.
    #[serde(default)]
    pub layers: usize,
}

impl Freeze {
    /// Whether everything is trained: recipes from before this key have the same identity.
    pub(super) fn is_none(&self) -> bool {
        *self == Freeze::default()
    }
}

/// Low-rank adapters (Hu et al. 2022) on the encoder's linear layers: only they and the heads are trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapters {
    /// Rank r of what is added to each weight matrix.
    pub rank: usize,
    /// α of the paper: what is added is multiplied by α / r.
    #[serde(default = "Adapters::scale")]
    pub scale: f32,
}

impl Adapters {
    fn scale() -> f32 {
        16.0
    }

    pub(super) fn check(&self, at: &Places) -> Result<()> {
        at.range(&["student", "adapters", "rank"], self.rank, 1, 1024)?;
        at.range(&["student", "adapters", "scale"], self.scale, 1e-3, 1e3)
    }
}
