//! Results as C reads them: frozen records, canonical JSON, coverage.

use std::ffi::c_char;
use std::ptr;
use std::sync::OnceLock;

use super::args::{self, Text, array, lend, put};
use super::guard::guard;
use crate::Extraction;

/// What was found in one text. Immutable: may be read by many threads.
///
/// Owns all it returns and points into no engine, options or text: free them in any order.
pub struct bie_result {
    mentions: Box<[bie_mention]>,
    relations: Box<[bie_relation]>,
    unread: Box<[bie_range]>,
    length: u32,
    windows: u32,
    extraction: Extraction,
    json: OnceLock<Text>,
}

impl bie_result {
    pub(super) fn new(extraction: Extraction) -> bie_result {
        let mention = |entity: &crate::result::Entity| bie_mention {
            start: entity.start,
            end: entity.end,
            label: entity.label,
            score: entity.score,
            group: entity.group,
            reserved: [0; 3],
        };
        let relation = |relation: &crate::result::Relation| bie_relation {
            head: relation.head,
            tail: relation.tail,
            label: relation.label,
            score: relation.score,
            reserved: [0; 4],
        };
        bie_result {
            mentions: extraction.entities.iter().map(mention).collect(),
            relations: extraction.relations.iter().map(relation).collect(),
            unread: extraction
                .coverage
                .unread
                .iter()
                .map(|&(start, end)| bie_range { start, end })
                .collect(),
            length: extraction.coverage.length,
            windows: extraction.coverage.windows,
            json: OnceLock::new(),
            extraction,
        }
    }

    pub(super) fn extraction(&self) -> &Extraction {
        &self.extraction
    }
}

/// One mention of an entity. This record never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct bie_mention {
    /// First position, in the unit of the option `offset_unit`.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
    /// Entity type: `bie_engine_label` names it.
    pub label: u32,
    /// Probability that this span is an entity of this type, 0 to 1.
    pub score: f32,
    /// Mentions with the same number are the same entity: same name, or an abbreviation and its long form.
    pub group: u32,
    /// 0.
    pub reserved: [u32; 3],
}

/// One relation between two entities. This record never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct bie_relation {
    /// The head's first mention: index into the array of `bie_result_mentions`.
    pub head: u32,
    /// The tail's first mention: index into the array of `bie_result_mentions`.
    pub tail: u32,
    /// Relation type: `bie_engine_relation_label` names it.
    pub label: u32,
    /// Probability that the relation holds, 0 to 1.
    pub score: f32,
    /// 0.
    pub reserved: [u32; 4],
}

/// A part of a text: `start` belongs to it, `end` does not. This record never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct bie_range {
    /// First position, in the unit of the option `offset_unit`.
    pub start: u32,
    /// One past the last position.
    pub end: u32,
}

// The records are frozen; the C side asserts the same in tests/c/layout.c.
const _: () = assert!(size_of::<bie_mention>() == 32 && align_of::<bie_mention>() == 4);
const _: () = assert!(size_of::<bie_relation>() == 32 && align_of::<bie_relation>() == 4);
const _: () = assert!(size_of::<bie_range>() == 8 && align_of::<bie_range>() == 4);

/// The mentions, sorted by start, then end, then label.
///
/// - `count`: gets their number.
///
/// Returns memory of the result; NULL when there are none, or when `result` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_result_mentions(
    result: *const bie_result,
    count: *mut usize,
) -> *const bie_mention {
    let mentions = unsafe { result.as_ref() }.map_or(&[][..], |result| &result.mentions);
    unsafe { lend_array(mentions, count) }
}

/// The relations, sorted by head, then tail, then label.
///
/// - `count`: gets their number.
///
/// Returns memory of the result; NULL when there are none, or when `result` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_result_relations(
    result: *const bie_result,
    count: *mut usize,
) -> *const bie_relation {
    let relations = unsafe { result.as_ref() }.map_or(&[][..], |result| &result.relations);
    unsafe { lend_array(relations, count) }
}

/// Which part of the text was read. Nothing is cut off silently: what is not in `unread` was read.
///
/// - `length`: gets the length of the text, in the unit of the option `offset_unit`; may be NULL.
/// - `windows`: gets the number of windows that the text was read in; may be NULL.
/// - `unread_count`: gets the number of ranges that were not read, 0 when all was; may be NULL.
///
/// Returns the ranges that were not read, ascending, in memory of the result; NULL when there are none or `result` is
/// NULL (then all three get 0).
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_result_coverage(
    result: *const bie_result,
    length: *mut u32,
    windows: *mut u32,
    unread_count: *mut usize,
) -> *const bie_range {
    let result = unsafe { result.as_ref() };
    unsafe {
        put(length, result.map_or(0, |result| result.length));
        put(windows, result.map_or(0, |result| result.windows));
        put(unread_count, result.map_or(0, |result| result.unread.len()));
    }
    result.map_or(ptr::null(), |result| array(&result.unread))
}

/// The whole result as canonical JSON, one line without a line feed: equal results give equal bytes. Built at the first
/// call and kept.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns UTF-8 in memory of the result; NULL when `result` is NULL, or after a defect of the library.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_result_json(
    result: *const bie_result,
    len: *mut usize,
) -> *const c_char {
    let json = unsafe { result.as_ref() }.and_then(|result| {
        guard(|| {
            Ok(result
                .json
                .get_or_init(|| Text::new(&result.extraction.to_json())))
        })
        .ok()
    });
    unsafe { lend(json, len) }
}

/// Frees a result. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread reads the result. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_result_free(result: *mut bie_result) {
    unsafe { args::free(result) };
}

/// An array and its length. Without a place for the length the array would be of no use: NULL.
///
/// # Safety
/// `count` is NULL or valid for writes.
pub(super) unsafe fn lend_array<T>(items: &[T], count: *mut usize) -> *const T {
    if count.is_null() {
        return ptr::null();
    }
    unsafe { put(count, items.len()) };
    array(items)
}
