//! `distill update`.

use clap::Args;
use distill::error::{Error, Result};
use distill::recipe::Recipe;

use super::train::Train;

/// Teaches an existing bundle something new by a recipe with [update]; refuses to write one that forgot more than the recipe allows.
#[derive(Args)]
pub struct Update {
    #[command(flatten)]
    train: Train,
}

impl Update {
    pub fn run(self) -> Result<()> {
        let recipe = &self.train.recipe;
        if Recipe::read(recipe)?.update.is_none() {
            return Err(Error::file(
                recipe,
                "the recipe has no [update]; add it with its guards, or use `distill train`",
            ));
        }
        self.train.run()
    }
}
