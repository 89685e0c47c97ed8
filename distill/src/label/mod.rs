//! `distill label`: a chat model behind an OpenAI-compatible endpoint as the teacher.
//!
//! ```text
//! task ─ texts ─ plan (a row of labels each: its question) ─ client, pace (ask, again if need be) ─ reply, answer ─ journal
//!                                                            rows (align, probabilities) ─ teacher::line ─ labels.jsonl, report.json
//! ```
//!
//! Answers are kept by the hash of what was asked, so a run goes on where another ended, and a changed task asks only what changed. What is
//! written depends on the task, the texts and the kept answers alone: not on the order in which answers came.

pub mod align;
pub mod answer;
mod check;
pub mod client;
pub mod concepts;
pub mod logprobs;
pub mod pace;
pub mod plan;
pub mod prompt;
pub mod reply;
pub mod report;
pub mod rows;
pub mod run;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod texts;

pub use plan::Plan;
