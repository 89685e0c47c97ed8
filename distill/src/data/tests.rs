//! Reports of small corpora.
