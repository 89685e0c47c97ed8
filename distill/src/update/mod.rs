//! Continual learning: an existing bundle learns something new and must not forget.

pub mod guard;
