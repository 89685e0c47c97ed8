//! What an extraction returns: plain data, frozen once made, independent of engine, options and text.

use crate::text::OffsetUnit;

/// One mention of an entity. Offsets are half-open and in the unit of the [`Extraction`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// First position.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// Index into the bundle's entity types.
    pub label: u32,
    /// Probability that this span has this type, in [0, 1].
    pub score: f32,
    /// Mentions of the same thing share a group (same surface form, or abbreviation and its long form).
    pub group: u32,
    /// The document's own characters in `[start, end)`.
    pub text: String,
}

/// One relation between two groups, given by the first mentions of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// Index into [`Extraction::entities`]: the first mention of the head group.
    pub head: u32,
    /// Index into [`Extraction::entities`]: the first mention of the tail group.
    pub tail: u32,
    /// Index into the bundle's relation types.
    pub label: u32,
    /// Probability in [0, 1].
    pub score: f32,
}

/// Which part of the text was read, in the unit of the [`Extraction`].
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Coverage {
    /// Length of the text.
    pub length: u32,
    /// Number of windows that the text was read in.
    pub windows: u32,
    /// Ranges that no window holds (half-open, ascending); empty when every byte was read.
    pub unread: Vec<(u32, u32)>,
}

/// The result for one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// The bundle's model id.
    pub model_id: String,
    /// SHA-256 (hex) of the bundle's manifest.
    pub bundle_hash: String,
    /// Unit of every offset here.
    pub offset_unit: OffsetUnit,
    /// Sorted by start, then end, then label.
    pub entities: Vec<Entity>,
    /// Sorted by head, tail, label.
    pub relations: Vec<Relation>,
    /// What was read.
    pub coverage: Coverage,
    /// Names of the entity types, indexed by [`Entity::label`].
    pub entity_types: std::sync::Arc<[String]>,
    /// Names of the relation types, indexed by [`Relation::label`].
    pub relation_types: std::sync::Arc<[String]>,
}
