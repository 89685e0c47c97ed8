//! What came of a run: which documents have no labels and why, what of the answers could not be used, what it cost.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use crate::teacher::Rule;

use super::align::How;
use super::plan::count;
use super::reply::Usage;
use super::rows::Tally;
use super::settings::Prices;

/// What came of a run. Documents are named by id, never by text.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Documents of the task.
    pub documents: usize,
    /// Documents left out because they came before.
    pub repeated: usize,
    /// Rows of the label file.
    pub rows: usize,
    /// Documents without labels (or without some), and why.
    pub failed: Vec<(String, String)>,
    /// What could not be used, by document.
    pub defects: Vec<(String, &'static str, usize)>,
    /// How quotes were found.
    pub quotes: BTreeMap<How, usize>,
    /// Rows by rule.
    pub rules: BTreeMap<Rule, usize>,
    /// Tokens of all answers that were used, whenever they were paid for, with the tries before them that were of no use.
    pub usage: Usage,
    /// Tokens of this run for questions that it had to give up.
    pub lost: Usage,
    /// What both cost, and in what.
    pub cost: Option<(f64, String)>,
}

impl Report {
    /// Adds a row that could be made.
    pub fn row(&mut self, id: &str, rule: Option<Rule>, tally: Tally) {
        self.rows += 1;
        if let Some(rule) = rule {
            *self.rules.entry(rule).or_default() += 1;
        }
        for (what, times) in tally.defects {
            self.defects.push((id.to_owned(), what, times));
        }
        for (how, times) in tally.quotes {
            *self.quotes.entry(how).or_default() += times;
        }
    }

    /// Sets what was paid.
    pub fn paid(&mut self, usage: Usage, lost: Usage, prices: Option<&Prices>) {
        (self.usage, self.lost) = (usage, lost);
        let mut all = usage;
        all.add(lost);
        self.cost = prices.map(|p| (p.of(all.prompt, all.completion), p.currency.clone()));
    }

    fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for (_, what, times) in &self.defects {
            *kinds.entry(*what).or_default() += times;
        }
        kinds
    }

    fn quote(&self, how: How) -> usize {
        self.quotes.get(&how).copied().unwrap_or_default()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let failed: Vec<Value> = self
            .failed
            .iter()
            .map(|(id, why)| json!({"id": id, "why": why}))
            .collect();
        let defects: Vec<Value> = self
            .defects
            .iter()
            .map(|(id, what, times)| json!({"id": id, "what": what, "times": times}))
            .collect();
        let rules: BTreeMap<&str, usize> = self
            .rules
            .iter()
            .map(|(rule, n)| (rule.as_str(), *n))
            .collect();
        json!({
            "documents": self.documents,
            "repeated": self.repeated,
            "rows": self.rows,
            "rules": rules,
            "quotes": {
                "exact": self.quote(How::Exact),
                "normalised": self.quote(How::Normalised),
                "fuzzy": self.quote(How::Fuzzy),
            },
            "tokens": {"prompt": self.usage.prompt, "completion": self.usage.completion},
            "tokens_lost": {"prompt": self.lost.prompt, "completion": self.lost.completion},
            "cost": self.cost.as_ref().map(|(cost, currency)| json!({"amount": (cost * 1e4).round() / 1e4, "currency": currency})),
            "failed": failed,
            "defect_counts": self.kinds(),
            "defects": defects,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<String> = self
            .rules
            .iter()
            .map(|(rule, n)| format!("{n} by {}", rule.as_str()))
            .collect();
        write!(f, "{} rows for {} documents", self.rows, self.documents)?;
        if !rules.is_empty() {
            write!(f, " ({})", rules.join(", "))?;
        }
        if self.repeated > 0 {
            write!(f, ", {} repeated documents left out", self.repeated)?;
        }
        write!(
            f,
            "; quotes: {} verbatim, {} but for case or blanks, {} with slips; tokens: {} sent, {} received",
            self.quote(How::Exact),
            self.quote(How::Normalised),
            self.quote(How::Fuzzy),
            count(self.usage.prompt),
            count(self.usage.completion)
        )?;
        if self.lost != Usage::default() {
            write!(
                f,
                "; {} and {} more for questions that were given up",
                count(self.lost.prompt),
                count(self.lost.completion)
            )?;
        }
        if let Some((cost, currency)) = &self.cost {
            write!(f, " ({cost:.2} {currency})")?;
        }
        for (what, times) in self.kinds() {
            write!(f, "\n  {times} x {what}")?;
        }
        Ok(())
    }
}
