//! Explaining decisions: what is asked, and the call. What comes back: `explanation.rs`.

use std::ffi::c_char;
use std::ptr;

use super::args::{borrow, document, put, slice};
use super::cancel::bie_cancel;
use super::engine::bie_engine;
use super::error::{bie_error, bie_status, clear, report, report_in};
use super::explanation::bie_explanation;
use super::guard::guard;
use super::options::bie_options;
use super::result::bie_result;
use crate::{Cancel, Error, Extraction, Result, Target};

/// What a `bie_target` names. Numbers are never changed or reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum bie_target_kind {
    /// A mention that was reported: `index`.
    BIE_TARGET_ENTITY = 1,
    /// A relation that was reported: `index`.
    BIE_TARGET_RELATION = 2,
    /// A span and an entity type, reported or not: `start`, `end`, `label`.
    BIE_TARGET_SPAN = 3,
    /// A relation between the entities of two reported mentions, reported or not: `head`, `tail`, `label`.
    BIE_TARGET_PAIR = 4,
}

/// A decision to be explained. This record never changes.
///
/// Set what its kind reads and leave the rest 0, as an initialiser does: `{.kind = BIE_TARGET_RELATION, .index = 2}`,
/// `{.kind = BIE_TARGET_PAIR, .head = 0, .tail = 3, .label = 1, .has_rival = 1, .rival = 0}`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct bie_target {
    /// One of `bie_target_kind`.
    pub kind: i32,
    /// Index into the array of `bie_result_mentions` or `bie_result_relations`.
    pub index: u32,
    /// First position of a span, in the unit of the result.
    pub start: u32,
    /// One past its last position.
    pub end: u32,
    /// A mention of the head: index into the array of `bie_result_mentions`.
    pub head: u32,
    /// A mention of the tail: index into the array of `bie_result_mentions`.
    pub tail: u32,
    /// Entity type of a span, relation type of a pair.
    pub label: u32,
    /// 1: why this type rather than `rival`? 0: why this type?
    pub has_rival: u32,
    /// Another entity type of the span, or another relation type of the pair.
    pub rival: u32,
    /// 0.
    pub reserved: [u32; 3],
}

// The record is frozen; the C side asserts the same in tests/c/layout.c.
const _: () = assert!(size_of::<bie_target>() == 48 && align_of::<bie_target>() == 4);

impl bie_target {
    /// What the engine understands; whether it exists in text and schema is for the engine to say.
    fn resolve(&self, extraction: &Extraction) -> Result<Target> {
        use bie_target_kind::*;
        let refuse = |why: String| Err(Error::InvalidArgument(why));
        if self.has_rival > 1 || self.reserved != [0; 3] {
            return refuse(
                "`has_rival` is neither 0 nor 1, or `reserved` is not 0; set every field of the target that is not used to 0"
                    .into(),
            );
        }
        let rival = (self.has_rival == 1).then_some(self.rival);
        let reported = |what: &str, count: usize| {
            refuse(format!(
                "`index` is {}, but the result has {count} {what}, counted from 0; pass the index of one of them",
                self.index
            ))
        };
        let index = self.index as usize;
        match self.kind {
            kind if kind == BIE_TARGET_ENTITY as i32 => match extraction.entities.get(index) {
                Some(entity) => Ok(Target::Entity {
                    start: entity.start,
                    end: entity.end,
                    label: entity.label,
                    rival,
                }),
                None => reported("mentions", extraction.entities.len()),
            },
            kind if kind == BIE_TARGET_RELATION as i32 => match extraction.relations.get(index) {
                Some(relation) => Ok(Target::Relation {
                    head: relation.head,
                    tail: relation.tail,
                    label: relation.label,
                    rival,
                }),
                None => reported("relations", extraction.relations.len()),
            },
            kind if kind == BIE_TARGET_SPAN as i32 => Ok(Target::Entity {
                start: self.start,
                end: self.end,
                label: self.label,
                rival,
            }),
            kind if kind == BIE_TARGET_PAIR as i32 => Ok(Target::Relation {
                head: self.head,
                tail: self.tail,
                label: self.label,
                rival,
            }),
            other => refuse(format!(
                "`kind` is {other}, which names no kind of target; pass one of bie_target_kind"
            )),
        }
    }
}

/// Explains why a decision was made: weighs every word around it and measures what deleting the evidence does.
///
/// The decision need not have been reported: any span and type, any two mentions and relation that one window of the
/// text holds together. Costs from a few to some hundred times the reading of that window, as the method says; the
/// options `time_budget_ms` and `evaluations` bound it. Equal calls give equal bytes unless a time budget ended one.
///
/// - `engine`: shared; many threads may call at once. The first call loads what gradients need.
/// - `text`, `text_len`: the text that `result` is of, UTF-8 and its length in bytes; borrowed for the call.
/// - `result`: what `bie_extract` of this bundle gave for that text; borrowed for the call.
/// - `target`: the decision; borrowed for the call.
/// - `options`: NULL for those given to `bie_engine_open`; borrowed for the call. Offsets have the unit of `result`.
/// - `cancel`: NULL, or a flag that ends the call when another thread raises it; borrowed for the call.
/// - `out`: gets NULL, or on success an explanation to be freed with `bie_explanation_free`.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: `BIE_ERR_NULL`; `BIE_ERR_INVALID_ARGUMENT` (the result is of another bundle or text; the target has an index,
/// type, rival or span that does not exist, an entity that is its own partner, or a pair that the schema does not admit
/// or no window holds; fields that are not 0); `BIE_ERR_INVALID_UTF8`; `BIE_ERR_CANCELLED`; all from `BIE_ERR_IO` to
/// `BIE_ERR_OUT_OF_MEMORY`; `BIE_ERR_PANIC`, `BIE_ERR_POISONED`. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explain(
    engine: *const bie_engine,
    text: *const c_char,
    text_len: usize,
    result: *const bie_result,
    target: *const bie_target,
    options: *const bie_options,
    cancel: *const bie_cancel,
    out: *mut *mut bie_explanation,
    err: *mut *mut bie_error,
) -> bie_status {
    unsafe {
        clear(err);
        put(out, ptr::null_mut());
    }
    let outcome = guard(|| {
        let engine = unsafe { borrow(engine, "engine") }?;
        if out.is_null() {
            return Err(Error::Null("out"));
        }
        let text = unsafe { document(text, text_len, "text") }?;
        let extraction = unsafe { borrow(result, "result") }?.extraction();
        let target = unsafe { borrow(target, "target") }?.resolve(extraction)?;
        let options = unsafe { options.as_ref() };
        let cancel = unsafe { flag(cancel) };
        let mut made = engine.explain(text, extraction, &[target], options, &cancel)?;
        let explanation = made.pop().ok_or(Error::Panic)?;
        let explanation = Box::new(bie_explanation::new(explanation));
        unsafe { put(out, Box::into_raw(explanation)) };
        Ok(())
    });
    unsafe { report(err, outcome) }
}

/// Explains several decisions on one text: all of them or, on the first failure, none. Decisions of one window share
/// their forward passes, so ten together cost much less than ten calls. Weights are those of single calls up to rounding.
///
/// - `engine`, `text`, `text_len`, `result`, `options`, `cancel`: as for `bie_explain`.
/// - `targets`, `count`: the decisions; borrowed for the call.
/// - `out`: `count` slots; each gets NULL, or on success an explanation to be freed with `bie_explanation_free`.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL. Where one target is at
///   fault, the message begins with its number, counted from 0: "target 3: ".
///
/// Errors: as for `bie_explain`. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_explain_batch(
    engine: *const bie_engine,
    text: *const c_char,
    text_len: usize,
    result: *const bie_result,
    targets: *const bie_target,
    count: usize,
    options: *const bie_options,
    cancel: *const bie_cancel,
    out: *mut *mut bie_explanation,
    err: *mut *mut bie_error,
) -> bie_status {
    unsafe { clear(err) };
    let mut place = String::new();
    let outcome = guard(|| {
        // `out` first: its slots are cleared whatever else is wrong. The length check of `slice` serves it too.
        let slots = unsafe { slice(out.cast_const(), count, "out") }?.len();
        for slot in 0..slots {
            unsafe { out.add(slot).write(ptr::null_mut()) };
        }
        let engine = unsafe { borrow(engine, "engine") }?;
        let text = unsafe { document(text, text_len, "text") }?;
        let extraction = unsafe { borrow(result, "result") }?.extraction();
        let mut resolved = Vec::new();
        for (number, target) in unsafe { slice(targets, count, "targets") }?
            .iter()
            .enumerate()
        {
            resolved.push(
                target
                    .resolve(extraction)
                    .inspect_err(|_| place = format!("target {number}: "))?,
            );
        }
        let options = unsafe { options.as_ref() };
        let cancel = unsafe { flag(cancel) };
        let made = engine.explain(text, extraction, &resolved, options, &cancel)?;
        if made.len() != slots {
            return Err(Error::Panic);
        }
        let made: Vec<Box<bie_explanation>> = made
            .into_iter()
            .map(|explanation| Box::new(bie_explanation::new(explanation)))
            .collect();
        for (slot, explanation) in made.into_iter().enumerate() {
            unsafe { out.add(slot).write(Box::into_raw(explanation)) };
        }
        Ok(())
    });
    unsafe { report_in(err, &place, outcome) }
}

/// The flag of a call; one that nobody can raise where the host gave none.
///
/// # Safety
/// `cancel` is NULL or valid for reads.
unsafe fn flag(cancel: *const bie_cancel) -> Cancel {
    unsafe { cancel.as_ref() }.map_or_else(Cancel::new, |cancel| cancel.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Coverage, Entity, Relation};
    use crate::text::OffsetUnit;

    fn extraction() -> Extraction {
        Extraction {
            model_id: String::new(),
            bundle_hash: String::new(),
            offset_unit: OffsetUnit::Utf8,
            entities: vec![Entity {
                start: 2,
                end: 9,
                label: 1,
                score: 0.5,
                group: 0,
                text: "aspirin".into(),
            }],
            relations: vec![Relation {
                head: 0,
                tail: 4,
                label: 2,
                score: 0.5,
            }],
            coverage: Coverage::default(),
            entity_types: [].into(),
            relation_types: [].into(),
            origin: Default::default(),
        }
    }

    #[test]
    fn every_kind_reads_its_own_fields() {
        let other = bie_target {
            index: 0,
            start: 5,
            end: 7,
            head: 8,
            tail: 9,
            label: 3,
            ..Default::default()
        };
        let resolved = |kind: bie_target_kind, has_rival| {
            bie_target {
                kind: kind as i32,
                has_rival,
                rival: 6,
                ..other
            }
            .resolve(&extraction())
            .unwrap()
        };
        for (has_rival, rival) in [(0, None), (1, Some(6))] {
            let entity = |start, end, label| Target::Entity {
                start,
                end,
                label,
                rival,
            };
            let relation = |head, tail, label| Target::Relation {
                head,
                tail,
                label,
                rival,
            };
            let expected = [
                (bie_target_kind::BIE_TARGET_ENTITY, entity(2, 9, 1)),
                (bie_target_kind::BIE_TARGET_RELATION, relation(0, 4, 2)),
                (bie_target_kind::BIE_TARGET_SPAN, entity(5, 7, 3)),
                (bie_target_kind::BIE_TARGET_PAIR, relation(8, 9, 3)),
            ];
            for (kind, target) in expected {
                assert_eq!(resolved(kind, has_rival), target);
            }
        }
    }

    #[test]
    fn what_no_target_can_be_is_refused_with_its_reason() {
        let refused = |target: bie_target| match target.resolve(&extraction()) {
            Err(Error::InvalidArgument(why)) => why,
            other => panic!("{other:?}"),
        };
        let good = bie_target {
            kind: bie_target_kind::BIE_TARGET_ENTITY as i32,
            ..Default::default()
        };
        assert!(good.resolve(&extraction()).is_ok());
        for kind in [0, 5, -1, i32::MAX] {
            assert!(refused(bie_target { kind, ..good }).contains(&format!("`kind` is {kind},")));
        }
        assert!(refused(bie_target { index: 1, ..good }).contains("1 mentions"));
        let relation = bie_target_kind::BIE_TARGET_RELATION as i32;
        let far = bie_target {
            kind: relation,
            index: u32::MAX,
            ..good
        };
        assert!(refused(far).contains("1 relations"));
        let rivals = bie_target {
            has_rival: 2,
            ..good
        };
        assert!(refused(rivals).contains("`has_rival`"));
        let filled = bie_target {
            reserved: [0, 0, 1],
            ..good
        };
        assert!(refused(filled).contains("`reserved`"));
    }
}
