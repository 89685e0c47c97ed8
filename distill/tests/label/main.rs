//! `distill label` against a server of our own: what it asks, what it makes of good and bad answers, and what it survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../mini/mod.rs"]
mod mini;
mod place;
mod server;

mod faults;
mod labels;
mod privacy;
mod survival;
