//! The texts of a run and their order.

use std::collections::HashSet;
use std::path::Path;

use bie::text::sentence::sentences;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::corpus::Document;
use crate::error::{Error, Result};

use super::measure::Setting;
use super::model::Model;

/// The texts of a setting in the order in which they are read: drawn by the seed, so that a run that ends early has read a random part.
///
/// Short texts are the corpus's sentences of at most `limit` words, each once; windows are its documents.
///
/// # Errors
/// The tokenizer fails, or no text is short enough.
pub fn texts<'a>(
    model: &impl Model,
    corpus: &Path,
    documents: &'a [Document],
    setting: Setting,
    limit: usize,
    seed: u64,
) -> Result<Vec<&'a str>> {
    let mut texts: Vec<&str> = Vec::new();
    for document in documents {
        let text = document.text.as_str();
        match setting {
            Setting::Window => texts.push(text),
            Setting::Short => {
                for sentence in sentences(text) {
                    let sentence = text.get(sentence).unwrap_or_default().trim();
                    if !sentence.is_empty() && (1..=limit).contains(&model.words(sentence)?) {
                        texts.push(sentence);
                    }
                }
            }
        }
    }
    let mut seen = HashSet::new();
    texts.retain(|text| seen.insert(*text));
    if texts.is_empty() {
        return Err(Error::file(
            corpus,
            format!("it holds no text for the setting `{}`", setting.as_str()),
        ));
    }
    texts.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    Ok(texts)
}
