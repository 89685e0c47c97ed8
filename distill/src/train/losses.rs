//! The terms of a loss, by name, and their means over an epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The terms of one step's loss, weights included: their sum is what is minimised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Losses(pub Vec<(&'static str, f32)>);

impl Losses {
    /// The sum of the terms.
    pub fn total(&self) -> f32 {
        self.0.iter().map(|(_, value)| value).sum()
    }

    /// Adds the terms of another part of the same step.
    pub fn add(&mut self, other: &Losses) {
        for (name, value) in &other.0 {
            match self.0.iter_mut().find(|(own, _)| own == name) {
                Some((_, sum)) => *sum += value,
                None => self.0.push((name, *value)),
            }
        }
    }
}

/// Mean losses of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean of each term.
    #[serde(flatten)]
    pub terms: BTreeMap<String, f32>,
    /// Steps in these means.
    pub steps: u64,
}

impl Epoch {
    /// Takes one more step in.
    pub fn add(&mut self, losses: &Losses) {
        self.steps += 1;
        let n = self.steps as f32;
        for (name, value) in &losses.0 {
            let mean = self.terms.entry((*name).to_owned()).or_default();
            *mean += (value - *mean) / n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_epochs_are_means() {
        let mut step = Losses(vec![("entities", 1.0)]);
        step.add(&Losses(vec![("gold", 0.5), ("entities", 2.0)]));
        assert_eq!(step.0, [("entities", 3.0), ("gold", 0.5)]);
        assert_eq!(step.total(), 3.5);
        let mut epoch = Epoch::default();
        epoch.add(&Losses(vec![("entities", 1.0)]));
        epoch.add(&Losses(vec![("entities", 2.0)]));
        let json = serde_json::json!(epoch);
        assert_eq!(json, serde_json::json!({"entities": 1.5, "steps": 2}));
        assert_eq!(serde_json::from_value::<Epoch>(json).unwrap(), epoch);
    }
}
