//! What is compared: every method of the library, methods with a budget of their own, and chance.

use bie::Options;
use bie::explain::{Deletion, Method};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::error::{Error, Result};

/// The arm that weighs words by chance.
pub const RANDOM: &str = "random";

/// LIME with three samples a word: the published baseline to beat (Edin et al. 2024).
pub const BASELINE: &str = "lime_3n";

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The name, as on the command line.
    pub name: String,
    /// The method and the forward passes it may use; nothing for [`RANDOM`].
    method: Option<(Method, Option<Budget>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Budget {
    Passes(usize),
    PerWord(usize),
}

impl Arm {
    /// All methods with their own budgets, [`BASELINE`] and [`RANDOM`].
    pub fn all() -> Vec<Arm> {
        let own = |method: Method| Arm {
            name: method.as_str().to_owned(),
            method: Some((method, None)),
        };
        let more = [BASELINE, RANDOM].into_iter().filter_map(read);
        Method::ALL.into_iter().map(own).chain(more).collect()
    }

    /// Reads a list of names: "shap"; "shap_500" with at most 500 forward passes; "shap_3n" with three for each word; "random".
    ///
    /// # Errors
    /// A name is of no method, or stands twice.
    pub fn list(names: &[String]) -> Result<Vec<Arm>> {
        let mut arms: Vec<Arm> = Vec::new();
        for name in names {
            let known = Method::ALL.map(Method::as_str).join(", ");
            let arm = read(name).ok_or_else(|| {
                Error::Usage(format!(
                    "--methods: no method is called `{name}`; there are {known} and {RANDOM}, and with a budget of forward passes such as shap_500 or {BASELINE} (three a word)"
                ))
            })?;
            if arms.contains(&arm) {
                return Err(Error::Usage(format!("--methods names `{name}` twice")));
            }
            arms.push(arm);
        }
        Ok(arms)
    }

    /// The options of `explain` for a text of so many words; nothing for [`RANDOM`]. What is deleted is also the gradients' baseline.
    ///
    /// # Errors
    /// An option is refused.
    pub fn options(
        &self,
        words: usize,
        deletion: Deletion,
        base: &Options,
    ) -> Result<Option<Options>> {
        let Some((method, budget)) = self.method else {
            return Ok(None);
        };
        let mut options = base.clone();
        options.set_str("method", method.as_str())?;
        options.set_str("deletion", deletion.as_str())?;
        options.set_str("baseline", deletion.as_str())?;
        let passes = match budget {
            None => return Ok(Some(options)),
            Some(Budget::Passes(passes)) => passes,
            Some(Budget::PerWord(each)) => each * words,
        };
        options.set_i64(
            "evaluations",
            i64::try_from(passes.max(1)).unwrap_or(i64::MAX),
        )?;
        Ok(Some(options))
    }
}

fn read(name: &str) -> Option<Arm> {
    let method = |name: &str| Method::ALL.into_iter().find(|m| m.as_str() == name);
    let budget = |text: &str| match text.strip_suffix('n') {
        Some(each) => each.parse().ok().map(Budget::PerWord),
        None => text.parse().ok().map(Budget::Passes),
    };
    let method = match (name, method(name), name.rsplit_once('_')) {
        (RANDOM, ..) => None,
        (_, Some(method), _) => Some((method, None)),
        (_, None, Some((base, passes))) => Some((method(base)?, Some(budget(passes)?))),
        _ => return None,
    };
    Some(Arm {
        name: name.to_owned(),
        method,
    })
}

/// The weights of [`RANDOM`]: the same for the same seed and stream.
pub fn chance(words: usize, seed: u64, stream: u64) -> Vec<f64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    (0..words).map(|_| random.next_u32().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_methods_with_or_without_a_budget() {
        let names = [
            "auto",
            "integrated_gradients",
            "shap_500",
            "lime_3n",
            "random",
        ];
        let arms = Arm::list(&names.map(String::from)).unwrap();
        let methods: Vec<_> = arms.iter().map(|arm| arm.method).collect();
        assert_eq!(
            methods,
            [
                Some((Method::Auto, None)),
                Some((Method::IntegratedGradients, None)),
                Some((Method::Shap, Some(Budget::Passes(500)))),
                Some((Method::Lime, Some(Budget::PerWord(3)))),
                None
            ]
        );
        for bad in ["deeplift", "lime_", "lime_3x", "_3n", "random_3n", ""] {
            assert!(Arm::list(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(Arm::list(&["lime".to_owned(), "lime".to_owned()]).is_err());
        assert_eq!(Arm::all().len(), Method::ALL.len() + 2);
    }

    #[test]
    fn a_budget_a_word_grows_with_the_text() {
        let base = Options::new();
        let arm = read("lime_3n").unwrap();
        let options = arm.options(9, Deletion::Pad, &base).unwrap().unwrap();
        let mut expected = Options::new();
        expected.set_str("method", "lime").unwrap();
        expected.set_str("deletion", "pad").unwrap();
        expected.set_str("baseline", "pad").unwrap();
        expected.set_i64("evaluations", 27).unwrap();
        assert_eq!(options, expected);
        assert_eq!(
            read(RANDOM)
                .unwrap()
                .options(9, Deletion::Pad, &base)
                .unwrap(),
            None
        );
    }

    #[test]
    fn chance_is_the_same_again() {
        assert_eq!(chance(5, 1, 2), chance(5, 1, 2));
        assert_ne!(chance(5, 1, 2), chance(5, 1, 3));
        assert_ne!(chance(5, 1, 2), chance(5, 2, 2));
    }
}
