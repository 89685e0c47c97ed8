/*
 * bie: biomedical information extraction in the host's process. Text in; entities and the relations between them out.
 *
 * Generated from src/ffi by tests/header.rs. Do not edit: change the comments there.
 *
 *
 * IN SIX LINES (`bundle` is the path of a model bundle, `text` a document in UTF-8)
 *
 *     bie_engine *engine; bie_result *result; bie_error *error; size_t n;
 *     if (bie_engine_open(bundle, strlen(bundle), NULL, &engine, &error)) die(bie_error_message(error, NULL));
 *     if (bie_extract(engine, text, strlen(text), NULL, &result, &error)) die(bie_error_message(error, NULL));
 *     const bie_mention *m = bie_result_mentions(result, &n);
 *     for (; n-- > 0; m++) printf("%s %.*s\n", bie_engine_label(engine, m->label, NULL), (int)(m->end - m->start), text + m->start);
 *     bie_result_free(result); bie_engine_free(engine);
 *
 * Whole programs: examples/extract.c, examples/extract.cpp. Compile with `cc -Iinclude program.c -lbie`.
 *
 *
 * OWNERSHIP
 *
 * - What a function writes through `out` or `err`, and what `bie_options_new` returns, is yours. Free it once, with the
 *   free function of its type. Every free function takes NULL, returns nothing and may be called on any thread.
 * - Objects are independent: a result needs no engine, an engine no options, an error nothing. Free them in any order.
 *   Only do not free an object while another thread is in a call that uses it.
 * - Inputs are borrowed for the call and copied where they are kept. Strings go in as a pointer and a length in bytes;
 *   they need no NUL at the end and may hold NUL bytes. (NULL, 0) is the empty string.
 * - Strings and arrays that a function returns belong to the object that they were asked from and live as long as it.
 *   Strings end in NUL beyond their length. An empty array is NULL with the count 0.
 *
 *
 * ERRORS
 *
 * - A call that can fail returns a bie_status; BIE_OK is 0. On success only `out` is set, on failure only `err`; both
 *   are set to NULL on entry, so neither needs to be initialised, and there is nothing to clean up after a failure.
 * - `err` may be NULL for a host that needs no message. A message is one line of UTF-8: what is wrong, where, and what
 *   to do. It holds nothing of the document, so it may be logged.
 * - A required pointer that is NULL is BIE_ERR_NULL (or NULL, 0 or the empty string where no status is returned), never
 *   a crash. A defect inside the library is BIE_ERR_PANIC: no exception and no signal reaches the host.
 * - The library prints nothing, opens no network connection, writes no file and does not change the environment.
 *
 *
 * THREADS
 *
 * - bie_engine: any number of threads may call bie_extract and bie_extract_batch on one engine. Results do not depend
 *   on the number of threads, on `sessions`, or on the order of texts.
 * - bie_options: one writer, or many readers. bie_result and bie_error: any number of readers.
 * - One thing is global: the first engine opens ONNX Runtime for the whole process, and it stays until the end.
 *   So do not call bie from DllMain, static destructors or atexit handlers, nor in a child after fork without exec,
 *   and do not unload the library while an engine lives.
 *
 *
 * OFFSETS
 *
 * - Texts are UTF-8. Positions count from 0 in the unit of the option `offset_unit`: bytes of UTF-8 (C, C++, Rust),
 *   code units of UTF-16 (Java, .NET, JavaScript) or code points (Python). `start` is the first position, `end` the
 *   first one after. No position lies inside a character. A text has at most 2^31-1 bytes, so each fits an int.
 *
 *
 * OPTIONS (bie_options_set_str for words and text, _set_i64 for integers, _set_f64 for numbers; all optional)
 *
 * - runtime_path (text; open). Default: libbie_onnxruntime.so beside the library, else the environment variable BIE_RUNTIME.
 *   The ONNX Runtime file (1.28). A process uses one: the first engine decides.
 * - sessions (an integer from 1 to 64; open). Default: the number of available cores, at most 4.
 *   At most so many windows run at once; other callers wait. Sessions are made when first needed, each costs memory.
 * - offset_unit (one of utf8, utf16, utf32; extract). Default: utf8.
 *   Unit of every offset: bytes of UTF-8, code units of UTF-16 (Java, .NET), code points (Python).
 * - max_text_bytes (an integer from 0 to 2147483647; extract). Default: 16777216.
 *   A longer text is refused, not cut.
 * - min_score (a number from 0 to 1; extract). Default: the thresholds of the bundle, one for each type.
 *   Entities and relations scored below are not reported; replaces the bundle's thresholds.
 * - threads (an integer from 1 to 64; extract). Default: 1.
 *   So many windows of this text run at once, within `sessions`. The result does not depend on it.
 *
 *
 * VERSIONS
 *
 * - Before version 1.0 anything may change with the minor version, and the library's name says so (libbie.so.0).
 *   From 1.0 on nothing is removed, reordered or renumbered: a change is a new function. Check at start that
 *   bie_abi_version() is `BIE_ABI_MAJOR << 16 | BIE_ABI_MINOR`.
 * - Records (bie_mention, bie_relation, bie_range) never change. New option keys need no new header.
 */

#ifndef BIE_H
#define BIE_H

#include <stddef.h>
#include <stdint.h>

#ifndef BIE_API
#if defined(_WIN32)
#define BIE_API __declspec(dllimport)
#else
#define BIE_API
#endif
#endif

/// Version of the package that this header belongs to: major part of "major.minor.patch".
#define BIE_VERSION_MAJOR 0

/// Version of the package: minor part.
#define BIE_VERSION_MINOR 1

/// Version of the package: patch part.
#define BIE_VERSION_PATCH 0

/// Version of the binary interface: major part. A program runs with a library of the same major version only.
#define BIE_ABI_MAJOR 0

/// Version of the binary interface: minor part. While the major version is 0, it has to be the same as well; from 1 on,
/// the library's may be newer.
#define BIE_ABI_MINOR 1

/// What a call came to. 0 is success; 1-99: the caller; 100-199: the bundle; 200-299: ONNX Runtime and the machine; 900
/// and above: a defect of the library. Numbers are never changed or reused; treat one that you do not know as an error.
enum bie_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /// Done.
    BIE_OK = 0,
    /// A required pointer is NULL.
    BIE_ERR_NULL = 1,
    /// An argument or an option's value is out of its range or of the wrong type.
    BIE_ERR_INVALID_ARGUMENT = 2,
    /// No option has this key.
    BIE_ERR_UNKNOWN_OPTION = 3,
    /// The text is not UTF-8; the message gives the position of the first wrong byte.
    BIE_ERR_INVALID_UTF8 = 4,
    /// The text is longer than the option `max_text_bytes`.
    BIE_ERR_TEXT_TOO_LONG = 5,
    /// Reserved for calls that can be cancelled.
    BIE_ERR_CANCELLED = 6,
    /// A file of the bundle is missing or cannot be read.
    BIE_ERR_IO = 100,
    /// A file of the bundle is not what it should be.
    BIE_ERR_BUNDLE_FORMAT = 101,
    /// The bundle was written for another version of the library.
    BIE_ERR_BUNDLE_VERSION = 102,
    /// A file of the bundle is truncated or altered: its SHA-256 is not the recorded one.
    BIE_ERR_CHECKSUM = 103,
    /// A graph of the bundle does not have the inputs and outputs that the manifest implies.
    BIE_ERR_MODEL_SHAPE = 104,
    /// The bundle's tokenizer cannot be built.
    BIE_ERR_TOKENIZER = 105,
    /// This processor lacks what ONNX Runtime needs.
    BIE_ERR_CPU = 200,
    /// ONNX Runtime is missing, has the wrong version, or failed.
    BIE_ERR_RUNTIME = 201,
    /// ONNX Runtime reported that memory ran out.
    BIE_ERR_OUT_OF_MEMORY = 202,
    /// A defect of the library was caught; the message gives its place in the source. Please report it.
    BIE_ERR_PANIC = 900,
    /// An earlier `BIE_ERR_PANIC` left this engine unusable: free it and open another.
    BIE_ERR_POISONED = 901,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum bie_status bie_status;
#else
typedef int32_t bie_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/// A model bundle, loaded, checked and ready to read texts.
///
/// Any number of threads may use one engine at the same time. At most as many windows of text as the option `sessions`
/// says are computed at once; further callers wait. Results depend neither on that number nor on the order of calls.
typedef struct bie_engine bie_engine;

/// Why a call failed. Immutable: may be read by many threads. Independent of every other object.
typedef struct bie_error bie_error;

/// Settings for `bie_engine_open` and `bie_extract`. The keys are listed at the top of this header.
///
/// One thread may write, or many may read. The calls that take options copy what they need: the object may be changed
/// or freed when they have returned.
typedef struct bie_options bie_options;

/// What was found in one text. Immutable: may be read by many threads.
///
/// Owns all it returns and points into no engine, options or text: free them in any order.
typedef struct bie_result bie_result;

/// A string of an input array: UTF-8 and its length in bytes. `(NULL, 0)` is the empty string.
typedef struct {
    /// First byte.
    const char *data;
    /// Number of bytes.
    size_t len;
} bie_str;

/// One mention of an entity. This record never changes.
typedef struct {
    /// First position, in the unit of the option `offset_unit`.
    uint32_t start;
    /// One past the last position.
    uint32_t end;
    /// Entity type: `bie_engine_label` names it.
    uint32_t label;
    /// Probability that this span is an entity of this type, 0 to 1.
    float score;
    /// Mentions with the same number are the same entity: same name, or an abbreviation and its long form.
    uint32_t group;
    /// 0.
    uint32_t reserved[3];
} bie_mention;

/// One relation between two entities. This record never changes.
typedef struct {
    /// The head's first mention: index into the array of `bie_result_mentions`.
    uint32_t head;
    /// The tail's first mention: index into the array of `bie_result_mentions`.
    uint32_t tail;
    /// Relation type: `bie_engine_relation_label` names it.
    uint32_t label;
    /// Probability that the relation holds, 0 to 1.
    float score;
    /// 0.
    uint32_t reserved[4];
} bie_relation;

/// A part of a text: `start` belongs to it, `end` does not. This record never changes.
typedef struct {
    /// First position, in the unit of the option `offset_unit`.
    uint32_t start;
    /// One past the last position.
    uint32_t end;
} bie_range;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The version of the binary interface that the loaded library has: `major << 16 | minor`.
///
/// Compare it with `BIE_ABI_MAJOR` and `BIE_ABI_MINOR`, which are the header's, before any other call.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API uint32_t bie_abi_version(void);

/// The version of the loaded library and of the ONNX Runtime it needs, for logs: "0.1.0 (onnxruntime 1.28.0)".
///
/// Returns static memory that ends in NUL; never NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API
const char *bie_version(void);

/// Whether the loaded library has a feature: 1 or 0. A name that it does not know is 0.
///
/// Names: "entities", "relations".
///
/// - `name`, `name_len`: UTF-8 and its length in bytes; borrowed for the call.
///
/// Errors: none; 0 when `name` is NULL. Threads: any. Since 0.1.
BIE_API int32_t bie_has_feature(const char *name, size_t name_len);

/// The name of a status number: "BIE_ERR_IO". "BIE_ERR_UNKNOWN" for a number that this library does not have.
///
/// Returns static memory that ends in NUL; never NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const char *bie_status_name(int32_t status);

/// The status of an error, the same that the failed call returned. `BIE_OK` when `error` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API bie_status bie_error_status(const bie_error *error);

/// What went wrong, where, and what to do: one line of UTF-8 that holds nothing of the document's text.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the error, valid until `bie_error_free`; the empty string when `error` is NULL. Never NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API
const char *bie_error_message(const bie_error *error,
                              size_t *len);

/// Frees an error. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread reads the error. Since 0.1.
BIE_API void bie_error_free(bie_error *error);

/// Makes options with every key at its default.
///
/// Returns an object to be freed with `bie_options_free`; NULL only after a defect of the library.
///
/// Threads: any. Since 0.1.
BIE_API bie_options *bie_options_new(void);

/// Sets a key whose value is text or one of several words: "offset_unit" to "utf16".
///
/// - `options`: changed on success only.
/// - `key`, `key_len`, `value`, `value_len`: UTF-8 and its length in bytes; borrowed for the call.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: `BIE_ERR_NULL`, `BIE_ERR_UNKNOWN_OPTION`; `BIE_ERR_INVALID_ARGUMENT` for a value that the key does not
/// admit or bytes that are not UTF-8. Threads: one at a time for one object. Since 0.1.
BIE_API
bie_status bie_options_set_str(bie_options *options,
                               const char *key,
                               size_t key_len,
                               const char *value,
                               size_t value_len,
                               bie_error **err);

/// Sets a key whose value is an integer: "threads" to 4.
///
/// - `options`: changed on success only.
/// - `key`, `key_len`: UTF-8 and its length in bytes; borrowed for the call.
/// - `value`: in the key's range.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: as for `bie_options_set_str`. Threads: one at a time for one object. Since 0.1.
BIE_API
bie_status bie_options_set_i64(bie_options *options,
                               const char *key,
                               size_t key_len,
                               int64_t value,
                               bie_error **err);

/// Sets a key whose value is a number: "min_score" to 0.5.
///
/// - `options`: changed on success only.
/// - `key`, `key_len`: UTF-8 and its length in bytes; borrowed for the call.
/// - `value`: in the key's range; not a NaN.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: as for `bie_options_set_str`. Threads: one at a time for one object. Since 0.1.
BIE_API
bie_status bie_options_set_f64(bie_options *options,
                               const char *key,
                               size_t key_len,
                               double value,
                               bie_error **err);

/// Frees options. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread uses the object. Since 0.1.
BIE_API void bie_options_free(bie_options *options);

/// Opens a bundle: checks the hash of every file, loads the tokenizer and the graphs, and finds ONNX Runtime.
///
/// Takes tens to hundreds of milliseconds; open once and keep the engine.
///
/// - `path`, `path_len`: the bundle's folder, UTF-8 and its length in bytes; borrowed for the call.
/// - `options`: NULL for the defaults; copied. They also serve every `bie_extract` on this engine that passes NULL.
/// - `out`: gets NULL, or on success an engine to be freed with `bie_engine_free`.
/// - `err`: gets NULL, or on failure an error to be freed with `bie_error_free`; may be NULL.
///
/// Errors: `BIE_ERR_NULL`, `BIE_ERR_INVALID_ARGUMENT` (the path is not UTF-8), all from `BIE_ERR_IO` to
/// `BIE_ERR_OUT_OF_MEMORY`, `BIE_ERR_PANIC`. Threads: any. Since 0.1.
BIE_API
bie_status bie_engine_open(const char *path,
                           size_t path_len,
                           const bie_options *options,
                           bie_engine **out,
                           bie_error **err);

/// Frees an engine. NULL is allowed. Results and errors that came from it stay valid.
///
/// Errors: none. Threads: any, once, when no call on this engine is running. Since 0.1.
BIE_API void bie_engine_free(bie_engine *engine);

/// Name and version of the model, for records: "bie-default-0.1".
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const char *bie_engine_model_id(const bie_engine *engine, size_t *len);

/// The bundle's hash: SHA-256 of its manifest, which holds the hash of every other file; 64 lower-case hexadecimal digits.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API
const char *bie_engine_bundle_hash(const bie_engine *engine,
                                   size_t *len);

/// The name of an entity type: "Chemical". To count the types, ask until it is NULL.
///
/// - `label`: `bie_mention.label`.
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when there is no such type or `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const char *bie_engine_label(const bie_engine *engine, uint32_t label, size_t *len);

/// The name of a relation type: "causes". To count the types, ask until it is NULL.
///
/// - `label`: `bie_relation.label`.
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns memory of the engine; NULL when there is no such type or `engine` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const char *bie_engine_relation_label(const bie_engine *engine, uint32_t label, size_t *len);

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
BIE_API
bie_status bie_extract(const bie_engine *engine,
                       const char *text,
                       size_t text_len,
                       const bie_options *options,
                       bie_result **out,
                       bie_error **err);

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
BIE_API
bie_status bie_extract_batch(const bie_engine *engine,
                             const bie_str *texts,
                             size_t count,
                             const bie_options *options,
                             bie_result **out,
                             bie_error **err);

/// The mentions, sorted by start, then end, then label.
///
/// - `count`: gets their number.
///
/// Returns memory of the result; NULL when there are none, or when `result` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const bie_mention *bie_result_mentions(const bie_result *result, size_t *count);

/// The relations, sorted by head, then tail, then label.
///
/// - `count`: gets their number.
///
/// Returns memory of the result; NULL when there are none, or when `result` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const bie_relation *bie_result_relations(const bie_result *result, size_t *count);

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
BIE_API
const bie_range *bie_result_coverage(const bie_result *result,
                                     uint32_t *length,
                                     uint32_t *windows,
                                     size_t *unread_count);

/// The whole result as canonical JSON, one line without a line feed: equal results give equal bytes. Built at the first
/// call and kept.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns UTF-8 in memory of the result; NULL when `result` is NULL, or after a defect of the library.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API
const char *bie_result_json(const bie_result *result,
                            size_t *len);

/// Frees a result. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread reads the result. Since 0.1.
BIE_API void bie_result_free(bie_result *result);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BIE_H */
