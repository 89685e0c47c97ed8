//! The loader probe.
