//! Calibration: scores that say how often they are right, and thresholds that are chosen by what they cost.

pub mod report;
