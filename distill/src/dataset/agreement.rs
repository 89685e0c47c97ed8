//! How far the sources of labels (gold, teachers) agree where two of them speak of the same.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::recipe::Schema;

/// What two sources speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Tokens: inside a mention of the type or not.
    Entities,
    /// Pairs of entities: in the relation or not.
    Relations,
}

/// How two sources agree on one type. "Yes" is a probability of at least 0.5.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// What is compared.
    pub kind: Kind,
    /// The entity type or relation.
    pub label: String,
    /// Names of the two; gold, if it is one of them, is the first.
    pub sources: [String; 2],
    /// Tokens or pairs that both speak of.
    pub compared: u64,
    /// Of them: both say yes, only the first, only the second, neither.
    pub counts: [u64; 4],
    /// Share on which both say the same.
    pub rate: f64,
    /// Mean absolute difference of the probabilities.
    pub difference: f64,
    /// Cohen's kappa (1960): agreement beyond chance; none where chance alone agrees always.
    pub kappa: Option<f64>,
    /// F1 of the second against the first; none where neither ever says yes.
    pub f1: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    counts: [u64; 4],
    difference: f64,
}

/// Counts over a dataset. A source is a number: 0 is gold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreements(BTreeMap<(Kind, usize, usize, usize), Tally>);

impl Agreements {
    /// Takes in what each source that speaks of one token or pair says of one label: source and probability, ascending by source.
    pub(super) fn add(&mut self, kind: Kind, label: usize, said: &[(usize, f32)]) {
        for (n, (a, p)) in said.iter().enumerate() {
            for (b, q) in said.iter().skip(n + 1) {
                let tally = self.0.entry((kind, label, *a, *b)).or_default();
                let at = match (*p >= 0.5, *q >= 0.5) {
                    (true, true) => 0,
                    (true, false) => 1,
                    (false, true) => 2,
                    (false, false) => 3,
                };
                tally
                    .counts
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|n| *n += 1);
                tally.difference += f64::from((p - q).abs());
            }
        }
    }

    /// The figures; `sources` names the sources.
    pub fn figures(&self, schema: &Schema, sources: &[String]) -> Vec<Agreement> {
        let name = |source: usize| sources.get(source).cloned().unwrap_or_default();
        let figures = self.0.iter().map(|((kind, label, a, b), tally)| {
            let label = match kind {
                Kind::Entities => schema.entities.get(*label).map(|e| &e.name),
                Kind::Relations => schema.relations.get(*label).map(|r| &r.name),
            };
            let [both, first, second, neither] = tally.counts.map(|n| n as f64);
            let all = both + first + second + neither;
            let rate = (both + neither) / all;
            let yes = (both + first) * (both + second);
            let chance = (yes + (second + neither) * (first + neither)) / (all * all);
            let either = 2.0 * both + first + second;
            Agreement {
                kind: *kind,
                label: label.cloned().unwrap_or_default(),
                sources: [name(*a), name(*b)],
                compared: tally.counts.iter().sum(),
                counts: tally.counts,
                rate,
                difference: tally.difference / all,
                kappa: (chance < 1.0).then(|| (rate - chance) / (1.0 - chance)),
                f1: (either > 0.0).then(|| 2.0 * both / either),
            }
        });
        figures.collect()
    }
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second] = &self.sources;
        let what = match self.kind {
            Kind::Entities => "tokens",
            Kind::Relations => "pairs",
        };
        write!(
            f,
            "{}: {first} and {second} agree on {:.1} % of {} {what}, probabilities differ by {:.3}",
            self.label,
            100.0 * self.rate,
            self.compared,
            self.difference
        )?;
        let figure = |name: &str, x: Option<f64>| x.map(|x| format!(", {name} {x:.3}"));
        let figures = [figure("kappa", self.kappa), figure("F1", self.f1)];
        figures.iter().flatten().try_for_each(|x| f.write_str(x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_counts() {
        let schema: Schema = toml::from_str("entities = [{ name = \"Disease\" }]").unwrap();
        let mut agreements = Agreements::default();
        // Gold, then a teacher: 4 x both, 1 x gold alone, 2 x teacher alone, 3 x neither; a third source speaks once.
        let said = [(1.0, 0.9), (1.0, 0.2), (0.0, 0.6), (0.0, 0.1)];
        for ((gold, teacher), times) in said.into_iter().zip([4, 1, 2, 3]) {
            for _ in 0..times {
                agreements.add(Kind::Entities, 0, &[(0, gold), (1, teacher)]);
            }
        }
        agreements.add(Kind::Entities, 0, &[(2, 0.5)]);
        let names = ["gold", "a.jsonl", "b"].map(str::to_owned);
        let figures = agreements.figures(&schema, &names);
        let [one] = figures.as_slice() else {
            panic!("{figures:?}")
        };
        assert_eq!((one.compared, one.counts), (10, [4, 1, 2, 3]));
        assert_eq!(one.sources, ["gold", "a.jsonl"]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        close(one.rate, 0.7);
        close(
            one.difference,
            (4.0 * 0.1 + 0.8 + 2.0 * 0.6 + 3.0 * 0.1) / 10.0,
        );
        close(one.kappa.unwrap(), (0.7 - 0.5) / 0.5);
        close(one.f1.unwrap(), 8.0 / 11.0);
        assert_eq!(
            one.to_string(),
            "Disease: gold and a.jsonl agree on 70.0 % of 10 tokens, probabilities differ by 0.270, kappa 0.400, F1 0.727"
        );
    }
}
