//! Engines: a bundle made ready, and the calls that read texts with it.

use std::ffi::c_char;
use std::path::Path;
use std::ptr;

use super::args::{self, Text, borrow, document, lend, put, slice, string};
use super::error::{bie_error, bie_status, clear, report, report_in};
use super::guard::{Poison, guard};
use super::options::bie_options;
use super::result::bie_result;
use crate::engine::Engine;
use crate::{Cancel, Error, Explanation, Extraction, Options, Result, Target};

/// A model bundle, loaded, checked and ready to read texts.
///
/// Any number of threads may use one engine at the same time. At most as many windows of text as the option `sessions`
/// says are computed at once; further callers wait. Results depend neither on that number nor on the order of calls.
pub struct bie_engine {
    engine: Engine,
    /// The options given at open: they serve a call that brings none.
    options: Options,
    poison: Poison,
    model_id: Text,
    bundle_hash: Text,
    labels: Vec<Text>,
    relation_labels: Vec<Text>,
}

impl bie_engine {
    fn open(path: &str, options: Options) -> Result<bie_engine> {
        let engine = Engine::open(Path::new(path), &options)?;
        let manifest = engine.manifest();
        Ok(bie_engine {
            model_id: Text::new(&manifest.model_id),
            bundle_hash: Text::new(engine.bundle_hash()),
            labels: manifest
                .entities
                .iter()
                .map(|entity| Text::new(&entity.name))
                .collect(),
            relation_labels: manifest
                .relations
                .iter()
                .map(|relation| Text::new(&relation.name))
                .collect(),
            poison: Poison::default(),
            options,
            engine,
        })
    }

    fn extract(&self, text: &str, options: Option<&bie_options>) -> Result<bie_result> {
        let options = options.map_or(&self.options, |options| &options.0);
        self.poison
            .guard(|| Ok(bie_result::new(self.engine.extract(text, options)?)))
    }

    pub(super) fn explain(
        &self,
        text: &str,
        extraction: &Extraction,
        targets: &[Target],
        options: Option<&bie_options>,
        cancel: &Cancel,
    ) -> Result<Vec<Explanation>> {
        let options = options.map_or(&self.options, |options| &options.0);
        self.poison.guard(|| {
            self.engine
                .explain(text, extraction, targets, options, cancel)
        })
    }
}

/// A string of an input array: UTF-8 and its length in bytes. `(NULL, 0)` is the empty string.
#[repr(C)]
pub struct bie_str {
    /// First byte.
    pub data: *const c_char,
    /// Number of bytes.
    pub len: usize,
}

/// Opens a bundle: checks the hash of every file, loads the tokenizer and the graphs, and finds ONNX Runtime.
///
/// Takes tens to hundreds of milliseconds; open once and keep the engine.
///
/// - `path`, `path_len`: the bundle's folder, UTF-8 and its length in bytes; borrowed for the call.
/// - `options`: NULL for the defaults; copied. They also serve every `bie_extract` and `bie_explain` on
///   this engine that passes NULL.
/// - `out`: gets NULL, or on success an engine to be freed with `bie_engine_free`.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: `BIE_ERR_NULL`, `BIE_ERR_INVALID_ARGUMENT` (the path is not UTF-8), all from `BIE_ERR_IO` to
/// `BIE_ERR_OUT_OF_MEMORY`, `BIE_ERR_PANIC`. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_engine_open(
    path: *const c_char,
    path_len: usize,
    options: *const bie_options,
    out: *mut *mut bie_engine,
    err: *mut *mut bie_error,
) -> bie_status {
    unsafe {
        clear(err);
        put(out, ptr::null_mut());
    }
    let outcome = guard(|| {
        if out.is_null() {
            return Err(Error::Null("out"));
        }
        let path = unsafe { string(path, path_len, "path") }?;
        let options = unsafe { options.as_ref() }
            .map(|options| options.0.clone())
            .unwrap_or_default();
        let engine = Box::new(bie_engine::open(path, options)?);
        unsafe { put(out, Box::into_raw(engine)) };
        Ok(())
    });
    unsafe { report(err, outcome) }
}

/// Frees an engine. NULL is allowed. Results and errors that came from it stay valid.
///
/// Errors: none. Threads: any, once, when no call on this engine is running. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_engine_free(engine: *mut bie_engine) {
    unsafe { args::free(engine) };
}

/// Name and version of the model, for records: "bie-default-0.1".
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_engine_model_id(
    engine: *const bie_engine,
    len: *mut usize,
) -> *const c_char {
    unsafe { lend(engine.as_ref().map(|engine| &engine.model_id), len) }
}

/// The bundle's hash: SHA-256 of its manifest, which holds the hash of every other file; 64 lower-case hexadecimal digits.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_engine_bundle_hash(
    engine: *const bie_engine,
    len: *mut usize,
) -> *const c_char {
    unsafe { lend(engine.as_ref().map(|engine| &engine.bundle_hash), len) }
}

/// The name of an entity type: "Chemical". To count the types, ask until it is NULL.
///
/// - `label`: `bie_mention.label`.
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when there is no such type or `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_engine_label(
    engine: *const bie_engine,
    label: u32,
    len: *mut usize,
) -> *const c_char {
    unsafe {
        lend(
            engine
                .as_ref()
                .and_then(|engine| engine.labels.get(label as usize)),
            len,
        )
    }
}

/// The name of a relation type: "causes". To count the types, ask until it is NULL.
///
/// - `label`: `bie_relation.label`.
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when there is no such type or `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_engine_relation_label(
    engine: *const bie_engine,
    label: u32,
    len: *mut usize,
) -> *const c_char {
    unsafe {
        lend(
            engine
                .as_ref()
                .and_then(|engine| engine.relation_labels.get(label as usize)),
            len,
        )
    }
}

/// Finds the entities of a text and the relations between them.
///
/// - `engine`: shared; many threads may call at once.
/// - `text`, `text_len`: UTF-8 and its length in bytes; may hold NUL bytes; borrowed for the call.
/// - `options`: NULL for those given to `bie_engine_open`; borrowed for the call.
/// - `out`: gets NULL, or on success a result to be freed with `bie_result_free`.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: `BIE_ERR_NULL`; `BIE_ERR_INVALID_ARGUMENT` (a length that nothing can have); `BIE_ERR_INVALID_UTF8`;
/// `BIE_ERR_TEXT_TOO_LONG`; `BIE_ERR_RUNTIME`, `BIE_ERR_OUT_OF_MEMORY`; `BIE_ERR_PANIC`, `BIE_ERR_POISONED`.
/// Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_extract(
    engine: *const bie_engine,
    text: *const c_char,
    text_len: usize,
    options: *const bie_options,
    out: *mut *mut bie_result,
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
        let result = Box::new(engine.extract(text, unsafe { options.as_ref() })?);
        unsafe { put(out, Box::into_raw(result)) };
        Ok(())
    });
    unsafe { report(err, outcome) }
}

/// Reads several texts: all of them or, on the first failure, none. Each result is the one that `bie_extract` gives.
///
/// - `engine`: shared; many threads may call at once.
/// - `texts`, `count`: the texts; the array and what it points to are borrowed for the call.
/// - `options`: NULL for those given to `bie_engine_open`; borrowed for the call.
/// - `out`: `count` slots; each gets NULL, or on success a result to be freed with `bie_result_free`.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL. The message begins with
///   the number of the text, counted from 0.
///
/// Errors: as for `bie_extract`. Threads: any. Since 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bie_extract_batch(
    engine: *const bie_engine,
    texts: *const bie_str,
    count: usize,
    options: *const bie_options,
    out: *mut *mut bie_result,
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
        let texts = unsafe { slice(texts, count, "texts") }?;
        let options = unsafe { options.as_ref() };
        let mut results = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let result = unsafe { document(text.data, text.len, "texts[].data") }
                .and_then(|text| engine.extract(text, options))
                .inspect_err(|_| place = format!("text {number}: "))?;
            results.push(Box::new(result));
        }
        for (slot, result) in results.into_iter().enumerate() {
            unsafe { out.add(slot).write(Box::into_raw(result)) };
        }
        Ok(())
    });
    unsafe { report_in(err, &place, outcome) }
}
