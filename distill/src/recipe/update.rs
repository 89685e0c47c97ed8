//! The section `[update]`: an existing bundle learns something new. `student.base` is then that bundle, which also is a teacher, and the
//! schema is the bundle's, with the types that the recipe adds.

use std::path::Path;

use bie::bundle::{MANIFEST, Manifest};
use serde::{Deserialize, Serialize};

use super::places::Places;
use super::{EncoderTeacherSource, EntityType, Evaluation, Recipe, RelationType, half};
use crate::error::{Error, Result};

/// What an update may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// F1 (0 to 1) that a type of the old bundle may lose on a guard; if one loses more, no bundle is written.
    #[serde(default = "Update::allowed_loss")]
    pub allowed_loss: f32,
    /// Annotated documents that old and new bundle are compared on; never trained on.
    pub guards: Vec<Evaluation>,
}

impl Update {
    fn allowed_loss() -> f32 {
        0.005
    }
}

impl Recipe {
    /// Puts the types of the bundle `student.base` before those that the recipe adds.
    pub(super) fn inherit_schema(&mut self, at: &Places) -> Result<()> {
        if self.update.is_none() {
            return Ok(());
        }
        let path = self.resolve(&self.student.base).join(MANIFEST);
        let manifest = read_manifest(&path);
        at.need(&["student", "base"], manifest.is_ok(), || {
            format!(
                "{} cannot be read; with [update] the base is the fp32 bundle that is to learn",
                path.display()
            )
        })?;
        let manifest = manifest?;
        // A threshold that was chosen for calibrated scores means nothing to the new weights' own: `[calibration]` chooses anew.
        let threshold = |threshold: f32, temperature: f32, bias: f32| {
            let own = temperature == 1.0 && bias == 0.0;
            if own { threshold } else { half() }
        };
        let entities = manifest.entities.into_iter().map(|e| EntityType {
            threshold: threshold(e.threshold, e.temperature, e.bias),
            name: e.name,
        });
        let relations = manifest.relations.into_iter().map(|r| RelationType {
            name: r.name,
            head: r.head,
            tail: r.tail,
            symmetric: r.symmetric,
            threshold: threshold(r.threshold, r.temperature, r.bias),
        });
        // A type that the recipe names again stands as the recipe has it, in its old place.
        let mut stated = std::mem::take(&mut self.schema.entities);
        self.schema.entities = entities
            .map(|old| take(&mut stated, |new| new.name == old.name).unwrap_or(old))
            .collect();
        self.schema.entities.append(&mut stated);
        let mut stated = std::mem::take(&mut self.schema.relations);
        self.schema.relations = relations
            .map(|old| take(&mut stated, |new| new.name == old.name).unwrap_or(old))
            .collect();
        self.schema.relations.append(&mut stated);
        // What it knew is what it is to go on saying, wherever the new documents do not say otherwise.
        let base = &self.student.base;
        if !self.encoder_teachers.iter().any(|t| t.path == *base) {
            self.encoder_teachers
                .push(EncoderTeacherSource::answers(base));
        }
        Ok(())
    }

    pub(super) fn check_update(&self, at: &Places) -> Result<()> {
        let Some(update) = &self.update else {
            return Ok(());
        };
        at.range(&["update", "allowed_loss"], update.allowed_loss, 0.0, 1.0)?;
        at.need(&["update", "guards"], !update.guards.is_empty(), || {
            "give at least one [[update.guards]]: without documents to measure on nobody knows what was forgotten".to_owned()
        })?;
        for (n, guard) in update.guards.iter().enumerate() {
            let n = n.to_string();
            self.check_evaluation(at, &["update", "guards", n.as_str()], guard)?;
        }
        Ok(())
    }
}

/// Removes and returns the first element that fits.
fn take<T>(list: &mut Vec<T>, fits: impl Fn(&T) -> bool) -> Option<T> {
    let at = list.iter().position(fits)?;
    Some(list.remove(at))
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::file(path, e.to_string()))
}
