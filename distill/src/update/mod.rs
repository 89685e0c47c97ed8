//! Continual learning: an existing bundle learns something new and must not forget. The old bundle is the new student's base and one of
//! its teachers (learning without forgetting: Li and Hoiem 2016), so the documents that it was trained on are not needed.

use std::path::Path;

use bie::bundle::MANIFEST;
use bie::{Engine, Options};

use crate::error::{Error, Result};
use crate::eval::{self, Job};
use crate::export::Precision;
use crate::progress;
use crate::recipe::Recipe;

pub mod guard;

use guard::Forgetting;

/// Measures what the `new` bundle has forgotten of what the recipe's base knew, on the recipe's guards. None if the recipe is no update, or
/// there is no old bundle of this precision beside the base.
///
/// # Errors
/// A bundle or a guard's files cannot be read.
pub fn forgetting(recipe: &Recipe, new: &Path, precision: Precision) -> Result<Option<Forgetting>> {
    let Some(update) = &recipe.update else {
        return Ok(None);
    };
    let base = recipe.resolve(&recipe.student.base);
    let old = match precision {
        Precision::Float => base,
        Precision::Int8 => base.with_file_name(precision.as_str()),
    };
    if !old.join(MANIFEST).is_file() {
        return Ok(None);
    }
    let open = |bundle: &Path| Engine::open(bundle, &Options::default());
    let before = open(&old)?;
    if before.manifest().precision != precision.as_str() {
        return Ok(None);
    }
    let after = open(new)?;
    let mut forgetting = Forgetting::new(f64::from(update.allowed_loss));
    for guard in &update.guards {
        let job = Job::of(recipe, guard);
        let measure = |engine: &Engine| eval::run(engine, &job, progress::count("documents"));
        let on = job.corpus.file_name().unwrap_or_default();
        forgetting.compare(&on.to_string_lossy(), &measure(&before)?, &measure(&after)?);
    }
    Ok(Some(forgetting))
}

/// What is said instead of writing a bundle that forgot too much.
pub fn refusal(forgetting: &Forgetting) -> Option<Error> {
    let excess = forgetting.excess();
    let worst = excess.iter().max_by(|a, b| a.lost().total_cmp(&b.lost()))?;
    Some(Error::Training(format!(
        "{} of {} lost {:.1} points of F1 on {}, {:.1} are allowed; no bundle was written. Lower the rates or the epochs, freeze lower layers \
         ([student.freeze]), add documents that hold what was lost, or raise update.allowed_loss",
        worst.name,
        worst.task,
        100.0 * worst.lost(),
        worst.on,
        100.0 * forgetting.allowed,
    )))
}
