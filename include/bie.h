/*
 * bie: biomedical information extraction in the host's process. Text in; entities, the relations between them and the
 * evidence for each out.
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
 * And why, for the first relation:
 *
 *     bie_target target = {.kind = BIE_TARGET_RELATION, .index = 0}; bie_explanation *why;
 *     if (bie_explain(engine, text, strlen(text), result, &target, NULL, NULL, &why, &error)) die(bie_error_message(error, NULL));
 *     const bie_evidence *e = bie_explanation_evidence_for(why, &n);
 *     for (; n-- > 0; e++) printf("because of: %.*s\n", (int)(e->end - e->start), text + e->start);
 *     bie_explanation_free(why);
 *
 * Whole programs: examples/extract.c, examples/explain.c, both also in C++. Compile with `cc -Iinclude program.c -lbie`.
 *
 *
 * OWNERSHIP
 *
 * - What a function writes through `out` or `err`, and what a function named `_new` returns, is yours. Free it once,
 *   with the free function of its type. Every free function takes NULL, returns nothing and may be called on any thread.
 * - Objects are independent: a result needs no engine, an explanation no result, an engine no options, an error nothing.
 *   Free them in any order. Only do not free an object while another thread is in a call that uses it.
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
 * - bie_engine: any number of threads may call bie_extract, bie_explain and their batches on one engine. Results do not
 *   depend on the number of threads, on `sessions`, or on the order of calls.
 * - bie_options: one writer, or many readers. bie_result, bie_explanation and bie_error: any number of readers.
 *   bie_cancel: any thread may raise it at any time.
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
 * EXPLANATIONS
 *
 * - An explanation belongs to one decision on one text: give bie_explain the text and the result that bie_extract made
 *   of it. Both are compared with what the engine sees; a result of another bundle or text is refused.
 * - Show the evidence with what it was measured to do: `score` falls to `without_evidence` when the words are deleted.
 *   Where `unreliable` is 1 it hardly falls, so do not show the words as a reason.
 * - A call may take long (method, length of the text): bound it with `time_budget_ms`, or give it a bie_cancel and raise
 *   that from another thread; it then returns BIE_ERR_CANCELLED within 50 milliseconds.
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
 *   So many windows of this text run at once, within `sessions`; in `explain`, so many deletions. The result does not depend on it.
 * - method (one of auto, attention, attention_rollout, input_x_gradient, attention_x_gradient, integrated_gradients, occlusion, shap, lime, guided_occlusion; explain). Default: auto.
 *   How words are weighed. `auto`: the most faithful method that the budget admits. `attention_rollout` is a view, not evidence.
 * - players (one of words, units; explain). Default: words.
 *   What occlusion, shap and lime delete: single words, or whole entities and the clauses between them.
 * - deletion (one of pad, mask; explain). Default: pad.
 *   What stands in for a deleted token: [PAD] or [MASK].
 * - baseline (one of pad, mask, mean; explain). Default: pad.
 *   Where integrated gradients start from: every token [PAD], every token [MASK], or the mean of the window's embeddings.
 * - evaluations (an integer from 1 to 1000000; explain). Default: what the method needs: see docs/explain.md.
 *   At most so many forward passes for methods that sample (shap, lime, auto); integrated gradients: at most so many steps.
 * - time_budget_ms (an integer from 1 to 86400000; explain). Default: none.
 *   After this time sampling ends with what it has, and the explanation says so (`cut_short`). Without it equal calls give equal bytes.
 * - seed (an integer from 0 to 9223372036854775807; explain). Default: 0.
 *   Of the sampling in shap, lime and the random deletions of `faithfulness`.
 * - faithfulness (one of off, on; explain). Default: off.
 *   Measure comprehensiveness and sufficiency of the explanation, against random words: about 40 more forward passes.
 * - attention_heads (one of off, on; explain). Default: off.
 *   Add the last layer's attention, head by head, as a view.
 *
 *
 * VERSIONS
 *
 * - Before version 1.0 anything may change with the minor version, and the library's name says so (libbie.so.0).
 *   From 1.0 on nothing is removed, reordered or renumbered: a change is a new function. Check at start that
 *   bie_abi_version() is `BIE_ABI_MAJOR << 16 | BIE_ABI_MINOR`.
 * - Records (bie_mention, bie_relation, bie_range, bie_target, bie_summary, bie_word, bie_evidence) never change. New
 *   option keys need no new header.
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
    /// The call's `bie_cancel` was raised.
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

/// How words were weighed; the names are those of the option `method`. Numbers are never changed or reused.
enum bie_method
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /// Never in a result: the method that `auto` chose is.
    BIE_METHOD_AUTO = 0,
    /// Attention: of a relation the pair's, of an entity the last layer's.
    BIE_METHOD_ATTENTION = 1,
    /// Attention through all layers: a view, known to explain little.
    BIE_METHOD_ATTENTION_ROLLOUT = 2,
    /// Gradient at the embedding times the embedding.
    BIE_METHOD_INPUT_X_GRADIENT = 3,
    /// Attention times input times gradient.
    BIE_METHOD_ATTENTION_X_GRADIENT = 4,
    /// Integrated gradients.
    BIE_METHOD_INTEGRATED_GRADIENTS = 5,
    /// The score lost when a word is deleted.
    BIE_METHOD_OCCLUSION = 6,
    /// Shapley values.
    BIE_METHOD_SHAP = 7,
    /// A linear model of sampled deletions.
    BIE_METHOD_LIME = 8,
    /// The gradient half way to the baseline proposes words, deleting them disposes. What `auto` takes for words.
    BIE_METHOD_GUIDED_OCCLUSION = 9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum bie_method bie_method;
#else
typedef int32_t bie_method;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/// What a `bie_target` names. Numbers are never changed or reused.
enum bie_target_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /// A mention that was reported: `index`.
    BIE_TARGET_ENTITY = 1,
    /// A relation that was reported: `index`.
    BIE_TARGET_RELATION = 2,
    /// A span and an entity type, reported or not: `start`, `end`, `label`.
    BIE_TARGET_SPAN = 3,
    /// A relation between the entities of two reported mentions, reported or not: `head`, `tail`, `label`.
    BIE_TARGET_PAIR = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum bie_target_kind bie_target_kind;
#else
typedef int32_t bie_target_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/// A flag that ends calls from another thread. One may serve any number of calls; once raised it stays up.
typedef struct bie_cancel bie_cancel;

/// A model bundle, loaded, checked and ready to read texts.
///
/// Any number of threads may use one engine at the same time. At most as many windows of text as the option `sessions`
/// says are computed at once; further callers wait. Results depend neither on that number nor on the order of calls.
typedef struct bie_engine bie_engine;

/// Why a call failed. Immutable: may be read by many threads. Independent of every other object.
typedef struct bie_error bie_error;

/// Why one decision was made. Immutable: may be read by many threads.
///
/// Owns all it returns and points into no engine, result, options or text: free them in any order.
typedef struct bie_explanation bie_explanation;

/// Settings for `bie_engine_open`, `bie_extract` and `bie_explain`. The keys are listed at the top of this header.
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

/// A decision to be explained. This record never changes.
///
/// Set what its kind reads and leave the rest 0, as an initialiser does: `{.kind = BIE_TARGET_RELATION, .index = 2}`,
/// `{.kind = BIE_TARGET_PAIR, .head = 0, .tail = 3, .label = 1, .has_rival = 1, .rival = 0}`.
typedef struct {
    /// One of `bie_target_kind`.
    int32_t kind;
    /// Index into the array of `bie_result_mentions` or `bie_result_relations`.
    uint32_t index;
    /// First position of a span, in the unit of the result.
    uint32_t start;
    /// One past its last position.
    uint32_t end;
    /// A mention of the head: index into the array of `bie_result_mentions`.
    uint32_t head;
    /// A mention of the tail: index into the array of `bie_result_mentions`.
    uint32_t tail;
    /// Entity type of a span, relation type of a pair.
    uint32_t label;
    /// 1: why this type rather than `rival`? 0: why this type?
    uint32_t has_rival;
    /// Another entity type of the span, or another relation type of the pair.
    uint32_t rival;
    /// 0.
    uint32_t reserved[3];
} bie_target;

/// The figures of an explanation. This record never changes.
///
/// "Value" is the score, or the score minus the rival's where a rival was named. What was not asked for or does not
/// apply is NaN.
typedef struct {
    /// The method that was used.
    bie_method method;
    /// 1 if `auto` chose it, else 0.
    uint32_t chosen;
    /// 1 if deleting the evidence moves the value by less than a tenth of it: do not show this as a reason. Else 0.
    uint32_t unreliable;
    /// 1 if the time budget ended the work early, so that an equal call may give other weights. Else 0.
    uint32_t cut_short;
    /// Probability of the decision, as `bie_extract` reports it, 0 to 1.
    float score;
    /// Probability of the rival, or NaN.
    float rival_score;
    /// The value with every word deleted.
    float baseline_score;
    /// The value without the evidence that speaks for the decision.
    float without_evidence;
    /// How far the sum of all weights is from the value minus its baseline, as a share of that; NaN for methods that
    /// do not claim it.
    float completeness_error;
    /// Of LIME: R² of its linear model, at most 1; else NaN.
    float fit;
    /// Mean loss of value when the heaviest words are deleted, higher is better; NaN without the option `faithfulness`.
    float comprehensiveness;
    /// Mean loss of value when only they are kept, lower is better; NaN without the option `faithfulness`.
    float sufficiency;
    /// `comprehensiveness` of as many random words, or NaN.
    float random_comprehensiveness;
    /// `sufficiency` of as many random words, or NaN.
    float random_sufficiency;
    /// What it cost, in forward passes of the window.
    uint32_t evaluations;
    /// 0.
    uint32_t reserved[5];
} bie_summary;

/// What one word has to do with a decision. This record never changes.
typedef struct {
    /// First position, in the unit of the result that was explained.
    uint32_t start;
    /// One past the last position.
    uint32_t end;
    /// How much the word speaks for the decision (positive) or against it (negative), in the method's own scale.
    float weight;
    /// Standard error of the weight where the method samples, else 0.
    float standard_error;
    /// 1 if the word belongs to the entity, or to a mention of either end of the relation; else 0.
    uint32_t in_target;
    /// 0.
    uint32_t reserved[3];
} bie_word;

/// A piece of the text that speaks for or against a decision. This record never changes.
typedef struct {
    /// First position, in the unit of the result that was explained.
    uint32_t start;
    /// One past the last position.
    uint32_t end;
    /// Sum of the weights of its words.
    float weight;
    /// 0.
    uint32_t reserved;
} bie_evidence;

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
/// Names: "entities", "relations", "explanations".
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
/// - `options`: NULL for the defaults; copied. They also serve every `bie_extract` and `bie_explain` on
///   this engine that passes NULL.
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

/// Makes a flag that is down.
///
/// Returns an object to be freed with `bie_cancel_free`; NULL only after a defect of the library.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API bie_cancel *bie_cancel_new(void);

/// Raises a flag and returns at once: every running call that was given it ends within 50 milliseconds with
/// `BIE_ERR_CANCELLED`, every later one at once. NULL is allowed and nothing.
///
/// Errors: none. Threads: any, any number of times, but not from a signal handler. Since 0.1.
BIE_API void bie_cancel_raise(const bie_cancel *cancel);

/// Frees a flag. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no call that was given it is running. Since 0.1.
BIE_API void bie_cancel_free(bie_cancel *cancel);

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
BIE_API
bie_status bie_explain(const bie_engine *engine,
                       const char *text,
                       size_t text_len,
                       const bie_result *result,
                       const bie_target *target,
                       const bie_options *options,
                       const bie_cancel *cancel,
                       bie_explanation **out,
                       bie_error **err);

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
BIE_API
bie_status bie_explain_batch(const bie_engine *engine,
                             const char *text,
                             size_t text_len,
                             const bie_result *result,
                             const bie_target *targets,
                             size_t count,
                             const bie_options *options,
                             const bie_cancel *cancel,
                             bie_explanation **out,
                             bie_error **err);

/// The figures: method, scores, what deleting the evidence does, and how far to trust it.
///
/// Returns memory of the explanation; NULL when `explanation` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const bie_summary *bie_explanation_summary(const bie_explanation *explanation);

/// Every word of the window that the decision was made in, in the order of the text.
///
/// - `count`: gets their number.
///
/// Returns memory of the explanation; NULL when there are none, or when `explanation` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const bie_word *bie_explanation_words(const bie_explanation *explanation, size_t *count);

/// The pieces of the text that speak for the decision, at most three, heaviest first.
///
/// - `count`: gets their number.
///
/// Returns memory of the explanation; NULL when there are none, or when `explanation` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API const bie_evidence *bie_explanation_evidence_for(const bie_explanation *explanation, size_t *count);

/// The pieces of the text that speak against the decision, at most three, heaviest first.
///
/// - `count`: gets their number.
///
/// Returns memory of the explanation; NULL when there are none, or when `explanation` or `count` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API
const bie_evidence *bie_explanation_evidence_against(const bie_explanation *explanation,
                                                     size_t *count);

/// The last layer's attention, head by head: a view of the model, not a reason. With the option `attention_heads` only.
///
/// - `heads`: gets the number of heads, 0 without the option; may be NULL.
/// - `words`: gets the number of words, those of `bie_explanation_words`, 0 without the option; may be NULL.
///
/// Returns `heads` rows of `words` numbers, what the target's tokens pay to each word, in memory of the explanation;
/// NULL without the option or when `explanation` is NULL.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API
const float *bie_explanation_heads(const bie_explanation *explanation,
                                   size_t *heads,
                                   size_t *words);

/// The whole explanation as canonical JSON, one line without a line feed: equal explanations give equal bytes. It quotes
/// the evidence's text. Built at the first call and kept.
///
/// - `len`: gets the length in bytes, without the NUL at the end; may be NULL.
///
/// Returns UTF-8 in memory of the explanation; NULL when `explanation` is NULL, or after a defect of the library.
///
/// Errors: none. Threads: any. Since 0.1.
BIE_API
const char *bie_explanation_json(const bie_explanation *explanation,
                                 size_t *len);

/// Frees an explanation. NULL is allowed.
///
/// Errors: none. Threads: any, once, when no other thread reads the explanation. Since 0.1.
BIE_API void bie_explanation_free(bie_explanation *explanation);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BIE_H */
