//! What is measured: libbie's engine, or a stand-in in tests.

use bie::bundle::Manifest;
use bie::explain::Game;
use bie::{Cancel, Engine, Explanation, Extraction, Options, Target};

use crate::error::Result;

/// Something that extracts and explains. Offsets are bytes.
pub trait Model {
    /// Types and names.
    fn manifest(&self) -> &Manifest;
    /// The bundle's hash.
    fn hash(&self) -> &str;
    /// Number of words of a text.
    fn words(&self, text: &str) -> Result<usize>;
    /// See [`Engine::extract`].
    fn extract(&self, text: &str) -> Result<Extraction>;
    /// See [`Engine::explain`].
    fn explain(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: &Options,
    ) -> Result<Vec<Explanation>>;
    /// See [`Engine::play`].
    fn play(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: &Options,
        play: &mut dyn FnMut(&mut dyn Game) -> Result<()>,
    ) -> Result<()>;
}

/// An engine whose calls nobody cancels.
#[derive(Debug)]
pub struct Opened {
    engine: Engine,
    never: Cancel,
}

impl Opened {
    /// Makes an engine a [`Model`].
    pub fn new(engine: Engine) -> Opened {
        Opened {
            engine,
            never: Cancel::new(),
        }
    }
}

impl Model for Opened {
    fn manifest(&self) -> &Manifest {
        self.engine.manifest()
    }

    fn hash(&self) -> &str {
        self.engine.bundle_hash()
    }

    fn words(&self, text: &str) -> Result<usize> {
        let encoded = self.engine.encoder().encode(text)?;
        Ok(encoded
            .sentences
            .iter()
            .flatten()
            .filter(|token| token.word)
            .count())
    }

    fn extract(&self, text: &str) -> Result<Extraction> {
        Ok(self.engine.extract(text, &Options::new())?)
    }

    fn explain(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: &Options,
    ) -> Result<Vec<Explanation>> {
        Ok(self
            .engine
            .explain(text, extraction, targets, options, &self.never)?)
    }

    fn play(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: &Options,
        play: &mut dyn FnMut(&mut dyn Game) -> Result<()>,
    ) -> Result<()> {
        let mut outcome = Ok(());
        self.engine
            .play(text, extraction, targets, options, &self.never, |game| {
                outcome = play(game);
                Ok(())
            })?;
        outcome
    }
}
